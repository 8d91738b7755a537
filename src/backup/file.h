// A backup as a file: JSON lines, of every store and for every store (docs/design/006-one-backup-file.md).
//   {"format":"krake-backup","version":1,"store_id":"...","time":"2026-01-02T03:04:05Z"}
//   {"key":"/core/roles/admin","value":"..."}           the bytes as text, or value_base64 (key_base64) when no UTF-8
//   {"key":"/core/roles/admin","removed":true}          of two lines of one key the later one holds
//   {"end":true,"revision":123,"records":2}
//   {"sha256":"..."}                                    of every byte before this line
// A file that is cut off or damaged anywhere is refused. Thread: any, one at a time.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/encoding.h"
#include "base/error.h"
#include "store/store.h"

namespace krake::backup {

inline constexpr std::int64_t kFormatVersion = 1;
// Longer than any record of a store can be: each byte of it takes six at the most.
inline constexpr std::size_t kMaxLine = std::size_t{16} << 20;

// What it was made of.
struct Header {
  std::string store_id;
  std::string time;  // RFC 3339
};

// Each call appends its line to `out`: begin, records in any number, end.
class Writer {
 public:
  void begin(const Header& header, std::string& out);
  void put(std::string_view key, std::string_view value, std::string& out);
  void remove(std::string_view key, std::string& out);
  void end(store::Revision revision, std::string& out);

 private:
  void line(std::string_view text, std::string& out);
  Sha256 sum_;
  std::int64_t records_ = 0;
};

using Values = std::map<std::string, store::Bytes, std::less<>>;

struct Backup {
  Header header;
  store::Revision revision = 0;  // the one all values are of
  Values values;
  std::string checksum;
};

// Takes a file in pieces of any size. Errors (invalid_argument) name the line and what is wrong; after one, nothing
// more is taken.
class Reader {
 public:
  enum class Keep : std::uint8_t { values, keys };  // keys: values are checked and dropped (null)
  explicit Reader(Keep keep = Keep::values) : keep_(keep) {}
  Status add(std::string_view piece);
  // The backup, when all of it was there.
  Result<Backup> finish();

 private:
  enum class Wanted : std::uint8_t { header, record, checksum, nothing };
  Status line(std::string_view text);
  Status header(std::string_view text);
  Status record(std::string_view text);
  Status checksum(std::string_view text);
  std::unexpected<Error> damaged(std::string_view what) const;

  Keep keep_;
  Wanted wanted_ = Wanted::header;
  std::string rest_;  // of a line that is not complete yet
  std::int64_t line_ = 0;
  std::int64_t records_ = 0;
  Sha256 sum_;
  Backup backup_;
};

}  // namespace krake::backup
