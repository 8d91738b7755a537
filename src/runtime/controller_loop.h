// Runs reconciles: of one key one after the other, of different keys concurrently up to `workers`. A failed one is
// retried with exponential back-off and jitter; nothing is ever dropped; an unexpected exception of one key is that
// key's failure. Thread: the loop.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/backoff.h"
#include "base/env.h"
#include "base/epoch.h"
#include "base/task_group.h"
#include "runtime/election.h"
#include "runtime/work_queue.h"

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
}  // namespace prometheus

namespace krake {

class Elector;

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
  // Null: nobody else does this work. Else it outlives the loop.
  Elector* elector = nullptr;
  Mode least = Mode::leading;  // in which reconciles run
  // With an elector. Before the first shift of a term: returns when all is known that the leader before has done.
  std::function<Awaitable<void>(Epoch)> catch_up;
  std::function<void()> on_lead;  // adds all keys there are, those of what is gone included
};

class ControllerLoop {
 public:
  using Reconcile = std::function<Awaitable<Result<Outcome>>(ObjectKey)>;
  ControllerLoop(Env& env, LoopOptions options, Reconcile reconcile);

  void start();
  // Stops taking keys, cancels what runs, waits for it.
  Awaitable<void> stop();
  void add(const ObjectKey& key);
  void add_after(const ObjectKey& key, Duration delay);
  void forget(const ObjectKey& key);
  // Between shifts what waits does not count.
  bool idle() const { return started_ && !workers_ ? queue_.working() == 0 : queue_.idle(); }
  int failures(const ObjectKey& key) const;
  std::string debug() const;  // JSON, for /debug/queues

 private:
  // In what one shift differs from the next.
  struct Shift {
    Mode mode = Mode::leading;
    std::string epoch;
    friend bool operator==(const Shift&, const Shift&) = default;
  };
  Shift shift_now() const;
  void change_shift();
  void end_shift();
  void start_workers();
  bool takes_keys() const { return !options_.elector || !started_ || workers_; }
  Awaitable<void> begin(int number);
  Awaitable<void> work(int number);
  Awaitable<Result<Outcome>> run(ObjectKey key);
  void note(const ObjectKey& key, Mono begin, const Result<Outcome>& outcome);

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
  std::shared_ptr<void> listening_;  // to the elector
  bool started_ = false;
  bool stopped_ = false;
  Shift shift_;
  std::string caught_up_;  // the term for which that was done
  int shift_number_ = 0;
  std::unique_ptr<TaskGroup> workers_;               // of the present shift; null between two
  std::vector<std::unique_ptr<TaskGroup>> leaving_;  // cancelled and not ended yet
};

}  // namespace krake
