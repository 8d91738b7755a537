#include "controllers/scheduler/controller.h"

#include <prometheus/counter.h>

#include <map>

#include "base/check.h"
#include "client/compact_informer.h"
#include "controllers/scheduler/inputs.h"
#include "controllers/scheduler/plan.h"
#include "runtime/controller_loop.h"

namespace krake::scheduler {

namespace {

// What no decision reads would be most of the memory.
void project(Application& application) {
  auto& spec = application.spec;
  spec.manifest = {};
  spec.tosca = {};
  spec.csar = {};
  spec.observer_schema = {};
  auto& status = application.status;
  status.services = {};
  status.mangled_observer_schema = {};
  status.last_observed_manifest = {};
  status.last_applied_manifest = {};
  for (auto* secret : {&status.complete_token, &status.complete_cert, &status.complete_key, &status.shutdown_token,
                       &status.shutdown_cert, &status.shutdown_key}) {
    secret->reset();
  }
}

class Scheduler final : public Controller {
 public:
  Scheduler(ControllerContext context, SchedulerOptions options)
      : context_(context),
        env_(context.env),
        options_(options),
        random_(env_.random.fork("scheduler")),
        inputs_(context,
                {.collector = {.interval = options.metrics_interval,
                               .timeout = options.provider_timeout,
                               .max_age = options.metrics_interval + options.provider_timeout},
                 .resync = options.resync},
                {.candidates_changed = [this](const std::string& ns) { wake(ns); },
                 .cluster_changed = [this](const ObjectKey& key) { clusters_.add(key); }}),
        informer_(env_, context.client, {.resync = options.resync}, project),
        applications_(env_,
                      {.name = "scheduler",
                       .workers = options.workers,
                       .debounce = options.debounce,
                       .elector = context.elector,
                       .catch_up = [this](Epoch epoch) { return catch_up(std::move(epoch)); },
                       .on_lead = [this] { look_at_applications(); }},
                      [this](ObjectKey key) { return reconcile(std::move(key)); }),
        clusters_(env_,
                  {.name = "scheduler-clusters",
                   .workers = options.workers,
                   .elector = context.elector,
                   .catch_up = [this](Epoch epoch) { return inputs_.clusters().catch_up(std::move(epoch)); },
                   .on_lead = [this] { look_at_clusters(); }},
                  [this](ObjectKey key) { return reconcile_cluster(std::move(key)); }),
        tasks_(env_.executor) {
    informer_.on_change([this](const ObjectKey& key) { take(key); });
  }

  std::string_view name() const override { return "scheduler"; }
  void start() override {
    inputs_.start();
    informer_.start();
    tasks_.spawn("scheduler", run());
  }
  Awaitable<void> stop() override {
    co_await tasks_.stop();
    co_await applications_.stop();
    co_await clusters_.stop();
    co_await inputs_.stop();
    co_await informer_.stop();
  }
  bool ready() const override { return ready_; }
  bool idle() const override { return ready_ && inputs_.idle() && applications_.idle() && clusters_.idle(); }
  std::string debug() const override;

 private:
  Awaitable<void> run() {
    co_await informer_.wait_synced();
    co_await inputs_.wait_synced();
    ready_ = true;
    applications_.start();
    clusters_.start();
    for (;;) {
      co_await sleep_for(env_.clock,
                         std::chrono::duration_cast<Duration>(options_.resync * (0.8 + 0.4 * random_.unit())));
      look_at_applications();
      look_at_clusters();
    }
  }

  Awaitable<void> catch_up(Epoch epoch) {
    co_await informer_.catch_up(epoch);
    co_await inputs_.clusters().catch_up(epoch);
  }
  // Those included that are gone: something is still known of them.
  void look_at_applications() {
    for (const auto& [key, text] : informer_.texts()) applications_.add(key);
    for (const auto& [key, decision] : decisions_) applications_.add(key);
  }
  void look_at_clusters() {
    for (const auto& [key, cluster] : inputs_.clusters().objects()) clusters_.add(key);
  }

  void wake(const std::string& ns) {
    const auto& all = informer_.texts();
    for (auto it = all.lower_bound({ns, ""}); it != all.end() && it->first.ns == ns; ++it) applications_.add(it->first);
  }

  void take(const ObjectKey& key) {
    const auto application = informer_.find(key);
    count(key, application ? application->object.status.scheduled_to : std::nullopt);
    if (application) {
      note_settling(key, application->object);
    } else {
      memory_.erase(key);
      seen_.erase(key);
    }
    applications_.add(key);
  }

  // How many applications each cluster has.
  void count(const ObjectKey& key, const std::optional<ResourceRef>& place) {
    const auto id = place ? to_string(key_of(*place)) : std::string();
    auto& known = place_of_[key];
    if (known != id) {
      if (!known.empty()) {
        inputs_.set_applications(known, --load_[known]);
        if (load_[known] == 0) load_.erase(known);
      }
      if (!id.empty()) inputs_.set_applications(id, ++load_[id]);
      known = id;
    }
    if (known.empty()) place_of_.erase(key);
  }

  // The period runs from when the application last came to rest (3.10).
  void note_settling(const ObjectKey& key, const Application& application) {
    Settling now = settling_of(application);
    const auto seen = seen_.find(key);
    if (seen != seen_.end() && !(seen->second == now) && seen->second.uid == now.uid) {
      auto& memory = memory_[key];
      memory.uid = now.uid;
      memory.settled_at = env_.clock.wall();
    }
    seen_.insert_or_assign(key, std::move(now));
  }

  Observed observe(const ObjectKey& key) const {
    const auto memory = memory_.find(key);
    return {.application = informer_.find(key),
            .clusters = &inputs_.snapshot(),
            .measuring = inputs_.measuring(key.ns),
            .memory = memory == memory_.end() ? Memory{} : memory->second,
            .options = {.reschedule_after = options_.reschedule_after,
                        .stickiness = options_.stickiness,
                        .amnesia_wait = options_.amnesia_wait,
                        .first_reading_wait = options_.first_reading_wait,
                        .provider_timeout = options_.provider_timeout,
                        .hold_off = options_.hold_off,
                        .retry_cap = options_.retry_cap},
            .wall = env_.clock.wall()};
  }

  Awaitable<Result<Outcome>> reconcile(ObjectKey key) {
    const auto observed = observe(key);
    if (!observed.application) {
      applications_.forget(key);
      decisions_.erase(key);
      co_return Outcome{};
    }
    auto plan = make_plan(observed, env_.clock.now());
    if (plan.decision) {
      plan.decision->verdicts = {};  // one for each cluster: too much to keep, quickly made again
      auto& kept = decisions_[key];
      kept = *plan.decision;
      kept.reason = {};  // the status has it
    }
    co_return co_await act(key, std::move(plan));
  }

  Awaitable<Result<Outcome>> act(ObjectKey key, Plan plan) {
    Outcome outcome;
    std::int64_t revision = 0;  // that our last write has made
    for (auto& action : plan.actions) {
      Result<Versioned<Application>> written = Versioned<Application>{};
      if (auto* remember = std::get_if<Remember>(&action)) {
        keep(key, std::move(remember->memory));
        continue;
      } else if (const auto* wait = std::get_if<Wait>(&action)) {
        outcome.look_again = wait->time;
        continue;
      } else if (auto* patch = std::get_if<PatchStatus>(&action)) {
        written = co_await context_.client.patch_status<Application>(key, std::move(patch->fields),
                                                                     {revision != 0 ? revision : patch->revision});
      } else if (const auto* bind = std::get_if<Bind>(&action)) {
        env_.log.info("binding", {{"application", to_string(key)},
                                  {"cluster", to_string(key_of(bind->cluster))},
                                  {"why", plan.decision->reason}});
        written = co_await context_.client.put_subresource<Application>(
            key, "binding", to_value(ClusterBinding{bind->cluster}), {revision != 0 ? revision : bind->revision});
      }
      if (!written) co_return co_await refused(key, std::move(written).error());
      revision = written->revision;
    }
    if (revision != 0) co_await informer_.wait_for(key, revision);
    co_return outcome;
  }

  void keep(const ObjectKey& key, Memory memory) {
    auto& slot = memory_[key];
    // Events have told of it meanwhile.
    if (slot.uid == memory.uid) memory.settled_at = slot.settled_at;
    slot = std::move(memory);
  }

  // Somebody else was faster: an ordinary outcome. What they wrote wakes us; should it not, we look again.
  Awaitable<Result<Outcome>> refused(ObjectKey key, Error error) {
    if (error.code == Code::not_found) co_return Outcome{};
    if (error.code != Code::precondition_failed && error.code != Code::conflict) co_return fail(std::move(error));
    env_.metrics.counter("krake_scheduler_races_total", "writes refused because the application had changed")
        .Increment();
    if (const auto application = informer_.find(key))
      co_await informer_.wait_for(key, application->revision + 1, std::chrono::milliseconds(500));
    co_return Outcome{.look_again = std::chrono::milliseconds(100)};
  }

  Awaitable<Result<Outcome>> reconcile_cluster(ObjectKey key) {
    const auto plan = make_cluster_plan(inputs_.cluster(key));
    if (!plan) {
      if (!inputs_.clusters().find(key)) clusters_.forget(key);
      co_return Outcome{};
    }
    env_.log.info("metrics change the state of a cluster",
                  {{"cluster", to_string(key)}, {"status", json::print(plan->fields)}});
    auto written = co_await context_.client.patch_status<Cluster>(key, plan->fields, {plan->revision});
    if (written) {
      co_await inputs_.clusters().wait_for(key, written->revision);
      co_return Outcome{};
    }
    if (written.error().code == Code::not_found) co_return Outcome{};
    if (written.error().code != Code::precondition_failed && written.error().code != Code::conflict)
      co_return fail(std::move(written).error());
    co_return Outcome{.look_again = std::chrono::milliseconds(100)};
  }

  // What it takes to have come to rest, as a digest: one that is mistaken for another costs one period.
  struct Settling {
    std::string uid;
    std::size_t digest = 0;
    bool operator==(const Settling&) const = default;
  };
  static Settling settling_of(const Application& application) {
    const auto& status = application.status;
    const std::string text = fmt::format("{} {} {}", encode_json(status.running_on), enum_name(status.state),
                                         encode_json(status.container_health));
    return {application.metadata.uid, std::hash<std::string>{}(text)};
  }

  ControllerContext context_;
  Env& env_;
  SchedulerOptions options_;
  Random random_;
  Inputs inputs_;
  CompactInformer<Application> informer_;
  std::map<ObjectKey, Memory> memory_;
  std::map<ObjectKey, Settling> seen_;
  std::map<ObjectKey, placement::Decision> decisions_;  // the latest without verdicts, for debug()
  std::map<ObjectKey, std::string> place_of_;           // id of the cluster it is counted for
  std::map<std::string, std::uint32_t> load_;           // applications by cluster id
  bool ready_ = false;
  ControllerLoop applications_;
  ControllerLoop clusters_;
  TaskGroup tasks_;
};

std::string Scheduler::debug() const {
  constexpr std::size_t kShown = 1000;
  std::size_t judged = 20'000;  // candidates, all in all
  json::Object decisions;
  for (const auto& [key, decision] : decisions_) {
    if (decisions.size() == kShown) break;
    const auto observed = observe(key);
    if (!observed.application) continue;
    json::Object shown{{"outcome", placement::to_string(decision.outcome)},
                       {"chosen", decision.chosen ? json::Value(*decision.chosen) : json::Value()},
                       {"reason", decision.reason}};
    if (observed.clusters->size() <= judged) {
      judged -= observed.clusters->size();
      // Why here and why not there, as things stand now.
      auto explained = decision;
      placement::add_explanation(*observed.clusters,
                                 request_for(observed, observed.application->object.status.scheduled_to), explained);
      if (decision.reason.empty()) shown.set("reason", explained.reason);
      json::Object verdicts;
      for (const auto& verdict : explained.verdicts) verdicts.set(verdict.id, verdict.why);
      shown.set("candidates", std::move(verdicts));
    }
    decisions.set(to_string(key), std::move(shown));
  }
  auto out = json::parse(applications_.debug());
  auto clusters = json::parse(clusters_.debug());
  CHECK(out && clusters);
  out->make_object().set("clusters", std::move(*clusters));
  out->make_object().set("providers", inputs_.debug());
  out->make_object().set("decisions", std::move(decisions));
  return json::print(*out);
}

}  // namespace

std::unique_ptr<Controller> make_scheduler(ControllerContext context, SchedulerOptions options) {
  return std::make_unique<Scheduler>(context, options);
}

}  // namespace krake::scheduler
