#include "main/doctor.h"

#include <fmt/core.h>

#include <filesystem>

#include "api/registry.h"
#include "backup/export.h"
#include "backup/restore.h"
#include "main/doctor_findings.h"
#include "main/process.h"
#include "main/stores.h"

namespace krake {

namespace {

namespace fs = std::filesystem;
using Severity = Finding::Severity;

constexpr std::size_t kPage = 200;

constexpr std::string_view kUsage = R"(usage: krake doctor [--config-dir DIR] [-c FILE | --no-store] [-o text|json]

Reads the configuration files of all programs in DIR (default: /etc/krake, or this folder when it has an api.yaml or a
krake.yaml) and the data of the store that its api.yaml, else its krake.yaml, or FILE, names: SQLite while no API server
has it, etcd at any time. Changes nothing. Exit code: 0 nothing is wrong, 1 warnings, 2 errors.
)";

struct Report {
  std::vector<std::string> files;
  std::map<std::string, std::size_t> counts;
  std::vector<Finding> findings;
};

int usage_error(std::string_view message) {
  fmt::print(stderr, "krake doctor: {}\n\n{}", message, kUsage);
  return 2;
}

void print_text(const Report& report) {
  for (const auto& file : report.files) fmt::print("configuration {}\n", file);
  for (const auto& [kind, count] : report.counts) fmt::print("{:>8} {}\n", count, kind);
  for (const auto& finding : report.findings)
    fmt::print("{}: {}: {}\n", to_string(finding.severity), finding.where, finding.what);
  if (report.findings.empty()) fmt::print("nothing is wrong\n");
}

void print_json(const Report& report) {
  json::Array files;
  json::Object counts;
  json::Array findings;
  for (const auto& file : report.files) files.emplace_back(file);
  for (const auto& [kind, count] : report.counts) counts.set(kind, static_cast<std::int64_t>(count));
  for (const auto& finding : report.findings) {
    findings.push_back(
        json::Object{{"severity", to_string(finding.severity)}, {"where", finding.where}, {"what", finding.what}});
  }
  const json::Object all{{"files", std::move(files)}, {"counts", std::move(counts)}, {"findings", std::move(findings)}};
  fmt::print("{}\n", json::print_pretty(all));
}

// Opening a store of this kind would make it.
Status check_is_there(const ApiConfig& config) {
  if (!config.store || config.store->type == "etcd") return {};
  if (config.store->type == "memory") return fail(Code::invalid_argument, "a memory store has nothing to look at");
  std::error_code ec;
  if (fs::exists(config.store->path, ec)) return {};
  return fail(Code::not_found, fmt::format("store.path: there is no file '{}'", config.store->path));
}

Awaitable<Status> read_data(Env& env, ApiConfig config, Report& report) {
  CO_RETURN_IF_ERROR(check_is_there(config));
  ASSIGN_OR_CO_RETURN(const auto store, co_await open_store(env, config, {.leave_no_mark = true, .keep_layout = true}));
  CO_RETURN_IF_ERROR(co_await backup::check_whole(*store));
  DataCheck check(krake_registry());
  for (const auto& prefix : backup::key_prefixes(krake_registry())) {
    std::string after;
    for (bool more = true; more;) {
      store::ListOptions options{.after = after, .limit = kPage};
      ASSIGN_OR_CO_RETURN(const auto page, co_await store->list(prefix, std::move(options)));
      for (const auto& entry : page.entries) check.add(entry);
      more = page.more && !page.entries.empty();
      if (more) after = page.entries.back().key;
    }
  }
  report.counts = check.counts();
  std::ranges::move(check.findings(), std::back_inserter(report.findings));
  co_return Status{};
}

Awaitable<int> look_at_data(Process& process, ApiConfig config, Report& report, std::string where) {
  using namespace boost::asio::experimental::awaitable_operators;
  const auto ended = co_await (caught(read_data(process.env(), std::move(config), report)) || process.wait_stop());
  if (ended.index() == 1) {
    report.findings.push_back({Severity::error, where, "interrupted"});
  } else if (const auto& done = std::get<0>(ended); !done) {
    report.findings.push_back(
        {Severity::error, where, fmt::format("the data cannot be read: {}", done.error().message)});
  }
  co_return 0;
}

bool is_there(const fs::path& path) {
  std::error_code ec;
  return fs::exists(path, ec);
}

// No program: it is a krake.yaml.
void look_at_file(const std::string& path, const ProgramInfo* program, Report& report) {
  if (!is_there(path) || std::ranges::find(report.files, path) != report.files.end()) return;
  const auto now = std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
  report.files.push_back(path);
  std::ranges::move(program ? check_config_file(path, *program, now) : check_combined_file(path, now),
                    std::back_inserter(report.findings));
}

// The store of the configuration in `path`. What is wrong with that itself has been found when it was looked at.
void look_at_store(const std::string& path, Report& report) {
  const auto& api = *find_program("api");
  Arguments none;
  const auto whole = load_whole_file(path, api, FileKind::regular);
  if (whole && !programs_in(*whole).empty() && !whole->document.if_object()->contains("api")) {
    report.findings.push_back(
        {Severity::error, path, "it has no section 'api', which would name the store; --no-store leaves the data out"});
    return;
  }
  auto document = whole ? take_section(*whole, section_of(api)) : Result<ConfigDocument>(fail(whole.error()));
  if (!document && report.files.end() == std::ranges::find(report.files, path))
    report.findings.push_back({Severity::error, path, document.error().message});
  if (!document) return;
  std::vector<std::string> told;  // as of what is wrong
  const auto configured = configure<ApiConfig>(std::move(*document), api, none, told);
  ConfigProblems problems;
  if (configured) plan_store(configured->config, problems);
  if (!configured || !problems.empty()) return;
  auto log = Log::open({.level = LogLevel::error});
  CHECK(log.has_value());  // nothing but standard error
  Process process(std::move(*log));
  (void)process.run([&](Process& p) { return look_at_data(p, configured->config, report, path); });
}

}  // namespace

int run_doctor(Arguments args) {
  if (take_switch(args, {"-h", "--help"})) return fmt::print("{}", kUsage), 0;
  const bool here = is_there("api.yaml") || is_there("krake.yaml");
  const fs::path dir = take_option(args, {"--config-dir"}).value_or(here ? "." : "/etc/krake");
  const auto combined = (dir / "krake.yaml").string();
  const auto separate = (dir / "api.yaml").string();
  const auto found = !is_there(separate) && is_there(combined) ? combined : separate;
  const auto config = take_option(args, {"-c", "--config"}).value_or(found);
  const auto output = take_option(args, {"-o", "--output"}).value_or("text");
  const bool no_store = take_switch(args, {"--no-store"});
  if (!args.empty()) return usage_error(fmt::format("unknown option '{}'", option_name(args.front())));
  if (output != "text" && output != "json") return usage_error("-o: want text or json");

  Report report;
  for (const auto& program : kPrograms) look_at_file((dir / program.file).string(), &program, report);
  look_at_file(combined, nullptr, report);
  if (!no_store) {
    look_at_file(config, find_program("api"), report);
    look_at_store(config, report);
  }
  sort_findings(report.findings);
  output == "json" ? print_json(report) : print_text(report);
  const auto severity = worst(report.findings);
  return severity == Severity::error ? 2 : severity == Severity::warning ? 1 : 0;
}

}  // namespace krake
