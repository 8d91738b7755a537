#include "server/meter.h"

#include <prometheus/counter.h>
#include <prometheus/histogram.h>

namespace krake::server {

std::string resource_of(const Answered& answered) {
  if (!answered.kind) return answered.operation == Operation::backup ? "backup" : "";
  std::string name(answered.kind->plural);
  if (answered.subresource) {
    name += "/" + std::string(answered.subresource->name);
  } else if (answered.operation == Operation::status || answered.operation == Operation::patch_status) {
    name += "/status";
  }
  return name;
}

void Meter::count(const ServerRequest& request, const Answered& answered) {
  const std::string verb(answered.verb.empty() ? "other" : answered.verb);
  auto& counter = counters_[{answered.kind, answered.subresource, answered.operation, answered.status}];
  if (!counter) {
    counter = &env_.metrics.counter("krake_api_requests_total", "Requests that ended, by resource, verb and status.",
                                    {{"group", answered.kind ? std::string(answered.kind->group) : ""},
                                     {"resource", resource_of(answered)},
                                     {"verb", verb},
                                     {"code", answered.status == 0 ? "none" : std::to_string(answered.status)}});
  }
  counter->Increment();
  auto& times = times_[answered.verb];
  if (!times) {
    times = &env_.metrics.histogram("krake_api_request_seconds",
                                    "Until the answer to a request began, or its sender left.", {{"verb", verb}});
  }
  times->Observe(std::chrono::duration<double>(answered.took).count());
  if (!env_.log.enabled(LogLevel::info)) return;
  // Queries may hold anything: they are not logged.
  env_.log.info("request", {{"method", request.method},
                            {"path", std::string_view(request.target).substr(0, request.target.find('?'))},
                            {"user", answered.user},
                            {"status", answered.status},
                            {"us", std::chrono::duration_cast<std::chrono::microseconds>(answered.took).count()}});
}

}  // namespace krake::server
