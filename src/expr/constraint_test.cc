#include "expr/constraint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random.h"

namespace krake::expr {
namespace {

using LabelOp = LabelConstraint::Op;
using MetricOp = MetricConstraint::Op;
using Pairs = std::vector<std::pair<std::string, std::string>>;
using testing::StartsWith;

TEST(LabelConstraint, ParsesEveryAcceptedRowOfTheContract) {
  struct Row {
    std::string_view text;
    LabelOp op;
    std::vector<std::string> values;
  };
  const std::vector<Row> rows{
      {"location is DE", LabelOp::equal, {"DE"}},
      {"location = DE", LabelOp::equal, {"DE"}},
      {"location==DE", LabelOp::equal, {"DE"}},
      {"location isDE", LabelOp::equal, {"DE"}},
      {"  location  ==  DE ", LabelOp::equal, {"DE"}},
      {"location != DE", LabelOp::not_equal, {"DE"}},
      {"location!=DE", LabelOp::not_equal, {"DE"}},
      {"location is not DE", LabelOp::not_equal, {"DE"}},
      {"location isnot DE", LabelOp::not_equal, {"DE"}},
      {"location is not", LabelOp::equal, {"not"}},
      {"location is notDE", LabelOp::equal, {"notDE"}},
      {"location in (DE, SK)", LabelOp::in, {"DE", "SK"}},
      {"location in(DE,SK,)", LabelOp::in, {"DE", "SK"}},
      {"location in (DE,,)", LabelOp::in, {"DE"}},
      {"location in (DE)", LabelOp::in, {"DE"}},
      {"location not in (DE)", LabelOp::not_in, {"DE"}},
      {"location notin (DE)", LabelOp::not_in, {"DE"}},
      {"location not in (DE , SK , , )", LabelOp::not_in, {"DE", "SK"}},
  };
  for (const Row& row : rows) {
    const auto parsed = parse_label_constraint(row.text);
    ASSERT_TRUE(parsed) << row.text << ": " << parsed.error().message;
    EXPECT_EQ(parsed->op, row.op) << row.text;
    EXPECT_EQ(parsed->key, "location") << row.text;
    EXPECT_EQ(parsed->values, row.values) << row.text;
    EXPECT_EQ(parsed->text, row.text);
  }
}

TEST(LabelConstraint, RefusesEveryInvalidRowOfTheContract) {
  for (std::string_view text : {"location in ()",
                                "location in (,DE)",
                                "location in (DE SK)",
                                "location in (DE,,SK)",
                                "locationin(DE)",
                                "location",
                                "location is",
                                "location === DE",
                                "location IS DE",
                                "a location = DE",
                                "location == (DE, SK)",
                                "location in (DE",
                                "location in DE",
                                "location in (DE) x",
                                "location is not DE SK",
                                "location ! = DE",
                                "",
                                "   ",
                                "= DE",
                                "location > 5",
                                "(location) is DE"}) {
    const auto parsed = parse_label_constraint(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error(), (Error{Code::invalid_object, "Invalid label constraint"})) << text;
  }
}

TEST(LabelConstraint, BadKeysAndValuesGetTheLabelMessages) {
  EXPECT_THAT(parse_label_constraint("-k is v").error().message, StartsWith("Label key '-k' does not match the regex"));
  EXPECT_THAT(parse_label_constraint("k is v.").error().message,
              StartsWith("Label value 'v.' does not match the regex"));
  EXPECT_THAT(parse_label_constraint("k in (a, b/c)").error().message,
              StartsWith("Label value 'b/c' does not match the regex"));
  EXPECT_THAT(parse_label_constraint("k is\tv").error().message, StartsWith("Label value '\tv' does not match"));
  EXPECT_FALSE(parse_label_constraint("k\tis v"));
}

TEST(LabelConstraint, TextIsNotPartOfEquality) {
  EXPECT_EQ(*parse_label_constraint("x is y"), *parse_label_constraint("x =y"));
  EXPECT_NE(*parse_label_constraint("x in (a,b)"), *parse_label_constraint("x in (b,a)"));
  EXPECT_NE(*parse_label_constraint("x in (a)"), *parse_label_constraint("x is a"));
}

TEST(LabelConstraint, AnAbsentKeyNeverMatches) {
  const Pairs labels{{"location", "DE"}};
  for (std::string_view text : {"other is DE", "other is not DE", "other in (DE)", "other not in (DE)"}) {
    EXPECT_FALSE(matches(*parse_label_constraint(text), labels)) << text;
  }
}

TEST(LabelConstraint, MatchesByTextOfTheValue) {
  const Pairs labels{{"a", "1"}, {"location", "DE"}};
  const std::vector<std::pair<std::string_view, bool>> rows{{"location is DE", true},
                                                            {"location is SK", false},
                                                            {"location is not DE", false},
                                                            {"location is not SK", true},
                                                            {"location in (SK, DE)", true},
                                                            {"location in (SK)", false},
                                                            {"location not in (SK, DE)", false},
                                                            {"location not in (SK, CZ)", true},
                                                            {"a is 1", true},
                                                            {"a is 01", false}};
  for (const auto& [text, expected] : rows) {
    const auto constraint = *parse_label_constraint(text);
    EXPECT_EQ(matches(constraint, labels), expected) << text;
    EXPECT_EQ(LabelMatcher(constraint).matches(labels), expected) << text;
    EXPECT_FALSE(LabelMatcher(constraint).matches({})) << text;
  }
}

// Value by value, this would be some 10^11 comparisons.
TEST(LabelConstraint, ManyValuesForManyLabelsTakeNoTime) {
  constexpr int kMany = 200'000;
  LabelConstraint constraint{.op = LabelConstraint::Op::in, .key = "k", .values = {}, .text = {}};
  for (int i = kMany; i > 0; --i) constraint.values.push_back(std::to_string(i));
  const LabelMatcher matcher(constraint);
  for (int i = 1; i <= kMany; ++i) EXPECT_TRUE(matcher.matches(Pairs{{"k", std::to_string(i)}}));
  for (int i = 1; i <= kMany; ++i) EXPECT_FALSE(matcher.matches(Pairs{{"k", std::to_string(-i)}}));
}

TEST(MetricConstraint, ParsesEveryAcceptedRowOfTheContract) {
  const std::vector<std::tuple<std::string_view, MetricOp, std::string_view>> rows{
      {"load is 5", MetricOp::equal, "5"},
      {"load=5", MetricOp::equal, "5"},
      {"load == 5", MetricOp::equal, "5"},
      {"load != 5", MetricOp::not_equal, "5"},
      {"load is not 5", MetricOp::not_equal, "5"},
      {"load > 5", MetricOp::greater, "5"},
      {"load >5", MetricOp::greater, "5"},
      {"load gt 5", MetricOp::greater, "5"},
      {"load gt5", MetricOp::greater, "5"},
      {"load greater than 5", MetricOp::greater, "5"},
      {"load >= 5", MetricOp::greater_equal, "5"},
      {"load >=5", MetricOp::greater_equal, "5"},
      {"load => 5", MetricOp::greater_equal, "5"},
      {"load gte 5", MetricOp::greater_equal, "5"},
      {"load gte5", MetricOp::greater_equal, "5"},
      {"load greater than or equal 5", MetricOp::greater_equal, "5"},
      {"load < 0.5", MetricOp::less, "0.5"},
      {"load lt 5", MetricOp::less, "5"},
      {"load lesser than 5", MetricOp::less, "5"},
      {"load <= 5", MetricOp::less_equal, "5"},
      {"load =< 5", MetricOp::less_equal, "5"},
      {"load lte 5", MetricOp::less_equal, "5"},
      {"load lesser than or equal 5", MetricOp::less_equal, "5"},
      {"load is abc", MetricOp::equal, "abc"},
      {"load greater than or", MetricOp::greater, "or"},
  };
  for (const auto& [text, op, value] : rows) {
    const auto parsed = parse_metric_constraint(text);
    ASSERT_TRUE(parsed) << text << ": " << parsed.error().message;
    EXPECT_EQ(parsed->op, op) << text;
    EXPECT_EQ(parsed->key, "load") << text;
    EXPECT_EQ(parsed->value, value) << text;
  }
}

TEST(MetricConstraint, RefusesEveryInvalidRowOfTheContract) {
  for (std::string_view text :
       {"load>5", "load> 5", "load is greater than 5", "load greater than or equal to 5", "load less than 5", "load",
        "load >", "load in (1)", "load > (5)", "load GT 5", "load > -5 x", ""}) {
    const auto parsed = parse_metric_constraint(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error(), (Error{Code::invalid_object, "Invalid metric constraint"})) << text;
  }
  EXPECT_THAT(parse_metric_constraint("load =>5").error().message, StartsWith("Label value '>5' does not match"));
  EXPECT_THAT(parse_metric_constraint("load > -5").error().message, StartsWith("Label value '-5' does not match"));
  EXPECT_THAT(parse_metric_constraint("load> = 5").error().message, StartsWith("Label key 'load>' does not match"));
}

TEST(MetricConstraint, ReadsTheThresholdAsANumber) {
  const auto threshold = [](std::string_view value) {
    return parse_metric_constraint(fmt::format("load > {}", value))->threshold;
  };
  EXPECT_EQ(threshold("5"), 5.0);
  EXPECT_EQ(threshold("0.25"), 0.25);
  EXPECT_EQ(threshold("1e3"), 1000.0);
  EXPECT_EQ(threshold("1e-3"), 0.001);
  EXPECT_EQ(threshold("1_000"), 1000.0);
  for (std::string_view bad : {"abc", "5x", "1__0", "_1", "1_", "nan", "inf", "0x10", "1e999"}) {
    EXPECT_EQ(threshold(bad), std::nullopt) << bad;
  }
}

TEST(MetricConstraint, ComparesAsNumbers) {
  const std::vector<std::tuple<std::string_view, double, bool>> rows{
      {"m is 5", 5.0, true},    {"m is 5", 5.1, false},   {"m != 5", 5.0, false}, {"m != 5", 4.0, true},
      {"m > 5", 5.0, false},    {"m > 5", 6.0, true},     {"m >= 5", 5.0, true},  {"m >= 5", 4.9, false},
      {"m < 5", 5.0, false},    {"m < 5", 4.9, true},     {"m <= 5", 5.0, true},  {"m <= 5", 5.1, false},
      {"m is abc", 5.0, false}, {"m != abc", 5.0, false}, {"m > 10", 9.0, false},
  };
  for (const auto& [text, value, expected] : rows) {
    EXPECT_EQ(matches(*parse_metric_constraint(text), value), expected) << text << " for " << value;
  }
  EXPECT_FALSE(matches(*parse_metric_constraint("m != 5"), std::nan("")));
}

std::string random_word(Random& random) {
  static constexpr std::array<std::string_view, 10> kWords{"is",  "not",  "in",       "or",      "equal",
                                                           "gte", "than", "orequal5", "greater", "lt"};
  if (random.chance(0.4)) return std::string(kWords[random.below(kWords.size())]);
  static constexpr std::string_view kEnds = "abzAZ09_";
  static constexpr std::string_view kInside = "abzAZ09_.-";
  std::string word(1, kEnds[random.below(kEnds.size())]);
  for (std::uint64_t n = random.below(5); n > 0; --n) word += kInside[random.below(kInside.size())];
  return word + kEnds[random.below(kEnds.size())];
}

TEST(Constraints, CanonicalTextParsesToTheSameConstraint) {
  Random random(7);
  for (int i = 0; i < 5000; ++i) {
    LabelConstraint label;
    label.op = static_cast<LabelOp>(random.below(4));
    label.key = random.chance(0.3) ? random_word(random) + "/" + random_word(random) : random_word(random);
    const bool list = label.op == LabelOp::in || label.op == LabelOp::not_in;
    for (std::uint64_t n = list ? 1 + random.below(3) : 1; n > 0; --n) label.values.push_back(random_word(random));
    const auto parsed_label = parse_label_constraint(canonical(label));
    ASSERT_TRUE(parsed_label) << canonical(label);
    ASSERT_EQ(*parsed_label, label) << canonical(label);

    MetricConstraint metric;
    metric.op = static_cast<MetricOp>(random.below(6));
    metric.key = random_word(random);
    metric.value = random_word(random);
    const auto parsed_metric = parse_metric_constraint(canonical(metric));
    ASSERT_TRUE(parsed_metric) << canonical(metric);
    ASSERT_EQ(*parsed_metric, metric) << canonical(metric);
  }
}

TEST(Constraints, CanonicalTextsAreThoseOfTheContract) {
  EXPECT_EQ(canonical(*parse_label_constraint("a==b")), "a is b");
  EXPECT_EQ(canonical(*parse_label_constraint("a!=b")), "a is not b");
  EXPECT_EQ(canonical(*parse_label_constraint("a in(b,c,)")), "a in (b, c)");
  EXPECT_EQ(canonical(*parse_label_constraint("a notin(b)")), "a not in (b)");
  EXPECT_EQ(canonical(*parse_metric_constraint("a = 1")), "a is 1");
  EXPECT_EQ(canonical(*parse_metric_constraint("a != 1")), "a is not 1");
  EXPECT_EQ(canonical(*parse_metric_constraint("a > 1")), "a greater than 1");
  EXPECT_EQ(canonical(*parse_metric_constraint("a => 1")), "a greater than or equal 1");
  EXPECT_EQ(canonical(*parse_metric_constraint("a lt 1")), "a lesser than 1");
  EXPECT_EQ(canonical(*parse_metric_constraint("a =< 1")), "a lesser than or equal 1");
}

TEST(Constraints, RandomTextNeverBreaksTheParser) {
  Random random(11);
  static constexpr std::string_view kAlphabet = "a (),=!<>\tisnotgte/.-\n";
  for (int i = 0; i < 20000; ++i) {
    std::string text;
    for (std::uint64_t n = random.below(16); n > 0; --n) text += kAlphabet[random.below(kAlphabet.size())];
    if (auto label = parse_label_constraint(text)) EXPECT_EQ(*parse_label_constraint(canonical(*label)), *label);
    if (auto metric = parse_metric_constraint(text)) EXPECT_EQ(*parse_metric_constraint(canonical(*metric)), *metric);
  }
}

}  // namespace
}  // namespace krake::expr
