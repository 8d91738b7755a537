// What is counted and logged of each request: krake_api_requests_total by resource, verb and status,
// krake_api_request_seconds by verb, one access log line. Thread: the loop.
#pragma once

#include <map>
#include <tuple>

#include "base/env.h"
#include "net/http.h"
#include "server/route.h"
#include "store/store.h"

namespace krake::server {

using store::Revision;

// What is known of a request when it ends.
struct Answered {
  const Kind* kind = nullptr;
  const Subresource* subresource = nullptr;
  Operation operation = Operation::index;
  std::string_view verb;  // RBAC's; empty when only authentication is asked for
  std::string user;
  int status = 0;  // of the answer; 0: nobody waited for it
  Duration took{};
  // For the audit log alone, when there is one.
  std::string request_id{};
  std::string ns{};
  std::string name{};
  Revision revision = 0;     // of what was committed; 0: nothing was
  bool forced = false;       // a deletion without cleaning up
  bool may_be_done = false;  // a commit that is under way, or has failed, and nobody knows
};

// As rules name it, but for "applications/retry", which has no rules of its own.
std::string resource_of(const Answered& answered);

class Meter {
 public:
  explicit Meter(Env& env) : env_(env) {}
  void count(const ServerRequest& request, const Answered& answered);

 private:
  using Series = std::tuple<const Kind*, const Subresource*, Operation, int>;
  Env& env_;
  std::map<Series, prometheus::Counter*> counters_;
  std::map<std::string_view, prometheus::Histogram*> times_;  // by verb
};

}  // namespace krake::server
