// What etcd has beyond the contract: members that go, log-in, TLS, quota, foreign programs, restores.
#include "store/etcd/etcd_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <set>

#include "store/bounded_store.h"
#include "store/etcd/etcd_test_backend.h"

namespace krake::store {

namespace {

using conformance::bytes;
using conformance::Pending;
using conformance::Rig;
using conformance::show;
using testing::ElementsAre;
using testing::HasSubstr;

// One kind of cluster for each test: none is left in a state another one would see.
struct Site {
  explicit Site(ClusterOptions options = {}) : cluster(std::make_shared<EtcdCluster>(std::move(options))) {}
  std::unique_ptr<Rig> rig(EtcdOptions options = {.timeout = std::chrono::seconds(20)}) {
    return std::make_unique<Rig>([cluster = cluster, options](conformance::BackendOptions) {
      return std::make_unique<EtcdBackend>(cluster, options);
    });
  }
  std::shared_ptr<EtcdCluster> cluster;
};

EtcdStore& etcd_of(Rig& rig) { return dynamic_cast<EtcdStore&>(rig.store()); }

Txn creation(const std::string& key, const std::string& value = "v") {
  return {.guards = {Guard::absent(key)}, .puts = {{key, bytes(value)}}};
}

std::string error_of(const auto& result) { return result ? "" : result.error().message; }

// A store nobody has asked anything yet.
struct Unopened {
  explicit Unopened(EtcdOptions options) {
    auto opened = open_etcd_store(loop.get_executor(), clock, Random(7), Log(), std::move(options));
    EXPECT_TRUE(opened) << error_of(opened);
    if (opened) store = std::move(*opened);
  }
  ~Unopened() {
    tasks.cancel();
    while (tasks.size() > 0) step();
  }
  void step() {
    loop.restart();
    loop.run_one();
  }
  template <class T>
  T run(Awaitable<T> operation) {
    std::optional<T> result;
    tasks.spawn("test", keep(std::move(operation), result));
    while (!result) step();
    return std::move(*result);
  }
  template <class T>
  static Awaitable<void> keep(Awaitable<T> operation, std::optional<T>& result) {
    result.emplace(co_await std::move(operation));
  }
  // All at the same time.
  std::vector<Result<CommitResult>> run_all(int count,
                                            const std::function<Awaitable<Result<CommitResult>>(int)>& each) {
    std::vector<std::optional<Result<CommitResult>>> results(static_cast<std::size_t>(count));
    for (int i = 0; i < count; ++i) tasks.spawn("test", keep(each(i), results[static_cast<std::size_t>(i)]));
    while (!std::ranges::all_of(results, [](const auto& result) { return result.has_value(); })) step();
    std::vector<Result<CommitResult>> done;
    for (auto& result : results) done.push_back(std::move(*result));
    return done;
  }
  boost::asio::io_context loop;
  RealClock clock{loop.get_executor()};
  TaskGroup tasks{loop.get_executor()};
  std::unique_ptr<EtcdStore> store;
};

TEST(EtcdStore, EndpointsAreChecked) {
  boost::asio::io_context loop;
  RealClock clock(loop.get_executor());
  const auto open = [&](std::vector<std::string> endpoints) {
    return open_etcd_store(loop.get_executor(), clock, Random(1), Log(), {.endpoints = std::move(endpoints)});
  };
  for (const char* bad :
       {"", "nowhere", "http://", "http://:1", "localhost:", "localhost:x", "http://a:1/path", "a:70000", "a:0"}) {
    const auto opened = open({bad});
    ASSERT_FALSE(opened) << bad;
    EXPECT_EQ(opened.error().code, Code::invalid_argument);
  }
  EXPECT_FALSE(open({}));
  EXPECT_TRUE(open({"a:1", "http://b:2", "https://c:3/", "http://[::1]:2379"}));
}

TEST(EtcdStore, OpeningNeedsNoEtcdAndItsAbsenceIsSaidSoon) {
  Site site;
  site.cluster->kill(0);
  Unopened there({.endpoints = site.cluster->endpoints()});
  EXPECT_EQ(there.store->id(), "");
  const Mono begin = there.clock.now();
  const auto current = there.run(there.store->current());
  ASSERT_FALSE(current);
  EXPECT_EQ(current.error().code, Code::unavailable);
  EXPECT_THAT(current.error().message, HasSubstr("etcd at " + site.cluster->endpoints()[0]));
  EXPECT_THAT(error_of(there.run(there.store->commit({.puts = {{"k", bytes("v")}}}))), HasSubstr("connect"));
  EXPECT_LT(there.clock.now() - begin, std::chrono::seconds(15)) << "bounded";
  site.cluster->start(0);
  site.cluster->wait_ready();
  EXPECT_TRUE(there.run(there.store->current()));
  EXPECT_NE(there.store->id(), "");
}

TEST(EtcdStore, AMemberThatDiesOrSleepsIsLeft) {
  Site site({.members = 3});
  auto rig = site.rig({.timeout = std::chrono::seconds(20), .patience = std::chrono::milliseconds(500)});
  rig->put("a", "0");
  for (int member = 0; member < 3; ++member) {  // one of them is the one that is asked
    site.cluster->kill(member);
    EXPECT_TRUE(rig->get("a"));
    EXPECT_GT(rig->put("a", "1"), 0);
    site.cluster->start(member);
    site.cluster->wait_ready();
    site.cluster->pause(member);
    EXPECT_TRUE(rig->get("a"));
    EXPECT_GT(rig->put("a", "2"), 0);
    site.cluster->go_on(member);
    site.cluster->wait_ready();
  }
}

TEST(EtcdStore, WithoutAMajorityReadsSayUnavailableAndCommitsThatNobodyKnows) {
  Site site({.members = 3});
  auto rig = site.rig({.timeout = std::chrono::seconds(2), .patience = std::chrono::milliseconds(500)});
  const auto last = rig->put("k", "1");
  auto reader = rig->watch("", last);
  site.cluster->kill(1);
  site.cluster->kill(2);
  const auto read = rig->run(rig->store().current());
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Code::unavailable);
  const auto commit = rig->try_commit({.guards = {Guard::modified_at("k", last)}, .puts = {{"k", bytes("2")}}});
  ASSERT_FALSE(commit);
  EXPECT_TRUE(commit.error().code == Code::timeout || commit.error().code == Code::unavailable);
  EXPECT_FALSE(rig->run(rig->store().grant(std::chrono::seconds(5))));
  EXPECT_EQ(reader.error().code, Code::unavailable) << "it does not keep quiet";
  site.cluster->start(1);
  site.cluster->start(2);
  site.cluster->wait_ready();
  const auto value = *rig->get("k")->value;
  EXPECT_TRUE(value == "1" || value == "2");
  EXPECT_GT(rig->put("k", "3"), last);
  auto resumed = rig->watch("", last);
  EXPECT_EQ(show(resumed.next()), value == "1" ? "k=3" : "k=2");
}

// An update whose answer is lost is sent again and told apart from somebody else's.
TEST(EtcdStore, AnUpdateWhoseMemberFallsAsleepIsDoneOnce) {
  Site site({.members = 3});
  auto rig = site.rig({.timeout = std::chrono::seconds(20), .patience = std::chrono::milliseconds(300)});
  Revision last = rig->put("k", "0");
  int known = 0;
  for (int member = 0; member < 3; ++member) {
    site.cluster->pause(member);
    const auto value = std::to_string(member + 1);
    const auto pending =
        rig->start(rig->store().commit({.guards = {Guard::modified_at("k", last)}, .puts = {{"k", bytes(value)}}}));
    (void)rig->run(rig->store().current());  // notices when that is the one that is asked
    const auto result = rig->finish(pending);
    site.cluster->go_on(member);
    site.cluster->wait_ready();
    const auto entry = *rig->get("k");
    if (result) {
      ++known;
      ASSERT_TRUE(std::holds_alternative<Committed>(*result));
      EXPECT_EQ(*entry.value, value);
      EXPECT_EQ(std::get<Committed>(*result).revision, entry.modified);
    }
    last = entry.modified;
  }
  EXPECT_EQ(known, 3) << "what it was sent to fell asleep at most once without taking it along";
}

TEST(W26, LogsInAndLogsInAgainWhenItsTokenIsForgotten) {
  Site site;
  site.cluster->ctl("user add root:top");
  site.cluster->ctl("auth enable");
  Unopened nobody({.endpoints = site.cluster->endpoints()});
  EXPECT_THAT(error_of(nobody.run(nobody.store->current())), HasSubstr("set etcd.user"));
  Unopened wrong({.endpoints = site.cluster->endpoints(), .user = "root", .password = "secret-guess"});
  const auto refused = error_of(wrong.run(wrong.store->current()));
  EXPECT_THAT(refused, HasSubstr("check etcd.user"));
  EXPECT_THAT(refused, testing::Not(HasSubstr("secret-guess")));
  Unopened root({.endpoints = site.cluster->endpoints(), .user = "root", .password = "top"});
  EXPECT_TRUE(root.run(root.store->current()));
  site.cluster->kill(0);  // tokens are in its memory
  site.cluster->start(0);
  auto again = root.run(root.store->commit({.puts = {{"k", bytes("v")}}}));
  for (int i = 0; i < 20 && !again; ++i) {
    again = root.run(root.store->commit({.puts = {{"k", bytes("v")}}}));  // it takes a while to start
  }
  EXPECT_TRUE(again) << error_of(again);
  site.cluster->ctl("--user=root:top user add another:pw");  // all tokens are void now
  const auto together = root.run_all(15, [&](int i) { return root.store->commit(creation("t" + std::to_string(i))); });
  for (const auto& result : together) EXPECT_TRUE(result) << error_of(result);
  site.cluster->ctl("--user=root:top auth disable");
  Unopened needless({.endpoints = site.cluster->endpoints(), .user = "root", .password = "top"});
  EXPECT_TRUE(needless.run(needless.store->current()));
}

TEST(EtcdStore, CommitsOfOneMomentAreOneTransactionAndEachHasItsOwnOutcome) {
  Site site;
  auto rig = site.rig();
  rig->put("gone", "1");
  const Revision old = rig->put("old", "1");
  auto watch = rig->watch("", old);
  const auto start = [&](Txn txn) { return rig->start(rig->store().commit(std::move(txn))); };
  std::vector<Pending<Result<CommitResult>>> creations;
  for (int i = 0; i < 100; ++i) creations.push_back(start(creation("n" + std::to_string(i))));
  const auto stale = start({.guards = {Guard::modified_at("old", old - 1)}, .puts = {{"x", bytes("v")}}});
  const auto one = start(creation("same"));
  const auto other = start(creation("same"));
  const auto unleased = start({.puts = {{"y", bytes("v"), 12345}}});  // etcd refuses the whole group for it
  const auto removal = start({.removes = {{"gone"}}});
  std::set<Revision> revisions;
  for (const auto& creation : creations) {
    const auto done = rig->finish(creation);
    ASSERT_TRUE(done) << error_of(done);
    ASSERT_TRUE(std::holds_alternative<Committed>(*done));
    revisions.insert(std::get<Committed>(*done).revision);
  }
  EXPECT_LT(revisions.size(), 60U) << "of one moment";
  const auto refused = rig->finish(stale);
  ASSERT_TRUE(refused);
  EXPECT_EQ(std::get<Conflict>(*refused).current->modified, old);
  const auto first = rig->finish(one);
  const auto second = rig->finish(other);
  ASSERT_TRUE(first && second);
  EXPECT_NE(std::holds_alternative<Committed>(*first), std::holds_alternative<Committed>(*second));
  const auto lost = rig->finish(unleased);
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, Code::invalid_argument);
  ASSERT_TRUE(rig->finish(removal));
  EXPECT_EQ(rig->keys("").size(), 102U);
  EXPECT_FALSE(rig->get("x") || rig->get("y") || rig->get("gone"));
  // Of each revision the watch tells at once.
  std::set<Revision> told;
  std::size_t changes = 0;
  while (changes < 102) {
    const auto event = watch.next();
    EXPECT_TRUE(told.insert(event.revision).second);
    changes += event.changes.size();
  }
  EXPECT_TRUE(std::ranges::includes(told, revisions));
}

TEST(EtcdStore, WhoGivesUpWaitingForItsCommitTakesNobodyAlong) {
  Site site;
  auto rig = site.rig();
  rig->put("old", "1");
  TaskGroup impatient(rig->backend().loop().get_executor());
  const auto ignore = [](Awaitable<Result<CommitResult>> commit) -> Awaitable<void> {
    (void)co_await std::move(commit);
  };
  std::vector<Pending<Result<CommitResult>>> patient;
  for (int i = 0; i < 20; ++i) {
    impatient.spawn("test", ignore(rig->store().commit({.puts = {{"i" + std::to_string(i), bytes("v")}}})));
    patient.push_back(rig->start(rig->store().commit({.puts = {{"p" + std::to_string(i), bytes("v")}}})));
    if (i % 5 == 4) rig->put("on" + std::to_string(i), "its way");  // some of them are by then, others wait
  }
  impatient.cancel();
  for (const auto& commit : patient) EXPECT_TRUE(rig->finish(commit));
  rig->pump([&] { return impatient.size() == 0; });
  EXPECT_GE(rig->keys("p").size(), 20U);
}

TEST(EtcdStore, AUserWithFewRightsSeesEveryCommitOfItsKeysAndIsToldWhatIsMissing) {
  Site site;
  for (const char* command : {"user add root:top", "user add krake:pw", "role add krake",
                              "role grant-permission krake --prefix=true readwrite /", "user grant-role krake krake",
                              "user add guest:pw", "auth enable"}) {
    site.cluster->ctl(command);
  }
  Unopened guest({.endpoints = site.cluster->endpoints(), .user = "guest", .password = "pw"});
  EXPECT_THAT(error_of(guest.run(guest.store->current())), HasSubstr("grant-permission"));
  Unopened krake({.endpoints = site.cluster->endpoints(), .user = "krake", .password = "pw"});
  auto& store = *krake.store;
  const auto start = *krake.run(store.current());
  auto watch = krake.run(store.watch("", start));
  ASSERT_TRUE(watch) << error_of(watch);
  EXPECT_THAT(error_of(krake.run(store.commit({.puts = {{"elsewhere", bytes("v")}}}))), HasSubstr("permission denied"));
  const auto mixed = krake.run_all(6, [&](int i) {
    return store.commit(creation(i % 2 == 0 ? "elsewhere" + std::to_string(i) : "/core/metrics/m" + std::to_string(i)));
  });
  for (std::size_t i = 0; i < mixed.size(); ++i) {
    if (i % 2 == 0) EXPECT_THAT(error_of(mixed[i]), HasSubstr("permission denied"));
    if (i % 2 != 0) EXPECT_TRUE(mixed[i]) << error_of(mixed[i]);
  }
  // Whatever others do, elsewhere or here: current() is a revision the watch reaches, and not older than what was done.
  Revision seen = start;
  for (int i = 0; i < 12; ++i) {
    const std::string place = i % 3 == 0 ? "elsewhere" : "/core/roles/r";
    site.cluster->ctl("--user=root:top " + (i % 4 == 3 ? "del " + place : "put " + place + " v" + std::to_string(i)));
    const bool ours = i % 3 != 0;
    const auto current = krake.run(store.current());
    ASSERT_TRUE(current) << error_of(current);
    bool told = false;
    while (seen < *current) {
      const auto events = krake.run((*watch)->next());
      ASSERT_TRUE(events) << error_of(events);
      for (const auto& event : *events) told = told || event.changes[0].key == "/core/roles/r";
      seen = events->back().revision;
    }
    const auto entry = krake.run(store.get("/core/roles/r"));
    if (ours && i % 4 != 3) EXPECT_TRUE(told && *entry && *(*entry)->value == "v" + std::to_string(i)) << i;
  }
}

TEST(W26, TlsIsVerified) {
  Site site({.tls = true});
  const Site other({.tls = true});
  const auto endpoint = site.cluster->endpoints();
  Unopened good({.endpoints = endpoint, .tls = {.ca_pem = site.cluster->ca_pem()}});
  const auto current = good.run(good.store->current());
  EXPECT_TRUE(current) << error_of(current);
  Unopened stranger({.endpoints = endpoint, .tls = {.ca_pem = other.cluster->ca_pem()}});
  EXPECT_THAT(error_of(stranger.run(stranger.store->current())), HasSubstr("etcd.tls"));
  Unopened plain({.endpoints = {"http" + endpoint[0].substr(5)}});
  const auto refused = plain.run(plain.store->current());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::unavailable);
  Unopened upside_down({.endpoints = {"https://" + other.cluster->endpoints()[0].substr(8)}});
  EXPECT_FALSE(upside_down.run(upside_down.store->current())) << "not signed by anybody this machine trusts";
}

// Each question about alarms is an entry of etcd's log.
TEST(EtcdStore, WhoAsksAllTheTimeWhetherItCanBeWrittenCostsLittle) {
  Site site({});
  auto rig = site.rig();
  const auto entries = [&] {
    const auto status = site.cluster->ctl("endpoint status --write-out=json");
    const std::string name = R"("raftIndex":)";
    return std::stoll(status.substr(status.find(name) + name.size()));
  };
  const auto before = entries();
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(rig->run(rig->store().writable()));
  EXPECT_LE(entries() - before, 10);
}

TEST(EtcdStore, AtItsQuotaWritesFailClearlyReadsGoOnAndItResumes) {
  Site site({.flags = {"--quota-backend-bytes=2097152"}});
  auto rig = site.rig();
  const std::string large(200'000, 'x');
  std::string refused;
  const Revision victim = rig->put("victim", "1");
  Revision last = rig->put("k", "1");
  for (int i = 0; i < 3000 && refused.empty(); ++i) {
    const auto result = rig->try_commit({.puts = {{"k", bytes(large)}}});
    if (result) last = std::get<Committed>(*result).revision;
    refused = error_of(result);
  }
  EXPECT_THAT(refused, HasSubstr("etcdctl alarm disarm"));
  EXPECT_THAT(error_of(rig->run(rig->store().writable())), HasSubstr("etcdctl alarm disarm"));
  const auto start = [&](Txn txn) { return rig->start(rig->store().commit(std::move(txn))); };
  std::vector<Pending<Result<CommitResult>>> together;
  for (int i = 0; i < 20; ++i) together.push_back(start(creation("t" + std::to_string(i))));
  for (const auto& pending : together) {
    const auto result = rig->finish(pending);
    ASSERT_FALSE(result) << "many at once are not let in where one is not";
    EXPECT_EQ(result.error().code, Code::unavailable);
    EXPECT_THAT(error_of(result), HasSubstr("etcdctl alarm disarm"));
  }
  for (int i = 0; i < 5; ++i) together.push_back(start(creation("u" + std::to_string(i))));
  const auto removed = rig->finish(start({.guards = {Guard::modified_at("victim", victim)}, .removes = {{"victim"}}}));
  for (std::size_t i = 20; i < together.size(); ++i) EXPECT_FALSE(rig->finish(together[i]));
  ASSERT_TRUE(removed) << "what makes room is let in: " << error_of(removed);
  last = std::get<Committed>(*removed).revision;
  EXPECT_TRUE(rig->get("k"));
  EXPECT_EQ(rig->current(), last);
  ASSERT_TRUE(rig->compact(last));
  site.cluster->ctl("defrag");
  site.cluster->ctl("alarm disarm");
  EXPECT_TRUE(rig->run(rig->store().writable()));
  EXPECT_EQ(rig->put("k", "2"), last + 1);
}

// The last room may be taken by what is then answered with an error.
TEST(EtcdStore, WhatIsRefusedForWantOfRoomWasNotCarriedOut) {
  Site site({.flags = {"--quota-backend-bytes=2097152"}});
  auto rig = site.rig();
  std::map<std::string, Pending<Result<CommitResult>>> together;
  bool full = false;
  for (int round = 0; round < 200 && !full; ++round) {
    together.clear();
    for (int i = 0; i < 16; ++i) {
      const auto key = fmt::format("r{}-{}", round, i);
      together[key] = rig->start(rig->store().commit(creation(key, std::string(8'000, 'x'))));
    }
    for (const auto& [key, pending] : together) {
      const auto result = rig->finish(pending);
      full = full || !result;
      if (!result && result.error().code != Code::unavailable) continue;  // unknown is always allowed to be said
      EXPECT_EQ(rig->get(key).has_value(), result.has_value()) << key << ": " << error_of(result);
    }
  }
  EXPECT_TRUE(full);
}

TEST(EtcdStore, WhatCouldNotBeSentInTimeIsKnownNotToBeDone) {
  Site site;
  Unopened there({.endpoints = site.cluster->endpoints()});
  ASSERT_TRUE(there.run(there.store->current()));
  BoundedStore bounded(*there.store, there.clock, {.call = std::chrono::milliseconds(300)});
  site.cluster->pause(0);
  const auto one = there.run_all(200, [&](int i) { return bounded.commit(creation("k" + std::to_string(i))); });
  site.cluster->go_on(0);
  int not_sent = 0;
  for (std::size_t i = 0; i < one.size(); ++i) {
    if (one[i] || one[i].error().code != Code::unavailable) continue;
    ++not_sent;
    EXPECT_THAT(error_of(one[i]), HasSubstr("not sent"));
    const auto entry = there.run(there.store->get("k" + std::to_string(i)));
    ASSERT_TRUE(entry) << error_of(entry);
    EXPECT_FALSE(*entry);
  }
  EXPECT_GT(not_sent, 0) << "two groups are under way, what does not fit into them waits";
}

TEST(EtcdStore, ACommitMayOutliveItsStore) {
  for (const bool silent : {true, false}) {
    SCOPED_TRACE(silent);
    Site site;
    Unopened there({.endpoints = site.cluster->endpoints()});
    ASSERT_TRUE(there.run(there.store->current()));
    silent ? site.cluster->pause(0) : site.cluster->kill(0);
    std::vector<std::optional<Result<CommitResult>>> results(100);
    for (std::size_t i = 0; i < results.size(); ++i)
      there.tasks.spawn("test", there.keep(there.store->commit(creation("k" + std::to_string(i))), results[i]));
    const Mono begin = there.clock.now();
    while (there.clock.now() - begin < std::chrono::milliseconds(20)) there.loop.poll(), there.loop.restart();
    there.store.reset();
    while (there.tasks.size() > 0) there.step();
    for (const auto& result : results) {
      ASSERT_TRUE(result.has_value());
      EXPECT_FALSE(*result);
    }
    if (silent) site.cluster->go_on(0);
  }
}

TEST(EtcdStore, AnotherIdEndsAllWatchesOfAllWhoUseTheData) {
  Site site;
  auto one = site.rig();
  auto two = site.rig();
  const auto before = one->store().id();
  auto mine = one->watch("", one->current());
  auto theirs = two->watch("", two->current());
  ASSERT_TRUE(one->run(etcd_of(*one).renew_id()));
  EXPECT_NE(one->store().id(), before);
  EXPECT_EQ(mine.error().code, Code::compacted);
  EXPECT_FALSE(two->run(two->store().current())) << "says so once";
  EXPECT_EQ(theirs.error().code, Code::compacted);
  EXPECT_EQ(two->store().id(), one->store().id());
  EXPECT_GT(two->current(), 0);
}

TEST(EtcdStore, ASnapshotPutBackIsNoticed) {
  Site site;
  auto rig = site.rig();
  const auto id = rig->store().id();
  rig->put("k", "old");
  const auto folder = site.cluster->folder();
  site.cluster->ctl("snapshot save " + folder + "/snapshot");
  Revision last = 0;
  for (int i = 0; i < 5; ++i) last = rig->put("k", std::to_string(i));
  auto reader = rig->watch("", last);
  site.cluster->kill(0);
  site.cluster->replace_data(0, folder + "/snapshot");
  site.cluster->start(0);
  site.cluster->wait_ready();
  EXPECT_FALSE(rig->run(rig->store().current()));
  EXPECT_NE(reader.error().message, "");
  EXPECT_LT(rig->current(), last) << "it goes on with what there is";
  EXPECT_EQ(*rig->get("k")->value, "old");
  EXPECT_NE(rig->store().id(), id) << "so that no revision of before is mistaken for one of now";
}

// Set back, and then gone on further than before, while this server did not look: no revision tells.
struct PutBack {
  PutBack() : rig(site.rig()), id(rig->store().id()), snapshot(site.cluster->folder() + "/snapshot") {
    for (const auto* key : {"/a", "/b", "/k"}) rig->put(key, "old");
    reader.emplace(rig->watch("", rig->current()));
    save();
  }
  void save() {
    std::filesystem::remove(snapshot);
    site.cluster->ctl("snapshot save " + snapshot);
  }
  void see_all() { reader->until(last = rig->current()); }
  void put_back(const std::vector<std::string>& then) {
    site.cluster->kill(0);
    site.cluster->replace_data(0, snapshot);
    start(then);
  }
  void restart(const std::vector<std::string>& then) {
    site.cluster->kill(0);
    start(then);
  }
  void start(const std::vector<std::string>& then) {
    site.cluster->start(0);
    site.cluster->wait_ready();
    for (const auto& command : then) site.cluster->ctl(command);
  }
  std::string resume(Revision after) { return error_of(rig->run(rig->store().watch("", after))); }
  void expect_another_id() {
    EXPECT_GT(rig->current(), 0) << "it goes on with what there is";
    EXPECT_NE(rig->store().id(), id);
    const auto second = site.rig();
    EXPECT_EQ(second->store().id(), rig->store().id());
    EXPECT_EQ(resume(rig->current()), "");
  }
  Site site;
  std::unique_ptr<Rig> rig;
  std::string id;
  std::string snapshot;
  std::optional<conformance::Reader> reader;
  Revision last = 0;
};

const std::vector<std::string> kFillers{"put /filler x", "put /filler y", "put /filler z"};

TEST(EtcdStore, ASnapshotPutBackIsNoticedWhenRevisionsHavePassedWhatWasSeen) {
  PutBack then;
  then.rig->put("/k", "new");
  then.see_all();
  then.put_back(kFillers);
  EXPECT_THAT(then.resume(then.last), HasSubstr("set back"));
  then.expect_another_id();
}

TEST(EtcdStore, ASnapshotPutBackIsNoticedBeforeTheWatchGoesOn) {
  PutBack then;
  then.rig->put("/k", "new");
  then.see_all();
  then.put_back(kFillers);
  EXPECT_THAT(error_of(then.rig->run(then.rig->store().current())), HasSubstr("set back"));
  then.expect_another_id();
}

TEST(EtcdStore, ASnapshotPutBackIsNoticedByWhatWasRemoved) {
  const std::vector<std::string> others[] = {kFillers, {"del /b", "put /k x"}};
  for (const auto& other : others) {
    SCOPED_TRACE(other.front());
    PutBack then;
    then.rig->put("/k", "new");
    then.save();
    then.rig->remove("/a");
    then.see_all();
    then.put_back(other);
    EXPECT_THAT(then.resume(then.last), HasSubstr("set back"));
    then.expect_another_id();
  }
}

TEST(EtcdStore, TheSameHistoryIsKnownAgain) {
  PutBack then;
  const std::function<void()> changes[] = {
      [&] { then.rig->put("/k", "new"); },
      [&] { then.rig->remove("/a"); },
      [&] { then.rig->remove("/b"); },
      [&] {
        then.rig->commit({.puts = {{"/c", bytes("x")}, {"/d", bytes("x")}, {"/k", bytes("x")}}});
        then.site.cluster->ctl("put /krake/store_id " + then.id.substr(then.id.find('.') + 1));
        then.rig->commit({.puts = {{"/e", bytes("x")}}, .removes = {Remove{"/c"}, Remove{"/k"}}});
        then.rig->commit({.removes = {Remove{"/d"}, Remove{"/e"}}});
      },
      [&] {
        for (const char last : {'1', '2', '3', '4', '5'}) then.rig->put(std::string("/r") + last, "x");
        for (const char last : {'1', '2', '3', '4'}) then.rig->remove(std::string("/r") + last);
      },
  };
  for (const auto& change : changes) {
    change();
    then.see_all();
    then.restart({"put /filler x"});
    EXPECT_GT(then.rig->current(), then.last);
    EXPECT_EQ(then.resume(then.last), "");
    then.reader.emplace(then.rig->watch("", then.last));
    EXPECT_THAT(then.reader->until(then.rig->current()), ElementsAre("/filler=x"));
  }
  then.rig->put("/k", "newer");
  then.see_all();
  then.restart({"put /filler y"});
  then.site.cluster->ctl(fmt::format("compact {}", then.rig->current()));
  EXPECT_THAT(then.resume(then.last), HasSubstr("forgotten"));
  EXPECT_EQ(then.resume(then.rig->current()), "");
  EXPECT_EQ(then.rig->store().id(), then.id);
}

TEST(EtcdStore, WhatHasToldNothingYetIsOfEveryHistory) {
  PutBack then;
  ASSERT_EQ(then.resume(0), "");
  EXPECT_EQ(then.resume(then.rig->current()), "");
  ASSERT_EQ(then.resume(0), "");
  then.restart({"put /filler x"});
  EXPECT_GT(then.rig->current(), 0);
  EXPECT_EQ(then.resume(0), "");
  EXPECT_EQ(then.rig->store().id(), then.id);
}

// Whether it is the same nobody knows when it is forgotten: all is read anew.
TEST(EtcdStore, AHistoryThatIsForgottenIsNotGoneOnWith) {
  PutBack then;
  then.rig->put("/k", "new");
  then.rig->remove("/a");
  then.see_all();
  then.restart({"put /k newer"});
  then.site.cluster->ctl(fmt::format("compact {}", then.last));
  EXPECT_THAT(then.resume(then.last), HasSubstr("forgotten"));
  EXPECT_EQ(then.resume(then.rig->current()), "");
  for (const char last : {'1', '2', '3', '4', '5'}) then.rig->put(std::string("/r") + last, "x");
  then.reader.emplace(then.rig->watch("", then.rig->current()));
  for (const char last : {'1', '2', '3', '4', '5'}) then.rig->remove(std::string("/r") + last);
  then.see_all();
  then.restart({});
  EXPECT_THAT(then.resume(then.last), HasSubstr("forgotten")) << "more than is asked for";
  EXPECT_EQ(then.rig->store().id(), then.id);
}

// Also when nothing was done since: else it would be read anew for ever.
TEST(EtcdStore, WhatWasReadAnewIsGoneOnWith) {
  PutBack then;
  then.rig->put("/a", "new");
  then.rig->remove("/a");
  then.see_all();
  then.restart({});
  then.site.cluster->ctl(fmt::format("compact {}", then.last));
  EXPECT_EQ(then.rig->current(), then.last);
  for (int time = 0; time < 2; ++time) EXPECT_THAT(then.resume(then.last), HasSubstr("forgotten"));
  EXPECT_EQ(then.rig->keys("/b"), std::vector<std::string>{"/b"});
  EXPECT_THAT(then.resume(then.last), HasSubstr("forgotten")) << "that was not all";
  EXPECT_EQ(then.rig->keys("/").size(), 2);
  EXPECT_EQ(then.resume(then.last), "");
  EXPECT_EQ(then.rig->store().id(), then.id);
}

// Members are stopped one after the other to put back a snapshot: the watch goes on in between.
TEST(EtcdStore, WhatProvesAHistoryIsKeptWhenTheWatchGoesOn) {
  PutBack then;
  then.rig->put("/k", "new");
  then.see_all();
  for (int time = 0; time < 2; ++time) EXPECT_EQ(then.resume(then.last), "");
  then.put_back({"put /k x", "put /k y"});
  EXPECT_THAT(then.resume(then.last), HasSubstr("set back"));
  then.expect_another_id();
}

// The same one, that is, with the id of then.
TEST(EtcdStore, ASnapshotPutBackTwiceBringsNoIdOfBeforeBack) {
  PutBack then;
  std::set<std::string> ids{then.id};
  for (int time = 0; time < 3; ++time) {
    then.rig->put("/k", "new");
    then.put_back({});
    (void)then.rig->run(then.rig->store().current());
    (void)then.rig->run(then.rig->store().current());
    EXPECT_GT(then.rig->current(), 0);
    EXPECT_TRUE(ids.insert(then.rig->store().id()).second) << time;
  }
}

// What is done between two of upstream's tests, under a server that runs.
TEST(EtcdStore, WhenAllKeysAreDeletedWatchesCommitsAndReadsGoOn) {
  Site site;
  auto one = site.rig();
  auto two = site.rig();
  const auto id = one->store().id();
  auto mine = one->watch("", one->current());
  auto theirs = two->watch("", two->current());
  for (int round = 0; round < 3; ++round) {
    SCOPED_TRACE(round);
    one->put("/k", "1");
    two->put("/l", "2");
    site.cluster->wipe();
    auto& first = round % 2 == 0 ? one : two;
    const auto current = first->current();
    EXPECT_THAT(one->keys(""), ElementsAre());
    EXPECT_THAT(two->keys(""), ElementsAre());
    // Both reach the newest revision, though it is that of the mark, of which nothing is told.
    EXPECT_THAT(mine.until(current), testing::IsSupersetOf({"/k=1", "/l=2", "-/k -/l"}));
    EXPECT_THAT(theirs.until(current), testing::IsSupersetOf({"/k=1", "/l=2", "-/k -/l"}));
    EXPECT_EQ(one->store().id(), id);
    EXPECT_EQ(two->store().id(), id);
  }
  site.cluster->wipe();
  EXPECT_GT(two->put("/k", "3"), 0) << "a commit before any read";
  EXPECT_THAT(mine.until(one->current()), testing::Contains("/k=3"));
}

TEST(EtcdStore, DataThatNeverHadTheMarkAreOthersHoweverFarTheyAre) {
  Site site;
  site.cluster->ctl("put before x");
  const auto snapshot = site.cluster->folder() + "/snapshot";
  site.cluster->ctl("snapshot save " + snapshot);
  auto rig = site.rig();
  const auto id = rig->store().id();
  const Revision last = rig->put("k", "v");
  auto reader = rig->watch("", last);
  site.cluster->kill(0);
  site.cluster->replace_data(0, snapshot);
  site.cluster->start(0);
  site.cluster->wait_ready();
  for (Revision i = 0; i <= last; ++i) site.cluster->ctl("put filler x");
  EXPECT_FALSE(rig->run(rig->store().current())) << "says so once";
  EXPECT_NE(reader.error().message, "");
  EXPECT_GT(rig->current(), last);
  EXPECT_NE(rig->store().id(), id);
  EXPECT_FALSE(rig->get("k"));
}

// It waits for the index of the log-in that a token names, and is long to reach it: it never says that the token is
// void.
TEST(EtcdStore, ASnapshotPutBackIsNoticedAlsoByWhoHasLoggedIn) {
  Site site;
  site.cluster->ctl("user add root:top");
  site.cluster->ctl("auth enable");
  for (int i = 0; i < 10; ++i) site.cluster->ctl("--user=root:top put filler x");
  Unopened root(
      {.endpoints = site.cluster->endpoints(), .user = "root", .password = "top", .timeout = std::chrono::seconds(2)});
  const auto written = root.run(root.store->commit({.puts = {{"k", bytes("old")}}}));
  ASSERT_TRUE(written) << error_of(written);
  const auto id = root.store->id();
  const auto snapshot = site.cluster->folder() + "/snapshot";
  site.cluster->ctl("--user=root:top snapshot save " + snapshot);
  ASSERT_TRUE(root.run(root.store->commit({.puts = {{"k", bytes("new")}}})));
  site.cluster->kill(0);
  site.cluster->replace_data(0, snapshot);
  site.cluster->start(0);
  const Mono begin = root.clock.now();
  auto entry = root.run(root.store->get("k"));
  while (!entry && root.clock.now() - begin < std::chrono::seconds(60)) entry = root.run(root.store->get("k"));
  ASSERT_TRUE(entry) << error_of(entry);
  ASSERT_TRUE(*entry);
  EXPECT_EQ(*(*entry)->value, "old");
  (void)root.run(root.store->current());
  EXPECT_NE(root.store->id(), id);
}

TEST(EtcdStore, APrefixKeepsSitesApartAndReadsSeeEveryCommitBelowIt) {
  Site site;
  auto one = site.rig({.prefix = "/one"});
  auto two = site.rig({.prefix = "/two"});
  one->put("/k", "1");
  two->put("/k", "2");
  EXPECT_EQ(*one->get("/k")->value, "1");
  EXPECT_THAT(two->keys(""), testing::Contains("/k"));
  const auto start = one->current();
  auto reader = one->watch("", start);
  site.cluster->ctl("put /one/foreign x");
  site.cluster->ctl("put /two/foreign x");
  const auto current = one->current();
  EXPECT_THAT(reader.until(current), testing::Contains("/foreign=x"));
  const auto quiet = one->current();
  two->put("/k", "3");
  EXPECT_EQ(one->current(), quiet) << "what others do outside moves nothing";
}

// Its mark is made while the watch looks on, and is a key like any other to etcd.
TEST(EtcdStore, APrefixCostsNoWritesWhileNothingChangesAlsoWhenItIsNew) {
  Site site;
  auto rig = site.rig({.prefix = "/new"});
  auto reader = rig->watch("", 0);
  const auto last = rig->put("/k", "1");
  reader.until(last);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(rig->current(), last);
}

// etcd opens such a watch and ends it afterwards.
TEST(EtcdStore, WhatIsForgottenIsToldWhenAWatchBegins) {
  Site site;
  for (const std::string prefix : {"", "/site"}) {
    auto rig = site.rig({.prefix = prefix});
    rig->put("/k", "1");
    const auto last = rig->put("/k", "2");
    ASSERT_TRUE(rig->compact(last));
    for (const Revision after : {Revision{0}, last - 1}) {
      const auto watch = rig->run(rig->store().watch("", after));
      ASSERT_FALSE(watch) << prefix << after;
      EXPECT_EQ(watch.error().code, Code::compacted) << error_of(watch);
    }
    EXPECT_TRUE(rig->run(rig->store().watch("", last)));
  }
}

// etcd sends all of it as one response in many fragments.
TEST(EtcdStore, WhoIsFarBehindCatchesUp) {
  Site site;
  auto rig = site.rig();
  const auto start = rig->current();
  std::vector<std::string> wanted;
  for (int i = 0; i < 60; ++i) {
    Txn txn;
    for (int j = 0; j < 3; ++j) {
      const auto key = fmt::format("k{:02}{}", i, j);
      txn.puts.push_back({key, bytes(std::string(400'000, static_cast<char>('a' + i % 26)))});
      wanted.push_back(key);
    }
    rig->committed(std::move(txn));
  }
  const auto newest = rig->current();
  auto watch = rig->run(rig->store().watch("", start));
  ASSERT_TRUE(watch) << error_of(watch);
  std::vector<std::string> seen;
  Revision last = start;
  while (last < newest) {
    const auto events = rig->run((*watch)->next());
    ASSERT_TRUE(events) << error_of(events);
    for (const auto& event : *events) {
      EXPECT_GT(event.revision, last);
      EXPECT_EQ(event.changes.size(), 3U) << "a revision comes whole";
      last = event.revision;
      for (const auto& change : event.changes) seen.push_back(change.key);
    }
  }
  EXPECT_EQ(seen, wanted);
}

TEST(EtcdStore, ALongListIsOfOneRevisionWhileOthersWrite) {
  Site site;
  auto rig = site.rig();
  for (int i = 0; i < 12; ++i) {
    Txn txn;
    for (int j = 0; j < 100; ++j) txn.puts.push_back({fmt::format("k{:02}{:02}", i, j), bytes("v")});
    rig->committed(std::move(txn));
  }
  const auto pending = rig->start(rig->store().list("k"));
  std::vector<conformance::Pending<Result<CommitResult>>> commits;
  for (int i = 0; i < 50; ++i)
    commits.push_back(rig->start(rig->store().commit({.removes = {{fmt::format("k11{:02}", i)}}})));
  const auto listing = rig->finish(pending);
  for (const auto& commit : commits) ASSERT_TRUE(rig->finish(commit));
  ASSERT_TRUE(listing) << error_of(listing);
  std::size_t removed = 0;
  for (const auto& commit : commits) {
    removed += std::get<Committed>(***commit).revision <= listing->revision ? 1U : 0U;
  }
  EXPECT_EQ(listing->entries.size(), 1200 - removed);
}

TEST(EtcdStore, ALongListEndsAtItsLimitAlsoInPages) {
  Site site;
  auto rig = site.rig();
  for (int i = 0; i < 5; ++i) {
    Txn txn;
    for (int j = 0; j < 100; ++j) txn.puts.push_back({fmt::format("k{}{:02}", i, j), bytes("v")});
    rig->committed(std::move(txn));
  }
  const auto cut = rig->list("k", {.limit = 150});
  EXPECT_TRUE(cut.more);
  EXPECT_EQ(cut.entries.size(), 150U);
  std::vector<std::size_t> sizes;
  std::string last;
  const auto each_page = [&](const std::vector<Entry>& page, bool anew) {
    EXPECT_EQ(anew, sizes.empty());
    EXPECT_LT(last, page.front().key);
    last = page.back().key;
    sizes.push_back(page.size());
  };
  EXPECT_TRUE(rig->list("k", {.limit = 350, .each_page = each_page}).more);
  EXPECT_GT(sizes.size(), 1U);
  EXPECT_EQ(std::accumulate(sizes.begin(), sizes.end(), std::size_t{0}), 350U);
  EXPECT_EQ(last, "k349");
}

TEST(EtcdStore, WhatThrowsAtAPageIsToldAsItself) {
  Site site;
  auto rig = site.rig();
  Txn txn;
  for (int i = 0; i < 100; ++i) txn.puts.push_back({fmt::format("k{:02}", i), bytes("v")});
  rig->committed(std::move(txn));
  const auto each_page = [](const std::vector<Entry>&, bool) { throw std::runtime_error("no room"); };
  const auto caught_text = [](Store& store, ListOptions options) -> Awaitable<std::string> {
    try {
      (void)co_await store.list("k", std::move(options));
    } catch (const std::runtime_error& error) {
      co_return error.what();
    }
    co_return "nothing";
  };
  EXPECT_EQ(rig->run(caught_text(rig->store(), {.each_page = each_page})), "no room");
}

}  // namespace

}  // namespace krake::store
