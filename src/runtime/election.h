// Who leads, as a function of what the API server has answered and of the time. Pure: elector.h has the I/O.
//
// A term is known by its epoch, which the store gives out: the creation of the lease's key. What counts is when the
// request was sent whose answer confirmed the term last: the lease cannot run out earlier than its ttl after that.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/error.h"
#include "net/http.h"

namespace krake {

// In the order of what one may do.
enum class Mode : std::uint8_t {
  standby,      // somebody else leads, or nobody knows: nothing
  repair_only,  // the term has not been confirmed for a while: hold up what was confirmed, decide nothing
  leading,
};
std::string_view to_string(Mode mode);

struct ElectionTiming {
  Duration ttl = std::chrono::seconds(6);

  Duration confidence() const { return ttl * 2 / 3; }  // leading without another confirmation
  Duration renew_every() const { return ttl / 3; }     // from one request to the next
  // Of one request: so short that there are two tries before doubt, and longer where it has to be. Whoever renews and
  // never hears of it leads as little as anybody else does meanwhile. `last`: what the last answer took.
  Duration request_timeout(int failures, Duration last) const {
    return std::min(std::max(ttl / 5 * (failures + 1), 2 * last), confidence());
  }
  // A long ttl is patience with whoever leads, no reason to be slow when there is something to do.
  Duration doubt_pause() const { return std::min<Duration>(ttl / 60, std::chrono::milliseconds(20)); }  // once in doubt
  Duration shortest_pause() const { return std::min<Duration>(ttl / 60, std::chrono::milliseconds(100)); }  // otherwise
  // Of one who waits for the lease to become free.
  Duration standby_pause() const { return std::min<Duration>(ttl / 6, std::chrono::seconds(1)); }
  Duration lone_pause() const { return std::chrono::minutes(1); }  // of one who has nobody to ask
  Backoff retry() const { return {.base = shortest_pause(), .cap = standby_pause()}; }
};

// What is known of the own leadership; the mode follows from it and from the time.
struct Standing {
  enum class Kind : std::uint8_t {
    none,
    elected,
    alone,  // the server has no leases (upstream's) or none for us: the single instance leads
  };
  Kind kind = Kind::none;
  std::string epoch;         // elected: of the term
  Mono confirmed{};          // elected: when the request was sent that was confirmed last
  bool leases_seen = false;  // the server has answered for the lease: it is not one without
  friend bool operator==(const Standing&, const Standing&) = default;
};

// What came of asking for the lease.
struct Answer {
  enum class Kind : std::uint8_t {
    held,       // ours, in the term `epoch`
    taken,      // somebody else's
    no_leases,  // 404, 403: the server has none, or none for us
    unknown,    // none, or one that does not tell
  };
  Kind kind = Kind::unknown;
  std::string epoch;
  std::string why;  // not held: what was seen
};
// Of PUT /core/leases/NAME.
Answer answer_of(const Result<HttpResponse>& response);

// `sent`: when the request was sent that got this answer.
Standing after(const Standing& before, const Answer& answer, Mono sent);
Mode mode_of(const Standing& standing, const ElectionTiming& timing, Mono now);
// When mode_of() becomes another by itself; nullopt: not before the next answer.
std::optional<Mono> next_turn(const Standing& standing, const ElectionTiming& timing, Mono now);
// When to ask again. `failures`: answers in a row that did not tell.
Mono next_request(const Standing& standing, const ElectionTiming& timing, Mono sent, Mono now, int failures,
                  Random& random);

}  // namespace krake
