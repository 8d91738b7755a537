// The embedded store: one SQLite file (write-ahead log, full sync). Acknowledged means on disk. All commits that wait
// at the same moment share one sync. One process per file; the file is readable by its owner only.
//
// Failure: no space left - writes answer unavailable, reads go on, writes resume by themselves. A failed read or sync
// of the disk while writing - the commits under way answer timeout (unknown), all later ones unavailable until a
// restart. A disk that stalls - current() does not wait for it, unless for a write whose caller was cancelled and which
// may still land: who reads to find out is told what became of it. Leases live by the monotonic clock and get their
// full time again after a restart. Thread: the loop. Blocking work runs on the store's own thread, or in place with
// `run_inline`. The store dies before its executor's context.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/random.h"
#include "store/sqlite/engine.h"
#include "store/store.h"

namespace krake::store {

struct SqliteOptions {
  std::string path;
  bool run_inline = false;  // no thread: for tests and the simulator
  // The watch window: the smaller of the two.
  std::size_t history_changes = 100'000;
  Duration history_age = std::chrono::minutes(10);
  // The newest commits are kept in memory too: watches that keep up never touch the disk.
  std::size_t ring_commits = 4'096;
  std::size_t ring_bytes = std::size_t{16} << 20;
  Duration linger = std::chrono::milliseconds(2);  // see WorkerOptions
  bool renew_id = false;                           // it was restored: its revisions mean something else now
  bool keep_layout = false;                        // see EngineOptions
  std::string vfs;                                 // SQLite's name of the file system layer; empty: the default
  // krake_store_commits_total, krake_store_syncs_total (groups of commits that reached the disk with one fsync). Null:
  // nobody counts; else it outlives the store.
  Metrics* metrics = nullptr;
};

class SqliteStore : public Store {
 public:
  virtual SqliteCounters counters() const = 0;
  // Waits for what was begun, refuses what comes later (unavailable), ends the thread and gives the file free. The
  // destructor does the same but drops commits that are not being written yet.
  virtual Awaitable<void> close() = 0;
};

// Reads the file in place: blocks the loop, at start only. Errors name the file: unavailable (in use by another
// process, cannot be opened), invalid_argument (another program's, or of a newer version), internal (damaged).
Awaitable<Result<std::unique_ptr<SqliteStore>>> open_sqlite_store(boost::asio::any_io_executor executor, Clock& clock,
                                                                  Random random, SqliteOptions options);

}  // namespace krake::store
