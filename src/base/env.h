// What every component gets by reference: where it runs, what time it is, chance, the log and the metrics.
#pragma once

#include <boost/asio/any_io_executor.hpp>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/random.h"

namespace krake {

struct Env {
  boost::asio::any_io_executor executor;
  Clock& clock;
  Random random;
  Log log;
  Metrics& metrics;
};

}  // namespace krake
