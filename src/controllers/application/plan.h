// The decisions of the application controller as a function of what was observed. Pure: no clock, no I/O; the plan is a
// list of small actions that controller.cc carries out in order. It stops at the first that fails, except that an
// object the cluster refuses keeps no other waiting: the refusal is remembered, and the next plan reports it.
//
// A plan that changes a cluster ends with Again: what came of it is looked at before anything is reported. Only a plan
// with nothing left to do on clusters writes the observed status, so planning on the result of a plan ends in silence.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "api/kubernetes/application.h"
#include "base/clock.h"
#include "controllers/application/hooks.h"
#include "controllers/application/ownership.h"
#include "manifest/diff.h"
#include "providers/kubernetes/object_cache.h"
#include "runtime/election.h"

namespace krake::application {

// ---- what was observed

// One object of a manifest at one cluster.
struct Item {
  kube::ObjectRef ref;            // meaningless with a problem
  std::optional<Reason> problem;  // it cannot live there: no identity, unknown kind
  kube::LiveObject live;          // null: not there
};

// One cluster the application has to do with.
struct Place {
  ResourceRef cluster;
  bool exists = true;           // Krake knows the cluster
  bool deleted = false;         // and is deleting it
  std::optional<Reason> error;  // it cannot be looked at just now; then the lists below are empty
  std::optional<Mono> error_since;
  bool online = false;   // so says its status, which others write: it can be reached
  bool blind = false;    // something there is not watched: it has to be looked at now and then
  std::string identity;  // uid of namespace kube-system; empty: unknown or not readable
  std::string host;      // of its API server
  // These four are empty where Relevant says so.
  std::vector<Item> desired;   // parallel to Desired::objects
  std::vector<Item> applied;   // parallel to status.last_applied_manifest
  std::vector<Item> recorded;  // parallel to status.last_observed_manifest
  std::vector<Item> left;      // parallel to the objects of its entry in status.cleanup
  std::vector<std::pair<kube::ObjectRef, kube::LiveObject>> ours;  // all that carry our uid
};

struct Desired {
  json::Array objects;      // what status.last_applied_manifest is to say
  json::Array schema;       // status.mangled_observer_schema
  bool hooks_kept = false;  // something in `objects` is of upstream's hooks, not of the manifest
};
// `default_namespace`: of the cluster the application is scheduled to.
Desired desired_of(const Application& application, std::string_view default_namespace);

// ---- what is remembered between two reconciles; losing it costs repeated work, never correctness

struct RepairRecord {
  std::uint64_t difference = 0;
  int count = 0;       // of repairs of this difference in short order
  bool stuck = false;  // the difference was still there in the answer to the repair
  Mono last{};
  // When the next repair may be made.
  Mono allowed_at() const;
  bool operator==(const RepairRecord&) const = default;
};
// The cluster has answered and did not take it.
struct Refusal {
  std::uint64_t what = 0;  // fingerprint of what was sent; 0: the removal
  Reason reason;
  int count = 0;  // in a row
  Mono last{};
  // When it may be tried again.
  Mono allowed_at() const;
  bool operator==(const Refusal&) const = default;
};
struct Migration {
  ResourceRef target;
  std::optional<Mono> waiting_since;  // the present attempt is under way
  int failures = 0;
  std::string why;               // of the last one
  std::optional<Mono> retry_at;  // after a failure
  bool operator==(const Migration&) const = default;
};
// What this process has sent last for an object.
struct Sent {
  std::uint64_t fingerprint = 0;  // of the desired object; 0: its removal
  std::int64_t revision = 0;      // of the application it came from
  bool answered = false;          // the cluster has taken it; otherwise it may have
  bool operator==(const Sent&) const = default;
};
struct Memory {
  std::map<std::string, Sent> sent;             // by memory_key
  std::map<std::string, RepairRecord> repairs;  // by memory_key
  std::map<std::string, Refusal> refusals;      // by memory_key
  std::optional<Migration> migration;
  Mono status_allowed_at{};  // the rate limit of status writes
};
// Before it goes out, since whether it arrives may never be known. `repair`: the same has been taken before.
void note_sending(Memory& memory, const std::string& key, std::uint64_t what, std::int64_t revision, bool repair);
void note_taken(Memory& memory, const std::string& key, std::uint64_t what);
// Removals the application has gone past order nothing any more.
void forget_removals(Memory& memory, std::int64_t revision);
// `difference` was put right just now; `stuck`: it is still there.
void note_refusal(Memory& memory, const std::string& key, std::uint64_t what, Reason reason, Mono now);
void note_repair(Memory& memory, const std::string& key, std::uint64_t difference, bool stuck, Mono now);

struct PlanOptions {
  std::string installation = "krake";
  Duration migration_health_wait = std::chrono::seconds(60);
  Duration migration_retry = std::chrono::minutes(1);  // doubled at each failure, up to 32 times that
};

struct Observed {
  std::shared_ptr<const Application> application;
  std::int64_t revision = 0;  // of the application
  Desired desired;
  std::vector<Place> places;  // scheduled_to, running_on, those to clean up, owners of its namespace; each once
  Memory memory;
  PlanOptions options;
  Wall wall{};                // the time of it, as far as the controller's clock is right
  Mode mode = Mode::leading;  // repair_only: only what holds up what was confirmed; standby: nothing
};

// ---- what is to be done

struct PatchMeta {
  std::optional<std::vector<std::string>> finalizers;
  std::optional<std::vector<ResourceRef>> owners;
  bool operator==(const PatchMeta&) const = default;
};
struct PatchStatus {
  json::Object fields;   // a merge patch of the status
  bool limited = false;  // counts towards the rate limit
  friend bool operator==(const PatchStatus& a, const PatchStatus& b) {
    return a.fields == b.fields && a.limited == b.limited;
  }
};
struct Apply {
  ResourceRef cluster;
  kube::ObjectRef ref;
  json::Value body;     // what is sent
  json::Value desired;  // labelled; for comparing the answer
  json::Value entry;
  json::Value previous;  // what was applied before; null: unknown
  json::Array lists;     // a patch that replaces lists, for a cluster that refuses just these; empty: none
  std::string key;       // into Memory
  std::uint64_t fingerprint = 0;
  std::uint64_t difference = 0;  // 0: not a repair
  bool adopt = false;            // a live object without our labels
  bool operator==(const Apply&) const = default;
};
struct Remove {
  ResourceRef cluster;
  kube::ObjectRef ref;
  std::string uid;
  std::string resource_version;  // what was looked at is what goes, not what somebody has made of it since
  std::string key;               // into Memory
  bool operator==(const Remove&) const = default;
};
struct TryOut {  // whether the cluster would take it; if not, the migration is given up
  ResourceRef cluster;
  kube::ObjectRef ref;
  json::Value body;
  bool operator==(const TryOut&) const = default;
};
struct BeginHealthWait {
  ResourceRef target;
  bool operator==(const BeginHealthWait&) const = default;
};
struct GiveUpMigration {
  ResourceRef target;
  std::string why;
  bool operator==(const GiveUpMigration&) const = default;
};
struct ForgetMigration {
  bool operator==(const ForgetMigration&) const = default;
};
struct Again {  // look at once at what came of it
  bool operator==(const Again&) const = default;
};
struct Wait {  // look again even if nothing happens
  Duration time{};
  bool operator==(const Wait&) const = default;
};
struct Retry {  // ends the plan as a failure: back-off
  std::string why;
  bool operator==(const Retry&) const = default;
};
using Action = std::variant<PatchMeta, PatchStatus, Apply, Remove, TryOut, BeginHealthWait, GiveUpMigration,
                            ForgetMigration, Again, Wait, Retry>;
using Plan = std::vector<Action>;

std::string to_string(const Action& action);
std::string to_string(const Plan& plan);

Plan make_plan(const Observed& observed, Mono now);
// What BeginHealthWait, GiveUpMigration and ForgetMigration mean; other actions leave the memory alone.
void remember(Memory& memory, const Action& action, const PlanOptions& options, Mono now);

// ---- for controller.cc and tests

bool mutates_cluster(const Action& action);
// Whether the scheduler has confirmed the present spec (control-plane-contract 1.5).
bool confirmed(const Application& application);
// The clusters to look at, each once.
std::vector<ResourceRef> clusters_of(const Application& application);
// Deleted, and it is our turn.
bool our_turn_to_delete(const Application& application);
std::string memory_key(const Place& place, const kube::ObjectRef& ref);
std::uint64_t fingerprint_of(const json::Value& desired);
// Which places differ, not how. Never 0.
std::uint64_t difference_of(const std::vector<manifest::Difference>& differences);
json::Array as_array(const std::vector<json::Object>& objects);
// What status.cleanup says of that cluster; null: nothing.
const CleanUp* cleanup_at(const Application& application, const ResourceRef& cluster);
// What to look for at a cluster. Each name may be a request.
struct Relevant {
  bool desired = true;             // what is wanted: where it runs or is to run, or perhaps does
  bool manifests = true;           // what was applied and recorded: not where its entry names all that is left
  const CleanUp* entry = nullptr;  // into the application
};
Relevant relevant_at(const Application& application, const ResourceRef& cluster);

}  // namespace krake::application
