// Reads the store commit by commit, as it happens, and the clusters as they are, and compares both with what was
// promised. Safety: broken() names what must never happen and did. Liveness: difference() names what is not yet as it
// was asked for.
#pragma once

#include <deque>
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
#include "sim/removals.h"
#include "store/memory/memory_store.h"

namespace krake::sim {

using Clusters = std::map<std::string, std::unique_ptr<kubesim::SimCluster>>;

// What all metrics say once everything is healed.
inline constexpr double kHealthyLoad = 0.8;
// An object on a cluster its application says nothing of: nobody will look for it there. Longer than any message is
// under way; the longest sleeps with its sender.
inline constexpr Duration kStrayTime = std::chrono::seconds(60);
// How long a controller that leads may go by a version of an application that is not the last.
inline constexpr Duration kBehind = std::chrono::seconds(60);

class Checks {
 public:
  // All outlive it.
  Checks(const store::MemoryDisk& disk, const Clusters& clusters, Model& model, Removals& removals, Reached& reached)
      : disk_(disk), clusters_(clusters), model_(model), removals_(removals), reached_(reached) {}

  // Looks at what was committed since.
  void advance();
  // Looks at the clusters that were changed since: an object is only where its application says that something of it
  // may be, so that two clusters have it only while it moves or the one it left is still to be cleaned up.
  // advance() first.
  void look_at_clusters(Mono now);
  // The controller is about to take that object away: nobody may have wanted it there, by any version of its
  // application the controller may still go by. advance() first.
  void taken_away(const std::string& cluster, std::string_view target);
  // A request that was long under way has made that object: what it was for may be over, and nobody may look there any
  // more. advance() first.
  void made_late(const std::string& cluster, const std::string& app);
  // Once, at the end: marks what only later answers tell.
  void conclude();
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
  // The user asks for a cluster to be taken away at once. Whether it was tell the removals.
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
  void application_gone(const std::string& name, const store::Change& change, store::Revision revision);
  void cluster_stored(const std::string& name, Cluster cluster);
  void cluster_gone(const std::string& name, const store::Change& change, store::Revision revision);
  void lease_changed(const store::Change& change, store::Revision revision);
  void check_binding(const std::string& name, const Application& app, const Application* before);
  void note_situations(const std::string& name, const Application& app, const Application* before);
  // One that nobody was asked to clean up behind.
  struct Removed {
    std::string key;
    store::Revision revision = 0;
  };
  bool forced(const Removed& removed) const { return removals_.of(removed.key, removed.revision) != Known::no; }
  bool excused(const std::string& cluster, const std::string& app) const;
  std::set<std::string_view> kinds_not_wanted(const std::string& cluster, const Application& app) const;
  // What is on that cluster of that application is lost: no record leads there.
  bool stray(const std::string& cluster, const std::string& app) const;
  void look_for(const std::string& app, Mono now);
  void doubt(const std::string& cluster);
  void look_for_twins(const std::string& app);

  std::string difference_in_store() const;
  std::string difference_of(const std::string& name, const Application& app) const;
  std::string difference_of_objects(const std::string& name, const Application& app) const;
  std::string leftovers() const;

  const store::MemoryDisk& disk_;
  const Clusters& clusters_;
  Model& model_;
  Removals& removals_;
  Reached& reached_;
  History history_;
  store::Revision cursor_ = 0;
  std::map<std::string, Application> applications_;
  // What was the last version until then; no application: it was not there.
  struct Past {
    std::string name;
    std::optional<Application> app;
    std::optional<Mono> until;  // as look_at_clusters() tells the time
  };
  std::deque<Past> past_;                                 // not longer ago than kBehind
  std::map<std::string, std::vector<Version>> versions_;  // of applications
  std::map<std::string, Cluster> known_;
  std::map<std::string, std::vector<Labels>> labels_;  // each cluster ever had
  std::set<std::string> forced_clusters_;
  struct Term {
    store::Revision began = 0;
    store::Revision ended = 0;  // 0: it goes on
    std::string holder;
  };
  std::map<std::string, Term> terms_;                // the last of each lease
  std::vector<Removed> takeovers_;                   // terms that ended, and another machine began the next
  using Pair = std::pair<std::string, std::string>;  // cluster and application
  // Krake has lost sight of a cluster while an application said it may have objects there (nothing), or while there
  // were some (the removal, which counts when it was forced); or something came there late (nothing). Until the
  // application runs there again.
  std::map<Pair, std::optional<Removed>> excuses_;
  std::map<Pair, std::set<std::string_view>> leftovers_;  // kinds, of excuses that have ended
  std::map<std::string, Removed> gone_;                   // applications
  std::vector<Removed> gone_with_applications_;           // clusters, with some on them
  struct Looked {
    std::uint64_t mutations = 0;
    std::set<std::string> apps;  // that have objects there
  };
  std::map<std::string, Looked> looked_;
  std::set<std::string> touched_;  // applications to look for
  std::map<Pair, Mono> strays_;
  // Of what must not run twice: cluster and uid of those that were there while it could not be reached.
  std::set<std::pair<std::string, std::string>> doubted_;
  std::set<std::string> twins_;  // that were found
  std::set<std::string> without_place_;
  std::vector<std::string> broken_;
};

}  // namespace krake::sim
