#include "server/grants.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

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

// A rule or a name looked at is one; for one request. Some tens of milliseconds.
constexpr std::size_t kMostSteps = 1'000'000;

Status judge(access::Held held, std::string_view user, std::string_view role, const access::Rule& surplus) {
  if (held == access::Held::yes) return {};
  if (held == access::Held::unknown) {
    return fail(Code::forbidden,
                fmt::format("role '{}' is too large to be compared with what '{}' has; write it as smaller roles, one "
                            "after the other, or ask somebody whose rules have wildcards",
                            role, user));
  }
  std::vector<std::string_view> verbs;
  for (const auto verb : surplus.verbs) {
    if (verb != access::Verb::list_all) verbs.push_back(access::to_string(verb));
  }
  return fail(Code::forbidden,
              fmt::format("role '{}' would give more than '{}' has: api {:?}, resources {}, namespaces {}, verbs {}; "
                          "ask somebody who has all of that",
                          role, user, surplus.api, surplus.resources, surplus.namespaces, verbs));
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
  const std::set<std::string_view> known(of.begin(), of.end());
  return std::ranges::all_of(some, [&](const auto& name) { return known.contains(name); });
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
  std::size_t steps = kMostSteps;
  if (const auto* role = as<Role>(&wanted)) {
    const auto* before = as<Role>(stored);
    if (before && before->rules == role->rules) return {};
    for (const auto& rule : rules_of(*role))
      RETURN_IF_ERROR(judge(index.holds(user, rule, steps), user, role->metadata.name, rule));
    return {};
  }
  const auto* binding = as<RoleBinding>(&wanted);
  if (!binding) return {};
  const auto* before = as<RoleBinding>(stored);
  if (before && all_in(binding->users, before->users) && all_in(binding->roles, before->roles)) return {};
  for (const auto& name : std::set<std::string_view>(binding->roles.begin(), binding->roles.end())) {
    if (!index.has_role(name)) {
      return fail(Code::forbidden,
                  fmt::format("role '{}' does not exist, and a binding must not wait for one; create it first", name));
    }
    access::Rule surplus;
    const auto held = index.holds_role(user, name, steps, surplus);
    RETURN_IF_ERROR(judge(held, user, name, surplus));
  }
  return {};
}

std::vector<std::string> foreign_finalizers(std::string_view user, const std::vector<std::string>& roles,
                                            const ObjectMeta& stored, const ObjectMeta& wanted) {
  std::set<std::string_view> kept_or_seen(wanted.finalizers.begin(), wanted.finalizers.end());
  std::vector<std::string> foreign;
  for (const auto& finalizer : stored.finalizers) {
    if (!kept_or_seen.insert(finalizer).second) continue;
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
