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
#include "server/grants.h"
#include "server/right.h"
#include "server/route.h"

namespace krake::server {

struct AuthOptions {
  bool allow_anonymous = false;
  std::optional<std::string> static_user;  // everybody is this user; certificates are then never looked at
  bool client_certificates = false;
  // Additive: known tokens, token -> user.
  std::vector<std::pair<std::string, std::string>> tokens;
  // A token nobody knows is refused also while there are no `tokens`, keys or services: their file may be empty.
  bool takes_tokens = false;
  IdentityOptions identity;
  access::Authorization mode = access::Authorization::rbac;
  // Additive: Krake's own controllers (system:*) may keep leases and read what they watch, whatever the stored roles
  // say: roles written by upstream do not know leases.
  bool implicit_controller_rights = true;
  AccessSwitches access;
};

// Rules from the Role and RoleBinding objects in the cache, kept up to date by its events.
class Authorizer {
 public:
  Authorizer(AuthOptions options, Cache& cache);
  // True when rules decide, so that the cache must be fresh before allowed() is asked.
  bool needs_fresh_roles() const { return options_.mode == access::Authorization::rbac; }
  // Code::forbidden, or Code::unauthenticated for the anonymous user under RBAC.
  Status allowed(const std::string& user, const Route& route) const;
  Status allowed(const std::string& user, const Right& right) const;
  // Of a list or watch over all namespaces: those whose objects the user may see (W20).
  access::NamespaceScope scope(const std::string& user, const Route& route) const;
  // With their secrets or without (W11).
  Sight sight(const std::string& user, const Kind& kind) const;
  // Whether the roles have a say in what a list or watch shows of what it is about.
  bool shows_by_roles(const std::string& user, const Route& route) const;
  bool may_force(const std::string& user, const Route& route) const;
  // Where force needs a right: for what an update of `stored` takes of its finalizers, since without them it goes as by
  // force. Code::forbidden.
  Status may_finalize(const std::string& user, const Route& route, const ObjectMeta& stored,
                      const ObjectMeta& wanted) const;
  // Under strict roles, for what he is about to store; `stored` is null for a new object. Code::forbidden.
  Status may_grant(const std::string& user, const Object* stored, const Object& wanted) const;
  // Of those a binding names; none for other kinds.
  std::vector<std::string> missing_roles(const Object& object) const { return server::missing_roles(index_, object); }
  // Grows whenever an earlier answer may have become wrong.
  std::uint64_t version() const { return version_; }
  std::vector<std::string> roles_of(const std::string& user) const { return index_.roles_of(user); }
  // Of those that give him something, as they are written.
  std::vector<access::Rule> rules_of(const std::string& user) const { return index_.rules_of(user); }
  bool has_role(std::string_view name) const { return index_.has_role(name); }
  const AuthOptions& options() const { return options_; }

 private:
  void changed(const Kind& kind, const std::string& name, const CachedPtr& object);
  access::NamespaceScope namespaces(const std::string& user, const Right& right) const;
  bool by_rules(const std::string& user, const Right& right) const;
  AuthOptions options_;
  access::RbacIndex index_;
  std::uint64_t version_ = 0;
};

}  // namespace krake::server
