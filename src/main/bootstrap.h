// krake bootstrap, krake_bootstrap_db: objects from files into a store, or through the API server
// (docs/operations/bootstrap.md).
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/env.h"
#include "main/arguments.h"
#include "main/bootstrap_plan.h"
#include "net/http.h"

namespace krake {

struct BootstrapDone {
  std::vector<std::size_t> written;  // indices, in the order they were written
  std::vector<std::size_t> unchanged;
  std::size_t transactions = 0;
  std::vector<BootstrapProblem> problems;  // nothing was written then, but for `written`
  std::vector<std::string> warnings;       // what they name and nobody has
};

struct BootstrapRules {
  Present present = Present::refuse_other;
  bool dry_run = false;  // `written` is what would be
};

// Into a store that no API server need know of. Interrupted, it goes on when called again with refuse_other or replace.
// `objects` is not null; `store` outlives the call. conflict: others go on writing the same objects.
using BootstrapObjects = std::shared_ptr<const std::vector<BootstrapObject>>;
Awaitable<Result<BootstrapDone>> bootstrap_store(Env& env, store::Store& store, BootstrapObjects objects,
                                                 BootstrapRules rules);
// One request for each object; others are left as they are when one fails.
Awaitable<Result<BootstrapDone>> bootstrap_api(Env& env, std::shared_ptr<Transport> transport, std::string token,
                                               BootstrapObjects objects, BootstrapRules rules);

// The arguments after `krake bootstrap`; the exit code.
int run_bootstrap(Arguments args);

}  // namespace krake
