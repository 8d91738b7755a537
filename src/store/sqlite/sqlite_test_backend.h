// For tests: a store file in a folder of its own, on a simulated clock.
#pragma once

#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>

#include "store/conformance/conformance.h"
#include "store/sqlite/sqlite_store.h"

namespace krake::store {

class TempFolder {
 public:
  TempFolder() {
    // In memory where there is such a folder: these tests sync thousands of times.
    const bool in_memory = !::getenv("TMPDIR") && ::access("/dev/shm", W_OK) == 0;
    const auto parent = in_memory ? std::filesystem::path("/dev/shm") : std::filesystem::temp_directory_path();
    std::string name = (parent / "krake-store-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TempFolder() { std::filesystem::remove_all(path_); }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  std::string file(const std::string& name = "store.db") const { return path_ + "/" + name; }

 private:
  std::string path_;
};

class SqliteBackend final : public conformance::Backend {
 public:
  SqliteBackend(SqliteOptions options, conformance::BackendOptions wanted) : options(std::move(options)) {
    this->options.path = folder.file();
    if (wanted.history == 0) return;
    this->options.history_changes = wanted.history;
    this->options.ring_commits = wanted.history / 2;
  }
  boost::asio::io_context& loop() override { return loop_; }
  Awaitable<Result<std::unique_ptr<Store>>> open() override {
    static std::atomic<std::uint64_t> seed{1};
    ASSIGN_OR_CO_RETURN(auto opened, co_await open_sqlite_store(loop_.get_executor(), clock, Random(seed++), options));
    sqlite = opened.get();
    co_return std::move(opened);
  }
  void elapse(Duration time) override { clock.advance(time); }

 private:
  boost::asio::io_context loop_;

 public:
  SimClock clock{loop_.get_executor(), Wall{}};
  TempFolder folder;
  SqliteOptions options;
  SqliteStore* sqlite = nullptr;  // the one opened last
};

// A file of layout 2. Revision 1: a, b and c together, b with a lease; 2: a again; 3: c goes; 4: d.
inline constexpr const char* kLayout2 = R"(
  PRAGMA journal_mode = WAL;
  BEGIN;
  CREATE TABLE meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;
  CREATE TABLE live(key BLOB PRIMARY KEY, created INTEGER NOT NULL, position INTEGER NOT NULL,
                    lease INTEGER NOT NULL) WITHOUT ROWID;
  CREATE INDEX live_lease ON live(lease) WHERE lease <> 0;
  CREATE TABLE history(position INTEGER PRIMARY KEY, created INTEGER NOT NULL, lease INTEGER NOT NULL,
                       key BLOB NOT NULL, value BLOB);
  CREATE TABLE lease(id INTEGER PRIMARY KEY, ttl_ns INTEGER NOT NULL);
  INSERT INTO meta VALUES ('revision', 4), ('compacted', 0), ('trimmed', 0), ('next_lease', 2), ('history_rows', 6),
                          ('id', 'old');
  INSERT INTO lease VALUES (1, 60000000000);
  INSERT INTO live VALUES (CAST('a' AS BLOB), 1, 2097152, 0), (CAST('b' AS BLOB), 1, 1048577, 1),
                          (CAST('d' AS BLOB), 4, 4194304, 0);
  INSERT INTO history VALUES (1048576, 1, 0, CAST('a' AS BLOB), CAST('a1' AS BLOB)),
                             (1048577, 1, 1, CAST('b' AS BLOB), CAST('b1' AS BLOB)),
                             (1048578, 1, 0, CAST('c' AS BLOB), CAST('c1' AS BLOB)),
                             (2097152, 1, 0, CAST('a' AS BLOB), CAST('a2' AS BLOB)),
                             (3145728, 0, 0, CAST('c' AS BLOB), NULL),
                             (4194304, 4, 0, CAST('d' AS BLOB), CAST('d4' AS BLOB));
  PRAGMA application_id = 1802658155;
  PRAGMA user_version = 2;
  COMMIT;
)";

inline conformance::Factory sqlite_factory(SqliteOptions options) {
  return [options](conformance::BackendOptions wanted) { return std::make_unique<SqliteBackend>(options, wanted); };
}

}  // namespace krake::store
