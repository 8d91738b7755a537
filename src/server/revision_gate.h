// Where those wait who need the cache to have reached a revision. Each is woken once, by its own revision or by its
// deadline; one timer serves all deadlines. Thread: the loop.
#pragma once

#include <map>

#include "base/async.h"
#include "store/store.h"

namespace krake::server {

class RevisionGate {
 public:
  RevisionGate(const boost::asio::any_io_executor& executor, Clock& clock)
      : lot_(WaitPoint::lot_of(executor)), clock_(clock) {}
  RevisionGate(const RevisionGate&) = delete;
  RevisionGate& operator=(const RevisionGate&) = delete;

  // Returns once reached() was told of `revision` or a newer one, or at `deadline` at the latest, or when shaken: look
  // again which. A frame that waits may be destroyed after the gate.
  Awaitable<void> wait(store::Revision revision, Mono deadline);
  void reached(store::Revision revision);
  // Revisions mean something else now: everybody looks again.
  void shake() { reached(std::numeric_limits<store::Revision>::max()); }
  bool empty() const { return waiters_->empty(); }

 private:
  struct Waiter {
    WaitPoint point;
    Mono deadline;
  };
  using Waiters = std::multimap<store::Revision, Waiter*>;
  void arm(Mono deadline);
  void expire();

  WaitPoint::Lot& lot_;
  Clock& clock_;
  std::shared_ptr<Waiters> waiters_ = std::make_shared<Waiters>();  // woken ones stay until they have run
  std::optional<Mono> armed_;
  TimerHandle timer_;
};

}  // namespace krake::server
