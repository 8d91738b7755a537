// A connected byte stream, TCP or TLS over TCP, behind one interface: the server and the client are compiled once.
// Errors come back in `ec`. A coroutine that is cancelled gets operation_aborted there too; its next co_await throws.
// One read and one write may be under way at a time. After close() everything fails. Thread: the loop.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <span>
#include <string>

#include "base/clock.h"
#include "net/beast/tls.h"

namespace krake {

class Socket {
 public:
  using Tcp = boost::asio::ip::tcp::socket;
  using Buffers = std::span<const boost::asio::const_buffer>;
  using Ec = boost::system::error_code;

  virtual ~Socket() = default;
  virtual Awaitable<void> handshake(Ec& ec) = 0;  // plain TCP: none
  // At least one byte, or an error; eof when the peer ended in an orderly way.
  virtual Awaitable<std::size_t> read_some(boost::asio::mutable_buffer buffer, Ec& ec) = 0;
  virtual Awaitable<std::size_t> write_some(Buffers buffers, Ec& ec) = 0;
  // What goes out without waiting. would_block: use write_some.
  virtual std::size_t try_write(Buffers buffers, Ec& ec) = 0;
  // Tells the peer that nothing follows. TLS also waits for the peer's answer: bound it.
  virtual Awaitable<void> finish(Ec& ec) = 0;

  void close() noexcept;
  // Closes so that the peer notices a cut, not an end.
  void reset() noexcept;
  // No data and no end is waiting to be read: an idle connection can be used again.
  bool quiet();
  bool secure() const { return tls_ != nullptr; }
  std::string peer_common_name() const { return tls_ ? tls_peer_common_name(tls_) : std::string(); }
  bool peer_verifies(ssl_ctx_st* context) const { return !tls_ || tls_peer_verifies(tls_, context); }
  std::optional<Wall> peer_expiry() const { return tls_ ? tls_peer_expiry(tls_) : std::nullopt; }
  // What both agreed to speak (ALPN); empty when nothing was offered.
  std::string protocol() const { return tls_ ? tls_protocol(tls_) : std::string(); }
  std::string verify_problem() const { return tls_ ? tls_verify_problem(tls_) : std::string(); }
  std::string peer_address() const;

 protected:
  virtual Tcp& tcp() = 0;
  virtual const Tcp& tcp() const = 0;
  ssl_st* tls_ = nullptr;
};

// `tcp` is connected.
std::unique_ptr<Socket> make_plain_socket(Socket::Tcp tcp);
// Takes `tls` over. `context` is kept while the socket lives.
std::unique_ptr<Socket> make_tls_socket(Socket::Tcp tcp, TlsContext context, ssl_st* tls, bool server);
// No delay, keep-alive probes: a peer that vanished is noticed within two minutes.
void tune(Socket::Tcp& tcp);

}  // namespace krake
