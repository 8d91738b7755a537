#include "runtime/work_queue.h"

#include "base/check.h"

namespace krake {

void WorkQueue::make_ready(const ObjectKey& key) {
  if (!ready_.insert(key).second) return;
  auto& fifo = fifo_[key.ns];
  if (fifo.empty()) turns_.push_back(key.ns);
  fifo.push_back(key);
}

void WorkQueue::add(const ObjectKey& key, Mono now) {
  if (working_.contains(key)) {
    again_.insert(key);
    return;
  }
  if (ready_.contains(key)) return;
  if (const auto it = quiet_after_.find(key); it != quiet_after_.end()) {
    if (now < it->second) return add_at(key, it->second);
    quiet_after_.erase(it);
  }
  make_ready(key);
}

void WorkQueue::add_at(const ObjectKey& key, Mono when) {
  const auto [it, fresh] = deadlines_.emplace(key, when);
  if (!fresh) {
    if (it->second <= when) return;
    by_time_.erase({it->second, key});
    it->second = when;
  }
  by_time_.emplace(when, key);
}

void WorkQueue::forget(const ObjectKey& key) {
  if (const auto it = deadlines_.find(key); it != deadlines_.end()) {
    by_time_.erase({it->second, key});
    deadlines_.erase(it);
  }
  quiet_after_.erase(key);
}

void WorkQueue::promote(Mono now) {
  while (!by_time_.empty() && by_time_.begin()->first <= now) {
    const ObjectKey key = by_time_.begin()->second;
    by_time_.erase(by_time_.begin());
    deadlines_.erase(key);
    if (working_.contains(key)) {
      again_.insert(key);
    } else {
      make_ready(key);
    }
  }
}

std::optional<ObjectKey> WorkQueue::take(Mono now) {
  promote(now);
  if (turns_.empty()) return std::nullopt;
  const std::string ns = turns_.front();
  turns_.pop_front();
  auto& fifo = fifo_[ns];
  ObjectKey key = fifo.front();
  fifo.pop_front();
  if (fifo.empty()) {
    fifo_.erase(ns);
  } else {
    turns_.push_back(ns);
  }
  ready_.erase(key);
  working_.insert(key);
  return key;
}

void WorkQueue::done(const ObjectKey& key, Mono now) {
  CHECK(working_.erase(key) == 1, "done() is for a key that was taken");
  if (debounce_ > Duration::zero()) {
    if (quiet_after_.size() >= sweep_at_) {
      std::erase_if(quiet_after_, [&](const auto& entry) { return entry.second <= now; });
      sweep_at_ = std::max<std::size_t>(64, 2 * quiet_after_.size());
    }
    quiet_after_[key] = now + debounce_;
  }
  if (again_.erase(key) > 0) add(key, now);
}

std::optional<Mono> WorkQueue::next_deadline() const {
  if (by_time_.empty()) return std::nullopt;
  return by_time_.begin()->first;
}

}  // namespace krake
