#include "placement/placement.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <tuple>
#include <utility>

namespace krake::placement {

namespace {

using Slot = Snapshot::Slot;
using Terms = CompiledRequest::Terms;
using Op = expr::MetricConstraint::Op;

// Names a label constraint in the snapshot's terms; false when no candidate can match.
bool add_label(const Snapshot& snapshot, const expr::LabelConstraint& constraint, Terms& terms) {
  using LabelOp = expr::LabelConstraint::Op;
  const auto present = snapshot.label_key(constraint.key);
  if (!present) return false;
  CompiledRequest::LabelTerm term;
  term.negative = constraint.op == LabelOp::not_equal || constraint.op == LabelOp::not_in;
  term.present = *present;
  for (const std::string& value : constraint.values) {
    if (const auto id = snapshot.label_value(constraint.key, value)) term.values.push_back(*id);
  }
  if (term.negative && term.values.empty()) {
    terms.all_of.push_back(*present);
  } else if (!term.negative && term.values.size() == 1) {
    terms.all_of.push_back(term.values.front());
  } else if (term.values.empty()) {
    return false;
  } else {
    terms.labels.push_back(std::move(term));
  }
  return true;
}

void apply(const Snapshot& snapshot, const CompiledRequest::LabelTerm& term, Bitmap& pass) {
  auto& words = pass.words();
  for (std::size_t w = 0; w < words.size(); ++w) {
    std::uint64_t any = 0;
    for (const auto value : term.values) any |= snapshot.bitmap(value).words()[w];
    words[w] &= term.negative ? snapshot.bitmap(term.present).words()[w] & ~any : any;
  }
}

// NaN (no value) fails every comparison: not-equal is written so that it does, too.
template <class Holds>
void keep_if(const std::vector<double>& values, Bitmap& pass, Holds holds) {
  auto& words = pass.words();
  for (std::size_t w = 0; w < words.size(); ++w) {
    if (words[w] == 0) continue;
    const double* block = values.data() + w * 64;
    std::uint64_t kept = 0;
    if (std::popcount(words[w]) > 24) {
      for (unsigned i = 0; i < 64; ++i) kept |= std::uint64_t{holds(block[i])} << i;
    } else {
      for (std::uint64_t rest = words[w]; rest != 0; rest &= rest - 1) {
        const auto i = static_cast<unsigned>(std::countr_zero(rest));
        kept |= std::uint64_t{holds(block[i])} << i;
      }
    }
    words[w] &= kept;
  }
}

void apply(const Snapshot& snapshot, const CompiledRequest::MetricTerm& term, Bitmap& pass) {
  const std::vector<double>& values = snapshot.column(term.column);
  const double t = term.threshold;
  switch (term.op) {
    case Op::equal:
      return keep_if(values, pass, [t](double v) { return v == t; });
    case Op::not_equal:
      return keep_if(values, pass, [t](double v) { return v < t || v > t; });
    case Op::greater:
      return keep_if(values, pass, [t](double v) { return v > t; });
    case Op::greater_equal:
      return keep_if(values, pass, [t](double v) { return v >= t; });
    case Op::less:
      return keep_if(values, pass, [t](double v) { return v < t; });
    case Op::less_equal:
      return keep_if(values, pass, [t](double v) { return v <= t; });
  }
}

double usable_stickiness(double stickiness) { return std::isfinite(stickiness) && stickiness > 0 ? stickiness : 0; }

class Chooser {
 public:
  Chooser(const Snapshot& snapshot, const Request& request, const Terms& terms)
      : snapshot_(snapshot), request_(request), terms_(terms) {
    if (request_.current) current_ = snapshot_.slot_of(*request_.current);
    for (const auto& [id, penalty] : request_.penalties) {
      if (const auto slot = snapshot_.slot_of(id)) own_.push_back({*slot, penalty});
    }
  }

  Decision run() {
    Decision decision;
    if (request_.current && !request_.migration_allowed) return keep(std::move(decision));
    if (!filter() || !pass_over_back_off()) {
      decision.reason = request_.wording.none;
      return decision;
    }
    const bool fits = current_ && pass_.test(*current_);
    if (fits && scheduled_lately()) return keep(std::move(decision));
    if (pass_.intersects(snapshot_.with_metrics())) pass_ &= snapshot_.with_metrics();
    rank(decision);
    return decision;
  }

 private:
  Decision keep(Decision decision) const {
    decision.outcome = Outcome::stay;
    decision.chosen = request_.current;
    decision.pinned = true;
    if (current_) decision.score = sticky();
    return decision;
  }

  bool filter() {
    if (terms_.impossible) return false;
    pass_ = snapshot_.eligible();
    for (const auto id : terms_.all_of) pass_ &= snapshot_.bitmap(id);
    for (const auto& term : terms_.labels) apply(snapshot_, term, pass_);
    for (const auto& term : terms_.metrics) apply(snapshot_, term, pass_);
    return pass_.any();
  }

  // Always true: the last resort is to try again where it failed.
  bool pass_over_back_off() {
    if (snapshot_.penalised().empty() && own_.empty()) return true;
    Bitmap open = pass_;
    for (const Slot slot : snapshot_.penalised()) {
      if (slot != current_ && snapshot_.at(slot).penalty.back_off_until > request_.now) open.reset(slot);
    }
    for (const auto& [slot, penalty] : own_) {
      if (penalty.back_off_until > request_.now) open.reset(slot);
    }
    if (open.any()) pass_ = std::move(open);
    return true;
  }

  bool scheduled_lately() const {
    return request_.scheduled_at && request_.now - *request_.scheduled_at < request_.reschedule_after;
  }

  double sticky() const { return snapshot_.sticky_score(*current_, usable_stickiness(request_.stickiness)); }

  void rank(Decision& decision) const {
    Bitmap others = pass_;
    const bool competes = current_ && pass_.test(*current_);
    if (competes) others.reset(*current_);
    const auto best = first(others);
    if (competes && (!best || sticky() >= snapshot_.score(*best))) {
      decision.outcome = Outcome::stay;
      decision.chosen = request_.current;
      decision.score = sticky();
      if (best) decision.margin = decision.score - snapshot_.score(*best);
      return;
    }
    const Slot chosen = least_failed(others, *best);
    decision.outcome = request_.current ? Outcome::move : Outcome::place;
    decision.chosen = snapshot_.at(chosen).id;
    decision.score = snapshot_.score(chosen);
    others.reset(chosen);
    const auto next = first(others);
    if (!next && !competes) return;
    const double lowest = -std::numeric_limits<double>::infinity();
    decision.margin = decision.score - std::max(next ? snapshot_.score(*next) : lowest, competes ? sticky() : lowest);
  }

  // The best-ranked member. Few members: the lowest rank among them; many: one comes soon in the order.
  std::optional<Slot> first(const Bitmap& set) const {
    const std::size_t members = set.count();
    if (members == 0) return std::nullopt;
    if (members * members >= snapshot_.order().size()) {
      for (const Slot slot : snapshot_.order()) {
        if (set.test(slot)) return slot;
      }
    }
    std::uint32_t lowest = std::numeric_limits<std::uint32_t>::max();
    set.each([&](std::size_t slot) { lowest = std::min(lowest, snapshot_.rank(static_cast<Slot>(slot))); });
    return snapshot_.order()[lowest];
  }

  int failures(Slot slot) const {
    int total = snapshot_.at(slot).penalty.failures;
    for (const auto& [own, penalty] : own_) {
      if (own == slot) total += penalty.failures;
    }
    return total;
  }

  // Among those that score like `best` in `set`, with this application's own failures counted.
  Slot least_failed(const Bitmap& set, Slot best) const {
    if (own_.empty()) return best;
    Slot chosen = best;
    const auto& order = snapshot_.order();
    for (std::size_t i = snapshot_.rank(best) + std::size_t{1}; i < order.size(); ++i) {
      const Slot slot = order[i];
      if (snapshot_.score(slot) != snapshot_.score(best)) break;
      if (!set.test(slot)) continue;
      const Candidate& a = snapshot_.at(slot);
      const Candidate& b = snapshot_.at(chosen);
      if (std::tuple(failures(slot), a.application_count, std::string_view(a.id)) <
          std::tuple(failures(chosen), b.application_count, std::string_view(b.id))) {
        chosen = slot;
      }
    }
    return chosen;
  }

  const Snapshot& snapshot_;
  const Request& request_;
  const Terms& terms_;
  std::optional<Slot> current_;
  std::vector<std::pair<Slot, Penalty>> own_;
  Bitmap pass_;
};

}  // namespace

std::string_view to_string(Outcome outcome) {
  switch (outcome) {
    case Outcome::place:
      return "place";
    case Outcome::stay:
      return "stay";
    case Outcome::move:
      return "move";
    case Outcome::none:
      return "none";
  }
  return "";
}

CompiledRequest::CompiledRequest(const Snapshot& snapshot, Request request)
    : request_(std::move(request)), layout_(snapshot.layout()), terms_(resolve(snapshot, request_)) {}

CompiledRequest::Terms CompiledRequest::resolve(const Snapshot& snapshot, const Request& request) {
  Terms terms;
  const auto require = [&](std::optional<Snapshot::BitmapId> id) {
    if (id) {
      terms.all_of.push_back(*id);
    } else {
      terms.impossible = true;
    }
  };
  if (request.scope) require(snapshot.ns(*request.scope));
  for (const auto& constraint : request.labels) {
    if (!add_label(snapshot, constraint, terms)) terms.impossible = true;
  }
  for (const auto& name : request.custom_resources) require(snapshot.custom_resource(name));
  for (const auto& constraint : request.metrics) {
    const auto column = snapshot.metric(constraint.key);
    if (column && constraint.threshold) {
      terms.metrics.push_back({constraint.op, *constraint.threshold, *column});
    } else {
      terms.impossible = true;
    }
  }
  return terms;
}

Decision choose(const Snapshot& snapshot, const CompiledRequest& compiled, Explain explain) {
  Decision decision;
  if (compiled.layout() == snapshot.layout()) {
    decision = Chooser(snapshot, compiled.request(), compiled.terms()).run();
  } else {
    const Terms terms = CompiledRequest::resolve(snapshot, compiled.request());
    decision = Chooser(snapshot, compiled.request(), terms).run();
  }
  if (explain == Explain::yes) add_explanation(snapshot, compiled.request(), decision);
  return decision;
}

Decision choose(const Snapshot& snapshot, const Request& request, Explain explain) {
  const Terms terms = CompiledRequest::resolve(snapshot, request);
  Decision decision = Chooser(snapshot, request, terms).run();
  if (explain == Explain::yes) add_explanation(snapshot, request, decision);
  return decision;
}

bool cloud_wins(const Decision& clusters, const Decision& clouds) {
  if (clouds.outcome == Outcome::none || clusters.pinned) return false;
  return clusters.outcome == Outcome::none || clouds.score > clusters.score;
}

}  // namespace krake::placement
