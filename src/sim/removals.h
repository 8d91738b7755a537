// Who asked that a key of the store be taken away at once: a lease that is given back, an object that is
// force-deleted. The store shows that a key is gone and not why; the server that was asked knows, unless it crashes or
// never learns what its store did. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sim/model.h"
#include "store/store.h"

namespace krake::sim {

class Removals {
 public:
  using Revision = store::Revision;
  struct Id {
    std::string key;
    std::size_t number = 0;
  };

  // A server is asked, when `newest` was the newest commit. Until one of the others is called it may happen at any
  // time.
  Id asked(const std::string& key, Revision newest);
  void carried_out(const Id& id, Revision at);
  void refused(const Id& id);
  // Nobody knows; if at all, it has happened by `newest`.
  void unanswered(const Id& id, Revision newest);
  // The server crashed: what it has not committed by now it never will. Ends with the next seen().
  void abandoned(const Id& id);
  // All commits up to here have been seen.
  void seen(Revision newest);

  // Whether the removal of `key` at `revision` was one of these.
  Known of(const std::string& key, Revision revision) const;

 private:
  struct Ask {
    Revision after = 0;
    std::optional<Revision> until;  // absent: it is under way
    bool certain = false;           // it happened at `until`
  };
  Ask& ask(const Id& id) { return asks_.at(id.key).at(id.number); }

  std::map<std::string, std::vector<Ask>> asks_;
  std::vector<Id> abandoned_;
};

}  // namespace krake::sim
