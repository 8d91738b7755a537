// What the scheduler makes of metrics and of the providers they come from.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "controllers/scheduler/plan.h"
#include "controllers/scheduler/test_bench.h"

namespace krake::scheduler {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::HasSubstr;

TEST(SchedulerMetrics, MarksAClusterWhoseMetricsFailAndRecovers) {
  Bench bench;
  bench.static_metric("p", {{"good", 0.5}, {"bad", 7}});
  bench.cluster("a", "{}",
                "[{'name':'good','weight':1},{'name':'bad','weight':1},{'name':'none','weight':1},{'name':'local','"
                "weight':1,'namespaced':true}]");
  bench.cluster("b");
  ASSERT_TRUE(bench.wait(
      [&] { return bench.get<Cluster>(bench.key("a"))->status.state == ClusterState::FAILING_METRICS; }, seconds(1)));
  const auto reasons = bench.get<Cluster>(bench.key("a"))->status.metrics_reasons;
  EXPECT_EQ(reasons.entries.size(), 3u);
  EXPECT_EQ(reasons.find("bad")->code, ReasonCode::INVALID_METRIC);
  EXPECT_EQ(reasons.find("none")->code, ReasonCode::UNKNOWN_METRIC);
  EXPECT_EQ(reasons.find("local")->code, ReasonCode::UNKNOWN_METRIC);
  bench.app("web");
  ASSERT_TRUE(bench.placed("web", "b"));
  bench.expect_silence();

  bench.set_static("p", "bad", 0.5);
  bench.global_metric("none", "nowhere");
  ASSERT_TRUE(bench.wait(
      [&] {
        const auto status = bench.get<Cluster>(bench.key("a"))->status;
        const auto* reason = status.metrics_reasons.find("none");
        return reason && reason->code == ReasonCode::UNKNOWN_METRICS_PROVIDER && !status.metrics_reasons.find("bad");
      },
      seconds(1)));
  bench.patch<Cluster>(bench.key("a"), "{'spec':{'metrics':[{'name':'good','weight':1}]}}");
  ASSERT_TRUE(
      bench.wait([&] { return bench.get<Cluster>(bench.key("a"))->status.state == ClusterState::ONLINE; }, seconds(1)));
  EXPECT_TRUE(bench.get<Cluster>(bench.key("a"))->status.metrics_reasons.empty());
  bench.pass(minutes(3));
  bench.expect_silence();
}

TEST(SchedulerMetrics, LeavesTheStatesOfOthersAlone) {
  Bench bench;
  for (const auto* state : {"OFFLINE", "CREATING", "UNHEALTHY", "FAILED", "CONNECTING"}) {
    auto name = std::string("c") + state;
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
    bench.cluster(name, "{}", Bench::by("missing"), state);
    bench.expect_silence(minutes(1));
    EXPECT_EQ(enum_name(bench.get<Cluster>(bench.key(name))->status.state), state);
  }
}

TEST(SchedulerMetrics, AsksAProviderOncePerIntervalHoweverManyAsk) {
  Bench bench;
  bench.dialer.servers["http://prom"].values = {{"load", 0.5}};
  bench.make<GlobalMetricsProvider>(
      "", "{'metadata':{'name':'p'},'spec':{'type':'prometheus','prometheus':{'url':'http://prom'}}}");
  bench.global_metric("load", "p");
  for (int i = 0; i < 10; ++i) bench.cluster("c" + std::to_string(i), "{}", Bench::by("load"));
  for (int i = 0; i < 20; ++i) bench.app("app" + std::to_string(i));
  bench.pass(seconds(5));
  for (int i = 0; i < 20; ++i) EXPECT_NE(bench.place("app" + std::to_string(i)), "");
  bench.pass(seconds(100));
  EXPECT_LE(bench.dialer.servers["http://prom"].requests, 13);
  EXPECT_GE(bench.dialer.servers["http://prom"].requests, 9);
}

TEST(SchedulerMetrics, FollowsAProviderThatFailsAndRecovers) {
  Bench bench;
  auto& prometheus = bench.dialer.servers["http://prom"];
  prometheus.values = {{"load", 0.5}};
  bench.make<GlobalMetricsProvider>(
      "", "{'metadata':{'name':'p'},'spec':{'type':'prometheus','prometheus':{'url':'http://prom'}}}");
  bench.global_metric("load", "p");
  bench.cluster("a", "{}", Bench::by("load"));
  bench.cluster("b");
  bench.app("web");
  ASSERT_TRUE(bench.placed("web", "a"));
  bench.runs("web");
  prometheus.down = true;
  ASSERT_TRUE(bench.wait(
      [&] { return bench.get<Cluster>(bench.key("a"))->status.state == ClusterState::FAILING_METRICS; }, minutes(1)));
  const auto reason = *bench.get<Cluster>(bench.key("a"))->status.metrics_reasons.find("load");
  EXPECT_EQ(reason.code, ReasonCode::UNREACHABLE_METRICS_PROVIDER);
  EXPECT_THAT(reason.message, HasSubstr("http://prom: connection refused"));
  ASSERT_TRUE(bench.placed("web", "b", seconds(5)));
  bench.runs("web");
  const int before = prometheus.requests;
  bench.pass(minutes(20));
  EXPECT_LE(prometheus.requests - before, 25) << "a provider that is down is left alone more and more";
  bench.expect_silence();
  prometheus.down = false;
  ASSERT_TRUE(
      bench.wait([&] { return bench.get<Cluster>(bench.key("a"))->status.state == ClusterState::ONLINE; }, minutes(3)));
  EXPECT_TRUE(bench.placed("web", "a", minutes(3)));
}

TEST(SchedulerMetrics, ForgivesAProviderOneMissedRound) {
  Bench bench;
  auto& prometheus = bench.dialer.servers["http://prom"];
  prometheus.values = {{"load", 0.5}};
  bench.make<GlobalMetricsProvider>(
      "", "{'metadata':{'name':'p'},'spec':{'type':'prometheus','prometheus':{'url':'http://prom'}}}");
  bench.global_metric("load", "p");
  bench.cluster("a", "{}", Bench::by("load"));
  bench.app("web");
  EXPECT_TRUE(bench.placed("web", "a", milliseconds(100))) << "a provider that answers is not waited for";
  bench.pass(minutes(1));
  const auto before = bench.revision();
  for (int i = 0; i < 5; ++i) {
    // Up again as soon as one round has failed.
    prometheus.down = true;
    const int asked = prometheus.requests;
    ASSERT_TRUE(bench.wait([&] { return prometheus.requests > asked; }, seconds(15)));
    prometheus.down = false;
    bench.pass(seconds(25));
  }
  EXPECT_EQ(bench.revision(), before);
}

TEST(SchedulerMetrics, ForgivesOneMissedScrapeButNoWrongValue) {
  Bench bench;
  auto& prometheus = bench.dialer.servers["http://prom"];
  prometheus.values = {{"load", 0.5}};
  bench.make<GlobalMetricsProvider>(
      "", "{'metadata':{'name':'p'},'spec':{'type':'prometheus','prometheus':{'url':'http://prom'}}}");
  bench.global_metric("load", "p");
  bench.cluster("a", "{}", Bench::by("load"));
  bench.app("web");
  ASSERT_TRUE(bench.placed("web", "a"));
  bench.pass(minutes(1));
  const auto before = bench.revision();
  for (int i = 0; i < 5; ++i) {
    prometheus.values.clear();
    const int asked = prometheus.requests;
    ASSERT_TRUE(bench.wait([&] { return prometheus.requests > asked; }, seconds(15)));
    prometheus.values = {{"load", 0.5}};
    bench.pass(seconds(25));
  }
  EXPECT_EQ(bench.revision(), before);
  const auto failing = [&] {
    return bench.get<Cluster>(bench.key("a"))->status.metrics_reasons.find("load") != nullptr;
  };
  prometheus.values.clear();
  ASSERT_TRUE(bench.wait(failing, minutes(1))) << "but not for ever";
  EXPECT_EQ(bench.get<Cluster>(bench.key("a"))->status.metrics_reasons.find("load")->code, ReasonCode::INVALID_METRIC);
  prometheus.values = {{"load", 0.5}};
  ASSERT_TRUE(bench.wait([&] { return !failing(); }, seconds(15)));
  for (const double wrong : {7.0, std::numeric_limits<double>::quiet_NaN()}) {
    prometheus.values = {{"load", wrong}};
    EXPECT_TRUE(bench.wait(failing, seconds(11))) << wrong;
    prometheus.values = {{"load", 0.5}};
    ASSERT_TRUE(bench.wait([&] { return !failing(); }, seconds(15)));
  }
}

TEST(SchedulerMetrics, AsksADeadProviderOneQuestionOnly) {
  Bench bench;
  auto& prometheus = bench.dialer.servers["http://prom"];
  prometheus.down = true;
  bench.make<GlobalMetricsProvider>(
      "", "{'metadata':{'name':'p'},'spec':{'type':'prometheus','prometheus':{'url':'http://prom'}}}");
  std::string metrics;
  for (int i = 0; i < 10; ++i) {
    bench.global_metric("m" + std::to_string(i), "p");
    metrics += (i ? "," : "") + std::string("{'name':'m") + std::to_string(i) + "','weight':1}";
    prometheus.values["m" + std::to_string(i)] = 0.5;
  }
  bench.cluster("a", "{}", "[" + metrics + "]");
  ASSERT_TRUE(bench.wait(
      [&] { return bench.get<Cluster>(bench.key("a"))->status.metrics_reasons.entries.size() == 10; }, seconds(5)));
  bench.pass(seconds(20));
  const int before = prometheus.requests;
  bench.pass(minutes(20));
  EXPECT_LE(prometheus.requests - before, 20);
  prometheus.down = false;
  EXPECT_TRUE(
      bench.wait([&] { return bench.get<Cluster>(bench.key("a"))->status.state == ClusterState::ONLINE; }, minutes(3)));
}

TEST(SchedulerMetrics, ASlowProviderHoldsNobodyUp) {
  Bench bench;
  bench.dialer.servers["http://slow"].hang = true;
  bench.make<GlobalMetricsProvider>(
      "", "{'metadata':{'name':'p'},'spec':{'type':'prometheus','prometheus':{'url':'http://slow'}}}");
  bench.global_metric("load", "p");
  bench.cluster("a", "{}", Bench::by("load"));
  bench.cluster("b");
  bench.app("web");
  EXPECT_TRUE(bench.placed("web", "b", seconds(4))) << "first values are waited for three seconds";
  bench.app("next");
  EXPECT_TRUE(bench.placed("next", "b", seconds(4)));
  EXPECT_TRUE(bench.wait(
      [&] { return bench.get<Cluster>(bench.key("a"))->status.state == ClusterState::FAILING_METRICS; }, seconds(30)));
}

TEST(SchedulerMetrics, WaitsForTheFirstValuesInsteadOfMovingEverything) {
  Bench bench;
  bench.dialer.servers["http://prom"].values = {{"load", 0.9}};
  bench.dialer.servers["http://prom"].latency = milliseconds(500);
  bench.make<GlobalMetricsProvider>(
      "", "{'metadata':{'name':'p'},'spec':{'type':'prometheus','prometheus':{'url':'http://prom'}}}");
  bench.global_metric("load", "p");
  bench.cluster("a", "{}", Bench::by("load"));
  bench.cluster("b");
  bench.app("web");
  ASSERT_TRUE(bench.placed("web", "a", milliseconds(600))) << "and not longer than it takes";
  bench.pass(minutes(5));
  const auto before = bench.revision();
  for (int i = 0; i < 3; ++i) {
    bench.stop();
    bench.start();
    bench.pass(seconds(30));
  }
  EXPECT_EQ(bench.revision(), before);
}

TEST(SchedulerMetrics, AsksAProviderAFewThingsAtOnceOverOneLine) {
  Bench bench;
  auto& prometheus = bench.dialer.servers["http://prom"];
  prometheus.latency = seconds(5);
  bench.make<GlobalMetricsProvider>(
      "", "{'metadata':{'name':'p'},'spec':{'type':'prometheus','prometheus':{'url':'http://prom'}}}");
  std::string metrics;
  for (int i = 0; i < 16; ++i) {
    const auto name = "m" + std::to_string(i);
    prometheus.values[name] = 0.5;
    bench.global_metric(name, "p");
    metrics += (i ? ",{'name':'" : "{'name':'") + name + "','weight':1}";
  }
  bench.cluster("a", "{}", "[" + metrics + "]");
  bench.app("web");
  EXPECT_TRUE(bench.placed("web", "a", seconds(11)));
  bench.pass(minutes(2));
  EXPECT_EQ(prometheus.most_open, 8);
  EXPECT_EQ(prometheus.dials, 1);
  EXPECT_TRUE(bench.get<Cluster>(bench.key("a"))->status.metrics_reasons.empty());
}

TEST(SchedulerMetrics, ASlowProviderEvictsNobody) {
  Bench bench;
  auto& prometheus = bench.dialer.servers["http://prom"];
  prometheus.values = {{"load", 0.9}, {"more", 0.9}};
  prometheus.latency = seconds(8);
  bench.make<GlobalMetricsProvider>(
      "", "{'metadata':{'name':'p'},'spec':{'type':'prometheus','prometheus':{'url':'http://prom'}}}");
  bench.global_metric("load", "p");
  bench.cluster("a", "{}", Bench::by("load"));
  bench.app("web");
  ASSERT_TRUE(bench.placed("web", "a", seconds(20))) << "that nothing fits yet is no failure";
  EXPECT_FALSE(bench.now("web").status.retries);
  bench.runs("web");
  bench.cluster("b");
  bench.pass(minutes(5));
  bench.stop();
  bench.start();
  bench.pass(minutes(1));
  EXPECT_EQ(bench.place("web"), "a") << "after a restart";
  bench.global_metric("more", "p");
  bench.patch<Cluster>(bench.key("a"), "{'spec':{'metrics':[{'name':'load','weight':1},{'name':'more','weight':1}]}}");
  bench.pass(minutes(1));
  EXPECT_EQ(bench.place("web"), "a") << "after a metric has been added";
  bench.dialer.servers["http://new"] = prometheus;
  bench.patch<GlobalMetricsProvider>({"", "p"}, "{'spec':{'prometheus':{'url':'http://new'}}}");
  bench.pass(seconds(1));
  bench.app("next");
  EXPECT_TRUE(bench.placed("next", "a", seconds(1))) << "what was read holds until the new one has answered";
  bench.pass(minutes(1));
  EXPECT_EQ(bench.place("web"), "a") << "after the provider has been edited";
  EXPECT_GT(bench.dialer.servers["http://new"].requests, 0);
}

TEST(SchedulerMetrics, NewClustersDelayNobody) {
  Bench bench;
  bench.dialer.servers["http://slow"].hang = true;
  bench.make<GlobalMetricsProvider>(
      "", "{'metadata':{'name':'p'},'spec':{'type':'prometheus','prometheus':{'url':'http://slow'}}}");
  bench.cluster("home");
  bench.app("old");
  ASSERT_TRUE(bench.placed("old", "home"));
  for (int i = 0; i < 10; ++i) {
    bench.global_metric("m" + std::to_string(i), "p");
    bench.cluster("c" + std::to_string(i), "{}", Bench::by("m" + std::to_string(i)));
    if (i == 0) bench.app("new");
    bench.pass(seconds(1));
    bench.patch<Application>(bench.key("old"), fmt::format("{{'metadata':{{'labels':{{'a':'{}'}}}}}}", i));
    EXPECT_TRUE(bench.wait([&] { return is_confirmed(bench.now("old")); }, milliseconds(100))) << i;
    if (i == 3) {
      EXPECT_EQ(bench.place("new"), "home");
    }
  }
}

TEST(SchedulerMetrics, FollowsMetricsAndProvidersAsTheyComeAndGo) {
  for (const bool namespaced : {false, true}) {
    Bench bench;
    auto& prometheus = bench.dialer.servers["http://prom"];
    prometheus.values = {{"load", 0.5}, {"other", 7}};
    const auto code = [&]() -> std::optional<ReasonCode> {
      const auto cluster = bench.get<Cluster>(bench.key("a"));
      const auto* reason = cluster->status.metrics_reasons.find("m");
      EXPECT_EQ(cluster->status.state == ClusterState::FAILING_METRICS, reason != nullptr);
      return reason ? std::optional(reason->code) : std::nullopt;
    };
    const auto becomes = [&](std::optional<ReasonCode> wanted) {
      return bench.wait([&] { return code() == wanted; }, seconds(1));
    };
    const std::string metric =
        "{'metadata':{'name':'m'},'spec':{'min':0,'max':1,'allowed_values':[],'provider':{'name':'p','metric':'load'}}"
        "}";
    const std::string provider =
        "{'metadata':{'name':'p'},'spec':{'type':'prometheus','prometheus':{'url':'http://prom'}}}";
    const std::string other = "{'spec':{'provider':{'metric':'other'}}}";
    bench.cluster("a", "{}", namespaced ? "[{'name':'m','weight':1,'namespaced':true}]" : "[{'name':'m','weight':1}]");
    EXPECT_TRUE(becomes(ReasonCode::UNKNOWN_METRIC));
    namespaced ? (void)bench.make<Metric>("demo", metric) : (void)bench.make<GlobalMetric>("", metric);
    EXPECT_TRUE(becomes(ReasonCode::UNKNOWN_METRICS_PROVIDER));
    namespaced ? (void)bench.make<MetricsProvider>("demo", provider)
               : (void)bench.make<GlobalMetricsProvider>("", provider);
    EXPECT_TRUE(becomes(std::nullopt));
    EXPECT_EQ(prometheus.requests, 1);
    namespaced ? (void)bench.patch<Metric>({"demo", "m"}, other) : (void)bench.patch<GlobalMetric>({"", "m"}, other);
    EXPECT_TRUE(becomes(ReasonCode::INVALID_METRIC));
    EXPECT_EQ(prometheus.requests, 2);
    namespaced ? bench.remove<MetricsProvider>({"demo", "p"}) : bench.remove<GlobalMetricsProvider>({"", "p"});
    // The garbage collector would have it removed.
    const std::string free = "{'metadata':{'finalizers':[]}}";
    namespaced ? (void)bench.patch<MetricsProvider>({"demo", "p"}, free)
               : (void)bench.patch<GlobalMetricsProvider>({"", "p"}, free);
    EXPECT_TRUE(becomes(ReasonCode::UNKNOWN_METRICS_PROVIDER));
    bench.pass(minutes(1));
    EXPECT_EQ(prometheus.requests, 2) << "nobody is asked any more";
    bench.expect_silence();
  }
}

TEST(SchedulerMetrics, AsksForWhatSomeClusterUses) {
  Bench bench;
  auto& prometheus = bench.dialer.servers["http://prom"];
  prometheus.values = {{"load", 0.5}};
  bench.make<GlobalMetricsProvider>(
      "", "{'metadata':{'name':'p'},'spec':{'type':'prometheus','prometheus':{'url':'http://prom'}}}");
  bench.global_metric("load", "p");
  bench.pass(minutes(1));
  EXPECT_EQ(prometheus.requests, 0);
  bench.cluster("a", "{}", Bench::by("load"));
  bench.cluster("b", "{}", Bench::by("load"));
  bench.pass(seconds(1));
  EXPECT_EQ(prometheus.requests, 1);
  bench.patch<Cluster>(bench.key("b"), "{'spec':{'metrics':[]}}");
  bench.pass(seconds(30));
  EXPECT_GE(prometheus.requests, 3) << "a is still measured by it";
  bench.remove<Cluster>(bench.key("a"));
  bench.pass(seconds(1));
  const int before = prometheus.requests;
  bench.pass(minutes(5));
  EXPECT_EQ(prometheus.requests, before) << "what is being deleted is not measured";
}

}  // namespace
}  // namespace krake::scheduler
