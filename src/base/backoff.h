// Exponential back-off with cap and jitter: delay(n) = min(cap, base * factor^n) * (1 - jitter .. 1). Pure.
#pragma once

#include <cmath>

#include "base/clock.h"
#include "base/random.h"

namespace krake {

struct Backoff {
  Duration base = std::chrono::milliseconds(200);
  Duration cap = std::chrono::seconds(60);
  double factor = 2;
  double jitter = 0.2;

  Duration delay(int failures, Random& random) const {
    const double seconds = std::chrono::duration<double>(base).count() * std::pow(factor, std::min(failures, 60));
    const double capped = std::min(seconds, std::chrono::duration<double>(cap).count());
    return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(capped * (1 - jitter * random.unit())));
  }
};

}  // namespace krake
