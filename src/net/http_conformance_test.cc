// What every transport must do, run against the in-process one and against the network, plain and TLS.
#include "net/inproc/inproc.h"
#include "net/test_bench.h"

namespace krake::testing {

namespace {

enum class Via : std::uint8_t { inproc, plain, tls };

struct World : Bench {
  explicit World(Via v) : via(v) {}
  Via via;
  std::unique_ptr<HttpServer> server;
  std::shared_ptr<Transport> transport;
  DialerOptions dialer_options;

  Awaitable<void> open() {
    if (via == Via::inproc) {
      transport = make_inproc_transport(handler(), Peer{.common_name = "system:tester", .address = ""}, clock);
      co_return;
    }
    server = make_server(via == Via::tls ? tls() : plain());
    const auto started = co_await server->start();
    EXPECT_TRUE(started) << started.error().message;
    BeastDialer dialer(io.get_executor(), clock, dialer_options);
    auto dialled = dialer.dial(endpoint(*server, via == Via::tls));
    EXPECT_TRUE(dialled) << dialled.error().message;
    transport = dialled.value();
  }
  Awaitable<void> close() {
    transport.reset();
    if (server) co_await server->stop();
  }
  Awaitable<Result<HttpResponse>> get(std::string target) { return transport->send({.target = std::move(target)}); }
};

class HttpConformance : public ::testing::TestWithParam<Via> {
 protected:
  using Body = Awaitable<void> (*)(World&);
  void run(Body body) {
    World world(GetParam());
    world.run(wrap(world, body));
    EXPECT_EQ(world.seen.sources_alive, 0);
  }
  static Awaitable<void> wrap(World& world, Body body) {
    co_await world.open();
    co_await body(world);
    co_await world.close();
  }
};

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 31 % 251);
  return text;
}

}  // namespace

TEST_P(HttpConformance, AnswersWithStatusHeadersAndBody) {
  run([](World& w) -> Awaitable<void> {
    const auto reply = co_await w.transport->send({.target = "/headers", .headers = {{"X-Test", "value"}}});
    CO_ASSERT(reply);
    EXPECT_EQ(reply->status, 200);
    EXPECT_EQ(reply->headers.get("content-type"), "text/plain");
    EXPECT_EQ(reply->headers.get("x-reply"), "one");
    EXPECT_EQ(reply->body, "value");
    const auto unknown = co_await w.get("/nowhere");
    CO_ASSERT(unknown);
    EXPECT_EQ(unknown->status, 404);
  });
}

TEST_P(HttpConformance, TellsTheHandlerWhoCalls) {
  run([](World& w) -> Awaitable<void> {
    const auto reply = co_await w.get("/who");
    CO_ASSERT(reply);
    EXPECT_EQ(reply->body, w.via == Via::plain ? "" : "system:tester");
  });
}

TEST_P(HttpConformance, LeavesThePercentEncodedTargetAlone) {
  run([](World& w) -> Awaitable<void> {
    co_await w.get("/a%2Fb/system%3Aadmin?x=%20y+z&%C3%A4");
    CO_ASSERT(w.seen.targets.size() == 1);
    EXPECT_EQ(w.seen.targets[0], "/a%2Fb/system%3Aadmin?x=%20y+z&%C3%A4");
  });
}

TEST_P(HttpConformance, CarriesLargeBodiesBothWays) {
  run([](World& w) -> Awaitable<void> {
    const auto body = pattern(5 << 20);
    const auto echoed = co_await w.transport->send({.method = "POST", .target = "/echo", .headers = {}, .body = body});
    CO_ASSERT(echoed);
    EXPECT_EQ(echoed->status, 200);
    EXPECT_TRUE(echoed->body == body);
    const auto late =
        co_await w.transport->send({.method = "POST", .target = "/late-echo", .headers = {}, .body = body});
    CO_ASSERT(late);
    EXPECT_TRUE(late->body == body);
    const auto big = co_await w.get("/big");
    CO_ASSERT(big);
    CO_ASSERT(big->body.size() == 80 * 65536u);
    EXPECT_EQ(big->body[65536 * 3], 'd');
  });
}

TEST_P(HttpConformance, RefusesARequestBodyOverTheLimitAndTakesOneAtIt) {
  run([](World& w) -> Awaitable<void> {
    const auto at =
        co_await w.transport->send({.method = "PUT", .target = "/limit", .headers = {}, .body = pattern(1 << 20)});
    CO_ASSERT(at);
    EXPECT_EQ(at->status, 200);
    EXPECT_EQ(at->body.size(), 1u << 20);
    const auto over = co_await w.transport->send(
        {.method = "PUT", .target = "/limit", .headers = {}, .body = pattern((1 << 20) + 1)});
    CO_ASSERT(over);
    EXPECT_EQ(over->status, 413);
    EXPECT_EQ(over->body, "Maximum request body size 1048576 exceeded, actual body size 1048577");
    const auto next = co_await w.get("/hello");
    CO_ASSERT(next);
    EXPECT_EQ(next->body, "hello");
  });
}

TEST_P(HttpConformance, RefusesAResponseBodyOverTheLimit) {
  run([](World& w) -> Awaitable<void> {
    for (const char* target : {"/big", "/count?10"}) {
      const auto reply = co_await w.transport->send({.target = target}, {.body_limit = 100000});
      CO_ASSERT(!reply);
      EXPECT_EQ(reply.error().code, Code::too_large);
      EXPECT_NE(reply.error().message.find("100000"), std::string::npos) << reply.error().message;
    }
  });
}

TEST_P(HttpConformance, AnswersHeadAndNoContentWithoutBody) {
  run([](World& w) -> Awaitable<void> {
    for (const char* target : {"/hello", "/count?3", "/idle"}) {
      const auto reply = co_await w.transport->send({.method = "HEAD", .target = target});
      CO_ASSERT(reply);
      EXPECT_EQ(reply->status, 200);
      EXPECT_EQ(reply->body, "");
    }
    const auto empty = co_await w.get("/empty");
    CO_ASSERT(empty);
    EXPECT_EQ(empty->status, 204);
    const auto next = co_await w.get("/hello");
    CO_ASSERT(next);
    EXPECT_EQ(next->body, "hello");
  });
}

TEST_P(HttpConformance, CollectsAStreamedBody) {
  run([](World& w) -> Awaitable<void> {
    const auto reply = co_await w.get("/count?50");
    CO_ASSERT(reply);
    EXPECT_EQ(reply->body.size(), 50u * 20000u);
    const auto none = co_await w.get("/count?0");
    CO_ASSERT(none);
    EXPECT_EQ(none->body, "");
  });
}

TEST_P(HttpConformance, StreamsInPiecesToTheEnd) {
  run([](World& w) -> Awaitable<void> {
    auto stream = co_await w.transport->open({.target = "/count?20"});
    CO_ASSERT(stream);
    EXPECT_EQ(stream->status, 200);
    std::size_t size = 0;
    while (true) {
      const auto piece = co_await stream->body->read();
      CO_ASSERT(piece);
      if (piece->empty()) break;
      size += piece->size();
    }
    EXPECT_EQ(size, 20u * 20000u);
    const auto again = co_await stream->body->read();
    CO_ASSERT(again);
    EXPECT_EQ(*again, "");
  });
}

TEST_P(HttpConformance, PullsTheSourceOnlyAsFastAsItIsRead) {
  run([](World& w) -> Awaitable<void> {
    auto stream = co_await w.transport->open({.target = "/count?5000"});  // 100 MB
    CO_ASSERT(stream);
    co_await stream->body->read();
    // Let the server push as far as it can: it has stopped when nothing is pulled any more.
    for (int before = -1; before != w.seen.batches_pulled;) {
      before = w.seen.batches_pulled;
      co_await sleep_for(w.clock, 50ms);
    }
    EXPECT_LT(w.seen.batches_pulled, 1000);
    EXPECT_EQ(w.seen.sources_alive, 1);
    stream->body.reset();
    EXPECT_TRUE(co_await w.eventually([&w] { return w.seen.sources_alive == 0; }));
  });
}

TEST_P(HttpConformance, DestroysAnIdleSourceWithItsStream) {
  run([](World& w) -> Awaitable<void> {
    auto stream = co_await w.transport->open({.target = "/idle"});
    CO_ASSERT(stream);
    const auto piece = co_await stream->body->read();
    CO_ASSERT(piece);
    EXPECT_EQ(*piece, "first\n");
    EXPECT_EQ(w.seen.sources_alive, 1);
    stream->body.reset();
    EXPECT_TRUE(co_await w.eventually([&w] { return w.seen.sources_alive == 0; }));
  });
}

TEST_P(HttpConformance, ReportsASourceThatFails) {
  run([](World& w) -> Awaitable<void> {
    const auto reply = co_await w.get("/broken");
    CO_ASSERT(!reply);
    EXPECT_EQ(reply.error().code, Code::unavailable);
    auto stream = co_await w.transport->open({.target = "/broken"});
    // A cut may overtake the header on the network.
    if (stream) {
      auto piece = co_await stream->body->read();
      if (piece) piece = co_await stream->body->read();
      CO_ASSERT(!piece);
      EXPECT_EQ(piece.error().code, Code::unavailable);
      const auto again = co_await stream->body->read();
      EXPECT_FALSE(again);
    }
  });
}

TEST_P(HttpConformance, AnswersForAHandlerThatThrows) {
  run([](World& w) -> Awaitable<void> {
    const auto reply = co_await w.get("/throw");
    CO_ASSERT(reply);
    EXPECT_EQ(reply->status, 500);
    EXPECT_EQ(reply->body.find("surprise"), std::string::npos);
  });
}

TEST_P(HttpConformance, TimesOutAndCancelsTheHandler) {
  run([](World& w) -> Awaitable<void> {
    const auto reply = co_await w.transport->send({.target = "/slow"}, {.timeout = 30ms});
    CO_ASSERT(!reply);
    EXPECT_EQ(reply.error().code, Code::timeout);
    EXPECT_NE(reply.error().message.find("GET /slow"), std::string::npos) << reply.error().message;
    EXPECT_TRUE(co_await w.eventually([&w] { return w.seen.handler_cancels == 1; }));
    const auto stream = co_await w.transport->open({.target = "/slow"}, {.timeout = 30ms});
    CO_ASSERT(!stream);
    EXPECT_EQ(stream.error().code, Code::timeout);
    EXPECT_TRUE(co_await w.eventually([&w] { return w.seen.handler_cancels == 2; }));
    // Within a body: the time is for the whole exchange.
    const auto idle = co_await w.transport->send({.target = "/idle"}, {.timeout = 30ms});
    CO_ASSERT(!idle);
    EXPECT_EQ(idle.error().code, Code::timeout);
    EXPECT_TRUE(co_await w.eventually([&w] { return w.seen.sources_alive == 0; }));
  });
}

TEST_P(HttpConformance, OpenKeepsAStreamBeyondItsTimeout) {
  run([](World& w) -> Awaitable<void> {
    auto stream = co_await w.transport->open({.target = "/count?2"}, {.timeout = 500ms});
    CO_ASSERT(stream);
    co_await sleep_for(w.clock, 600ms);
    std::size_t size = 0;
    while (true) {
      const auto piece = co_await stream->body->read();
      CO_ASSERT(piece);
      if (piece->empty()) break;
      size += piece->size();
    }
    EXPECT_EQ(size, 40000u);
  });
}

namespace {
Awaitable<void> call_slow(World& w) { co_await w.get("/slow"); }
Awaitable<void> read_idle(World& w) {
  auto stream = co_await w.transport->open({.target = "/idle"});
  CO_ASSERT(stream);
  while (co_await stream->body->read()) {
  }
}
}  // namespace

TEST_P(HttpConformance, CancellingTheCallerCancelsTheHandler) {
  run([](World& w) -> Awaitable<void> {
    TaskGroup callers(w.io.get_executor());
    callers.spawn("caller", call_slow(w));
    callers.spawn("reader", read_idle(w));
    EXPECT_TRUE(co_await w.eventually([&w] { return w.seen.handler_starts == 2 && w.seen.sources_alive == 1; }));
    co_await callers.stop();
    EXPECT_TRUE(co_await w.eventually([&w] { return w.seen.handler_cancels == 1 && w.seen.sources_alive == 0; }));
  });
}

namespace {
Awaitable<void> call_often(World& w, int times, int* good) {
  for (int i = 0; i < times; ++i) {
    const auto body = fmt::format("{}", i);
    const auto reply =
        co_await w.transport->send({.method = "POST", .target = "/late-echo", .headers = {}, .body = body});
    if (reply && reply->body == body) ++*good;
  }
}
}  // namespace

TEST_P(HttpConformance, ServesManyCallersAtOnce) {
  run([](World& w) -> Awaitable<void> {
    int good = 0;
    TaskGroup callers(w.io.get_executor());
    for (int i = 0; i < 150; ++i) callers.spawn("caller", call_often(w, 4, &good));
    co_await callers.join();
    EXPECT_EQ(good, 600);
  });
}

TEST_P(HttpConformance, StopsWhileStreamsAreOpen) {
  run([](World& w) -> Awaitable<void> {
    if (!w.server) co_return;
    auto stream = co_await w.transport->open({.target = "/idle"});
    CO_ASSERT(stream);
    co_await stream->body->read();
    TaskGroup callers(w.io.get_executor());
    callers.spawn("caller", call_slow(w));
    EXPECT_TRUE(co_await w.eventually([&w] { return w.seen.handler_starts == 2; }));
    const auto before = w.clock.now();
    co_await w.server->stop();
    EXPECT_LT(w.clock.now() - before, 5s);
    EXPECT_EQ(w.server->connections(), 0u);
    EXPECT_EQ(w.seen.sources_alive, 0);
    EXPECT_EQ(w.seen.handler_cancels, 1);
    const auto piece = co_await stream->body->read();
    EXPECT_FALSE(piece);
    co_await callers.join();
  });
}

INSTANTIATE_TEST_SUITE_P(
    Transports, HttpConformance, ::testing::Values(Via::inproc, Via::plain, Via::tls), [](const auto& info) {
      return std::string(info.param == Via::inproc ? "Inproc" : info.param == Via::plain ? "Plain" : "Tls");
    });

}  // namespace krake::testing
