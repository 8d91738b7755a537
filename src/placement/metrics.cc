#include "placement/metrics.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace krake::placement {

Result<double> normalize(double value, double min, double max, std::span<const std::int64_t> allowed_values) {
  if (!std::isfinite(value)) return fail(Code::invalid_object, fmt::format("value {} is not a finite number", value));
  if (!std::isfinite(min) || !std::isfinite(max)) {
    return fail(Code::invalid_object, fmt::format("range {} to {} is not finite; correct min and max", min, max));
  }
  if (min > max) {
    return fail(Code::invalid_object, fmt::format("min {} is above max {}; correct the metric", min, max));
  }
  if (value < min || value > max) {
    return fail(Code::invalid_object, fmt::format("value {} is outside {} to {}", value, min, max));
  }
  const auto is_value = [&](std::int64_t allowed) { return static_cast<double>(allowed) == value; };
  if (!allowed_values.empty() && std::ranges::none_of(allowed_values, is_value)) {
    const auto shown = allowed_values.first(std::min<std::size_t>(allowed_values.size(), 10));
    return fail(Code::invalid_object, fmt::format("value {} is not among the allowed values {}{}", value,
                                                  fmt::join(shown, ", "), allowed_values.size() > 10 ? ", ..." : ""));
  }
  if (min == max) {
    return fail(Code::invalid_object, fmt::format("min and max are both {}: nothing to compare; widen the range", min));
  }
  // Halves: max - min of two huge numbers would overflow.
  return std::clamp((value / 2 - min / 2) / (max / 2 - min / 2), 0.0, 1.0);
}

Traits inherit(const Traits& cluster, const Traits& cloud, const Inheritance& rule) {
  const auto wants_label = [&](const std::string& key) {
    return rule.all_labels ||
           std::ranges::find(rule.label_constraints, key, &expr::LabelConstraint::key) != rule.label_constraints.end();
  };
  const auto wants_metric = [&](const std::string& name) {
    return rule.all_metrics || std::ranges::find(rule.metric_constraints, name, &expr::MetricConstraint::key) !=
                                   rule.metric_constraints.end();
  };
  std::map<std::string, std::string> labels;
  for (const auto& [key, value] : cluster.labels) labels[key] = value;
  for (const auto& [key, value] : cloud.labels) {
    if (wants_label(key)) labels[key] = value;
  }
  Traits result{{labels.begin(), labels.end()}, cluster.metrics};
  for (const MetricRef& metric : cloud.metrics) {
    if (wants_metric(metric.name) && std::ranges::find(result.metrics, metric) == result.metrics.end()) {
      result.metrics.push_back(metric);
    }
  }
  return result;
}

}  // namespace krake::placement
