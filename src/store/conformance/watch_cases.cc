// Watches: ordered, unique, atomic, gap-free, resumable - or compacted.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "store/conformance/conformance.h"

namespace krake::store::conformance {

namespace {

using testing::ElementsAre;
using testing::HasSubstr;

void a_watch_delivers_every_commit_once_and_in_order(const Factory& factory) {
  Rig rig(factory);
  const auto start = rig.current();
  auto early = rig.watch("", start);
  std::vector<std::string> want;
  std::set<std::string> present;
  Revision last = 0;
  for (int i = 0; i < 300; ++i) {
    const auto key = "k" + std::to_string(i % 7);
    const bool removes = i % 5 == 4 && present.erase(key) > 0;
    last = removes ? rig.remove(key) : rig.put(key, std::to_string(i));
    if (!removes) present.insert(key);
    want.push_back(removes ? "-" + key : key + "=" + std::to_string(i));
  }
  auto late = rig.watch("", start);
  for (auto* reader : {&early, &late}) {
    Revision previous = start;
    std::vector<std::string> seen;
    while (previous < last) {
      const auto event = reader->next();
      EXPECT_EQ(event.revision, previous + 1);
      previous = event.revision;
      seen.push_back(show(event));
    }
    EXPECT_EQ(seen, want);
  }
}

void a_commit_is_one_event_with_all_its_changes_in_order(const Factory& factory) {
  Rig rig(factory);
  const auto start = rig.put("r", "0");
  auto reader = rig.watch("", start);
  const auto first = rig.committed({.puts = {{"z", bytes("1")}, {"a", bytes("2")}}, .removes = {{"never"}, {"r"}}});
  const auto second = rig.put("z", "3");
  auto event = reader.next();
  EXPECT_EQ(event.revision, first);
  EXPECT_EQ(show(event), "z=1 a=2 -r");
  EXPECT_EQ(event.changes[0].created, first);
  EXPECT_EQ(event.changes[2].value, nullptr);
  event = reader.next();
  EXPECT_EQ(event.revision, second);
  EXPECT_EQ(event.changes[0].created, first) << "put again, created before";
}

// Commits of the same moment may share a revision: then they share the event, one after the other.
void all_of_a_revision_is_one_event(const Factory& factory) {
  Rig rig(factory);
  const auto start = rig.current();
  auto live = rig.watch("", start);
  std::vector<Pending<Result<CommitResult>>> all;
  for (int i = 0; i < 40; ++i) {
    const auto n = std::to_string(i);
    all.push_back(rig.start(rig.store().commit({.puts = {{"b" + n, bytes("1")}, {"a" + n, bytes("2")}}})));
  }
  std::map<Revision, std::vector<std::string>> want;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto result = rig.finish(all[i]);
    ASSERT_TRUE(result);
    want[std::get<Committed>(*result).revision].push_back(fmt::format("b{}=1 a{}=2", i, i));
  }
  auto late = rig.watch("", start);
  for (const auto& [revision, commits] : want) {
    const auto event = live.next();
    EXPECT_EQ(event.revision, revision);
    EXPECT_EQ(event.changes.size(), 2 * commits.size());
    for (const auto& commit : commits) EXPECT_THAT(" " + show(event) + " ", HasSubstr(" " + commit + " "));
    for (const auto& change : event.changes) EXPECT_EQ(change.created, revision);
    EXPECT_EQ(show(late.next()), show(event));
    EXPECT_EQ(show(rig.watch("", revision - 1).next()), show(event)) << "also who resumes there gets all of it";
  }
}

void a_watch_keeps_to_its_prefix(const Factory& factory) {
  Rig rig(factory);
  const auto start = rig.current();
  const std::string ff = "\xff";
  auto live = rig.watch("p/", start);
  auto high = rig.watch(ff, start);
  rig.put("o", "1");
  rig.put("p", "1");
  rig.put("p0", "1");
  rig.committed({.puts = {{"q", bytes("1")}, {"p/a", bytes("1")}, {ff + "a", bytes("1")}}});
  rig.put("p/" + ff, "2");
  const auto last = rig.committed({.puts = {{"p/b", bytes("3")}, {ff, bytes("3")}}, .removes = {{"q"}, {"p/a"}}});
  EXPECT_THAT(live.until(last), ElementsAre("p/a=1", "p/" + ff + "=2", "p/b=3 -p/a"));
  EXPECT_THAT(high.until(last), ElementsAre(ff + "a=1", ff + "=3"));
  auto late = rig.watch("p/", start);
  EXPECT_THAT(late.until(last), ElementsAre("p/a=1", "p/" + ff + "=2", "p/b=3 -p/a"));
}

void a_watch_of_everything_reaches_every_revision(const Factory& factory) {
  Rig rig(factory);
  auto reader = rig.watch("", rig.current());
  const auto reached = [&] {
    const auto newest = rig.current();
    Revision at = 0;
    while (at < newest) at = reader.next().revision;
    EXPECT_EQ(at, newest);
  };
  // Keys as other programs name them, or none of ours at all.
  for (const auto* key : {"/core/roles/a", "plain", "\x01", "\xff\xff"}) {
    rig.put(key, "1");
    reached();
  }
  rig.remove("plain");
  reached();
  const auto lease = rig.grant(rig.backend().lease_time());
  rig.put("leased", "1", lease);
  reached();
  ASSERT_TRUE(rig.run(rig.store().revoke(lease)));
  reached();
}

void a_watch_waits_for_the_next_commit(const Factory& factory) {
  Rig rig(factory);
  const auto start = rig.put("a", "1");
  auto reader = rig.watch("", start);
  const auto waiting = rig.start(reader.watch().next());
  const auto revision = rig.put("a", "2");
  const auto events = rig.finish(waiting);
  ASSERT_TRUE(events);
  ASSERT_EQ(events->size(), 1u);
  EXPECT_EQ(events->front().revision, revision);
}

void a_watch_resumes_at_any_revision(const Factory& factory) {
  Rig rig(factory);
  const auto start = rig.current();
  for (int i = 1; i <= 20; ++i) rig.put("k", std::to_string(i));
  for (int after = 0; after < 20; ++after) {
    auto reader = rig.watch("", start + after);
    const auto event = reader.next();
    EXPECT_EQ(event.revision, start + after + 1);
    EXPECT_EQ(show(event), "k=" + std::to_string(after + 1));
  }
}

void a_watch_from_the_future_waits_for_it(const Factory& factory) {
  Rig rig(factory);
  const auto start = rig.put("k", "0");
  auto reader = rig.watch("", start + 2);
  rig.put("k", "1");
  rig.put("k", "2");
  const auto third = rig.put("k", "3");
  EXPECT_EQ(reader.next().revision, third);
}

void many_watches_and_writers_at_once_see_the_same_order(const Factory& factory) {
  Rig rig(factory);
  const auto start = rig.current();
  std::vector<Reader> readers;
  for (int i = 0; i < 5; ++i) readers.push_back(rig.watch("", start));
  std::vector<Pending<Result<CommitResult>>> commits;
  for (int i = 0; i < 60; ++i) {
    commits.push_back(rig.start(rig.store().commit({.puts = {{"k", bytes(std::to_string(i))}}})));
    if (i == 30) readers.push_back(rig.watch("", start));
  }
  for (const auto& commit : commits) ASSERT_TRUE(rig.finish(commit));
  const auto want = readers[0].until(start + 60);
  EXPECT_EQ(want.size(), 60u);
  for (std::size_t i = 1; i < readers.size(); ++i) EXPECT_EQ(readers[i].until(start + 60), want);
}

void compaction_forgets_history_but_no_values(const Factory& factory) {
  Rig rig(factory);
  const auto start = rig.current();
  rig.put("a", "1");
  const auto middle = rig.put("b", "1");
  const auto last = rig.put("c", "1");
  ASSERT_TRUE(rig.compact(middle));
  EXPECT_EQ(rig.keys("").size(), 3u);
  EXPECT_EQ(rig.current(), last);
  for (const auto after : {start, middle - 1}) {
    const auto watch = rig.run(rig.store().watch("", after));
    if (!watch) {
      EXPECT_EQ(watch.error().code, Code::compacted);
      continue;
    }
    const auto events = rig.run((*watch)->next());
    ASSERT_FALSE(events);
    EXPECT_EQ(events.error().code, Code::compacted);
  }
  EXPECT_EQ(rig.watch("", middle).next().revision, last);
  EXPECT_TRUE(rig.compact(middle)) << "done before";
  EXPECT_TRUE(rig.compact(start)) << "done before";
  const auto ahead = rig.compact(last + 10);
  ASSERT_FALSE(ahead);
  EXPECT_EQ(ahead.error().code, Code::invalid_argument);
  ASSERT_TRUE(rig.compact(last));
  auto reader = rig.watch("", last);
  EXPECT_EQ(show((rig.put("d", "1"), reader.next())), "d=1");
}

void compaction_under_a_watch_cuts_it_only_when_it_lags(const Factory& factory) {
  Rig rig(factory);
  const auto start = rig.current();
  auto prompt = rig.watch("", start);
  auto lagging = rig.watch("", start);
  Revision last = start;
  for (int i = 0; i < 10; ++i) last = rig.put("k", std::to_string(i));
  EXPECT_EQ(prompt.until(last).size(), 10u);
  ASSERT_TRUE(rig.compact(last));
  const auto next = rig.put("k", "next");
  EXPECT_THAT(prompt.until(next), ElementsAre("k=next"));
  // Either it was sent everything before the compaction, or it is told so; never a gap.
  for (Revision seen = start; seen < next;) {
    const auto events = rig.run(lagging.watch().next());
    if (!events) {
      EXPECT_EQ(events.error().code, Code::compacted) << events.error().message;
      break;
    }
    for (const auto& event : *events) EXPECT_EQ(event.revision, ++seen);
  }
}

void a_reader_that_lags_too_far_is_cut(const Factory& factory) {
  Rig rig(factory, {.history = 32});
  if (!rig.backend().bounds_history()) GTEST_SKIP() << "this store bounds its history by other means";
  const auto start = rig.current();
  auto slow = rig.watch("", start);
  auto prompt = rig.watch("", start);
  Revision last = start;
  for (int i = 0; i < 200; ++i) {
    last = rig.put("k", std::to_string(i));
    ASSERT_EQ(prompt.next().revision, last);
  }
  EXPECT_EQ(slow.error().code, Code::compacted);
  EXPECT_EQ(rig.watch("", last - 30).until(last).size(), 30u) << "what is inside the window is there";
}

void history_survives_reopening(const Factory& factory) {
  Rig rig(factory);
  const auto start = rig.current();
  rig.put("a", "1");
  const auto middle = rig.put("b", "2");
  rig.put("b", "3");
  const auto last = rig.remove("a");
  ASSERT_TRUE(rig.compact(start + 1));
  rig.reopen();
  EXPECT_THAT(rig.watch("", start + 1).until(last), ElementsAre("b=2", "b=3", "-a"));
  EXPECT_THAT(rig.watch("b", middle).until(last - 1), ElementsAre("b=3"));
  const auto gone = rig.run(rig.store().watch("", start));
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, Code::compacted);
}

void a_watch_outlives_its_store_and_says_unavailable(const Factory& factory) {
  Rig rig(factory);
  auto reader = rig.watch("", rig.current());
  auto other = rig.watch("", rig.current());
  const auto waiting = rig.start(reader.watch().next());
  rig.current();  // lets the watch begin to wait
  rig.close();
  const auto events = rig.finish(waiting);
  ASSERT_FALSE(events);
  EXPECT_EQ(events.error().code, Code::unavailable);
  EXPECT_EQ(other.error().code, Code::unavailable);
}

}  // namespace

void add_watch_cases(std::vector<Case>& cases) {
  cases.insert(cases.end(),
               {
                   {"AWatchDeliversEveryCommitOnceAndInOrder", a_watch_delivers_every_commit_once_and_in_order},
                   {"ACommitIsOneEventWithAllItsChangesInOrder", a_commit_is_one_event_with_all_its_changes_in_order},
                   {"AllOfARevisionIsOneEvent", all_of_a_revision_is_one_event},
                   {"AWatchKeepsToItsPrefix", a_watch_keeps_to_its_prefix},
                   {"AWatchOfEverythingReachesEveryRevision", a_watch_of_everything_reaches_every_revision},
                   {"AWatchWaitsForTheNextCommit", a_watch_waits_for_the_next_commit},
                   {"AWatchResumesAtAnyRevision", a_watch_resumes_at_any_revision},
                   {"AWatchFromTheFutureWaitsForIt", a_watch_from_the_future_waits_for_it},
                   {"ManyWatchesAndWritersAtOnceSeeTheSameOrder", many_watches_and_writers_at_once_see_the_same_order},
                   {"CompactionForgetsHistoryButNoValues", compaction_forgets_history_but_no_values},
                   {"CompactionUnderAWatchCutsItOnlyWhenItLags", compaction_under_a_watch_cuts_it_only_when_it_lags},
                   {"AReaderThatLagsTooFarIsCut", a_reader_that_lags_too_far_is_cut},
                   {"HistorySurvivesReopening", history_survives_reopening},
                   {"AWatchOutlivesItsStoreAndSaysUnavailable", a_watch_outlives_its_store_and_says_unavailable},
               });
}

}  // namespace krake::store::conformance
