#include "main/all_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace krake {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Read {
  ApiConfig api;
  InnerControllers controllers;
  std::vector<std::string> warnings;
  Arguments left;
};

// `warnings`: also of what cannot be read.
Result<Read> read(std::string_view text, Arguments args = {}, const std::map<std::string, std::string>& variables = {},
                  std::vector<std::string>* warnings = nullptr) {
  ASSIGN_OR_RETURN(const auto whole, parse_config(text, "krake.yaml"));
  std::vector<std::string> told;
  auto all = configure_all(whole, args, told, [&](const std::string& name) {
    const auto it = variables.find(name);
    return it == variables.end() ? std::nullopt : std::optional<std::string>(it->second);
  });
  if (warnings) *warnings = told;
  if (!all) return fail(all.error());
  return Read{std::move(all->api.config), std::move(all->controllers), std::move(told), std::move(args)};
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
      ElementsAre("krake.yaml:2: 'prot' is the section of no program and is ignored; known are " + known_sections(),
                  "krake.yaml:1: unknown configuration key 'authrization' is ignored",
                  "krake.yaml:5: of 'scheduler', tls, token has no effect in `krake all`: the API server's counts",
                  "krake.yaml:4: unknown configuration key 'typo' is ignored",
                  "krake.yaml:8: 'stickiness' has no effect here: it is a key of another program than gc"));
  EXPECT_EQ(value_of(*got, "scheduler", "scheduler.tls.enabled"), EffectiveValue()) << "it does not count";
  for (const auto& [name, values] : got->controllers.values) {
    for (const auto& value : values) EXPECT_EQ(value.value.find("planted"), std::string::npos) << value.path;
  }
}

TEST(AllConfig, FlagsWinOverVariablesAndTheyOverTheFile) {
  const auto got = read("api: {authorization: RBAC}\nscheduler: {reschedule_after: 7, stickiness: 0.3}\n",
                        {"--port", "1", "--reschedule-after", "3", "--leader-election-ttl-seconds=9", "--other", "2"},
                        {{"KRAKE_STICKINESS", "0.5"}, {"KRAKE_RESCHEDULE_AFTER", "4"}});
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_THAT(got->left, ElementsAre("--other", "2"));
  EXPECT_EQ(static_cast<std::int64_t>(got->api.port), 1);
  EXPECT_EQ(value_of(*got, "scheduler", "scheduler.reschedule_after").origin, "--reschedule-after");
  EXPECT_EQ(value_of(*got, "scheduler", "scheduler.stickiness").origin, "KRAKE_STICKINESS");
  EXPECT_EQ(got->controllers.configs.at("scheduler").reschedule_after, 3);
  for (const auto name : kComponents)
    EXPECT_EQ(static_cast<std::int64_t>(got->controllers.configs.find(name)->second.leader_election.ttl_seconds), 9);
}

// A file of the API server alone, or none (--dev).
TEST(AllConfig, HasDefaultsWithoutSections) {
  const auto got = read("authorization: RBAC\nport: 3\n");
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_THAT(got->warnings, IsEmpty());
  EXPECT_EQ(static_cast<std::int64_t>(got->api.port), 3);
  EXPECT_EQ(static_cast<std::int64_t>(got->controllers.configs.at("scheduler").worker_count), 5);
  Arguments args{"--stickiness", "0.5", "--state", "x"};
  std::vector<std::string> warnings;
  const auto none = [](const std::string&) { return std::nullopt; };
  const auto alone = configure_inner(args, warnings, none);
  ASSERT_TRUE(alone) << alone.error().message;
  EXPECT_EQ(alone->configs.at("scheduler").stickiness, 0.5);
  EXPECT_THAT(args, ElementsAre("--state", "x"));
  args = {"--stickiness", "much"};
  EXPECT_THAT(configure_inner(args, warnings, none).error().message,
              HasSubstr("field 'scheduler.stickiness': Not a valid number. (--stickiness)"));
}

// They are of programs, so nobody else says a word of them.
TEST(AllConfig, WarnsOfSectionsThatNoControllerHereReads) {
  const auto got = read("api: {authorization: RBAC}\ninfrastructure: nonsense\nmagnum: {poll_interval: -1}\n");
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_THAT(
      got->warnings,
      ElementsAre("krake.yaml:2: 'infrastructure' has no effect in `krake all`: there is no such controller yet",
                  "krake.yaml:3: 'magnum' has no effect in `krake all`: there is no such controller yet"));
}

TEST(AllConfig, SaysAllThatIsWrongAndWhere) {
  std::vector<std::string> warnings;
  const auto got = read(
      "api:\n  port: x\n  authorisation: RBAC\n"
      "scheduler:\n  worker_count: 0\n  typo: 1\n"
      "kubernetes_cluster: nonsense\n"
      "garbage_collector:\n  debounce: -1\n"
      "magnum: {}\n",
      {"--stickiness", "-2"}, {{"KRAKE_LOG_FORMAT", "xml"}}, &warnings);
  ASSERT_FALSE(got);
  const auto& message = got.error().message;
  EXPECT_TRUE(message.starts_with("Parsing configuration failed with error(s): \n - field '")) << message;
  for (const auto* wanted :
       {"'api.port': Not a valid integer. (krake.yaml:2)", "'api.authorization': Missing data for required field.",
        "'api.log.format': want text or json, got 'xml' (KRAKE_LOG_FORMAT)",
        "'scheduler.worker_count': want 1 to 1000, got 0 (krake.yaml:5)",
        "'scheduler.stickiness': want 0 to 1000, got -2 (--stickiness)",
        "'kubernetes_cluster': want a mapping (krake.yaml:7)",
        "'garbage_collector.debounce': want 0 to 3600, got -1 (krake.yaml:9)"})
    EXPECT_THAT(message, HasSubstr(fmt::format("\n - field {}", wanted)));
  EXPECT_EQ(std::ranges::count(message, '\n'), 7) << message;
  EXPECT_THAT(warnings,
              ElementsAre("krake.yaml:3: unknown configuration key 'authorisation' is ignored",
                          "krake.yaml:6: unknown configuration key 'typo' is ignored",
                          "krake.yaml:10: 'magnum' has no effect in `krake all`: there is no such controller yet"));
}

TEST(AllConfig, AnApiSectionThatIsNoMappingIsOneError) {
  const auto got = read("api: nonsense\nscheduler: {}\n");
  ASSERT_FALSE(got);
  EXPECT_THAT(got.error().message, ::testing::EndsWith("\n - field 'api': want a mapping (krake.yaml:1)"));
  EXPECT_EQ(std::ranges::count(got.error().message, '\n'), 1) << got.error().message;
}

// A file of the API server alone has no sections to name.
TEST(AllConfig, TheKeysOfAFileWithoutSectionsHaveTheirOwnNames) {
  const auto got = read("authorization: RBAC\nport: x\n", {"--reschedule-after", "x"});
  ASSERT_FALSE(got);
  EXPECT_THAT(got.error().message, HasSubstr(" - field 'port': Not a valid integer. (krake.yaml:2)"));
  EXPECT_THAT(got.error().message, HasSubstr(" - field 'scheduler.reschedule_after': Not a valid number. "
                                             "(--reschedule-after)"));
}

}  // namespace
}  // namespace krake
