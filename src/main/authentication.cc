#include "main/authentication.h"

#include "main/reload.h"
#include "net/beast/tls.h"
#include "net/url.h"
#include "server/authn/key_source.h"

namespace krake {

namespace {

Duration seconds(double s) { return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(s)); }

std::vector<std::string> origins_of(const AuthenticationConfig& config) {
  return config.cors_origins.value_or(std::vector{config.cors_origin});
}

Result<server::OidcOptions> oidc_options(const OidcAuthConfig& config) {
  const auto bad = [](std::string_view what) {
    return fail(Code::invalid_argument, fmt::format("authentication.strategy.oidc.{}", what));
  };
  if (config.issuer.empty()) return bad("issuer: the issuer of the tokens must be named");
  // A token that somebody else's program was given must not open this door.
  if (config.audiences.empty()) return bad("audiences: name at least one, for which the tokens are issued");
  server::OidcOptions options{.jwks_uri = config.jwks_uri};
  options.rules = {.issuer = config.issuer,
                   .audiences = config.audiences,
                   .leeway = seconds(config.leeway),
                   .user_claim = config.username_claim,
                   .user_prefix = config.username_prefix};
  for (const auto& name : config.algorithms) {
    const auto algorithm = access::parse_algorithm(name);
    if (!algorithm)
      return bad(
          fmt::format("algorithms: there is no '{}' here; want RS, PS or ES with 256, 384 or 512, or EdDSA", name));
    options.rules.algorithms.push_back(*algorithm);
  }
  if (options.rules.algorithms.empty()) return bad("algorithms: at least one must be allowed");
  const bool discovered = config.jwks_uri.empty();
  if (const auto parts = server::split_target(discovered ? config.issuer : config.jwks_uri); !parts)
    return bad(fmt::format("{}: {}", discovered ? "issuer" : "jwks_uri", parts.error().message));
  return options;
}

// Empty: the system's.
Result<std::string> read_authorities(const std::string& path) {
  if (path.empty()) return std::string();
  ASSIGN_OR_RETURN(auto pem, read_file(path));
  if (const auto usable = make_client_tls(pem, "", "", false); !usable) return fail(with_context(usable.error(), path));
  return pem;
}

bool is_local(const Url& url) { return url.host == "localhost" || url.host == "::1" || url.host.starts_with("127."); }

void warn_of_plain_text(std::string_view key, const std::string& address, const Log& log) {
  const auto url = parse_url(address);
  if (url && !url->tls && !is_local(*url))
    log.warning("tokens go to the identity service unencrypted; use https", {{"key", key}, {"endpoint", address}});
}

}  // namespace

void use_authentication(const AuthenticationConfig& config, server::ServerOptions& options, ConfigProblems& problems) {
  auto& identity = options.auth.identity;
  const auto& strategy = config.strategy;
  options.auth.allow_anonymous = config.allow_anonymous;
  if (strategy.static_.enabled) options.auth.static_user = strategy.static_.name;
  if (strategy.keystone.enabled) {
    identity.keystone = server::KeystoneOptions{strategy.keystone.endpoint};
    value_or_problem("authentication.strategy.keystone.endpoint", parse_url(strategy.keystone.endpoint), problems);
  }
  if (strategy.keycloak.enabled) {
    identity.keycloak = server::KeycloakOptions{strategy.keycloak.endpoint, strategy.keycloak.realm};
    if (!strategy.keystone.enabled || config.several)  // else it is not used
      value_or_problem("authentication.strategy.keycloak.endpoint", parse_url(strategy.keycloak.endpoint), problems);
  }
  if (strategy.oidc.enabled)
    identity.oidc = value_or_problem("authentication.strategy.oidc", oidc_options(strategy.oidc), problems);
  options.auth.takes_tokens = takes_tokens(config);
  options.auth.tokens =
      value_or_problem("authentication.strategy.token.file", read_user_tokens(strategy.token.file), problems);
  identity.own_keys =
      value_or_problem("authentication.strategy.signed.file", read_signing_keys(strategy.signed_.file), problems);
  identity.ca_pem = value_or_problem("authentication.ca", read_authorities(config.ca), problems);
  identity.several = config.several;
  identity.timeout = seconds(config.timeout);
  identity.cache = {.size = static_cast<std::size_t>(static_cast<std::int64_t>(config.cache.size)),
                    .ttl = seconds(config.cache.seconds)};
  options.cors.origins = origins_of(config);
}

void warn_about(const AuthenticationConfig& config, const Log& log) {
  const auto& strategy = config.strategy;
  const auto origins = origins_of(config);
  if (std::ranges::find(origins, "*") != origins.end()) {
    log.warning(
        "CORS: web pages of every origin may use this API with the credentials of whoever visits them; "
        "name those that may in authentication.cors_origins");
  }
  if (strategy.keystone.enabled && strategy.keycloak.enabled && !config.several && !strategy.static_.enabled)
    log.warning("authentication.strategy.keycloak is not used: Keystone comes first; authentication.several uses both");
  if (strategy.keystone.enabled)
    warn_of_plain_text("authentication.strategy.keystone.endpoint", strategy.keystone.endpoint, log);
  if (strategy.keycloak.enabled)
    warn_of_plain_text("authentication.strategy.keycloak.endpoint", strategy.keycloak.endpoint, log);
  if (strategy.oidc.enabled) {
    const auto& keys = strategy.oidc.jwks_uri.empty() ? strategy.oidc.issuer : strategy.oidc.jwks_uri;
    const auto end = keys.find('/', keys.find("://") == std::string::npos ? 0 : keys.find("://") + 3);
    if (const auto url = parse_url(keys.substr(0, end)); url && !url->tls && !is_local(*url))
      log.warning(
          "the keys that tokens are verified by come unencrypted: anybody on the way may put in his own; use https",
          {{"from", keys}});
  }
}

}  // namespace krake
