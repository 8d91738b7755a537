// The long way: every candidate judged by its own data, with words. Slow and plain on purpose.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <tuple>
#include <utility>

#include "placement/placement.h"

namespace krake::placement {

namespace {

template <class Constraint>
std::string text_of(const Constraint& constraint) {
  return constraint.text.empty() ? expr::canonical(constraint) : constraint.text;
}

std::string number(double value) { return fmt::format("{:.6g}", value); }

// fmt::format parses its text again for each of a thousand candidates.
std::string joined(std::initializer_list<std::string_view> parts) {
  std::size_t size = 0;
  for (const auto part : parts) size += part.size();
  std::string text;
  text.reserve(size);
  for (const auto part : parts) text += part;
  return text;
}

// By id. Verdicts are large: their places are sorted first.
std::vector<Verdict> sorted(std::vector<Verdict> verdicts) {
  if (std::ranges::is_sorted(verdicts, {}, &Verdict::id)) return verdicts;
  std::vector<Verdict*> places;
  for (Verdict& verdict : verdicts) places.push_back(&verdict);
  std::ranges::sort(places, {}, [](const Verdict* v) -> const std::string& { return v->id; });
  std::vector<Verdict> result;
  result.reserve(places.size());
  for (Verdict* verdict : places) result.push_back(std::move(*verdict));
  return result;
}

struct Refusal {
  Filter filter;
  std::string why;
};

class Judge {
 public:
  Judge(const Snapshot& snapshot, const Request& request) : snapshot_(snapshot), request_(request) {
    for (const auto& constraint : request.labels) label_texts_.push_back(text_of(constraint));
    for (const auto& constraint : request.metrics) metric_texts_.push_back(text_of(constraint));
  }

  std::vector<Verdict> verdicts() const {
    std::vector<const Candidate*> fitting;
    std::vector<Verdict> refused;
    for (const Candidate* candidate : snapshot_.candidates()) {
      if (request_.scope && namespace_of(candidate->id) != *request_.scope) continue;
      if (auto refusal = refuse(*candidate)) {
        refused.push_back({candidate->id, refusal->filter, std::nullopt, std::move(refusal->why)});
      } else {
        fitting.push_back(candidate);
      }
    }
    split(fitting, refused, [&](const Candidate& c) { return back_off(c); });
    split(fitting, refused, [&](const Candidate& c) { return lacks_metrics(c); });
    std::vector<Verdict> result = ranked(fitting);
    refused = sorted(std::move(refused));
    result.insert(result.end(), std::make_move_iterator(refused.begin()), std::make_move_iterator(refused.end()));
    return result;
  }

 private:
  std::vector<Verdict> ranked(const std::vector<const Candidate*>& fitting) const {
    struct Row {
      double score;
      bool elsewhere;
      int failures;
      std::uint32_t applications;
      std::string_view id;
      Verdict verdict;
    };
    std::vector<Row> rows;
    for (const Candidate* c : fitting) {
      Verdict verdict = score(*c);
      const double score = *verdict.score;
      rows.push_back({score, !is_current(c->id), failures(*c), c->application_count, c->id, std::move(verdict)});
    }
    std::ranges::sort(rows, [](const Row& a, const Row& b) {
      return std::tie(b.score, a.elsewhere, a.failures, a.applications, a.id) <
             std::tie(a.score, b.elsewhere, b.failures, b.applications, b.id);
    });
    std::vector<Verdict> result;
    for (Row& row : rows) result.push_back(std::move(row.verdict));
    return result;
  }

  int failures(const Candidate& candidate) const {
    int total = candidate.penalty.failures;
    for (const auto& [id, penalty] : request_.penalties) {
      if (id == candidate.id) total += penalty.failures;
    }
    return total;
  }

  bool is_current(std::string_view id) const { return request_.current && *request_.current == id; }

  // Moves whom `objection` names to the refused, unless it names everybody.
  template <class Objection>
  static void split(std::vector<const Candidate*>& fitting, std::vector<Verdict>& refused, Objection objection) {
    const auto is_free = [&](const Candidate* c) { return !objection(*c); };
    if (std::ranges::none_of(fitting, is_free)) return;
    std::vector<const Candidate*> rest;
    for (const Candidate* candidate : fitting) {
      if (auto refusal = objection(*candidate)) {
        refused.push_back({candidate->id, refusal->filter, std::nullopt, std::move(refusal->why)});
      } else {
        rest.push_back(candidate);
      }
    }
    fitting = std::move(rest);
  }

  std::optional<Refusal> refuse(const Candidate& candidate) const {
    const std::string& noun = request_.wording.candidate;
    if (candidate.deleted) return Refusal{Filter::deleted, fmt::format("{} is being deleted", noun)};
    if (!candidate.state_online) return Refusal{Filter::offline, fmt::format("{} is not ONLINE", noun)};
    if (snapshot_.excludes_failed_metrics()) {
      for (const Metric& metric : candidate.metrics) {
        if (!has_value(metric)) return Refusal{Filter::metrics_failed, failed(metric)};
      }
    }
    for (std::size_t i = 0; i < request_.labels.size(); ++i) {
      if (!expr::matches(request_.labels[i], candidate.labels)) return Refusal{Filter::label, label(i, candidate)};
    }
    for (const auto& name : request_.custom_resources) {
      if (std::ranges::find(candidate.custom_resources, name) == candidate.custom_resources.end()) {
        return Refusal{Filter::custom_resource, fmt::format("custom resource {}: {} does not offer it", name, noun)};
      }
    }
    for (std::size_t i = 0; i < request_.metrics.size(); ++i) {
      if (auto why = metric_problem(i, candidate)) return Refusal{Filter::metric, std::move(*why)};
    }
    return std::nullopt;
  }

  static bool has_value(const Metric& metric) {
    return metric.normalized_value && std::isfinite(*metric.normalized_value) && std::isfinite(metric.weight);
  }

  static std::string failed(const Metric& metric) {
    if (!metric.failure.empty()) return fmt::format("metric {} failed: {}", metric.name, metric.failure);
    return fmt::format("metric {} has no usable value or weight", metric.name);
  }

  std::string label(std::size_t index, const Candidate& candidate) const {
    const auto& constraint = request_.labels[index];
    const auto& text = label_texts_[index];
    const auto it = std::ranges::find(candidate.labels, constraint.key, &LabelList::value_type::first);
    const std::string& noun = request_.wording.candidate;
    if (it == candidate.labels.end()) {
      return joined({"label ", text, ": ", noun, " has no label ", constraint.key});
    }
    return joined({"label ", text, ": ", noun, " has ", it->first, "=", it->second});
  }

  std::optional<std::string> metric_problem(std::size_t index, const Candidate& candidate) const {
    const auto& constraint = request_.metrics[index];
    const std::string& text = metric_texts_[index];
    const std::string& noun = request_.wording.candidate;
    if (!constraint.threshold) return fmt::format("metric {}: '{}' is not a number", text, constraint.value);
    const Metric* named = nullptr;
    for (const Metric& metric : candidate.metrics) {
      if (metric.name != constraint.key) continue;
      named = &metric;
      if (has_value(metric)) break;
    }
    if (named == nullptr) return fmt::format("metric {}: {} has no metric {}", text, noun, constraint.key);
    if (!has_value(*named)) return fmt::format("metric {}: {}", text, failed(*named));
    const double weighted = named->weight * *named->normalized_value;
    if (expr::matches(constraint, weighted)) return std::nullopt;
    return joined({"metric ", text, ": ", noun, " has ", named->name, "=", number(weighted), " (weight ",
                   number(named->weight), " x value ", number(*named->normalized_value), ")"});
  }

  std::optional<Refusal> back_off(const Candidate& candidate) const {
    Wall until{};
    if (!is_current(candidate.id)) until = candidate.penalty.back_off_until;
    for (const auto& [id, penalty] : request_.penalties) {
      if (id == candidate.id) until = std::max(until, penalty.back_off_until);
    }
    if (until <= request_.now) return std::nullopt;
    const auto left = std::chrono::ceil<std::chrono::seconds>(until - request_.now).count();
    return Refusal{Filter::back_off, fmt::format("{} failed lately (failures: {}), passed over for another {} s",
                                                 request_.wording.candidate, failures(candidate), left)};
  }

  static bool measured(const Candidate& candidate) {
    return !candidate.metrics.empty() && std::ranges::all_of(candidate.metrics, has_value);
  }

  std::optional<Refusal> lacks_metrics(const Candidate& candidate) const {
    if (measured(candidate)) return std::nullopt;
    return Refusal{Filter::without_metrics, fmt::format("{} has no metrics, others have", request_.wording.candidate)};
  }

  Verdict score(const Candidate& candidate) const {
    const auto slot = *snapshot_.slot_of(candidate.id);
    const bool current = is_current(candidate.id);
    const double stickiness = std::isfinite(request_.stickiness) && request_.stickiness > 0 ? request_.stickiness : 0;
    const double score = current ? snapshot_.sticky_score(slot, stickiness) : snapshot_.score(slot);
    const std::size_t count = candidate.metrics.size();
    std::string why = fmt::format("score {}", number(score));
    why += measured(candidate) ? fmt::format(" from {} metric{}", count, count == 1 ? "" : "s") : " without metrics";
    if (current) why += fmt::format(", current place (stickiness {})", number(stickiness));
    return {candidate.id, Filter::passed, score, std::move(why)};
  }

  const Snapshot& snapshot_;
  const Request& request_;
  std::vector<std::string> label_texts_;  // as the user wrote them
  std::vector<std::string> metric_texts_;
};

std::string against(const Decision& decision) {
  std::string text = fmt::format("score {}", number(decision.score));
  if (decision.margin) text += fmt::format(", {} ahead of the next", number(*decision.margin));
  return text;
}

// The request may be a later one than that of the decision.
std::string why_left(const Decision& decision, const Request& request) {
  if (!request.current) return "it had another place";
  const auto it = std::ranges::find(decision.verdicts, *request.current, &Verdict::id);
  if (it == decision.verdicts.end()) return fmt::format("{} no longer exists", *request.current);
  if (it->filter == Filter::passed) return fmt::format("{}: {}", *request.current, it->why);
  return fmt::format("{} no longer fits: {}", *request.current, it->why);
}

std::string reason(const Decision& decision, const Request& request) {
  switch (decision.outcome) {
    case Outcome::none:
      return request.wording.none;
    case Outcome::place:
      return fmt::format("placed on {}: {}", *decision.chosen, against(decision));
    case Outcome::move:
      return fmt::format("moves to {}: {}; {}", *decision.chosen, against(decision), why_left(decision, request));
    case Outcome::stay:
      break;
  }
  if (!request.migration_allowed) return fmt::format("stays on {}: migration is not allowed", *decision.chosen);
  if (!decision.pinned || !request.scheduled_at)
    return fmt::format("stays on {}: {}", *decision.chosen, against(decision));
  const auto ago = std::chrono::floor<std::chrono::seconds>(request.now - *request.scheduled_at).count();
  const auto least = std::chrono::duration<double>(request.reschedule_after).count();
  return fmt::format("stays on {}: scheduled {} s ago, reconsidered after {} s", *decision.chosen, ago, number(least));
}

}  // namespace

std::string_view to_string(Filter filter) {
  switch (filter) {
    case Filter::passed:
      return "passed";
    case Filter::deleted:
      return "deleted";
    case Filter::offline:
      return "offline";
    case Filter::metrics_failed:
      return "metrics_failed";
    case Filter::label:
      return "label";
    case Filter::custom_resource:
      return "custom_resource";
    case Filter::metric:
      return "metric";
    case Filter::back_off:
      return "back_off";
    case Filter::without_metrics:
      return "without_metrics";
  }
  return "";
}

bool has_traits(const Candidate& candidate, const Request& request) {
  if (request.scope && *request.scope != namespace_of(candidate.id)) return false;
  return std::ranges::all_of(request.labels,
                             [&](const auto& label) { return expr::matches(label, candidate.labels); }) &&
         std::ranges::all_of(request.custom_resources, [&](const auto& name) {
           return std::ranges::find(candidate.custom_resources, name) != candidate.custom_resources.end();
         });
}

bool breaks_metric(const Candidate& candidate, const Request& request) {
  return std::ranges::any_of(request.metrics, [&](const auto& constraint) {
    const auto metric = std::ranges::find_if(candidate.metrics, [&](const Metric& named) {
      return named.name == constraint.key && named.normalized_value && std::isfinite(*named.normalized_value);
    });
    return metric != candidate.metrics.end() && constraint.threshold &&
           !expr::matches(constraint, metric->weight * *metric->normalized_value);
  });
}

bool awaits_metrics(const Candidate& candidate) {
  const auto lacks = [](const Metric& metric) {
    return !metric.normalized_value || !std::isfinite(*metric.normalized_value) || !std::isfinite(metric.weight);
  };
  return std::ranges::any_of(candidate.metrics, &Metric::pending) &&
         std::ranges::all_of(candidate.metrics, [&](const Metric& m) { return m.pending || !lacks(m); });
}

void add_explanation(const Snapshot& snapshot, const Request& request, Decision& decision) {
  decision.verdicts = Judge(snapshot, request).verdicts();
  decision.reason = reason(decision, request);
}

}  // namespace krake::placement
