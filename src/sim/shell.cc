#include "sim/shell.h"

namespace krake::sim {

namespace {

constexpr std::string_view kHome = "/home/user";

struct CommandProcess final : Process {
  using Process::Process;
  ~CommandProcess() override { loop().drop(); }
  Awaitable<void> finish() override { co_return; }  // nobody asks it to
};

Awaitable<void> run_command(std::vector<std::string> args, cli::CliIo io, Ran& ran) {
  ran.exit = co_await cli::run_krakectl(std::move(args), std::move(io));
}

}  // namespace

Fate fate_of(const Ran& ran) {
  constexpr int kUsage = 2;
  if (!ran.exit) return Fate::unknown;
  if (*ran.exit == 0) return Fate::done;
  if (*ran.exit == kUsage) return Fate::refused;  // nothing was sent
  // With -o json the problem the API answered with is all there is.
  if (const auto problem = json::parse(ran.err)) {
    if (const auto status = problem->int_at({"status"}))
      return fate_of(Error{code_of_http_status(static_cast<int>(*status)), {}});
  }
  return ran.err.contains("the change itself was accepted") ? Fate::done : Fate::unknown;
}

cli::CliIo Shell::io_of(const CommandLine& line, Clock& clock, Ran& ran) const {
  std::map<std::string, std::string> files;
  for (const auto& [name, text] : line.files) files[fmt::format("{}/{}", kHome, name)] = text;
  files[fmt::format("{}/krakectl.yaml", kHome)] =
      fmt::format("api_url: http://{}\nuser: {}\ntimeout: {}\n", fmt::join(servers_, ",http://"), kNamespace,
                  std::chrono::duration_cast<std::chrono::seconds>(kCommandTimeout).count());
  cli::CliIo io;
  io.dialer = std::make_shared<SimDialer>(world_.network, std::string(kUserMachine),
                                          Peer{.common_name = std::string(kUser), .address = {}});
  io.clock = &clock;
  io.out = [&ran](std::string_view text) { ran.out += text; };
  io.err = [&ran](std::string_view text) { ran.err += text; };
  io.read_stdin = []() -> Result<std::string> { return std::string(); };
  io.read_file = [files = std::move(files)](const std::string& path) -> Result<std::string> {
    const auto it = files.find(path);
    if (it == files.end()) return fail(Code::not_found, "No such file or directory");
    return it->second;
  };
  io.env = [](const std::string&) { return std::optional<std::string>(); };
  io.cwd = kHome;
  return io;
}

Ran Shell::run(const CommandLine& line) {
  Ran ran;  // outlives the process
  CommandProcess process({.name = std::string(kUserMachine), .life = ++runs_, .skew = {}}, world_);
  if (line.kill_after) {
    process.loop().interrupt(*line.kill_after, [&] {
      if (ran.exit) return;
      ran.killed = true;
      process.crash();
      world_.conductor.remove(process.loop());
    });
  }
  at_ = servers_.front();
  TaskGroup tasks(process.executor());
  tasks.spawn("krakectl", run_command(line.args, io_of(line, process.env.clock, ran), ran));
  world_.conductor.pass_until([&ran] { return ran.exit || ran.killed; }, world_.clock.now() + line.limit);
  at_.clear();
  return ran;
}

void Shell::sent(const std::string& server) {
  if (at_.empty()) return;
  if (server != at_) reached_.mark("krakectl failed over to another server");
  at_ = server;
}

}  // namespace krake::sim
