// Keeps the history of a store that does not bound it by itself (etcd) to a certain age. Any number of servers may run
// one on the same store: by turns one of them does the work. The key krake/compaction holds the revision of the last
// turn; who finds it unchanged for `age` writes the newest revision there and forgets history up to the one it found,
// which therefore is at least that old. Thread: the loop.
#pragma once

#include "base/env.h"
#include "base/task_group.h"
#include "store/store.h"

namespace krake::store {

class Compactor {
 public:
  Compactor(Env& env, Store& store, Duration age) : env_(env), store_(store), age_(age), tasks_(env.executor) {}
  void start() { tasks_.spawn("compactor", run()); }
  Awaitable<void> stop() { return tasks_.stop(); }

 private:
  Awaitable<void> run();
  Awaitable<Status> turn();

  Env& env_;
  Store& store_;
  Duration age_;
  Revision seen_ = -1;  // revision of the key at the last look; 0: it was absent
  TaskGroup tasks_;
};

}  // namespace krake::store
