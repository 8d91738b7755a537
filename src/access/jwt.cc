#include "access/jwt.h"

#include <fmt/format.h>

#include <cmath>

#include "access/users.h"
#include "base/encoding.h"

namespace krake::access {

namespace {

constexpr std::size_t kMaxDepth = 16;
// Keys that are tried for a token that names none.
constexpr std::size_t kMaxTries = 4;

std::unexpected<Error> refused(std::string message) { return fail(Code::unauthenticated, std::move(message)); }

// Seconds since 1970, a fraction allowed (RFC 7519 2); nothing when it is no number or beyond the year 9999.
std::optional<Wall> time_of(const json::Value& value) {
  constexpr double kLast = 253'402'300'799;
  const auto* number = value.if_number();
  if (!number) return std::nullopt;
  const double seconds = number->as_double();
  if (!std::isfinite(seconds) || seconds < 0 || seconds > kLast) return std::nullopt;
  return Wall(std::chrono::microseconds(static_cast<std::int64_t>(seconds * 1e6)));
}

std::optional<json::Value> decode_part(std::string_view part) {
  const auto text = base64url_decode(part);
  if (!text || !json::valid_utf8(*text)) return std::nullopt;
  auto value = json::parse(*text, kMaxDepth, json::Numbers::finite);
  if (!value || !value->is_object()) return std::nullopt;
  return std::move(*value);
}

bool is_for(const json::Value* audience, const std::vector<std::string>& wanted) {
  const auto matches = [&](const json::Value& one) {
    return one.if_string() && std::ranges::find(wanted, *one.if_string()) != wanted.end();
  };
  if (!audience) return false;
  if (const auto* several = audience->if_array()) return std::ranges::any_of(*several, matches);
  return matches(*audience);
}

// An optional claim that must not lie ahead.
Status not_ahead(const Jwt& token, std::string_view claim, Wall latest, std::string_view otherwise) {
  const auto* value = token.claims.at_path({claim});
  if (!value) return {};
  const auto when = time_of(*value);
  if (!when) return refused(fmt::format("has a '{}' that is no time", claim));
  if (*when > latest) return refused(std::string(otherwise));
  return {};
}

Result<std::string> user_of(const Jwt& token, const JwtRules& rules) {
  const auto* claim = token.claims.at_path({rules.user_claim});
  if (!claim || !claim->if_string() || claim->if_string()->empty())
    return refused(fmt::format("names no user: it has no text in '{}'", rules.user_claim));
  // Anybody may write somebody else's address into his account.
  const auto* verified = token.claims.at_path({"email_verified"});
  if (rules.user_claim == "email" && verified && !(verified->if_bool() && *verified->if_bool()))
    return refused("names an e-mail address that is not verified");
  std::string name = rules.user_prefix + *claim->if_string();
  if (!usable_user_name(name)) return refused("names a user in a way that cannot be used");
  if (!rules.system_users && name.starts_with(kSystemPrefix))
    return refused(fmt::format("names a user that begins with '{}'; those are Krake's own", kSystemPrefix));
  return name;
}

}  // namespace

std::optional<Jwt> parse_jwt(std::string_view token) {
  if (token.size() > kMaxToken) return std::nullopt;
  const auto first = token.find('.');
  const auto second = first == std::string_view::npos ? first : token.find('.', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  const auto header = decode_part(token.substr(0, first));
  if (!header) return std::nullopt;
  auto claims = decode_part(token.substr(first + 1, second - first - 1));
  auto signature = base64url_decode(token.substr(second + 1));
  if (!claims || !signature) return std::nullopt;
  return Jwt{.algorithm = parse_algorithm(header->string_at({"alg"})),
             .key_id = std::string(header->string_at({"kid"})),
             .has_critical = header->at_path({"crit"}) != nullptr,
             .claims = std::move(*claims),
             .signed_part = std::string(token.substr(0, second)),
             .signature = std::move(*signature)};
}

Status check_signature(const Jwt& token, std::span<const Key> keys, std::span<const Algorithm> algorithms) {
  if (token.has_critical) return refused("needs extensions that are not known here ('crit')");
  if (!token.algorithm || std::ranges::find(algorithms, *token.algorithm) == algorithms.end())
    return refused("is signed by an algorithm that is not allowed");
  bool known = token.key_id.empty() && !keys.empty();
  std::size_t tries = 0;
  for (const auto& key : keys) {
    if (!token.key_id.empty() && key.id() != token.key_id) continue;
    known = true;
    if (!key.fits(*token.algorithm)) continue;
    if (key.verify(*token.algorithm, token.signed_part, token.signature)) return {};
    if (++tries == kMaxTries) break;
  }
  if (!known) return fail(Code::not_found, "is signed by a key that is not known");
  return fail(token.key_id.empty() ? Code::not_found : Code::unauthenticated, "has a signature that does not match");
}

Result<TokenUser> check_claims(const Jwt& token, const JwtRules& rules, Wall now) {
  const auto leeway = std::chrono::duration_cast<std::chrono::microseconds>(rules.leeway);
  if (token.issuer() != rules.issuer) return refused("is of another issuer");
  if (!is_for(token.claims.at_path({"aud"}), rules.audiences)) return refused("is not meant for this API ('aud')");
  const auto expires = expiry_of(token);
  if (!expires) return refused("has no time at which it expires ('exp')");
  if (now >= *expires + leeway) return refused("has expired");
  RETURN_IF_ERROR(not_ahead(token, "nbf", now + leeway, "is not valid yet"));
  RETURN_IF_ERROR(not_ahead(token, "iat", now + leeway, "was issued in the future; compare the clocks"));
  ASSIGN_OR_RETURN(auto user, user_of(token, rules));
  return TokenUser{.name = std::move(user), .expires = *expires + leeway};
}

Result<TokenUser> verify(const Jwt& token, std::span<const Key> keys, const JwtRules& rules, Wall now) {
  RETURN_IF_ERROR(check_signature(token, keys, rules.algorithms));
  return check_claims(token, rules, now);
}

Result<std::string> sign_jwt(const Key& key, const json::Object& claims) {
  const json::Object header{{"alg", to_string(key.algorithms().front())}, {"typ", "JWT"}, {"kid", key.id()}};
  std::string token = base64url_encode(json::print(header)) + "." + base64url_encode(json::print(claims));
  ASSIGN_OR_RETURN(const auto signature, key.sign(token));
  return token + "." + base64url_encode(signature);
}

std::optional<Wall> expiry_of(const Jwt& token) {
  const auto* claim = token.claims.at_path({"exp"});
  return claim ? time_of(*claim) : std::nullopt;
}

}  // namespace krake::access
