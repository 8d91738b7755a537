#include "main/config_command.h"

#include <fmt/core.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "base/encoding.h"
#include "main/config_templates.h"
#include "main/krakectl_check.h"

namespace krake {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kUsage = R"(usage: krake config generate [--dst DIR] [--force] [options] PROGRAM|TEMPLATE ...
       krake config check FILE... [--program NAME] [flags of the program]

generate: the configuration of PROGRAM (api, scheduler, kubernetes-application, kubernetes-cluster, infrastructure, gc,
magnum, krakectl), or a TEMPLATE file with $name for each option. Without --dst PROGRAM goes to standard output, TEMPLATE
to the present folder; no PROGRAM with --dst: all of them. A file that is there is not overwritten without --force.

check: every value that counts, and where it comes from: a file and line, a variable KRAKE_..., a flag, the default; and
whatever keeps the program from starting with them, but for what network and store will say.

options of generate, with their defaults:
)";

int failed(std::string_view message) {
  fmt::print(stderr, "krake config: {}\n", message);
  return 1;
}

int usage_error(std::string_view message) {
  fmt::print(stderr, "krake config: {}\n\n{}", message, kUsage);
  return 2;
}

void print_usage() {
  fmt::print("{}", kUsage);
  for (const auto& option : template_options())
    fmt::print("  {}{}\n", option.name, option.is_switch ? "" : fmt::format(" ({})", option.by_default));
}

// Without the user and the password that a URL may have, in lists, too. Whose value is a URL need not say "http://".
json::Value without_users(const json::Value& value, bool is_url) {
  if (const auto* list = value.if_array()) {
    json::Array out;
    for (const auto& element : *list) out.push_back(without_users(element, is_url));
    return out;
  }
  const auto* text = value.if_string();
  if (!text || !text->contains('@') || !(is_url || text->contains("://"))) return value;
  return presentable_url(*text);
}

bool names_url(std::string_view path) {
  constexpr std::string_view kUrls[] = {"endpoint", "endpoints", "issuer", "jwks_uri", "problem_base_url"};
  const auto name = path.substr(path.rfind('.') + 1);
  return std::ranges::any_of(kUrls, [&](std::string_view url) { return name.ends_with(url); });
}

void collect(const json::Value& value, const std::string& path, const ConfigDocument& document,
             std::vector<EffectiveValue>& out) {
  const auto* object = value.if_object();
  if (!object || object->empty()) {
    out.push_back({path, json::print(without_users(value, names_url(path))), document.origin(path)});
    return;
  }
  for (const auto& [key, member] : *object) collect(member, path + "." + key, document, out);
}

// ---- generate

struct Generated {
  std::string path;  // empty: standard output
  std::string text;
};

std::string base_name(const std::string& path) { return fs::path(path).filename().string(); }

std::string file_of(const std::string& program) {
  if (program == "krakectl") return "krakectl.yaml";
  const auto* info = find_program(program);
  return info ? std::string(info->file) : std::string();
}

Result<Generated> generate_one(const std::string& what, const std::optional<std::string>& dst,
                               const TemplateValues& values) {
  if (const auto file = file_of(what); !file.empty()) {
    ASSIGN_OR_RETURN(auto text, fill_template(builtin_template(file), file, values));
    return Generated{dst ? (fs::path(*dst) / file).string() : "", std::move(text)};
  }
  ASSIGN_OR_RETURN(const auto text, read_file(what));
  std::string name = base_name(what);
  if (constexpr std::string_view suffix = ".template"; name.ends_with(suffix)) name.resize(name.size() - suffix.size());
  const auto path = fs::path(dst.value_or(".")) / name;
  std::error_code ec;
  if (fs::equivalent(path, what, ec))
    return fail(Code::invalid_argument, fmt::format("'{}' would be written over itself; give --dst", what));
  ASSIGN_OR_RETURN(auto filled, fill_template(text, what, values));
  return Generated{path.string(), std::move(filled)};
}

Status write(const Generated& made, bool force) {
  std::error_code ec;
  if (!force && fs::exists(made.path, ec))
    return fail(Code::already_exists, fmt::format("'{}' is there already; --force overwrites it", made.path));
  std::ofstream out(made.path, std::ios::binary | std::ios::trunc);
  out << made.text;
  if (!out.flush())
    return fail(Code::unavailable, fmt::format("cannot write '{}': {}", made.path, std::strerror(errno)));
  return {};
}

// Nothing is written unless everything could be made.
int generate(Arguments args) {
  const bool force = take_switch(args, {"--force"});
  const auto dst = take_option(args, {"--dst"});
  auto values = take_template_values(args);
  if (!values) return usage_error(values.error().message);
  if (auto good = only_positional("generate", args); !good) return usage_error(good.error().message);
  if (args.empty() && !dst) return usage_error("generate: which PROGRAM or TEMPLATE?");
  if (args.empty()) {
    for (const auto& program : kPrograms) args.emplace_back(program.name);
    args.emplace_back("krakectl");
  }
  if (std::error_code ec; dst && !fs::is_directory(*dst, ec))
    return failed(fmt::format("--dst '{}': there is no such folder", *dst));
  std::vector<Generated> all;
  for (const auto& what : args) {
    auto made = generate_one(what, dst, *values);
    if (!made) return failed(made.error().message);
    all.push_back(std::move(*made));
  }
  for (const auto& made : all) {
    if (made.path.empty()) {
      fmt::print("{}", made.text);
      continue;
    }
    if (auto written = write(made, force); !written) return failed(written.error().message);
    fmt::print("{}\n", made.path);
  }
  return 0;
}

// ---- check

template <class T>
int check_as(ConfigDocument document, const ProgramInfo& program, Arguments& args) {
  std::vector<std::string> warnings;
  auto configured = configure<T>(std::move(document), program, args, warnings);
  if (!configured) return print_unreadable(warnings, configured.error());
  if (!args.empty())
    return usage_error(fmt::format("check: {} has no option '{}'", program.name, option_name(args.front())));
  fmt::print("# {} as {}\n", configured->document.source, program.name);
  return print_configured(*configured, warnings, program, true, prepare(configured->config));
}

int check_one(const ConfigDocument& whole, const ProgramInfo& program, Arguments args) {
  auto document = take_section(whole, section_of(program));
  if (!document) return fmt::print(stderr, "{}\n", document.error().message), 1;
  return program.name == "api" ? check_as<ApiConfig>(std::move(*document), program, args)
                               : check_as<ControllerConfig>(std::move(*document), program, args);
}

// Whose configuration a file is: by its name, or by the sections it has.
Result<std::vector<const ProgramInfo*>> programs_of(const ConfigDocument& whole,
                                                    const std::optional<std::string>& named) {
  if (named) {
    if (const auto* program = find_program(*named)) return std::vector{program};
    return fail(Code::invalid_argument, fmt::format("--program: there is no '{}'", *named));
  }
  const auto name = base_name(whole.source);
  for (const auto& program : kPrograms) {
    if (program.file == name) return std::vector{&program};
  }
  auto found = programs_in(whole);
  if (found.empty() && whole.document.if_object()->contains("authorization")) found.push_back(find_program("api"));
  if (!found.empty()) return found;
  return fail(
      Code::invalid_argument,
      fmt::format("{}: whose configuration is it? Name it after its program (scheduler.yaml), or give --program NAME",
                  whole.source));
}

int check_krakectl_file(const std::string& path, const Arguments& flags) {
  if (!flags.empty())
    return usage_error(fmt::format("check: krakectl.yaml has no option '{}'", option_name(flags.front())));
  const auto checked = check_krakectl(path);
  if (!checked) return fmt::print(stderr, "{}\n", checked.error().message), 1;
  fmt::print("# {} as krakectl\n", path);
  print_warnings(checked->warnings);
  print_values(checked->values);
  print_problems({}, checked->problems, "error");
  return checked->problems.empty() ? 0 : 1;
}

// Reads the file once: it may be a pipe.
int check_file(const std::string& path, const std::optional<std::string>& named, const Arguments& flags) {
  if (named ? *named == "krakectl" : base_name(path) == "krakectl.yaml") return check_krakectl_file(path, flags);
  const auto whole = load_whole_file(path, *find_program("api"));
  if (!whole) return fmt::print(stderr, "{}\n", whole.error().message), 1;
  const auto programs = programs_of(*whole, named);
  if (!programs) return failed(programs.error().message);
  int status = 0;
  for (const auto* program : *programs) status = std::max(status, check_one(*whole, *program, flags));
  return status;
}

int check(Arguments args) {
  const auto named = take_option(args, {"--program"});
  const auto first_flag = std::ranges::find_if(args, [](const auto& arg) { return arg.starts_with("-"); });
  const Arguments files(args.begin(), first_flag);
  const Arguments flags(first_flag, args.end());
  if (files.empty()) return usage_error("check: which FILE?");
  int status = 0;
  for (const auto& file : files) status = std::max(status, check_file(file, named, flags));
  return status;
}

}  // namespace

std::vector<EffectiveValue> effective_values(const json::Value& values, const ConfigDocument& document,
                                             const ProgramInfo& program) {
  std::vector<EffectiveValue> out;
  if (!values.is_object()) return out;
  for (const auto& [key, value] : *values.if_object()) {
    if (has_key(program, key)) collect(value, key, document, out);
  }
  return out;
}

void print_values(const std::vector<EffectiveValue>& values) {
  std::size_t width = 0;
  for (const auto& value : values) width = std::max(width, value.path.size() + value.value.size() + 3);
  width = std::min<std::size_t>(width, 60);
  for (const auto& value : values)
    fmt::print("{:<{}}  # {}\n", fmt::format("{} = {}", value.path, value.value), width, value.origin);
}

void print_log(const LogOptions& log) {
  std::string places;
  for (const auto& output : log.outputs) places += (places.empty() ? "" : "; ") + to_string(output);
  if (places.empty()) places = log.file.empty() ? "standard error" : "file " + log.file;
  fmt::print("# log: {} and worse to {}\n", to_string(log.level), places);
  for (const auto& [component, level] : log.levels) fmt::print("# log: {} of {}\n", to_string(level), component);
}

void print_warnings(const std::vector<std::string>& warnings) {
  std::fflush(stdout);
  for (const auto& warning : warnings) fmt::print(stderr, "warning: {}\n", warning);
}

int print_unreadable(const std::vector<std::string>& warnings, const Error& error) {
  print_warnings(warnings);
  fmt::print(stderr, "{}\n", error.message);
  return 1;
}

void print_problems(const ConfigDocument& document, const ConfigProblems& problems, std::string_view before) {
  std::fflush(stdout);
  for (const auto& problem : problems) fmt::print(stderr, "{}: {}\n", before, describe(document, problem));
}

int run_config(Arguments args) {
  if (args.empty()) return usage_error("generate or check?");
  if (take_switch(args, {"-h", "--help"})) return print_usage(), 0;
  const std::string command = args.front();
  args.erase(args.begin());
  if (command == "generate") return generate(std::move(args));
  if (command == "check") return check(std::move(args));
  return usage_error(fmt::format("there is no '{}'; generate or check?", command));
}

}  // namespace krake
