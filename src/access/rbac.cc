#include "access/rbac.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/container_hash/hash.hpp>
#include <memory>
#include <set>
#include <utility>

namespace krake::access {

namespace {

constexpr std::array<std::pair<Authorization, std::string_view>, 3> kModes{{
    {Authorization::always_allow, "always-allow"},
    {Authorization::always_deny, "always-deny"},
    {Authorization::rbac, "RBAC"},
}};
constexpr std::array<std::pair<Verb, std::string_view>, 6> kVerbs{{
    {Verb::create, "create"},
    {Verb::list, "list"},
    {Verb::list_all, "list_all"},
    {Verb::get, "get"},
    {Verb::update, "update"},
    {Verb::delete_, "delete"},
}};

constexpr std::uint8_t bit(Verb verb) { return static_cast<std::uint8_t>(1U << static_cast<unsigned>(verb)); }
constexpr unsigned kNeeded = ~unsigned{bit(Verb::list_all)};  // no request ever needs list_all

void sort_unique(std::vector<std::string>& names) {
  std::ranges::sort(names);
  names.erase(std::ranges::unique(names).begin(), names.end());
}

}  // namespace

Result<Authorization> parse_authorization(std::string_view text) {
  for (const auto& [mode, name] : kModes) {
    if (name == text) return mode;
  }
  return fail(Code::invalid_argument, fmt::format("Unknown authorization strategy '{}'", text));
}

std::string_view to_string(Authorization mode) { return kModes[static_cast<std::size_t>(mode)].second; }

std::optional<Verb> parse_verb(std::string_view text) {
  for (const auto& [verb, name] : kVerbs) {
    if (name == text) return verb;
  }
  return std::nullopt;
}

std::string_view to_string(Verb verb) { return kVerbs[static_cast<std::size_t>(verb)].second; }

std::optional<Verb> verb_of(std::string_view method, bool object) {
  if (method == "GET") return object ? Verb::get : Verb::list;
  if (method == "POST" && !object) return Verb::create;
  if (method == "PUT" && object) return Verb::update;
  if (method == "DELETE" && object) return Verb::delete_;
  return std::nullopt;
}

// Nobody outside knows where the heap is, and so not which texts collide.
std::size_t RbacIndex::Hash::operator()(std::string_view text) const {
  static const auto anywhere = std::make_unique<char>();
  auto hash = reinterpret_cast<std::size_t>(anywhere.get());
  boost::hash_range(hash, text.begin(), text.end());
  return hash;
}

bool NamespaceScope::contains(std::string_view ns) const {
  return all || std::binary_search(names.begin(), names.end(), ns);
}

RbacIndex::Id RbacIndex::Strings::acquire(std::string_view text) {
  if (text.empty()) return kAny;
  const auto known = ids_.find(text);
  if (known != ids_.end()) {
    ++slots_[known->second].uses;
    return known->second;
  }
  Id id = static_cast<Id>(slots_.size());
  if (free_.empty()) {
    slots_.emplace_back();
  } else {
    id = free_.back();
    free_.pop_back();
  }
  const auto it = ids_.emplace(text, id).first;
  slots_[id] = {&it->first, 1};
  return id;
}

void RbacIndex::Strings::release(Id id) {
  if (id == kAny || --slots_[id].uses != 0) return;
  ids_.erase(ids_.find(*slots_[id].text));
  slots_[id] = {};
  free_.push_back(id);
}

RbacIndex::Id RbacIndex::Strings::find(std::string_view text) const {
  const auto it = ids_.find(text);
  return it == ids_.end() ? kNone : it->second;
}

RbacIndex::Id RbacIndex::role_slot(std::string_view name) {
  if (const auto it = role_ids_.find(name); it != role_ids_.end()) return it->second;
  Id id = static_cast<Id>(roles_.size());
  if (free_roles_.empty()) {
    roles_.emplace_back();
    role_names_.emplace_back();
  } else {
    id = free_roles_.back();
    free_roles_.pop_back();
  }
  role_names_[id] = &role_ids_.emplace(name, id).first->first;
  return id;
}

void RbacIndex::release_role(Id id) {
  if (roles_[id].exists || roles_[id].uses != 0) return;
  role_ids_.erase(role_ids_.find(*role_names_[id]));
  roles_[id] = {};
  role_names_[id] = nullptr;
  free_roles_.push_back(id);
}

std::vector<RbacIndex::Id> RbacIndex::compile(std::span<const std::string> texts, bool& any) {
  std::vector<Id> ids;
  any = std::ranges::any_of(texts, [](const std::string& text) { return text.empty(); });
  if (any) return ids;
  for (const std::string& text : texts) ids.push_back(strings_.acquire(text));
  std::ranges::sort(ids);
  return ids;  // a repeated text keeps its repeated id, so that drop_rules releases as often as was acquired
}

void RbacIndex::drop_rules(Role& role) {
  for (const CompiledRule& rule : role.rules) {
    strings_.release(rule.api);
    for (const Id id : rule.resources) strings_.release(id);
    for (const Id id : rule.namespaces) strings_.release(id);
  }
  role.rules.clear();
}

void RbacIndex::upsert_role(std::string_view name, std::span<const Rule> rules) {
  const Id id = role_slot(name);
  std::vector<CompiledRule> compiled;
  compiled.reserve(rules.size());
  for (const Rule& rule : rules) {
    CompiledRule& out = compiled.emplace_back();
    out.api = strings_.acquire(rule.api);
    out.resources = compile(rule.resources, out.any_resource);
    out.namespaces = compile(rule.namespaces, out.any_namespace);
    for (const Verb verb : rule.verbs) out.verbs |= bit(verb);
  }
  Role& role = roles_[id];
  drop_rules(role);
  role.rules = std::move(compiled);
  if (!std::exchange(role.exists, true)) ++role_rules_;
}

void RbacIndex::remove_role(std::string_view name) {
  const auto it = role_ids_.find(name);
  if (it == role_ids_.end() || !roles_[it->second].exists) return;
  const Id id = it->second;
  drop_rules(roles_[id]);
  roles_[id].exists = false;
  --role_rules_;
  release_role(id);
}

void RbacIndex::upsert_binding(std::string_view name, std::span<const std::string> users,
                               std::span<const std::string> roles) {
  // The new roles are taken before the old ones go, so that a role in both keeps its slot.
  Binding binding{.users = {users.begin(), users.end()}, .roles = {}};
  sort_unique(binding.users);
  for (const std::string& role : roles) binding.roles.push_back(role_slot(role));
  std::ranges::sort(binding.roles);
  const auto repeated = std::ranges::unique(binding.roles);
  binding.roles.erase(repeated.begin(), repeated.end());
  for (const Id role : binding.roles) ++roles_[role].uses;
  remove_binding(name);
  const Binding& kept = bindings_.emplace(name, std::move(binding)).first->second;
  for (const std::string& user : kept.users) users_[user].push_back(&kept);
}

void RbacIndex::remove_binding(std::string_view name) {
  const auto it = bindings_.find(name);
  if (it == bindings_.end()) return;
  for (const std::string& user : it->second.users) {
    const auto entry = users_.find(user);
    std::erase(entry->second, &it->second);
    if (entry->second.empty()) users_.erase(entry);
  }
  for (const Id role : it->second.roles) {
    --roles_[role].uses;
    release_role(role);
  }
  bindings_.erase(it);
}

// Calls `visit(rule)` for every rule of the user that covers api, resource and verb, until it returns true.
template <class Visit>
void RbacIndex::each_match(std::string_view user, const Request& request, Visit visit) const {
  const auto entry = users_.find(user);
  if (entry == users_.end()) return;
  const Id api = strings_.find(request.api);
  const Id resource = strings_.find(request.resource);
  const std::uint8_t verb = bit(request.verb);
  for (const Binding* binding : entry->second) {
    for (const Id role : binding->roles) {
      for (const CompiledRule& rule : roles_[role].rules) {
        if ((rule.verbs & verb) == 0 || (rule.api != kAny && rule.api != api)) continue;
        if (!rule.any_resource && !std::ranges::binary_search(rule.resources, resource)) continue;
        if (visit(rule)) return;
      }
    }
  }
}

bool RbacIndex::allowed(std::string_view user, const Request& request) const {
  const Id ns = request.ns ? strings_.find(*request.ns) : kNone;
  bool granted = false;
  each_match(user, request, [&](const CompiledRule& rule) {
    granted = !request.ns || rule.any_namespace || std::ranges::binary_search(rule.namespaces, ns);
    return granted;
  });
  return granted;
}

NamespaceScope RbacIndex::namespaces(std::string_view user, const Request& request) const {
  NamespaceScope scope;
  each_match(user, request, [&](const CompiledRule& rule) {
    scope.all = rule.any_namespace;
    for (const Id id : rule.namespaces) scope.names.push_back(strings_.text(id));
    return scope.all;
  });
  if (scope.all) scope.names.clear();
  sort_unique(scope.names);
  return scope;
}

namespace {
bool spend(std::size_t& steps, std::size_t count) {
  if (steps < count) return false;
  steps -= count;
  return true;
}
}  // namespace

// As compile() makes it of a rule that is stored, but nothing is kept: what no stored rule mentions is kNone, which
// wildcards alone cover.
RbacIndex::CompiledRule RbacIndex::looked_up(const Rule& rule) const {
  CompiledRule out;
  const auto ids = [&](const std::vector<std::string>& texts, bool& any) {
    std::vector<Id> found;
    any = std::ranges::any_of(texts, &std::string::empty);
    if (any) return found;
    for (const std::string& text : texts) found.push_back(strings_.find(text));
    std::ranges::sort(found);
    const auto repeated = std::ranges::unique(found);
    found.erase(repeated.begin(), repeated.end());
    return found;
  };
  if (!rule.api.empty()) out.api = strings_.find(rule.api);
  out.resources = ids(rule.resources, out.any_resource);
  out.namespaces = ids(rule.namespaces, out.any_namespace);
  for (const Verb verb : rule.verbs) out.verbs |= bit(verb);
  return out;
}

// Whether `rules`, which are about the same api and resource, allow the verb wherever `wanted` does.
Held RbacIndex::covers_namespaces(std::span<const CompiledRule* const> rules, Verb verb, const CompiledRule& wanted,
                                  std::size_t& steps) {
  bool allowed = false;
  for (const CompiledRule* rule : rules) {
    if ((rule->verbs & bit(verb)) == 0) continue;
    if (rule->any_namespace) return Held::yes;
    allowed = true;
  }
  if (!allowed || wanted.any_namespace) return Held::no;
  // Without namespaces it still allows what has none.
  if (!spend(steps, wanted.namespaces.size())) return Held::unknown;
  std::vector<Id> missing = wanted.namespaces;
  for (const CompiledRule* rule : rules) {
    if ((rule->verbs & bit(verb)) == 0) continue;
    if (!spend(steps, missing.size())) return Held::unknown;
    std::erase_if(missing, [&](Id ns) { return std::ranges::binary_search(rule->namespaces, ns); });
  }
  return missing.empty() ? Held::yes : Held::no;
}

// Resources that the same rules are about have the same answer, so that it costs no product of resources and
// namespaces.
Held RbacIndex::covers(std::string_view user, const CompiledRule& wanted, std::uint8_t verbs,
                       std::size_t& steps) const {
  const std::vector<Id> any{kNone};  // no rule mentions it by its text
  const auto& resources = wanted.any_resource ? any : wanted.resources;
  if (verbs == 0 || resources.empty()) return Held::yes;
  const auto entry = users_.find(user);
  if (entry == users_.end()) return Held::no;
  std::vector<const CompiledRule*> rules;  // that may have to do with it
  std::uint8_t everywhere = 0;             // verbs allowed on all resources in all namespaces
  for (const Binding* binding : entry->second) {
    for (const Id role : binding->roles) {
      for (const CompiledRule& rule : roles_[role].rules) {
        if (!spend(steps, 1)) return Held::unknown;
        if ((rule.verbs & verbs) == 0 || (rule.api != kAny && rule.api != wanted.api)) continue;
        if (rule.any_resource && rule.any_namespace) everywhere |= rule.verbs;
        if ((verbs & ~everywhere) == 0) return Held::yes;
        rules.push_back(&rule);
      }
    }
  }
  std::set<std::vector<const CompiledRule*>> covered;
  for (const Id resource : resources) {
    if (!spend(steps, rules.size())) return Held::unknown;
    std::vector<const CompiledRule*> about;
    std::ranges::copy_if(rules, std::back_inserter(about), [&](const CompiledRule* rule) {
      return rule->any_resource || std::ranges::binary_search(rule->resources, resource);
    });
    const auto [same, first] = covered.insert(std::move(about));
    if (!first) continue;
    for (const auto& [verb, name] : kVerbs) {
      if ((verbs & bit(verb)) == 0) continue;
      if (const Held held = covers_namespaces(*same, verb, wanted, steps); held != Held::yes) return held;
    }
  }
  return Held::yes;
}

Held RbacIndex::holds(std::string_view user, const Rule& rule, std::size_t& steps) const {
  const CompiledRule wanted = looked_up(rule);
  return covers(user, wanted, wanted.verbs & kNeeded, steps);
}

Held RbacIndex::holds_role(std::string_view user, std::string_view role, std::size_t& steps, Rule& surplus) const {
  if (!has_role(role)) return Held::yes;
  for (const CompiledRule& rule : roles_[role_ids_.find(role)->second].rules) {
    const Held held = covers(user, rule, rule.verbs & kNeeded, steps);
    if (held == Held::no) surplus = text_of(rule);
    if (held != Held::yes) return held;
  }
  return Held::yes;
}

Rule RbacIndex::text_of(const CompiledRule& rule) const {
  Rule out;
  const auto texts = [&](const std::vector<Id>& ids, bool any) {
    std::vector<std::string> names;
    if (any) names.emplace_back();
    for (const Id id : ids) names.push_back(strings_.text(id));
    sort_unique(names);
    return names;
  };
  if (rule.api != kAny) out.api = strings_.text(rule.api);
  out.resources = texts(rule.resources, rule.any_resource);
  out.namespaces = texts(rule.namespaces, rule.any_namespace);
  for (const auto& [verb, name] : kVerbs) {
    if (rule.verbs & bit(verb)) out.verbs.push_back(verb);
  }
  return out;
}

std::vector<Rule> RbacIndex::rules_of(std::string_view user) const {
  std::vector<Rule> rules;
  for (const std::string& role : roles_of(user)) {
    for (Rule& rule : rules_of_role(role)) rules.push_back(std::move(rule));
  }
  return rules;
}

bool RbacIndex::has_role(std::string_view name) const {
  const auto it = role_ids_.find(name);
  return it != role_ids_.end() && roles_[it->second].exists;
}

std::vector<Rule> RbacIndex::rules_of_role(std::string_view name) const {
  std::vector<Rule> rules;
  if (!has_role(name)) return rules;
  for (const CompiledRule& rule : roles_[role_ids_.find(name)->second].rules) rules.push_back(text_of(rule));
  return rules;
}

std::vector<std::string> RbacIndex::roles_of(std::string_view user) const {
  std::vector<std::string> names;
  if (const auto entry = users_.find(user); entry != users_.end()) {
    for (const Binding* binding : entry->second) {
      for (const Id role : binding->roles) names.push_back(*role_names_[role]);
    }
  }
  sort_unique(names);
  return names;
}

}  // namespace krake::access
