#include "main/bootstrap.h"

#include <fmt/core.h>

#include <iostream>
#include <iterator>
#include <set>

#include "api/registry.h"
#include "backup/restore.h"
#include "cli/config.h"
#include "client/client.h"
#include "main/config_command.h"
#include "main/process.h"
#include "main/stores.h"
#include "net/failover.h"

namespace krake {

namespace {

constexpr int kRounds = 10;

constexpr std::string_view kUsage =
    R"(usage: krake bootstrap [--server [--krakectl FILE] | -c FILE | --db-host HOST [--db-port PORT]] [--force] [--dry-run] FILE...
       krake_bootstrap_db [-f] [--db-host HOST] [--db-port PORT] FILE...

FILE has YAML documents, each with api, kind, metadata and the rest of one object; "-" is standard input.

  --server           through the API server that krakectl.yaml names (--krakectl FILE: that one)
  -c, --config FILE  into the store of that api.yaml (default: ./api.yaml, /etc/krake/api.yaml)
  --db-host HOST, --db-port PORT   into that etcd (localhost, 2379)
  --local-etcd       into the etcd of localhost, unless one of these is given (krake_bootstrap_db: always)
  -f, --force        what is there and differs is replaced in place; else it is an error and nothing is written
  --new-only         what is there is an error even if it is the same (krake_bootstrap_db: always)
  --dry-run          says what would be written
)";

int usage_error(std::string_view message) {
  fmt::print(stderr, "krake bootstrap: {}\n\n{}", message, kUsage);
  return 2;
}

int failed(std::string_view message) {
  fmt::print(stderr, "krake bootstrap: {}\n", message);
  return 1;
}

Awaitable<Result<std::map<std::string, store::Entry>>> read_keys(store::Store& store, std::vector<std::string> keys) {
  std::map<std::string, store::Entry> found;
  for (const auto& key : keys) {
    ASSIGN_OR_CO_RETURN(auto entry, co_await store.get(key));
    if (entry) found.emplace(key, std::move(*entry));
  }
  co_return found;
}

std::vector<std::string> keys_of(const std::vector<BootstrapObject>& objects) {
  std::vector<std::string> keys;
  for (const auto& object : objects) keys.push_back(object.key);
  return keys;
}

Awaitable<Result<std::vector<std::string>>> dangling_in_store(store::Store& store, BootstrapObjects objects) {
  std::set<std::string> missing;
  for (const auto& named : named_objects(*objects, krake_registry())) {
    ASSIGN_OR_CO_RETURN(const auto entry, co_await store.get(named.key()));
    if (!entry) missing.insert(named.key());
  }
  co_return dangling_references(*objects, krake_registry(), missing);
}

// True: all batches are in. False: somebody else was faster, look again.
Awaitable<Result<bool>> commit_all(store::Store& store, std::vector<BootstrapBatch> batches, BootstrapDone& done) {
  for (auto& batch : batches) {
    ASSIGN_OR_CO_RETURN(const auto result, co_await store.commit(std::move(batch.txn)));
    if (std::holds_alternative<store::Conflict>(result)) co_return false;
    ++done.transactions;
    for (const auto& write : batch.writes) done.written.push_back(write.object);
  }
  co_return true;
}

}  // namespace

Awaitable<Result<BootstrapDone>> bootstrap_store(Env& env, store::Store& store, BootstrapObjects objects,
                                                 BootstrapRules rules) {
  CO_RETURN_IF_ERROR(co_await backup::check_whole(store));
  BootstrapDone done;
  ASSIGN_OR_CO_RETURN(done.warnings, co_await dangling_in_store(store, objects));
  const auto uid = [&] { return env.random.uuid4(); };
  for (int round = 0; round < kRounds; ++round) {
    ASSIGN_OR_CO_RETURN(const auto stored, co_await read_keys(store, keys_of(*objects)));
    auto plan = plan_bootstrap(*objects, stored, done.written, rules.present, env.clock.wall(), uid);
    done.unchanged = std::move(plan.unchanged);
    done.problems = std::move(plan.problems);
    if (!done.problems.empty()) co_return done;
    if (rules.dry_run) {
      done.transactions = plan.batches.size();
      for (const auto& batch : plan.batches) {
        for (const auto& write : batch.writes) done.written.push_back(write.object);
      }
      co_return done;
    }
    ASSIGN_OR_CO_RETURN(const bool all, co_await commit_all(store, std::move(plan.batches), done));
    if (all) co_return done;
  }
  co_return fail(Code::conflict, "somebody else goes on writing the same objects; try again when that has ended");
}

// ---- through the API

namespace {

struct Through {
  Client client;
  BootstrapRules rules;
};

Error at(const BootstrapObject& object, Error error) {
  return with_context(std::move(error),
                      fmt::format("{} ({})", identify(*object.kind, object.object->meta()), object.place));
}

// What one may not read is not said to be missing.
Awaitable<Result<std::vector<std::string>>> dangling_in_api(Client& client, BootstrapObjects objects) {
  std::set<std::string> missing;
  for (const auto& named : named_objects(*objects, krake_registry())) {
    const auto there = co_await client.call_json("GET", named.kind->item_path(named.ns, named.name));
    if (!there && there.error().code == Code::not_found) missing.insert(named.key());
  }
  co_return dangling_references(*objects, krake_registry(), missing);
}

// Whether it was written (or would be). A step that is refused is a problem in `done`.
Awaitable<Result<bool>> put_one(Env& env, Through& through, const BootstrapObject& wanted, BootstrapDone& done) {
  using Action = BootstrapStep::Action;
  const auto& meta = wanted.object->meta();
  const std::string ns = meta.namespace_.value_or("");
  const std::string item = wanted.kind->item_path(ns, meta.name);
  for (int round = 0; round < kRounds; ++round) {
    auto present = co_await through.client.call_json("GET", item);
    if (!present && present.error().code != Code::not_found) co_return fail(present.error());
    std::int64_t revision = 0;
    std::string stored;
    if (present) {
      const auto text = present->string_at({"metadata", "resource_version"});
      std::from_chars(text.data(), text.data() + text.size(), revision);
      stored = json::print(*present);
    }
    const auto step =
        decide(wanted, present ? &stored : nullptr, through.rules.present, {env.random.uuid4(), env.clock.wall()});
    if (step.action == Action::refuse) {
      done.problems.push_back(
          {wanted.file, identify(*wanted.kind, meta), fmt::format("{} ({})", step.why, wanted.place)});
      co_return false;
    }
    if (step.action == Action::unchanged) co_return false;
    if (through.rules.dry_run) co_return true;
    std::string text;
    step.object->encode(text);
    auto body = json::parse(text);
    if (!body) co_return fail(body.error());
    const bool create = step.action == Action::create;
    const auto written =
        co_await through.client.call_json(create ? "POST" : "PUT", create ? wanted.kind->collection_path(ns) : item,
                                          std::move(*body), {.revision = create ? 0 : revision});
    if (written) co_return true;
    const auto code = written.error().code;
    // Somebody was faster.
    if (code != Code::already_exists && code != Code::conflict && code != Code::precondition_failed)
      co_return fail(written.error());
  }
  co_return fail(Code::conflict, "somebody else goes on writing it; try again when that has ended");
}

}  // namespace

Awaitable<Result<BootstrapDone>> bootstrap_api(Env& env, std::shared_ptr<Transport> transport, std::string token,
                                               BootstrapObjects objects, BootstrapRules rules) {
  BootstrapDone done;
  Through through{.client = Client(std::move(transport), {.token = std::move(token)}), .rules = rules};
  ASSIGN_OR_CO_RETURN(done.warnings, co_await dangling_in_api(through.client, objects));
  // All are looked at before one is written, so that what is refused leaves nothing half done.
  Through look{.client = through.client, .rules = {.present = rules.present, .dry_run = true}};
  for (std::size_t i = 0; i < objects->size(); ++i) {
    auto wanted = co_await put_one(env, look, (*objects)[i], done);
    if (!wanted) co_return fail(at((*objects)[i], wanted.error()));
    (*wanted ? done.written : done.unchanged).push_back(i);
  }
  if (!done.problems.empty()) {
    done.written.clear();
    co_return done;
  }
  if (rules.dry_run) co_return done;
  for (const auto i : done.written) {
    auto written = co_await put_one(env, through, (*objects)[i], done);
    if (!written) co_return fail(at((*objects)[i], written.error()));
    ++done.transactions;
  }
  co_return done;
}

// ---- the command

namespace {

struct Command {
  BootstrapRules rules;
  std::optional<ApiConfig> api;         // the store; none: through the API
  std::optional<std::string> krakectl;  // with the API
  std::vector<std::string> warnings;
};

Result<std::vector<BootstrapFile>> read_files(const Arguments& names) {
  std::vector<BootstrapFile> files;
  for (const auto& name : names) {
    if (name == "-") {
      files.push_back({"-", std::string(std::istreambuf_iterator<char>(std::cin), {})});
    } else {
      ASSIGN_OR_RETURN(auto text, read_file(name));
      files.push_back({name, std::move(text)});
    }
  }
  return files;
}

// Upstream's report, whose words scripts look for. `written`: before somebody else got in between.
void report(const std::vector<BootstrapProblem>& problems, std::size_t written = 0) {
  constexpr std::string_view rule = "#############";
  fmt::print(stderr, "{}\nThe following could not be added:\n", rule);
  std::string file;
  for (const auto& problem : problems) {
    if (file.empty() || file != problem.file) fmt::print(stderr, "In file '{}':\n", problem.file);
    file = problem.file;
    fmt::print(stderr, " * {}, with error: {}\n", problem.what, problem.error);
  }
  if (written == 0) {
    fmt::print(stderr, "{}\nRollback to previous state has been performed: nothing was written.\n", rule);
  } else {
    fmt::print(stderr, "{}\n{} resources had been written before; the same command goes on.\n", rule, written);
  }
}

int show(const BootstrapDone& done, const std::vector<BootstrapObject>& objects, bool dry_run) {
  for (const auto& warning : done.warnings) fmt::print(stderr, "warning: {}\n", warning);
  if (!done.problems.empty()) return report(done.problems, done.written.size()), 1;
  const auto list = [&](std::string_view title, const std::vector<std::size_t>& indices) {
    if (indices.empty()) return;
    fmt::print("{}\n", title);
    for (const auto i : indices) fmt::print(" * {}\n", identify(*objects[i].kind, objects[i].object->meta()));
  };
  list(dry_run ? "Resources that would be added to database:" : "Resources added to database:", done.written);
  list("Resources that are there as wanted:", done.unchanged);
  return 0;
}

Awaitable<Result<BootstrapDone>> put_all(Env& env, Command command, BootstrapObjects objects) {
  if (command.api) {
    const auto& store = command.api->store;
    if (store && store->type == "memory")
      co_return fail(Code::invalid_argument, "store.type: a memory store lives and ends with its API server");
    ASSIGN_OR_CO_RETURN(const auto opened, co_await open_store(env, *command.api, {}));
    co_return co_await bootstrap_store(env, *opened, objects, command.rules);
  }
  auto io = cli::process_io(env.executor, env.clock);
  const auto config = cli::load_config(io, command.krakectl);
  if (!config) co_return fail(Code::invalid_argument, config.error().message);
  ASSIGN_OR_CO_RETURN(const auto transport, dial_all(*io.dialer, env.clock, config->endpoint));
  co_return co_await bootstrap_api(env, transport, config->token, objects, command.rules);
}

Awaitable<int> run(Process& process, Command command, BootstrapObjects objects) {
  using namespace boost::asio::experimental::awaitable_operators;
  for (const auto& warning : command.warnings) process.env().log.warning(warning);
  const bool dry_run = command.rules.dry_run;
  const auto ended = co_await (caught(put_all(process.env(), command, objects)) || process.wait_stop());
  if (ended.index() == 1) co_return failed("interrupted; the same command goes on");
  const auto& done = std::get<0>(ended);
  if (!done) co_return failed(done.error().message);
  co_return show(*done, *objects, dry_run);
}

// Where to, as the user says it.
struct Target {
  bool server = false;
  std::optional<std::string> krakectl;
  std::optional<std::string> config;
  std::optional<std::string> host;  // of an etcd, as is the next
  std::optional<std::string> port;
  bool local_etcd = false;  // when none of these is given
};

Target take_target(Arguments& args) {
  Target target{.server = take_switch(args, {"--server"}),
                .krakectl = take_option(args, {"--krakectl"}),
                .config = take_option(args, {"-c", "--config"}),
                .host = take_option(args, {"--db-host"}),
                .port = take_option(args, {"--db-port"})};
  target.local_etcd = take_switch(args, {"--local-etcd"});
  return target;
}

// Two places are none: nobody knows which one is meant, and writing into the other one cannot be undone.
std::vector<std::string_view> places_of(const Target& target) {
  std::vector<std::string_view> places;
  if (target.server || target.krakectl) places.push_back(target.server ? "--server" : "--krakectl");
  if (target.config) places.push_back("-c");
  if (target.host || target.port) places.push_back(target.host ? "--db-host" : "--db-port");
  return places;
}

Result<Command> command_for(const Target& target, Arguments& args, std::vector<std::string>& warnings) {
  Command command{.krakectl = target.krakectl};
  const auto places = places_of(target);
  if (target.server || target.krakectl) return command;
  if (target.host || target.port || (target.local_etcd && places.empty())) {
    json::Object etcd{{"host", target.host.value_or("localhost")}, {"port", target.port.value_or("2379")}};
    const ConfigDocument document{.document = json::Object{{"etcd", std::move(etcd)}, {"authorization", "RBAC"}}};
    ASSIGN_OR_RETURN(command.api, decode_config<ApiConfig>(document, *find_program("api"), warnings));
    return command;
  }
  ASSIGN_OR_RETURN(auto document, load_config_file(target.config.value_or(""), *find_program("api")));
  ASSIGN_OR_RETURN(auto configured, configure<ApiConfig>(std::move(document), *find_program("api"), args, warnings));
  if (!configured.config.store && !configured.config.etcd)
    return fail(Code::invalid_argument, "the configuration names no store: add `store` or `etcd`");
  command.api = std::move(configured.config);
  return command;
}

}  // namespace

int run_bootstrap(Arguments args) {
  if (take_switch(args, {"-h", "--help"})) return fmt::print("{}", kUsage), 0;
  BootstrapRules rules;
  if (take_switch(args, {"--new-only"})) rules.present = Present::refuse_any;
  if (take_switch(args, {"-f", "--force"})) rules.present = Present::replace;
  rules.dry_run = take_switch(args, {"--dry-run"});
  const auto target = take_target(args);
  if (const auto places = places_of(target); places.size() > 1)
    return usage_error(fmt::format("{}: which one? There is one place to write to", fmt::join(places, " or ")));
  std::vector<std::string> warnings;
  auto command = command_for(target, args, warnings);
  if (!command) return print_warnings(warnings), failed(command.error().message);
  command->warnings = std::move(warnings);
  command->rules = rules;
  if (auto good = only_positional("bootstrap", args); !good) return usage_error(good.error().message);
  if (args.empty()) return usage_error("which FILE?");
  const auto files = read_files(args);
  if (!files) return failed(files.error().message);
  auto input = read_bootstrap(*files, krake_registry());
  for (const auto& warning : input.warnings) fmt::print(stderr, "warning: {}\n", warning);
  if (!input.problems.empty()) return report(input.problems), 1;
  const auto objects = std::make_shared<const std::vector<BootstrapObject>>(std::move(input.objects));
  auto log = Log::open({.level = LogLevel::warning});
  if (!log) return failed(log.error().message);
  Process process(std::move(*log));
  return process.run([&](Process& p) { return run(p, *command, objects); });
}

}  // namespace krake
