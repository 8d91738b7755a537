#include "base/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

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

void append_json_string(std::string& out, std::string_view text) {
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
    out += text;
  } else {
    append_json_string(out, text);
  }
}
}  // namespace

Log::Log() = default;

Result<Log> Log::open(const LogOptions& options) {
  Log log;
  log.json_ = options.json;
  log.level_ = options.level;
  std::shared_ptr<spdlog::sinks::sink> sink;
  if (options.file.empty()) {
    sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  } else {
    try {
      sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(options.file);
    } catch (const spdlog::spdlog_ex& error) {
      return fail(Code::unavailable, fmt::format("log.output: cannot write '{}': {}", options.file, error.what()));
    }
  }
  log.sink_ = std::make_shared<spdlog::logger>("krake", std::move(sink));
  log.sink_->set_pattern(
      log.json_ ? R"({"time":"%Y-%m-%dT%H:%M:%S.%fZ","level":"%l",%v})" : "%Y-%m-%dT%H:%M:%S.%fZ %-7l %v",
      spdlog::pattern_time_type::utc);
  log.sink_->set_level(to_spdlog(log.level_));
  log.sink_->flush_on(spdlog::level::debug);
  return log;
}

Log Log::named(std::string_view name) const {
  Log copy = *this;
  copy.component_ = component_.empty() ? std::string(name) : component_ + "." + std::string(name);
  return copy;
}

bool Log::enabled(LogLevel level) const { return sink_ && level >= level_; }

void Log::write(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) const {
  if (!enabled(level)) return;
  std::string line;
  if (json_) {
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
    if (!component_.empty()) line += "[" + component_ + "] ";
    line += message;
    for (const auto& field : fields) {
      line += ' ';
      line += field.key;
      line += '=';
      append_text(line, field.value);
    }
  }
  sink_->log(to_spdlog(level), line);
}

}  // namespace krake
