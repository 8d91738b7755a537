// Where a Service can be reached from outside its cluster (control-plane-contract 5.10). Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"

namespace krake::manifest {

// "host:port"; "<pending>" stands for what a load balancer has not given yet. Nothing when `live` is no Service or only
// reachable inside. `api_server_host` is the host of the cluster's API server, without port.
std::optional<std::string> service_endpoint(const json::Value& live, std::string_view api_server_host);

}  // namespace krake::manifest
