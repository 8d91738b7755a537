#include "net/beast/server.h"

#include <fmt/format.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <list>

#include "base/task_group.h"
#include "net/beast/connection.h"

namespace krake {

namespace asio = boost::asio;
using Tcp = boost::asio::ip::tcp;
using Ec = boost::system::error_code;

namespace {

constexpr std::size_t kRefusals = 64;  // connections over the limit that are told so at a time
constexpr std::string_view kRefusal =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 42\r\n"
    "Retry-After: 1\r\nConnection: close\r\n\r\n503: Service Unavailable\n\nConnection limit";

Duration tick_of(const HttpServerOptions& options) {
  const auto shortest = std::min({options.handshake_timeout, options.header_timeout, options.idle_timeout,
                                  options.write_timeout, options.linger_timeout});
  return std::clamp<Duration>(shortest / 4, std::chrono::milliseconds(10), std::chrono::milliseconds(250));
}

}  // namespace

// Kept alive by its coroutines, as the connections are.
class HttpServer::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(asio::any_io_executor executor, Clock& clock, Handler handler, HttpServerOptions options, Log log)
      : shared_(
            std::make_shared<ServerContext>(executor, clock, std::move(handler), std::move(options), std::move(log))),
        context_(*shared_),
        tasks_(executor),
        changed_(executor) {}

  Awaitable<Result<void>> start() {
    const auto& tls = context_.options.tls;
    if (tls) {
      ASSIGN_OR_CO_RETURN(tls_, make_server_tls(tls->cert_chain_pem, tls->key_pem, tls->client_ca_pem));
      client_ca_pem_ = tls->client_ca_pem;
    }
    ASSIGN_OR_CO_RETURN(auto endpoints, co_await resolve());
    CO_RETURN_IF_ERROR(listen(endpoints));
    for (auto& acceptor : acceptors_) tasks_.spawn("http accept", accept_loop(shared_from_this(), acceptor));
    tasks_.spawn("http timeouts", tick_loop(shared_from_this()));
    co_return Result<void>();
  }

  Status use_tls(const ServerTls& tls) {
    if (!tls_) return fail(Code::invalid_argument, "the server has no TLS");
    ASSIGN_OR_RETURN(tls_, make_server_tls(tls.cert_chain_pem, tls.key_pem, tls.client_ca_pem));
    const bool other_ca = std::exchange(client_ca_pem_, tls.client_ca_pem) != tls.client_ca_pem;
    for (auto& connection : connections_) {
      if (other_ca) connection->keep_trusted(tls_.get());
    }
    return {};
  }

  Awaitable<void> stop() {
    context_.stopping = true;
    for (auto& acceptor : acceptors_) {
      Ec ec;
      acceptor.close(ec);
    }
    for (auto& connection : connections_) connection->stop();
    const auto deadline = context_.clock.now() + context_.options.stop_grace;
    while (!connections_.empty()) {
      if (!co_await changed_.wait_until(context_.clock, deadline) && context_.clock.now() >= deadline) break;
    }
    for (auto& connection : connections_) connection->cancel();
    while (!connections_.empty()) co_await changed_.wait();
    co_await tasks_.stop();
  }

  std::uint16_t port_ = 0;
  std::list<std::shared_ptr<Connection>> connections_;

 private:
  Awaitable<Result<std::vector<Tcp::endpoint>>> resolve() {
    const auto& host = context_.options.host;
    const auto port = context_.options.port;
    std::vector<Tcp::endpoint> endpoints;
    Ec ec;
    if (host.empty()) {
      endpoints.emplace_back(Tcp::v6(), port);
      co_return endpoints;
    }
    if (const auto address = asio::ip::make_address(host, ec); !ec) {
      endpoints.emplace_back(address, port);
      co_return endpoints;
    }
    Tcp::resolver resolver(context_.executor);
    const auto found = co_await resolver.async_resolve(host, std::to_string(port), Tcp::resolver::passive,
                                                       asio::redirect_error(asio::use_awaitable, ec));
    for (const auto& entry : found) {
      if (std::ranges::find(endpoints, entry.endpoint()) == endpoints.end()) endpoints.push_back(entry.endpoint());
    }
    if (endpoints.empty()) {
      co_return fail(Code::invalid_argument, fmt::format("cannot listen on '{}': {}", host, ec.message()));
    }
    co_return endpoints;
  }

  // On every address; one that the machine does not have (often ::1 of localhost) is left out if another works.
  Status listen(const std::vector<Tcp::endpoint>& endpoints) {
    Ec last;
    Tcp::endpoint failed;
    for (auto endpoint : endpoints) {
      if (port_ != 0) endpoint.port(port_);
      auto acceptor = open(endpoint, last);
      if (!acceptor && context_.options.host.empty() && last != asio::error::address_in_use) {
        endpoint = Tcp::endpoint(Tcp::v4(), endpoint.port());  // a machine without IPv6
        acceptor = open(endpoint, last);
      }
      if (!acceptor) {
        failed = endpoint;
        if (last == asio::error::address_in_use || last == asio::error::access_denied) break;
        continue;
      }
      Ec ec;
      port_ = acceptor->local_endpoint(ec).port();
      acceptors_.push_back(std::move(*acceptor));
      last = {};
    }
    if (!acceptors_.empty() && last != asio::error::address_in_use && last != asio::error::access_denied) return {};
    acceptors_.clear();
    return fail(Code::unavailable, fmt::format("cannot listen on {} ({}), port {}: {}", context_.options.host,
                                               failed.address().to_string(), failed.port(), last.message()));
  }

  std::optional<Tcp::acceptor> open(const Tcp::endpoint& endpoint, Ec& ec) {
    Tcp::acceptor acceptor(context_.executor);
    acceptor.open(endpoint.protocol(), ec);
    if (ec) return std::nullopt;
    Ec ignored;
    acceptor.set_option(asio::socket_base::reuse_address(true), ignored);
    if (endpoint.address().is_v6()) acceptor.set_option(asio::ip::v6_only(!context_.options.host.empty()), ignored);
    acceptor.bind(endpoint, ec);
    if (!ec) acceptor.listen(1024, ec);
    if (ec) return std::nullopt;
    return acceptor;
  }

  Awaitable<void> accept_loop(std::shared_ptr<Impl>, Tcp::acceptor& acceptor) {
    while (!context_.stopping) {
      Ec ec;
      Tcp::socket tcp = co_await acceptor.async_accept(asio::redirect_error(asio::use_awaitable, ec));
      if (context_.stopping) co_return;
      if (!ec) {
        admit(std::move(tcp));
      } else if (ec != asio::error::connection_aborted) {
        // Out of descriptors, most likely: closing connections helps, trying at once does not.
        context_.log.warning("cannot accept a connection", {{"problem", ec.message()}});
        co_await sleep_for(context_.clock, std::chrono::milliseconds(100));
      }
    }
  }

  void admit(Tcp::socket tcp) {
    tune(tcp);
    if (connections_.size() >= context_.options.max_connections && !make_room()) {
      if (!tls_ && refusals_ < kRefusals) tasks_.spawn("http refusal", refuse(shared_from_this(), std::move(tcp)));
      return;
    }
    auto socket = make_socket(std::move(tcp));
    if (!socket) return;
    const auto connection =
        connections_.insert(connections_.end(), std::make_shared<Connection>(shared_, std::move(socket)));
    tasks_.spawn("http supervision", supervise(shared_from_this(), connection));
    changed_.notify_all();
  }

  // Who has been idle longest goes: connections that are only held open lock nobody out.
  bool make_room() {
    std::shared_ptr<Connection> longest;
    for (const auto& connection : connections_) {
      const auto since = connection->idle_since();
      if (since && (!longest || *since < *longest->idle_since())) longest = connection;
    }
    if (longest) longest->stop();
    return longest != nullptr;
  }

  std::unique_ptr<Socket> make_socket(Tcp::socket tcp) {
    if (!tls_) return make_plain_socket(std::move(tcp));
    auto* state = new_server_tls(tls_.get());
    return state ? make_tls_socket(std::move(tcp), tls_, state, true) : nullptr;
  }

  Awaitable<void> supervise(std::shared_ptr<Impl>, std::list<std::shared_ptr<Connection>>::iterator connection) {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    co_await (*connection)->run();
    connections_.erase(connection);
    changed_.notify_all();
  }

  // Says why, and waits a moment for the peer to have read it.
  Awaitable<void> refuse(std::shared_ptr<Impl>, Tcp::socket tcp) {
    ++refusals_;
    const std::shared_ptr<void> done(nullptr, [this](void*) { --refusals_; });
    const auto socket = std::shared_ptr<Socket>(make_plain_socket(std::move(tcp)));
    const auto timer = context_.clock.at(context_.clock.now() + std::chrono::seconds(1), [socket] { socket->close(); });
    Ec ec;
    const auto text = asio::const_buffer(kRefusal.data(), kRefusal.size());
    socket->try_write(Socket::Buffers(&text, 1), ec);
    co_await socket->finish(ec);
    std::array<char, 1024> sink;
    for (int i = 0; i < 64 && co_await socket->read_some(asio::buffer(sink), ec) > 0; ++i) {
    }
  }

  // One timer for all connections: theirs are moments, compared now and then.
  Awaitable<void> tick_loop(std::shared_ptr<Impl>) {
    const auto tick = tick_of(context_.options);
    while (!context_.stopping) {
      while (connections_.empty()) co_await changed_.wait();
      co_await sleep_for(context_.clock, tick);
      const auto now = context_.clock.now();
      for (auto& connection : connections_) connection->tick(now);
    }
    // While stopping, deadlines still count.
    while (!connections_.empty()) {
      co_await sleep_for(context_.clock, tick);
      const auto now = context_.clock.now();
      for (auto& connection : connections_) connection->tick(now);
    }
  }

  const std::shared_ptr<ServerContext> shared_;
  ServerContext& context_;
  TlsContext tls_;
  std::string client_ca_pem_;  // in it
  TaskGroup tasks_;
  Notifier changed_;
  std::list<Tcp::acceptor> acceptors_;
  std::size_t refusals_ = 0;
};

HttpServer::HttpServer(asio::any_io_executor executor, Clock& clock, Handler handler, HttpServerOptions options,
                       Log log)
    : impl_(
          std::make_unique<Impl>(std::move(executor), clock, std::move(handler), std::move(options), std::move(log))) {}
HttpServer::~HttpServer() = default;

Awaitable<Result<void>> HttpServer::start() { return impl_->start(); }
Status HttpServer::use_tls(const ServerTls& tls) { return impl_->use_tls(tls); }
std::uint16_t HttpServer::port() const { return impl_->port_; }
std::size_t HttpServer::connections() const { return impl_->connections_.size(); }
Awaitable<void> HttpServer::stop() { return impl_->stop(); }

}  // namespace krake
