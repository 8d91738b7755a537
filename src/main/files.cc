#include "main/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace krake {

namespace {
bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const auto n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}
}  // namespace

Status write_whole_file(const std::string& path, std::string_view text, unsigned mode, bool replace) {
  std::string part = path + ".XXXXXX";
  const int fd = ::mkostemp(part.data(), O_CLOEXEC);  // only its owner may read it
  const bool written = fd >= 0 && ::fchmod(fd, mode) == 0 && write_all(fd, text) && ::fsync(fd) == 0;
  int error = errno;
  if (fd >= 0) ::close(fd);
  bool kept = false;
  if (written) {
    // A link, other than a rename, takes no other file's place.
    kept = (replace ? ::rename(part.c_str(), path.c_str()) : ::link(part.c_str(), path.c_str())) == 0;
    error = errno;
  }
  if (fd >= 0 && !(kept && replace)) ::unlink(part.c_str());
  if (kept) return {};
  if (error == EEXIST) return fail(Code::already_exists, fmt::format("there is a file '{}' already", path));
  return fail(Code::unavailable, fmt::format("cannot write '{}': {}", path, std::strerror(error)));
}

}  // namespace krake
