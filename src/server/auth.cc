#include "server/auth.h"

#include "api/core/role.h"

namespace krake::server {

namespace {

constexpr std::size_t kLongestName = 100;  // of a finalizer, which is any text, in a message

template <class T>
std::optional<T> decode_cached(const CachedObject& object) {
  auto value = decode_json<T>(stored_document(object), Form::stored);
  if (!value) return std::nullopt;
  return std::move(*value);
}

// What upstream's role sets do not grant because it did not exist: to each controller its own lease, and seeing all
// leases.
constexpr std::string_view kControllers[] = {"scheduler",          "gc",     "kubernetes-application",
                                             "kubernetes-cluster", "magnum", "infrastructure"};
// And what ours watch and upstream's do not, or may not under its role sets. Upstream's other controllers have roles
// that suffice. The garbage collector reads of every kind but who may what, and has no use for secrets.
constexpr std::pair<std::string_view, std::string_view> kReads[] = {
    {"scheduler", "applications"},
    {"scheduler", "clusters"},
    {"scheduler", "metrics"},
    {"scheduler", "globalmetrics"},
    {"scheduler", "metricsproviders"},
    {"scheduler", "metricsproviders/secrets"},
    {"scheduler", "globalmetricsproviders"},
    {"scheduler", "globalmetricsproviders/secrets"},
    {"kubernetes-application", "applications"},
    {"kubernetes-application", "applications/secrets"},
    {"kubernetes-application", "clusters"},
    {"kubernetes-application", "clusters/secrets"},
    {"kubernetes-cluster", "clusters"},
    {"kubernetes-cluster", "clusters/secrets"},
};

bool implicit_right(const std::string& user, const Right& right) {
  constexpr std::string_view prefix = "system:";
  if (!right.kind || !user.starts_with(prefix)) return false;
  const std::string_view controller = std::string_view(user).substr(prefix.size());
  if (std::ranges::find(kControllers, controller) == std::end(kControllers)) return false;
  const bool reads = right.verb == access::Verb::get || right.verb == access::Verb::list;
  if (right.kind->leased) return reads || right.name == controller;
  if (!reads) return false;
  if (controller == "gc")
    return right.resource == right.kind->plural && right.resource != "roles" && right.resource != "rolebindings";
  return std::ranges::any_of(
      kReads, [&](const auto& known) { return known.first == controller && known.second == right.resource; });
}

Right right_to_secrets(const Kind& kind) {
  return {.kind = &kind,
          .api = kind.group,
          .resource = fmt::format("{}/secrets", kind.plural),
          .verb = access::Verb::get,
          .ns = {},
          .name = {}};
}

}  // namespace

Authorizer::Authorizer(AuthOptions options, Cache& cache) : options_(std::move(options)) {
  cache.on_change(
      [this](const Kind& kind, const std::string& name, const CachedPtr& object) { changed(kind, name, object); });
}

void Authorizer::changed(const Kind& kind, const std::string& name, const CachedPtr& object) {
  if (kind.group != Role::kApi) return;
  if (kind.name != Role::kKindName && kind.name != RoleBinding::kKindName) return;
  ++version_;
  if (kind.name == Role::kKindName) {
    const auto role = object ? decode_cached<Role>(*object) : std::nullopt;
    if (!role || (options_.access.strict_roles && role->metadata.deleted)) return index_.remove_role(name);
    index_.upsert_role(name, server::rules_of(*role));
  } else {
    const auto binding = object ? decode_cached<RoleBinding>(*object) : std::nullopt;
    if (!binding || (options_.access.strict_roles && binding->metadata.deleted)) return index_.remove_binding(name);
    index_.upsert_binding(name, binding->users, binding->roles);
  }
}

Right right_of(const Route& route) {
  return {.kind = route.kind,
          .api = route.group(),
          .resource = route.resource(),
          .verb = access::parse_verb(route.verb()).value_or(access::Verb::get),
          .ns = route.ns,
          .name = route.name};
}

Right right_on_part(const Route& route, std::string_view part, access::Verb verb) {
  Right right = right_of(route);
  right.resource = fmt::format("{}/{}", route.kind->plural, part);
  right.verb = verb;
  return right;
}

Status Authorizer::allowed(const std::string& user, const Route& route) const {
  Right right = right_of(route);
  auto answer = allowed(user, right);
  if (answer || !route.subresource || options_.mode != access::Authorization::rbac) return answer;
  // Upstream grants some sub-resources under another's name; its own does as well (W40).
  right.resource = fmt::format("{}/{}", route.kind->plural, route.subresource->name);
  return allowed(user, right);
}

Status Authorizer::allowed(const std::string& user, const Right& right) const {
  // A backup has every secret: nobody gets it without a name, whatever the mode.
  if (!right.kind && user == kAnonymous) return fail(Code::unauthenticated, "Unauthorized");
  switch (options_.mode) {
    case access::Authorization::always_allow:
      return {};
    case access::Authorization::always_deny:
      return fail(Code::forbidden, "Forbidden");
    case access::Authorization::rbac:
      break;
  }
  if (user == kAnonymous) return fail(Code::unauthenticated, "Unauthorized");
  if (options_.implicit_controller_rights && implicit_right(user, right)) return {};
  access::Request request{.api = right.api, .resource = right.resource, .verb = right.verb, .ns = {}};
  if (!right.ns.empty()) request.ns = right.ns;
  // What is about no kind is about all namespaces: a right in some of them is none.
  if (!right.kind && !index_.namespaces(user, request).all) return fail(Code::forbidden, "Forbidden");
  if (index_.allowed(user, request)) return {};
  return fail(Code::forbidden, "Forbidden");
}

bool Authorizer::by_rules(const std::string& user, const Right& right) const {
  return options_.mode == access::Authorization::rbac &&
         !(options_.implicit_controller_rights && implicit_right(user, right));
}

access::NamespaceScope Authorizer::namespaces(const std::string& user, const Right& right) const {
  const bool all = allowed(user, right).has_value();
  // Namespaces limit nothing where there are none (api-contract 7.5).
  if (!by_rules(user, right) || !right.kind->namespaced) return {.all = all, .names = {}};
  return index_.namespaces(user, {.api = right.api, .resource = right.resource, .verb = right.verb, .ns = {}});
}

access::NamespaceScope Authorizer::scope(const std::string& user, const Route& route) const {
  if (!options_.access.filter_namespaces || !route.kind->namespaced) return {.all = true, .names = {}};
  return namespaces(user, right_of(route));
}

Sight Authorizer::sight(const std::string& user, const Kind& kind) const {
  Sight sight{.kind = &kind};
  if (!options_.access.redact_secrets || !kind.mask) return sight;
  sight.secrets = namespaces(user, right_to_secrets(kind));
  return sight;
}

bool Authorizer::shows_by_roles(const std::string& user, const Route& route) const {
  const bool filtered = options_.access.filter_namespaces && route.kind->namespaced && route.ns.empty();
  const bool masked = options_.access.redact_secrets && route.kind->mask;
  return (filtered && by_rules(user, right_of(route))) || (masked && by_rules(user, right_to_secrets(*route.kind)));
}

bool Authorizer::may_force(const std::string& user, const Route& route) const {
  return !options_.access.force_needs_right ||
         allowed(user, right_on_part(route, "force", access::Verb::delete_)).has_value();
}

Status Authorizer::may_finalize(const std::string& user, const Route& route, const ObjectMeta& stored,
                                const ObjectMeta& wanted) const {
  if (stored.finalizers == wanted.finalizers || may_force(user, route)) return {};
  const auto foreign = foreign_finalizers(user, roles_of(user), stored, wanted);
  if (foreign.empty()) return {};
  return fail(Code::forbidden,
              fmt::format("finalizer '{}' is taken away by its controller when that has cleaned up; leave it there. To "
                          "take it away in its place one needs the right to delete {}/force",
                          std::string_view(foreign.front()).substr(0, kLongestName), route.kind->plural));
}

Status Authorizer::may_grant(const std::string& user, const Object* stored, const Object& wanted) const {
  if (!options_.access.strict_roles || options_.mode != access::Authorization::rbac) return {};
  return check_grant(index_, user, stored, wanted);
}

}  // namespace krake::server
