// Owns coroutines: starts them, cancels them, waits for them. The only place that calls co_spawn,
// but for CancelScope and Deadlines, whose caller waits for what they start.
// An exception other than cancellation that leaves a task is a bug and aborts the process, naming the task.
// Thread: the loop. The group must be joined (or never have been used) before it is destroyed, except when the whole
// io_context dies with it (a simulated crash).
#pragma once

#include <boost/asio/cancellation_signal.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "base/async.h"

namespace krake {

class TaskGroup {
 public:
  explicit TaskGroup(boost::asio::any_io_executor executor);
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;
  ~TaskGroup();

  // Starts on the executor, not inside the call. After cancel() new tasks are dropped.
  void spawn(std::string name, Awaitable<void> task);
  void cancel();
  // Returns when every task has ended. Call cancel() first to stop them.
  Awaitable<void> join();
  Awaitable<void> stop() {
    cancel();
    return join();
  }
  std::size_t size() const;
  std::vector<std::string> names() const;  // for /debug/tasks

 private:
  struct State;
  static Awaitable<void> begin(std::shared_ptr<State> state, std::uint64_t id, Awaitable<void> task);
  std::shared_ptr<State> state_;
};

}  // namespace krake
