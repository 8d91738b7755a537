// Time as a seam. Everything that waits or reads the time takes a Clock; two worlds may run in one test.
// Thread: the loop. RealClock::now/wall may be called from any thread.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/intrusive/set.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <tuple>

namespace krake {

template <class T>
using Awaitable = boost::asio::awaitable<T>;

using Duration = std::chrono::nanoseconds;
struct MonoClock {
  using rep = Duration::rep;
  using period = Duration::period;
  using duration = Duration;
  static constexpr bool is_steady = true;
};
using Mono = std::chrono::time_point<MonoClock, Duration>;      // monotonic, origin unspecified
using Wall = std::chrono::sys_time<std::chrono::microseconds>;  // UTC

// Cancels its timer when destroyed. Empty handles do nothing.
class TimerHandle {
 public:
  // What a clock has of it. To destroy it is to cancel it.
  class Timer {
   public:
    Timer() = default;
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;
    virtual ~Timer() = default;
  };
  TimerHandle() = default;
  explicit TimerHandle(std::unique_ptr<Timer> timer) : timer_(std::move(timer)) {}
  void reset() { timer_.reset(); }

 private:
  std::unique_ptr<Timer> timer_;
};

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Mono now() const = 0;
  virtual Wall wall() const = 0;
  // Runs `fn` on the loop at `when` (at once, but not before returning, when that has passed), unless the handle dies
  // first.
  [[nodiscard]] virtual TimerHandle at(Mono when, std::function<void()> fn) = 0;
};

// When the wall clock will show `when`, as far as one can tell now: it may be set. What is very far is nearer, so look
// again then.
Mono mono_of(const Clock& clock, Wall when);

class RealClock final : public Clock {
 public:
  explicit RealClock(boost::asio::any_io_executor executor) : executor_(std::move(executor)) {}
  Mono now() const override;
  Wall wall() const override;
  TimerHandle at(Mono when, std::function<void()> fn) override;

 private:
  boost::asio::any_io_executor executor_;
};

// Time that moves only when told to. `advance_to_next` moves the time to the earliest timer and runs it; those of one
// time in the order of their making. Timers may outlive it.
class SimClock final : public Clock {
 public:
  SimClock(boost::asio::any_io_executor executor, Wall start) : executor_(std::move(executor)), start_(start) {}
  ~SimClock() override { timers_.clear(); }
  SimClock(const SimClock&) = delete;
  SimClock& operator=(const SimClock&) = delete;
  Mono now() const override { return now_; }
  Wall wall() const override {
    return start_ + std::chrono::duration_cast<std::chrono::microseconds>(now_.time_since_epoch() + skew_);
  }
  TimerHandle at(Mono when, std::function<void()> fn) override;

  void jump_wall(Duration by) { skew_ += by; }  // what an operator's `date -s` does
  // False when no timer is pending before `limit`; the time then stands at `limit`.
  bool advance_to_next(Mono limit);
  void advance(Duration by);
  std::size_t pending() const { return timers_.size(); }  // counts them

 private:
  using Hook = boost::intrusive::set_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;
  struct Timer final : TimerHandle::Timer, Hook {
    Timer(Mono when, std::uint64_t the_id, std::function<void()> the_fn)
        : due(when), id(the_id), fn(std::move(the_fn)) {}
    friend bool operator<(const Timer& a, const Timer& b) { return std::tie(a.due, a.id) < std::tie(b.due, b.id); }
    Mono due;
    std::uint64_t id;
    std::function<void()> fn;
  };
  boost::asio::any_io_executor executor_;
  Wall start_;
  Mono now_{};
  Duration skew_{};
  std::uint64_t next_id_ = 0;
  boost::intrusive::set<Timer, boost::intrusive::constant_time_size<false>> timers_;  // those that have not fired
};

}  // namespace krake
