#include "controllers/scheduler/controller.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/core/metric.h"
#include "api/kubernetes/application.h"
#include "api/kubernetes/cluster.h"
#include "controllers/scheduler/plan.h"
#include "controllers/test_bench.h"

namespace krake::scheduler {
namespace {

using State = ApplicationState;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::AnyOf;
using ::testing::HasSubstr;

// A Prometheus of which only the metrics are real.
struct FakePrometheus {
  std::map<std::string, double> values;
  bool down = false;
  bool hang = false;
  Duration latency{};
  int requests = 0;
  int dials = 0;
  int open = 0;
  int most_open = 0;
};

class FakeDialer final : public Dialer {
 public:
  explicit FakeDialer(Clock& clock) : clock_(clock) {}
  Result<std::shared_ptr<Transport>> dial(const Endpoint& endpoint) override {
    ++servers[endpoint.url].dials;
    return std::make_shared<Line>(*this, endpoint.url);
  }
  std::map<std::string, FakePrometheus> servers;

 private:
  class Line final : public Transport {
   public:
    Line(FakeDialer& dialer, std::string url) : dialer_(dialer), url_(std::move(url)) {}
    Awaitable<Result<HttpResponse>> send(HttpRequest request, CallOptions options) override {
      auto& server = dialer_.servers[url_];
      ++server.requests;
      if (server.hang) {
        co_await sleep_for(dialer_.clock_, options.timeout);
        co_return fail(Code::timeout, "no answer within the time");
      }
      server.most_open = std::max(server.most_open, ++server.open);
      if (server.latency > Duration::zero()) co_await sleep_for(dialer_.clock_, server.latency);
      --server.open;
      if (server.down) co_return fail(Code::unavailable, "connection refused");
      const auto name = request.target.substr(request.target.find("query=") + 6);
      json::Array result;
      if (const auto it = server.values.find(name); it != server.values.end()) {
        result.emplace_back(json::Object{{"metric", json::Object{{"__name__", name}}},
                                         {"value", json::Array{1, fmt::format("{}", it->second)}}});
      }
      co_return HttpResponse{.status = 200,
                             .headers = {},
                             .body = json::print(json::Object{{"data", json::Object{{"result", std::move(result)}}}})};
    }
    Awaitable<Result<HttpStream>> open(HttpRequest, CallOptions) override {
      co_return fail(Code::unavailable, "no streams");
    }

   private:
    FakeDialer& dialer_;
    std::string url_;
  };
  Clock& clock_;
};

struct Bench : testing::ControllerBench {
  FakeDialer dialer{api.world.clock};
  SchedulerOptions options;
  std::unique_ptr<Controller> scheduler;

  explicit Bench(SchedulerOptions given = {}) : options(given) { start(); }
  ~Bench() { stop(); }
  void start() {
    scheduler = make_scheduler({api.world.env, client, dialer}, options);
    scheduler->start();
    wait([&] { return scheduler->ready(); }, seconds(5));
  }
  void stop() {
    if (!scheduler) return;
    run(scheduler->stop());
    scheduler.reset();
  }

  static ObjectKey key(const std::string& name) { return {"demo", name}; }
  // `metrics` as in the API: "[{'name':'load','weight':1}]".
  void cluster(const std::string& name, const std::string& labels = "{}", const std::string& metrics = "[]",
               const std::string& state = "ONLINE", const std::string& ns = "demo") {
    make<Cluster>(ns, "{'metadata':{'name':'" + name + "','labels':" + labels +
                          "},'spec':{'kubeconfig':" + testing::kubeconfig_for("http://" + name) +
                          ",'constraints':{'cloud':{}},'metrics':" + metrics + "}}");
    if (!state.empty()) patch_status<Cluster>({ns, name}, "{'state':'" + state + "'}");
  }
  void set_state(const std::string& name, const std::string& state) {
    patch_status<Cluster>(key(name), "{'state':'" + state + "'}");
  }
  void app(const std::string& name, const std::string& constraints = "{}", const std::string& more = "",
           bool migration = true) {
    make<Application>("demo", "{'metadata':{'name':'" + name +
                                  "'},'spec':{'manifest':" + std::string(testing::kManifest) +
                                  ",'constraints':{'migration':" + (migration ? "true" : "false") +
                                  ",'cluster':" + constraints + "}" + more + "}}");
  }
  void static_metric(const std::string& name, const std::map<std::string, double>& values) {
    // One provider with a metric per cluster: the value of `load-<cluster>`.
    std::string all;
    for (const auto& [metric, value] : values) all += fmt::format("{}'{}':{}", all.empty() ? "" : ",", metric, value);
    make<GlobalMetricsProvider>(
        "", "{'metadata':{'name':'" + name + "'},'spec':{'type':'static','static':{'metrics':{" + all + "}}}}");
    for (const auto& [metric, value] : values) global_metric(metric, name);
  }
  void global_metric(const std::string& metric, const std::string& provider) {
    make<GlobalMetric>("", "{'metadata':{'name':'" + metric +
                               "'},'spec':{'min':0,'max':1,'allowed_values':[],'provider':{'name':'" + provider +
                               "','metric':'" + metric + "'}}}");
  }
  void set_static(const std::string& provider, const std::string& metric, double value) {
    patch<GlobalMetricsProvider>({"", provider},
                                 fmt::format("{{'spec':{{'static':{{'metrics':{{'{}':{}}}}}}}}}", metric, value));
  }
  static std::string by(const std::string& metric, double weight = 1) {
    return fmt::format("[{{'name':'{}','weight':{}}}]", metric, weight);
  }

  Application now(const std::string& name) { return *get<Application>(key(name)); }
  std::string place(const std::string& name) {
    const auto application = get<Application>(key(name));
    return application && application->status.scheduled_to ? application->status.scheduled_to->name : "";
  }
  std::string show(const std::string& name) { return json::print(to_value(now(name).status)); }
  bool placed(const std::string& name, const std::string& where, Duration limit = seconds(5)) {
    return wait([&] { return place(name) == where; }, limit);
  }
  bool has_state(const std::string& name, State state, Duration limit = seconds(5)) {
    return wait([&] { return now(name).status.state == state; }, limit);
  }
  // What the application controller would report.
  void runs(const std::string& name) {
    const auto to = now(name).status.scheduled_to;
    ASSERT_TRUE(to);
    auto done = ControllerBench::run(
        user.patch_status<Application>(key(name), json::Object{{"state", "RUNNING"}, {"running_on", to_value(*to)}}));
    ASSERT_TRUE(done) << done.error().message;
  }
  Wall wall() { return api.world.clock.wall(); }
};

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

// ---- metrics

TEST(Scheduler, MarksAClusterWhoseMetricsFailAndRecovers) {
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

TEST(Scheduler, LeavesTheStatesOfOthersAlone) {
  Bench bench;
  for (const auto* state : {"OFFLINE", "CREATING", "UNHEALTHY", "FAILED", "CONNECTING"}) {
    auto name = std::string("c") + state;
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
    bench.cluster(name, "{}", Bench::by("missing"), state);
    bench.expect_silence(minutes(1));
    EXPECT_EQ(enum_name(bench.get<Cluster>(bench.key(name))->status.state), state);
  }
}

TEST(Scheduler, AsksAProviderOncePerIntervalHoweverManyAsk) {
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

TEST(Scheduler, FollowsAProviderThatFailsAndRecovers) {
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

TEST(Scheduler, ForgivesAProviderOneMissedRound) {
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

TEST(Scheduler, ForgivesOneMissedScrapeButNoWrongValue) {
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

TEST(Scheduler, AsksADeadProviderOneQuestionOnly) {
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

TEST(Scheduler, ASlowProviderHoldsNobodyUp) {
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
  EXPECT_TRUE(bench.placed("next", "b", milliseconds(100)));
  EXPECT_TRUE(bench.wait(
      [&] { return bench.get<Cluster>(bench.key("a"))->status.state == ClusterState::FAILING_METRICS; }, seconds(30)));
}

TEST(Scheduler, WaitsForTheFirstValuesInsteadOfMovingEverything) {
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

TEST(Scheduler, AsksAProviderAFewThingsAtOnceOverOneLine) {
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

TEST(Scheduler, ASlowProviderEvictsNobody) {
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

TEST(Scheduler, NewClustersDelayNobody) {
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
