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
  // Nobody knows whether the other one was written.
  auto two = update;
  two.puts.push_back({"l", bytes("x")});
  EXPECT_EQ(own_commit(two, {1, same}), std::nullopt);
  two.puts.pop_back();
  two.removes.push_back({"l"});
  EXPECT_EQ(own_commit(two, {1, same}), std::nullopt);
  // Whether it was ours that removed the key, nobody knows.
  EXPECT_EQ(own_commit({.guards = {Guard::modified_at("k", 5)}, .removes = {{"k"}}}, {0, std::nullopt}), std::nullopt);
}

Chosen chosen_of(const std::vector<Txn>& txns) {
  std::vector<const Txn*> waiting;
  for (const auto& txn : txns) waiting.push_back(&txn);
  return choose_group(waiting);
}

Txn put(const char* key) { return {.guards = {Guard::absent(key)}, .puts = {{key, bytes("v")}}}; }

using Indices = std::vector<std::size_t>;

TEST(Convert, CommitsGoTogetherUnlessTheyHaveToDoWithEachOther) {
  const Txn fenced{.guards = {Guard::created_at("lease", 3)}, .puts = {{"x", bytes("v")}}};
  const Txn fenced_too{.guards = {Guard::created_at("lease", 3)}, .puts = {{"y", bytes("v")}}};
  const Txn renewal{.guards = {Guard::modified_at("lease", 3)}, .puts = {{"lease", bytes("v")}}};
  struct Row {
    const char* why;
    std::vector<Txn> waiting;
    Indices together;
    Indices alone;
  };
  const Row rows[] = {
      {"nothing in common", {put("a"), put("b"), put("c")}, {0, 1, 2}, {}},
      {"one key twice", {put("a"), put("a"), put("b")}, {0, 2}, {1}},
      {"written and removed", {put("a"), {.removes = {{"a"}}}, put("b")}, {0, 2}, {1}},
      {"both read it", {fenced, fenced_too}, {0, 1}, {}},
      {"read, then written", {fenced, renewal, put("b")}, {0, 2}, {1}},
      {"written, then read", {renewal, fenced, put("b")}, {0, 2}, {1}},
      {"one", {put("a")}, {0}, {}},
  };
  for (const auto& row : rows) {
    const auto chosen = chosen_of(row.waiting);
    EXPECT_EQ(chosen.together, row.together) << row.why;
    EXPECT_EQ(chosen.alone, row.alone) << row.why;
  }
}

TEST(Convert, AGroupIsBounded) {
  const auto large = [](std::size_t size) { return Txn{.puts = {{"big", bytes(std::string(size, 'x').c_str())}}}; };
  EXPECT_EQ(chosen_of({large(1'000'000), put("b")}).together, Indices{0}) << "as large as one may be";
  EXPECT_EQ(chosen_of({large(1'000'000), put("b")}).alone, Indices{}) << "the next one waits for the next group";
  EXPECT_EQ(chosen_of({put("b"), large(1'000'000), put("c")}).together, Indices{0});
  Txn wide;
  for (int i = 0; i < 90; ++i) wide.puts.push_back({"w" + std::to_string(i), bytes("v")});
  EXPECT_EQ(chosen_of({wide, put("b")}).together, Indices{0});
  EXPECT_EQ(chosen_of({put("b"), wide, put("c")}).together, (Indices{0, 2}));
  EXPECT_EQ(chosen_of({put("b"), wide, put("c")}).alone, Indices{1});
  std::vector<Txn> many;
  for (int i = 0; i < 200; ++i) many.push_back({.puts = {{std::to_string(i), bytes("v")}}});
  EXPECT_EQ(chosen_of(many).together.size(), 64U);
  for (auto& txn : many) txn.guards.push_back(Guard::absent("fence"));
  EXPECT_EQ(chosen_of(many).together.size(), 32U) << "a key that is only read counts";
}

// All guards are judged before anything is written: the outcome must be that of one after the other all the same.
TEST(Convert, WithinAGroupNobodyWritesWhatAnotherReadsOrWrites) {
  Random random(11);
  const auto key = [&] { return std::string(1, static_cast<char>('a' + random.below(12))); };
  const auto writes = [](const Txn& txn, const std::string& k) {
    return std::ranges::count(txn.puts, k, &Put::key) + std::ranges::count(txn.removes, k, &Remove::key) > 0;
  };
  const auto meet = [&](const Txn& a, const Txn& b) {
    return std::ranges::any_of(a.guards, [&](const Guard& g) { return writes(b, g.key); }) ||
           std::ranges::any_of(a.puts, [&](const Put& p) { return writes(b, p.key); }) ||
           std::ranges::any_of(a.removes, [&](const Remove& r) { return writes(b, r.key); });
  };
  for (int round = 0; round < 2'000; ++round) {
    std::vector<Txn> txns(1 + random.below(8));
    for (auto& txn : txns) {
      if (random.chance(0.7)) txn.guards.push_back(Guard::modified_at(key(), 1));
      if (random.chance(0.8)) txn.puts.push_back({key(), bytes("v")});
      if (random.chance(0.2) || txn.puts.empty()) txn.removes.push_back({"r" + key()});
    }
    const auto chosen = chosen_of(txns);
    ASSERT_FALSE(chosen.together.empty());
    EXPECT_EQ(chosen.together.front(), 0U);
    EXPECT_EQ(chosen.together.size() + chosen.alone.size(), txns.size()) << "all are small";
    for (const auto i : chosen.together) {
      for (const auto j : chosen.together) {
        EXPECT_FALSE(i != j && (meet(txns[i], txns[j]) || meet(txns[j], txns[i]))) << i << " and " << j;
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
