// The places an application may run, laid out for deciding fast: a bitmap of candidates per label value, custom
// resource and namespace, one array per metric, and the candidates in order of their score, which no request changes
// but by stickiness. Kept up to date candidate by candidate; the result never depends on the order of updates. Pure;
// const calls may run in parallel with each other.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "placement/bitmap.h"
#include "placement/metrics.h"

namespace krake::placement {

struct Metric {
  std::string name;
  double weight = 1;
  std::optional<double> normalized_value;  // 0 to 1; none: could not be had
  std::string failure;                     // why not, e.g. "UNREACHABLE_METRICS_PROVIDER: ..."
  bool pending = false;                    // it has been asked for, nothing was heard yet: neither good nor bad

  bool operator==(const Metric&) const = default;
};

// Bad experience with a candidate. `failures` puts it behind equals; until `back_off_until` it is passed over as long
// as anything else fits.
struct Penalty {
  int failures = 0;
  Wall back_off_until{};

  bool operator==(const Penalty&) const = default;
};

struct Candidate {
  std::string id;  // "ns/name", or "name" for a kind without namespace
  LabelList labels;
  std::vector<std::string> custom_resources;
  bool state_online = true;
  bool deleted = false;
  std::vector<Metric> metrics;  // of equal names the first with a value answers constraints; all count for the score
  std::uint32_t application_count = 0;
  // Holds against everybody, but never drives away what already runs there; for one application use Request.penalties.
  Penalty penalty;

  bool operator==(const Candidate&) const = default;
};

struct SnapshotOptions {
  // Whether a candidate of which any metric failed is out (clusters, projects) or counts as one without metrics
  // (clouds).
  bool failed_metrics_exclude = true;
  std::size_t max_candidates = 100'000;
};

class Snapshot {
 public:
  using Slot = std::uint32_t;

  explicit Snapshot(SnapshotOptions options = {});
  // Same as upserting one by one, faster.
  static Result<Snapshot> build(std::vector<Candidate> candidates, SnapshotOptions options = {});

  // Adds or replaces. Errors: invalid_argument for an empty id, too_large when full; the snapshot is then unchanged.
  Status upsert(Candidate candidate);
  bool remove(std::string_view id);  // false when unknown
  // Cheap partial updates; false when unknown.
  bool set_application_count(std::string_view id, std::uint32_t count);
  bool set_penalty(std::string_view id, Penalty penalty);

  std::size_t size() const { return by_id_.size(); }
  const Candidate* find(std::string_view id) const;
  std::vector<const Candidate*> candidates() const;  // best first

  // For the deciding code beside this class. Slots number the candidates; a slot is reused after removal.
  std::optional<Slot> slot_of(std::string_view id) const;
  const Candidate& at(Slot slot) const { return rows_[slot].candidate; }
  const std::vector<Slot>& order() const { return order_; }
  std::uint32_t rank(Slot slot) const { return rank_[slot]; }
  double score(Slot slot) const { return score_[slot]; }
  // With the current place's bonus: one more metric of value 1 and weight `stickiness`.
  double sticky_score(Slot slot, double stickiness) const;
  bool excludes_failed_metrics() const { return options_.failed_metrics_exclude; }
  const Bitmap& eligible() const { return eligible_; }
  const Bitmap& with_metrics() const { return with_metrics_; }
  const std::vector<Slot>& penalised() const { return penalised_; }  // those that have a back_off_until

  // Ids of bitmaps and columns, valid while `layout()` stays the same; no two snapshots that differ share a layout.
  using BitmapId = std::uint32_t;
  using ColumnId = std::uint32_t;
  std::uint64_t layout() const { return layout_; }
  std::optional<BitmapId> label_key(std::string_view key) const;
  std::optional<BitmapId> label_value(std::string_view key, std::string_view value) const;
  std::optional<BitmapId> custom_resource(std::string_view name) const;
  std::optional<BitmapId> ns(std::string_view name) const;
  std::optional<ColumnId> metric(std::string_view name) const;
  const Bitmap& bitmap(BitmapId id) const { return pool_[id].bits; }
  // weight x normalized value by slot; NaN where there is none.
  const std::vector<double>& column(ColumnId id) const { return columns_[id].values; }

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  template <class T>
  using ByName = std::unordered_map<std::string, T, Hash, std::equal_to<>>;

  struct Row {
    Candidate candidate;
    double weighted_sum = 0;
    double weights = 0;
  };
  struct Pooled {
    Bitmap bits;
    std::uint32_t members = 0;
  };
  struct Column {
    std::vector<double> values;
    std::uint32_t members = 0;
  };
  struct KeyIndex {
    BitmapId present = 0;
    ByName<BitmapId> values;
  };

  Status check(const Candidate& candidate) const;
  Slot add_row(const std::string& id);
  void widen(std::size_t slots);
  void touch_layout();
  BitmapId new_bitmap();
  void join(ByName<BitmapId>& index, const std::string& name, Slot slot);
  void leave(ByName<BitmapId>& index, const std::string& name, Slot slot);
  void join_labels(Slot slot);
  void leave_labels(Slot slot);
  void join_metrics(Slot slot);
  void leave_metrics(Slot slot);
  void fill(Slot slot, Candidate candidate, bool fresh);
  void measure(Slot slot);
  void note_penalty(Slot slot);
  bool better(Slot a, Slot b) const;
  void take_out(Slot slot);
  void put_in(Slot slot);

  SnapshotOptions options_;
  std::vector<Row> rows_;
  std::vector<Slot> free_;
  ByName<Slot> by_id_;
  std::vector<Slot> order_;  // best first
  std::vector<std::uint32_t> rank_;
  std::vector<double> score_;
  Bitmap eligible_;
  Bitmap with_metrics_;
  std::vector<Slot> penalised_;
  std::vector<Pooled> pool_;
  std::vector<BitmapId> free_bitmaps_;
  ByName<KeyIndex> labels_;
  ByName<BitmapId> custom_resources_;
  ByName<BitmapId> namespaces_;
  std::vector<Column> columns_;
  std::vector<ColumnId> free_columns_;
  ByName<ColumnId> metrics_;
  std::size_t words_ = 0;
  std::uint64_t layout_ = 0;
};

// The namespace of "ns/name"; empty without.
std::string_view namespace_of(std::string_view id);

}  // namespace krake::placement
