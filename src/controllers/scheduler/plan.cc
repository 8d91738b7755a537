#include "controllers/scheduler/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace krake::scheduler {

namespace {

constexpr std::size_t kMaxMessage = 1000;
constexpr std::size_t kMaxExplained = 8;
constexpr std::size_t kMaxRefusals = 32;
constexpr Duration kLeastInterval = std::chrono::milliseconds(100);  // looking again is not free, also without one

using State = ApplicationState;

bool is_cluster(const ResourceRef& ref) { return ref.api == Cluster::kApi && ref.kind == Cluster::kKindName; }
ResourceRef cluster_ref(std::string_view id) {
  const auto slash = id.find('/');
  return {std::string(Cluster::kApi), std::string(id.substr(0, slash)), std::string(Cluster::kKindName),
          std::string(id.substr(slash + 1))};
}

bool has_own_reason(const ApplicationStatus& status) {
  return status.reason && status.reason->code == ReasonCode::NO_SUITABLE_RESOURCE;
}
bool has_given_up(const ApplicationStatus& status) { return status.state == State::FAILED && has_own_reason(status); }

// Times of a status may be any from year 1 to 9999; differences must fit into 64 bits of nanoseconds.
Wall near(Wall time, Wall now) {
  constexpr std::chrono::years kFar{100};
  return std::clamp(time, now - kFar, now + kFar);
}

std::string triggered_now(const Observed& observed) {
  return to_string(DateTime::from_wall(std::max(observed.wall, observed.application->object.metadata.modified.wall())));
}

bool blames_the_cluster(const std::optional<Reason>& reason) {
  if (!reason) return false;
  return reason->code == ReasonCode::KUBERNETES_ERROR || reason->code == ReasonCode::CREATE_FAILED ||
         reason->code == ReasonCode::RECONCILE_FAILED || reason->code == ReasonCode::CLUSTER_NOT_REACHABLE;
}

std::vector<std::pair<std::string, placement::Penalty>> penalties_of(const Memory& memory) {
  std::vector<std::pair<std::string, placement::Penalty>> penalties;
  for (const auto& [cluster, penalty] : memory.refusals) penalties.emplace_back(cluster, penalty);
  return penalties;
}

// What makes the status say that a place was found: the scheduler's own reason goes, and the state with it. What the
// application is really doing the application controller finds out.
json::Object relief(const ApplicationStatus& status) {
  json::Object fields;
  if (status.retries) fields.set("retries", nullptr);
  if (status.scheduled_retry) fields.set("scheduled_retry", nullptr);
  if (!has_own_reason(status)) return fields;
  fields.set("reason", nullptr);
  if (status.state == State::DEGRADED || status.state == State::FAILED) {
    fields.set("state", enum_name(status.running_on ? State::RECONCILING : State::PENDING));
  }
  return fields;
}

// One pass over one application.
class Pass {
 public:
  Pass(const Observed& observed, Mono now)
      : in_(observed), now_(now), app_(observed.application->object), status_(app_.status), memory_(observed.memory) {}

  Plan run() {
    if (memory_.uid != app_.metadata.uid) memory_ = Memory{.uid = app_.metadata.uid};
    if (!find_current() || goes_with_its_cluster()) return finish();
    if (has_given_up(status_) && !reopened() && !current_) return finish();
    if (!current_ && awaits_values(in_.options.first_reading_wait)) return finish();
    decide();
    return finish();
  }

 private:
  // Metrics that were never read make good clusters look bad: who looks for a place gives them some time, once.
  bool awaits_values(Duration patience) {
    if (!memory_.looking_since) memory_.looking_since = now_;
    const Mono until = *memory_.looking_since + patience;
    if (!in_.measuring || until <= now_) return false;
    wait(until - now_);
    return true;
  }

  // False: it has to be waited for. An empty status with a cluster among the owners says that the status was lost, not
  // that there is no workload (P4).
  bool find_current() {
    current_ = status_.scheduled_to;
    if (current_) {
      memory_.amnesia_since.reset();
      return true;
    }
    const auto& owners = app_.metadata.owners;
    const auto owner = std::ranges::find_if(owners.rbegin(), owners.rend(), is_cluster);
    if (owner == owners.rend()) return true;
    forgotten_ = true;
    if (status_.running_on) {
      current_ = status_.running_on;
      return true;
    }
    if (!memory_.amnesia_since) memory_.amnesia_since = now_;
    const Mono until = *memory_.amnesia_since + in_.options.amnesia_wait;
    if (now_ < until) {
      wait(until - now_);
      return false;
    }
    current_ = *owner;
    return true;
  }

  const placement::Candidate* candidate(const std::optional<ResourceRef>& place) const {
    return place && is_cluster(*place) ? in_.clusters->find(to_string(key_of(*place))) : nullptr;
  }
  // The garbage collector deletes it together with the cluster; moving it first would race with that (10.6).
  bool goes_with_its_cluster() const {
    return std::ranges::any_of(std::array{status_.scheduled_to, status_.running_on, current_},
                               [this](const auto& place) {
                                 const auto* cluster = candidate(place);
                                 return cluster && cluster->deleted;
                               });
  }

  // The user has changed it since it was given up.
  bool reopened() const {
    const Wall modified = app_.metadata.modified.wall();
    if (memory_.failed_for) return modified > *memory_.failed_for;
    return status_.scheduled_retry && modified > status_.scheduled_retry->wall();
  }

  void decide() {
    note_refusal();
    auto request = request_for(in_, current_);
    request.penalties = penalties_of(memory_);
    // A look at a lost place is no reason to leave it.
    if (forgotten_) request.scheduled_at = in_.wall;
    if (const auto why = holds(request)) return hold(request, *why);
    auto decision = placement::choose(*in_.clusters, request);
    if (decision.chosen && decision.outcome != placement::Outcome::stay)
      placement::add_explanation(*in_.clusters, request, decision);
    decision_ = std::move(decision);
    if (decision_->outcome == placement::Outcome::none) return found_none(request);
    memory_.attempts = 0;
    memory_.retry_at.reset();
    memory_.failed_for.reset();
    memory_.looking_since.reset();
    auto fields = relief(status_);
    if (decision_->outcome == placement::Outcome::stay && !forgotten_) {
      confirm(fields);
      patch(std::move(fields));
    } else {
      patch(std::move(fields));
      memory_.old_news = OldNews{status_.state, status_.reason};
      actions_.emplace_back(Bind{cluster_ref(*decision_->chosen), in_.application->revision});
    }
    arm_period();
  }

  // P11. Whoever does not take this application is passed over by it for a growing time; who has taken it is forgiven.
  void note_refusal() {
    std::erase_if(memory_.refusals, [this](const Refusal& one) {
      return one.penalty.back_off_until + std::chrono::floor<Wall::duration>(in_.options.refusal_cap) < in_.wall;
    });
    const bool runs = status_.running_on && status_.running_on == status_.scheduled_to;
    const auto patience = runs ? std::nullopt : patience_with_place();
    if (!patience) {
      memory_.refusing.reset();
    } else {
      const auto id = to_string(key_of(*status_.scheduled_to));
      if (!memory_.refusing || memory_.refusing->cluster != id) memory_.refusing = Since{id, now_};
      const Mono until = memory_.refusing->at + *patience;
      if (now_ < until) {
        wait(until - now_);
      } else {
        count_refusal(id);
      }
    }
    if (runs) std::erase_if(memory_.refusals, [this](const Refusal& one) { return is_at(*status_.running_on, one); });
    for (const auto& one : memory_.refusals) {
      if (one.penalty.back_off_until > in_.wall) wait(one.penalty.back_off_until - in_.wall);
    }
  }

  static bool is_at(const ResourceRef& place, const Refusal& refusal) {
    return to_string(key_of(place)) == refusal.cluster;
  }

  // For how long it must go on like this before the place is to blame; none: nothing speaks against it.
  std::optional<Duration> patience_with_place() {
    if (!status_.scheduled_to || !is_cluster(*status_.scheduled_to)) return std::nullopt;
    auto& old = memory_.old_news;
    if (old.state != status_.state) old.state.reset();
    if (old.reason != status_.reason) old.reason.reset();
    if (blames_the_cluster(status_.reason) && !old.reason) return in_.options.refusal_wait;
    if (status_.state == State::CREATING && !old.state) return in_.options.creating_wait;
    return std::nullopt;
  }

  void count_refusal(const std::string& id) {
    auto& all = memory_.refusals;
    auto known = std::ranges::find(all, id, &Refusal::cluster);
    if (known == all.end()) {
      if (all.size() == kMaxRefusals) all.erase(all.begin());
      known = all.insert(all.end(), Refusal{id, {}});
    }
    auto& penalty = known->penalty;
    if (penalty.back_off_until > in_.wall) return;
    const double time = std::chrono::duration<double>(in_.options.refusal_backoff).count() *
                        std::pow(2.0, std::min(penalty.failures, 20));
    const std::chrono::duration<double> limit = in_.options.refusal_cap;
    penalty.back_off_until =
        in_.wall + std::chrono::duration_cast<Wall::duration>(std::min(std::chrono::duration<double>(time), limit));
    ++penalty.failures;
  }

  // Why it stays although its place would be refused: what may pass by itself moves nothing at once. One missed probe
  // would otherwise empty a cluster for good.
  std::optional<std::string> holds(const placement::Request& request) {
    const auto* place = candidate(current_);
    if (!place || place->state_online) {
      memory_.absence.reset();
    } else if (!memory_.absence || memory_.absence->cluster != place->id) {
      memory_.absence = Since{place->id, now_};
    }
    if (!place || !placement::has_traits(*place, request) || placement::breaks_metric(*place, request))
      return std::nullopt;
    if (place->state_online) {
      if (!placement::awaits_metrics(*place)) return std::nullopt;
      return "has metrics that were not read yet";
    }
    const Mono until = memory_.absence->at + std::min(in_.options.hold_off, in_.options.reschedule_after);
    if (until <= now_) return std::nullopt;
    wait(until - now_);
    return "is not ONLINE, which may pass";
  }

  void hold(const placement::Request& request, const std::string& why) {
    decision_ = placement::Decision{.outcome = placement::Outcome::stay, .chosen = request.current, .pinned = true};
    decision_->reason = fmt::format("stays on {}: the cluster {}", *request.current, why);
    if (forgotten_) return;
    json::Object fields;
    confirm(fields);
    patch(std::move(fields));
  }

  // The application controller waits for this before it applies what the user changed (W-10).
  void confirm(json::Object& fields) const {
    if (!is_confirmed(app_)) fields.set("kube_controller_triggered", triggered_now(in_));
  }

  void found_none(const placement::Request& request) {
    auto fields = awaits_values(in_.options.provider_timeout) ? json::Object() : failed_attempt(request);
    // What the user changed is applied where it runs, unless that place is ruled out by what it is (W-10).
    const auto* place = candidate(status_.scheduled_to);
    if (place && placement::has_traits(*place, request)) confirm(fields);
    patch(std::move(fields));
  }

  // 3.3, 3.11. Attempts are counted at their times only, however often somebody looks in between.
  json::Object failed_attempt(const placement::Request& request) {
    const auto& spec = app_.spec;
    const bool renewed = !memory_.failed_for ? !status_.scheduled_retry || !has_own_reason(status_) || reopened()
                                             : app_.metadata.modified.wall() > *memory_.failed_for;
    if (has_given_up(status_) && !renewed) return {};  // kept an eye on, because it has a place
    if (renewed) memory_.attempts = 0;
    if (!renewed && !attempt_is_due()) return {};
    const std::int64_t limit = spec.backoff_limit;
    const std::int64_t retries = renewed || !status_.retries ? limit : std::int64_t{*status_.retries};
    const bool unlimited = limit < 0;
    // Not before: judging every cluster at every wake, for every application, is what an outage cannot afford.
    placement::add_explanation(*in_.clusters, request, *decision_);
    const Reason reason{ReasonCode::NO_SUITABLE_RESOURCE, explain_none(*decision_)};
    json::Object fields;
    const auto delay = retry_delay(spec, memory_.attempts, in_.options.retry_cap);
    if (unlimited || retries > 0) {
      if (status_.state != State::DEGRADED) fields.set("state", enum_name(State::DEGRADED));
      if (!unlimited) fields.set("retries", retries - 1);
      memory_.retry_at = now_ + delay;
      wait(delay);
    } else {
      if (status_.state != State::FAILED) fields.set("state", enum_name(State::FAILED));
      if (!status_.retries || std::int64_t{*status_.retries} != 0) fields.set("retries", 0);
      memory_.retry_at.reset();
    }
    if (status_.reason != std::optional(reason)) fields.set("reason", to_value(reason));
    // Without a limit often nothing changes but the time of the next attempt: not worth a write.
    if (!fields.empty()) {
      const Wall next =
          in_.wall + std::chrono::duration_cast<std::chrono::microseconds>(memory_.retry_at ? delay : Duration::zero());
      fields.set("scheduled_retry", to_string(DateTime::from_wall(next)));
    }
    ++memory_.attempts;
    memory_.failed_for = app_.metadata.modified.wall();
    return fields;
  }

  bool attempt_is_due() {
    if (!memory_.retry_at) {
      // After a restart: what the status says.
      const Wall next = status_.scheduled_retry ? near(status_.scheduled_retry->wall(), in_.wall) : in_.wall;
      // No pause of ours is longer than a day.
      memory_.retry_at = now_ + std::clamp<Duration>(next - in_.wall, Duration::zero(), std::chrono::hours(24));
    }
    if (*memory_.retry_at <= now_) return true;
    wait(*memory_.retry_at - now_);
    return false;
  }

  void arm_period() {
    if (!app_.spec.constraints.migration) return;
    const auto due = due_at(app_, memory_, in_.options.reschedule_after);
    const Duration left =
        due ? std::chrono::duration_cast<Duration>(near(*due, in_.wall) - in_.wall) : Duration::zero();
    wait(left > Duration::zero() ? left : std::max(in_.options.reschedule_after, kLeastInterval));
  }

  void wait(Duration time) { wait_ = wait_ ? std::min(*wait_, time) : time; }
  void patch(json::Object fields) {
    if (!fields.empty()) actions_.emplace_back(PatchStatus{std::move(fields), in_.application->revision});
  }
  Plan finish() {
    // After the writes: what was not written has not happened.
    if (!(memory_ == in_.memory)) actions_.emplace_back(Remember{memory_});
    if (wait_) actions_.emplace_back(Wait{*wait_});
    return {std::move(actions_), std::move(decision_)};
  }

  const Observed& in_;
  const Mono now_;
  const Application& app_;
  const ApplicationStatus& status_;
  Memory memory_;
  std::optional<ResourceRef> current_;
  bool forgotten_ = false;
  std::vector<Action> actions_;
  std::optional<Duration> wait_;
  std::optional<placement::Decision> decision_;
};

}  // namespace

bool is_confirmed(const Application& application) {
  const auto& triggered = application.status.kube_controller_triggered;
  return triggered && application.metadata.modified.wall() <= triggered->wall();
}

std::optional<Wall> due_at(const Application& application, const Memory& memory, Duration reschedule_after) {
  const auto& status = application.status;
  if (!status.scheduled) return std::nullopt;
  const Wall bound = status.scheduled->wall();
  const auto period = std::chrono::duration_cast<Wall::duration>(reschedule_after);
  // What the user has changed is reconsidered by the plain rule.
  const Wall settled = is_confirmed(application) && memory.settled_at ? std::max(bound, *memory.settled_at) : bound;
  return std::min(settled + period, bound + 2 * period);
}

placement::Request request_for(const Observed& observed, std::optional<ResourceRef> current) {
  const auto& app = observed.application->object;
  const auto& constraints = app.spec.constraints;
  placement::Request request;
  request.scope = app.metadata.namespace_.value_or("");
  if (constraints.cluster.labels) request.labels = *constraints.cluster.labels;
  if (constraints.cluster.metrics) request.metrics = *constraints.cluster.metrics;
  request.custom_resources = constraints.cluster.custom_resources;
  if (current && is_cluster(*current)) request.current = to_string(key_of(*current));
  const auto period = std::chrono::duration_cast<Wall::duration>(observed.options.reschedule_after);
  if (const auto due = due_at(app, observed.memory, observed.options.reschedule_after))
    request.scheduled_at = near(*due, observed.wall) - period;
  request.reschedule_after = observed.options.reschedule_after;
  request.now = observed.wall;
  request.stickiness = observed.options.stickiness;
  const bool resting = std::int64_t{app.status.migration_timeout} >
                       std::chrono::floor<std::chrono::seconds>(observed.wall).time_since_epoch().count();
  request.migration_allowed = constraints.migration && !resting;
  request.penalties = penalties_of(observed.memory);
  return request;
}

Duration retry_delay(const ApplicationSpec& spec, int attempt, Duration cap) {
  const double factor = std::max<double>(1, static_cast<double>(std::int64_t{spec.backoff}));
  const double first = std::max<double>(0, static_cast<double>(std::int64_t{spec.backoff_delay})) * factor;
  // A limited number of attempts comes at the pace the user set; an unlimited one must slow down by itself.
  const double growth = std::int64_t{spec.backoff_limit} < 0 ? std::max(2.0, factor) : factor;
  const double limit = std::chrono::duration<double>(cap).count();
  const double seconds = std::min(std::max(first, 0.1) * std::pow(growth, std::min(attempt, 60)),
                                  std::max(limit, std::min(first, 86'400.0)));
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

std::string explain_none(const placement::Decision& decision) {
  std::string text = decision.reason;
  if (decision.verdicts.empty()) text += ": there is no cluster in this namespace";
  std::size_t count = 0;
  for (const auto& verdict : decision.verdicts) {
    if (count == kMaxExplained || text.size() + verdict.id.size() + verdict.why.size() > kMaxMessage) {
      text += fmt::format("; and {} more", decision.verdicts.size() - count);
      break;
    }
    text += fmt::format("{}{}: {}", count++ == 0 ? ": " : "; ", verdict.id, verdict.why);
  }
  return text;
}

Plan make_plan(const Observed& observed, Mono now) {
  if (!observed.application || observed.application->object.metadata.deleted) return {};
  return Pass(observed, now).run();
}

// ---- clusters

std::optional<PatchStatus> make_cluster_plan(const ObservedCluster& observed) {
  if (!observed.cluster || observed.cluster->object.metadata.deleted) return std::nullopt;
  const auto& status = observed.cluster->object.status;
  if (status.state != ClusterState::ONLINE && status.state != ClusterState::FAILING_METRICS) return std::nullopt;
  StringMap<Reason> failing;
  std::set<std::string_view> unread;
  for (const auto& measure : observed.measures) {
    if (measure.failure) failing.set(measure.name, *measure.failure);
    if (!measure.failure && !measure.normalized) unread.insert(measure.name);
  }
  // That it has recovered is known when everything has been read; what has failed is known at once.
  if (failing.empty() && !unread.empty()) return std::nullopt;
  json::Object fields;
  const auto wanted = failing.empty() ? ClusterState::ONLINE : ClusterState::FAILING_METRICS;
  if (status.state != wanted) {
    fields.set("state", enum_name(wanted));
    if (wanted == ClusterState::ONLINE && status.reason) fields.set("reason", nullptr);
  }
  json::Object reasons;
  for (const auto& [name, reason] : status.metrics_reasons.entries) {
    if (!failing.find(name) && !unread.contains(name)) reasons.set(name, nullptr);
  }
  for (const auto& [name, reason] : failing.entries) {
    const auto* known = status.metrics_reasons.find(name);
    // The code is what counts: texts differ from one attempt to the next.
    if (!known || known->code != reason.code) reasons.set(name, to_value(reason));
  }
  if (!reasons.empty()) fields.set("metrics_reasons", std::move(reasons));
  if (fields.empty()) return std::nullopt;
  return PatchStatus{std::move(fields), observed.cluster->revision};
}

placement::Candidate candidate_of(const Cluster& cluster, const std::vector<Measure>& measures,
                                  std::uint32_t applications) {
  placement::Candidate candidate;
  candidate.id = to_string(key_of(cluster.metadata));
  candidate.labels = cluster.metadata.labels.entries;
  candidate.custom_resources = cluster.spec.custom_resources;
  // Whether its metrics fail is seen from the metrics themselves: they may have recovered a moment ago.
  candidate.state_online =
      cluster.status.state == ClusterState::ONLINE || cluster.status.state == ClusterState::FAILING_METRICS;
  candidate.deleted = cluster.metadata.deleted.has_value();
  candidate.application_count = applications;
  for (const auto& measure : measures) {
    placement::Metric metric{.name = measure.name, .weight = measure.weight, .normalized_value = measure.normalized};
    if (measure.failure) {
      metric.failure = fmt::format("{}: {}", enum_name(measure.failure->code), measure.failure->message);
    } else if (!measure.normalized) {
      metric.failure = "not read yet";
      metric.pending = true;
    }
    candidate.metrics.push_back(std::move(metric));
  }
  return candidate;
}

namespace {
std::int64_t in_ms(Duration time) { return std::chrono::duration_cast<std::chrono::milliseconds>(time).count(); }
struct Printer {
  std::string operator()(const Bind& a) const {
    return fmt::format("bind to {} at {}", krake::to_string(a.cluster), a.revision);
  }
  std::string operator()(const PatchStatus& a) const {
    return fmt::format("status {} at {}", json::print(a.fields), a.revision);
  }
  std::string operator()(const Remember& a) const { return fmt::format("remember {} attempts", a.memory.attempts); }
  std::string operator()(const Wait& a) const { return fmt::format("wait {} ms", in_ms(a.time)); }
};
}  // namespace

std::string to_string(const Action& action) { return std::visit(Printer{}, action); }

std::string to_string(const Plan& plan) {
  std::string out;
  for (const auto& action : plan.actions) out += (out.empty() ? "" : "; ") + to_string(action);
  return out;
}

}  // namespace krake::scheduler
