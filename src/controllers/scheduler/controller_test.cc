#include "controllers/scheduler/controller.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controllers/scheduler/plan.h"
#include "controllers/scheduler/test_bench.h"

namespace krake::scheduler {
namespace {

using State = ApplicationState;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::AnyOf;
using ::testing::HasSubstr;

// ---- placing

TEST(Scheduler, BindsANewApplicationAndFallsSilent) {
  Bench bench;
  bench.cluster("one");
  bench.app("web");
  ASSERT_TRUE(bench.placed("web", "one", seconds(1)));
  const auto app = bench.now("web");
  EXPECT_EQ(app.status.state, State::PENDING);
  EXPECT_FALSE(app.status.reason);
  EXPECT_FALSE(app.status.retries);
  ASSERT_EQ(app.metadata.owners.size(), 1u);
  EXPECT_EQ(app.metadata.owners[0].name, "one");
  EXPECT_GE(app.status.kube_controller_triggered->wall(), app.metadata.modified.wall());
  bench.expect_silence();
}

TEST(Scheduler, HonoursLabelsCustomResourcesAndNamespaces) {
  Bench bench;
  bench.cluster("de", "{'location':'DE'}");
  bench.cluster("sk", "{'location':'SK'}");
  bench.cluster("abroad", "{'location':'IT'}", "[]", "ONLINE", "other");
  bench.app("web", "{'labels':['location is SK']}");
  EXPECT_TRUE(bench.placed("web", "sk"));
  bench.app("it", "{'labels':['location is IT']}");
  ASSERT_TRUE(bench.has_state("it", State::DEGRADED)) << "clusters of other namespaces are no candidates";
  bench.app("crd", "{'custom_resources':['crontabs.stable.example.com']}");
  ASSERT_TRUE(bench.has_state("crd", State::DEGRADED));
  bench.patch<Cluster>(bench.key("de"), "{'spec':{'custom_resources':['crontabs.stable.example.com']}}");
  EXPECT_TRUE(bench.placed("crd", "de"));
}

TEST(Scheduler, RanksByMetricsAndHonoursMetricConstraints) {
  Bench bench;
  bench.static_metric("p", {{"low", 0.1}, {"high", 0.9}});
  bench.cluster("a", "{}", Bench::by("low"));
  bench.cluster("b", "{}", Bench::by("high"));
  bench.cluster("c");
  bench.app("web");
  EXPECT_TRUE(bench.placed("web", "b"));
  bench.app("modest", "{'metrics':['low < 0.5']}");
  EXPECT_TRUE(bench.placed("modest", "a"));
  bench.app("greedy", "{'metrics':['high > 0.95']}");
  EXPECT_TRUE(bench.has_state("greedy", State::DEGRADED));
}

TEST(Scheduler, SpreadsOverEqualClusters) {
  Bench bench;
  bench.cluster("a");
  bench.cluster("b");
  bench.cluster("c");
  for (int i = 0; i < 9; ++i) {
    bench.app("app" + std::to_string(i));
    bench.pass(milliseconds(100));
  }
  std::map<std::string, int> count;
  for (int i = 0; i < 9; ++i) ++count[bench.place("app" + std::to_string(i))];
  EXPECT_EQ(count, (std::map<std::string, int>{{"a", 3}, {"b", 3}, {"c", 3}}));
  bench.expect_silence();
}

TEST(Scheduler, TakesNoDeletedOrOfflineCluster) {
  Bench bench;
  for (const auto* state :
       {"OFFLINE", "UNHEALTHY", "NOTREADY", "CONNECTING", "CREATING", "FAILED", "DEGRADED", "PENDING"}) {
    auto name = std::string("c") + state;
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
    bench.cluster(name, "{}", "[]", state);
  }
  bench.cluster("leaving");
  bench.remove<Cluster>(bench.key("leaving"));
  bench.app("web");
  ASSERT_TRUE(bench.has_state("web", State::DEGRADED));
  EXPECT_THAT(bench.show("web"), HasSubstr("No matching Kubernetes cluster found"));
  EXPECT_EQ(bench.place("web"), "");
}

// ---- staying and moving

TEST(Scheduler, RenewsTheHandshakeAfterAUserUpdate) {
  for (const bool migration : {true, false}) {
    Bench bench;
    bench.cluster("one");
    bench.app("web", "{}", "", migration);
    ASSERT_TRUE(bench.placed("web", "one"));
    bench.pass(seconds(5));
    const auto scheduled = bench.now("web").status.scheduled;
    bench.patch<Application>(bench.key("web"), "{'metadata':{'labels':{'a':'b'}}}");
    ASSERT_TRUE(bench.wait(
        [&] {
          return bench.now("web").status.kube_controller_triggered->wall() >= bench.now("web").metadata.modified.wall();
        },
        seconds(1)));
    EXPECT_EQ(bench.now("web").status.scheduled, scheduled) << "the place has not changed";
    bench.expect_silence();
  }
}

TEST(Scheduler, MovesForABetterScoreNotBeforeTheInterval) {
  Bench bench;
  bench.static_metric("p", {{"ma", 0.5}, {"mb", 0.4}});
  bench.cluster("a", "{}", Bench::by("ma"));
  bench.cluster("b", "{}", Bench::by("mb"));
  bench.app("web");
  ASSERT_TRUE(bench.placed("web", "a"));
  bench.runs("web");
  const Wall bound = bench.now("web").status.scheduled->wall();
  bench.pass(seconds(5));
  bench.set_static("p", "mb", 1.0);
  ASSERT_TRUE(bench.placed("web", "b", minutes(3)));
  const auto after = bench.now("web").status.scheduled->wall() - bound;
  EXPECT_GE(after, seconds(60));
  EXPECT_LE(after, seconds(121));
  // Back and forth is as slow.
  bench.runs("web");
  const Wall again = bench.now("web").status.scheduled->wall();
  bench.set_static("p", "mb", 0.0);
  ASSERT_TRUE(bench.placed("web", "a", minutes(3)));
  EXPECT_GE(bench.now("web").status.scheduled->wall() - again, seconds(60));
  bench.runs("web");
  bench.pass(minutes(3));
  bench.expect_silence();
}

TEST(Scheduler, ReactsToAMetricAtOnceWhenTheIntervalIsOver) {
  Bench bench;
  bench.static_metric("p", {{"ma", 0.5}, {"mb", 0.4}});
  bench.cluster("a", "{}", Bench::by("ma"));
  bench.cluster("b", "{}", Bench::by("mb"));
  bench.app("web");
  ASSERT_TRUE(bench.placed("web", "a"));
  bench.pass(minutes(5));
  bench.set_static("p", "mb", 1.0);
  EXPECT_TRUE(bench.placed("web", "b", seconds(1)));
}

TEST(Scheduler, WaitsUntilTheApplicationHasSettledButNotForEver) {
  Bench bench;
  bench.static_metric("p", {{"ma", 0.5}, {"mb", 0.4}});
  bench.cluster("a", "{}", Bench::by("ma"));
  bench.cluster("b", "{}", Bench::by("mb"));
  bench.app("web");
  ASSERT_TRUE(bench.placed("web", "a"));
  const Wall bound = bench.now("web").status.scheduled->wall();
  bench.set_static("p", "mb", 1.0);
  // Its health changes all the time.
  for (int i = 0; i < 40 && bench.place("web") == "a"; ++i) {
    bench.patch_status<Application>(
        bench.key("web"), fmt::format("{{'container_health':{{'desired_pods':3,'running_pods':{}}}}}", i % 3));
    bench.pass(seconds(5));
  }
  ASSERT_EQ(bench.place("web"), "b");
  const auto after = bench.now("web").status.scheduled->wall() - bound;
  EXPECT_GT(after, seconds(100)) << "status events put it off";
  EXPECT_LE(after, seconds(126)) << "but never beyond twice the interval";
}

TEST(Scheduler, StickinessKeepsAnApplicationWhereItIs) {
  Bench bench;
  bench.static_metric("p", {{"ma", 0.5}, {"mb", 0.5}});
  bench.cluster("a", "{}", Bench::by("ma"));
  bench.cluster("b", "{}", Bench::by("mb"));
  bench.app("web");
  ASSERT_TRUE(bench.placed("web", "a"));
  bench.pass(minutes(2));
  bench.set_static("p", "mb", 0.53);  // with stickiness a has (0.5 + 0.1) / 1.1 = 0.545
  bench.pass(minutes(5));
  EXPECT_EQ(bench.place("web"), "a");
  bench.set_static("p", "mb", 0.56);
  EXPECT_TRUE(bench.placed("web", "b", seconds(1)));
}

TEST(Scheduler, LeavesANonMigratableApplicationUntilItMayMove) {
  Bench bench;
  bench.static_metric("p", {{"ma", 0.9}, {"mb", 0.1}});
  bench.cluster("a", "{}", Bench::by("ma"));
  bench.cluster("b", "{}", Bench::by("mb"));
  bench.app("web", "{}", "", false);
  ASSERT_TRUE(bench.placed("web", "a"));
  bench.set_static("p", "mb", 1.0);
  bench.set_static("p", "ma", 0.0);
  bench.set_state("a", "OFFLINE");
  bench.pass(minutes(10));
  EXPECT_EQ(bench.place("web"), "a");
  bench.set_state("a", "ONLINE");
  bench.patch<Application>(bench.key("web"), "{'spec':{'constraints':{'migration':true}}}");
  EXPECT_TRUE(bench.placed("web", "b", seconds(1)));
}

TEST(Scheduler, OneMissedProbeMovesNothing) {
  Bench bench;
  bench.cluster("a");
  bench.app("web");
  ASSERT_TRUE(bench.placed("web", "a"));
  bench.runs("web");
  bench.cluster("b");
  bench.pass(minutes(5));
  for (int i = 0; i < 5; ++i) {
    for (const auto* state : {"OFFLINE", "CONNECTING", "ONLINE"}) {
      bench.set_state("a", state);
      bench.pass(seconds(4));
    }
  }
  EXPECT_EQ(bench.place("web"), "a");
  EXPECT_FALSE(bench.now("web").status.reason);
  bench.set_state("a", "OFFLINE");
  EXPECT_TRUE(bench.placed("web", "b", seconds(16)));
}

TEST(Scheduler, MovesSoonFromAClusterThatIsGone) {
  Bench bench;
  bench.cluster("a");
  bench.app("web");
  ASSERT_TRUE(bench.placed("web", "a"));
  bench.cluster("b", "{'x':'y'}");
  bench.pass(seconds(2));
  EXPECT_EQ(bench.place("web"), "a");
  bench.set_state("a", "OFFLINE");
  EXPECT_TRUE(bench.placed("web", "b", seconds(16))) << "the interval holds for better scores only";
  bench.patch<Application>(bench.key("web"), "{'spec':{'constraints':{'cluster':{'labels':['x is z']}}}}");
  EXPECT_TRUE(bench.has_state("web", State::DEGRADED, seconds(1)));
  EXPECT_EQ(bench.place("web"), "b") << "what runs goes on running";
  bench.patch<Cluster>(bench.key("b"), "{'metadata':{'labels':{'x':'z'}}}");
  EXPECT_TRUE(bench.wait([&] { return !bench.now("web").status.reason; }, seconds(1))) << bench.show("web");
}

TEST(Scheduler, LeavesTheApplicationsOfADeletedClusterToTheGarbageCollector) {
  Bench bench;
  bench.cluster("a");
  bench.app("web");
  ASSERT_TRUE(bench.placed("web", "a"));
  bench.runs("web");
  bench.cluster("b");
  bench.remove<Cluster>(bench.key("a"));
  bench.pass(minutes(5));
  EXPECT_EQ(bench.place("web"), "a");
  EXPECT_EQ(bench.now("web").metadata.owners.size(), 1u);
  bench.expect_silence();
  bench.app("next");
  EXPECT_TRUE(bench.placed("next", "b"));
}

TEST(Scheduler, HonoursTheMigrationTimeout) {
  Bench bench;
  bench.cluster("a");
  bench.app("web");
  ASSERT_TRUE(bench.placed("web", "a"));
  bench.cluster("b");
  const auto until = std::chrono::floor<seconds>(bench.wall()).time_since_epoch().count() + 300;
  bench.patch_status<Application>(bench.key("web"), fmt::format("{{'migration_timeout':{}}}", until));
  bench.set_state("a", "OFFLINE");
  bench.pass(seconds(200));
  EXPECT_EQ(bench.place("web"), "a");
  EXPECT_TRUE(bench.placed("web", "b", seconds(200)));
}

TEST(Scheduler, TriesAnotherClusterWhenOneRefuses) {
  Bench bench;
  bench.static_metric("p", {{"ma", 0.9}, {"mb", 0.1}});
  bench.cluster("a", "{}", Bench::by("ma"));
  bench.cluster("b", "{}", Bench::by("mb"));
  bench.app("web");
  ASSERT_TRUE(bench.placed("web", "a"));
  bench.patch_status<Application>(
      bench.key("web"), "{'state':'FAILED','reason':{'code':'KUBERNETES_ERROR','message':'a: quota exceeded'}}");
  ASSERT_TRUE(bench.placed("web", "b", seconds(11)));
  bench.pass(seconds(30));
  EXPECT_EQ(bench.place("web"), "b");
  bench.app("next");
  EXPECT_TRUE(bench.placed("next", "a")) << "each has its own experience";
}

// ---- no place

TEST(Scheduler, SaysWhyNothingFitsAndClearsItWhenSomethingDoes) {
  Bench bench;
  bench.cluster("a", "{'location':'SK'}");
  bench.cluster("b", "{}", "[]", "OFFLINE");
  bench.app("web", "{'labels':['location is DE']}");
  ASSERT_TRUE(bench.has_state("web", State::DEGRADED, seconds(1)));
  const auto reason = *bench.now("web").status.reason;
  EXPECT_EQ(reason.code, ReasonCode::NO_SUITABLE_RESOURCE);
  EXPECT_TRUE(reason.message.starts_with("No matching Kubernetes cluster found: ")) << reason.message;
  EXPECT_THAT(reason.message, HasSubstr("demo/a: label location is DE: cluster has location=SK"));
  EXPECT_THAT(reason.message, HasSubstr("demo/b: "));
  EXPECT_TRUE(bench.now("web").status.scheduled_retry);
  bench.pass(minutes(10));
  bench.expect_silence();
  bench.cluster("c", "{'location':'DE'}");
  ASSERT_TRUE(bench.placed("web", "c", seconds(1)));
  const auto status = bench.now("web").status;
  EXPECT_FALSE(status.reason);
  EXPECT_EQ(status.state, State::PENDING);
  EXPECT_FALSE(status.scheduled_retry);
  bench.expect_silence();
}

TEST(Scheduler, GivesUpAfterTheLimitAndStartsAgainWithTheSpec) {
  Bench bench;
  bench.app("web", "{}", ",'backoff_limit':3,'backoff_delay':2,'backoff':2");
  std::vector<std::int64_t> retries;
  std::vector<double> times;
  const Wall begin = bench.wall();
  ASSERT_TRUE(bench.wait(
      [&] {
        const auto status = bench.now("web").status;
        if (status.retries &&
            (retries.empty() || retries.back() != std::int64_t{*status.retries} || status.state == State::FAILED)) {
          retries.push_back(*status.retries);
          times.push_back(std::chrono::duration<double>(bench.wall() - begin).count());
        }
        return status.state == State::FAILED;
      },
      minutes(5)));
  EXPECT_EQ(retries, (std::vector<std::int64_t>{2, 1, 0, 0})) << "a limit of 3 makes 4 attempts";
  ASSERT_EQ(times.size(), 4u);
  EXPECT_NEAR(times[1] - times[0], 4, 0.5);
  EXPECT_NEAR(times[2] - times[1], 8, 0.5);
  EXPECT_NEAR(times[3] - times[2], 16, 0.5);
  EXPECT_EQ(bench.now("web").status.reason->code, ReasonCode::NO_SUITABLE_RESOURCE);
  bench.cluster("a");
  bench.pass(minutes(5));
  EXPECT_EQ(bench.place("web"), "") << "given up";
  bench.expect_silence();
  bench.patch<Application>(bench.key("web"), "{'metadata':{'labels':{'a':'b'}}}");
  ASSERT_TRUE(bench.placed("web", "a", seconds(1)));
  EXPECT_EQ(bench.now("web").status.state, State::PENDING);
  EXPECT_FALSE(bench.now("web").status.reason);
}

TEST(Scheduler, ALimitOfZeroFailsAtOnce) {
  Bench bench;
  bench.app("web", "{}", ",'backoff_limit':0");
  EXPECT_TRUE(bench.has_state("web", State::FAILED, seconds(1)));
  bench.expect_silence();
}

TEST(Scheduler, CountsAttemptsAcrossRestarts) {
  Bench bench;
  bench.app("web", "{}", ",'backoff_limit':5,'backoff_delay':10");
  int restarts = 0;
  while (bench.now("web").status.state != State::FAILED && restarts < 30) {
    bench.pass(seconds(4));
    bench.stop();
    bench.start();
    ++restarts;
  }
  EXPECT_EQ(bench.now("web").status.state, State::FAILED);
  EXPECT_GE(restarts, 11) << "5 waits of 10 s are not cut short by restarts";
  EXPECT_LE(restarts, 16);
}

TEST(Scheduler, ARunningApplicationRecoversEvenFromFailed) {
  Bench bench;
  bench.cluster("a");
  bench.app("web", "{}", ",'backoff_limit':1");
  ASSERT_TRUE(bench.placed("web", "a"));
  bench.runs("web");
  bench.set_state("a", "OFFLINE");
  ASSERT_TRUE(bench.has_state("web", State::FAILED, minutes(1)));
  EXPECT_EQ(bench.place("web"), "a");
  bench.set_state("a", "ONLINE");
  EXPECT_TRUE(bench.wait([&] { return !bench.now("web").status.reason; }, seconds(1)));
  EXPECT_EQ(bench.now("web").status.state, State::RECONCILING) << "what it does now the application controller says";
}

TEST(Scheduler, ConfirmsAUserUpdateWhileItsClusterIsAway) {
  Bench bench;
  bench.cluster("a");
  bench.app("web");
  ASSERT_TRUE(bench.placed("web", "a"));
  bench.runs("web");
  bench.set_state("a", "UNHEALTHY");
  ASSERT_TRUE(bench.has_state("web", State::DEGRADED, seconds(20)));
  bench.pass(seconds(1));
  bench.patch<Application>(bench.key("web"), "{'metadata':{'labels':{'a':'b'}}}");
  EXPECT_TRUE(bench.wait([&] { return is_confirmed(bench.now("web")); }, seconds(1))) << bench.show("web");
  EXPECT_EQ(bench.now("web").status.state, State::DEGRADED);
  EXPECT_EQ(bench.place("web"), "a");
  bench.pass(minutes(10));
  bench.expect_silence();
}

TEST(Scheduler, IgnoresDeletedApplications) {
  Bench bench;
  bench.app("web");
  ASSERT_TRUE(bench.has_state("web", State::DEGRADED));
  bench.remove<Application>(bench.key("web"));
  bench.cluster("a");
  bench.pass(minutes(5));
  EXPECT_EQ(bench.place("web"), "");
}

// ---- robustness

TEST(Scheduler, FindsItsWayWithoutStatus) {
  Bench bench;
  bench.static_metric("p", {{"ma", 0.6}, {"mb", 0.5}});
  bench.cluster("a", "{}", Bench::by("ma"));
  bench.cluster("b", "{}", Bench::by("mb"));
  bench.app("web");
  ASSERT_TRUE(bench.placed("web", "a"));
  bench.set_static("p", "mb", 1.0);
  for (const bool told : {true, false}) {
    auto wiped = bench.now("web");
    wiped.status = {};
    bench.api.call("PUT", "/kubernetes/namespaces/demo/applications/web/status", encode_json(wiped));
    bench.pass(seconds(4));
    EXPECT_EQ(bench.place("web"), "") << "the look-up is waited for";
    if (told) {
      bench.patch_status<Application>(
          bench.key("web"), "{'running_on':{'api':'kubernetes','kind':'Cluster','namespace':'demo','name':'a'}}");
      EXPECT_TRUE(bench.placed("web", "a", seconds(1)));
    } else {
      EXPECT_TRUE(bench.placed("web", "a", seconds(8)));
    }
    EXPECT_EQ(bench.now("web").metadata.owners.size(), 1u);
  }
}

TEST(Scheduler, RacesWithAnotherWriterAndLosesNothing) {
  Bench bench;
  bench.cluster("a");
  // At the moment of the binding the user changes the application: the binding must not be of the old constraints.
  bench.cluster("b", "{'x':'y'}");
  int writes = 0;
  bench.line.before_write = [&](const HttpRequest& request) {
    if (!request.target.ends_with("/binding") || writes++ > 0) return;
    auto send = [](std::shared_ptr<Transport> transport) -> Awaitable<void> {
      (void)co_await transport->send({"PATCH",
                                      "/kubernetes/namespaces/demo/applications/web",
                                      {{"Content-Type", "application/json"}},
                                      R"({"spec":{"constraints":{"cluster":{"labels":["x is y"]}}}})"});
    };
    TaskGroup group(bench.api.world.env.executor);
    group.spawn("rival", send(bench.api.transport));
  };
  bench.app("web");
  ASSERT_TRUE(bench.wait([&] { return bench.place("web") == "b"; }, seconds(5)));
  EXPECT_EQ(bench.now("web").metadata.owners.size(), 1u) << "it was never bound to a";
  bench.expect_silence();
}

TEST(Scheduler, TwoSchedulersAgree) {
  Bench bench;
  bench.cluster("a");
  bench.cluster("b");
  auto second = make_scheduler({bench.api.world.env, bench.client, bench.dialer}, {});
  second->start();
  for (int i = 0; i < 10; ++i) bench.app("app" + std::to_string(i));
  bench.pass(seconds(10));
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(bench.now("app" + std::to_string(i)).metadata.owners.size(), 1u);
  }
  bench.expect_silence();
  bench.run(second->stop());
}

TEST(Scheduler, SurvivesLostEvents) {
  SchedulerOptions options;
  options.resync = seconds(30);
  Bench bench(options);
  bench.line.lose_events = 0.5;
  for (int i = 0; i < 10; ++i) bench.app("app" + std::to_string(i), "{'labels':['x is y']}");
  bench.cluster("a", "{'x':'y'}");
  EXPECT_TRUE(bench.wait(
      [&] {
        for (int i = 0; i < 10; ++i) {
          if (bench.place("app" + std::to_string(i)) != "a") return false;
        }
        return true;
      },
      minutes(10)));
}

TEST(Scheduler, GoesOnWhenTheServerIsBack) {
  Bench bench;
  bench.cluster("a");
  bench.pass(seconds(1));
  bench.line.cut = true;
  bench.app("web");
  bench.pass(minutes(2));
  EXPECT_EQ(bench.place("web"), "");
  bench.line.cut = false;
  EXPECT_TRUE(bench.placed("web", "a", minutes(1)));
}

TEST(Scheduler, TellsWhyOnTheDebugPage) {
  Bench bench;
  bench.cluster("a", "{'x':'y'}");
  bench.cluster("b");
  bench.app("web", "{'labels':['x is y']}");
  ASSERT_TRUE(bench.placed("web", "a"));
  bench.pass(seconds(1));
  const auto page = json::parse(bench.scheduler->debug());
  ASSERT_TRUE(page);
  const auto* decision = page->at_path({"decisions", "demo/web"});
  ASSERT_TRUE(decision) << bench.scheduler->debug();
  EXPECT_EQ(decision->string_at({"chosen"}), "demo/a");
  EXPECT_THAT(std::string(decision->string_at({"candidates", "demo/b"})), HasSubstr("x"));
  // One that moved and then lost its place and status.
  bench.patch<Application>(bench.key("web"), "{'spec':{'constraints':{'cluster':{'labels':[]}}}}");
  bench.set_state("a", "OFFLINE");
  ASSERT_TRUE(bench.placed("web", "b", seconds(20)));
  bench.patch_status<Application>(bench.key("web"), "{'scheduled_to':null,'scheduled':null}");
  bench.pass(milliseconds(1));
  EXPECT_TRUE(json::parse(bench.scheduler->debug()));
}

}  // namespace
}  // namespace krake::scheduler
