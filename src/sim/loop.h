// The loops of a world. Each process has its own, so that a crash can destroy it; one thread polls all of them in a
// fixed order until nothing is ready, then lets the time go on to the next timer.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <vector>

#include "base/clock.h"
#include "base/task_group.h"

namespace krake::sim {

class ProcessLoop : public boost::asio::io_context {
 public:
  ProcessLoop() : io_context(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE) {}  // one thread: no locks

  // What a crash does to what runs here: every coroutine is destroyed where it waits, none goes on. What belongs to the
  // process dies after that and before the loop: destructors of coroutines still find it, and its timers their loop.
  void drop() { shutdown(); }

  // Asleep, nothing of it runs; what comes meanwhile waits for it.
  void sleep(bool asleep) { asleep_ = asleep; }
  bool asleep() const { return asleep_; }

  // Runs `what` after so many handlers of this loop, between two of them. It may crash processes, and must not wait.
  void interrupt(std::uint64_t handlers, std::function<void()> what) {
    countdown_ = handlers;
    interruption_ = std::move(what);
  }
  bool interruption_pending() const { return static_cast<bool>(interruption_); }
  // If it has not come to it yet. The loop may be gone afterwards.
  void interrupt_now() {
    if (auto what = std::exchange(interruption_, nullptr)) what();
  }

 private:
  friend class Conductor;
  bool asleep_ = false;
  std::function<void()> interruption_;
  std::uint64_t countdown_ = 0;
};

// Somebody goes on and on without any time passing.
struct Restless : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Conductor {
 public:
  explicit Conductor(SimClock& clock) : clock_(clock) {}

  void add(ProcessLoop& loop) { loops_.push_back(&loop); }
  void remove(ProcessLoop& loop) { std::erase(loops_, &loop); }
  // Runs each time everything has come to rest.
  void at_rest(std::function<void()> hook) { at_rest_ = std::move(hook); }

  // Throws Restless.
  void settle() {
    handlers_ = 0;
    // Until all in a row have nothing to do. By index: an interruption changes the list.
    std::size_t next = 0;
    for (std::size_t quiet = 0; quiet < loops_.size();) {
      if (next >= loops_.size()) next = 0;
      quiet = run(*loops_[next++]) ? 0 : quiet + 1;
      if (handlers_ > kMostHandlers) throw Restless(fmt::format("{} steps are done and more are to do", handlers_));
    }
    if (at_rest_) at_rest_();
  }
  void pass(Duration time) {
    const Mono end = clock_.now() + time;
    do settle();
    while (clock_.advance_to_next(end));
    settle();
  }
  // False when `end` came before `done()`, which is asked whenever all has come to rest.
  template <class Done>
  bool pass_until(const Done& done, Mono end) {
    for (;;) {
      settle();
      if (done()) return true;
      if (!clock_.advance_to_next(end)) return false;
    }
  }
  // The result of `task`, run on `executor`; nothing when it takes longer than `limit`.
  template <class T>
  std::optional<T> wait(const boost::asio::any_io_executor& executor, Awaitable<T> task,
                        Duration limit = std::chrono::minutes(2)) {
    auto result = std::make_shared<std::optional<T>>();
    TaskGroup group(executor);
    group.spawn("world", keep(std::move(task), result));
    if (pass_until([&] { return result->has_value(); }, clock_.now() + limit)) return std::move(*result);
    group.cancel();
    settle();
    return std::nullopt;
  }

 private:
  template <class T>
  static Awaitable<void> keep(Awaitable<T> task, std::shared_ptr<std::optional<T>> result) {
    result->emplace(co_await std::move(task));
  }
  // False when nothing was ready. The loop may be gone afterwards.
  bool run(ProcessLoop& loop) {
    if (loop.asleep_) return false;
    if (loop.stopped()) loop.restart();
    bool ran = false;
    for (std::size_t n = 0; n < kBurst && loop.poll_one() > 0; ++n) {
      ran = true;
      ++handlers_;
      if (!loop.interruption_ || loop.countdown_-- > 0) continue;
      loop.interrupt_now();
      break;
    }
    return ran;
  }

  static constexpr std::size_t kBurst = 10'000;  // of one loop, before the others have their turn
  static constexpr std::uint64_t kMostHandlers = 500'000;

  SimClock& clock_;
  std::uint64_t handlers_ = 0;  // since the last time all was at rest
  std::vector<ProcessLoop*> loops_;
  std::function<void()> at_rest_;
};

inline Awaitable<bool> done(Awaitable<void> task) {
  co_await std::move(task);
  co_return true;
}

}  // namespace krake::sim
