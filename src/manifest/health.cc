#include "manifest/health.h"

#include <algorithm>

namespace krake::manifest {
namespace {

std::int64_t count(const json::Value& live, std::string_view section, std::string_view field) {
  return std::max<std::int64_t>(live.int_at({section, field}).value_or(0), 0);
}

State state_of_replicas(const Health& health) {
  return health.running >= health.desired ? State::running : State::degraded;
}

// Of a fresh object the status is still empty: what the spec asks for counts as well.
Observed replicas(const json::Value& live) {
  Observed seen;
  seen.health.desired = std::max(count(live, "spec", "replicas"), count(live, "status", "replicas"));
  seen.health.running = count(live, "status", "readyReplicas");
  seen.state = state_of_replicas(seen.health);
  return seen;
}

Observed daemons(const json::Value& live) {
  if (!live.at_path({"status", "desiredNumberScheduled"})) return {};  // not looked at by its controller yet
  Observed seen;
  seen.health.desired = count(live, "status", "desiredNumberScheduled");
  seen.health.running = count(live, "status", "numberReady");
  seen.state = state_of_replicas(seen.health);
  return seen;
}

bool has_condition(const json::Value& live, std::string_view type) {
  const json::Value* conditions = live.at_path({"status", "conditions"});
  const json::Array* list = conditions ? conditions->if_array() : nullptr;
  return list && std::ranges::any_of(*list, [&](const json::Value& condition) {
           return condition.string_at({"type"}) == type && condition.string_at({"status"}) == "True";
         });
}

Observed job(const json::Value& live) {
  Observed seen;
  seen.health.desired = live.int_at({"spec", "completions"}).value_or(1);
  seen.health.running = count(live, "status", "active");
  seen.health.completed = count(live, "status", "succeeded");
  seen.health.failed = count(live, "status", "failed");
  if (seen.health.completed >= seen.health.desired) {
    seen.state = State::completed;
  } else if (has_condition(live, "Failed")) {
    seen.state = State::degraded;
  }
  return seen;
}

State state_of_container(const json::Value& status, std::string_view restart_policy) {
  const auto is = [&](std::string_view name) {
    const json::Value* detail = status.at_path({"state", name});
    return detail && detail->is_object();
  };
  if (is("terminated")) return restart_policy == "Never" ? State::completed : State::restarting;
  if (is("running")) return State::running;
  return status.string_at({"state", "waiting", "reason"}) == "CrashLoopBackOff" ? State::degraded : State::unknown;
}

// The worst container decides; one of which nothing is known yet keeps the Pod from counting as running.
Observed pod(const json::Value& live) {
  Observed seen;
  seen.health.desired = 1;
  const json::Value* statuses = live.at_path({"status", "containerStatuses"});
  const json::Array* list = statuses ? statuses->if_array() : nullptr;
  if (!list || list->empty()) return seen;
  bool any_unknown = false;
  for (const json::Value& status : *list) {
    const State state = state_of_container(status, live.string_at({"spec", "restartPolicy"}));
    any_unknown |= state == State::unknown;
    seen.state = std::max(seen.state, state);
  }
  if (any_unknown && seen.state < State::restarting) seen.state = State::unknown;
  seen.health.running = seen.state == State::running ? 1 : 0;
  return seen;
}

}  // namespace

std::string_view to_string(State state) {
  switch (state) {
    case State::unknown:
      return "";
    case State::completed:
      return "COMPLETED";
    case State::running:
      return "RUNNING";
    case State::restarting:
      return "RESTARTING";
    case State::degraded:
      break;
  }
  return "DEGRADED";
}

Observed health_of(const json::Value& live) {
  const std::string_view kind = live.string_at({"kind"});
  if (kind == "Pod") return pod(live);
  if (kind == "Deployment" || kind == "StatefulSet" || kind == "ReplicaSet") return replicas(live);
  if (kind == "DaemonSet") return daemons(live);
  if (kind == "Job") return job(live);
  return {};
}

bool up_to_date(const json::Value& live) {
  const std::string_view kind = live.string_at({"kind"});
  const bool workload = kind == "Deployment" || kind == "StatefulSet" || kind == "ReplicaSet" || kind == "DaemonSet";
  const auto generation = workload ? live.int_at({"metadata", "generation"}) : std::nullopt;
  return !generation || live.int_at({"status", "observedGeneration"}).value_or(0) >= *generation;
}

Observed health_of_all(const json::Array& live) {
  Observed all;
  for (const json::Value& object : live) {
    const Observed one = health_of(object);
    all.health.desired += one.health.desired;
    all.health.running += one.health.running;
    all.health.completed += one.health.completed;
    all.health.failed += one.health.failed;
    all.state = std::max(all.state, one.state);  // State is ordered from nothing known to worst
  }
  return all;
}

}  // namespace krake::manifest
