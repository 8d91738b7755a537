#include "store/event_ring.h"

#include <algorithm>

#include "base/check.h"

namespace krake::store {

namespace {
std::size_t bytes_of(const CommitEvent& event) {
  std::size_t bytes = sizeof(CommitEvent);
  for (const auto& change : event.changes) {
    bytes += sizeof(Change) + change.key.size() + (change.value ? change.value->size() : 0);
  }
  return bytes;
}
}  // namespace

CommitEvent below(std::string_view prefix, const CommitEvent& event) {
  CommitEvent result{.revision = event.revision};
  for (const auto& change : event.changes) {
    if (change.key.starts_with(prefix)) result.changes.push_back(change);
  }
  return result;
}

void EventRing::push(std::shared_ptr<const CommitEvent> event) {
  CHECK(event->revision > newest_, "revisions grow");
  newest_ = event->revision;
  bytes_ += bytes_of(*event);
  events_.push_back(std::move(event));
}

void EventRing::pop() {
  base_ = events_.front()->revision;
  bytes_ -= bytes_of(*events_.front());
  events_.pop_front();
}

void EventRing::trim(std::size_t max_commits, std::size_t max_bytes) {
  while (events_.size() > 1 && (events_.size() > max_commits || bytes_ > max_bytes)) pop();
}

void EventRing::forget(Revision revision) {
  while (!events_.empty() && events_.front()->revision <= revision) pop();
  base_ = std::max(base_, revision);
  newest_ = std::max(newest_, base_);
}

std::vector<CommitEvent> EventRing::read(std::string_view prefix, Revision& cursor, std::size_t max) const {
  CHECK(cursor >= base_, "the ring reaches back to the cursor");
  std::vector<CommitEvent> result;
  auto it = std::ranges::upper_bound(events_, cursor, {}, [](const auto& event) { return event->revision; });
  for (; it != events_.end() && result.size() < max; ++it) {
    cursor = (*it)->revision;
    if (auto event = below(prefix, **it); !event.changes.empty()) result.push_back(std::move(event));
  }
  return result;
}

}  // namespace krake::store
