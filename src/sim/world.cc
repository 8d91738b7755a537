#include "sim/world.h"

#include "base/check.h"
#include "sim/checks.h"
#include "sim/process.h"
#include "sim/user.h"
#include "sim/witness.h"

namespace krake::sim {

namespace {

// Longer than any period in which something is looked at again: kResync with its jitter, and the full comparison of
// what is watched on clusters.
constexpr Duration kSilence = std::chrono::minutes(6);
// What probes, bookmarks and new lists come to, with room above; a loop that does nothing but ask is far above.
constexpr double kSilentRequests = 60;  // per minute, and for each cluster
constexpr double kSilentPieces = 400;   // likewise

std::uint64_t total_mutations(const Clusters& clusters) {
  std::uint64_t total = 0;
  for (const auto& [name, cluster] : clusters) total += cluster->mutations();
  return total;
}

class World {
 public:
  explicit World(const WorldOptions& options)
      : options_(options),
        clock_(loop_.get_executor(), Wall(std::chrono::seconds(1'780'000'000))),
        conductor_(clock_),
        env_{loop_.get_executor(), clock_, Random(options.seed), Log(), metrics_},
        random_(env_.random.fork("workload")),
        trace_(clock_),
        network_(env_, trace_),
        disk_(std::make_shared<store::MemoryDisk>("sim", store::MemoryOptions{})),
        checks_(*disk_, clusters_, model_, reached_),
        client_(network_.transport("user", "api", Peer{.common_name = std::string(kUser)}),
                {.timeout = std::chrono::seconds(20)}),
        user_(env_, conductor_, client_, clusters_, checks_, model_, reached_, trace_),
        witness_client_(network_.transport("witness", "api", Peer{.common_name = std::string(kUser)}), {}),
        witness_(env_, witness_client_, checks_, reached_) {
    trace_.keep_all(options.trace);
    conductor_.add(loop_);
    conductor_.at_rest([this] { look(); });
  }
  // Nothing is told to end: all of it is destroyed, as in a crash.
  ~World() {
    for (auto& [name, process] : controllers_) process->crash();
    if (api_) api_->crash();
    network_.forget("api");
    loop_.drop();
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  Verdict run() {
    start();
    work();
    if (safe()) {
      heal();
      if (!user_.put_right(std::chrono::minutes(15))) {
        broken(Broken::liveness, "15 simulated minutes after everything healed: " + user_.why());
      } else if (!converge(std::chrono::minutes(15))) {
        broken(Broken::liveness, "15 simulated minutes after everything healed: " + checks_.difference());
      } else {
        silence();
      }
    }
    for (const auto& problem : checks_.broken()) broken(Broken::safety, problem);
    note_reached();
    verdict_.messages = network_.messages();
    verdict_.trace_hash = trace_.hash();
    if (verdict_.tail.empty()) verdict_.tail = trace_.tail();
    verdict_.simulated_seconds = std::chrono::duration<double>(clock_.now().time_since_epoch()).count();
    return std::move(verdict_);
  }

 private:
  void work() {
    if (options_.faults) misbehave();
    for (int step = 0; step < options_.steps && safe(); ++step) {
      act();
      pass(std::chrono::milliseconds(200 + random_.below(4000)));
    }
  }
  bool safe() const { return checks_.broken().empty(); }
  // Each time everything has come to rest. The trace up to the first thing that must not happen is what tells why.
  void look() {
    checks_.advance();
    witness_.report();
    if (const auto& call = network_.counts().forbidden; call && safe())
      checks_.complain(fmt::format("the roles Krake ships do not allow {}", *call));
    if (safe() || !verdict_.tail.empty()) return;
    trace_.add("broken: " + checks_.broken().front());
    verdict_.tail = trace_.tail();
  }
  void pass(Duration time) { conductor_.pass(time); }
  // Of a process in order: everything it does ends.
  void finish(const boost::asio::any_io_executor& executor, Awaitable<void> task, std::string_view what) {
    CHECK(conductor_.wait(executor, done(std::move(task))).has_value(), what);
  }

  // ---- processes

  void start() {
    for (int i = 0; i < options_.clusters; ++i) {
      const std::string name = fmt::format("c{}", i);
      auto& cluster = clusters_[name];
      cluster = std::make_unique<kubesim::SimCluster>(env_, kubesim::SimOptions{.name = name});
      network_.up(name, env_.executor, cluster->handler());
    }
    start_api();
    check_rights();
    for (const auto name : kControllers) start_controller(std::string(name));
    witness_.start();
    pass(std::chrono::seconds(1));
    user_.introduce();
    pass(std::chrono::seconds(5));
  }
  // Rights are asked for: who has none gets nothing.
  void check_rights() {
    Client nobody(network_.transport("nobody", "api", Peer{.common_name = "nobody"}), {});
    const auto answer = conductor_.wait(env_.executor, nobody.get<Application>({std::string(kNamespace), "app1"}));
    CHECK(answer && !*answer && answer->error().code == Code::forbidden, "who has no role may not read");
  }

  void start_api() {
    api_ = std::make_unique<ApiProcess>(++lives_["api"], env_, conductor_, disk_,
                                        misbehaving_ ? store_faults() : store::FaultRates{});
    // The store may refuse the first load: try until it gives in, as a supervisor would.
    for (int attempt = 0; attempt < 100; ++attempt) {
      auto started = conductor_.wait(api_->executor(), api_->server.start());
      if (started && *started) break;
      pass(std::chrono::milliseconds(100));
    }
    network_.up("api", api_->executor(), api_->server.handler());
    trace_.add("api up");
  }
  void start_controller(const std::string& name) {
    controllers_[name] = std::make_unique<ControllerProcess>(name, ++lives_[name], env_, conductor_, network_);
    trace_.add(name + " up");
  }
  void stop_in_order(const std::string& name) {
    auto& process = *controllers_.at(name);
    finish(process.executor(), process.controller->stop(), name + " stops");
    process.crash();
    controllers_.erase(name);
    reached_.mark("a controller was stopped in order");
    trace_.add(name + " stopped");
  }
  void stop_api_in_order() {
    finish(api_->executor(), network_.down("api"), "calls in the API server end when it stops");
    finish(api_->executor(), api_->server.stop(), "the API server stops");
    store_faults_met_ += api_->store.faults();
    api_->crash();
    api_.reset();
    reached_.mark("the API server was stopped in order");
    trace_.add("api stopped");
  }
  void note_crash() {
    ++verdict_.crashes;
    if (checks_.any_deletion()) reached_.mark("a crash while an application was being deleted");
    if (checks_.any_migration()) reached_.mark("a crash while an application was moving");
  }
  // These two wait for nothing: they may come between any two handlers.
  void crash_api() {
    note_crash();
    reached_.mark("the API server crashed");
    store_faults_met_ += api_->store.faults();
    api_->crash();
    network_.forget("api");
    api_.reset();
    trace_.add("api crashed");
  }
  void crash_controller(const std::string& name) {
    note_crash();
    reached_.mark("a controller crashed");
    controllers_.at(name)->crash();
    controllers_.erase(name);
    trace_.add(name + " crashed");
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
                       .cut_stream = 0.01,
                       .duplicate = 0.01};
    api_->store.set_rates(store_faults());
  }
  void heal() {
    misbehaving_ = false;
    network_.faults = {};
    network_.heal();
    api_->store.set_rates({});
    for (const auto& [name, cluster] : clusters_) cluster->set_faults({});
    trace_.add("healed");
  }

  void act() {
    const auto choice = options_.faults ? random_.below(22) : 0;
    if (choice < 12) return user_.act();
    if (choice < 14) return api_goes_down();
    if (choice < 17) return controller_goes_down();
    if (choice < 18) return partition();
    if (choice < 19) return slow_cluster();
    if (choice < 20) return sick_nodes();
    if (choice < 21) return forgetful_cluster();
    trace_.add("partitions end");
    network_.heal();
  }
  // At any moment, also while the user waits for an answer.
  void api_goes_down() {
    if (random_.chance(0.25)) {
      stop_api_in_order();
    } else {
      conductor_.interrupt(random_.below(300), [this] { crash_api(); });
      if (random_.chance(0.6)) {
        user_.act();
        if (!api_) reached_.mark("the API server crashed under a request of the user");
      }
      if (api_) pass(std::chrono::milliseconds(random_.below(3000)));
      conductor_.interrupt_now();
    }
    pass(std::chrono::milliseconds(random_.below(3000)));
    start_api();
  }
  void controller_goes_down() {
    const std::string name(kControllers[random_.below(std::size(kControllers))]);
    if (random_.chance(0.25)) {
      stop_in_order(name);
    } else {
      conductor_.interrupt(random_.below(300), [this, name] { crash_controller(name); });
      pass(std::chrono::milliseconds(random_.below(3000)));
      conductor_.interrupt_now();
    }
    pass(std::chrono::milliseconds(random_.below(3000)));
    start_controller(name);
  }
  // Of any two who talk to each other.
  void partition() {
    const std::string cluster = fmt::format("c{}", random_.below(clusters_.size()));
    std::pair<std::string, std::string> sides{"user", "api"};
    switch (random_.below(4)) {
      case 0:
        sides = {"kubernetes-cluster", cluster};
        break;
      case 1:
        sides = {"kubernetes-application", cluster};
        break;
      case 2:
        sides.first = std::string(kControllers[random_.below(std::size(kControllers))]);
        break;
      default:
        // Nobody reaches it.
        network_.partition("kubernetes-application", cluster);
        sides = {"kubernetes-cluster", cluster};
    }
    trace_.add(fmt::format("partition of {} and {}", sides.first, sides.second));
    network_.partition(sides.first, sides.second);
  }
  kubesim::SimCluster& some_cluster() {
    return *std::next(clusters_.begin(), static_cast<std::ptrdiff_t>(random_.below(clusters_.size())))->second;
  }
  void slow_cluster() {
    auto& cluster = some_cluster();
    auto faults = cluster.faults;
    faults.latency = std::chrono::milliseconds(random_.below(1500));
    faults.error_rate = 0.2 * random_.unit();
    cluster.set_faults(std::move(faults));
    trace_.add(cluster.options().name + " is slow");
  }
  void sick_nodes() {
    auto& cluster = some_cluster();
    auto faults = cluster.faults;
    const bool sick = faults.nodes.empty();
    if (sick) {
      faults.nodes["MemoryPressure"] = "True";
    } else {
      faults.nodes.clear();
    }
    cluster.set_faults(std::move(faults));
    trace_.add(fmt::format("nodes of {} are {}", cluster.options().name, sick ? "sick" : "well"));
  }
  void forgetful_cluster() {
    auto& cluster = some_cluster();
    if (random_.chance(0.7)) {
      cluster.compact();
      reached_.mark("a cluster forgot its history");
      trace_.add(cluster.options().name + " forgets its history");
    }
    cluster.cut_watches();
    trace_.add("watches of " + cluster.options().name + " are cut");
  }

  // ---- what was promised

  bool converge(Duration limit) {
    const Mono end = clock_.now() + limit;
    while (clock_.now() < end && safe()) {
      pass(std::chrono::seconds(1));
      if (checks_.difference().empty()) return true;
    }
    return false;
  }
  // Nothing more to do means nothing more is done.
  void silence() {
    pass(std::chrono::minutes(3));  // reports that were held back come out
    if (auto difference = checks_.difference(); !difference.empty())
      return broken(Broken::liveness, "after convergence: " + difference);
    const auto revision = disk_->revision();
    const auto mutations = total_mutations(clusters_);
    const auto before = network_.counts();
    pass(kSilence);
    if (disk_->revision() != revision)
      broken(Broken::liveness,
             fmt::format("silence: {} commits although nothing was to be done", disk_->revision() - revision));
    if (total_mutations(clusters_) != mutations)
      broken(Broken::liveness, "silence: the clusters were written to although nothing was to be done");
    const double minutes = std::chrono::duration<double>(kSilence).count() / 60;
    verdict_.silent_requests_per_minute = static_cast<double>(network_.counts().requests - before.requests) / minutes;
    verdict_.silent_pieces_per_minute = static_cast<double>(network_.counts().pieces - before.pieces) / minutes;
    const double clusters = 1 + options_.clusters;
    if (verdict_.silent_requests_per_minute > kSilentRequests * clusters ||
        verdict_.silent_pieces_per_minute > kSilentPieces * clusters)
      broken(
          Broken::liveness,
          fmt::format("silence: {:.0f} requests and {:.0f} pieces of streams a minute in which nothing was to be done",
                      verdict_.silent_requests_per_minute, verdict_.silent_pieces_per_minute));
    if (witness_.complete_up_to() < revision)
      broken(Broken::liveness, fmt::format("whoever watches the applications has them up to revision {} of {}",
                                           witness_.complete_up_to(), revision));
  }
  // What must never happen is the graver of the two.
  void broken(Broken how, std::string what) {
    if (verdict_.broken != Broken::safety) verdict_.broken = how;
    verdict_.problems.push_back(std::move(what));
  }
  void note_reached() {
    const auto& counts = network_.counts();
    reached_.mark("a request was lost", counts.lost);
    reached_.mark("an answer was lost", counts.answers_lost);
    reached_.mark("a stream was cut", counts.streams_cut);
    reached_.mark("a read was delivered twice", counts.duplicates);
    reached_.mark("nobody answered behind a partition", counts.unreachable);
    reached_.mark("the store misbehaved", store_faults_met_ + api_->store.faults());
    reached_.mark("an answer was missing and the write had been carried out", model_.found_done());
    reached_.mark("an answer was missing and the write had not been carried out", model_.found_undone());
    verdict_.reached = reached_.counts();
  }

  WorldOptions options_;
  ProcessLoop loop_;  // of all that does not crash; dies last
  SimClock clock_;
  Conductor conductor_;
  Metrics metrics_;
  Env env_;
  Random random_;
  Trace trace_;
  Network network_;
  std::shared_ptr<store::MemoryDisk> disk_;
  Clusters clusters_;
  Model model_;
  Reached reached_;
  Checks checks_;
  Client client_;
  User user_;
  Client witness_client_;
  Witness witness_;
  std::unique_ptr<ApiProcess> api_;
  std::map<std::string, std::unique_ptr<ControllerProcess>> controllers_;
  std::map<std::string, std::uint64_t> lives_;
  std::uint64_t store_faults_met_ = 0;
  bool misbehaving_ = false;
  Verdict verdict_;
};

}  // namespace

Verdict run_world(const WorldOptions& options) { return World(options).run(); }

}  // namespace krake::sim
