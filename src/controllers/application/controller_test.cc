
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controllers/application/status.h"
#include "controllers/application/test_bench.h"

namespace krake::application {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t kSeeds = 6;

TEST(ApplicationController, CreatesReportsAndFallsSilent) {
  Bench bench;
  bench.create("web", {deployment("web"), config_map("settings"), node_port_service("web")});
  bench.pass(seconds(5));
  EXPECT_EQ(bench.mutations(), 0u) << "nothing is done before the scheduler has decided";
  bench.bind("web", "one");
  ASSERT_TRUE(bench.healthy_on("web", "one")) << bench.show("web");
  const auto app = *bench.get("web");
  EXPECT_EQ(app.metadata.finalizers, std::vector<std::string>{"kubernetes_resources_deletion"});
  EXPECT_EQ(app.status.container_health.desired_pods, Integer(2));
  EXPECT_EQ(app.status.last_applied_manifest, app.spec.manifest);
  EXPECT_EQ(app.status.last_observed_manifest.size(), 3u);
  EXPECT_EQ(app.status.mangled_observer_schema.size(), 3u);
  ASSERT_TRUE(app.status.services.contains("web"));
  EXPECT_THAT(*app.status.services.find("web")->if_string(), HasSubstr("one.test:3"));
  const auto live = bench.sim("one").find("deployments", "default", "web");
  ASSERT_TRUE(live);
  EXPECT_EQ(live->string_at({"metadata", "labels", kApplicationUid}), app.metadata.uid);
  EXPECT_EQ(live->string_at({"metadata", "labels", kManagedBy}), "krake");
  EXPECT_EQ(live->string_at({"metadata", "labels", kInstallation}), "krake");
  bench.expect_silence();
}

TEST(ApplicationController, PutsDeletedAndChangedObjectsRight) {
  Bench bench;
  bench.create("web", {deployment("web"), config_map("settings")});
  bench.bind("web", "one");
  ASSERT_TRUE(bench.healthy_on("web", "one")) << bench.show("web");
  auto& sim = bench.sim("one");
  ASSERT_TRUE(sim.erase("configmaps", "default", "settings"));
  ASSERT_TRUE(sim.merge("deployments", "default", "web", value_of("{'spec':{'replicas':7}}")));
  EXPECT_TRUE(bench.wait(
      [&] {
        const auto live = sim.find("deployments", "default", "web");
        return sim.find("configmaps", "default", "settings") && live && live->int_at({"spec", "replicas"}) == 2;
      },
      seconds(3)));
  // Labels too: without them the object would be out of sight.
  ASSERT_TRUE(sim.merge("configmaps", "default", "settings", value_of("{'metadata':{'labels':null}}")));
  EXPECT_TRUE(bench.wait(
      [&] {
        return sim.find("configmaps", "default", "settings")->string_at({"metadata", "labels", kManagedBy}) == "krake";
      },
      seconds(3)));
  ASSERT_TRUE(bench.healthy_on("web", "one")) << bench.show("web");
  bench.expect_silence();
}

TEST(ApplicationController, GoesOnRepairingWhileTheApiIsAway) {
  Bench bench;
  bench.create("web", {config_map("settings")});
  bench.bind("web", "one");
  ASSERT_TRUE(bench.healthy_on("web", "one"));
  bench.api_off = true;
  bench.pass(minutes(1));
  ASSERT_TRUE(bench.sim("one").erase("configmaps", "default", "settings"));
  EXPECT_TRUE(
      bench.wait([&] { return bench.sim("one").find("configmaps", "default", "settings") != nullptr; }, seconds(5)));
}

TEST(ApplicationController, GoesOnRepairingWhileTheApiHangs) {
  Bench bench({"one"});
  const int kApps = 12;
  const auto name = [](int i) { return "web-" + std::to_string(i); };
  for (int i = 0; i < kApps; ++i) {
    bench.create(name(i), {deployment(name(i)), config_map(name(i))});
    bench.bind(name(i), "one");
  }
  for (int i = 0; i < kApps; ++i) ASSERT_TRUE(bench.healthy_on(name(i), "one")) << bench.show(name(i));
  bench.pass(seconds(30));
  bench.api_hangs = true;
  // Something to report of each, which cannot be written, and then something to do.
  bench.sim("one").faults.pods_never_ready = true;
  for (int i = 0; i < kApps; ++i) ASSERT_TRUE(bench.sim("one").erase("deployments", "default", name(i)));
  bench.pass(seconds(8));
  for (int i = 0; i < kApps; ++i) ASSERT_TRUE(bench.sim("one").erase("configmaps", "default", name(i)));
  EXPECT_TRUE(bench.wait(
      [&] {
        for (int i = 0; i < kApps; ++i) {
          if (!bench.sim("one").find("configmaps", "default", name(i))) return false;
        }
        return true;
      },
      seconds(12)));
  bench.api_hangs = false;
  bench.sim("one").faults.pods_never_ready = false;
}

TEST(ApplicationController, AppliesAnUpdateAndTakesAwayWhatIsDropped) {
  Bench bench;
  bench.create("web", {deployment("web"), config_map("settings", "{'x':'1','y':'2'}"), config_map("old")});
  bench.bind("web", "one");
  ASSERT_TRUE(bench.healthy_on("web", "one"));
  bench.update("web", {deployment("web", 3), config_map("settings", "{'x':'9'}")});
  bench.pass(seconds(2));
  EXPECT_TRUE(bench.sim("one").find("configmaps", "default", "old")) << "not before the scheduler has confirmed";
  bench.bind("web", "one");
  ASSERT_TRUE(bench.wait([&] { return bench.get("web")->status.container_health.running_pods == Integer(3); }))
      << bench.show("web");
  EXPECT_FALSE(bench.sim("one").find("configmaps", "default", "old"));
  const auto live = bench.sim("one").find("configmaps", "default", "settings");
  EXPECT_EQ(*live->at_path({"data"}), value_of("{'x':'9'}"));
  EXPECT_TRUE(bench.healthy_on("web", "one"));
  EXPECT_EQ(bench.get("web")->status.last_observed_manifest.size(), 2u);
  bench.expect_silence();
}

TEST(ApplicationController, MigratesAndCleansTheSource) {
  Bench bench;
  bench.create("web", {deployment("web"), config_map("settings")});
  bench.bind("web", "one");
  ASSERT_TRUE(bench.healthy_on("web", "one"));
  bench.bind("web", "two");
  bool gap = false;
  ASSERT_TRUE(bench.wait([&] {
    gap = gap || (!bench.sim("one").find("deployments", "default", "web") &&
                  !bench.sim("two").find("deployments", "default", "web"));
    return bench.get("web")->status.running_on == Bench::ref("two");
  })) << bench.show("web");
  EXPECT_FALSE(gap);
  ASSERT_TRUE(bench.healthy_on("web", "two")) << bench.show("web");
  EXPECT_FALSE(bench.sim("one").find("deployments", "default", "web"));
  EXPECT_FALSE(bench.sim("one").find("configmaps", "default", "settings"));
  bench.expect_silence();
}

// The port is the key of a Service's ports: ours beside the changed one is refused, for want of names or for the same.
TEST(ApplicationController, PutsAServicesPortRight) {
  for (const std::string name : {"", "'name':'http',"}) {
    SCOPED_TRACE(name);
    Bench bench;
    auto& sim = bench.sim("one");
    const auto service = [&](int port) {
      return object_of(
          fmt::format("{{'apiVersion':'v1','kind':'Service','metadata':{{'name':'web'}},'spec':{{"
                      "'selector':{{'a':'b'}},'ports':[{{{}'port':{},'targetPort':8080}}]}}}}",
                      name, port));
    };
    const auto ports = [&] { return *sim.find("services", "default", "web")->at_path({"spec", "ports"}); };
    const auto has_port = [&](int port) {
      return ports().if_array()->size() == 1 && ports().if_array()->front().int_at({"port"}) == port;
    };
    bench.create("web", {service(80)});
    bench.bind("web", "one");
    ASSERT_TRUE(bench.healthy_on("web", "one")) << bench.show("web");
    ASSERT_TRUE(sim.merge("services", "default", "web",
                          value_of("{'spec':{'ports':[{" + name + "'port':81,'targetPort':8080,'protocol':'TCP'}]}}")));
    EXPECT_TRUE(bench.wait([&] { return has_port(80); }, seconds(10))) << json::print(ports());
    EXPECT_TRUE(bench.healthy_on("web", "one")) << bench.show("web");
    bench.expect_silence(minutes(5));
    // And it is ours as if it had been applied: another one takes its place.
    bench.update("web", {service(90)});
    bench.bind("web", "one");
    EXPECT_TRUE(bench.wait([&] { return has_port(90); }, seconds(10))) << json::print(ports());
    EXPECT_TRUE(bench.healthy_on("web", "one")) << bench.show("web");
  }
}

// What of a refused change would be taken by itself is not carried out: it would roll out one half of it.
TEST(ApplicationController, ARefusedChangeIsNotCarriedOutByHalf) {
  Bench bench({"one"});
  auto& sim = bench.sim("one");
  const auto named = [](const std::string& container, const std::string& app) {
    return object_of(
        "{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'web'},'spec':{'replicas':1,"
        "'selector':{'matchLabels':{'app':'" +
        app + "'}},'template':{'metadata':{'labels':{'app':'" + app + "'}},'spec':{'containers':[{'name':'" +
        container + "','image':'nginx'}]}}}}");
  };
  const auto containers = [&] {
    return *sim.find("deployments", "default", "web")->at_path({"spec", "template", "spec", "containers"});
  };
  bench.create("web", {named("a", "web")});
  bench.bind("web", "one");
  ASSERT_TRUE(bench.healthy_on("web", "one")) << bench.show("web");
  const auto before = containers();
  bench.update("web", {named("b", "other")});
  bench.bind("web", "one");
  ASSERT_TRUE(bench.wait([&] { return bench.get("web")->status.reason.has_value(); })) << bench.show("web");
  bench.pass(minutes(2));
  EXPECT_EQ(containers(), before);
  EXPECT_THAT(bench.get("web")->status.reason->message, HasSubstr("spec.selector"));
  // Nor with a container of somebody else's in the place of ours.
  ASSERT_TRUE(sim.merge("deployments", "default", "web",
                        value_of("{'spec':{'template':{'spec':{'containers':[{'name':'x','image':'nginx'}]}}}}")));
  const auto theirs = containers();
  bench.pass(minutes(2));
  EXPECT_EQ(containers(), theirs);
}

// Put right, and the answer was lost; of the watch that should have shown it nothing is heard any more.
TEST(ApplicationController, LeavesNothingBehindThatItsWatchHasNotShown) {
  Bench bench;
  auto& one = bench.sim("one");
  bench.create("web", {config_map("settings")});
  bench.bind("web", "one");
  ASSERT_TRUE(bench.healthy_on("web", "one"));
  bool lost = false;
  bench.dialer.loses = [&](const HttpRequest& request) {
    if (request.method != "PATCH" || lost) return false;
    one.faults.silent_watches = true;
    return lost = true;
  };
  ASSERT_TRUE(one.erase("configmaps", "default", "settings"));
  ASSERT_TRUE(bench.wait([&] { return lost && one.find("configmaps", "default", "settings"); }, seconds(10)));
  bench.bind("web", "two");
  EXPECT_TRUE(bench.healthy_on("web", "two")) << bench.show("web");
  EXPECT_FALSE(one.find("configmaps", "default", "settings"));
}

TEST(ApplicationController, StaysWhenTheTargetDoesNotGetHealthy) {
  Bench bench;
  bench.options.migration_retry = minutes(10);
  bench.restart();
  bench.create("web", {deployment("web")});
  bench.bind("web", "one");
  ASSERT_TRUE(bench.healthy_on("web", "one"));
  bench.sim("two").faults.pods_never_ready = true;
  bench.bind("web", "two");
  ASSERT_TRUE(bench.wait([&] { return bench.get("web")->status.state == State::MIGRATING; }));
  ASSERT_TRUE(bench.wait([&] {
    const auto reason = bench.get("web")->status.reason;
    return reason && reason->code == ReasonCode::CREATE_FAILED;
  })) << bench.show("web");
  bench.pass(seconds(10));
  EXPECT_EQ(bench.get("web")->status.running_on, Bench::ref("one"));
  EXPECT_EQ(bench.get("web")->status.state, State::RUNNING);
  EXPECT_TRUE(bench.sim("one").find("deployments", "default", "web"));
  EXPECT_FALSE(bench.sim("two").find("deployments", "default", "web"));
  bench.sim("two").faults.pods_never_ready = false;
  ASSERT_TRUE(bench.wait([&] { return bench.get("web")->status.running_on == Bench::ref("two"); }, minutes(15)))
      << bench.show("web");
  ASSERT_TRUE(bench.healthy_on("web", "two"));
  bench.expect_silence();
}

TEST(ApplicationController, FailsOverFromADeadClusterAndCleansItLater) {
  Bench bench;
  bench.create("web", {deployment("web")});
  bench.bind("web", "one");
  ASSERT_TRUE(bench.healthy_on("web", "one"));
  bench.cut("one");
  bench.pass(minutes(1));
  bench.bind("web", "two");
  ASSERT_TRUE(bench.wait_state("web", State::RUNNING, "two")) << bench.show("web");
  bench.pass(minutes(5));
  EXPECT_EQ(bench.get("web")->metadata.owners, std::vector{Bench::ref("two")});
  ASSERT_TRUE(bench.get("web")->status.cleanup);
  EXPECT_EQ(bench.get("web")->status.cleanup->front().cluster, Bench::ref("one"));
  EXPECT_TRUE(bench.sim("one").find("deployments", "default", "web"));
  bench.sites.at("one").off = false;
  ASSERT_TRUE(bench.healthy_on("web", "two")) << bench.show("web");
  EXPECT_FALSE(bench.sim("one").find("deployments", "default", "web"));
  bench.expect_silence();
}

TEST(ApplicationController, EmptiesNoSourceForATargetThatRefuses) {
  const auto set = object_of(
      "{'apiVersion':'apps/v1','kind':'StatefulSet','metadata':{'name':'db'},'spec':{'replicas':1,'serviceName':'db',"
      "'selector':{'matchLabels':{'app':'db'}},'template':{'metadata':{'labels':{'app':'db'}},'spec':{'containers':"
      "[{'name':'c','image':'postgres'}]}}}}");
  Bench bench;
  bench.create("web", {set, config_map("settings")});
  bench.bind("web", "one");
  ASSERT_TRUE(bench.healthy_on("web", "one")) << bench.show("web");
  bench.sim("two").faults.forbidden = {"patch:statefulsets.apps"};
  bench.bind("web", "two");
  bool gap = false;
  ASSERT_TRUE(bench.wait([&] {
    gap = gap || !bench.sim("one").find("statefulsets", "default", "db");
    const auto reason = bench.get("web")->status.reason;
    return reason && reason->code == ReasonCode::CREATE_FAILED;
  })) << bench.show("web");
  EXPECT_FALSE(gap);
  EXPECT_FALSE(bench.sim("two").find("configmaps", "default", "settings"));
  bench.sim("two").faults.forbidden.clear();
  ASSERT_TRUE(bench.wait([&] { return bench.get("web")->status.running_on == Bench::ref("two"); }, minutes(15)))
      << bench.show("web");
  ASSERT_TRUE(bench.healthy_on("web", "two")) << bench.show("web");
  EXPECT_FALSE(bench.sim("one").find("statefulsets", "default", "db"));
}

TEST(ApplicationController, DeletesItsObjectsBeforeItLetsGo) {
  Bench bench;
  bench.create("web", {deployment("web"), config_map("settings")});
  bench.bind("web", "one");
  ASSERT_TRUE(bench.healthy_on("web", "one"));
  ASSERT_TRUE(bench.api.world.run(bench.user.remove<Application>(Bench::key("web"))));
  bench.pass(seconds(10));
  EXPECT_TRUE(bench.sim("one").find("deployments", "default", "web")) << "cascade_deletion comes first";
  json::Object metadata{{"finalizers", json::Array{"kubernetes_resources_deletion"}}};
  ASSERT_TRUE(
      bench.api.world.run(bench.user.patch<Application>(Bench::key("web"), json::Object{{"metadata", metadata}})));
  ASSERT_TRUE(bench.wait([&] { return !bench.get("web"); })) << bench.show("web");
  EXPECT_FALSE(bench.sim("one").find("deployments", "default", "web"));
  EXPECT_FALSE(bench.sim("one").find("configmaps", "default", "settings"));
  bench.expect_silence();
}

TEST(ApplicationController, DoesNotDeleteWhatItHasNeverApplied) {
  Bench bench;
  auto dialled = bench.dialer.dial({.url = Bench::url("two")});
  HttpRequest post{.method = "POST",
                   .target = "/api/v1/namespaces/default/configmaps",
                   .headers = {},
                   .body = json::print(config_map("settings", "{'of':'the operator'}"))};
  post.headers.add("Content-Type", "application/json");
  post.headers.add("Authorization", "Bearer sim-token");
  ASSERT_EQ(bench.api.world.run((*dialled)->send(post))->status, 201);
  bench.create("web", {config_map("settings")});
  bench.bind("web", "one");
  ASSERT_TRUE(bench.healthy_on("web", "one"));
  // Whoever may write the application can name any cluster as owner.
  json::Object metadata{{"finalizers", json::Array{"kubernetes_resources_deletion"}},
                        {"owners", json::Array{to_value(Bench::ref("one")), to_value(Bench::ref("two"))}}};
  ASSERT_TRUE(bench.api.world.run(bench.user.remove<Application>(Bench::key("web"))));
  ASSERT_TRUE(
      bench.api.world.run(bench.user.patch<Application>(Bench::key("web"), json::Object{{"metadata", metadata}})));
  ASSERT_TRUE(bench.wait([&] { return !bench.get("web"); })) << bench.show("web");
  EXPECT_FALSE(bench.sim("one").find("configmaps", "default", "settings"));
  EXPECT_TRUE(bench.sim("two").find("configmaps", "default", "settings"));
}

TEST(ApplicationController, RemembersFromTheClusterWhatTheStatusForgot) {
  for (const bool restarted : {false, true}) {
    Bench bench;
    bench.create("web", {deployment("web"), config_map("settings")});
    bench.bind("web", "one");
    ASSERT_TRUE(bench.healthy_on("web", "one"));
    bench.pass(seconds(20));
    if (restarted) bench.stop();
    const auto before = bench.get("web")->status;
    const auto mutations = bench.mutations();
    bench.wipe_status("web");
    if (restarted) bench.start();
    ASSERT_TRUE(bench.wait_state("web", State::RUNNING, "one")) << bench.show("web");
    EXPECT_FALSE(bench.get("web")->status.scheduled_to);
    bench.bind("web", "one");
    ASSERT_TRUE(bench.healthy_on("web", "one"));
    bench.expect_silence();
    EXPECT_EQ(bench.mutations(), mutations);
    const auto after = bench.get("web")->status;
    EXPECT_EQ(after.last_applied_manifest, before.last_applied_manifest);
    EXPECT_EQ(after.last_observed_manifest, before.last_observed_manifest);
    EXPECT_EQ(after.container_health, before.container_health);
  }
}

TEST(ApplicationController, LeavesObjectsOfAnotherApplicationAlone) {
  Bench bench;
  bench.create("web", {config_map("settings", "{'of':'web'}")});
  bench.bind("web", "one");
  ASSERT_TRUE(bench.healthy_on("web", "one"));
  bench.create("rival", {config_map("settings", "{'of':'rival'}"), config_map("own")});
  bench.bind("rival", "one");
  ASSERT_TRUE(bench.wait([&] { return bench.get("rival")->status.state == State::FAILED; })) << bench.show("rival");
  EXPECT_THAT(bench.get("rival")->status.reason->message, HasSubstr(bench.get("web")->metadata.uid));
  EXPECT_TRUE(bench.sim("one").find("configmaps", "default", "own"));
  EXPECT_EQ(bench.sim("one").find("configmaps", "default", "settings")->string_at({"data", "of"}), "web");
  bench.expect_silence();
  // Another name helps.
  bench.update("rival", {config_map("mine"), config_map("own")});
  bench.bind("rival", "one");
  ASSERT_TRUE(bench.healthy_on("rival", "one")) << bench.show("rival");
  EXPECT_EQ(bench.sim("one").find("configmaps", "default", "settings")->string_at({"data", "of"}), "web");
}

TEST(ApplicationController, AnObjectNamedTwiceDoesNotMakeItRunInCircles) {
  Bench bench({"one"});
  bench.create("web", {config_map("settings", "{'of':'first'}"), config_map("other")});
  // Past the checks of the API, as in what an older server has stored.
  bench.bind("web", "one");
  ASSERT_TRUE(bench.healthy_on("web", "one"));
  auto twice = object_of(
      "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'settings','namespace':'default'},"
      "'data':{'of':'second'}}");
  json::Array objects{config_map("settings", "{'of':'first'}"), twice};
  const auto changed = bench.api.world.run(
      bench.user.patch<Application>(Bench::key("web"), json::Object{{"spec", json::Object{{"manifest", objects}}}}));
  if (!changed) return;  // refused at the door
  bench.bind("web", "one");
  ASSERT_TRUE(bench.wait([&] { return bench.get("web")->status.state == State::FAILED; })) << bench.show("web");
  EXPECT_EQ(bench.get("web")->status.reason->code, ReasonCode::INVALID_RESOURCE);
  EXPECT_EQ(bench.sim("one").find("configmaps", "default", "settings")->string_at({"data", "of"}), "first");
  bench.expect_silence();
}

TEST(ApplicationController, SaysWhichKindIsUnknown) {
  Bench bench;
  bench.create("web", {config_map("settings"),
                       object_of("{'apiVersion':'example.org/v1','kind':'Widget','metadata':{'name':'w'}}")});
  bench.bind("web", "one");
  ASSERT_TRUE(bench.wait([&] { return bench.get("web")->status.state == State::FAILED; })) << bench.show("web");
  EXPECT_EQ(bench.get("web")->status.reason->code, ReasonCode::UNSUPPORTED_RESOURCE);
  EXPECT_THAT(bench.get("web")->status.reason->message, HasSubstr("Widget"));
  EXPECT_TRUE(bench.sim("one").find("configmaps", "default", "settings"));
  bench.expect_silence();
}

TEST(ApplicationController, OneInvalidObjectDoesNotKeepTheOthersWaiting) {
  Bench bench;
  const auto invalid =
      object_of("{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'bad'},'spec':{'replicas':1}}");
  bench.create("web", {invalid, config_map("settings")});
  bench.bind("web", "one");
  ASSERT_TRUE(bench.wait([&] { return bench.get("web")->status.state == State::FAILED; })) << bench.show("web");
  EXPECT_EQ(bench.get("web")->status.reason->code, ReasonCode::INVALID_RESOURCE);
  EXPECT_TRUE(bench.sim("one").find("configmaps", "default", "settings"));
  bench.update("web", {deployment("web"), config_map("settings")});
  bench.bind("web", "one");
  ASSERT_TRUE(bench.healthy_on("web", "one")) << bench.show("web");
  // At the target of a migration it ends the attempt, not the application.
  bench.update("web", {deployment("web"), config_map("settings"), invalid});
  bench.bind("web", "two");
  ASSERT_TRUE(bench.wait([&] {
    const auto reason = bench.get("web")->status.reason;
    return reason && reason->code == ReasonCode::CREATE_FAILED;
  })) << bench.show("web");
  bench.pass(seconds(10));
  EXPECT_EQ(bench.get("web")->status.running_on, Bench::ref("one"));
  EXPECT_EQ(bench.get("web")->status.state, State::RUNNING);
  EXPECT_TRUE(bench.sim("one").find("deployments", "default", "web"));
  EXPECT_FALSE(bench.sim("two").find("deployments", "default", "web"));
}

// One object that its cluster does not serve is that object's trouble.
TEST(ApplicationController, OneForbiddenObjectStopsNobodyElse) {
  Bench bench({"one"});
  bench.sim("one").faults.forbidden = {"patch:configmaps"};
  bench.create("web", {config_map("settings"), deployment("web")});
  bench.create("other", {deployment("other")});
  bench.bind("web", "one");
  bench.bind("other", "one");
  ASSERT_TRUE(bench.healthy_on("other", "one")) << bench.show("other");
  ASSERT_TRUE(bench.wait([&] {
    const auto web = bench.get("web");
    return web->status.reason && web->status.container_health.running_pods == Integer(2);
  })) << bench.show("web");
  EXPECT_THAT(bench.get("web")->status.reason->message, HasSubstr("settings"));
  EXPECT_EQ(bench.get("web")->status.state, State::CREATING);
  // Drift of the other one is put right meanwhile, at once.
  ASSERT_TRUE(bench.sim("one").erase("deployments", "default", "other"));
  EXPECT_TRUE(
      bench.wait([&] { return bench.sim("one").find("deployments", "default", "other") != nullptr; }, seconds(2)));
  bench.sim("one").faults.forbidden.clear();
  ASSERT_TRUE(bench.healthy_on("web", "one")) << bench.show("web");
}

// The status repeats the manifest, so that it may be too much for Krake's own API.
TEST(ApplicationController, SaysWhenTheStatusCannotBeWritten) {
  Bench bench({"one"});
  bench.ticks = true;
  bench.restart();
  bench.create("web", {config_map("settings", "{'x':'" + std::string(800'000, 'x') + "'}")});
  bench.bind("web", "one");
  ASSERT_TRUE(bench.wait([&] { return bench.get("web")->status.reason.has_value(); }));
  EXPECT_EQ(bench.get("web")->status.reason->code, ReasonCode::INVALID_RESOURCE);
  EXPECT_THAT(bench.get("web")->status.reason->message, HasSubstr("cannot be written"));
  bench.expect_silence();
}

TEST(ApplicationController, ReportsWhatAClusterRefusesThoughTheClockGoesOnMeanwhile) {
  Bench bench({"one"});
  bench.ticks = true;
  bench.restart();
  bench.sim("one").faults.forbidden = {"patch:configmaps"};
  bench.create("web", {config_map("settings")});
  bench.bind("web", "one");
  ASSERT_TRUE(bench.wait([&] { return bench.get("web")->status.reason.has_value(); })) << bench.show("web");
  EXPECT_EQ(bench.get("web")->status.reason->code, ReasonCode::KUBERNETES_ERROR);
  EXPECT_THAT(bench.get("web")->status.reason->message, HasSubstr("settings"));
  bench.sim("one").faults.forbidden.clear();
  ASSERT_TRUE(bench.healthy_on("web", "one")) << bench.show("web");
}

TEST(ApplicationController, ReportsAnUnreachableClusterAndGoesOnWhenItIsBack) {
  Bench bench;
  bench.cut("one");
  bench.create("web", {deployment("web")});
  bench.bind("web", "one");
  ASSERT_TRUE(bench.wait([&] {
    const auto reason = bench.get("web")->status.reason;
    return reason && reason->code == ReasonCode::KUBERNETES_ERROR;
  })) << bench.show("web");
  EXPECT_NE(bench.get("web")->status.state, State::FAILED);
  bench.expect_silence(minutes(10));
  bench.sites.at("one").off = false;
  ASSERT_TRUE(bench.healthy_on("web", "one")) << bench.show("web");
}

// Who waits for a cluster that never answers must not keep the workers from the others.
TEST(ApplicationController, AHangingClusterDoesNotHoldUpTheOthers) {
  Bench bench;
  for (int i = 0; i < 12; ++i) {
    const auto name = "slow-" + std::to_string(i);
    bench.create(name, {config_map(name)});
    bench.bind(name, "one");
  }
  bench.create("web", {config_map("settings")});
  bench.bind("web", "two");
  ASSERT_TRUE(bench.healthy_on("web", "two"));
  ASSERT_TRUE(bench.healthy_on("slow-11", "one"));
  bench.sim("one").faults.hang = true;
  bench.sim("one").cut_watches();
  bench.pass(seconds(2));
  for (int round = 0; round < 5; ++round) {
    // All of them have something to do there.
    for (int i = 0; i < 12; ++i) {
      const auto name = "slow-" + std::to_string(i);
      bench.update(name, {config_map(name, "{'round':'" + std::to_string(round) + "'}")});
      bench.bind(name, "one");
    }
    auto& two = bench.sim("two");
    ASSERT_TRUE(two.erase("configmaps", "default", "settings"));
    const auto is_back = [&] { return two.find("configmaps", "default", "settings") != nullptr; };
    EXPECT_TRUE(bench.wait(is_back, seconds(3))) << round;
    bench.pass(seconds(20));
  }
  bench.sim("one").faults.hang = false;
  ASSERT_TRUE(bench.healthy_on("slow-0", "one")) << bench.show("slow-0");
  EXPECT_EQ(bench.sim("one").find("configmaps", "default", "slow-0")->string_at({"data", "round"}), "4");
}

TEST(ApplicationController, WithoutTheRightToListItLooksByName) {
  Bench bench;
  for (const auto* site : {"one", "two"}) bench.sim(site).faults.forbidden = {"list:configmaps", "watch:configmaps"};
  bench.create("web", {config_map("settings"), deployment("web")});
  bench.bind("web", "one");
  ASSERT_TRUE(bench.healthy_on("web", "one")) << bench.show("web");
  EXPECT_EQ(bench.get("web")->status.last_observed_manifest.size(), 2u);
  ASSERT_TRUE(bench.sim("one").erase("configmaps", "default", "settings"));
  EXPECT_TRUE(
      bench.wait([&] { return bench.sim("one").find("configmaps", "default", "settings") != nullptr; }, seconds(15)));
  ASSERT_TRUE(bench.sim("one").merge("configmaps", "default", "settings", value_of("{'data':{'x':'2'}}")));
  EXPECT_TRUE(bench.wait(
      [&] { return bench.sim("one").find("configmaps", "default", "settings")->string_at({"data", "x"}) == "1"; },
      seconds(15)));
  bench.bind("web", "two");
  ASSERT_TRUE(bench.healthy_on("web", "two")) << bench.show("web");
  EXPECT_FALSE(bench.sim("one").find("configmaps", "default", "settings"));
  bench.expect_silence();
}

TEST(ApplicationController, AsksForAFewNamesAtATime) {
  std::map<Mono, int> asked;
  int most = 0;
  Bench bench({"one"});
  auto& sim = bench.sim("one");
  sim.faults.forbidden = {"list:configmaps", "watch:configmaps"};
  std::vector<json::Object> manifest;
  for (int i = 0; i < 20; ++i) manifest.push_back(config_map("c" + std::to_string(i)));
  bench.create("web", manifest);
  bench.bind("web", "one");
  ASSERT_TRUE(bench.healthy_on("web", "one")) << bench.show("web");
  sim.faults.latency = seconds(1);
  bench.dialer.sending = [&](const HttpRequest& request) {
    if (request.method == "GET" && request.target.contains("/configmaps/"))
      most = std::max(most, ++asked[bench.api.world.clock.now()]);
  };
  bench.pass(minutes(1));
  EXPECT_EQ(most, 8);
}

// With its definition goes the kind itself, and an object of a kind that is not served is not there.
TEST(ApplicationController, LeavesNoClusterBehindForAKindThatIsGone) {
  const auto definition = object_of(
      "{'apiVersion':'apiextensions.k8s.io/v1','kind':'CustomResourceDefinition','metadata':{'name':"
      "'widgets.example.org'},'spec':{'group':'example.org','scope':'Namespaced','names':{'plural':'widgets',"
      "'singular':'widget','kind':'Widget','listKind':'WidgetList'},'versions':[{'name':'v1','served':true,"
      "'storage':true,'schema':{'openAPIV3Schema':{'type':'object','x-kubernetes-preserve-unknown-fields':true}}}]}}");
  const auto widget = object_of("{'apiVersion':'example.org/v1','kind':'Widget','metadata':{'name':'w'},'spec':{}}");
  Bench bench;
  bench.create("web", {definition, widget});
  bench.bind("web", "one");
  ASSERT_TRUE(bench.healthy_on("web", "one")) << bench.show("web");
  bench.bind("web", "two");
  ASSERT_TRUE(bench.healthy_on("web", "two")) << bench.show("web");
  ASSERT_TRUE(bench.api.world.run(bench.user.remove<Application>(Bench::key("web"))));
  json::Object metadata{{"finalizers", json::Array{"kubernetes_resources_deletion"}}};
  ASSERT_TRUE(
      bench.api.world.run(bench.user.patch<Application>(Bench::key("web"), json::Object{{"metadata", metadata}})));
  EXPECT_TRUE(bench.wait([&] { return !bench.get("web"); })) << bench.show("web");
}

// What was made in it is there all the same, and is reached in the one that is left.
TEST(ApplicationController, CleansUpWhatWasMadeInAVersionThatIsNoLongerServed) {
  const auto definition = [](std::string_view beta) {
    constexpr std::string_view kVersion =
        "{{'name':'{}','served':{},'storage':{},'schema':{{'openAPIV3Schema':{{'type':'object',"
        "'x-kubernetes-preserve-unknown-fields':true}}}}}}";
    return object_of(fmt::format(
        "{{'apiVersion':'apiextensions.k8s.io/v1','kind':'CustomResourceDefinition','metadata':{{'name':"
        "'widgets.example.org'}},'spec':{{'group':'example.org','scope':'Namespaced','names':{{'plural':'widgets',"
        "'singular':'widget','kind':'Widget','listKind':'WidgetList'}},'versions':[{},{}]}}}}",
        fmt::format(kVersion, "v1", "true", "true"), fmt::format(kVersion, "v1beta1", beta, "false")));
  };
  const auto widget = [](std::string_view name) {
    return object_of(fmt::format(
        "{{'apiVersion':'example.org/v1beta1','kind':'Widget','metadata':{{'name':'{}'}},'spec':{{}}}}", name));
  };
  Bench bench({"one"});
  auto& sim = bench.sim("one");
  bench.create("kinds", {definition("true")});
  bench.bind("kinds", "one");
  ASSERT_TRUE(bench.healthy_on("kinds", "one")) << bench.show("kinds");
  bench.create("web", {widget("w"), config_map("settings")});
  bench.create("rest", {widget("stays"), widget("goes")});
  for (const char* name : {"web", "rest"}) {
    bench.bind(name, "one");
    ASSERT_TRUE(bench.healthy_on(name, "one")) << bench.show(name);
  }
  bench.update("kinds", {definition("false")});
  bench.bind("kinds", "one");
  // What is still wanted stays, though it can no longer be applied.
  bench.update("rest", {widget("stays")});
  bench.bind("rest", "one");
  EXPECT_TRUE(bench.wait([&] { return !sim.find("widgets", "default", "goes"); })) << bench.show("rest");
  EXPECT_TRUE(bench.wait([&] { return bench.show("rest").contains("UNSUPPORTED_RESOURCE"); })) << bench.show("rest");
  EXPECT_TRUE(sim.find("widgets", "default", "stays"));

  ASSERT_TRUE(bench.api.world.run(bench.user.remove<Application>(Bench::key("web"))));
  json::Object metadata{{"finalizers", json::Array{"kubernetes_resources_deletion"}}};
  ASSERT_TRUE(
      bench.api.world.run(bench.user.patch<Application>(Bench::key("web"), json::Object{{"metadata", metadata}})));
  EXPECT_TRUE(bench.wait([&] { return !bench.get("web"); })) << bench.show("web");
  EXPECT_FALSE(sim.find("widgets", "default", "w"));
}

// Not even by name: then it is not known that nothing is left.
TEST(ApplicationController, WhatItMayNotSeeIsNotDeletedYet) {
  Bench bench({"one"});
  bench.create("web", {config_map("settings"), deployment("web")});
  bench.bind("web", "one");
  ASSERT_TRUE(bench.healthy_on("web", "one")) << bench.show("web");
  bench.stop();
  bench.sim("one").faults.forbidden = {"*:configmaps"};
  bench.start();
  ASSERT_TRUE(bench.api.world.run(bench.user.remove<Application>(Bench::key("web"))));
  json::Object metadata{{"finalizers", json::Array{"kubernetes_resources_deletion"}}};
  ASSERT_TRUE(
      bench.api.world.run(bench.user.patch<Application>(Bench::key("web"), json::Object{{"metadata", metadata}})));
  bench.pass(minutes(2));
  ASSERT_TRUE(bench.get("web")) << "the ConfigMap is still there";
  EXPECT_TRUE(bench.sim("one").find("configmaps", "default", "settings"));
  bench.sim("one").faults.forbidden.clear();
  ASSERT_TRUE(bench.wait([&] { return !bench.get("web"); }, minutes(10))) << bench.show("web");
  EXPECT_FALSE(bench.sim("one").find("configmaps", "default", "settings"));
}

TEST(ApplicationController, FollowsAChangedKubeconfig) {
  Bench bench({"one"});
  bench.create("web", {config_map("settings")});
  bench.bind("web", "one");
  ASSERT_TRUE(bench.healthy_on("web", "one"));
  bench.add_site("moved");
  json::Object spec{{"kubeconfig", bench.sim("moved").kubeconfig(Bench::url("moved"), "")}};
  ASSERT_TRUE(bench.api.world.run(bench.user.patch<Cluster>(Bench::key("one"), json::Object{{"spec", spec}})));
  EXPECT_TRUE(
      bench.wait([&] { return bench.sim("moved").find("configmaps", "default", "settings") != nullptr; }, minutes(1)));
}

TEST(ApplicationController, MovesNothingBetweenTwoEntriesOfOneCluster) {
  Bench bench({"one"});
  bench.register_cluster("alias", "one");
  bench.create("web", {deployment("web"), config_map("settings")});
  bench.bind("web", "one");
  ASSERT_TRUE(bench.healthy_on("web", "one"));
  bench.pass(seconds(20));
  const auto mutations = bench.mutations();
  bench.bind("web", "alias");
  ASSERT_TRUE(bench.healthy_on("web", "alias")) << bench.show("web");
  bench.expect_silence();
  EXPECT_EQ(bench.mutations(), mutations);
}

TEST(ApplicationController, AdoptsWhatUpstreamLeft) {
  Bench bench({"one"});
  bench.stop();
  bench.create("web", {config_map("settings")});
  bench.bind("web", "one");
  // Upstream has created it, without labels, and recorded it.
  auto dialled = bench.dialer.dial({.url = Bench::url("one")});
  HttpRequest post{.method = "POST",
                   .target = "/api/v1/namespaces/default/configmaps",
                   .headers = {},
                   .body = json::print(config_map("settings", "{'x':'1','y':'2'}"))};
  post.headers.add("Content-Type", "application/json");
  post.headers.add("Authorization", "Bearer sim-token");
  post.headers.add("User-Agent", "OpenAPI-Generator/22.6.0/python");
  ASSERT_EQ(bench.api.world.run((*dialled)->send(post))->status, 201);
  json::Object status{{"state", "RUNNING"},
                      {"running_on", to_value(Bench::ref("one"))},
                      {"last_applied_manifest", json::Array{config_map("settings", "{'x':'1','y':'2'}")}}};
  ASSERT_TRUE(bench.api.world.run(bench.user.patch_status<Application>(Bench::key("web"), status)));
  bench.start();
  ASSERT_TRUE(bench.wait([&] {
    const auto live = bench.sim("one").find("configmaps", "default", "settings");
    return live->string_at({"metadata", "labels", kApplicationUid}) == bench.get("web")->metadata.uid &&
           !live->at_path({"data", "y"});
  })) << json::print(*bench.sim("one").find("configmaps", "default", "settings"));
  ASSERT_TRUE(bench.healthy_on("web", "one")) << bench.show("web");
  bench.expect_silence();
}

// As with an autoscaler: the number of replicas is not observed, so whoever wants may set it.
TEST(ApplicationController, ReportsAtABoundedPaceAndLeavesUnobservedFieldsAlone) {
  Bench bench({"one"});
  Application app;
  app.metadata.name = "web";
  app.spec.manifest = {deployment("web")};
  app.spec.observer_schema = {object_of("{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'web'}}")};
  ASSERT_TRUE(bench.api.world.run(bench.user.create<Application>("demo", app)));
  bench.bind("web", "one");
  ASSERT_TRUE(bench.healthy_on("web", "one"));
  bench.pass(seconds(30));
  const auto before = bench.revision();
  for (int i = 1; i <= 100; ++i) {
    bench.sim("one").merge("deployments", "default", "web",
                           value_of("{'spec':{'replicas':" + std::to_string(i % 7) + "}}"));
    bench.pass(std::chrono::milliseconds(100));
  }
  bench.pass(seconds(5));
  EXPECT_LE(bench.revision() - before, 25);
  EXPECT_GE(bench.revision() - before, 5);
  EXPECT_EQ(bench.get("web")->status.container_health.desired_pods, Integer(100 % 7));
  EXPECT_EQ(bench.sim("one").find("deployments", "default", "web")->int_at({"spec", "replicas"}), 100 % 7);
}

// A life with an update, a migration and drift; what comes in between is up to `trouble`. The end is always the same.
void live_through(Bench& bench, const std::string& what, const std::function<void()>& trouble,
                  const std::function<void()>& heal) {
  bench.create("web", {deployment("web"), config_map("settings"), config_map("old")});
  bench.bind("web", "one");
  trouble();
  bench.update("web", {deployment("web", 3), config_map("settings", "{'z':'3'}")});
  bench.bind("web", "one");
  trouble();
  bench.bind("web", "two");
  trouble();
  bench.sim("one").erase("configmaps", "default", "settings");
  trouble();
  heal();
  ASSERT_TRUE(bench.healthy_on("web", "two")) << what << ": " << bench.show("web");
  const auto live = bench.sim("two").find("deployments", "default", "web");
  ASSERT_TRUE(live) << what;
  EXPECT_EQ(live->int_at({"spec", "replicas"}), 3) << what;
  EXPECT_EQ(*bench.sim("two").find("configmaps", "default", "settings")->at_path({"data"}), value_of("{'z':'3'}"))
      << what;
  for (const auto* name : {"settings", "old"})
    EXPECT_FALSE(bench.sim("one").find("configmaps", "default", name)) << what;
  EXPECT_FALSE(bench.sim("one").find("deployments", "default", "web")) << what;
  EXPECT_FALSE(bench.sim("two").find("configmaps", "default", "old")) << what;
  bench.expect_silence(minutes(10));
}

TEST(ApplicationController, ConvergesWhereverItIsRestarted) {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    Bench bench;
    Random random(seed);
    const auto restarts = [&] {
      for (int i = 0; i < 3; ++i) {
        auto steps = random.below(60);
        bench.api.world.context.restart();
        while (steps-- > 0 && bench.api.world.context.poll_one() > 0) {
        }
        bench.restart();
        if (random.chance(0.5)) bench.pass(std::chrono::milliseconds(random.below(400)));
      }
    };
    live_through(bench, "seed " + std::to_string(seed), restarts, [] {});
    if (::testing::Test::HasFatalFailure()) return;
  }
}

TEST(ApplicationController, ConvergesWhateverGoesWrongMeanwhile) {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    Bench bench;
    Random random(seed);
    const auto trouble = [&] {
      for (int i = 0; i < 3; ++i) {
        auto& site = bench.sites.at(random.chance(0.5) ? "one" : "two");
        auto& faults = site.sim->faults;
        site.off = random.chance(0.2);
        bench.api_off = random.chance(0.2);
        faults.latency = std::chrono::milliseconds(random.below(300));
        faults.error_rate = random.chance(0.5) ? 0.3 : 0;
        faults.hang = random.chance(0.1);
        faults.garbage = random.chance(0.1);
        if (random.chance(0.3)) site.sim->cut_watches();
        if (random.chance(0.2)) site.sim->compact();
        bench.pass(std::chrono::milliseconds(random.below(20'000)));
      }
    };
    const auto heal = [&] {
      bench.api_off = false;
      for (auto& [name, site] : bench.sites) {
        site.off = false;
        site.sim->faults = {};
        site.sim->cut_watches();
      }
      bench.pass(minutes(15));
    };
    live_through(bench, "seed " + std::to_string(seed), trouble, heal);
    if (::testing::Test::HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace krake::application
