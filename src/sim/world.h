// One simulated world: API servers over a store that misbehaves, all controllers, simulated clusters, a user; each
// process on its own loop, one thread, simulated time, one seed. A run has two phases: a workload under faults, in
// which what must never happen is looked for after each step; then everything heals and the world must converge to what
// was asked for, and then be silent. Same seed, same trace.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/net.h"
#include "sim/reached.h"
#include "sim/scenario.h"

namespace krake::sim {

struct WorldOptions {
  std::uint64_t seed = 1;
  std::optional<Scenario> scenario;  // absent: drawn by the seed
  std::string* trace = nullptr;      // gets every line
};

enum class Broken { nothing, safety, liveness };

struct Verdict {
  Broken broken = Broken::nothing;
  std::vector<std::string> problems;  // what was promised and what was seen
  std::uint64_t messages = 0;
  std::uint64_t trace_hash = 0;
  std::uint64_t crashes = 0;
  double simulated_seconds = 0;
  // In the time in which nothing was to be done; what a minute may have is in world.cc.
  double silent_requests_per_minute = 0;
  double silent_pieces_per_minute = 0;
  std::map<std::string, std::uint64_t, std::less<>> reached;  // situations (reached.h)
  std::deque<std::string> tail;
};

Verdict run_world(const WorldOptions& options);

}  // namespace krake::sim
