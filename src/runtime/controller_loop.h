// Runs reconciles: of one key one after the other, of different keys concurrently up to `workers`. A failed one is
// retried with exponential back-off and jitter; nothing is ever dropped; an unexpected exception of one key is that
// key's failure. Thread: the loop.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "base/backoff.h"
#include "base/env.h"
#include "base/task_group.h"
#include "runtime/work_queue.h"

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
}  // namespace prometheus

namespace krake {

// What a successful reconcile asks for.
struct Outcome {
  std::optional<Duration> look_again;  // even if nothing happens
};

struct LoopOptions {
  std::string name;
  int workers = 5;
  Duration debounce = {};
  Backoff backoff{};
  Duration slow = std::chrono::minutes(5);  // a reconcile that takes longer is cancelled and retried
};

class ControllerLoop {
 public:
  using Reconcile = std::function<Awaitable<Result<Outcome>>(ObjectKey)>;
  ControllerLoop(Env& env, LoopOptions options, Reconcile reconcile);

  void start();
  // Stops taking keys, cancels what runs, waits for it.
  Awaitable<void> stop() { return tasks_.stop(); }
  void add(const ObjectKey& key);
  void add_after(const ObjectKey& key, Duration delay);
  void forget(const ObjectKey& key);
  bool idle() const { return queue_.idle(); }
  int failures(const ObjectKey& key) const;
  std::string debug() const;  // JSON, for /debug/queues

 private:
  Awaitable<void> work();

  Env& env_;
  LoopOptions options_;
  Reconcile reconcile_;
  Random random_;
  WorkQueue queue_;
  std::map<ObjectKey, int> failures_;
  std::map<ObjectKey, std::string> last_error_;
  Notifier changed_;
  prometheus::Counter& succeeded_;
  prometheus::Counter& failed_;
  prometheus::Histogram& duration_;
  TaskGroup tasks_;
};

}  // namespace krake
