// JSON Web Tokens (RFC 7515, 7519) in their compact form: read, signed, and held against rules. Pure.
// Errors of the checks: unauthenticated, with a message that completes "the token ..."; it never has a part of the
// token. Thread: any.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "access/keys.h"
#include "base/clock.h"
#include "base/json.h"

namespace krake::access {

inline constexpr std::size_t kMaxToken = 16'384;  // bytes

// A token taken apart; nothing of it is to be believed yet.
struct Jwt {
  std::optional<Algorithm> algorithm;  // none: one that is not used here, "none" and HS256 among them
  std::string key_id;                  // may be empty
  bool has_critical = false;           // extensions that must be understood, and are not
  json::Value claims;
  std::string signed_part;
  std::string signature;

  std::string_view issuer() const { return claims.string_at({"iss"}); }
};
// Nothing when the text has not that form.
std::optional<Jwt> parse_jwt(std::string_view token);

struct JwtRules {
  std::string issuer;
  std::vector<std::string> audiences;  // the token must be for one of them
  std::vector<Algorithm> algorithms;   // those that count, whatever the keys allow
  Duration leeway = std::chrono::seconds(30);
  std::string user_claim = "sub";
  std::string user_prefix;    // put before what the claim says
  bool system_users = false;  // it may name Krake's own users
};

struct TokenUser {
  std::string name;
  Wall expires;  // with the leeway: from then on it is refused
  bool operator==(const TokenUser&) const = default;
};

// Who signed it. not_found: none of the keys has its id, or it names none and none matches; newer ones may.
Status check_signature(const Jwt& token, std::span<const Key> keys, std::span<const Algorithm> algorithms);
// What it says, whoever signed it.
Result<TokenUser> check_claims(const Jwt& token, const JwtRules& rules, Wall now);
// Both: the signature first.
Result<TokenUser> verify(const Jwt& token, std::span<const Key> keys, const JwtRules& rules, Wall now);

// A token with these claims, signed by that key, whose id it names.
Result<std::string> sign_jwt(const Key& key, const json::Object& claims);

// The moment of the claim `exp`; nothing when there is none that is a time.
std::optional<Wall> expiry_of(const Jwt& token);

}  // namespace krake::access
