// Who owns whom, in memory: what the garbage collector asks before it deletes anything (control-plane-contract 7).
// The graph is a function of the objects last set, never of the order of events: a node's edges are those of its latest
// `set`, an owner may be named before it exists and after it is gone. Pure; not thread-safe.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/error.h"

namespace krake::graph {

struct Ref {
  std::string api;
  std::string kind;
  std::string ns;  // empty for kinds without namespace
  std::string name;

  auto operator<=>(const Ref&) const = default;
  bool operator==(const Ref&) const = default;
};
std::string to_string(const Ref& ref);  // kind ns/name, or kind name

// An entry of metadata.owners. With a uid the edge holds only for the object of that uid: a re-created owner of the
// same name does not inherit it. Without (references on the wire carry none) it holds for whoever has the name.
struct Owner {
  Ref ref;
  std::string uid;

  bool operator==(const Owner&) const = default;
};

struct Limits {
  std::size_t max_nodes = 2'000'000;  // known objects plus names that are only mentioned as owners
  std::size_t max_owners = 1'000;     // of one object
};

// `path`: the nodes of one cycle, each owning the next and the last owning the first; empty when there is none.
struct CycleCheck {
  std::vector<Ref> path;
  bool complete = true;  // false: gave up after max_visits without having found one
};

class OwnershipGraph {
 public:
  explicit OwnershipGraph(Limits limits = {}) : limits_(limits) {}

  // Adds the object, or replaces its uid and its edges; its dependents stay. Too many owners or nodes: too_large, and
  // the graph is unchanged.
  Status set(const Ref& ref, std::string uid, const std::vector<Owner>& owners);

  // Forgets the object and its edges to owners. Its dependents stay and become orphans. False when the object is
  // unknown, or when `uid` is given and another object has taken the name (a late event about its predecessor).
  bool remove(const Ref& ref, std::string_view uid = {});
  void clear();

  bool contains(const Ref& ref) const;
  std::optional<std::string> uid_of(const Ref& ref) const;
  std::vector<Owner> owners(const Ref& ref) const;  // as set, without duplicates
  // Those that name `ref` as owner, sorted; also for an owner that does not exist. One level only.
  std::vector<Ref> dependents(const Ref& ref) const;
  bool has_dependents(const Ref& ref) const;

  // Owners of `ref` that do not exist (or exist with another uid than the edge wants), sorted.
  std::vector<Ref> missing_owners(const Ref& ref) const;
  // Objects that have owners, none of which exists; sorted.
  std::vector<Ref> orphans() const;

  // The first cycle met by a depth-first walk from `ref` along its dependents. Sharing is no cycle: a dependent reached
  // by two ways (a diamond) is fine. `max_visits` bounds the number of edges followed.
  CycleCheck find_cycle(const Ref& ref, std::size_t max_visits = 1'000'000) const;
  // The same over the whole graph.
  CycleCheck find_cycle(std::size_t max_visits = 10'000'000) const;

  std::size_t size() const { return known_; }                     // objects that exist
  std::size_t edge_count() const { return edges_; }               // owner entries
  std::size_t mentioned() const { return ids_.size() - known_; }  // names that exist only as owners

 private:
  using Id = std::uint32_t;
  struct Edge {
    Id owner;
    std::string uid;
  };
  struct Node {
    Ref ref;
    std::string uid;
    bool known = false;
    std::vector<Edge> owners;
    std::unordered_set<Id> dependents;
  };
  struct RefHash {
    std::size_t operator()(const Ref& ref) const;
  };
  class Walk;

  std::optional<Id> find(const Ref& ref) const;
  Id intern(const Ref& ref);
  void drop_edges(Id id);
  void release(Id id);  // frees the slot when nothing refers to it
  bool holds(const Edge& edge) const;
  bool exists_for(const Edge& edge) const;
  std::vector<Id> sorted_dependents(Id id) const;

  Limits limits_;
  std::unordered_map<Ref, Id, RefHash> ids_;
  std::vector<Node> nodes_;
  std::vector<Id> free_;
  std::size_t known_ = 0;
  std::size_t edges_ = 0;
};

}  // namespace krake::graph
