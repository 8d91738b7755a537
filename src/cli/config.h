// krakectl.yaml: where it is looked for, its keys, the environment variables that win over it
// (cli-and-config-contract 1.4).
#pragma once

#include <string>
#include <vector>

#include "cli/cli.h"
#include "cli/failure.h"
#include "cli/yaml.h"

namespace krake::cli {

struct Config {
  std::string source;                 // the file; empty: built-in values
  std::string user = "system:admin";  // the default namespace
  Endpoint endpoint{.url = "http://localhost:8080"};
  std::string url_from;  // the file or KRAKE_API_URL; empty: built in
  std::string token;     // secret
  Duration timeout = std::chrono::seconds(30);
  std::vector<std::string> warnings;  // upstream has them too; said with every output
  std::vector<std::string> remarks;   // for humans
  // What counts of the file: its current context over what stands beside the contexts; and where that is.
  json::Value document = json::Object();
  YamlLines lines{};
};

// `explicit_path`: --config. Relative paths are relative to io.cwd.
Outcome<Config> load_config(const CliIo& io, const std::optional<std::string>& explicit_path);

// The file's bytes; "-" is standard input. The message says the reason alone ("No such file or directory").
Result<std::string> read_input(const CliIo& io, const std::string& path);
std::string absolute_path(const CliIo& io, const std::string& path);

}  // namespace krake::cli
