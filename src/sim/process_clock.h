// The clock of one process: what its machine makes of the time all share. Its wall clock may be wrong, its monotonic
// one too fast or too slow. While the process sleeps its timers do not fire; all that are due do when it wakes.
// Thread: the loop.
#pragma once

#include "base/clock.h"
#include "sim/loop.h"

namespace krake::sim {

struct Skew {
  Duration wall{};                     // added to the true time
  std::int64_t parts_per_million = 0;  // of the monotonic clock: +1000 makes a second of 1.001
};

class ProcessClock final : public Clock {
 public:
  // Both outlive it.
  ProcessClock(SimClock& world, ProcessLoop& loop, Skew skew)
      : world_(world), loop_(loop), skew_(skew), start_(world.now()) {}
  Mono now() const override { return here(world_.now()); }
  Wall wall() const override {
    return world_.wall() + std::chrono::duration_cast<std::chrono::microseconds>(skew_.wall);
  }
  TimerHandle at(Mono when, std::function<void()> fn) override;
  void jump_wall(Duration by) { skew_.wall += by; }

 private:
  Mono here(Mono world) const;
  // The first moment at which it is not before `here` here.
  Mono there(Mono here) const;

  SimClock& world_;
  ProcessLoop& loop_;
  Skew skew_;
  Mono start_;
};

}  // namespace krake::sim
