// krake: the multi-call binary. Reads configuration, wires, runs.
#include <fmt/core.h>
#include <unistd.h>

#include <filesystem>

#include "api/registry.h"
#include "main/arguments.h"
#include "main/backup.h"
#include "main/bootstrap.h"
#include "main/config_command.h"
#include "main/doctor.h"
#include "main/pki_command.h"
#include "main/programs.h"
#include "main/token.h"
#include "server/openapi.h"

// Read by jemalloc, where it is linked: what a start or a busy hour needed goes back to the system a second later, and
// the frames of many readers that wait for the same answer stay at hand. (docs/design/003-jemalloc.md)
extern "C" const char* malloc_conf;
const char* malloc_conf = "background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0,tcache_nslots_small_min:128";

namespace krake {
namespace {

// The whole page of commands is kHead, kAll and kOthers.
constexpr std::string_view kHead = "usage: krake COMMAND [options]\n\n";
constexpr std::string_view kAll =
    R"(  all [--dev] [--without NAME]    API server and every controller in one process
      --state DIR                 --dev: where CA, identities, database and krakectl.yaml go (default: ./krake-dev)
      --port N                    --dev: the port of the API (default: 8443; 0: a free one)
      -c FILE and its flags       otherwise: as for `krake api`; in a krake.yaml the controllers' sections count, too
      --reschedule-after SECONDS  of the scheduler; also --stickiness WEIGHT
      --leader-election-ttl-seconds N  how soon another `krake all` on the same store takes over (default: 6)
      --no-leader-election-enabled     leads without asking: then there must be one only
)";
constexpr std::string_view kOthers =
    R"(  api                             the API server (api.yaml)
  scheduler                       the scheduler (scheduler.yaml)
  controller kubernetes-application | kubernetes-cluster
  gc                              the garbage collector (garbage_collector.yaml)
  backup FILE                     saves everything in one file, from the running API server that krakectl.yaml names
      --krakectl FILE             that krakectl.yaml
      --state DIR | -c FILE       or from the store of --dev, or of api.yaml, while no API server has it
  restore FILE                    fills the store of --state DIR or -c FILE (default: api.yaml), while no API server has it
      --replace                   also when there is something in it, which is lost
      --check                     only checks that FILE is whole
  bootstrap FILE...               puts roles, metrics and other objects of files in place; also as krake_bootstrap_db
      --server | -c FILE | --db-host HOST  through the API server of krakectl.yaml, or into the store of api.yaml or an etcd
      --force  --dry-run          also what is there and differs is made so; only says what would be done
  config generate | check         configuration files, and what counts of them; generate also as krake_generate_config
  pki init | client | renew ...   certificates; `krake pki NAME` as upstream's helper does
  doctor                          looks at a configuration and its data and says what is wrong with them; changes nothing
  openapi                         prints the OpenAPI document of the API
  token key FILE                  makes a key that signs tokens
  token create --key FILE --user NAME [--ttl 30d]  a token for that user, signed; for authentication.strategy.signed
  version

options of the programs: -c/--config FILE, -h/--help, --check-config, --print-config, and one for each key of the file
(krake api --help). Each may be a variable too: --etcd-host is KRAKE_ETCD_HOST.
)";

int print_page() { return fmt::print("{}{}{}", kHead, kAll, kOthers), 0; }

template <class T>
void print_help(std::string_view title, const ProgramInfo& program) {
  fmt::print(
      "{}\n\nusage: krake {} [options]\n\noptions:\n  -h, --help\n  -c, --config FILE (str, default: None)\n"
      "  --check-config, --print-config\n",
      title, program.name);
  T config{};
  if constexpr (requires { config.etcd.emplace(); }) config.etcd.emplace();  // what a section has once it is there
  if constexpr (requires { config.store.emplace(); }) config.store.emplace();
  const auto defaults = to_value(config);
  for (const auto& flag : config_flags<T>(program)) {
    const json::Value* value = &defaults;
    for (const auto& step : flag.path) value = value && value->if_object() ? value->if_object()->find(step) : nullptr;
    const char* type = flag.is_switch                ? "bool"
                       : value && value->is_number() ? (value->if_number()->is_integer() ? "int" : "float")
                                                     : "str";
    fmt::print("  --{} ({}, default: {})\n", flag.name, type, value ? json::print(*value) : "None");
  }
}

int usage_error(std::string_view message) {
  fmt::print(stderr, "krake: {}\n\n{}{}{}", message, kHead, kAll, kOthers);
  return 2;
}

// Of one command: the page of all would hide what was said.
int usage_error_of_all(std::string_view message) {
  fmt::print(stderr, "krake all: {}\n\nusage: krake all [options]\n\n{}", message, kAll);
  return 2;
}
int usage_error(const ProgramInfo& program, std::string_view message) {
  fmt::print(stderr,
             "krake {0}: {1}\n\nusage: krake {0} [-c FILE] [--check-config] [--print-config] [options]\n"
             "`krake {0} --help` lists the options.\n",
             program.name, message);
  return 2;
}

int failed(const Error& error) {
  fmt::print(stderr, "krake: {}\n", error.message);
  return 1;
}

const ProgramInfo& api_program() { return *find_program("api"); }

// Loads FILE, applies variables and the flags that are in `args`.
template <class T>
Result<Configured<T>> configure_from(const std::string& path, const ProgramInfo& program, Arguments& args,
                                     std::vector<std::string>& warnings, FileKind kind = FileKind::any) {
  ASSIGN_OR_RETURN(auto document, load_config_file(path, program, kind));
  return configure<T>(std::move(document), program, args, warnings);
}

Result<AllConfig> configure_all_from(const std::string& path, Arguments& args, std::vector<std::string>& warnings,
                                     FileKind kind = FileKind::any) {
  // Read once: it may be a pipe.
  ASSIGN_OR_RETURN(const auto whole, load_whole_file(path, api_program(), kind));
  return configure_all(whole, args, warnings);
}

Reread reread_api(std::string path, Arguments args) {
  return [path = std::move(path), args = std::move(args)](std::vector<std::string>& warnings) -> Result<AllConfig> {
    Arguments left = args;
    ASSIGN_OR_RETURN(auto api, configure_from<ApiConfig>(path, api_program(), left, warnings, FileKind::regular));
    return AllConfig{.api = std::move(api), .controllers = {}};
  };
}

Reread reread_all(std::string path, Arguments args) {
  return [path = std::move(path), args = std::move(args)](std::vector<std::string>& warnings) {
    Arguments left = args;
    return configure_all_from(path, left, warnings, FileKind::regular);
  };
}

template <class Run>
int start(const LogOptions& options, const std::vector<std::string>& warnings, Run run) {
  auto log = Log::open(options);
  if (!log) return failed(log.error());
  Process process(std::move(*log));
  for (const auto& warning : warnings) process.env().log.warning(warning);
  return process.run(run);
}

const LogOptions kQuiet{.level = LogLevel::warning};

// A port of the --dev mode; by the rule of api.yaml.
Result<int> dev_port(std::vector<std::string>& args) {
  ConfigDocument document;
  document.document.make_object().set("port", take_option(args, {"--port"}).value_or("8443"));
  document.document.make_object().set("authorization", "RBAC");
  std::vector<std::string> warnings;
  ASSIGN_OR_RETURN(const auto config, decode_config<ApiConfig>(document, api_program(), warnings));
  return static_cast<int>(config.port);
}

// Of the controllers that run.
std::vector<EffectiveValue> inner_values(const AllOptions& options) {
  std::vector<EffectiveValue> out;
  for (const auto name : kComponents) {
    if (options.without.contains(std::string(name))) continue;
    std::ranges::copy(options.controllers.values.find(name)->second, std::back_inserter(out));
  }
  return out;
}

// The configuration of `krake all` without --dev, and what it starts with. A value: the exit code of one that ends
// here.
std::optional<int> configure_with_file(Arguments& args, const std::string& config_path, AllOptions& options,
                                       LogOptions& log, std::vector<std::string>& warnings) {
  const bool print = take_switch(args, {"--print-config"});
  const bool check = take_switch(args, {"--check-config"}) || print;
  hold_hangups();
  options.reread = reread_all(config_path, args);
  auto configured = configure_all_from(config_path, args, warnings);
  if (!configured) return print_unreadable(warnings, configured.error());
  if (!args.empty()) return usage_error_of_all(fmt::format("unknown option '{}'", option_name(args[0])));
  auto& api = configured->api;
  options.controllers = std::move(configured->controllers);
  auto prepared = prepare(for_all(api.config));
  if (check) return print_configured(api, warnings, api_program(), print, prepared, inner_values(options));
  if (!prepared) return print_warnings(warnings), print_problems(api.document, prepared.error(), "krake"), 1;
  options.api = std::move(api.config);
  options.start = std::move(*prepared);
  log = std::move(api.log);
  return std::nullopt;
}

// --dev: there is no file.
std::optional<int> configure_dev(Arguments& args, const std::string& config_path, AllOptions& options, LogOptions& log,
                                 std::vector<std::string>& warnings) {
  if (!config_path.empty())
    return usage_error_of_all("--dev makes its own configuration; it cannot be given one with -c");
  auto inner = configure_inner(args, warnings);
  if (!inner) return failed(inner.error());
  options.controllers = std::move(*inner);
  options.state_dir = std::filesystem::absolute(take_option(args, {"--state"}).value_or("krake-dev")).string();
  auto port = dev_port(args);
  if (!port) return failed(port.error());
  options.port = *port;
  if (const auto level = take_option(args, {"--log-level"})) {
    const auto known = parse_log_level(*level);
    if (!known) return usage_error_of_all(fmt::format("--log-level: '{}' is no level", *level));
    log.level = *known;
  }
  log.json = take_option(args, {"--log-format"}) == "json";
  if (!args.empty()) return usage_error_of_all(fmt::format("unknown option '{}'", option_name(args[0])));
  return std::nullopt;
}

int all(std::vector<std::string> args, const std::string& config_path) {
  AllOptions options;
  LogOptions log{.level = LogLevel::warning};
  std::vector<std::string> warnings;
  options.dev = take_switch(args, {"--dev"});
  for (auto& name : take_options(args, {"--without"})) {
    if (std::ranges::find(kComponents, name) == std::end(kComponents)) {
      return usage_error_of_all(
          fmt::format("--without: no component '{}'; there are {}", name, fmt::join(kComponents, ", ")));
    }
    options.without.insert(std::move(name));
  }
  const auto configure_one = options.dev ? configure_dev : configure_with_file;
  if (const auto ended = configure_one(args, config_path, options, log, warnings)) return *ended;
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
  ASSIGN_OR_RETURN(auto configured, configure_from<ApiConfig>(config_path, api_program(), args, warnings));
  auto& config = configured.config;
  // The programs have different ideas of what is meant then.
  if (!config.store && !config.etcd)
    return fail(Code::invalid_argument, "the configuration names no store: add `store` or `etcd`");
  return std::move(config);
}

// The one argument that is left.
Result<std::string> file_argument(std::string_view command, const std::vector<std::string>& args) {
  RETURN_IF_ERROR(only_positional(command, args));
  if (args.size() == 1 && args[0] != "-") return args[0];
  return fail(Code::invalid_argument, fmt::format("{}: want one FILE, got '{}'", command, fmt::join(args, " ")));
}

int backup(std::vector<std::string> args, const std::string& config_path) {
  BackupOptions options;
  std::vector<std::string> warnings;
  options.krakectl = take_option(args, {"--krakectl"});
  auto api = store_to_open(args, config_path, false, warnings);
  if (!api) return print_warnings(warnings), failed(api.error());
  options.api = std::move(*api);
  auto file = file_argument("backup", args);
  if (!file) return usage_error(file.error().message);
  options.file = std::move(*file);
  return start(kQuiet, warnings, [&](Process& p) { return run_backup(p, options); });
}

int restore(std::vector<std::string> args, const std::string& config_path) {
  RestoreCommand command;
  std::vector<std::string> warnings;
  command.replace = take_switch(args, {"--replace"});
  if (take_switch(args, {"--check"})) {
    auto file = file_argument("restore --check", args);
    return file ? check_backup(*file) : usage_error(file.error().message);
  }
  auto api = store_to_open(args, config_path, true, warnings);
  if (!api) return print_warnings(warnings), failed(api.error());
  command.api = std::move(**api);
  auto file = file_argument("restore", args);
  if (!file) return usage_error(file.error().message);
  command.file = std::move(*file);
  return start(kQuiet, warnings, [&](Process& p) { return run_restore(p, command); });
}

// `krake api` and the controllers.
template <class T, class Run>
int run_program(std::string_view title, const ProgramInfo& program, Arguments args, const std::string& config_path,
                bool help, Run run) {
  if (help) return print_help<T>(title, program), 0;
  const bool print = take_switch(args, {"--print-config"});
  const bool check = take_switch(args, {"--check-config"}) || print;
  hold_hangups();
  std::vector<std::string> warnings;
  auto configured = configure_from<T>(config_path, program, args, warnings);
  if (!configured) return print_unreadable(warnings, configured.error());
  if (!args.empty()) return usage_error(program, fmt::format("unknown option '{}'", option_name(args[0])));
  const auto prepared = prepare(configured->config);
  if (check) return print_configured(*configured, warnings, program, print, prepared);
  if (!prepared) return print_warnings(warnings), print_problems(configured->document, prepared.error(), "krake"), 1;
  return start(configured->log, warnings, [&](Process& p) { return run(p, configured->config, *prepared); });
}

Awaitable<int> run_known_controller(Process& process, std::string name, ControllerConfig config,
                                    ControllerStart start) {
  if (std::ranges::find(kComponents, name) == std::end(kComponents)) {
    co_return failed({Code::invalid_argument,
                      fmt::format("the configuration is good, but this version has no controller '{}'", name)});
  }
  co_return co_await run_controller(process, std::move(name), std::move(config), std::move(start));
}

int controller(const ProgramInfo& program, Arguments args, const std::string& config_path, bool help) {
  return run_program<ControllerConfig>(fmt::format("Krake {}", program.name), program, std::move(args), config_path,
                                       help,
                                       [&](Process& p, const ControllerConfig& config, const ControllerStart& start) {
                                         return run_known_controller(p, std::string(program.name), config, start);
                                       });
}

// What has arguments of its own.
std::optional<int> run_tool(const std::string& command, const Arguments& args) {
  if (command == "config") return run_config(args);
  if (command == "pki") return run_pki(args);
  if (command == "bootstrap") return run_bootstrap(args);
  if (command == "doctor") return run_doctor(args);
  if (command == "openapi") {
    fmt::print("{}\n", json::print(server::openapi_document(krake_registry(), server::ServerOptions{}.version)));
    return 0;
  }
  if (command == "token") {
    if (std::ranges::find(args, "--help") != args.end() || std::ranges::find(args, "-h") != args.end())
      return print_page();
    return run_token(args);
  }
  return std::nullopt;
}

int run(Arguments args) {
  if (args.empty() || args[0] == "-h" || args[0] == "--help") {
    print_page();
    return args.empty() ? 2 : 0;
  }
  std::string command = args[0];
  args.erase(args.begin());
  if (command == "version" || command == "--version") {
    fmt::print("krake {}\n", KRAKE_VERSION);
    return 0;
  }
  if (const auto status = run_tool(command, args)) return *status;
  if (command == "controller") {
    if (args.empty()) return usage_error("controller: which one?");
    command = args[0];
    args.erase(args.begin());
    if (!find_program(command) || command == "api")
      return usage_error(fmt::format("controller: there is no '{}'", command));
  }
  const bool help = take_switch(args, {"-h", "--help"});
  const std::string config_path = take_option(args, {"-c", "--config"}).value_or("");

  if (command == "api") {
    const Reread again = reread_api(config_path, args);
    return run_program<ApiConfig>(
        "Krake API server", api_program(), std::move(args), config_path, help,
        [&](Process& p, const ApiConfig& config, const ApiStart& start) { return run_api(p, config, start, again); });
  }
  if (command == "backup" || command == "restore") {
    if (help) return print_page();
    return command == "backup" ? backup(std::move(args), config_path) : restore(std::move(args), config_path);
  }
  if (command == "all") return help ? print_page() : all(args, config_path);
  const auto* program = find_program(command);
  if (!program) return usage_error(fmt::format("unknown command '{}'", option_name(command)));
  return controller(*program, std::move(args), config_path, help);
}

}  // namespace
}  // namespace krake

int main(int argc, char** argv) {
  return krake::run(krake::as_command(argc > 0 ? argv[0] : "krake", {argv + std::min(argc, 1), argv + argc}));
}
