// krakectl as a user of the simulated world runs it: each command line is a process of its own on his machine, with a
// loop, files and streams, that reaches the API servers over the simulated network, ends by itself or is killed at any
// moment. Thread: the one there is; between handlers unless said otherwise.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cli/cli.h"
#include "sim/model.h"
#include "sim/process.h"
#include "sim/reached.h"

namespace krake::sim {

// His namespace.
inline constexpr std::string_view kNamespace = "demo";
// The `timeout` of his krakectl.yaml: of one request.
inline constexpr Duration kCommandTimeout = std::chrono::seconds(10);

struct CommandLine {
  std::vector<std::string> args;             // without the program's name
  std::map<std::string, std::string> files;  // beside krakectl.yaml in its working directory: name, content
  // Killed after so many handlers of its loop, unless it has ended before.
  std::optional<std::uint64_t> kill_after;
  Duration limit{};  // it is waited for so long
};

struct Ran {
  std::optional<int> exit;  // absent: it was killed, or has not ended within the limit
  bool killed = false;
  std::string out;
  std::string err;
};

// What has become of the one change a command was to make, for whoever knows its exit status and what it said.
Fate fate_of(const Ran& ran);

class Shell {
 public:
  // `servers`: the names of all API servers, in the order of krakectl.yaml. All outlive it.
  Shell(const Surroundings& world, std::vector<std::string> servers, Reached& reached)
      : world_(world), servers_(std::move(servers)), reached_(reached) {}

  // Lets the time pass until it has ended. What is left of it then is destroyed.
  Ran run(const CommandLine& line);
  // A request leaves the machine. In place, at any time.
  void sent(const std::string& server);

 private:
  cli::CliIo io_of(const CommandLine& line, Clock& clock, Ran& ran) const;

  Surroundings world_;
  std::vector<std::string> servers_;
  Reached& reached_;
  std::uint64_t runs_ = 0;
  std::string at_;  // the server the running command has turned to last; empty: none runs
};

}  // namespace krake::sim
