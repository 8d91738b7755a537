// Reads the store commit by commit, as it happens, and the clusters as they are, and compares both with what was
// promised. Safety: broken() names what must never happen and did. Liveness: difference() names what is not yet as it
// was asked for.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "api/kubernetes/cluster.h"
#include "kubesim/sim_cluster.h"
#include "sim/history.h"
#include "sim/model.h"
#include "sim/reached.h"
#include "store/memory/memory_store.h"

namespace krake::sim {

using Clusters = std::map<std::string, std::unique_ptr<kubesim::SimCluster>>;

// What all metrics say once everything is healed.
inline constexpr double kHealthyLoad = 0.8;

class Checks {
 public:
  // All outlive it.
  Checks(const store::MemoryDisk& disk, const Clusters& clusters, Model& model, Reached& reached)
      : disk_(disk), clusters_(clusters), model_(model), reached_(reached) {}

  // Looks at what was committed since.
  void advance();
  const std::vector<std::string>& broken() const { return broken_; }
  void complain(const Complaint& complaint) {
    if (complaint) broken_.push_back(*complaint);
  }
  // Of all keys. advance() first.
  History& history() { return history_; }
  // Empty when the world is as it was asked for.
  std::string difference() const;

  // Somebody who followed the API has these applications, at these revisions, and was told that he has everything up to
  // `revision`.
  void witnessed(store::Revision revision, const std::map<std::string, store::Revision>& applications);
  // The user asks for a cluster to be taken away at once.
  void force_asked(const std::string& cluster) { forced_clusters_.insert(cluster); }

  const std::map<std::string, Application>& applications() const { return applications_; }
  // The state of that version of it, if it is one.
  std::optional<ApplicationState> state_at(const std::string& app, store::Revision revision) const;
  bool exists(const std::string& cluster) const { return known_.contains(cluster); }
  bool deleting(const std::string& cluster) const;
  bool any_deletion() const;
  bool any_migration() const;

 private:
  struct Version {
    store::Revision revision = 0;
    bool removed = false;
    ApplicationState state = ApplicationState::PENDING;
  };
  void application_stored(const std::string& name, Application app);
  void application_gone(const std::string& name);
  void cluster_stored(const std::string& name, Cluster cluster);
  void cluster_gone(const std::string& name);
  void lease_changed(const store::Change& change);
  void check_binding(const std::string& name, const Application& app, const Application* before);
  void note_situations(const std::string& name, const Application& app, const Application* before);
  bool excused(const std::string& cluster, const std::string& app) const;

  std::string difference_in_store() const;
  std::string difference_of(const std::string& name, const Application& app) const;
  std::string difference_of_objects(const std::string& name, const Application& app) const;
  std::string leftovers() const;

  const store::MemoryDisk& disk_;
  const Clusters& clusters_;
  Model& model_;
  Reached& reached_;
  History history_;
  store::Revision cursor_ = 0;
  std::map<std::string, Application> applications_;
  std::map<std::string, std::vector<Version>> versions_;  // of applications
  std::map<std::string, Cluster> known_;
  std::map<std::string, std::vector<Labels>> labels_;  // each cluster ever had
  std::set<std::string> forced_clusters_;
  std::map<std::string, std::pair<store::Revision, std::string>> terms_;  // the last of each lease, and its holder
  // Cluster and application: nobody in Krake knows any more that there are objects of the one on the other.
  std::set<std::pair<std::string, std::string>> excused_;
  std::set<std::string> without_place_;
  std::vector<std::string> broken_;
};

}  // namespace krake::sim
