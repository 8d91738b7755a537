#include "sim/world.h"

#include "base/check.h"
#include "net/failover.h"
#include "sim/checks.h"
#include "sim/nemesis.h"
#include "sim/user.h"
#include "sim/witness.h"

namespace krake::sim {

namespace {

// Longer than any period in which something is looked at again: kResync with its jitter, and the full comparison of
// what is watched on clusters.
constexpr Duration kSilence = std::chrono::minutes(6);
// What probes, bookmarks and new lists come to, with room above; a loop that does nothing but ask is far above.
constexpr double kSilentRequests = 60;  // per minute, and for each cluster and server
constexpr double kRenewals = 40;        // likewise, for each leader
constexpr double kAttempts = 80;        // for each who stands by
constexpr double kProbes = 20;          // for each who has streams at one of several servers
constexpr double kSilentPieces = 400;   // as of requests
constexpr std::string_view kRoaming = "witness";

std::uint64_t total_mutations(const Clusters& clusters) {
  std::uint64_t total = 0;
  for (const auto& [name, cluster] : clusters) total += cluster->mutations();
  return total;
}

class World {
 public:
  explicit World(const WorldOptions& options)
      : clock_(loop_.get_executor(), Wall(std::chrono::seconds(1'780'000'000))),
        conductor_(clock_),
        env_{loop_.get_executor(), clock_, Random(options.seed), Log(), metrics_},
        random_(env_.random.fork("workload")),
        scenario_(options.scenario ? *options.scenario : draw_scenario(env_.random.fork("scenario"))),
        trace_(clock_),
        network_(env_, trace_),
        disk_(std::make_shared<store::MemoryDisk>("sim", store::MemoryOptions{})),
        checks_(*disk_, clusters_, model_, removals_, reached_),
        recorder_(
            checks_.history(), removals_, reached_, [this] { checks_.advance(); },
            [this](const Complaint& complaint) { checks_.complain(complaint); }),
        fleet_(surroundings(), disk_, scenario_.topology, trace_, reached_),
        nemesis_(surroundings(), fleet_, clusters_, *disk_, checks_, trace_, reached_),
        client_(make_roaming_transport(
                    to_servers(network_, fleet_.servers(), std::string(kUserMachine), std::string(kUser)),
                    env_.random.fork("roaming")),
                {.timeout = std::chrono::seconds(20)}),
        krakectl_(surroundings(), fleet_.servers(), checks_, model_, reached_, trace_, scenario_),
        user_(env_, conductor_, client_, krakectl_, clusters_, checks_, model_, reached_, trace_, scenario_) {
    trace_.keep_all(options.trace);
    conductor_.add(loop_);
    conductor_.at_rest([this] { look(); });
    fleet_.on_crash([this] { note_crash(); });
    network_.on_send([this](const auto& from, const auto& to, const auto& request) { look_at(from, to, request); });
    network_.on_answer([this](const auto& from, const auto& to, const auto& method, const auto& target,
                              const auto& answer) { note_answer({from, to, method, target}, answer); });
    network_.on_late([this](const auto& /*from*/, const auto& to, const auto& /*method*/, const auto& /*target*/,
                            const auto& answer) { note_late(to, answer); });
  }
  ~World() { loop_.drop(); }
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  Verdict run() {
    try {
      live();
    } catch (const Restless& restless) {
      broken(Broken::liveness, fmt::format("no rest: {}, and no time passes", restless.what()));
    }
    for (const auto& problem : checks_.broken()) broken(Broken::safety, problem);
    note_reached();
    verdict_.crashes = fleet_.crashes();
    verdict_.messages = network_.messages();
    verdict_.trace_hash = trace_.hash();
    if (verdict_.tail.empty()) verdict_.tail = trace_.tail();
    verdict_.simulated_seconds = std::chrono::duration<double>(clock_.now().time_since_epoch()).count();
    return std::move(verdict_);
  }

 private:
  void live() {
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
  }
  Surroundings surroundings() { return {env_, clock_, conductor_, network_, recorder_}; }

  // ---- the beginning

  void start() {
    for (int i = 0; i < scenario_.topology.clusters; ++i) {
      const std::string name = fmt::format("c{}", i);
      auto& cluster = clusters_[name];
      cluster = std::make_unique<kubesim::SimCluster>(env_, kubesim::SimOptions{.name = name});
      network_.up(name, env_.executor, cluster->handler());
    }
    for (const auto& name : fleet_.servers()) fleet_.start(name);
    pass(std::chrono::milliseconds(100));
    CHECK(fleet_.ready(), "servers load their data before anything misbehaves");
    check_rights();
    for (const auto& name : fleet_.controllers()) fleet_.start(name);
    start_witnesses();
    pass(std::chrono::seconds(1));
    user_.introduce();
    pass(std::chrono::seconds(5));
  }
  // Rights are asked for: who has none gets nothing.
  void check_rights() {
    for (const auto& server : fleet_.servers()) {
      Client nobody(network_.transport("nobody", server, Peer{.common_name = "nobody"}), {});
      const auto answer = conductor_.wait(env_.executor, nobody.get<Application>({std::string(kNamespace), "app1"}));
      CHECK(answer && !*answer && answer->error().code == Code::forbidden, "who has no role may not read");
    }
  }
  // One at each server, and one that goes to another when its own does not answer.
  void start_witnesses() {
    const auto witness = [this](const std::vector<std::string>& servers, const std::string& name) {
      network_.spare(name);
      auto transport = make_failover_transport(clock_, to_servers(network_, servers, name, std::string(kUser)));
      witnesses_.push_back(std::make_unique<Observer>(env_, std::move(transport), checks_, reached_));
    };
    for (const auto& server : fleet_.servers()) witness({server}, "witness of " + server);
    if (fleet_.servers().size() == 1) return;
    witness(fleet_.servers(), std::string(kRoaming));
    witnesses_.back()->witness.on_stream([this](bool resumed) {
      if (resumed && roaming_at_ != roaming_to_) {
        reached_.mark("a watch was taken up at another server");
        if (fleet_.asleep(roaming_at_) || network_.silent(roaming_at_, std::string(kRoaming)))
          reached_.mark("a silent server was left before it spoke again");
      }
      roaming_at_ = roaming_to_;
    });
  }

  // ---- the workload

  void work() {
    network_.faults = scenario_.net;
    fleet_.set_store_faults(scenario_.store);
    std::vector<TimerHandle> script;
    for (const auto& [when, fault] : scenario_.script)
      script.push_back(clock_.at(clock_.now() + when, [this, fault] { nemesis_.carry_out(fault); }));
    for (int step = 0; step < scenario_.steps && safe(); ++step) {
      if (scenario_.random_faults && random_.chance(0.4)) nemesis_.carry_out(nemesis_.draw());
      if (scenario_.random_faults && scenario_.topology.skewed && nemesis_.time_to_jump())
        nemesis_.carry_out(nemesis_.draw_jump());
      user_.act();
      pass(std::chrono::milliseconds(200 + random_.below(4000)));
    }
  }
  void heal() {
    network_.faults = {};
    fleet_.set_store_faults({});
    nemesis_.heal();
    trace_.add("healed");
  }
  bool safe() const { return checks_.broken().empty(); }
  // Each time everything has come to rest. The trace up to the first thing that must not happen is what tells why.
  void look() {
    fleet_.reap();
    checks_.advance();
    checks_.look_at_clusters(clock_.now());
    for (const auto& witness : witnesses_) witness->witness.report();
    if (const auto& call = network_.counts().forbidden; call && safe())
      checks_.complain(fmt::format("the roles Krake ships do not allow {}", *call));
    if (safe() || !verdict_.tail.empty()) return;
    trace_.add("broken: " + checks_.broken().front());
    verdict_.tail = trace_.tail();
  }
  // What one may do depends on whether one leads, at the moment one does it.
  void look_at(const std::string& from, const std::string& to, const HttpRequest& request) {
    note_sent(from, to, request);
    if (request.method == "GET" || !Fleet::is_controller(from)) return;
    // Elections, and the fences of clusters.
    if (request.target.find("/leases") != std::string::npos) return;
    const bool to_cluster = clusters_.contains(to);
    if (!to_cluster && !request.headers.get("Krake-Leader"))
      checks_.complain(fmt::format("{} writes under no leadership: {} {}", from, request.method, request.target));
    if (!to_cluster || Fleet::role_of(from) != "kubernetes-application") return;
    if (request.method == "DELETE") {
      checks_.advance();
      checks_.taken_away(to, request.target);
      look_at_fence(from, to);
    }
    const auto* elector = fleet_.elector(from);
    const Mode mode = elector ? elector->mode() : Mode::standby;
    if (mode == Mode::leading) return check_term(from, to, *elector);
    if (mode == Mode::repair_only && request.method != "DELETE") {
      repairs_.insert({from, to, request.method, request.target});
      return;
    }
    checks_.complain(fmt::format("{} changes {} although it is {}: {} {}", from, to, to_string(mode), request.method,
                                 request.target));
  }
  // What an elector says of itself may be wrong; the lease in the store is the truth. Whoever leads is confident for
  // two thirds of the lease, by a clock that is hardly wrong, so that its lease is there as long as it leads.
  void check_term(const std::string& from, const std::string& to, const Elector& elector) {
    checks_.advance();
    const auto& history = checks_.history();
    const auto* lease = history.at(fmt::format("/core/leases/{}", Fleet::role_of(from)), history.newest());
    const auto term = parse_epoch(elector.epoch());
    if (lease && term && lease->created == term->revision)
      return reached_.mark("a leader changed a cluster in its term");
    checks_.complain(fmt::format("{} changes {} as a leader; its term is over: it is {} and the store's {}", from, to,
                                 elector.epoch(), lease ? lease->created : 0));
  }
  void note_sent(const std::string& from, const std::string& to, const HttpRequest& request) {
    if (from == kUserMachine) krakectl_.sent(to);
    const bool lease = request.target.find("/leases/") != std::string::npos;
    if (lease && clusters_.contains(to) && outrun(from, *clusters_.at(to)))
      outrun_.insert({from, to, request.method, request.target});
    if (from == kRoaming && request.target.find("since=") != std::string::npos) roaming_to_ = to;
  }
  // From, to, method, target.
  using Call = std::array<std::string, 4>;
  void note_answer(const Call& call, const Result<HttpResponse>& answer) {
    const auto cluster = clusters_.find(call[1]);
    if (cluster == clusters_.end()) return;
    const auto& faults = cluster->second->faults;
    if (!answer && faults.refuse) reached_.mark("a cluster was gone for a while");
    const bool repair = repairs_.erase(call) > 0;
    const bool late = outrun_.erase(call) > 0;
    if (!answer) return;
    if (refuses(answer->status) && call[3].find("coordination.k8s.io") != std::string::npos)
      unfenced_[{call[0], call[1]}] = own_term(call[0]);
    if (faults.error_rate > 0 && answer->status == faults.error_status && answer->body.contains("simulated fault"))
      reached_.mark("a cluster answered with errors");
    if (faults.garbage && answer->body.starts_with("<html>")) reached_.mark("a cluster answered with a page");
    if (repair && answer->status < 300) reached_.mark("one that was cut off repaired a cluster");
    if (late && answer->status < 500) reached_.mark("a cluster told a stale holder of a later term");
  }
  void note_late(const std::string& to, const Result<HttpResponse>& answer) {
    if (!clusters_.contains(to) || !answer || answer->status != 201) return;
    const auto made = json::parse(answer->body);
    checks_.advance();
    if (made) checks_.made_late(to, std::string(made->string_at({"metadata", "name"})));
  }
  // The latest term of its role that a cluster has been told of.
  static store::Revision term_at(const kubesim::SimCluster& cluster, const std::string& name) {
    store::Revision latest = 0;
    for (const auto& object : cluster.list("leases.coordination.k8s.io")) {
      if (object->string_at({"metadata", "name"}).find(Fleet::role_of(name)) == std::string_view::npos) continue;
      const auto there = parse_epoch(object->string_at({"metadata", "annotations", "krake/epoch"}));
      if (there) latest = std::max(latest, there->revision);
    }
    return latest;
  }
  store::Revision own_term(const std::string& name) const {
    const auto* elector = fleet_.elector(name);
    const auto own = elector ? parse_epoch(elector->epoch()) : std::nullopt;
    return own ? own->revision : 0;
  }
  bool outrun(const std::string& name, const kubesim::SimCluster& cluster) const {
    const auto own = own_term(name);
    return own > 0 && term_at(cluster, name) > own;
  }
  // The fence, that is, by an answer that would be the same next time. 404: there is none yet.
  static bool refuses(int status) { return status == 400 || status == 403 || status == 405 || status == 422; }
  // What is removed is not made good by the next leader: the cluster hears of a term before it hears of a removal.
  void look_at_fence(const std::string& from, const std::string& to) {
    const auto there = term_at(*clusters_.at(to), from);
    const auto own = own_term(from);
    const auto unfenced = unfenced_.find({from, to});
    if (there < own && (unfenced == unfenced_.end() || unfenced->second != own))
      checks_.complain(
          fmt::format("{} removes something from {}, which knows its role's term {} and not {}", from, to, there, own));
  }
  void pass(Duration time) { conductor_.pass(time); }
  void note_crash() {
    if (checks_.any_deletion()) reached_.mark("a crash while an application was being deleted");
    if (checks_.any_migration()) reached_.mark("a crash while an application was moving");
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
    const auto& topology = scenario_.topology;
    const double elections = std::size(kControllers) * (kRenewals + kAttempts * (topology.replicas - 1));
    const double probes =
        topology.servers > 1 ? kProbes * static_cast<double>(std::size(kControllers) * topology.replicas + 1) : 0;
    if (verdict_.silent_requests_per_minute >
            kSilentRequests * (topology.clusters + topology.servers) + elections + probes ||
        verdict_.silent_pieces_per_minute > kSilentPieces * (topology.clusters + topology.servers * topology.replicas))
      broken(
          Broken::liveness,
          fmt::format("silence: {:.0f} requests and {:.0f} pieces of streams a minute in which nothing was to be done",
                      verdict_.silent_requests_per_minute, verdict_.silent_pieces_per_minute));
    for (const auto& each : witnesses_) {
      if (each->witness.complete_up_to() < revision)
        broken(Broken::liveness, fmt::format("whoever watches the applications has them up to revision {} of {}",
                                             each->witness.complete_up_to(), revision));
    }
  }
  // What must never happen is the graver of the two.
  void broken(Broken how, std::string what) {
    if (verdict_.broken != Broken::safety) verdict_.broken = how;
    verdict_.problems.push_back(std::move(what));
  }
  void note_reached() {
    const auto& counts = network_.counts();
    reached_.mark("a request was lost", counts.lost);
    reached_.mark("a request was under way for long", counts.lingered);
    reached_.mark("an answer was lost", counts.answers_lost);
    reached_.mark("a stream was cut", counts.streams_cut);
    reached_.mark("a read was delivered twice", counts.duplicates);
    reached_.mark("a connection died in silence", counts.half_open);
    reached_.mark("a reader gave up a dead stream", counts.given_up);
    reached_.mark("nobody answered behind a partition", counts.unreachable);
    reached_.mark("a process that was asked was down", counts.down);
    reached_.mark("an answer was garbled", counts.garbled);
    reached_.mark("a watch repeated itself", counts.repeated);
    checks_.conclude();
    reached_.mark("the store misbehaved", fleet_.store_faults());
    reached_.mark("an answer was missing and the write had been carried out", model_.found_done());
    reached_.mark("an answer was missing and the write had not been carried out", model_.found_undone());
    verdict_.reached = reached_.counts();
  }

  struct Observer {
    Observer(Env& env, std::shared_ptr<Transport> transport, Checks& checks, Reached& reached)
        : client(std::move(transport), {}), witness(env, client, checks, reached) {
      witness.start();
    }
    Client client;
    Witness witness;
  };

  ProcessLoop loop_;  // of all that does not crash; dies last
  SimClock clock_;
  Conductor conductor_;
  Metrics metrics_;
  Env env_;
  Random random_;
  Scenario scenario_;
  Trace trace_;
  Network network_;
  std::shared_ptr<store::MemoryDisk> disk_;
  Clusters clusters_;
  Model model_;
  Removals removals_;
  Reached reached_;
  Checks checks_;
  Recorder recorder_;
  Fleet fleet_;
  Nemesis nemesis_;
  Client client_;
  CommandUser krakectl_;
  User user_;
  std::vector<std::unique_ptr<Observer>> witnesses_;
  // Of the witness that goes to any server: where its last stream came from, and where it has asked for the next.
  std::string roaming_at_;
  std::string roaming_to_;
  std::set<Call> repairs_;  // sent while only repairs were allowed
  std::set<Call> outrun_;   // sent to a cluster where another has a later term
  // Who was refused the fence, where, and in which term: it asks no more.
  std::map<std::pair<std::string, std::string>, store::Revision> unfenced_;
  Verdict verdict_;
};

}  // namespace

Verdict run_world(const WorldOptions& options) { return World(options).run(); }

}  // namespace krake::sim
