#include "base/cancel_scope.h"

#include <gtest/gtest.h>

#include "base/testing.h"

namespace krake {
namespace {

using std::chrono::hours;
using std::chrono::seconds;
using Ended = std::optional<Result<int>>;

Awaitable<Result<int>> answer_after(Clock& clock, Duration time) {
  co_await sleep_for(clock, time);
  co_return 42;
}
// Takes its time to end, too.
Awaitable<Result<int>> when_cancelled(Clock& clock, Result<int> answer) {
  try {
    co_await sleep_for(clock, hours(1));
  } catch (const boost::system::system_error&) {
  }
  co_await boost::asio::this_coro::reset_cancellation_state();
  co_await sleep_for(clock, seconds(1));
  co_return answer;
}
Awaitable<Result<int>> at_once(int answer) { co_return answer; }
Awaitable<Result<int>> broken(Clock& clock) {
  co_await sleep_for(clock, seconds(1));
  throw std::runtime_error("no such thing");
}
Awaitable<Result<int>> two_branches(Clock& clock) {
  using namespace boost::asio::experimental::awaitable_operators;
  co_await (sleep_for(clock, hours(1)) || sleep_for(clock, hours(2)));
  co_return 42;
}

struct Outcome {
  int ends = 0;
  Ended result;
};
Awaitable<void> keep(Awaitable<Ended> call, Outcome* outcome) {
  outcome->result = co_await std::move(call);
  ++outcome->ends;
}

class CancelScopeTest : public ::testing::Test {
 protected:
  void start(Awaitable<Result<int>> operation) {
    tasks.spawn("call", keep(scope->run(std::move(operation)), &outcome));
    world.settle();
  }
  void pass(Duration time) {
    world.clock.advance(time);
    world.settle();
  }

  testing::World world;
  std::optional<CancelScope> scope{std::in_place, world.env.executor};
  TaskGroup tasks{world.env.executor};
  Outcome outcome;
};

TEST_F(CancelScopeTest, WhatIsNotCancelledGivesItsResult) {
  EXPECT_EQ(world.run(scope->run(at_once(7))), Result<int>(7));
  EXPECT_EQ(world.run(scope->run(answer_after(world.clock, seconds(1)))), Result<int>(42));
  EXPECT_EQ(world.run(scope->run(broken(world.clock))),
            Result<int>(fail(Code::internal, "unexpected exception: no such thing")));
  EXPECT_FALSE(scope->cancelled());
}

TEST_F(CancelScopeTest, CancellingComesSoonAndNotWithin) {
  start(answer_after(world.clock, hours(1)));
  scope->cancel();
  scope->cancel();
  EXPECT_EQ(outcome.ends, 0);
  EXPECT_FALSE(scope->cancelled());
  world.settle();
  EXPECT_EQ(outcome.ends, 1);
  EXPECT_TRUE(scope->cancelled());
  EXPECT_FALSE(outcome.result);
}

TEST_F(CancelScopeTest, BranchesOfItsOwnAreOneCancellation) {
  start(two_branches(world.clock));
  scope->cancel();
  world.settle();
  EXPECT_EQ(outcome.ends, 1);
  EXPECT_FALSE(outcome.result);
}

TEST_F(CancelScopeTest, WhatIsCancelledIsWaitedForAndMayAnswerAllTheSame) {
  start(when_cancelled(world.clock, 42));
  scope->cancel();
  world.settle();
  EXPECT_EQ(outcome.ends, 0) << "it is not over yet";
  pass(seconds(1));
  EXPECT_EQ(outcome.ends, 1);
  EXPECT_EQ(outcome.result, Result<int>(42));
}

TEST_F(CancelScopeTest, ACancellationMayComeTooLate) {
  start(answer_after(world.clock, seconds(1)));
  pass(seconds(1));
  scope->cancel();
  world.settle();
  EXPECT_EQ(outcome.ends, 1);
  EXPECT_EQ(outcome.result, Result<int>(42));
}

TEST_F(CancelScopeTest, ACancellationOnItsWayDoesNotOutliveTheScope) {
  start(answer_after(world.clock, seconds(1)));
  world.clock.advance(seconds(1));
  scope->cancel();
  while (outcome.ends == 0) ASSERT_EQ(world.context.poll_one(), 1u);  // it was woken first
  EXPECT_FALSE(scope->cancelled());
  scope.reset();
  scope.emplace(world.env.executor);  // another one in its place
  world.settle();
  EXPECT_FALSE(scope->cancelled());
  EXPECT_EQ(outcome.result, Result<int>(42));
}

TEST_F(CancelScopeTest, TheCallersCancellationPassesThrough) {
  start(answer_after(world.clock, hours(1)));
  tasks.cancel();
  world.settle();
  EXPECT_EQ(tasks.size(), 0u);
  EXPECT_EQ(outcome.ends, 0) << "cancellation unwinds";
  EXPECT_FALSE(scope->cancelled());
}

TEST_F(CancelScopeTest, ACancellationByNobodyIsAnError) {
  const auto aborted = [](Clock& clock) -> Awaitable<Result<int>> {
    co_await sleep_for(clock, seconds(1));
    throw boost::system::system_error(boost::asio::error::operation_aborted);
  };
  const auto result = world.run(scope->run(aborted(world.clock)));
  ASSERT_TRUE(result);
  ASSERT_FALSE(*result);
  EXPECT_EQ(result->error().code, Code::internal);
}

TEST_F(CancelScopeTest, OneThatIsCancelledStartsNothing) {
  scope->cancel_now();
  start([]() -> Awaitable<Result<int>> {
    ADD_FAILURE() << "started";
    co_return 42;
  }());
  EXPECT_EQ(outcome.ends, 1);
  EXPECT_FALSE(outcome.result);
}

TEST_F(CancelScopeTest, BothAtOnceEndIt) {
  start(answer_after(world.clock, hours(1)));
  scope->cancel();
  tasks.cancel();
  world.settle();
  EXPECT_EQ(tasks.size(), 0u);
}

// As a process that dies: nobody resumes, and everything is destroyed where it waits.
TEST_F(CancelScopeTest, ItDiesWithItsLoop) {
  auto here = std::make_shared<int>(0);
  const std::weak_ptr<int> operation = here;
  {
    testing::World dying;
    TaskGroup group(dying.env.executor);
    group.spawn("call", [](Clock& clock, std::shared_ptr<int> held) -> Awaitable<void> {
      const auto wait = [](Clock& its_clock, std::shared_ptr<int>) -> Awaitable<Result<int>> {
        co_await sleep_for(its_clock, hours(1));
        co_return 42;
      };
      (void)co_await with_timeout(clock, seconds(5), "the question", wait(clock, std::move(held)));
    }(dying.clock, std::move(here)));
    dying.settle();
    EXPECT_FALSE(operation.expired());
    dying.clock.advance(seconds(5));  // on its way, and never comes
  }
  EXPECT_TRUE(operation.expired());
}

// ---- with_timeout()

TEST_F(CancelScopeTest, ALimitTakesNoAnswerThatIsThere) {
  const auto within = [&](Awaitable<Result<int>> operation) {
    return world.run(with_timeout(world.clock, seconds(5), "the question", std::move(operation)));
  };
  const Result<int> late = fail(Code::timeout, "the question did not finish within 5000 ms");
  EXPECT_EQ(within(answer_after(world.clock, seconds(1))), 42);
  EXPECT_EQ(within(broken(world.clock)), Result<int>(fail(Code::internal, "unexpected exception: no such thing")));
  EXPECT_EQ(within(answer_after(world.clock, hours(1))), late);
  EXPECT_EQ(within(two_branches(world.clock)), late);
  EXPECT_EQ(within(when_cancelled(world.clock, 42)), 42);
  EXPECT_EQ(within(when_cancelled(world.clock, fail(Code::unavailable, "broken off"))), late);
  EXPECT_EQ(world.clock.pending(), 0u) << "nothing is left behind";
}

// ---- unless()

class UnlessTest : public CancelScopeTest {
 protected:
  void start(Awaitable<Result<int>> operation) {
    tasks.spawn("call", keep(unless(notifier, [this] { return due; }, std::move(operation)), &outcome));
    world.settle();
  }
  Notifier notifier{world.env.executor};
  bool due = false;
};

TEST_F(UnlessTest, OnlyTheNewsThatCountsEndsIt) {
  start(answer_after(world.clock, hours(1)));
  notifier.notify_all();
  world.settle();
  EXPECT_EQ(outcome.ends, 0);
  due = true;
  world.settle();
  EXPECT_EQ(outcome.ends, 0) << "nobody has told";
  notifier.notify_all();
  notifier.notify_all();
  world.settle();
  EXPECT_EQ(outcome.ends, 1);
  EXPECT_FALSE(outcome.result);
  notifier.notify_all();  // nobody listens any more
}

TEST_F(UnlessTest, WhatIsDueAlreadyLeavesItNoTimeToWait) {
  due = true;
  start(at_once(7));
  EXPECT_EQ(outcome.result, Result<int>(7));
  start(answer_after(world.clock, hours(1)));
  EXPECT_EQ(outcome.ends, 2);
  EXPECT_FALSE(outcome.result);
}

TEST_F(UnlessTest, WhoWaitsBesideItIsWokenAsWell) {
  start(answer_after(world.clock, seconds(9)));
  bool woken = false;
  tasks.spawn("other", [](Notifier& waits_for, bool& flag) -> Awaitable<void> {
    co_await waits_for.wait();
    flag = true;
  }(notifier, woken));
  world.settle();
  notifier.notify_all();
  pass(seconds(9));
  EXPECT_TRUE(woken);
  EXPECT_EQ(outcome.result, Result<int>(42));
}

}  // namespace
}  // namespace krake
