#include "base/deadlines.h"

#include <gtest/gtest.h>

#include "base/testing.h"

namespace krake {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

constexpr Duration kLimit = seconds(5);

Error as_it_is(Error timeout) { return timeout; }
Error reworded(Error timeout) { return {Code::unavailable, "no: " + timeout.message}; }

Awaitable<Result<int>> answer_after(Clock& clock, Duration time) {
  co_await sleep_for(clock, time);
  co_return 42;
}
Awaitable<Result<int>> wait_for_the_answer(std::shared_ptr<Notifier> answered) {
  co_await answered->wait();
  co_return 42;
}
Awaitable<Result<int>> answer_when_cancelled(Clock& clock) {
  try {
    co_await sleep_for(clock, hours(1));
  } catch (const boost::system::system_error&) {
  }
  co_return 42;
}
Awaitable<Result<int>> at_once(Result<int> result) { co_return result; }
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
  std::optional<Result<int>> result;
  Mono at;
};
Awaitable<void> keep(Awaitable<Result<int>> call, Clock* clock, Outcome* outcome) {
  auto result = co_await std::move(call);
  EXPECT_FALSE(outcome->result) << "one outcome";
  *outcome = {std::move(result), clock->now()};
}

class DeadlinesTest : public ::testing::Test {
 protected:
  Result<int> within(Awaitable<Result<int>> operation, Deadlines::Told told = as_it_is) {
    return world.run(deadlines.within(kLimit, "the question", told, std::move(operation)));
  }
  void start(Outcome& outcome, Duration limit, Awaitable<Result<int>> operation) {
    tasks.spawn("call",
                keep(deadlines.within(limit, "the question", as_it_is, std::move(operation)), &world.clock, &outcome));
  }

  testing::World world;
  Deadlines deadlines{world.clock};
  TaskGroup tasks{world.env.executor};
};

TEST_F(DeadlinesTest, ACallIsAnsweredInTimeOrNot) {
  EXPECT_EQ(within(at_once(7)), 7);
  EXPECT_EQ(within(answer_after(world.clock, seconds(1))), 42);
  const auto begun = world.clock.now();
  const auto late = within(answer_after(world.clock, hours(1)));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error(), (Error{Code::timeout, "the question did not finish within 5000 ms"}));
  EXPECT_EQ(world.clock.now() - begun, kLimit);
  EXPECT_EQ(within(two_branches(world.clock)).error().code, Code::timeout);
  EXPECT_EQ(within(at_once(fail(Code::not_found, "x"))).error().code, Code::not_found);
}

TEST_F(DeadlinesTest, TheCallerIsToldInItsOwnWordsWhoeverRanOutOfTime) {
  EXPECT_EQ(within(answer_after(world.clock, hours(1)), reworded).error(),
            (Error{Code::unavailable, "no: the question did not finish within 5000 ms"}));
  EXPECT_EQ(within(at_once(fail(Code::timeout, "the peer is silent")), reworded).error(),
            (Error{Code::unavailable, "no: the peer is silent"}));
  EXPECT_EQ(within(at_once(fail(Code::not_found, "x")), reworded).error(), (Error{Code::not_found, "x"}));
}

TEST_F(DeadlinesTest, AnExceptionIsAnInternalError) {
  const auto failed = within(broken(world.clock));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error(), (Error{Code::internal, "unexpected exception: no such thing"}));
}

TEST_F(DeadlinesTest, WhatItAnswersAllTheSameCounts) { EXPECT_EQ(within(answer_when_cancelled(world.clock)), 42); }

TEST_F(DeadlinesTest, EachCallHasItsOwnDeadlineUnderOneTimer) {
  const auto timers = world.clock.pending();
  const std::vector<int> limits = {30, 5, 60, 5, 1};
  std::vector<Outcome> outcomes(limits.size());
  const auto nothing = std::make_shared<Notifier>(world.env.executor);
  for (std::size_t i = 0; i < limits.size(); ++i) start(outcomes[i], seconds(limits[i]), wait_for_the_answer(nothing));
  world.settle();
  EXPECT_EQ(world.clock.pending(), timers + 1);
  const auto begun = world.clock.now();
  world.run_until([&] { return tasks.size() == 0; });
  for (std::size_t i = 0; i < limits.size(); ++i) {
    ASSERT_TRUE(outcomes[i].result);
    EXPECT_FALSE(*outcomes[i].result);
    EXPECT_EQ(outcomes[i].at - begun, seconds(limits[i]));
  }
  EXPECT_EQ(world.clock.pending(), timers) << "nothing is left behind";
}

// Both happen before the loop runs again: whichever comes first there is the outcome, and the only one.
TEST_F(DeadlinesTest, AnAnswerAtTheVeryDeadlineGivesOneOutcome) {
  for (const bool answer_first : {true, false}) {
    SCOPED_TRACE(answer_first);
    Outcome outcome;
    const auto answered = std::make_shared<Notifier>(world.env.executor);
    TimerHandle timer;
    const auto set_timer = [&] {
      timer = world.clock.at(world.clock.now() + kLimit, [answered] { answered->notify_all(); });
    };
    if (answer_first) set_timer();
    start(outcome, kLimit, wait_for_the_answer(answered));
    world.settle();
    if (!answer_first) set_timer();
    world.clock.advance(kLimit);
    world.settle();
    ASSERT_TRUE(outcome.result);
    EXPECT_EQ(outcome.result->has_value(), answer_first);
    EXPECT_EQ(tasks.size(), 0u);
  }
}

TEST_F(DeadlinesTest, TheCallersCancellationPassesThrough) {
  auto here = std::make_shared<int>(0);
  const std::weak_ptr<int> operation = here;
  Outcome outcome;
  start(outcome, kLimit, [](Clock& clock, std::shared_ptr<int>) -> Awaitable<Result<int>> {
    co_await sleep_for(clock, hours(1));
    co_return 42;
  }(world.clock, std::move(here)));
  world.settle();
  EXPECT_FALSE(operation.expired());
  tasks.cancel();
  world.settle();
  EXPECT_EQ(tasks.size(), 0u);
  EXPECT_TRUE(operation.expired());
  EXPECT_FALSE(outcome.result) << "cancellation unwinds";
  world.clock.advance(kLimit);
  world.settle();
}

TEST_F(DeadlinesTest, ACallerCancelledAtTheVeryDeadlineEnds) {
  Outcome outcome;
  start(outcome, kLimit, answer_after(world.clock, hours(1)));
  world.settle();
  world.clock.advance(kLimit);
  tasks.cancel();
  world.settle();
  EXPECT_EQ(tasks.size(), 0u);
}

// ---- joined_at()

Awaitable<int> second_after(Clock& clock, Duration time, int* started) {
  ++*started;
  co_await sleep_for(clock, time);
  co_return 7;
}
Awaitable<int> broken_second(Clock& clock, Duration time, int* started) {
  ++*started;
  co_await sleep_for(clock, time);
  throw std::runtime_error("no such thing");
}

class JoinedTest : public DeadlinesTest {
 protected:
  using Raced = std::variant<Result<int>, int>;
  // The second starts after kLimit.
  Awaitable<Raced> race(Awaitable<Result<int>> first, Duration second) {
    co_return co_await deadlines.joined_at(world.clock.now() + kLimit, std::move(first),
                                           [&, second] { return second_after(world.clock, second, &started); });
  }
  Awaitable<void> keep(Awaitable<Raced> call) {
    auto raced = co_await std::move(call);
    EXPECT_FALSE(outcome) << "one outcome";
    outcome = std::move(raced);
  }
  int started = 0;
  std::optional<Raced> outcome;
};

TEST_F(JoinedTest, WhatEndsFirstCounts) {
  struct Case {
    Duration first, second;
    int started;
    Raced outcome;
    Duration at;
  };
  for (const auto& test : std::vector<Case>{{seconds(1), seconds(1), 0, Result<int>(42), seconds(1)},
                                            {seconds(8), seconds(4), 1, Result<int>(42), seconds(8)},
                                            {seconds(8), seconds(2), 1, 7, seconds(7)},
                                            {hours(1), seconds(0), 1, 7, seconds(5)}}) {
    started = 0;
    const auto timers = world.clock.pending();
    const auto begun = world.clock.now();
    EXPECT_EQ(world.run(race(answer_after(world.clock, test.first), test.second)), test.outcome);
    EXPECT_EQ(started, test.started);
    EXPECT_EQ(world.clock.now() - begun, test.at);
    EXPECT_LE(world.clock.pending(), timers + 1) << "the other is over";
  }
  EXPECT_EQ(world.run(race(at_once(fail(Code::not_found, "x")), seconds(0))), Raced(fail(Code::not_found, "x")));
  EXPECT_EQ(started, 1);
}

TEST_F(JoinedTest, WhatTheFirstAnswersAfterTheSecondIsTooLate) {
  EXPECT_EQ(world.run(race(answer_when_cancelled(world.clock), seconds(1))), Raced(7));
}

TEST_F(JoinedTest, ExceptionsOfTheFirstAreErrorsAndThoseOfTheSecondNothing) {
  EXPECT_EQ(world.run(race(broken(world.clock), seconds(1))),
            Raced(fail(Code::internal, "unexpected exception: no such thing")));
  const auto with_broken_second = [&](Duration first) -> Awaitable<Raced> {
    co_return co_await deadlines.joined_at(world.clock.now() + kLimit, answer_after(world.clock, first),
                                           [&] { return broken_second(world.clock, seconds(1), &started); });
  };
  EXPECT_EQ(world.run(with_broken_second(seconds(20))), Raced(Result<int>(42)));
  EXPECT_EQ(started, 1);
}

TEST_F(JoinedTest, TheCallersCancellationEndsBoth) {
  for (const Duration passed : {seconds(1), seconds(6)}) {
    started = 0;
    TaskGroup calls(world.env.executor);
    calls.spawn("call", keep(race(answer_after(world.clock, hours(1)), hours(1))));
    world.settle();
    world.clock.advance(passed);
    world.settle();
    calls.cancel();
    world.settle();
    EXPECT_EQ(calls.size(), 0u);
    EXPECT_FALSE(outcome) << "cancellation unwinds";
    world.clock.advance(hours(2));
    world.settle();
    EXPECT_EQ(started, passed > kLimit) << "nothing starts any more";
  }
}

// One that does not throw: what it has seen is that the caller goes, and not what it was to watch for.
TEST_F(JoinedTest, ASecondThatReturnsAsTheCallerIsCancelledDoesNotCount) {
  const auto quiet = [](Clock& clock) -> Awaitable<int> {
    co_await boost::asio::this_coro::throw_if_cancelled(false);
    co_await sleep_for(clock, hours(1));
    co_return 7;
  };
  const auto slow_to_end = [](Clock& clock) -> Awaitable<Result<int>> {
    auto answer = co_await answer_when_cancelled(clock);
    co_await boost::asio::this_coro::reset_cancellation_state();
    co_await sleep_for(clock, seconds(1));
    co_return answer;
  };
  const auto both = [&](Clock& clock) -> Awaitable<Raced> {
    co_return co_await deadlines.joined_at(clock.now() + kLimit, slow_to_end(clock), [&] { return quiet(clock); });
  };
  TaskGroup calls(world.env.executor);
  calls.spawn("call", keep(both(world.clock)));
  world.settle();
  world.clock.advance(kLimit);
  world.settle();
  calls.cancel();
  world.settle();
  EXPECT_EQ(calls.size(), 1u) << "the second is over, the first is not";
  world.clock.advance(seconds(1));
  world.settle();
  EXPECT_EQ(calls.size(), 0u);
  EXPECT_EQ(outcome, Raced(Result<int>(42)));
}

TEST_F(JoinedTest, BothAtTheSameMomentGiveOneOutcome) {
  for (const Duration first : {seconds(5), seconds(6)}) {
    outcome.reset();
    tasks.spawn("call", keep(race(answer_after(world.clock, first), seconds(1))));
    world.settle();
    for (int i = 0; i < 6; ++i) {
      world.clock.advance(seconds(1));
      world.settle();
    }
    EXPECT_TRUE(outcome);
    EXPECT_EQ(tasks.size(), 0u);
  }
}

// A simulated crash, before and after the second has begun.
TEST(Deadlines, RacesDieWithTheirLoop) {
  for (const Duration passed : {seconds(1), seconds(6)}) {
    auto here = std::make_shared<int>(0);
    const std::weak_ptr<int> frame = here;
    int started = 0;
    {
      testing::World world;
      TaskGroup tasks(world.env.executor);
      Deadlines deadlines(world.clock);
      tasks.spawn("call",
                  [](testing::World& the_world, Deadlines& all, int* count, std::shared_ptr<int>) -> Awaitable<void> {
                    co_await all.joined_at(the_world.clock.now() + kLimit, answer_after(the_world.clock, hours(1)),
                                           [&] { return second_after(the_world.clock, hours(1), count); });
                  }(world, deadlines, &started, std::move(here)));
      world.settle();
      world.clock.advance(passed);
      world.settle();
    }
    EXPECT_EQ(started, passed > kLimit);
    EXPECT_TRUE(frame.expired());
  }
}

TEST(Deadlines, CallsOutliveTheObject) {
  testing::World world;
  TaskGroup tasks(world.env.executor);
  auto deadlines = std::make_unique<Deadlines>(world.clock);
  Outcome outcome;
  tasks.spawn("call", keep(deadlines->within(kLimit, "the question", as_it_is, answer_after(world.clock, hours(1))),
                           &world.clock, &outcome));
  world.settle();
  deadlines.reset();
  world.run_until([&] { return tasks.size() == 0; });
  ASSERT_TRUE(outcome.result);
  EXPECT_EQ(outcome.result->error().code, Code::timeout);
}

// A simulated crash: nothing is told to anybody, nothing leaks.
TEST(Deadlines, CallsDieWithTheirLoop) {
  Outcome outcome;
  {
    testing::World world;
    TaskGroup tasks(world.env.executor);
    Deadlines deadlines(world.clock);
    tasks.spawn("call", keep(deadlines.within(kLimit, "the question", as_it_is, answer_after(world.clock, hours(1))),
                             &world.clock, &outcome));
    world.settle();
  }
  EXPECT_FALSE(outcome.result);
}

}  // namespace
}  // namespace krake
