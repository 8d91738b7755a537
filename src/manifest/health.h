// Health of live Kubernetes objects and of an application made of them (control-plane-contract 5.11, with the worst
// state instead of the last one). Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/json.h"

namespace krake::manifest {

struct Health {
  std::int64_t desired = 0;
  std::int64_t running = 0;
  std::int64_t completed = 0;
  std::int64_t failed = 0;
  bool operator==(const Health&) const = default;
};

// unknown: the objects say nothing about it; the application keeps its state.
enum class State { unknown, completed, running, restarting, degraded };
std::string_view to_string(State state);  // "RUNNING"; "" for unknown

struct Observed {
  Health health;
  State state = State::unknown;
  bool operator==(const Observed&) const = default;
};

Observed health_of(const json::Value& live);
// Whether the controller of a workload has looked at its present spec: until then its status tells of an earlier one,
// or of nothing. True for other kinds.
bool up_to_date(const json::Value& live);
// Counters added up; the worst state: degraded, restarting, running, completed, and unknown only when nothing is known.
Observed health_of_all(const json::Array& live);

}  // namespace krake::manifest
