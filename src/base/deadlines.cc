#include "base/deadlines.h"

#include <boost/asio/post.hpp>

namespace krake {

namespace asio = boost::asio;

Deadlines::Call::Call(std::shared_ptr<Calls> calls, Mono deadline, const asio::any_io_executor& executor)
    : calls_(std::move(calls)),
      place_(calls_->by_deadline.emplace_hint(calls_->by_deadline.end(), deadline, this)) {  // mostly the last one
  calls_->arm(deadline, executor);
}

Deadlines::Call::~Call() { leave(); }

void Deadlines::Call::leave() {
  if (place_ != calls_->by_deadline.end()) calls_->by_deadline.erase(place_);
  place_ = calls_->by_deadline.end();
}

// Deadlines are mostly about the same time away, so that the timer is set for the first of many and rarely fires.
void Deadlines::Calls::arm(Mono deadline, const asio::any_io_executor& executor) {
  if (armed && *armed <= deadline) return;
  armed = deadline;
  // A simulated clock fires outside the loop; cancelling is safe inside it only, where nothing of it is put off.
  timer = clock.at(deadline, [weak = weak_from_this(), executor] {
    asio::post(executor, [weak, executor] {
      if (const auto calls = weak.lock()) calls->expire(executor);
    });
  });
}

void Deadlines::Calls::expire(const asio::any_io_executor& executor) {
  armed.reset();
  const Mono now = clock.now();
  while (!by_deadline.empty() && by_deadline.begin()->first <= now) {
    Call& call = *by_deadline.begin()->second;
    by_deadline.erase(by_deadline.begin());
    call.place_ = by_deadline.end();
    call.expire();
  }
  if (!by_deadline.empty()) arm(by_deadline.begin()->first, executor);
}

}  // namespace krake
