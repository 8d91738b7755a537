#include <gtest/gtest.h>

#include "base/testing.h"
#include "runtime/controller_loop.h"

namespace krake {
namespace {

const ObjectKey kA{"n", "a"};
const ObjectKey kB{"n", "b"};

TEST(WorkQueue, AKeyWaitsOnceAndIsNotHandedOutTwice) {
  WorkQueue queue;
  const Mono now{};
  queue.add(kA, now);
  queue.add(kA, now);
  EXPECT_EQ(queue.take(now), kA);
  EXPECT_FALSE(queue.take(now));
  queue.add(kA, now);  // while it is being worked on
  EXPECT_FALSE(queue.take(now));
  queue.done(kA, now);
  EXPECT_EQ(queue.take(now), kA);
  queue.done(kA, now);
  EXPECT_TRUE(queue.idle());
}

TEST(WorkQueue, NamespacesTakeTurns) {
  WorkQueue queue;
  const Mono now{};
  for (int i = 0; i < 3; ++i) queue.add({"busy", std::to_string(i)}, now);
  queue.add({"quiet", "x"}, now);
  EXPECT_EQ(queue.take(now)->ns, "busy");
  EXPECT_EQ(queue.take(now)->ns, "quiet");
}

TEST(WorkQueue, DeadlinesDoNotHoldUpWhatIsDirty) {
  WorkQueue queue;
  const Mono now{};
  queue.add_at(kA, now + std::chrono::seconds(60));
  queue.add(kA, now);
  EXPECT_EQ(queue.take(now), kA);
  queue.done(kA, now);
  EXPECT_FALSE(queue.take(now + std::chrono::seconds(59)));
  queue.add_at(kA, now + std::chrono::seconds(90));  // the earlier one stays
  EXPECT_EQ(queue.take(now + std::chrono::seconds(60)), kA);
  queue.done(kA, now + std::chrono::seconds(60));
  EXPECT_FALSE(queue.next_deadline());
}

TEST(WorkQueue, DebounceGathersWhatFollows) {
  WorkQueue queue(std::chrono::seconds(1));
  Mono now{};
  queue.add(kA, now);
  EXPECT_EQ(queue.take(now), kA);  // the first passes at once
  queue.done(kA, now);
  queue.add(kA, now + std::chrono::milliseconds(100));
  queue.add(kA, now + std::chrono::milliseconds(900));
  EXPECT_FALSE(queue.take(now + std::chrono::milliseconds(999)));
  EXPECT_EQ(queue.take(now + std::chrono::seconds(1)), kA);
}

struct Recorder {
  std::map<ObjectKey, int> running;
  std::map<ObjectKey, int> runs;
  int fail_first = 0;
  bool overlapped = false;
};
Awaitable<Result<Outcome>> record(Recorder& recorder, Clock& clock, ObjectKey key) {
  if (++recorder.running[key] > 1) recorder.overlapped = true;
  ++recorder.runs[key];
  co_await sleep_for(clock, std::chrono::milliseconds(10));
  --recorder.running[key];
  if (recorder.runs[key] <= recorder.fail_first) co_return fail(Code::unavailable, "not yet");
  co_return Outcome{};
}

TEST(ControllerLoop, KeysDoNotOverlapAndFailuresBackOff) {
  testing::World world;
  Recorder recorder{.fail_first = 3};
  ControllerLoop loop(
      world.env,
      {.name = "test", .backoff = {.base = std::chrono::seconds(1), .cap = std::chrono::seconds(60), .jitter = 0}},
      [&](ObjectKey key) { return record(recorder, world.clock, std::move(key)); });
  loop.start();
  for (int i = 0; i < 5; ++i) {
    loop.add(kA);
    loop.add(kB);
  }
  const Mono begin = world.clock.now();
  EXPECT_TRUE(world.run_until([&] { return recorder.runs[kA] == 4 && recorder.runs[kB] == 4 && loop.idle(); }));
  EXPECT_GE(world.clock.now() - begin, std::chrono::seconds(7));  // 1 + 2 + 4
  EXPECT_FALSE(recorder.overlapped);
  EXPECT_EQ(loop.failures(kA), 0);
  world.run_until([] { return false; }, std::chrono::minutes(10));
  EXPECT_EQ(recorder.runs[kA], 4);  // nothing asked for it again
  world.run(loop.stop());
}

}  // namespace
}  // namespace krake
