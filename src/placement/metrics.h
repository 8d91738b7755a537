// What a candidate is measured by: normalization (control-plane-contract 4.1) and inheritance from the cloud (3.5).
// Pure.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "expr/constraint.h"

namespace krake::placement {

// The reason code of every error of `normalize`.
inline constexpr std::string_view kInvalidMetric = "INVALID_METRIC";

// (value - min) / (max - min), 0 to 1. Error (invalid_object): not a finite number, out of range, not among
// `allowed_values` (when any are given), or a range without extent.
Result<double> normalize(double value, double min, double max, std::span<const std::int64_t> allowed_values = {});

using LabelList = std::vector<std::pair<std::string, std::string>>;

struct MetricRef {
  std::string name;
  double weight = 1;
  bool namespaced = false;  // an inherited one is looked up in the cluster's namespace

  bool operator==(const MetricRef&) const = default;
};

// What a cluster takes over from its cloud. Constraints are those of the cluster on its cloud; what they name is taken
// over even when not everything is.
struct Inheritance {
  bool all_labels = false;
  bool all_metrics = false;
  std::span<const expr::LabelConstraint> label_constraints;
  std::span<const expr::MetricConstraint> metric_constraints;
};

struct Traits {
  LabelList labels;  // sorted by key, unique
  std::vector<MetricRef> metrics;

  bool operator==(const Traits&) const = default;
};

// On equal label keys the cloud's value wins; the cloud's metrics come after the cluster's own, identical ones once.
Traits inherit(const Traits& cluster, const Traits& cloud, const Inheritance& rule);

}  // namespace krake::placement
