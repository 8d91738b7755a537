// The store a configuration names.
#pragma once

#include <memory>

#include "base/env.h"
#include "base/sealing.h"
#include "main/config.h"
#include "store/etcd/etcd_store.h"
#include "store/sealed_store.h"
#include "store/store.h"

namespace krake {

struct StoreUse {
  bool renew_id = false;       // its content was restored
  bool leave_no_mark = false;  // in an etcd: nothing is written that the caller does not write
  bool keep_layout = false;    // an SQLite file of an older layout is read and stays one
  store::Unopened unopened = store::Unopened::refuse;
};
// What opening the store of a configuration takes.
struct StorePlan {
  std::string type;  // memory, sqlite or etcd
  std::string path;  // sqlite
  store::EtcdOptions etcd{};
  SealingKeys keys{};
};
// Of each that cannot be one.
void check_endpoints(const EtcdConfig& config, ConfigProblems& problems);
// `store` when it is there and is not of type etcd, else `etcd` (upstream's default when that is missing too). Reads
// the files that are named, touches nothing else. Not to be opened when there are problems.
StorePlan plan_store(const ApiConfig& config, ConfigProblems& problems);

Awaitable<Result<std::unique_ptr<store::Store>>> open_store(Env& env, StorePlan plan, StoreUse use = {});
// Both in one. invalid_argument: the first problem.
Awaitable<Result<std::unique_ptr<store::Store>>> open_store(Env& env, ApiConfig config, StoreUse use = {});

// How old the history of that store may get before this server's compactor forgets it; nullopt: that is not its
// business.
std::optional<Duration> compact_after(const ApiConfig& config);

}  // namespace krake
