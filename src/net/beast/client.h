// The production Dialer: HTTP/1.1 over TCP or TLS with keep-alive connections, pooled per endpoint.
// Messages of errors begin with host:port and name the cause: refused, which certificate problem, which timeout, what
// came instead of HTTP. Thread: the loop.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/clock.h"
#include "net/dial.h"

struct ssl_ctx_st;

namespace krake {

struct DialerOptions {
  Duration resolve_timeout = std::chrono::seconds(10);
  Duration connect_timeout = std::chrono::seconds(5);  // for each address of the host
  Duration handshake_timeout = std::chrono::seconds(10);
  Duration idle_timeout = std::chrono::seconds(50);  // shorter than what servers usually allow
  std::size_t max_connections = 128;                 // per transport, streams included; more calls wait for their turn
  std::size_t max_idle = 16;
};

class BeastDialer final : public Dialer {
 public:
  // `clock` must outlive the dialer, its transports and their streams.
  BeastDialer(boost::asio::any_io_executor executor, Clock& clock, DialerOptions options = {});
  Result<std::shared_ptr<Transport>> dial(const Endpoint& endpoint) override;

 private:
  Result<std::shared_ptr<ssl_ctx_st>> tls_for(const Endpoint& endpoint);

  boost::asio::any_io_executor executor_;
  Clock& clock_;
  DialerOptions options_;
  // One TLS context per identity, as long as a transport uses it. Keyed by a hash of the PEM texts: no second copy of a
  // key.
  std::map<std::string, std::weak_ptr<ssl_ctx_st>> contexts_;
};

}  // namespace krake
