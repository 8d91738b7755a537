#include "main/krakectl_check.h"

#include <fmt/format.h>

#include <filesystem>

#include "base/encoding.h"
#include "cli/config.h"
#include "net/beast/tls.h"

namespace krake {

namespace {

// What krakectl takes at the top of the file; and of a context, what may stand there too.
constexpr std::string_view kKeys[] = {"api_url",        "user",    "tls",      "token",
                                      "token_command",  "timeout", "contexts", "insecure_skip_verify",
                                      "current_context"};
constexpr std::string_view kTlsKeys[] = {"enabled", "client_ca", "client_cert", "client_key"};

void warn_of_unknown(const ConfigDocument& file, const json::Value* section, const std::string& above,
                     std::span<const std::string_view> known, std::vector<std::string>& warnings) {
  if (!section || !section->is_object()) return;
  for (const auto& [key, value] : *section->if_object()) {
    if (std::ranges::find(known, key) != known.end()) continue;
    warnings.push_back(
        fmt::format("{}: unknown configuration key '{}' is ignored", file.place(above + key), above + key));
  }
}

// Where a value comes from: what counts of a context is said to be of the file.
std::string origin_of(const ConfigDocument& file, const std::string& key, const char* by, const Variables& variable) {
  if (const auto value = by ? variable(by) : std::nullopt; value && !value->empty()) return by;
  const bool contexts = file.document.if_object()->contains("contexts");
  return contexts ? file.source : file.origin(key);
}

}  // namespace

Result<KrakectlCheck> check_krakectl(const std::string& path, const Variables& variable) {
  ASSIGN_OR_RETURN(const auto text, read_file(path));
  KrakectlCheck out;
  cli::CliIo io;
  io.env = variable;
  io.cwd = std::filesystem::current_path().string();
  // Read once, and named as it was: it may be a pipe.
  const auto absolute = cli::absolute_path(io, path);
  io.read_file = [&](const std::string& file) { return file == absolute ? text : cli::read_local_file(file); };
  io.run_command = [](const std::string&) { return Result<std::string>(std::string(kMask)); };
  const auto config = cli::load_config(io, path);
  if (!config) return fail(Code::invalid_argument, config.error().message);
  ASSIGN_OR_RETURN(const auto file, parse_config(text, path));
  out.warnings = config->warnings;
  warn_of_unknown(file, &file.document, "", kKeys, out.warnings);
  warn_of_unknown(file, file.document.at_path({"tls"}), "tls.", kTlsKeys, out.warnings);
  const auto add = [&](const std::string& key, json::Value value, const char* by = nullptr) {
    out.values.push_back({key, json::print(value), origin_of(file, key, by, variable)});
  };
  const auto& endpoint = config->endpoint;
  add("api_url", presentable_url(endpoint.url), "KRAKE_API_URL");
  add("user", config->user, "KRAKE_NAMESPACE");
  if (!config->token.empty()) add(file.document.at_path({"token"}) ? "token" : "token_command", kMask, "KRAKE_TOKEN");
  add("timeout", std::chrono::duration<double>(config->timeout).count());
  add("insecure_skip_verify", endpoint.insecure_skip_verify);
  for (const auto key : kTlsKeys) {
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
