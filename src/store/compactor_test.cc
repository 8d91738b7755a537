#include "store/compactor.h"

#include <gtest/gtest.h>

#include "base/testing.h"
#include "store/memory/memory_store.h"

namespace krake::store {

namespace {

constexpr Duration kAge = std::chrono::minutes(10);
Bytes bytes(int i) { return std::make_shared<const std::string>(std::to_string(i)); }

struct CompactorTest : ::testing::Test {
  krake::testing::World world;
  std::shared_ptr<MemoryDisk> disk = std::make_shared<MemoryDisk>("disk", MemoryOptions{});
  std::unique_ptr<Store> store = make_memory_store(world.context.get_executor(), world.clock, disk);
  std::unique_ptr<Store> other = make_memory_store(world.context.get_executor(), world.clock, disk);

  // A commit each minute; what was the newest revision at which minute.
  std::vector<Revision> pass(int minutes) {
    std::vector<Revision> newest;
    for (int i = 0; i < minutes; ++i) {
      auto done = world.run(store->commit({.puts = {{"k", bytes(i)}}}));
      newest.push_back(std::get<Committed>(*done).revision);
      const Mono next = world.clock.now() + std::chrono::minutes(1);
      world.run_until([&] { return world.clock.now() >= next; }, std::chrono::minutes(1));
    }
    return newest;
  }
  bool kept(Revision after) { return world.run(store->watch("", after)).has_value(); }
};

TEST_F(CompactorTest, HistoryOfTheLastTenMinutesIsKeptAndOlderGoes) {
  Compactor one(world.env, *store, kAge);
  Compactor two(world.env, *other, kAge);
  one.start();
  two.start();
  const auto newest = pass(60);
  EXPECT_FALSE(kept(newest[30]));
  EXPECT_TRUE(kept(newest[49]));
  const auto end = std::get<Committed>(*world.run(store->commit({.puts = {{"end", bytes(0)}}}))).revision;
  EXPECT_EQ(end - newest[0] + 1, 60 + 1 + 6) << "one turn in ten minutes, whoever takes it";
  world.run(one.stop());
  const auto later = pass(60);
  EXPECT_FALSE(kept(later[30])) << "the other one goes on alone";
  EXPECT_TRUE(kept(later[49]));
  world.run(two.stop());
}

TEST_F(CompactorTest, ANumberNobodyCouldHaveWrittenDoesNoHarm) {
  const auto first =
      std::get<Committed>(*world.run(store->commit(
                              {.puts = {{"/krake/compaction", std::make_shared<const std::string>("999999999")}}})))
          .revision;
  Compactor one(world.env, *store, kAge);
  one.start();
  pass(45);
  EXPECT_FALSE(kept(first));
  world.run(one.stop());
}

}  // namespace

}  // namespace krake::store
