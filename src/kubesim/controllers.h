// The few controllers without which nothing moves in a cluster: Pods of workloads, their becoming ready, Jobs that end,
// load balancers and volumes that are granted. Simulated plainly: no containers run, everything takes a fixed time.
// The annotation kubesim/pod of a Pod (or of a template) says how it fares: "pending", "crash", or as usual without it.
// They run from timers of the clock from their making to their end, never inside the call that made a change.
// Thread: the loop.
#pragma once

#include <map>
#include <set>
#include <string>

#include "base/env.h"
#include "kubesim/api.h"
#include "kubesim/faults.h"

namespace krake::kubesim {

struct ControllerTimes {
  Duration pod_start = std::chrono::milliseconds(200);
  Duration job_run = std::chrono::milliseconds(500);
};

class Controllers {
 public:
  // All of them must outlive it.
  Controllers(Env& env, Api& api, const Faults& faults, ControllerTimes times);
  Controllers(const Controllers&) = delete;
  Controllers& operator=(const Controllers&) = delete;
  ~Controllers() { api_.objects().on_change({}); }

 private:
  struct Own {  // a Pod of a workload
    ObjectKey key;
    ObjectPtr pod;
    bool current = false;  // made from the present template
    bool ready = false;
  };

  void look_at_everything();
  void look_at(const ObjectKey& key, const json::Value& object);
  void catch_up();
  void step();
  void wake_at(Mono when);
  void schedule(const ObjectKey& key, Duration after);

  void reconcile(const ObjectKey& key);
  void reconcile_workload(const ObjectKey& key, const KindInfo& kind, const json::Value& workload);
  void reconcile_job(const ObjectKey& key, const json::Value& job);
  std::vector<Own> pods_of(const json::Value& owner, const std::string& hash) const;
  void make_pod(const KindInfo& kind, const json::Value& owner, const std::string& name, const std::string& hash);
  void drop_pod(const ObjectKey& key);
  void write_status(const ObjectKey& key, const json::Value& object, json::Value status);
  json::Array conditions(const json::Value& object, std::vector<std::pair<std::string, bool>> wanted) const;

  void advance(const ObjectKey& key);
  void start_pod(const ObjectKey& key, const json::Value& pod);
  void finish_pod(const ObjectKey& key, const json::Value& pod);
  std::string ready_node() const;
  int count_nodes() const;

  Env& env_;
  Api& api_;
  const Faults& faults_;
  ControllerTimes times_;
  std::uint64_t cursor_ = 0;
  std::set<ObjectKey> dirty_;
  std::multimap<Mono, ObjectKey> due_;
  std::set<ObjectKey> waiting_;  // keys in due_
  std::uint32_t addresses_ = 0;
  std::optional<Mono> wake_;
  TimerHandle timer_;
};

}  // namespace krake::kubesim
