#include "main/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <signal.h>
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

// What waits beside a place is called TARGET.krake-part-XXXXXX, and the old file, when a new one has taken its place,
// TARGET.krake-part-XXXXXX.old.
constexpr std::string_view kPart = ".krake-part-";
constexpr std::string_view kOld = ".old";
constexpr std::size_t kMarkSize = 6;
constexpr std::string_view kMarkLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefghijklmnopqrstuvwxyz";
constexpr std::string_view kNoWordLetters = kMarkLetters.substr(0, 36);

// A word that somebody types (`backup`) is none.
bool is_mark(std::string_view text) {
  return text.size() == kMarkSize && text.find_first_not_of(kMarkLetters) == std::string_view::npos &&
         text.find_first_of(kNoWordLetters) != std::string_view::npos;
}

std::string new_mark() {
  std::string mark;
  while (!is_mark(mark)) {
    std::array<unsigned char, kMarkSize> bytes{};
    // Two of the same are refused by whoever makes the file: nothing depends on this.
    if (::getentropy(bytes.data(), bytes.size()) != 0) return "AAAAAA";
    mark.clear();
    for (const auto byte : bytes) mark += kMarkLetters[byte % kMarkLetters.size()];
  }
  return mark;
}

// `start`: as above, up to the mark.
bool is_part_name(std::string_view name, std::string_view start) {
  if (!name.starts_with(start)) return false;
  name.remove_prefix(start.size());
  if (name.ends_with(kOld)) name.remove_suffix(kOld.size());
  return is_mark(name);
}

// What an interruption has left beside a place.
struct Left {
  std::string name;  // in the folder
  bool is_target;    // it came between the two steps: another name of what is in the place
};

std::vector<Left> left_beside(const fs::path& target, const struct stat& old) {
  std::vector<Left> left;
  const auto start = target.filename().string() + std::string(kPart);
  std::error_code ec;
  for (fs::directory_iterator it(target.parent_path(), ec), end; !ec && it != end; it.increment(ec)) {
    const auto name = it->path().filename().string();
    struct stat status{};
    if (!is_part_name(name, start) || ::lstat(it->path().c_str(), &status) != 0) continue;
    if (!S_ISREG(status.st_mode) || (status.st_uid != old.st_uid && status.st_uid != ::geteuid())) continue;
    left.push_back({.name = name, .is_target = status.st_dev == old.st_dev && status.st_ino == old.st_ino});
  }
  std::ranges::sort(left, {}, &Left::name);
  return left;
}

// Where a file takes its place.
struct Place {
  fs::path target;  // behind all links
  struct stat old{};
  std::vector<Left> left = {};
};

// What stands beside a place: first the new file, and the old one when that has been replaced.
struct Part {
  fs::path target;
  int folder;        // opened
  std::string name;  // in that folder
  bool keep = false;
  std::string old_name() const { return name + std::string(kOld); }
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
    for (const auto& part : all) {
      ::unlinkat(part.folder, part.name.c_str(), 0);
      if (!part.keep) ::unlinkat(part.folder, part.old_name().c_str(), 0);
    }
    for (const auto& [path, fd] : folders) ::close(fd);
  }
};

std::unexpected<Error> cannot_replace(const std::string& path, std::string_view why) {
  return fail(Code::unavailable, fmt::format("cannot replace '{}': {}", path, why));
}

Result<Place> place_of(const std::string& path) {
  Place place;
  std::error_code ec;
  place.target = fs::canonical(path, ec);
  if (ec) return cannot_replace(path, ec.message());
  if (::stat(place.target.c_str(), &place.old) != 0) return cannot_replace(path, std::strerror(errno));
  if (!S_ISREG(place.old.st_mode)) return cannot_replace(path, "it is no regular file");
  place.left = left_beside(place.target, place.old);
  const auto own = static_cast<nlink_t>(std::ranges::count(place.left, true, &Left::is_target));
  if (place.old.st_nlink > own + 1) {
    return fail(Code::invalid_argument,
                fmt::format("cannot replace '{}': '{}' has {} names (hard links), and the others would keep the old "
                            "file; make copies or symbolic links of them ('find DIR -samefile FILE' lists them)",
                            path, place.target.string(), place.old.st_nlink));
  }
  return place;
}

// All that cannot be replaced are told. The last of two that are one file would take the place of the first.
Result<std::vector<Place>> places_of(std::span<const NewFile> files) {
  std::vector<Place> places;
  std::vector<Error> refused;
  for (const auto& file : files) {
    auto place = place_of(file.path);
    if (!place) {
      refused.push_back(std::move(place).error());
      places.emplace_back();
      continue;
    }
    const auto same = std::ranges::find(places, place->target, &Place::target);
    if (same != places.end()) {
      refused.push_back({Code::invalid_argument,
                         fmt::format("cannot replace '{}' and '{}': both are the file '{}'; each wants one of its own",
                                     files[static_cast<std::size_t>(same - places.begin())].path, file.path,
                                     place->target.string())});
    }
    places.push_back(std::move(*place));
  }
  if (refused.empty()) return places;
  std::vector<std::string> why;
  for (auto& error : refused) why.push_back(std::move(error.message));
  return fail(refused.front().code, fmt::format("{}", fmt::join(why, "; ")));
}

// A new file, which only its owner may read; -1: errno says why there is none.
int open_part(Part& part) {
  constexpr int kTries = 100;
  int fd = -1;
  for (int i = 0; i < kTries; ++i) {
    part.name = part.target.filename().string() + std::string(kPart) + new_mark();
    fd = ::openat(part.folder, part.name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0 || errno != EEXIST) return fd;
  }
  return fd;
}

Status write_part(const NewFile& file, const Place& place, Parts& parts) {
  const auto folder = place.target.parent_path();
  if (!parts.folders.contains(folder)) {
    const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return cannot_replace(file.path, fmt::format("its folder cannot be opened: {}", std::strerror(errno)));
    parts.folders.emplace(folder, fd);
  }
  Part part{.target = place.target, .folder = parts.folders.at(folder), .name = {}};
  const int fd = open_part(part);
  if (fd < 0) return cannot_replace(file.path, std::strerror(errno));
  const std::unique_ptr<const int, void (*)(const int*)> closer(&fd, [](const int* open) { ::close(*open); });
  parts.all.push_back(std::move(part));
  RETURN_IF_ERROR(take_after(fd, place.target.string(), place.old));
  if (!write_all(fd, file.text) || ::fsync(fd) != 0) return cannot_replace(file.path, std::strerror(errno));
  return {};
}

// A half done change is worse than one that may not be on the disk: it goes on.
void sync_folder(const Part& part, Parts& parts) {
  // Some file systems have no such thing.
  if (::fsync(part.folder) == 0 || errno == EINVAL || !parts.unsynced.empty()) return;
  parts.unsynced = fmt::format("it is unknown whether that is on the disk: folder '{}': {}",
                               part.target.parent_path().string(), std::strerror(errno));
}

// What goes back ends before the first that cannot: what was replaced together, a key and its certificate, stays
// together. What to say of those that stay; the old ones may be the only ones.
std::string keep_old(Parts& parts, int error) {
  std::vector<std::string> old;
  for (std::size_t i = 0; i < parts.done; ++i) {
    auto& part = parts.all[i];
    part.keep = true;
    old.push_back(fmt::format("'{}'", (part.target.parent_path() / part.old_name()).string()));
  }
  return fmt::format("; '{}' does not go back ({}): it stays replaced, and so do those before it; the old files are {}",
                     parts.all[parts.done - 1].target.string(), std::strerror(error), fmt::join(old, ", "));
}

// All that have taken their places go back, the last one first; what to say of it.
std::string take_back(Parts& parts) {
  std::string said = "; none is replaced";
  while (parts.done > 0) {
    const auto& part = parts.all[parts.done - 1];
    if (::renameat(part.folder, part.old_name().c_str(), part.folder, part.target.filename().c_str()) != 0) {
      said = keep_old(parts, errno);
      break;
    }
    --parts.done;
    sync_folder(part, parts);
  }
  return parts.unsynced.empty() ? said : fmt::format("{}; {}", said, parts.unsynced);
}

// The second name first: there is no time at which the old file or the place is without one. An exchange of both would
// do as well, but NFS has none.
Status take_place(const NewFile& file, const Part& part, Parts& parts) {
  const auto target = part.target.filename();
  if (::linkat(part.folder, target.c_str(), part.folder, part.old_name().c_str(), 0) != 0) {
    const int error = errno;
    return cannot_replace(file.path,
                          fmt::format("it gets no second name (hard link), which keeps the old file until all are "
                                      "replaced: {}; it must not be immutable or a mount point, and its file system "
                                      "must have hard links{}",
                                      std::strerror(error), take_back(parts)));
  }
  if (::renameat(part.folder, part.name.c_str(), part.folder, target.c_str()) != 0) {
    const int error = errno;
    return cannot_replace(file.path, fmt::format("{}{}", std::strerror(error), take_back(parts)));
  }
  ++parts.done;
  sync_folder(part, parts);
  return {};
}

}  // namespace

SignalsBlocked::SignalsBlocked() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, signal);
  ::pthread_sigmask(SIG_BLOCK, &signals, &before_);
}

SignalsBlocked::~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

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

Result<std::string> replace_files(std::span<const NewFile> files) {
  const SignalsBlocked blocked;
  ASSIGN_OR_RETURN(const auto places, places_of(files));
  Parts parts;
  for (std::size_t i = 0; i < files.size(); ++i) RETURN_IF_ERROR(write_part(files[i], places[i], parts));
  for (std::size_t i = 0; i < files.size(); ++i) RETURN_IF_ERROR(take_place(files[i], parts.all[i], parts));
  for (std::size_t i = 0; i < files.size(); ++i)
    for (const auto& left : places[i].left) ::unlinkat(parts.all[i].folder, left.name.c_str(), 0);
  return parts.unsynced;
}

std::string why_not_replaced(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode) || status.st_nlink < 2) return "";
  const auto place = place_of(path);
  return place ? "" : place.error().message;
}

std::vector<std::string> left_parts(const std::string& path) {
  std::vector<std::string> parts;
  std::error_code ec;
  const auto target = fs::canonical(path, ec);
  struct stat status{};
  if (ec || ::stat(target.c_str(), &status) != 0) return parts;
  for (const auto& left : left_beside(target, status)) parts.push_back((target.parent_path() / left.name).string());
  return parts;
}

FolderLocks::~FolderLocks() {
  for (const auto& one : held_) ::close(one.fd);
}

Status FolderLocks::add(const std::string& folder, Kind kind) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    return fail(Code::not_found, fmt::format("cannot open the folder '{}': {}", folder, std::strerror(errno)));
  struct stat status{};
  const bool known = ::fstat(fd, &status) == 0;
  const bool have = known && std::ranges::any_of(held_, [&](const Held& one) {
                      return one.device == status.st_dev && one.number == status.st_ino;
                    });
  if (!have && known && ::flock(fd, (kind == Kind::alone ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0) {
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
  if (fd < 0) {
    const bool none = errno == ENOENT || errno == ENOTDIR || errno == ELOOP;
    return refused(none ? Code::not_found : Code::unavailable, std::strerror(errno));
  }
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
