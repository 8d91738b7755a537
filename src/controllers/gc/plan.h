// What the garbage collector does about one object, from what was observed (control-plane-contract 7.2 to 7.4). Pure.
// Deletion goes bottom-up, one level per plan: an owner waits until its dependents are gone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "graph/graph.h"

namespace krake::gc {

// An object as the informers have it. `revision` 0: the server does not tell.
struct Subject {
  graph::Ref ref;
  std::string uid;
  std::int64_t revision = 0;
  bool deleted = false;
  std::vector<std::string> finalizers;

  bool operator==(const Subject&) const = default;
};
// Deleted, and `cascade_deletion` is the last finalizer: it is the collector's turn.
bool is_ours(const Subject& subject);

struct Observed {
  std::optional<Subject> object;    // none: it is gone
  std::vector<Subject> dependents;  // those that exist, one level; what is being deleted already may be left out
  bool waiting = false;             // there are dependents that are being deleted, or hold it (holds.h)
  // The object owns itself through its dependents, everything it reaches reaches it too, and all of it waits for the
  // collector alone. Nobody else will ever make progress there.
  bool knotted = false;
  bool complete = true;  // all kinds were listed: that there is no dependent is known
  std::size_t max_deletes = 200;
};

struct Delete {
  graph::Ref ref;
  std::string uid;
  std::int64_t revision = 0;
  bool operator==(const Delete&) const = default;
};
struct DropFinalizer {
  graph::Ref ref;
  std::string uid;
  std::int64_t revision = 0;
  std::vector<std::string> finalizers;  // what remains
  bool operator==(const DropFinalizer&) const = default;
};
struct Again {  // more is to be done at once
  bool operator==(const Again&) const = default;
};
using Action = std::variant<Delete, DropFinalizer, Again>;
using Plan = std::vector<Action>;

Plan make_plan(const Observed& observed, Mono now);
std::string to_string(const Action& action);
std::string to_string(const Plan& plan);

}  // namespace krake::gc
