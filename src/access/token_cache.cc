#include "access/token_cache.h"

namespace krake::access {

const Identity* TokenCache::find(const Digest& token, Now now) const {
  const auto found = entries_.find(token);
  if (found == entries_.end()) return nullptr;
  const Entry& entry = found->second;
  if (now.mono >= entry.until || (entry.expires && now.wall >= *entry.expires)) return nullptr;
  return &entry.identity;
}

void TokenCache::put(const Digest& token, Identity identity, Now now, std::optional<Wall> expires) {
  if (!expires) expires = identity.until;
  if (limits_.size == 0 || limits_.ttl <= Duration::zero() || (expires && now.wall >= *expires)) return;
  if (const auto known = entries_.find(token); known != entries_.end()) {
    by_age_.erase(known->second.place);
    entries_.erase(known);
  }
  while (!by_age_.empty()) {
    const auto oldest = entries_.find(by_age_.front());
    if (entries_.size() < limits_.size && oldest->second.until > now.mono) break;
    entries_.erase(oldest);
    by_age_.pop_front();
  }
  const auto place = by_age_.insert(by_age_.end(), token);
  entries_.emplace(
      token,
      Entry{.identity = std::move(identity), .until = now.mono + limits_.ttl, .expires = expires, .place = place});
}

void TokenCache::clear() {
  entries_.clear();
  by_age_.clear();
}

}  // namespace krake::access
