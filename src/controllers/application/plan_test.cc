#include "controllers/application/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controllers/application/plan_model.h"

namespace krake::application {
namespace {

using namespace testing;
using manifest::object_of;
using manifest::value_of;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::HasSubstr;
using State = ApplicationState;

TEST(ApplicationPlan, CreatesWithFinalizerAndIntentFirst) {
  Model model;
  model.bind("one");
  const Plan plan = model.plan();
  ASSERT_GE(plan.size(), 5u) << to_string(plan);
  EXPECT_EQ(std::get<PatchMeta>(plan[0]).finalizers, std::vector<std::string>{"kubernetes_resources_deletion"});
  const auto& intent = std::get<PatchStatus>(plan[1]).fields;
  EXPECT_EQ(*intent.find("state"), json::Value("CREATING"));
  EXPECT_EQ(intent.find("last_applied_manifest")->if_array()->size(), 2u);
  EXPECT_EQ(std::get<Apply>(plan[2]).ref.name, "a");
  EXPECT_EQ(std::get<Apply>(plan[2]).body.string_at({"metadata", "labels", kApplicationUid}), kUid);
  EXPECT_TRUE(std::holds_alternative<Again>(plan.back()));
}

TEST(ApplicationPlan, RunsAndThenSaysHowHealthyItIs) {
  Model model;
  model.bind("one");
  model.sites["one"].pods_ready = false;
  model.carry_out(model.plan());
  EXPECT_EQ(model.app.status.state, State::CREATING);
  model.carry_out(model.plan());
  EXPECT_EQ(model.app.status.state, State::RUNNING);
  EXPECT_EQ(model.app.status.running_on, cluster("one"));
  model.carry_out(model.plan());
  EXPECT_EQ(model.app.status.state, State::DEGRADED);
  EXPECT_EQ(model.app.status.container_health.desired_pods, Integer(1));
  EXPECT_TRUE(model.plan().empty()) << to_string(model.plan());
}

TEST(ApplicationPlan, StoredManifestsCarryNoLabelsOfOurs) {
  Model model;
  model.bind("one");
  model.settle();
  EXPECT_EQ(encode_json(model.app).find("krake/"), std::string::npos);
}

TEST(ApplicationPlan, LeavesApplicationsAloneThatAreNotTheirTurn) {
  struct Case {
    const char* name;
    void (*arrange)(Model&);
  };
  const Case cases[] = {
      {"never triggered", [](Model& m) { m.app.status.kube_controller_triggered.reset(); }},
      {"changed since", [](Model& m) { m.app.metadata.modified = DateTime::from_wall(Wall(seconds(200))); }},
      {"not scheduled", [](Model& m) { m.app.status.scheduled_to.reset(); }},
      {"deleted, another finalizer first",
       [](Model& m) {
         m.app.metadata.deleted = m.app.metadata.modified;
         m.app.metadata.finalizers = {"kubernetes_resources_deletion", "cascade_deletion"};
       }},
      {"deleted without our finalizer", [](Model& m) { m.app.metadata.deleted = m.app.metadata.modified; }},
  };
  for (const auto& c : cases) {
    Model model;
    model.bind("one");
    c.arrange(model);
    EXPECT_TRUE(model.plan().empty()) << c.name << ": " << to_string(model.plan());
  }
}

TEST(ApplicationPlan, FailedIsNotTheEnd) {
  Model model;
  model.bind("one");
  model.app.status.state = State::FAILED;
  model.app.status.reason = Reason{ReasonCode::KUBERNETES_ERROR, "refused"};
  EXPECT_GE(model.settle(), 0);
  EXPECT_EQ(model.app.status.state, State::RUNNING);
  EXPECT_FALSE(model.app.status.reason);
}

TEST(ApplicationPlan, PutsDriftRightWithoutTouchingTheStatus) {
  Model model;
  model.bind("one");
  model.settle();
  model.live("one", config_map("a")).make_object()["data"].make_object().set("x", "2");
  const Plan plan = model.plan();
  ASSERT_EQ(plan.size(), 2u) << to_string(plan);
  EXPECT_NE(std::get<Apply>(plan[0]).difference, 0u);
  model.carry_out(plan);
  EXPECT_TRUE(model.plan().empty()) << to_string(model.plan());
}

TEST(ApplicationPlan, RepairsWhatIsGoneEvenBeforeTheSchedulerHasConfirmed) {
  Model model;
  model.bind("one");
  model.settle();
  model.app.spec.manifest = {config_map("other")};
  model.app.metadata.modified = DateTime::from_wall(Wall(seconds(200)));
  model.sites["one"].objects.erase(ref_of(deployment("d")));
  model.settle();
  EXPECT_TRUE(model.has("one", deployment("d")));
  EXPECT_FALSE(model.has("one", config_map("other")));
}

TEST(ApplicationPlan, SlowsDownWhenTheSameDifferenceComesBack) {
  Model model;
  model.bind("one");
  model.settle();
  int repairs = 0;
  for (int i = 0; i < 20; ++i) {
    model.live("one", config_map("a")).make_object()["data"].make_object().set("x", "2");
    const Plan plan = model.plan();
    repairs += static_cast<int>(std::ranges::count_if(plan, mutates_cluster));
    model.carry_out(plan);
    model.now += std::chrono::milliseconds(50);
  }
  EXPECT_LE(repairs, 6);
  ASSERT_TRUE(model.app.status.reason);
  EXPECT_EQ(model.app.status.reason->code, ReasonCode::RECONCILE_FAILED);
  EXPECT_THAT(model.app.status.reason->message, HasSubstr("not converging"));
  EXPECT_THAT(model.app.status.reason->message, HasSubstr("/data/x"));
  // And takes it up again.
  model.now += std::chrono::minutes(6);
  EXPECT_GE(model.settle(), 0);
  EXPECT_EQ(model.live("one", config_map("a")).string_at({"data", "x"}), "1");
  EXPECT_FALSE(model.app.status.reason);
}

TEST(ApplicationPlan, RunsThoughTheClusterDoesNotKeepAField) {
  for (const bool moving : {false, true}) {
    Model model;
    model.sites[moving ? "two" : "one"].forgets = "x";
    model.bind("one");
    model.settle();
    if (moving) {
      model.bind("two");
      EXPECT_GE(model.settle(), 0);
    }
    EXPECT_EQ(model.app.status.running_on, cluster(moving ? "two" : "one"));
    EXPECT_EQ(model.app.status.state, State::RUNNING);
    ASSERT_TRUE(model.app.status.reason) << moving;
    EXPECT_EQ(model.app.status.reason->code, ReasonCode::RECONCILE_FAILED);
    EXPECT_THAT(model.app.status.reason->message, HasSubstr("/data/x"));
    EXPECT_LE(model.mutations, 8);
    if (moving) EXPECT_TRUE(model.sites["one"].objects.empty());
  }
}

TEST(ApplicationPlan, RemovesWhatFellOutOfTheManifestAfterApplyingTheRest) {
  Model model;
  model.bind("one");
  model.settle();
  model.app.spec.manifest = {deployment("d"), config_map("b")};
  const Plan plan = model.plan();
  ASSERT_EQ(plan.size(), 5u) << to_string(plan);
  EXPECT_EQ(*std::get<PatchStatus>(plan[0]).fields.find("state"), json::Value("RECONCILING"));
  EXPECT_EQ(std::get<Apply>(plan[1]).ref.name, "b");
  EXPECT_EQ(std::get<Remove>(plan[2]).ref.name, "a");
  EXPECT_GE(model.settle(), 0);
  EXPECT_FALSE(model.has("one", config_map("a")));
  EXPECT_EQ(model.app.status.last_observed_manifest.size(), 2u);
  EXPECT_EQ(model.app.status.state, State::RUNNING);
}

// It was applied and never reported; its name is kept when the manifest that has it goes.
TEST(ApplicationPlan, RemovesWhatOnlyTheFormerManifestTellsOf) {
  Model model;
  auto& one = model.sites["one"];
  one.watched = false;
  model.app.spec.manifest = {deployment("d")};
  model.bind("one");
  EXPECT_GE(model.settle(), 0);
  model.app.spec.manifest = {config_map("a"), deployment("d")};
  model.carry_out(model.plan());
  ASSERT_TRUE(model.has("one", config_map("a")));
  ASSERT_EQ(model.app.status.last_observed_manifest.size(), 1u);
  one.refused = {"ConfigMap"};
  model.app.spec.manifest = {deployment("d")};
  model.carry_out(model.plan());
  ASSERT_EQ(model.app.status.last_applied_manifest.size(), 1u);
  ASSERT_TRUE(model.has("one", config_map("a")));
  one.refused.clear();
  model.memory = {};
  EXPECT_GE(model.settle(), 0);
  EXPECT_FALSE(model.has("one", config_map("a")));
  EXPECT_EQ(model.app.status.last_observed_manifest.size(), 1u);
}

// A kind watched in two versions is seen twice; it is still one object.
TEST(ApplicationPlan, AnObjectSeenInTwoVersionsIsOneObject) {
  const auto of = [](const std::string& version) {
    return object_of("{'apiVersion':'autoscaling/" + version +
                     "','kind':'HorizontalPodAutoscaler','metadata':{'name':'h'},'spec':{'maxReplicas':3}}");
  };
  Model model;
  model.app.spec.manifest = {of("v1"), config_map("a")};
  model.bind("one");
  ASSERT_GE(model.settle(), 0);
  auto twice = [&] {
    auto observed = model.observe();
    for (auto& place : observed.places) {
      const auto ours = place.ours;
      for (const auto& [ref, live] : ours) {
        auto other = ref;
        if (ref.type.group != "autoscaling") continue;
        other.type.version = ref.type.version == "v1" ? "v2" : "v1";
        place.ours.insert(place.ours.begin(), {other, live});
        for (auto* items : {&place.desired, &place.applied, &place.recorded}) {
          for (auto& item : *items) {
            if (item.ref == other) item.live = live;
          }
        }
      }
    }
    return observed;
  };
  EXPECT_TRUE(make_plan(twice(), model.now).empty()) << to_string(make_plan(twice(), model.now));
  // The manifest goes over to the other version.
  model.app.spec.manifest = {of("v2"), config_map("a")};
  const Plan plan = make_plan(twice(), model.now);
  EXPECT_EQ(std::ranges::count_if(plan, mutates_cluster), 1) << to_string(plan);
  EXPECT_TRUE(std::ranges::none_of(plan, [](const Action& a) { return std::holds_alternative<Remove>(a); }))
      << to_string(plan);
  // Deleted once, not twice.
  model.app.metadata.deleted = model.app.metadata.modified;
  const Plan end = make_plan(twice(), model.now);
  EXPECT_EQ(std::ranges::count_if(end, mutates_cluster), 2) << to_string(end);
}

TEST(ApplicationPlan, AppliesAgainWhatACrashMayHaveLeftUnapplied) {
  Model model;
  model.bind("one");
  model.settle();
  model.app.spec.manifest = {config_map("a", "7"), deployment("d")};
  const Plan plan = model.plan();
  model.carry_out({plan[0]});  // the intent is written, then the process dies
  model.memory = {};
  const Plan next = model.plan();
  EXPECT_EQ(std::ranges::count_if(next, mutates_cluster), 2) << to_string(next);
  EXPECT_GE(model.settle(), 0);
  EXPECT_EQ(model.live("one", config_map("a")).string_at({"data", "x"}), "7");
}

TEST(ApplicationPlan, SendsAgainWhatNobodyHasAnswered) {
  Model model;
  model.bind("one");
  model.settle();
  model.app.spec.manifest = {config_map("a", "7"), deployment("d")};
  auto& one = model.sites["one"];
  one.silent = true;
  model.carry_out(model.plan());
  one.silent = false;
  const auto applies = [&] { return std::ranges::count_if(model.plan(), mutates_cluster); };
  EXPECT_EQ(applies(), 1) << "the deployment is as it was: " << to_string(model.plan());
  EXPECT_GE(model.settle(), 0);
  // A repair is the same once more: that it looks right is enough.
  one.objects.erase(ref_of(config_map("a", "7")));
  one.silent = true;
  model.carry_out(model.plan());
  EXPECT_TRUE(model.has("one", config_map("a")));
  EXPECT_EQ(applies(), 0) << to_string(model.plan());
}

TEST(ApplicationPlan, RefusesForeignObjectsAndAppliesTheOthers) {
  for (const auto* label : {"krake/application-uid", "krake/installation"}) {
    Model model;
    model.bind("one");
    auto foreign = value_of("{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'a','uid':'x','labels':{}}}");
    foreign.make_object()["metadata"].make_object()["labels"].make_object().set(label, "somebody");
    model.sites["one"].objects[ref_of(config_map("a"))] = foreign;
    EXPECT_GE(model.settle(), 0);
    EXPECT_EQ(model.live("one", config_map("a")), foreign) << label;
    EXPECT_TRUE(model.has("one", deployment("d")));
    EXPECT_EQ(model.app.status.state, State::FAILED);
    EXPECT_THAT(model.app.status.reason->message, HasSubstr("somebody"));
    EXPECT_TRUE(std::ranges::any_of(model.plan(), [](const Action& a) { return std::holds_alternative<Retry>(a); }));
  }
}

TEST(ApplicationPlan, AdoptsWhatUpstreamApplied) {
  Model model;
  model.bind("one");
  model.app.metadata.finalizers = {"kubernetes_resources_deletion"};
  model.app.status.state = State::RUNNING;
  model.app.status.running_on = cluster("one");
  for (const auto& object : model.app.spec.manifest) {
    model.app.status.last_applied_manifest.push_back(object);
    json::Value live = object;
    live.make_object()["metadata"].make_object().set("uid", "u" + std::to_string(model.next_uid++));
    model.sites["one"].objects[ref_of(object)] = live;
  }
  const Plan plan = model.plan();
  ASSERT_EQ(std::ranges::count_if(plan, mutates_cluster), 2) << to_string(plan);
  EXPECT_TRUE(std::ranges::all_of(
      plan, [](const Action& a) { return !std::holds_alternative<Apply>(a) || std::get<Apply>(a).adopt; }));
  EXPECT_GE(model.settle(), 0);
  EXPECT_EQ(model.live("one", deployment("d")).string_at({"metadata", "labels", kApplicationUid}), kUid);
}

TEST(ApplicationPlan, AnObjectNamedTwiceIsAReasonNotALoop) {
  Model model;
  model.app.spec.manifest = {config_map("a", "1"), config_map("a", "2"), deployment("d")};
  model.bind("one");
  EXPECT_GE(model.settle(), 0);
  EXPECT_EQ(model.live("one", config_map("a")).string_at({"data", "x"}), "1");
  EXPECT_TRUE(model.has("one", deployment("d")));
  ASSERT_TRUE(model.app.status.reason);
  EXPECT_EQ(model.app.status.reason->code, ReasonCode::INVALID_RESOURCE);
  EXPECT_THAT(model.app.status.reason->message, HasSubstr("default/a"));
  EXPECT_EQ(std::ranges::count_if(model.plan(), mutates_cluster), 0) << to_string(model.plan());
}

// What the cluster does not take is said and tried again; the others and the status do not wait for it.
TEST(ApplicationPlan, ARefusedObjectKeepsNeitherTheOthersNorTheStatusWaiting) {
  Model model;
  model.bind("one");
  model.sites["one"].refused = {"ConfigMap"};
  EXPECT_GE(model.settle(), 0);
  EXPECT_TRUE(model.has("one", deployment("d")));
  EXPECT_EQ(model.app.status.state, State::CREATING);
  ASSERT_TRUE(model.app.status.reason);
  EXPECT_EQ(model.app.status.reason->message, "refused");
  EXPECT_EQ(model.app.status.container_health.running_pods, Integer(1));
  EXPECT_EQ(std::ranges::count_if(model.plan(), mutates_cluster), 0) << "not again at once";
  model.now += seconds(1);
  EXPECT_EQ(std::ranges::count_if(model.plan(), mutates_cluster), 1);
  // A changed manifest is tried at once.
  model.app.spec.manifest = {config_map("a", "2"), deployment("d")};
  model.now -= seconds(1);
  EXPECT_EQ(std::ranges::count_if(model.plan(), mutates_cluster), 1);
  model.sites["one"].refused.clear();
  EXPECT_GE(model.settle(), 0);
  EXPECT_EQ(model.app.status.state, State::RUNNING);
  EXPECT_FALSE(model.app.status.reason);
}

// Upstream takes NaN into manifests. What a cluster would call no JSON is not sent, and said with its place.
TEST(ApplicationPlan, NumbersNoClusterTakesAreNotSent) {
  for (const char* number : {"NaN", "-Infinity", "1e999"}) {
    Model model;
    auto odd = config_map("a");
    odd["data"].make_object().set("x", json::parse(number).value());
    model.app.spec.manifest = {odd, deployment("d")};
    model.bind("one");
    EXPECT_GE(model.settle(), 0) << number;
    EXPECT_FALSE(model.has("one", odd)) << number;
    EXPECT_TRUE(model.has("one", deployment("d"))) << number;
    EXPECT_EQ(model.app.status.state, State::FAILED) << number;
    ASSERT_TRUE(model.app.status.reason) << number;
    EXPECT_EQ(model.app.status.reason->code, ReasonCode::INVALID_RESOURCE);
    EXPECT_THAT(model.app.status.reason->message,
                HasSubstr(fmt::format("default/a is not sent: data.x is {},", number)));
    model.app.spec.manifest = {config_map("a"), deployment("d")};
    EXPECT_GE(model.settle(), 0) << number;
    EXPECT_TRUE(model.has("one", config_map("a"))) << number;
    EXPECT_EQ(model.app.status.state, State::RUNNING) << number;
    EXPECT_FALSE(model.app.status.reason) << number;
  }
}

TEST(ApplicationPlan, ARefusedRemovalIsAReasonAndTheRestIsReported) {
  Model model;
  model.bind("one");
  model.settle();
  model.sites["one"].refused = {"ConfigMap"};
  model.app.spec.manifest = {deployment("d")};
  model.live("one", deployment("d")).make_object().set("status", value_of("{'replicas':1,'readyReplicas':0}"));
  EXPECT_GE(model.settle(), 0);
  ASSERT_TRUE(model.app.status.reason);
  EXPECT_EQ(model.app.status.reason->code, ReasonCode::DELETE_FAILED);
  EXPECT_EQ(model.app.status.container_health.running_pods, Integer(0));
  model.app.metadata.deleted = model.app.metadata.modified;
  EXPECT_GE(model.settle(), 0);
  EXPECT_FALSE(model.app.metadata.finalizers.empty());
  EXPECT_EQ(model.app.status.reason->code, ReasonCode::DELETE_FAILED);
  model.sites["one"].refused.clear();
  model.now += seconds(31);
  EXPECT_GE(model.settle(), 0);
  EXPECT_TRUE(model.sites["one"].objects.empty());
  EXPECT_TRUE(model.app.metadata.finalizers.empty());
}

// From what cannot be seen nothing follows: neither that it is gone nor that it is not wanted.
TEST(ApplicationPlan, WhatCannotBeSeenIsNotGone) {
  Model model;
  model.bind("one");
  model.settle();
  const auto hide = [&] {
    auto observed = model.observe();
    for (auto& place : observed.places) {
      for (auto* items : {&place.desired, &place.applied, &place.recorded}) {
        for (auto& item : *items) {
          if (item.ref.type.kind != "ConfigMap") continue;
          item = Item{.ref = item.ref, .problem = Reason{ReasonCode::KUBERNETES_ERROR, "500"}};
        }
      }
    }
    return observed;
  };
  const Plan keeping = make_plan(hide(), model.now);
  EXPECT_EQ(std::ranges::count_if(keeping, mutates_cluster), 0) << to_string(keeping);
  // Nor is it struck from the records.
  for (const auto& action : keeping) {
    if (const auto* status = std::get_if<PatchStatus>(&action))
      EXPECT_FALSE(status->fields.contains("last_observed_manifest") &&
                   status->fields.find("last_observed_manifest")->if_array()->size() != 2u);
  }
  for (auto& [ref, object] : std::map(model.sites["one"].objects)) model.sites["one"].objects.erase(ref);
  model.app.metadata.deleted = model.app.metadata.modified;
  model.app.status.state = State::DELETING;
  const Plan deleting = make_plan(hide(), model.now);
  EXPECT_TRUE(std::ranges::none_of(deleting, [](const Action& a) { return std::holds_alternative<PatchMeta>(a); }))
      << to_string(deleting);
}

TEST(ApplicationPlan, NamesUnknownKindsAndWaitsForDefinitionsOfItsOwn) {
  Model model;
  model.bind("one");
  model.unknown_kinds = {"Widget"};
  model.app.spec.manifest.push_back(
      object_of("{'apiVersion':'example.org/v1','kind':'Widget','metadata':{'name':'w'}}"));
  EXPECT_GE(model.settle(), 0);
  EXPECT_EQ(model.app.status.reason->code, ReasonCode::UNSUPPORTED_RESOURCE);
  EXPECT_EQ(model.app.status.state, State::FAILED);
  model.app.spec.manifest.push_back(
      object_of("{'apiVersion':'apiextensions.k8s.io/v1','kind':'CustomResourceDefinition','metadata':"
                "{'name':'widgets.example.org'},'spec':{'group':'example.org','names':{'kind':'Widget'}}}"));
  const Plan plan = model.plan();
  const auto first = std::ranges::find_if(plan, mutates_cluster);
  EXPECT_EQ(std::get<Apply>(*first).ref.type.kind, "CustomResourceDefinition");
  EXPECT_GE(model.settle(), 0);
  EXPECT_FALSE(model.app.status.reason);
  EXPECT_EQ(model.app.status.state, State::CREATING);
  model.unknown_kinds.clear();
  EXPECT_GE(model.settle(), 0);
  EXPECT_EQ(model.app.status.state, State::RUNNING);
}

TEST(ApplicationPlan, UnreachableIsAReasonAndARetryNotAState) {
  Model model;
  model.bind("one");
  model.settle();
  model.sites["one"].error = Reason{ReasonCode::KUBERNETES_ERROR, "no route"};
  model.carry_out(model.plan());
  EXPECT_EQ(model.app.status.state, State::RUNNING);
  EXPECT_EQ(model.app.status.reason->code, ReasonCode::KUBERNETES_ERROR);
  const Plan plan = model.plan();
  ASSERT_EQ(plan.size(), 1u);
  EXPECT_TRUE(std::holds_alternative<Retry>(plan[0]));
  model.sites["one"].error.reset();
  EXPECT_GE(model.settle(), 0);
  EXPECT_FALSE(model.app.status.reason);
}

TEST(ApplicationPlan, WithoutAManifestSaysWhatIsMissing) {
  Model model;
  model.bind("one");
  model.app.spec.manifest.clear();
  model.app.spec.tosca.value = "http://example.org/t.yaml";
  EXPECT_GE(model.settle(), 0);
  EXPECT_EQ(model.app.status.reason->code, ReasonCode::INVALID_TOSCA_MANIFEST);
  EXPECT_EQ(model.app.status.state, State::FAILED);
}

TEST(ApplicationPlan, TheSchedulerKeepsItsStateWhileNothingSuits) {
  Model model;
  model.bind("one");
  model.settle();
  model.app.status.state = State::DEGRADED;
  model.app.status.reason = Reason{ReasonCode::NO_SUITABLE_RESOURCE, "none"};
  model.live("one", deployment("d")).make_object().set("status", value_of("{'replicas':1,'readyReplicas':0}"));
  EXPECT_GE(model.settle(), 0);
  EXPECT_EQ(model.app.status.state, State::DEGRADED);
  EXPECT_EQ(model.app.status.reason->code, ReasonCode::NO_SUITABLE_RESOURCE);
  EXPECT_EQ(model.app.status.container_health.running_pods, Integer(0));
}

// ---- amnesia and deletion

TEST(ApplicationPlan, RecoversALostStatusWithoutTouchingAnything) {
  for (const bool rebound : {false, true}) {
    Model model;
    model.bind("one");
    model.settle();
    const auto before = model.app.status;
    model.app.status = {};
    model.memory = {};
    model.mutations = 0;
    if (rebound) model.bind("one");
    EXPECT_GE(model.settle(), 0);
    EXPECT_EQ(model.app.status.running_on, cluster("one"));
    EXPECT_EQ(model.app.status.state, State::RUNNING);
    EXPECT_EQ(as_array(model.app.status.last_applied_manifest), as_array(before.last_applied_manifest));
    EXPECT_EQ(as_array(model.app.status.last_observed_manifest), as_array(before.last_observed_manifest));
    model.bind("one");
    EXPECT_GE(model.settle(), 0);
    EXPECT_EQ(model.mutations, 0);
  }
}

TEST(ApplicationPlan, WithAnOwnerButNoPlaceOnlyLooks) {
  Model model;
  model.bind("one");
  model.settle();
  model.app.status = {};
  model.sites["one"].objects.erase(ref_of(deployment("d")));
  model.mutations = 0;
  EXPECT_GE(model.settle(), 0);
  EXPECT_EQ(model.mutations, 0);
  EXPECT_EQ(model.app.metadata.owners, std::vector{cluster("one")});
}

TEST(ApplicationPlan, DeletesEverywhereThenLetsGo) {
  Model model;
  model.bind("one");
  model.settle();
  model.app.metadata.deleted = model.app.metadata.modified;
  model.app.metadata.owners.push_back(cluster("two"));
  auto stray = value_of(
      "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'stray','uid':'s','labels':{'krake/"
      "application-uid':'uid-of-web',"
      "'app.kubernetes.io/managed-by':'krake'}}}");
  model.sites["two"].objects[ref_of(stray)] = stray;
  auto other = value_of(
      "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'other','uid':'o','labels':{'krake/"
      "application-uid':'x'}}}");
  model.sites["two"].objects[ref_of(other)] = other;
  const Plan plan = model.plan();
  EXPECT_FALSE(std::ranges::any_of(plan, [](const Action& a) { return std::holds_alternative<PatchMeta>(a); }))
      << to_string(plan);
  EXPECT_GE(model.settle(), 0);
  EXPECT_TRUE(model.sites["one"].objects.empty());
  EXPECT_EQ(model.sites["two"].objects.size(), 1u);
  EXPECT_TRUE(model.app.metadata.finalizers.empty());
}

// A name in a manifest is a wish: what somebody else has made there is not ours to delete.
TEST(ApplicationPlan, DeletesUnlabelledObjectsOnlyWhenUpstreamMadeAndRecordedThemWhereItRuns) {
  struct Case {
    const char* name;
    bool recorded;
    bool upstreams;
    bool running_here;
    bool removed;
  };
  const Case cases[] = {{"wanted only", false, true, true, false},
                        {"recorded, made by somebody else", true, false, true, false},
                        {"recorded, elsewhere", true, true, false, false},
                        {"recorded, made by upstream", true, true, true, true}};
  for (const auto& c : cases) {
    Model model;
    model.bind("one");
    model.app.metadata.finalizers = {"kubernetes_resources_deletion"};
    model.app.status.state = State::RUNNING;
    model.app.status.running_on = cluster(c.running_here ? "one" : "two");
    model.app.status.last_applied_manifest = {config_map("a")};
    if (c.recorded) model.app.status.last_observed_manifest = {config_map("a")};
    json::Value live = config_map("a");
    auto& metadata = live.make_object()["metadata"].make_object();
    metadata.set("uid", "theirs");
    const char* manager = c.upstreams ? "OpenAPI-Generator" : "kubectl";
    metadata.set("managedFields", json::Array{json::Object{{"manager", manager}, {"operation", "Update"}}});
    model.sites["one"].objects[ref_of(live)] = live;
    model.app.metadata.deleted = model.app.metadata.modified;
    EXPECT_GE(model.settle(), 0) << c.name;
    EXPECT_EQ(model.has("one", config_map("a")), !c.removed) << c.name;
    EXPECT_TRUE(model.app.metadata.finalizers.empty()) << c.name;
  }
}

// What could not be looked at was perhaps sent, perhaps never: whose it is only a label tells.
TEST(ApplicationPlan, AWishThatNobodySawCarriedOutClaimsNothing) {
  for (const bool sent : {true, false}) {
    Model model;
    model.app.spec.manifest = {config_map("a")};
    model.bind("one");
    model.settle();
    auto& one = model.sites["one"];
    one.hidden = {"Gadget"};
    const auto gadget = object_of("{'apiVersion':'example.org/v1','kind':'Gadget','metadata':{'name':'precious'}}");
    model.app.spec.manifest = {config_map("a"), gadget};
    EXPECT_GE(model.settle(), 0);
    ASSERT_EQ(model.app.status.last_applied_manifest.size(), 2u);
    model.app.spec.manifest = {config_map("a")};
    EXPECT_GE(model.settle(), 0);
    EXPECT_EQ(model.app.status.last_observed_manifest.size(), 1u);
    ASSERT_EQ(model.cleanup(), std::vector{cluster("one")}) << "its name is not lost";
    json::Value live = gadget;
    auto& metadata = live.make_object()["metadata"].make_object();
    metadata.set("uid", "g");
    metadata.set("managedFields", json::Array{json::Object{{"manager", "OpenAPI-Generator"}}});
    if (sent) live = labelled(live, {std::string(kUid), "krake"});
    one.objects[ref_of(gadget)] = live;
    one.hidden.clear();
    EXPECT_GE(model.settle(), 0);
    EXPECT_EQ(model.has("one", gadget), !sent);
    EXPECT_TRUE(model.cleanup().empty());
    EXPECT_TRUE(model.plan().empty()) << to_string(model.plan());
  }
}

TEST(ApplicationPlan, LooksOnlyAtOwnersOfItsOwnNamespace) {
  Model model;
  model.bind("one");
  auto elsewhere = cluster("one");
  elsewhere.namespace_ = "other";
  model.app.metadata.owners.push_back(elsewhere);
  model.app.metadata.owners.push_back(cluster("two"));
  EXPECT_EQ(clusters_of(model.app), (std::vector{cluster("one"), cluster("two")}));
}

// Neither another application's object nor what nobody has claimed yet is written down as seen of this application.
TEST(ApplicationPlan, RecordsOnlyWhatIsItsOwn) {
  Model model;
  model.bind("one");
  model.app.spec.manifest = {config_map("a"), deployment("d")};
  json::Value foreign = deployment("d");
  foreign.make_object()["metadata"] = value_of("{'name':'d','uid':'f','labels':{'krake/application-uid':'somebody'}}");
  foreign.make_object().set("status", value_of("{'replicas':9,'readyReplicas':9}"));
  model.sites["one"].objects[ref_of(foreign)] = foreign;
  EXPECT_GE(model.settle(), 0);
  ASSERT_EQ(model.app.status.last_observed_manifest.size(), 1u);
  EXPECT_EQ(json::Value(model.app.status.last_observed_manifest[0]).string_at({"kind"}), "ConfigMap");
  EXPECT_EQ(model.app.status.container_health.desired_pods, Integer(0));
}

TEST(ApplicationPlan, DoesNotRemoveWhatIsOnItsWayOut) {
  Model model;
  model.bind("one");
  model.settle();
  model.app.metadata.deleted = model.app.metadata.modified;
  for (auto& [ref, object] : model.sites["one"].objects) {
    object.make_object()["metadata"].make_object().set("deletionTimestamp", "2026-01-01T00:00:00Z");
  }
  const Plan plan = model.plan();
  EXPECT_TRUE(std::ranges::none_of(plan, [](const Action& a) { return std::holds_alternative<Remove>(a); }))
      << to_string(plan);
  EXPECT_FALSE(model.app.metadata.finalizers.empty());
}

TEST(ApplicationPlan, DeletionTellsWhichFinalizersKeepAnObject) {
  Model model;
  model.bind("one");
  model.settle();
  model.app.metadata.deleted = model.app.metadata.modified;
  const auto since = to_string(DateTime::from_wall(model.wall()));
  for (auto& [ref, object] : model.sites["one"].objects) {
    auto& metadata = object.make_object()["metadata"].make_object();
    metadata.set("deletionTimestamp", since);
    metadata.set("finalizers", json::Array{"example.org/hold", "example.org/wait"});
  }
  EXPECT_GE(model.settle(), 0);
  EXPECT_EQ(model.app.status.state, State::DELETING);
  EXPECT_FALSE(model.app.status.reason) << "it may be quick yet";
  model.app.status.reason =
      Reason{ReasonCode::NO_SUITABLE_RESOURCE, "no cluster fits"};  // which does not matter any more
  model.now += seconds(31);
  EXPECT_GE(model.settle(), 0);
  EXPECT_EQ(model.app.status.state, State::DELETING);
  ASSERT_TRUE(model.app.status.reason);
  EXPECT_EQ(model.app.status.reason->code, ReasonCode::DELETE_FAILED);
  EXPECT_THAT(
      model.app.status.reason->message,
      AllOf(HasSubstr("Cluster demo/one"), HasSubstr("example.org/hold, example.org/wait"), HasSubstr("(and 1 more)")));
  EXPECT_FALSE(model.app.metadata.finalizers.empty());
  model.sites["one"].objects.clear();
  EXPECT_GE(model.settle(), 0);
  EXPECT_TRUE(model.app.metadata.finalizers.empty());
}

TEST(ApplicationPlan, DeletionWaitsForAnUnreachableCluster) {
  Model model;
  model.bind("one");
  model.settle();
  model.app.metadata.deleted = model.app.metadata.modified;
  model.sites["one"].error = Reason{ReasonCode::KUBERNETES_ERROR, "no route"};
  EXPECT_GE(model.settle(), 0);
  EXPECT_EQ(model.app.status.state, State::DELETING);
  EXPECT_FALSE(model.app.metadata.finalizers.empty());
  model.sites["one"].exists = false;  // nobody can be asked any more
  EXPECT_GE(model.settle(), 0);
  EXPECT_TRUE(model.app.metadata.finalizers.empty());
}

TEST(ApplicationPlan, HoldsBackReportsButNotRepairs) {
  Model model;
  model.bind("one");
  model.settle();
  model.status_rate_limited = true;
  model.memory.status_allowed_at = model.now + seconds(1);
  model.live("one", deployment("d")).make_object().set("status", value_of("{'replicas':1,'readyReplicas':0}"));
  EXPECT_EQ(model.plan(), Plan{Wait{seconds(1)}});
  model.sites["one"].objects.erase(ref_of(config_map("a")));
  EXPECT_EQ(std::ranges::count_if(model.plan(), mutates_cluster), 1);
}

TEST(ApplicationPlan, KeepsTheLastValueOfAFieldNamedOnlyInTheSchema) {
  Model model;
  model.app.spec.manifest = {config_map("a")};
  model.app.spec.observer_schema = {
      object_of("{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'a'},'data':{'x':null,'y':null}}")};
  model.bind("one");
  model.settle();
  model.live("one", config_map("a")).make_object()["data"].make_object().set("y", "grown");
  EXPECT_GE(model.settle(), 0);
  model.live("one", config_map("a")).make_object()["data"].make_object().set("y", "changed");
  EXPECT_GE(model.settle(), 0);
  EXPECT_EQ(model.live("one", config_map("a")).string_at({"data", "y"}), "grown");
}

// ---- properties

// Random histories: whatever happens, foreign objects survive, plans are idempotent when all is quiet, and the
// application ends where it is wanted and nowhere else.
TEST(ApplicationPlanProperty, RandomHistoriesConvergeAndTouchOnlyWhatIsOurs) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    Random random(seed);
    Model model;
    json::Value foreign = config_map("foreign");
    foreign.make_object()["metadata"].make_object().set("labels", json::Object{{"krake/application-uid", "somebody"}});
    foreign.make_object()["metadata"].make_object().set("uid", "f");
    for (auto& [name, site] : model.sites) site.objects[ref_of(foreign)] = foreign;
    model.bind("one");
    for (int step = 0; step < 25; ++step) {
      switch (random.below(10)) {
        case 0:
          model.app.spec.manifest = {config_map("a", std::to_string(random.below(3))), deployment("d")};
          break;
        case 1:
          model.app.spec.manifest = {deployment("d"), config_map("b")};
          break;
        case 2:
          model.bind(random.chance(0.5) ? "one" : "two");
          break;
        case 3:
          model.memory = {};  // restarted
          break;
        case 4: {
          auto& site = model.sites[random.chance(0.5) ? "one" : "two"];
          site.error =
              random.chance(0.5) ? std::optional(Reason{ReasonCode::KUBERNETES_ERROR, "no route"}) : std::nullopt;
          break;
        }
        case 5: {
          auto& objects = model.sites[random.chance(0.5) ? "one" : "two"].objects;
          std::erase_if(objects, [&](const auto& entry) { return entry.second != foreign && random.chance(0.5); });
          break;
        }
        case 6: {
          Plan plan = model.plan();  // dies in the middle
          plan.resize(random.below(plan.size() + 1));
          model.carry_out(plan);
          break;
        }
        case 7:
          model.now += seconds(random.below(90));
          break;
        case 8:
          model.sites[random.chance(0.5) ? "one" : "two"].watched = random.chance(0.5);
          break;
        default:
          model.carry_out(model.plan());
      }
    }
    for (auto& [name, site] : model.sites) site.error.reset();
    for (int i = 0; i < 8; ++i) {
      ASSERT_GE(model.settle(), 0) << "seed " << seed << ": " << to_string(model.plan());
      model.now += std::chrono::minutes(10);
    }
    const std::string place = model.app.status.scheduled_to->name;
    for (auto& [name, site] : model.sites) {
      ASSERT_EQ(site.objects.at(ref_of(foreign)), foreign) << "seed " << seed;
      ASSERT_EQ(site.objects.size(), name == place ? 3u : 1u)
          << "seed " << seed << " at " << name << ": " << to_string(model.plan());
    }
    EXPECT_EQ(model.app.status.running_on, cluster(place));
    EXPECT_EQ(model.app.status.state, State::RUNNING) << "seed " << seed;
    EXPECT_EQ(model.app.metadata.owners, std::vector{cluster(place)}) << "seed " << seed;
    EXPECT_TRUE(model.cleanup().empty()) << "seed " << seed;
    EXPECT_TRUE(model.plan().empty()) << "seed " << seed << ": " << to_string(model.plan());
  }
}

TEST(ApplicationPlan, PrintsWhatItWillDo) {
  Model model;
  model.bind("one");
  EXPECT_EQ(
      to_string(model.plan()),
      "PatchMeta finalizers=[kubernetes_resources_deletion]; PatchStatus last_applied_manifest mangled_observer_schema "
      "state=CREATING cleanup; "
      "Apply ConfigMaps default/a on Cluster demo/one; Apply Deployments.apps default/d on Cluster demo/one; Again");
}

}  // namespace
}  // namespace krake::application
