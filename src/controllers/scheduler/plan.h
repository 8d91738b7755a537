// The decisions of the scheduler as functions of what was observed: where an application goes and what its status says,
// and what the metrics of a cluster mean for its state (control-plane-contract 3 and 4.3). Pure.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "api/kubernetes/application.h"
#include "api/kubernetes/cluster.h"
#include "base/clock.h"
#include "client/client.h"
#include "placement/placement.h"

namespace krake::scheduler {

struct PlanOptions {
  Duration reschedule_after = std::chrono::seconds(60);  // 0: at any time, and looked at ten times a second
  double stickiness = 0.1;
  Duration amnesia_wait = std::chrono::seconds(10);
  // For values of metrics that were never read: before a new place is chosen among the rest, and before it counts that
  // nothing fits.
  Duration first_reading_wait = std::chrono::seconds(3);
  Duration provider_timeout = std::chrono::seconds(20);
  Duration hold_off = std::chrono::seconds(15);  // a place that is not ONLINE is left after that, or the interval
  // A place that does not take the application is passed over, when it has complained or was silent for so long.
  Duration refusal_wait = std::chrono::seconds(10);
  Duration creating_wait = std::chrono::minutes(5);
  Duration refusal_backoff = std::chrono::minutes(1);  // doubled each time
  Duration refusal_cap = std::chrono::hours(1);
  Duration retry_cap = std::chrono::minutes(5);
};

// ---- applications

// Something is wrong with the present place, as first seen.
struct Since {
  std::string cluster;
  Mono at{};
  bool operator==(const Since&) const = default;
};
// A cluster did not take the application.
struct Refusal {
  std::string cluster;
  placement::Penalty penalty;
  bool operator==(const Refusal&) const = default;
};
// What the status said when a place was chosen, until it says something else: no news about that place.
struct OldNews {
  std::optional<ApplicationState> state;
  std::optional<Reason> reason;
  bool operator==(const OldNews&) const = default;
};

// What is remembered between two passes; losing it costs time, never correctness.
struct Memory {
  std::string uid;
  std::optional<Wall> settled_at;     // when health, place or state last changed, as seen here
  std::optional<Mono> amnesia_since;  // owners name a cluster, the status names none
  std::optional<Wall> failed_for;     // `modified` of the object the last failure was counted for
  int attempts = 0;                   // that found no place, in a row
  std::optional<Mono> retry_at;
  std::optional<Since> absence;   // the place is not ONLINE
  std::optional<Since> refusing;  // the place does not take the application
  std::vector<Refusal> refusals;
  OldNews old_news;
  std::optional<Mono> looking_since;  // it has no place, or none that fits
  bool operator==(const Memory&) const = default;
};

struct Observed {
  std::shared_ptr<const Versioned<Application>> application;  // null: it is gone
  const placement::Snapshot* clusters = nullptr;              // all namespaces; their metrics are applied
  bool measuring = false;  // clusters of this namespace have metrics that were never read
  Memory memory;
  PlanOptions options;
  Wall wall{};
};

struct Bind {
  ResourceRef cluster;
  std::int64_t revision = 0;
  bool operator==(const Bind&) const = default;
};
struct PatchStatus {
  json::Object fields;  // a merge patch of the status
  std::int64_t revision = 0;
  friend bool operator==(const PatchStatus&, const PatchStatus&) = default;
};
struct Remember {
  Memory memory;
  bool operator==(const Remember&) const = default;
};
struct Wait {  // look again even if nothing happens
  Duration time{};
  bool operator==(const Wait&) const = default;
};
// Each write is made at the revision the one before has made.
using Action = std::variant<PatchStatus, Bind, Remember, Wait>;

struct Plan {
  std::vector<Action> actions;
  // What it follows from, when a place was looked for; with verdicts only when they were needed.
  std::optional<placement::Decision> decision;
  bool operator==(const Plan&) const = default;
};

Plan make_plan(const Observed& observed, Mono now);

// Whether this application has its place (or its absence) written as its spec stands: control-plane-contract 1.5.
bool is_confirmed(const Application& application);
// The request to placement; `current` as believed by the caller.
placement::Request request_for(const Observed& observed, std::optional<ResourceRef> current);
// When a score alone may move it (3.10).
std::optional<Wall> due_at(const Application& application, const Memory& memory, Duration reschedule_after);
// Time between a failed attempt and the next (3.3, W-8). `attempt` from 0.
Duration retry_delay(const ApplicationSpec& spec, int attempt, Duration cap);
// "No matching Kubernetes cluster found" and, in short, why each was refused.
std::string explain_none(const placement::Decision& decision);

// ---- clusters

// A metric of a cluster as it stands.
struct Measure {
  std::string name;
  double weight = 1;
  std::optional<double> normalized;
  std::optional<Reason> failure;  // neither: not known yet
  bool operator==(const Measure&) const = default;
};

struct ObservedCluster {
  std::shared_ptr<const Versioned<Cluster>> cluster;
  std::vector<Measure> measures;  // in the order of spec.metrics
};
// What is to be written, if anything.
std::optional<PatchStatus> make_cluster_plan(const ObservedCluster& observed);

placement::Candidate candidate_of(const Cluster& cluster, const std::vector<Measure>& measures,
                                  std::uint32_t applications);

std::string to_string(const Action& action);
std::string to_string(const Plan& plan);

}  // namespace krake::scheduler
