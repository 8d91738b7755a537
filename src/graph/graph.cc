#include "graph/graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <utility>

namespace krake::graph {

std::string to_string(const Ref& ref) {
  return ref.ns.empty() ? fmt::format("{} {}", ref.kind, ref.name)
                        : fmt::format("{} {}/{}", ref.kind, ref.ns, ref.name);
}

std::size_t OwnershipGraph::RefHash::operator()(const Ref& ref) const {
  std::size_t seed = 0;
  for (const std::string* part : {&ref.api, &ref.kind, &ref.ns, &ref.name}) {
    seed ^= std::hash<std::string>{}(*part) + 0x9e3779b97f4a7c15ULL + (seed << 6) + (seed >> 2);
  }
  return seed;
}

std::optional<OwnershipGraph::Id> OwnershipGraph::find(const Ref& ref) const {
  const auto it = ids_.find(ref);
  if (it == ids_.end()) return std::nullopt;
  return it->second;
}

OwnershipGraph::Id OwnershipGraph::intern(const Ref& ref) {
  if (const auto id = find(ref)) return *id;
  Id id = 0;
  if (free_.empty()) {
    id = static_cast<Id>(nodes_.size());
    nodes_.emplace_back();
  } else {
    id = free_.back();
    free_.pop_back();
  }
  nodes_[id].ref = ref;
  ids_.emplace(ref, id);
  return id;
}

void OwnershipGraph::release(Id id) {
  Node& node = nodes_[id];
  if (node.known || !node.dependents.empty()) return;
  ids_.erase(node.ref);
  node = Node{};
  free_.push_back(id);
}

void OwnershipGraph::drop_edges(Id id) {
  const std::vector<Edge> edges = std::exchange(nodes_[id].owners, {});
  edges_ -= edges.size();
  // Erasing tells the first of several edges to one owner from the rest, so that no slot is released twice.
  for (const Edge& edge : edges) {
    if (nodes_[edge.owner].dependents.erase(id) != 0 && edge.owner != id) release(edge.owner);
  }
}

Status OwnershipGraph::set(const Ref& ref, std::string uid, const std::vector<Owner>& owners) {
  if (owners.size() > limits_.max_owners) {
    return fail(Code::too_large, fmt::format("{} has {} owners, at most {} are followed; remove stale owners",
                                             to_string(ref), owners.size(), limits_.max_owners));
  }
  // An upper bound is enough: nobody comes near the limit with honest objects.
  std::size_t added = find(ref) ? 0 : 1;
  for (const Owner& owner : owners) added += find(owner.ref) ? 0 : 1;
  if (ids_.size() + added > limits_.max_nodes) {
    return fail(Code::too_large, fmt::format("{}: the ownership graph is full ({} objects, at most {})", to_string(ref),
                                             ids_.size(), limits_.max_nodes));
  }
  const Id id = intern(ref);
  if (!std::exchange(nodes_[id].known, true)) ++known_;
  nodes_[id].uid = std::move(uid);
  drop_edges(id);
  for (const Owner& owner : owners) {
    const Id owner_id = intern(owner.ref);
    auto& edges = nodes_[id].owners;
    const bool repeated =
        std::ranges::any_of(edges, [&](const Edge& edge) { return edge.owner == owner_id && edge.uid == owner.uid; });
    if (repeated) continue;
    edges.push_back({owner_id, owner.uid});
    ++edges_;
    nodes_[owner_id].dependents.insert(id);
  }
  return {};
}

bool OwnershipGraph::remove(const Ref& ref, std::string_view uid) {
  const auto id = find(ref);
  if (!id || !nodes_[*id].known) return false;
  if (!uid.empty() && nodes_[*id].uid != uid) return false;
  nodes_[*id].known = false;
  nodes_[*id].uid.clear();
  --known_;
  drop_edges(*id);
  release(*id);
  return true;
}

void OwnershipGraph::clear() {
  ids_.clear();
  nodes_.clear();
  free_.clear();
  known_ = 0;
  edges_ = 0;
}

bool OwnershipGraph::contains(const Ref& ref) const {
  const auto id = find(ref);
  return id && nodes_[*id].known;
}

std::optional<std::string> OwnershipGraph::uid_of(const Ref& ref) const {
  const auto id = find(ref);
  if (!id || !nodes_[*id].known) return std::nullopt;
  return nodes_[*id].uid;
}

std::vector<Owner> OwnershipGraph::owners(const Ref& ref) const {
  std::vector<Owner> result;
  if (const auto id = find(ref)) {
    for (const Edge& edge : nodes_[*id].owners) result.push_back({nodes_[edge.owner].ref, edge.uid});
  }
  return result;
}

// Whether the edge still means today's holder of the name. A name nobody holds is kept: the owner may be listed later.
bool OwnershipGraph::holds(const Edge& edge) const {
  const Node& owner = nodes_[edge.owner];
  return !owner.known || edge.uid.empty() || edge.uid == owner.uid;
}

bool OwnershipGraph::exists_for(const Edge& edge) const { return nodes_[edge.owner].known && holds(edge); }

std::vector<OwnershipGraph::Id> OwnershipGraph::sorted_dependents(Id id) const {
  std::vector<Id> result;
  for (const Id dependent : nodes_[id].dependents) {
    const bool held = std::ranges::any_of(nodes_[dependent].owners,
                                          [&](const Edge& edge) { return edge.owner == id && holds(edge); });
    if (held) result.push_back(dependent);
  }
  std::ranges::sort(result, [&](Id a, Id b) { return nodes_[a].ref < nodes_[b].ref; });
  return result;
}

std::vector<Ref> OwnershipGraph::dependents(const Ref& ref) const {
  std::vector<Ref> result;
  if (const auto id = find(ref)) {
    for (const Id dependent : sorted_dependents(*id)) result.push_back(nodes_[dependent].ref);
  }
  return result;
}

bool OwnershipGraph::has_dependents(const Ref& ref) const {
  const auto id = find(ref);
  if (!id) return false;
  return std::ranges::any_of(nodes_[*id].dependents, [&](Id dependent) {
    return std::ranges::any_of(nodes_[dependent].owners,
                               [&](const Edge& edge) { return edge.owner == *id && holds(edge); });
  });
}

std::vector<Ref> OwnershipGraph::missing_owners(const Ref& ref) const {
  std::vector<Ref> result;
  const auto id = find(ref);
  if (!id) return result;
  for (const Edge& edge : nodes_[*id].owners) {
    if (!exists_for(edge)) result.push_back(nodes_[edge.owner].ref);
  }
  std::ranges::sort(result);
  result.erase(std::ranges::unique(result).begin(), result.end());
  return result;
}

std::vector<Ref> OwnershipGraph::orphans() const {
  std::vector<Ref> result;
  for (const Node& node : nodes_) {
    if (!node.known || node.owners.empty()) continue;
    if (std::ranges::none_of(node.owners, [&](const Edge& edge) { return exists_for(edge); })) {
      result.push_back(node.ref);
    }
  }
  std::ranges::sort(result);
  return result;
}

// Depth-first with three colours and an explicit stack: white (absent from `colour_`), grey (on the stack), black
// (done). Only an edge to a grey node closes a cycle.
class OwnershipGraph::Walk {
 public:
  Walk(const OwnershipGraph& graph, std::size_t max_visits) : graph_(graph), budget_(max_visits) {}

  // True when the search is over: a cycle was found or the budget is spent.
  bool from(Id start) {
    if (colour_.contains(start)) return false;
    enter(start);
    while (!stack_.empty()) {
      Frame& top = stack_.back();
      if (top.next == top.dependents.size()) {
        colour_[top.id] = Colour::black;
        stack_.pop_back();
        continue;
      }
      if (budget_ == 0) {
        result_.complete = false;
        return true;
      }
      --budget_;
      const Id next = top.dependents[top.next++];
      const auto seen = colour_.find(next);
      if (seen == colour_.end()) {
        enter(next);
      } else if (seen->second == Colour::grey) {
        close(next);
        return true;
      }
    }
    return false;
  }

  CycleCheck take() { return std::move(result_); }

 private:
  enum class Colour : std::uint8_t { grey, black };
  struct Frame {
    Id id;
    std::vector<Id> dependents;
    std::size_t next = 0;
  };

  void enter(Id id) {
    colour_[id] = Colour::grey;
    stack_.push_back({id, graph_.sorted_dependents(id)});
  }

  void close(Id id) {
    const auto first = std::ranges::find(stack_, id, &Frame::id);
    for (auto it = first; it != stack_.end(); ++it) result_.path.push_back(graph_.nodes_[it->id].ref);
  }

  const OwnershipGraph& graph_;
  std::size_t budget_;
  std::unordered_map<Id, Colour> colour_;
  std::vector<Frame> stack_;
  CycleCheck result_;
};

CycleCheck OwnershipGraph::find_cycle(const Ref& ref, std::size_t max_visits) const {
  Walk walk(*this, max_visits);
  if (const auto id = find(ref)) walk.from(*id);
  return walk.take();
}

CycleCheck OwnershipGraph::find_cycle(std::size_t max_visits) const {
  std::vector<Id> starts;
  for (const auto& [ref, id] : ids_) starts.push_back(id);
  std::ranges::sort(starts, [&](Id a, Id b) { return nodes_[a].ref < nodes_[b].ref; });
  Walk walk(*this, max_visits);
  for (const Id start : starts) {
    if (walk.from(start)) break;
  }
  return walk.take();
}

}  // namespace krake::graph
