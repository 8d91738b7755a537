// The store: bytes under keys, one total order of revisions. docs/design and store/README.md state the promises in the
// words the conformance suite (store/conformance) tests. Implementations: memory (the reference), sqlite; etcd fits.
// Thread: the loop; every call may suspend. Knows no JSON and no kinds.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/async.h"
#include "base/error.h"

namespace krake::store {

// When something was committed. 0 is before the first commit. Who sends a commit after another one was acknowledged
// gets a greater one. Commits of the same moment may share one: not when one of them writes a key that another one
// names (in a guard, a put or a remove), so that it makes no difference which came first. One key changes at most once
// at a revision.
using Revision = std::int64_t;
// Identifies a lease the store keeps; 0: none.
using LeaseId = std::int64_t;

// Shared, immutable: the cache keeps the very bytes the store delivered.
using Bytes = std::shared_ptr<const std::string>;

struct Entry {
  std::string key;
  Bytes value;
  Revision created = 0;   // of the commit that made the key exist
  Revision modified = 0;  // of the commit that wrote the value
  LeaseId lease = 0;
  std::string sealed_with{};  // see SealedStore; else empty
};

struct ListOptions {
  std::string after;      // keys strictly greater than this
  std::size_t limit = 0;  // 0: all
  // Is given the entries in their order, in one piece or several, while the store reads on; Listing::entries stays
  // empty then. `anew`: what was given before does not count. Not called any more once the list has ended, in whatever
  // way.
  std::function<void(std::vector<Entry> page, bool anew)> each_page = {};
};

struct Listing {
  std::vector<Entry> entries;  // ascending key order (bytes)
  Revision revision = 0;       // the one revision all of them are of
  bool more = false;           // cut by `limit`
};

// For stores that read a listing as a whole.
inline Listing in_one_page(Listing listing, const ListOptions& options) {
  if (options.each_page) options.each_page(std::exchange(listing.entries, {}), true);
  return listing;
}

struct Guard {
  enum class Kind { absent, modified_at, created_at };
  Kind kind = Kind::absent;
  std::string key;
  Revision revision = 0;

  static Guard absent(std::string key) { return {Kind::absent, std::move(key), 0}; }
  static Guard modified_at(std::string key, Revision r) { return {Kind::modified_at, std::move(key), r}; }
  static Guard created_at(std::string key, Revision r) { return {Kind::created_at, std::move(key), r}; }
};

struct Put {
  std::string key;
  Bytes value;
  LeaseId lease = 0;
};
struct Remove {
  std::string key;
};

// All guards hold and all operations are applied at one revision, or nothing happens, whatever becomes of other commits
// of that revision. One key at most once.
struct Txn {
  std::vector<Guard> guards;
  std::vector<Put> puts;
  std::vector<Remove> removes;  // removing an absent key is allowed and is no event
};
inline constexpr std::size_t kMaxTxnOperations = 100;  // guards + puts + removes
// Keys and values; over: Code::too_large. Below etcd's default of 1.5 MiB for a request with everything around it. Of
// few operations, which have little around them: what another program could store can be written again.
inline constexpr std::size_t kMaxTxnBytes = std::size_t{1408} << 10;
inline constexpr std::size_t kFewOperations = 8;
inline constexpr std::size_t kMaxBytesOfFew = std::size_t{1528} << 10;

// A failed guard: the current entry of its key (nullopt: absent), in the same round trip.
struct Conflict {
  std::size_t guard = 0;  // index in Txn::guards of the first that failed
  std::optional<Entry> current;
};
struct Committed {
  Revision revision = 0;
};
using CommitResult = std::variant<Committed, Conflict>;

// One change of one key. A remove carries no value: the cache has the previous one.
struct Change {
  std::string key;
  Bytes value;           // null: removed
  Revision created = 0;  // for puts
  LeaseId lease = 0;
  std::string sealed_with{};  // see SealedStore; else empty
};
// Everything that changed at one revision below the watched prefix: of one commit after the other what it did, in
// operation order (puts, then removes). Nothing when the commit was about what the store keeps for itself: the revision
// has passed.
struct CommitEvent {
  Revision revision = 0;
  std::vector<Change> changes;
};

// Delivers whole revisions in order without gaps, from `after`+1 on. Buffers are bounded: a reader that lags
// too far gets Code::compacted. Destroying it ends the watch. One next() at a time; the watch may outlive its store and
// then answers unavailable.
class Watch {
 public:
  virtual ~Watch() = default;
  // Waits for at least one event; appends all that are ready (bounded) to the result. Errors: compacted (list again),
  // unavailable (the store is away; a new watch may resume at the last revision).
  virtual Awaitable<Result<std::vector<CommitEvent>>> next() = 0;
};

class Store {
 public:
  virtual ~Store() = default;

  virtual Awaitable<Result<std::optional<Entry>>> get(std::string key) = 0;
  virtual Awaitable<Result<Listing>> list(std::string prefix, ListOptions options = {}) = 0;
  // Acknowledged means durable. Guards are judged first, in order. Errors: too_large, invalid_argument (a key twice, an
  // empty key, unknown lease), unavailable (not applied), timeout (outcome unknown, also when the caller is cancelled).
  // A conflict is not an error. A commit that changes nothing has no revision of its own: it reports the newest one.
  virtual Awaitable<Result<CommitResult>> commit(Txn txn) = 0;
  // What was committed after revision `after`; compacted when `after`+1 is no longer kept (0: the first commit of all).
  // `after` may lie in the future. A watch of everything (prefix "") reaches every revision current() may answer: its
  // reader knows when it is up to date. (A store without any commit may answer 0 or 1.)
  virtual Awaitable<Result<std::unique_ptr<Watch>>> watch(std::string prefix, Revision after) = 0;
  // Linearizable: not older than any commit acknowledged before the call.
  virtual Awaitable<Result<Revision>> current() = 0;
  // True: current() would not suspend now, so that nobody needs to limit its time.
  virtual bool current_is_local() const { return false; }
  // Forgets history up to and including `revision` (never the live values). Nothing to do is no error; invalid_argument
  // when it is newer than the newest.
  virtual Awaitable<Status> compact(Revision revision) = 0;

  // Leases: keys put with one vanish, as an ordinary watchable remove, when it runs out or is revoked.
  virtual Awaitable<Result<LeaseId>> grant(Duration ttl) = 0;
  // Starts the full time again; not_found when it has run out. Never commits.
  virtual Awaitable<Status> keep_alive(LeaseId lease) = 0;
  virtual Awaitable<Status> revoke(LeaseId lease) = 0;  // removing its keys; not_found when unknown

  // Whether commits can be expected to succeed: an error says why none will until somebody acts. Never a commit.
  virtual Awaitable<Status> writable() { co_return Status{}; }

  // Stable over restarts, new after a restore: qualifies every revision that leaves the server. Known once open; empty
  // as long as the store could not be asked. When another history takes its place while it is open, it is new from then
  // on, and every watch fails compacted.
  virtual const std::string& id() const = 0;
};

}  // namespace krake::store
