#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "store/bounded_store.h"
#include "store/conformance/conformance.h"
#include "store/faulty_store.h"
#include "store/memory/memory_store.h"
#include "store/metered_store.h"

namespace krake::store {

namespace {

using conformance::Backend;
using conformance::BackendOptions;
using conformance::bytes;
using conformance::Reader;
using conformance::Rig;
using testing::ElementsAre;
using testing::HasSubstr;

// Both decorators around a memory store; harmless until told otherwise.
class Stack final : public Store {
 public:
  Stack(boost::asio::io_context& loop, Clock& clock, std::shared_ptr<MemoryDisk> disk, Metrics& metrics)
      : memory_(make_memory_store(loop.get_executor(), clock, std::move(disk))),
        faulty(*memory_, loop.get_executor(), clock, Random(7)),
        metered_(faulty, clock, metrics) {}
  Awaitable<Result<std::optional<Entry>>> get(std::string key) override { return metered_.get(std::move(key)); }
  Awaitable<Result<Listing>> list(std::string prefix, ListOptions options) override {
    return metered_.list(std::move(prefix), std::move(options));
  }
  Awaitable<Result<CommitResult>> commit(Txn txn) override { return metered_.commit(std::move(txn)); }
  Awaitable<Result<std::unique_ptr<Watch>>> watch(std::string prefix, Revision after) override {
    return metered_.watch(std::move(prefix), after);
  }
  Awaitable<Result<Revision>> current() override { return metered_.current(); }
  Awaitable<Status> compact(Revision revision) override { return metered_.compact(revision); }
  Awaitable<Result<LeaseId>> grant(Duration ttl) override { return metered_.grant(ttl); }
  Awaitable<Status> keep_alive(LeaseId lease) override { return metered_.keep_alive(lease); }
  Awaitable<Status> revoke(LeaseId lease) override { return metered_.revoke(lease); }
  const std::string& id() const override { return metered_.id(); }

 private:
  std::unique_ptr<Store> memory_;

 public:
  FaultyStore faulty;

 private:
  MeteredStore metered_;
};

class StackBackend final : public Backend {
 public:
  explicit StackBackend(BackendOptions options)
      : disk_(std::make_shared<MemoryDisk>("disk-" + std::to_string(++made_),
                                           MemoryOptions{options.history ? options.history : 100'000})) {}
  boost::asio::io_context& loop() override { return loop_; }
  Awaitable<Result<std::unique_ptr<Store>>> open() override {
    auto stack = std::make_unique<Stack>(loop_, clock, disk_, metrics);
    faulty = &stack->faulty;
    co_return std::move(stack);
  }
  void elapse(Duration time) override { clock.advance(time); }

 private:
  static inline int made_ = 0;
  boost::asio::io_context loop_;
  std::shared_ptr<MemoryDisk> disk_;

 public:
  SimClock clock{loop_.get_executor(), Wall{}};
  Metrics metrics;
  FaultyStore* faulty = nullptr;
};

std::unique_ptr<Backend> make_backend(BackendOptions options) { return std::make_unique<StackBackend>(options); }
StackBackend& backend_of(Rig& rig) { return static_cast<StackBackend&>(rig.backend()); }

[[maybe_unused]] const bool registered = conformance::register_cases("DecoratedStoreConformance", make_backend);

TEST(FaultyStore, ScriptedCommitFaultsComeInOrder) {
  Rig rig(make_backend);
  auto& faulty = *backend_of(rig).faulty;
  const auto first = rig.put("k", "0");
  for (const auto fault :
       {CommitFault::unavailable, CommitFault::none, CommitFault::timeout, CommitFault::lost_answer}) {
    faulty.script(fault);
  }
  const auto code = [&](const char* value) {
    const auto result = rig.try_commit({.puts = {{"k", bytes(value)}}});
    return result ? std::nullopt : std::optional(result.error().code);
  };
  EXPECT_EQ(code("1"), Code::unavailable);
  EXPECT_EQ(rig.current(), first) << "not applied";
  EXPECT_EQ(code("2"), std::nullopt);
  EXPECT_EQ(code("3"), Code::timeout);
  EXPECT_EQ(*rig.get("k")->value, "2");
  EXPECT_EQ(code("4"), Code::timeout);
  EXPECT_EQ(*rig.get("k")->value, "4") << "applied, only the answer is lost";
  EXPECT_EQ(code("5"), std::nullopt);
  EXPECT_EQ(faulty.faults(), 3u);
}

TEST(FaultyStore, AnInjectedConflictIsARealOne) {
  Rig rig(make_backend);
  const auto first = rig.put("k", "same");
  backend_of(rig).faulty->script(CommitFault::conflict);
  const auto result = rig.commit({.guards = {Guard::modified_at("k", first)}, .puts = {{"k", bytes("new")}}});
  const auto* conflict = std::get_if<Conflict>(&result);
  ASSERT_TRUE(conflict);
  ASSERT_TRUE(conflict->current);
  EXPECT_EQ(*conflict->current->value, "same");
  EXPECT_EQ(conflict->current->created, first);
  EXPECT_GT(conflict->current->modified, first);
  rig.committed({.guards = {Guard::modified_at("k", conflict->current->modified)}, .puts = {{"k", bytes("new")}}});
}

TEST(FaultyStore, WhileItIsAwayNothingAnswersAndWatchesEnd) {
  Rig rig(make_backend);
  auto& faulty = *backend_of(rig).faulty;
  const auto last = rig.put("k", "1");
  auto reader = rig.watch("", last);
  auto idle = rig.watch("", last);
  const auto waiting = rig.start(reader.watch().next());
  rig.current();
  faulty.set_away(true);
  const auto events = rig.finish(waiting);
  ASSERT_FALSE(events);
  EXPECT_EQ(events.error().code, Code::unavailable);
  EXPECT_EQ(idle.error().code, Code::unavailable);
  EXPECT_FALSE(rig.run(rig.store().get("k")));
  EXPECT_FALSE(rig.run(rig.store().current()));
  EXPECT_FALSE(rig.try_commit({.removes = {{"k"}}}));
  faulty.set_away(false);
  EXPECT_TRUE(rig.get("k"));
  EXPECT_EQ(reader.error().code, Code::unavailable) << "a cut watch stays cut";
  const auto next = rig.put("k", "2");
  EXPECT_EQ(rig.watch("", last).next().revision, next);
}

TEST(FaultyStore, WatchFaultsCutCompactOrDelayADelivery) {
  Rig rig(make_backend);
  auto& faulty = *backend_of(rig).faulty;
  const auto start = rig.current();
  rig.put("k", "1");
  for (const auto& [fault, code] :
       {std::pair(WatchFault::cut, Code::unavailable), std::pair(WatchFault::compacted, Code::compacted)}) {
    faulty.script(fault);
    auto reader = rig.watch("", start);
    EXPECT_EQ(reader.error().code, code);
  }
  faulty.script(WatchFault::lag);
  auto reader = rig.watch("", start);
  const auto waiting = rig.start(reader.watch().next());
  rig.pump([&] { return backend_of(rig).clock.pending() > 0; });
  EXPECT_FALSE(*waiting);
  rig.backend().elapse(std::chrono::seconds(5));
  EXPECT_TRUE(rig.finish(waiting));
}

// Retries until acknowledged or refused by its guard; what the guard shows tells whether a lost answer had been
// applied.
Awaitable<int> add_one(Store* store, Clock* clock, int times) {
  int unknown = 0;
  for (int i = 0; i < times; ++i) {
    const auto key = "k" + std::to_string(i);
    while (true) {
      Txn txn{.guards = {Guard::absent(key)}, .puts = {{key, bytes("v")}}};
      const auto result = co_await store->commit(std::move(txn));
      if (result) break;
      if (result.error().code == Code::timeout) ++unknown;
      co_await sleep_for(*clock, std::chrono::milliseconds(10));
    }
  }
  co_return unknown;
}

TEST(FaultyStore, AWriterThatRetriesGetsThroughEveryChance) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    Rig rig(make_backend);
    auto& backend = backend_of(rig);
    backend.faulty->set_rates({.unavailable = 0.2, .lost_answer = 0.2, .read_unavailable = 0.2, .delay = 0.3});
    const auto writer = rig.start(add_one(&rig.store(), &backend.clock, 50));
    while (!*writer) {
      backend.loop().restart();
      backend.loop().poll();
      backend.elapse(std::chrono::milliseconds(50));
    }
    EXPECT_GT(rig.finish(writer), 0);
    backend.faulty->set_rates({});
    EXPECT_EQ(rig.keys("").size(), 50u);
    EXPECT_GT(backend.faulty->faults(), 10u);
  }
}

TEST(BoundedStore, NoCallWaitsLongerThanItsLimit) {
  Rig rig(make_backend);
  auto& backend = backend_of(rig);
  BoundedStore bounded(*backend.faulty, backend.clock,
                       {.call = std::chrono::milliseconds(5), .list = std::chrono::milliseconds(50)});
  ASSERT_TRUE(rig.run(bounded.commit({.puts = {{"k", bytes("1")}}})));
  EXPECT_EQ(rig.run(bounded.current()), 1);
  backend.faulty->set_rates({.delay = 1, .max_delay = std::chrono::hours(1000)});
  const auto late = [&]<class T>(Awaitable<Result<T>> call, Duration limit) {
    const auto pending = rig.start(std::move(call));
    rig.pump([&] { return backend.clock.pending() > 1; });
    rig.backend().elapse(limit);
    const auto result = rig.finish(pending);
    return result ? Error{} : result.error();
  };
  EXPECT_EQ(late(bounded.current(), std::chrono::milliseconds(5)).code, Code::unavailable);
  EXPECT_EQ(late(bounded.get("k"), std::chrono::milliseconds(5)).code, Code::unavailable);
  EXPECT_EQ(late(bounded.list(""), std::chrono::milliseconds(50)).code, Code::unavailable);
  const auto unknown = late(bounded.commit({.puts = {{"k", bytes("2")}}}), std::chrono::milliseconds(5));
  EXPECT_EQ(unknown.code, Code::timeout);
  EXPECT_THAT(unknown.message, HasSubstr("the outcome is unknown"));
}

TEST(BoundedStore, TheStoresOwnTimeoutsAreToldAsItsOwn) {
  Rig rig(make_backend);
  auto& backend = backend_of(rig);
  BoundedStore bounded(*backend.faulty, backend.clock);
  backend.faulty->script(CommitFault::timeout);
  const auto lost = rig.run(bounded.commit({.puts = {{"k", bytes("1")}}}));
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, Code::timeout);
  EXPECT_THAT(lost.error().message, HasSubstr("read to find out: no answer to the commit"));
  backend.faulty->script(CommitFault::unavailable);
  const auto refused = rig.run(bounded.commit({.puts = {{"k", bytes("1")}}}));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::unavailable) << "known: not applied";
  backend.faulty->script(ReadFault::unavailable);
  EXPECT_EQ(rig.run(bounded.get("k")).error().code, Code::unavailable);
}

TEST(BoundedStore, ACancelledCallerCancelsItsCall) {
  Rig rig(make_backend);
  auto& backend = backend_of(rig);
  BoundedStore bounded(*backend.faulty, backend.clock);
  backend.faulty->set_rates({.delay = 1, .max_delay = std::chrono::hours(1000)});
  TaskGroup callers(backend.loop().get_executor());
  const auto commit = [](Store* store) -> Awaitable<void> {
    (void)co_await store->commit({.puts = {{"k", bytes("1")}}});
    ADD_FAILURE() << "cancellation unwinds";
  };
  callers.spawn("caller", commit(&bounded));
  rig.pump([&] { return backend.clock.pending() > 1; });
  callers.cancel();
  rig.pump([&] { return callers.size() == 0; });
  EXPECT_EQ(backend.clock.pending(), 1u) << "of the call only the timer of all calls is left";
  backend.faulty->set_rates({});
  EXPECT_FALSE(rig.get("k"));
}

TEST(MeteredStore, CallsAreCountedByResult) {
  Rig rig(make_backend);
  auto& backend = backend_of(rig);
  const auto start = rig.current();
  rig.put("k", "1");
  rig.put("k", "2");
  rig.commit({.guards = {Guard::absent("k")}});
  backend.faulty->script(CommitFault::unavailable);
  (void)rig.try_commit({});
  rig.get("k");
  rig.watch("", start).until(start + 2);
  const auto text = backend.metrics.text();
  EXPECT_THAT(text, HasSubstr("krake_store_operations_total{operation=\"commit\",result=\"ok\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("krake_store_operations_total{operation=\"commit\",result=\"conflict\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("krake_store_operations_total{operation=\"commit\",result=\"unavailable\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("krake_store_operations_total{operation=\"get\",result=\"ok\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("krake_store_operation_seconds_count{operation=\"commit\"} 4\n"));
  EXPECT_THAT(text, HasSubstr("krake_store_watch_events_total 2\n"));
}

}  // namespace

}  // namespace krake::store
