#include "sim/world.h"

#include <boost/asio/io_context.hpp>

#include "api/kubernetes/application.h"
#include "api/kubernetes/cluster.h"
#include "api/registry.h"
#include "base/check.h"
#include "controllers/application/controller.h"
#include "controllers/cluster/controller.h"
#include "controllers/gc/controller.h"
#include "controllers/scheduler/controller.h"
#include "kubesim/sim_cluster.h"
#include "server/api_server.h"
#include "store/faulty_store.h"
#include "store/memory/memory_store.h"

namespace krake::sim {

namespace {

constexpr std::string_view kNamespace = "demo";
constexpr std::string_view kLocations[] = {"DE", "SK", "PL"};

// A process of the world: what a crash destroys.
struct ApiProcess {
  ApiProcess(Env& env, std::shared_ptr<store::MemoryDisk> disk, store::FaultRates rates)
      : inner(store::make_memory_store(env.executor, env.clock, std::move(disk))),
        store(*inner, env.executor, env.clock, env.random.fork("store"), rates),
        server(env, store, krake_registry(), options()) {}
  static server::ServerOptions options() {
    server::ServerOptions options;
    options.auth.allow_anonymous = true;
    options.auth.mode = access::Authorization::always_allow;
    return options;
  }
  std::unique_ptr<store::Store> inner;
  store::FaultyStore store;
  server::ApiServer server;
};

struct ControllerProcess {
  ControllerProcess(const std::string& name, Env& shared, Network& network)
      : env{shared.executor, shared.clock, shared.random.fork("process " + name), shared.log, shared.metrics},
        dialer(network, name),
        client(network.transport(name, "api", Peer{.common_name = "system:" + name}),
               {.timeout = std::chrono::seconds(10)}),
        controller(make(name)) {
    controller->start();
  }
  std::unique_ptr<Controller> make(const std::string& name) {
    const ControllerContext context{env, client, dialer};
    if (name == "scheduler") {
      scheduler::SchedulerOptions options;
      options.reschedule_after = std::chrono::seconds(20);
      return scheduler::make_scheduler(context, options);
    }
    if (name == "kubernetes-application") {
      application::ApplicationOptions options;
      options.migration_health_wait = std::chrono::seconds(20);
      return application::make_application_controller(context, options);
    }
    if (name == "kubernetes-cluster") return cluster::make_cluster_controller(context, {});
    return gc::make_garbage_collector(context, {}, krake_registry());
  }
  Env env;
  SimDialer dialer;
  Client client;
  std::unique_ptr<Controller> controller;
};

constexpr std::string_view kControllers[] = {"scheduler", "kubernetes-application", "kubernetes-cluster", "gc"};

class World {
 public:
  explicit World(const WorldOptions& options)
      : options_(options),
        clock_(context_.get_executor(), Wall(std::chrono::seconds(1'780'000'000))),
        env_{context_.get_executor(), clock_, Random(options.seed), Log(), metrics_},
        random_(env_.random.fork("workload")),
        trace_(clock_),
        network_(env_, trace_),
        disk_(std::make_shared<store::MemoryDisk>("sim", store::MemoryOptions{})),
        client_(network_.transport("user", "api", Peer{.common_name = "user"}), {.timeout = std::chrono::seconds(20)}) {
    trace_.keep_all(options.trace);
  }

  Verdict run() {
    start();
    if (options_.faults) misbehave();
    for (int step = 0; step < options_.steps; ++step) {
      act();
      pass(std::chrono::milliseconds(200 + random_.below(4000)));
    }
    heal();
    if (!converge(std::chrono::minutes(15))) {
      broken(Broken::liveness, "15 simulated minutes after everything healed: " + first_difference());
    } else {
      silence();
    }
    verdict_.messages = network_.messages();
    verdict_.trace_hash = trace_.hash();
    verdict_.tail = trace_.tail();
    verdict_.simulated_seconds = std::chrono::duration<double>(clock_.now().time_since_epoch()).count();
    stop();
    return std::move(verdict_);
  }

 private:
  // ---- the loop

  void settle() {
    context_.restart();
    while (context_.poll() > 0) context_.restart();
  }
  void pass(Duration time) {
    const Mono end = clock_.now() + time;
    do settle();
    while (clock_.advance_to_next(end));
    settle();
  }
  template <class T>
  std::optional<T> wait(Awaitable<T> task, Duration limit = std::chrono::minutes(2)) {
    auto result = std::make_shared<std::optional<T>>();
    TaskGroup group(context_.get_executor());
    group.spawn("world", keep(std::move(task), result));
    const Mono end = clock_.now() + limit;
    for (;;) {
      settle();
      if (*result) return std::move(*result);
      if (!clock_.advance_to_next(end)) break;
    }
    group.cancel();
    settle();
    return std::nullopt;
  }
  template <class T>
  static Awaitable<void> keep(Awaitable<T> task, std::shared_ptr<std::optional<T>> result) {
    result->emplace(co_await std::move(task));
  }
  static Awaitable<bool> done(Awaitable<void> task) {
    co_await std::move(task);
    co_return true;
  }

  // ---- processes

  void start() {
    for (int i = 0; i < options_.clusters; ++i) {
      const std::string name = fmt::format("c{}", i);
      auto& cluster = clusters_[name];
      cluster = std::make_unique<kubesim::SimCluster>(env_, kubesim::SimOptions{.name = name});
      network_.up(name, cluster->handler());
    }
    start_api();
    for (const auto name : kControllers) start_controller(std::string(name));
    pass(std::chrono::seconds(1));
    int i = 0;
    for (const auto& [name, cluster] : clusters_) {
      Cluster object;
      object.metadata.name = name;
      object.metadata.labels.entries = {{"location", std::string(kLocations[i++ % 3])}};
      object.spec.kubeconfig = *cluster->kubeconfig("https://" + name, "").if_object();
      auto created = wait(client_.create<Cluster>(std::string(kNamespace), std::move(object)));
      CHECK(created && *created, "clusters are registered before anything misbehaves: " +
                                     (created ? created->error().message : "no answer"));
    }
    pass(std::chrono::seconds(5));
  }

  void start_api() {
    api_ = std::make_unique<ApiProcess>(env_, disk_, misbehaving_ ? store_faults() : store::FaultRates{});
    // The store may refuse the first load: try until it gives in, as a supervisor would.
    for (int attempt = 0; attempt < 100; ++attempt) {
      auto started = wait(api_->server.start());
      if (started && *started) break;
      pass(std::chrono::milliseconds(100));
    }
    network_.up("api", api_->server.handler());
    trace_.add("api up");
  }
  void stop_api() {
    CHECK(wait(done(network_.down("api"))).has_value(), "calls in the API server end when it dies");
    CHECK(wait(done(api_->server.stop())).has_value(), "the API server stops");
    api_.reset();
    trace_.add("api down");
  }
  void start_controller(const std::string& name) {
    controllers_[name] = std::make_unique<ControllerProcess>(name, env_, network_);
    trace_.add(name + " up");
  }
  void stop_controller(const std::string& name) {
    CHECK(wait(done(controllers_.at(name)->controller->stop())).has_value(), name);
    controllers_.erase(name);
    trace_.add(name + " down");
  }
  void stop() {
    for (const auto name : kControllers) stop_controller(std::string(name));
    stop_api();
    for (const auto& [name, cluster] : clusters_) {
      cluster->cut_watches();
      wait(done(network_.down(name)));
    }
    settle();
  }

  // ---- what goes wrong

  static store::FaultRates store_faults() {
    store::FaultRates rates;
    rates.conflict = 0.02;
    rates.unavailable = 0.01;
    rates.lost_answer = 0.01;
    rates.read_unavailable = 0.005;
    rates.delay = 0.05;
    rates.watch_cut = 0.005;
    rates.watch_lag = 0.02;
    rates.max_lag = std::chrono::milliseconds(500);
    rates.early_compaction = 0.002;
    return rates;
  }
  void misbehave() {
    misbehaving_ = true;
    network_.faults = {.delay = 0.1,
                       .max_delay = std::chrono::milliseconds(800),
                       .lose = 0.01,
                       .lose_answer = 0.01,
                       .cut_stream = 0.01};
    api_->store.set_rates(store_faults());
  }
  void heal() {
    misbehaving_ = false;
    network_.faults = {};
    network_.heal();
    if (!api_) start_api();
    api_->store.set_rates({});
    for (const auto name : kControllers) {
      if (!controllers_.contains(std::string(name))) start_controller(std::string(name));
    }
    for (const auto& [name, cluster] : clusters_) cluster->set_faults({});
    trace_.add("healed");
  }

  // ---- the workload

  void act() {
    switch (random_.below(options_.faults ? 14 : 8)) {
      case 0:
      case 1:
      case 2:
        return create_application();
      case 3:
        return update_image();
      case 4:
        return update_place();
      case 5:
        return delete_application();
      case 6:
        return vandalise(true);
      case 7:
        return vandalise(false);
      case 8:
        return cut_cluster();
      case 9:
        return crash_api();
      case 10:
      case 11:
        return crash_controller();
      case 12:
        return slow_cluster();
      default:
        return network_.heal();
    }
  }
  static json::Object deployment(const std::string& name, int version) {
    const json::Object labels{{"app", name}};
    return json::Object{
        {"apiVersion", "apps/v1"},
        {"kind", "Deployment"},
        {"metadata", json::Object{{"name", name}}},
        {"spec",
         json::Object{
             {"selector", json::Object{{"matchLabels", labels}}},
             {"template", json::Object{{"metadata", json::Object{{"labels", labels}}},
                                       {"spec", json::Object{{"containers",
                                                              json::Array{json::Object{
                                                                  {"name", "main"},
                                                                  {"image", fmt::format("image:{}", version)}}}}}}}}}}};
  }
  std::vector<expr::LabelConstraint> somewhere() {
    if (random_.chance(0.5)) return {};
    return {*expr::parse_label_constraint(fmt::format("location is {}", kLocations[random_.below(3)]))};
  }
  ObjectKey some_application() {
    if (wanted_.empty()) return {};
    auto it = wanted_.begin();
    std::advance(it, static_cast<std::ptrdiff_t>(random_.below(wanted_.size())));
    return {std::string(kNamespace), it->first};
  }
  void create_application() {
    if (wanted_.size() >= 8) return;
    const std::string name = fmt::format("app{}", next_++);
    Application app;
    app.metadata.name = name;
    app.spec.manifest = {deployment(name, 1)};
    if (random_.chance(0.5)) {
      app.spec.manifest.push_back(json::Object{{"apiVersion", "v1"},
                                               {"kind", "ConfigMap"},
                                               {"metadata", json::Object{{"name", name}}},
                                               {"data", json::Object{{"a", "b"}}}});
    }
    app.spec.constraints.cluster.labels = somewhere();
    auto created = wait(client_.create<Application>(std::string(kNamespace), std::move(app)));
    const bool acknowledged = created && *created;
    trace_.add(fmt::format("user creates {}: {}", name, acknowledged ? "ok" : "no"));
    names_.insert(name);
    if (acknowledged) wanted_[name] = true;
  }
  template <class Change>
  void update(const ObjectKey& key, std::string_view what, Change change) {
    if (key.name.empty()) return;
    auto app = wait(client_.get<Application>(key));
    if (!app || !*app) return;
    change((**app).object);
    auto updated = wait(client_.update<Application>((**app).object, {.revision = (**app).revision}));
    trace_.add(fmt::format("user {} {}: {}", what, key.name, updated && *updated ? "ok" : "no"));
  }
  void update_image() {
    const int version = next_++;
    update(some_application(), "updates",
           [&](Application& app) { app.spec.manifest.front() = deployment(app.metadata.name, version); });
  }
  void update_place() {
    update(some_application(), "moves", [&](Application& app) { app.spec.constraints.cluster.labels = somewhere(); });
  }
  void delete_application() {
    const auto key = some_application();
    if (key.name.empty()) return;
    auto removed = wait(client_.remove<Application>(key));
    trace_.add(fmt::format("user deletes {}: {}", key.name, removed && *removed ? "ok" : "no"));
    wanted_.erase(key.name);  // also without an answer: it may have been carried out
  }
  kubesim::SimCluster& some_cluster() {
    auto it = clusters_.begin();
    std::advance(it, static_cast<std::ptrdiff_t>(random_.below(clusters_.size())));
    return *it->second;
  }
  void vandalise(bool erase) {
    auto& cluster = some_cluster();
    const auto all = cluster.list("deployments");
    if (all.empty()) return;
    const auto& victim = all[random_.below(all.size())];
    const auto name = victim->string_at({"metadata", "name"});
    trace_.add(fmt::format("vandal {} {}", erase ? "deletes" : "patches", name));
    if (erase) {
      cluster.erase("deployments", "default", name);
    } else {
      cluster.merge(
          "deployments", "default", name,
          json::Object{
              {"spec", json::Object{{"template",
                                     json::Object{{"spec", json::Object{{"containers", json::Array{json::Object{
                                                                                           {"name", "main"},
                                                                                           {"image", "evil"}}}}}}}}}}});
    }
  }
  void cut_cluster() {
    const std::string name = fmt::format("c{}", random_.below(clusters_.size()));
    trace_.add("cluster " + name + " cut off");
    network_.partition("kubernetes-cluster", name);
    network_.partition("kubernetes-application", name);
  }
  void slow_cluster() {
    auto& cluster = some_cluster();
    kubesim::Faults faults;
    faults.latency = std::chrono::milliseconds(random_.below(1500));
    faults.error_rate = 0.2 * random_.unit();
    cluster.set_faults(faults);
  }
  void crash_api() {
    ++verdict_.crashes;
    stop_api();
    pass(std::chrono::milliseconds(random_.below(3000)));
    start_api();
  }
  void crash_controller() {
    ++verdict_.crashes;
    const std::string name(kControllers[random_.below(std::size(kControllers))]);
    stop_controller(name);
    pass(std::chrono::milliseconds(random_.below(3000)));
    start_controller(name);
  }

  // ---- what was promised

  std::map<std::string, Application> stored() {
    std::map<std::string, Application> all;
    for (const auto& [key, object] : api_->server.cache().of(krake_registry().of<Application>()).objects) {
      auto decoded = decode_json<Application>(server::stored_document(*object), Form::stored);
      CHECK(decoded.has_value());
      all.emplace(object->name, std::move(*decoded));
    }
    return all;
  }
  // Empty when the world is as it was asked for.
  std::string first_difference() {
    const auto apps = stored();
    for (const auto& [name, acknowledged] : wanted_) {
      if (!apps.contains(name)) return fmt::format("application {} was acknowledged and is not there", name);
    }
    for (const auto& [name, app] : apps) {
      if (app.metadata.deleted) return fmt::format("application {} is being deleted and still there", name);
      const auto& status = app.status;
      if (status.state != ApplicationState::RUNNING || !status.running_on || status.running_on != status.scheduled_to) {
        return fmt::format("application {} is {}: {}", name, enum_name(status.state), encode_masked(status));
      }
      for (const auto& [cluster_name, cluster] : clusters_) {
        const bool here = status.running_on->name == cluster_name;
        const auto live = cluster->find("deployments", "default", name);
        if (here != (live != nullptr))
          return fmt::format("application {} runs on {}; its Deployment on {} is {}", name, status.running_on->name,
                             cluster_name, live ? "there" : "missing");
        if (!here) continue;
        const auto wanted = app.spec.manifest.front()
                                .find("spec")
                                ->at_path({"template", "spec", "containers"})
                                ->if_array()
                                ->front()
                                .string_at({"image"});
        const auto seen =
            live->at_path({"spec", "template", "spec", "containers"})->if_array()->front().string_at({"image"});
        if (wanted != seen) return fmt::format("application {}: image {} is wanted, {} is there", name, wanted, seen);
      }
    }
    for (const auto& [cluster_name, cluster] : clusters_) {
      for (const auto* plural : {"deployments", "configmaps"}) {
        for (const auto& object : cluster->list(plural)) {
          const std::string name(object->string_at({"metadata", "name"}));
          if (!names_.contains(name)) continue;
          const auto app = apps.find(name);
          if (app == apps.end())
            return fmt::format("{} {} is left on {} although its application is gone", plural, name, cluster_name);
          if (app->second.status.running_on->name != cluster_name)
            return fmt::format("{} {} is left on {}", plural, name, cluster_name);
        }
      }
    }
    for (const auto& [key, object] : api_->server.cache().of(krake_registry().of<Cluster>()).objects) {
      if (object->state != "ONLINE") return fmt::format("cluster {} is {}", object->name, object->state);
    }
    return {};
  }
  bool converge(Duration limit) {
    const Mono end = clock_.now() + limit;
    while (clock_.now() < end) {
      pass(std::chrono::seconds(1));
      if (first_difference().empty()) return true;
    }
    return false;
  }
  // Nothing more to do means nothing more is done.
  void silence() {
    pass(std::chrono::minutes(3));  // reports that were held back come out
    if (auto difference = first_difference(); !difference.empty())
      return broken(Broken::liveness, "after convergence: " + difference);
    const auto revision = disk_->revision();
    std::uint64_t mutations = 0;
    for (const auto& [name, cluster] : clusters_) mutations += cluster->mutations();
    pass(std::chrono::minutes(5));
    if (disk_->revision() != revision) {
      broken(Broken::liveness, fmt::format("silence: {} commits in five minutes in which nothing was to be done",
                                           disk_->revision() - revision));
    }
    for (const auto& [name, cluster] : clusters_) mutations -= cluster->mutations();
    if (mutations != 0)
      broken(Broken::liveness, "silence: the clusters were written to although nothing was to be done");
  }
  void broken(Broken how, std::string what) {
    verdict_.broken = how;
    verdict_.problems.push_back(std::move(what));
  }

  WorldOptions options_;
  boost::asio::io_context context_;
  SimClock clock_;
  Metrics metrics_;
  Env env_;
  Random random_;
  Trace trace_;
  Network network_;
  std::shared_ptr<store::MemoryDisk> disk_;
  std::map<std::string, std::unique_ptr<kubesim::SimCluster>> clusters_;
  std::unique_ptr<ApiProcess> api_;
  std::map<std::string, std::unique_ptr<ControllerProcess>> controllers_;
  Client client_;
  std::map<std::string, bool> wanted_;  // acknowledged and not deleted
  std::set<std::string> names_;         // ever used
  int next_ = 1;
  bool misbehaving_ = false;
  Verdict verdict_;
};

}  // namespace

Verdict run_world(const WorldOptions& options) { return World(options).run(); }

}  // namespace krake::sim
