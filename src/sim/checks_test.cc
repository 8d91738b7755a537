#include "sim/checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/registry.h"
#include "base/check.h"

namespace krake::sim {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A store written to by hand, one cluster, and what the checks say of them.
struct CheckedWorld : ::testing::Test {
  CheckedWorld() {
    clusters["c0"] = std::make_unique<kubesim::SimCluster>(env, kubesim::SimOptions{.name = "c0"});
    cluster.metadata.name = "c0";
    cluster.metadata.namespace_ = "demo";
    cluster.metadata.uid = "cluster";
    cluster.metadata.labels.entries = {{"location", "DE"}};
    cluster.status.state = ClusterState::ONLINE;
    app.metadata.name = "web";
    app.metadata.namespace_ = "demo";
    app.metadata.uid = "application";
    app.spec.manifest = {json::Object{{"apiVersion", "v1"},
                                      {"kind", "ConfigMap"},
                                      {"metadata", json::Object{{"name", "web"}}},
                                      {"data", json::Object{{"version", "1"}}}}};
  }

  template <class T>
  static std::string key_of_kind(const T& object) {
    return krake_registry().of<T>().storage_key("demo", object.metadata.name);
  }
  template <class T>
  store::Revision put(const T& object) {
    store::Txn txn;
    txn.puts.push_back({key_of_kind(object), std::make_shared<const std::string>(encode_json(object))});
    return commit(std::move(txn));
  }
  template <class T>
  store::Revision take_away(const T& object) {
    store::Txn txn;
    txn.removes.push_back({key_of_kind(object)});
    return commit(std::move(txn));
  }
  store::Revision commit(store::Txn txn) {
    auto result = disk.commit(std::move(txn));
    CHECK(result.has_value());
    checks.advance();
    return std::get<store::Committed>(*result).revision;
  }
  // The user has created it and it is stored.
  void promise() {
    model.create("web", app.spec);
    put(app);
    ASSERT_FALSE(model.answered(Fate::done));
  }
  void run_on_c0() {
    const ResourceRef place{"kubernetes", "demo", "Cluster", "c0"};
    app.metadata.owners = {place};
    app.status.scheduled_to = app.status.running_on = place;
    app.status.state = ApplicationState::RUNNING;
    put(app);
  }
  // It runs on c1, and its record says nothing of c0 any more.
  void leave_c0() {
    if (!clusters.contains("c1")) {
      clusters["c1"] = std::make_unique<kubesim::SimCluster>(env, kubesim::SimOptions{.name = "c1"});
      auto other = cluster;
      other.metadata.name = "c1";
      other.metadata.uid = "other";
      put(other);
    }
    const ResourceRef place{"kubernetes", "demo", "Cluster", "c1"};
    app.metadata.owners = {place};
    app.status.scheduled_to = app.status.running_on = place;
    app.status.cleanup.reset();
    put(app);
  }
  void bring_ours() {
    auto& api = clusters.at("c0")->api();
    const json::Object labels{{"krake/application-uid", app.metadata.uid}};
    const json::Object object{{"metadata", json::Object{{"name", "web"}, {"labels", labels}}},
                              {"data", json::Object{{"version", "1"}}}};
    const auto made = api.create(*api.kinds().find_resource("configmaps"), "default", object,
                                 {.manager = "test", .by_client = false});
    CHECK(made.has_value());
  }
  void look(Duration later) { checks.look_at_clusters(clock.now() + later); }
  // The user deletes c0, and it goes.
  void delete_c0() {
    model.remove_cluster("c0");
    auto going = cluster;
    going.metadata.deleted = DateTime::from_wall(Wall());
    put(going);
    take_away(going);
  }
  // What must not run twice.
  void bring_set(const std::string& to) {
    auto& api = clusters.at(to)->api();
    const json::Object labels{{"app", "web"}};
    const json::Object container{{"name", "main"}, {"image", "image"}};
    const json::Object pod{{"metadata", json::Object{{"labels", labels}}},
                           {"spec", json::Object{{"containers", json::Array{container}}}}};
    const json::Object spec{
        {"serviceName", "web"}, {"selector", json::Object{{"matchLabels", labels}}}, {"template", pod}};
    const json::Object object{{"metadata", json::Object{{"name", "web"}}}, {"spec", spec}};
    const auto made = api.create(*api.kinds().find_resource("statefulsets.apps"), "default", object,
                                 {.manager = "test", .by_client = true});
    CHECK(made.has_value());
  }
  void bring_objects(std::string_view version, bool by_client = false, const std::string& to = "c0") {
    auto& api = clusters.at(to)->api();
    const json::Object object{{"metadata", json::Object{{"name", "web"}}},
                              {"data", json::Object{{"version", version}}}};
    const auto made = api.create(*api.kinds().find_resource("configmaps"), "default", object,
                                 {.manager = "test", .by_client = by_client});
    CHECK(made.has_value());
  }
  void begin_deletion() {
    app.metadata.deleted = DateTime::from_wall(Wall());
    put(app);
  }

  boost::asio::io_context context;
  SimClock clock{context.get_executor(), Wall()};
  Metrics metrics;
  Env env{context.get_executor(), clock, Random(1), Log(), metrics};
  store::MemoryDisk disk{"test", store::MemoryOptions{}};
  Clusters clusters;
  Model model;
  Removals removals;
  Reached reached;
  Checks checks{disk, clusters, model, removals, reached};
  Cluster cluster;
  Application app;
};

TEST_F(CheckedWorld, AllIsWell) {
  put(cluster);
  promise();
  run_on_c0();
  bring_objects("1");
  EXPECT_EQ(checks.difference(), "");
  EXPECT_THAT(checks.broken(), IsEmpty());
}

TEST_F(CheckedWorld, WhatNobodyCreatedIsBroken) {
  put(app);
  EXPECT_THAT(checks.broken(), ElementsAre(HasSubstr("nobody created it")));
}

TEST_F(CheckedWorld, ALostUpdateIsBroken) {
  promise();
  auto changed = app;
  changed.spec.manifest.clear();
  model.update("web", changed.spec);
  put(changed);
  ASSERT_FALSE(model.answered(Fate::done));
  put(app);
  EXPECT_THAT(checks.broken(), ElementsAre(HasSubstr("none of the 1 specs")));
}

TEST_F(CheckedWorld, ABindingMustFit) {
  app.spec.constraints.cluster.labels.emplace().push_back(*expr::parse_label_constraint("location is SK"));
  put(cluster);
  promise();
  run_on_c0();
  EXPECT_THAT(checks.broken(), ElementsAre(HasSubstr("never fitted its constraints")));
  EXPECT_THAT(checks.difference(), HasSubstr("does not fit its label constraints"));
}

TEST_F(CheckedWorld, ABindingMayFitWhatWasSoBefore) {
  app.spec.constraints.cluster.labels.emplace().push_back(*expr::parse_label_constraint("location is SK"));
  auto before = cluster;
  before.metadata.labels.entries = {{"location", "SK"}};
  put(before);
  put(cluster);
  promise();
  run_on_c0();
  EXPECT_THAT(checks.broken(), IsEmpty());
}

TEST_F(CheckedWorld, ObjectsAreThereAsWanted) {
  put(cluster);
  promise();
  run_on_c0();
  EXPECT_THAT(checks.difference(), HasSubstr("is missing"));
  bring_objects("other");
  EXPECT_THAT(checks.difference(), HasSubstr("wanted is"));
}

TEST_F(CheckedWorld, ADeletionThatDoesNothingIsNoticed) {
  put(cluster);
  promise();
  run_on_c0();
  bring_objects("1");
  model.remove("web");
  EXPECT_TRUE(model.answered(Fate::done));
  EXPECT_THAT(checks.difference(), HasSubstr("was deleted and is still there"));
}

TEST_F(CheckedWorld, AnApplicationDoesNotGoBeforeItsObjects) {
  put(cluster);
  promise();
  run_on_c0();
  bring_objects("1");
  model.remove("web");
  begin_deletion();
  take_away(app);
  EXPECT_THAT(checks.broken(), ElementsAre(HasSubstr("is gone and has objects on c0")));
  EXPECT_THAT(checks.difference(), HasSubstr("is left on c0"));
}

TEST_F(CheckedWorld, NorWhileTheClusterIsBeingDeleted) {
  put(cluster);
  promise();
  run_on_c0();
  bring_objects("1");
  model.remove_cluster("c0");
  auto going = cluster;
  going.metadata.deleted = DateTime::from_wall(Wall());
  put(going);
  begin_deletion();
  take_away(app);
  EXPECT_THAT(checks.broken(), ElementsAre(HasSubstr("is gone and has objects on c0")));
}

TEST_F(CheckedWorld, WhatIsOnAForgottenClusterMayStay) {
  put(cluster);
  promise();
  run_on_c0();
  bring_objects("1");
  checks.force_asked("c0");
  const auto id = removals.asked(key_of_kind(cluster), disk.revision());
  removals.carried_out(id, take_away(cluster));
  model.remove("web");
  begin_deletion();
  take_away(app);
  put(cluster);
  EXPECT_THAT(checks.broken(), IsEmpty());
  EXPECT_EQ(checks.difference(), "");
  checks.conclude();
  EXPECT_TRUE(reached.counts().contains("a cluster was registered again"));
  EXPECT_TRUE(reached.counts().contains("a cluster was force-deleted with applications on it"));
}

TEST_F(CheckedWorld, AClusterDoesNotGoUnasked) {
  put(cluster);
  take_away(cluster);
  EXPECT_THAT(checks.broken(), ElementsAre(HasSubstr("no deletion of it was under way")));
}

TEST_F(CheckedWorld, WhatARecordLedToMayStayWhereTheClusterWasDeleted) {
  put(cluster);
  promise();
  run_on_c0();
  bring_objects("1");
  leave_c0();
  app.status.cleanup.emplace().push_back({.cluster = {"kubernetes", "demo", "Cluster", "c0"}, .objects = {}});
  put(app);
  delete_c0();
  leave_c0();
  put(cluster);
  bring_objects("1", true, "c1");
  EXPECT_THAT(checks.broken(), IsEmpty());
  EXPECT_EQ(checks.difference(), "");
}

TEST_F(CheckedWorld, WhatWasLostBeforeIsNotExcusedByTheDeletionOfTheCluster) {
  put(cluster);
  promise();
  run_on_c0();
  bring_objects("1");
  leave_c0();
  delete_c0();
  put(cluster);
  model.remove("web");
  begin_deletion();
  take_away(app);
  EXPECT_THAT(checks.broken(), ElementsAre(HasSubstr("is gone and has objects on c0")));
}

TEST_F(CheckedWorld, ButByForceItIs) {
  put(cluster);
  promise();
  run_on_c0();
  bring_objects("1", true);
  leave_c0();
  checks.force_asked("c0");
  const auto id = removals.asked(key_of_kind(cluster), disk.revision());
  take_away(cluster);
  put(cluster);
  look(Duration::zero());
  look(kStrayTime);
  EXPECT_THAT(checks.broken(), IsEmpty()) << "it may have been by force";
  removals.refused(id);
  put(app);
  look(kStrayTime);
  look(2 * kStrayTime);
  EXPECT_THAT(checks.broken(), ElementsAre(HasSubstr("its record leads nobody there")));
}

TEST_F(CheckedWorld, AnExcuseEndsWhenTheApplicationRunsThereAgain) {
  put(cluster);
  promise();
  run_on_c0();
  bring_objects("1", true);
  checks.force_asked("c0");
  removals.asked(key_of_kind(cluster), disk.revision());
  take_away(cluster);
  leave_c0();
  put(cluster);
  look(Duration::zero());
  look(kStrayTime);
  EXPECT_THAT(checks.broken(), IsEmpty());
  run_on_c0();
  leave_c0();
  look(kStrayTime);
  look(2 * kStrayTime - std::chrono::seconds(1));
  EXPECT_THAT(checks.broken(), IsEmpty()) << "what was under way may arrive yet, and go again";
  look(2 * kStrayTime);
  EXPECT_THAT(checks.broken(), ElementsAre(HasSubstr("its record leads nobody there")));
}

TEST_F(CheckedWorld, AnObjectIsOnlyWhereARecordLeads) {
  put(cluster);
  promise();
  run_on_c0();
  bring_objects("1", true);
  look(Duration::zero());
  look(10 * kStrayTime);
  EXPECT_THAT(checks.broken(), IsEmpty());
  leave_c0();
  app.status.cleanup.emplace().push_back({.cluster = {"kubernetes", "demo", "Cluster", "c0"}, .objects = {}});
  put(app);
  look(20 * kStrayTime);
  look(30 * kStrayTime);
  EXPECT_THAT(checks.broken(), IsEmpty()) << "it is still to be cleaned up there";
  leave_c0();
  look(40 * kStrayTime);
  EXPECT_THAT(checks.broken(), IsEmpty());
  look(41 * kStrayTime);
  EXPECT_THAT(checks.broken(), ElementsAre(HasSubstr("its record leads nobody there")));
}

TEST_F(CheckedWorld, WhatCameLateIsLookedForByNobody) {
  put(cluster);
  promise();
  run_on_c0();
  leave_c0();
  look({});
  bring_objects("1", true);
  checks.made_late("c0", "web");
  look({});
  look(2 * kStrayTime);
  EXPECT_THAT(checks.broken(), IsEmpty());
  run_on_c0();
  checks.made_late("c0", "web");
  leave_c0();
  look(3 * kStrayTime);
  look(5 * kStrayTime);
  EXPECT_THAT(checks.broken(), ElementsAre(HasSubstr("its record leads nobody there"))) << "it was known there";
}

TEST_F(CheckedWorld, AnObjectThatWasTakenAwayIsNoStray) {
  put(cluster);
  promise();
  run_on_c0();
  bring_objects("1", true);
  leave_c0();
  look(Duration::zero());
  clusters.at("c0")->erase("configmaps", "default", "web");
  look(kStrayTime);
  EXPECT_THAT(checks.broken(), IsEmpty());
}

TEST_F(CheckedWorld, WhatIsWantedIsNotTakenAway) {
  constexpr std::string_view kTarget = "/api/v1/namespaces/default/configmaps/web?propagationPolicy=Background";
  put(cluster);
  promise();
  run_on_c0();
  checks.taken_away("c0", kTarget);
  EXPECT_THAT(checks.broken(), IsEmpty()) << "it is not there";
  bring_objects("1");
  checks.taken_away("c0", kTarget);
  EXPECT_THAT(checks.broken(), IsEmpty()) << "it is somebody else's";
  clusters.at("c0")->erase("configmaps", "default", "web");
  bring_ours();
  look({});
  checks.taken_away("c0", kTarget);
  EXPECT_THAT(checks.broken(), IsEmpty()) << "a moment ago it was not to run here";
  look(kBehind + std::chrono::seconds(1));
  checks.taken_away("c0", "/apis/apps/v1/namespaces/default/deployments/web");
  checks.taken_away("c0", "/api/v1/namespaces/default/pods/web");
  EXPECT_THAT(checks.broken(), IsEmpty()) << "of that there is nothing";
  checks.taken_away("c0", kTarget);
  EXPECT_THAT(checks.broken(), ElementsAre(HasSubstr("configmaps web is taken away from c0")));
  model.remove("web");
  begin_deletion();
  checks.taken_away("c0", kTarget);
  EXPECT_EQ(checks.broken().size(), 1U);
  EXPECT_EQ(reached.counts().at("an object was taken away that was not wanted any more"), 2U);
}

TEST_F(CheckedWorld, WhatMustNotRunTwiceIsAtOnePlace) {
  put(cluster);
  promise();
  run_on_c0();
  bring_set("c0");
  look(Duration::zero());
  leave_c0();
  bring_set("c1");
  look(Duration::zero());
  look(std::chrono::seconds(1));
  EXPECT_THAT(checks.broken(), ElementsAre("application web must not run twice and is on c0 and c1"));
}

TEST_F(CheckedWorld, WhatMayBeGivenUpForLostMayBeThereTwice) {
  put(cluster);
  promise();
  run_on_c0();
  bring_set("c0");
  auto away = cluster;
  away.status.state = ClusterState::OFFLINE;
  put(away);
  put(cluster);
  leave_c0();
  bring_set("c1");
  look(Duration::zero());
  EXPECT_THAT(checks.broken(), IsEmpty());
  clusters.at("c0")->erase("statefulsets", "default", "web");
  look(Duration::zero());
  bring_set("c0");
  look(Duration::zero());
  EXPECT_THAT(checks.broken(), ElementsAre(HasSubstr("must not run twice"))) << "another one";
}

TEST_F(CheckedWorld, AForceThatWasRefusedExcusesNothing) {
  put(cluster);
  promise();
  run_on_c0();
  bring_objects("1");
  model.force_remove("web");
  const auto id = removals.asked(key_of_kind(app), disk.revision());
  take_away(app);
  EXPECT_THAT(checks.broken(), IsEmpty());
  EXPECT_EQ(checks.difference(), "");
  removals.refused(id);
  EXPECT_THAT(checks.difference(), HasSubstr("is left on c0"));
}

// The holders of a lease in turn, each of which takes over when it is `given_back`, or when it has run out.
struct Leases : CheckedWorld {
  void hold(std::string_view holder) {
    store::Txn txn;
    const json::Object lease{{"spec", json::Object{{"holder", std::string(holder)}}}};
    txn.puts.push_back({"/core/leases/gc", std::make_shared<const std::string>(json::print(lease))});
    commit(std::move(txn));
  }
  store::Revision end() {
    store::Txn txn;
    txn.removes.push_back({"/core/leases/gc"});
    return commit(std::move(txn));
  }
  std::vector<std::string> marked() {
    checks.conclude();
    std::vector<std::string> names;
    for (const auto& [name, times] : reached.counts()) names.push_back(name);
    return names;
  }
};

TEST_F(Leases, RunOut) {
  hold("gc0-1");
  end();
  hold("gc1-1");
  EXPECT_THAT(marked(), ElementsAre("another one took over when the lease had run out"));
}
TEST_F(Leases, AreGivenBack) {
  hold("gc0-1");
  const auto id = removals.asked("/core/leases/gc", disk.revision());
  removals.carried_out(id, end());
  hold("gc1-1");
  EXPECT_THAT(marked(), ElementsAre("another one took over when the lease was given back"));
}
TEST_F(Leases, EndAndNobodyKnowsHow) {
  hold("gc0-1");
  removals.asked("/core/leases/gc", disk.revision());
  end();
  hold("gc1-1");
  EXPECT_THAT(marked(), IsEmpty());
}
TEST_F(Leases, AreWonAgain) {
  hold("gc0-1");
  end();
  hold("gc0-1");
  EXPECT_THAT(marked(), ElementsAre("a leader lost its lease and won it again"));
}
TEST_F(Leases, ARestartIsNoTakeover) {
  hold("gc0-1");
  end();
  hold("gc0-2");
  EXPECT_THAT(marked(), ElementsAre("a controller led again after it was restarted"));
}
TEST_F(Leases, AreRenewed) {
  hold("gc0-1");
  hold("gc0-1");
  EXPECT_THAT(marked(), IsEmpty());
  EXPECT_THAT(checks.broken(), IsEmpty());
  hold("gc1-1");
  EXPECT_THAT(checks.broken(), ElementsAre(HasSubstr("is gc0-1's and gc1-1's")));
}

TEST_F(CheckedWorld, NobodyVanishes) {
  promise();
  take_away(app);
  EXPECT_THAT(checks.broken(), ElementsAre(HasSubstr("no deletion of it was under way")));
}

TEST_F(CheckedWorld, AWatchMustHaveWhatTheStoreHad) {
  promise();
  const auto first = disk.revision();
  const auto second = put(app);
  checks.witnessed(first, {{"web", first}});
  checks.witnessed(second, {{"web", second}});
  EXPECT_THAT(checks.broken(), IsEmpty());
  checks.witnessed(second, {{"web", first}});
  EXPECT_EQ(checks.broken().size(), 1);
  checks.witnessed(second, {});
  EXPECT_EQ(checks.broken().size(), 2);
}

}  // namespace
}  // namespace krake::sim
