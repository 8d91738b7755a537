#include "main/config.h"

#include <filesystem>
#include <fstream>

#include "cli/yaml.h"

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

Result<std::string> read_file(const std::string& path) {
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
    if (!std::filesystem::exists(place)) continue;
    ASSIGN_OR_RETURN(const std::string text, read_file(place));
    auto documents = cli::parse_yaml(text, place);
    if (!documents) return fail(with_context(documents.error(), place));
    ConfigDocument config{documents->empty() ? json::Value(json::Object()) : std::move(documents->front()), place};
    if (config.document.is_null()) config.document = json::Object();
    if (!config.document.is_object()) return fail(Code::invalid_argument, place + ": want a mapping of keys to values");
    normalise_keys(config.document);
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
    if (flag->is_switch) {
      at(document, flag->path) = flag->name == name;
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
