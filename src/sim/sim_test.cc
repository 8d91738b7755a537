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

class Seeds : public ::testing::TestWithParam<int> {};

TEST_P(Seeds, ConvergeAndFallSilent) {
  const auto verdict = run_world({.seed = static_cast<std::uint64_t>(GetParam())});
  EXPECT_EQ(verdict.broken, Broken::nothing) << "make sim SEED=" << GetParam() << "\n" << explain(verdict);
}
INSTANTIATE_TEST_SUITE_P(Fixed, Seeds, ::testing::Range(1, 51));

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
  const auto first = run_world({.seed = 7});
  const auto second = run_world({.seed = 7});
  const auto other = run_world({.seed = 8});
  EXPECT_EQ(first.trace_hash, second.trace_hash);
  EXPECT_NE(first.trace_hash, other.trace_hash);
}

}  // namespace
}  // namespace krake::sim
