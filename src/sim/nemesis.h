// Makes things go wrong: carries out faults, draws them by chance, ends them when their time is over. Several may be
// under way at once. Thread: the one there is.
#pragma once

#include <map>
#include <string>

#include "sim/checks.h"
#include "sim/fleet.h"
#include "sim/scenario.h"

namespace krake::sim {

class Nemesis {
 public:
  // All outlive it.
  Nemesis(const Surroundings& world, Fleet& fleet, Clusters& clusters, store::MemoryDisk& disk, Checks& checks,
          Trace& trace, Reached& reached)
      : world_(world),
        fleet_(fleet),
        clusters_(clusters),
        disk_(disk),
        checks_(checks),
        trace_(trace),
        reached_(reached),
        random_(world.env.random.fork("nemesis")),
        jumps_(world.env.random.fork("jumps")) {}

  // Of what there is.
  Fault draw();
  // Of clocks.
  bool time_to_jump() { return jumps_.chance(0.08); }
  Fault draw_jump();
  // CHECKs that what it names exists.
  void carry_out(const Fault& fault);
  // All of it is over.
  void heal();

 private:
  Fault draw_partition();
  void cut(const Fault& fault);
  void harm_cluster(const Fault& fault);
  template <class Container>
  const auto& any(const Container& of) {
    return *std::next(std::begin(of), static_cast<std::ptrdiff_t>(random_.below(std::size(of))));
  }
  Duration some(Duration least, Duration most);
  // `what` runs when the fault's time is over, unless another of the same key comes in between.
  void later(const std::string& key, Duration time, std::function<void()> what);

  Surroundings world_;
  Fleet& fleet_;
  Clusters& clusters_;
  store::MemoryDisk& disk_;
  Checks& checks_;
  Trace& trace_;
  Reached& reached_;
  Random random_;
  Random jumps_;
  std::map<std::string, TimerHandle> ends_;
};

}  // namespace krake::sim
