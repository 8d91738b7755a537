#include "server/auth.h"

#include "api/core/role.h"

namespace krake::server {

namespace {

access::Verb verb_of(Verb verb) {
  switch (verb) {
    case Verb::create:
      return access::Verb::create;
    case Verb::list:
      return access::Verb::list;
    case Verb::list_all:
      return access::Verb::list_all;
    case Verb::get:
      return access::Verb::get;
    case Verb::update:
      return access::Verb::update;
    case Verb::delete_:
      return access::Verb::delete_;
  }
  return access::Verb::get;
}

template <class T>
std::optional<T> decode_cached(const CachedObject& object) {
  auto value = decode_json<T>(stored_document(object), Form::stored);
  if (!value) return std::nullopt;
  return std::move(*value);
}

// What upstream's role sets do not grant because it did not exist: to each controller its own lease, and reading what
// it watches.
bool implicit_right(const std::string& user, const Route& route) {
  constexpr std::string_view prefix = "system:";
  constexpr std::string_view controllers[] = {"scheduler", "gc", "kubernetes-application", "kubernetes-cluster"};
  if (!user.starts_with(prefix)) return false;
  const std::string_view controller = std::string_view(user).substr(prefix.size());
  if (std::ranges::find(controllers, controller) == std::end(controllers)) return false;
  const bool reads = route.verb() == "get" || route.verb() == "list";
  if (route.kind->leased) return reads || route.name == controller;
  return reads && (route.kind->group == "kubernetes" || route.kind->group == "core") && route.kind->plural != "roles" &&
         route.kind->plural != "rolebindings";
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
    if (!role) return index_.remove_role(name);
    std::vector<access::Rule> rules;
    for (const auto& rule : role->rules) {
      access::Rule& compiled = rules.emplace_back();
      compiled.api = rule.api;
      compiled.resources = rule.resources;
      compiled.namespaces = rule.namespaces;
      for (const auto verb : rule.verbs) compiled.verbs.push_back(verb_of(verb));
    }
    index_.upsert_role(name, rules);
  } else {
    const auto binding = object ? decode_cached<RoleBinding>(*object) : std::nullopt;
    if (!binding) return index_.remove_binding(name);
    index_.upsert_binding(name, binding->users, binding->roles);
  }
}

Status Authorizer::allowed(const std::string& user, const Route& route) const {
  // It has every secret: nobody gets it without a name, whatever the mode.
  if (route.operation == Operation::backup && user == kAnonymous) return fail(Code::unauthenticated, "Unauthorized");
  switch (options_.mode) {
    case access::Authorization::always_allow:
      return {};
    case access::Authorization::always_deny:
      return fail(Code::forbidden, "Forbidden");
    case access::Authorization::rbac:
      break;
  }
  if (user == kAnonymous) return fail(Code::unauthenticated, "Unauthorized");
  if (options_.implicit_controller_rights && route.kind && implicit_right(user, route)) return {};
  const auto verb = access::parse_verb(route.verb());
  const std::string resource = route.resource();
  access::Request request{.api = route.group(), .resource = resource, .verb = verb.value_or(access::Verb::get)};
  if (!route.ns.empty()) request.ns = route.ns;
  if (verb && index_.allowed(user, request)) return {};
  // Upstream grants some sub-resources under another's name; its own does as well (W40).
  if (verb && route.subresource) {
    const std::string own = fmt::format("{}/{}", route.kind->plural, route.subresource->name);
    request.resource = own;
    if (own != resource && index_.allowed(user, request)) return {};
  }
  return fail(Code::forbidden, "Forbidden");
}

access::NamespaceScope Authorizer::scope(const std::string& user, const Route& route) const {
  // Namespaces limit nothing where there are none (api-contract 7.5).
  if (options_.mode != access::Authorization::rbac || !route.kind->namespaced) return {.all = true, .names = {}};
  if (options_.implicit_controller_rights && implicit_right(user, route)) return {.all = true, .names = {}};
  const std::string resource = route.resource();
  const auto verb = access::parse_verb(route.verb());
  return index_.namespaces(
      user, {.api = route.kind->group, .resource = resource, .verb = verb.value_or(access::Verb::list), .ns = {}});
}

}  // namespace krake::server
