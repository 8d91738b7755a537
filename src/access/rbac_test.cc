#include "access/rbac.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <set>

#include "base/random.h"

namespace krake::access {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Names = std::vector<std::string>;

TEST(Authorization, IsReadExactly) {
  EXPECT_EQ(parse_authorization("always-allow"), Authorization::always_allow);
  EXPECT_EQ(parse_authorization("always-deny"), Authorization::always_deny);
  EXPECT_EQ(parse_authorization("RBAC"), Authorization::rbac);
  for (const auto mode : {Authorization::always_allow, Authorization::always_deny, Authorization::rbac}) {
    EXPECT_EQ(parse_authorization(to_string(mode)), mode);
  }
  for (const std::string wrong : {"rbac", "Always-Allow", "always_allow", "", "RBAC "}) {
    const auto result = parse_authorization(wrong);
    ASSERT_FALSE(result) << wrong;
    EXPECT_EQ(result.error().code, Code::invalid_argument);
    EXPECT_EQ(result.error().message, "Unknown authorization strategy '" + wrong + "'");
  }
}

TEST(Verb, FollowsFromMethodAndPath) {
  EXPECT_EQ(verb_of("POST", false), Verb::create);
  EXPECT_EQ(verb_of("GET", false), Verb::list);
  EXPECT_EQ(verb_of("GET", true), Verb::get);
  EXPECT_EQ(verb_of("PUT", true), Verb::update);
  EXPECT_EQ(verb_of("DELETE", true), Verb::delete_);
  EXPECT_EQ(verb_of("POST", true), std::nullopt);
  EXPECT_EQ(verb_of("PUT", false), std::nullopt);
  EXPECT_EQ(verb_of("DELETE", false), std::nullopt);
  EXPECT_EQ(verb_of("PATCH", true), std::nullopt);
}

TEST(Verb, KeepsItsTextBothWays) {
  for (const std::string text : {"create", "list", "list_all", "get", "update", "delete"}) {
    const auto verb = parse_verb(text);
    ASSERT_TRUE(verb) << text;
    EXPECT_EQ(to_string(*verb), text);
  }
  for (const std::string wrong : {"", "GET", "*", "watch", "delete_"}) EXPECT_FALSE(parse_verb(wrong)) << wrong;
}

// alice holds `role` through `binding`.
RbacIndex with_rules(const std::vector<Rule>& rules) {
  RbacIndex index;
  index.upsert_role("role", rules);
  index.upsert_binding("binding", Names{"alice"}, Names{"role"});
  return index;
}

Request request(std::string_view resource, Verb verb, std::optional<std::string_view> ns) {
  return {"kubernetes", resource, verb, ns};
}

struct RuleCase {
  std::string what;
  Rule rule;
  Request request;
  bool allowed;
};

TEST(Rbac, GrantsWhatARuleSaysAndNothingElse) {
  const Rule full{"kubernetes", {"applications", "applications/status"}, {"testing", "demo"}, {Verb::get, Verb::list}};
  const auto changed = [&](auto change) {
    Rule rule = full;
    change(rule);
    return rule;
  };
  const Request get = request("applications", Verb::get, "testing");
  const std::vector<RuleCase> cases = {
      {"all four hold", full, get, true},
      {"another namespace of the list", full, request("applications", Verb::get, "demo"), true},
      {"other namespace", full, request("applications", Verb::get, "prod"), false},
      {"any namespace", changed([](Rule& r) { r.namespaces = {""}; }), request("applications", Verb::get, "prod"),
       true},
      {"\"\" among namespaces", changed([](Rule& r) { r.namespaces = {"x", ""}; }), get, true},
      {"no namespace in the rule", changed([](Rule& r) { r.namespaces = {}; }), get, false},
      {"prefix of a namespace", changed([](Rule& r) { r.namespaces = {"test"}; }), get, false},
      {"namespaces are ignored without one", full, request("applications", Verb::list, std::nullopt), true},
      {"even an empty list of them", changed([](Rule& r) { r.namespaces = {}; }),
       request("applications", Verb::list, std::nullopt), true},
      {"other api", changed([](Rule& r) { r.api = "core"; }), get, false},
      {"any api", changed([](Rule& r) { r.api = ""; }), get, true},
      {"api is case-sensitive", changed([](Rule& r) { r.api = "Kubernetes"; }), get, false},
      {"star is no wildcard", changed([](Rule& r) { r.api = "*"; }), get, false},
      {"other verb", full, request("applications", Verb::delete_, "testing"), false},
      {"no verb", changed([](Rule& r) { r.verbs = {}; }), get, false},
      {"list_all is not list", changed([](Rule& r) { r.verbs = {Verb::list_all}; }),
       request("applications", Verb::list, std::nullopt), false},
      {"other resource", full, request("clusters", Verb::get, "testing"), false},
      {"sub-resource listed", full, request("applications/status", Verb::get, "testing"), true},
      {"sub-resource not listed", full, request("applications/binding", Verb::get, "testing"), false},
      {"resource does not cover its sub-resource", changed([](Rule& r) { r.resources = {"applications"}; }),
       request("applications/status", Verb::get, "testing"), false},
      {"nor the other way round", changed([](Rule& r) { r.resources = {"applications/status"}; }), get, false},
      {"any resource", changed([](Rule& r) { r.resources = {""}; }), request("x/y", Verb::get, "testing"), true},
      {"no resource", changed([](Rule& r) { r.resources = {}; }), get, false},
      {"administrator", {"", {""}, {""}, {Verb::update}}, request("clusters", Verb::update, "prod"), true},
  };
  for (const RuleCase& c : cases) EXPECT_EQ(with_rules({c.rule}).allowed("alice", c.request), c.allowed) << c.what;
}

constexpr std::size_t kPlenty = 100'000'000;
Held held(const RbacIndex& index, std::string_view user, const Rule& rule) {
  std::size_t steps = kPlenty;
  return index.holds(user, rule, steps);
}

struct HeldCase {
  std::string what;
  Rule rule;
  bool held;
};

TEST(Rbac, HoldsWhatGivesNothingMore) {
  const RbacIndex index = with_rules({{"kubernetes", {"applications", "clusters"}, {"a", "b"}, {Verb::get, Verb::list}},
                                      {"core", {""}, {""}, {Verb::get}},
                                      {"", {"metrics"}, {"a"}, {Verb::update}}});
  const std::vector<HeldCase> cases = {
      {"the same", {"kubernetes", {"applications", "clusters"}, {"a", "b"}, {Verb::get, Verb::list}}, true},
      {"less of each", {"kubernetes", {"clusters"}, {"b"}, {Verb::list}}, true},
      {"nothing", {"kubernetes", {}, {"a"}, {Verb::delete_}}, true},
      {"another verb", {"kubernetes", {"clusters"}, {"b"}, {Verb::list, Verb::update}}, false},
      {"another namespace", {"kubernetes", {"clusters"}, {"a", "c"}, {Verb::list}}, false},
      {"all namespaces", {"kubernetes", {"clusters"}, {""}, {Verb::list}}, false},
      {"no namespace: what has none", {"kubernetes", {"clusters"}, {}, {Verb::list}}, true},
      {"no namespace, another verb", {"kubernetes", {"clusters"}, {}, {Verb::update}}, false},
      {"all resources", {"kubernetes", {""}, {"a"}, {Verb::get}}, false},
      {"all resources of core", {"core", {""}, {""}, {Verb::get}}, true},
      {"all groups", {"", {"applications"}, {"a"}, {Verb::get}}, false},
      {"all groups, as given", {"", {"metrics"}, {"a"}, {Verb::update}}, true},
      {"one group of all", {"core", {"metrics"}, {"a"}, {Verb::update, Verb::get}}, true},
      {"what no request needs", {"kubernetes", {"clusters"}, {"b"}, {Verb::list_all}}, true},
  };
  for (const HeldCase& c : cases) EXPECT_EQ(held(index, "alice", c.rule), c.held ? Held::yes : Held::no) << c.what;
  EXPECT_EQ(held(index, "bob", cases.front().rule), Held::no);
}

TEST(Rbac, HoldsTheRulesOfARole) {
  RbacIndex index = with_rules({{"kubernetes", {"applications"}, {"a"}, {Verb::get, Verb::list}}});
  index.upsert_role("less", std::vector<Rule>{{"kubernetes", {"applications"}, {"a"}, {Verb::get, Verb::list_all}}});
  index.upsert_role("more", std::vector<Rule>{{"kubernetes", {"applications"}, {"a"}, {Verb::get}},
                                              {"kubernetes", {"applications"}, {"b", "a"}, {Verb::list}}});
  std::size_t steps = kPlenty;
  Rule surplus;
  for (const std::string role : {"role", "less", "missing"})
    EXPECT_EQ(index.holds_role("alice", role, steps, surplus), Held::yes) << role;
  EXPECT_EQ(index.holds_role("alice", "more", steps, surplus), Held::no);
  EXPECT_THAT(surplus.namespaces, ElementsAre("a", "b"));
  EXPECT_EQ(index.holds_role("bob", "less", steps, surplus), Held::no);
  steps = 1;
  EXPECT_EQ(index.holds_role("alice", "more", steps, surplus), Held::unknown);
}

// As many questions to allowed() have the same answers.
TEST(Rbac, HoldsWhatIsAllowedOneByOne) {
  const Names names{"", "a", "b", "c"};
  const std::vector<Verb> verbs{Verb::create, Verb::get, Verb::update};
  Random random(7);
  const auto some = [&](const auto& all, std::size_t most) {
    std::decay_t<decltype(all)> out;
    for (auto count = random.below(most + 1); count > 0; --count) out.push_back(all[random.below(all.size())]);
    return out;
  };
  const auto any_rule = [&] { return Rule{names[random.below(3)], some(names, 3), some(names, 3), some(verbs, 3)}; };
  int yes = 0;
  for (int round = 0; round < 3000; ++round) {
    std::vector<Rule> own(1 + random.below(6));
    std::ranges::generate(own, any_rule);
    const RbacIndex index = with_rules(own);
    const Rule rule = any_rule();
    bool all = true;
    for (const Verb verb : rule.verbs) {
      for (const auto& resource : rule.resources) {
        Request request{.api = rule.api, .resource = resource, .verb = verb, .ns = {}};
        all = all && index.allowed("alice", request);
        for (const auto& ns : rule.namespaces) {
          request.ns = ns;
          all = all && index.allowed("alice", request);
        }
      }
    }
    EXPECT_EQ(held(index, "alice", rule), all ? Held::yes : Held::no) << round;
    yes += all ? 1 : 0;
  }
  EXPECT_GT(yes, 100);
}

TEST(Rbac, ALargeRuleCostsNoProduct) {
  constexpr std::size_t kMany = 20'000;
  Rule large{"kubernetes", {}, {}, {Verb::get, Verb::list, Verb::update}};
  for (std::size_t i = 0; i < kMany; ++i) {
    large.resources.push_back(fmt::format("r{}", i));
    large.namespaces.push_back(fmt::format("n{}", i));
  }
  const RbacIndex own = with_rules({large});
  std::size_t steps = kPlenty;
  EXPECT_EQ(own.holds("alice", large, steps), Held::yes);
  EXPECT_LE(kPlenty - steps, 10 * kMany);
  auto more = large;
  more.namespaces.emplace_back("other");
  EXPECT_EQ(held(own, "alice", more), Held::no);
  // What is written again and again counts once.
  Rule repeated{"kubernetes", Names(kMany, "r1"), Names(kMany, "n1"), std::vector(kMany, Verb::get)};
  steps = 10;
  EXPECT_EQ(own.holds("alice", repeated, steps), Held::yes);
  // Whoever has wildcards need not be compared.
  const RbacIndex admin = with_rules({{"", {""}, {""}, {Verb::get, Verb::list, Verb::update}}});
  steps = 1;
  EXPECT_EQ(admin.holds("alice", large, steps), Held::yes);
  EXPECT_EQ(steps, 0);
}

// 16 bytes each, which all have one hash in libstdc++ (MurmurHash64A): any first half has a second half for it.
Names with_one_hash(std::size_t count) {
  constexpr std::uint64_t kMul = 0xc6a4a7935bd1e995;
  const auto shift_mix = [](std::uint64_t v) { return v ^ (v >> 47); };  // its own inverse
  std::uint64_t inverse = kMul;
  for (int i = 0; i < 6; ++i) inverse *= 2 - kMul * inverse;
  Names names;
  for (std::uint64_t first = 0; first < count; ++first) {
    const std::uint64_t state = (0xc70f6907 ^ (16 * kMul) ^ shift_mix(first * kMul) * kMul) * kMul;
    const std::uint64_t second = shift_mix(state * inverse) * inverse;
    std::string name(16, '\0');
    std::memcpy(name.data(), &first, 8);
    std::memcpy(name.data() + 8, &second, 8);
    names.push_back(std::move(name));
  }
  return names;
}

// As one list they would be gone through some 10^10 times.
TEST(Rbac, TextsWithOneHashTakeNoTime) {
  const auto names = with_one_hash(200'000);
  ASSERT_EQ(std::hash<std::string>{}(names.front()), std::hash<std::string>{}(names.back())) << "they show nothing";
  RbacIndex index;
  index.upsert_role("role", std::vector<Rule>{{"core", names, {"a"}, {Verb::get}}});
  index.upsert_binding("binding", names, Names{"role"});
  EXPECT_EQ(index.interned(), names.size() + 2);
  EXPECT_TRUE(index.allowed(names.front(), {"core", names.back(), Verb::get, "a"}));
  index.remove_binding("binding");
  EXPECT_FALSE(index.allowed(names.front(), {"core", names.back(), Verb::get, "a"}));
}

TEST(Rbac, WhatCostsTooMuchIsUnknown) {
  constexpr std::size_t kMany = 2'000;
  std::vector<Rule> scattered;
  Rule wanted{"kubernetes", {}, {}, {Verb::get}};
  for (std::size_t i = 0; i < kMany; ++i) {
    const auto resource = fmt::format("r{}", i);
    scattered.push_back({"kubernetes", {resource}, {"n"}, {Verb::get}});
    wanted.resources.push_back(resource);
  }
  wanted.namespaces = {"n"};
  const RbacIndex index = with_rules(scattered);
  std::size_t steps = 1'000'000;
  EXPECT_EQ(index.holds("alice", wanted, steps), Held::unknown);
  steps = 0;
  EXPECT_EQ(index.holds("alice", wanted, steps), Held::unknown);
  EXPECT_EQ(held(index, "alice", wanted), Held::yes);
}

TEST(Rbac, TellsTheRulesOfAUserAsTheyAreWritten) {
  RbacIndex index = with_rules({{"kubernetes", {"b", "a"}, {"n"}, {Verb::list, Verb::get}}});
  index.upsert_role("other", std::vector<Rule>{{"", {""}, {}, {Verb::create}}});
  index.upsert_binding("second", Names{"alice"}, Names{"other", "missing"});
  const auto rules = index.rules_of("alice");
  ASSERT_EQ(rules.size(), 2U);
  EXPECT_EQ(rules[0].api, "");
  EXPECT_THAT(rules[0].resources, ElementsAre(""));
  EXPECT_THAT(rules[0].namespaces, IsEmpty());
  EXPECT_THAT(rules[1].resources, ElementsAre("a", "b"));
  EXPECT_THAT(rules[1].verbs, ElementsAre(Verb::list, Verb::get));
  EXPECT_TRUE(index.has_role("other"));
  EXPECT_FALSE(index.has_role("missing"));
  EXPECT_THAT(index.rules_of_role("missing"), IsEmpty());
  EXPECT_THAT(index.rules_of("bob"), IsEmpty());
}

TEST(Rbac, NeedsOneRuleThatHoldsAsAWhole) {
  const RbacIndex index = with_rules(
      {{"kubernetes", {"applications"}, {"a"}, {Verb::get}}, {"kubernetes", {"clusters"}, {"b"}, {Verb::get}}});
  EXPECT_TRUE(index.allowed("alice", request("clusters", Verb::get, "b")));
  EXPECT_FALSE(index.allowed("alice", request("clusters", Verb::get, "a")));
}

TEST(Rbac, MatchesUsersExactlyAndTreatsNoNameSpecially) {
  const RbacIndex index = with_rules({{"", {""}, {""}, {Verb::get}}});
  const Request get = request("applications", Verb::get, "testing");
  EXPECT_TRUE(index.allowed("alice", get));
  for (const std::string user : {"Alice", "alice ", "", "system:admin", "system:anonymous"}) {
    EXPECT_FALSE(index.allowed(user, get)) << user;
  }
}

TEST(Rbac, FollowsRolesAndBindingsAtOnce) {
  RbacIndex index;
  const Request get = request("applications", Verb::get, "testing");
  const std::vector<Rule> rules{{"kubernetes", {"applications"}, {"testing"}, {Verb::get}}};
  index.upsert_binding("b", Names{"alice"}, Names{"role:x"});
  EXPECT_FALSE(index.allowed("alice", get)) << "a missing role is skipped";
  index.upsert_role("role:x", rules);
  EXPECT_TRUE(index.allowed("alice", get));
  index.upsert_role("role:x", {});
  EXPECT_FALSE(index.allowed("alice", get));
  index.upsert_role("role:x", rules);
  index.upsert_binding("b", Names{"bob"}, Names{"role:x"});
  EXPECT_FALSE(index.allowed("alice", get));
  EXPECT_TRUE(index.allowed("bob", get));
  index.upsert_binding("c", Names{"bob"}, Names{"role:x"});
  index.remove_binding("b");
  EXPECT_TRUE(index.allowed("bob", get)) << "the other binding still grants";
  index.remove_role("role:x");
  EXPECT_FALSE(index.allowed("bob", get));
}

TEST(Rbac, ListsTheRolesOfAUserSortedUniqueAndAlsoThoseThatDoNotExist) {
  RbacIndex index;
  index.upsert_role("b", {});
  index.upsert_binding("1", Names{"alice", "bob", "alice"}, Names{"ghost", "b", "b"});
  index.upsert_binding("2", Names{"alice"}, Names{"b", "a"});
  EXPECT_THAT(index.roles_of("alice"), ElementsAre("a", "b", "ghost"));
  EXPECT_THAT(index.roles_of("bob"), ElementsAre("b", "ghost"));
  EXPECT_THAT(index.roles_of("carol"), IsEmpty());
  index.remove_binding("1");
  EXPECT_THAT(index.roles_of("alice"), ElementsAre("a", "b"));
  EXPECT_THAT(index.roles_of("bob"), IsEmpty());
}

TEST(Rbac, TellsInWhichNamespacesAUserMayList) {
  const RbacIndex index = with_rules({{"kubernetes", {"applications"}, {"b", "a"}, {Verb::list}},
                                      {"", {""}, {"a", "c"}, {Verb::list}},
                                      {"core", {""}, {""}, {Verb::list}}});
  const NamespaceScope some = index.namespaces("alice", request("applications", Verb::list, std::nullopt));
  EXPECT_FALSE(some.all);
  EXPECT_THAT(some.names, ElementsAre("a", "b", "c"));
  EXPECT_TRUE(some.contains("b"));
  EXPECT_FALSE(some.contains("d"));
  const NamespaceScope all = index.namespaces("alice", {"core", "metrics", Verb::list, std::nullopt});
  EXPECT_TRUE(all.all);
  EXPECT_TRUE(all.contains("d"));
  EXPECT_THAT(index.namespaces("bob", {"core", "metrics", Verb::list, std::nullopt}).names, IsEmpty());
}

// The contract's words, read literally.
struct NaiveRbac {
  std::map<std::string, std::vector<Rule>> roles;
  std::map<std::string, std::pair<Names, Names>> bindings;

  static bool has(const Names& list, std::string_view text) { return std::ranges::find(list, text) != list.end(); }
  std::set<std::string> roles_of(const std::string& user) const {
    std::set<std::string> result;
    for (const auto& [name, binding] : bindings) {
      if (has(binding.first, user)) result.insert(binding.second.begin(), binding.second.end());
    }
    return result;
  }
  bool allowed(const std::string& user, const Request& r) const {
    for (const auto& name : roles_of(user)) {
      const auto role = roles.find(name);
      if (role == roles.end()) continue;
      for (const Rule& rule : role->second) {
        const bool verb = std::ranges::find(rule.verbs, r.verb) != rule.verbs.end();
        const bool resource = has(rule.resources, r.resource) || has(rule.resources, "");
        const bool ns = !r.ns || has(rule.namespaces, *r.ns) || has(rule.namespaces, "");
        if ((rule.api.empty() || rule.api == r.api) && verb && resource && ns) return true;
      }
    }
    return false;
  }
};

class RandomHistory {
 public:
  explicit RandomHistory(std::uint64_t seed) : random_(seed) {}

  void step() {
    const std::string name = pick({"n1", "n2", "n3"});
    switch (random_.below(6)) {
      case 0:
        naive.roles.erase(name);
        index.remove_role(name);
        break;
      case 1:
        naive.bindings.erase(name);
        index.remove_binding(name);
        break;
      case 2:
      case 3: {
        std::vector<Rule> rules(random_.below(4));
        for (Rule& rule : rules) rule = {pick({"", "core", "kubernetes"}), some(kResources), some(kSpaces), verbs()};
        naive.roles[name] = rules;
        index.upsert_role(name, rules);
        break;
      }
      default:
        naive.bindings[name] = {some({"alice", "bob"}), some({"n1", "n2", "n3", "ghost"})};
        index.upsert_binding(name, naive.bindings[name].first, naive.bindings[name].second);
    }
  }

  void compare() {
    for (const std::string user : {"alice", "bob", "carol"}) {
      EXPECT_THAT(index.roles_of(user), ::testing::ElementsAreArray(naive.roles_of(user)));
      for (int i = 0; i < 10; ++i) {
        const std::string api = pick({"core", "kubernetes", "openstack"});
        const std::string resource = pick(kResources);
        const std::string ns = pick(kSpaces);
        const Request asked{api, resource, random_.chance(0.5) ? Verb::get : Verb::list, std::nullopt};
        Request inside = asked;
        inside.ns = ns;
        EXPECT_EQ(index.allowed(user, asked), naive.allowed(user, asked));
        EXPECT_EQ(index.allowed(user, inside), naive.allowed(user, inside));
        EXPECT_EQ(index.namespaces(user, asked).contains(ns), naive.allowed(user, inside));
      }
    }
  }

  RbacIndex index;
  NaiveRbac naive;

 private:
  std::string pick(const Names& from) { return from[random_.below(from.size())]; }
  Names some(const Names& from) {
    Names result;
    for (std::uint64_t i = random_.below(4); i > 0; --i) result.push_back(pick(from));
    return result;
  }
  std::vector<Verb> verbs() {
    std::vector<Verb> result;
    for (const Verb verb : {Verb::get, Verb::list}) {
      if (random_.chance(0.6)) result.push_back(verb);
    }
    return result;
  }

  inline static const Names kResources{"", "applications", "applications/status", "clusters"};
  inline static const Names kSpaces{"", "a", "b"};
  Random random_;
};

TEST(Rbac, AgreesWithTheContractReadLiterallyOnRandomHistories) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    RandomHistory history(seed);
    for (int step = 0; step < 40; ++step) {
      history.step();
      history.compare();
    }
    for (const std::string name : {"n1", "n2", "n3"}) {
      history.index.remove_role(name);
      history.index.remove_binding(name);
    }
    EXPECT_EQ(history.index.interned() + history.index.role_count() + history.index.binding_count(), 0U) << seed;
  }
}

}  // namespace
}  // namespace krake::access
