#include "expr/constraint.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/names.h"

namespace krake::expr {
namespace {

// Tries alternatives against one text; each attempt starts at a saved position, so backtracking is a plain copy.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  // A keyword or operator. It need not be followed by a blank: `location isDE`.
  bool token(std::string_view word) {
    skip(" \t");
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }
  bool tokens(std::initializer_list<std::string_view> words) {
    return std::ranges::all_of(words, [&](std::string_view word) { return token(word); });
  }
  // KEY or VALUE: as long as possible. Tabs belong to it and make it invalid later.
  bool word(std::string& out) {
    skip(" ");
    const std::size_t length = std::min(rest_.find_first_of(" ,()=!"), rest_.size());
    if (length == 0) return false;
    out.assign(rest_.substr(0, length));
    rest_.remove_prefix(length);
    return true;
  }
  bool at_end() {
    skip(" \t");
    return rest_.empty();
  }

 private:
  void skip(std::string_view blanks) { rest_.remove_prefix(std::min(rest_.find_first_not_of(blanks), rest_.size())); }

  std::string_view rest_;
};

template <class Op>
struct Spelling {
  Op op;
  std::initializer_list<std::string_view> words;
};

// The first spelling that is followed by one value and nothing else. Order matters: `x is not` is equality with `not`,
// `x =>5` equality with `>5`.
template <class Op>
bool parse_one_value(Scanner start, std::span<const Spelling<Op>> spellings, Op& op, std::string& value) {
  for (const auto& spelling : spellings) {
    Scanner scanner = start;
    if (!scanner.tokens(spelling.words) || !scanner.word(value) || !scanner.at_end()) continue;
    op = spelling.op;
    return true;
  }
  return false;
}

bool parse_list(Scanner scanner, std::vector<std::string>& values) {
  std::string value;
  if (!scanner.token("(") || !scanner.word(value)) return false;
  values.assign(1, value);
  bool open = true;  // another value may follow: a comma was seen and no second one after it
  while (scanner.token(",")) {
    if (open && scanner.word(value)) {
      values.push_back(value);
    } else {
      open = false;
    }
  }
  return scanner.token(")") && scanner.at_end();
}

std::optional<std::string> check_parts(std::string_view key, std::span<const std::string> values) {
  if (auto message = check_label_key(key)) return message;
  for (const std::string& value : values) {
    if (auto message = check_label_value(value)) return message;
  }
  return std::nullopt;
}

// As Python's float() reads what the label alphabet allows; digits may be grouped by single underscores.
std::optional<double> as_number(std::string_view text) {
  const auto is_digit = [&](std::size_t i) { return i < text.size() && text[i] >= '0' && text[i] <= '9'; };
  std::string digits;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      digits += text[i];
    } else if (i == 0 || !is_digit(i - 1) || !is_digit(i + 1)) {
      return std::nullopt;
    }
  }
  double value = 0;
  const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (ec != std::errc() || end != digits.data() + digits.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

}  // namespace

Result<LabelConstraint> parse_label_constraint(std::string_view text) {
  using Op = LabelConstraint::Op;
  static const std::array<Spelling<Op>, 5> kSpellings{{{Op::equal, {"=="}},
                                                       {Op::equal, {"="}},
                                                       {Op::equal, {"is"}},
                                                       {Op::not_equal, {"!="}},
                                                       {Op::not_equal, {"is", "not"}}}};
  LabelConstraint constraint;
  constraint.text = text;
  Scanner scanner(text);
  bool parsed = scanner.word(constraint.key);
  if (parsed) {
    Scanner in = scanner;
    Scanner not_in = scanner;
    std::string value;
    if (parse_one_value<Op>(scanner, kSpellings, constraint.op, value)) {
      constraint.values.assign(1, value);
    } else if (in.token("in") && parse_list(in, constraint.values)) {
      constraint.op = Op::in;
    } else if (not_in.tokens({"not", "in"}) && parse_list(not_in, constraint.values)) {
      constraint.op = Op::not_in;
    } else {
      parsed = false;
    }
  }
  if (!parsed) return fail(Code::invalid_object, "Invalid label constraint");
  if (auto message = check_parts(constraint.key, constraint.values)) return fail(Code::invalid_object, *message);
  return constraint;
}

std::string canonical(const LabelConstraint& constraint) {
  const std::string_view value = constraint.values.empty() ? std::string_view() : constraint.values.front();
  switch (constraint.op) {
    case LabelConstraint::Op::equal:
      return fmt::format("{} is {}", constraint.key, value);
    case LabelConstraint::Op::not_equal:
      return fmt::format("{} is not {}", constraint.key, value);
    case LabelConstraint::Op::in:
      return fmt::format("{} in ({})", constraint.key, fmt::join(constraint.values, ", "));
    case LabelConstraint::Op::not_in:
      break;
  }
  return fmt::format("{} not in ({})", constraint.key, fmt::join(constraint.values, ", "));
}

namespace {
bool matches_by(const LabelConstraint& constraint, Labels labels, auto has_value) {
  const auto label = std::ranges::find(labels, constraint.key, &std::pair<std::string, std::string>::first);
  if (label == labels.end()) return false;
  const bool wants_found = constraint.op == LabelConstraint::Op::equal || constraint.op == LabelConstraint::Op::in;
  return has_value(constraint.values, label->second) == wants_found;
}
}  // namespace

bool matches(const LabelConstraint& constraint, Labels labels) {
  return matches_by(constraint, labels, [](const auto& values, const std::string& value) {
    return std::ranges::find(values, value) != values.end();
  });
}

LabelMatcher::LabelMatcher(LabelConstraint constraint) : constraint_(std::move(constraint)) {
  std::ranges::sort(constraint_.values);
}

bool LabelMatcher::matches(Labels labels) const {
  return matches_by(constraint_, labels, [](const auto& values, const std::string& value) {
    return std::ranges::binary_search(values, value);
  });
}

Result<MetricConstraint> parse_metric_constraint(std::string_view text) {
  using Op = MetricConstraint::Op;
  // `gte` and `lte` before `gt` and `lt`, so that `gte5` is not read as greater than `e5`.
  static const std::array<Spelling<Op>, 19> kSpellings{{{Op::equal, {"=="}},
                                                        {Op::equal, {"="}},
                                                        {Op::equal, {"is"}},
                                                        {Op::not_equal, {"!="}},
                                                        {Op::not_equal, {"is", "not"}},
                                                        {Op::greater_equal, {"gte"}},
                                                        {Op::greater, {">"}},
                                                        {Op::greater, {"gt"}},
                                                        {Op::greater, {"greater", "than"}},
                                                        {Op::greater_equal, {">="}},
                                                        {Op::greater_equal, {"=>"}},
                                                        {Op::greater_equal, {"greater", "than", "or", "equal"}},
                                                        {Op::less_equal, {"lte"}},
                                                        {Op::less, {"<"}},
                                                        {Op::less, {"lt"}},
                                                        {Op::less, {"lesser", "than"}},
                                                        {Op::less_equal, {"<="}},
                                                        {Op::less_equal, {"=<"}},
                                                        {Op::less_equal, {"lesser", "than", "or", "equal"}}}};
  MetricConstraint constraint;
  constraint.text = text;
  Scanner scanner(text);
  if (!scanner.word(constraint.key) || !parse_one_value<Op>(scanner, kSpellings, constraint.op, constraint.value)) {
    return fail(Code::invalid_object, "Invalid metric constraint");
  }
  if (auto message = check_parts(constraint.key, {&constraint.value, 1})) return fail(Code::invalid_object, *message);
  constraint.threshold = as_number(constraint.value);
  return constraint;
}

std::string canonical(const MetricConstraint& constraint) {
  const auto words = [&]() -> std::string_view {
    switch (constraint.op) {
      case MetricConstraint::Op::equal:
        return "is";
      case MetricConstraint::Op::not_equal:
        return "is not";
      case MetricConstraint::Op::greater:
        return "greater than";
      case MetricConstraint::Op::greater_equal:
        return "greater than or equal";
      case MetricConstraint::Op::less:
        return "lesser than";
      case MetricConstraint::Op::less_equal:
        break;
    }
    return "lesser than or equal";
  }();
  return fmt::format("{} {} {}", constraint.key, words, constraint.value);
}

bool matches(const MetricConstraint& constraint, double value) {
  if (!constraint.threshold || std::isnan(value)) return false;
  const double threshold = *constraint.threshold;
  switch (constraint.op) {
    case MetricConstraint::Op::equal:
      return value == threshold;
    case MetricConstraint::Op::not_equal:
      return value != threshold;
    case MetricConstraint::Op::greater:
      return value > threshold;
    case MetricConstraint::Op::greater_equal:
      return value >= threshold;
    case MetricConstraint::Op::less:
      return value < threshold;
    case MetricConstraint::Op::less_equal:
      break;
  }
  return value <= threshold;
}

}  // namespace krake::expr
