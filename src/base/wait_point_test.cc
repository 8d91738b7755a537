#include "base/wait_point.h"

#include <gtest/gtest.h>

#include "base/testing.h"

namespace krake {
namespace {

struct Waits {
  int woken = 0;
  int cancelled = 0;
};

Awaitable<void> wait_twice(WaitPoint& point, Waits& waits, std::shared_ptr<int>) {
  for (int i = 0; i < 2; ++i) {
    try {
      co_await point.wait();
    } catch (const boost::system::system_error&) {
      ++waits.cancelled;
      throw;
    }
    ++waits.woken;
  }
}

class WaitPointTest : public ::testing::Test {
 protected:
  testing::World world;
  TaskGroup tasks{world.env.executor};
  WaitPoint point{WaitPoint::lot_of(world.env.executor)};
  Waits waits;
};

TEST_F(WaitPointTest, EachWakeEndsTheWaitThatIsUnderWay) {
  point.wake();  // not remembered
  tasks.spawn("wait", wait_twice(point, waits, nullptr));
  world.settle();
  EXPECT_EQ(waits.woken, 0);
  point.wake();
  point.wake();
  EXPECT_EQ(waits.woken, 0) << "soon, not within";
  world.settle();
  EXPECT_EQ(waits.woken, 1);
  point.wake();
  world.settle();
  EXPECT_EQ(waits.woken, 2);
  EXPECT_EQ(tasks.size(), 0u);
  point.wake();
  world.settle();
}

TEST_F(WaitPointTest, WhoLooksForHimselfIsOnlyWoken) {
  tasks.spawn("wait", [](WaitPoint& where, Waits& seen) -> Awaitable<void> {
    co_await boost::asio::this_coro::throw_if_cancelled(false);
    co_await where.wait();
    ++seen.woken;
    if ((co_await boost::asio::this_coro::cancellation_state).cancelled() != boost::asio::cancellation_type::none)
      ++seen.cancelled;
  }(point, waits));
  world.settle();
  tasks.cancel();
  world.settle();
  EXPECT_EQ(tasks.size(), 0u);
  EXPECT_EQ(waits.woken, 1);
  EXPECT_EQ(waits.cancelled, 1);
}

TEST_F(WaitPointTest, WhoIsCancelledUnwinds) {
  for (const bool woken_too : {false, true}) {
    waits = {};
    TaskGroup group(world.env.executor);
    group.spawn("wait", wait_twice(point, waits, nullptr));
    world.settle();
    if (woken_too) point.wake();
    group.cancel();
    world.settle();
    EXPECT_EQ(group.size(), 0u);
    EXPECT_EQ(waits.woken, woken_too) << "cancelled in the second wait";
    EXPECT_EQ(waits.cancelled, 1);
  }
}

// A simulated crash, of one who waits and of one who was woken just now. Nothing of them runs, nothing leaks.
TEST(WaitPoint, WhoWaitsDiesWithTheLoop) {
  for (const bool woken : {false, true}) {
    auto here = std::make_shared<int>(0);
    const std::weak_ptr<int> frame = here;
    Waits waits;
    {
      testing::World world;
      WaitPoint point(WaitPoint::lot_of(world.env.executor));
      TaskGroup tasks(world.env.executor);
      tasks.spawn("wait", wait_twice(point, waits, std::move(here)));
      world.settle();
      if (woken) point.wake();
      EXPECT_FALSE(frame.expired());
    }
    EXPECT_TRUE(frame.expired());
    EXPECT_EQ(waits.woken + waits.cancelled, 0);
  }
}

}  // namespace
}  // namespace krake
