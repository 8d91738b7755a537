// The `log` section: Python's logging dictionary (version 1) as far as Krake's log can do what it asks for, and the
// simple keys level, format and output beside it. Pure.
#pragma once

#include <string>
#include <vector>

#include "base/log.h"
#include "main/config.h"

namespace krake {

// `config` was decoded without errors. What has no counterpart here is left out, and `warnings` says so with file and
// line.
LogOptions plan_log(const ConfigDocument& config, std::vector<std::string>& warnings);

// "%(asctime)s - %(message)s" as a pattern of LogOutput. invalid_argument names what cannot be had.
Result<std::string> log_pattern(std::string_view python_format, std::string_view python_datefmt);

// "FILE ./logs/krake-api.log, DEBUG, 3 backups of 2000000 bytes"
std::string to_string(const LogOutput& output);
std::string_view to_string(LogLevel level);

}  // namespace krake
