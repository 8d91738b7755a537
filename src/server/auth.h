// Who may ask for what (authorisation; api-contract 7.4 to 7.6), and the options of both it and authn/, which finds out
// who asks.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "access/rbac.h"
#include "net/http.h"
#include "server/authn/options.h"
#include "server/cache.h"
#include "server/route.h"

namespace krake::server {

struct AuthOptions {
  bool allow_anonymous = false;
  std::optional<std::string> static_user;  // everybody is this user; certificates are then never looked at
  bool client_certificates = false;
  // Additive: known tokens, token -> user.
  std::vector<std::pair<std::string, std::string>> tokens;
  IdentityOptions identity;
  access::Authorization mode = access::Authorization::rbac;
  // Additive: Krake's own controllers (system:*) may keep leases and read what they watch, whatever the stored roles
  // say: roles written by upstream do not know leases.
  bool implicit_controller_rights = true;
};

// Rules from the Role and RoleBinding objects in the cache, kept up to date by its events.
class Authorizer {
 public:
  Authorizer(AuthOptions options, Cache& cache);
  // True when rules decide, so that the cache must be fresh before allowed() is asked.
  bool needs_fresh_roles() const { return options_.mode == access::Authorization::rbac; }
  // Code::forbidden, or Code::unauthenticated for the anonymous user under RBAC.
  Status allowed(const std::string& user, const Route& route) const;
  // Of a list or watch over all namespaces: those whose objects the user may see (W20).
  access::NamespaceScope scope(const std::string& user, const Route& route) const;
  // Grows whenever an earlier answer may have become wrong.
  std::uint64_t version() const { return version_; }
  std::vector<std::string> roles_of(const std::string& user) const { return index_.roles_of(user); }
  const AuthOptions& options() const { return options_; }

 private:
  void changed(const Kind& kind, const std::string& name, const CachedPtr& object);
  AuthOptions options_;
  access::RbacIndex index_;
  std::uint64_t version_ = 0;
};

}  // namespace krake::server
