#include "sim/net.h"

#include <gtest/gtest.h>

#include "sim/loop.h"
#include "sim/model.h"
#include "sim/process_clock.h"

namespace krake::sim {
namespace {

using std::chrono::seconds;

struct Lab {
  Lab() { conductor.add(loop); }
  ~Lab() { loop.drop(); }
  ProcessLoop loop;
  SimClock clock{loop.get_executor(), Wall()};
  Conductor conductor{clock};
  Metrics metrics;
  Env env{loop.get_executor(), clock, Random(1), Log(), metrics};
  Trace trace{clock};
  Network network{env, trace};
  std::optional<Result<HttpResponse>> answer;
  std::string read;
  std::optional<Error> end;  // of the stream
};

// A process that crashes at the end of its scope. `name`: under which it answers, if it does.
struct Victim {
  explicit Victim(Lab& the_lab, std::string the_name = {})
      : lab(the_lab), name(std::move(the_name)), tasks(loop.get_executor()) {
    lab.conductor.add(loop);
  }
  ~Victim() {
    loop.drop();
    lab.network.forget(name);
    lab.conductor.remove(loop);
  }
  Lab& lab;
  std::string name;
  ProcessLoop loop;
  TaskGroup tasks;
};

Awaitable<ServerReply> answer_late(Clock& clock, int& answered) {
  co_await sleep_for(clock, seconds(5));
  ++answered;
  co_return ServerReply{.status = 204};
}

struct Ticks final : ReplySource {
  Ticks(Clock& the_clock, bool& is_alive) : clock(the_clock), alive(is_alive) { alive = true; }
  ~Ticks() override { alive = false; }
  Awaitable<Result<bool>> next(std::vector<SharedBytes>& batch) override {
    co_await sleep_for(clock, seconds(1));
    batch.push_back(share_bytes("tick\n"));
    co_return true;
  }
  Clock& clock;
  bool& alive;
};
Awaitable<ServerReply> answer_ticks(Clock& clock, bool& alive) {
  ServerReply reply;
  reply.source = std::make_unique<Ticks>(clock, alive);
  co_return reply;
}

Awaitable<void> ask(std::shared_ptr<Transport> transport, Lab& lab) {
  lab.answer = co_await transport->send({.target = "/"}, {});
}
Awaitable<void> follow(std::shared_ptr<Transport> transport, Lab& lab) {
  auto stream = co_await transport->open({.target = "/"}, {});
  if (!stream) {
    lab.end = stream.error();
    co_return;
  }
  for (;;) {
    auto piece = co_await stream->body->read();
    if (!piece || piece->empty()) {
      lab.end = piece ? Error{Code::cancelled, "it ended in order"} : piece.error();
      co_return;
    }
    lab.read += *piece;
  }
}

struct Crashes : ::testing::Test {
  Handler late() {
    return [this](ServerRequest&) { return answer_late(lab.clock, answered); };
  }
  Handler ticks() {
    return [this](ServerRequest&) { return answer_ticks(lab.clock, source_alive); };
  }
  std::shared_ptr<Transport> line() { return lab.network.transport("client", "server", {}); }
  int answered = 0;
  bool source_alive = false;
  Lab lab;
};

TEST_F(Crashes, TheCallerHearsThatTheServerDied) {
  TaskGroup tasks(lab.env.executor);
  {
    Victim server(lab, "server");
    lab.network.up("server", server.loop.get_executor(), late());
    tasks.spawn("ask", ask(line(), lab));
    lab.conductor.pass(seconds(1));
    EXPECT_FALSE(lab.answer);
  }
  lab.conductor.settle();
  ASSERT_TRUE(lab.answer);
  EXPECT_EQ(lab.answer->error().code, Code::unavailable);
  lab.conductor.pass(seconds(10));
  EXPECT_EQ(answered, 0);
}

TEST_F(Crashes, TheServerCarriesOutWhatADeadCallerAsked) {
  lab.network.up("server", lab.env.executor, late());
  {
    Victim client(lab);
    client.tasks.spawn("ask", ask(line(), lab));
    lab.conductor.pass(seconds(1));
  }
  lab.conductor.pass(seconds(10));
  EXPECT_EQ(answered, 1);
  EXPECT_FALSE(lab.answer);
}

TEST_F(Crashes, AStreamEndsWithItsServer) {
  TaskGroup tasks(lab.env.executor);
  {
    Victim server(lab, "server");
    lab.network.up("server", server.loop.get_executor(), ticks());
    tasks.spawn("follow", follow(line(), lab));
    lab.conductor.pass(std::chrono::milliseconds(2500));
    EXPECT_EQ(lab.read, "tick\ntick\n");
    EXPECT_TRUE(source_alive);
  }
  EXPECT_FALSE(source_alive);
  lab.conductor.settle();
  ASSERT_TRUE(lab.end);
  EXPECT_EQ(lab.end->code, Code::unavailable);
}

TEST_F(Crashes, AStreamEndsWithItsReader) {
  Victim server(lab, "server");
  lab.network.up("server", server.loop.get_executor(), ticks());
  {
    Victim client(lab);
    client.tasks.spawn("follow", follow(line(), lab));
    lab.conductor.pass(std::chrono::milliseconds(2500));
    EXPECT_EQ(lab.read, "tick\ntick\n");
  }
  lab.conductor.pass(seconds(3));
  EXPECT_EQ(lab.read, "tick\ntick\n");
  EXPECT_FALSE(source_alive);
}

TEST_F(Crashes, AnInterruptionComesBetweenTwoHandlers) {
  lab.network.up("server", lab.env.executor, late());
  TaskGroup tasks(lab.env.executor);
  for (int i = 0; i < 10; ++i) tasks.spawn("ask", ask(line(), lab));
  bool came = false;
  lab.loop.interrupt(3, [&] { came = true; });
  lab.conductor.settle();
  EXPECT_TRUE(came);
  EXPECT_FALSE(lab.loop.interruption_pending());
  lab.conductor.pass(seconds(10));
  EXPECT_EQ(answered, 10);
}

TEST_F(Crashes, ReadsMayComeTwice) {
  lab.network.up("server", lab.env.executor, late());
  lab.network.faults.duplicate = 1;
  TaskGroup tasks(lab.env.executor);
  tasks.spawn("ask", ask(line(), lab));
  lab.conductor.pass(seconds(10));
  ASSERT_TRUE(lab.answer && *lab.answer);
  EXPECT_EQ(answered, 2);
}

TEST_F(Crashes, ALetterArrivesWhenItsSenderIsGone) {
  lab.network.up("server", lab.env.executor, late());
  lab.network.faults.linger = 1;
  std::vector<std::string> carried_out;
  lab.network.on_late(
      [&](const auto& from, const auto& to, const auto& method, const auto& target, const auto& answer) {
        carried_out.push_back(fmt::format("{}>{} {} {} {}", from, to, method, target, answer->status));
      });
  {
    Victim client(lab);
    client.tasks.spawn("ask", ask(line(), lab));
    lab.conductor.pass(std::chrono::milliseconds(100));
  }
  lab.conductor.pass(seconds(21));
  EXPECT_EQ(carried_out, std::vector<std::string>{"client>server GET / 204"});
  EXPECT_FALSE(lab.answer);
  lab.network.faults.linger = 0;
  TaskGroup tasks(lab.env.executor);
  tasks.spawn("ask", ask(line(), lab));
  lab.conductor.pass(seconds(21));
  EXPECT_TRUE(lab.answer);
  EXPECT_EQ(carried_out.size(), 1U);
}

TEST_F(Crashes, ASleepingServerAnswersWhenItWakes) {
  Victim server(lab, "server");
  ProcessClock clock(lab.clock, server.loop, {});
  lab.network.up("server", server.loop.get_executor(), [&](ServerRequest&) { return answer_late(clock, answered); });
  TaskGroup tasks(lab.env.executor);
  tasks.spawn("ask", ask(line(), lab));
  lab.conductor.pass(seconds(1));
  server.loop.sleep(true);
  lab.conductor.pass(seconds(10));
  EXPECT_FALSE(lab.answer) << "its timer was due meanwhile";
  server.loop.sleep(false);
  lab.conductor.settle();
  EXPECT_TRUE(lab.answer && *lab.answer);
}

TEST_F(Crashes, WhatIsSentAcrossASilentCutVanishes) {
  lab.network.up("server", lab.env.executor, late());
  lab.network.cut("client", "server", Way::silent);
  TaskGroup tasks(lab.env.executor);
  tasks.spawn("ask", ask(line(), lab));
  lab.conductor.pass(seconds(29));
  EXPECT_FALSE(lab.answer) << "the client does not know";
  lab.conductor.pass(seconds(2));
  ASSERT_TRUE(lab.answer);
  EXPECT_EQ(lab.answer->error().code, Code::timeout);
  EXPECT_EQ(answered, 0);
}

TEST_F(Crashes, AnAnswerMayVanishOnAWayThatIsCutInOneDirection) {
  lab.network.up("server", lab.env.executor, late());
  lab.network.cut("server", "*", Way::silent);
  TaskGroup tasks(lab.env.executor);
  tasks.spawn("ask", ask(line(), lab));
  lab.conductor.pass(seconds(31));
  ASSERT_TRUE(lab.answer);
  EXPECT_EQ(lab.answer->error().code, Code::timeout);
  EXPECT_EQ(answered, 1) << "it was carried out";
}

TEST_F(Crashes, TheReaderOfADeadStreamIsNotTold) {
  TaskGroup tasks(lab.env.executor);
  Victim server(lab, "server");
  lab.network.up("server", server.loop.get_executor(), ticks());
  tasks.spawn("follow", follow(line(), lab));
  lab.conductor.pass(std::chrono::milliseconds(1500));
  lab.network.faults.half_open = 1;
  lab.conductor.pass(seconds(60));
  EXPECT_EQ(lab.read, "tick\n");
  EXPECT_FALSE(lab.end);
  EXPECT_TRUE(source_alive) << "neither is the server";
  lab.conductor.pass(seconds(120));
  EXPECT_FALSE(source_alive) << "but for its kernel";
  EXPECT_FALSE(lab.end);
}

TEST_F(Crashes, NobodyThereIsNoPartition) {
  TaskGroup tasks(lab.env.executor);
  tasks.spawn("ask", ask(line(), lab));
  lab.conductor.settle();
  ASSERT_TRUE(lab.answer);
  EXPECT_EQ(fate_of(lab.answer->error()), Fate::refused) << "nothing was carried out";
  EXPECT_EQ(lab.network.counts().down, 1u);
  EXPECT_EQ(lab.network.counts().unreachable, 0u);
}

TEST_F(Crashes, APartitionIsOne) {
  lab.network.up("server", lab.env.executor, late());
  lab.network.partition("client", "server");
  TaskGroup tasks(lab.env.executor);
  tasks.spawn("ask", ask(line(), lab));
  lab.conductor.settle();
  ASSERT_TRUE(lab.answer);
  EXPECT_EQ(lab.network.counts().down, 0u);
  EXPECT_EQ(lab.network.counts().unreachable, 1u);
}

TEST_F(Crashes, AnAnswerIsGarbledButNotForWhoIsSpared) {
  lab.network.up("server", lab.env.executor, late());
  lab.network.faults.garble = 1;
  TaskGroup tasks(lab.env.executor);
  tasks.spawn("ask", ask(line(), lab));
  lab.conductor.pass(seconds(6));
  EXPECT_TRUE(lab.answer && *lab.answer);
  EXPECT_EQ(answered, 1) << "it was carried out";
  EXPECT_EQ(lab.network.counts().garbled, 1u);
  lab.network.spare("client");
  tasks.spawn("ask", ask(line(), lab));
  lab.conductor.pass(seconds(6));
  EXPECT_EQ(answered, 2);
  EXPECT_EQ(lab.network.counts().garbled, 1u);
}

TEST(Garble, CutsOffOrPutsAPageInstead) {
  const HttpResponse whole{.status = 201, .headers = {{"Content-Type", "application/json"}}, .body = R"({"a":1})"};
  auto cut = whole;
  garble(cut, std::uint64_t{3} * 50);
  EXPECT_EQ(cut.status, 201);
  EXPECT_EQ(cut.body, R"({"a)");
  auto page = whole;
  garble(page, 1);
  EXPECT_EQ(page.status, 201);
  EXPECT_EQ(page.headers.get("content-type"), "text/html");
  auto bad_gateway = whole;
  garble(bad_gateway, 2);
  EXPECT_EQ(bad_gateway.status, 502);
  EXPECT_TRUE(bad_gateway.body.starts_with("<html>"));
}

TEST_F(Crashes, AGarbledStreamEndsWithABrokenLine) {
  lab.network.up("server", lab.env.executor, ticks());
  TaskGroup tasks(lab.env.executor);
  tasks.spawn("follow", follow(line(), lab));
  lab.conductor.pass(std::chrono::milliseconds(1500));
  lab.network.faults.garble = 1;
  lab.conductor.pass(seconds(10));
  ASSERT_TRUE(lab.end);
  EXPECT_TRUE(lab.read.starts_with("tick\n"));
  EXPECT_TRUE(lab.read.ends_with('\n'));
  EXPECT_LE(lab.read.size(), std::string_view("tick\ntick\n").size());
  EXPECT_FALSE(source_alive);
}

TEST_F(Crashes, AStreamRepeatsWholeLinesButNotForWhoIsSpared) {
  lab.network.up("server", lab.env.executor, ticks());
  lab.network.faults.repeat = 1;
  {
    Victim client(lab);
    client.tasks.spawn("follow", follow(line(), lab));
    lab.conductor.pass(std::chrono::milliseconds(1500));
    EXPECT_EQ(lab.read, "tick\ntick\n");
  }
  lab.read.clear();
  lab.network.spare("client");
  Victim client(lab);
  client.tasks.spawn("follow", follow(line(), lab));
  lab.conductor.pass(std::chrono::milliseconds(1500));
  EXPECT_EQ(lab.read, "tick\n");
}

TEST_F(Crashes, WhoCrashesGivesNothingUp) {
  Victim server(lab, "server");
  lab.network.up("server", server.loop.get_executor(), ticks());
  for (const bool crash : {true, false}) {
    Victim client(lab);
    client.tasks.spawn("follow", follow(line(), lab));
    lab.conductor.pass(std::chrono::milliseconds(1500));
    lab.network.faults.half_open = 1;
    lab.conductor.pass(seconds(20));
    lab.network.faults.half_open = 0;
    lab.network.crashing(crash);
    client.loop.drop();
    lab.network.crashing(false);
    EXPECT_EQ(lab.network.counts().given_up, crash ? 0u : 1u);
  }
}

}  // namespace
}  // namespace krake::sim
