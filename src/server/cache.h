// The watch cache: every object of every kind in memory, in key order, fed by one watch on the store and by nothing
// else. Bytes are encoded once per revision and shared by reads, lists and all watchers. A ring of recent events per
// kind serves watchers by position: no queue per watcher, a laggard falls off the ring and is cut. Thread: the loop.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>

#include "base/env.h"
#include "base/task_group.h"
#include "meta/kind.h"
#include "net/http.h"
#include "store/store.h"

namespace krake::server {

using store::Revision;

// One revision of one object. Immutable.
struct CachedObject {
  std::string key;
  std::string ns;  // empty for kinds without namespace
  std::string name;
  SharedBytes bytes;    // as answered to clients, resource_version included
  store::Bytes stored;  // as in the store
  Revision created = 0;
  Revision modified = 0;
  store::LeaseId lease = 0;
  // The index: what list filters, the garbage collector and time-stamping need without decoding.
  std::string uid;
  Labels labels;
  std::string state;           // status.state; empty when the kind has none
  std::int64_t newest_us = 0;  // newest server-made time in it, for stamps that never go back
};
using CachedPtr = std::shared_ptr<const CachedObject>;

struct WatchLine {
  Revision revision = 0;
  std::string ns;
  CachedPtr object;
  SharedBytes line;  // one JSON line, '\n' included
  bool removed = false;
};

class KindCache {
 public:
  KindCache(const Kind& kind, const boost::asio::any_io_executor& executor) : kind(kind), changed(executor) {}
  const Kind& kind;
  std::map<std::string, CachedPtr, std::less<>> objects;
  // Events first_event .. first_event + events.size() - 1 are kept.
  std::deque<WatchLine> events;
  std::uint64_t first_event = 0;
  std::size_t event_bytes = 0;
  // Every event newer than this revision is in the ring.
  Revision complete_after = 0;
  Notifier changed;

  CachedPtr find(std::string_view ns, std::string_view name) const;
  std::uint64_t end_event() const { return first_event + events.size(); }
};

struct CacheOptions {
  std::size_t ring_events = 8192;  // per kind
  std::size_t ring_bytes = std::size_t{32} << 20;
};

class Cache {
 public:
  Cache(Env& env, store::Store& store, const Registry& registry, CacheOptions options = {});

  // Loads everything, then follows. Returns when loaded; unavailable when the store is away (call again).
  Awaitable<Status> start();
  Awaitable<void> stop() { return tasks_.stop(); }

  // Linearizable: returns when the cache shows everything committed before the call. Concurrent calls share one
  // question to the store: a call that arrives while one is in flight joins the next.
  Awaitable<Status> fresh();
  // Waits until the cache has reached `revision`.
  Awaitable<Status> wait_for(Revision revision);

  Revision revision() const { return revision_; }
  bool ready() const { return ready_; }
  KindCache& of(const Kind& kind);
  std::map<const Kind*, std::unique_ptr<KindCache>>& kinds() { return kinds_; }
  // Called for each object that changed, after the cache shows it; null: removed.
  void on_change(std::function<void(const Kind&, const std::string& name, CachedPtr)> callback) {
    listeners_.push_back(std::move(callback));
  }

  std::uint64_t undecodable() const { return undecodable_; }
  // How a stored value looks to clients; null when it cannot be decoded. Used by writes too.
  CachedPtr admit(const Kind& kind, const std::string& key, store::Bytes value, Revision created, Revision modified,
                  store::LeaseId lease);
  // A write tells what its bytes mean, so that the event need not be decoded again.
  void expect(CachedPtr object);

 private:
  struct Question;
  Awaitable<void> follow();
  Awaitable<Status> load();
  void apply(const store::CommitEvent& event);
  void apply(const store::Change& change, Revision revision);
  void push_event(KindCache& kind, std::string_view type, CachedPtr object, Revision revision);
  const Kind* kind_of_key(std::string_view key) const;

  Env& env_;
  store::Store& store_;
  CacheOptions options_;
  std::map<const Kind*, std::unique_ptr<KindCache>> kinds_;
  std::map<std::string, KindCache*, std::less<>> by_prefix_;
  std::map<Revision, CachedPtr> expected_;
  std::vector<std::function<void(const Kind&, const std::string&, CachedPtr)>> listeners_;
  std::unique_ptr<store::Watch> watch_;
  Revision revision_ = 0;
  bool ready_ = false;
  std::uint64_t undecodable_ = 0;
  Notifier advanced_;
  // fresh(): number of the question now asked of the store, and of the last answered one.
  std::uint64_t asking_ = 0;
  std::uint64_t answered_ = 0;
  Result<Revision> answer_ = Revision{0};
  Notifier answered_changed_;
  TaskGroup tasks_;
};

}  // namespace krake::server
