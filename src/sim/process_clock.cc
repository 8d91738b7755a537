#include "sim/process_clock.h"

#include <boost/asio/post.hpp>

namespace krake::sim {

namespace {

constexpr std::int64_t kMillion = 1'000'000;

// Exact for any time a world lasts, and no 128-bit numbers.
std::int64_t scaled(std::int64_t count, std::int64_t numerator, std::int64_t denominator) {
  return count / denominator * numerator + count % denominator * numerator / denominator;
}

}  // namespace

Mono ProcessClock::here(Mono world) const {
  if (skew_.parts_per_million == 0) return world;
  const Duration passed = world - start_;
  return start_ + passed + Duration(scaled(passed.count(), skew_.parts_per_million, kMillion));
}

Mono ProcessClock::there(Mono local) const {
  const Duration passed = local - start_;
  Mono world = start_ + Duration(scaled(passed.count(), kMillion, kMillion + skew_.parts_per_million));
  while (here(world) < local) world += Duration(1);
  return world;
}

TimerHandle ProcessClock::at(Mono when, std::function<void()> fn) {
  if (when == Mono::max()) return world_.at(when, std::move(fn));
  struct Timer {
    std::function<void()> fn;
    TimerHandle handle;
  };
  const auto timer = std::make_shared<Timer>();
  timer->fn = std::move(fn);
  const auto fire = [](const std::weak_ptr<Timer>& weak) {
    if (const auto alive = weak.lock()) {
      if (auto due = std::exchange(alive->fn, nullptr)) due();
    }
  };
  timer->handle = world_.at(there(when), [weak = std::weak_ptr(timer), fire, &loop = loop_] {
    if (loop.asleep()) {
      boost::asio::post(loop, [weak, fire] { fire(weak); });
    } else {
      fire(weak);
    }
  });
  return TimerHandle([timer] {
    timer->fn = nullptr;
    timer->handle.reset();
  });
}

}  // namespace krake::sim
