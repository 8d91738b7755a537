// The programs behind `krake ...`. Each runs until the process is asked to stop and returns the exit code.
#pragma once

#include <functional>
#include <set>
#include <string>

#include "main/all_config.h"
#include "main/config.h"
#include "main/config_command.h"
#include "main/process.h"
#include "main/start.h"
#include "server/api_server.h"

namespace krake {

// The configuration as the same command line means it now; of `krake api` without controllers. `warnings` also when it
// cannot be used. Null: there is none to be read again.
using Reread = std::function<Result<AllConfig>(std::vector<std::string>& warnings)>;

struct AllOptions {
  bool dev = false;
  std::string state_dir;          // --dev: CA, identities, database, krakectl.yaml
  int port = 0;                   // --dev: 0 is a free one
  std::set<std::string> without;  // component names
  InnerControllers controllers;
  ApiConfig api;                  // unless dev, as are the next
  std::optional<ApiStart> start;  // of for_all(api)
  Reread reread;
};

// `start`: what prepare() made of `config`.
Awaitable<int> run_api(Process& process, ApiConfig config, ApiStart start, Reread reread);
Awaitable<int> run_controller(Process& process, std::string name, ControllerConfig config, ControllerStart start);
Awaitable<int> run_all(Process& process, AllOptions options);

}  // namespace krake
