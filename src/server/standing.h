// Whether who has opened what lasts - a watch, a backup - may go on having it. Thread: the loop.
#pragma once

#include <optional>
#include <string>

#include "base/clock.h"
#include "server/auth.h"
#include "server/authn/authenticator.h"

namespace krake::server {

struct Standing {
  std::string user;
  Route route;
  std::optional<Wall> until;                // when what he showed expires
  std::optional<std::uint64_t> generation;  // see access::Identity
  std::uint64_t authorized = 0;             // the version of the roles that allowed it

  // Roles that are others now are asked again.
  Status check(const Clock& clock, const Authenticator& authenticator, const Authorizer& authorizer) {
    if (until && clock.wall() >= *until)
      return fail(Code::unauthenticated, "what this was opened with has expired; ask again with a newer one");
    if (generation && *generation != authenticator.generation())
      return fail(Code::unauthenticated, "the server's tokens or keys are others now; ask again");
    if (authorized == authorizer.version()) return {};
    RETURN_IF_ERROR(authorizer.allowed(user, route));
    authorized = authorizer.version();
    return {};
  }
};

}  // namespace krake::server
