#include "base/log.h"

#include <spdlog/details/log_msg.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <algorithm>
#include <atomic>
#include <mutex>

#include "base/json.h"
#include "base/log_file.h"

namespace krake {

namespace {
spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return spdlog::level::debug;
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::warning:
      return spdlog::level::warn;
    case LogLevel::error:
      return spdlog::level::err;
    case LogLevel::off:
      return spdlog::level::off;
  }
  return spdlog::level::off;
}

void append_json_string(std::string& out, std::string_view given) {
  const std::string text = json::to_utf8(given);
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  out += '"';
}

void append_text(std::string& out, std::string_view text) {
  const bool plain = !text.empty() && text.find_first_of(" \"=\n\t\r") == std::string_view::npos;
  if (plain) {
    out += json::to_utf8(text);
  } else {
    append_json_string(out, text);
  }
}

constexpr std::string_view kRoot = "krake";  // name of the logger of no component; that of one is "krake.NAME"

// "[component] ", or nothing.
class ComponentFlag final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& out) override {
    const std::string_view name(message.logger_name.data(), message.logger_name.size());
    if (name.size() <= kRoot.size() + 1) return;
    const std::string text = fmt::format("[{}] ", name.substr(kRoot.size() + 1));
    out.append(text.data(), text.data() + text.size());
  }
  std::unique_ptr<spdlog::custom_flag_formatter> clone() const override { return std::make_unique<ComponentFlag>(); }
};

// INFO, WARNING, ...; with the padding of the pattern ("%-8&").
class PythonLevelFlag final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& out) override {
    const std::string_view name = message.level <= spdlog::level::debug  ? "DEBUG"
                                  : message.level == spdlog::level::info ? "INFO"
                                  : message.level == spdlog::level::warn ? "WARNING"
                                                                         : "ERROR";
    const bool left = padinfo_.side_ == spdlog::details::padding_info::pad_side::right;
    const std::string text =
        left ? fmt::format("{:<{}}", name, padinfo_.width_) : fmt::format("{:>{}}", name, padinfo_.width_);
    out.append(text.data(), text.data() + text.size());
  }
  std::unique_ptr<spdlog::custom_flag_formatter> clone() const override { return std::make_unique<PythonLevelFlag>(); }
};

class FileSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit FileSink(std::unique_ptr<LogFile> file) : file_(std::move(file)) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    file_->write({line.data(), line.size()});
  }
  void flush_() override {}
  std::unique_ptr<LogFile> file_;
};

std::unique_ptr<spdlog::formatter> make_formatter(bool json, const std::string& pattern) {
  const bool own = json || pattern.empty();
  auto formatter = std::make_unique<spdlog::pattern_formatter>(own ? spdlog::pattern_time_type::utc
                                                                   : spdlog::pattern_time_type::local);
  formatter->add_flag<ComponentFlag>('*').add_flag<PythonLevelFlag>('&');
  formatter->set_pattern(json              ? R"({"time":"%Y-%m-%dT%H:%M:%S.%fZ","level":"%l",%v})"
                         : pattern.empty() ? "%Y-%m-%dT%H:%M:%S.%fZ %-7l %*%v"
                                           : pattern);
  return formatter;
}

Result<spdlog::sink_ptr> make_sink(const LogOutput& output, bool json) {
  spdlog::sink_ptr sink;
  if (output.to == LogOutput::To::file) {
    ASSIGN_OR_RETURN(auto file,
                     LogFile::open({.path = output.file, .max_bytes = output.max_bytes, .backups = output.backups}));
    sink = std::make_shared<FileSink>(std::move(file));
  } else if (output.to == LogOutput::To::standard_output) {
    sink = std::make_shared<spdlog::sinks::stdout_sink_mt>();
  } else {
    sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  }
  sink->set_formatter(make_formatter(json, output.pattern));
  sink->set_level(to_spdlog(output.level));
  return sink;
}
}  // namespace

struct Log::Plan {
  bool json = false;
  LogLevel level = LogLevel::off;
  std::vector<std::pair<std::string, LogLevel>> levels;
  std::vector<spdlog::sink_ptr> sinks;

  // Its own, else that of the component it is a part of.
  LogLevel level_of(std::string_view component) const {
    while (!component.empty()) {
      const auto found = std::ranges::find(levels, component, &std::pair<std::string, LogLevel>::first);
      if (found != levels.end()) return found->second;
      const auto dot = component.rfind('.');
      component = component.substr(0, dot == std::string_view::npos ? 0 : dot);
    }
    return level;
  }
  LogLevel lowest() const {
    LogLevel lowest = level;
    for (const auto& [component, its_level] : levels) lowest = std::min(lowest, its_level);
    return lowest;
  }
};

struct Log::Shared {
  std::atomic<LogLevel> lowest = LogLevel::off;  // of any component: what is below costs nothing
  std::mutex mutex;
  std::shared_ptr<const Plan> plan;  // guarded by mutex
};

Log::Log() = default;

Result<Log> Log::open(const LogOptions& options) {
  auto plan = std::make_shared<Plan>(Plan{.json = options.json, .level = options.level, .levels = options.levels});
  auto outputs = options.outputs;
  if (outputs.empty())
    outputs.push_back(options.file.empty() ? LogOutput{} : LogOutput{.to = LogOutput::To::file, .file = options.file});
  for (const auto& output : outputs) {
    ASSIGN_OR_RETURN(auto sink, make_sink(output, options.json));
    plan->sinks.push_back(std::move(sink));
  }
  Log log;
  log.shared_ = std::make_shared<Shared>();
  log.shared_->lowest = plan->lowest();
  log.shared_->plan = std::move(plan);
  return log;
}

Log Log::named(std::string_view name) const {
  Log copy = *this;
  copy.component_ = component_.empty() ? std::string(name) : component_ + "." + std::string(name);
  return copy;
}

void Log::become(const Log& other) const {
  if (!shared_ || !other.shared_ || shared_ == other.shared_) return;
  std::shared_ptr<const Plan> plan;
  {
    const std::lock_guard lock(other.shared_->mutex);
    plan = other.shared_->plan;
  }
  const std::lock_guard lock(shared_->mutex);
  shared_->lowest = plan->lowest();
  shared_->plan = std::move(plan);
}

// Null: there is nothing to do with a line of that level.
std::shared_ptr<const Log::Plan> Log::plan_for(LogLevel level) const {
  if (!shared_ || level < shared_->lowest.load(std::memory_order_relaxed)) return nullptr;
  const std::lock_guard lock(shared_->mutex);
  return level < shared_->plan->level_of(component_) ? nullptr : shared_->plan;
}

bool Log::enabled(LogLevel level) const { return plan_for(level) != nullptr; }

void Log::write(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) const {
  const auto plan = plan_for(level);
  if (!plan) return;
  std::string line;
  if (plan->json) {
    line += "\"component\":";
    append_json_string(line, component_);
    line += ",\"message\":";
    append_json_string(line, message);
    for (const auto& field : fields) {
      line += ',';
      append_json_string(line, field.key);
      line += ':';
      append_json_string(line, field.value);
    }
  } else {
    line += message;
    for (const auto& field : fields) {
      line += ' ';
      line += field.key;
      line += '=';
      append_text(line, field.value);
    }
  }
  const std::string logger = component_.empty() ? std::string(kRoot) : fmt::format("{}.{}", kRoot, component_);
  const spdlog::details::log_msg entry(logger, to_spdlog(level), line);
  for (const auto& sink : plan->sinks) {
    if (!sink->should_log(entry.level)) continue;
    try {
      sink->log(entry);
      sink->flush();
    } catch (const std::exception&) {  // a full disk, a closed pipe: there is nobody to be told
    }
  }
}

}  // namespace krake
