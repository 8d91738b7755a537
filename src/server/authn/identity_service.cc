#include "server/authn/identity_service.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "access/jwt.h"
#include "access/users.h"
#include "base/datetime.h"
#include "base/encoding.h"
#include "base/json.h"

namespace krake::server {

namespace {

constexpr std::size_t kMaxReason = 64;

// It goes on to our clients: nothing but text.
std::string clean_reason(const HttpResponse& answer) {
  const bool usable = !answer.reason.empty() && answer.reason.size() <= kMaxReason &&
                      std::ranges::all_of(answer.reason, [](char c) { return c >= ' ' && c <= '~'; });
  return usable ? answer.reason : std::string(status_phrase(answer.status));
}

// Statuses by which a service, or what stands before it, says that it cannot look at the token now.
bool cannot_judge(int status) {
  constexpr std::array kStatuses{429, 502, 503, 504};
  return std::ranges::find(kStatuses, status) != kStatuses.end();
}

Judgement read_user(ServiceKind kind, const std::string& token, const std::string& body) {
  const auto document = json::parse(body);
  if (!document) return Unusable{.why = "its answer is not JSON"};  // of what stands before it
  const bool keystone = kind == ServiceKind::keystone;
  const auto user =
      keystone ? document->string_at({"token", "user", "name"}) : document->string_at({"preferred_username"});
  if (!access::usable_user_name(user)) {
    return Unusable{.why = fmt::format("its answer has no usable user name in '{}'",
                                       keystone ? "token.user.name" : "preferred_username"),
                    .unexpected = true};
  }
  Accepted accepted{.user = std::string(user), .expires = std::nullopt};
  if (keystone) {
    const auto expires = parse_datetime(document->string_at({"token", "expires_at"}));
    if (expires) accepted.expires = expires->wall();
  } else if (const auto jwt = access::parse_jwt(token)) {
    accepted.expires = access::expiry_of(*jwt);
  }
  return accepted;
}

}  // namespace

std::string_view to_string(ServiceKind kind) { return kind == ServiceKind::keystone ? "Keystone" : "Keycloak"; }

HttpRequest question(ServiceKind kind, std::string_view realm, const std::string& token) {
  if (kind == ServiceKind::keystone) {
    return {.method = "GET",
            .target = "/auth/tokens",
            .headers = {{"X-Auth-Token", token}, {"X-Subject-Token", token}, {"Accept", "application/json"}},
            .body = {}};
  }
  return {.method = "POST",
          .target = fmt::format("/auth/realms/{}/protocol/openid-connect/userinfo", percent_encode(realm)),
          .headers = {{"Content-Type", "application/x-www-form-urlencoded"}, {"Accept", "application/json"}},
          .body = "access_token=" + percent_encode(token),
          .repeatable = true};
}

Judgement judge(ServiceKind kind, const std::string& token, const HttpResponse& answer) {
  if (answer.status == 200) return read_user(kind, token, answer.body);
  if (answer.status >= 300 && answer.status < 400) {
    return Unusable{.why = fmt::format("it answers HTTP {}: redirects are not followed, so that no token goes "
                                       "elsewhere; configure the address it leads to",
                                       answer.status)};
  }
  if (cannot_judge(answer.status)) return Unusable{.why = fmt::format("it answers HTTP {}", answer.status)};
  return Refused{.status = answer.status, .reason = clean_reason(answer)};
}

Problem invalid_token(ServiceKind kind, const Refused& refused) {
  const bool keystone = kind == ServiceKind::keystone;
  return {.status = 401,
          .detail = fmt::format("Invalid {} token (HTTP {} {})", to_string(kind), refused.status, refused.reason),
          .title = keystone ? Title::invalid_keystone_token : Title::invalid_keycloak_token};
}

}  // namespace krake::server
