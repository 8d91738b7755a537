// Structured logging: a constant message plus key=value fields, text or JSON lines, over spdlog.
// Thread: any. Never pass a secret: types that hold one mask it themselves (meta/codec.h).
#pragma once

#include <fmt/format.h>

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace krake {

enum class LogLevel { debug, info, warning, error, off };

struct LogField {
  std::string_view key;
  std::string value;
  template <class T>
  LogField(std::string_view k, const T& v) : key(k), value(fmt::format("{}", v)) {}
};

// One place lines go to.
struct LogOutput {
  enum class To { standard_error, standard_output, file };
  To to = To::standard_error;
  std::string file{};
  std::uint64_t max_bytes = 0;  // see LogFileOptions
  int backups = 0;
  LogLevel level = LogLevel::debug;  // less is not written there
  // How a line of text looks: spdlog's pattern, in local time, where "%*" is "[component] " or nothing, "%n" is
  // "krake.component" and "%&" the level as Python writes it. Empty: Krake's own.
  std::string pattern{};
};

struct LogOptions {
  LogLevel level = LogLevel::info;
  bool json = false;
  std::string file{};                // empty: standard error
  std::vector<LogOutput> outputs{};  // instead of `file`
  // Of what one component logs, by the name that named() gives it.
  std::vector<std::pair<std::string, LogLevel>> levels{};
};

class Log {
 public:
  Log();  // discards everything
  // unavailable when the file cannot be written.
  static Result<Log> open(const LogOptions& options);
  // The same sink with `component=name` on each line.
  Log named(std::string_view name) const;

  void debug(std::string_view message, std::initializer_list<LogField> fields = {}) const {
    write(LogLevel::debug, message, fields);
  }
  void info(std::string_view message, std::initializer_list<LogField> fields = {}) const {
    write(LogLevel::info, message, fields);
  }
  void warning(std::string_view message, std::initializer_list<LogField> fields = {}) const {
    write(LogLevel::warning, message, fields);
  }
  void error(std::string_view message, std::initializer_list<LogField> fields = {}) const {
    write(LogLevel::error, message, fields);
  }
  bool enabled(LogLevel level) const;
  // From now on all copies of this log, whatever their names, do what `other` does. One that discards goes on doing so.
  void become(const Log& other) const;

 private:
  struct Plan;    // what is done with a line
  struct Shared;  // by all copies: the plan of now
  std::shared_ptr<const Plan> plan_for(LogLevel level) const;
  void write(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) const;
  std::shared_ptr<Shared> shared_;
  std::string component_;
};

}  // namespace krake
