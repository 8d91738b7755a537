#include "store/memory/memory_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "store/conformance/conformance.h"

namespace krake::store {

namespace {

using conformance::Backend;
using conformance::BackendOptions;
using conformance::bytes;
using conformance::Rig;

class MemoryBackend final : public Backend {
 public:
  explicit MemoryBackend(BackendOptions options)
      : disk_(std::make_shared<MemoryDisk>("memory-" + std::to_string(++made_),
                                           MemoryOptions{options.history ? options.history : 100'000})) {}
  boost::asio::io_context& loop() override { return loop_; }
  Awaitable<Result<std::unique_ptr<Store>>> open() override {
    co_return make_memory_store(loop_.get_executor(), clock_, disk_);
  }
  void elapse(Duration time) override { clock_.advance(time); }
  SimClock& clock() { return clock_; }
  const std::shared_ptr<MemoryDisk>& disk() const { return disk_; }

 private:
  static inline int made_ = 0;
  boost::asio::io_context loop_;
  SimClock clock_{loop_.get_executor(), Wall{}};
  std::shared_ptr<MemoryDisk> disk_;
};

std::unique_ptr<Backend> make_backend(BackendOptions options) { return std::make_unique<MemoryBackend>(options); }

[[maybe_unused]] const bool registered = conformance::register_cases("MemoryStoreConformance", make_backend);

TEST(MemoryStore, TwoStoresOnOneDiskSeeEachOther) {
  Rig rig(make_backend);
  auto& backend = static_cast<MemoryBackend&>(rig.backend());
  auto second = make_memory_store(backend.loop().get_executor(), backend.clock(), backend.disk());
  auto watch = rig.run(second->watch("", 0));
  ASSERT_TRUE(watch);
  const auto waiting = rig.start((*watch)->next());
  const auto revision = rig.put("k", "1");
  const auto events = rig.finish(waiting);
  ASSERT_TRUE(events);
  EXPECT_EQ(events->front().revision, revision);
  EXPECT_EQ(rig.run(second->current()), revision);
}

TEST(MemoryStore, ALeaseOfACrashedStoreRunsOutAtTheOther) {
  Rig rig(make_backend);
  auto& backend = static_cast<MemoryBackend&>(rig.backend());
  auto second = make_memory_store(backend.loop().get_executor(), backend.clock(), backend.disk());
  const auto lease = rig.run(second->grant(std::chrono::seconds(10)));
  ASSERT_TRUE(lease);
  rig.put("k", "1", *lease);
  backend.elapse(std::chrono::seconds(6));
  second.reset();
  backend.elapse(std::chrono::seconds(3));
  EXPECT_TRUE(rig.get("k"));
  backend.elapse(std::chrono::seconds(2));
  EXPECT_FALSE(rig.get("k"));
}

TEST(MemoryStore, CurrentNeedsNoSuspension) {
  Rig rig(make_backend);
  EXPECT_EQ(rig.current(), 0);
  rig.close();
  auto& backend = static_cast<MemoryBackend&>(rig.backend());
  EXPECT_EQ(backend.clock().pending(), 0u) << "a closed store leaves no timer";
}

}  // namespace

}  // namespace krake::store
