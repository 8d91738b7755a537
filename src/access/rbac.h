// Who may do what (api-contract 7.4 to 7.6). Rules only grant: there is no order, no deny, and no wildcard but "".
// Pure; not thread-safe (const calls may run in parallel with each other).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/error.h"

namespace krake::access {

enum class Authorization : std::uint8_t { always_allow, always_deny, rbac };
// Exact texts; anything else is invalid_argument `Unknown authorization strategy '<x>'`.
Result<Authorization> parse_authorization(std::string_view text);
std::string_view to_string(Authorization mode);

enum class Verb : std::uint8_t { create, list, list_all, get, update, delete_ };
std::optional<Verb> parse_verb(std::string_view text);
std::string_view to_string(Verb verb);
// `object`: the path names one object (or a sub-resource of it), not a collection. nullopt for other methods.
std::optional<Verb> verb_of(std::string_view method, bool object);

struct Rule {
  std::string api;                      // "" matches every API group
  std::vector<std::string> resources;   // plural or plural/subresource, exactly; "" matches all
  std::vector<std::string> namespaces;  // "" matches all
  std::vector<Verb> verbs;
};

struct Request {
  std::string_view api;
  std::string_view resource;
  Verb verb = Verb::get;
  // None: a request over all namespaces or on a kind without; rule.namespaces is then ignored.
  std::optional<std::string_view> ns;
};

// The namespaces in which a user may do something, e.g. to filter a list over all of them.
struct NamespaceScope {
  bool all = false;
  std::vector<std::string> names;  // sorted, unique; empty when `all`

  bool contains(std::string_view ns) const;
  bool operator==(const NamespaceScope&) const = default;
};

enum class Held : std::uint8_t { no, yes, unknown };  // unknown: it would take too many steps to find out

// Roles and bindings by name, compiled so that a question costs a few integer comparisons per rule. Follows objects one
// by one; a binding may name roles that come later or never. Anonymous users are the caller's business: here
// `system:anonymous` is a name like any other.
class RbacIndex {
 public:
  RbacIndex() = default;
  RbacIndex(RbacIndex&&) = default;
  RbacIndex& operator=(RbacIndex&&) = default;

  void upsert_role(std::string_view name, std::span<const Rule> rules);
  void remove_role(std::string_view name);  // unknown names are ignored
  void upsert_binding(std::string_view name, std::span<const std::string> users, std::span<const std::string> roles);
  void remove_binding(std::string_view name);
  void clear() { *this = RbacIndex(); }

  bool allowed(std::string_view user, const Request& request) const;
  // Where `allowed` would hold for a request with a namespace; request.ns is ignored.
  NamespaceScope namespaces(std::string_view user, const Request& request) const;
  // Whether the user may do all that `rule` allows: who grants no more than he has gains nothing by it. A wildcard is
  // held by a wildcard only, list_all by everybody: no request needs it. `steps` is what may still be looked at, rules
  // and names; whoever holds it by wildcards alone needs one for each of his rules.
  Held holds(std::string_view user, const Rule& rule, std::size_t& steps) const;
  // The same for all rules of a role. If he does not, `surplus` is the first he does not hold.
  Held holds_role(std::string_view user, std::string_view role, std::size_t& steps, Rule& surplus) const;
  // Everything the rules of his roles give him, role by role, as they were written (but for their order).
  std::vector<Rule> rules_of(std::string_view user) const;
  bool has_role(std::string_view name) const;
  std::vector<Rule> rules_of_role(std::string_view name) const;  // none when there is no such role
  // Names in all bindings that list the user, whether or not such roles exist; sorted, unique.
  std::vector<std::string> roles_of(std::string_view user) const;

  std::size_t role_count() const { return role_rules_; }
  std::size_t binding_count() const { return bindings_.size(); }
  std::size_t interned() const { return strings_.live(); }  // distinct strings held; for tests and metrics

 private:
  using Id = std::uint32_t;
  static constexpr Id kAny = 0;        // ""
  static constexpr Id kNone = ~Id{0};  // a string no rule mentions

  // Names are chosen by others: texts with one std::hash are easily made, and would make a list of the map.
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const;
  };
  template <class T>
  using ByName = std::unordered_map<std::string, T, Hash, std::equal_to<>>;

  // Strings as small numbers while something refers to them.
  class Strings {
   public:
    Id acquire(std::string_view text);
    void release(Id id);
    Id find(std::string_view text) const;
    const std::string& text(Id id) const { return *slots_[id].text; }
    std::size_t live() const { return ids_.size(); }

   private:
    struct Slot {
      const std::string* text = nullptr;  // the key in ids_, whose address is stable
      std::uint32_t uses = 0;
    };
    ByName<Id> ids_;
    std::vector<Slot> slots_{Slot{}};  // 0 is ""
    std::vector<Id> free_;
  };

  struct CompiledRule {
    Id api = kAny;
    std::uint8_t verbs = 0;
    bool any_resource = false;
    bool any_namespace = false;
    std::vector<Id> resources;  // sorted
    std::vector<Id> namespaces;
  };
  struct Role {
    std::vector<CompiledRule> rules;
    bool exists = false;
    std::uint32_t uses = 0;  // by bindings
  };
  // Users point to their bindings, not to roles: a binding costs users + roles, not their product.
  struct Binding {
    std::vector<std::string> users;
    std::vector<Id> roles;
  };

  Id role_slot(std::string_view name);
  void drop_rules(Role& role);
  void release_role(Id id);
  std::vector<Id> compile(std::span<const std::string> texts, bool& any);
  CompiledRule looked_up(const Rule& rule) const;
  Held covers(std::string_view user, const CompiledRule& wanted, std::uint8_t verbs, std::size_t& steps) const;
  static Held covers_namespaces(std::span<const CompiledRule* const> rules, Verb verb, const CompiledRule& wanted,
                                std::size_t& steps);
  Rule text_of(const CompiledRule& rule) const;
  template <class Visit>
  void each_match(std::string_view user, const Request& request, Visit visit) const;

  Strings strings_;
  ByName<Id> role_ids_;
  std::vector<Role> roles_;
  std::vector<const std::string*> role_names_;  // keys of role_ids_
  std::vector<Id> free_roles_;
  std::size_t role_rules_ = 0;
  ByName<Binding> bindings_;  // their addresses are stable
  ByName<std::vector<const Binding*>> users_;
};

}  // namespace krake::access
