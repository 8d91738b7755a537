// The newest commits in memory: what watches read. Every watch is a cursor into one shared ring, so a slow reader costs
// nothing and is cut when the ring has moved past it. Thread: the loop.
#pragma once

#include <deque>
#include <memory>
#include <string_view>
#include <vector>

#include "store/store.h"

namespace krake::store {

class EventRing {
 public:
  explicit EventRing(Revision base) : base_(base), newest_(base) {}

  void push(std::shared_ptr<const CommitEvent> event);
  // Forgets the oldest commits until both bounds hold; the newest one is always kept.
  void trim(std::size_t max_commits, std::size_t max_bytes);
  void forget(Revision revision);  // everything up to and including it

  // Every change after this revision is here.
  Revision base() const { return base_; }
  std::size_t size() const { return events_.size(); }

  // The commits after `cursor` with their changes below `prefix`, at most `max` of them; moves `cursor` over all that
  // was looked at. Requires cursor >= base().
  std::vector<CommitEvent> read(std::string_view prefix, Revision& cursor, std::size_t max) const;

 private:
  void pop();

  std::deque<std::shared_ptr<const CommitEvent>> events_;
  Revision base_;
  Revision newest_;
  std::size_t bytes_ = 0;
};

inline constexpr std::size_t kMaxEventsPerRead = 256;

// The changes of `event` below `prefix`, in order.
CommitEvent below(std::string_view prefix, const CommitEvent& event);

}  // namespace krake::store
