// The reference implementation: everything in memory, nothing suspends but a watch without events.
//
// The data is a MemoryDisk apart from the Store that serves it, so that a simulated process can crash (its Store dies)
// and a new Store can be opened on the same disk. Several Stores may serve one disk at once, as several API servers
// share one etcd; all of them then run in one thread on clocks that agree. Leases get their full time again when the
// first Store opens a disk nobody served. Thread: the loop. A MemoryStore dies before its executor's context.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "base/clock.h"
#include "base/keyed_map.h"
#include "store/event_ring.h"
#include "store/leases.h"
#include "store/store.h"

namespace krake::store {

struct MemoryOptions {
  std::size_t history_commits = 100'000;  // the watch window
};

class MemoryDisk {
 public:
  MemoryDisk(std::string id, MemoryOptions options);

  const std::string& id() const { return id_; }
  Revision revision() const { return revision_; }
  const KeyedMap<Entry>& entries() const { return entries_; }
  const EventRing& history() const { return history_; }

  std::optional<Entry> get(std::string_view key) const;
  Listing list(std::string_view prefix, const ListOptions& options) const;
  Result<CommitResult> commit(Txn txn);
  Status compact(Revision revision);

  LeaseId grant(Duration ttl, Mono now);
  bool keep_alive(LeaseId lease, Mono now) { return times_.keep_alive(lease, now); }
  // Removes its keys in one commit. False when unknown.
  bool revoke(LeaseId lease);
  void expire(Mono now);
  std::optional<Mono> next_expiry() const { return times_.earliest(); }

  // `on_change` runs after every commit, compaction and grant, in place. Returns a number for detach().
  std::uint64_t attach(Mono now, std::function<void()> on_change);
  void detach(std::uint64_t listener) { listeners_.erase(listener); }

 private:
  Revision apply(const std::vector<Put>& puts, const std::vector<Remove>& removes);
  void unlease(const Entry& entry);
  void changed() const;

  std::string id_;
  MemoryOptions options_;
  Revision revision_ = 0;
  LeaseId next_lease_ = 1;
  KeyedMap<Entry> entries_;
  std::map<LeaseId, std::set<std::string>> leased_keys_;
  LeaseTimes times_;
  EventRing history_{0};
  std::map<std::uint64_t, std::function<void()>> listeners_;
  std::uint64_t next_listener_ = 1;
};

std::unique_ptr<Store> make_memory_store(boost::asio::any_io_executor executor, Clock& clock,
                                         std::shared_ptr<MemoryDisk> disk);
// On a disk of its own.
std::unique_ptr<Store> make_memory_store(boost::asio::any_io_executor executor, Clock& clock, std::string id,
                                         MemoryOptions options = {});

}  // namespace krake::store
