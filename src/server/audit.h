// The audit log: one line of JSON for each thing somebody did through the API, or was kept from doing (W27). It names
// users and objects, and never has anything of a body, a query or a header but the request's id.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/random.h"
#include "net/http.h"
#include "server/meter.h"

namespace krake::server {

class AuditSink {
 public:
  virtual ~AuditSink() = default;
  virtual void write(std::string line) = 0;  // never waits
  virtual std::uint64_t dropped() const = 0;
};

struct AuditOptions {
  std::shared_ptr<AuditSink> sink;  // null: nothing is recorded
  bool reads = false;               // also what was read, and lease renewals
};

// The longest lines there are, in bytes: whatever a request holds, of anybody and of a stranger.
inline constexpr std::size_t kMaxAuditLine = 1536;
inline constexpr std::size_t kMaxStrangersLine = 768;
// From one stranger's line to the next.
inline constexpr Duration kStrangersPause = std::chrono::seconds(1);

// Writes, backups, and whatever was refused for want of a name or a right. Not what was shed or given up before anybody
// knew who asks, nor renewals of leases and what asks for a lease that another has: there are some each second, and
// they change nothing. Nor preflights of browsers, which ask for nothing.
bool is_audited(const AuditOptions& options, const ServerRequest& request, const Answered& answered);
// Nobody is named, and there was no right to what was asked for, or nothing was done: anybody may send these, and as
// many as he likes.
bool is_a_strangers(const Answered& answered);
// "done", "refused" (401, 403), "rejected" (another 4xx), "unknown" (it may have been done). When nothing was done also
// "failed" and, without an answer, "abandoned".
std::string_view outcome_of(const Answered& answered);
std::string audit_line(Wall now, const ServerRequest& request, const Answered& answered);
// That line for so many requests.
std::string counted_line(std::string line, std::uint64_t count);
std::string dropped_line(std::uint64_t dropped);
// X-Request-Id as given, when it is short and plain; else a new one.
std::string request_id(const Headers& headers, Random& random);

// Gives the sink a line for each request that is audited; for strangers one line each kStrangersPause at the most, so
// that nobody rolls over with refusals what others have done: the first at once, those of the pause after it as an
// example of them with their number. Thread: the loop.
class Audit {
 public:
  // `clock` outlives it.
  Audit(Clock& clock, AuditOptions options) : clock_(clock), options_(std::move(options)) {}
  ~Audit();  // tells what it has counted
  Audit(const Audit&) = delete;
  Audit& operator=(const Audit&) = delete;

  void record(const ServerRequest& request, const Answered& answered);

 private:
  void tell_counted();
  void begin_pause();

  Clock& clock_;
  AuditOptions options_;
  std::uint64_t counted_ = 0;  // in this pause
  std::string example_;        // of them
  bool pausing_ = false;
  TimerHandle pause_;
};

}  // namespace krake::server
