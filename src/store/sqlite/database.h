// SQLite's C interface as values: one connection, prepared statements, result codes. The only file that includes
// <sqlite3.h>. Thread: one at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"

struct sqlite3;
struct sqlite3_stmt;

namespace krake::store {

// What a failed call means for the store.
enum class Damage : std::uint8_t {
  none,     // this call only
  full,     // no space left: later writes may succeed
  io,       // reading or syncing failed: what is on disk is no longer known
  corrupt,  // the file is damaged or is no database
  busy,     // somebody else holds the lock
};
struct SqliteError {
  int code = 0;  // extended result code
  Damage damage = Damage::none;
  std::string text;  // SQLite's own words
};
template <class T>
using SqliteResult = std::expected<T, SqliteError>;
using SqliteStatus = SqliteResult<void>;

// An empty file only its owner can read, when there is none. SQLite's log takes over the permissions.
void create_private_file(const std::string& path);

class Statement {
 public:
  Statement() = default;
  explicit Statement(sqlite3_stmt* statement) : statement_(statement) {}

  // 1-based. Text and blobs are not copied: they must live until the next reset().
  void bind(int index, std::int64_t value);
  void bind_blob(int index, std::string_view bytes);
  void bind_text(int index, std::string_view text);
  // True: a row is there.
  SqliteResult<bool> step();
  void reset();

  // 0-based.
  std::int64_t integer(int column) const;
  std::string_view bytes(int column) const;  // until the next step() or reset()
  bool is_null(int column) const;

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

// Resets a statement when the scope ends, so that no read stays open and no bound bytes dangle.
class Use {
 public:
  explicit Use(Statement& statement) : statement_(statement) {}
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;
  ~Use() { statement_.reset(); }
  Statement* operator->() { return &statement_; }

 private:
  Statement& statement_;
};

class Database {
 public:
  // Creates the file, readable by its owner only, when it is missing. `vfs` empty: the operating system's.
  static SqliteResult<Database> open(const std::string& path, const std::string& vfs);

  SqliteStatus exec(const char* sql);
  SqliteResult<std::string> pragma(const std::string& text);  // first column of the first row, as text
  SqliteResult<Statement> prepare(std::string_view sql);
  bool read_only() const;
  // True when no transaction is open: after an error SQLite may have rolled back on its own.
  bool autocommit() const;
  std::int64_t changes() const;
  // Copies the log into the database file as far as possible.
  SqliteStatus checkpoint();
  // Pages in the log after the last commit.
  int log_pages() const { return *log_pages_; }

 private:
  struct Close {
    void operator()(sqlite3* db) const;
  };
  SqliteError error(int code, int system = 0) const;
  std::unique_ptr<sqlite3, Close> db_;
  std::unique_ptr<int> log_pages_ = std::make_unique<int>(0);
};

}  // namespace krake::store
