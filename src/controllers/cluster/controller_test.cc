#include "controllers/cluster/controller.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/kubernetes/cluster.h"
#include "controllers/test_bench.h"
#include "kubesim/sim_cluster.h"
#include "runtime/elector.h"

namespace krake::cluster {
namespace {

using State = ClusterState;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::HasSubstr;

// Finds simulated clusters by their URL; some addresses fail as broken TLS or a closed port does.
class SimDialer final : public Dialer {
 public:
  explicit SimDialer(Clock& clock) : clock_(clock) {}
  Result<std::shared_ptr<Transport>> dial(const Endpoint& endpoint) override {
    return std::make_shared<Line>(*this, endpoint.url);
  }
  std::map<std::string, kubesim::SimCluster*> sims;
  std::map<std::string, Error> broken;
  std::optional<Error> no_streams;  // of all

 private:
  class Line final : public Transport {
   public:
    Line(SimDialer& dialer, std::string url) : dialer_(dialer), url_(std::move(url)) {}
    Awaitable<Result<HttpResponse>> send(HttpRequest request, CallOptions options) override {
      auto inner = reach();
      if (!inner) co_return fail(inner.error());
      co_return co_await (*inner)->send(std::move(request), options);
    }
    Awaitable<Result<HttpStream>> open(HttpRequest request, CallOptions options) override {
      if (dialer_.no_streams) co_return fail(*dialer_.no_streams);
      auto inner = reach();
      if (!inner) co_return fail(inner.error());
      co_return co_await (*inner)->open(std::move(request), options);
    }

   private:
    Result<std::shared_ptr<Transport>> reach() const {
      if (const auto it = dialer_.broken.find(url_); it != dialer_.broken.end()) return fail(it->second);
      const auto sim = dialer_.sims.find(url_);
      if (sim == dialer_.sims.end()) return fail(Code::unavailable, "connect to " + url_ + ": connection refused");
      return make_inproc_transport(sim->second->handler(), {}, dialer_.clock_);
    }
    SimDialer& dialer_;
    std::string url_;
  };
  Clock& clock_;
};

struct Bench : testing::ControllerBench {
  SimDialer dialer{api.world.clock};
  std::map<std::string, std::unique_ptr<kubesim::SimCluster>> sims;
  std::unique_ptr<Controller> controller;
  const ObjectKey key{"demo", "one"};

  Bench() : ControllerBench("kubernetes-cluster") {
    add_sim("one");
    start();
  }
  ~Bench() { stop(); }
  kubesim::SimCluster& add_sim(const std::string& name) {
    auto& sim = sims[name];
    sim = std::make_unique<kubesim::SimCluster>(api.world.env, kubesim::SimOptions{.name = name});
    dialer.sims[url(name)] = sim.get();
    return *sim;
  }
  static std::string url(const std::string& name) { return "http://" + name + ".test"; }
  kubesim::SimCluster& sim() { return *sims.at("one"); }
  void start() {
    controller = make_cluster_controller({api.world.env, client, dialer}, {});
    controller->start();
    wait([&] { return controller->ready(); }, seconds(5));
  }
  void stop() {
    if (!controller) return;
    run(controller->stop());
    controller.reset();
  }
  std::string kubeconfig(const std::string& name) {
    auto text = json::print(sims.at(name)->kubeconfig(url(name), ""));
    std::ranges::replace(text, '"', '\'');
    return text;
  }
  void enrol() {
    make<Cluster>("demo", "{'metadata':{'name':'one'},'spec':{'kubeconfig':" + kubeconfig("one") +
                              ",'constraints':{'cloud':{}}}}");
  }
  Cluster now() { return *get<Cluster>(key); }
  std::string reason() {
    const auto cluster = now();
    return cluster.status.reason
               ? fmt::format("{} {}", enum_name(cluster.status.reason->code), cluster.status.reason->message)
               : "";
  }
  bool reaches(State state, Duration limit = minutes(1)) {
    return wait([&] { return now().status.state == state; }, limit);
  }
  void enrol_online() {
    enrol();
    ASSERT_TRUE(reaches(State::ONLINE, seconds(1))) << reason();
  }
};

TEST(ClusterController, NewClusterIsOnlineWithinASecondAndThenSilent) {
  Bench bench;
  bench.enrol();
  ASSERT_TRUE(bench.reaches(State::ONLINE, seconds(1))) << bench.reason();
  const auto cluster = bench.now();
  ASSERT_EQ(cluster.status.nodes.size(), 1u);
  EXPECT_EQ(cluster.status.nodes[0].metadata.name, "one-node-0");
  EXPECT_EQ(cluster.status.nodes[0].status->conditions.size(), 4u);
  EXPECT_FALSE(cluster.status.reason);
  EXPECT_TRUE(cluster.status.kube_controller_triggered);
  bench.pass(seconds(30));
  bench.expect_silence(minutes(30));
  EXPECT_EQ(bench.sim().mutations(), 0u);
}

TEST(ClusterController, AsksAQuietClusterRarely) {
  Bench bench;
  bench.enrol_online();
  bench.pass(seconds(30));
  const auto before = bench.sim().requests();
  bench.pass(minutes(10));
  EXPECT_LE(bench.sim().requests() - before, 70u) << "one probe each ten seconds, now and then a new watch";
  EXPECT_GE(bench.sim().requests() - before, 30u);
}

TEST(ClusterController, GoesOfflineAtOnceAndComesBack) {
  Bench bench;
  bench.enrol_online();
  bench.pass(minutes(1));
  bench.dialer.broken[bench.url("one")] = {Code::unavailable, "connect to one.test:80: connection refused"};
  bench.sim().cut_watches();
  ASSERT_TRUE(bench.reaches(State::OFFLINE, seconds(1)));
  EXPECT_THAT(bench.reason(), HasSubstr("CLUSTER_NOT_REACHABLE"));
  EXPECT_THAT(bench.reason(), HasSubstr("connection refused"));
  EXPECT_TRUE(bench.now().status.nodes.empty());
  bench.pass(minutes(10));
  bench.expect_silence();
  bench.dialer.broken.clear();
  std::vector<State> seen;
  ASSERT_TRUE(bench.wait(
      [&] {
        const auto state = bench.now().status.state;
        if (seen.empty() || seen.back() != state) seen.push_back(state);
        return state == State::ONLINE;
      },
      seconds(15)));
  EXPECT_EQ(seen.front(), State::OFFLINE);
  EXPECT_EQ(bench.reason(), "");
  EXPECT_EQ(bench.now().status.nodes.size(), 1u);
  bench.pass(seconds(30));
  bench.expect_silence();
}

TEST(ClusterController, AsksOnceMoreBeforeItCallsAClusterOffline) {
  Bench bench;
  bench.enrol_online();
  bench.pass(minutes(1));
  const auto before = bench.revision();
  for (int i = 0; i < 5; ++i) {
    bench.dialer.broken[bench.url("one")] = {Code::unavailable, "connection reset"};
    bench.sim().cut_watches();
    bench.pass(milliseconds(100));
    bench.dialer.broken.clear();
    bench.pass(seconds(20));
  }
  EXPECT_EQ(bench.revision(), before);
  EXPECT_EQ(bench.now().status.state, State::ONLINE);
}

TEST(ClusterController, SaysWhatIsWrong) {
  struct Case {
    const char* what;
    std::function<void(Bench&)> breaks;
    Duration within;
    const char* reason;
  };
  const Case cases[] = {
      {"wrong CA",
       [](Bench& bench) {
         bench.dialer.broken[bench.url("one")] = {Code::unavailable,
                                                  "TLS: certificate verify failed: self-signed certificate"};
       },
       seconds(12), "certificate verify failed"},
      {"hanging", [](Bench& bench) { bench.sim().set_faults({.hang = true}); }, seconds(16), "list nodes"},
      {"garbage", [](Bench& bench) { bench.sim().set_faults({.garbage = true}); }, seconds(12), "JSON"},
      {"errors", [](Bench& bench) { bench.sim().set_faults({.error_rate = 1}); }, seconds(12), "500"},
      {"forbidden", [](Bench& bench) { bench.sim().set_faults({.error_rate = 1, .error_status = 403}); }, seconds(16),
       "403"},
      {"bad token", [](Bench& bench) { bench.sim().set_faults({.error_rate = 1, .error_status = 401}); }, seconds(12),
       "401"},
      {"refused", [](Bench& bench) { bench.sim().set_faults({.refuse = true}); }, seconds(12), "refuses connections"},
  };
  for (const auto& c : cases) {
    Bench bench;
    bench.enrol_online();
    bench.pass(seconds(20));
    c.breaks(bench);
    bench.sim().cut_watches();
    ASSERT_TRUE(bench.reaches(State::OFFLINE, c.within)) << c.what;
    EXPECT_THAT(bench.reason(), HasSubstr("CLUSTER_NOT_REACHABLE")) << c.what;
    EXPECT_THAT(bench.reason(), HasSubstr(c.reason)) << c.what;
    bench.pass(minutes(5));
    bench.expect_silence();
    bench.sim().set_faults({});
    bench.dialer.broken.clear();
    EXPECT_TRUE(bench.reaches(State::ONLINE, seconds(20))) << c.what;
  }
}

TEST(ClusterController, NoticesABlackHoleThoughTheWatchStaysOpen) {
  Bench bench;
  bench.enrol_online();
  bench.pass(seconds(20));
  bench.sim().faults.hang = true;  // the watch is not cut: nothing comes any more
  bench.sim().faults.silent_watches = true;
  EXPECT_TRUE(bench.reaches(State::OFFLINE, seconds(25))) << enum_name(bench.now().status.state);
}

TEST(ClusterController, ReportsNodePressureAndItsEnd) {
  Bench bench;
  bench.enrol_online();
  bench.pass(seconds(20));
  bench.sim().set_faults({.nodes = {{"MemoryPressure", "True"}}});
  ASSERT_TRUE(bench.reaches(State::UNHEALTHY, seconds(1)));
  EXPECT_THAT(bench.reason(), HasSubstr("node one-node-0: MemoryPressure is True"));
  bench.sim().set_faults({.nodes = {{"Ready", "Unknown"}}});
  ASSERT_TRUE(bench.reaches(State::NOTREADY, seconds(1)));
  bench.sim().set_faults({});
  ASSERT_TRUE(bench.reaches(State::ONLINE, seconds(1)));
  EXPECT_EQ(bench.reason(), "");
}

TEST(ClusterController, FollowsTheNodes) {
  Bench bench;
  bench.enrol_online();
  bench.pass(minutes(1));
  for (int i = 1; i <= 5; ++i) bench.sim().add_node("extra-" + std::to_string(i));
  ASSERT_TRUE(bench.wait([&] { return bench.now().status.nodes.size() == 6; }, seconds(15)));
  bench.sim().erase("nodes", "", "extra-3");
  ASSERT_TRUE(bench.wait([&] { return bench.now().status.nodes.size() == 5; }, seconds(15)));
}

TEST(ClusterController, WritesNodesNowAndThenOnly) {
  Bench bench;
  bench.enrol_online();
  bench.pass(minutes(1));
  const auto before = bench.revision();
  for (int i = 0; i < 60; ++i) {
    bench.sim().add_node("n" + std::to_string(i));
    bench.pass(seconds(1));
  }
  EXPECT_LE(bench.revision() - before, 8);
}

TEST(ClusterController, GetsAlongWithoutTheRightToListNodes) {
  Bench bench;
  bench.sim().set_faults({.forbidden = {"nodes"}});
  bench.enrol();
  ASSERT_TRUE(bench.reaches(State::ONLINE, seconds(1))) << bench.reason();
  EXPECT_TRUE(bench.now().status.nodes.empty());
  bench.pass(seconds(30));
  bench.expect_silence(minutes(5));
  bench.dialer.broken[bench.url("one")] = {Code::unavailable, "gone"};
  EXPECT_TRUE(bench.reaches(State::OFFLINE, seconds(12)));
  bench.dialer.broken.clear();
  EXPECT_TRUE(bench.reaches(State::ONLINE, seconds(15)));
}

TEST(ClusterController, ListsNowAndThenWhereWatchingIsForbidden) {
  Bench bench;
  bench.sim().set_faults({.forbidden = {"watch:nodes"}});
  bench.enrol();
  ASSERT_TRUE(bench.reaches(State::ONLINE, seconds(1))) << bench.reason();
  bench.pass(seconds(30));
  bench.sim().set_faults({.forbidden = {"watch:nodes"}, .nodes = {{"DiskPressure", "True"}}});
  EXPECT_TRUE(bench.reaches(State::UNHEALTHY, seconds(12)));
}

TEST(ClusterController, AWatchThatFailsForNowIsOpenedSoon) {
  Bench bench;
  bench.dialer.no_streams = Error{Code::unavailable, "connection reset"};
  bench.enrol();
  ASSERT_TRUE(bench.reaches(State::ONLINE, seconds(3))) << bench.reason();
  bench.dialer.no_streams.reset();
  bench.pass(seconds(5));
  bench.sim().set_faults({.nodes = {{"DiskPressure", "True"}}});
  EXPECT_TRUE(bench.reaches(State::UNHEALTHY, seconds(1))) << "it is watched, not polled";
}

TEST(ClusterController, LeavesTheStatesOfOthersAlone) {
  for (const auto* state : {"CREATING", "RECONCILING", "FAILING_RECONCILIATION", "FAILED", "DELETING"}) {
    Bench bench;
    bench.enrol_online();
    bench.pass(seconds(20));
    bench.patch_status<Cluster>(bench.key, "{'state':'" + std::string(state) + "'}");
    bench.sim().set_faults({.nodes = {{"MemoryPressure", "True"}}});
    bench.expect_silence(minutes(5));
    EXPECT_EQ(enum_name(bench.now().status.state), state);
  }
}

TEST(ClusterController, LeavesFailingMetricsUnlessTheClusterIsGone) {
  Bench bench;
  bench.enrol_online();
  bench.pass(seconds(20));
  bench.patch_status<Cluster>(
      bench.key, "{'state':'FAILING_METRICS','metrics_reasons':{'m':{'code':'INVALID_METRIC','message':'x'}}}");
  bench.expect_silence(minutes(5));
  EXPECT_EQ(bench.now().status.state, State::FAILING_METRICS);
  bench.dialer.broken[bench.url("one")] = {Code::unavailable, "gone"};
  bench.sim().cut_watches();
  EXPECT_TRUE(bench.reaches(State::OFFLINE, seconds(1)));
}

TEST(ClusterController, FollowsAChangedKubeconfig) {
  Bench bench;
  bench.enrol_online();
  bench.add_sim("two").add_node("second");
  bench.pass(seconds(20));
  bench.patch<Cluster>(bench.key, "{'spec':{'kubeconfig':" + bench.kubeconfig("two") + "}}");
  ASSERT_TRUE(bench.wait([&] { return bench.now().status.nodes.size() == 2; }, seconds(2)));
  bench.pass(seconds(20));
  const auto before = bench.sim().requests();
  bench.pass(minutes(5));
  EXPECT_EQ(bench.sim().requests(), before) << "the old cluster is left alone";
}

TEST(ClusterController, RefusesAKubeconfigItCannotUse) {
  Bench bench;
  bench.enrol_online();
  auto plugin = bench.kubeconfig("one");
  plugin.replace(plugin.find("'token':'sim-token'"), 19, "'exec':{'command':'x'}");
  bench.patch<Cluster>(bench.key, "{'spec':{'kubeconfig':" + plugin + "}}");
  auto config = to_value(bench.now().spec.kubeconfig);
  ASSERT_TRUE(bench.reaches(State::OFFLINE, seconds(1))) << json::print(config);
  EXPECT_THAT(bench.reason(), HasSubstr("INVALID_RESOURCE"));
  EXPECT_THAT(bench.reason(), HasSubstr("service account"));
}

TEST(ClusterController, StopsAtDeletionAndTakesUpANewClusterOfTheSameName) {
  Bench bench;
  bench.enrol_online();
  bench.remove<Cluster>(bench.key);
  bench.pass(seconds(5));
  const auto before = bench.sim().requests();
  bench.pass(minutes(5));
  EXPECT_EQ(bench.sim().requests(), before);
  bench.api.call("DELETE", "/kubernetes/namespaces/demo/clusters/one?force=True");
  bench.enrol();
  EXPECT_TRUE(bench.reaches(State::ONLINE, seconds(1)));
}

TEST(ClusterController, StartsAgainWhereItWas) {
  Bench bench;
  bench.enrol_online();
  bench.pass(seconds(20));
  const auto before = bench.revision();
  bench.stop();
  bench.start();
  bench.pass(minutes(1));
  EXPECT_EQ(bench.revision(), before) << "nothing has changed";
  bench.stop();
  bench.sim().set_faults({.nodes = {{"PIDPressure", "True"}}});
  bench.start();
  EXPECT_TRUE(bench.reaches(State::UNHEALTHY, seconds(1)));
}

TEST(ClusterController, RebuildsAWipedStatus) {
  Bench bench;
  bench.enrol_online();
  bench.pass(seconds(20));
  auto wiped = bench.now();
  const auto nodes = wiped.status.nodes;
  wiped.status = {};
  bench.api.call("PUT", "/kubernetes/namespaces/demo/clusters/one/status", encode_json(wiped));
  ASSERT_TRUE(bench.reaches(State::ONLINE, seconds(1)));
  EXPECT_EQ(bench.now().status.nodes, nodes);
}

TEST(ClusterController, SurvivesLostEventsAndRaces) {
  Bench bench;
  bench.line.lose_events = 0.3;
  bench.enrol();
  // Somebody else writes the same status all the time.
  for (int i = 0; i < 50; ++i) {
    bench.patch_status<Cluster>(
        bench.key, "{'metrics_reasons':{'m':{'code':'INVALID_METRIC','message':'" + std::to_string(i) + "'}}}");
    bench.pass(milliseconds(300));
  }
  bench.line.lose_events = 0;
  EXPECT_TRUE(bench.reaches(State::ONLINE, minutes(15))) << bench.reason();
  EXPECT_EQ(bench.now().status.metrics_reasons.find("m")->message, "49") << "nothing of others is overwritten";
}

// Two controllers with their elections; what the first has opened ends with its term.
TEST(ClusterController, WhoseTermIsOverLeavesTheClustersAlone) {
  Bench bench;
  bench.stop();
  auto& env = bench.api.world.env;
  Elector first(env, bench.client, {.name = "kubernetes-cluster", .holder = "first", .ttl = seconds(6)});
  auto controller = make_cluster_controller({env, bench.client, bench.dialer, &first}, {});
  first.start();
  controller->start();
  ASSERT_TRUE(bench.wait([&] { return first.mode() == Mode::leading; }));
  bench.enrol();
  ASSERT_TRUE(bench.reaches(State::ONLINE)) << bench.reason();

  Elector second(env, bench.client, {.name = "kubernetes-cluster", .holder = "second", .ttl = seconds(6)});
  second.start();
  bench.run(first.resign());
  ASSERT_TRUE(bench.wait([&] { return second.mode() == Mode::leading && first.mode() == Mode::standby; }));
  bench.pass(seconds(1));
  const auto before = bench.sim().requests();
  bench.pass(minutes(5));
  EXPECT_EQ(bench.sim().requests(), before) << "its links are still there";

  bench.run(controller->stop());
  bench.run(second.stop());
  bench.run(first.stop());
}

TEST(ClusterController, ABadClusterDoesNotDelayTheOthers) {
  Bench bench;
  for (int i = 0; i < 20; ++i) {
    const auto name = "dead" + std::to_string(i);
    bench.add_sim(name).faults.hang = true;
    bench.make<Cluster>("demo", "{'metadata':{'name':'" + name + "'},'spec':{'kubeconfig':" + bench.kubeconfig(name) +
                                    ",'constraints':{'cloud':{}}}}");
  }
  bench.enrol();
  EXPECT_TRUE(bench.reaches(State::ONLINE, seconds(1)));
}

}  // namespace
}  // namespace krake::cluster
