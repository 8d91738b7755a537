// Makes connected sockets to one endpoint: looks its name up, tries its addresses, shakes hands. Thread: the loop.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/async.h"
#include "net/beast/client.h"
#include "net/beast/socket.h"
#include "net/url.h"

namespace krake {

class Connector {
 public:
  // Without `tls` plain TCP. `tls_name` is who the server's certificate must be for. The clock outlives it.
  Connector(boost::asio::any_io_executor executor, Clock& clock, DialerOptions options, Url url, std::string tls_name,
            TlsContext tls);

  // It must outlive the call. Errors: unavailable, timeout (at `deadline`, or one of the options' limits).
  Awaitable<Result<std::shared_ptr<Socket>>> connect(Mono deadline);

  const Url& url() const { return url_; }
  // "host:port: what": every message starts so.
  Error error(Code code, std::string_view what) const;

 private:
  struct Resolution;
  Awaitable<Result<std::vector<Socket::Tcp::endpoint_type>>> resolve(Mono deadline);
  Awaitable<Result<Socket::Tcp>> connect_tcp(Mono deadline);
  Awaitable<Status> shake_hands(std::shared_ptr<Socket> socket, Mono deadline);

  boost::asio::any_io_executor executor_;
  Clock& clock_;
  DialerOptions options_;
  Url url_;
  std::string tls_name_;
  TlsContext tls_;
};

// Throws operation_aborted when the calling coroutine was cancelled: what an operation reports as aborted is then no
// error.
Awaitable<void> throw_if_cancelled();

}  // namespace krake
