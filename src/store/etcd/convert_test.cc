#include "store/etcd/convert.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/random.h"

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

std::vector<std::size_t> grouped(const std::vector<Txn>& txns) {
  std::vector<const Txn*> waiting;
  for (const auto& txn : txns) waiting.push_back(&txn);
  return choose_group(waiting);
}

Txn put(const char* key) { return {.guards = {Guard::absent(key)}, .puts = {{key, bytes("v")}}}; }

TEST(Convert, CommitsGoTogetherUnlessTheyHaveToDoWithEachOther) {
  const auto indices = [](auto... i) { return std::vector<std::size_t>{static_cast<std::size_t>(i)...}; };
  const Txn fenced{.guards = {Guard::created_at("lease", 3)}, .puts = {{"x", bytes("v")}}};
  const Txn fenced_too{.guards = {Guard::created_at("lease", 3)}, .puts = {{"y", bytes("v")}}};
  const Txn renewal{.guards = {Guard::modified_at("lease", 3)}, .puts = {{"lease", bytes("v")}}};
  EXPECT_EQ(grouped({put("a"), put("b"), put("c")}), indices(0, 1, 2));
  EXPECT_EQ(grouped({put("a"), put("a"), put("b")}), indices(0, 2)) << "one key twice";
  EXPECT_EQ(grouped({put("a"), {.removes = {{"a"}}}, put("b")}), indices(0, 2));
  EXPECT_EQ(grouped({fenced, fenced_too}), indices(0, 1)) << "both read it";
  EXPECT_EQ(grouped({fenced, renewal, put("b")}), indices(0, 2)) << "one writes what the other reads";
  EXPECT_EQ(grouped({renewal, fenced, put("b")}), indices(0, 2));
  EXPECT_EQ(grouped({put("a"), {.guards = {Guard::absent("a")}, .puts = {{"x", bytes("v")}}}, fenced}), indices(0))
      << "the third would overtake the second, which waits";
  EXPECT_EQ(grouped({put("a")}), indices(0));
}

TEST(Convert, AGroupIsBounded) {
  const auto large = [](std::size_t size) {
    return Txn{.puts = {{"k" + std::to_string(size), bytes(std::string(size, 'x').c_str())}}};
  };
  EXPECT_EQ(grouped({large(1'000'000), put("b")}).size(), 1U) << "as large as one may be, alone";
  EXPECT_EQ(grouped({put("b"), large(1'000'000), put("c")}), (std::vector<std::size_t>{0, 2}));
  Txn wide;
  for (int i = 0; i < 90; ++i) wide.puts.push_back({"w" + std::to_string(i), bytes("v")});
  EXPECT_EQ(grouped({wide, put("b")}).size(), 1U);
  EXPECT_EQ(grouped({put("b"), wide, put("c")}), (std::vector<std::size_t>{0, 2}));
  std::vector<Txn> many;
  for (int i = 0; i < 200; ++i) many.push_back({.puts = {{std::to_string(i), bytes("v")}}});
  EXPECT_EQ(grouped(many).size(), 64U);
}

// All guards are judged before anything is written: the outcome must be that of one after the other all the same.
TEST(Convert, WithinAGroupNobodyWritesWhatAnotherReadsOrWrites) {
  Random random(11);
  const auto key = [&] { return std::string(1, static_cast<char>('a' + random.below(12))); };
  for (int round = 0; round < 2'000; ++round) {
    std::vector<Txn> txns(1 + random.below(8));
    for (auto& txn : txns) {
      if (random.chance(0.7)) txn.guards.push_back(Guard::modified_at(key(), 1));
      if (random.chance(0.8)) txn.puts.push_back({key(), bytes("v")});
      if (random.chance(0.2) || txn.puts.empty()) txn.removes.push_back({"r" + key()});
    }
    const auto chosen = grouped(txns);
    ASSERT_FALSE(chosen.empty());
    EXPECT_EQ(chosen.front(), 0U);
    const auto writes = [](const Txn& txn, const std::string& k) {
      return std::ranges::count(txn.puts, k, &Put::key) + std::ranges::count(txn.removes, k, &Remove::key) > 0;
    };
    const auto meet = [&](const Txn& a, const Txn& b) {
      return std::ranges::any_of(a.guards, [&](const Guard& g) { return writes(b, g.key); }) ||
             std::ranges::any_of(a.puts, [&](const Put& p) { return writes(b, p.key); }) ||
             std::ranges::any_of(a.removes, [&](const Remove& r) { return writes(b, r.key); });
    };
    for (const auto i : chosen) {
      for (std::size_t j = 0; j < txns.size(); ++j) {
        if (j == i || (j > i && std::ranges::count(chosen, j) == 0)) continue;
        EXPECT_FALSE(meet(txns[i], txns[j]) || meet(txns[j], txns[i])) << i << " and " << j;
      }
    }
  }
}

TEST(Convert, AnAnswerThatContradictsItselfIsNoOutcome) {
  pb::TxnResponse refused;  // says that a guard failed and shows that all hold
  refused.add_responses()->mutable_response_range();
  const auto result = commit_result({}, put("a"), refused, 7);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::timeout);
}

}  // namespace

}  // namespace krake::store::etcd
