// Runs an Engine on one thread of its own, or inline. Commits that wait at the same moment share one group and one
// sync. Threads: the loop calls everything; the worker's thread touches the engine and the queue only, and hands
// results back by posting to the loop. Inline there is no thread: results come before push() returns.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "store/mutex.h"
#include "store/sqlite/engine.h"

namespace krake::store {

struct WorkerOptions {
  bool run_inline = false;
  // How long a group waits, at most, for more writers to join it. Only while that brings some: a lone writer waits once
  // in a hundred commits.
  Duration linger = std::chrono::milliseconds(2);
};

class Worker {
 public:
  using WriteDone = std::move_only_function<void(WriteResult)>;  // runs on the loop
  using ReadDone = std::move_only_function<void()>;              // runs on the loop
  using Read = std::move_only_function<ReadDone(Engine*)>;       // runs on the worker; null: the worker ended first

  Worker(boost::asio::any_io_executor executor, std::unique_ptr<Engine> engine, WorkerOptions options);
  ~Worker();  // after stop()

  // Ends after the group that is being written. What was not begun is answered here: unavailable. Nothing may be pushed
  // any more.
  void stop();

  // Answers come in the order of the writes. False when too much is queued: nothing was taken.
  bool write(Write write, WriteDone done);
  // Sees every write pushed before it.
  bool read(Read read);

 private:
  struct Job {
    Write write;
    WriteDone done;
    Read read;  // set: a read
  };
  struct Batch {
    std::vector<Write> writes;
    std::vector<WriteDone> dones;
    std::vector<Read> reads;
  };
  bool push(Job job);
  void run();
  bool wait_for_work() KRAKE_REQUIRES(mutex_);
  void linger() KRAKE_REQUIRES(mutex_);
  Batch take() KRAKE_REQUIRES(mutex_);
  void process(Batch batch);

  boost::asio::any_io_executor executor_;
  std::unique_ptr<Engine> engine_;  // the worker's
  WorkerOptions options_;
  bool more_maintenance_ = true;  // the worker's
  // What linger() has learnt; the worker's.
  static constexpr std::size_t kFirstTarget = 8;
  std::size_t target_ = kFirstTarget;  // writers worth waiting for
  std::size_t hold_ = 0;               // groups until the target may grow again
  std::size_t skip_ = 0;               // groups that do not wait
  std::size_t backoff_ = 0;

  Mutex mutex_;
  CondVar wake_;
  std::deque<Job> queue_ KRAKE_GUARDED_BY(mutex_);
  std::size_t queued_bytes_ KRAKE_GUARDED_BY(mutex_) = 0;
  std::size_t wanted_ KRAKE_GUARDED_BY(mutex_) = 1;  // jobs worth waking the worker for
  bool stopping_ KRAKE_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace krake::store
