#include "controllers/application/controller.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controllers/application/status.h"
#include "kubesim/sim_cluster.h"
#include "manifest/testing.h"
#include "server/testing.h"

namespace krake::application {
namespace {

using kubesim::SimCluster;
using manifest::object_of;
using manifest::value_of;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::HasSubstr;
using State = ApplicationState;

// A transport with a switch: off means no connection.
class Switchable final : public Transport {
 public:
  Switchable(std::shared_ptr<Transport> inner, const bool& off) : inner_(std::move(inner)), off_(off) {}
  Awaitable<Result<HttpResponse>> send(HttpRequest request, CallOptions options) override {
    if (off_) co_return fail(Code::unavailable, "connection refused");
    co_return co_await inner_->send(std::move(request), options);
  }
  Awaitable<Result<HttpStream>> open(HttpRequest request, CallOptions options) override {
    if (off_) co_return fail(Code::unavailable, "connection refused");
    co_return co_await inner_->open(std::move(request), options);
  }

 private:
  std::shared_ptr<Transport> inner_;
  const bool& off_;
};

// With another switch: calls go out and nobody answers. What is open already stays open.
class Unanswered final : public Transport {
 public:
  Unanswered(std::shared_ptr<Transport> inner, Clock& clock, const bool& on)
      : inner_(std::move(inner)), clock_(clock), on_(on) {}
  Awaitable<Result<HttpResponse>> send(HttpRequest request, CallOptions options) override {
    if (!on_) co_return co_await inner_->send(std::move(request), options);
    co_await sleep_for(clock_, options.timeout);
    co_return fail(Code::timeout, "no answer");
  }
  Awaitable<Result<HttpStream>> open(HttpRequest request, CallOptions options) override {
    co_return co_await inner_->open(std::move(request), options);
  }

 private:
  std::shared_ptr<Transport> inner_;
  Clock& clock_;
  const bool& on_;
};

// Time as it is outside the simulator: two readings are never the same.
class TickingClock final : public Clock {
 public:
  explicit TickingClock(Clock& inner) : inner_(inner) {}
  Mono now() const override {
    last_ = std::max(inner_.now(), last_ + Duration(1));
    return last_;
  }
  Wall wall() const override { return inner_.wall(); }
  TimerHandle at(Mono when, std::function<void()> fn) override { return inner_.at(when, std::move(fn)); }

 private:
  Clock& inner_;
  mutable Mono last_{};
};

constexpr std::uint64_t kSeeds = 6;

struct Site {
  std::unique_ptr<SimCluster> sim;
  bool off = false;
};

class TableDialer final : public Dialer {
 public:
  explicit TableDialer(Clock& clock) : clock_(clock) {}
  Result<std::shared_ptr<Transport>> dial(const Endpoint& endpoint) override {
    const auto it = sites.find(endpoint.url);
    if (it == sites.end()) return fail(Code::unavailable, "no such host: " + endpoint.url);
    return std::make_shared<Switchable>(make_inproc_transport(it->second->sim->handler(), {}, clock_), it->second->off);
  }
  std::map<std::string, Site*> sites;  // by URL

 private:
  Clock& clock_;
};

json::Object config_map(const std::string& name, const std::string& data = "{'x':'1'}") {
  return object_of("{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'" + name + "'},'data':" + data + "}");
}
json::Object deployment(const std::string& name, int replicas = 2) {
  return object_of(
      "{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'" + name +
      "'},'spec':{'replicas':" + std::to_string(replicas) + ",'selector':{'matchLabels':{'app':'" + name +
      "'}},'template':{'metadata':{'labels':{'app':'" + name +
      "'}},'spec':{'containers':[{'name':'c','image':'nginx','resources':{'requests':{'cpu':'1000m'}}}]}}}}");
}
json::Object node_port_service(const std::string& name) {
  return object_of("{'apiVersion':'v1','kind':'Service','metadata':{'name':'" + name +
                   "'},'spec':{'type':'NodePort','selector':{'app':'web'},'ports':[{'port':80,'protocol':'TCP'}]}}");
}

struct Bench {
  testing::TestServer api;
  bool api_off = false;
  bool api_hangs = false;
  std::map<std::string, Site> sites;
  TableDialer dialer{api.world.clock};
  Client user{api.transport};
  Client controllers_client{
      std::make_shared<Unanswered>(std::make_shared<Switchable>(api.transport, api_off), api.world.clock, api_hangs)};
  ApplicationOptions options;
  TickingClock ticking{api.world.clock};
  Env ticking_env{api.world.env.executor, ticking, Random(1), Log(), api.world.metrics};
  bool ticks = false;
  std::unique_ptr<Controller> controller;

  explicit Bench(std::vector<std::string> names = {"one", "two"}) {
    for (const auto& name : names) {
      add_site(name);
      register_cluster(name, name);
    }
    start();
  }
  ~Bench() { stop(); }

  void add_site(const std::string& name) {
    sites[name].sim = std::make_unique<SimCluster>(api.world.env, kubesim::SimOptions{.name = name});
    dialer.sites[url(name)] = &sites[name];
  }
  static std::string url(const std::string& name) { return "http://" + name + ".test"; }
  void register_cluster(const std::string& name, const std::string& site) {
    Cluster cluster;
    cluster.metadata.name = name;
    cluster.spec.kubeconfig = *sim(site).kubeconfig(url(site), "").if_object();
    auto made = api.world.run(user.create<Cluster>("demo", cluster));
    if (!made) throw std::runtime_error(made.error().message);
  }
  void start() {
    Env& env = ticks ? ticking_env : api.world.env;
    controller = make_application_controller({env, controllers_client, dialer}, options);
    controller->start();
  }
  void stop() {
    if (!controller) return;
    api.world.run(controller->stop());
    controller.reset();
  }
  void restart() {
    stop();
    start();
  }

  SimCluster& sim(const std::string& name) { return *sites.at(name).sim; }
  void cut(const std::string& name) {
    sites.at(name).off = true;
    sim(name).cut_watches();
  }

  static ObjectKey key(const std::string& name) { return {"demo", name}; }
  static ResourceRef ref(const std::string& name) {
    return {.api = "kubernetes", .namespace_ = "demo", .kind = "Cluster", .name = name};
  }
  void create(const std::string& name, std::vector<json::Object> manifest) {
    Application app;
    app.metadata.name = name;
    app.spec.manifest = std::move(manifest);
    auto made = api.world.run(user.create<Application>("demo", app));
    if (!made) throw std::runtime_error(made.error().message);
  }
  // What the scheduler does.
  void bind(const std::string& app, const std::string& cluster) {
    json::Object body{{"api", "kubernetes"}, {"kind", "ClusterBinding"}, {"cluster", to_value(ref(cluster))}};
    auto bound = api.world.run(user.put_subresource<Application>(key(app), "binding", std::move(body)));
    if (!bound) throw std::runtime_error(bound.error().message);
  }
  void update(const std::string& app, std::vector<json::Object> manifest) {
    json::Array objects(manifest.begin(), manifest.end());
    auto done = api.world.run(
        user.patch<Application>(key(app), json::Object{{"spec", json::Object{{"manifest", std::move(objects)}}}}));
    if (!done) throw std::runtime_error(done.error().message);
  }
  void wipe_status(const std::string& app) {
    auto read = get(app);
    read->status = {};
    const auto answer = api.call("PUT", Client::item<Application>(key(app)) + "/status", encode_json(*read));
    if (answer.status != 200) throw std::runtime_error(answer.body);
  }
  std::optional<Application> get(const std::string& app) {
    auto read = api.world.run(user.get<Application>(key(app)));
    if (!read) return std::nullopt;
    return std::move(read->object);
  }
  bool wait(const std::function<bool()>& done, Duration limit = minutes(3)) { return api.world.run_until(done, limit); }
  bool wait_state(const std::string& app, State state, const std::string& cluster, Duration limit = minutes(3)) {
    return wait(
        [&] {
          const auto now = get(app);
          return now && now->status.state == state && now->status.running_on == ref(cluster) && !now->status.reason;
        },
        limit);
  }
  bool healthy_on(const std::string& app, const std::string& cluster) {
    return wait([&] {
      const auto now = get(app);
      return now && now->status.state == State::RUNNING && now->status.running_on == ref(cluster) &&
             !now->status.reason &&
             now->status.container_health.running_pods == now->status.container_health.desired_pods &&
             now->metadata.owners == std::vector{ref(cluster)} &&
             (!now->status.cleanup || now->status.cleanup->empty());
    });
  }
  void pass(Duration time) {
    api.world.run_until([] { return false; }, time);
  }
  std::string show(const std::string& app) {
    const auto now = get(app);
    return now ? json::print(to_value(now->status)) : "gone";
  }
  std::int64_t revision() { return static_cast<std::int64_t>(*api.world.run(api.store->current())); }
  std::uint64_t mutations() {
    std::uint64_t all = 0;
    for (auto& [name, site] : sites) all += site.sim->mutations();
    return all;
  }
  // Nothing writes any more.
  void expect_silence(Duration time = minutes(20)) {
    pass(seconds(30));
    const auto revision_before = revision();
    const auto mutations_before = mutations();
    pass(time);
    EXPECT_EQ(revision(), revision_before);
    EXPECT_EQ(mutations(), mutations_before);
  }
};

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
