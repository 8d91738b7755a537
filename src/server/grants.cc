#include "server/grants.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "api/kubernetes/application.h"

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
const T* as(const Object* object) {
  return object && object->kind().group == T::kApi && object->kind().name == T::kKindName ? &object->as<T>() : nullptr;
}

Status check_rules(const access::RbacIndex& index, std::string_view user, std::string_view role,
                   std::vector<access::Rule> rules) {
  for (auto& rule : rules) {
    std::erase(rule.verbs, access::Verb::list_all);  // no request ever needs it
    if (index.holds(user, rule)) continue;
    std::vector<std::string_view> verbs;
    for (const auto verb : rule.verbs) verbs.push_back(access::to_string(verb));
    return fail(Code::forbidden,
                fmt::format("role '{}' would give more than '{}' has: api {:?}, resources {}, namespaces {}, verbs {}; "
                            "ask somebody who has all of that",
                            role, user, rule.api, rule.resources, rule.namespaces, verbs));
  }
  return {};
}

// Which of Krake's controllers takes a finalizer away: it is the user system:NAME, or has the role role:system:NAME.
constexpr std::pair<std::string_view, std::string_view> kFinalizers[] = {
    {kCascadeDeletion, "system:gc"},
    {kKubernetesResourcesDeletion, "system:kubernetes-application"},
    {"infrastructure_resources_deletion", "system:infrastructure"},
    {"magnum_cluster_deletion", "system:magnum"},
};

bool owns(std::string_view user, const std::vector<std::string>& roles, std::string_view finalizer) {
  for (const auto& [name, controller] : kFinalizers) {
    if (name != finalizer) continue;
    return user == controller || std::ranges::find(roles, fmt::format("role:{}", controller)) != roles.end();
  }
  return finalizer.starts_with(user) && (finalizer.size() == user.size() || finalizer[user.size()] == '/');
}

bool all_in(const std::vector<std::string>& some, const std::vector<std::string>& of) {
  return std::ranges::all_of(some, [&](const auto& name) { return std::ranges::find(of, name) != of.end(); });
}

}  // namespace

std::vector<access::Rule> rules_of(const Role& role) {
  std::vector<access::Rule> rules;
  for (const auto& rule : role.rules) {
    auto& out = rules.emplace_back();
    out.api = rule.api;
    out.resources = rule.resources;
    out.namespaces = rule.namespaces;
    for (const auto verb : rule.verbs) out.verbs.push_back(verb_of(verb));
  }
  return rules;
}

Status check_grant(const access::RbacIndex& index, std::string_view user, const Object* stored, const Object& wanted) {
  if (const auto* role = as<Role>(&wanted)) {
    const auto* before = as<Role>(stored);
    if (before && before->rules == role->rules) return {};
    return check_rules(index, user, role->metadata.name, rules_of(*role));
  }
  const auto* binding = as<RoleBinding>(&wanted);
  if (!binding) return {};
  const auto* before = as<RoleBinding>(stored);
  if (before && all_in(binding->users, before->users) && all_in(binding->roles, before->roles)) return {};
  for (const auto& name : binding->roles) {
    if (!index.has_role(name)) {
      return fail(Code::forbidden,
                  fmt::format("role '{}' does not exist, and a binding must not wait for one; create it first", name));
    }
    RETURN_IF_ERROR(check_rules(index, user, name, index.rules_of_role(name)));
  }
  return {};
}

std::vector<std::string> foreign_finalizers(std::string_view user, const std::vector<std::string>& roles,
                                            const ObjectMeta& stored, const ObjectMeta& wanted) {
  std::vector<std::string> foreign;
  for (const auto& finalizer : stored.finalizers) {
    if (std::ranges::find(wanted.finalizers, finalizer) != wanted.finalizers.end()) continue;
    if (finalizer == kCascadeDeletion && !stored.deleted) continue;
    if (!owns(user, roles, finalizer)) foreign.push_back(finalizer);
  }
  return foreign;
}

std::vector<std::string> missing_roles(const access::RbacIndex& index, const Object& object) {
  std::vector<std::string> missing;
  if (const auto* binding = as<RoleBinding>(&object)) {
    std::ranges::copy_if(binding->roles, std::back_inserter(missing),
                         [&](const auto& name) { return !index.has_role(name); });
  }
  return missing;
}

}  // namespace krake::server
