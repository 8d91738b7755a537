// krake_sim --seed N [--seeds M] [--scenario FILE] [--trace FILE] [--keep-going yes] [--reached all]: runs worlds,
// exits 0 when all kept their promises; 2 crash is the shell's, 3 safety, 4 liveness, 5 (--reached all) a situation
// that was in none of them, 64 wrong usage.
#include <fmt/core.h>

#include <boost/asio/io_context.hpp>
#include <charconv>
#include <fstream>
#include <iterator>
#include <map>

#include "sim/world.h"

namespace {

using krake::sim::Broken;
using krake::sim::Verdict;

constexpr int kUsage = 64;

struct Options {
  std::uint64_t seed = 1;
  std::uint64_t seeds = 1;
  std::string scenario_file;
  std::string trace_file;
  bool keep_going = false;
  bool all_reached = false;
};

bool parse(std::string_view name, std::string_view value, Options& options) {
  const auto number = [&](std::uint64_t& out) {
    const auto [end, ec] = std::from_chars(value.data(), value.data() + value.size(), out);
    return ec == std::errc() && end == value.data() + value.size();
  };
  if (name == "--seed") return number(options.seed);
  if (name == "--seeds") return number(options.seeds);
  if (name == "--scenario") options.scenario_file = value;
  if (name == "--trace") options.trace_file = value;
  if (name == "--keep-going") options.keep_going = value == "yes";
  if (name == "--reached") options.all_reached = value == "all";
  return name == "--scenario" || name == "--trace" || name == "--keep-going" || name == "--reached";
}

krake::Result<std::optional<krake::sim::Scenario>> read_scenario(const std::string& path) {
  if (path.empty()) return std::nullopt;
  std::ifstream file(path);
  if (!file.is_open()) return krake::fail(krake::Code::not_found, "cannot read the scenario " + path);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  auto scenario = krake::sim::parse_scenario(text);
  if (!scenario) return krake::fail(krake::with_context(std::move(scenario).error(), path));
  return std::move(*scenario);
}

void print(std::uint64_t seed, const Verdict& verdict) {
  fmt::print(
      "seed {}: {} messages, {} crashes, {:.0f} simulated seconds, in silence {:.0f} requests and {:.0f} pieces a "
      "minute, trace {:016x}: {}\n",
      seed, verdict.messages, verdict.crashes, verdict.simulated_seconds, verdict.silent_requests_per_minute,
      verdict.silent_pieces_per_minute, verdict.trace_hash, verdict.broken == Broken::nothing ? "ok" : "BROKEN");
}

// The number of situations that were in no world.
int print_reached(const std::map<std::string, std::uint64_t, std::less<>>& reached, const Options& options) {
  int missing = 0;
  for (const auto& situation : krake::sim::kSituations) {
    const auto it = reached.find(situation.name);
    missing += it == reached.end() ? 1 : 0;
    if (it != reached.end() && options.seeds == 1) fmt::print("  {}x {}\n", it->second, situation.name);
    if (it == reached.end() && (options.seeds >= 50 || options.all_reached))
      fmt::print("  never reached: {}\n", situation.name);
  }
  return missing;
}

int run(const Options& options, const std::optional<krake::sim::Scenario>& scenario) {
  std::uint64_t messages = 0;
  std::uint64_t broken = 0;
  double simulated = 0;
  int code = 0;
  std::map<std::string, std::uint64_t, std::less<>> reached;
  boost::asio::io_context loop;
  const krake::RealClock clock(loop.get_executor());
  const auto begin = clock.now();
  for (std::uint64_t seed = options.seed; seed < options.seed + options.seeds; ++seed) {
    std::string trace;
    const auto verdict = krake::sim::run_world(
        {.seed = seed, .scenario = scenario, .trace = options.trace_file.empty() ? nullptr : &trace});
    messages += verdict.messages;
    simulated += verdict.simulated_seconds;
    for (const auto& [name, times] : verdict.reached) reached[name] += times;
    if (!options.trace_file.empty()) std::ofstream(options.trace_file, std::ios::app) << trace;
    if (options.seeds == 1 || verdict.broken != Broken::nothing) print(seed, verdict);
    if (verdict.broken == Broken::nothing) continue;
    ++broken;
    code = verdict.broken == Broken::safety ? 3 : code == 3 ? 3 : 4;
    if (!options.keep_going) {
      for (const auto& line : verdict.tail) fmt::print("  {}\n", line);
    }
    for (const auto& problem : verdict.problems) fmt::print("promised and not kept: {}\n", problem);
    fmt::print("again: make sim SEED={}{}\n", seed,
               options.scenario_file.empty() ? "" : " SCENARIO=" + options.scenario_file);
    if (!options.keep_going) return code;
  }
  const int missing = print_reached(reached, options);
  const double seconds = std::chrono::duration<double>(clock.now() - begin).count();
  fmt::print(
      "sim {} seeds={} broken={} messages={} simulated_seconds={:.0f} seconds={:.1f} messages_per_second={:.0f}\n",
      broken == 0 ? "ok" : "BROKEN", options.seeds, broken, messages, simulated, seconds,
      static_cast<double>(messages) / seconds);
  if (code == 0 && options.all_reached && missing > 0) return 5;
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i += 2) {
    if (i + 1 < argc && parse(argv[i], argv[i + 1], options)) continue;
    fmt::print(stderr, "krake_sim: what is '{}'? The options are in src/sim/main/krake_sim.cc\n", argv[i]);
    return kUsage;
  }
  const auto scenario = read_scenario(options.scenario_file);
  if (!scenario) {
    fmt::print(stderr, "krake_sim: {}\n", scenario.error().message);
    return kUsage;
  }
  return run(options, *scenario);
}
