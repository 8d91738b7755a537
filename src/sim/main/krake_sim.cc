// krake_sim --seed N [--seeds M] [--scenario FILE] [--scenarios FOLDER] [--trace FILE] [--keep-going yes]
// [--reached all]: runs worlds: M of seeds from N on, then the first seed of each scenario of the folder. Exits 0 when
// all kept their promises; 2 crash is the shell's, 3 safety, 4 liveness, 5 (--reached all) a situation that was in none
// of them, 64 wrong usage.
#include <fmt/core.h>

#include <boost/asio/io_context.hpp>
#include <charconv>
#include <filesystem>
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
  std::string scenario_folder;
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
  if (name == "--scenarios") options.scenario_folder = value;
  if (name == "--trace") options.trace_file = value;
  if (name == "--keep-going") options.keep_going = value == "yes";
  if (name == "--reached") options.all_reached = value == "all";
  return name == "--scenario" || name == "--scenarios" || name == "--trace" || name == "--keep-going" ||
         name == "--reached";
}

struct World {
  std::uint64_t seed = 1;
  std::string scenario_file;  // empty: drawn by the seed
  std::optional<krake::sim::Scenario> scenario;
};

krake::Result<std::optional<krake::sim::Scenario>> read_scenario(const std::string& path) {
  if (path.empty()) return std::nullopt;
  std::ifstream file(path);
  if (!file.is_open()) return krake::fail(krake::Code::not_found, "cannot read the scenario " + path);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  auto scenario = krake::sim::parse_scenario(text);
  if (!scenario) return krake::fail(krake::with_context(std::move(scenario).error(), path));
  return std::move(*scenario);
}

krake::Result<std::vector<World>> worlds_of(const Options& options) {
  std::vector<World> worlds;
  ASSIGN_OR_RETURN(const auto scenario, read_scenario(options.scenario_file));
  for (std::uint64_t i = 0; i < options.seeds; ++i)
    worlds.push_back({options.seed + i, options.scenario_file, scenario});
  if (options.scenario_folder.empty()) return worlds;
  std::vector<std::string> files;
  std::error_code wrong;
  for (const auto& entry : std::filesystem::directory_iterator(options.scenario_folder, wrong))
    files.push_back(entry.path());
  if (files.empty()) return krake::fail(krake::Code::not_found, "no scenarios in " + options.scenario_folder);
  std::ranges::sort(files);
  for (auto& file : files) {
    ASSIGN_OR_RETURN(auto read, read_scenario(file));
    worlds.push_back({options.seed, std::move(file), std::move(read)});
  }
  return worlds;
}

void print(const World& world, const Verdict& verdict) {
  fmt::print(
      "seed {}{}{}: {} messages, {} crashes, {:.0f} simulated seconds, in silence {:.0f} requests and {:.0f} pieces a "
      "minute, trace {:016x}: {}\n",
      world.seed, world.scenario_file.empty() ? "" : " of ", world.scenario_file, verdict.messages, verdict.crashes,
      verdict.simulated_seconds, verdict.silent_requests_per_minute, verdict.silent_pieces_per_minute,
      verdict.trace_hash, verdict.broken == Broken::nothing ? "ok" : "BROKEN");
}

struct Total {
  std::uint64_t messages = 0;
  std::uint64_t broken = 0;
  double simulated = 0;
  int code = 0;
  struct Reached {
    std::uint64_t times = 0;
    std::uint64_t worlds = 0;
  };
  std::map<std::string, Reached, std::less<>> reached;
};

// The number of situations that were in no world.
std::size_t print_reached(const Total& total, std::size_t worlds, bool all) {
  constexpr std::uint64_t kRare = 2;
  std::size_t missing = 0;
  for (const auto& situation : krake::sim::kSituations) {
    const auto it = total.reached.find(situation.name);
    const bool never = it == total.reached.end();
    missing += never ? 1 : 0;
    if (never && (worlds >= 50 || all)) fmt::print("  never reached: {}\n", situation.name);
    if (never) continue;
    if (worlds == 1) fmt::print("  {}x {}\n", it->second.times, situation.name);
    if (worlds > 1 && all && it->second.worlds <= kRare)
      fmt::print("  in {} of {} worlds: {}\n", it->second.worlds, worlds, situation.name);
  }
  return missing;
}

// False: enough.
bool run(const World& world, const Options& options, bool alone, Total& total) {
  std::string trace;
  const auto verdict = krake::sim::run_world(
      {.seed = world.seed, .scenario = world.scenario, .trace = options.trace_file.empty() ? nullptr : &trace});
  total.messages += verdict.messages;
  total.simulated += verdict.simulated_seconds;
  for (const auto& [name, times] : verdict.reached) {
    total.reached[name].times += times;
    ++total.reached[name].worlds;
  }
  if (!options.trace_file.empty()) std::ofstream(options.trace_file, std::ios::app) << trace;
  if (alone || verdict.broken != Broken::nothing) print(world, verdict);
  if (verdict.broken == Broken::nothing) return true;
  ++total.broken;
  total.code = verdict.broken == Broken::safety || total.code == 3 ? 3 : 4;
  if (!options.keep_going) {
    for (const auto& line : verdict.tail) fmt::print("  {}\n", line);
  }
  for (const auto& problem : verdict.problems) fmt::print("promised and not kept: {}\n", problem);
  fmt::print("again: make sim SEED={}{}\n", world.seed,
             world.scenario_file.empty() ? "" : " SCENARIO=" + world.scenario_file);
  return options.keep_going;
}

int run(const Options& options, const std::vector<World>& worlds) {
  boost::asio::io_context loop;
  const krake::RealClock clock(loop.get_executor());
  const auto begin = clock.now();
  Total total;
  for (const auto& world : worlds) {
    if (!run(world, options, worlds.size() == 1, total)) return total.code;
  }
  const auto missing = print_reached(total, worlds.size(), options.all_reached);
  const bool gaps = options.all_reached && missing > 0;
  const double seconds = std::chrono::duration<double>(clock.now() - begin).count();
  fmt::print(
      "sim {} seeds={} worlds={} broken={} situations={}/{} messages={} simulated_seconds={:.0f} seconds={:.1f} "
      "messages_per_second={:.0f}\n",
      total.broken > 0 ? "BROKEN"
      : gaps           ? "GAPS"
                       : "ok",
      options.seeds, worlds.size(), total.broken, std::size(krake::sim::kSituations) - missing,
      std::size(krake::sim::kSituations), total.messages, total.simulated, seconds,
      static_cast<double>(total.messages) / seconds);
  return total.code == 0 && gaps ? 5 : total.code;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i += 2) {
    if (i + 1 < argc && parse(argv[i], argv[i + 1], options)) continue;
    fmt::print(stderr, "krake_sim: what is '{}'? The options are in src/sim/main/krake_sim.cc\n", argv[i]);
    return kUsage;
  }
  const auto worlds = worlds_of(options);
  if (!worlds) {
    fmt::print(stderr, "krake_sim: {}\n", worlds.error().message);
    return kUsage;
  }
  return run(options, *worlds);
}
