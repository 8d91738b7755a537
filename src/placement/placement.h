// Where an application belongs: filter, rank, compare with where it is (control-plane-contract 3.4 steps 6 to 11, 3.6,
// 3.8 to 3.10). A pure function of a snapshot and a request, the time included; equal input, equal decision.
//
// Filter: not deleted, ONLINE, metrics available, in scope, every constraint. Then candidates in back-off are passed
// over unless nothing else is left, and candidates without metrics unless nobody has any. Rank: weighted mean of the
// metrics; the current place adds `stickiness`, and keeps on a tie; then fewest failures, fewest applications, name.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "expr/constraint.h"
#include "placement/snapshot.h"

namespace krake::placement {

// How the texts call things; the defaults are those of Application -> Cluster.
struct Wording {
  std::string candidate = "cluster";
  std::string none = "No matching Kubernetes cluster found";
};

struct Request {
  std::optional<std::string> scope;  // only candidates of this namespace ("" for those without); none: all
  std::vector<expr::LabelConstraint> labels;
  std::vector<expr::MetricConstraint> metrics;  // against weight x normalized value
  std::vector<std::string> custom_resources;
  std::optional<std::string> current;  // id of where it is now
  std::optional<Wall> scheduled_at;    // last binding
  Duration reschedule_after = std::chrono::seconds(60);
  Wall now{};
  double stickiness = 0.1;
  bool migration_allowed = true;  // false: whatever has a place keeps it, fitting or not
  // This application's own bad experience, by candidate; added to the candidates' penalties. Unlike those its back-off
  // also counts against the current place.
  std::vector<std::pair<std::string, Penalty>> penalties;
  Wording wording;
};

enum class Outcome : std::uint8_t {
  place,  // had no place, gets one
  stay,   // chosen == current
  move,   // chosen != current
  none,   // nothing fits (NO_SUITABLE_RESOURCE)
};
std::string_view to_string(Outcome outcome);

enum class Filter : std::uint8_t {
  passed,
  deleted,
  offline,
  metrics_failed,
  label,
  custom_resource,
  metric,
  back_off,         // fits, but failed lately and others fit
  without_metrics,  // fits, but others have metrics
};
std::string_view to_string(Filter filter);

struct Verdict {
  std::string id;
  Filter filter = Filter::passed;  // the first that refused it
  std::optional<double> score;     // of those that passed
  std::string why;                 // "label location is DE: cluster has location=SK", "score 0.73 from 2 metrics"

  bool operator==(const Verdict&) const = default;
};

struct Decision {
  Outcome outcome = Outcome::none;
  std::optional<std::string> chosen;
  double score = 0;               // of the chosen, stickiness included
  std::optional<double> margin;   // to the best other that was ranked; none when there was no other or no ranking
  bool pinned = false;            // stays by rule, without ranking: migration off, or scheduled lately
  std::string reason;             // wording.none when nothing fits; otherwise only when explained
  std::vector<Verdict> verdicts;  // only when explained: passed ones best first, then the refused by id; scope only

  bool operator==(const Decision&) const = default;
};

enum class Explain : std::uint8_t { no, yes };

// A request resolved against a snapshot's layout. Usable with any snapshot: where the layout differs, names are looked
// up again (slower, same answer).
class CompiledRequest {
 public:
  CompiledRequest(const Snapshot& snapshot, Request request);

  const Request& request() const { return request_; }
  // What changes from pass to pass.
  void set_now(Wall now) { request_.now = now; }
  void set_current(std::optional<std::string> current, std::optional<Wall> scheduled_at) {
    request_.current = std::move(current);
    request_.scheduled_at = scheduled_at;
  }

  struct LabelTerm {
    bool negative = false;
    Snapshot::BitmapId present = 0;
    std::vector<Snapshot::BitmapId> values;
  };
  struct MetricTerm {
    expr::MetricConstraint::Op op{};
    double threshold = 0;
    Snapshot::ColumnId column = 0;
  };
  struct Terms {
    bool impossible = false;  // something is asked for that nobody has
    std::vector<Snapshot::BitmapId> all_of;
    std::vector<LabelTerm> labels;
    std::vector<MetricTerm> metrics;
  };
  static Terms resolve(const Snapshot& snapshot, const Request& request);
  const Terms& terms() const { return terms_; }
  std::uint64_t layout() const { return layout_; }

 private:
  Request request_;
  std::uint64_t layout_;
  Terms terms_;
};

Decision choose(const Snapshot& snapshot, const CompiledRequest& request, Explain explain = Explain::no);
Decision choose(const Snapshot& snapshot, const Request& request, Explain explain = Explain::no);

// Whether a new cluster on the chosen cloud beats the chosen cluster (3.8, 3.9): clusters win ties and rules.
bool cloud_wins(const Decision& clusters, const Decision& clouds);

// What speaks for good against a place, whatever passes by itself (its state, a metric without a value) left aside.
// Labels, custom resources and scope are as asked:
bool has_traits(const Candidate& candidate, const Request& request);
// A value it has breaks a constraint:
bool breaks_metric(const Candidate& candidate, const Request& request);

// All that is missing are metrics that were never read.
bool awaits_metrics(const Candidate& candidate);

// Fills reason and verdicts of a decision made from the same input. Judges every candidate by its own data, not by the
// snapshot's indexes.
void add_explanation(const Snapshot& snapshot, const Request& request, Decision& decision);

}  // namespace krake::placement
