// krakectl as a library: every effect goes through CliIo, so that it runs in a test against a server without a socket.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "net/dial.h"

namespace krake::cli {

struct CliIo {
  std::shared_ptr<Dialer> dialer;
  Clock* clock = nullptr;  // must outlive the call, as must the dialer's executor
  std::function<void(std::string_view)> out;
  std::function<void(std::string_view)> err;
  std::function<Result<std::string>()> read_stdin;  // all of it
  // All of a file, by its absolute path. not_found: there is none; the message is the reason alone.
  std::function<Result<std::string>(const std::string& path)> read_file;
  std::function<std::optional<std::string>(const std::string&)> env;
  // The standard output of a shell command (token_command). Null: token commands are refused.
  std::function<Result<std::string>(const std::string&)> run_command;
  std::string cwd = ".";
  std::string system_config = "/etc/krakectl/krakectl.yaml";
  bool out_is_terminal = false;
  bool err_is_terminal = false;
  std::size_t width = 80;  // columns of the terminal
};

// Runs one command line (without the program's name). The exit status: 0 ok, 1 the command failed, 2 wrong usage.
// Must run on the loop of the dialer and the clock; cancellable.
Awaitable<int> run_krakectl(std::vector<std::string> args, CliIo io);

// read_file of this machine.
Result<std::string> read_local_file(const std::string& path);
// The CliIo of this process: its streams, files, environment, directory and terminal, HTTP over TCP and TLS.
CliIo process_io(boost::asio::any_io_executor executor, Clock& clock);
// All of main(): a loop of its own, this process's streams.
int krakectl_main(int argc, char** argv);

}  // namespace krake::cli
