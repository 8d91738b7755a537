#include "net/beast/socket.h"

#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace krake {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;

namespace {

using Buffers = Socket::Buffers;
using Ec = Socket::Ec;

class PlainSocket final : public Socket {
 public:
  explicit PlainSocket(Tcp tcp) : tcp_(std::move(tcp)) {
    Ec ec;
    tcp_.non_blocking(true, ec);
  }
  Awaitable<void> handshake(Ec& ec) override {
    ec = {};
    co_return;
  }
  Awaitable<std::size_t> read_some(asio::mutable_buffer buffer, Ec& ec) override {
    return tcp_.async_read_some(buffer, asio::redirect_error(asio::use_awaitable, ec));
  }
  Awaitable<std::size_t> write_some(Buffers buffers, Ec& ec) override {
    return tcp_.async_write_some(buffers, asio::redirect_error(asio::use_awaitable, ec));
  }
  std::size_t try_write(Buffers buffers, Ec& ec) override { return tcp_.write_some(buffers, ec); }
  Awaitable<void> finish(Ec& ec) override {
    tcp_.shutdown(Tcp::shutdown_send, ec);
    co_return;
  }

 private:
  Tcp& tcp() override { return tcp_; }
  const Tcp& tcp() const override { return tcp_; }
  Tcp tcp_;
};

class TlsSocket final : public Socket {
 public:
  TlsSocket(Tcp tcp, TlsContext context, ssl_st* tls, bool server)
      : context_(std::move(context)), stream_(std::move(tcp), tls), server_(server) {
    tls_ = tls;
  }
  Awaitable<void> handshake(Ec& ec) override {
    return stream_.async_handshake(server_ ? ssl::stream_base::server : ssl::stream_base::client,
                                   asio::redirect_error(asio::use_awaitable, ec));
  }
  Awaitable<std::size_t> read_some(asio::mutable_buffer buffer, Ec& ec) override {
    return stream_.async_read_some(buffer, asio::redirect_error(asio::use_awaitable, ec));
  }
  Awaitable<std::size_t> write_some(Buffers buffers, Ec& ec) override {
    return stream_.async_write_some(next_record(buffers), asio::redirect_error(asio::use_awaitable, ec));
  }
  std::size_t try_write(Buffers, Ec& ec) override {
    ec = asio::error::would_block;
    return 0;
  }
  Awaitable<void> finish(Ec& ec) override {
    return stream_.async_shutdown(asio::redirect_error(asio::use_awaitable, ec));
  }

 private:
  static constexpr std::size_t kRecord = 16384;

  // Asio sends one buffer per TLS record: small ones are put together first.
  asio::const_buffer next_record(Buffers buffers) {
    while (!buffers.empty() && buffers.front().size() == 0) buffers = buffers.subspan(1);
    if (buffers.empty()) return {};
    if (buffers.size() == 1 || buffers.front().size() >= kRecord) return asio::buffer(buffers.front(), kRecord);
    record_.clear();
    for (const auto& buffer : buffers) {
      const auto size = std::min(buffer.size(), kRecord - record_.size());
      record_.append(static_cast<const char*>(buffer.data()), size);
      if (record_.size() == kRecord) break;
    }
    return asio::buffer(record_);
  }

  Tcp& tcp() override { return stream_.next_layer(); }
  const Tcp& tcp() const override { return stream_.next_layer(); }
  TlsContext context_;
  ssl::stream<Tcp> stream_;
  std::string record_;
  bool server_;
};

}  // namespace

void Socket::close() noexcept {
  Ec ec;
  tcp().close(ec);
}

void Socket::reset() noexcept {
  Ec ec;
  tcp().set_option(asio::socket_base::linger(true, 0), ec);
  tcp().close(ec);
}

bool Socket::quiet() {
  if (!tcp().is_open()) return false;
  char byte = 0;
  const auto n = ::recv(tcp().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

std::string Socket::peer_address() const {
  Ec ec;
  const auto endpoint = tcp().remote_endpoint(ec);
  if (ec) return {};
  const auto address = endpoint.address();
  return fmt::format(fmt::runtime(address.is_v6() ? "[{}]:{}" : "{}:{}"), address.to_string(), endpoint.port());
}

std::unique_ptr<Socket> make_plain_socket(Socket::Tcp tcp) { return std::make_unique<PlainSocket>(std::move(tcp)); }

std::unique_ptr<Socket> make_tls_socket(Socket::Tcp tcp, TlsContext context, ssl_st* tls, bool server) {
  return std::make_unique<TlsSocket>(std::move(tcp), std::move(context), tls, server);
}

void tune(Socket::Tcp& tcp) {
  using KeepIdle = asio::detail::socket_option::integer<IPPROTO_TCP, TCP_KEEPIDLE>;
  using KeepInterval = asio::detail::socket_option::integer<IPPROTO_TCP, TCP_KEEPINTVL>;
  using KeepCount = asio::detail::socket_option::integer<IPPROTO_TCP, TCP_KEEPCNT>;
  Ec ec;  // best effort: a connection without these still works
  tcp.set_option(asio::ip::tcp::no_delay(true), ec);
  tcp.set_option(asio::socket_base::keep_alive(true), ec);
  tcp.set_option(KeepIdle(30), ec);
  tcp.set_option(KeepInterval(15), ec);
  tcp.set_option(KeepCount(4), ec);
}

}  // namespace krake
