#include "main/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
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

// How a file that waits beside its place is called. Not `NAME.XXXXXX` alone, as somebody's NAME.backup is.
constexpr std::string_view kPart = ".krake-XXXXXX";

// What stands beside a place: first the new file, and the old one when they have changed places.
struct Part {
  fs::path target;
  std::string name;  // in the folder of the target
  int folder;        // opened
  bool is_new;       // there is no old one
  uid_t owner;       // of the target
  bool keep = false;
};

// They are gone in the end.
struct Parts {
  std::vector<Part> all;
  std::size_t done = 0;             // so many of them are where they belong
  std::map<fs::path, int> folders;  // opened
  std::string unsynced = {};        // of which folder it is unknown whether its entries are on the disk, and why
  Parts() = default;
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;
  ~Parts() {
    for (const auto& part : all)
      if (!part.keep) ::unlinkat(part.folder, part.name.c_str(), 0);
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
  if (place.old->st_nlink > 1) {
    return fail(Code::invalid_argument,
                fmt::format("cannot replace '{}': '{}' has {} names (hard links), and the others would keep the old "
                            "file; make copies or symbolic links of them ('find DIR -samefile FILE' lists them)",
                            path, place.target, place.old->st_nlink));
  }
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
  std::string name = place.target + std::string(kPart);
  const int fd = ::mkostemp(name.data(), O_CLOEXEC);  // only its owner may read it
  if (fd < 0) return cannot_replace(file.path, std::strerror(errno));
  const std::unique_ptr<const int, void (*)(const int*)> closer(&fd, [](const int* open) { ::close(*open); });
  parts.all.push_back({.target = place.target,
                       .name = fs::path(name).filename().string(),
                       .folder = parts.folders.at(folder),
                       .is_new = !place.old,
                       .owner = place.old ? place.old->st_uid : ::geteuid()});
  if (place.old) RETURN_IF_ERROR(take_after(fd, place.target, *place.old));
  if ((!place.old && ::fchmod(fd, file.mode) != 0) || !write_all(fd, file.text) || ::fsync(fd) != 0)
    return cannot_replace(file.path, std::strerror(errno));
  return {};
}

// 0 or errno.
int trade_places(const Part& part, bool back) {
  const auto target = part.target.filename();
  const auto* from = back ? target.c_str() : part.name.c_str();
  const auto* to = back ? part.name.c_str() : target.c_str();
  return ::renameat2(part.folder, from, part.folder, to, part.is_new ? 0 : RENAME_EXCHANGE) == 0 ? 0 : errno;
}

// A half done change is worse than one that may not be on the disk: it goes on.
void sync_folder(const Part& part, Parts& parts) {
  // Some file systems have no such thing.
  if (::fsync(part.folder) == 0 || errno == EINVAL || !parts.unsynced.empty()) return;
  parts.unsynced = fmt::format("it is unknown whether that is on the disk: folder '{}': {}",
                               part.target.parent_path().string(), std::strerror(errno));
}

// All that have taken their places go back, the last one first; what to say of it.
std::string take_back(Parts& parts) {
  std::string stuck;
  while (parts.done > 0) {
    auto& part = parts.all[--parts.done];
    if (const int error = trade_places(part, true); error != 0) {
      part.keep = !part.is_new;
      stuck += fmt::format(
          "; '{}' is replaced and does not go back ({}){}", part.target.string(), std::strerror(error),
          part.keep ? fmt::format(": the old one is '{}'", (part.target.parent_path() / part.name).string()) : "");
    }
    sync_folder(part, parts);
  }
  if (stuck.empty()) stuck = "; none is replaced";
  return parts.unsynced.empty() ? stuck : fmt::format("{}; {}", stuck, parts.unsynced);
}

Status take_place(const NewFile& file, const Part& part, Parts& parts) {
  const int error = trade_places(part, false);
  if (error == 0) {
    ++parts.done;
    sync_folder(part, parts);
    return {};
  }
  const bool no_exchange = !part.is_new && (error == EINVAL || error == ENOSYS);
  return cannot_replace(
      file.path,
      fmt::format("{}{}",
                  no_exchange ? "its file system cannot exchange two files, without which a change that fails "
                                "half-way could not be taken back: move the folder to one that can (ext4, XFS, "
                                "Btrfs, tmpfs)"
                              : std::strerror(error),
                  take_back(parts)));
}

// A part of one of these files, of whoever makes them.
bool is_part_of(const fs::path& path, const Parts& parts) {
  constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  constexpr auto kMark = kPart.substr(0, kPart.find('X'));
  const auto text = path.string();
  if (text.size() < kPart.size()) return false;
  const auto at = text.size() - kPart.size();
  if (std::string_view(text).substr(at, kMark.size()) != kMark ||
      text.find_first_not_of(kLetters, at + kMark.size()) != std::string::npos) {
    return false;
  }
  const auto part = std::ranges::find(parts.all, fs::path(text.substr(0, at)), &Part::target);
  struct stat status{};
  return part != parts.all.end() && ::lstat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
         status.st_nlink == 1 && (status.st_uid == part->owner || status.st_uid == ::geteuid());
}

void remove_stale_parts(const Parts& parts) {
  for (const auto& [folder, fd] : parts.folders) {
    std::error_code ec;
    std::vector<fs::path> stale;
    for (fs::directory_iterator it(folder, ec), end; !ec && it != end; it.increment(ec))
      if (is_part_of(it->path(), parts)) stale.push_back(it->path());
    for (const auto& path : stale) ::unlink(path.c_str());
  }
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
  remove_stale_parts(parts);
  if (parts.unsynced.empty()) return {};
  return fail(Code::unavailable, fmt::format("all {} files are replaced, but {}", files.size(), parts.unsynced));
}

FolderLocks::~FolderLocks() {
  for (const auto& one : held_) ::close(one.fd);
}

Status FolderLocks::add(const std::string& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    return fail(Code::not_found, fmt::format("cannot open the folder '{}': {}", folder, std::strerror(errno)));
  struct stat status{};
  const bool known = ::fstat(fd, &status) == 0;
  const bool have = known && std::ranges::any_of(held_, [&](const Held& one) {
                      return one.device == status.st_dev && one.number == status.st_ino;
                    });
  if (!have && known && ::flock(fd, LOCK_EX | LOCK_NB) == 0) {
    held_.push_back({.device = status.st_dev, .number = status.st_ino, .fd = fd});
    return {};
  }
  const int error = errno;
  ::close(fd);
  if (have) return {};
  if (error == EWOULDBLOCK) {
    return fail(Code::conflict,
                fmt::format("another process works on the folder '{}' and has it locked ('lslocks' names "
                            "it); give the command again when that has ended",
                            folder));
  }
  return fail(Code::unavailable, fmt::format("cannot lock the folder '{}': {}; move it to a file system that has flock",
                                             folder, std::strerror(error)));
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
