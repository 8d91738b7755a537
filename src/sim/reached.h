// Situations worth getting into. A simulator that never gets there proves nothing about them: the worlds of sim_test
// together must reach those that are `expected`, those of `make sim REACHED=all` every one. Each is marked by what
// happened, not by what was meant to make it happen.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace krake::sim {

struct Situation {
  std::string_view name;
  bool expected = true;  // by the few worlds of sim_test; the others are rare
};

inline constexpr Situation kSituations[] = {
    // the network and the store
    {"a request was lost"},
    {"a request was under way for long"},
    {"an answer was lost"},
    {"a stream was cut"},
    {"a read was delivered twice"},
    {"a connection died in silence"},
    {"a reader gave up a dead stream"},
    {"nobody answered behind a partition"},
    {"a process that was asked was down"},
    {"an answer was garbled"},
    {"a watch repeated itself"},
    {"two parties were partitioned"},
    {"messages passed in one direction only"},
    {"the store misbehaved"},
    {"the store forgot its history"},
    {"the outcome of a commit was unknown"},
    {"the API no longer kept what a watch asked for", false},
    {"a watch was taken up where it broke"},
    {"a watch was taken up at another server"},
    {"a silent server was left before it spoke again", false},
    // processes
    {"an API server crashed"},
    {"an API server was stopped in order"},
    {"an API server was asleep for a while"},
    {"an API server was cut off from its store"},
    {"an API server was started without its store"},
    {"no API server was left"},
    {"a controller crashed"},
    {"a controller was stopped in order"},
    {"a controller was asleep for a while"},
    {"a crash while a process was stopping"},
    {"a clock was set forward"},
    {"a clock was set back"},
    // leadership
    {"another one took over when the lease had run out"},
    {"another one took over when the lease was given back"},
    {"a controller led again after it was restarted"},
    {"a lease was given back"},
    {"a leader changed a cluster in its term"},
    {"a cluster told a stale holder of a later term", false},
    {"a leader lost its lease and won it again"},
    {"a write under a leadership that was over was refused", false},
    {"something was removed under a leadership"},
    {"one that was cut off repaired a cluster"},
    {"a crash while an application was being deleted"},
    {"a crash while an application was moving"},
    // writes of the user
    {"a write lost the race and was made again"},
    {"an answer was missing and the write had been carried out"},
    {"an answer was missing and the write had not been carried out"},
    // krakectl
    {"the outcome of a write by krakectl was unknown"},
    {"krakectl was killed", false},
    {"krakectl failed over to another server"},
    {"krakectl saw what it waited for"},
    // applications
    {"an application moved"},
    {"an application moved that must not run twice"},
    {"an application was on two clusters for a while"},
    {"a migration was given up", false},
    {"no place for an application"},
    {"no place at first, one later"},
    {"an application was force-deleted"},
    {"somebody changed a managed object"},
    {"somebody deleted a managed object"},
    {"an object was taken away that was not wanted any more"},
    // clusters
    {"a cluster was deleted"},
    {"the deletion of a cluster took its applications along", false},
    {"a cluster was force-deleted with applications on it"},
    {"a cluster was registered again"},
    {"a cluster was OFFLINE"},
    {"a cluster was UNHEALTHY"},
    {"a cluster was FAILING_METRICS"},
    {"a cluster forgot its history"},
    {"a cluster answered with errors"},
    {"a cluster answered with a page"},
    {"a cluster was gone for a while"},
    {"a roll-out was slow"},
};

class Reached {
 public:
  // CHECKs that the name is one of the above.
  void mark(std::string_view name, std::uint64_t times = 1);
  const std::map<std::string, std::uint64_t, std::less<>>& counts() const { return counts_; }

 private:
  std::map<std::string, std::uint64_t, std::less<>> counts_;
};

}  // namespace krake::sim
