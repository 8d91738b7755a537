#include "server/revision_gate.h"

#include <gtest/gtest.h>

#include "base/testing.h"

namespace krake::server {

namespace {

struct RevisionGateTest : ::testing::Test {
  krake::testing::World world;
  RevisionGate gate{world.env.executor, world.env.clock};
  TaskGroup tasks{world.env.executor};
  std::vector<int> woken;

  void wait(int name, store::Revision revision, std::chrono::seconds time) {
    tasks.spawn("waiter", run(name, revision, world.clock.now() + time));
    world.settle();
  }
  Awaitable<void> run(int name, store::Revision revision, Mono deadline) {
    co_await gate.wait(revision, deadline);
    woken.push_back(name);
  }
  void pass(std::chrono::seconds time) {
    const Mono end = world.clock.now() + time;
    world.run_until([&] { return world.clock.now() >= end; }, time);
    world.settle();
  }
  ~RevisionGateTest() override { world.run(tasks.stop()); }
};

TEST_F(RevisionGateTest, EachIsWokenByItsOwnRevision) {
  wait(3, 30, std::chrono::seconds(5));
  wait(1, 10, std::chrono::seconds(5));
  wait(2, 20, std::chrono::seconds(5));
  gate.reached(9);
  world.settle();
  EXPECT_EQ(woken, std::vector<int>{});
  gate.reached(20);
  world.settle();
  EXPECT_EQ(woken, (std::vector<int>{1, 2}));
  EXPECT_FALSE(gate.empty());
  gate.shake();
  world.settle();
  EXPECT_EQ(woken, (std::vector<int>{1, 2, 3}));
  EXPECT_TRUE(gate.empty());
}

TEST_F(RevisionGateTest, OrByItsOwnDeadline) {
  wait(1, 10, std::chrono::seconds(5));
  wait(2, 10, std::chrono::seconds(2));
  wait(3, 10, std::chrono::seconds(9));
  pass(std::chrono::seconds(3));
  EXPECT_EQ(woken, std::vector<int>{2});
  pass(std::chrono::seconds(3));
  EXPECT_EQ(woken, (std::vector<int>{2, 1}));
  pass(std::chrono::seconds(4));
  EXPECT_EQ(woken, (std::vector<int>{2, 1, 3}));
}

TEST_F(RevisionGateTest, WhoIsCancelledLeaves) {
  wait(1, 10, std::chrono::seconds(5));
  tasks.cancel();
  world.settle();
  EXPECT_TRUE(gate.empty());
  gate.reached(10);
  pass(std::chrono::seconds(6));
  EXPECT_EQ(woken, std::vector<int>{});
}

}  // namespace

}  // namespace krake::server
