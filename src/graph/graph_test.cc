#include "graph/graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/random.h"

namespace krake::graph {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Ref ref(std::string name) { return {"kubernetes", "Cluster", "demo", std::move(name)}; }

void add(OwnershipGraph& graph, const std::string& name, const std::vector<std::string>& owners,
         const std::string& uid = "u") {
  std::vector<Owner> edges;
  for (const auto& owner : owners) edges.push_back({ref(owner), ""});
  ASSERT_TRUE(graph.set(ref(name), uid, edges));
}

std::string names(const std::vector<Ref>& refs) {
  std::string text;
  for (const Ref& each : refs) text += (text.empty() ? "" : " ") + each.name;
  return text;
}

TEST(OwnershipGraph, NamesTheDirectDependentsOnly) {
  OwnershipGraph graph;
  add(graph, "cloud", {});
  add(graph, "cluster", {"cloud"});
  add(graph, "app", {"cluster"});
  EXPECT_EQ(names(graph.dependents(ref("cloud"))), "cluster");
  EXPECT_EQ(names(graph.dependents(ref("cluster"))), "app");
  EXPECT_THAT(graph.dependents(ref("app")), IsEmpty());
  EXPECT_TRUE(graph.has_dependents(ref("cluster")));
  EXPECT_FALSE(graph.has_dependents(ref("app")));
  EXPECT_FALSE(graph.has_dependents(ref("nobody")));
}

TEST(OwnershipGraph, TellsKindsNamespacesAndApisApart) {
  OwnershipGraph graph;
  const Ref global{"infrastructure", "GlobalCloud", "", "x"};
  const Ref cloud{"infrastructure", "Cloud", "demo", "x"};
  ASSERT_TRUE(graph.set(global, "1", {}));
  ASSERT_TRUE(graph.set(cloud, "2", {}));
  ASSERT_TRUE(graph.set(ref("a"), "3", {{global, ""}}));
  EXPECT_TRUE(graph.has_dependents(global));
  EXPECT_FALSE(graph.has_dependents(cloud));
  EXPECT_EQ(to_string(global), "GlobalCloud x");
  EXPECT_EQ(to_string(cloud), "Cloud demo/x");
}

TEST(OwnershipGraph, ReplacesTheOwnersOfAnObjectAndKeepsItsDependents) {
  OwnershipGraph graph;
  add(graph, "a", {});
  add(graph, "b", {});
  add(graph, "app", {"a"});
  add(graph, "pod", {"app"});
  add(graph, "app", {"b", "b"});
  EXPECT_FALSE(graph.has_dependents(ref("a")));
  EXPECT_EQ(names(graph.dependents(ref("b"))), "app");
  EXPECT_EQ(names(graph.dependents(ref("app"))), "pod");
  EXPECT_EQ(graph.edge_count(), 2U);
  EXPECT_EQ(graph.size(), 4U);
}

TEST(OwnershipGraph, DoesNotCareWhetherOwnerOrDependentIsListedFirst) {
  OwnershipGraph graph;
  add(graph, "app", {"cluster"});
  EXPECT_EQ(graph.mentioned(), 1U);
  EXPECT_EQ(names(graph.dependents(ref("cluster"))), "app");
  add(graph, "cluster", {});
  EXPECT_EQ(graph.mentioned(), 0U);
  EXPECT_EQ(names(graph.dependents(ref("cluster"))), "app");
}

TEST(OwnershipGraph, LeavesNoPhantomWhenADependentGoesAfterItsOwner) {
  OwnershipGraph graph;
  add(graph, "a", {});
  add(graph, "b", {});
  add(graph, "app", {"a", "b"});
  EXPECT_TRUE(graph.remove(ref("a")));
  EXPECT_TRUE(graph.remove(ref("app")));
  EXPECT_FALSE(graph.has_dependents(ref("b")));
  EXPECT_EQ(graph.size(), 1U);
  EXPECT_EQ(graph.mentioned(), 0U);
  EXPECT_EQ(graph.edge_count(), 0U);
  EXPECT_FALSE(graph.remove(ref("app")));
}

TEST(OwnershipGraph, IgnoresALateRemovalOfAPredecessor) {
  OwnershipGraph graph;
  add(graph, "a", {}, "old");
  add(graph, "a", {}, "new");
  EXPECT_FALSE(graph.remove(ref("a"), "old"));
  EXPECT_EQ(graph.uid_of(ref("a")), "new");
  EXPECT_TRUE(graph.remove(ref("a"), "new"));
  EXPECT_EQ(graph.uid_of(ref("a")), std::nullopt);
}

TEST(OwnershipGraph, BindsAnEdgeWithUidToThatObjectOnly) {
  OwnershipGraph graph;
  add(graph, "cluster", {}, "first");
  ASSERT_TRUE(graph.set(ref("app"), "u", {{ref("cluster"), "first"}}));
  EXPECT_EQ(names(graph.dependents(ref("cluster"))), "app");
  EXPECT_THAT(graph.orphans(), IsEmpty());
  add(graph, "cluster", {}, "second");
  EXPECT_FALSE(graph.has_dependents(ref("cluster")));
  EXPECT_THAT(graph.dependents(ref("cluster")), IsEmpty());
  EXPECT_EQ(names(graph.orphans()), "app");
  EXPECT_EQ(names(graph.missing_owners(ref("app"))), "cluster");
}

TEST(OwnershipGraph, CountsTwoEdgesToOneOwnerOnce) {
  OwnershipGraph graph;
  ASSERT_TRUE(graph.set(ref("app"), "u", {{ref("c"), "1"}, {ref("c"), "2"}, {ref("c"), "1"}}));
  EXPECT_EQ(graph.owners(ref("app")).size(), 2U);
  EXPECT_EQ(graph.dependents(ref("c")).size(), 1U);
  EXPECT_EQ(graph.missing_owners(ref("app")).size(), 1U);
  EXPECT_TRUE(graph.remove(ref("app")));
  EXPECT_EQ(graph.mentioned(), 0U);
}

TEST(OwnershipGraph, CallsOrphanWhoseOwnersAreAllGone) {
  OwnershipGraph graph;
  add(graph, "free", {});
  add(graph, "a", {});
  add(graph, "half", {"a", "gone"});
  add(graph, "orphan", {"gone", "away"});
  EXPECT_EQ(names(graph.orphans()), "orphan");
  EXPECT_EQ(names(graph.missing_owners(ref("half"))), "gone");
  EXPECT_EQ(names(graph.missing_owners(ref("orphan"))), "away gone");
  graph.remove(ref("a"));
  EXPECT_EQ(names(graph.orphans()), "half orphan");
}

TEST(OwnershipGraph, RefusesWhatIsTooLargeAndStaysAsItWas) {
  OwnershipGraph graph({.max_nodes = 3, .max_owners = 2});
  add(graph, "a", {"b"});
  const auto many = graph.set(ref("a"), "u", {{ref("x"), ""}, {ref("y"), ""}, {ref("z"), ""}});
  ASSERT_FALSE(many);
  EXPECT_EQ(many.error().code, Code::too_large);
  EXPECT_EQ(many.error().message, "Cluster demo/a has 3 owners, at most 2 are followed; remove stale owners");
  const auto full = graph.set(ref("c"), "u", {{ref("d"), ""}});
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, Code::too_large);
  EXPECT_EQ(names(graph.dependents(ref("b"))), "a");
  EXPECT_EQ(graph.size(), 1U);
}

struct CycleCase {
  std::string what;
  std::vector<std::pair<std::string, std::vector<std::string>>> objects;  // name, owners
  std::string from;                                                       // empty: whole graph
  std::string path;
};

TEST(Cycle, IsFoundOnlyWhereThereIsOne) {
  const std::vector<CycleCase> cases = {
      {"chain", {{"a", {}}, {"b", {"a"}}, {"c", {"b"}}}, "a", ""},
      {"diamond", {{"cloud", {}}, {"l", {"cloud"}}, {"r", {"cloud"}}, {"app", {"l", "r"}}}, "cloud", ""},
      {"diamond, whole graph", {{"cloud", {}}, {"l", {"cloud"}}, {"r", {"cloud"}}, {"app", {"l", "r"}}}, "", ""},
      {"short cut", {{"a", {}}, {"b", {"a"}}, {"c", {"a", "b"}}}, "a", ""},
      {"self", {{"a", {"a"}}}, "a", "a"},
      {"two", {{"a", {"b"}}, {"b", {"a"}}}, "a", "a b"},
      {"two, from the other", {{"a", {"b"}}, {"b", {"a"}}}, "b", "b a"},
      {"tail leads into it", {{"t", {}}, {"a", {"t", "c"}}, {"b", {"a"}}, {"c", {"b"}}}, "t", "a b c"},
      {"not reachable", {{"a", {"b"}}, {"b", {"a"}}, {"leaf", {"a"}}}, "leaf", ""},
      {"whole graph sees it", {{"0", {}}, {"a", {"b"}}, {"b", {"a"}}, {"leaf", {"a"}}}, "", "a b"},
      {"diamond beside a cycle", {{"r", {}}, {"x", {"r"}}, {"y", {"r"}}, {"z", {"x", "y", "z"}}}, "r", "z"},
      {"unknown start", {{"a", {"a"}}}, "nobody", ""},
      {"owner that does not exist", {{"b", {"ghost"}}}, "ghost", ""},
  };
  for (const CycleCase& c : cases) {
    OwnershipGraph graph;
    for (const auto& [name, owners] : c.objects) add(graph, name, owners);
    const CycleCheck check = c.from.empty() ? graph.find_cycle() : graph.find_cycle(ref(c.from));
    EXPECT_EQ(names(check.path), c.path) << c.what;
    EXPECT_TRUE(check.complete) << c.what;
  }
}

TEST(Cycle, SearchGivesUpWhenItsBudgetIsSpentAndSaysSo) {
  OwnershipGraph graph;
  add(graph, "0", {});
  for (int i = 1; i < 100; ++i) add(graph, std::to_string(i), {std::to_string(i - 1)});
  EXPECT_TRUE(graph.find_cycle(ref("0"), 99).complete);
  EXPECT_FALSE(graph.find_cycle(ref("0"), 98).complete);
}

TEST(Cycle, SearchNeedsNoCallStackForADeepChain) {
  OwnershipGraph graph;
  add(graph, "0", {"99999"});
  for (int i = 1; i < 100'000; ++i) add(graph, std::to_string(i), {std::to_string(i - 1)});
  EXPECT_EQ(graph.find_cycle(ref("0")).path.size(), 100'000U);
}

// Edges as plain data, every answer by looking at all of them.
struct NaiveGraph {
  struct Object {
    std::string uid;
    std::vector<Owner> owners;
  };
  std::map<Ref, Object> objects;

  bool exists_for(const Owner& owner) const {
    const auto it = objects.find(owner.ref);
    return it != objects.end() && (owner.uid.empty() || owner.uid == it->second.uid);
  }
  bool holds(const Owner& owner) const { return !objects.contains(owner.ref) || exists_for(owner); }
  std::vector<Ref> dependents(const Ref& of) const {
    std::vector<Ref> result;
    for (const auto& [name, object] : objects) {
      if (std::ranges::any_of(object.owners, [&](const Owner& o) { return o.ref == of && holds(o); })) {
        result.push_back(name);
      }
    }
    return result;
  }
  std::vector<Ref> orphans() const {
    std::vector<Ref> result;
    for (const auto& [name, object] : objects) {
      if (!object.owners.empty() &&
          std::ranges::none_of(object.owners, [&](const Owner& o) { return exists_for(o); })) {
        result.push_back(name);
      }
    }
    return result;
  }
  std::set<Ref> reachable(const Ref& start) const {
    std::set<Ref> seen;
    std::vector<Ref> todo{start};
    while (!todo.empty()) {
      const Ref at = todo.back();
      todo.pop_back();
      for (const Ref& next : dependents(at)) {
        if (seen.insert(next).second) todo.push_back(next);
      }
    }
    return seen;
  }
  bool leads_to_cycle(const Ref& start) const {
    auto all = reachable(start);
    all.insert(start);
    return std::ranges::any_of(all, [&](const Ref& each) { return reachable(each).contains(each); });
  }
};

void expect_cycle(const OwnershipGraph& graph, const std::vector<Ref>& path) {
  for (std::size_t i = 0; i < path.size(); ++i) {
    const auto dependents = graph.dependents(path[i]);
    EXPECT_TRUE(std::ranges::find(dependents, path[(i + 1) % path.size()]) != dependents.end());
  }
}

TEST(OwnershipGraph, AgreesWithANaiveModelOnRandomHistories) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    Random random(seed);
    OwnershipGraph graph;
    NaiveGraph naive;
    const std::size_t names_in_play = 4 + random.below(8);
    const auto any_ref = [&] { return ref(std::string(1, static_cast<char>('a' + random.below(names_in_play)))); };
    const auto any_uid = [&] { return std::to_string(random.below(2)); };
    for (int step = 0; step < 80; ++step) {
      const Ref target = any_ref();
      if (random.chance(0.3)) {
        const std::string uid = random.chance(0.5) ? any_uid() : "";
        const auto it = naive.objects.find(target);
        const bool expected = it != naive.objects.end() && (uid.empty() || uid == it->second.uid);
        if (expected) naive.objects.erase(it);
        EXPECT_EQ(graph.remove(target, uid), expected);
      } else {
        std::vector<Owner> owners;
        for (std::uint64_t i = random.below(3); i > 0; --i) {
          owners.push_back({any_ref(), random.chance(0.3) ? any_uid() : ""});
        }
        const std::string uid = any_uid();
        naive.objects[target] = {uid, owners};
        ASSERT_TRUE(graph.set(target, uid, owners));
      }
      EXPECT_EQ(graph.size(), naive.objects.size());
      EXPECT_EQ(graph.orphans(), naive.orphans());
      const Ref asked = any_ref();
      EXPECT_EQ(graph.dependents(asked), naive.dependents(asked));
      EXPECT_EQ(graph.has_dependents(asked), !naive.dependents(asked).empty());
      const CycleCheck check = graph.find_cycle(asked);
      EXPECT_EQ(!check.path.empty(), naive.leads_to_cycle(asked));
      expect_cycle(graph, check.path);
    }
    for (const auto& [name, object] : std::map(naive.objects)) graph.remove(name);
    EXPECT_EQ(graph.size() + graph.mentioned() + graph.edge_count(), 0U) << "seed " << seed;
  }
}

}  // namespace
}  // namespace krake::graph
