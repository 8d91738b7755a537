// The constraint language (api-contract 2.5): label constraints and metric constraints, as text and as values. Pure.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace krake::expr {

using Labels = std::span<const std::pair<std::string, std::string>>;

struct LabelConstraint {
  enum class Op { equal, not_equal, in, not_in };
  Op op = Op::equal;
  std::string key;
  std::vector<std::string> values;  // exactly one for equal / not_equal; in order
  std::string text;                 // as given; not part of equality

  friend bool operator==(const LabelConstraint& a, const LabelConstraint& b) {
    return a.op == b.op && a.key == b.key && a.values == b.values;
  }
};
// Error: invalid_object with the message of 2.5.1 (`Invalid label constraint`, or that of the bad key or value).
Result<LabelConstraint> parse_label_constraint(std::string_view text);
std::string canonical(const LabelConstraint& constraint);  // 2.5.2
// A key that is absent never matches, whatever the operator (2.5.3).
bool matches(const LabelConstraint& constraint, Labels labels);
// The same answers where one constraint, with thousands of values perhaps, is put to many sets of labels.
class LabelMatcher {
 public:
  explicit LabelMatcher(LabelConstraint constraint);
  bool matches(Labels labels) const;

 private:
  LabelConstraint constraint_;  // with its values sorted
};

struct MetricConstraint {
  enum class Op { equal, not_equal, greater, greater_equal, less, less_equal };
  Op op = Op::equal;
  std::string key;
  std::string value;
  std::optional<double> threshold;  // `value` as a number; a constraint without never matches
  std::string text;

  friend bool operator==(const MetricConstraint& a, const MetricConstraint& b) {
    return a.op == b.op && a.key == b.key && a.value == b.value;
  }
};
Result<MetricConstraint> parse_metric_constraint(std::string_view text);
std::string canonical(const MetricConstraint& constraint);
bool matches(const MetricConstraint& constraint, double value);

}  // namespace krake::expr
