// LabelledObjects where things go wrong: refused, cut, expired and silent watches, missed events.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kubesim/test_cluster.h"
#include "providers/conformance/conformance.h"
#include "providers/kubernetes/object_cache.h"

namespace krake::kubesim {

namespace {

using namespace std::chrono_literals;
using kube::conformance::config_map;
using kube::conformance::config_maps;
using kube::conformance::value_of;

constexpr std::string_view kLabels = "{'app.kubernetes.io/managed-by':'krake','krake/application-uid':'app'}";

struct CacheBench : TestCluster {
  CacheBench() { cache.add_type(config_maps()); }
  ~CacheBench() { world.run(cache.stop()); }

  kube::ObjectRef ref(const std::string& name, const std::string& ns = "default") { return {config_maps(), ns, name}; }
  void make(const std::string& name, const std::string& ns = "default") {
    const KindInfo& kind = *sim.api().kinds().find_resource("configmaps");
    ASSERT_TRUE(sim.api().create(kind, ns, config_map(name, "{'a':'1'}", kLabels), {}));
  }
  bool sees(const std::string& name, const std::string& ns = "default") { return cache.find(ref(name, ns)) != nullptr; }
  bool within(Duration limit, const std::function<bool()>& done) { return world.run_until(done, limit); }

  std::vector<std::string> changes;
  kube::LabelledObjects cache{world.env, client, [this](const kube::ObjectRef& r, const std::string& uid) {
                                changes.push_back(r.name + " " + uid);
                              }};
};

}  // namespace

TEST(LabelledObjects, SurvivesCutWatchesWithoutForgetting) {
  CacheBench bench;
  bench.make("one");
  bench.cache.start();
  ASSERT_TRUE(bench.within(1s, [&] { return bench.cache.synced() && bench.sees("one"); }));
  bench.sim.faults.refuse = true;
  bench.sim.cut_watches();
  bench.within(20s, [] { return false; });
  EXPECT_TRUE(bench.sees("one"));
  EXPECT_TRUE(bench.cache.problem(config_maps()));
  bench.make("two");
  bench.sim.erase("configmaps", "default", "one");
  bench.sim.faults.refuse = false;
  EXPECT_TRUE(bench.within(60s, [&] { return bench.sees("two") && !bench.sees("one"); }));
  EXPECT_FALSE(bench.cache.problem(config_maps()));
}

TEST(LabelledObjects, ListsAgainWhenHistoryIsGoneAndReportsDeletions) {
  CacheBench bench;
  bench.make("one");
  bench.make("two");
  bench.cache.start();
  ASSERT_TRUE(bench.within(1s, [&] { return bench.cache.synced(); }));
  bench.sim.faults.silent_watches = true;
  bench.sim.erase("configmaps", "default", "one");
  bench.make("three");
  bench.sim.compact();
  bench.changes.clear();
  bench.sim.faults.silent_watches = false;
  bench.sim.cut_watches();
  EXPECT_TRUE(bench.within(30s, [&] { return bench.sees("three") && !bench.sees("one"); }));
  EXPECT_THAT(bench.changes, ::testing::UnorderedElementsAre("one app", "three app"));
}

TEST(LabelledObjects, NoticesWhatASilentWatchHides) {
  CacheBench bench;
  bench.cache.start();
  ASSERT_TRUE(bench.within(1s, [&] { return bench.cache.synced(); }));
  bench.sim.faults.silent_watches = true;
  bench.sim.cut_watches();
  bench.within(1s, [] { return false; });
  bench.make("one");
  // Only the comparison finds it: every watch is dumb.
  EXPECT_TRUE(bench.within(7min, [&] { return bench.sees("one"); }));
}

TEST(LabelledObjects, WatchesSingleNamespacesWhenAllAreForbidden) {
  CacheBench bench;
  const KindInfo& kind = *bench.sim.api().kinds().find_resource("namespaces");
  ASSERT_TRUE(bench.sim.api().create(kind, "", value_of("{'metadata':{'name':'team'}}"), {}));
  bench.make("one");
  bench.make("two", "team");
  bench.sim.faults.forbidden = {"list:configmaps:all"};
  bench.cache.add_namespace("default");
  bench.cache.start();
  ASSERT_TRUE(bench.within(5s, [&] { return bench.cache.synced() && bench.sees("one"); }));
  EXPECT_FALSE(bench.sees("two", "team"));
  EXPECT_TRUE(bench.cache.sees(bench.ref("one")));
  EXPECT_FALSE(bench.cache.sees(bench.ref("two", "team"))) << "nobody has looked there";
  EXPECT_FALSE(bench.cache.problem(config_maps()));
  bench.cache.add_namespace("team");
  ASSERT_TRUE(bench.within(5s, [&] { return bench.sees("two", "team"); }));
  bench.make("three", "team");
  ASSERT_TRUE(bench.within(5s, [&] { return bench.sees("three", "team"); }));
  // Allowed again, one watch is enough; nothing is lost on the way.
  bench.sim.faults.forbidden.clear();
  bench.within(6min, [] { return false; });
  EXPECT_EQ(bench.cache.size(), 3U);
  bench.make("four", "kube-public");
  EXPECT_TRUE(bench.within(5s, [&] { return bench.sees("four", "kube-public"); }));
}

TEST(LabelledObjects, PollsWhereWatchingIsForbidden) {
  CacheBench bench;
  bench.sim.faults.forbidden = {"watch:configmaps"};
  bench.cache.start();
  ASSERT_TRUE(bench.within(5s, [&] { return bench.cache.synced(); }));
  bench.within(15s, [] { return false; });
  bench.make("one");
  EXPECT_TRUE(bench.within(15s, [&] { return bench.sees("one"); }));
}

TEST(LabelledObjects, CountsForbiddenTypesAsSyncedAndSaysSo) {
  CacheBench bench;
  bench.sim.faults.forbidden = {"list:*"};
  bench.cache.start();
  ASSERT_TRUE(bench.within(5s, [&] { return bench.cache.synced(); }));
  const auto problem = bench.cache.problem(config_maps());
  ASSERT_TRUE(problem);
  EXPECT_EQ(problem->code, Code::forbidden);
  EXPECT_FALSE(bench.cache.sees(bench.ref("one"))) << "not seeing it says nothing";
  bench.sim.faults.forbidden.clear();
  EXPECT_TRUE(bench.within(6min, [&] { return bench.cache.sees(bench.ref("one")); }));
}

TEST(LabelledObjects, DropsTypesThatAreNoLongerWanted) {
  CacheBench bench;
  bench.make("one");
  bench.cache.start();
  ASSERT_TRUE(bench.within(1s, [&] { return bench.sees("one"); }));
  bench.cache.set_types({});
  EXPECT_FALSE(bench.sees("one"));
  EXPECT_TRUE(bench.cache.by_application("app").empty());
  bench.cache.set_types({config_maps()});
  EXPECT_TRUE(bench.within(1s, [&] { return bench.sees("one"); }));
}

TEST(LabelledObjects, BelievesAnswersUntilTheWatchCatchesUp) {
  CacheBench bench;
  bench.cache.start();
  ASSERT_TRUE(bench.within(1s, [&] { return bench.cache.synced(); }));
  bench.sim.faults.silent_watches = true;
  bench.make("one");
  const auto first = bench.sim.find("configmaps", "default", "one");
  ASSERT_TRUE(bench.sim.merge("configmaps", "default", "one", value_of("{'data':{'a':'2'}}")));
  bench.cache.note(bench.ref("one"), *bench.sim.find("configmaps", "default", "one"));
  EXPECT_EQ(bench.cache.find(bench.ref("one"))->string_at({"data", "a"}), "2");
  bench.cache.note(bench.ref("one"), *first);  // an answer that comes late
  EXPECT_EQ(bench.cache.find(bench.ref("one"))->string_at({"data", "a"}), "2");
  bench.changes.clear();
  bench.sim.faults.silent_watches = false;
  bench.sim.cut_watches();
  bench.within(10s, [] { return false; });
  EXPECT_EQ(bench.cache.find(bench.ref("one"))->string_at({"data", "a"}), "2");
  EXPECT_TRUE(bench.changes.empty()) << bench.changes.front();
}

TEST(LabelledObjects, AsksNothingWhileNothingHappens) {
  CacheBench bench;
  bench.cache.start();
  ASSERT_TRUE(bench.within(1s, [&] { return bench.cache.synced(); }));
  const auto before = bench.sim.requests();
  bench.within(60s, [] { return false; });
  EXPECT_LE(bench.sim.requests() - before, 1U);
}

}  // namespace krake::kubesim
