#include "main/log_config.h"

#include <fmt/format.h>

#include <set>

#include "main/process.h"

namespace krake {

namespace {

using Names = std::initializer_list<std::string_view>;

bool one_of(std::string_view text, Names names) { return std::ranges::find(names, text) != names.end(); }

// Upstream's loggers, and the component here that logs what they would.
constexpr std::pair<std::string_view, std::string_view> kComponents[] = {
    {"krake.controller.scheduler", "scheduler"},
    {"krake.controller.gc", "gc"},
    {"krake.controller.kubernetes.application", "kubernetes-application"},
    {"krake.controller.kubernetes.cluster", "kubernetes-cluster"},
};

// Python's strftime directives that mean the same in a pattern here.
std::optional<std::string> time_pattern(std::string_view datefmt) {
  if (datefmt.empty()) return "%Y-%m-%d %H:%M:%S,%e";
  std::string out;
  for (std::size_t i = 0; i < datefmt.size(); ++i) {
    out += datefmt[i];
    if (datefmt[i] != '%') continue;
    if (++i == datefmt.size()) return std::nullopt;
    if (datefmt[i] == 'y') {
      out += 'C';
    } else if (std::string_view("aAbBcYmdHIMSpTRDz%").contains(datefmt[i])) {
      out += datefmt[i];
    } else {
      return std::nullopt;
    }
  }
  return out;
}

class Planner {
 public:
  Planner(const ConfigDocument& config, std::vector<std::string>& warnings) : config_(config), warnings_(warnings) {
    const auto* log = config.document.if_object() ? config.document.if_object()->find("log") : nullptr;
    if (log && log->is_object()) log_ = *log->if_object();
  }

  LogOptions plan() {
    LogOptions options;
    options.json = text(log_, "format") == "json";
    options.file = text(log_, "output");
    options.level = overall_level();
    component_levels(options);
    if (options.file.empty()) options.outputs = outputs();
    look_at_the_rest();
    return options;
  }

 private:
  static std::string text(const json::Object& object, std::string_view key) {
    const auto* member = object.find(key);
    const auto* value = member ? member->if_string() : nullptr;
    return value ? *value : std::string();
  }
  static std::int64_t number(const json::Object& object, std::string_view key) {
    const auto* member = object.find(key);
    if (!member) return 0;
    if (const auto* value = member->if_number()) return value->as_int64().value_or(0);
    return 0;
  }
  void warn(const std::string& path, std::string_view what) {
    warnings_.push_back(fmt::format("{}: '{}' {}", config_.place(path), path, what));
  }
  // A member that must be a mapping; an empty one when it is not there.
  json::Object section(const json::Object& object, std::string_view key, const std::string& path) {
    const auto* member = object.find(key);
    if (!member || member->is_null()) return {};
    if (const auto* found = member->if_object()) return *found;
    warn(path, "is ignored: it must be a mapping");
    return {};
  }
  json::Object logger(std::string_view name) { return section(loggers_, name, fmt::format("log.loggers.{}", name)); }
  std::optional<LogLevel> level(const json::Object& object, const std::string& path) {
    const auto* member = object.find("level");
    if (!member || member->is_null()) return std::nullopt;
    const auto* name = member->if_string();
    const auto* value = member->if_number();
    const auto found = name ? parse_log_level(*name) : value ? parse_log_level(value->text) : std::nullopt;
    if (!found) warn(path + ".level", "is ignored: it is no level");
    return found;
  }

  LogLevel overall_level() {
    loggers_ = section(log_, "loggers", "log.loggers");
    root_ = section(log_, "root", "log.root");
    krake_ = logger("krake");
    const auto own = level(log_, "log");
    if (config_.overrides.contains("log.level") && own) return *own;
    if (const auto of_krake = level(krake_, "log.loggers.krake")) return *of_krake;
    if (own) return *own;
    return level(root_, "log.root").value_or(LogLevel::info);
  }

  void component_levels(LogOptions& options) {
    if (config_.overrides.contains("log.level")) return;
    for (const auto& [name, component] : kComponents) {
      // The nearest logger above that has a level; "krake" is everything.
      for (std::string_view at = name; at != "krake"; at = at.substr(0, at.rfind('.'))) {
        const auto found = level(logger(at), fmt::format("log.loggers.{}", at));
        if (!found) continue;
        options.levels.emplace_back(component, *found);
        break;
      }
    }
  }

  // What `krake` logs goes to its own handlers and, unless it says otherwise, to those of `root`.
  std::vector<std::string> used_handlers() {
    std::vector<std::string> names;
    const auto add = [&](const json::Object& from, const std::string& path) {
      const auto* list = from.find("handlers");
      const auto* items = list ? list->if_array() : nullptr;
      if (list && !items) warn(path + ".handlers", "is ignored: it must be a list of names");
      if (!items) return;
      for (const auto& item : *items) {
        const auto* name = item.if_string();
        if (name && std::ranges::find(names, *name) == names.end()) names.push_back(*name);
      }
    };
    add(krake_, "log.loggers.krake");
    const auto* propagate = krake_.find("propagate");
    const bool stays = propagate && propagate->if_bool() && !*propagate->if_bool();
    if (!stays) add(root_, "log.root");
    return names;
  }

  std::vector<LogOutput> outputs() {
    std::vector<LogOutput> outputs;
    const auto names = used_handlers();
    const auto handlers = section(log_, "handlers", "log.handlers");
    for (const auto& name : names) {
      // '-' in keys is '_' by now, in the list of names it is not.
      std::string key = name;
      if (!handlers.contains(key)) std::ranges::replace(key, '-', '_');
      const std::string path = "log.handlers." + key;
      if (!handlers.contains(key)) {
        warn("log.handlers", fmt::format("has no handler '{}', which is used", name));
        continue;
      }
      if (auto made = output(section(handlers, key, path), path)) outputs.push_back(std::move(*made));
    }
    if (outputs.empty() && !names.empty() && !silent_)
      warn("log", "has no handler that can be used: standard error is");
    if (outputs.empty() && silent_) outputs.push_back({.level = LogLevel::off});
    return outputs;
  }

  std::optional<LogOutput> output(const json::Object& handler, const std::string& path) {
    LogOutput made;
    const std::string type = text(handler, "class");
    if (type == "logging.NullHandler") {
      silent_ = true;
      return std::nullopt;
    }
    if (type == "logging.StreamHandler") {
      const std::string stream = text(handler, "stream");
      if (!one_of(stream, {"", "ext://sys.stderr", "ext://sys.stdout"}))
        warn(path + ".stream", "is ignored: want ext://sys.stdout or ext://sys.stderr");
      if (stream == "ext://sys.stdout") made.to = LogOutput::To::standard_output;
    } else if (one_of(type, {"logging.FileHandler", "logging.handlers.WatchedFileHandler",
                             "logging.handlers.RotatingFileHandler"})) {
      made.to = LogOutput::To::file;
      made.file = text(handler, "filename");
      if (made.file.empty()) return warn(path, "is ignored: it has no filename"), std::nullopt;
      if (type == "logging.handlers.RotatingFileHandler") {
        made.max_bytes = static_cast<std::uint64_t>(std::max<std::int64_t>(0, number(handler, "maxBytes")));
        made.backups = static_cast<int>(std::clamp<std::int64_t>(number(handler, "backupCount"), 0, 1000));
      }
      if (text(handler, "mode").starts_with("w")) warn(path + ".mode", "is ignored: lines are appended");
    } else {
      warn(path, fmt::format("is ignored: there is no handler of the class '{}' here", type));
      return std::nullopt;
    }
    for (const auto& [key, value] : handler) {
      if (!one_of(key, {"class", "level", "formatter", "stream", "filename", "maxBytes", "backupCount", "mode",
                        "encoding", "delay"}))
        warn(path + "." + key, "has no counterpart here and is ignored");
    }
    made.level = level(handler, path).value_or(LogLevel::debug);
    made.pattern = pattern(text(handler, "formatter"), path);
    return made;
  }

  std::string pattern(std::string formatter, const std::string& used_by) {
    if (formatter.empty()) return "";
    const auto formatters = section(log_, "formatters", "log.formatters");
    if (!formatters.contains(formatter)) std::ranges::replace(formatter, '-', '_');
    const std::string path = "log.formatters." + formatter;
    if (!formatters.contains(formatter)) {
      warn(used_by + ".formatter", fmt::format("is ignored: there is no formatter '{}'", formatter));
      return "";
    }
    const auto found = section(formatters, formatter, path);
    if (const auto style = text(found, "style"); !one_of(style, {"", "%"})) {
      warn(path + ".style", "is not known here; only '%' is");
      return "";
    }
    if (text(found, "format").empty()) return "";
    auto made = log_pattern(text(found, "format"), text(found, "datefmt"));
    if (made) return std::move(*made);
    warn(path, fmt::format("is ignored: {}", made.error().message));
    return "";
  }

  void look_at_the_rest() {
    for (const auto& [key, value] : log_) {
      const std::string path = "log." + key;
      if (key == "filters" && value.is_object() && !value.if_object()->empty()) {
        warn(path, "has no counterpart here and is ignored");
      } else if (!one_of(key, {"version", "level", "format", "output", "formatters", "handlers", "loggers", "root",
                               "filters", "disable_existing_loggers", "incremental"})) {
        warn(path, "is unknown and ignored");
      }
    }
    for (const auto& [name, value] : loggers_) {
      const bool known = std::ranges::any_of(
          kComponents, [&](const auto& c) { return c.first == name || c.first.starts_with(name + "."); });
      if (!known) warn(fmt::format("log.loggers.{}", name), "has no counterpart here and is ignored");
    }
  }

  const ConfigDocument& config_;
  std::vector<std::string>& warnings_;
  json::Object log_;
  json::Object loggers_;
  json::Object root_;
  json::Object krake_;
  bool silent_ = false;  // a handler that swallows everything is asked for
};

}  // namespace

LogOptions plan_log(const ConfigDocument& config, std::vector<std::string>& warnings) {
  return Planner(config, warnings).plan();
}

Result<std::string> log_pattern(std::string_view format, std::string_view datefmt) {
  std::string out;
  bool message = false;
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      out += format[i];
      continue;
    }
    if (format.substr(i).starts_with("%%")) {
      out += "%%";
      ++i;
      continue;
    }
    const auto end = format.find(')', i);
    if (i + 1 >= format.size() || format[i + 1] != '(' || end == std::string_view::npos)
      return fail(Code::invalid_argument, fmt::format("a '%' in '{}' begins no field", format));
    const auto name = format.substr(i + 2, end - i - 2);
    const auto type = format.find_first_not_of("-+ #0123456789.", end + 1);
    if (type == std::string_view::npos || !std::string_view("sdf").contains(format[type]))
      return fail(Code::invalid_argument, fmt::format("%({}) in '{}' has no type", name, format));
    const auto width = format.substr(end + 1, type - end - 1);
    const bool plain = width.find_first_not_of("-0123456789") == std::string_view::npos && width.size() <= 3;
    if (!plain) return fail(Code::invalid_argument, fmt::format("%({}){} is too elaborate", name, width));
    i = type;
    if (name == "asctime") {
      const auto time = time_pattern(datefmt);
      if (!time) return fail(Code::invalid_argument, fmt::format("the time format '{}' is not understood", datefmt));
      out += *time;
      continue;
    }
    constexpr std::pair<std::string_view, char> fields[] = {{"message", 'v'}, {"levelname", '&'}, {"name", 'n'},
                                                            {"process", 'P'}, {"thread", 't'},    {"msecs", 'e'}};
    const auto* field = std::ranges::find(fields, name, &std::pair<std::string_view, char>::first);
    if (field == std::end(fields)) return fail(Code::invalid_argument, fmt::format("there is no %({}) here", name));
    message = message || name == "message";
    out += fmt::format("%{}{}", width, field->second);
  }
  if (!message) return fail(Code::invalid_argument, fmt::format("'{}' does not show the message", format));
  return out;
}

std::string_view to_string(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return "DEBUG";
    case LogLevel::info:
      return "INFO";
    case LogLevel::warning:
      return "WARNING";
    case LogLevel::error:
      return "ERROR";
    case LogLevel::off:
      return "OFF";
  }
  return "OFF";
}

std::string to_string(const LogOutput& output) {
  std::string out = output.to == LogOutput::To::file              ? fmt::format("file {}", output.file)
                    : output.to == LogOutput::To::standard_output ? "standard output"
                                                                  : "standard error";
  if (output.max_bytes > 0 && output.backups > 0)
    out += fmt::format(", {} backups of {} bytes", output.backups, output.max_bytes);
  if (output.level != LogLevel::debug) out += fmt::format(", {} and worse", to_string(output.level));
  return out;
}

}  // namespace krake
