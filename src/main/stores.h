// The store a configuration names.
#pragma once

#include <memory>

#include "base/env.h"
#include "main/config.h"
#include "store/sealed_store.h"
#include "store/store.h"

namespace krake {

struct StoreUse {
  bool renew_id = false;       // its content was restored
  bool leave_no_mark = false;  // in an etcd: nothing is written that the caller does not write
  store::Unopened unopened = store::Unopened::refuse;
};
// `store` when it is there and is not of type etcd, else `etcd` (upstream's default when that is missing too).
Awaitable<Result<std::unique_ptr<store::Store>>> open_store(Env& env, ApiConfig config, StoreUse use = {});

// How old the history of that store may get before this server's compactor forgets it; nullopt: that is not its
// business.
std::optional<Duration> compact_after(const ApiConfig& config);

}  // namespace krake
