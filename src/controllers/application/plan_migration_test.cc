// Plans that move an application from one cluster to another.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random.h"
#include "controllers/application/inventory.h"
#include "controllers/application/plan_model.h"

namespace krake::application {
namespace {

using namespace testing;
using manifest::object_of;
using manifest::value_of;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using State = ApplicationState;

TEST(ApplicationPlan, MigrationCreatesWaitsForHealthThenDeletes) {
  Model model;
  model.bind("one");
  model.settle();
  model.sites["two"].pods_ready = false;
  model.bind("two");
  EXPECT_GE(model.settle(), 0);
  EXPECT_EQ(model.app.status.state, State::MIGRATING);
  EXPECT_EQ(model.app.status.running_on, cluster("one"));
  EXPECT_TRUE(model.has("one", deployment("d")));
  EXPECT_TRUE(model.has("two", deployment("d")));
  model.live("two", deployment("d")).make_object().set("status", value_of("{'replicas':1,'readyReplicas':1}"));
  EXPECT_GE(model.settle(), 0);
  EXPECT_EQ(model.app.status.running_on, cluster("two"));
  EXPECT_EQ(model.app.status.state, State::RUNNING);
  EXPECT_TRUE(model.sites["one"].objects.empty());
  EXPECT_EQ(model.app.metadata.owners, std::vector{cluster("two")});
}

TEST(ApplicationPlan, MigrationThatDoesNotGetHealthyIsTakenBack) {
  Model model;
  model.bind("one");
  model.settle();
  model.sites["two"].pods_ready = false;
  model.bind("two");
  model.settle();
  model.now += seconds(61);
  EXPECT_GE(model.settle(), 0);
  EXPECT_TRUE(model.sites["two"].objects.empty());
  EXPECT_EQ(model.app.status.running_on, cluster("one"));
  EXPECT_TRUE(model.has("one", deployment("d")));
  EXPECT_EQ(model.app.status.reason->code, ReasonCode::CREATE_FAILED);
  EXPECT_EQ(model.app.status.state, State::RUNNING);
  // Later it is tried again, and succeeds.
  model.sites["two"].pods_ready = true;
  model.now += seconds(61);
  EXPECT_GE(model.settle(), 0);
  EXPECT_EQ(model.app.status.running_on, cluster("two"));
  EXPECT_TRUE(model.sites["one"].objects.empty());
  EXPECT_FALSE(model.app.status.reason);
}

TEST(ApplicationPlan, WhatCountsAsHealthyAtTheTarget) {
  struct Case {
    const char* live;
    bool healthy;
  };
  const Case cases[] = {
      {"{'kind':'ConfigMap'}", true},
      {"{'kind':'Pod','spec':{'restartPolicy':'Never'},'status':{'containerStatuses':[{'state':{'terminated':{}}}]}}",
       true},
      {"{'kind':'Pod','spec':{},'status':{'containerStatuses':[{'state':{'running':{}}}]}}", true},
      {"{'kind':'Pod','spec':{},'status':{}}", false},
      {"{'kind':'DaemonSet','metadata':{'generation':1}}", false},
      {"{'kind':'DaemonSet','metadata':{'generation':1},'status':{'observedGeneration':1,'desiredNumberScheduled':1,"
       "'numberReady':1}}",
       true},
      {"{'kind':'Deployment','metadata':{'generation':2},'spec':{'replicas':1},'status':{'observedGeneration':1,"
       "'replicas':1,'readyReplicas':1}}",
       false},
  };
  for (const auto& c : cases) {
    Item item;
    item.live = std::make_shared<const json::Value>(value_of(c.live));
    EXPECT_EQ(healthy(std::vector{item}), c.healthy) << c.live;
  }
}

TEST(ApplicationPlan, MigrationOfWhatMustNotRunTwiceDeletesFirst) {
  for (const auto* kind : {"StatefulSet", "Job", "PersistentVolumeClaim"}) {
    Model model;
    auto object = object_of("{'apiVersion':'v1','kind':'" + std::string(kind) + "','metadata':{'name':'s'}}");
    model.app.spec.manifest = {object};
    model.bind("one");
    model.settle();
    model.bind("two");
    for (int i = 0; i < 10; ++i) {
      model.carry_out(model.plan());
      EXPECT_FALSE(model.has("one", object) && model.has("two", object)) << kind;
    }
    EXPECT_TRUE(model.has("two", object)) << kind;
    EXPECT_EQ(model.app.status.running_on, cluster("two")) << kind;
  }
}

TEST(ApplicationPlan, NothingIsTakenAwayBeforeTheTargetHasAgreed) {
  Model model;
  model.app.spec.manifest = {stateful_set("s"), config_map("a")};
  model.bind("one");
  model.settle();
  model.sites["two"].refused = {"StatefulSet"};
  model.bind("two");
  for (int i = 0; i < 20; ++i) {
    EXPECT_GE(model.settle(), 0);
    EXPECT_TRUE(model.has("one", stateful_set("s")));
    EXPECT_TRUE(model.has("one", config_map("a")));
    EXPECT_EQ(model.app.status.running_on, cluster("one"));
    ASSERT_TRUE(model.app.status.reason);
    EXPECT_EQ(model.app.status.reason->code, ReasonCode::CREATE_FAILED);
    model.now += std::chrono::minutes(7);
  }
  model.sites["two"].refused.clear();
  model.now += std::chrono::minutes(40);
  EXPECT_GE(model.settle(), 0);
  EXPECT_EQ(model.app.status.running_on, cluster("two"));
  EXPECT_TRUE(model.sites["one"].objects.empty());
}

TEST(ApplicationPlan, WhatCannotBeCreatedAfterAllComesBackAtTheSource) {
  Model model;
  model.app.spec.manifest = {stateful_set("s"), config_map("a")};
  model.bind("one");
  model.settle();
  model.bind("two");
  model.carry_out(model.plan());  // tried and found good
  EXPECT_TRUE(model.sites["one"].objects.empty());
  model.sites["two"].refused = {"StatefulSet"};
  for (int i = 0; i < 40 && !model.has("one", stateful_set("s")); ++i) {
    model.carry_out(model.plan());
    EXPECT_FALSE(model.has("one", stateful_set("s")) && model.has("two", stateful_set("s")));
    model.now += seconds(3);
  }
  EXPECT_TRUE(model.has("one", stateful_set("s"))) << to_string(model.plan());
  EXPECT_TRUE(model.sites["two"].objects.empty());
  EXPECT_GE(model.settle(), 0);
  EXPECT_EQ(model.app.status.running_on, cluster("one"));
  EXPECT_EQ(model.app.status.reason->code, ReasonCode::CREATE_FAILED);
}

// Where an application has what must not run twice.
std::vector<std::string> places_of_set(const Model& model) {
  std::vector<std::string> places;
  for (const auto& [name, site] : model.sites) {
    if (model.has(name, stateful_set("s"))) places.push_back(name);
  }
  return places;
}
// It is at `to`, and says that it runs on `from` still.
Model half_moved(const std::string& from, const std::string& to) {
  Model model;
  for (const auto* name : {"one", "two", "three"}) model.sites[name].identity = std::string("id-") + name;
  model.app.spec.manifest = {stateful_set("s"), config_map("a")};
  model.bind(from);
  EXPECT_GE(model.settle(), 0);
  model.bind(to);
  for (int i = 0; i < 10 && !model.has(to, stateful_set("s")); ++i) model.carry_out(model.plan());
  EXPECT_TRUE(model.has(to, stateful_set("s")));
  EXPECT_EQ(model.app.status.running_on, cluster(from));
  return model;
}

TEST(ApplicationPlan, WhatMustNotRunTwiceIsTakenAwayWhereverItIsFirst) {
  for (const std::string to : {"one", "two", "three"}) {
    for (const bool undecided : {false, true}) {
      SCOPED_TRACE(to);
      Model model = half_moved("one", "two");
      if (undecided) {
        model.app.metadata.modified = DateTime::from_wall(Wall(seconds(200)));
        ++model.revision;
        for (int i = 0; i < 5; ++i) {
          model.carry_out(model.plan());
          EXPECT_EQ(places_of_set(model), std::vector<std::string>{"two"}) << "somebody is still finding out";
        }
      }
      model.bind(to);
      for (int i = 0; i < 20; ++i) {
        model.carry_out(model.plan());
        EXPECT_LE(places_of_set(model).size(), 1u) << to_string(model.plan());
      }
      EXPECT_EQ(places_of_set(model), std::vector<std::string>{to});
      EXPECT_EQ(model.app.status.running_on, cluster(to));
      EXPECT_THAT(model.cleanup(), ::testing::IsEmpty());
    }
  }
}

TEST(ApplicationPlan, SomebodyElsesDecisionDoesNotBringItToTwoPlacesAtFirst) {
  Model model;
  model.app.spec.manifest = {stateful_set("s")};
  model.bind("one");
  for (int i = 0; i < 5 && !model.has("one", stateful_set("s")); ++i) model.carry_out(model.plan());
  model.app.status.running_on.reset();
  model.bind("two");
  for (int i = 0; i < 20; ++i) {
    model.carry_out(model.plan());
    EXPECT_LE(places_of_set(model).size(), 1u);
  }
  EXPECT_EQ(places_of_set(model), std::vector<std::string>{"two"});
}

TEST(ApplicationPlan, WhatCannotBeAskedMayRunIt) {
  Model model = half_moved("one", "two");
  auto& two = model.sites["two"];
  two.error = Reason{ReasonCode::KUBERNETES_ERROR, "no route"};
  two.error_since = model.now - std::chrono::hours(1);
  two.online = true;
  model.bind("one");
  EXPECT_GE(model.settle(), 0);
  EXPECT_FALSE(model.has("one", stateful_set("s")));
  EXPECT_TRUE(model.has("one", config_map("a")));
  ASSERT_TRUE(model.app.status.reason);
  EXPECT_THAT(model.app.status.reason->message, ::testing::HasSubstr("must not run twice"));
  two.online = false;
  EXPECT_GE(model.settle(), 0);
  EXPECT_TRUE(model.has("one", stateful_set("s"))) << "given up for lost";
}

// Whatever is decided, changed, refused or out of reach, and wherever the controller dies.
TEST(ApplicationPlan, WhatMustNotRunTwiceNeverDoes) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const std::vector<std::string> names = {"one", "two", "three"};
    Model model;
    for (const auto& name : names) {
      model.sites[name].identity = "id-" + name;
      model.sites[name].online = true;
    }
    model.app.spec.manifest = {stateful_set("s"), config_map("a")};
    for (int step = 0; step < 60; ++step) {
      auto& site = model.sites[names[random.below(3)]];
      switch (random.below(12)) {
        case 0:
        case 1:
          model.bind(names[random.below(3)]);
          break;
        case 2:
          model.app.metadata.modified = DateTime::from_wall(Wall(seconds(200 + step)));
          ++model.revision;
          break;
        case 3:
          if (site.error) {
            site.error.reset();
          } else {
            site.error = Reason{ReasonCode::KUBERNETES_ERROR, "no route"};
            site.error_since = model.now;
          }
          break;
        case 4:
          site.refused = site.refused.empty() ? std::vector<std::string>{"StatefulSet"} : std::vector<std::string>();
          break;
        case 5:
          model.memory = {};
          break;
        case 6:
          model.now += seconds(random.below(100));
          break;
        default: {
          Plan plan = model.plan();
          if (random.chance(0.3) && !plan.empty()) plan.resize(random.below(plan.size()));
          model.carry_out(plan);
        }
      }
      ASSERT_LE(places_of_set(model).size(), 1u) << "after step " << step;
    }
    for (auto& [name, site] : model.sites) {
      site.error.reset();
      site.refused.clear();
    }
    model.bind("one");
    model.now += std::chrono::hours(1);
    for (int i = 0; i < 3; ++i) {
      EXPECT_GE(model.settle(), 0);
      model.now += std::chrono::minutes(10);
    }
    EXPECT_EQ(places_of_set(model), std::vector<std::string>{"one"});
    EXPECT_EQ(model.app.status.running_on, cluster("one"));
  }
}

// One failed look at the source is not its end.
TEST(ApplicationPlan, ASourceIsLostOnlyWhenThatLastsAndItsClusterSaysSo) {
  struct Case {
    const char* name;
    int seconds_gone;
    bool online;
    bool moves;
  };
  const Case cases[] = {{"just now", 0, false, false},
                        {"not long enough", 59, false, false},
                        {"long, but its cluster is online", 600, true, false},
                        {"long", 60, false, true}};
  for (const auto& c : cases) {
    for (const bool twice : {false, true}) {
      Model model;
      if (!twice) model.app.spec.manifest = {stateful_set("s")};
      model.bind("one");
      model.settle();
      model.sites["two"].pods_ready = false;
      auto& one = model.sites["one"];
      one.error = Reason{ReasonCode::KUBERNETES_ERROR, "no route"};
      one.error_since = model.now - seconds(c.seconds_gone);
      one.online = c.online;
      model.bind("two");
      EXPECT_GE(model.settle(), 0) << c.name;
      EXPECT_EQ(model.app.status.running_on, cluster(c.moves ? "two" : "one")) << c.name;
      if (!twice) EXPECT_EQ(model.has("two", stateful_set("s")), c.moves) << c.name;
      EXPECT_TRUE(c.moves || model.app.status.reason) << c.name;
    }
  }
}

TEST(ApplicationPlan, AnAttemptThatHasBegunStaysBoundedWhenTheSourceFails) {
  Model model;
  model.bind("one");
  model.settle();
  model.sites["two"].pods_ready = false;
  model.bind("two");
  model.settle();
  auto& one = model.sites["one"];
  one.error = Reason{ReasonCode::KUBERNETES_ERROR, "no route"};
  one.error_since = model.now - std::chrono::minutes(5);
  model.now += seconds(30);
  EXPECT_GE(model.settle(), 0);
  EXPECT_EQ(model.app.status.running_on, cluster("one")) << "two is not healthy";
}

TEST(ApplicationPlan, WhatMustNotRunTwiceDoesNotComeBackWhileTheTargetCannotBeAsked) {
  Model model;
  model.app.spec.manifest = {stateful_set("s")};
  model.bind("one");
  model.settle();
  model.bind("two");
  for (int i = 0; i < 10 && !model.has("two", stateful_set("s")); ++i) model.carry_out(model.plan());
  ASSERT_TRUE(model.has("two", stateful_set("s")));
  ASSERT_EQ(model.app.status.running_on, cluster("one"));
  for (const bool restarted : {false, true}) {
    if (restarted) model.memory = {};
    model.sites["two"].error = Reason{ReasonCode::KUBERNETES_ERROR, "no route"};
    EXPECT_GE(model.settle(), 0);
    EXPECT_FALSE(model.has("one", stateful_set("s")));
  }
  model.sites["two"].error.reset();
  EXPECT_GE(model.settle(), 0);
  EXPECT_EQ(model.app.status.running_on, cluster("two"));
}

TEST(ApplicationPlan, MigrationLeavesADeadClusterAndCleansItWhenItIsBack) {
  Model model;
  model.bind("one");
  model.settle();
  model.sites["one"].error = Reason{ReasonCode::KUBERNETES_ERROR, "dead"};
  model.bind("two");
  EXPECT_GE(model.settle(), 0);
  EXPECT_EQ(model.app.status.running_on, cluster("two"));
  // Remembered, but no owner: who deletes the dead cluster must not delete the application with it.
  EXPECT_EQ(model.app.metadata.owners, std::vector{cluster("two")});
  ASSERT_EQ(model.cleanup(), std::vector{cluster("one")});
  EXPECT_EQ(model.app.status.cleanup->front().objects.size(), 2u);
  EXPECT_EQ(model.sites["one"].objects.size(), 2u);
  model.sites["one"].error.reset();
  EXPECT_GE(model.settle(), 0);
  EXPECT_TRUE(model.sites["one"].objects.empty());
  EXPECT_EQ(model.app.metadata.owners, std::vector{cluster("two")});
  EXPECT_TRUE(model.cleanup().empty());
}

TEST(ApplicationPlan, RemembersAClusterBeforeItDisownsIt) {
  Model model;
  model.bind("one");
  model.settle();
  model.bind("two");
  for (int i = 0; i < 20; ++i) {
    for (const auto& action : model.plan()) {
      model.carry_out({action});
      const bool anything_there = !model.sites["one"].objects.empty();
      const auto known = clusters_of(model.app);
      EXPECT_TRUE(!anything_there || std::ranges::find(known, cluster("one")) != known.end()) << to_string(action);
    }
  }
  EXPECT_TRUE(model.sites["one"].objects.empty());
  EXPECT_TRUE(model.cleanup().empty());
}

// What may be at a cluster is written down before it is made: no watch has ever shown it there, and nothing else names
// it any more.
TEST(ApplicationPlan, ATargetThatWasGivenUpIsCleanedOfWhatNobodyHasSeenThere) {
  Model model;
  model.app.spec.manifest = {config_map("a")};
  model.bind("one");
  model.settle();
  auto& two = model.sites["two"];
  two.watched = false;
  two.pods_ready = false;
  model.app.spec.manifest = {deployment("d"), config_map("new")};
  model.bind("two");
  for (int i = 0; i < 5; ++i) {
    for (const auto& action : model.plan()) {
      if (mutates_cluster(action)) EXPECT_EQ(model.cleanup(), std::vector{cluster("two")}) << to_string(action);
      model.carry_out({action});
    }
  }
  ASSERT_EQ(two.objects.size(), 2u);
  model.app.spec.manifest = {config_map("a")};
  model.bind("one");
  EXPECT_GE(model.settle(), 0);
  EXPECT_TRUE(two.objects.empty());
  EXPECT_TRUE(model.has("one", config_map("a")));
  EXPECT_TRUE(model.cleanup().empty());
  EXPECT_EQ(model.app.metadata.owners, std::vector{cluster("one")});
}

// It has been created there and never seen; then everything changes at once and the process dies after one write.
TEST(ApplicationPlan, AnotherManifestElsewhereForgetsNotWhatWasBegun) {
  Model model;
  model.app.spec.manifest = {config_map("a")};
  auto& one = model.sites["one"];
  one.watched = false;
  model.bind("one");
  model.carry_out(model.plan());
  ASSERT_EQ(one.objects.size(), 1u);
  ASSERT_FALSE(model.app.status.running_on);
  one.error = Reason{ReasonCode::KUBERNETES_ERROR, "no route"};
  model.app.spec.manifest = {config_map("b")};
  model.bind("two");
  const Plan plan = model.plan();
  const auto intent =
      std::ranges::find_if(plan, [](const Action& a) { return std::holds_alternative<PatchStatus>(a); });
  ASSERT_NE(intent, plan.end()) << to_string(plan);
  model.carry_out({*intent});
  model.memory = {};
  EXPECT_GE(model.settle(), 0);
  EXPECT_EQ(model.cleanup(), std::vector{cluster("one")});
  one.error.reset();
  EXPECT_GE(model.settle(), 0);
  EXPECT_TRUE(one.objects.empty());
  EXPECT_TRUE(model.cleanup().empty());
  EXPECT_EQ(model.app.status.running_on, cluster("two"));
}

// Whoever may write the application may take its owners away.
TEST(ApplicationPlan, WhereItWasBegunIsRememberedWithoutOwners) {
  Model model;
  model.sites["one"].refused = {"Deployment"};
  model.bind("one");
  EXPECT_GE(model.settle(), 0);
  ASSERT_TRUE(model.has("one", config_map("a")));
  ASSERT_FALSE(model.app.status.running_on);
  model.app.metadata.owners.clear();
  model.bind("two");
  for (int i = 0; i < 10; ++i) {
    for (const auto& action : model.plan()) {
      if (const auto* apply = std::get_if<Apply>(&action)) {
        const auto known = model.cleanup();
        EXPECT_TRUE(std::ranges::find(known, apply->cluster) != known.end()) << to_string(action);
      }
      model.carry_out({action});
    }
  }
  EXPECT_EQ(model.app.status.running_on, cluster("two"));
  EXPECT_TRUE(model.sites["one"].objects.empty());
  EXPECT_TRUE(model.cleanup().empty());
}

TEST(ApplicationPlan, WhatUpstreamMadeOnALostClusterGoesWhenThatIsBack) {
  struct Case {
    const char* name;
    bool recorded;
    const char* manager;
    const char* made;
    bool removed;
  };
  // It is 00:16:40, and the cluster has been dead since 00:11:40.
  const Case cases[] = {
      {"recorded, made by upstream", true, "OpenAPI-Generator", "1970-01-01T00:10:00Z", true},
      {"recorded, made by somebody else", true, "kubectl", "1970-01-01T00:10:00Z", false},
      {"made anew while it could not be seen", true, "OpenAPI-Generator", "1970-01-01T00:12:00Z", false},
      {"made anew after it was left", true, "OpenAPI-Generator", "1970-01-01T00:20:00Z", false},
      {"made nobody knows when", true, "OpenAPI-Generator", "", false},
      {"wanted only", false, "OpenAPI-Generator", "1970-01-01T00:10:00Z", false}};
  for (const auto& c : cases) {
    Model model;
    model.app.spec.manifest = {config_map("a")};
    model.bind("one");
    model.app.status.state = State::RUNNING;
    model.app.status.running_on = cluster("one");
    model.app.status.last_applied_manifest = {config_map("a")};
    if (c.recorded) model.app.status.last_observed_manifest = {config_map("a")};
    json::Value live = config_map("a");
    auto& metadata = live.make_object()["metadata"].make_object();
    metadata.set("uid", "theirs");
    metadata.set("creationTimestamp", c.made);
    metadata.set("managedFields", json::Array{json::Object{{"manager", c.manager}, {"operation", "Update"}}});
    auto& one = model.sites["one"];
    one.objects[ref_of(live)] = live;
    one.error = Reason{ReasonCode::KUBERNETES_ERROR, "dead"};
    one.error_since = model.now - seconds(300);
    model.bind("two");
    EXPECT_GE(model.settle(), 0) << c.name;
    ASSERT_EQ(model.app.status.running_on, cluster("two")) << c.name;
    ASSERT_EQ(model.cleanup(), std::vector{cluster("one")}) << c.name;
    one.error.reset();
    EXPECT_GE(model.settle(), 0) << c.name;
    EXPECT_EQ(model.has("one", config_map("a")), !c.removed) << c.name;
    EXPECT_TRUE(model.cleanup().empty()) << c.name;
  }
}

TEST(ApplicationPlan, WhatWasSeenOnOneClusterSaysNothingOfAnother) {
  const auto upstreams = [](const std::string& name, const char* uid) {
    json::Value live = config_map(name);
    auto& metadata = live.make_object()["metadata"].make_object();
    metadata.set("uid", uid);
    metadata.set("managedFields", json::Array{json::Object{{"manager", "OpenAPI-Generator"}}});
    return live;
  };
  Model model;
  model.app.spec.manifest = {config_map("a")};
  model.bind("one");
  model.app.status.state = State::RUNNING;
  model.app.status.running_on = cluster("one");
  model.app.status.last_applied_manifest = {config_map("a"), config_map("x")};
  model.app.status.last_observed_manifest = {config_map("a"), config_map("x")};
  auto& one = model.sites["one"];
  auto& two = model.sites["two"];
  one.objects[ref_of(config_map("a"))] = upstreams("a", "ours-a");
  one.objects[ref_of(config_map("x"))] = upstreams("x", "ours-x");
  two.objects[ref_of(config_map("x"))] = upstreams("x", "theirs");
  model.bind("two");
  EXPECT_GE(model.settle(), 0);
  EXPECT_EQ(model.app.status.running_on, cluster("two"));
  EXPECT_TRUE(model.has("two", config_map("x")));
  EXPECT_TRUE(model.has("two", config_map("a")));
  EXPECT_TRUE(one.objects.empty());
  EXPECT_TRUE(model.cleanup().empty());
}

TEST(ApplicationPlan, LooksSeldomAtAClusterThatWasLeftAndOnlyForWhatMayBeThere) {
  Model model;
  model.bind("one");
  model.settle();
  auto& one = model.sites["one"];
  one.error = Reason{ReasonCode::KUBERNETES_ERROR, "dead"};
  model.bind("two");
  model.settle();
  one.error.reset();
  for (auto& [ref, object] : one.objects)
    object.make_object()["metadata"].make_object().set("deletionTimestamp", "2026-01-01T00:00:00Z");
  model.app.spec.manifest = {config_map("b")};
  EXPECT_GE(model.settle(), 0);
  ASSERT_EQ(model.cleanup(), std::vector{cluster("one")});
  const Plan plan = model.plan();
  EXPECT_FALSE(plan.empty());
  for (const auto& action : plan) EXPECT_GE(std::get<Wait>(action).time, seconds(30)) << to_string(plan);
  const Relevant left = relevant_at(model.app, cluster("one"));
  EXPECT_FALSE(left.desired);
  EXPECT_FALSE(left.manifests);
  ASSERT_TRUE(left.entry);
  EXPECT_EQ(left.entry->objects.size(), 2u);
  const Relevant home = relevant_at(model.app, cluster("two"));
  EXPECT_TRUE(home.desired && home.manifests && !home.entry);
  // Where its entry is lost, or everything is, all that is known is looked for.
  model.app.status.cleanup.reset();
  EXPECT_TRUE(relevant_at(model.app, cluster("one")).manifests);
  EXPECT_FALSE(relevant_at(model.app, cluster("one")).desired);
  model.app.status = {};
  EXPECT_TRUE(relevant_at(model.app, cluster("one")).desired);
}

// The namespace it was located in is part of the name: the kubeconfig may have another one later.
TEST(ApplicationPlan, WhatIsExpectedAtAClusterIsNamedByWhereItLives) {
  Model model;
  model.bind("one");
  model.carry_out(model.plan());
  ASSERT_EQ(model.cleanup(), std::vector{cluster("one")});
  for (const auto& object : model.app.status.cleanup->front().objects)
    EXPECT_EQ(json::Value(object).string_at({"metadata", "namespace"}), "default");
}

// That everything was applied is said of where it runs, and that cluster is gone.
TEST(ApplicationPlan, WhatRanOnAClusterThatIsGoneIsNotTakenForAppliedElsewhere) {
  Model model;
  model.bind("one");
  model.settle();
  model.sites["two"].objects = model.sites["one"].objects;
  model.sites["one"].exists = false;
  model.memory = {};
  model.bind("two");
  const Plan plan = model.plan();
  int applied = 0;
  for (const auto& action : plan) {
    if (const auto* apply = std::get_if<Apply>(&action)) applied += apply->difference == 0 ? 1 : 0;
  }
  EXPECT_EQ(applied, 2) << to_string(plan);
  EXPECT_GE(model.settle(), 0);
  EXPECT_EQ(model.app.status.running_on, cluster("two"));
}

TEST(ApplicationPlan, ForgetsWhatIsToBeCleanedWithTheClusterItself) {
  Model model;
  model.bind("one");
  model.settle();
  model.sites["one"].error = Reason{ReasonCode::KUBERNETES_ERROR, "dead"};
  model.bind("two");
  EXPECT_GE(model.settle(), 0);
  model.sites["one"].exists = false;
  EXPECT_GE(model.settle(), 0);
  EXPECT_TRUE(model.cleanup().empty());
  EXPECT_TRUE(model.plan().empty()) << to_string(model.plan());
}

TEST(ApplicationPlan, ComingBackToAClusterTakesUpWhatWasLeftThere) {
  Model model;
  model.app.spec.manifest = {config_map("a"), config_map("old")};
  model.bind("one");
  model.settle();
  model.sites["one"].error = Reason{ReasonCode::KUBERNETES_ERROR, "dead"};
  model.bind("two");
  model.settle();
  model.app.spec.manifest = {config_map("a")};
  model.settle();
  model.sites["one"].error.reset();
  model.bind("one");
  EXPECT_GE(model.settle(), 0);
  EXPECT_EQ(model.app.status.running_on, cluster("one"));
  EXPECT_FALSE(model.has("one", config_map("old")));
  EXPECT_TRUE(model.has("one", config_map("a")));
  EXPECT_TRUE(model.sites["two"].objects.empty());
  EXPECT_TRUE(model.cleanup().empty());
}

TEST(ApplicationPlan, DeletionCleansTheClustersThatWereLeft) {
  Model model;
  model.bind("one");
  model.settle();
  model.sites["one"].error = Reason{ReasonCode::KUBERNETES_ERROR, "dead"};
  model.bind("two");
  model.settle();
  model.app.metadata.deleted = model.app.metadata.modified;
  EXPECT_GE(model.settle(), 0);
  EXPECT_FALSE(model.app.metadata.finalizers.empty()) << "one has not been asked yet";
  model.sites["one"].error.reset();
  EXPECT_GE(model.settle(), 0);
  EXPECT_TRUE(model.sites["one"].objects.empty());
  EXPECT_TRUE(model.sites["two"].objects.empty());
  EXPECT_TRUE(model.app.metadata.finalizers.empty());
}

TEST(ApplicationPlan, MigrationWaitsForATargetThatCannotTakeIt) {
  Model model;
  model.bind("one");
  model.settle();
  model.sites["two"].error = Reason{ReasonCode::KUBERNETES_ERROR, "no route"};
  model.bind("two");
  model.sites["one"].objects.erase(ref_of(deployment("d")));
  EXPECT_GE(model.settle(), 0);
  EXPECT_TRUE(model.has("one", deployment("d"))) << "the source is still looked after";
  EXPECT_THAT(model.app.status.reason->message, HasSubstr("no route"));
  EXPECT_EQ(model.app.status.running_on, cluster("one"));
}

TEST(ApplicationPlan, TwoEntriesForOneClusterMoveNothing) {
  struct Case {
    const char* name;
    bool readable;  // kube-system
    bool watched;
  };
  const Case cases[] = {{"the same kube-system", true, true},
                        {"the same objects, watched", false, true},
                        {"the same objects, asked for by name", false, false}};
  for (const auto& c : cases) {
    Model model;
    model.sites["one"].watched = c.watched;
    model.bind("one");
    model.settle();
    model.sites["two"] = model.sites["one"];
    if (!c.readable) model.sites["one"].identity = model.sites["two"].identity = "";
    const int before = model.mutations;
    model.bind("two");
    EXPECT_GE(model.settle(), 0) << c.name;
    EXPECT_EQ(std::ranges::count_if(model.plan(), mutates_cluster), 0) << c.name;
    EXPECT_LE(model.mutations - before, c.readable ? 0 : 2) << c.name;  // applied once more under the other name
    EXPECT_EQ(model.app.status.running_on, cluster("two")) << c.name;
    EXPECT_EQ(model.sites["one"].objects.size(), 2u) << c.name;
    EXPECT_EQ(model.app.metadata.owners, std::vector{cluster("two")}) << c.name;
  }
}

// Nothing but what is wanted tells: it was made through one entry, and nothing of it has been written down.
TEST(ApplicationPlan, WhatIsWantedTellsTwoEntriesForOneCluster) {
  Model model;
  model.bind("one");
  model.settle();
  Observed observed = model.observe();
  Place seen = observed.places.front();
  seen.identity.clear();
  Place other = seen;
  other.cluster = cluster("two");
  for (auto* items : {&other.applied, &other.recorded, &other.left}) items->clear();
  other.ours.clear();
  EXPECT_EQ(same_place(observed, seen, other), Same::yes);
  other.desired.clear();
  EXPECT_EQ(same_place(observed, seen, other), Same::no);
}

TEST(ApplicationPlan, WhetherTwoEntriesAreOneClusterMayBeUnknown) {
  using Change = void (*)(Place& at, Place& home);
  struct Case {
    const char* name;
    Change change;
    Same same;
  };
  static const auto hide_all = [](std::vector<Item>& items) {
    for (Item& item : items) item = {.ref = item.ref, .problem = Reason{ReasonCode::KUBERNETES_ERROR, "forbidden"}};
  };
  const Case cases[] = {
      {"two identities", [](Place&, Place&) {}, Same::no},
      {"one identity", [](Place& at, Place& home) { at.identity = home.identity; }, Same::yes},
      {"one identity, in error",
       [](Place& at, Place& home) {
         home.error = Reason{ReasonCode::KUBERNETES_ERROR, "no route"};
         at.identity = home.identity;
       },
       Same::yes},
      {"two identities, in error",
       [](Place&, Place& home) { home.error = Reason{ReasonCode::KUBERNETES_ERROR, "no route"}; }, Same::no},
      {"home in error",
       [](Place&, Place& home) {
         home = Place{.cluster = home.cluster, .error = Reason{ReasonCode::KUBERNETES_ERROR, "no route"}};
       },
       Same::unknown},
      {"the other in error",
       [](Place& at, Place&) {
         at = Place{.cluster = at.cluster, .error = Reason{ReasonCode::KUBERNETES_ERROR, "no route"}};
       },
       Same::unknown},
      {"no identity, all is seen", [](Place&, Place& home) { home.identity.clear(); }, Same::no},
      {"no identity, what is wanted is hidden",
       [](Place&, Place& home) {
         home.identity.clear();
         hide_all(home.desired);
       },
       Same::unknown},
      {"no identity, what was applied is hidden",
       [](Place&, Place& home) {
         home.identity.clear();
         hide_all(home.applied);
       },
       Same::unknown},
      {"two identities, all is hidden", [](Place&, Place& home) { hide_all(home.desired); }, Same::no},
  };
  Model model;
  model.bind("one");
  model.settle();
  model.bind("two");
  const Observed observed = model.observe();
  for (const auto& c : cases) {
    Place at = *std::ranges::find(observed.places, cluster("two"), &Place::cluster);
    Place home = *std::ranges::find(observed.places, cluster("one"), &Place::cluster);
    c.change(at, home);
    EXPECT_EQ(same_place(observed, at, home), c.same) << c.name;
  }
}

// The source cannot be asked, and the target is perhaps the same cluster under another name.
TEST(ApplicationPlan, AnAttemptGivenUpTakesNothingFromWhereItMayBeRunning) {
  struct Case {
    const char* name;
    const char* identity;  // of the target; the source's is id-one
    bool restarted;
  };
  const Case cases[] = {{"the same", "id-one", false},
                        {"the same, nothing remembered", "id-one", true},
                        {"another", "id-two", false},
                        {"another, nothing remembered", "id-two", true}};
  for (const auto& c : cases) {
    Model model;
    model.bind("one");
    model.settle();
    auto& one = model.sites["one"];
    auto& two = model.sites["two"];
    two = one;
    two.identity = c.identity;
    two.pods_ready = false;
    model.live("two", deployment("d")).make_object().set("status", value_of("{'replicas':1,'readyReplicas':0}"));
    one.error = Reason{ReasonCode::KUBERNETES_ERROR, "not let in"};
    if (c.restarted) model.memory = {};
    model.bind("two");
    EXPECT_GE(model.settle(), 0) << c.name;
    model.now += seconds(61);
    EXPECT_GE(model.settle(), 0) << c.name;
    ASSERT_TRUE(model.app.status.reason) << c.name;
    EXPECT_EQ(model.app.status.reason->code, ReasonCode::CREATE_FAILED) << c.name;
    EXPECT_EQ(model.app.status.running_on, cluster("one")) << c.name;
    EXPECT_EQ(two.objects.size(), 2u) << c.name;
    EXPECT_EQ(model.cleanup(), std::vector{cluster("two")}) << c.name;
    // Now it can be told.
    one.error.reset();
    EXPECT_GE(model.settle(), 0) << c.name;
    EXPECT_EQ(two.objects.empty(), two.identity != one.identity) << c.name;
    EXPECT_EQ(one.objects.size(), 2u) << c.name;
    EXPECT_TRUE(model.cleanup().empty()) << c.name;
  }
}

// `again` was left long ago, and is perhaps where the application runs, under another name.
TEST(ApplicationPlan, NothingIsTakenFromAClusterThatMayBeHomeUnderAnotherName) {
  struct Case {
    const char* name;
    bool error;   // home cannot be looked at
    bool hidden;  // or neither its kube-system nor the objects
    bool moving;  // home is the source
    bool removed;
  };
  const Case cases[] = {{"the source in error", true, false, true, false},
                        {"the target in error", true, false, false, false},
                        {"the source read by half", false, true, true, false},
                        {"the target read by half", false, true, false, false},
                        {"all is known", false, false, true, true},
                        {"all is known, at rest", false, false, false, true}};
  for (const auto& c : cases) {
    Model model;
    model.bind("one");
    model.settle();
    auto& one = model.sites["one"];
    auto& again = model.sites["again"] = one;
    if (c.removed) {
      again.identity = "id-again";
      for (auto& [ref, object] : again.objects)
        object.make_object()["metadata"].make_object().set("uid", "again-" + ref.name);
    }
    model.app.status.cleanup = {CleanUp{.cluster = cluster("again"), .objects = {config_map("a"), deployment("d")}}};
    if (c.error) one.error = Reason{ReasonCode::KUBERNETES_ERROR, "no route"};
    if (c.hidden) {
      one.identity.clear();
      one.hidden = {"ConfigMap", "Deployment"};
    }
    model.sites["two"].pods_ready = false;
    if (c.moving) model.bind("two");
    model.settle();
    EXPECT_EQ(again.objects.empty(), c.removed) << c.name;
    const auto left = model.cleanup();
    EXPECT_EQ(std::ranges::find(left, cluster("again")) == left.end(), c.removed) << c.name;
    EXPECT_EQ(one.objects.size(), 2u) << c.name;
  }
}

// Only a name tells of what was left there, and that stands with the other name of the cluster.
TEST(ApplicationPlan, WhatWasLeftIsLookedForUnderTheNewNameOfItsCluster) {
  Model model;
  model.app.spec.manifest = {config_map("a"), config_map("old")};
  model.sites["one"].watched = false;
  model.bind("one");
  model.settle();
  model.sites["again"] = model.sites["one"];
  auto& one = model.sites["one"];
  one.error = Reason{ReasonCode::KUBERNETES_ERROR, "not let in"};
  model.bind("two");
  model.settle();
  model.app.spec.manifest = {config_map("a")};
  model.settle();
  model.bind("again");
  EXPECT_GE(model.settle(), 0);
  ASSERT_EQ(model.app.status.running_on, cluster("again"));
  ASSERT_TRUE(model.has("again", config_map("old")));
  ASSERT_EQ(model.cleanup(), std::vector{cluster("one")});
  one.error.reset();
  EXPECT_GE(model.settle(), 0);
  EXPECT_FALSE(model.has("again", config_map("old")));
  EXPECT_TRUE(model.has("again", config_map("a")));
  EXPECT_TRUE(model.cleanup().empty());
  EXPECT_EQ(one.objects.size(), 2u) << "nothing was removed under the former name";
}

TEST(ApplicationPlan, WhatCarriesTheLabelIsNotClaimedWithoutIt) {
  Model model;
  model.bind("one");
  model.settle();
  model.sites["one"].refused = {"ConfigMap", "Deployment"};
  model.bind("two");
  EXPECT_GE(model.settle(), 0);
  ASSERT_EQ(model.cleanup(), std::vector{cluster("one")});
  EXPECT_EQ(model.app.status.cleanup->front().objects.size(), 2u);
  EXPECT_FALSE(model.app.status.cleanup->front().observed);
}

// Its cluster may be about to be deleted, which waits for that.
TEST(ApplicationPlan, WhatWasLeftIsCleanedUpAlsoWhileNothingNewIsDecided) {
  using Unsettle = void (*)(Model&);
  const std::pair<const char*, Unsettle> cases[] = {
      {"not confirmed", [](Model& m) { m.app.metadata.modified = DateTime::from_wall(m.wall()); }},
      {"no place", [](Model& m) { m.app.status.scheduled_to.reset(); }},
      {"no manifest", [](Model& m) { m.app.spec.manifest.clear(); }},
  };
  for (const auto& [name, unsettle] : cases) {
    SCOPED_TRACE(name);
    Model model;
    model.bind("one");
    model.settle();
    model.sites["one"].error = Reason{ReasonCode::KUBERNETES_ERROR, "no route"};
    model.bind("two");
    EXPECT_GE(model.settle(), 0);
    ASSERT_EQ(model.app.status.running_on, cluster("two"));
    EXPECT_THAT(model.cleanup(), ElementsAre(cluster("one")));
    unsettle(model);
    model.sites["one"].error.reset();
    EXPECT_GE(model.settle(), 0);
    EXPECT_THAT(model.cleanup(), IsEmpty());
    EXPECT_TRUE(model.sites["one"].objects.empty());
    EXPECT_EQ(model.sites["two"].objects.size(), 2u);
    EXPECT_THAT(model.app.metadata.owners, ElementsAre(cluster("two")));
  }
}

}  // namespace
}  // namespace krake::application
