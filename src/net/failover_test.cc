#include "net/failover.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
  is_silent,   // after the request
  is_away,     // 500 with Retry-After
  fails,       // 500
  is_busy,     // 429
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
  Awaitable<Result<HttpResponse>> send(HttpRequest, CallOptions options) override {
    ++asked;
    if (mood == Mood::breaks_off) co_return fail(Code::unavailable, name_ + ": broke off");
    if (mood == Mood::is_silent) {
      co_await sleep_for(clock_, options.timeout);
      co_return fail(Code::timeout, name_ + ": silent");
    }
    HttpResponse answer{.status = 200, .headers = {}, .body = name_};
    if (mood == Mood::is_away || mood == Mood::fails) answer.status = 500;
    if (mood == Mood::is_busy) answer.status = 429;
    if (mood == Mood::is_away || mood == Mood::is_busy) answer.headers.add("Retry-After", "1");
    co_return answer;
  }
  Awaitable<Result<HttpStream>> open(HttpRequest request, CallOptions options) override {
    auto answer = co_await send(std::move(request), options);
    if (!answer) co_return fail(answer.error());
    co_return HttpStream{.status = answer->status, .headers = answer->headers, .body = std::make_unique<Ends>()};
  }

  Mood mood = Mood::serves;
  int connects = 0;
  int asked = 0;

 private:
  struct Ends final : ByteStream {
    Awaitable<Result<std::string>> read() override { co_return std::string(); }
  };
  Clock& clock_;
  std::string name_;
};

struct Rig {
  Rig() : transport(make_failover_transport(world.clock, {servers[0], servers[1], servers[2]})) {}
  // The server that answered and its status, or the error.
  std::string call(std::string method, Duration timeout = seconds(30)) {
    const Mono begin = world.clock.now();
    auto answer = world.run(transport->send({std::move(method), "/x", {}, "body"}, {.timeout = timeout}));
    took = world.clock.now() - begin;
    return answer ? fmt::format("{} {}", answer->body, answer->status) : answer.error().message;
  }
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
      {Mood::is_silent, "a: silent", "a: silent", "b 200"},
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
      if (mood != Mood::is_silent) EXPECT_LT(rig.took, milliseconds(500));
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
