// What a world is made of and what happens in it, as a value: drawn by a seed, or read from a small text file
// (scenarios/*.txt). Pure.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/random.h"
#include "sim/fleet.h"
#include "sim/net.h"
#include "store/faulty_store.h"

namespace krake::sim {

// One thing that goes wrong. Its text is what a script says and what a trace shows.
struct Fault {
  enum class Verb : std::uint8_t {
    crash,      // crash PROCESS [after N] for TIME     (N handlers of its loop, or at once)
    stop,       // stop PROCESS for TIME                in order
    pause,      // pause PROCESS for TIME
    storeless,  // storeless SERVER for TIME            it cannot reach its store
    compact,    // compact                              the store forgets its history
    partition,  // partition A B [silently] for TIME    both directions; "*" for B: everybody
    cut,        // cut A B [silently] for TIME          what A sends to B
    cluster,    // cluster NAME HOW for TIME            HOW is one of kClusterFaults
    forget,     // forget CLUSTER                       it forgets its history, and its watches are cut
    watches,    // watches CLUSTER                      its watches are cut
    jump,       // jump PROCESS ahead|back by TIME      the wall clock of its machine is set
  };
  Verb verb = Verb::crash;
  std::string who;
  std::string what;  // the other party; how
  std::uint64_t handlers = 0;
  bool silently = false;
  Duration lasting{};
  friend bool operator==(const Fault&, const Fault&) = default;
};
inline constexpr std::string_view kClusterFaults[] = {"slow",    "errors", "hang",       "refuse",        "garbage",
                                                      "forbids", "sick",   "stuck-pods", "silent-watches"};

std::string to_string(const Fault& fault);
Result<Fault> parse_fault(std::string_view text);

// What the user does, and how often relative to each other.
enum class Deed : std::uint8_t {
  create,
  update,
  move,
  remove,
  force_remove,
  remove_cluster,
  force_remove_cluster,
  register_cluster,
  label_cluster,
  change_load,
  look,  // with krakectl
  vandalise,
};
inline constexpr std::string_view kDeeds[] = {"create",
                                              "update",
                                              "move",
                                              "delete",
                                              "force-delete",
                                              "delete-cluster",
                                              "force-delete-cluster",
                                              "register-cluster",
                                              "label-cluster",
                                              "change-load",
                                              "look",
                                              "vandalise"};
using Workload = std::array<int, std::size(kDeeds)>;
inline constexpr Workload kOrdinaryWork = {26, 14, 12, 8, 2, 3, 3, 6, 6, 6, 5, 14};

struct Scenario {
  Topology topology;
  int steps = 40;             // of the workload, two seconds each on average
  int applications = 8;       // at most
  bool random_faults = true;  // besides the script
  double krakectl = 0.2;      // of the user's changes of applications, those he makes with it
  double killed = 0;          // of the runs of krakectl
  NetFaults net;
  store::FaultRates store;
  Workload work = kOrdinaryWork;
  std::vector<std::pair<Duration, Fault>> script;  // since the beginning of the workload
};

// What things are like where they go wrong by chance.
NetFaults ordinary_net_faults();
store::FaultRates ordinary_store_faults();

// One world in a few has more than one server, other numbers of clusters, clocks that disagree, somebody in between who
// garbles or repeats what is said.
Scenario draw_scenario(Random random);

// A line each, "#" begins a comment:
//   servers N | replicas N | clusters N | steps N | applications N | skewed yes
//   faults random|script|none      (none: rates too)
//   rate NAME CHANCE               of the network or the store: "lose", "store.conflict"; "krakectl", "krakectl.killed"
//   work DEED WEIGHT
//   at TIME FAULT
// What is not said is as in a world with one of everything. invalid_argument names the line.
Result<Scenario> parse_scenario(std::string_view text);

}  // namespace krake::sim
