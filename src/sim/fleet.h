// The processes of a world: which there are, which run, what becomes of them. All of them may go down and come back
// independently, at any moment. Thread: the one there is; between handlers unless said otherwise.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sim/process.h"
#include "sim/reached.h"

namespace krake::sim {

struct Topology {
  int servers = 1;
  int replicas = 1;  // of each controller
  int clusters = 3;
  bool skewed = false;  // no two clocks agree
};

class Fleet {
 public:
  // All outlive it.
  Fleet(const Surroundings& world, std::shared_ptr<store::MemoryDisk> disk, const Topology& topology, Trace& trace,
        Reached& reached);
  // Nothing is told to end: all of it is destroyed, as in a crash.
  ~Fleet();
  Fleet(const Fleet&) = delete;
  Fleet& operator=(const Fleet&) = delete;

  const std::vector<std::string>& servers() const { return servers_; }
  const std::vector<std::string>& controllers() const { return controllers_; }
  static bool is_controller(std::string_view name);
  // "scheduler" of "scheduler1"
  static std::string_view role_of(std::string_view name);

  void start(const std::string& name);
  bool runs(const std::string& name) const { return processes_.contains(name); }
  bool asleep(const std::string& name) const;
  bool ready() const;  // every server has loaded its data
  // Of a controller; null when it does not run.
  const Elector* elector(const std::string& name) const;

  // Each of these wants it running, and does nothing otherwise. It is started again after `away`.
  void crash(const std::string& name, Duration away);
  // After so many handlers of its loop, or when `limit` has passed.
  void crash_inside(const std::string& name, std::uint64_t handlers, Duration limit, Duration away);
  void stop(const std::string& name, Duration away);
  // It does nothing for a while, and does not notice.
  void pause(const std::string& name, Duration time);
  // Its store cannot be reached for a while.
  void cut_off_store(const std::string& name, Duration time);
  // Somebody sets the wall clock of its machine, whether it runs or not.
  void jump_wall(const std::string& name, Duration by);
  // Everything is up and awake again.
  void restore();
  // Ends what has stopped. To be called at rest.
  void reap();

  // Of all servers, those to come too.
  void set_store_faults(const store::FaultRates& rates);
  std::uint64_t store_faults() const;  // met so far
  std::uint64_t crashes() const { return crashes_; }
  // Runs at each crash, before it.
  void on_crash(std::function<void()> hook) { on_crash_ = std::move(hook); }

 private:
  struct Slot {
    std::unique_ptr<Process> process;
    std::unique_ptr<TaskGroup> ending;  // it is being stopped
    bool ended = false;
    Duration away{};
    TimerHandle timer;  // of its waking, or of the limit of crash_inside
  };
  void destroy(const std::string& name);
  void start_later(const std::string& name, Duration away);
  ApiProcess* server(const std::string& name) const;
  Skew draw_skew(const std::string& name);

  Surroundings world_;
  std::shared_ptr<store::MemoryDisk> disk_;
  Topology topology_;
  Trace& trace_;
  Reached& reached_;
  Random random_;
  std::vector<std::string> servers_;
  std::vector<std::string> controllers_;
  std::map<std::string, Slot> processes_;  // that run
  std::map<std::string, TimerHandle> restarts_;
  std::map<std::string, TimerHandle> stores_;  // that cannot be reached, until then
  std::map<std::string, std::uint64_t> lives_;
  std::map<std::string, Skew> skews_;
  store::FaultRates rates_;
  std::uint64_t store_faults_ = 0;  // met by servers that are no more
  std::uint64_t crashes_ = 0;
  std::function<void()> on_crash_;
};

}  // namespace krake::sim
