// A transport without a socket: requests go straight to a handler of the same loop, with the peer name given here.
// `krake all` joins its parts with it, tests and the simulator reach servers through it.
// Behaves as the network one: timeouts, body limits, the handler cancelled when its caller goes, a stream that pulls
// its source only when it is read and destroys it with itself. Thread: the loop.
#pragma once

#include <memory>

#include "base/clock.h"
#include "net/http.h"

namespace krake {

class InprocTransport final : public Transport {
 public:
  // The clock must outlive the transport and its streams. Whatever `handler` refers to must outlive both too.
  InprocTransport(Handler handler, Peer peer, Clock& clock);
  Awaitable<Result<HttpResponse>> send(HttpRequest request, CallOptions options = {}) override;
  Awaitable<Result<HttpStream>> open(HttpRequest request, CallOptions options = {}) override;

 private:
  std::shared_ptr<const Handler> handler_;
  Peer peer_;
  Clock& clock_;
};

std::shared_ptr<Transport> make_inproc_transport(Handler handler, Peer peer, Clock& clock);

}  // namespace krake
