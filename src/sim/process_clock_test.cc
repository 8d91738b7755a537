#include "sim/process_clock.h"

#include <gtest/gtest.h>

namespace krake::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct ProcessClocks : ::testing::Test {
  ~ProcessClocks() override { loop.drop(); }
  ProcessLoop loop;
  SimClock world{loop.get_executor(), Wall(seconds(1000))};
};

TEST_F(ProcessClocks, RunsTooFastOrTooSlow) {
  const ProcessClock fast(world, loop, {.parts_per_million = 20'000});
  const ProcessClock slow(world, loop, {.parts_per_million = -20'000});
  world.advance(seconds(100));
  EXPECT_EQ(fast.now().time_since_epoch(), seconds(102));
  EXPECT_EQ(slow.now().time_since_epoch(), seconds(98));
}

TEST_F(ProcessClocks, TheWallClockMayBeWrong) {
  const ProcessClock clock(world, loop, {.wall = seconds(-30)});
  EXPECT_EQ(clock.wall(), Wall(seconds(970)));
}

TEST_F(ProcessClocks, TheWallClockIsSetAndTimeGoesOn) {
  ProcessClock clock(world, loop, {.wall = seconds(-30)});
  const Mono before = clock.now();
  clock.jump_wall(seconds(100));
  EXPECT_EQ(clock.wall(), Wall(seconds(1070)));
  clock.jump_wall(seconds(-200));
  EXPECT_EQ(clock.wall(), Wall(seconds(870)));
  EXPECT_EQ(clock.now(), before);
}

TEST_F(ProcessClocks, ATimerFiresWhenItIsTimeThere) {
  for (const std::int64_t rate : {-20'000, -1, 0, 7, 19'999}) {
    ProcessClock clock(world, loop, {.parts_per_million = rate});
    for (const auto time : {milliseconds(1), milliseconds(333), milliseconds(60'000)}) {
      const Mono when = clock.now() + time;
      bool fired = false;
      const auto handle = clock.at(when, [&] { fired = true; });
      while (!fired) world.advance_to_next(world.now() + seconds(100));
      EXPECT_GE(clock.now(), when) << rate;
      EXPECT_LT(clock.now(), when + milliseconds(1)) << rate;
    }
  }
}

TEST_F(ProcessClocks, TimersOfASleeperWaitUntilItWakes) {
  ProcessClock clock(world, loop, {});
  int fired = 0;
  const auto first = clock.at(clock.now() + seconds(1), [&] { ++fired; });
  auto second = clock.at(clock.now() + seconds(2), [&] { ++fired; });
  loop.sleep(true);
  world.advance(seconds(10));
  EXPECT_EQ(fired, 0);
  second.reset();
  loop.sleep(false);
  loop.poll();
  EXPECT_EQ(fired, 1) << "a timer that died meanwhile does not fire";
}

}  // namespace
}  // namespace krake::sim
