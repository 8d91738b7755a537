// For tests: a store file in a folder of its own, on a simulated clock.
#pragma once

#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>

#include "store/conformance/conformance.h"
#include "store/sqlite/sqlite_store.h"

namespace krake::store {

class TempFolder {
 public:
  TempFolder() {
    // In memory where there is such a folder: these tests sync thousands of times.
    const bool in_memory = !::getenv("TMPDIR") && ::access("/dev/shm", W_OK) == 0;
    const auto parent = in_memory ? std::filesystem::path("/dev/shm") : std::filesystem::temp_directory_path();
    std::string name = (parent / "krake-store-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TempFolder() { std::filesystem::remove_all(path_); }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  std::string file(const std::string& name = "store.db") const { return path_ + "/" + name; }

 private:
  std::string path_;
};

class SqliteBackend final : public conformance::Backend {
 public:
  SqliteBackend(SqliteOptions options, conformance::BackendOptions wanted) : options(std::move(options)) {
    this->options.path = folder.file();
    if (wanted.history == 0) return;
    this->options.history_changes = wanted.history;
    this->options.ring_commits = wanted.history / 2;
  }
  boost::asio::io_context& loop() override { return loop_; }
  Awaitable<Result<std::unique_ptr<Store>>> open() override {
    static std::atomic<std::uint64_t> seed{1};
    ASSIGN_OR_CO_RETURN(auto opened, co_await open_sqlite_store(loop_.get_executor(), clock, Random(seed++), options));
    sqlite = opened.get();
    co_return std::move(opened);
  }
  void elapse(Duration time) override { clock.advance(time); }

 private:
  boost::asio::io_context loop_;

 public:
  SimClock clock{loop_.get_executor(), Wall{}};
  TempFolder folder;
  SqliteOptions options;
  SqliteStore* sqlite = nullptr;  // the one opened last
};

inline conformance::Factory sqlite_factory(SqliteOptions options) {
  return [options](conformance::BackendOptions wanted) { return std::make_unique<SqliteBackend>(options, wanted); };
}

}  // namespace krake::store
