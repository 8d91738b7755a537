#include "main/config.h"

#include <filesystem>
#include <fstream>

#include "cli/yaml.h"
#include "main/process.h"

namespace krake {

namespace {

// '-' is '_' in mapping keys, recursively, but not inside lists (upstream's rule).
void normalise_keys(json::Value& value) {
  auto* object = value.if_object();
  if (!object) return;
  json::Object renamed;
  for (auto& [key, member] : *object) {
    std::string name = key;
    std::ranges::replace(name, '-', '_');
    normalise_keys(member);
    renamed.set(name, std::move(member));
  }
  *object = std::move(renamed);
}

json::Value& at(json::Value& document, const std::vector<std::string>& path) {
  json::Value* here = &document;
  for (const auto& step : path) here = &here->make_object()[step];
  return *here;
}

}  // namespace

namespace config_detail {
void warn_unknown(const json::Object& document, const json::Object& known, const std::string& path,
                  std::vector<std::string>& warnings) {
  for (const auto& [key, value] : document) {
    const std::string here = path.empty() ? key : path + "." + key;
    // Python's logging dictionary has keys we do not need and that are no mistake.
    if (here.starts_with("log.")) continue;
    const auto* match = known.find(key);
    if (!match) {
      warnings.push_back(fmt::format("unknown configuration key '{}' is ignored", here));
    } else if (value.is_object() && match->is_object()) {
      warn_unknown(*value.if_object(), *match->if_object(), here, warnings);
    }
  }
}
}  // namespace config_detail

namespace {
template <class T>
Status in_range(std::string_view field, T value, double low, double high) {
  if (static_cast<double>(value) >= low && static_cast<double>(value) <= high) return {};
  return fail(Code::invalid_argument,
              fmt::format("Parsing configuration failed with error(s): \n - field '{}': want {} to {}, got {}", field,
                          low, high, value));
}
Status check(const LogConfig& config) {
  if (config.level && !parse_log_level(*config.level)) {
    return fail(Code::invalid_argument,
                fmt::format("Parsing configuration failed with error(s): \n - field 'log.level': want DEBUG, INFO, "
                            "WARNING, ERROR or CRITICAL, got '{}'",
                            *config.level));
  }
  if (config.format != "text" && config.format != "json") {
    return fail(Code::invalid_argument,
                fmt::format("Parsing configuration failed with error(s): \n - field 'log.format': want text or json, "
                            "got '{}'",
                            config.format));
  }
  return {};
}
}  // namespace

Status check(const ApiConfig& config) {
  RETURN_IF_ERROR(check(config.log));
  RETURN_IF_ERROR(check(config.audit));
  RETURN_IF_ERROR(in_range("port", static_cast<std::int64_t>(config.port), 0, 65535));
  RETURN_IF_ERROR(in_range("admin.port", static_cast<std::int64_t>(config.admin.port), 0, 65535));
  const std::pair<std::string_view, std::int64_t> counts[] = {{"limits.requests", config.limits.requests},
                                                              {"limits.bodies", config.limits.bodies},
                                                              {"limits.watches", config.limits.watches},
                                                              {"limits.list_streams", config.limits.list_streams}};
  // Below 20 there would be no room to put one before the other.
  for (const auto& [name, value] : counts) RETURN_IF_ERROR(in_range(name, value, 20, 1'000'000));
  RETURN_IF_ERROR(
      in_range("limits.body_bytes", static_cast<std::int64_t>(config.limits.body_bytes), 16'777'216, 68'719'476'736));
  RETURN_IF_ERROR(in_range("limits.store_seconds", config.limits.store_seconds, 0.1, 300));
  RETURN_IF_ERROR(in_range("limits.unconfirmed_seconds", config.limits.unconfirmed_seconds, 1, 3600));
  const auto& authentication = config.authentication;
  RETURN_IF_ERROR(in_range("authentication.timeout", authentication.timeout, 0.1, 60));
  RETURN_IF_ERROR(in_range("authentication.cache.seconds", authentication.cache.seconds, 0, 3600));
  RETURN_IF_ERROR(
      in_range("authentication.cache.size", static_cast<std::int64_t>(authentication.cache.size), 1, 1'000'000));
  RETURN_IF_ERROR(in_range("authentication.strategy.oidc.leeway", authentication.strategy.oidc.leeway, 0, 300));
  if (config.etcd)
    RETURN_IF_ERROR(
        in_range("etcd.retry_transactions", static_cast<std::int64_t>(config.etcd->retry_transactions), 0, 1000));
  if (config.etcd) RETURN_IF_ERROR(in_range("etcd.compact_after", config.etcd->compact_after, 0, 1e9));
  return {};
}

Status check(const ControllerConfig& config) {
  RETURN_IF_ERROR(check(config.log));
  RETURN_IF_ERROR(in_range("worker_count", static_cast<std::int64_t>(config.worker_count), 1, 1000));
  RETURN_IF_ERROR(in_range("debounce", config.debounce, 0, 3600));
  RETURN_IF_ERROR(in_range("reschedule_after", config.reschedule_after, 0.1, 31'536'000));
  RETURN_IF_ERROR(in_range("stickiness", config.stickiness, 0, 1000));
  RETURN_IF_ERROR(
      in_range("leader_election.ttl_seconds", static_cast<std::int64_t>(config.leader_election.ttl_seconds), 2, 3600));
  RETURN_IF_ERROR(in_range("admin.port", static_cast<std::int64_t>(config.admin.port), 0, 65535));
  return {};
}

Result<std::string> read_file(const std::string& path) {
  std::error_code ec;
  if (std::filesystem::is_directory(path, ec))
    return fail(Code::invalid_argument, fmt::format("cannot read '{}': it is a folder", path));
  std::ifstream in(path, std::ios::binary);
  if (!in) return fail(Code::not_found, fmt::format("cannot read '{}': {}", path, std::strerror(errno)));
  return std::string(std::istreambuf_iterator<char>(in), {});
}

Result<ConfigDocument> load_config_file(const std::string& path, const std::string& file) {
  std::vector<std::string> places;
  if (!path.empty()) {
    places = {path};
  } else {
    places = {file, "/etc/krake/" + file};
  }
  for (const auto& place : places) {
    std::error_code ec;
    const auto status = std::filesystem::status(place, ec);
    if (status.type() == std::filesystem::file_type::not_found) continue;  // what may not be seen is reported below
    ASSIGN_OR_RETURN(const std::string text, read_file(place));
    auto documents = cli::parse_yaml(text, place);
    if (!documents) return fail(with_context(documents.error(), place));
    ConfigDocument config{documents->empty() ? json::Value(json::Object()) : std::move(documents->front()), place};
    if (config.document.is_null()) config.document = json::Object();
    if (!config.document.is_object()) return fail(Code::invalid_argument, place + ": want a mapping of keys to values");
    normalise_keys(config.document);
    // Python's levels are names or numbers.
    if (auto* log = config.document.if_object()->find("log"); log && log->is_object()) {
      auto* level = log->if_object()->find("level");
      if (level && level->is_number()) *level = level->if_number()->text;
    }
    return config;
  }
  std::string tried;
  for (const auto& place : places) tried += fmt::format("{}'{}'", tried.empty() ? "" : ", ", place);
  return fail(Code::not_found, fmt::format("Configuration in {} not found", tried));
}

Status apply_flags(json::Value& document, const std::vector<ConfigFlag>& flags, std::vector<std::string>& args) {
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
    if (flag->is_switch && flag->name != name) {
      if (eq != std::string::npos) return fail(Code::invalid_argument, fmt::format("--{}: takes no value", name));
      at(document, flag->path) = false;
    } else if (flag->is_switch && eq == std::string::npos) {
      at(document, flag->path) = true;
    } else if (eq != std::string::npos) {
      at(document, flag->path) = arg.substr(eq + 1);
    } else if (i + 1 < args.size()) {
      at(document, flag->path) = args[++i];
    } else {
      return fail(Code::invalid_argument, fmt::format("--{}: a value is missing", name));
    }
  }
  args = std::move(rest);
  return {};
}

}  // namespace krake
