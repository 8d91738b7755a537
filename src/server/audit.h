// The audit log: one line of JSON for each thing somebody did through the API, or was kept from doing (W27). It names
// users and objects, and never has anything of a body, a query or a header but the request's id. Pure but for the sink.
#pragma once

#include <cstdint>
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

// Writes, backups, and whatever was refused for want of a name or a right. Not what was shed or given up before anybody
// knew who asks, nor renewals of leases and what asks for a lease that another has: there are some each second, and
// they change nothing.
bool is_audited(const AuditOptions& options, const Answered& answered);
// "done", "refused" (401, 403), "rejected" (another 4xx), "unknown" (it may have been done). When nothing was done also
// "failed" and, without an answer, "abandoned".
std::string_view outcome_of(const Answered& answered);
std::string audit_line(Wall now, const ServerRequest& request, const Answered& answered);
std::string dropped_line(std::uint64_t dropped);
// X-Request-Id as given, when it is short and plain; else a new one.
std::string request_id(const Headers& headers, Random& random);

}  // namespace krake::server
