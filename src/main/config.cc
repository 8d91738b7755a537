#include "main/config.h"

#include <cstdlib>
#include <filesystem>

#include "main/process.h"
#include "net/failover.h"

namespace krake {

namespace {

std::string with_underscores(std::string text) {
  std::ranges::replace(text, '-', '_');
  return text;
}

// '-' is '_' in mapping keys, recursively, but not inside lists (upstream's rule).
void normalise_keys(json::Value& value) {
  auto* object = value.if_object();
  if (!object) return;
  json::Object renamed;
  for (auto& [key, member] : *object) {
    normalise_keys(member);
    renamed.set(with_underscores(key), std::move(member));
  }
  *object = std::move(renamed);
}

json::Value& at(json::Value& document, const std::vector<std::string>& path) {
  json::Value* here = &document;
  for (const auto& step : path) here = &here->make_object()[step];
  return *here;
}

void set(ConfigDocument& config, const ConfigFlag& flag, json::Value value, std::string by) {
  at(config.document, flag.path) = std::move(value);
  config.overrides[flag.dotted()] = std::move(by);
}

// Top-level keys that only some programs have.
constexpr std::pair<std::string_view, std::string_view> kOwners[] = {
    {"reschedule_after", "scheduler"},       {"stickiness", "scheduler"}, {"automatic_cluster_creation", "scheduler"},
    {"poll_interval", "infrastructure"},     {"poll_interval", "magnum"}, {"hooks", "kubernetes-application"},
    {"migration", "kubernetes-application"},
};

// Keys of older versions, and what has taken their place.
constexpr std::pair<std::string_view, std::string_view> kDeprecated[] = {
    {"authentication.kind", "authentication.strategy.NAME.enabled"},
    {"authentication.name", "authentication.strategy.static.name"},
};

void look_for_unknown(const ConfigDocument& config, const json::Object& document, const json::Object& known,
                      const std::string& above, std::vector<std::string>& warnings) {
  for (const auto& [key, value] : document) {
    const std::string here = above.empty() ? key : above + "." + key;
    if (above == "log") continue;  // Python's dictionary: log_config.cc
    const auto* match = known.find(key);
    if (match) {
      if (value.is_object() && match->is_object())
        look_for_unknown(config, *value.if_object(), *match->if_object(), here, warnings);
      continue;
    }
    const auto old = std::ranges::find(kDeprecated, here, &std::pair<std::string_view, std::string_view>::first);
    warnings.push_back(old == std::end(kDeprecated)
                           ? fmt::format("{}: unknown configuration key '{}' is ignored", config.place(here), here)
                           : fmt::format("{}: the deprecated configuration key '{}' is ignored; use '{}'",
                                         config.place(here), here, old->second));
  }
}

}  // namespace

const ProgramInfo* find_program(std::string_view name) {
  const auto* found = std::ranges::find(kPrograms, name, &ProgramInfo::name);
  return found == std::end(kPrograms) ? nullptr : found;
}

std::string_view section_of(const ProgramInfo& program) { return program.file.substr(0, program.file.rfind('.')); }

std::string known_sections() {
  std::string out;
  for (const auto& program : kPrograms) out += fmt::format("{}{}", out.empty() ? "" : ", ", section_of(program));
  return out;
}

bool has_key(const ProgramInfo& program, std::string_view key) {
  bool owned = false;
  for (const auto& [name, owner] : kOwners) {
    if (name != key) continue;
    if (owner == program.name) return true;
    owned = true;
  }
  return !owned;
}

std::string ConfigFlag::variable() const {
  std::string out = "KRAKE_" + with_underscores(name);
  for (char& c : out) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return out;
}

std::string ConfigDocument::place(const std::string& path) const {
  const int line = lines.of(path);
  return line > 0 ? fmt::format("{}:{}", source, line) : source.empty() ? "configuration" : source;
}

std::string ConfigDocument::origin(const std::string& path) const {
  if (const auto it = overrides.find(path); it != overrides.end()) return it->second;
  const json::Value* here = &document;
  for (std::string_view rest = path; here && !rest.empty();) {
    const auto dot = rest.find('.');
    const auto* object = here->if_object();
    here = object ? object->find(rest.substr(0, dot)) : nullptr;
    rest = dot == std::string_view::npos ? std::string_view() : rest.substr(dot + 1);
  }
  return here ? place(path) : "default";
}

std::vector<std::string> doubtful_keys(const ConfigDocument& config, const json::Value& known,
                                       const ProgramInfo& program) {
  std::vector<std::string> warnings;
  const auto* document = config.document.if_object();
  if (!document || !known.is_object()) return warnings;
  look_for_unknown(config, *document, *known.if_object(), "", warnings);
  for (const auto& [key, value] : *document) {
    if (!known.if_object()->contains(key) || has_key(program, key)) continue;
    warnings.push_back(fmt::format("{}: '{}' has no effect here: it is a key of another program than {}",
                                   config.place(key), key, program.name));
  }
  return warnings;
}

namespace {
// " (api.yaml:3)"; empty when nothing is known. Of a section also what comes from elsewhere of it: (api.yaml:3,
// --tls-key)
std::string in_brackets(const ConfigDocument& config, const std::string& path) {
  if (const auto it = config.overrides.find(path); it != config.overrides.end())
    return fmt::format(" ({})", it->second);
  std::string places = config.lines.of(path) > 0 ? config.place(path) : "";
  for (const auto& [below, by] : config.overrides) {
    if (below.starts_with(path + ".")) places += (places.empty() ? "" : ", ") + by;
  }
  return places.empty() ? "" : fmt::format(" ({})", places);
}
}  // namespace

std::string describe_errors(const ConfigDocument& config, const FieldErrors& errors) {
  std::string message = "Parsing configuration failed with error(s): ";
  for (const auto& [path, text] : errors.flatten())
    message += fmt::format("\n - field '{}': {}{}", path, text, in_brackets(config, path));
  return message;
}

std::string describe(const ConfigDocument& config, const ConfigProblem& problem) {
  const bool named = problem.what.starts_with(problem.key);
  return fmt::format("{}{}{}", named ? "" : problem.key + ": ", problem.what, in_brackets(config, problem.key));
}

namespace {
class Checks {
 public:
  explicit Checks(FieldErrors& errors) : errors_(errors) {}
  void wrong(std::string_view field, std::string what) {
    FieldErrors* here = &errors_;
    for (;;) {
      const auto dot = field.find('.');
      here = &here->at(std::string(field.substr(0, dot)));
      if (dot == std::string_view::npos) break;
      field.remove_prefix(dot + 1);
    }
    here->add(std::move(what));
  }
  template <class T>  // double or Integer
  void in_range(std::string_view field, const T& value, double low, double high) {
    using Number = std::conditional_t<std::is_same_v<T, Integer>, std::int64_t, T>;
    const auto number = static_cast<Number>(value);
    if (static_cast<double>(number) >= low && static_cast<double>(number) <= high) return;
    wrong(field, fmt::format("want {} to {}, got {}", low, high, number));
  }

 private:
  FieldErrors& errors_;
};

void check(const LogConfig& config, Checks& checks) {
  if (config.level && !parse_log_level(*config.level))
    checks.wrong("log.level", fmt::format("want DEBUG, INFO, WARNING, ERROR or CRITICAL, got '{}'", *config.level));
  if (config.format != "text" && config.format != "json")
    checks.wrong("log.format", fmt::format("want text or json, got '{}'", config.format));
}

void check(const AuditConfig& config, Checks& checks) {
  checks.in_range("audit.max_bytes", config.max_bytes, 65'536, 1'099'511'627'776);
  checks.in_range("audit.max_files", config.max_files, 1, 1000);
}

void check(const EtcdConfig& config, Checks& checks) {
  checks.in_range("etcd.port", config.port, 1, 65535);
  checks.in_range("etcd.retry_transactions", config.retry_transactions, 0, 1000);
  checks.in_range("etcd.compact_after", config.compact_after, 0, 1e9);
}

void check(const LimitsConfig& config, Checks& checks) {
  // Below 20 there would be no room to put one before the other.
  for (const auto& [name, value] : {std::pair{"limits.requests", &config.requests},
                                    {"limits.bodies", &config.bodies},
                                    {"limits.watches", &config.watches},
                                    {"limits.list_streams", &config.list_streams}})
    checks.in_range(name, *value, 20, 1'000'000);
  checks.in_range("limits.body_bytes", config.body_bytes, 16'777'216, 68'719'476'736);
  checks.in_range("limits.store_seconds", config.store_seconds, 0.1, 300);
  checks.in_range("limits.unconfirmed_seconds", config.unconfirmed_seconds, 1, 3600);
}

constexpr double kYear = 31'536'000;  // seconds
}  // namespace

void check(const ApiConfig& config, FieldErrors& errors) {
  Checks checks(errors);
  check(config.log, checks);
  check(config.audit, checks);
  checks.in_range("port", config.port, 0, 65535);
  checks.in_range("admin.port", config.admin.port, 0, 65535);
  check(config.limits, checks);
  const auto& authentication = config.authentication;
  checks.in_range("authentication.timeout", authentication.timeout, 0.1, 60);
  checks.in_range("authentication.cache.seconds", authentication.cache.seconds, 0, 3600);
  checks.in_range("authentication.cache.size", authentication.cache.size, 1, 1'000'000);
  checks.in_range("authentication.strategy.oidc.leeway", authentication.strategy.oidc.leeway, 0, 300);
  if (config.etcd) check(*config.etcd, checks);
}

void check(const ControllerConfig& config, FieldErrors& errors) {
  Checks checks(errors);
  check(config.log, checks);
  checks.in_range("worker_count", config.worker_count, 1, 1000);
  checks.in_range("debounce", config.debounce, 0, 3600);
  checks.in_range("reschedule_after", config.reschedule_after, 0, kYear);
  checks.in_range("stickiness", config.stickiness, 0, 1000);
  checks.in_range("poll_interval", config.poll_interval, 0.1, kYear);
  checks.in_range("automatic_cluster_creation.deletion_retention", config.automatic_cluster_creation.deletion_retention,
                  0, kYear);
  const auto& shutdown = config.hooks.shutdown;
  checks.in_range("hooks.shutdown.timeout", shutdown.timeout, 1, kYear);
  checks.in_range("hooks.shutdown.failure_retry_count", shutdown.failure_retry_count, 0, 1'000'000);
  if (shutdown.failure_strategy != "delete" && shutdown.failure_strategy != "give_up") {
    checks.wrong("hooks.shutdown.failure_strategy",
                 fmt::format("want delete or give_up, got '{}'", shutdown.failure_strategy));
  }
  checks.in_range("leader_election.ttl_seconds", config.leader_election.ttl_seconds, 2, 3600);
  checks.in_range("admin.port", config.admin.port, 0, 65535);
}

std::string_view api_scheme(const ControllerConfig& config) { return config.tls.enabled ? "https" : "http"; }

void warn_of_scheme(const ConfigDocument& document, const ControllerConfig& config,
                    std::vector<std::string>& warnings) {
  const auto urls = split_urls(config.api_endpoint);
  if (!urls) return;  // prepare() says why
  for (const auto& url : *urls) {
    if (url.substr(0, url.find("://")) == api_scheme(config)) continue;
    warnings.push_back(fmt::format("api_endpoint: the scheme of '{}' is changed to {}, to match tls.enabled{}", url,
                                   api_scheme(config), in_brackets(document, "api_endpoint")));
  }
}

namespace {
void warn_of_no_sections(ConfigDocument& config) {
  for (const auto& [key, value] : *config.document.if_object()) {
    if (std::ranges::any_of(kPrograms, [&](const auto& p) { return section_of(p) == key; })) continue;
    config.warnings.push_back(fmt::format("{}: '{}' is the section of no program and is ignored; known are {}",
                                          config.place(key), key, known_sections()));
  }
}

// Python's levels are names or numbers.
void name_log_level(json::Object& document) {
  auto* log = document.find("log");
  if (!log || !log->is_object()) return;
  auto* level = log->if_object()->find("level");
  if (level && level->is_number()) *level = level->if_number()->text;
}
}  // namespace

Result<ConfigDocument> parse_config(std::string_view text, const std::string& source) {
  auto documents = cli::parse_yaml_with_lines(text, source, {}, cli::RepeatedKey::last_counts);
  if (!documents) return fail(documents.error());
  if (documents->size() > 1) {
    return fail(Code::invalid_argument, fmt::format("{}:{}: a second document begins here; a configuration is one",
                                                    source, (*documents)[1].line));
  }
  ConfigDocument config{.source = source};
  if (!documents->empty()) {
    config.document = std::move(documents->front().value);
    config.warnings = std::move(documents->front().warnings);
    config.lines = documents->front().lines.renamed(with_underscores);
  }
  if (config.document.is_null()) config.document = json::Object();
  if (!config.document.is_object()) return fail(Code::invalid_argument, source + ": want a mapping of keys to values");
  normalise_keys(config.document);
  if (programs_in(config).empty()) {
    name_log_level(*config.document.if_object());
  } else {
    warn_of_no_sections(config);
  }
  return config;
}

std::vector<const ProgramInfo*> programs_in(const ConfigDocument& whole) {
  std::vector<const ProgramInfo*> out;
  for (const auto& program : kPrograms) {
    if (whole.document.if_object()->contains(section_of(program))) out.push_back(&program);
  }
  return out;
}

Result<ConfigDocument> take_section(ConfigDocument config, std::string_view section) {
  if (programs_in(config).empty()) return config;
  const auto* part = config.document.if_object()->find(section);
  json::Value whole = part && !part->is_null() ? *part : json::Value(json::Object());
  if (!whole.is_object())
    return fail(Code::invalid_argument, fmt::format("{}: want a mapping", config.place(std::string(section))));
  const std::string above = fmt::format("{}.", section);
  config.lines = config.lines.renamed(
      [&](const std::string& path) { return path.starts_with(above) ? path.substr(above.size()) : ""; });
  config.document = std::move(whole);
  name_log_level(*config.document.if_object());
  return config;
}

Result<ConfigDocument> load_whole_file(const std::string& path, const ProgramInfo& program, FileKind kind) {
  const std::string file(program.file);
  std::vector<std::string> places{path};
  if (path.empty()) places = {file, "/etc/krake/" + file, "krake.yaml", "/etc/krake/krake.yaml"};
  for (const auto& place : places) {
    std::error_code ec;
    const auto status = std::filesystem::status(place, ec);
    if (status.type() == std::filesystem::file_type::not_found) continue;  // what may not be seen is reported below
    ASSIGN_OR_RETURN(const std::string text, read_file(place, path.empty() ? FileKind::regular : kind));
    return parse_config(text, place);
  }
  if (path.empty()) places.resize(2);  // upstream's text
  return fail(Code::not_found, fmt::format("Configuration in '{}' not found", fmt::join(places, "', '")));
}

Result<ConfigDocument> load_config_file(const std::string& path, const ProgramInfo& program, FileKind kind) {
  ASSIGN_OR_RETURN(auto whole, load_whole_file(path, program, kind));
  return take_section(std::move(whole), section_of(program));
}

Status apply_flags(ConfigDocument& config, const std::vector<ConfigFlag>& flags, std::vector<std::string>& args) {
  std::vector<std::string> rest;
  for (std::size_t i = 0; i < args.size(); ++i) {
    const std::string& arg = args[i];
    if (!arg.starts_with("--")) {
      rest.push_back(arg);
      continue;
    }
    const auto eq = arg.find('=');
    const std::string name = arg.substr(2, eq == std::string::npos ? std::string::npos : eq - 2);
    const auto flag = std::ranges::find_if(
        flags, [&](const auto& f) { return f.name == name || (f.is_switch && "no-" + f.name == name); });
    if (flag == flags.end()) {
      rest.push_back(arg);
      continue;
    }
    const std::string by = "--" + name;
    if (flag->is_switch && flag->name != name) {
      if (eq != std::string::npos) return fail(Code::invalid_argument, fmt::format("--{}: takes no value", name));
      set(config, *flag, false, by);
    } else if (flag->is_switch && eq == std::string::npos) {
      set(config, *flag, true, by);
    } else if (eq != std::string::npos) {
      set(config, *flag, arg.substr(eq + 1), by);
    } else if (i + 1 < args.size()) {
      set(config, *flag, args[++i], by);
    } else {
      return fail(Code::invalid_argument, fmt::format("--{}: a value is missing", name));
    }
  }
  args = std::move(rest);
  return {};
}

void apply_variables(ConfigDocument& config, const std::vector<ConfigFlag>& flags, const Variables& variable,
                     std::vector<std::string>& warnings) {
  for (const auto& flag : flags) {
    const auto name = flag.variable();
    const auto value = variable(name);
    if (!value) continue;
    // What Kubernetes tells containers about a Service called "krake": KRAKE_PORT=tcp://10.0.0.1:8080.
    if (flag.path.back() == "port" && value->find("://") != std::string::npos) {
      warnings.push_back(
          fmt::format("{}={} is no port and is ignored: Kubernetes sets such variables for Services", name, *value));
      continue;
    }
    set(config, flag, *value, name);
  }
}

std::optional<std::string> environment_variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value ? std::optional<std::string>(value) : std::nullopt;
}

}  // namespace krake
