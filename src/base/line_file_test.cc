#include "base/line_file.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>

namespace krake {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;

class LineFileTest : public ::testing::Test {
 protected:
  LineFileTest() : dir_(fs::path(::testing::TempDir()) / fmt::format("line_file_{}", ::getpid())) {
    fs::remove_all(dir_);
    fs::create_directory(dir_);
  }
  ~LineFileTest() override { fs::remove_all(dir_); }
  std::string path(std::string_view name = "log") const { return (dir_ / name).string(); }
  std::vector<std::string> lines(std::string_view name = "log") const {
    std::ifstream in(path(name));
    std::vector<std::string> all;
    for (std::string line; std::getline(in, line);) all.push_back(line);
    return all;
  }
  std::unique_ptr<LineFile> open(LineFileOptions options) const {
    options.path = path();
    options.on_dropped = [](std::uint64_t n) { return fmt::format("dropped {}", n); };
    auto file = LineFile::open(std::move(options));
    if (!file) throw std::runtime_error(file.error().message);
    return std::move(*file);
  }
  fs::path dir_;
};

TEST_F(LineFileTest, KeepsTheOrderAndGoesOnWhereItWas) {
  for (int round = 0; round < 2; ++round) {
    const auto file = open({});
    for (int i = 0; i < 3; ++i) file->write(fmt::format("{}.{}", round, i));
  }
  EXPECT_THAT(lines(), ElementsAre("0.0", "0.1", "0.2", "1.0", "1.1", "1.2"));
  struct stat status{};
  ASSERT_EQ(::stat(path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
}

TEST_F(LineFileTest, TurnsOverAndForgetsTheOldest) {
  const auto file = open({.max_bytes = 10, .max_files = 3});
  for (int i = 0; i < 8; ++i) file->write(fmt::format("l {}", i));
  file->flush();
  EXPECT_THAT(lines("log"), ElementsAre("l 6", "l 7"));
  EXPECT_THAT(lines("log.1"), ElementsAre("l 4", "l 5"));
  EXPECT_THAT(lines("log.2"), ElementsAre("l 2", "l 3"));
  EXPECT_FALSE(fs::exists(path("log.3")));
  EXPECT_EQ(file->dropped(), 0U);
}

TEST_F(LineFileTest, CountsWhatCouldNotBeWrittenAndTellsItLater) {
  const auto file = open({.max_bytes = 10});
  file->write("0123456789");
  file->flush();
  // The next line must turn over, and there is nowhere to write to.
  fs::rename(dir_, dir_.string() + "_away");
  file->write("lost 1");
  file->write("lost 2");
  file->flush();
  EXPECT_EQ(file->dropped(), 2U);
  fs::rename(dir_.string() + "_away", dir_);
  file->write("kept");
  file->flush();
  EXPECT_EQ(file->dropped(), 2U);
  auto all = lines("log.1");
  for (auto& line : lines()) all.push_back(line);
  EXPECT_THAT(all, ::testing::IsSupersetOf({std::string("dropped 2"), std::string("kept")}));
}

// A disk that takes so many bytes more. Changed only while nothing is being written.
struct SmallDisk {
  std::size_t room = 0;
  LineFileOptions options() {
    return {.retry = std::chrono::hours(1),
            .write_some = [this](int fd, const char* bytes, std::size_t size) -> ssize_t {
              const auto fits = std::min(size, room);
              room -= fits;
              errno = ENOSPC;
              return fits == 0 ? -1 : ::write(fd, bytes, fits);
            }};
  }
};
constexpr std::size_t kPlenty = 1000;

TEST_F(LineFileTest, NothingIsLeftOfALineThatDidNotFit) {
  SmallDisk disk{.room = 10};
  const auto file = open(disk.options());
  file->write("first");
  file->write("second");
  file->flush();
  EXPECT_THAT(lines(), ElementsAre("first"));
  EXPECT_EQ(file->dropped(), 1U);
  disk.room = kPlenty;
  file->write("third");
  file->flush();
  EXPECT_THAT(lines(), ElementsAre("first", "dropped 1", "third"));
}

TEST_F(LineFileTest, WhatADeadProcessLeftOfALineStandsForItself) {
  std::ofstream(path()) << "whole\nhal";
  for (const auto* line : {"next", "last"}) open({})->write(line);
  EXPECT_THAT(lines(), ElementsAre("whole", "hal", "next", "last"));
}

TEST_F(LineFileTest, WhatWasDroppedIsToldOnceThatCanBeWritten) {
  SmallDisk disk;
  auto file = open(disk.options());
  file->write("a");
  file->write("b");
  file->flush();
  disk.room = 4;  // a part of the notice
  file->write("c");
  file->flush();
  EXPECT_THAT(lines(), ElementsAre());
  EXPECT_EQ(file->dropped(), 3U);
  disk.room = kPlenty;
  file->write("d");
  file->flush();
  EXPECT_THAT(lines(), ElementsAre("dropped 3", "d"));
  // Nothing comes after it.
  disk.room = 0;
  file->write("e");
  file->flush();
  disk.room = kPlenty;
  file.reset();
  EXPECT_THAT(lines(), ElementsAre("dropped 3", "d", "dropped 1"));
}

TEST_F(LineFileTest, WhatWasDroppedIsToldAlsoWhenNothingComesAfterIt) {
  std::atomic<bool> full = true;
  std::promise<void> told;
  const auto file = open({.retry = std::chrono::milliseconds(1),
                          .write_some = [&](int fd, const char* bytes, std::size_t size) -> ssize_t {
                            errno = ENOSPC;
                            if (full) return -1;
                            const auto n = ::write(fd, bytes, size);
                            told.set_value();  // once
                            return n;
                          }});
  file->write("lost");
  file->flush();
  full = false;
  ASSERT_EQ(told.get_future().wait_for(std::chrono::seconds(30)), std::future_status::ready);
  EXPECT_THAT(lines(), ElementsAre("dropped 1"));
}

TEST_F(LineFileTest, BeginsAnotherWhenItIsMovedAway) {
  const auto file = open({});
  const auto write = [&](const char* line) {
    file->write(line);
    file->flush();
  };
  write("a");
  fs::rename(path(), path("log.old"));
  write("b");
  write("c");
  EXPECT_THAT(lines("log.old"), ElementsAre("a"));
  EXPECT_THAT(lines(), ElementsAre("b", "c"));
  struct stat status{};
  ASSERT_EQ(::stat(path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  // Somebody has made an empty one in its place (logrotate's `create`).
  fs::rename(path(), path("log.2"));
  std::ofstream(path()).close();
  write("d");
  EXPECT_THAT(lines(), ElementsAre("d"));
  // While there can be none, the old one is better than nothing.
  fs::rename(dir_, dir_.string() + "_away");
  write("e");
  fs::rename(dir_.string() + "_away", dir_);
  EXPECT_THAT(lines(), ElementsAre("d", "e"));
  EXPECT_EQ(file->dropped(), 0U);
}

TEST_F(LineFileTest, SaysWhyItCannotBeOpened) {
  const auto file = LineFile::open({.path = path("none/log")});
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, Code::unavailable);
  EXPECT_THAT(file.error().message, ::testing::HasSubstr("none/log"));
}

}  // namespace
}  // namespace krake
