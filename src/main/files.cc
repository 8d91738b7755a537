#include "main/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
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

// Where a file takes its place.
struct Place {
  std::string target;  // behind all links
  std::optional<struct stat> old;
};

// A file that waits beside its place.
struct Part {
  std::string name;
  std::string target;
  int folder;
};

// Those that never take their places are gone in the end.
struct Parts {
  std::vector<Part> all;
  std::size_t done = 0;             // so many of them are where they belong
  std::map<fs::path, int> folders;  // opened
  Parts() = default;
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;
  ~Parts() {
    for (auto i = done; i < all.size(); ++i) ::unlink(all[i].name.c_str());
    for (const auto& [path, fd] : folders) ::close(fd);
  }
};

std::unexpected<Error> cannot_replace(const std::string& path, std::string_view why) {
  return fail(Code::unavailable, fmt::format("cannot replace '{}': {}", path, why));
}

Result<Place> place_of(const std::string& path) {
  Place place{.target = path};
  std::error_code ec;
  if (!fs::exists(fs::symlink_status(path, ec))) {
    // Its folder may be called by two names.
    const auto folder = fs::canonical(fs::absolute(path, ec).parent_path(), ec);
    if (ec) return cannot_replace(path, fmt::format("its folder cannot be found: {}", ec.message()));
    place.target = (folder / fs::path(path).filename()).string();
    return place;
  }
  place.target = fs::canonical(path, ec).string();
  if (ec) return cannot_replace(path, ec.message());
  if (::stat(place.target.c_str(), &place.old.emplace()) != 0) return cannot_replace(path, std::strerror(errno));
  if (!S_ISREG(place.old->st_mode)) return cannot_replace(path, "it is no regular file");
  return place;
}

// The last of two would take the place of the first.
Result<std::vector<Place>> places_of(std::span<const NewFile> files) {
  std::vector<Place> places;
  for (const auto& file : files) {
    ASSIGN_OR_RETURN(auto place, place_of(file.path));
    const auto same = std::ranges::find(places, place.target, &Place::target);
    if (same != places.end()) {
      return fail(Code::invalid_argument,
                  fmt::format("cannot replace '{}' and '{}': both are the file '{}'; each wants "
                              "one of its own",
                              files[static_cast<std::size_t>(same - places.begin())].path, file.path, place.target));
    }
    places.push_back(std::move(place));
  }
  return places;
}

Status write_part(const NewFile& file, const Place& place, Parts& parts) {
  const auto folder = fs::path(place.target).parent_path();
  if (!parts.folders.contains(folder)) {
    const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return cannot_replace(file.path, fmt::format("its folder cannot be opened: {}", std::strerror(errno)));
    parts.folders.emplace(folder, fd);
  }
  std::string name = place.target + ".XXXXXX";
  const int fd = ::mkostemp(name.data(), O_CLOEXEC);  // only its owner may read it
  if (fd < 0) return cannot_replace(file.path, std::strerror(errno));
  const std::unique_ptr<const int, void (*)(const int*)> closer(&fd, [](const int* open) { ::close(*open); });
  parts.all.push_back({std::move(name), place.target, parts.folders.at(folder)});
  if (place.old) RETURN_IF_ERROR(take_after(fd, place.target, *place.old));
  if ((!place.old && ::fchmod(fd, file.mode) != 0) || !write_all(fd, file.text) || ::fsync(fd) != 0)
    return cannot_replace(file.path, std::strerror(errno));
  return {};
}

Status take_place(const NewFile& file, const Part& part, Parts& parts) {
  const auto so_far = [&] {
    return parts.done == 0 ? "" : fmt::format("; {} of {} files are replaced", parts.done, parts.all.size());
  };
  if (::rename(part.name.c_str(), part.target.c_str()) != 0)
    return cannot_replace(file.path, fmt::format("{}{}", std::strerror(errno), so_far()));
  ++parts.done;
  // Some file systems have no such thing.
  if (::fsync(part.folder) == 0 || errno == EINVAL) return {};
  return fail(Code::unavailable, fmt::format("'{}' is replaced, but it is unknown whether that is on the disk: {}{}",
                                             file.path, std::strerror(errno), so_far()));
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
  ASSIGN_OR_RETURN(const auto places, places_of(files));
  Parts parts;
  for (std::size_t i = 0; i < files.size(); ++i) RETURN_IF_ERROR(write_part(files[i], places[i], parts));
  for (std::size_t i = 0; i < files.size(); ++i) RETURN_IF_ERROR(take_place(files[i], parts.all[i], parts));
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
