// Several servers that serve the same: one Transport over all of them. It stays with the one that works and goes to the
// next, in order and round, when that one cannot be reached, breaks off, or says that it cannot serve (500 or 503 with
// Retry-After: nothing was done). It never goes back by itself: both serve the same.
//
// What may have been carried out is never sent twice: a request of which no answer came is repeated elsewhere only when
// it is GET or HEAD. Others are when nothing of them was sent, since no connection could be made, or when the server
// says that nothing was done. A request that has used up its time is not repeated.
//
// A server that swallows packets is given up after a short time when there is another; if none answers that fast, those
// that were slow get their full time.
//
// Any process may be paused, any machine cut off without a word. So a GET or HEAD without an answer after a while is
// also asked of the next server, and the first answer counts; few of all such requests are (a share, and some on
// credit), so that a slow cluster is not flooded. And who waits for a server of which nothing is heard, for an answer
// or at a stream, asks it GET / after a while, at once when another server has answered what it did not, over a
// connection of its own: all others may be at work, or lost where nobody said so. One that leaves that unanswered is
// silent: GET and HEAD go to the next, round and round until their time is up; others end with `unavailable`, they may
// have been carried out; its streams end with `unavailable`, to be taken up elsewhere. A server that answers is not
// left, however long a request takes. Thread: the loop.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "net/dial.h"

namespace krake {

struct FailoverOptions {
  Duration connect_limit = std::chrono::milliseconds(300);        // while there is another to try
  Duration slow_connect_limit = std::chrono::milliseconds(5000);  // when all others have failed
  Duration hedge_after = std::chrono::milliseconds(250);          // a GET is also asked of another server
  double hedge_share = 0.1;                                       // of all GETs
  double hedge_burst = 10;                                        // and so many beyond that
  Duration doubt = std::chrono::seconds(2);     // whom another one has outrun is not that other server for so long
  Duration patience = std::chrono::seconds(1);  // with a server asked and not heard of, until it is probed
  Duration quiet = std::chrono::seconds(3);     // likewise with one whose stream is read
  // For the answer to that; doubled, up to eight times as long, by each in vain until the server answers fast.
  Duration probe_limit = std::chrono::seconds(1);
};

// `clock` outlives the transport and its streams. At least one server.
std::shared_ptr<Transport> make_failover_transport(Clock& clock, std::vector<std::shared_ptr<Transport>> servers,
                                                   FailoverOptions options = {});

// "http://a:8080, http://b:8080" -> both. invalid_argument when one is no URL.
Result<std::vector<std::string>> split_urls(std::string_view text);

// As dialer.dial(), where endpoint.url may name several, all of the same identity.
Result<std::shared_ptr<Transport>> dial_all(Dialer& dialer, Clock& clock, const Endpoint& endpoint);

}  // namespace krake
