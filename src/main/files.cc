#include "main/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

namespace krake {

namespace {

namespace fs = std::filesystem;

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const auto n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

constexpr const char* kAcl = "system.posix_acl_access";
bool no_acl() { return errno == ENODATA || errno == ENOTSUP; }

// Owner, access control list and mode of `old` for an empty file of mode 0600. In this order nobody may open it who may
// not open `old`.
Status take_after(int fd, const std::string& target, const struct stat& old) {
  struct stat own{};
  if (::fstat(fd, &own) != 0 || ((own.st_uid != old.st_uid || own.st_gid != old.st_gid) &&
                                 ::fchown(fd, own.st_uid == old.st_uid ? static_cast<uid_t>(-1) : old.st_uid,
                                          own.st_gid == old.st_gid ? static_cast<gid_t>(-1) : old.st_gid) != 0)) {
    return fail(Code::unavailable, fmt::format("cannot give a new '{}' to user {} and group {}, whose it is: {}; give "
                                               "the command as that user or as root",
                                               target, old.st_uid, old.st_gid, std::strerror(errno)));
  }
  std::array<char, 4096> acl;
  const auto size = ::getxattr(target.c_str(), kAcl, acl.data(), acl.size());
  const bool none = size < 0 && no_acl();
  // The folder may have given one to the new file.
  const bool bare = none && ((::fgetxattr(fd, kAcl, nullptr, 0) < 0 && no_acl()) || ::fremovexattr(fd, kAcl) == 0);
  const bool same_acl =
      bare || (size >= 0 && ::fsetxattr(fd, kAcl, acl.data(), static_cast<std::size_t>(size), 0) == 0);
  if (same_acl && ::fchmod(fd, old.st_mode & 07777) == 0) return {};
  return fail(Code::unavailable,
              fmt::format("cannot give a new '{}' the mode of the old one: {}", target, std::strerror(errno)));
}

// A file that waits beside its place.
struct Part {
  std::string name;
  std::string target;
};

// Those that never take their places are gone in the end.
struct Parts {
  std::vector<Part> waiting;
  ~Parts() {
    for (const auto& part : waiting) ::unlink(part.name.c_str());
  }
};

std::unexpected<Error> cannot_replace(const std::string& path, std::string_view why) {
  return fail(Code::unavailable, fmt::format("cannot replace '{}': {}", path, why));
}

Status write_part(const NewFile& file, Parts& parts) {
  std::string target = file.path;
  std::optional<struct stat> old;
  std::error_code ec;
  if (fs::exists(fs::symlink_status(file.path, ec))) {
    target = fs::canonical(file.path, ec).string();
    if (ec) return cannot_replace(file.path, ec.message());
    if (::stat(target.c_str(), &old.emplace()) != 0) return cannot_replace(file.path, std::strerror(errno));
    if (!S_ISREG(old->st_mode)) return cannot_replace(file.path, "it is no regular file");
  }
  std::string name = target + ".XXXXXX";
  const int fd = ::mkostemp(name.data(), O_CLOEXEC);  // only its owner may read it
  if (fd < 0) return cannot_replace(file.path, std::strerror(errno));
  const std::unique_ptr<const int, void (*)(const int*)> closer(&fd, [](const int* open) { ::close(*open); });
  parts.waiting.push_back({std::move(name), target});
  if (old) RETURN_IF_ERROR(take_after(fd, target, *old));
  if ((!old && ::fchmod(fd, file.mode) != 0) || !write_all(fd, file.text) || ::fsync(fd) != 0)
    return cannot_replace(file.path, std::strerror(errno));
  return {};
}

bool sync_folder_of(const std::string& path) {
  const auto folder = fs::path(path).parent_path();
  const int fd = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return false;
  // Some file systems have no such thing.
  const bool done = ::fsync(fd) == 0 || errno == EINVAL;
  const int error = errno;
  ::close(fd);
  errno = error;
  return done;
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

Status replace_files(std::span<const NewFile> files) {
  Parts parts;
  for (const auto& file : files) RETURN_IF_ERROR(write_part(file, parts));
  for (std::size_t i = 0; i < files.size(); ++i) {
    const auto& [name, target] = parts.waiting.front();
    if (::rename(name.c_str(), target.c_str()) != 0 || !sync_folder_of(target)) {
      const std::string why = std::strerror(errno);
      if (i == 0) return cannot_replace(files[i].path, why);
      return cannot_replace(files[i].path,
                            fmt::format("{}; {} of {} files were replaced before it", why, i, files.size()));
    }
    parts.waiting.erase(parts.waiting.begin());
  }
  return {};
}

Result<std::string> read_file(const std::string& path, FileKind kind) {
  const auto refused = [&](Code code, std::string_view why) {
    return fail(code, fmt::format("cannot read '{}': {}", path, why));
  };
  // A pipe is not waited for before it is known to be one.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | (kind == FileKind::regular ? O_NONBLOCK : 0));
  if (fd < 0) return refused(Code::not_found, std::strerror(errno));
  const std::unique_ptr<const int, void (*)(const int*)> closer(&fd, [](const int* open) { ::close(*open); });
  struct stat status{};
  if (::fstat(fd, &status) != 0) return refused(Code::unavailable, std::strerror(errno));
  if (S_ISDIR(status.st_mode)) return refused(Code::invalid_argument, "it is a folder");
  if (kind == FileKind::regular && !S_ISREG(status.st_mode))
    return refused(Code::invalid_argument, "it is no regular file");
  std::string text;
  std::vector<char> piece(std::size_t{64} << 10);
  while (text.size() <= kMaxFile) {
    const auto n = ::read(fd, piece.data(), piece.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return refused(Code::unavailable, std::strerror(errno));
    if (n == 0) return text;
    text.append(piece.data(), static_cast<std::size_t>(n));
  }
  return refused(Code::invalid_argument, fmt::format("it has more than {} MiB", kMaxFile >> 20));
}

}  // namespace krake
