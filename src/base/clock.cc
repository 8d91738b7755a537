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

TimerHandle RealClock::at(Mono when, std::function<void()> fn) {
  auto timer = std::make_shared<asio::steady_timer>(executor_);
  timer->expires_after(std::chrono::duration_cast<std::chrono::steady_clock::duration>(when - now()));
  auto armed = std::make_shared<bool>(true);
  timer->async_wait([timer, armed, fn = std::move(fn)](const boost::system::error_code& ec) {
    if (!ec && *armed) fn();
  });
  return TimerHandle([timer, armed] {
    *armed = false;
    timer->cancel();
  });
}

TimerHandle SimClock::at(Mono when, std::function<void()> fn) {
  const Key key{std::max(when, now_), next_id_++};
  timers_->emplace(key, std::move(fn));
  return TimerHandle([timers = timers_, key] { timers->erase(key); });
}

bool SimClock::advance_to_next(Mono limit) {
  if (timers_->empty() || timers_->begin()->first.first > limit) {
    now_ = std::max(now_, limit);
    return false;
  }
  now_ = std::max(now_, timers_->begin()->first.first);
  // One timer at a time, run in place: a timer it cancels must not fire.
  auto node = timers_->extract(timers_->begin());
  node.mapped()();
  return true;
}

void SimClock::advance(Duration by) {
  const Mono end = now_ + by;
  while (advance_to_next(end)) {
  }
}

}  // namespace krake
