// Leases: keys that vanish when nobody keeps them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "store/conformance/conformance.h"

namespace krake::store::conformance {

namespace {

using testing::ElementsAre;
using testing::IsEmpty;

void keys_vanish_when_their_lease_runs_out(const Factory& factory) {
  Rig rig(factory);
  const auto ttl = rig.backend().lease_time();
  rig.put("stays", "1");
  const auto lease = rig.grant(ttl);
  EXPECT_NE(lease, 0);
  const auto last = rig.committed({.puts = {{"b", bytes("1"), lease}, {"a", bytes("1"), lease}}});
  EXPECT_EQ(rig.get("a")->lease, lease);
  auto reader = rig.watch("", last);
  rig.backend().elapse(ttl - ttl / 4);
  EXPECT_EQ(rig.keys("").size(), 3u) << "not before its time";
  rig.backend().elapse(ttl / 2);
  const auto event = reader.next();
  EXPECT_EQ(event.revision, last + 1) << "one ordinary commit";
  EXPECT_EQ(show(event), "-a -b");
  EXPECT_THAT(rig.keys(""), ElementsAre("stays"));
  EXPECT_EQ(rig.current(), last + 1);
}

void keeping_a_lease_alive_starts_its_time_again_and_commits_nothing(const Factory& factory) {
  Rig rig(factory);
  const auto ttl = rig.backend().lease_time();
  const auto lease = rig.grant(ttl);
  const auto last = rig.put("k", "1", lease);
  for (int i = 0; i < 5; ++i) {
    rig.backend().elapse(ttl - ttl / 4);
    ASSERT_TRUE(rig.run(rig.store().keep_alive(lease)));
  }
  EXPECT_TRUE(rig.get("k"));
  EXPECT_EQ(rig.current(), last);
  auto reader = rig.watch("", last);
  rig.backend().elapse(ttl + ttl / 4);
  EXPECT_EQ(show(reader.next()), "-k");
  const auto late = rig.run(rig.store().keep_alive(lease));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Code::not_found);
}

void revoking_a_lease_removes_its_keys_at_once(const Factory& factory) {
  Rig rig(factory);
  const auto ttl = rig.backend().lease_time();
  const auto lease = rig.grant(ttl);
  const auto other = rig.grant(ttl);
  EXPECT_NE(lease, other);
  rig.put("a", "1", lease);
  rig.put("b", "1", lease);
  const auto last = rig.put("c", "1", other);
  auto reader = rig.watch("", last);
  ASSERT_TRUE(rig.run(rig.store().revoke(lease)));
  EXPECT_THAT(rig.keys(""), ElementsAre("c"));
  EXPECT_EQ(show(reader.next()), "-a -b");
  for (const auto& again : {rig.run(rig.store().revoke(lease)), rig.run(rig.store().keep_alive(lease)),
                            rig.run(rig.store().revoke(12345678)), rig.run(rig.store().keep_alive(12345678))}) {
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, Code::not_found);
  }
  const auto put = rig.try_commit({.puts = {{"d", bytes("1"), lease}}});
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().code, Code::invalid_argument);
}

void the_last_put_decides_the_lease_of_a_key(const Factory& factory) {
  Rig rig(factory);
  const auto ttl = rig.backend().lease_time();
  const auto one = rig.grant(ttl);
  const auto two = rig.grant(ttl);
  rig.put("freed", "1", one);
  rig.put("moved", "1", one);
  rig.put("taken", "1");
  rig.put("gone", "1", one);
  rig.put("freed", "2");
  rig.put("moved", "2", two);
  rig.put("taken", "2", one);
  const auto last = rig.remove("gone");
  auto reader = rig.watch("", last);
  ASSERT_TRUE(rig.run(rig.store().revoke(one)));
  EXPECT_EQ(show(reader.next()), "-taken");
  EXPECT_THAT(rig.keys(""), ElementsAre("freed", "moved"));
  EXPECT_EQ(rig.get("freed")->lease, 0);
  EXPECT_EQ(rig.get("moved")->lease, two);
}

void a_lease_without_keys_ends_without_a_commit(const Factory& factory) {
  Rig rig(factory);
  const auto ttl = rig.backend().lease_time();
  const auto start = rig.current();
  const auto lease = rig.grant(ttl);
  rig.backend().elapse(ttl + ttl / 2);
  const auto kept = rig.run(rig.store().keep_alive(lease));
  ASSERT_FALSE(kept);
  EXPECT_EQ(kept.error().code, Code::not_found);
  EXPECT_EQ(rig.current(), start);
}

void many_keys_of_one_lease_go_together(const Factory& factory) {
  Rig rig(factory);
  const auto lease = rig.grant(rig.backend().lease_time());
  Revision last = 0;
  for (int i = 0; i < 3; ++i) {
    Txn txn;
    for (std::size_t j = 0; j < kMaxTxnOperations; ++j) {
      txn.puts.push_back({"k" + std::to_string(i) + "/" + std::to_string(j), bytes("v"), lease});
    }
    last = rig.committed(std::move(txn));
  }
  auto reader = rig.watch("", last);
  ASSERT_TRUE(rig.run(rig.store().revoke(lease)));
  EXPECT_EQ(reader.next().changes.size(), 3 * kMaxTxnOperations);
  EXPECT_THAT(rig.keys(""), IsEmpty());
}

void leases_get_their_full_time_again_after_reopening(const Factory& factory) {
  Rig rig(factory);
  const auto ttl = rig.backend().lease_time();
  const auto lease = rig.grant(ttl);
  const auto last = rig.put("k", "1", lease);
  rig.backend().elapse(ttl - ttl / 4);
  rig.reopen();
  rig.backend().elapse(ttl - ttl / 4);
  EXPECT_TRUE(rig.get("k"));
  auto reader = rig.watch("", last);
  rig.backend().elapse(ttl / 2);
  EXPECT_EQ(show(reader.next()), "-k");
  EXPECT_NE(rig.grant(ttl), lease) << "numbers are not used twice";
}

void a_lease_wants_a_sensible_time(const Factory& factory) {
  Rig rig(factory);
  for (const Duration ttl : {Duration(0), Duration(-5), Duration(std::chrono::hours(24 * 3650))}) {
    const auto lease = rig.run(rig.store().grant(ttl));
    ASSERT_FALSE(lease);
    EXPECT_EQ(lease.error().code, Code::invalid_argument);
  }
}

}  // namespace

void add_lease_cases(std::vector<Case>& cases) {
  cases.insert(cases.end(),
               {
                   {"KeysVanishWhenTheirLeaseRunsOut", keys_vanish_when_their_lease_runs_out},
                   {"KeepingALeaseAliveStartsItsTimeAgainAndCommitsNothing",
                    keeping_a_lease_alive_starts_its_time_again_and_commits_nothing},
                   {"RevokingALeaseRemovesItsKeysAtOnce", revoking_a_lease_removes_its_keys_at_once},
                   {"TheLastPutDecidesTheLeaseOfAKey", the_last_put_decides_the_lease_of_a_key},
                   {"ALeaseWithoutKeysEndsWithoutACommit", a_lease_without_keys_ends_without_a_commit},
                   {"ManyKeysOfOneLeaseGoTogether", many_keys_of_one_lease_go_together},
                   {"LeasesGetTheirFullTimeAgainAfterReopening", leases_get_their_full_time_again_after_reopening},
                   {"ALeaseWantsASensibleTime", a_lease_wants_a_sensible_time},
               });
}

}  // namespace krake::store::conformance
