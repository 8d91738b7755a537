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
  void bring_objects(std::string_view version) {
    auto& api = clusters.at("c0")->api();
    const json::Object object{{"metadata", json::Object{{"name", "web"}}},
                              {"data", json::Object{{"version", version}}}};
    const auto made = api.create(*api.kinds().find_resource("configmaps"), "default", object,
                                 {.manager = "test", .by_client = false});
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
  Reached reached;
  Checks checks{disk, clusters, model, reached};
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

TEST_F(CheckedWorld, WhatIsOnAForgottenClusterMayStay) {
  put(cluster);
  promise();
  run_on_c0();
  bring_objects("1");
  checks.force_asked("c0");
  take_away(cluster);
  model.remove("web");
  begin_deletion();
  take_away(app);
  put(cluster);
  EXPECT_THAT(checks.broken(), IsEmpty());
  EXPECT_EQ(checks.difference(), "");
  EXPECT_TRUE(reached.counts().contains("a cluster was registered again"));
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
