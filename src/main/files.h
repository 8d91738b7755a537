// Files as a whole: written whole or not at all, and read up to a limit.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace krake {

// `mode` as for chmod, from the first byte on. already_exists when there is a file and it is not to be replaced;
// unavailable when it cannot be written.
Status write_whole_file(const std::string& path, std::string_view text, unsigned mode, bool replace);

// SIGINT, SIGTERM and SIGHUP of this thread: who wants to end the process waits as long as this is there.
class SignalsBlocked {
 public:
  SignalsBlocked();
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;
  ~SignalsBlocked();

 private:
  sigset_t before_{};
};

struct NewFile {
  std::string path;
  std::string text;
  friend bool operator==(const NewFile&, const NewFile&) = default;
};
// Each takes the place of the file that is there, or of the one its symbolic link leads to, with the owner, the mode
// and the access control list of that one, which the text never has less of. All are written, beside their places,
// before the first takes its own; then one after the other does, in their order, and is on the disk before the next.
// The old one keeps a second name (a hard link) until all are in place; when one cannot be, the others go back, or,
// when one of them cannot go back, that one and those before it stay, and the old ones, too. What an earlier call that
// was interrupted has left beside the same files is removed when all are in place: no other process may do the same at
// the same time (FolderLocks). SIGINT, SIGTERM and SIGHUP wait until it is done.
// The value is empty, or why it is unknown whether all that, which is done, is on the disk.
// Errors: invalid_argument when two are one file behind their links, or one has another hard link, which would keep the
// old text: nothing is written then, and all of them are told; unavailable when one is not there or cannot be replaced.
Result<std::string> replace_files(std::span<const NewFile> files);
// Why replace_files() refuses the file that `path` leads to for its hard links; empty when it does not.
std::string why_not_replaced(const std::string& path);
// The files that an interrupted call has left beside the one that `path` leads to, in order: with new text, or, called
// *.old, the old file.
std::vector<std::string> left_parts(const std::string& path);

// Folders of which another process that asks does not get the same, as long as this is there.
class FolderLocks {
 public:
  // Those who share a folder exclude only one who wants it alone.
  enum class Kind : std::uint8_t { alone, shared };
  FolderLocks() = default;
  FolderLocks(const FolderLocks&) = delete;
  FolderLocks& operator=(const FolderLocks&) = delete;
  ~FolderLocks();
  // Without waiting; a folder that it has already counts once, whatever its name. Errors: not_found when it cannot be
  // opened; conflict when another process has it; unavailable when it cannot be locked.
  Status add(const std::string& folder, Kind kind = Kind::alone);

 private:
  struct Held {
    dev_t device;
    ino_t number;
    int fd;
  };
  std::vector<Held> held_;
};

inline constexpr std::size_t kMaxFile = std::size_t{64} << 20;
// `any` waits for whoever is at the other end of a pipe: not for a server that runs.
enum class FileKind : std::uint8_t { any, regular };
// Errors: not_found when there is none, also behind a link; invalid_argument when it is a folder, not of that kind, or
// larger than kMaxFile; unavailable when it cannot be opened or reading fails.
Result<std::string> read_file(const std::string& path, FileKind kind = FileKind::any);

}  // namespace krake
