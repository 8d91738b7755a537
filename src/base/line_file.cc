#include "base/line_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

namespace krake {

namespace {

// What a process that died in the middle of a line has left.
bool ends_in_mid_line(const std::string& path, const struct stat& status) {
  if (!S_ISREG(status.st_mode) || status.st_size == 0) return false;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  char last = '\n';
  const auto n = ::pread(fd, &last, 1, status.st_size - 1);
  ::close(fd);
  return n == 1 && last != '\n';
}

}  // namespace

Result<std::unique_ptr<LineFile>> LineFile::open(LineFileOptions options) {
  if (!options.write_some) options.write_some = ::write;
  std::unique_ptr<LineFile> file(new LineFile(std::move(options)));
  RETURN_IF_ERROR(file->open_file());
  file->thread_ = std::thread([raw = file.get()] { raw->run(); });
  return file;
}

LineFile::LineFile(LineFileOptions options) : options_(std::move(options)) {}

LineFile::~LineFile() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  close_file();
}

Status LineFile::open_file() {
  // Made with the mode it shall have: there is no moment in which others may read it.
  fd_ = ::open(options_.path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd_ < 0)
    return fail(Code::unavailable, fmt::format("cannot write '{}': {}", options_.path, std::strerror(errno)));
  struct stat status{};
  const bool known = ::fstat(fd_, &status) == 0;
  size_ = known ? static_cast<std::uint64_t>(status.st_size) : 0;
  torn_ = known && ends_in_mid_line(options_.path, status);
  return {};
}

void LineFile::close_file() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

// To where the path leads: what is written into a file that was moved away nobody looks for. Where there can be none,
// that one is better than nothing.
void LineFile::follow() {
  struct stat ours{};
  struct stat there{};
  if (fd_ < 0 || ::fstat(fd_, &ours) != 0) return;
  const bool is_there = ::stat(options_.path.c_str(), &there) == 0;
  if (is_there && there.st_dev == ours.st_dev && there.st_ino == ours.st_ino) return;
  const int before = std::exchange(fd_, -1);
  if (open_file()) {
    ::close(before);
  } else {
    fd_ = before;
  }
}

void LineFile::write(std::string line) {
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.size() >= options_.max_waiting) {
      ++dropped_;
      ++untold_;
      return;
    }
    waiting_.push_back(std::move(line));
  }
  changed_.notify_all();
}

std::uint64_t LineFile::dropped() const {
  const std::lock_guard lock(mutex_);
  return dropped_;
}

void LineFile::flush() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return waiting_.empty() && !writing_; });
}

void LineFile::turn_over() {
  namespace fs = std::filesystem;
  std::error_code ec;  // what cannot be renamed is overwritten or appended to: nothing better is to be done
  const auto nth = [&](unsigned n) { return n == 0 ? options_.path : fmt::format("{}.{}", options_.path, n); };
  if (options_.max_files < 2) {
    fs::remove(options_.path, ec);
    return;
  }
  for (unsigned n = options_.max_files - 1; n > 0; --n) fs::rename(nth(n - 1), nth(n), ec);
}

// False when it did not get into the file, or nobody knows.
bool LineFile::append(std::string line) {
  line += '\n';
  follow();
  if (fd_ < 0 && !open_file()) return false;
  if (size_ > 0 && size_ + line.size() + (torn_ ? 1 : 0) > options_.max_bytes) {
    turn_over();
    close_file();
    if (!open_file()) return false;
  }
  if (torn_) line.insert(0, 1, '\n');
  std::size_t written = 0;
  while (written < line.size()) {
    const auto n = options_.write_some(fd_, line.data() + written, line.size() - written);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    written += static_cast<std::size_t>(n);
  }
  if (written < line.size()) {
    take_back(written);
    return false;
  }
  size_ += written;
  torn_ = false;
  return true;
}

// Of a line the disk took a part of. Where that cannot be, or somebody else writes there too, opening the file again
// shows how it ends.
void LineFile::take_back(std::size_t written) {
  struct stat status{};
  const bool ours = written > 0 && ::fstat(fd_, &status) == 0 && S_ISREG(status.st_mode) &&
                    static_cast<std::uint64_t>(status.st_size) == size_ + written;
  if (ours) (void)::ftruncate(fd_, static_cast<off_t>(size_));
  close_file();
}

// False: there is something to tell, and it could not be written.
bool LineFile::tell_dropped() {
  std::uint64_t untold = 0;
  {
    const std::lock_guard lock(mutex_);
    untold = untold_;
  }
  if (untold == 0 || !options_.on_dropped) return true;
  if (!append(options_.on_dropped(untold))) return false;
  const std::lock_guard lock(mutex_);
  untold_ -= untold;
  return true;
}

void LineFile::write_all(std::deque<std::string> lines) {
  for (auto& line : lines) {
    if (tell_dropped() && append(std::move(line))) continue;
    const std::lock_guard lock(mutex_);
    ++dropped_;
    ++untold_;
  }
  tell_dropped();
}

void LineFile::run() {
  for (;;) {
    std::deque<std::string> lines;
    {
      std::unique_lock lock(mutex_);
      const auto is_due = [this] { return stopping_ || !waiting_.empty(); };
      if (untold_ > 0 && options_.on_dropped) {
        changed_.wait_for(lock, options_.retry, is_due);
      } else {
        changed_.wait(lock, is_due);
      }
      if (stopping_ && waiting_.empty()) break;
      lines.swap(waiting_);
      writing_ = true;
    }
    write_all(std::move(lines));
    {
      const std::lock_guard lock(mutex_);
      writing_ = false;
    }
    changed_.notify_all();
  }
  tell_dropped();
}

}  // namespace krake
