#include "server/revision_gate.h"

namespace krake::server {

Awaitable<void> RevisionGate::wait(store::Revision revision, Mono deadline) {
  Waiter waiter{boost::asio::steady_timer(executor_, boost::asio::steady_timer::time_point::max()), deadline};
  struct Place {
    Waiters& waiters;
    Waiters::iterator it;
    ~Place() { waiters.erase(it); }
  } const place{waiters_, waiters_.emplace(revision, &waiter)};
  arm(deadline);
  co_await wait_for_cancel(waiter.timer);
}

void RevisionGate::reached(store::Revision revision) {
  for (auto it = waiters_.begin(); it != waiters_.end() && it->first <= revision; ++it) it->second->timer.cancel();
}

// Deadlines are all about the same time away, so that the timer is set for the first of many and rarely fires.
void RevisionGate::arm(Mono deadline) {
  if (armed_ && *armed_ <= deadline) return;
  armed_ = deadline;
  timer_ = clock_.at(deadline, [this] { expire(); });
}

void RevisionGate::expire() {
  armed_.reset();
  const Mono now = clock_.now();
  std::optional<Mono> next;
  for (const auto& [revision, waiter] : waiters_) {
    if (waiter->deadline <= now) {
      waiter->timer.cancel();
    } else if (!next || waiter->deadline < *next) {
      next = waiter->deadline;
    }
  }
  if (next) arm(*next);
}

}  // namespace krake::server
