// What strangers send to say who they are, and what identity services answer.
#include "access/jwt.h"
#include "access/users.h"
#include "base/encoding.h"
#include "fuzz.h"
#include "server/authn/identity_service.h"
#include "server/authn/options.h"

namespace krake::fuzz {

namespace {

// A public key of which nobody has the other half.
access::Keys fixed_keys() {
  return access::parse_jwks(R"({"keys":[{"kty":"EC","crv":"P-256",
      "x":"fRs7C9Z7dktO4cldMB8Tf43e7z7ffoA271xNWkAjd1g","y":"pc48EiNkkNSkk902ch_C4ex_8FqS8kk0ZVYhOyA38ZE"}]})")
      .value_or(access::Keys());
}

void check_key(const access::Key& key) {
  MUST(!key.algorithms().empty());
  for (const auto algorithm : key.algorithms()) {
    MUST(key.fits(algorithm));
    MUST(!key.verify(algorithm, "message", ""));
    MUST(access::parse_algorithm(access::to_string(algorithm)) == algorithm);
  }
}

}  // namespace

void tokens(std::string_view bytes) {
  const auto [token, rest] = split<2>(bytes, '\n');
  const auto keys = access::parse_jwks(rest);
  if (keys) {
    for (const auto& key : *keys) check_key(key);
  }
  const auto from_pem = access::parse_pem_keys(std::string(rest));
  MUST(from_pem ? !from_pem->empty() : !from_pem.error().message.empty());
  const auto jwt = access::parse_jwt(token);
  if (!jwt) return;
  MUST(token.starts_with(jwt->signed_part + "."));
  MUST(jwt->signed_part + "." + base64url_encode(jwt->signature) == token);
  const auto rules = server::own_token_rules();
  const Wall now{std::chrono::seconds(1'780'000'000)};
  const auto fixed = fixed_keys();
  MUST(fixed.size() == 1);
  MUST(!access::verify(*jwt, fixed, rules, now), "somebody got in without a key");
  const auto user = access::check_claims(*jwt, rules, now);
  if (!user) {
    MUST(!user.error().message.empty());
    return;
  }
  MUST(access::usable_user_name(user->name));
  MUST(user->expires > now);
}

void identity(std::string_view bytes) {
  const auto [token, body] = split<2>(bytes, '\n');
  for (const auto kind : {server::ServiceKind::keystone, server::ServiceKind::keycloak}) {
    HttpResponse answer{.status = 200, .headers = {}, .body = std::string(body), .reason = std::string(token)};
    const auto judgement = server::judge(kind, std::string(token), answer);
    if (const auto* accepted = std::get_if<server::Accepted>(&judgement))
      MUST(access::usable_user_name(accepted->user));
    MUST(!std::holds_alternative<server::Refused>(judgement));
    answer.status = 401;
    const auto refused = server::judge(kind, std::string(token), answer);
    MUST(std::holds_alternative<server::Refused>(refused));
    MUST(json::valid_utf8(std::get<server::Refused>(refused).reason));
  }
}

}  // namespace krake::fuzz
