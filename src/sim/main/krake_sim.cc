// krake_sim --seed N [--seeds M] [--trace FILE]: runs worlds, exits 0 when all kept their promises; 2 crash is the
// shell's, 3 safety, 4 liveness.
#include <fmt/core.h>

#include <cstdlib>
#include <fstream>
#include <map>

#include "sim/world.h"

int main(int argc, char** argv) {
  std::uint64_t seed = 1;
  std::uint64_t seeds = 1;
  std::string trace_file;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    if (name == "--seed") seed = std::strtoull(argv[i + 1], nullptr, 10);
    if (name == "--seeds") seeds = std::strtoull(argv[i + 1], nullptr, 10);
    if (name == "--trace") trace_file = argv[i + 1];
  }
  std::uint64_t messages = 0;
  double simulated = 0;
  std::map<std::string, std::uint64_t, std::less<>> reached;
  for (std::uint64_t s = seed; s < seed + seeds; ++s) {
    std::string trace;
    krake::sim::WorldOptions options{.seed = s};
    if (!trace_file.empty()) options.trace = &trace;
    const auto verdict = krake::sim::run_world(options);
    messages += verdict.messages;
    simulated += verdict.simulated_seconds;
    for (const auto& [name, times] : verdict.reached) reached[name] += times;
    if (!trace_file.empty()) std::ofstream(trace_file, std::ios::app) << trace;
    if (seeds == 1 || verdict.broken != krake::sim::Broken::nothing) {
      fmt::print(
          "seed {}: {} messages, {} crashes, {:.0f} simulated seconds, in silence {:.0f} requests and {:.0f} pieces a "
          "minute, trace {:016x}: {}\n",
          s, verdict.messages, verdict.crashes, verdict.simulated_seconds, verdict.silent_requests_per_minute,
          verdict.silent_pieces_per_minute, verdict.trace_hash,
          verdict.broken == krake::sim::Broken::nothing ? "ok" : "BROKEN");
    }
    if (verdict.broken != krake::sim::Broken::nothing) {
      for (const auto& line : verdict.tail) fmt::print("  {}\n", line);
      for (const auto& problem : verdict.problems) fmt::print("promised and not kept: {}\n", problem);
      fmt::print("again: make sim SEED={}\n", s);
      return verdict.broken == krake::sim::Broken::safety ? 3 : 4;
    }
  }
  for (const auto& situation : krake::sim::kSituations) {
    const auto it = reached.find(situation.name);
    if (it != reached.end() && seeds == 1) fmt::print("  {}x {}\n", it->second, situation.name);
    if (it == reached.end() && seeds >= 50) fmt::print("  never reached: {}\n", situation.name);
  }
  fmt::print("sim ok seeds={} messages={} simulated_seconds={:.0f}\n", seeds, messages, simulated);
  return 0;
}
