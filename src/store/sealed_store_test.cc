#include "store/sealed_store.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/encoding.h"
#include "base/testing.h"
#include "store/memory/memory_store.h"

namespace krake::store {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

SealingKeys keys_of(std::string_view ids) {
  std::string text;
  for (const char id : ids) text += fmt::format("{} {}\n", id, base64_encode(std::string(32, id)));
  auto keys = SealingKeys::parse(text, "keys");
  if (!keys) throw std::runtime_error(keys.error().message);
  return std::move(*keys);
}

// Several stores, each with its keys, over one disk.
struct Disk {
  std::shared_ptr<MemoryDisk> disk = std::make_shared<MemoryDisk>("disk", MemoryOptions{});
  testing::World world;
  std::unique_ptr<Store> open() { return make_memory_store(world.env.executor, world.clock, disk); }
  SealedStore sealed(std::string_view ids, Unopened unopened = Unopened::refuse) {
    return SealedStore(open(), ids.empty() ? SealingKeys() : keys_of(ids), {"/secret/"}, unopened);
  }
  Revision put(Store& store, const std::string& key, const std::string& value) {
    Txn txn;
    txn.puts.push_back({key, std::make_shared<const std::string>(value)});
    auto done = world.run(store.commit(std::move(txn)));
    if (!done) throw std::runtime_error(done.error().message);
    return std::get<Committed>(*done).revision;
  }
  std::string get(Store& store, const std::string& key) {
    auto entry = world.run(store.get(key));
    if (!entry) return to_string(entry.error());
    return *entry ? *(*entry)->value : "absent";
  }
};

TEST(W11, SecretsAreSealedInTheStore) {
  Disk t;
  auto store = t.sealed("a");
  const auto plain = t.open();
  t.put(*plain, "/secret/old", "plain");
  t.put(store, "/secret/x", "value");
  t.put(store, "/open/x", "value");
  EXPECT_TRUE(SealingKeys::is_sealed(t.get(*plain, "/secret/x")));
  EXPECT_THAT(t.get(*plain, "/secret/x"), Not(HasSubstr("value")));
  EXPECT_EQ(t.get(*plain, "/open/x"), "value");
  // Every way back gives the value.
  EXPECT_EQ(t.get(store, "/secret/x"), "value");
  EXPECT_EQ(t.get(store, "/secret/old"), "plain");
  const auto listing = t.world.run(store.list("/secret/", {}));
  ASSERT_TRUE(listing);
  EXPECT_EQ(*listing->entries.back().value, "value");
  std::vector<std::string> paged;
  ASSERT_TRUE(t.world.run(store.list("/secret/", {.each_page = [&](const std::vector<Entry>& page, bool) {
                                       for (const auto& entry : page) paged.push_back(*entry.value);
                                     }})));
  EXPECT_EQ(paged, (std::vector<std::string>{"plain", "value"}));
  Txn txn;
  txn.guards.push_back(Guard::absent("/secret/x"));
  const auto conflict = t.world.run(store.commit(std::move(txn)));
  ASSERT_TRUE(conflict);
  EXPECT_EQ(*std::get<Conflict>(*conflict).current->value, "value");
  auto watch = t.world.run(store.watch("/secret/", 0));
  ASSERT_TRUE(watch);
  const auto events = t.world.run((*watch)->next());
  ASSERT_TRUE(events);
  EXPECT_EQ(*events->back().changes.back().value, "value");
  // Another key first: the old one still opens, and the next write takes the new one.
  auto turned = t.sealed("ba");
  EXPECT_EQ(t.get(turned, "/secret/x"), "value");
  t.put(turned, "/secret/x", "newer");
  EXPECT_THAT(t.get(*plain, "/secret/x"), HasSubstr(":b:"));
}

TEST(SealedStore, WithoutItsKeyNothingIsLeftOutSilently) {
  Disk t;
  auto store = t.sealed("a");
  t.put(store, "/secret/x", "value");
  for (const char* ids : {"", "b"}) {
    auto other = t.sealed(ids);
    EXPECT_THAT(t.get(other, "/secret/x"), HasSubstr("security.encryption_key_file"));
    EXPECT_FALSE(t.world.run(other.list("/secret/", {})));
    const auto nobody = [](const std::vector<Entry>&, bool) { ADD_FAILURE() << "given what cannot be read"; };
    EXPECT_FALSE(t.world.run(other.list("/secret/", {.each_page = nobody})));
    auto watch = t.world.run(other.watch("/secret/", 0));
    ASSERT_TRUE(watch);
    EXPECT_EQ(t.world.run((*watch)->next()).error().code, Code::unavailable);
  }
}

TEST(SealedStore, WithoutItsKeyAValueMayBePassedOnWithItsName) {
  Disk t;
  auto store = t.sealed("a");
  t.put(store, "/secret/x", "value");
  t.put(store, "/open/x", "value");
  const auto plain = t.open();
  for (const char* ids : {"", "b"}) {
    auto other = t.sealed(ids, Unopened::isolate);
    const auto entry = t.world.run(other.get("/secret/x"));
    ASSERT_TRUE(entry && *entry);
    EXPECT_EQ((*entry)->sealed_with, "a");
    EXPECT_EQ(*(*entry)->value, t.get(*plain, "/secret/x"));
    const auto listing = t.world.run(other.list("/", {}));
    ASSERT_TRUE(listing);
    EXPECT_EQ(listing->entries.front().sealed_with, "");
    EXPECT_EQ(listing->entries.back().sealed_with, "a");
    auto watch = t.world.run(other.watch("/", 0));
    ASSERT_TRUE(watch);
    std::vector<std::string> names;
    while (names.size() < 2) {
      const auto events = t.world.run((*watch)->next());
      ASSERT_TRUE(events) << events.error().message;
      for (const auto& event : *events) names.push_back(event.changes.front().sealed_with);
    }
    EXPECT_EQ(names, (std::vector<std::string>{"a", ""}));
    Txn txn;
    txn.guards.push_back(Guard::absent("/secret/x"));
    const auto conflict = t.world.run(other.commit(std::move(txn)));
    ASSERT_TRUE(conflict);
    EXPECT_EQ(std::get<Conflict>(*conflict).current->sealed_with, "a");
  }
}

TEST(SealedStore, WhatWasDamagedIsPassedOnForItsReaderToIsolate) {
  Disk t;
  auto store = t.sealed("a");
  const auto plain = t.open();
  t.put(store, "/secret/x", "value");
  t.put(*plain, "/secret/y", t.get(*plain, "/secret/x"));  // in another's place
  EXPECT_EQ(t.get(store, "/secret/x"), "value");
  EXPECT_TRUE(SealingKeys::is_sealed(t.get(store, "/secret/y")));
}

}  // namespace
}  // namespace krake::store
