// The scheduler: chooses a cluster for each application and binds it there, again and again as clusters, metrics and
// applications change; keeps FAILING_METRICS of clusters true (control-plane-contract 3 and 4).
// Ownership: the context outlives the controller. Thread: the loop.
#pragma once

#include <memory>

#include "controllers/controller.h"

namespace krake::scheduler {

struct SchedulerOptions {
  Duration reschedule_after = std::chrono::seconds(60);
  double stickiness = 0.1;
  int workers = 5;
  Duration debounce{};
  Duration metrics_interval = std::chrono::seconds(10);
  Duration provider_timeout = std::chrono::seconds(20);
  Duration first_reading_wait = std::chrono::seconds(3);  // how long the first values of new metrics are waited for
  Duration amnesia_wait = std::chrono::seconds(10);       // for running_on, when the status was lost
  Duration hold_off = std::chrono::seconds(15);           // a place that is not ONLINE is left after that
  Duration retry_cap = std::chrono::minutes(5);
  Duration resync = std::chrono::minutes(10);
};

std::unique_ptr<Controller> make_scheduler(ControllerContext context, SchedulerOptions options);

}  // namespace krake::scheduler
