// Reads, commits, guards, limits, reopening.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "store/conformance/conformance.h"

namespace krake::store::conformance {

namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::string value_of(const std::optional<Entry>& entry) { return entry ? *entry->value : "(absent)"; }

void revisions_are_one_total_order(const Factory& factory) {
  Rig rig(factory);
  const auto start = rig.current();
  const auto a = rig.put("a", "1");
  const auto b = rig.put("b", "1");
  const auto a2 = rig.put("a", "2");
  const auto gone = rig.remove("b");
  EXPECT_LT(start, a);
  EXPECT_LT(a, b);
  EXPECT_LT(b, a2);
  EXPECT_LT(a2, gone);
  EXPECT_EQ(rig.current(), gone);
  EXPECT_EQ(rig.list("").revision, gone);
}

void an_entry_knows_when_it_was_created_and_modified(const Factory& factory) {
  Rig rig(factory);
  EXPECT_FALSE(rig.get("a"));
  const auto first = rig.put("a", "1");
  const auto second = rig.put("a", "2");
  auto entry = rig.get("a");
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->key, "a");
  EXPECT_EQ(*entry->value, "2");
  EXPECT_EQ(entry->created, first);
  EXPECT_EQ(entry->modified, second);
  EXPECT_EQ(entry->lease, 0);
  rig.remove("a");
  EXPECT_FALSE(rig.get("a"));
  const auto third = rig.put("a", "3");
  entry = rig.get("a");
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->created, third);
  EXPECT_EQ(entry->modified, third);
}

struct GuardRow {
  const char* name;
  Guard guard;
  bool holds;
};

void guards_of_each_kind_hold_or_show_the_current_entry(const Factory& factory) {
  Rig rig(factory);
  const auto created = rig.put("there", "1");
  const auto modified = rig.put("there", "2");
  const GuardRow rows[] = {
      {"absent, it is", Guard::absent("nowhere"), true},
      {"absent, it is not", Guard::absent("there"), false},
      {"modified, as wanted", Guard::modified_at("there", modified), true},
      {"modified since", Guard::modified_at("there", created), false},
      {"modified later than ever", Guard::modified_at("there", modified + 1000), false},
      {"modified, but absent", Guard::modified_at("nowhere", modified), false},
      {"created, as wanted", Guard::created_at("there", created), true},
      {"created at another time", Guard::created_at("there", modified), false},
      {"created, but absent", Guard::created_at("nowhere", created), false},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    const auto before = rig.current();
    const auto result = rig.commit({.guards = {row.guard}, .puts = {{"written", bytes(row.name)}}});
    ASSERT_EQ(std::holds_alternative<Committed>(result), row.holds);
    EXPECT_EQ(value_of(rig.get("written")) == row.name, row.holds);
    if (row.holds) continue;
    EXPECT_EQ(rig.current(), before);
    const auto& conflict = std::get<Conflict>(result);
    EXPECT_EQ(conflict.guard, 0u);
    ASSERT_EQ(conflict.current.has_value(), row.guard.key == "there");
    if (!conflict.current) continue;
    EXPECT_EQ(conflict.current->key, "there");
    EXPECT_EQ(*conflict.current->value, "2");
    EXPECT_EQ(conflict.current->created, created);
    EXPECT_EQ(conflict.current->modified, modified);
  }
}

void an_absent_key_has_no_revision(const Factory& factory) {
  Rig rig(factory);
  for (const auto& guard : {Guard::modified_at("k", 0), Guard::created_at("k", 0)}) {
    EXPECT_TRUE(std::holds_alternative<Conflict>(rig.commit({.guards = {guard}, .puts = {{"j", bytes("1")}}})));
  }
  EXPECT_FALSE(rig.get("j"));
}

void the_first_failed_guard_is_named_and_nothing_is_applied(const Factory& factory) {
  Rig rig(factory);
  const auto a = rig.put("a", "1");
  rig.put("b", "1");
  const auto result = rig.commit({.guards = {Guard::modified_at("a", a), Guard::absent("b"), Guard::absent("a")},
                                  .puts = {{"a", bytes("2")}, {"c", bytes("2")}},
                                  .removes = {{"b"}}});
  const auto* conflict = std::get_if<Conflict>(&result);
  ASSERT_TRUE(conflict);
  EXPECT_EQ(conflict->guard, 1u);
  EXPECT_EQ(value_of(conflict->current), "1");
  EXPECT_THAT(rig.keys(""), ElementsAre("a", "b"));
  EXPECT_EQ(value_of(rig.get("a")), "1");
}

void many_keys_change_at_one_revision(const Factory& factory) {
  Rig rig(factory);
  rig.put("old", "1");
  const auto revision =
      rig.committed({.puts = {{"a", bytes("1")}, {"b", bytes("2")}}, .removes = {{"old"}, {"never"}}});
  EXPECT_THAT(rig.keys(""), ElementsAre("a", "b"));
  EXPECT_EQ(rig.get("a")->modified, revision);
  EXPECT_EQ(rig.get("b")->modified, revision);
}

void a_guard_may_name_a_key_the_transaction_does_not_write(const Factory& factory) {
  Rig rig(factory);
  const auto epoch = rig.put("leader", "me");
  const Txn fenced{.guards = {Guard::created_at("leader", epoch)}, .puts = {{"data", bytes("1")}}};
  rig.committed(fenced);
  rig.remove("leader");
  EXPECT_TRUE(std::holds_alternative<Conflict>(rig.commit(fenced)));
}

void a_commit_that_changes_nothing_has_no_revision(const Factory& factory) {
  Rig rig(factory);
  const auto a = rig.put("a", "1");
  EXPECT_EQ(rig.committed({.guards = {Guard::modified_at("a", a)}}), a);
  EXPECT_EQ(rig.committed({.removes = {{"never"}}}), a);
  EXPECT_EQ(rig.current(), a);
  EXPECT_EQ(rig.put("b", "1"), a + 1);
}

void lists_are_in_byte_order_and_keep_to_the_prefix(const Factory& factory) {
  Rig rig(factory);
  const std::string ff = "\xff";
  const std::string zero("\0", 1);
  for (const auto& key : {std::string("a"), "a" + zero, "a" + ff, "a" + ff + "x", "a" + ff + ff, std::string("b"), ff,
                          ff + ff, ff + "a", std::string("a/1"), std::string("a/10"), std::string("a0")}) {
    rig.put(key, key);
  }
  EXPECT_THAT(rig.keys("a"),
              ElementsAre("a", "a" + zero, "a/1", "a/10", "a0", "a" + ff, "a" + ff + "x", "a" + ff + ff));
  EXPECT_THAT(rig.keys("a" + ff), ElementsAre("a" + ff, "a" + ff + "x", "a" + ff + ff));
  EXPECT_THAT(rig.keys(ff), ElementsAre(ff, ff + "a", ff + ff));
  EXPECT_THAT(rig.keys(ff + ff), ElementsAre(ff + ff));
  EXPECT_THAT(rig.keys("a/1"), ElementsAre("a/1", "a/10"));
  EXPECT_THAT(rig.keys("zz"), IsEmpty());
  EXPECT_EQ(rig.keys("").size(), 12u);
  EXPECT_EQ(rig.keys("").front(), "a");
  EXPECT_EQ(rig.keys("").back(), ff + ff);
}

void lists_go_on_after_a_key_and_stop_at_the_limit(const Factory& factory) {
  Rig rig(factory);
  for (const char* key : {"p/a", "p/b", "p/c", "p/d", "q"}) rig.put(key, "1");
  auto page = rig.list("p/", {.limit = 2});
  EXPECT_TRUE(page.more);
  ASSERT_EQ(page.entries.size(), 2u);
  EXPECT_EQ(page.entries[1].key, "p/b");
  page = rig.list("p/", {.after = "p/b", .limit = 2});
  EXPECT_FALSE(page.more) << "exactly the rest";
  ASSERT_EQ(page.entries.size(), 2u);
  EXPECT_EQ(page.entries[0].key, "p/c");
  EXPECT_THAT(rig.keys("p/", {.after = "p/bb"}), ElementsAre("p/c", "p/d"));
  EXPECT_THAT(rig.keys("p/", {.after = "a"}), ElementsAre("p/a", "p/b", "p/c", "p/d"))
      << "after lies before the prefix";
  EXPECT_THAT(rig.keys("p/", {.after = "p/d"}), IsEmpty());
  EXPECT_THAT(rig.keys("p/", {.after = "z"}), IsEmpty());
  EXPECT_THAT(rig.keys("", {.after = "p/d"}), ElementsAre("q"));
  EXPECT_FALSE(rig.list("p/", {.limit = 4}).more);
  EXPECT_TRUE(rig.list("p/", {.limit = 3}).more);
}

void lists_are_given_in_pages_while_they_are_read(const Factory& factory) {
  Rig rig(factory);
  for (int i = 0; i < 300; ++i) rig.put(fmt::format("p/{:03}", i), std::to_string(i));
  rig.put("q", "1");
  const auto given = [&](const std::string& prefix, ListOptions options) {
    std::vector<std::string> keys;
    bool first = true;
    options.each_page = [&](const std::vector<Entry>& page, bool anew) {
      EXPECT_TRUE(anew || !first);
      first = false;
      if (anew) keys.clear();
      for (const auto& entry : page) keys.push_back(entry.key + "=" + *entry.value);
    };
    const auto pages = rig.list(prefix, options);
    EXPECT_FALSE(first) << "a list of nothing is given too";
    EXPECT_THAT(pages.entries, IsEmpty());
    options.each_page = {};
    const auto whole = rig.list(prefix, options);
    EXPECT_EQ(pages.revision, whole.revision);
    EXPECT_EQ(pages.more, whole.more);
    std::vector<std::string> expected;
    for (const auto& entry : whole.entries) expected.push_back(entry.key + "=" + *entry.value);
    EXPECT_EQ(keys, expected);
    return keys.size();
  };
  EXPECT_EQ(given("p/", {}), 300u);
  EXPECT_EQ(given("", {}), 301u);
  EXPECT_EQ(given("p/", {.limit = 100}), 100u);
  EXPECT_EQ(given("p/", {.limit = 300}), 300u);
  EXPECT_EQ(given("p/", {.after = "p/099", .limit = 150}), 150u);
  EXPECT_EQ(given("none/", {}), 0u);
}

void values_are_any_bytes_up_to_the_limit(const Factory& factory) {
  Rig rig(factory);
  std::string large(kMaxBytesOfFew - 1, 'x');
  for (std::size_t i = 0; i < large.size(); i += 997) large[i] = static_cast<char>(i);
  const std::string odd("\0\xff\n\0", 4);
  rig.put("l", large);
  rig.put("empty", "");
  rig.put("odd", odd);
  EXPECT_TRUE(value_of(rig.get("l")) == large);
  EXPECT_EQ(value_of(rig.get("empty")), "");
  EXPECT_EQ(value_of(rig.get("odd")), odd);
  EXPECT_TRUE(*rig.list("l").entries.at(0).value == large);
}

Txn many_puts(std::size_t count) {
  Txn txn;
  for (std::size_t i = 0; i < count; ++i) txn.puts.push_back({"k" + std::to_string(i), bytes("v")});
  return txn;
}

void limits_are_refused_whole(const Factory& factory) {
  Rig rig(factory);
  const auto start = rig.current();
  auto guarded = many_puts(kMaxTxnOperations);
  guarded.guards.push_back(Guard::absent("g"));
  auto many = many_puts(kFewOperations + 1);
  many.puts.front().value = bytes(std::string(kMaxTxnBytes, 'x'));
  const std::tuple<const char*, Txn, Code> rows[] = {
      {"too many operations", many_puts(kMaxTxnOperations + 1), Code::too_large},
      {"guards count", guarded, Code::too_large},
      {"too many bytes", {.puts = {{"k", bytes(std::string(kMaxBytesOfFew, 'x'))}}}, Code::too_large},
      {"too many bytes of many", many, Code::too_large},
      {"put twice", {.puts = {{"k", bytes("1")}, {"k", bytes("2")}}}, Code::invalid_argument},
      {"put and removed", {.puts = {{"k", bytes("1")}}, .removes = {{"k"}}}, Code::invalid_argument},
      {"removed twice", {.removes = {{"k"}, {"k"}}}, Code::invalid_argument},
      {"the empty key", {.puts = {{"", bytes("1")}}}, Code::invalid_argument},
      {"no value", {.puts = {{"k", nullptr}}}, Code::invalid_argument},
      {"unknown lease", {.puts = {{"j", bytes("1")}, {"k", bytes("1"), 987654321}}}, Code::invalid_argument},
  };
  for (const auto& [name, txn, code] : rows) {
    SCOPED_TRACE(name);
    const auto result = rig.try_commit(txn);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, code) << result.error().message;
  }
  EXPECT_EQ(rig.current(), start);
  EXPECT_THAT(rig.keys(""), IsEmpty());
  rig.committed(many_puts(kMaxTxnOperations));
  EXPECT_EQ(rig.keys("").size(), kMaxTxnOperations);
}

Awaitable<int> increment(Store* store, int times) {
  int conflicts = 0;
  for (int done = 0; done < times;) {
    const auto entry = co_await store->get("counter");
    if (!entry) co_return -1;
    const auto next = std::to_string(*entry ? std::stoi(*(*entry)->value) + 1 : 1);
    auto guard = *entry ? Guard::modified_at("counter", (*entry)->modified) : Guard::absent("counter");
    Txn txn{.guards = {std::move(guard)}, .puts = {{"counter", bytes(next)}}};
    co_await yield();  // the other one may come in between
    const auto result = co_await store->commit(std::move(txn));
    if (!result) co_return -1;
    std::holds_alternative<Committed>(*result) ? ++done : ++conflicts;
  }
  co_return conflicts;
}

void of_two_writers_that_race_one_wins_each_round(const Factory& factory) {
  Rig rig(factory);
  const auto start = rig.current();
  const auto one = rig.start(increment(&rig.store(), 50));
  const auto two = rig.start(increment(&rig.store(), 50));
  const int first = rig.finish(one);
  const int second = rig.finish(two);
  ASSERT_GE(first, 0);
  ASSERT_GE(second, 0);
  EXPECT_GT(first + second, 0) << "they never met";
  EXPECT_EQ(value_of(rig.get("counter")), "100");
  EXPECT_EQ(rig.current(), start + 100);
}

Awaitable<Revision> put_then_current(Store* store, std::string key) {
  Txn txn{.puts = {{std::move(key), bytes("1")}}};
  const auto result = co_await store->commit(std::move(txn));
  if (!result) co_return -1;
  const auto current = co_await store->current();
  co_return current && *current >= std::get<Committed>(*result).revision ? std::get<Committed>(*result).revision : -1;
}

// They may share revisions, but leave none out.
void commits_at_the_same_moment_are_each_whole_and_told_what_they_wrote(const Factory& factory) {
  Rig rig(factory);
  const auto start = rig.current();
  std::vector<Pending<Revision>> all;
  const auto key = [](std::size_t i) { return "k" + std::to_string(i); };
  for (std::size_t i = 0; i < 64; ++i) all.push_back(rig.start(put_then_current(&rig.store(), key(i))));
  std::set<Revision> revisions;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto revision = rig.finish(all[i]);
    revisions.insert(revision);
    const auto entry = rig.get(key(i));
    ASSERT_TRUE(entry);
    EXPECT_EQ(entry->created, revision);
    EXPECT_EQ(entry->modified, revision);
  }
  EXPECT_EQ(*revisions.begin(), start + 1);
  EXPECT_EQ(*revisions.rbegin(), start + static_cast<Revision>(revisions.size()));
  EXPECT_EQ(rig.current(), *revisions.rbegin());
  EXPECT_EQ(rig.put("after", "1"), *revisions.rbegin() + 1) << "sent when all were acknowledged";
}

// Every third one has a guard that fails, and another one changes nothing.
void a_commit_that_loses_takes_no_other_with_it(const Factory& factory) {
  Rig rig(factory);
  const auto taken = rig.put("taken", "1");
  std::vector<Pending<Result<CommitResult>>> all;
  for (int i = 0; i < 30; ++i) {
    const auto name = std::to_string(i);
    Txn txn{.guards = {Guard::absent("a" + name)}, .puts = {{"a" + name, bytes(name)}, {"b" + name, bytes(name)}}};
    if (i % 3 == 1) txn.guards.push_back(Guard::absent("taken"));
    if (i % 3 == 2) txn = {.removes = {{"never" + name}}};
    all.push_back(rig.start(rig.store().commit(std::move(txn))));
  }
  for (int i = 0; i < 30; ++i) {
    SCOPED_TRACE(i);
    const auto result = rig.finish(all[static_cast<std::size_t>(i)]);
    ASSERT_TRUE(result);
    const auto a = rig.get("a" + std::to_string(i));
    const auto b = rig.get("b" + std::to_string(i));
    const auto* conflict = std::get_if<Conflict>(&*result);
    ASSERT_EQ(conflict != nullptr, i % 3 == 1);
    ASSERT_EQ(a.has_value(), i % 3 == 0);
    ASSERT_EQ(b.has_value(), i % 3 == 0);
    if (conflict) {
      EXPECT_EQ(conflict->guard, 1u);
      ASSERT_TRUE(conflict->current);
      EXPECT_EQ(conflict->current->modified, taken);
    } else if (a) {
      const auto revision = std::get<Committed>(*result).revision;
      EXPECT_EQ(a->modified, revision);
      EXPECT_EQ(b->modified, revision);
    }
  }
}

// Each guards what the other writes: applied together, both would be right about what was before, and both wrong about
// one another.
void commits_that_guard_what_another_writes_have_an_order(const Factory& factory) {
  Rig rig(factory);
  for (int round = 0; round < 20; ++round) {
    SCOPED_TRACE(round);
    const auto x = "x" + std::to_string(round);
    const auto y = "y" + std::to_string(round);
    const auto lease = "lease" + std::to_string(round);
    const auto term = rig.put(lease, "1");
    const auto first = rig.start(rig.store().commit({.guards = {Guard::absent(x)}, .puts = {{y, bytes("1")}}}));
    const auto fenced =
        rig.start(rig.store().commit({.guards = {Guard::created_at(lease, term)}, .puts = {{"f" + x, bytes("1")}}}));
    const auto second = rig.start(rig.store().commit({.guards = {Guard::absent(y)}, .puts = {{x, bytes("1")}}}));
    const auto release = rig.start(rig.store().commit({.removes = {{lease}}}));
    const auto one = rig.finish(first);
    const auto other = rig.finish(second);
    ASSERT_TRUE(one && other);
    EXPECT_NE(std::holds_alternative<Committed>(*one), std::holds_alternative<Committed>(*other));
    EXPECT_NE(rig.get(x).has_value(), rig.get(y).has_value());
    const auto written = rig.finish(fenced);
    const auto released = rig.finish(release);
    ASSERT_TRUE(written && released);
    const auto* in_time = std::get_if<Committed>(&*written);
    if (in_time) EXPECT_LT(in_time->revision, std::get<Committed>(*released).revision) << "in its term";
  }
}

void no_revision_has_two_changes_of_one_key(const Factory& factory) {
  Rig rig(factory);
  const auto start = rig.current();
  std::vector<Pending<Result<CommitResult>>> all;
  for (int i = 0; i < 40; ++i) {
    Txn txn{.puts = {{"own" + std::to_string(i), bytes("1")}, {"shared", bytes(std::to_string(i))}}};
    all.push_back(rig.start(rig.store().commit(std::move(txn))));
  }
  std::map<Revision, std::string> want;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto result = rig.finish(all[i]);
    ASSERT_TRUE(result);
    want[std::get<Committed>(*result).revision] = "shared=" + std::to_string(i);
  }
  EXPECT_EQ(want.size(), 40u);
  auto reader = rig.watch("shared", start);
  for (const auto& [revision, change] : want) {
    const auto event = reader.next();
    EXPECT_EQ(event.revision, revision);
    EXPECT_EQ(show(event), change);
  }
}

void everything_is_there_again_after_reopening(const Factory& factory) {
  Rig rig(factory);
  const auto id = rig.store().id();
  const auto a = rig.put("a", "1");
  const auto b = rig.committed({.puts = {{"b", bytes(std::string("\0x", 2))}}, .removes = {{"a"}}});
  rig.reopen();
  EXPECT_FALSE(id.empty());
  EXPECT_EQ(rig.store().id(), id);
  EXPECT_EQ(rig.current(), b);
  const auto listing = rig.list("");
  ASSERT_EQ(listing.entries.size(), 1u);
  EXPECT_EQ(listing.revision, b);
  EXPECT_EQ(*listing.entries[0].value, std::string("\0x", 2));
  EXPECT_EQ(listing.entries[0].modified, b);
  EXPECT_EQ(rig.put("c", "1"), b + 1);
  auto reader = rig.watch("", a - 1);
  EXPECT_THAT(reader.until(b + 1), ElementsAre("a=1", std::string("b=\0x -a", 7), "c=1"));
}

void two_stores_have_different_ids(const Factory& factory) {
  Rig one(factory);
  Rig two(factory);
  EXPECT_NE(one.store().id(), two.store().id());
}

}  // namespace

void add_core_cases(std::vector<Case>& cases) {
  cases.insert(
      cases.end(),
      {
          {"RevisionsAreOneTotalOrder", revisions_are_one_total_order},
          {"AnEntryKnowsWhenItWasCreatedAndModified", an_entry_knows_when_it_was_created_and_modified},
          {"GuardsOfEachKindHoldOrShowTheCurrentEntry", guards_of_each_kind_hold_or_show_the_current_entry},
          {"AnAbsentKeyHasNoRevision", an_absent_key_has_no_revision},
          {"TheFirstFailedGuardIsNamedAndNothingIsApplied", the_first_failed_guard_is_named_and_nothing_is_applied},
          {"ManyKeysChangeAtOneRevision", many_keys_change_at_one_revision},
          {"AGuardMayNameAKeyTheTransactionDoesNotWrite", a_guard_may_name_a_key_the_transaction_does_not_write},
          {"ACommitThatChangesNothingHasNoRevision", a_commit_that_changes_nothing_has_no_revision},
          {"ListsAreInByteOrderAndKeepToThePrefix", lists_are_in_byte_order_and_keep_to_the_prefix},
          {"ListsGoOnAfterAKeyAndStopAtTheLimit", lists_go_on_after_a_key_and_stop_at_the_limit},
          {"ListsAreGivenInPagesWhileTheyAreRead", lists_are_given_in_pages_while_they_are_read},
          {"ValuesAreAnyBytesUpToTheLimit", values_are_any_bytes_up_to_the_limit},
          {"LimitsAreRefusedWhole", limits_are_refused_whole},
          {"OfTwoWritersThatRaceOneWinsEachRound", of_two_writers_that_race_one_wins_each_round},
          {"CommitsAtTheSameMomentAreEachWholeAndToldWhatTheyWrote",
           commits_at_the_same_moment_are_each_whole_and_told_what_they_wrote},
          {"ACommitThatLosesTakesNoOtherWithIt", a_commit_that_loses_takes_no_other_with_it},
          {"CommitsThatGuardWhatAnotherWritesHaveAnOrder", commits_that_guard_what_another_writes_have_an_order},
          {"NoRevisionHasTwoChangesOfOneKey", no_revision_has_two_changes_of_one_key},
          {"EverythingIsThereAgainAfterReopening", everything_is_there_again_after_reopening},
          {"TwoStoresHaveDifferentIds", two_stores_have_different_ids},
      });
}

}  // namespace krake::store::conformance
