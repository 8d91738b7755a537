// For tests of the application controller: the real API server and simulated clusters under simulated time, with lines
// that can be cut.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "controllers/application/controller.h"
#include "kubesim/sim_cluster.h"
#include "manifest/testing.h"
#include "server/testing.h"

namespace krake::application {

using kubesim::SimCluster;
using manifest::object_of;
using manifest::value_of;
using std::chrono::minutes;
using std::chrono::seconds;
using State = ApplicationState;

// A transport with a switch: off means no connection. `sending` hears of each call before it goes out; what `loses`
// picks is carried out and not answered.
class Switchable final : public Transport {
 public:
  using Sending = std::function<void(const HttpRequest&)>;
  using Loses = std::function<bool(const HttpRequest&)>;
  Switchable(std::shared_ptr<Transport> inner, const bool& off, const Sending* sending = nullptr,
             const Loses* loses = nullptr)
      : inner_(std::move(inner)), off_(off), sending_(sending), loses_(loses) {}
  Awaitable<Result<HttpResponse>> send(HttpRequest request, CallOptions options) override {
    if (off_) co_return fail(Code::unavailable, "connection refused");
    if (sending_ && *sending_) (*sending_)(request);
    const bool lost = loses_ && *loses_ && (*loses_)(request);
    auto answer = co_await inner_->send(std::move(request), options);
    if (lost) co_return fail(Code::timeout, "the answer was lost");
    co_return answer;
  }
  Awaitable<Result<HttpStream>> open(HttpRequest request, CallOptions options) override {
    if (off_) co_return fail(Code::unavailable, "connection refused");
    co_return co_await inner_->open(std::move(request), options);
  }

 private:
  std::shared_ptr<Transport> inner_;
  const bool& off_;
  const Sending* sending_;
  const Loses* loses_;
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
    return std::make_shared<Switchable>(make_inproc_transport(it->second->sim->handler(), {}, clock_), it->second->off,
                                        &sending, &loses);
  }
  Switchable::Sending sending;         // a call to any cluster
  Switchable::Loses loses;             // the same, not to be answered
  std::map<std::string, Site*> sites;  // by URL

 private:
  Clock& clock_;
};

inline json::Object config_map(const std::string& name, const std::string& data = "{'x':'1'}") {
  return object_of("{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'" + name + "'},'data':" + data + "}");
}
inline json::Object deployment(const std::string& name, int replicas = 2) {
  return object_of(
      "{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'" + name +
      "'},'spec':{'replicas':" + std::to_string(replicas) + ",'selector':{'matchLabels':{'app':'" + name +
      "'}},'template':{'metadata':{'labels':{'app':'" + name +
      "'}},'spec':{'containers':[{'name':'c','image':'nginx','resources':{'requests':{'cpu':'1000m'}}}]}}}}");
}
inline json::Object node_port_service(const std::string& name) {
  return object_of("{'apiVersion':'v1','kind':'Service','metadata':{'name':'" + name +
                   "'},'spec':{'type':'NodePort','selector':{'app':'web'},'ports':[{'port':80,'protocol':'TCP'}]}}");
}

struct Bench {
  krake::testing::TestServer api{krake::testing::TestServer::under_shipped_roles()};
  bool api_off = false;
  bool api_hangs = false;
  std::map<std::string, Site> sites;
  TableDialer dialer{api.world.clock};
  Client user{api.transport};
  Client controllers_client{std::make_shared<Unanswered>(
      std::make_shared<Switchable>(api.as("system:kubernetes-application"), api_off), api.world.clock, api_hangs)};
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

}  // namespace krake::application
