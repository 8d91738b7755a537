// An HTTP/1.1 server, plain or TLS, for one Handler. Keep-alive, pipelining, chunked bodies both ways.
// Everything a peer can make us hold is bounded by the options. Thread: the loop.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/log.h"
#include "net/http.h"

namespace krake {

// PEM text. With `client_ca_pem` client certificates are asked for and optional; one that does not verify ends the
// handshake. The common name of a verified one becomes Peer::common_name.
struct ServerTls {
  std::string cert_chain_pem;
  std::string key_pem;
  std::string client_ca_pem;
};

struct HttpServerOptions {
  std::string host = "localhost";  // every address it resolves to; empty: all of the machine
  std::uint16_t port = 0;          // 0: a free one
  std::optional<ServerTls> tls;
  std::size_t max_line = 8190;                    // request line, and each header field: 400
  std::size_t max_header = std::size_t{1} << 16;  // all of them: 431
  std::size_t max_header_fields = 256;            // 431
  std::size_t max_connections = 20000;            // over it: 503 and close
  Duration handshake_timeout = std::chrono::seconds(10);
  Duration header_timeout = std::chrono::seconds(15);  // from the first byte of a request to the end of its header
  Duration idle_timeout = std::chrono::seconds(75);    // between requests
  Duration body_timeout = std::chrono::seconds(60);    // for one RequestBody::read
  Duration write_timeout = std::chrono::seconds(30);   // for a reader that takes nothing at all
  Duration linger_timeout = std::chrono::seconds(2);   // for a peer that still sends when its answer is out
  Duration stop_grace = std::chrono::seconds(1);       // what handlers get to finish at stop()
};

class HttpServer {
 public:
  // `clock` and whatever `handler` refers to must outlive the server. Must be stopped before it is destroyed, unless
  // the whole io_context goes with it.
  HttpServer(boost::asio::any_io_executor executor, Clock& clock, Handler handler, HttpServerOptions options,
             Log log = {});
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;
  ~HttpServer();

  // Returns when connections are accepted. Errors: invalid_argument (PEM, host), unavailable (the port is taken).
  Awaitable<Result<void>> start();
  // For connections from now on. Those there are keep what they have, but for clients whose certificate does not verify
  // by the new CA: their streams and idle connections are cut, and a request under way is their last. Errors:
  // invalid_argument (PEM, or a server without TLS), and nothing has changed.
  Status use_tls(const ServerTls& tls);
  std::uint16_t port() const;
  std::size_t connections() const;
  // Stops accepting, cuts streams and idle connections, lets handlers finish for `stop_grace`, then cancels them.
  // Returns when no connection is left.
  Awaitable<void> stop();

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace krake
