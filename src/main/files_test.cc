#include "main/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "main/faults_testing.h"

namespace krake {
namespace {

namespace fs = std::filesystem;
using testing::Fault;
using testing::has_faults;
using ::testing::HasSubstr;
using testing::holds_with;
using testing::next_fd;

struct ReadFile : ::testing::Test {
  ReadFile() { fs::create_directories(dir); }
  ~ReadFile() override { fs::remove_all(dir); }
  std::string path(const char* name) const { return (dir / name).string(); }
  static void refused(const std::string& path, FileKind kind, Code code, std::string_view why) {
    const auto text = read_file(path, kind);
    ASSERT_FALSE(text) << path;
    EXPECT_EQ(text.error().code, code) << text.error().message;
    EXPECT_THAT(text.error().message, HasSubstr(fmt::format("cannot read '{}': {}", path, why)));
  }
  const fs::path dir = fs::path(::testing::TempDir()) / fmt::format("krake-files-{}", ::getpid());
};

TEST_F(ReadFile, ReadsAllOfIt) {
  for (const std::string& text : {std::string(), std::string("a\0b\n", 4), std::string(200'000, 'x')}) {
    ASSERT_TRUE(write_whole_file(path("file"), text, 0600, true));
    for (const auto kind : {FileKind::any, FileKind::regular}) EXPECT_EQ(read_file(path("file"), kind).value(), text);
  }
}

TEST_F(ReadFile, SaysWhatCannotBeRead) {
  for (const auto kind : {FileKind::any, FileKind::regular}) {
    refused(path("none"), kind, Code::not_found, "No such file");
    refused(dir.string(), kind, Code::invalid_argument, "it is a folder");
    // A disk that fails in the middle: nothing is mapped at the beginning of a process's memory.
    refused("/proc/self/mem", kind, Code::unavailable, "Input/output error");
    ASSERT_TRUE(write_whole_file(path("large"), "", 0600, true));
    fs::resize_file(path("large"), kMaxFile);
    EXPECT_TRUE(read_file(path("large"), kind));
    fs::resize_file(path("large"), kMaxFile + 1);
    refused(path("large"), kind, Code::invalid_argument, "it has more than 64 MiB");
  }
  fs::create_symlink("nowhere", dir / "loose");
  fs::create_symlink("circle", dir / "circle");
  for (const auto* none : {"loose", "circle", "large/file"})
    EXPECT_EQ(read_file(path(none)).error().code, Code::not_found) << none;
  // There may be one, and nobody knows.
  const std::string long_name(300, 'x');
  refused(path(long_name.c_str()), FileKind::any, Code::unavailable, "File name too long");
  refused("/dev/zero", FileKind::any, Code::invalid_argument, "it has more than 64 MiB");
  refused("/dev/zero", FileKind::regular, Code::invalid_argument, "it is no regular file");
}

TEST_F(ReadFile, TakesAPipeWhereItMayBeOne) {
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  refused(path("pipe"), FileKind::regular, Code::invalid_argument, "it is no regular file");
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ASSERT_EQ(::write(ends[1], "piped", 5), 5);
  ::close(ends[1]);
  EXPECT_EQ(read_file(fmt::format("/dev/fd/{}", ends[0])).value(), "piped");
  ::close(ends[0]);
}

struct ReplaceFiles : ReadFile {
  void write(const char* name, std::string_view text, unsigned mode) {
    ASSERT_TRUE(write_whole_file(path(name), text, mode, true));
  }
  std::string text(const char* name) const { return read_file(path(name)).value_or("none"); }
  struct stat status(const char* name) const {
    struct stat status{};
    EXPECT_EQ(::stat(path(name).c_str(), &status), 0) << name;
    return status;
  }
  unsigned mode(const char* name) const { return status(name).st_mode & 07777; }
  std::size_t entries() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(dir), fs::directory_iterator()));
  }
};

TEST_F(ReplaceFiles, KeepsModes) {
  write("key", "old", 0440);
  write("cert", "old", 0664);
  const std::vector<NewFile> files{{path("key"), "new key"}, {path("cert"), "new cert"}};
  const auto done = replace_files(files);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(*done, "");
  EXPECT_EQ(text("key"), "new key");
  EXPECT_EQ(mode("key"), 0440U);
  EXPECT_EQ(text("cert"), "new cert");
  EXPECT_EQ(mode("cert"), 0664U);
  EXPECT_EQ(entries(), 2U);
  EXPECT_TRUE(replace_files({}));
}

TEST_F(ReplaceFiles, FollowsSymbolicLinks) {
  fs::create_directory(dir / "far");
  write("far/key", "old", 0400);
  fs::create_symlink("far/key", dir / "key");
  fs::create_symlink("key", dir / "alias");
  ASSERT_TRUE(replace_files(std::vector<NewFile>{{path("alias"), "new"}}));
  EXPECT_EQ(text("far/key"), "new");
  EXPECT_EQ(mode("far/key"), 0400U);
  EXPECT_EQ(fs::read_symlink(dir / "alias"), "key");
  EXPECT_EQ(fs::read_symlink(dir / "key"), "far/key");
}

TEST_F(ReplaceFiles, ReplacesNoneWhenOneCannotBeWritten) {
  write("key", "old", 0600);
  fs::create_symlink("nowhere", dir / "loose");
  fs::create_directory(dir / "folder");
  for (const auto* bad : {"loose", "folder", "no/such", "vanished"}) {
    const auto done = replace_files(std::vector<NewFile>{{path("key"), "new"}, {path(bad), "new"}});
    ASSERT_FALSE(done) << bad;
    EXPECT_EQ(done.error().code, Code::unavailable);
    EXPECT_THAT(done.error().message, HasSubstr(fmt::format("cannot replace '{}': ", path(bad))));
    EXPECT_EQ(text("key"), "old");
    EXPECT_EQ(entries(), 3U) << "nothing is left beside them";
  }
}

TEST_F(ReplaceFiles, RefusesTwoThatAreOneFile) {
  write("a", "old", 0600);
  fs::create_symlink("a", dir / "b");
  fs::create_directory_symlink(".", dir / "same");
  const std::vector<std::pair<const char*, const char*>> rows{
      {"a", "b"}, {"b", "a"}, {"a", "a"}, {"a", "same/a"}, {"same/b", "a"}};
  for (const auto& [first, second] : rows) {
    const auto done = replace_files(std::vector<NewFile>{{path(first), "1"}, {path(second), "2"}});
    ASSERT_FALSE(done) << first << " " << second;
    EXPECT_EQ(done.error().code, Code::invalid_argument);
    EXPECT_THAT(done.error().message,
                HasSubstr(fmt::format("cannot replace '{}' and '{}': both are the file '", path(first), path(second))));
    EXPECT_EQ(text("a"), "old");
    EXPECT_EQ(entries(), 3U);
  }
}

TEST_F(ReplaceFiles, FindsAFolderThatCannotBeOpenedFirst) {
  // Files can be made in it, but its entries cannot be brought to the disk.
  const auto refused = [&] {
    const auto done = replace_files(std::vector<NewFile>{{path("key"), "new"}, {path("far/cert"), "new"}});
    return !done && done.error().message.contains("its folder cannot be opened: ");
  };
  write("key", "old", 0600);
  fs::create_directory(dir / "far");
  write("far/cert", "old", 0600);
  const auto child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    constexpr uid_t kNobody = 65534;
    if (::geteuid() == 0) {
      for (const auto* name : {"", "far", "key", "far/cert"})
        if (::chown(path(name).c_str(), kNobody, kNobody) != 0) ::_exit(2);
      if (::setgid(kNobody) != 0 || ::setuid(kNobody) != 0) ::_exit(3);
    }
    fs::permissions(dir / "far", fs::perms::owner_write | fs::perms::owner_exec);
    const bool as_wanted = refused();
    fs::permissions(dir / "far", fs::perms::owner_all);
    ::_exit(as_wanted ? 0 : 1);
  }
  int ended = 0;
  ASSERT_EQ(::waitpid(child, &ended, 0), child);
  EXPECT_EQ(ended, 0);
  EXPECT_EQ(text("key"), "old");
  EXPECT_EQ(text("far/cert"), "old");
  EXPECT_EQ(entries(), 2U);
}

TEST_F(ReplaceFiles, PutsTheOthersBackWhenOneCannotBeReplaced) {
  write("key", "old", 0600);
  write("cert", "old", 0600);
  // Such a file lets none take its place.
  const auto immutable = [&](bool on) {
    const int fd = ::open(path("cert").c_str(), O_RDONLY | O_CLOEXEC);
    int flags = 0;
    bool done = ::ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0;
    flags = on ? flags | FS_IMMUTABLE_FL : flags & ~FS_IMMUTABLE_FL;
    done = done && ::ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0;
    ::close(fd);
    return done;
  };
  if (!immutable(true)) GTEST_SKIP() << "needs root and a file system that has such files";
  const auto done = replace_files(std::vector<NewFile>{{path("key"), "new"}, {path("cert"), "new"}});
  EXPECT_TRUE(immutable(false));
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message, HasSubstr(fmt::format("cannot replace '{}': ", path("cert"))));
  EXPECT_THAT(done.error().message, HasSubstr("; none is replaced"));
  EXPECT_EQ(text("key"), "old");
  EXPECT_EQ(text("cert"), "old");
  EXPECT_EQ(entries(), 2U);
}

TEST_F(ReplaceFiles, PutsTheOthersBackInReverseOrder) {
  if (!has_faults()) GTEST_SKIP() << "needs seccomp";
  fs::create_directory(dir / "far");
  write("key", "old key", 0600);
  write("cert", "old cert", 0600);
  write("far/cert", "old", 0600);
  const std::vector<NewFile> files{{path("key"), "new"}, {path("cert"), "new"}, {path("far/cert"), "new"}};
  // The folder of the last one is opened as the second.
  const auto refused = [&](unsigned call, int error, std::string_view why) {
    return holds_with({.call = call, .argument = 0, .value = next_fd() + 1, .error = error}, [&] {
      const auto done = replace_files(files);
      return !done && done.error().code == Code::unavailable &&
             done.error().message.starts_with(fmt::format("cannot replace '{}': {}", path("far/cert"), why)) &&
             done.error().message.ends_with("; none is replaced");
    });
  };
  EXPECT_TRUE(refused(SYS_renameat, EBUSY, "Device or resource busy"));
  EXPECT_TRUE(refused(SYS_linkat, EXDEV,
                      "it gets no second name (hard link), which keeps the old file until all are "
                      "replaced: Invalid cross-device link; it must not be immutable or a mount"));
  EXPECT_EQ(text("key"), "old key");
  EXPECT_EQ(text("cert"), "old cert");
  EXPECT_EQ(text("far/cert"), "old");
  EXPECT_EQ(entries(), 3U);
  EXPECT_EQ(status("key").st_nlink, 1U);
  EXPECT_TRUE(left_parts(path("far/cert")).empty());
}

// Whether the kernel sends `signal` for each such change in a folder, to whoever asks for it.
bool is_notified(const fs::path& folder, int signal, int changes) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return ::fcntl(fd, F_SETSIG, signal) == 0 && ::fcntl(fd, F_NOTIFY, changes) == 0;
}

int renamed = 0;
unsigned renamed_in = 0;
void after_two_nothing_is_renamed(int /*signal*/) {
  if (++renamed == 2)
    (void)testing::install({.call = SYS_renameat, .argument = 0, .value = renamed_in, .error = EBUSY});
}

TEST_F(ReplaceFiles, KeepsWhatDoesNotGoBackAsItIsTogether) {
  if (!has_faults() || !testing::holds_in_child([&] { return is_notified(dir, SIGUSR1, DN_RENAME); }))
    GTEST_SKIP() << "needs seccomp and dnotify";
  for (const auto* name : {"key", "cert", "more"}) write(name, fmt::format("old {}", name), 0600);
  EXPECT_TRUE(testing::holds_in_child([&] {
    (void)std::signal(SIGUSR1, after_two_nothing_is_renamed);
    if (!is_notified(dir, SIGUSR1, DN_RENAME | DN_MULTISHOT)) return false;
    renamed_in = next_fd();
    const auto done =
        replace_files(std::vector<NewFile>{{path("key"), "new"}, {path("cert"), "new"}, {path("more"), "new"}});
    const auto key = left_parts(path("key"));
    const auto cert = left_parts(path("cert"));
    return !done && key.size() == 1 && cert.size() == 1 &&
           done.error().message ==
               fmt::format(
                   "cannot replace '{}': Device or resource busy; '{}' does not go back (Device or resource "
                   "busy): it stays replaced, and so do those before it; the old files are '{}', '{}'",
                   path("more"), fs::canonical(path("cert")).string(), key[0], cert[0]);
  }));
  EXPECT_EQ(text("key"), "new");
  EXPECT_EQ(text("cert"), "new") << "they stay a pair";
  EXPECT_EQ(text("more"), "old more");
  EXPECT_EQ(entries(), 5U);
  for (const auto* name : {"key", "cert"}) {
    const auto left = left_parts(path(name));
    ASSERT_EQ(left.size(), 1U);
    EXPECT_EQ(read_file(left[0]).value(), fmt::format("old {}", name));
  }
}

TEST_F(ReplaceFiles, GoesOnWhenAFolderCannotBeSynced) {
  if (!has_faults()) GTEST_SKIP() << "needs seccomp";
  write("key", "old", 0600);
  write("cert", "old", 0600);
  const Fault fault{.call = SYS_fsync, .argument = 0, .value = next_fd(), .error = EIO};
  EXPECT_TRUE(holds_with(fault, [&] {
    const auto done = replace_files(std::vector<NewFile>{{path("key"), "new"}, {path("cert"), "new"}});
    return done && done->starts_with("it is unknown whether that is on the disk: folder '");
  }));
  EXPECT_EQ(text("key"), "new");
  EXPECT_EQ(text("cert"), "new");
  EXPECT_EQ(entries(), 2U);
}

TEST_F(ReplaceFiles, EndsBeforeASignalDoes) {
  if (!testing::holds_in_child([&] { return is_notified(dir, SIGTERM, DN_CREATE); })) GTEST_SKIP() << "needs dnotify";
  write("key", "old", 0600);
  write("cert", "old", 0600);
  const auto child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    // It comes when the first file is made beside them.
    if (!is_notified(dir, SIGTERM, DN_CREATE)) ::_exit(1);
    (void)replace_files(std::vector<NewFile>{{path("key"), "new"}, {path("cert"), "new"}});
    ::_exit(2);
  }
  int ended = 0;
  ASSERT_EQ(::waitpid(child, &ended, 0), child);
  EXPECT_TRUE(WIFSIGNALED(ended) && WTERMSIG(ended) == SIGTERM);
  EXPECT_EQ(text("key"), "new");
  EXPECT_EQ(text("cert"), "new");
  EXPECT_EQ(entries(), 2U);
}

TEST_F(ReplaceFiles, RefusesHardLinks) {
  write("key", "old", 0600);
  write("cert", "old", 0600);
  fs::create_hard_link(dir / "cert", dir / "other");
  const auto done = replace_files(std::vector<NewFile>{{path("key"), "new"}, {path("cert"), "new"}});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Code::invalid_argument);
  EXPECT_THAT(done.error().message, HasSubstr(fmt::format("cannot replace '{}': '", path("cert"))));
  EXPECT_THAT(done.error().message, HasSubstr("has 2 names (hard links)"));
  EXPECT_EQ(text("key"), "old");
  EXPECT_EQ(entries(), 3U);
  EXPECT_THAT(why_not_replaced(path("cert")), HasSubstr("has 2 names (hard links)"));
  for (const auto* other : {"key", "none", ""}) EXPECT_EQ(why_not_replaced(path(other)), "") << other;
}

TEST_F(ReplaceFiles, TellsAllThatCannotBeReplaced) {
  write("key", "old", 0600);
  write("cert", "old", 0600);
  fs::create_hard_link(dir / "key", dir / "other");
  fs::create_symlink("cert", dir / "alias");
  const auto done = replace_files(
      std::vector<NewFile>{{path("key"), "new"}, {path("cert"), "new"}, {path("none"), "new"}, {path("alias"), "new"}});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Code::invalid_argument) << "that of the first";
  EXPECT_THAT(done.error().message, HasSubstr(fmt::format("cannot replace '{}': '", path("key"))));
  EXPECT_THAT(done.error().message, HasSubstr(fmt::format("; cannot replace '{}': ", path("none"))));
  EXPECT_THAT(done.error().message,
              HasSubstr(fmt::format("; cannot replace '{}' and '{}': both are", path("cert"), path("alias"))));
  EXPECT_EQ(text("key"), "old");
  EXPECT_EQ(text("cert"), "old");
  EXPECT_EQ(entries(), 4U);
}

TEST_F(ReplaceFiles, RemovesWhatAnInterruptionLeft) {
  fs::create_directory(dir / "key.krake-part-fo1der");
  for (const auto* name : {"key", "key.krake-part-aB3dE6", "key.krake-part-backu9.old", "key.krake-backup",
                           "key.krake-part-backup", "key.krake-part-aB3dE6.new", "key.krake-part-aB3dE67",
                           "key.krake-part-a-3dE6", "key.backup", "other.krake-part-aB3dE6", "cert.krake-part-aB3dE6"})
    write(name, "old", 0600);
  fs::create_symlink("key", dir / "key.krake-part-l1nked");
  fs::create_symlink("key", dir / "alias");
  const auto real = fs::canonical(dir);
  const std::vector<std::string> left{real / "key.krake-part-aB3dE6", real / "key.krake-part-backu9.old"};
  EXPECT_EQ(left_parts(path("alias")), left);
  EXPECT_TRUE(left_parts(path("none")).empty());
  ASSERT_TRUE(replace_files(std::vector<NewFile>{{path("key"), "new"}}));
  for (const auto& gone : left) EXPECT_FALSE(fs::exists(gone)) << gone;
  EXPECT_EQ(text("key"), "new");
  EXPECT_EQ(entries(), 12U) << "what is not of this file, or only looks like it, stays";
}

TEST_F(ReplaceFiles, GoesOnAfterTheSecondName) {
  // Interrupted between the two steps.
  write("key", "old", 0600);
  fs::create_hard_link(dir / "key", dir / "key.krake-part-aB3dE6.old");
  EXPECT_EQ(why_not_replaced(path("key")), "");
  const auto done = replace_files(std::vector<NewFile>{{path("key"), "new"}});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(text("key"), "new");
  EXPECT_EQ(entries(), 1U);
  fs::create_hard_link(dir / "key", dir / "key.krake-part-aB3dE6.old");
  fs::create_hard_link(dir / "key", dir / "other");
  EXPECT_FALSE(replace_files(std::vector<NewFile>{{path("key"), "newer"}})) << "that one is somebody's";
  EXPECT_EQ(entries(), 3U);
}

TEST_F(ReplaceFiles, LocksAFolderOnce) {
  fs::create_directory_symlink(".", dir / "same");
  {
    FolderLocks locks;
    ASSERT_TRUE(locks.add(dir.string()));
    EXPECT_TRUE(locks.add(path("same")));
    FolderLocks others;
    const auto refused = others.add(path("same"));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::conflict);
    EXPECT_THAT(refused.error().message, HasSubstr(fmt::format("works on the folder '{}'", path("same"))));
    EXPECT_EQ(others.add(path("none")).error().code, Code::not_found);
  }
  FolderLocks next;
  EXPECT_TRUE(next.add(dir.string(), FolderLocks::Kind::shared));
  FolderLocks more;
  EXPECT_TRUE(more.add(dir.string(), FolderLocks::Kind::shared));
  FolderLocks alone;
  EXPECT_EQ(alone.add(dir.string()).error().code, Code::conflict);
}

TEST_F(ReplaceFiles, KeepsOwners) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root may give files away";
  constexpr uid_t kNobody = 65534;
  write("key", "old", 0600);
  ASSERT_EQ(::chown(path("key").c_str(), kNobody, kNobody), 0);
  ASSERT_TRUE(replace_files(std::vector<NewFile>{{path("key"), "new"}}));
  EXPECT_EQ(status("key").st_uid, kNobody);
  EXPECT_EQ(status("key").st_gid, kNobody);
  EXPECT_EQ(mode("key"), 0600U);

  // Who may not: the folder is open to all, the certificate is root's.
  write("cert", "old", 0644);
  fs::permissions(dir, fs::perms::all);
  const auto child = ::fork();
  if (child == 0) {
    if (::setgid(kNobody) != 0 || ::setuid(kNobody) != 0) ::_exit(2);
    const auto done = replace_files(std::vector<NewFile>{{path("key"), "newer"}, {path("cert"), "newer"}});
    ::_exit(!done && done.error().message.contains("whose it is") ? 0 : 1);
  }
  int ended = 0;
  ASSERT_EQ(::waitpid(child, &ended, 0), child);
  EXPECT_EQ(ended, 0) << "refused, with what to do";
  EXPECT_EQ(text("key"), "new");
  EXPECT_EQ(text("cert"), "old");
  EXPECT_EQ(entries(), 2U);
}

}  // namespace
}  // namespace krake
