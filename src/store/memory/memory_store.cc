#include "store/memory/memory_store.h"

#include <fmt/format.h>

#include <limits>

#include "store/txn.h"

namespace krake::store {

MemoryDisk::MemoryDisk(std::string id, MemoryOptions options) : id_(std::move(id)), options_(options) {}

std::optional<Entry> MemoryDisk::get(std::string_view key) const {
  const auto it = entries_.find(key);
  if (it == entries_.end()) return std::nullopt;
  return it->second;
}

Listing MemoryDisk::list(std::string_view prefix, const ListOptions& options) const {
  const auto range = key_range(prefix, options.after);
  Listing listing{.revision = revision_};
  for (auto it = entries_.lower_bound(range.first); it != entries_.end() && (!range.end || it->first < *range.end);
       ++it) {
    if (options.limit > 0 && listing.entries.size() == options.limit) {
      listing.more = true;
      break;
    }
    listing.entries.push_back(it->second);
  }
  return listing;
}

Result<CommitResult> MemoryDisk::commit(Txn txn) {
  RETURN_IF_ERROR(check_txn(txn));
  for (std::size_t i = 0; i < txn.guards.size(); ++i) {
    const auto it = entries_.find(txn.guards[i].key);
    const Entry* current = it == entries_.end() ? nullptr : &it->second;
    if (!holds(txn.guards[i], current)) return Conflict{i, current ? std::optional(*current) : std::nullopt};
  }
  for (const auto& put : txn.puts) {
    if (put.lease != 0 && !times_.contains(put.lease)) return fail(unknown_lease(put.key, put.lease));
  }
  return Committed{apply(txn.puts, txn.removes)};
}

void MemoryDisk::unlease(const Entry& entry) {
  if (entry.lease != 0) leased_keys_[entry.lease].erase(entry.key);
}

Revision MemoryDisk::apply(const std::vector<Put>& puts, const std::vector<Remove>& removes) {
  auto event = std::make_shared<CommitEvent>();
  event->revision = revision_ + 1;
  for (const auto& put : puts) {
    const auto [it, created] = entries_.try_emplace(put.key);
    auto& entry = it->second;
    unlease(entry);
    if (created) entry.key = put.key;
    if (created) entry.created = event->revision;
    entry.value = put.value;
    entry.modified = event->revision;
    entry.lease = put.lease;
    if (put.lease != 0) leased_keys_[put.lease].insert(put.key);
    event->changes.push_back({put.key, put.value, entry.created, put.lease});
  }
  for (const auto& remove : removes) {
    const auto it = entries_.find(remove.key);
    if (it == entries_.end()) continue;
    unlease(it->second);
    entries_.erase(it);
    event->changes.push_back({.key = remove.key});
  }
  if (event->changes.empty()) return revision_;  // nothing changed: no revision of its own
  revision_ = event->revision;
  history_.push(std::move(event));
  history_.trim(options_.history_commits, std::numeric_limits<std::size_t>::max());
  changed();
  return revision_;
}

Status MemoryDisk::compact(Revision revision) {
  if (revision > revision_) {
    return fail(Code::invalid_argument,
                fmt::format("compact to revision {}: the newest one is {}", revision, revision_));
  }
  history_.forget(revision);
  changed();
  return {};
}

LeaseId MemoryDisk::grant(Duration ttl, Mono now) {
  const auto lease = next_lease_++;
  times_.start(lease, ttl, now);
  changed();
  return lease;
}

bool MemoryDisk::revoke(LeaseId lease) {
  if (!times_.forget(lease)) return false;
  auto node = leased_keys_.extract(lease);
  if (node.empty()) return true;
  std::vector<Remove> removes;
  for (const auto& key : node.mapped()) removes.push_back({key});
  apply({}, removes);
  leased_keys_.erase(lease);
  return true;
}

void MemoryDisk::expire(Mono now) {
  for (const auto lease : times_.expired(now)) revoke(lease);
}

std::uint64_t MemoryDisk::attach(Mono now, std::function<void()> on_change) {
  if (listeners_.empty()) times_.restart(now);
  listeners_.emplace(next_listener_, std::move(on_change));
  return next_listener_++;
}

void MemoryDisk::changed() const {
  for (const auto& [number, listener] : listeners_) listener();
}

namespace {

// What the store and its watches share. Watches may outlive the store: they then answer unavailable.
struct Front : std::enable_shared_from_this<Front> {
  Front(boost::asio::any_io_executor executor, Clock& the_clock, std::shared_ptr<MemoryDisk> the_disk)
      : clock(the_clock), disk(std::move(the_disk)), changed(executor) {}

  void open() {
    listener = disk->attach(clock.now(), [this] {
      changed.notify_all();
      arm();
    });
    arm();
  }
  void close() {
    closed = true;
    disk->detach(listener);
    expiry.reset();
    armed.reset();
    changed.notify_all();
  }
  // keep_alive only moves deadlines away, so a timer may fire early; it never fires late.
  void arm() {
    const auto next = disk->next_expiry();
    if (!next || (armed && *armed <= *next)) return;
    armed = next;
    expiry = clock.at(*next, [this] {
      armed.reset();
      disk->expire(clock.now());
      arm();
    });
  }

  Clock& clock;
  std::shared_ptr<MemoryDisk> disk;
  Notifier changed;
  std::uint64_t listener = 0;
  TimerHandle expiry;
  std::optional<Mono> armed;
  bool closed = false;
};

Error closed_error() { return {Code::unavailable, "the store is closed"}; }

struct Cursor {
  std::shared_ptr<Front> front;
  std::string prefix;
  Revision after = 0;
};

// A named function over shared state: the watch may die while this waits.
Awaitable<Result<std::vector<CommitEvent>>> next_events(std::shared_ptr<Cursor> cursor) {
  auto& front = *cursor->front;
  while (true) {
    if (front.closed) co_return fail(closed_error());
    const auto& history = front.disk->history();
    if (cursor->after < history.base()) {
      co_return fail(compacted_error(cursor->prefix, cursor->after, history.base()));
    }
    auto events = history.read(cursor->prefix, cursor->after, kMaxEventsPerRead);
    if (!events.empty()) co_return events;
    co_await front.changed.wait();
  }
}

class MemoryWatch final : public Watch {
 public:
  explicit MemoryWatch(Cursor cursor) : cursor_(std::make_shared<Cursor>(std::move(cursor))) {}
  Awaitable<Result<std::vector<CommitEvent>>> next() override { return next_events(cursor_); }

 private:
  std::shared_ptr<Cursor> cursor_;
};

class MemoryStore final : public Store {
 public:
  explicit MemoryStore(std::shared_ptr<Front> front) : front_(std::move(front)) { front_->open(); }
  ~MemoryStore() override { front_->close(); }

  Awaitable<Result<std::optional<Entry>>> get(std::string key) override { co_return disk().get(key); }
  Awaitable<Result<Listing>> list(std::string prefix, ListOptions options) override {
    co_return in_one_page(disk().list(prefix, options), options);
  }
  Awaitable<Result<CommitResult>> commit(Txn txn) override { co_return disk().commit(std::move(txn)); }
  Awaitable<Result<std::unique_ptr<Watch>>> watch(std::string prefix, Revision after) override {
    if (const auto base = disk().history().base(); after < base) co_return fail(compacted_error(prefix, after, base));
    co_return std::make_unique<MemoryWatch>(Cursor{front_, std::move(prefix), after});
  }
  Awaitable<Result<Revision>> current() override { co_return disk().revision(); }
  bool current_is_local() const override { return true; }
  Awaitable<Status> compact(Revision revision) override { co_return disk().compact(revision); }

  Awaitable<Result<LeaseId>> grant(Duration ttl) override {
    CO_RETURN_IF_ERROR(check_ttl(ttl));
    co_return disk().grant(ttl, front_->clock.now());
  }
  Awaitable<Status> keep_alive(LeaseId lease) override {
    if (!disk().keep_alive(lease, front_->clock.now())) co_return fail(lease_not_found(lease));
    co_return Status{};
  }
  Awaitable<Status> revoke(LeaseId lease) override {
    if (!disk().revoke(lease)) co_return fail(lease_not_found(lease));
    co_return Status{};
  }

  const std::string& id() const override { return front_->disk->id(); }

 private:
  MemoryDisk& disk() { return *front_->disk; }
  std::shared_ptr<Front> front_;
};

}  // namespace

std::unique_ptr<Store> make_memory_store(boost::asio::any_io_executor executor, Clock& clock,
                                         std::shared_ptr<MemoryDisk> disk) {
  return std::make_unique<MemoryStore>(std::make_shared<Front>(std::move(executor), clock, std::move(disk)));
}

std::unique_ptr<Store> make_memory_store(boost::asio::any_io_executor executor, Clock& clock, std::string id,
                                         MemoryOptions options) {
  return make_memory_store(std::move(executor), clock, std::make_shared<MemoryDisk>(std::move(id), options));
}

}  // namespace krake::store
