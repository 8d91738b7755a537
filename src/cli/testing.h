// For tests: krakectl in process against the real server, everything it asks and says is kept.
#pragma once

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "cli/cli.h"
#include "server/testing.h"

namespace krake::cli::testing {

struct Ran {
  int exit = -1;
  std::string out;
  std::string err;
  std::vector<HttpRequest> requests;
  std::string all() const { return out + err; }
  // "POST /path?query", one a line.
  std::string calls() const {
    std::string text;
    for (const auto& request : requests) text += request.method + " " + request.target + "\n";
    return text;
  }
  json::Value body(std::size_t index) const { return json::parse(requests.at(index).body).value_or(json::Value()); }
  json::Value document() const { return json::parse(out).value_or(json::Value()); }
};

class RecordingTransport final : public Transport {
 public:
  RecordingTransport(std::shared_ptr<Transport> inner, std::vector<HttpRequest>& seen)
      : inner_(std::move(inner)), seen_(seen) {}
  Awaitable<Result<HttpResponse>> send(HttpRequest request, CallOptions options) override {
    seen_.push_back(request);
    return inner_->send(std::move(request), options);
  }
  Awaitable<Result<HttpStream>> open(HttpRequest request, CallOptions options) override {
    seen_.push_back(request);
    return inner_->open(std::move(request), options);
  }

 private:
  std::shared_ptr<Transport> inner_;
  std::vector<HttpRequest>& seen_;
};

// Every address leads to one transport.
class FakeDialer final : public Dialer {
 public:
  explicit FakeDialer(std::shared_ptr<Transport> transport) : transport_(std::move(transport)) {}
  Result<std::shared_ptr<Transport>> dial(const Endpoint& endpoint) override {
    last = endpoint;
    return std::make_shared<RecordingTransport>(transport_, seen);
  }
  Endpoint last;
  std::vector<HttpRequest> seen;

 private:
  std::shared_ptr<Transport> transport_;
};

class Directory {
 public:
  Directory() {
    std::string name = (std::filesystem::temp_directory_path() / "krakectl-XXXXXX").string();
    if (!::mkdtemp(name.data())) throw std::runtime_error("mkdtemp");
    path = name;
  }
  ~Directory() {
    std::error_code ec;
    std::filesystem::remove_all(path, ec);
  }
  std::string write(const std::string& name, std::string_view text) const {
    const auto file = path / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
    return file.string();
  }
  std::filesystem::path path;
};

struct TestCli {
  krake::testing::TestServer server;
  Directory dir;
  std::map<std::string, std::string> env;
  std::string input;
  bool terminal = false;
  std::size_t width = 80;
  std::shared_ptr<FakeDialer> dialer = std::make_shared<FakeDialer>(server.transport);

  CliIo io(Ran& ran) {
    CliIo io;
    io.dialer = dialer;
    io.clock = &server.world.clock;
    io.out = [&ran](std::string_view text) { ran.out += text; };
    io.err = [&ran](std::string_view text) { ran.err += text; };
    io.read_stdin = [this]() -> Result<std::string> { return input; };
    io.read_file = read_local_file;
    io.env = [this](const std::string& name) -> std::optional<std::string> {
      const auto it = env.find(name);
      return it == env.end() ? std::nullopt : std::optional(it->second);
    };
    io.run_command = [](const std::string& command) -> Result<std::string> { return "output of " + command + "\n"; };
    io.cwd = dir.path.string();
    io.system_config = (dir.path / "etc/krakectl.yaml").string();
    io.out_is_terminal = io.err_is_terminal = terminal;
    io.width = width;
    return io;
  }

  Ran run(std::vector<std::string> args) {
    Ran ran;
    dialer->seen.clear();
    ran.exit = server.world.run(run_krakectl(std::move(args), io(ran)));
    ran.requests = dialer->seen;
    return ran;
  }
  // Words separated by blanks; '...' keeps blanks.
  Ran run(std::string_view line) { return run(words(line)); }
  static std::vector<std::string> words(std::string_view line) {
    std::vector<std::string> out;
    std::string word;
    bool quoted = false, any = false;
    for (const char c : line) {
      if (c == '\'') {
        quoted = !quoted, any = true;
      } else if (c == ' ' && !quoted) {
        if (any) out.push_back(std::exchange(word, {}));
        any = false;
      } else {
        word += c, any = true;
      }
    }
    if (any) out.push_back(word);
    return out;
  }
};

}  // namespace krake::cli::testing
