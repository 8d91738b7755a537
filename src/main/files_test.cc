#include "main/files.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

namespace krake {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

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

}  // namespace
}  // namespace krake
