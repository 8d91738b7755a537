#include "store/etcd/convert.h"

#include <gtest/gtest.h>

namespace krake::store::etcd {

namespace {

Bytes bytes(const char* text) { return std::make_shared<const std::string>(text); }

TEST(Convert, RangesEndWhereThePrefixDoes) {
  const std::string zero(1, '\0');
  const KeySpace all;
  const KeySpace mine{"/site"};
  EXPECT_EQ(range_of(all, "").first, zero);
  EXPECT_EQ(range_of(all, "").end, zero);
  EXPECT_EQ(range_of(all, "/a/").first, "/a/");
  EXPECT_EQ(range_of(all, "/a/").end, "/a0");
  EXPECT_EQ(range_of(all, "/a/", "/a/x").first, "/a/x" + zero);
  EXPECT_EQ(range_of(all, "\xff").end, zero);
  EXPECT_EQ(range_of(mine, "").first, "/site");
  EXPECT_EQ(range_of(mine, "").end, "/sitf");
  EXPECT_EQ(range_of(mine, "/a/", "/a/x").first, "/site/a/x" + zero);
}

TEST(Convert, ATransactionIsRepeatedOnlyWhenItCannotBeAppliedTwice) {
  const Txn update{.guards = {Guard::modified_at("k", 5)}, .puts = {{"k", bytes("v")}}};
  const Txn removal{.guards = {Guard::modified_at("k", 5)}, .removes = {{"k"}}};
  const Txn creation{.guards = {Guard::absent("k")}, .puts = {{"k", bytes("v")}}};
  const Txn fenced{.guards = {Guard::created_at("lease", 3), Guard::modified_at("k", 5)}, .puts = {{"k", bytes("v")}}};
  const Txn other{.guards = {Guard::modified_at("j", 5)}, .puts = {{"k", bytes("v")}}};
  EXPECT_TRUE(safe_to_repeat(update));
  EXPECT_TRUE(safe_to_repeat(removal));
  EXPECT_TRUE(safe_to_repeat(fenced));
  EXPECT_FALSE(safe_to_repeat(creation));
  EXPECT_FALSE(safe_to_repeat(other));
  EXPECT_FALSE(safe_to_repeat({.puts = {{"k", bytes("v")}}}));
}

TEST(Convert, AConflictWithItselfIsACommit) {
  const Txn update{.guards = {Guard::created_at("lease", 3), Guard::modified_at("k", 5)}, .puts = {{"k", bytes("v")}}};
  const Entry same{.key = "k", .value = bytes("v"), .created = 2, .modified = 9};
  const Entry other{.key = "k", .value = bytes("w"), .created = 2, .modified = 9};
  EXPECT_EQ(own_commit(update, {1, same}), 9);
  EXPECT_EQ(own_commit(update, {1, other}), std::nullopt);
  EXPECT_EQ(own_commit(update, {1, std::nullopt}), std::nullopt);
  EXPECT_EQ(own_commit(update, {0, Entry{.key = "lease", .value = bytes("v"), .modified = 7}}), std::nullopt);
  // Whether it was ours that removed the key, nobody knows.
  EXPECT_EQ(own_commit({.guards = {Guard::modified_at("k", 5)}, .removes = {{"k"}}}, {0, std::nullopt}), std::nullopt);
}

}  // namespace

}  // namespace krake::store::etcd
