#include <sys/ioctl.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/task_group.h"
#include "cli/cli.h"
#include "net/beast/client.h"

namespace krake::cli {

namespace {

constexpr std::size_t kMaxInput = std::size_t{64} << 20;

void write_all(std::FILE* stream, std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stream);
  std::fflush(stream);
}

Result<std::string> read_stream(std::FILE* stream, std::string_view what) {
  std::string text;
  char buffer[65536];
  while (const std::size_t n = std::fread(buffer, 1, sizeof buffer, stream)) {
    text.append(buffer, n);
    if (text.size() > kMaxInput)
      return fail(Code::too_large, fmt::format("{} is larger than {} bytes", what, kMaxInput));
  }
  if (std::ferror(stream)) return fail(Code::unavailable, fmt::format("{} cannot be read", what));
  return text;
}

Result<std::string> run_shell(const std::string& command) {
  std::FILE* pipe = ::popen(command.c_str(), "r");
  if (!pipe) return fail(Code::unavailable, "the command cannot be started");
  auto text = read_stream(pipe, "the output of the command");
  if (const int status = ::pclose(pipe); status != 0 && text) {
    // Without its words: secrets may be among them.
    return fail(Code::unavailable, WIFEXITED(status)
                                       ? fmt::format("the command failed with status {}", WEXITSTATUS(status))
                                       : fmt::format("the command was ended by signal {}", WTERMSIG(status)));
  }
  return text;
}

std::size_t terminal_width() {
  for (const int fd : {0, 1, 2}) {
    winsize size{};
    if (::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  }
  return 80;
}

Awaitable<void> run_main(std::vector<std::string> args, CliIo io, std::shared_ptr<int> status) {
  *status = co_await run_krakectl(std::move(args), std::move(io));
}

}  // namespace

Result<std::string> read_local_file(const std::string& path) {
  std::error_code ec;
  if (std::filesystem::is_directory(path, ec)) return fail(Code::invalid_argument, "Is a directory");
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    const std::string why = std::strerror(errno);
    return fail(std::filesystem::exists(path, ec) ? Code::forbidden : Code::not_found, why);
  }
  std::string text;
  char buffer[65536];
  while (in.read(buffer, sizeof buffer) || in.gcount() > 0) {
    text.append(buffer, static_cast<std::size_t>(in.gcount()));
    if (text.size() > kMaxInput) return fail(Code::too_large, fmt::format("larger than {} bytes", kMaxInput));
  }
  return text;
}

CliIo process_io(boost::asio::any_io_executor executor, Clock& clock) {
  CliIo io;
  io.dialer = std::make_shared<BeastDialer>(std::move(executor), clock);
  io.clock = &clock;
  io.out = [](std::string_view text) { write_all(stdout, text); };
  io.err = [](std::string_view text) { write_all(stderr, text); };
  io.read_stdin = [] { return read_stream(stdin, "standard input"); };
  io.read_file = read_local_file;
  io.env = [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    return value ? std::optional<std::string>(value) : std::nullopt;
  };
  io.run_command = run_shell;
  std::error_code ec;
  io.cwd = std::filesystem::current_path(ec).string();
  io.out_is_terminal = ::isatty(1) == 1;
  io.err_is_terminal = ::isatty(2) == 1;
  io.width = terminal_width();
  return io;
}

int krakectl_main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  boost::asio::io_context context(1);
  RealClock clock(context.get_executor());
  auto status = std::make_shared<int>(1);
  TaskGroup tasks(context.get_executor());
  tasks.spawn("krakectl", run_main({argv + 1, argv + argc}, process_io(context.get_executor(), clock), status));
  // The command may leave idle connections with their timers: its end is the end.
  while (tasks.size() > 0 && context.run_one() > 0) {
  }
  return *status;
}

}  // namespace krake::cli
