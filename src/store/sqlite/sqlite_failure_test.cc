// What the embedded store does when the disk fails, the power goes or the process is killed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <mutex>

#include "store/bounded_store.h"
#include "store/sqlite/sqlite_test_backend.h"

namespace krake::store {

namespace {

using conformance::bytes;
using conformance::Rig;
using testing::HasSubstr;

// --- a file system layer that fails on demand ------------------------------------------------------------------------

// Forwards to the default layer. One at a time; the worker's thread calls it, the test sets it.
struct FaultyDisk {
  std::atomic<int> fail_writes{SQLITE_OK};  // the code writes answer
  std::atomic<bool> over_quota{false};      // writes
  std::atomic<bool> no_temporary{false};    // files can be made: no folder may be written
  std::atomic<bool> read_only{false};       // for who opens the file
  std::atomic<int> fail_syncs{SQLITE_OK};
  std::atomic<int> fail_file_syncs{SQLITE_OK};  // of the database file, not of its log
  std::atomic<bool> stalled{false};             // syncs wait until this is over
  std::atomic<int> stalls{0};                   // how many did
  std::atomic<bool> keep_synced{false};         // remember each file as it was when last synced
  std::mutex mutex;
  std::map<std::string, std::string> synced;  // path -> content

  std::map<std::string, std::string> after_power_loss() {
    const std::lock_guard lock(mutex);
    return synced;
  }
};
FaultyDisk disk;

struct File {
  sqlite3_file base;
  const char* path;
  bool is_database;
  sqlite3_file* real;
};
sqlite3_file* real_of(sqlite3_file* file) { return reinterpret_cast<File*>(file)->real; }

int close_file(sqlite3_file* f) {
  auto* real = real_of(f);
  const int code = real->pMethods ? real->pMethods->xClose(real) : SQLITE_OK;
  sqlite3_free(real);
  return code;
}
int read_file(sqlite3_file* f, void* data, int size, sqlite3_int64 at) {
  return real_of(f)->pMethods->xRead(real_of(f), data, size, at);
}
int write_file(sqlite3_file* f, const void* data, int size, sqlite3_int64 at) {
  if (const int code = disk.fail_writes) return code;
  if (disk.over_quota) {
    errno = EDQUOT;
    return SQLITE_IOERR_WRITE;
  }
  return real_of(f)->pMethods->xWrite(real_of(f), data, size, at);
}
int truncate_file(sqlite3_file* f, sqlite3_int64 size) { return real_of(f)->pMethods->xTruncate(real_of(f), size); }
int sync_file(sqlite3_file* f, int flags) {
  if (disk.stalled) {
    ++disk.stalls;
    disk.stalls.notify_all();
    disk.stalled.wait(true);
  }
  if (const int code = disk.fail_syncs) return code;
  if (const int code = disk.fail_file_syncs; code && reinterpret_cast<File*>(f)->is_database) return code;
  auto* real = real_of(f);
  const int code = real->pMethods->xSync(real, flags);
  if (code != SQLITE_OK || !disk.keep_synced || !reinterpret_cast<File*>(f)->path) return code;
  sqlite3_int64 size = 0;
  real->pMethods->xFileSize(real, &size);
  std::string content(static_cast<std::size_t>(size), '\0');
  if (size > 0) real->pMethods->xRead(real, content.data(), static_cast<int>(size), 0);
  const std::lock_guard lock(disk.mutex);
  disk.synced[reinterpret_cast<File*>(f)->path] = std::move(content);
  return code;
}
int size_file(sqlite3_file* f, sqlite3_int64* size) { return real_of(f)->pMethods->xFileSize(real_of(f), size); }
int lock_file(sqlite3_file* f, int level) { return real_of(f)->pMethods->xLock(real_of(f), level); }
int unlock_file(sqlite3_file* f, int level) { return real_of(f)->pMethods->xUnlock(real_of(f), level); }
int check_lock(sqlite3_file* f, int* out) { return real_of(f)->pMethods->xCheckReservedLock(real_of(f), out); }
int control(sqlite3_file* f, int op, void* arg) { return real_of(f)->pMethods->xFileControl(real_of(f), op, arg); }
int sector_size(sqlite3_file* f) { return real_of(f)->pMethods->xSectorSize(real_of(f)); }
// No promises about the disk.
int traits(sqlite3_file*) { return 0; }

const sqlite3_io_methods kMethods{1,         close_file,  read_file,  write_file, truncate_file, sync_file, size_file,
                                  lock_file, unlock_file, check_lock, control,    sector_size,   traits};

int open_file(sqlite3_vfs* vfs, const char* path, sqlite3_file* f, int flags, int* out) {
  auto* base = static_cast<sqlite3_vfs*>(vfs->pAppData);
  auto* file = reinterpret_cast<File*>(f);
  file->base.pMethods = nullptr;
  if (!path && disk.no_temporary) return SQLITE_IOERR_GETTEMPPATH;
  file->path = path;
  file->is_database = (flags & SQLITE_OPEN_MAIN_DB) != 0;
  file->real = static_cast<sqlite3_file*>(sqlite3_malloc(base->szOsFile));
  std::memset(file->real, 0, static_cast<std::size_t>(base->szOsFile));
  if (disk.read_only && file->is_database)
    flags = (flags & ~(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE)) | SQLITE_OPEN_READONLY;
  const int code = base->xOpen(base, path, file->real, flags, out);
  if (code != SQLITE_OK) sqlite3_free(file->real);
  file->base.pMethods = code == SQLITE_OK ? &kMethods : nullptr;
  return code;
}

int delete_file(sqlite3_vfs* vfs, const char* path, int sync_folder) {
  {
    const std::lock_guard lock(disk.mutex);
    disk.synced.erase(path);  // creating the log syncs the folder before anything is acknowledged
  }
  auto* base = static_cast<sqlite3_vfs*>(vfs->pAppData);
  return base->xDelete(base, path, sync_folder);
}

const char* faulty_vfs() {
  static sqlite3_vfs vfs = [] {
    sqlite3_initialize();
    sqlite3_vfs copy = *sqlite3_vfs_find(nullptr);
    copy.pAppData = sqlite3_vfs_find(nullptr);
    copy.szOsFile = sizeof(File);
    copy.zName = "faulty";
    copy.xOpen = open_file;
    copy.xDelete = delete_file;
    return copy;
  }();
  sqlite3_vfs_register(&vfs, 0);
  disk.fail_writes = disk.fail_syncs = disk.fail_file_syncs = SQLITE_OK;
  disk.over_quota = disk.no_temporary = disk.read_only = false;
  disk.keep_synced = false;
  disk.stalled = false;
  disk.stalls = 0;
  disk.synced.clear();
  return "faulty";
}

SqliteBackend& backend_of(Rig& rig) { return static_cast<SqliteBackend&>(rig.backend()); }

Error commit_error(Rig& rig, const std::string& value) {
  const auto result = rig.try_commit({.puts = {{"k", bytes(value)}}});
  EXPECT_FALSE(result);
  return result ? Error{} : result.error();
}

struct Mode {
  const char* name;
  bool run_inline;
};
constexpr Mode kModes[] = {{"threaded", false}, {"inline", true}};

TEST(SqliteFailure, AFullDiskFailsWritesClearlyAndTheyResume) {
  for (const bool quota : {false, true}) {
    SCOPED_TRACE(quota ? "over the quota" : "full");
    for (const auto& mode : kModes) {
      SCOPED_TRACE(mode.name);
      Rig rig(sqlite_factory({.run_inline = mode.run_inline, .vfs = faulty_vfs()}));
      const auto lease = rig.grant(std::chrono::seconds(10));
      rig.put("leased", "1", lease);
      const auto last = rig.put("k", "1");
      auto reader = rig.watch("", last);
      disk.over_quota = quota;
      disk.fail_writes = quota ? SQLITE_OK : SQLITE_FULL;
      for (int i = 0; i < 3; ++i) {
        const auto error = commit_error(rig, "2");
        EXPECT_EQ(error.code, Code::unavailable);
        EXPECT_THAT(error.message, HasSubstr(backend_of(rig).options.path));
        EXPECT_THAT(error.message, HasSubstr("free some space"));
      }
      EXPECT_EQ(*rig.get("k")->value, "1") << "reads go on";
      EXPECT_EQ(rig.current(), last);
      EXPECT_TRUE(rig.run(rig.store().keep_alive(lease))) << "who leads goes on leading: renewing writes nothing";
      auto writable = rig.run(rig.store().writable());
      ASSERT_FALSE(writable);
      EXPECT_EQ(writable.error().code, Code::unavailable);
      EXPECT_THAT(writable.error().message, HasSubstr("free some space"));
      rig.backend().elapse(std::chrono::seconds(11));
      EXPECT_TRUE(rig.get("leased")) << "no space to remove it";
      disk.over_quota = false;
      disk.fail_writes = SQLITE_OK;
      EXPECT_TRUE(rig.run(rig.store().writable())) << "seen before anybody writes";
      EXPECT_EQ(rig.current(), last);
      EXPECT_EQ(rig.put("k", "3"), last + 1);
      EXPECT_EQ(conformance::show(reader.next()), "k=3");
      rig.backend().elapse(std::chrono::seconds(2));
      EXPECT_EQ(conformance::show(reader.next()), "-leased") << "tried again";
      rig.reopen();
      EXPECT_EQ(rig.current(), last + 2);
    }
  }
}

// A container may have no folder that can be written but that of the store.
TEST(SqliteFailure, TakingOverAnOlderFileNeedsNoTemporaryFiles) {
  const TempFolder folder;
  {
    auto db = Database::open(folder.file(), "");
    ASSERT_TRUE(db && db->exec(kLayout2));
    ASSERT_TRUE(
        db->exec("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO live "
                 "SELECT CAST(printf('/k/%x-%d', i * 2654435761 % 4294967296, i) AS BLOB), i % 7 + 10, i * 1048576, 0 "
                 "FROM n"));
  }
  const EngineOptions options{.path = folder.file(), .new_id = "new", .vfs = faulty_vfs()};
  disk.no_temporary = true;
  disk.fail_writes = SQLITE_FULL;
  auto engine = Engine::open(options);
  ASSERT_FALSE(engine);
  EXPECT_THAT(engine.error().message, HasSubstr("free some space, then start again"));
  disk.fail_writes = SQLITE_OK;
  disk.read_only = true;
  engine = Engine::open(options);
  ASSERT_FALSE(engine);
  EXPECT_THAT(engine.error().message, HasSubstr("may not be written"));
  disk.read_only = false;
  engine = Engine::open(options);
  ASSERT_TRUE(engine) << engine.error().message;
  EXPECT_EQ((*engine)->id(), "old") << "nothing was lost by the tries before";
  auto db = Database::open(folder.file(), "");
  EXPECT_FALSE(db && db->exec("SELECT 1 FROM live")) << "in use";
  engine->reset();
  db = Database::open(folder.file(), "");
  ASSERT_TRUE(db);
  auto rows = db->prepare("SELECT count(*), count(DISTINCT id) FROM live JOIN place USING (id)");
  ASSERT_TRUE(rows && *rows->step());
  EXPECT_EQ(rows->integer(0), 20'003);
  EXPECT_EQ(rows->integer(1), 20'003);
}

TEST(SqliteFailure, AFailedSyncStopsWritesForGood) {
  for (const auto& mode : kModes) {
    SCOPED_TRACE(mode.name);
    Rig rig(sqlite_factory({.run_inline = mode.run_inline, .vfs = faulty_vfs()}));
    const auto last = rig.put("k", "1");
    disk.fail_syncs = SQLITE_IOERR_FSYNC;
    auto error = commit_error(rig, "2");
    EXPECT_EQ(error.code, Code::timeout) << "whether it is on disk is unknown";
    EXPECT_THAT(error.message, HasSubstr(backend_of(rig).options.path));
    disk.fail_syncs = SQLITE_OK;
    error = commit_error(rig, "3");
    EXPECT_EQ(error.code, Code::unavailable);
    EXPECT_THAT(error.message, HasSubstr("nothing more is written"));
    EXPECT_THAT(error.message, HasSubstr("restart"));
    EXPECT_EQ(*rig.get("k")->value, "1");
    EXPECT_EQ(rig.current(), last);
    rig.reopen();
    EXPECT_GT(rig.put("k", "4"), last) << "a restart helps";
  }
}

TEST(SqliteFailure, AFailedWriteToTheDiskStopsWritesForGood) {
  Rig rig(sqlite_factory({.vfs = faulty_vfs()}));
  rig.put("k", "1");
  disk.fail_writes = SQLITE_IOERR_WRITE;
  commit_error(rig, "2");
  disk.fail_writes = SQLITE_OK;
  EXPECT_EQ(commit_error(rig, "3").code, Code::unavailable);
  EXPECT_EQ(*rig.get("k")->value, "1");
}

TEST(SqliteFailure, AFailedSyncOfACheckpointStopsWritesToo) {
  Rig rig(sqlite_factory({.run_inline = true, .vfs = faulty_vfs()}));
  disk.fail_file_syncs = SQLITE_IOERR_FSYNC;  // commits sync the log only
  Revision last = 0;
  Result<CommitResult> result;
  for (int i = 0; i < 20 && result; ++i) {
    result = rig.try_commit({.puts = {{"k", bytes(std::string(1'000'000, 'x'))}}});
    if (result) last = std::get<Committed>(*result).revision;
  }
  ASSERT_FALSE(result) << "a checkpoint failed, yet writes go on";
  EXPECT_EQ(result.error().code, Code::unavailable);
  EXPECT_THAT(result.error().message, HasSubstr("nothing more is written"));
  EXPECT_EQ(backend_of(rig).sqlite->counters().checkpoints, 0u);
  rig.close();
  disk.fail_file_syncs = SQLITE_OK;
  rig.reopen();
  EXPECT_EQ(rig.current(), last) << "the log still has everything";
}

// Stalls the disk while it lives: the worker must get away from it before the store closes.
class Stall {
 public:
  Stall() { disk.stalled = true; }
  ~Stall() { end(); }
  Stall(const Stall&) = delete;
  Stall& operator=(const Stall&) = delete;
  static void end() {
    disk.stalled = false;
    disk.stalled.notify_all();
  }
};

constexpr Duration kLimit = std::chrono::seconds(5);

// Starts a call and runs until it waits.
template <class T>
conformance::Pending<Result<T>> begin(Rig& rig, Awaitable<Result<T>> call) {
  const auto& clock = backend_of(rig).clock;
  const auto timers = clock.pending();
  const auto pending = rig.start(std::move(call));
  rig.pump([&] { return clock.pending() > timers; });
  EXPECT_FALSE(*pending);
  return pending;
}

template <class T>
Error error_at_the_limit(Rig& rig, Awaitable<Result<T>> call) {
  const auto pending = begin(rig, std::move(call));
  rig.backend().elapse(kLimit);
  const auto result = rig.finish(pending);
  EXPECT_FALSE(result);
  return result ? Error{} : result.error();
}

TEST(SqliteFailure, WhoReadsToFindOutWaitsForTheCommitNobodyWaitsForAnyMore) {
  Rig rig(sqlite_factory({.vfs = faulty_vfs()}));
  const auto last = rig.put("k", "1");
  BoundedStore bounded(rig.store(), backend_of(rig).clock, {.call = kLimit});
  EXPECT_TRUE(bounded.current_is_local());
  const Stall stall;
  const auto first = begin(rig, bounded.commit({.puts = {{"k", bytes("2")}}}));
  disk.stalls.wait(0);
  EXPECT_TRUE(bounded.current_is_local()) << "who waits for its commit knows that it need not be there yet";
  EXPECT_EQ(rig.run(bounded.current()), last);
  rig.backend().elapse(kLimit);
  const auto unknown = rig.finish(first);
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, Code::timeout);
  EXPECT_THAT(unknown.error().message, HasSubstr("read to find out"));
  const auto queued = error_at_the_limit(rig, bounded.commit({.puts = {{"k", bytes("3")}}}));
  EXPECT_EQ(queued.code, Code::timeout) << "not begun, but nobody takes it back";
  EXPECT_FALSE(bounded.current_is_local());
  EXPECT_EQ(error_at_the_limit(rig, bounded.current()).code, Code::unavailable) << "not what was before";
  const auto reader = begin(rig, bounded.current());
  Stall::end();
  EXPECT_EQ(rig.finish(reader), last + 2) << "both have been carried out";
  EXPECT_EQ(*rig.get("k")->value, "3");
  EXPECT_TRUE(bounded.current_is_local()) << "and reads are free again";
  EXPECT_EQ(rig.run(bounded.current()), last + 2);
}

TEST(SqliteFailure, AnAbandonedCommitThatFailsIsSettledToo) {
  Rig rig(sqlite_factory({.vfs = faulty_vfs()}));
  const auto last = rig.put("k", "1");
  BoundedStore bounded(rig.store(), backend_of(rig).clock, {.call = kLimit});
  const Stall stall;
  EXPECT_EQ(error_at_the_limit(rig, bounded.commit({.puts = {{"k", bytes("2")}}})).code, Code::timeout);
  const auto reader = begin(rig, bounded.current());
  disk.fail_syncs = SQLITE_IOERR_FSYNC;
  Stall::end();
  EXPECT_EQ(rig.finish(reader), last);
  EXPECT_TRUE(bounded.current_is_local());
}

TEST(SqliteFailure, WhatNobodyWaitsForIsSettledWhenTheStoreCloses) {
  Rig rig(sqlite_factory({.vfs = faulty_vfs()}));
  rig.put("k", "1");
  BoundedStore bounded(rig.store(), backend_of(rig).clock, {.call = kLimit});
  {
    const Stall stall;
    EXPECT_EQ(error_at_the_limit(rig, bounded.commit({.puts = {{"k", bytes("2")}}})).code, Code::timeout);
    disk.stalls.wait(0);
  }
  rig.reopen();
  EXPECT_TRUE(rig.store().current_is_local());
  EXPECT_EQ(*rig.get("k")->value, "2") << "what was being written is there";
}

TEST(SqliteFailure, PowerLossKeepsWhatWasAcknowledged) {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    const bool run_inline = seed % 2 == 0;
    const SqliteOptions options{.run_inline = run_inline, .vfs = faulty_vfs()};
    disk.keep_synced = true;
    Rig rig(sqlite_factory(options));
    std::map<std::string, std::string> acknowledged;
    const auto count = 20 + random.below(60);
    for (std::uint64_t i = 0; i < count; ++i) {
      const auto key = "k" + std::to_string(random.below(10));
      const auto value = std::to_string(i) + std::string(random.below(60'000), 'x');
      rig.put(key, value);
      acknowledged[key] = value;
    }
    const auto last = rig.current();
    const auto survived = disk.after_power_loss();
    ASSERT_FALSE(survived.empty());
    rig.close();
    // What had been synced, and nothing else, is what the next start finds.
    auto& backend = backend_of(rig);
    for (const char* name : {"store.db", "store.db-wal"}) std::filesystem::remove(backend.folder.file(name));
    disk.keep_synced = false;
    for (const auto& [path, content] : survived) {
      auto* file = std::fopen(path.c_str(), "wb");
      ASSERT_TRUE(file);
      ASSERT_EQ(std::fwrite(content.data(), 1, content.size(), file), content.size());
      std::fclose(file);
    }
    rig.reopen();
    EXPECT_EQ(rig.current(), last);
    for (const auto& [key, value] : acknowledged) {
      const auto entry = rig.get(key);
      ASSERT_TRUE(entry) << key;
      EXPECT_TRUE(*entry->value == value) << key;
    }
  }
}

// --- a process that is killed ----------------------------------------------------------------------------------------

struct Acknowledged {
  int writer;
  int number;
  Revision revision;
};

Awaitable<void> write_and_report(Store* store, int pipe, int round, int writer) {
  for (int number = 0;; ++number) {
    Txn txn{.puts = {{fmt::format("{}/{}/{}", round, writer, number), bytes(std::to_string(number))},
                     {fmt::format("newest/{}", writer), bytes(std::to_string(number))}}};
    const auto result = co_await store->commit(std::move(txn));
    if (!result) ::_exit(3);
    const Acknowledged line{writer, number, std::get<Committed>(*result).revision};
    if (::write(pipe, &line, sizeof line) != sizeof line) ::_exit(4);
  }
}

[[noreturn]] void run_child(const std::string& path, int pipe, int round) {
  boost::asio::io_context loop;
  RealClock clock(loop.get_executor());
  TaskGroup tasks(loop.get_executor());
  std::unique_ptr<SqliteStore> store;
  const auto start = [](boost::asio::io_context* io, Clock* time, std::string file, std::unique_ptr<SqliteStore>* out,
                        TaskGroup* group, int fd, int the_round) -> Awaitable<void> {
    auto opened = co_await open_sqlite_store(io->get_executor(), *time, Random(1), {.path = file});
    if (!opened) ::_exit(2);
    *out = std::move(*opened);
    for (int writer = 0; writer < 16; ++writer) {
      group->spawn("writer", write_and_report(out->get(), fd, the_round, writer));
    }
  };
  tasks.spawn("start", start(&loop, &clock, path, &store, &tasks, pipe, round));
  loop.run();
  ::_exit(5);
}

// Acknowledgements of a child that is killed after `count` of them, and those that were still in the pipe.
std::vector<Acknowledged> kill_after(const std::string& path, int round, std::size_t count) {
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  const auto child = ::fork();
  if (child == 0) {
    ::close(ends[0]);
    run_child(path, ends[1], round);
  }
  ::close(ends[1]);
  std::vector<Acknowledged> lines;
  Acknowledged line{};
  while (::read(ends[0], &line, sizeof line) == sizeof line) {
    lines.push_back(line);
    if (lines.size() == count) ::kill(child, SIGKILL);
  }
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status)) << "the child ended by itself: " << WEXITSTATUS(status);
  return lines;
}

// Tries to open `path` when told to by a byte; made before this process opens it, so that nothing but the file is
// shared.
pid_t fork_opener(const std::string& path, int go) {
  const auto child = ::fork();
  if (child != 0) return child;
  char byte = 0;
  if (::read(go, &byte, 1) != 1) ::_exit(9);
  const auto engine = Engine::open({.path = path, .new_id = "other"});
  if (engine) ::_exit(1);
  ::_exit(engine.error().code == Code::unavailable && engine.error().message.contains("in use by another process") ? 0
                                                                                                                   : 2);
}

TEST(SqliteFailure, ASecondProcessIsKeptOut) {
  TempFolder folder;
  int go[2];
  ASSERT_EQ(::pipe(go), 0);
  const auto child = fork_opener(folder.file(), go[0]);
  auto first = Engine::open({.path = folder.file(), .new_id = "mine"});
  ASSERT_TRUE(first);
  EXPECT_FALSE(Engine::open({.path = folder.file(), .new_id = "mine too"})) << "this must not give up the lock either";
  ASSERT_EQ(::write(go[1], "x", 1), 1);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0) << "1: it got in, 2: with another error";
  EXPECT_TRUE((*first)->run({{.txn = {.puts = {{"k", bytes("v")}}}}}).front());
  ::close(go[0]);
  ::close(go[1]);
}

TEST(SqliteFailure, NothingAcknowledgedIsLostWhenTheProcessIsKilled) {
  Random random(42);
  TempFolder folder;
  std::map<std::string, std::pair<std::string, Revision>> want;
  Revision newest = 0;
  std::string id;
  for (int round = 0; round < 6; ++round) {
    const auto lines = kill_after(folder.file(), round, 1 + random.below(400));
    for (const auto& line : lines) {
      EXPECT_GT(line.revision, newest - 1) << "revisions of an earlier life are not used again";
      want[fmt::format("{}/{}/{}", round, line.writer, line.number)] = {std::to_string(line.number), line.revision};
    }
    Rig rig(sqlite_factory({}));
    auto& backend = backend_of(rig);
    backend.options.path = folder.file();
    rig.reopen();
    if (id.empty()) id = rig.store().id();
    EXPECT_EQ(rig.store().id(), id);
    const auto listing = rig.list("");
    std::map<std::string, Entry> there;
    for (const auto& entry : listing.entries) there[entry.key] = entry;
    for (const auto& [key, value] : want) {
      ASSERT_TRUE(there.contains(key)) << key;
      EXPECT_EQ(*there[key].value, value.first);
      EXPECT_EQ(there[key].modified, value.second);
    }
    // Both keys of each commit or none, and a history without gaps.
    auto reader = rig.watch("", newest);
    for (Revision revision = newest + 1; revision <= listing.revision; ++revision) {
      const auto event = reader.next();
      EXPECT_EQ(event.revision, revision);
      EXPECT_EQ(event.changes.size(), 2u);
    }
    newest = listing.revision;
    for (const auto& line : lines) EXPECT_LE(line.revision, newest);
  }
}

}  // namespace

}  // namespace krake::store
