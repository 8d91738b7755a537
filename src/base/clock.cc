#include "base/clock.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <ctime>

namespace krake {

namespace asio = boost::asio;

Mono mono_of(const Clock& clock, Wall when) {
  constexpr std::chrono::microseconds kFar = std::chrono::hours(24 * 365 * 10);  // more does not fit into a Duration
  return clock.now() + std::clamp<std::chrono::microseconds>(when - clock.wall(), -kFar, kFar);
}

// With the time the machine slept: a leader that wakes with it must know that its lease is over.
Mono RealClock::now() const {
  timespec time{};
  ::clock_gettime(CLOCK_BOOTTIME, &time);
  return Mono(std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec));
}

Wall RealClock::wall() const {
  return std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
}

namespace {

class SteadyTimer final : public TimerHandle::Timer {
 public:
  SteadyTimer(const asio::any_io_executor& executor, Duration in, std::function<void()> fn)
      : state_(std::make_shared<State>(executor)) {
    state_->fn = std::move(fn);
    state_->timer.expires_after(std::chrono::duration_cast<std::chrono::steady_clock::duration>(in));
    state_->timer.async_wait([state = state_](const boost::system::error_code& ec) {
      if (const auto due = std::exchange(state->fn, nullptr); due && !ec) due();
    });
  }
  ~SteadyTimer() override {
    state_->fn = nullptr;
    state_->timer.cancel();
  }

 private:
  struct State {
    explicit State(const asio::any_io_executor& executor) : timer(executor) {}
    asio::steady_timer timer;
    std::function<void()> fn;  // until it has run, or must not any more
  };
  std::shared_ptr<State> state_;
};

}  // namespace

TimerHandle RealClock::at(Mono when, std::function<void()> fn) {
  return TimerHandle(std::make_unique<SteadyTimer>(executor_, when - now(), std::move(fn)));
}

TimerHandle SimClock::at(Mono when, std::function<void()> fn) {
  auto timer = std::make_unique<Timer>(std::max(when, now_), next_id_++, std::move(fn));
  timers_.insert(*timer);
  return TimerHandle(std::move(timer));
}

bool SimClock::advance_to_next(Mono limit) {
  if (timers_.empty() || timers_.begin()->due > limit) {
    now_ = std::max(now_, limit);
    return false;
  }
  // One timer at a time, run in place: a timer it cancels must not fire. It may cancel itself.
  Timer& next = *timers_.begin();
  now_ = std::max(now_, next.due);
  timers_.erase(timers_.begin());
  const auto fn = std::move(next.fn);
  fn();
  return true;
}

void SimClock::advance(Duration by) {
  const Mono end = now_ + by;
  while (advance_to_next(end)) {
  }
}

}  // namespace krake
