// When leases run out, by the monotonic clock. What they hold is the store's business. Thread: the loop.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "store/store.h"

namespace krake::store {

class LeaseTimes {
 public:
  void start(LeaseId lease, Duration ttl, Mono now) { leases_[lease] = {ttl, now + ttl}; }
  // False when it is unknown or its time is over, even when nobody has collected it yet.
  bool keep_alive(LeaseId lease, Mono now) {
    const auto it = leases_.find(lease);
    if (it == leases_.end() || it->second.deadline <= now) return false;
    it->second.deadline = now + it->second.ttl;
    return true;
  }
  bool forget(LeaseId lease) { return leases_.erase(lease) > 0; }
  bool contains(LeaseId lease) const { return leases_.contains(lease); }
  // The full time again, for all: what a restart does.
  void restart(Mono now) {
    for (auto& [id, lease] : leases_) lease.deadline = now + lease.ttl;
  }
  std::optional<Mono> earliest() const {
    std::optional<Mono> first;
    for (const auto& [id, lease] : leases_) {
      if (!first || lease.deadline < *first) first = lease.deadline;
    }
    return first;
  }
  // Those whose time is over, ascending.
  std::vector<LeaseId> expired(Mono now) const {
    std::vector<LeaseId> expired;
    for (const auto& [id, lease] : leases_) {
      if (lease.deadline <= now) expired.push_back(id);
    }
    return expired;
  }

 private:
  struct Lease {
    Duration ttl{};
    Mono deadline{};
  };
  std::map<LeaseId, Lease> leases_;
};

// A lease lives between a millisecond and a year.
inline constexpr Duration kMinLease = std::chrono::milliseconds(1);
inline constexpr Duration kMaxLease = std::chrono::hours(24 * 365);
inline Status check_ttl(Duration ttl) {
  if (ttl >= kMinLease && ttl <= kMaxLease) return {};
  return fail(Code::invalid_argument,
              "a lease of " + std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(ttl).count()) +
                  " ms: want 1 ms to 1 year");
}
inline Error lease_not_found(LeaseId lease) {
  return {Code::not_found, "lease " + std::to_string(lease) + ": it ran out, was revoked or never granted"};
}

}  // namespace krake::store
