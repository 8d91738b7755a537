// From a configuration to what its program starts with: every check of a start that needs neither network nor store.
// The programs start by it; `--check-config`, `krake config check` and `krake doctor` ask it whether they would. It
// reads the files that are named and changes nothing.
#pragma once

#include <expected>
#include <string>
#include <vector>

#include "main/config.h"
#include "main/stores.h"
#include "net/beast/server.h"
#include "net/dial.h"
#include "server/api_server.h"

namespace krake {

struct ApiStart {
  server::ServerOptions options;  // without the audit log, which is not opened yet, and a dialer
  HttpServerOptions listen;
  StorePlan store;
};

struct ControllerStart {
  Endpoint endpoint;  // with several URLs where the configuration has them
};

// Or all that is wrong, not the first of it only.
template <class T>
using Prepared = std::expected<T, ConfigProblems>;

Prepared<ApiStart> prepare(const ApiConfig& config);
Prepared<ControllerStart> prepare(const ControllerConfig& config);

// As `krake all` takes it: without a store it has one of its own.
ApiConfig for_all(ApiConfig config);

}  // namespace krake
