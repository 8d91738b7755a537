// Who vouches for users besides the server itself (api-contract 7.2; W23, W24, W43).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "access/jwt.h"
#include "access/token_cache.h"
#include "base/clock.h"
#include "net/dial.h"

namespace krake::server {

struct KeystoneOptions {
  std::string endpoint;  // with the version: http://host:5000/v3
};

struct KeycloakOptions {
  std::string endpoint;  // without /auth
  std::string realm;
};

// Any OpenID provider whose tokens are JWTs.
struct OidcOptions {
  std::string jwks_uri;    // where its keys are; empty: what its discovery document says
  access::JwtRules rules;  // with its issuer
  // Keys are fetched anew when they are so old and needed, before they count. Without success they go on counting, but
  // not for ever.
  Duration refresh = std::chrono::minutes(5);
  Duration stale_limit = std::chrono::hours(24);
  // A token may name a key that is newer than ours; not more often than this somebody is asked for that reason. After
  // failures it is the longest pause.
  Duration unknown_key_pause = std::chrono::seconds(10);
};

struct IdentityOptions {
  std::optional<KeystoneOptions> keystone;
  std::optional<KeycloakOptions> keycloak;  // not used beside Keystone, unless `several`
  std::optional<OidcOptions> oidc;
  access::Keys own_keys;  // of tokens signed by Krake
  // Every authenticator is tried, certificates where no token is accepted, and the static user last.
  bool several = false;

  Dialer* dialer = nullptr;                    // to all of them; outlives the server
  std::string ca_pem;                          // to verify them by; empty: the system's
  Duration timeout = std::chrono::seconds(5);  // of one question
  std::size_t waiting_limit = 1000;            // requests that wait for an answer, and questions under way
  access::TokenCache::Limits cache;
};

// In tokens signed by Krake, issuer and audience.
inline constexpr std::string_view kOwnIssuer = "krake";
access::JwtRules own_token_rules();

}  // namespace krake::server
