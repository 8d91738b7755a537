#include "store/sqlite/database.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>

namespace krake::store {

namespace {
// Of a quota that is used up SQLite says only that writing failed; errno, which must have been 0 before the call, tells
// it (sqlite3_system_errno() does not, of a statement's step).
Damage damage_of(int code, int system) {
  if (code == SQLITE_IOERR_WRITE && system == EDQUOT) return Damage::full;
  switch (code & 0xff) {
    case SQLITE_FULL:
      return Damage::full;
    case SQLITE_IOERR:
      return code == SQLITE_IOERR_NOMEM ? Damage::none : Damage::io;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return Damage::corrupt;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Damage::busy;
    default:
      return Damage::none;
  }
}

int remember_log_pages(void* pages, sqlite3*, const char*, int count) {
  *static_cast<int*>(pages) = count;
  return SQLITE_OK;
}
}  // namespace

void create_private_file(const std::string& path) {
  // Only when it is missing: closing a second descriptor of an open database would drop this process's locks on it.
  if (const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600); file >= 0) ::close(file);
}

void Statement::Finalize::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }

void Statement::bind(int index, std::int64_t value) { sqlite3_bind_int64(statement_.get(), index, value); }

void Statement::bind_blob(int index, std::string_view bytes) {
  // A null pointer would bind NULL, also for no bytes.
  sqlite3_bind_blob64(statement_.get(), index, bytes.empty() ? "" : bytes.data(), bytes.size(), SQLITE_STATIC);
}

void Statement::bind_text(int index, std::string_view text) {
  sqlite3_bind_text64(statement_.get(), index, text.empty() ? "" : text.data(), text.size(), SQLITE_STATIC,
                      SQLITE_UTF8);
}

SqliteResult<bool> Statement::step() {
  errno = 0;
  const int code = sqlite3_step(statement_.get());
  const int system = errno;
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  sqlite3* db = sqlite3_db_handle(statement_.get());
  const int extended = sqlite3_extended_errcode(db);
  return std::unexpected(SqliteError{extended, damage_of(extended, system), sqlite3_errmsg(db)});
}

void Statement::reset() {
  sqlite3_reset(statement_.get());  // repeats the last error, which step() has reported
  sqlite3_clear_bindings(statement_.get());
}

std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_.get(), column); }

std::string_view Statement::bytes(int column) const {
  const auto* data = static_cast<const char*>(sqlite3_column_blob(statement_.get(), column));
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column));
  return data ? std::string_view(data, size) : std::string_view();
}

bool Statement::is_null(int column) const { return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL; }

void Database::Close::operator()(sqlite3* db) const { sqlite3_close_v2(db); }

SqliteError Database::error(int code, int system) const {
  return {code, damage_of(code, system), db_ ? sqlite3_errmsg(db_.get()) : sqlite3_errstr(code)};
}

SqliteResult<Database> Database::open(const std::string& path, const std::string& vfs) {
  create_private_file(path);
  Database result;
  sqlite3* db = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  const int code = sqlite3_open_v2(path.c_str(), &db, flags, vfs.empty() ? nullptr : vfs.c_str());
  result.db_.reset(db);
  if (code != SQLITE_OK) return std::unexpected(result.error(code));
  sqlite3_wal_hook(db, remember_log_pages, result.log_pages_.get());  // also switches automatic checkpoints off
  return result;
}

SqliteStatus Database::exec(const char* sql) {
  errno = 0;
  const int code = sqlite3_exec(db_.get(), sql, nullptr, nullptr, nullptr);
  const int system = errno;
  if (code != SQLITE_OK) return std::unexpected(error(sqlite3_extended_errcode(db_.get()), system));
  return {};
}

SqliteResult<std::string> Database::pragma(const std::string& text) {
  auto statement = prepare("PRAGMA " + text);
  if (!statement) return std::unexpected(statement.error());
  const auto row = statement->step();
  if (!row) return std::unexpected(row.error());
  return *row ? std::string(statement->bytes(0)) : std::string();
}

SqliteResult<Statement> Database::prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(db_.get(), sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                                      &statement, nullptr);
  if (code != SQLITE_OK) return std::unexpected(error(sqlite3_extended_errcode(db_.get())));
  return Statement(statement);
}

bool Database::read_only() const { return sqlite3_db_readonly(db_.get(), "main") == 1; }
bool Database::autocommit() const { return sqlite3_get_autocommit(db_.get()) != 0; }
std::int64_t Database::changes() const { return sqlite3_changes64(db_.get()); }

SqliteStatus Database::checkpoint() {
  int pages = 0;
  int copied = 0;
  errno = 0;
  const int code = sqlite3_wal_checkpoint_v2(db_.get(), nullptr, SQLITE_CHECKPOINT_PASSIVE, &pages, &copied);
  const int system = errno;
  if (code != SQLITE_OK) return std::unexpected(error(sqlite3_extended_errcode(db_.get()), system));
  if (copied == pages) *log_pages_ = 0;
  return {};
}

}  // namespace krake::store
