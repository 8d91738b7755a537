#include "placement/snapshot.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <map>
#include <tuple>
#include <utility>

namespace krake::placement {

namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// Nine decimals: two means that are equal on paper must not differ because of the order of the additions.
double rounded(double score) {
  if (!std::isfinite(score)) return 0;
  return std::abs(score) < 1e6 ? std::round(score * 1e9) / 1e9 : score;
}

double mean(double weighted_sum, double weights) { return weights == 0 ? 0 : rounded(weighted_sum / weights); }

bool usable(const Metric& metric) {
  return metric.normalized_value && std::isfinite(*metric.normalized_value) && std::isfinite(metric.weight);
}

// Sorted by key; of a repeated key the last entry counts.
void tidy(LabelList& labels) {
  std::map<std::string, std::string> unique;
  for (auto& [key, value] : labels) unique[key] = std::move(value);
  labels.assign(unique.begin(), unique.end());
}

void tidy(std::vector<std::string>& names) {
  std::ranges::sort(names);
  names.erase(std::ranges::unique(names).begin(), names.end());
}

}  // namespace

std::string_view namespace_of(std::string_view id) {
  const auto slash = id.find('/');
  return slash == std::string_view::npos ? std::string_view{} : id.substr(0, slash);
}

Snapshot::Snapshot(SnapshotOptions options) : options_(options) { touch_layout(); }

Result<Snapshot> Snapshot::build(std::vector<Candidate> candidates, SnapshotOptions options) {
  Snapshot snapshot(options);
  snapshot.widen(candidates.size());
  for (Candidate& candidate : candidates) {
    RETURN_IF_ERROR(snapshot.check(candidate));
    const auto known = snapshot.slot_of(candidate.id);
    const Slot slot = known ? *known : snapshot.add_row(candidate.id);
    snapshot.fill(slot, std::move(candidate), !known);
  }
  for (const auto& [id, slot] : snapshot.by_id_) snapshot.order_.push_back(slot);
  std::ranges::sort(snapshot.order_, [&](Slot a, Slot b) { return snapshot.better(a, b); });
  for (std::uint32_t i = 0; i < snapshot.order_.size(); ++i) snapshot.rank_[snapshot.order_[i]] = i;
  return snapshot;
}

Status Snapshot::check(const Candidate& candidate) const {
  if (candidate.id.empty()) return fail(Code::invalid_argument, "a candidate needs an id like ns/name, got none");
  if (by_id_.size() >= options_.max_candidates && !by_id_.contains(candidate.id)) {
    return fail(Code::too_large, fmt::format("{}: already {} candidates, at most {} are compared", candidate.id,
                                             by_id_.size(), options_.max_candidates));
  }
  return {};
}

Status Snapshot::upsert(Candidate candidate) {
  RETURN_IF_ERROR(check(candidate));
  const auto known = slot_of(candidate.id);
  const Slot slot = known ? *known : add_row(candidate.id);
  if (known) take_out(slot);
  fill(slot, std::move(candidate), !known);
  put_in(slot);
  return {};
}

bool Snapshot::remove(std::string_view id) {
  const auto it = by_id_.find(id);
  if (it == by_id_.end()) return false;
  const Slot slot = it->second;
  take_out(slot);
  leave_labels(slot);
  leave_metrics(slot);
  const Candidate& candidate = rows_[slot].candidate;
  for (const auto& name : candidate.custom_resources) leave(custom_resources_, name, slot);
  leave(namespaces_, std::string(namespace_of(candidate.id)), slot);
  eligible_.reset(slot);
  with_metrics_.reset(slot);
  std::erase(penalised_, slot);
  by_id_.erase(it);
  rows_[slot] = {};
  free_.push_back(slot);
  return true;
}

bool Snapshot::set_application_count(std::string_view id, std::uint32_t count) {
  const auto slot = slot_of(id);
  if (!slot) return false;
  if (rows_[*slot].candidate.application_count == count) return true;
  take_out(*slot);
  rows_[*slot].candidate.application_count = count;
  put_in(*slot);
  return true;
}

bool Snapshot::set_penalty(std::string_view id, Penalty penalty) {
  const auto slot = slot_of(id);
  if (!slot) return false;
  take_out(*slot);
  rows_[*slot].candidate.penalty = penalty;
  note_penalty(*slot);
  put_in(*slot);
  return true;
}

const Candidate* Snapshot::find(std::string_view id) const {
  const auto slot = slot_of(id);
  return slot ? &rows_[*slot].candidate : nullptr;
}

std::vector<const Candidate*> Snapshot::candidates() const {
  std::vector<const Candidate*> result;
  result.reserve(order_.size());
  for (const Slot slot : order_) result.push_back(&rows_[slot].candidate);
  return result;
}

std::optional<Snapshot::Slot> Snapshot::slot_of(std::string_view id) const {
  const auto it = by_id_.find(id);
  if (it == by_id_.end()) return std::nullopt;
  return it->second;
}

double Snapshot::sticky_score(Slot slot, double stickiness) const {
  if (!with_metrics_.test(slot)) return rounded(stickiness);
  return mean(rows_[slot].weighted_sum + stickiness, rows_[slot].weights + stickiness);
}

std::optional<Snapshot::BitmapId> Snapshot::label_key(std::string_view key) const {
  const auto it = labels_.find(key);
  if (it == labels_.end()) return std::nullopt;
  return it->second.present;
}

std::optional<Snapshot::BitmapId> Snapshot::label_value(std::string_view key, std::string_view value) const {
  const auto it = labels_.find(key);
  if (it == labels_.end()) return std::nullopt;
  const auto found = it->second.values.find(value);
  if (found == it->second.values.end()) return std::nullopt;
  return found->second;
}

std::optional<Snapshot::BitmapId> Snapshot::custom_resource(std::string_view name) const {
  const auto it = custom_resources_.find(name);
  if (it == custom_resources_.end()) return std::nullopt;
  return it->second;
}

std::optional<Snapshot::BitmapId> Snapshot::ns(std::string_view name) const {
  const auto it = namespaces_.find(name);
  if (it == namespaces_.end()) return std::nullopt;
  return it->second;
}

std::optional<Snapshot::ColumnId> Snapshot::metric(std::string_view name) const {
  const auto it = metrics_.find(name);
  if (it == metrics_.end()) return std::nullopt;
  return it->second;
}

Snapshot::Slot Snapshot::add_row(const std::string& id) {
  Slot slot = static_cast<Slot>(rows_.size());
  if (free_.empty()) {
    widen(rows_.size() + 1);
    rows_.emplace_back();
    rank_.push_back(0);
    score_.push_back(0);
  } else {
    slot = free_.back();
    free_.pop_back();
  }
  by_id_.emplace(id, slot);
  return slot;
}

void Snapshot::widen(std::size_t slots) {
  const std::size_t needed = (slots + 63) / 64;
  if (needed <= words_) return;
  words_ = std::max(needed, words_ + words_ / 2);
  eligible_.widen(words_);
  with_metrics_.widen(words_);
  for (Pooled& pooled : pool_) pooled.bits.widen(words_);
  for (Column& column : columns_) column.values.resize(words_ * 64, kNone);
}

// Unique in the process, so that ids resolved against one snapshot are never used on another that has grown apart.
void Snapshot::touch_layout() {
  static std::atomic<std::uint64_t> next{1};
  layout_ = next.fetch_add(1, std::memory_order_relaxed);
}

Snapshot::BitmapId Snapshot::new_bitmap() {
  touch_layout();
  if (!free_bitmaps_.empty()) {
    const BitmapId id = free_bitmaps_.back();
    free_bitmaps_.pop_back();
    return id;
  }
  pool_.push_back({Bitmap(words_), 0});
  return static_cast<BitmapId>(pool_.size() - 1);
}

void Snapshot::join(ByName<BitmapId>& index, const std::string& name, Slot slot) {
  auto it = index.find(name);
  if (it == index.end()) it = index.emplace(name, new_bitmap()).first;
  pool_[it->second].bits.set(slot);
  ++pool_[it->second].members;
}

void Snapshot::leave(ByName<BitmapId>& index, const std::string& name, Slot slot) {
  const auto it = index.find(name);
  Pooled& pooled = pool_[it->second];
  pooled.bits.reset(slot);
  if (--pooled.members != 0) return;
  free_bitmaps_.push_back(it->second);
  index.erase(it);
  touch_layout();
}

void Snapshot::join_labels(Slot slot) {
  for (const auto& [key, value] : rows_[slot].candidate.labels) {
    auto it = labels_.find(key);
    if (it == labels_.end()) it = labels_.emplace(key, KeyIndex{new_bitmap(), {}}).first;
    pool_[it->second.present].bits.set(slot);
    ++pool_[it->second.present].members;
    join(it->second.values, value, slot);
  }
}

void Snapshot::leave_labels(Slot slot) {
  for (const auto& [key, value] : rows_[slot].candidate.labels) {
    const auto it = labels_.find(key);
    leave(it->second.values, value, slot);
    Pooled& present = pool_[it->second.present];
    present.bits.reset(slot);
    if (--present.members != 0) continue;
    free_bitmaps_.push_back(it->second.present);
    labels_.erase(it);
    touch_layout();
  }
}

void Snapshot::join_metrics(Slot slot) {
  for (const Metric& metric : rows_[slot].candidate.metrics) {
    auto it = metrics_.find(metric.name);
    if (it == metrics_.end()) {
      touch_layout();
      ColumnId id = static_cast<ColumnId>(columns_.size());
      if (free_columns_.empty()) {
        columns_.push_back({std::vector<double>(words_ * 64, kNone), 0});
      } else {
        id = free_columns_.back();
        free_columns_.pop_back();
      }
      it = metrics_.emplace(metric.name, id).first;
    }
    Column& column = columns_[it->second];
    ++column.members;
    double& value = column.values[slot];
    if (usable(metric) && std::isnan(value)) value = metric.weight * *metric.normalized_value;
  }
}

void Snapshot::leave_metrics(Slot slot) {
  for (const Metric& metric : rows_[slot].candidate.metrics) {
    const auto it = metrics_.find(metric.name);
    Column& column = columns_[it->second];
    column.values[slot] = kNone;
    if (--column.members != 0) continue;
    free_columns_.push_back(it->second);
    metrics_.erase(it);
    touch_layout();
  }
}

// Everything about one candidate but its place in the order. Indexes are only touched where something changed, so that
// the frequent updates (values, counts) keep the layout.
void Snapshot::fill(Slot slot, Candidate candidate, bool fresh) {
  tidy(candidate.labels);
  tidy(candidate.custom_resources);
  Candidate& old = rows_[slot].candidate;
  if (fresh) join(namespaces_, std::string(namespace_of(candidate.id)), slot);
  if (fresh || old.labels != candidate.labels) {
    leave_labels(slot);
    old.labels = std::move(candidate.labels);
    join_labels(slot);
  }
  if (fresh || old.custom_resources != candidate.custom_resources) {
    for (const auto& name : old.custom_resources) leave(custom_resources_, name, slot);
    old.custom_resources = std::move(candidate.custom_resources);
    for (const auto& name : old.custom_resources) join(custom_resources_, name, slot);
  }
  if (fresh || old.metrics != candidate.metrics) {
    leave_metrics(slot);
    old.metrics = std::move(candidate.metrics);
    join_metrics(slot);
  }
  old.id = std::move(candidate.id);
  old.state_online = candidate.state_online;
  old.deleted = candidate.deleted;
  old.application_count = candidate.application_count;
  old.penalty = candidate.penalty;
  note_penalty(slot);
  measure(slot);
}

void Snapshot::measure(Slot slot) {
  Row& row = rows_[slot];
  row.weighted_sum = 0;
  row.weights = 0;
  bool failed = false;
  for (const Metric& metric : row.candidate.metrics) {
    if (!usable(metric)) {
      failed = true;
      continue;
    }
    row.weighted_sum += metric.weight * *metric.normalized_value;
    row.weights += metric.weight;
  }
  const bool ranked = !failed && !row.candidate.metrics.empty();
  score_[slot] = ranked ? mean(row.weighted_sum, row.weights) : 0;
  with_metrics_.assign(slot, ranked);
  eligible_.assign(
      slot, row.candidate.state_online && !row.candidate.deleted && !(failed && options_.failed_metrics_exclude));
}

void Snapshot::note_penalty(Slot slot) {
  std::erase(penalised_, slot);
  if (rows_[slot].candidate.penalty.back_off_until != Wall{}) penalised_.push_back(slot);
}

bool Snapshot::better(Slot a, Slot b) const {
  const bool metrics_a = with_metrics_.test(a);
  const bool metrics_b = with_metrics_.test(b);
  if (metrics_a != metrics_b) return metrics_a;
  if (score_[a] != score_[b]) return score_[a] > score_[b];
  const Candidate& x = rows_[a].candidate;
  const Candidate& y = rows_[b].candidate;
  return std::tie(x.penalty.failures, x.application_count, x.id) <
         std::tie(y.penalty.failures, y.application_count, y.id);
}

void Snapshot::take_out(Slot slot) {
  const std::uint32_t rank = rank_[slot];
  order_.erase(order_.begin() + rank);
  for (std::size_t i = rank; i < order_.size(); ++i) rank_[order_[i]] = static_cast<std::uint32_t>(i);
}

void Snapshot::put_in(Slot slot) {
  const auto at = std::ranges::lower_bound(order_, slot, [this](Slot a, Slot b) { return better(a, b); });
  const auto rank = static_cast<std::size_t>(at - order_.begin());
  order_.insert(at, slot);
  for (std::size_t i = rank; i < order_.size(); ++i) rank_[order_[i]] = static_cast<std::uint32_t>(i);
}

}  // namespace krake::placement
