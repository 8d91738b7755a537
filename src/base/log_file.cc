#include "base/log_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace krake {

Result<std::unique_ptr<LogFile>> LogFile::open(LogFileOptions options) {
  std::unique_ptr<LogFile> file(new LogFile(std::move(options)));
  if (!file->reopen()) {
    return fail(Code::unavailable,
                fmt::format("cannot write the log '{}': {}", file->options_.path, std::strerror(errno)));
  }
  return file;
}

LogFile::~LogFile() {
  if (fd_ >= 0) ::close(fd_);
}

// False leaves the file of before open, if there is one.
bool LogFile::reopen() {
  const int fd = ::open(options_.path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return false;
  struct stat now{};
  size_ = ::fstat(fd, &now) == 0 ? static_cast<std::uint64_t>(now.st_size) : 0;
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
  return true;
}

bool LogFile::moved_away() const {
  struct stat there{};
  struct stat ours{};
  if (::stat(options_.path.c_str(), &there) != 0) return true;
  return ::fstat(fd_, &ours) == 0 && (there.st_dev != ours.st_dev || there.st_ino != ours.st_ino);
}

void LogFile::turn_over() {
  const auto numbered = [&](int number) { return fmt::format("{}.{}", options_.path, number); };
  for (int number = options_.backups; number > 1; --number)
    (void)std::rename(numbered(number - 1).c_str(), numbered(number).c_str());
  (void)std::rename(options_.path.c_str(), numbered(1).c_str());
  (void)reopen();
}

void LogFile::write(std::string_view line) {
  if (moved_away()) (void)reopen();
  const bool limited = options_.max_bytes > 0 && options_.backups > 0;
  if (limited && size_ > 0 && size_ + line.size() > options_.max_bytes) turn_over();
  while (!line.empty()) {
    const auto n = ::write(fd_, line.data(), line.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    size_ += static_cast<std::uint64_t>(n);
    line.remove_prefix(static_cast<std::size_t>(n));
  }
}

}  // namespace krake
