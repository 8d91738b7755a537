// What the client makes of servers that refuse, hang, lie or vanish, and who it trusts.
#include "net/beast/client.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>

#include "net/test_bench.h"

namespace krake::testing {

namespace {

struct Dialled : Bench {
  DialerOptions options;
  std::optional<BeastDialer> dialer;
  Result<std::shared_ptr<Transport>> dial(const Endpoint& endpoint) {
    if (!dialer) dialer.emplace(io.get_executor(), clock, options);
    return dialer->dial(endpoint);
  }
  std::shared_ptr<Transport> to(std::uint16_t port, std::string_view scheme = "http") {
    return dial({.url = fmt::format("{}://127.0.0.1:{}", scheme, port)}).value();
  }
};

using Body = Awaitable<void> (*)(Dialled&);
void run(Body body, DialerOptions options = {}) {
  Dialled bench;
  bench.options = options;
  bench.run(body(bench));
}

// The error must be of `code`, begin with host and port, and contain each of `words`.
void expect_error(const Result<HttpResponse>& result, Code code, std::uint16_t port, std::vector<std::string> words) {
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, code) << result.error().message;
  words.push_back(fmt::format("127.0.0.1:{}: ", port));
  for (const auto& word : words)
    EXPECT_NE(result.error().message.find(word), std::string::npos) << result.error().message;
}

}  // namespace

TEST(BeastClient, SaysWhenTheConnectionIsRefused) {
  run([](Dialled& b) -> Awaitable<void> {
    std::uint16_t port = 0;
    {
      StrangeServer gone(b, "");
      port = gone.port();
      co_await gone.stop();
    }
    expect_error(co_await b.to(port)->send({.target = "/"}), Code::unavailable, port, {"refused"});
  });
}

TEST(BeastClient, SaysWhenAServerHangs) {
  run([](Dialled& b) -> Awaitable<void> {
    StrangeServer silent(b, "");
    expect_error(co_await b.to(silent.port())->send({.target = "/x?secret=1"}, {.timeout = 40ms}), Code::timeout,
                 silent.port(), {"GET /x within 40 ms"});
    expect_error(co_await b.to(silent.port(), "https")->send({.target = "/"}, {.timeout = 40ms}), Code::timeout,
                 silent.port(), {"TLS handshake"});
    co_await silent.stop();
  });
}

TEST(BeastClient, FindsOutWhetherARequestCouldBeSent) {
  run([](Dialled& b) -> Awaitable<void> {
    std::uint16_t port = 0;
    {
      StrangeServer gone(b, "");
      port = gone.port();
      co_await gone.stop();
    }
    const auto refused = co_await b.to(port)->connect(1s);
    EXPECT_FALSE(refused);
    if (!refused) EXPECT_EQ(refused.error().code, Code::unavailable);
    StrangeServer server(b, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    const auto late = co_await b.to(server.port(), "https")->connect(40ms);
    EXPECT_FALSE(late) << "it speaks no TLS";
    const auto transport = b.to(server.port());
    EXPECT_TRUE(co_await transport->connect(1s));
    const auto answer = co_await transport->send({.target = "/"});
    EXPECT_TRUE(answer && answer->body == "ok");
    co_await server.stop();
  });
}

TEST(BeastClient, SaysWhenTheAnswerIsGarbage) {
  run([](Dialled& b) -> Awaitable<void> {
    const std::pair<std::string, std::string> cases[] = {
        {"SSH-2.0-OpenSSH_9.2\r\n", "not HTTP"},
        {"\x15\x03\x01\x02\x02\x02", "use https"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "within the body"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "within the body"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "malformed"},
        {"HTTP/1.1 200 OK\r\nContent-Le", "within the header"},
    };
    for (const auto& [text, word] : cases) {
      StrangeServer server(b, text);
      expect_error(co_await b.to(server.port())->send({.target = "/"}), Code::unavailable, server.port(), {word});
      co_await server.stop();
    }
    StrangeServer plain(b, "HTTP/1.1 400 Bad Request\r\n\r\n");
    expect_error(co_await b.to(plain.port(), "https")->send({.target = "/"}), Code::unavailable, plain.port(),
                 {"speak TLS"});
    co_await plain.stop();
  });
}

TEST(BeastClient, ReadsABodyUpToTheEndOfTheConnectionAndSkipsInterimAnswers) {
  run([](Dialled& b) -> Awaitable<void> {
    StrangeServer server(
        b, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.0 200 OK\r\n\r\nall of it");
    const auto reply = co_await b.to(server.port())->send({.target = "/"});
    CO_ASSERT(reply);
    EXPECT_EQ(reply->status, 200);
    EXPECT_EQ(reply->body, "all of it");
    EXPECT_FALSE(reply->headers.get("link"));
    co_await server.stop();
  });
}

TEST(BeastClient, ReusesConnectionsAndReplacesStaleOnes) {
  run([](Dialled& b) -> Awaitable<void> {
    auto options = Bench::plain();
    auto server = b.make_server(options);
    CO_ASSERT(co_await server->start());
    const auto transport = b.to(server->port());
    for (int i = 0; i < 20; ++i) CO_ASSERT(co_await transport->send({.target = "/hello"}));
    EXPECT_EQ(server->connections(), 1u);
    options.port = server->port();
    co_await server->stop();
    auto restarted = b.make_server(options);
    CO_ASSERT(co_await restarted->start());
    const auto again = co_await transport->send({.method = "POST", .target = "/echo", .headers = {}, .body = "x"});
    CO_ASSERT(again);
    EXPECT_EQ(again->body, "x");
    co_await restarted->stop();
  });
}

namespace {
// Answers the first request of each connection, and closes when the second comes.
Awaitable<void> one_shot(boost::asio::ip::tcp::acceptor& acceptor, int* requests) {
  using boost::asio::use_awaitable;
  std::array<char, 1024> buffer;
  while (true) {
    auto socket = co_await acceptor.async_accept(use_awaitable);
    co_await socket.async_read_some(boost::asio::buffer(buffer), use_awaitable);
    ++*requests;
    const std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    co_await socket.async_write_some(boost::asio::buffer(answer), use_awaitable);
    co_await socket.async_read_some(boost::asio::buffer(buffer), use_awaitable);
    ++*requests;
  }
}
}  // namespace

TEST(BeastClient, RepeatsOnAStaleConnectionOnlyWhatMayBeRepeated) {
  run([](Dialled& b) -> Awaitable<void> {
    boost::asio::ip::tcp::acceptor acceptor(b.io, {boost::asio::ip::make_address("127.0.0.1"), 0});
    int requests = 0;
    TaskGroup tasks(b.io.get_executor());
    tasks.spawn("one-shot server", one_shot(acceptor, &requests));
    const auto transport = b.to(acceptor.local_endpoint().port());
    CO_ASSERT(co_await transport->send({.target = "/"}));
    CO_ASSERT(co_await transport->send({.target = "/"}));  // lost on the kept connection, then repeated on a new one
    EXPECT_EQ(requests, 3);
    int expected = 3;
    // Whoever sends it may know better than its method.
    CO_ASSERT(
        co_await transport->send({.method = "POST", .target = "/", .headers = {}, .body = {}, .repeatable = true}));
    EXPECT_EQ(requests, expected += 2);
    for (const char* method : {"POST", "PUT", "DELETE", "PATCH"}) {  // it may have been carried out
      const auto written = co_await transport->send({.method = method, .target = "/"});
      CO_ASSERT(!written);
      EXPECT_EQ(written.error().code, Code::unavailable);
      EXPECT_EQ(requests, ++expected) << method;
      CO_ASSERT(co_await transport->send({.target = "/"}));  // a new connection, kept again
      EXPECT_EQ(requests, ++expected);
    }
    co_await tasks.stop();
  });
}

namespace {
Awaitable<void> keep_stream(Dialled& b, std::shared_ptr<Transport> transport, Duration time) {
  auto stream = co_await transport->open({.target = "/idle"});
  CO_ASSERT(stream);
  co_await sleep_for(b.clock, time);
}
}  // namespace

TEST(BeastClient, BoundsItsConnections) {
  run(
      [](Dialled& b) -> Awaitable<void> {
        auto server = b.make_server(Bench::plain());
        CO_ASSERT(co_await server->start());
        const auto transport = b.to(server->port());
        TaskGroup streams(b.io.get_executor());
        streams.spawn("stream", keep_stream(b, transport, 1h));
        streams.spawn("stream", keep_stream(b, transport, 150ms));
        EXPECT_TRUE(co_await b.eventually([&b] { return b.seen.sources_alive == 2; }));
        expect_error(co_await transport->send({.target = "/hello"}, {.timeout = 20ms}), Code::timeout, server->port(),
                     {"busy"});
        EXPECT_TRUE(co_await transport->send({.target = "/hello"}, {.timeout = 5s, .own_connection = true}));
        expect_error(co_await transport->send({.target = "/hello"}, {.timeout = 20ms}), Code::timeout, server->port(),
                     {"busy"});
        const auto waited = co_await transport->send({.target = "/hello"});
        CO_ASSERT(waited);
        EXPECT_EQ(waited->body, "hello");
        co_await streams.stop();
        co_await server->stop();
      },
      {.max_connections = 2});
}

TEST(BeastClient, RefusesRequestsThatWouldSplit) {
  run([](Dialled& b) -> Awaitable<void> {
    StrangeServer server(b, "");
    const auto transport = b.to(server.port());
    const HttpRequest cases[] = {
        {.target = "/a b"},
        {.target = "/a\r\nX: y"},
        {.target = "a"},
        {.method = "GET /", .target = "/"},
        {.target = "/", .headers = {{"X", "a\r\nY: b"}}},
        {.target = "/", .headers = {{"X:", "a"}}},
    };
    for (const auto& request : cases) {
      const auto result = co_await transport->send(request);
      CO_ASSERT(!result);
      EXPECT_EQ(result.error().code, Code::invalid_argument);
    }
    EXPECT_EQ(server.accepted(), 0);
    co_await server.stop();
  });
}

TEST(BeastClient, PutsThePrefixBeforeEveryTarget) {
  run([](Dialled& b) -> Awaitable<void> {
    auto server = b.make_server(Bench::plain());
    CO_ASSERT(co_await server->start());
    const auto transport =
        b.dial({.url = fmt::format("http://localhost:{}/k8s/clusters/c-1/", server->port())}).value();
    co_await transport->send({.target = "/api/v1?x=1"});
    CO_ASSERT(b.seen.targets.size() == 1);
    EXPECT_EQ(b.seen.targets[0], "/k8s/clusters/c-1/api/v1?x=1");
    co_await server->stop();
  });
}

TEST(BeastClient, RefusesBadUrlsAndPems) {
  run([](Dialled& b) -> Awaitable<void> {
    EXPECT_EQ(b.dial({.url = "ftp://x"}).error().code, Code::invalid_argument);
    for (const auto& endpoint : {Endpoint{.url = "https://x", .ca_pem = "junk"},
                                 Endpoint{.url = "https://x", .client_cert_pem = b.client_cert.cert_pem},
                                 Endpoint{.url = "https://x",
                                          .client_cert_pem = b.client_cert.cert_pem,
                                          .client_key_pem = b.server_cert.key_pem}}) {
      const auto result = b.dial(endpoint);
      CO_ASSERT(!result);
      EXPECT_EQ(result.error().code, Code::invalid_argument);
      EXPECT_TRUE(result.error().message.starts_with("x:443: ")) << result.error().message;
      EXPECT_EQ(result.error().message.find("BEGIN"), std::string::npos);
    }
    co_return;
  });
}

namespace {
struct TlsCase {
  const char* name;
  std::function<void(Dialled&, Endpoint&)> change;
  std::string common_name;           // of a call that succeeds
  std::vector<std::string> problem;  // of one that does not
};

std::vector<TlsCase> tls_cases() {
  const auto other_ca = [](Dialled& b) { return make_ca("other CA", b.clock.wall()).value(); };
  return {
      {"verified", [](Dialled&, Endpoint&) {}, "system:tester", {}},
      {"by name",
       [](Dialled&, Endpoint& e) { e.url.replace(e.url.find("127.0.0.1"), 9, "localhost"); },
       "system:tester",
       {}},
      {"no client certificate", [](Dialled&, Endpoint& e) { e.client_cert_pem = e.client_key_pem = ""; }, "", {}},
      {"another server name", [](Dialled&, Endpoint& e) { e.server_name = "localhost"; }, "system:tester", {}},
      {"a wrong server name",
       [](Dialled&, Endpoint& e) { e.server_name = "example.org"; },
       "",
       {"certificate", "ostname mismatch"}},
      {"a wrong address",
       [](Dialled&, Endpoint& e) { e.server_name = "10.0.0.1"; },
       "",
       {"certificate", "IP address mismatch"}},
      {"an unknown CA",
       [other_ca](Dialled& b, Endpoint& e) { e.ca_pem = other_ca(b).cert_pem; },
       "",
       {"certificate", "issuer"}},
      {"the system's CAs", [](Dialled&, Endpoint& e) { e.ca_pem = ""; }, "", {"certificate", "issuer"}},
      {"not verified",
       [](Dialled&, Endpoint& e) {
         e.ca_pem = "";
         e.insecure_skip_verify = true;
       },
       "system:tester",
       {}},
      {"a client certificate of another CA",
       [other_ca](Dialled& b, Endpoint& e) {
         const auto cert = issue(other_ca(b), "system:admin", {}, {.client = true}, b.clock.wall()).value();
         e.client_cert_pem = cert.cert_pem;
         e.client_key_pem = cert.key_pem;
       },
       "",
       {"unknown ca"}},
      {"a server certificate as client certificate",
       [](Dialled& b, Endpoint& e) {
         e.client_cert_pem = b.server_cert.cert_pem;
         e.client_key_pem = b.server_cert.key_pem;
       },
       "",
       {"certificate"}},
      {"an expired client certificate",
       [](Dialled& b, Endpoint& e) {
         const auto cert = issue(b.ca, "system:old", {}, {.client = true}, b.clock.wall() - 48h, 1h).value();
         e.client_cert_pem = cert.cert_pem;
         e.client_key_pem = cert.key_pem;
       },
       "",
       {"certificate expired"}},
  };
}
}  // namespace

TEST(BeastClient, TrustsAndIsTrustedByCertificates) {
  run([](Dialled& b) -> Awaitable<void> {
    auto server = b.make_server(b.tls());
    CO_ASSERT(co_await server->start());
    for (const auto& test : tls_cases()) {
      SCOPED_TRACE(test.name);
      auto endpoint = b.endpoint(*server, true);
      test.change(b, endpoint);
      const auto transport = b.dial(endpoint);
      CO_ASSERT(transport);
      const auto reply = co_await (*transport)->send({.target = "/who"});
      EXPECT_EQ(reply.has_value(), test.problem.empty()) << test.name;
      if (reply) {
        EXPECT_EQ(reply->body, test.common_name) << test.name;
        continue;
      }
      EXPECT_EQ(reply.error().code, Code::unavailable) << test.name;
      for (const auto& word : test.problem) {
        EXPECT_NE(reply.error().message.find(word), std::string::npos) << test.name << ": " << reply.error().message;
      }
    }
    co_await server->stop();
  });
}

// What it is for: a certificate that runs out is replaced while the server runs.
TEST(BeastClient, AServerTakesAnotherCertificateForNewConnections) {
  run([](Dialled& b) -> Awaitable<void> {
    auto server = b.make_server(b.tls());
    CO_ASSERT(co_await server->start());
    const auto kept = b.dial(b.endpoint(*server, true)).value();
    CO_ASSERT(co_await kept->send({.target = "/hello"}));
    const auto other_ca = make_ca("other CA", b.clock.wall()).value();
    const std::vector<std::string> hosts{"127.0.0.1"};
    const auto other = issue(other_ca, "server", hosts, {.server = true}, b.clock.wall()).value();
    const auto trusts = [&](const std::string& ca_pem) -> Endpoint {
      auto endpoint = b.endpoint(*server, true);
      endpoint.ca_pem = ca_pem;
      return endpoint;
    };
    const ServerTls wrong_key{.cert_chain_pem = other.cert_pem, .key_pem = b.server_cert.key_pem, .client_ca_pem = {}};
    const ServerTls no_pem{.cert_chain_pem = "-----BEGIN", .key_pem = other.key_pem, .client_ca_pem = {}};
    for (const auto& bad : {wrong_key, no_pem}) {
      const auto refused = server->use_tls(bad);
      EXPECT_FALSE(refused);
      EXPECT_TRUE(co_await b.dial(trusts(b.ca.cert_pem)).value()->send({.target = "/hello"})) << "as before";
    }
    CO_ASSERT(
        server->use_tls({.cert_chain_pem = other.cert_pem, .key_pem = other.key_pem, .client_ca_pem = b.ca.cert_pem}));
    EXPECT_TRUE(co_await b.dial(trusts(other_ca.cert_pem)).value()->send({.target = "/hello"}));
    EXPECT_FALSE(co_await b.dial(trusts(b.ca.cert_pem)).value()->send({.target = "/hello"}));
    const auto who = co_await kept->send({.target = "/who"});
    CO_ASSERT(who);
    EXPECT_EQ(who->body, "system:tester") << "a connection that is there goes on";
    co_await server->stop();
    auto plain = b.make_server(Bench::plain());
    CO_ASSERT(co_await plain->start());
    EXPECT_FALSE(plain->use_tls(*b.tls().tls));
    co_await plain->stop();
  });
}

// What was opened with a certificate of an authority that counts no more does not go on.
TEST(BeastClient, AnAuthorityThatIsTakenAwayEndsItsConnections) {
  run([](Dialled& b) -> Awaitable<void> {
    auto server = b.make_server(b.tls());
    CO_ASSERT(co_await server->start());
    const auto line = b.dial(b.endpoint(*server, true)).value();
    auto anonymous = b.endpoint(*server, true);
    anonymous.client_cert_pem = anonymous.client_key_pem = "";
    const auto other_line = b.dial(anonymous).value();
    auto stream = co_await line->open({.target = "/idle"});
    auto other_stream = co_await other_line->open({.target = "/idle"});
    CO_ASSERT(stream && other_stream);
    CO_ASSERT(co_await stream->body->read());
    CO_ASSERT(co_await other_stream->body->read());
    CO_ASSERT(co_await line->send({.target = "/hello"}));  // one that is idle then
    const auto before = server->connections();
    const auto another = make_ca("other CA", b.clock.wall()).value();
    const auto use = [&](const std::string& client_ca_pem) {
      return server->use_tls(
          {.cert_chain_pem = b.server_cert.cert_pem, .key_pem = b.server_cert.key_pem, .client_ca_pem = client_ca_pem});
    };
    CO_ASSERT(use(b.ca.cert_pem + another.cert_pem));
    EXPECT_TRUE(co_await line->send({.target = "/who"}));
    EXPECT_EQ(server->connections(), before) << "one more authority ends nothing";
    CO_ASSERT(use(another.cert_pem));
    EXPECT_FALSE(co_await stream->body->read());
    EXPECT_FALSE(co_await line->send({.target = "/who"}));
    EXPECT_TRUE(co_await b.eventually([&] { return server->connections() == 1; })) << "who showed none goes on";
    CO_ASSERT(use(b.ca.cert_pem));
    const auto who = co_await line->send({.target = "/who"});
    CO_ASSERT(who);
    EXPECT_EQ(who->body, "system:tester");
    EXPECT_EQ(b.seen.sources_alive, 1);
    co_await server->stop();
  });
}

TEST(BeastClient, TheServerKnowsUntilWhenACertificateCounts) {
  run([](Dialled& b) -> Awaitable<void> {
    auto server = b.make_server(b.tls());
    CO_ASSERT(co_await server->start());
    const auto shown = co_await b.dial(b.endpoint(*server, true)).value()->send({.target = "/until"});
    CO_ASSERT(shown);
    const auto wanted = certificate_expiry(b.client_cert.cert_pem).value();
    EXPECT_EQ(shown->body, std::to_string(wanted.time_since_epoch() / 1s));
    auto without = b.endpoint(*server, true);
    without.client_cert_pem = without.client_key_pem = "";
    const auto nobody = co_await b.dial(without).value()->send({.target = "/until"});
    CO_ASSERT(nobody);
    EXPECT_EQ(nobody->body, "");
    co_await server->stop();
  });
}

namespace {
// The same authority, which ends earlier.
std::string ending(const CertificateAndKey& ca, Wall end) {
  const auto read = [](const std::string& pem, auto* reader, auto* free) {
    const std::unique_ptr<BIO, decltype(&BIO_free_all)> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())),
                                                            BIO_free_all);
    auto* made = reader(bio.get(), nullptr, nullptr, nullptr);
    return std::unique_ptr<std::remove_pointer_t<decltype(made)>, decltype(free)>(made, free);
  };
  const auto cert = read(ca.cert_pem, &PEM_read_bio_X509, &X509_free);
  const auto key = read(ca.key_pem, &PEM_read_bio_PrivateKey, &EVP_PKEY_free);
  ASN1_TIME_set(X509_getm_notAfter(cert.get()), static_cast<time_t>(end.time_since_epoch() / 1s));
  X509_sign(cert.get(), key.get(), EVP_sha256());
  const std::unique_ptr<BIO, decltype(&BIO_free_all)> out(BIO_new(BIO_s_mem()), BIO_free_all);
  PEM_write_bio_X509(out.get(), cert.get());
  char* text = nullptr;
  const auto size = BIO_get_mem_data(out.get(), &text);
  return {text, static_cast<std::size_t>(size)};
}
}  // namespace

TEST(BeastClient, ACertificateCountsNoLongerThanItsAuthority) {
  run([](Dialled& b) -> Awaitable<void> {
    const Wall end = std::chrono::floor<std::chrono::seconds>(b.clock.wall()) + 1h;
    auto options = b.tls();
    options.tls->client_ca_pem = ending(b.ca, end);
    auto server = b.make_server(options);
    CO_ASSERT(co_await server->start());
    const auto shown = co_await b.dial(b.endpoint(*server, true)).value()->send({.target = "/until"});
    CO_ASSERT(shown);
    EXPECT_EQ(shown->body, std::to_string(end.time_since_epoch() / 1s));
    co_await server->stop();
  });
}

TEST(BeastClient, ServerWithoutClientCaAsksForNoCertificate) {
  run([](Dialled& b) -> Awaitable<void> {
    auto options = b.tls();
    options.tls->client_ca_pem = "";
    auto server = b.make_server(options);
    CO_ASSERT(co_await server->start());
    const auto reply = co_await b.dial(b.endpoint(*server, true)).value()->send({.target = "/who"});
    CO_ASSERT(reply);
    EXPECT_EQ(reply->body, "");
    co_await server->stop();
  });
}

}  // namespace krake::testing
