#include "main/krakectl_check.h"

#include <fmt/format.h>

#include <filesystem>

#include "base/encoding.h"
#include "cli/config.h"
#include "net/beast/tls.h"

namespace krake {

namespace {

bool is_set(const Variables& variable, const char* name) {
  const auto value = variable(name);
  return value && !value->empty();
}

}  // namespace

Result<KrakectlCheck> check_krakectl(const std::string& path, const Variables& variable) {
  ASSIGN_OR_RETURN(const auto text, read_file(path));
  KrakectlCheck out;
  cli::CliIo io;
  io.env = variable;
  std::error_code ec;
  io.cwd = std::filesystem::current_path(ec).string();
  // Read once, and named as it was: it may be a pipe.
  const auto absolute = cli::absolute_path(io, path);
  io.read_file = [&](const std::string& file) { return file == absolute ? text : cli::read_local_file(file); };
  io.run_command = [](const std::string&) { return Result<std::string>(std::string(kMask)); };
  const auto config = cli::load_config(io, path);
  if (!config) return fail(Code::invalid_argument, config.error().message);
  out.warnings = config->warnings;
  std::ranges::copy(config->remarks, std::back_inserter(out.warnings));
  const ConfigDocument file{.document = config->document, .source = path, .lines = config->lines};
  const auto add = [&](const std::string& key, json::Value value, const char* by = nullptr) {
    out.values.push_back({key, json::print(value), by && is_set(variable, by) ? by : file.origin(key)});
  };
  const auto& endpoint = config->endpoint;
  add("api_url", presentable_url(endpoint.url), "KRAKE_API_URL");
  add("user", config->user, "KRAKE_NAMESPACE");
  const bool by_command = file.document.string_at({"token"}).empty() && !is_set(variable, "KRAKE_TOKEN");
  if (!config->token.empty()) add(by_command ? "token_command" : "token", kMask, "KRAKE_TOKEN");
  add("timeout", std::chrono::duration<double>(config->timeout).count());
  add("insecure_skip_verify", endpoint.insecure_skip_verify);
  for (const auto* key : {"enabled", "client_ca", "client_cert", "client_key"}) {
    if (const auto* value = file.document.at_path({"tls", key})) add(fmt::format("tls.{}", key), *value);
  }
  if (!endpoint.url.starts_with("https://")) return out;
  value_or_problem("tls",
                   make_client_tls(endpoint.ca_pem, endpoint.client_cert_pem, endpoint.client_key_pem,
                                   endpoint.insecure_skip_verify),
                   out.problems);
  for (auto& problem : out.problems) problem.what += fmt::format(" ({})", file.place("tls"));
  return out;
}

}  // namespace krake
