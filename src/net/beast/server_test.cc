// What the server does with peers that are odd, slow or hostile. Raw bytes, so that nothing is put right on the way.
#include "net/beast/server.h"

#include <regex>

#include "net/test_bench.h"

namespace krake::testing {

namespace {

struct Served : Bench {
  std::unique_ptr<HttpServer> server;
  RawPeer peer() { return {*this, server->port()}; }
};

using Body = Awaitable<void> (*)(Served&);

Awaitable<void> serve_during(Served& s, Body body) {
  const auto started = co_await s.server->start();
  CO_ASSERT(started);
  co_await body(s);
  co_await s.server->stop();
}

void with_server(HttpServerOptions options, Body body) {
  Served served;
  served.server = served.make_server(std::move(options));
  served.run(serve_during(served, body));
  EXPECT_EQ(served.server->connections(), 0u);
  EXPECT_EQ(served.seen.sources_alive, 0);
}

// The line at the head of each answer is taken out, and must be as RFC 9110 5.6.7 says.
std::string without_dates(std::string text) {
  const std::regex date(
      "Date: (Mon|Tue|Wed|Thu|Fri|Sat|Sun), \\d\\d "
      "(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \\d{4} \\d\\d:\\d\\d:\\d\\d GMT\r\n");
  const std::string kDate = "\r\nDate: ";
  for (auto at = text.find(kDate); at != std::string::npos; at = text.find(kDate, at)) {
    const auto end = text.find("\r\n", at + 2) + 2;
    EXPECT_TRUE(std::regex_match(text.substr(at + 2, end - at - 2), date)) << text.substr(at, end - at);
    text.erase(at + 2, end - at - 2);
  }
  return text;
}

// Sends, and returns everything until the server closes, without the dates.
Awaitable<std::string> exchange(Served& s, std::string bytes) {
  auto peer = s.peer();
  co_await peer.write(std::move(bytes));
  auto all = co_await peer.read_all();
  // Of those that are not let in there is no time to take care.
  const bool dated = all.empty() || all.starts_with("HTTP/1.1 503 ") || all.contains("\r\nDate: ");
  EXPECT_TRUE(dated) << all.substr(0, 200);
  co_return without_dates(std::move(all));
}

std::size_t count(std::string_view text, std::string_view what) {
  std::size_t n = 0;
  for (auto at = text.find(what); at != std::string_view::npos; at = text.find(what, at + what.size())) ++n;
  return n;
}

}  // namespace

TEST(HttpServer, WritesTheExactAnswer) {
  with_server(Bench::plain(), [](Served& s) -> Awaitable<void> {
    EXPECT_EQ(co_await exchange(s, "GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
              "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
    EXPECT_EQ(co_await exchange(s, "GET /empty HTTP/1.1\r\nConnection: close\r\n\r\n"),
              "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    EXPECT_EQ(co_await exchange(s, "HEAD /hello HTTP/1.1\r\nConnection: close\r\n\r\n"),
              "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nConnection: close\r\n\r\n");
    EXPECT_EQ(co_await exchange(s, "GET /hello HTTP/1.0\r\n\r\n"),
              "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
    const auto chunked = co_await exchange(s, "GET /count?1 HTTP/1.1\r\nConnection: close\r\n\r\n");
    EXPECT_TRUE(
        chunked.starts_with("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n4e20\r\nxxx"));
    EXPECT_TRUE(chunked.ends_with("xxx\n\r\n0\r\n\r\n"));
    const auto old = co_await exchange(s, "GET /count?1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    EXPECT_TRUE(old.starts_with("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nxxx")) << old.substr(0, 100);
    EXPECT_TRUE(old.ends_with("xxx\n"));
  });
}

// Some clients end a body with one.
TEST(HttpServer, IgnoresAFewEmptyLinesBeforeARequest) {
  with_server(Bench::plain(), [](Served& s) -> Awaitable<void> {
    const std::string get = "GET /hello HTTP/1.1\r\n";
    const std::string last = get + "Connection: close\r\n\r\n";
    const auto all = co_await exchange(
        s, "\r\n" + get + "\r\n\r\n\r\n" + "POST /echo HTTP/1.1\r\nContent-Length: 3\r\n\r\none\r\n" + last);
    EXPECT_EQ(count(all, "HTTP/1.1 200 OK"), 3u) << all;
    EXPECT_TRUE((co_await exchange(s, "\r\n\r\n\r\n\r\n" + last)).starts_with("HTTP/1.1 200 OK"));
    EXPECT_TRUE((co_await exchange(s, "\r\n\r\n\r\n\r\n\r\n" + last)).starts_with("HTTP/1.1 400 "));
    EXPECT_TRUE((co_await exchange(s, "\n" + last)).starts_with("HTTP/1.1 400 "));
    EXPECT_TRUE((co_await exchange(s, "\r" + last)).starts_with("HTTP/1.1 400 "));
    auto peer = s.peer();
    for (const char c : "\r\n\r\n" + get + "\r\n") co_await peer.write(std::string(1, c));
    EXPECT_TRUE((co_await peer.read_until("hello")).starts_with("HTTP/1.1 200 OK"));
  });
}

TEST(HttpServer, AnswersPipelinedRequestsInOrder) {
  with_server(Bench::plain(), [](Served& s) -> Awaitable<void> {
    std::string requests = "POST /echo HTTP/1.1\r\nContent-Length: 3\r\n\r\none";
    for (int i = 0; i < 100; ++i) requests += "GET /hello HTTP/1.1\r\n\r\n";
    requests +=
        "POST /late-echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\ntw\r\n1\r\no\r\n0\r\nTrailer: "
        "t\r\n\r\n";
    requests += "POST /hello HTTP/1.1\r\nContent-Length: 6\r\n\r\nunread";
    requests += "POST /echo HTTP/1.1\r\nContent-Length: 4\r\nConnection: close\r\n\r\nlast";
    const auto all = co_await exchange(s, requests);
    EXPECT_EQ(count(all, "HTTP/1.1 200 OK"), 104u);
    EXPECT_EQ(count(all, "hello"), 101u);
    const auto one = all.find("\r\n\r\none");
    const auto two = all.find("\r\n\r\ntwo");
    EXPECT_NE(one, std::string::npos);
    EXPECT_NE(two, std::string::npos);
    EXPECT_LT(one, two);
    EXPECT_EQ(count(all, "unread"), 0u);
    EXPECT_TRUE(all.ends_with("\r\n\r\nlast"));
  });
}

TEST(HttpServer, TakesRequestsByteByByte) {
  with_server(Bench::plain(), [](Served& s) -> Awaitable<void> {
    auto peer = s.peer();
    for (const char c : std::string("POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")) {
      co_await peer.write(std::string(1, c));
      co_await yield();
    }
    EXPECT_TRUE((co_await peer.read_until("abc")).starts_with("HTTP/1.1 200 OK"));
  });
}

TEST(HttpServer, RefusesMalformedRequests) {
  with_server(Bench::plain(), [](Served& s) -> Awaitable<void> {
    const std::pair<std::string, std::string> cases[] = {
        {"not http at all\r\n\r\n", "400"},
        {"GET\r\n\r\n", "400"},
        {"GET / HTTP/2.0\r\n\r\n", "400"},
        {"GET / HTTP/1.1\r\nno colon\r\n\r\n", "400"},
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"},
        {std::string("GET /\0 HTTP/1.1\r\n\r\n", 19), "400"},
        {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello", "400"},
        {"POST /echo HTTP/1.1\r\nContent-Length: x\r\n\r\n", "400"},
        {"POST /echo HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", "400"},
        {"POST /echo HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc", "400"},
        {"POST /echo HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\nGET /hello HTTP/1.1\r\n\r\n", "400"},
        {"GET /" + std::string(9000, 'a') + " HTTP/1.1\r\n\r\n", "400"},
        {"GET / HTTP/1.1\r\nX: " + std::string(9000, 'a') + "\r\n\r\n", "400"},
    };
    for (const auto& [request, status] : cases) {
      const auto answer = co_await exchange(s, request);
      EXPECT_TRUE(answer.starts_with("HTTP/1.1 " + status + " ")) << request.substr(0, 80) << " -> " << answer;
      EXPECT_EQ(count(answer, "HTTP/1.1"), 1u) << answer;
      EXPECT_NE(answer.find("text/plain"), std::string::npos);
      EXPECT_NE(answer.find("Connection: close"), std::string::npos);
    }
    EXPECT_EQ(s.seen.handler_starts, 0);
  });
}

TEST(HttpServer, RefusesAFloodOfHeaders) {
  with_server(Bench::plain(), [](Served& s) -> Awaitable<void> {
    std::string many = "GET /hello HTTP/1.1\r\n";
    for (int i = 0; i < 300; ++i) many += fmt::format("X-{}: y\r\n", i);
    EXPECT_TRUE((co_await exchange(s, many + "\r\n")).starts_with("HTTP/1.1 431 "));
    std::string large = "GET /hello HTTP/1.1\r\n";
    for (int i = 0; i < 100; ++i) large += fmt::format("X-{}: {}\r\n", i, std::string(1000, 'y'));
    EXPECT_TRUE((co_await exchange(s, large + "\r\n")).starts_with("HTTP/1.1 431 "));
    // Without end, and without a line break.
    EXPECT_TRUE((co_await exchange(s, "GET /" + std::string(200000, 'a'))).starts_with("HTTP/1.1 431 "));
    EXPECT_EQ(s.seen.handler_starts, 0);
  });
}

TEST(HttpServer, AnswersAMalformedBody) {
  with_server(Bench::plain(), [](Served& s) -> Awaitable<void> {
    const auto answer =
        co_await exchange(s, "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n");
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 400 ")) << answer;
    EXPECT_NE(answer.find("Connection: close"), std::string::npos);
    const auto endless =
        co_await exchange(s, "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;" + std::string(200000, 'x'));
    EXPECT_TRUE(endless.starts_with("HTTP/1.1 400 ")) << endless;
  });
}

TEST(HttpServer, LimitsChunkedBodiesWhileTheyCome) {
  with_server(Bench::plain(), [](Served& s) -> Awaitable<void> {
    std::string request = "POST /limit HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (int i = 0; i < 17; ++i) request += "10000\r\n" + std::string(65536, 'x') + "\r\n";
    request += "0\r\n\r\n";
    const auto answer = co_await exchange(s, request + "GET /hello HTTP/1.1\r\nConnection: close\r\n\r\n");
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 413 ")) << answer;
    EXPECT_NE(answer.find("Maximum request body size 1048576 exceeded, actual body size 1"), std::string::npos)
        << answer;
  });
}

TEST(HttpServer, SaysContinueOnlyWhenTheBodyIsRead) {
  with_server(Bench::plain(), [](Served& s) -> Awaitable<void> {
    auto peer = s.peer();
    co_await peer.write("POST /echo HTTP/1.1\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    EXPECT_EQ(co_await peer.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    co_await peer.write("body");
    EXPECT_TRUE((co_await peer.read_until("body")).starts_with("HTTP/1.1 200 OK"));
    // The same connection; now the handler refuses without reading.
    co_await peer.write("POST /limit HTTP/1.1\r\nContent-Length: 2000000\r\nExpect: 100-continue\r\n\r\n");
    const auto refused = co_await peer.read_all();
    EXPECT_TRUE(refused.starts_with("HTTP/1.1 413 ")) << refused;
    EXPECT_NE(refused.find("Connection: close"), std::string::npos);
  });
}

TEST(HttpServer, GivesUpOnSlowSenders) {
  auto options = Bench::plain();
  options.header_timeout = 60ms;
  options.idle_timeout = 60ms;
  options.body_timeout = 60ms;
  options.linger_timeout = 60ms;
  with_server(options, [](Served& s) -> Awaitable<void> {
    EXPECT_EQ(co_await exchange(s, ""), "");
    EXPECT_EQ(co_await exchange(s, "GET /hello HTTP/1.1\r\nX-Half: "), "");
    EXPECT_EQ(count(co_await exchange(s, "GET /hello HTTP/1.1\r\n\r\n"), "hello"), 1u);  // then idle
    const auto stalled = co_await exchange(s, "POST /echo HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc");
    EXPECT_TRUE(stalled.starts_with("HTTP/1.1 408 ")) << stalled;
    EXPECT_NE(stalled.find("too slow"), std::string::npos) << stalled;
  });
}

TEST(HttpServer, ReportsASenderThatBreaksOff) {
  with_server(Bench::plain(), [](Served& s) -> Awaitable<void> {
    auto peer = s.peer();
    co_await peer.write("POST /echo HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc");
    peer.end();
    const auto answer = co_await peer.read_all();
    EXPECT_NE(answer.find("broke off"), std::string::npos) << answer;
  });
}

TEST(HttpServer, CutsAReaderThatStalls) {
  auto options = Bench::plain();
  options.write_timeout = 80ms;
  with_server(options, [](Served& s) -> Awaitable<void> {
    auto peer = s.peer();
    co_await peer.write("GET /count?100000 HTTP/1.1\r\n\r\n");
    EXPECT_TRUE(co_await s.eventually([&s] { return s.seen.sources_alive == 1; }));
    EXPECT_TRUE(co_await s.eventually([&s] { return s.seen.sources_alive == 0 && s.server->connections() == 0; }));
    EXPECT_LT(s.seen.batches_pulled, 1000);
  });
}

TEST(HttpServer, NoticesThatTheReaderOfAnIdleStreamLeft) {
  with_server(Bench::plain(), [](Served& s) -> Awaitable<void> {
    auto peer = s.peer();
    co_await peer.write("GET /idle HTTP/1.1\r\n\r\n");
    co_await peer.read_until("first");
    EXPECT_EQ(s.seen.sources_alive, 1);
    peer.close();
    EXPECT_TRUE(co_await s.eventually([&s] { return s.seen.sources_alive == 0 && s.server->connections() == 0; }));
  });
}

TEST(HttpServer, KeepsARequestThatComesDuringAStream) {
  with_server(Bench::plain(), [](Served& s) -> Awaitable<void> {
    auto peer = s.peer();
    co_await peer.write("GET /count?500 HTTP/1.1\r\n\r\n");
    co_await peer.read_until("xxx");
    co_await peer.write("GET /hello HTTP/1.1\r\n\r\n");
    co_await peer.read_until("\r\n0\r\n\r\n");
    EXPECT_TRUE((co_await peer.read_until("hello")).starts_with("HTTP/1.1 200 OK"));
    co_await peer.write("GET /hello HTTP/1.1\r\nConnection: close\r\n\r\n");
    EXPECT_TRUE((co_await peer.read_all()).ends_with("hello"));
  });
}

TEST(HttpServer, RefusesConnectionsOverTheLimit) {
  auto options = Bench::plain();
  options.max_connections = 2;
  with_server(options, [](Served& s) -> Awaitable<void> {
    auto first = s.peer();
    auto second = s.peer();
    co_await first.write("GET /slow HTTP/1.1\r\n\r\n");
    co_await second.write("GET /slow HTTP/1.1\r\n\r\n");
    EXPECT_TRUE(co_await s.eventually([&s] { return s.seen.handler_starts == 2; }));
    const auto answer = co_await exchange(s, "GET /hello HTTP/1.1\r\n\r\n");
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 503 ")) << answer;
    const auto length = answer.size() - answer.find("\r\n\r\n") - 4;
    EXPECT_NE(answer.find(fmt::format("Content-Length: {}\r\n", length)), std::string::npos) << answer;
    first.close();
    EXPECT_TRUE(co_await s.eventually([&s] { return s.server->connections() == 1; }));
    EXPECT_TRUE(
        (co_await exchange(s, "GET /hello HTTP/1.1\r\nConnection: close\r\n\r\n")).starts_with("HTTP/1.1 200 "));
  });
}

TEST(HttpServer, IdleConnectionsMakeRoom) {
  auto options = Bench::plain();
  options.max_connections = 2;
  with_server(options, [](Served& s) -> Awaitable<void> {
    auto first = s.peer();
    auto second = s.peer();
    EXPECT_TRUE(co_await s.eventually([&s] { return s.server->connections() == 2; }));
    for (int i = 0; i < 5; ++i) {
      EXPECT_TRUE(
          (co_await exchange(s, "GET /hello HTTP/1.1\r\nConnection: close\r\n\r\n")).starts_with("HTTP/1.1 200 "));
    }
    EXPECT_EQ(co_await first.read_all(), "");
  });
}

TEST(HttpServer, AnEmptyLineAfterARequestLeavesTheConnectionIdle) {
  auto options = Bench::plain();
  options.max_connections = 2;
  with_server(options, [](Served& s) -> Awaitable<void> {
    auto first = s.peer();
    co_await first.write("GET /hello HTTP/1.1\r\n\r\n\r\n");
    co_await first.read_until("hello");
    auto second = s.peer();
    co_await second.write("GET /hello HTTP/1.1\r\n\r\n");
    co_await second.read_until("hello");
    EXPECT_TRUE(
        (co_await exchange(s, "GET /hello HTTP/1.1\r\nConnection: close\r\n\r\n")).starts_with("HTTP/1.1 200 "));
    EXPECT_EQ(co_await first.read_all(), "") << "idle for longest, it made room";
    co_await second.write("GET /hello HTTP/1.1\r\nConnection: close\r\n\r\n");
    EXPECT_TRUE((co_await second.read_all()).ends_with("hello"));
  });
}

TEST(HttpServer, KeepsLineBreaksOutOfHeaders) {
  with_server(Bench::plain(), [](Served& s) -> Awaitable<void> {
    const auto answer = co_await exchange(s, "GET /headers HTTP/1.1\r\nConnection: close\r\n\r\n");
    EXPECT_EQ(answer.find("\r\nInjected"), std::string::npos) << answer;
    EXPECT_NE(answer.find("X-Evil: a  Injected: yes\r\n"), std::string::npos) << answer;
  });
}

TEST(HttpServer, AnswersWhenAHandlerThrows) {
  with_server(Bench::plain(), [](Served& s) -> Awaitable<void> {
    const auto answer =
        co_await exchange(s, "GET /throw HTTP/1.1\r\n\r\nGET /hello HTTP/1.1\r\nConnection: close\r\n\r\n");
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 500 ")) << answer;
    EXPECT_EQ(answer.find("surprise"), std::string::npos);
    EXPECT_TRUE(answer.ends_with("hello"));
  });
}

TEST(HttpServer, ReportsAPortThatIsTakenAndAHostThatIsNot) {
  with_server(Bench::plain(), [](Served& s) -> Awaitable<void> {
    auto options = Bench::plain();
    options.port = s.server->port();
    auto second = s.make_server(options);
    const auto taken = co_await second->start();
    CO_ASSERT(!taken);
    EXPECT_EQ(taken.error().code, Code::unavailable);
    EXPECT_NE(taken.error().message.find(std::to_string(options.port)), std::string::npos) << taken.error().message;
    co_await second->stop();
    options.tls = ServerTls{.cert_chain_pem = "nonsense", .key_pem = "nonsense", .client_ca_pem = ""};
    auto third = s.make_server(options);
    const auto bad = co_await third->start();
    CO_ASSERT(!bad);
    EXPECT_EQ(bad.error().code, Code::invalid_argument);
    co_await third->stop();
  });
}

namespace {
Awaitable<void> stay(Served& s, bool* reached) {
  auto peer = s.peer();
  co_await peer.write("GET /slow HTTP/1.1\r\n\r\n");
  auto streaming = s.peer();
  co_await streaming.write("GET /idle HTTP/1.1\r\n\r\n");
  co_await streaming.read_until("first");
  auto idle = s.peer();
  *reached = co_await s.eventually([&s] { return s.seen.handler_starts == 2 && s.server->connections() == 3; });
  s.io.stop();
  co_await yield();
}
}  // namespace

TEST(HttpServer, MayDieWithItsLoop) {
  bool reached = false;
  auto served = std::make_unique<Served>();
  served->server = served->make_server(Bench::plain());
  auto tasks = std::make_unique<TaskGroup>(served->io.get_executor());
  tasks->spawn("start", [](Served& s) -> Awaitable<void> { co_await s.server->start(); }(*served));
  tasks->spawn("peer", stay(*served, &reached));
  served->io.run();
  EXPECT_TRUE(reached);
  tasks.reset();
  served.reset();  // the server first, then the loop with every coroutine
}

TEST(HttpServer, ListensOnEveryAddressOfLocalhost) {
  auto options = Bench::plain();
  options.host = "localhost";
  with_server(options, [](Served& s) -> Awaitable<void> {
    EXPECT_TRUE((co_await exchange(s, "GET /hello HTTP/1.1\r\nConnection: close\r\n\r\n")).ends_with("hello"));
  });
}

}  // namespace krake::testing
