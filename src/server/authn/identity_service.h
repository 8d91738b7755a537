// The identity services upstream knows: what one is asked about a token, and what its answer says. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/clock.h"
#include "net/http.h"
#include "server/problem.h"

namespace krake::server {

enum class ServiceKind { keystone, keycloak };
std::string_view to_string(ServiceKind kind);  // "Keystone"

// The request whose answer tells whose `token` is. `realm` is Keycloak's.
HttpRequest question(ServiceKind kind, std::string_view realm, const std::string& token);

struct Accepted {
  std::string user;
  std::optional<Wall> expires;  // the token, as far as one knows
  bool operator==(const Accepted&) const = default;
};
struct Refused {
  int status = 0;
  std::string reason;
  bool operator==(const Refused&) const = default;
};
// It says nothing about the token: the service is not well, or is not what it is taken for.
struct Unusable {
  std::string why;
  bool unexpected =
      false;  // it looked at the token, but what it says of it is not understood; later it would say the same
  bool operator==(const Unusable&) const = default;
};
using Judgement = std::variant<Accepted, Refused, Unusable>;
Judgement judge(ServiceKind kind, const std::string& token, const HttpResponse& answer);

// 401, as upstream words it.
Problem invalid_token(ServiceKind kind, const Refused& refused);

}  // namespace krake::server
