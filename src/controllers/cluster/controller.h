// The Kubernetes cluster controller: tells from each registered cluster's own API whether it is there and well, and
// keeps `status.state`, `reason` and `nodes` true (control-plane-contract 6). It changes nothing on the clusters.
// Ownership: the context outlives the controller. Thread: the loop.
#pragma once

#include <memory>

#include "controllers/controller.h"

namespace krake::cluster {

struct ClusterOptions {
  int workers = 5;
  Duration debounce{};
  Duration probe_interval = std::chrono::seconds(10);
  Duration probe_timeout = std::chrono::seconds(5);
  Duration refresh_interval = std::chrono::seconds(10);  // between writes that change no state
  Duration resync = std::chrono::minutes(10);
};

std::unique_ptr<Controller> make_cluster_controller(ControllerContext context, ClusterOptions options);

}  // namespace krake::cluster
