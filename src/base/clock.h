// Time as a seam. Everything that waits or reads the time takes a Clock; two worlds may run in one test.
// Thread: the loop. RealClock::now/wall may be called from any thread.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>

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
  TimerHandle() = default;
  explicit TimerHandle(std::function<void()> cancel) : cancel_(std::move(cancel)) {}
  TimerHandle(TimerHandle&& other) noexcept : cancel_(std::exchange(other.cancel_, nullptr)) {}
  TimerHandle& operator=(TimerHandle&& other) noexcept {
    if (this != &other) {
      reset();
      cancel_ = std::exchange(other.cancel_, nullptr);
    }
    return *this;
  }
  ~TimerHandle() { reset(); }
  void reset() {
    if (auto cancel = std::exchange(cancel_, nullptr)) cancel();
  }

 private:
  std::function<void()> cancel_;
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

// Time that moves only when told to. `advance_to_next` fires the earliest timers (posting them to the executor in order
// of their time, then of their making) and moves the time there.
class SimClock final : public Clock {
 public:
  SimClock(boost::asio::any_io_executor executor, Wall start) : executor_(std::move(executor)), start_(start) {}
  Mono now() const override { return now_; }
  Wall wall() const override {
    return start_ + std::chrono::duration_cast<std::chrono::microseconds>(now_.time_since_epoch() + skew_);
  }
  TimerHandle at(Mono when, std::function<void()> fn) override;

  void jump_wall(Duration by) { skew_ += by; }  // what an operator's `date -s` does
  // False when no timer is pending before `limit`; the time then stands at `limit`.
  bool advance_to_next(Mono limit);
  void advance(Duration by);
  std::size_t pending() const { return timers_->size(); }

 private:
  using Key = std::pair<Mono, std::uint64_t>;
  boost::asio::any_io_executor executor_;
  Wall start_;
  Mono now_{};
  Duration skew_{};
  std::uint64_t next_id_ = 0;
  std::shared_ptr<std::map<Key, std::function<void()>>> timers_ =
      std::make_shared<std::map<Key, std::function<void()>>>();
};

}  // namespace krake
