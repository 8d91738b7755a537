#include <gtest/gtest.h>

#include <fstream>

#include "base/check.h"
#include "sim/world.h"

namespace krake::sim {
namespace {

std::string explain(const Verdict& verdict) {
  std::string text;
  for (const auto& problem : verdict.problems) text += problem + "\n";
  std::size_t shown = 0;
  for (auto it = verdict.tail.rbegin(); it != verdict.tail.rend() && shown < 40; ++it, ++shown)
    text += "  " + *it + "\n";
  return text;
}

constexpr int kFixedSeeds = 50;

class Seeds : public ::testing::TestWithParam<int> {
 protected:
  static void SetUpTestSuite() {
    worlds() = 0;
    reached().clear();
  }
  // A simulator that never gets into a situation proves nothing about it.
  static void TearDownTestSuite() {
    if (worlds() < kFixedSeeds) return;  // some were left out
    for (const auto& situation : kSituations) {
      if (!situation.expected) continue;
      EXPECT_TRUE(reached().contains(situation.name)) << "in no world: " << situation.name;
    }
  }
  static int& worlds() {
    static int count = 0;
    return count;
  }
  static std::map<std::string, std::uint64_t, std::less<>>& reached() {
    static std::map<std::string, std::uint64_t, std::less<>> counts;
    return counts;
  }
};

TEST_P(Seeds, ConvergeAndFallSilent) {
  const auto verdict = run_world({.seed = static_cast<std::uint64_t>(GetParam())});
  ++worlds();
  for (const auto& [name, times] : verdict.reached) reached()[name] += times;
  EXPECT_EQ(verdict.broken, Broken::nothing) << "make sim SEED=" << GetParam() << "\n" << explain(verdict);
}
INSTANTIATE_TEST_SUITE_P(Fixed, Seeds, ::testing::Range(1, kFixedSeeds + 1));

// "SEED why" a line; # begins a comment.
std::vector<int> regressions() {
  std::vector<int> seeds;
  std::ifstream file(KRAKE_SOURCE_DIR "/src/sim/regressions.txt");
  CHECK(file.is_open(), "regressions.txt stands beside this file");
  for (std::string line; std::getline(file, line);) {
    if (!line.empty() && line.front() != '#') seeds.push_back(std::stoi(line));
  }
  return seeds;
}
INSTANTIATE_TEST_SUITE_P(Regressions, Seeds, ::testing::ValuesIn(regressions()));

TEST(Simulator, SameSeedSameTrace) {
  std::string traces[2];
  const auto first = run_world({.seed = 7, .trace = &traces[0]});
  const auto second = run_world({.seed = 7, .trace = &traces[1]});
  const auto other = run_world({.seed = 8});
  EXPECT_TRUE(traces[0] == traces[1]) << "the same seed, byte for byte";
  EXPECT_EQ(first.trace_hash, second.trace_hash);
  EXPECT_NE(first.trace_hash, other.trace_hash);
}

TEST(Simulator, ThingsGoWrong) {
  std::set<std::string> reached;
  for (const std::uint64_t seed : {1, 2, 3, 4}) {
    const auto verdict = run_world({.seed = seed});
    EXPECT_GT(verdict.crashes, 0) << seed;
    for (const auto& [name, times] : verdict.reached) reached.emplace(name);
  }
  for (const auto* name : {"a controller crashed", "a request was lost", "a stream was cut", "the store misbehaved"})
    EXPECT_TRUE(reached.contains(name)) << name;
}

TEST(Simulator, NothingGoesWrongWithoutFaults) {
  Scenario calm;
  calm.topology.servers = 2;
  calm.random_faults = false;
  const auto verdict = run_world({.seed = 3, .scenario = calm});
  EXPECT_EQ(verdict.broken, Broken::nothing) << explain(verdict);
  EXPECT_EQ(verdict.crashes, 0);
  EXPECT_FALSE(verdict.reached.contains("a request was lost"));
}

TEST(Simulator, CarriesOutScripts) {
  const auto scenario = parse_scenario("servers 2\nsteps 10\nfaults none\nat 3s crash api1 for 2s\n");
  ASSERT_TRUE(scenario);
  const auto verdict = run_world({.seed = 1, .scenario = *scenario});
  EXPECT_EQ(verdict.broken, Broken::nothing) << explain(verdict);
  EXPECT_EQ(verdict.crashes, 1);
  EXPECT_TRUE(verdict.reached.contains("an API server crashed"));
}

}  // namespace
}  // namespace krake::sim
