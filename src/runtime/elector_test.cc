// Elections against the real server, under simulated time.
#include "runtime/elector.h"

#include <gtest/gtest.h>

#include "api/core/role.h"
#include "runtime/controller_loop.h"
#include "server/testing.h"

namespace krake {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr Duration kTtl = seconds(6);
constexpr Duration kTtls[] = {kTtl, seconds(600)};  // a long one makes nothing slower but the end of the silent

// A line that can be cut, can keep what is sent on it until it is let go, can lose what watches tell, and can be that
// to a server without leases.
class Line final : public Transport {
 public:
  Line(std::shared_ptr<Transport> inner, Env& env)
      : inner_(std::move(inner)), clock_(env.clock), let_go_(env.executor) {}
  Awaitable<Result<HttpResponse>> send(HttpRequest request, CallOptions options) override {
    ++requests;
    if (cut) co_return fail(Code::unavailable, "the line is cut");
    if (status_of_leases != 0 && request.target.starts_with("/core/leases"))
      co_return HttpResponse{.status = status_of_leases, .headers = {}, .body = "no"};
    while (held) co_await let_go_.wait();
    if (delay > Duration::zero()) co_await sleep_for(clock_, delay);
    co_return co_await inner_->send(std::move(request), options);
  }
  Awaitable<Result<HttpStream>> open(HttpRequest request, CallOptions options) override {
    if (cut) co_return fail(Code::unavailable, "the line is cut");
    auto stream = co_await inner_->open(std::move(request), options);
    if (stream) stream->body = std::make_unique<Heard>(std::move(stream->body), *this);
    co_return stream;
  }
  void let_go() {
    held = false;
    let_go_.notify_all();
  }
  bool cut = false;
  bool held = false;
  int status_of_leases = 0;  // 0: those of the server
  bool deaf = false;
  Duration delay{};
  int requests = 0;

 private:
  struct Heard final : ByteStream {
    Heard(std::unique_ptr<ByteStream> b, const Line& l) : body(std::move(b)), line(l) {}
    Awaitable<Result<std::string>> read() override {
      for (;;) {
        auto piece = co_await body->read();
        if (!line.deaf || !piece || piece->empty()) co_return piece;
      }
    }
    std::unique_ptr<ByteStream> body;
    const Line& line;
  };
  std::shared_ptr<Transport> inner_;
  Clock& clock_;
  Notifier let_go_;
};

struct Member {
  Member(testing::TestServer& s, std::string holder, bool enabled = true, Duration time_to_live = kTtl)
      : server(s),
        ttl(time_to_live),
        line(std::make_shared<Line>(s.transport, s.world.env)),
        client(line),
        env{s.world.env.executor, s.world.clock, s.world.env.random.fork(holder), Log(), s.world.metrics},
        elector(env, client, {.name = "scheduler", .holder = std::move(holder), .ttl = ttl, .enabled = enabled}),
        writer(s.transport,
               {.leader = [this] { return elector.leader(); }, .on_leadership_lost = [this] { elector.doubt(); }}) {
    listening = elector.on_change([this] { told.emplace_back(elector.mode(), elector.epoch()); });
    elector.start();
  }
  ~Member() { server.world.run(elector.stop()); }
  bool leads() const { return elector.mode() == Mode::leading; }
  Mono confirmed() const { return elector.unfenced_until() - 2 * ttl; }
  // A write as a controller makes it.
  bool writes_well() {
    Role role{.metadata = {.name = fmt::format("{}-{}", elector.holder(), ++writes)}};
    return server.world.run(writer.create<Role>("", std::move(role))).has_value();
  }

  testing::TestServer& server;
  const Duration ttl;
  std::shared_ptr<Line> line;
  Client client;
  Env env;
  Elector elector;
  Client writer;
  int writes = 0;
  std::vector<std::pair<Mode, std::string>> told;
  std::shared_ptr<void> listening;
};

struct Group {
  explicit Group(int size, Duration ttl = kTtl) {
    for (int i = 0; i < size; ++i)
      members.push_back(std::make_unique<Member>(server, fmt::format("host-{}", i), true, ttl));
  }
  // Time passes until `done`; there is never more than one that leads.
  bool wait(const std::function<bool()>& done, Duration limit = minutes(1)) {
    return server.world.run_until(
        [&] {
          EXPECT_LE(std::ranges::count_if(members, [](const auto& m) { return m->leads(); }), 1);
          return done();
        },
        limit);
  }
  void pass(Duration time) {
    wait([] { return false; }, time);
  }
  Member* leader() {
    const auto found = std::ranges::find_if(members, [](const auto& m) { return m->leads(); });
    return found == members.end() ? nullptr : found->get();
  }
  Member& elect() {
    EXPECT_TRUE(wait([&] { return leader() != nullptr; }));
    return *leader();
  }
  bool another_leads(const Member& than) {
    Member* now = leader();
    return now && now != &than;
  }
  Mono now() { return server.world.clock.now(); }

  testing::TestServer server;
  std::vector<std::unique_ptr<Member>> members;
};

TEST(Elector, OneLeadsAndGoesOnLeading) {
  Group group(3);
  Member& leader = group.elect();
  const std::string epoch = leader.elector.epoch();
  EXPECT_FALSE(epoch.empty());
  group.wait([&] { return !leader.leads(); }, minutes(10));
  EXPECT_TRUE(leader.leads());
  EXPECT_EQ(leader.elector.epoch(), epoch);
  EXPECT_EQ(leader.told.size(), 1U);
  EXPECT_TRUE(leader.writes_well());
  for (const auto& member : group.members) {
    if (member.get() != &leader) EXPECT_FALSE(member->writes_well());
  }
}

TEST(Elector, AReleasedLeaseIsTakenOverAtOnce) {
  for (const Duration ttl : kTtls) {
    SCOPED_TRACE(ttl / seconds(1));
    Group group(3, ttl);
    Member& leader = group.elect();
    group.pass(seconds(20));
    const Mono begin = group.now();
    group.server.world.run(leader.elector.resign());
    EXPECT_EQ(leader.elector.mode(), Mode::standby);
    EXPECT_LT(group.now() - begin, milliseconds(100));
    EXPECT_TRUE(group.wait([&] { return group.another_leads(leader); }));
    EXPECT_LT(group.now() - begin, milliseconds(200));
    group.pass(minutes(1));
    EXPECT_FALSE(leader.leads()) << "it does not come back";
  }
}

void expect_no_two_decide(Duration ttl, Duration cut_after) {
  SCOPED_TRACE(fmt::format("ttl {} s, cut after {} ms", ttl / seconds(1), cut_after / milliseconds(1)));
  Group group(3, ttl);
  Member& leader = group.elect();
  group.pass(cut_after);
  const Mono confirmed = leader.confirmed();
  leader.line->cut = true;
  EXPECT_TRUE(group.wait([&] { return !leader.leads(); }, 2 * ttl));
  EXPECT_EQ(leader.elector.mode(), Mode::repair_only);
  EXPECT_LE(group.now(), confirmed + ttl * 2 / 3);
  EXPECT_TRUE(group.wait([&] { return group.another_leads(leader); }, 2 * ttl));
  EXPECT_LE(group.now(), confirmed + ttl + seconds(1));
  EXPECT_GE(group.now(), confirmed + ttl);
  EXPECT_FALSE(leader.writes_well()) << "its writes still go through";
  leader.line->cut = false;
  EXPECT_TRUE(group.wait([&] { return leader.elector.mode() == Mode::standby; }));
}

TEST(Elector, WhoIsCutOffStopsDecidingBeforeAnotherBegins) {
  for (const Duration ttl : kTtls) {
    for (int round = 0; round < 5; ++round) expect_no_two_decide(ttl, seconds(10) + milliseconds(700 * round));
  }
}

// kill -STOP: its answers wait, its timers too. What counts is what its clock says when it goes on.
TEST(Elector, WhoWasStoppedDoesNotLeadWhenItGoesOn) {
  Group group(2);
  Member& leader = group.elect();
  group.pass(seconds(10));
  group.server.world.clock.advance(kTtl * 2 / 3);  // nothing has run since
  EXPECT_EQ(leader.elector.mode(), Mode::repair_only);

  Member& second = group.elect();
  second.line->held = true;
  group.pass(minutes(1));
  EXPECT_TRUE(group.another_leads(second));
  second.line->let_go();
  EXPECT_TRUE(group.wait([&] { return second.elector.mode() == Mode::standby; }));
  EXPECT_FALSE(second.writes_well());
}

// An answer that was long under way confirms what was so when it was asked for.
TEST(Elector, ALateAnswerConfirmsNoMoreThanWasAsked) {
  Group group(1);
  Member& leader = group.elect();
  group.pass(seconds(10));
  leader.line->held = true;
  const Mono confirmed = leader.confirmed();
  group.pass(confirmed + seconds(3) - group.now());
  leader.line->let_go();
  group.server.world.settle();
  // Asked 2 s after the last confirmation; answered a second later.
  EXPECT_EQ(leader.confirmed(), confirmed + seconds(2));
}

TEST(Elector, WithTheServerAwayItRepairsAndLeadsAgainAfterwards) {
  Group group(1);
  Member& leader = group.elect();
  const std::string epoch = leader.elector.epoch();
  leader.line->cut = true;
  EXPECT_TRUE(group.wait([&] { return leader.elector.mode() == Mode::repair_only; }, seconds(5)));
  group.pass(milliseconds(500));
  leader.line->cut = false;
  EXPECT_TRUE(group.wait([&] { return leader.leads(); }, seconds(2)));
  EXPECT_EQ(leader.elector.epoch(), epoch) << "the lease had not run out";

  leader.line->cut = true;
  group.pass(minutes(30));
  EXPECT_EQ(leader.elector.mode(), Mode::repair_only);
  EXPECT_EQ(leader.elector.epoch(), epoch);
  leader.line->cut = false;
  EXPECT_TRUE(group.wait([&] { return leader.leads(); }, seconds(2)));
  EXPECT_NE(leader.elector.epoch(), epoch) << "it had run out: a new term";
  EXPECT_EQ(leader.told.back().second, leader.elector.epoch());
  EXPECT_TRUE(leader.writes_well());
}

TEST(Elector, ASlowServerIsWaitedFor) {
  Group group(1);
  Member& leader = group.elect();
  leader.line->delay = milliseconds(1500);
  group.pass(minutes(1));
  const auto turns = leader.told.size();
  group.pass(minutes(10));
  EXPECT_TRUE(leader.leads());
  EXPECT_EQ(leader.told.size(), turns);
}

// Nobody asked in between, so that the loss is told by the epoch alone.
TEST(Elector, AnotherEpochIsANewTermAlthoughTheHolderIsTheSame) {
  Group group(1);
  Member& leader = group.elect();
  const std::string epoch = leader.elector.epoch();
  const auto released = group.server.call("DELETE", "/core/leases/scheduler?holder=host-0");
  ASSERT_EQ(released.status, 200);
  EXPECT_TRUE(group.wait([&] { return leader.elector.epoch() != epoch && leader.leads(); }, seconds(3)));
  EXPECT_EQ(leader.told.back(), std::pair(Mode::leading, leader.elector.epoch()));
}

TEST(Elector, ARefusedWriteMakesItAskAtOnce) {
  Group group(1);
  Member& leader = group.elect();
  leader.line->deaf = true;  // the watch does not tell
  const Mono confirmed = leader.confirmed();
  ASSERT_TRUE(group.wait([&] { return leader.confirmed() != confirmed; }));  // the next renewal is far
  group.server.call("DELETE", "/core/leases/scheduler?holder=host-0");
  group.server.call("PUT", "/core/leases/scheduler", R"({"holder":"another","ttl_seconds":3600})");
  const Mono begin = group.now();
  EXPECT_FALSE(leader.writes_well());
  EXPECT_TRUE(group.wait([&] { return leader.elector.mode() == Mode::standby; }));
  EXPECT_LT(group.now() - begin, milliseconds(500));
}

TEST(Elector, WithoutLeasesTheSingleInstanceLeads) {
  for (const int status : {404, 403}) {
    Group group(0);
    Member alone(group.server, "alone");
    alone.line->status_of_leases = status;
    EXPECT_TRUE(group.server.world.run_until([&] { return alone.leads(); }));
    EXPECT_TRUE(alone.elector.alone());
    EXPECT_EQ(alone.elector.leader(), "");
    EXPECT_TRUE(alone.writes_well());
    group.pass(minutes(10));
    EXPECT_TRUE(alone.leads());
    EXPECT_LT(alone.line->requests, 30);
    // The server is replaced by one with leases.
    alone.line->status_of_leases = 0;
    EXPECT_TRUE(group.server.world.run_until([&] { return !alone.elector.epoch().empty(); }, minutes(2)));
    // And once there were leases, 404 is a failure like others.
    alone.line->status_of_leases = status;
    EXPECT_TRUE(group.server.world.run_until([&] { return !alone.leads(); }));
    EXPECT_EQ(alone.elector.mode(), Mode::repair_only);
  }
}

TEST(Elector, SwitchedOffItLeadsAndAsksNobody) {
  Group group(0);
  Member member(group.server, "alone", false);
  EXPECT_TRUE(member.leads());
  EXPECT_EQ(member.elector.leader(), "");
  group.pass(minutes(5));
  EXPECT_EQ(member.line->requests, 0);
  EXPECT_TRUE(member.writes_well());
}

// ---- what runs only while one leads

struct Work {
  std::map<ObjectKey, int> begun;
  std::map<ObjectKey, int> done;
};
Awaitable<Result<Outcome>> work_for(Work& work, Clock& clock, Duration time, ObjectKey key) {
  ++work.begun[key];
  co_await sleep_for(clock, time);
  ++work.done[key];
  co_return Outcome{};
}

struct Worker {
  Worker(Group& group, std::string holder, Duration time, Mode least = Mode::leading)
      : member(group.server, std::move(holder)),
        loop(member.env,
             {.name = "test", .elector = &member.elector, .least = least, .on_lead = [this] { loop.add(key); }},
             [this, &clock = group.server.world.clock, time](ObjectKey k) {
               return work_for(work, clock, time, std::move(k));
             }) {
    loop.start();
  }
  const ObjectKey key{"n", "a"};
  Work work;
  Member member;
  ControllerLoop loop;
};

TEST(ControllerLoopWithElector, OnlyTheLeaderWorksAndTheNextOneTakesUpEverything) {
  Group group(0);
  Worker first(group, "first", milliseconds(10));
  ASSERT_TRUE(group.server.world.run_until([&] { return first.member.leads(); }));
  Worker second(group, "second", milliseconds(10));
  for (int i = 0; i < 3; ++i) {
    first.loop.add(first.key);
    second.loop.add(second.key);
    group.pass(seconds(5));
  }
  EXPECT_GE(first.work.done[first.key], 3);
  EXPECT_EQ(second.work.begun.size(), 0U);
  EXPECT_TRUE(second.loop.idle());
  group.server.world.run(first.member.elector.resign());
  first.loop.add(first.key);
  EXPECT_TRUE(group.server.world.run_until([&] { return second.work.done[second.key] == 1; }, seconds(1)));
  const int before = first.work.begun[first.key];
  group.pass(minutes(1));
  EXPECT_EQ(first.work.begun[first.key], before);
  group.server.world.run(first.loop.stop());
  group.server.world.run(second.loop.stop());
}

TEST(ControllerLoopWithElector, WhatRunsIsCancelledAtTheEndOfTheTermAndComesBackInTheNext) {
  Group group(0);
  Worker worker(group, "first", seconds(3));
  ASSERT_TRUE(group.server.world.run_until([&] { return worker.work.begun[worker.key] == 1; }));
  worker.member.line->cut = true;
  ASSERT_TRUE(group.server.world.run_until([&] { return worker.work.done[worker.key] == 1; }));
  worker.loop.add(worker.key);
  ASSERT_TRUE(group.server.world.run_until([&] { return !worker.member.leads(); }));
  group.pass(minutes(1));
  EXPECT_EQ(worker.work.done[worker.key], 1) << "cancelled";
  EXPECT_EQ(worker.work.begun[worker.key], 2);
  worker.member.line->cut = false;
  EXPECT_TRUE(group.server.world.run_until([&] { return worker.work.done[worker.key] == 2; }));
  EXPECT_EQ(worker.loop.failures(worker.key), 0) << "it was no failure of the key";
  group.server.world.run(worker.loop.stop());
}

// A stopped process: nothing has told the loop, and yet it takes no further key.
TEST(ControllerLoopWithElector, TheClockCountsNotWhatWasToldLast) {
  Group group(0);
  Worker worker(group, "first", milliseconds(1));
  ASSERT_TRUE(group.server.world.run_until([&] { return worker.work.done[worker.key] == 1; }));
  group.pass(seconds(5));
  worker.loop.add(worker.key);
  group.server.world.clock.advance(kTtl);
  worker.member.line->cut = true;
  group.pass(minutes(1));
  EXPECT_EQ(worker.work.begun[worker.key], 1);
  group.server.world.run(worker.loop.stop());
}

TEST(ControllerLoopWithElector, RepairsGoOnWhereTheLoopIsForThem) {
  Group group(0);
  Worker worker(group, "first", milliseconds(10), Mode::repair_only);
  ASSERT_TRUE(group.server.world.run_until([&] { return worker.work.done[worker.key] == 1; }));
  worker.member.line->cut = true;
  ASSERT_TRUE(group.server.world.run_until([&] { return worker.member.elector.mode() == Mode::repair_only; }));
  worker.loop.add(worker.key);
  EXPECT_TRUE(group.server.world.run_until([&] { return worker.work.done[worker.key] == 2; }, seconds(1)));
  worker.member.line->cut = false;
  EXPECT_TRUE(group.server.world.run_until([&] { return worker.work.done[worker.key] == 3; }, seconds(10)))
      << "everything is looked at again";
  group.server.world.run(worker.loop.stop());
}

Awaitable<Result<Outcome>> nothing_for(ObjectKey) { co_return Outcome{}; }

// Elected, and cut off before it could see what is so: what it has in memory may be long over.
TEST(ControllerLoopWithElector, WhoHasNotCaughtUpRepairsNothing) {
  Group group(0);
  auto& world = group.server.world;
  Member member(group.server, "first");
  Notifier never(world.env.executor);
  int runs = 0;
  ControllerLoop loop(member.env,
                      {.name = "test",
                       .elector = &member.elector,
                       .least = Mode::repair_only,
                       .catch_up = [&](Epoch) { return never.wait(); },
                       .on_lead = [&] { ++runs; }},
                      [&](ObjectKey) -> Awaitable<Result<Outcome>> {
                        ++runs;
                        return nothing_for({});
                      });
  loop.start();
  loop.add({"n", "a"});
  ASSERT_TRUE(world.run_until([&] { return member.leads(); }));
  member.line->cut = true;
  loop.add({"n", "a"});
  group.pass(minutes(1));
  EXPECT_EQ(member.elector.mode(), Mode::repair_only);
  EXPECT_EQ(runs, 0);
  world.run(loop.stop());
}

TEST(ControllerLoopWithElector, WhoTakesOverHasSeenWhatTheOneBeforeHasDone) {
  Group group(0);
  auto& world = group.server.world;
  Member first(group.server, "first");
  ASSERT_TRUE(world.run_until([&] { return first.leads(); }));
  Member second(group.server, "second");
  Informer<Role> roles(second.env, second.client);
  roles.start();
  world.run(roles.wait_synced());
  std::vector<bool> seen;
  ControllerLoop loop(second.env,
                      {.name = "test",
                       .elector = &second.elector,
                       .catch_up = [&](Epoch epoch) { return roles.catch_up(std::move(epoch)); },
                       .on_lead = [&] { seen.push_back(roles.find({"", "first-1"}) != nullptr); }},
                      nothing_for);
  loop.start();
  second.line->deaf = true;  // its watches are open and tell nothing
  ASSERT_TRUE(first.writes_well());
  world.run(first.elector.resign());
  EXPECT_TRUE(world.run_until([&] { return !seen.empty(); }, seconds(2)));
  EXPECT_EQ(seen, std::vector{true});
  world.run(loop.stop());
  world.run(roles.stop());
}

// What runs is let finish its step, but not for long.
TEST(ControllerLoopWithElector, ResigningIsQuick) {
  Group group(0);
  Worker worker(group, "first", minutes(4));
  ASSERT_TRUE(group.server.world.run_until([&] { return worker.work.begun[worker.key] == 1; }));
  const Mono begin = group.now();
  group.server.world.run(worker.member.elector.resign());
  EXPECT_LE(group.now() - begin, milliseconds(200));
  EXPECT_EQ(group.server.call("GET", "/core/leases/scheduler").status, 404);
  group.server.world.run(worker.loop.stop());
}

}  // namespace
}  // namespace krake
