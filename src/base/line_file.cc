#include "base/line_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace krake {

Result<std::unique_ptr<LineFile>> LineFile::open(LineFileOptions options) {
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
}

Status LineFile::open_file() {
  // Made with the mode it shall have: there is no moment in which others may read it.
  const int made = ::open(options_.path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (made < 0)
    return fail(Code::unavailable, fmt::format("cannot write '{}': {}", options_.path, std::strerror(errno)));
  ::close(made);
  out_.close();
  out_.clear();
  out_.open(options_.path, std::ios::binary | std::ios::app);
  if (!out_) return fail(Code::unavailable, fmt::format("cannot write '{}': {}", options_.path, std::strerror(errno)));
  std::error_code ec;
  const auto size = std::filesystem::file_size(options_.path, ec);
  size_ = ec ? 0 : size;
  return {};
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
bool LineFile::append(const std::string& line) {
  if (size_ > 0 && size_ + line.size() + 1 > options_.max_bytes) {
    turn_over();
    out_.close();
  }
  if ((!out_.is_open() || !out_) && !open_file()) return false;
  out_ << line << '\n';
  out_.flush();
  if (!out_) return false;
  size_ += line.size() + 1;
  return true;
}

void LineFile::write_all(std::deque<std::string> lines) {
  for (const auto& line : lines) {
    std::uint64_t untold = 0;
    {
      const std::lock_guard lock(mutex_);
      untold = untold_;
    }
    bool good = true;
    if (untold > 0 && options_.on_dropped) good = append(options_.on_dropped(untold));
    const bool told = good;
    good = good && append(line);
    const std::lock_guard lock(mutex_);
    if (told) untold_ -= untold;
    if (good) continue;
    ++dropped_;
    ++untold_;
  }
}

void LineFile::run() {
  for (;;) {
    std::deque<std::string> lines;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
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
}

}  // namespace krake
