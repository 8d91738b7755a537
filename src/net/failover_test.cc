#include "net/failover.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/testing.h"

namespace krake {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

enum class Mood {
  serves,
  refuses,     // connections
  swallows,    // what is sent to connect
  slow,        // to connect: a second
  breaks_off,  // after the request
  is_silent,   // after the request, and on its streams
  works_long,  // 2.5 s; but tells at once that it is there
  crawls,      // 1.5 s for anything
  is_away,     // 500 with Retry-After
  fails,       // 500
  is_busy,     // 429
  forgets,     // 410: a page or a revision only another one has
};

class Server final : public Transport {
 public:
  Server(Clock& clock, std::string name) : clock_(clock), name_(std::move(name)) {}
  Awaitable<Status> connect(Duration limit) override {
    ++connects;
    if (mood == Mood::refuses) co_return fail(Code::unavailable, name_ + ": refused");
    if (mood == Mood::slow && limit >= seconds(1)) co_await sleep_for(clock_, seconds(1));
    if (mood == Mood::swallows || (mood == Mood::slow && limit < seconds(1))) {
      co_await sleep_for(clock_, limit);
      co_return fail(Code::timeout, name_ + ": no connection");
    }
    co_return Status{};
  }
  Awaitable<Result<HttpResponse>> send(HttpRequest request, CallOptions options) override {
    const bool probe = request.target == "/";
    ++(probe ? probes : asked);
    EXPECT_EQ(options.own_connection, probe) << "whatever became of the others";
    if (probe) authorization = request.headers.get("Authorization").value_or("");
    if (probe && std::exchange(pause, false)) {
      co_await sleep_for(clock_, seconds(20));
      co_return fail(Code::timeout, name_ + ": too late");
    }
    if (mood == Mood::breaks_off) co_return fail(Code::unavailable, name_ + ": broke off");
    const Duration work = mood == Mood::is_silent              ? Duration::max()
                          : mood == Mood::crawls               ? milliseconds(1500)
                          : mood == Mood::works_long && !probe ? milliseconds(2500)
                                                               : Duration::zero();
    if (work > Duration::zero()) co_await sleep_for(clock_, std::min(work, options.timeout));
    if (work > options.timeout) co_return fail(Code::timeout, name_ + ": silent");
    HttpResponse answer{.status = 200, .headers = {}, .body = name_};
    if (mood == Mood::is_away || mood == Mood::fails) answer.status = 500;
    if (mood == Mood::is_busy) answer.status = 429;
    if (mood == Mood::forgets) answer.status = 410;
    if (mood == Mood::is_away || mood == Mood::is_busy) answer.headers.add("Retry-After", "1");
    co_return answer;
  }
  Awaitable<Result<HttpStream>> open(HttpRequest request, CallOptions options) override {
    auto answer = co_await send(std::move(request), options);
    if (!answer) co_return fail(answer.error());
    std::unique_ptr<ByteStream> body = std::make_unique<Ends>();
    if (heartbeat > Duration::zero()) body = std::make_unique<Beats>(*this);
    co_return HttpStream{.status = answer->status, .headers = answer->headers, .body = std::move(body)};
  }

  Mood mood = Mood::serves;
  bool pause = false;    // of the whole client, while it waits for the next probe
  Duration heartbeat{};  // of its streams; zero: they end at once
  int connects = 0;
  int asked = 0;
  int probes = 0;
  std::string authorization;  // of the last

 private:
  struct Ends final : ByteStream {
    Awaitable<Result<std::string>> read() override { co_return std::string(); }
  };
  struct Beats final : ByteStream {
    explicit Beats(Server& s) : server(s) {}
    Awaitable<Result<std::string>> read() override {
      do {
        co_await sleep_for(server.clock_, server.heartbeat);
      } while (server.mood == Mood::is_silent);
      co_return server.name_;
    }
    Server& server;
  };
  Clock& clock_;
  std::string name_;
};

// Reads to the end.
Awaitable<void> follow(std::unique_ptr<ByteStream> body, int* pieces, std::optional<Error>* end) {
  for (;;) {
    auto piece = co_await body->read();
    if (!piece) {
      *end = piece.error();
      co_return;
    }
    ++*pieces;
  }
}

struct Rig {
  Rig() : transport(make_failover_transport(world.clock, {servers[0], servers[1], servers[2]})) {}
  // The server that answered and its status, or the error.
  std::string call(std::string method, Duration timeout = seconds(30), std::string target = "/x") {
    const Mono begin = world.clock.now();
    auto answer = world.run(transport->send({std::move(method), std::move(target), {}, "body"}, {.timeout = timeout}));
    took = world.clock.now() - begin;
    return answer ? fmt::format("{} {}", answer->body, answer->status) : answer.error().message;
  }
  std::unique_ptr<ByteStream> open() {
    return std::move(world.run(transport->open({"GET", "/x", {{"Authorization", "Bearer t"}}, ""}))->body);
  }
  void pass(Duration time) { world.run(sleep_for(world.clock, time)); }
  int asked() const { return servers[0]->asked + servers[1]->asked + servers[2]->asked; }
  testing::World world;
  std::shared_ptr<Server> servers[3] = {std::make_shared<Server>(world.clock, "a"),
                                        std::make_shared<Server>(world.clock, "b"),
                                        std::make_shared<Server>(world.clock, "c")};
  std::shared_ptr<Transport> transport;
  Duration took{};
};

TEST(Failover, GoesToTheNextWhenThatIsSafe) {
  // What the first server does; what comes of GET and of PUT; whether the next call goes elsewhere at once.
  const struct {
    Mood mood;
    std::string_view get;
    std::string_view put;
    std::string_view next;
  } cases[] = {
      {Mood::serves, "a 200", "a 200", "a 200"},
      {Mood::refuses, "b 200", "b 200", "b 200"},
      {Mood::swallows, "b 200", "b 200", "b 200"},
      {Mood::slow, "b 200", "b 200", "b 200"},
      {Mood::breaks_off, "b 200", "a: broke off", "b 200"},
      {Mood::is_silent, "b 200", "no answer to PUT /x, nor to a probe: a: silent", "b 200"},
      {Mood::is_away, "b 200", "b 200", "b 200"},
      {Mood::fails, "a 500", "a 500", "a 500"},
      {Mood::is_busy, "a 429", "a 429", "a 429"},
  };
  for (const auto& [mood, get, put, next] : cases) {
    SCOPED_TRACE(static_cast<int>(mood));
    for (const bool reads : {true, false}) {
      Rig rig;
      rig.servers[0]->mood = mood;
      EXPECT_EQ(rig.call(reads ? "GET" : "PUT"), reads ? get : put);
      if (reads || mood != Mood::is_silent) EXPECT_LT(rig.took, milliseconds(500));
      EXPECT_EQ(rig.call("GET"), next);
    }
  }
}

TEST(Failover, StaysWithTheOneThatWorks) {
  Rig rig;
  rig.servers[0]->mood = Mood::refuses;
  EXPECT_EQ(rig.call("GET"), "b 200");
  rig.servers[0]->mood = Mood::serves;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(rig.call("GET"), "b 200");
  rig.servers[1]->mood = Mood::refuses;
  EXPECT_EQ(rig.call("GET"), "c 200");
  rig.servers[2]->mood = Mood::refuses;
  EXPECT_EQ(rig.call("GET"), "a 200") << "round";
}

TEST(Failover, WhenNobodyServesItSaysWhatTheBestOneSaid) {
  Rig rig;
  for (auto& server : rig.servers) server->mood = Mood::refuses;
  EXPECT_EQ(rig.call("GET"), "c: refused");
  EXPECT_EQ(rig.servers[0]->connects, 1);
  rig.servers[1]->mood = Mood::is_away;
  EXPECT_EQ(rig.call("GET"), "b 500") << "an answer says more than a refused connection";
}

TEST(Failover, ServersThatAreAllSlowGetTheirTime) {
  Rig rig;
  for (auto& server : rig.servers) server->mood = Mood::slow;
  EXPECT_EQ(rig.call("PUT"), "a 200");
  EXPECT_EQ(rig.asked(), 1);
  rig.servers[0]->mood = Mood::refuses;
  rig.servers[1]->mood = Mood::swallows;
  EXPECT_EQ(rig.call("PUT"), "c 200");
}

TEST(Failover, TheCallersTimeIsKept) {
  Rig rig;
  for (auto& server : rig.servers) server->mood = Mood::swallows;
  EXPECT_THAT(rig.call("GET", seconds(1)), ::testing::HasSubstr("no connection"));
  EXPECT_EQ(rig.took, seconds(1));
  EXPECT_EQ(rig.asked(), 0);
}

TEST(Failover, AStreamThatEndsIsOpenedElsewhere) {
  Rig rig;
  const auto open = [&] { return std::move(*rig.world.run(rig.transport->open({"GET", "/x", {}, ""}))); };
  auto first = open();
  auto second = open();
  EXPECT_EQ(rig.servers[0]->asked, 2);
  EXPECT_EQ(*rig.world.run(first.body->read()), "");
  EXPECT_EQ(*rig.world.run(second.body->read()), "");
  open();
  EXPECT_EQ(rig.servers[1]->asked, 1) << "two that end together leave it once";
}

TEST(Failover, AWriteToASilentServerEndsSoonAndIsNotSentTwice) {
  Rig rig;
  rig.servers[0]->mood = Mood::is_silent;
  auto answer = rig.world.run(rig.transport->send({"PUT", "/x", {}, "body"}));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Code::unavailable);
  EXPECT_EQ(rig.world.clock.now(), Mono(seconds(2))) << "a second of waiting, and one for the probe";
  EXPECT_EQ(rig.asked(), 1);
  EXPECT_EQ(rig.call("PUT"), "b 200");
  EXPECT_EQ(rig.took, Duration::zero());
}

TEST(Failover, ASilentServerIsLeftThoughItsCallersGiveUpEarly) {
  Rig rig;
  EXPECT_EQ(rig.call("PUT"), "a 200");
  rig.servers[0]->mood = Mood::is_silent;
  rig.pass(seconds(1));
  for (int i = 0; i < 2; ++i) {
    EXPECT_FALSE(rig.world.run(
        with_timeout(rig.world.clock, milliseconds(1500), "it", rig.transport->send({"PUT", "/x", {}, "body"}))));
  }
  EXPECT_EQ(rig.call("PUT"), "b 200");
}

TEST(Failover, AServerThatWorksLongIsNotLeft) {
  Rig rig;
  rig.servers[0]->mood = Mood::works_long;
  EXPECT_EQ(rig.call("PUT"), "a 200");
  EXPECT_EQ(rig.took, milliseconds(2500));
  EXPECT_EQ(rig.servers[0]->probes, 2);
  for (auto& server : rig.servers) server->mood = Mood::works_long;
  EXPECT_EQ(rig.call("GET"), "a 200");
  EXPECT_EQ(rig.call("PUT"), "a 200");
}

TEST(Failover, WhereAllAreTooSlowForAProbeTheyGetMoreTime) {
  Rig rig;
  for (auto& server : rig.servers) {
    server->mood = Mood::crawls;
    server->heartbeat = seconds(10);
  }
  int pieces = 0;
  for (const int stream : {1, 2, 3, 4}) {
    std::optional<Error> end;
    TaskGroup tasks(rig.world.context.get_executor());
    tasks.spawn("stream", follow(rig.open(), &pieces, &end));
    EXPECT_EQ(rig.world.run_until([&] { return end.has_value(); }, seconds(120)), stream < 4) << stream;
    rig.world.run(tasks.stop());
  }
  EXPECT_EQ(rig.call("PUT"), "a 200");
}

TEST(Failover, AProbeWithoutAnAnswerSaysNothingWhenItsSenderWasPaused) {
  Rig rig;
  rig.servers[0]->heartbeat = seconds(30);
  auto body = rig.open();
  rig.servers[0]->pause = true;
  auto piece = rig.world.run(body->read());
  ASSERT_TRUE(piece) << piece.error().message;
  EXPECT_EQ(*piece, "a");
  EXPECT_FALSE(rig.servers[0]->pause);
  EXPECT_GE(rig.servers[0]->probes, 2);
}

TEST(Failover, FewReadsAreAskedTwice) {
  Rig rig;
  for (auto& server : rig.servers) server->mood = Mood::works_long;
  for (int i = 0; i < 40; ++i) EXPECT_EQ(rig.call("GET"), "a 200");
  EXPECT_GE(rig.asked(), 40 + 10) << "on credit";
  EXPECT_LE(rig.asked(), 40 + 10 + 4) << "one in ten";
  EXPECT_EQ(rig.servers[2]->asked, 0) << "and of one other";
}

TEST(Failover, WhatAnotherServerCannotAnswerIsWaitedFor) {
  for (const auto mood : {Mood::is_busy, Mood::forgets, Mood::fails, Mood::is_away, Mood::refuses, Mood::breaks_off}) {
    SCOPED_TRACE(static_cast<int>(mood));
    Rig rig;
    rig.servers[0]->mood = Mood::works_long;
    rig.servers[1]->mood = mood;
    EXPECT_EQ(rig.call("GET"), "a 200");
    EXPECT_EQ(rig.servers[1]->connects, 1);
  }
}

TEST(Failover, APageIsAskedOfOneServerOnly) {
  for (const char* target : {"/x?limit=500", "/x?limit=500&continue=abc"}) {
    Rig rig;
    rig.servers[0]->mood = Mood::works_long;
    EXPECT_EQ(rig.call("GET", seconds(30), target), "a 200");
    EXPECT_EQ(rig.servers[1]->connects, 0);
  }
}

TEST(Failover, WhoWasOutrunIsNotTheOtherOneForAWhile) {
  Rig rig;
  rig.servers[0]->mood = Mood::is_silent;
  EXPECT_EQ(rig.call("GET"), "b 200");
  rig.servers[1]->mood = Mood::is_silent;
  EXPECT_EQ(rig.call("GET"), "c 200");
  rig.servers[2]->mood = Mood::is_silent;
  rig.servers[0]->mood = Mood::serves;
  EXPECT_EQ(rig.call("GET"), "a 200");
  EXPECT_EQ(rig.took, seconds(2)) << "asked when the third had not answered its probe";
  rig.pass(seconds(1));
  rig.servers[1]->mood = Mood::serves;
  rig.servers[0]->mood = Mood::is_silent;
  EXPECT_EQ(rig.call("GET"), "b 200");
  EXPECT_EQ(rig.took, milliseconds(250));
}

TEST(Failover, WhenAllAreSilentTheyAreAskedRoundAndRound) {
  for (const bool one_comes_back : {false, true}) {
    Rig rig;
    for (auto& server : rig.servers) server->mood = Mood::is_silent;
    const auto back = rig.world.clock.at(Mono(seconds(8)), [&] {
      if (one_comes_back) rig.servers[2]->mood = Mood::serves;
    });
    const auto answer = rig.call("GET");
    if (one_comes_back) {
      EXPECT_EQ(answer, "c 200");
      EXPECT_LT(rig.took, seconds(15));
    } else {
      EXPECT_THAT(answer, ::testing::HasSubstr("silent"));
      EXPECT_EQ(rig.took, seconds(30));
    }
    EXPECT_LE(rig.asked(), 12);
  }
}

TEST(Failover, StreamsOfASilentServerEnd) {
  // Whether something else is read meanwhile; when the streams have ended since the server was last heard.
  const struct {
    bool active;
    Duration limit;
  } cases[] = {{false, seconds(4)}, {true, milliseconds(1250)}};
  for (const auto& [active, limit] : cases) {
    SCOPED_TRACE(active);
    Rig rig;
    rig.servers[0]->heartbeat = seconds(10);
    constexpr int kStreams = 5;
    int pieces = 0;
    std::optional<Error> ends[kStreams];
    TaskGroup tasks(rig.world.context.get_executor());
    for (auto& end : ends) tasks.spawn("stream", follow(rig.open(), &pieces, &end));
    rig.pass(seconds(61));
    EXPECT_EQ(pieces, 6 * kStreams);
    const int probes = rig.servers[0]->probes;
    EXPECT_GE(probes, 2 * 6);
    EXPECT_LE(probes, 3 * 6 + 1) << "all together";
    EXPECT_EQ(rig.servers[0]->authorization, "Bearer t");

    rig.servers[0]->mood = Mood::is_silent;
    const Mono begin = rig.world.clock.now();
    if (active) EXPECT_EQ(rig.call("GET"), "b 200");
    const auto ended = [&] { return std::ranges::all_of(ends, [](const auto& end) { return end.has_value(); }); };
    EXPECT_TRUE(rig.world.run_until(ended, seconds(10)));
    EXPECT_LE(rig.world.clock.now() - begin, limit);
    EXPECT_EQ(ends[0]->code, Code::unavailable);
    EXPECT_EQ(ends[0]->message, "nothing more on the stream, and no answer to a probe: a: silent");
    EXPECT_GE(rig.servers[0]->probes, probes + 1);
    EXPECT_LE(rig.servers[0]->probes, probes + 2) << "one may have been begun for the GET, and given up with it";
    EXPECT_EQ(rig.call("PUT"), "b 200");
    EXPECT_EQ(rig.took, Duration::zero());
  }
}

TEST(Failover, UrlsAreSeparatedByCommas) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"http://a:1", "http://a:1"},
      {"http://a:1, https://b:2/p ,http://c", "http://a:1 https://b:2/p http://c"},
      {"http://a:1,http://a:1", "http://a:1"},
      {"", "E"},
      {"http://a,", "E"},
      {",http://a", "E"},
      {"a:1", "E"},
      {"http://a http://b", "E"},
  };
  for (const auto& [text, wanted] : cases) {
    const auto urls = split_urls(text);
    EXPECT_EQ(urls ? fmt::format("{}", fmt::join(*urls, " ")) : "E", wanted) << text;
  }
}

}  // namespace
}  // namespace krake
