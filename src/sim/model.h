// What the user was promised, as far as he can know it: the writes that were acknowledged, and those whose answer he
// never got and which may or may not have been carried out. Compared with every version the store ever had, in order.
// Pure: knows no world.
//
// All writes of a spec name the revision they were computed from, so an acknowledged one rules out those before it
// whose answer is missing, and so does one that is seen stored.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "api/kubernetes/application.h"
#include "sim/complaint.h"

namespace krake::sim {

// How a write ended for whoever made it.
enum class Fate { done, refused, unknown };
// By the error. What may have been carried out all the same is unknown; a request whose connection was refused
// (kConnectionRefused) was not.
Fate fate_of(const Error& error);
inline constexpr std::string_view kConnectionRefused = "connection refused";

enum class Known { no, maybe, yes };

// One version of an application as the store has it.
struct StoredVersion {
  std::string uid;
  ApplicationSpec spec;
  bool deleted = false;
  std::set<std::string> owners;  // names of clusters
};

class Model {
 public:
  // ---- What is asked of the API: told before the request leaves, and answered() afterwards, when everything committed
  // so far has been told by stored() and gone().
  void create(const std::string& app, ApplicationSpec spec);
  void update(const std::string& app, ApplicationSpec spec);
  void remove(const std::string& app);
  void force_remove(const std::string& app);
  Complaint answered(Fate fate);
  // A cluster: told before it is asked for, and taken back when that was refused.
  void remove_cluster(const std::string& cluster) { ++cluster_removals_[cluster]; }
  void cluster_kept(const std::string& cluster) { --cluster_removals_[cluster]; }

  // ---- What the store says: each version of each application, in order.
  Complaint stored(const std::string& app, const StoredVersion& version);
  Complaint gone(const std::string& app);
  // Of clusters: from the one to the other applications may go with it. (Its collector may be a moment behind.)
  Complaint cluster_deleting(const std::string& cluster);
  void cluster_registered(const std::string& cluster) { deleting_clusters_.erase(cluster); }

  // ---- What follows.
  // Stored, and nobody has asked for their deletion: those the user may work on.
  std::vector<std::string> living() const;
  // What must not be there at the end, or must.
  Known expected(const std::string& app) const;
  std::vector<std::string> names() const;  // ever used
  bool knows(const std::string& app) const { return apps_.contains(app); }
  // Somebody other than the user's own delete took it along: a cluster.
  bool taken_along(const std::string& app) const;
  // Writes without an answer that turned out to be carried out, or not to be (so far).
  std::uint64_t found_done() const { return found_done_; }
  std::uint64_t found_undone() const;

 private:
  struct Candidate {
    std::uint64_t number = 0;
    ApplicationSpec spec;
    bool unanswered = false;
  };
  struct App {
    Known created = Known::maybe;
    Known removed = Known::no;
    Known forced = Known::no;
    std::vector<Candidate> specs;  // what may be stored, oldest first
    std::string uid;
    bool seen = false;     // stored at some time
    bool deleted = false;  // seen with a deletion under way
    bool gone = false;
  };
  enum class Ask { none, create, update, remove, force_remove };
  Complaint acknowledged(const std::string& name, App& app);
  Complaint withdraw(const std::string& name, App& app);
  void unanswered(App& app);

  std::map<std::string, App> apps_;
  std::map<std::string, int> cluster_removals_;  // asked for and not refused
  std::set<std::string> deleting_clusters_;      // those that were when last there
  Ask asked_ = Ask::none;
  std::string asked_for_;
  std::uint64_t asked_number_ = 0;
  Known before_ = Known::no;  // what the question would fall back to
  std::uint64_t next_ = 1;
  std::uint64_t found_done_ = 0;
  std::uint64_t found_undone_ = 0;
};

}  // namespace krake::sim
