// The store a configuration names.
#pragma once

#include <memory>

#include "base/env.h"
#include "main/config.h"
#include "store/store.h"

namespace krake {

// `store` when it is there and is not of type etcd, else `etcd` (upstream's default when that is missing too).
// `own_holders`: whoever holds a lease in the embedded store lived in the process that has ended.
Awaitable<Result<std::unique_ptr<store::Store>>> open_store(Env& env, ApiConfig config, bool own_holders);

}  // namespace krake
