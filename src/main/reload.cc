#include "main/reload.h"

#include <algorithm>
#include <array>
#include <map>
#include <sstream>

namespace krake {

namespace {

constexpr std::array<std::string_view, 5> kRenewed{"tls.cert", "tls.key", "tls.client_ca",
                                                   "authentication.strategy.token.file",
                                                   "authentication.strategy.signed.file"};

void add_differences(const json::Value* before, const json::Value* now, const std::string& path,
                     std::vector<std::string>& out) {
  const auto* left = before ? before->if_object() : nullptr;
  const auto* right = now ? now->if_object() : nullptr;
  if (!left || !right) {
    const bool same = before && now && json::print(*before) == json::print(*now);
    if (!same) out.push_back(path);
    return;
  }
  const auto inner = [&](const std::string& key) { return path.empty() ? key : path + "." + key; };
  for (const auto& [key, value] : *left) add_differences(&value, right->find(key), inner(key), out);
  for (const auto& [key, value] : *right) {
    if (!left->contains(key)) out.push_back(inner(key));
  }
}

}  // namespace

std::optional<ServerTls> read_tls(const ServerTlsConfig& config, ConfigProblems& problems, FileKind kind) {
  if (!config.enabled) return std::nullopt;
  if (config.cert.empty() || config.key.empty()) {
    problems.push_back({"tls", "tls.enabled is true: tls.cert and tls.key must name files"});
    return std::nullopt;
  }
  ServerTls tls;
  tls.cert_chain_pem = value_or_problem("tls.cert", read_file(config.cert, kind), problems);
  tls.key_pem = value_or_problem("tls.key", read_file(config.key, kind), problems);
  if (!config.client_ca.empty())
    tls.client_ca_pem = value_or_problem("tls.client_ca", read_file(config.client_ca, kind), problems);
  return tls;
}

Result<UserTokens> read_user_tokens(const std::string& path, FileKind kind) {
  UserTokens tokens;
  std::map<std::string, std::string> users;
  if (path.empty()) return tokens;
  ASSIGN_OR_RETURN(const std::string text, read_file(path, kind));
  std::istringstream lines(text);
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    std::istringstream words(line);
    std::string token;
    std::string user;
    std::string more;
    if (!(words >> token) || token.starts_with('#')) continue;
    if (!(words >> user) || (words >> more && !more.starts_with('#')))
      return fail(Code::invalid_argument, fmt::format("{}:{}: want '<token> <user>'", path, number));
    if (const auto [known, fresh] = users.emplace(token, user); !fresh && known->second != user)
      return fail(Code::invalid_argument,
                  fmt::format("{}:{}: the token of user '{}' is that of '{}', too; give each user one of his own", path,
                              number, user, known->second));
    tokens.emplace_back(std::move(token), std::move(user));
  }
  return tokens;
}

bool takes_tokens(const AuthenticationConfig& config) {
  const auto& strategy = config.strategy;
  return !strategy.token.file.empty() || !strategy.signed_.file.empty();
}

Result<access::Keys> read_signing_keys(const std::string& path, FileKind kind) {
  if (path.empty()) return access::Keys();
  ASSIGN_OR_RETURN(const auto pem, read_file(path, kind));
  auto keys = access::parse_pem_keys(pem);
  if (!keys) return fail(with_context(keys.error(), path));
  return std::move(*keys);
}

Result<Renewal> read_renewal(const ApiConfig& before, const ApiConfig& now) {
  if (before.tls.enabled != now.tls.enabled)
    return fail(Code::invalid_argument, "tls.enabled: TLS is turned on and off by a restart only");
  if (now.tls.enabled && before.tls.client_ca.empty() != now.tls.client_ca.empty()) {
    return fail(Code::invalid_argument,
                "tls.client_ca: asking for client certificates is turned on and off by a restart only");
  }
  constexpr auto kind = FileKind::regular;
  Renewal renewal;
  ConfigProblems problems;
  renewal.tls = read_tls(now.tls, problems, kind);
  if (!problems.empty()) return fail(Code::invalid_argument, describe({}, problems.front()));
  ASSIGN_OR_RETURN(renewal.tokens, read_user_tokens(now.authentication.strategy.token.file, kind));
  renewal.takes_tokens = takes_tokens(now.authentication);
  ASSIGN_OR_RETURN(renewal.signing_keys, read_signing_keys(now.authentication.strategy.signed_.file, kind));
  return renewal;
}

std::vector<std::string> needs_restart(const ApiConfig& before, const ApiConfig& now) {
  const json::Value left = to_value(before);
  const json::Value right = to_value(now);
  std::vector<std::string> keys;
  add_differences(&left, &right, "", keys);
  std::erase_if(keys, [](const std::string& key) {
    return key.starts_with("log.") || std::ranges::find(kRenewed, key) != kRenewed.end();
  });
  return keys;
}

std::vector<std::string> needs_restart(const InnerControllers& before, const InnerControllers& now) {
  std::vector<std::string> keys;
  for (const auto& [name, config] : before.configs) {
    const auto it = now.configs.find(name);
    if (it == now.configs.end()) continue;
    std::vector<std::string> different;
    const json::Value left = to_value(config);
    const json::Value right = to_value(it->second);
    add_differences(&left, &right, "", different);
    for (const auto& key : different) {
      if (counts_inside(std::string_view(key).substr(0, key.find('.'))))
        keys.push_back(fmt::format("{}.{}", section_of(*find_program(name)), key));
    }
  }
  return keys;
}

}  // namespace krake
