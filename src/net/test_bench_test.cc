// The implementation of test_bench.h, compiled with the tests.
#include "net/test_bench.h"

#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>

#include "base/encoding.h"

namespace krake::testing {

namespace asio = boost::asio;
using Ec = boost::system::error_code;

namespace {

class CountedSource : public ReplySource {
 public:
  explicit CountedSource(Seen& seen) : seen_(seen) { ++seen_.sources_alive; }
  ~CountedSource() override { --seen_.sources_alive; }

 protected:
  Seen& seen_;
};

// `count` batches of two pieces, 20 kB each.
class Counting final : public CountedSource {
 public:
  Counting(Seen& seen, int count) : CountedSource(seen), left_(count) {}
  Awaitable<Result<bool>> next(std::vector<SharedBytes>& batch) override {
    if (left_ == 0) co_return false;
    ++seen_.batches_pulled;
    batch.push_back(share_bytes(std::string(19999, 'x')));
    batch.push_back(share_bytes("\n"));
    co_return --left_ > 0;
  }

 private:
  int left_;
};

// One piece, then nothing for ever.
class Idle final : public CountedSource {
 public:
  Idle(Seen& seen, Clock& clock) : CountedSource(seen), clock_(clock) {}
  Awaitable<Result<bool>> next(std::vector<SharedBytes>& batch) override {
    if (std::exchange(first_, false)) {
      batch.push_back(share_bytes("first\n"));
      co_return true;
    }
    co_await sleep_for(clock_, 1h);
    co_return false;
  }

 private:
  Clock& clock_;
  bool first_ = true;
};

class Broken final : public CountedSource {
 public:
  using CountedSource::CountedSource;
  Awaitable<Result<bool>> next(std::vector<SharedBytes>& batch) override {
    if (!std::exchange(first_, false)) co_return fail(Code::internal, "the source failed");
    batch.push_back(share_bytes("half"));
    co_return true;
  }

 private:
  bool first_ = true;
};

ServerReply text(int status, std::string body) {
  ServerReply reply{.status = status};
  reply.headers.add("Content-Type", "text/plain");
  reply.body.push_back(share_bytes(std::move(body)));
  return reply;
}

Awaitable<ServerReply> read_body(ServerRequest& request, std::size_t limit) {
  auto body = co_await request.body->read(limit);
  if (body) co_return text(200, std::move(*body));
  const int status = body.error().code == Code::timeout ? 408 : http_status(body.error().code);
  co_return text(status, body.error().message);
}

Awaitable<ServerReply> be_slow(Bench& bench) {
  struct Watch {
    Bench& bench;
    bool finished = false;
    ~Watch() { bench.seen.handler_cancels += finished ? 0 : 1; }
  } watch{bench};
  co_await sleep_for(bench.clock, 1h);
  watch.finished = true;
  co_return text(200, "late");
}

Awaitable<ServerReply> serve(Bench& bench, ServerRequest& request) {
  ++bench.seen.handler_starts;
  bench.seen.targets.push_back(request.target);
  const auto path = request.target.substr(0, request.target.find('?'));
  if (path == "/hello") co_return text(200, "hello");
  if (path == "/echo") co_return co_await read_body(request, 8 << 20);
  if (path == "/limit") co_return co_await read_body(request, 1 << 20);
  if (path == "/late-echo") {
    co_await sleep_for(bench.clock, 5ms);
    co_return co_await read_body(request, 8 << 20);
  }
  if (path == "/slow") co_return co_await be_slow(bench);
  if (path == "/empty") co_return ServerReply{.status = 204};
  if (path == "/who") co_return text(200, request.peer.common_name);
  if (path == "/until") {
    const auto until = request.peer.until;
    co_return text(200, until ? std::to_string(until->time_since_epoch() / 1s) : "");
  }
  if (path == "/throw") throw std::runtime_error("surprise");
  if (path == "/headers") {
    auto reply = text(200, std::string(request.headers.get("x-test").value_or("none")));
    reply.headers.add("X-Reply", "one");
    reply.headers.add("X-Evil", "a\r\nInjected: yes");
    co_return reply;
  }
  ServerReply reply;
  if (path == "/big") {
    for (int i = 0; i < 80; ++i) reply.body.push_back(share_bytes(std::string(65536, static_cast<char>('a' + i % 26))));
  } else if (path == "/count") {
    reply.source = std::make_unique<Counting>(bench.seen, std::stoi(request.target.substr(path.size() + 1)));
  } else if (path == "/idle") {
    reply.source = std::make_unique<Idle>(bench.seen, bench.clock);
  } else if (path == "/broken") {
    reply.source = std::make_unique<Broken>(bench.seen);
  } else {
    co_return text(404, "no such path");
  }
  co_return reply;
}

}  // namespace

Bench::Bench() {
  const std::vector<std::string> hosts{"localhost", "127.0.0.1"};
  ca = make_ca("test CA", clock.wall()).value();
  server_cert = issue(ca, "server", hosts, {.server = true}, clock.wall()).value();
  client_cert = issue(ca, "system:tester", {}, {.client = true}, clock.wall()).value();
}

void Bench::run(Awaitable<void> test) {
  TaskGroup group(io.get_executor());
  group.spawn("test", std::move(test));
  io.restart();
  io.run_for(60s);
  EXPECT_EQ(group.size(), 0u) << "the test hangs";
}

Awaitable<bool> Bench::eventually(std::function<bool()> condition) {
  const auto end = clock.now() + 10s;
  while (!condition()) {
    if (clock.now() > end) co_return false;
    co_await sleep_for(clock, 1ms);
  }
  co_return true;
}

Handler Bench::handler() {
  return [this](ServerRequest& request) { return serve(*this, request); };
}

HttpServerOptions Bench::plain() { return {.host = "127.0.0.1", .stop_grace = 100ms}; }

HttpServerOptions Bench::tls() const {
  auto options = plain();
  options.tls = ServerTls{server_cert.cert_pem, server_cert.key_pem, ca.cert_pem};
  return options;
}

std::unique_ptr<HttpServer> Bench::make_server(HttpServerOptions options) {
  return std::make_unique<HttpServer>(io.get_executor(), clock, handler(), std::move(options));
}

Endpoint Bench::endpoint(const HttpServer& server, bool tls) const {
  Endpoint endpoint{.url = fmt::format("{}://127.0.0.1:{}", tls ? "https" : "http", server.port())};
  if (tls) {
    endpoint.ca_pem = ca.cert_pem;
    endpoint.client_cert_pem = client_cert.cert_pem;
    endpoint.client_key_pem = client_cert.key_pem;
  }
  return endpoint;
}

RawPeer::RawPeer(Bench& bench, std::uint16_t port) : socket_(bench.io) {
  socket_.connect({asio::ip::make_address("127.0.0.1"), port});
}

Awaitable<void> RawPeer::write(std::string bytes) {
  Ec ec;
  co_await asio::async_write(socket_, asio::buffer(bytes), asio::redirect_error(asio::use_awaitable, ec));
}

Awaitable<std::string> RawPeer::read_all() {
  while (co_await read_more()) {
  }
  co_return std::exchange(pending_, {});
}

Awaitable<std::string> RawPeer::read_until(std::string text) {
  std::size_t searched = 0;
  while (true) {
    const auto at = pending_.find(text, searched);
    if (at != std::string::npos) {
      auto found = pending_.substr(0, at + text.size());
      pending_.erase(0, found.size());
      co_return found;
    }
    searched = pending_.size() - std::min(pending_.size(), text.size());
    if (!co_await read_more()) co_return std::exchange(pending_, {});
  }
}

Awaitable<bool> RawPeer::read_more() {
  std::array<char, 4096> buffer;
  Ec ec;
  const auto n = co_await socket_.async_read_some(asio::buffer(buffer), asio::redirect_error(asio::use_awaitable, ec));
  pending_.append(buffer.data(), n);
  if (ec == asio::error::connection_reset) pending_ += "cut";
  co_return !ec;
}

void RawPeer::end() {
  Ec ec;
  socket_.shutdown(asio::socket_base::shutdown_send, ec);
}

void RawPeer::close() {
  Ec ec;
  socket_.close(ec);
}

StrangeServer::StrangeServer(Bench& bench, std::string text)
    : text_(std::move(text)),
      acceptor_(bench.io, asio::ip::tcp::endpoint(asio::ip::make_address("127.0.0.1"), 0)),
      tasks_(bench.io.get_executor()) {
  tasks_.spawn("strange server", accept());
}

std::uint16_t StrangeServer::port() const { return acceptor_.local_endpoint().port(); }

Awaitable<void> StrangeServer::accept() {
  while (true) {
    sockets_.push_back(co_await acceptor_.async_accept(asio::use_awaitable));
    ++accepted_;
    if (text_.empty()) continue;
    Ec ec;
    std::array<char, 16> some;
    co_await sockets_.back().async_read_some(asio::buffer(some), asio::redirect_error(asio::use_awaitable, ec));
    co_await asio::async_write(sockets_.back(), asio::buffer(text_), asio::redirect_error(asio::use_awaitable, ec));
    sockets_.back().shutdown(asio::socket_base::shutdown_send, ec);
  }
}

}  // namespace krake::testing
