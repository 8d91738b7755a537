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

namespace {

class ProcessTimer final : public TimerHandle::Timer {
 public:
  ProcessTimer(ProcessLoop& loop, std::function<void()> fn) : loop_(loop), fn_(std::move(fn)) {}
  ~ProcessTimer() override {
    if (posted_) *posted_ = nullptr;
  }
  void start(SimClock& world, Mono when) {
    handle_ = world.at(when, [this] { due(); });
  }

 private:
  void due() {
    if (!loop_.asleep()) return fire();
    posted_ = std::make_shared<ProcessTimer*>(this);
    boost::asio::post(loop_, [posted = posted_] {
      if (ProcessTimer* timer = *posted) timer->fire();
    });
  }
  // It may be destroyed within.
  void fire() {
    const auto fn = std::exchange(fn_, nullptr);
    fn();
  }

  ProcessLoop& loop_;
  std::function<void()> fn_;
  TimerHandle handle_;
  std::shared_ptr<ProcessTimer*> posted_;  // points to nothing when we are gone
};

}  // namespace

TimerHandle ProcessClock::at(Mono when, std::function<void()> fn) {
  if (when == Mono::max()) return world_.at(when, std::move(fn));
  auto timer = std::make_unique<ProcessTimer>(loop_, std::move(fn));
  timer->start(world_, there(when));
  return TimerHandle(std::move(timer));
}

}  // namespace krake::sim
