// Lines into a file that turns over: PATH, PATH.1 (the one before), PATH.2, ... Written by a thread of its own, so that
// who gives a line never waits for a disk. A line is there as a whole or not at all; what could not be written is
// counted, and told in the file once it can. When somebody moves the file away (logrotate), the next line begins
// another. Thread: any.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/error.h"

namespace krake {

struct LineFileOptions {
  std::string path;
  std::uint64_t max_bytes = std::uint64_t{100} << 20;  // of one file; then the next begins
  unsigned max_files = 10;                             // with the present one; the oldest goes
  std::size_t max_waiting = 10'000;                    // lines not written yet; more are dropped
  // The line that tells of lines that were dropped.
  std::function<std::string(std::uint64_t dropped)> on_dropped;
  std::chrono::milliseconds retry{1000};  // how often that line is tried, until it can be written
  // As ::write(), which it is unless a test has another.
  std::function<ssize_t(int fd, const char* bytes, std::size_t size)> write_some;
};

class LineFile {
 public:
  // Goes on where the file ends; it is readable by its owner only. Errors: unavailable, when it cannot be written.
  static Result<std::unique_ptr<LineFile>> open(LineFileOptions options);
  ~LineFile();  // when everything given was written, or could not be
  LineFile(const LineFile&) = delete;
  LineFile& operator=(const LineFile&) = delete;

  void write(std::string line);  // without its line feed
  std::uint64_t dropped() const;
  // Waits until everything given so far was written or dropped.
  void flush();

 private:
  explicit LineFile(LineFileOptions options);
  Status open_file();
  void close_file();
  void follow();
  void turn_over();
  bool append(std::string line);
  void take_back(std::size_t written);
  bool tell_dropped();
  void write_all(std::deque<std::string> lines);
  void run();

  const LineFileOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> waiting_;  // guarded by mutex_, as are the next four
  bool writing_ = false;
  bool stopping_ = false;
  std::uint64_t dropped_ = 0;
  std::uint64_t untold_ = 0;  // of dropped_, not told in the file yet
  int fd_ = -1;               // the thread's, as are the next two
  std::uint64_t size_ = 0;
  bool torn_ = false;  // the file ends in mid-line
  std::thread thread_;
};

}  // namespace krake
