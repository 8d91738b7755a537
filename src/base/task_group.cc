#include "base/task_group.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/multiple_exceptions.hpp>
#include <boost/asio/post.hpp>
#include <vector>

#include "base/check.h"

namespace krake {

namespace asio = boost::asio;

struct TaskGroup::State {
  explicit State(asio::any_io_executor e) : executor(std::move(e)), changed(executor) {}
  struct Task {
    std::string name;
    std::unique_ptr<asio::cancellation_signal> signal;
    bool started = false;
    bool dropped = false;  // cancelled before it started
  };
  asio::any_io_executor executor;
  std::map<std::uint64_t, Task> tasks;
  std::uint64_t next_id = 0;
  bool cancelled = false;
  Notifier changed;
};

namespace {
void abort_on_exception(const std::string& name, const std::exception_ptr& error) {
  if (!error) return;
  try {
    std::rethrow_exception(error);
  } catch (const asio::multiple_exceptions& e) {
    // Two branches of an `||` were cancelled at once.
    abort_on_exception(name, e.first_exception());
  } catch (const boost::system::system_error& e) {
    if (e.code() == asio::error::operation_aborted) return;  // cancellation unwinds
    check_failed(__FILE__, __LINE__, "no exception leaves a task", name + ": " + e.what());
  } catch (const std::exception& e) {
    check_failed(__FILE__, __LINE__, "no exception leaves a task", name + ": " + e.what());
  }
}
}  // namespace

// Asio ends the process when a coroutine is cancelled before its first step: such a task is left out instead.
Awaitable<void> TaskGroup::begin(std::shared_ptr<State> state, std::uint64_t id, Awaitable<void> task) {
  auto& entry = state->tasks.at(id);
  if (entry.dropped) co_return;
  entry.started = true;
  co_await std::move(task);
}

TaskGroup::TaskGroup(asio::any_io_executor executor) : state_(std::make_shared<State>(std::move(executor))) {}
TaskGroup::~TaskGroup() = default;

void TaskGroup::spawn(std::string name, Awaitable<void> task) {
  if (state_->cancelled) return;
  const auto id = state_->next_id++;
  auto& entry = state_->tasks[id];
  entry.name = std::move(name);
  entry.signal = std::make_unique<asio::cancellation_signal>();
  asio::co_spawn(
      state_->executor, begin(state_, id, std::move(task)),
      asio::bind_cancellation_slot(entry.signal->slot(), [state = state_, id](const std::exception_ptr& error) {
        auto node = state->tasks.extract(id);
        abort_on_exception(node.mapped().name, error);
        state->changed.notify_all();
        // A cancellation from outside the loop is on its way to the signal still.
        if (state->cancelled) asio::post(state->executor, [node = std::move(node)] {});
      }));
}

void TaskGroup::cancel() {
  state_->cancelled = true;
  // emit() may complete a task in place and so change the map: walk over a copy of the ids.
  std::vector<std::uint64_t> ids;
  for (const auto& [id, task] : state_->tasks) ids.push_back(id);
  for (const auto id : ids) {
    const auto it = state_->tasks.find(id);
    if (it == state_->tasks.end()) continue;
    if (it->second.started) {
      it->second.signal->emit(asio::cancellation_type::terminal);
    } else {
      it->second.dropped = true;
    }
  }
}

Awaitable<void> TaskGroup::join() {
  const auto state = state_;
  while (!state->tasks.empty()) co_await state->changed.wait();
}

std::size_t TaskGroup::size() const { return state_->tasks.size(); }

std::vector<std::string> TaskGroup::names() const {
  std::vector<std::string> names;
  for (const auto& [id, task] : state_->tasks) names.push_back(task.name);
  return names;
}

}  // namespace krake
