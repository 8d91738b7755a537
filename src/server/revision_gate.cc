#include "server/revision_gate.h"

namespace krake::server {

Awaitable<void> RevisionGate::wait(store::Revision revision, Mono deadline) {
  Waiter waiter{WaitPoint(lot_), deadline};
  struct Place {
    std::shared_ptr<Waiters> waiters;
    Waiters::iterator it;
    ~Place() { waiters->erase(it); }
  } const place{waiters_, waiters_->emplace(revision, &waiter)};
  arm(deadline);
  co_await waiter.point.wait();
}

void RevisionGate::reached(store::Revision revision) {
  for (auto it = waiters_->begin(); it != waiters_->end() && it->first <= revision; ++it) it->second->point.wake();
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
  for (const auto& [revision, waiter] : *waiters_) {
    if (waiter->deadline <= now) {
      waiter->point.wake();
    } else if (!next || waiter->deadline < *next) {
      next = waiter->deadline;
    }
  }
  if (next) arm(*next);
}

}  // namespace krake::server
