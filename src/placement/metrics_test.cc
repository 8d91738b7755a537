#include "placement/metrics.h"

#include <gtest/gtest.h>

#include <limits>

namespace krake::placement {
namespace {

constexpr double kHuge = std::numeric_limits<double>::max();
constexpr double kInf = std::numeric_limits<double>::infinity();

struct NormalizeCase {
  double value, min, max;
  std::vector<std::int64_t> allowed;
  std::optional<double> expected;
  std::string error;
};

TEST(Normalize, MapsTheRangeToZeroToOneAndRefusesTheRest) {
  const std::vector<NormalizeCase> cases = {
      {0, 0, 10, {}, 0.0, ""},
      {10, 0, 10, {}, 1.0, ""},
      {5, 0, 10, {}, 0.5, ""},
      {-1, -2, 2, {}, 0.25, ""},
      {3, 0, 4, {1, 3}, 0.75, ""},
      {0, -kHuge, kHuge, {}, 0.5, ""},
      {11, 0, 10, {}, std::nullopt, "value 11 is outside 0 to 10"},
      {-1, 0, 10, {}, std::nullopt, "value -1 is outside 0 to 10"},
      {2, 0, 4, {1, 3}, std::nullopt, "value 2 is not among the allowed values 1, 3"},
      {1.5, 0, 4, {1, 2}, std::nullopt, "value 1.5 is not among the allowed values 1, 2"},
      {9, 0, 4, {9}, std::nullopt, "value 9 is outside 0 to 4"},
      {5, 5, 5, {}, std::nullopt, "min and max are both 5: nothing to compare; widen the range"},
      {4, 5, 3, {}, std::nullopt, "min 5 is above max 3; correct the metric"},
      {std::numeric_limits<double>::quiet_NaN(), 0, 1, {}, std::nullopt, "value nan is not a finite number"},
      {kInf, 0, 1, {}, std::nullopt, "value inf is not a finite number"},
      {0, 0, kInf, {}, std::nullopt, "range 0 to inf is not finite; correct min and max"},
  };
  for (const NormalizeCase& c : cases) {
    const auto result = normalize(c.value, c.min, c.max, c.allowed);
    if (c.expected) {
      ASSERT_TRUE(result) << result.error().message;
      EXPECT_DOUBLE_EQ(*result, *c.expected);
    } else {
      ASSERT_FALSE(result) << c.error;
      EXPECT_EQ(result.error(), (Error{Code::invalid_object, c.error}));
    }
  }
}

expr::LabelConstraint label(std::string key) { return {expr::LabelConstraint::Op::equal, std::move(key), {"any"}, ""}; }
expr::MetricConstraint metric(std::string key) {
  return {expr::MetricConstraint::Op::greater, std::move(key), "1", 1, ""};
}

class Inherit : public ::testing::Test {
 protected:
  Traits cluster{{{"site", "A"}, {"own", "1"}}, {{"load", 1, true}, {"green", 2, false}}};
  Traits cloud{{{"site", "B"}, {"zone", "z"}}, {{"green", 2, false}, {"green", 3, false}, {"price", 1, true}}};
};

TEST_F(Inherit, TakesNothingUnasked) {
  EXPECT_EQ(inherit(cluster, cloud, {}), (Traits{{{"own", "1"}, {"site", "A"}}, cluster.metrics}));
}

TEST_F(Inherit, LetsTheCloudsValueWinOnEqualKeys) {
  const Traits result = inherit(cluster, cloud, {.all_labels = true});
  EXPECT_EQ(result.labels, (LabelList{{"own", "1"}, {"site", "B"}, {"zone", "z"}}));
  EXPECT_EQ(result.metrics, cluster.metrics);
}

TEST_F(Inherit, AppendsTheCloudsMetricsButIdenticalOnesOnce) {
  const Traits result = inherit(cluster, cloud, {.all_metrics = true});
  EXPECT_EQ(result.metrics,
            (std::vector<MetricRef>{{"load", 1, true}, {"green", 2, false}, {"green", 3, false}, {"price", 1, true}}));
  EXPECT_EQ(result.labels, (LabelList{{"own", "1"}, {"site", "A"}}));
}

TEST_F(Inherit, TakesWhatConstraintsName) {
  const std::vector<expr::LabelConstraint> labels{label("zone"), label("absent")};
  const std::vector<expr::MetricConstraint> metrics{metric("price")};
  const Traits result = inherit(cluster, cloud, {.label_constraints = labels, .metric_constraints = metrics});
  EXPECT_EQ(result.labels, (LabelList{{"own", "1"}, {"site", "A"}, {"zone", "z"}}));
  EXPECT_EQ(result.metrics, (std::vector<MetricRef>{{"load", 1, true}, {"green", 2, false}, {"price", 1, true}}));
}

}  // namespace
}  // namespace krake::placement
