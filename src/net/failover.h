// Several servers that serve the same: one Transport over all of them. It stays with the one that works and goes to the
// next, in order and round, when that one cannot be reached, breaks off, or says that it cannot serve (500 or 503 with
// Retry-After: nothing was done). It never goes back by itself: both serve the same.
//
// What may have been carried out is never sent twice: a request of which no answer came is repeated elsewhere only when
// it is GET or HEAD. Others are when nothing of them was sent, since no connection could be made, or when the server
// says that nothing was done. A request that has used up its time is not repeated.
//
// A server that swallows packets is given up after a short time when there is another; if none answers that fast, those
// that were slow get their full time. Thread: the loop.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "net/dial.h"

namespace krake {

struct FailoverOptions {
  Duration connect_limit = std::chrono::milliseconds(300);        // while there is another to try
  Duration slow_connect_limit = std::chrono::milliseconds(5000);  // when all others have failed
};

// `clock` outlives the transport and its streams. At least one server.
std::shared_ptr<Transport> make_failover_transport(Clock& clock, std::vector<std::shared_ptr<Transport>> servers,
                                                   FailoverOptions options = {});

// "http://a:8080, http://b:8080" -> both. invalid_argument when one is no URL.
Result<std::vector<std::string>> split_urls(std::string_view text);

// As dialer.dial(), where endpoint.url may name several, all of the same identity.
Result<std::shared_ptr<Transport>> dial_all(Dialer& dialer, Clock& clock, const Endpoint& endpoint);

}  // namespace krake
