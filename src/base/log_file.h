// A file that lines are appended to: made anew when somebody has moved it away (logrotate), or turned over by size into
// FILE.1, FILE.2, ... Thread: one at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"

namespace krake {

struct LogFileOptions {
  std::string path;
  std::uint64_t max_bytes = 0;  // 0, or no backups: it grows
  int backups = 0;
};

class LogFile {
 public:
  // unavailable when it cannot be written.
  static Result<std::unique_ptr<LogFile>> open(LogFileOptions options);
  ~LogFile();
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;

  // A whole line, with its end. What a full disk does not take is lost: nobody waits for a log.
  void write(std::string_view line);

 private:
  explicit LogFile(LogFileOptions options) : options_(std::move(options)) {}
  bool reopen();
  bool moved_away() const;
  void turn_over();

  LogFileOptions options_;
  int fd_ = -1;
  std::uint64_t size_ = 0;
};

}  // namespace krake
