// The Kubernetes application controller: brings the objects of applications to the clusters they are scheduled to,
// keeps them as wanted, reports what it sees, moves and deletes them (control-plane-contract 5). observe -> make_plan
// (plan.h) -> act.
#pragma once

#include "controllers/application/clusters.h"
#include "controllers/application/plan.h"
#include "controllers/controller.h"

namespace krake::application {

struct ApplicationOptions {
  int workers = 5;
  Duration debounce{};
  Duration migration_health_wait = std::chrono::seconds(60);  // for the target of a migration to become healthy
  Duration migration_retry = std::chrono::minutes(1);         // after a migration that failed; doubles each time
  Duration resync = std::chrono::minutes(5);                  // everything is looked at again, with 20 % jitter
  // Reports of one application: so many at once, then one per `status_interval`.
  int status_burst = 5;
  Duration status_interval = std::chrono::seconds(1);
  // For one write to the Krake API; after one without an answer all fail at once for `api_pause`, so that clusters are
  // looked after meanwhile.
  Duration write_timeout = std::chrono::seconds(5);
  Duration api_pause = std::chrono::seconds(5);
  std::string installation = "krake";  // label value: which Krake put an object there
  Backoff backoff{.base = std::chrono::milliseconds(500), .cap = std::chrono::seconds(30)};
  ClusterOptions clusters;
};

std::unique_ptr<Controller> make_application_controller(ControllerContext context, ApplicationOptions options = {});

}  // namespace krake::application
