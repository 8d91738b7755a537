#include "store/sqlite/engine.h"

#include <fmt/format.h>

#include <algorithm>

#include "store/leases.h"
#include "store/txn.h"

namespace krake::store {

namespace {

constexpr int kLayoutVersion = 3;
constexpr int kApplicationId = 0x6b72616b;  // "krak"
constexpr int kLeaseKeysPerCommit = 10'000;
constexpr int kTrimRows = 2'000;
// 16 MiB: a page written again and again, as of an object whose status changes, is moved into the file once for many.
constexpr int kLogPagesBeforeCheckpoint = 4'000;
constexpr std::size_t kChunkRows = 2'000;
constexpr std::size_t kChunkBytes = std::size_t{4} << 20;

constexpr const char* kTables = R"(
  CREATE TABLE meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;
  CREATE TABLE live(key BLOB PRIMARY KEY, id INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE place(id INTEGER PRIMARY KEY, position INTEGER NOT NULL, lease INTEGER NOT NULL);
  CREATE INDEX place_lease ON place(lease) WHERE lease <> 0;
  CREATE TABLE history(position INTEGER PRIMARY KEY, created INTEGER NOT NULL, lease INTEGER NOT NULL,
                       key BLOB NOT NULL, value BLOB);
  CREATE TABLE lease(id INTEGER PRIMARY KEY, ttl_ns INTEGER NOT NULL);
  INSERT INTO meta VALUES ('revision', 0), ('compacted', 0), ('trimmed', 0), ('next_lease', 1), ('history_rows', 0);
)";

// Layout 2 had created, position and lease in `live`. Which of the keys of one commit gets which id does not matter.
constexpr const char* kFromLayout2 = R"(
  CREATE TABLE place(id INTEGER PRIMARY KEY, position INTEGER NOT NULL, lease INTEGER NOT NULL);
  CREATE TABLE numbered(key BLOB PRIMARY KEY, id INTEGER NOT NULL) WITHOUT ROWID;
  INSERT INTO numbered
    SELECT key, created * 1048576 + row_number() OVER (PARTITION BY created ORDER BY key) - 1 FROM live;
  INSERT INTO place SELECT id, position, lease FROM numbered JOIN live USING (key) ORDER BY id;
  DROP TABLE live;
  ALTER TABLE numbered RENAME TO live;
  CREATE INDEX place_lease ON place(lease) WHERE lease <> 0;
  PRAGMA user_version = 3;
)";

Bytes copy_bytes(std::string_view bytes) { return std::make_shared<const std::string>(bytes); }

}  // namespace

// --- opening ---------------------------------------------------------------------------------------------------------

Result<std::unique_ptr<Engine>> Engine::open(EngineOptions options) {
  auto db = Database::open(options.path, options.vfs);
  if (!db) {
    return fail(Code::unavailable,
                fmt::format("store file {}: cannot be opened: {}: check that its folder exists and may "
                            "be written",
                            options.path, db.error().text));
  }
  std::unique_ptr<Engine> engine(new Engine(std::move(options), std::move(*db)));
  RETURN_IF_ERROR(engine->set_up());
  return engine;
}

Status Engine::set_up() {
  const auto failed = [this](const SqliteError& error) { return fail(opening_failed(error)); };
  if (db_.read_only()) {
    return fail(Code::unavailable, fmt::format("store file {}: may not be written: give it and its folder to the user "
                                               "who runs this program",
                                               options_.path));
  }
  // Before the first access: then the lock is taken with it and held until the end, without shared memory.
  if (auto s = db_.pragma("locking_mode = EXCLUSIVE"); !s) return failed(s.error());
  const auto application = db_.pragma("application_id");
  if (!application) return failed(application.error());
  const auto version = db_.pragma("user_version");
  if (!version) return failed(version.error());
  const auto tables = db_.pragma("schema_version");
  if (!tables) return failed(tables.error());
  const bool fresh = *tables == "0";
  if (!fresh && *application != std::to_string(kApplicationId)) {
    return fail(Code::invalid_argument,
                fmt::format("store file {}: is a database of another program: give another path", options_.path));
  }
  const bool older = *version == "2";
  if (!fresh && !older && *version != std::to_string(kLayoutVersion)) {
    return fail(Code::invalid_argument,
                fmt::format("store file {}: has layout version {}, this program knows {}: use the "
                            "program that wrote it or a newer one",
                            options_.path, *version, kLayoutVersion));
  }
  const auto mode = db_.pragma("journal_mode = WAL");
  if (!mode) return failed(mode.error());
  if (*mode != "wal") {
    return fail(Code::unavailable,
                fmt::format("store file {}: its file system supports no write-ahead log (journal mode "
                            "{}): use a local disk",
                            options_.path, *mode));
  }
  // What a crash left in the log may never have been synced: it goes into the file before anything builds on it.
  if (auto s = db_.pragma("wal_checkpoint(TRUNCATE)"); !s) return failed(s.error());
  for (const char* setting : {"synchronous = FULL", "journal_size_limit = 67108864", "cache_size = -32768",
                              // Taking over sorts: there may be no folder for temporary files.
                              "temp_store = MEMORY"}) {
    if (auto s = db_.pragma(setting); !s) return failed(s.error());
  }
  if (auto s = db_.exec("BEGIN IMMEDIATE"); !s) return failed(s.error());
  if (fresh) {
    if (auto s = create_tables(); !s) return failed(s.error());
  } else if (older) {
    if (auto s = db_.exec(kFromLayout2); !s) return failed(s.error());
  }
  if (auto s = load(); !s) return failed(s.error());
  if (older && options_.keep_layout) {
    // Read within the transaction, which is never committed.
    broken_ = {Code::invalid_argument,
               fmt::format("store file {}: is of an older layout and was opened to be read", options_.path)};
  } else if (auto s = db_.exec("COMMIT"); !s) {
    return failed(s.error());
  }
  if (auto s = prepare_all(); !s) return failed(s.error());
  return {};
}

SqliteStatus Engine::create_tables() {
  if (auto s = db_.exec(kTables); !s) return s;
  if (auto s = db_.pragma(fmt::format("application_id = {}", kApplicationId)); !s) return std::unexpected(s.error());
  if (auto s = db_.pragma(fmt::format("user_version = {}", kLayoutVersion)); !s) return std::unexpected(s.error());
  return {};
}

SqliteStatus Engine::load() {
  auto meta = db_.prepare("SELECT name, value FROM meta");
  if (!meta) return std::unexpected(meta.error());
  const std::map<std::string_view, std::int64_t*> numbers{{"revision", &state_.revision},
                                                          {"compacted", &state_.compacted},
                                                          {"trimmed", &state_.trimmed},
                                                          {"next_lease", &state_.next_lease},
                                                          {"history_rows", &state_.history_rows}};
  while (true) {
    const auto row = meta->step();
    if (!row) return std::unexpected(row.error());
    if (!*row) break;
    const auto name = meta->bytes(0);
    if (const auto it = numbers.find(name); it != numbers.end()) *it->second = meta->integer(1);
    if (name == "id") id_ = meta->bytes(1);
  }
  meta->reset();
  if (id_.empty() || options_.renew_id) {
    id_ = options_.new_id;
    auto put = db_.prepare("INSERT OR REPLACE INTO meta VALUES ('id', ?1)");
    if (!put) return std::unexpected(put.error());
    put->bind_text(1, id_);
    if (auto row = put->step(); !row) return std::unexpected(row.error());
  }
  auto leases = db_.prepare("SELECT id, ttl_ns FROM lease");
  if (!leases) return std::unexpected(leases.error());
  while (true) {
    const auto row = leases->step();
    if (!row) return std::unexpected(row.error());
    if (!*row) return {};
    leases_[leases->integer(0)] = Duration(leases->integer(1));
  }
}

SqliteStatus Engine::prepare_all() {
  const std::pair<Statement*, const char*> statements[] = {
      {&begin_, "BEGIN IMMEDIATE"},
      {&commit_, "COMMIT"},
      {&rollback_, "ROLLBACK"},
      {&get_,
       "SELECT id, position, place.lease, value FROM live JOIN place USING (id) JOIN history USING (position) WHERE "
       "live.key = ?1"},
      {&get_meta_, "SELECT id, position, lease FROM live JOIN place USING (id) WHERE key = ?1"},
      {&add_key_, "INSERT INTO live(key, id) VALUES (?1, ?2)"},
      {&add_place_, "INSERT INTO place(id, position, lease) VALUES (?1, ?2, ?3)"},
      {&move_place_, "UPDATE place SET position = ?2, lease = ?3 WHERE id = ?1"},
      {&drop_key_, "DELETE FROM live WHERE key = ?1"},
      {&drop_place_, "DELETE FROM place WHERE id = ?1"},
      {&has_lease_, "SELECT 1 FROM lease WHERE id = ?1"},
      {&add_lease_, "INSERT INTO lease VALUES (?1, ?2)"},
      {&drop_lease_, "DELETE FROM lease WHERE id = ?1"},
      {&lease_keys_,
       "SELECT key FROM place JOIN history USING (position) WHERE place.lease = ?1 AND place.lease <> 0 ORDER BY id "
       "LIMIT ?2"},
      {&add_history_, "INSERT INTO history(position, created, lease, key, value) VALUES (?1, ?2, ?3, ?4, ?5)"},
      {&read_history_,
       "SELECT position, created, lease, key, value FROM history WHERE position >= ?1 ORDER BY position"},
      {&nth_history_, "SELECT position FROM history WHERE position >= ?2 ORDER BY position LIMIT 1 OFFSET ?1"},
      {&judge_history_,
       "SELECT count(*), max(position) FROM (SELECT position FROM history WHERE position >= ?1 AND position < ?2 ORDER "
       "BY position LIMIT ?3)"},
      {&trim_history_,
       "DELETE FROM history WHERE position >= ?1 AND position < ?2 AND NOT EXISTS (SELECT 1 FROM live JOIN place USING "
       "(id) WHERE live.key = history.key AND place.position = history.position)"},
      {&drop_history_, "DELETE FROM history WHERE position = ?1"},
      {&list_,
       "SELECT live.key, id, position, place.lease, value FROM live JOIN place USING (id) JOIN history USING "
       "(position) "
       "WHERE live.key >= ?1 ORDER BY live.key LIMIT ?3"},
      {&save_, "UPDATE meta SET value = ?2 WHERE name = ?1"},
      {&list_below_,
       "SELECT live.key, id, position, place.lease, value FROM live JOIN place USING (id) JOIN history USING "
       "(position) "
       "WHERE live.key >= ?1 AND live.key < ?2 ORDER BY live.key LIMIT ?3"},
  };
  for (const auto& [statement, sql] : statements) {
    auto prepared = db_.prepare(sql);
    if (!prepared) return std::unexpected(prepared.error());
    *statement = std::move(*prepared);
  }
  return {};
}

// --- errors ----------------------------------------------------------------------------------------------------------

Error Engine::describe(const SqliteError& error, std::string_view what) const {
  const auto text = fmt::format("store file {}: {}: {} (SQLite code {})", options_.path, what, error.text, error.code);
  switch (error.damage) {
    case Damage::busy:
      return {Code::unavailable,
              fmt::format("store file {}: is in use by another process; only one may open it: stop the "
                          "other one or give another path",
                          options_.path)};
    case Damage::full:
      return {Code::unavailable, text + ": free some space; reads go on and writes resume by themselves"};
    case Damage::io:
      return {Code::unavailable, text + ": check the disk, then restart"};
    case Damage::corrupt:
      return {Code::internal, text + ": restore the last back-up"};
    case Damage::none:
      break;
  }
  return {Code::unavailable, text};
}

Error Engine::opening_failed(const SqliteError& error) const {
  if (error.damage != Damage::full) return describe(error, "opening failed");
  return {Code::unavailable, fmt::format("store file {}: opening failed: {}: free some space, then start again",
                                         options_.path, error.text)};
}

// Rolls back what SQLite has not rolled back by itself; decides whether the file may still be written. Returns what the
// writers of the group are told.
Error Engine::lose_group(const SqliteError& error, bool committing) {
  if (!db_.autocommit()) {
    const Use rollback(rollback_);
    (void)rollback_.step();
  }
  full_ = error.damage == Damage::full;
  const bool stuck = !db_.autocommit();
  if (!stuck && error.damage != Damage::io && error.damage != Damage::corrupt) return describe(error, "writing failed");
  broken_ = describe(error, "an earlier write failed, so nothing more is written");
  broken_->code = Code::unavailable;
  auto told =
      describe(error, committing ? "syncing failed, whether the commit is on disk is unknown" : "writing failed");
  told.code = committing ? Code::timeout : Code::unavailable;
  return told;
}

// --- writing ---------------------------------------------------------------------------------------------------------

std::vector<WriteResult> Engine::run(const std::vector<Write>& group) {
  std::vector<WriteResult> results;
  if (broken_) return std::vector<WriteResult>(group.size(), fail(*broken_));
  const State before = state_;
  const auto lose = [&](const SqliteError& error, bool committing) {
    state_ = before;
    return std::vector<WriteResult>(group.size(), fail(lose_group(error, committing)));
  };
  {
    const Use begin(begin_);
    if (auto s = begin_.step(); !s) return lose(s.error(), false);
  }
  std::uint64_t commits = 0;
  bool wrote = false;
  for (const auto& write : group) {
    auto done = apply(write);
    if (!done && !done.error().own) return lose(done.error().sqlite, false);
    if (!done) {
      results.push_back(fail(*done.error().own));
      continue;
    }
    commits += done->events.size();
    wrote |= !done->events.empty() || write.kind != Write::Kind::commit;
    results.push_back(std::move(*done));
  }
  if (auto s = save_state(before); !s) return lose(s.error(), false);
  {
    const Use commit(commit_);
    if (auto s = commit_.step(); !s) return lose(s.error(), true);
  }
  if (wrote) full_ = false;
  commits_ += commits;
  if (wrote) ++groups_;
  return results;
}

Status Engine::writable() {
  if (broken_) return fail(*broken_);
  if (!full_) return {};
  // Something must change: what is written as it was, SQLite does not write.
  constexpr const char* kProbe =
      "INSERT INTO meta(name, value) VALUES('probe', 0) ON CONFLICT(name) DO UPDATE SET value = 1 - value";
  for (const char* sql : {"BEGIN IMMEDIATE", kProbe, "COMMIT"}) {
    if (auto s = db_.exec(sql); !s) return fail(lose_group(s.error(), false));
  }
  full_ = false;
  return {};
}

Engine::Step<Written> Engine::apply(const Write& write) {
  switch (write.kind) {
    case Write::Kind::commit:
      return apply_commit(write.txn);
    case Write::Kind::grant:
      return apply_grant(write.ttl);
    case Write::Kind::revoke:
      return apply_revoke(write.lease);
    case Write::Kind::compact:
      return apply_compact(write.revision);
  }
  return Written{};
}

Engine::Step<Written> Engine::apply_commit(const Txn& txn) {
  Places guarded;  // by guard
  for (std::size_t i = 0; i < txn.guards.size(); ++i) {
    const auto found = place(txn.guards[i].key);
    if (!found) return std::unexpected(Failure{{}, found.error()});
    guarded.push_back(*found);
    std::optional<Entry> entry;
    if (const auto& at = *found)
      entry = {txn.guards[i].key, nullptr, at->created(), at->position / kPlacesPerRevision, at->lease};
    if (holds(txn.guards[i], entry ? &*entry : nullptr)) continue;
    auto current = read(txn.guards[i].key);
    if (!current) return std::unexpected(Failure{{}, current.error()});
    return Written{.result = Conflict{i, std::move(*current)}};
  }
  for (const auto& put : txn.puts) {
    if (put.lease == 0) continue;
    const auto known = lease_exists(put.lease);
    if (!known) return std::unexpected(Failure{{}, known.error()});
    if (!*known) return std::unexpected(Failure{unknown_lease(put.key, put.lease), {}});
  }
  auto event = change(txn, guarded);
  if (!event) return std::unexpected(event.error());
  Written written{.result = Committed{state_.revision}};
  if (*event) written.events.push_back(std::move(*event));
  return written;
}

// One revision with the changes of `txn`; null when there are none. `guarded`: where what its guards name is. Mostly
// each write has its guard at the same place, and need not be looked up again.
Engine::Step<std::shared_ptr<const CommitEvent>> Engine::change(const Txn& txn, const Places& guarded) {
  auto event = std::make_shared<CommitEvent>();
  event->revision = state_.revision + 1;
  std::int64_t position = event->revision * kPlacesPerRevision;
  for (std::size_t i = 0; i < txn.puts.size(); ++i) {
    const auto& put = txn.puts[i];
    const bool known = i < guarded.size() && txn.guards[i].key == put.key;
    const auto old = known ? SqliteResult<std::optional<Place>>(guarded[i]) : place(put.key);
    if (!old) return std::unexpected(Failure{{}, old.error()});
    if (*old) {
      if (auto s = forget_value(**old); !s) return std::unexpected(Failure{{}, s.error()});
    }
    const Place now{*old ? (*old)->id : position, position, put.lease};
    ++position;
    if (auto s = *old ? move_to(now) : add(put.key, now); !s) return std::unexpected(Failure{{}, s.error()});
    event->changes.push_back({put.key, put.value, now.created(), put.lease});
  }
  for (const auto& remove : txn.removes) {
    const auto old = place(remove.key);
    if (!old) return std::unexpected(Failure{{}, old.error()});
    if (!*old) continue;
    if (auto s = forget_value(**old); !s) return std::unexpected(Failure{{}, s.error()});
    if (auto s = drop(remove.key, **old); !s) return std::unexpected(Failure{{}, s.error()});
    event->changes.push_back({.key = remove.key});
  }
  if (event->changes.empty()) return nullptr;
  state_.revision = event->revision;
  if (auto s = record(*event); !s) return std::unexpected(Failure{{}, s.error()});
  return event;
}

SqliteResult<std::optional<Engine::Place>> Engine::place(const std::string& key) {
  const Use use(get_meta_);
  get_meta_.bind_blob(1, key);
  const auto row = get_meta_.step();
  if (!row) return std::unexpected(row.error());
  if (!*row) return std::nullopt;
  return Place{get_meta_.integer(0), get_meta_.integer(1), get_meta_.integer(2)};
}

SqliteStatus Engine::add(const std::string& key, const Place& place) {
  const Use use(add_key_);
  add_key_.bind_blob(1, key);
  add_key_.bind(2, place.id);
  if (auto s = add_key_.step(); !s) return std::unexpected(s.error());
  return write(add_place_, place);
}

SqliteStatus Engine::move_to(const Place& place) { return write(move_place_, place); }

SqliteStatus Engine::write(Statement& statement, const Place& place) {
  const Use use(statement);
  statement.bind(1, place.id);
  statement.bind(2, place.position);
  statement.bind(3, place.lease);
  if (auto s = statement.step(); !s) return std::unexpected(s.error());
  return {};
}

SqliteStatus Engine::drop(const std::string& key, const Place& place) {
  const Use use_key(drop_key_);
  drop_key_.bind_blob(1, key);
  if (auto s = drop_key_.step(); !s) return std::unexpected(s.error());
  const Use use_place(drop_place_);
  drop_place_.bind(1, place.id);
  if (auto s = drop_place_.step(); !s) return std::unexpected(s.error());
  return {};
}

// A value that is live no more. In the window watches still read it; older, nobody does.
SqliteStatus Engine::forget_value(const Place& old) {
  if (old.position >= state_.trimmed) return {};
  const Use use(drop_history_);
  drop_history_.bind(1, old.position);
  if (auto s = drop_history_.step(); !s) return std::unexpected(s.error());
  return {};
}

SqliteStatus Engine::record(const CommitEvent& event) {
  std::int64_t position = event.revision * kPlacesPerRevision;
  for (const auto& change : event.changes) {
    const Use use(add_history_);
    add_history_.bind(1, position++);
    add_history_.bind(2, change.created);
    add_history_.bind(3, change.lease);
    add_history_.bind_blob(4, change.key);
    if (change.value) add_history_.bind_blob(5, *change.value);
    if (auto s = add_history_.step(); !s) return std::unexpected(s.error());
  }
  const auto added = static_cast<std::int64_t>(event.changes.size());
  state_.history_rows += added;
  return limit_history(added);
}

// Deletes twice what was added and a lot beside, so that the table shrinks below its limit without a long pause, and is
// then left alone for a while: to find what is to go costs as much as to delete a dozen.
SqliteStatus Engine::limit_history(std::int64_t added) {
  const auto excess = state_.history_rows - static_cast<std::int64_t>(options_.history_changes);
  if (excess <= 0) return {};
  const auto lot = std::clamp<std::int64_t>(static_cast<std::int64_t>(options_.history_changes) / 16, 1, 256);
  const auto rows = std::min(excess + lot, 2 * added + std::max<std::int64_t>(lot, 16));
  std::int64_t last = 0;
  {
    const Use use(nth_history_);
    nth_history_.bind(1, rows - 1);
    nth_history_.bind(2, state_.trimmed);
    const auto row = nth_history_.step();
    if (!row) return std::unexpected(row.error());
    if (!*row) return {};
    last = nth_history_.integer(0) / kPlacesPerRevision;
  }
  // The newest commit stays whole, however large it is.
  state_.compacted = std::max(state_.compacted, std::min(last, state_.revision - 1));
  return trim(rows + static_cast<std::int64_t>(kMaxTxnOperations));
}

// Judges the next rows of the forgotten part: those that are not live go.
SqliteStatus Engine::trim(std::int64_t rows) {
  const std::int64_t end = (state_.compacted + 1) * kPlacesPerRevision;
  std::int64_t judged = 0;
  std::int64_t next = state_.trimmed;
  {
    const Use use(judge_history_);
    judge_history_.bind(1, state_.trimmed);
    judge_history_.bind(2, end);
    judge_history_.bind(3, rows);
    if (auto row = judge_history_.step(); !row) return std::unexpected(row.error());
    judged = judge_history_.integer(0);
    if (judged > 0) next = judge_history_.integer(1) + 1;
  }
  trim_pending_ = judged == rows;
  if (judged == 0) return {};
  const Use use(trim_history_);
  trim_history_.bind(1, state_.trimmed);
  trim_history_.bind(2, next);
  if (auto s = trim_history_.step(); !s) return std::unexpected(s.error());
  state_.trimmed = next;
  state_.history_rows -= judged;
  return {};
}

Engine::Step<Written> Engine::apply_grant(Duration ttl) {
  const Use use(add_lease_);
  add_lease_.bind(1, state_.next_lease);
  add_lease_.bind(2, ttl.count());
  if (auto s = add_lease_.step(); !s) return std::unexpected(Failure{{}, s.error()});
  return Written{.lease = state_.next_lease++};
}

Engine::Step<Written> Engine::apply_revoke(LeaseId lease) {
  const auto known = lease_exists(lease);
  if (!known) return std::unexpected(Failure{{}, known.error()});
  if (!*known) return std::unexpected(Failure{lease_not_found(lease), {}});
  Written written;
  while (true) {
    std::vector<Remove> removes;
    {
      const Use use(lease_keys_);
      lease_keys_.bind(1, lease);
      lease_keys_.bind(2, kLeaseKeysPerCommit);
      while (true) {
        const auto row = lease_keys_.step();
        if (!row) return std::unexpected(Failure{{}, row.error()});
        if (!*row) break;
        removes.push_back({std::string(lease_keys_.bytes(0))});
      }
    }
    if (removes.empty()) break;
    std::ranges::sort(removes, {}, &Remove::key);
    auto event = change({.removes = std::move(removes)}, {});
    if (!event) return std::unexpected(event.error());
    written.events.push_back(std::move(*event));
  }
  const Use use(drop_lease_);
  drop_lease_.bind(1, lease);
  if (auto s = drop_lease_.step(); !s) return std::unexpected(Failure{{}, s.error()});
  return written;
}

Engine::Step<Written> Engine::apply_compact(Revision revision) {
  if (revision > state_.revision) {
    return std::unexpected(
        Failure{Error{Code::invalid_argument,
                      fmt::format("compact to revision {}: the newest one is {}", revision, state_.revision)},
                {}});
  }
  if (revision <= state_.compacted) return Written{};
  state_.compacted = revision;
  if (auto s = trim(kTrimRows); !s) return std::unexpected(Failure{{}, s.error()});
  return Written{};
}

SqliteStatus Engine::save_state(const State& before) {
  const std::tuple<const char*, std::int64_t, std::int64_t> numbers[] = {
      {"revision", before.revision, state_.revision},
      {"compacted", before.compacted, state_.compacted},
      {"trimmed", before.trimmed, state_.trimmed},
      {"next_lease", before.next_lease, state_.next_lease},
      {"history_rows", before.history_rows, state_.history_rows},
  };
  for (const auto& [name, old_value, value] : numbers) {
    if (old_value == value) continue;
    const Use use(save_);
    save_.bind_text(1, name);
    save_.bind(2, value);
    if (auto s = save_.step(); !s) return std::unexpected(s.error());
  }
  return {};
}

bool Engine::maintain() {
  if (broken_) return false;
  if (db_.log_pages() >= kLogPagesBeforeCheckpoint) {
    if (auto s = db_.checkpoint(); !s) {
      // No space: the log stays as it is and grows; the next write will say so.
      if (s.error().damage == Damage::io || s.error().damage == Damage::corrupt) lose_group(s.error(), false);
      return false;
    }
    ++checkpoints_;
    return trim_pending_;
  }
  if (!trim_pending_) return false;
  const State before = state_;
  const auto lose = [&](const SqliteError& error, bool committing) {
    state_ = before;
    lose_group(error, committing);
    return false;
  };
  if (auto s = db_.exec("BEGIN IMMEDIATE"); !s) return lose(s.error(), false);
  if (auto s = trim(kTrimRows); !s) return lose(s.error(), false);
  if (auto s = save_state(before); !s) return lose(s.error(), false);
  if (auto s = db_.exec("COMMIT"); !s) return lose(s.error(), true);
  return trim_pending_;
}

// --- reading ---------------------------------------------------------------------------------------------------------

SqliteResult<std::optional<Entry>> Engine::read(const std::string& key) {
  const Use use(get_);
  get_.bind_blob(1, key);
  const auto row = get_.step();
  if (!row) return std::unexpected(row.error());
  if (!*row) return std::nullopt;
  return Entry{key, copy_bytes(get_.bytes(3)), get_.integer(0) / kPlacesPerRevision,
               get_.integer(1) / kPlacesPerRevision, get_.integer(2)};
}

SqliteResult<bool> Engine::lease_exists(LeaseId lease) {
  const Use use(has_lease_);
  has_lease_.bind(1, lease);
  return has_lease_.step();
}

Result<std::optional<Entry>> Engine::get(const std::string& key) {
  auto entry = read(key);
  if (!entry) return fail(describe(entry.error(), "reading failed"));
  return std::move(*entry);
}

Result<Listing> Engine::list(const std::string& prefix, const ListOptions& options) {
  const auto range = key_range(prefix, options.after);
  Listing listing{.revision = state_.revision};
  Statement& statement = range.end ? list_below_ : list_;
  const Use use(statement);
  statement.bind_blob(1, range.first);
  if (range.end) statement.bind_blob(2, *range.end);
  const bool limited = options.limit > 0 && options.limit < static_cast<std::size_t>(INT64_MAX);
  statement.bind(3, limited ? static_cast<std::int64_t>(options.limit) + 1 : -1);
  while (true) {
    const auto row = statement.step();
    if (!row) return fail(describe(row.error(), "reading failed"));
    if (!*row) return listing;
    if (limited && listing.entries.size() == options.limit) {
      listing.more = true;
      return listing;
    }
    listing.entries.push_back({std::string(statement.bytes(0)), copy_bytes(statement.bytes(4)),
                               statement.integer(1) / kPlacesPerRevision, statement.integer(2) / kPlacesPerRevision,
                               statement.integer(3)});
  }
}

Result<HistoryChunk> Engine::history(const std::string& prefix, Revision after) {
  if (after < state_.compacted) return fail(compacted_error(prefix, after, state_.compacted));
  HistoryChunk chunk{.covered = after};
  CommitEvent event;
  const auto finish_event = [&] {
    if (event.revision == 0) return;
    chunk.covered = event.revision;
    if (!event.changes.empty()) chunk.events.push_back(std::move(event));
    event = {};
  };
  const Use use(read_history_);
  read_history_.bind(1, (after + 1) * kPlacesPerRevision);
  std::size_t rows = 0;
  std::size_t bytes = 0;
  while (true) {
    const auto row = read_history_.step();
    if (!row) return fail(describe(row.error(), "reading failed"));
    if (!*row) break;
    const Revision revision = read_history_.integer(0) / kPlacesPerRevision;
    if (revision != event.revision) {
      finish_event();
      if (rows >= kChunkRows || bytes >= kChunkBytes) return chunk;  // the rest of it is for the next one
      event.revision = revision;
    }
    ++rows;
    const auto key = read_history_.bytes(3);
    if (!key.starts_with(prefix)) continue;
    Change change{std::string(key), nullptr, read_history_.integer(1), read_history_.integer(2)};
    if (!read_history_.is_null(4)) change.value = copy_bytes(read_history_.bytes(4));
    bytes += key.size() + (change.value ? change.value->size() : 0);
    event.changes.push_back(std::move(change));
  }
  finish_event();
  chunk.covered = std::max(chunk.covered, state_.revision);
  return chunk;
}

SqliteCounters Engine::counters() const { return {commits_, groups_, checkpoints_}; }

}  // namespace krake::store
