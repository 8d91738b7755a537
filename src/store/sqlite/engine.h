// The store's file: tables, transactions, failure. Blocking; knows no coroutines and no time.
//   history  every change of the watch window, values included; of older ones only those still live.
//            position = revision * 2^20 + place in the commit
//   live     what is: one row per key, with its id: the position of its creation
//   place    by id, the position of the value. A value is written once. Keys lie at random places of their table; what
//            was created together lies side by side in this one: an update writes few pages, and leaves the keys alone
//   lease    which leases exist and how long they last
//   meta     id, revision, compacted, trimmed, next_lease, history_rows
// Thread: one at a time (the worker's, once it runs); counters() from any.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "store/sqlite/database.h"
#include "store/store.h"

namespace krake::store {

struct EngineOptions {
  std::string path;
  std::size_t history_changes = 100'000;  // rows of history kept at most
  std::string new_id;                     // for a file that has none yet
  bool renew_id = false;                  // take new_id anyhow: the file was restored
  bool keep_layout = false;               // a file of an older layout stays one: it is read only then
  std::string vfs;                        // SQLite's name of the file system layer; empty: the default
};

struct Write {
  enum class Kind : std::uint8_t { commit, grant, revoke, compact };
  Kind kind = Kind::commit;
  Txn txn;                // commit; has passed check_txn()
  Duration ttl{};         // grant
  LeaseId lease = 0;      // revoke
  Revision revision = 0;  // compact
};
struct Written {
  CommitResult result = Committed{};                       // commit
  LeaseId lease = 0;                                       // grant
  std::vector<std::shared_ptr<const CommitEvent>> events;  // what watches see, in order
};
using WriteResult = Result<Written>;

// Positions are revision * kPlacesPerRevision + place in the commit.
inline constexpr std::int64_t kPlacesPerRevision = std::int64_t{1} << 20;

// Commits read back from the file.
struct HistoryChunk {
  std::vector<CommitEvent> events;
  Revision covered = 0;  // nothing up to here is missing from `events`
};

struct SqliteCounters {
  std::uint64_t commits = 0;      // transactions that changed something
  std::uint64_t groups = 0;       // synced groups they went into: one fsync each
  std::uint64_t checkpoints = 0;  // of the log into the file; two fsyncs each, after the acknowledgement
};

class Engine {
 public:
  // Errors name the file: unavailable (in use, cannot be opened), invalid_argument (not ours, or of a newer version),
  // internal (damaged). What is to be taken over needs about as much free space as the file has.
  static Result<std::unique_ptr<Engine>> open(EngineOptions options);

  // All of `group` in one SQLite transaction with one sync, in order, each with its own revision. Either the whole
  // group reached the disk or none of it did; a lost guard or an unknown lease fails only its own transaction.
  std::vector<WriteResult> run(const std::vector<Write>& group);

  Result<std::optional<Entry>> get(const std::string& key);
  Result<Listing> list(const std::string& prefix, const ListOptions& options);
  Result<HistoryChunk> history(const std::string& prefix, Revision after);
  // Whether the next write can be expected to succeed. After one that found no space: tries another, which changes
  // nothing.
  Status writable();

  // One bounded step of what may be done later: deleting forgotten history, moving the log into the file. True: call
  // again.
  bool maintain();

  const std::string& id() const { return id_; }
  Revision revision() const { return state_.revision; }
  Revision compacted() const { return state_.compacted; }
  const std::map<LeaseId, Duration>& leases_at_open() const { return leases_; }
  SqliteCounters counters() const;

 private:
  // What a rolled back group must not have changed.
  struct State {
    Revision revision = 0;
    Revision compacted = 0;
    std::int64_t trimmed = 0;  // positions below were judged: only rows of live values are left there
    LeaseId next_lease = 1;
    std::int64_t history_rows = 0;  // not judged yet
  };
  struct Place {
    Revision created() const { return id / kPlacesPerRevision; }
    std::int64_t id = 0;
    std::int64_t position = 0;
    LeaseId lease = 0;
  };
  using Places = std::vector<std::optional<Place>>;
  // Failure inside a group: of one write (the group goes on) or of SQLite (the group is lost).
  struct Failure {
    std::optional<Error> own;
    SqliteError sqlite;
  };
  template <class T>
  using Step = std::expected<T, Failure>;

  Engine(EngineOptions options, Database db) : options_(std::move(options)), db_(std::move(db)) {}
  SqliteStatus prepare_all();
  Status set_up();
  SqliteStatus create_tables();
  SqliteStatus load();

  Step<Written> apply(const Write& write);
  Step<Written> apply_commit(const Txn& txn);
  Step<Written> apply_grant(Duration ttl);
  Step<Written> apply_revoke(LeaseId lease);
  Step<Written> apply_compact(Revision revision);
  Step<std::shared_ptr<const CommitEvent>> change(const Txn& txn, const Places& guarded);
  SqliteResult<std::optional<Entry>> read(const std::string& key);
  SqliteResult<std::optional<Place>> place(const std::string& key);
  SqliteStatus add(const std::string& key, const Place& place);
  SqliteStatus move_to(const Place& place);
  SqliteStatus drop(const std::string& key, const Place& place);
  SqliteStatus write(Statement& statement, const Place& place);
  SqliteStatus forget_value(const Place& old);
  SqliteResult<bool> lease_exists(LeaseId lease);
  SqliteStatus record(const CommitEvent& event);
  SqliteStatus limit_history(std::int64_t added);
  SqliteStatus trim(std::int64_t rows);
  SqliteStatus save_state(const State& before);

  Error opening_failed(const SqliteError& error) const;
  Error describe(const SqliteError& error, std::string_view what) const;
  Error lose_group(const SqliteError& error, bool committing);

  EngineOptions options_;
  Database db_;
  Statement begin_, commit_, rollback_, get_, get_meta_, add_key_, add_place_, move_place_, drop_key_, drop_place_,
      has_lease_, add_lease_, drop_lease_, lease_keys_, add_history_, read_history_, nth_history_, judge_history_,
      trim_history_, drop_history_, list_, list_below_, save_;
  std::string id_;
  State state_;
  std::map<LeaseId, Duration> leases_;
  std::optional<Error> broken_;  // writes are refused with it, until a restart
  bool full_ = false;            // the last write found no space
  bool trim_pending_ = true;
  std::atomic<std::uint64_t> commits_{0};
  std::atomic<std::uint64_t> groups_{0};
  std::atomic<std::uint64_t> checkpoints_{0};
};

}  // namespace krake::store
