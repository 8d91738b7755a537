// krake: the multi-call binary. Reads configuration, wires, runs.
#include <fmt/core.h>
#include <unistd.h>

#include <filesystem>

#include "api/registry.h"
#include "main/backup.h"
#include "main/programs.h"
#include "server/openapi.h"
#include "main/token.h"

// Read by jemalloc, where it is linked: what a start or a busy hour needed goes back to the system a second later.
// (docs/design/003-jemalloc.md)
extern "C" const char* malloc_conf;
const char* malloc_conf = "background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0";

namespace krake {
namespace {

constexpr std::string_view kUsage = R"(usage: krake COMMAND [options]

  all [--dev] [--without NAME]    API server and every controller in one process
      --state DIR                 --dev: where CA, identities, database and krakectl.yaml go (default: ./krake-dev)
      --port N                    --dev: the port of the API (default: 8443; 0: a free one)
      -c FILE and its flags       otherwise: as for `krake api`
      --reschedule-after SECONDS  of the scheduler; also --stickiness WEIGHT
      --leader-election-ttl-seconds N  how soon another `krake all` on the same store takes over (default: 6)
  api                             the API server (api.yaml)
  scheduler                       the scheduler (scheduler.yaml)
  controller kubernetes-application | kubernetes-cluster
  gc                              the garbage collector (garbage_collector.yaml)
  backup FILE                     saves everything in one file, from the running API server that krakectl.yaml names
      --krakectl FILE             that krakectl.yaml
      --state DIR | -c FILE       or from the store of --dev, or of api.yaml, while no API server has it
  restore FILE                    fills the store of --state DIR or -c FILE (default: api.yaml), while no API server has it
      --replace                   also when there is something in it, which is lost
      --check                     only checks that FILE is whole
  openapi                         prints the OpenAPI document of the API
  token key FILE                  makes a key that signs tokens
  token create --key FILE --user NAME [--ttl 30d]  a token for that user, signed; for authentication.strategy.signed
  version

options of all commands: -c/--config FILE, -h/--help, --log-level LEVEL, --log-format text|json
)";

template <class T>
void print_help(std::string_view title, std::string_view program) {
  fmt::print("{}\n\nusage: krake {} [options]\n\noptions:\n  -h, --help\n  -c, --config FILE (str, default: None)\n",
             title, program);
  const auto defaults = to_value(T{});
  for (const auto& flag : config_flags<T>()) {
    const json::Value* value = &defaults;
    for (const auto& step : flag.path) value = value && value->if_object() ? value->if_object()->find(step) : nullptr;
    const char* type = flag.is_switch                ? "bool"
                       : value && value->is_number() ? (value->if_number()->is_integer() ? "int" : "float")
                                                     : "str";
    fmt::print("  --{} ({}, default: {})\n", flag.name, type, value ? json::print(*value) : "None");
  }
}

// The values of an option, in order; one without its value stays in `args`.
std::vector<std::string> take_options(std::vector<std::string>& args, std::initializer_list<std::string_view> names) {
  std::vector<std::string> values;
  for (std::size_t i = 0; i < args.size(); ++i) {
    const auto eq = args[i].find('=');
    const std::string_view name = std::string_view(args[i]).substr(0, eq);
    if (std::ranges::find(names, name) == names.end()) continue;
    if (eq != std::string::npos) {
      values.push_back(args[i].substr(eq + 1));
      args.erase(args.begin() + static_cast<std::ptrdiff_t>(i--));
    } else if (i + 1 < args.size()) {
      values.push_back(args[i + 1]);
      args.erase(args.begin() + static_cast<std::ptrdiff_t>(i), args.begin() + static_cast<std::ptrdiff_t>(i) + 2);
      --i;
    }
  }
  return values;
}

// The last one counts.
std::optional<std::string> take_option(std::vector<std::string>& args, std::initializer_list<std::string_view> names) {
  auto values = take_options(args, names);
  if (values.empty()) return std::nullopt;
  return std::move(values.back());
}

bool take_switch(std::vector<std::string>& args, std::string_view name) { return std::erase(args, name) > 0; }

int usage_error(std::string_view message) {
  fmt::print(stderr, "krake: {}\n\n{}", message, kUsage);
  return 2;
}

LogOptions log_options(const LogConfig& config) {
  return {.level = parse_log_level(config.level.value_or("info")).value_or(LogLevel::info),
          .json = config.format == "json",
          .file = config.output};
}

// Loads FILE, applies the flags that are left in `args`, complains about the rest.
template <class T>
Result<T> configure(const std::string& path, const std::string& file, std::vector<std::string>& args,
                    std::vector<std::string>& warnings) {
  ASSIGN_OR_RETURN(auto document, load_config_file(path, file));
  RETURN_IF_ERROR(apply_flags(document.document, config_flags<T>(), args));
  return decode_config<T>(document, warnings);
}

int failed(const Error& error) {
  fmt::print(stderr, "krake: {}\n", error.message);
  return 1;
}

template <class Run>
int start(const LogConfig& config, const std::vector<std::string>& warnings, Run run) {
  auto log = Log::open(log_options(config));
  if (!log) return failed(log.error());
  Process process(std::move(*log));
  for (const auto& warning : warnings) process.env().log.warning(warning);
  return process.run(run);
}

// The options of controllers that `all` takes, by the rules of their files.
Result<ControllerConfig> all_controllers(std::vector<std::string>& args) {
  std::vector<ConfigFlag> flags = config_flags<ControllerConfig>();
  std::erase_if(flags, [](const auto& flag) {
    return flag.name != "reschedule-after" && flag.name != "stickiness" && !flag.name.starts_with("leader-election-");
  });
  ConfigDocument document;
  document.document.make_object().set("debounce", 0);
  RETURN_IF_ERROR(apply_flags(document.document, flags, args));
  std::vector<std::string> warnings;
  return decode_config<ControllerConfig>(document, warnings);
}

// A port of the --dev mode; by the rule of api.yaml.
Result<int> dev_port(std::vector<std::string>& args) {
  ConfigDocument document;
  document.document.make_object().set("port", take_option(args, {"--port"}).value_or("8443"));
  document.document.make_object().set("authorization", "RBAC");
  std::vector<std::string> warnings;
  ASSIGN_OR_RETURN(const auto config, decode_config<ApiConfig>(document, warnings));
  return static_cast<int>(config.port);
}

int all(std::vector<std::string> args, const std::string& config_path) {
  AllOptions options;
  LogConfig log;
  std::vector<std::string> warnings;
  options.dev = take_switch(args, "--dev");
  for (auto& name : take_options(args, {"--without"})) {
    if (std::ranges::find(kComponents, name) == std::end(kComponents)) {
      return usage_error(fmt::format("--without: no component '{}'; there are {}", name, fmt::join(kComponents, ", ")));
    }
    options.without.insert(std::move(name));
  }
  auto controllers = all_controllers(args);
  if (!controllers) return failed(controllers.error());
  options.controllers = std::move(*controllers);
  if (options.dev) {
    if (!config_path.empty())
      return usage_error("all: --dev makes its own configuration; it cannot be given one with -c");
    options.state_dir = std::filesystem::absolute(take_option(args, {"--state"}).value_or("krake-dev")).string();
    auto port = dev_port(args);
    if (!port) return failed(port.error());
    options.port = *port;
    log.level = take_option(args, {"--log-level"}).value_or("warning");
    log.format = take_option(args, {"--log-format"}).value_or("text");
  } else {
    auto config = configure<ApiConfig>(config_path, "api.yaml", args, warnings);
    if (!config) return fmt::print(stderr, "{}\n", config.error().message), 1;
    options.api = std::move(*config);
    log = options.api.log;
  }
  if (!args.empty()) return usage_error(fmt::format("all: unknown option '{}'", args[0]));
  return start(log, warnings, [&](Process& p) { return run_all(p, options); });
}

// Of `backup` and `restore`: --state, or api.yaml where `-c` or `by_default` says so.
Result<std::optional<ApiConfig>> store_to_open(std::vector<std::string>& args, const std::string& config_path,
                                               bool by_default, std::vector<std::string>& warnings) {
  if (const auto state = take_option(args, {"--state"})) {
    ApiConfig config;
    config.store = StoreConfig{.type = "sqlite", .path = (std::filesystem::absolute(*state) / "krake.db").string()};
    return config;
  }
  if (config_path.empty() && !by_default) return std::nullopt;
  ASSIGN_OR_RETURN(auto config, configure<ApiConfig>(config_path, "api.yaml", args, warnings));
  // The programs have different ideas of what is meant then.
  if (!config.store && !config.etcd)
    return fail(Code::invalid_argument, "the configuration names no store: add `store` or `etcd`");
  return config;
}

// The one argument that is left.
Result<std::string> file_argument(std::string_view command, const std::vector<std::string>& args) {
  if (args.size() == 1 && !args[0].starts_with('-')) return args[0];
  return fail(Code::invalid_argument, fmt::format("{}: want one FILE, got '{}'", command, fmt::join(args, " ")));
}

int backup(std::vector<std::string> args, const std::string& config_path) {
  BackupOptions options;
  std::vector<std::string> warnings;
  options.krakectl = take_option(args, {"--krakectl"});
  auto api = store_to_open(args, config_path, false, warnings);
  if (!api) return failed(api.error());
  options.api = std::move(*api);
  auto file = file_argument("backup", args);
  if (!file) return usage_error(file.error().message);
  options.file = std::move(*file);
  return start(LogConfig{.level = "warning"}, warnings, [&](Process& p) { return run_backup(p, options); });
}

int restore(std::vector<std::string> args, const std::string& config_path) {
  RestoreCommand command;
  std::vector<std::string> warnings;
  command.replace = take_switch(args, "--replace");
  if (take_switch(args, "--check")) {
    auto file = file_argument("restore --check", args);
    return file ? check_backup(*file) : usage_error(file.error().message);
  }
  auto api = store_to_open(args, config_path, true, warnings);
  if (!api) return failed(api.error());
  command.api = std::move(**api);
  auto file = file_argument("restore", args);
  if (!file) return usage_error(file.error().message);
  command.file = std::move(*file);
  return start(LogConfig{.level = "warning"}, warnings, [&](Process& p) { return run_restore(p, command); });
}

int run(std::vector<std::string> args) {
  if (args.empty() || args[0] == "-h" || args[0] == "--help") {
    fmt::print("{}", kUsage);
    return args.empty() ? 2 : 0;
  }
  std::string command = args[0];
  args.erase(args.begin());
  if (command == "version" || command == "--version") {
    fmt::print("krake {}\n", KRAKE_VERSION);
    return 0;
  }
  if (command == "openapi") {
    fmt::print("{}\n", json::print(server::openapi_document(krake_registry(), server::ServerOptions{}.version)));
    return 0;
  }
  if (command == "token") {
    if (std::ranges::find(args, "--help") != args.end() || std::ranges::find(args, "-h") != args.end())
      return fmt::print("{}", kUsage), 0;
    return run_token(std::move(args));
  }
  if (command == "controller") {
    if (args.empty()) return usage_error("controller: which one?");
    command = args[0];
    args.erase(args.begin());
    if (!command.starts_with("kubernetes-")) return usage_error(fmt::format("controller: there is no '{}'", command));
  }
  const bool help = take_switch(args, "-h") || take_switch(args, "--help");
  const std::string config_path = take_option(args, {"-c", "--config"}).value_or("");
  std::vector<std::string> warnings;

  if (command == "api") {
    if (help) return print_help<ApiConfig>("Krake API server", "api"), 0;
    auto config = configure<ApiConfig>(config_path, "api.yaml", args, warnings);
    if (!config) return fmt::print(stderr, "{}\n", config.error().message), 1;
    if (!args.empty()) return usage_error(fmt::format("api: unknown option '{}'", args[0]));
    return start(config->log, warnings, [&](Process& p) { return run_api(p, *config); });
  }
  if (command == "backup" || command == "restore") {
    if (help) return fmt::print("{}", kUsage), 0;
    return command == "backup" ? backup(std::move(args), config_path) : restore(std::move(args), config_path);
  }
  if (command == "all") return help ? (fmt::print("{}", kUsage), 0) : all(args, config_path);
  if (std::ranges::find(kComponents, command) == std::end(kComponents))
    return usage_error(fmt::format("unknown command '{}'", command));
  if (help) return print_help<ControllerConfig>("Krake " + command, command), 0;
  const std::string file = command == "scheduler"                ? "scheduler.yaml"
                           : command == "gc"                     ? "garbage_collector.yaml"
                           : command == "kubernetes-application" ? "kubernetes_application.yaml"
                                                                 : "kubernetes_cluster.yaml";
  auto config = configure<ControllerConfig>(config_path, file, args, warnings);
  if (!config) return fmt::print(stderr, "{}\n", config.error().message), 1;
  if (!args.empty()) return usage_error(fmt::format("{}: unknown option '{}'", command, args[0]));
  return start(config->log, warnings, [&](Process& p) { return run_controller(p, command, *config); });
}

}  // namespace
}  // namespace krake

int main(int argc, char** argv) { return krake::run({argv + 1, argv + argc}); }
