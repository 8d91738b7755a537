#include "sim/scenario.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace krake::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Faults, AreReadAsTheyAreWritten) {
  for (const std::string_view text :
       {"crash api0 for 1500ms", "crash gc1 after 17 for 0ms", "stop scheduler0 for 20ms", "pause gc0 for 9000ms",
        "storeless api2 for 1ms", "compact", "partition user api0 for 5ms", "partition c1 * silently for 5ms",
        "cut api0 user silently for 5ms", "cluster c0 stuck-pods for 70ms", "forget c0", "watches c19",
        "jump gc0 ahead by 90000ms", "jump api0 back by 1ms"}) {
    const auto fault = parse_fault(text);
    ASSERT_TRUE(fault) << text << ": " << fault.error().message;
    EXPECT_EQ(to_string(*fault), text);
  }
  EXPECT_EQ(parse_fault("crash api0 for 20s")->lasting, seconds(20));
}

TEST(Faults, WhatIsWrongIsRefused) {
  for (const std::string_view text :
       {"", "explode api0 for 1s", "crash api0", "crash for 1s", "crash api0 for 1", "crash api0 for 1s now",
        "pause api0 after 3 for 1s", "cluster c0 tired for 1s", "compact for 1s", "forget", "jump api0 ahead for 1s",
        "jump api0 up by 1s", "crash api0 by 1s", "crash api0 for 9999999s"}) {
    EXPECT_FALSE(parse_fault(text)) << text;
  }
}

TEST(Scenarios, SayWhatIsOtherThanUsual) {
  const auto scenario = parse_scenario(
      "# what it is about\n"
      "servers 3\n"
      "clusters 20   # many\n"
      "\n"
      "skewed yes\n"
      "faults script\n"
      "rate lose 0.5\n"
      "rate krakectl 1\n"
      "rate krakectl.killed 0.25\n"
      "work look 20\n"
      "rate store.watch-lag 0\n"
      "rate garble 0.25\n"
      "rate repeat 0.125\n"
      "work vandalise 0\n"
      "at 1500ms crash api0 for 2s\n");
  ASSERT_TRUE(scenario) << scenario.error().message;
  EXPECT_EQ(scenario->topology.servers, 3);
  EXPECT_EQ(scenario->topology.replicas, 1);
  EXPECT_EQ(scenario->topology.clusters, 20);
  EXPECT_TRUE(scenario->topology.skewed);
  EXPECT_FALSE(scenario->random_faults);
  EXPECT_EQ(scenario->net.lose, 0.5);
  EXPECT_EQ(scenario->krakectl, 1);
  EXPECT_EQ(scenario->killed, 0.25);
  EXPECT_EQ(scenario->work.at(static_cast<std::size_t>(Deed::look)), 20);
  EXPECT_EQ(scenario->net.delay, ordinary_net_faults().delay);
  EXPECT_EQ(scenario->store.watch_lag, 0);
  EXPECT_EQ(scenario->net.garble, 0.25);
  EXPECT_EQ(scenario->net.repeat, 0.125);
  EXPECT_EQ(scenario->work.back(), 0);
  ASSERT_EQ(scenario->script.size(), 1u);
  EXPECT_EQ(scenario->script.front().first, milliseconds(1500));
  EXPECT_EQ(scenario->script.front().second.who, "api0");
}

TEST(Scenarios, NameTheLineThatIsWrong) {
  for (const std::string_view line :
       {"servers", "servers 0", "servers two", "rate lose 2", "rate luck 0.1", "work rest 3",
        "at noon crash api0 for 1s", "at 1s", "faults some", "servers 1 2"}) {
    const auto scenario = parse_scenario("steps 3\n" + std::string(line));
    ASSERT_FALSE(scenario) << line;
    EXPECT_TRUE(scenario.error().message.starts_with("line 2: ")) << scenario.error().message;
  }
}

TEST(Scenarios, AllFilesCanBeRead) {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(KRAKE_SOURCE_DIR "/src/sim/scenarios")) {
    std::ifstream file(entry.path());
    const auto scenario = parse_scenario(std::string(std::istreambuf_iterator<char>(file), {}));
    EXPECT_TRUE(scenario) << entry.path() << ": " << scenario.error().message;
    ++files;
  }
  EXPECT_GT(files, 0);
}

TEST(Scenarios, AreDrawnInVariety) {
  std::set<int> servers;
  std::set<int> clusters;
  std::set<bool> garbled;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const auto scenario = draw_scenario(Random(seed));
    servers.insert(scenario.topology.servers);
    clusters.insert(scenario.topology.clusters);
    garbled.insert(scenario.net.garble > 0);
  }
  EXPECT_EQ(servers, (std::set{1, 2, 3}));
  EXPECT_GE(clusters.size(), 3u);
  EXPECT_EQ(garbled.size(), 2u);
}

}  // namespace
}  // namespace krake::sim
