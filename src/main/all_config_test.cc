#include "main/all_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace krake {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Read {
  InnerControllers controllers;
  std::vector<std::string> warnings;
  Arguments left;
};

Result<Read> read(std::string_view text, Arguments args = {},
                  const std::map<std::string, std::string>& variables = {}) {
  ASSIGN_OR_RETURN(const auto whole, parse_config(text, "krake.yaml"));
  Read out;
  ASSIGN_OR_RETURN(out.controllers, configure_inner(whole, args, out.warnings, [&](const std::string& name) {
                     const auto it = variables.find(name);
                     return it == variables.end() ? std::nullopt : std::optional<std::string>(it->second);
                   }));
  out.left = std::move(args);
  return out;
}

EffectiveValue value_of(const Read& got, std::string_view component, const std::string& path) {
  for (const auto& value : got.controllers.values.find(component)->second) {
    if (value.path == path) return value;
  }
  return {};
}

TEST(AllConfig, TakesTheControllersSections) {
  const auto got = read(
      "api: {authorization: RBAC}\n"
      "scheduler: {reschedule-after: 7, stickiness: 0.3, worker_count: 2, debounce: 3}\n"
      "garbage_collector:\n  worker_count: 4\n");
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_THAT(got->warnings, IsEmpty());
  const auto& scheduler = got->controllers.configs.at("scheduler");
  EXPECT_EQ(scheduler.reschedule_after, 7);
  EXPECT_EQ(scheduler.stickiness, 0.3);
  EXPECT_EQ(static_cast<std::int64_t>(scheduler.worker_count), 2);
  EXPECT_EQ(scheduler.debounce, 3);
  EXPECT_EQ(static_cast<std::int64_t>(got->controllers.configs.at("gc").worker_count), 4);
  EXPECT_EQ(static_cast<std::int64_t>(got->controllers.configs.at("kubernetes-cluster").worker_count), 5);
  EXPECT_EQ(got->controllers.configs.at("kubernetes-cluster").debounce, 0) << "nothing to wait for in one process";
  EXPECT_EQ(value_of(*got, "scheduler", "scheduler.stickiness"),
            (EffectiveValue{"scheduler.stickiness", "0.3", "krake.yaml:2"}));
  EXPECT_EQ(value_of(*got, "gc", "garbage_collector.worker_count"),
            (EffectiveValue{"garbage_collector.worker_count", "4", "krake.yaml:4"}));
  EXPECT_EQ(value_of(*got, "gc", "garbage_collector.debounce").origin, "default of krake all");
}

TEST(AllConfig, WarnsOfWhatItDoesNotTake) {
  const auto got = read(
      "api: {authorization: RBAC, authrization: x}\nprot: 1\n"
      "scheduler:\n  typo: 1\n  tls: {enabled: true}\n  token: planted\n"
      "garbage_collector:\n  stickiness: 1\n");
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_THAT(
      got->warnings,
      ElementsAre("krake.yaml:5: of 'scheduler', tls, token has no effect in `krake all`: the API server's counts",
                  "krake.yaml:4: unknown configuration key 'typo' is ignored",
                  "krake.yaml:8: 'stickiness' has no effect here: it is a key of another program than gc"));
  EXPECT_EQ(value_of(*got, "scheduler", "scheduler.tls.enabled"), EffectiveValue()) << "it does not count";
  for (const auto& [name, values] : got->controllers.values) {
    for (const auto& value : values) EXPECT_EQ(value.value.find("planted"), std::string::npos) << value.path;
  }
}

TEST(AllConfig, FlagsWinOverVariablesAndTheyOverTheFile) {
  const auto got = read("api: {}\nscheduler: {reschedule_after: 7, stickiness: 0.3}\n",
                        {"--port", "1", "--reschedule-after", "3", "--leader-election-ttl-seconds=9"},
                        {{"KRAKE_STICKINESS", "0.5"}, {"KRAKE_RESCHEDULE_AFTER", "4"}});
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_THAT(got->left, ElementsAre("--port", "1"));
  EXPECT_EQ(value_of(*got, "scheduler", "scheduler.reschedule_after").origin, "--reschedule-after");
  EXPECT_EQ(value_of(*got, "scheduler", "scheduler.stickiness").origin, "KRAKE_STICKINESS");
  EXPECT_EQ(got->controllers.configs.at("scheduler").reschedule_after, 3);
  for (const auto name : kComponents)
    EXPECT_EQ(static_cast<std::int64_t>(got->controllers.configs.find(name)->second.leader_election.ttl_seconds), 9);
}

// A file of the API server alone, or none (--dev).
TEST(AllConfig, HasDefaultsWithoutSections) {
  const auto got = read("authorization: RBAC\nworker_count: 3\n");
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_THAT(got->warnings, IsEmpty());
  EXPECT_EQ(static_cast<std::int64_t>(got->controllers.configs.at("scheduler").worker_count), 5);
  EXPECT_TRUE(read(""));
}

TEST(AllConfig, SaysWhatIsWrongAndWhere) {
  const auto got = read("api: {}\nscheduler:\n  worker_count: 0\n");
  ASSERT_FALSE(got);
  EXPECT_THAT(got.error().message, HasSubstr("field 'worker_count'"));
  const auto text = read("scheduler: nonsense\n");
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().message, "krake.yaml:1: want a mapping");
}

}  // namespace
}  // namespace krake
