// krake config generate, krake config check (docs/operations/configuration.md).
#pragma once

#include <string>
#include <vector>

#include "main/arguments.h"
#include "main/config.h"
#include "main/log_config.h"
#include "main/start.h"

namespace krake {

template <class T>
struct Configured {
  T config;
  LogOptions log;
  ConfigDocument document;
  std::vector<std::string> warnings;
};

// Applies variables and the flags that are in `args` to `document`, and reads it as the configuration of `program`.
template <class T>
Result<Configured<T>> configure(ConfigDocument document, const ProgramInfo& program, Arguments& args,
                                const Variables& variable = environment_variable) {
  const auto flags = config_flags<T>(program);
  Configured<T> out;
  apply_variables(document, flags, variable, out.warnings);
  RETURN_IF_ERROR(apply_flags(document, flags, args));
  ASSIGN_OR_RETURN(out.config, decode_config<T>(document, program, out.warnings));
  out.log = plan_log(document, out.warnings);
  out.document = std::move(document);
  return out;
}

// One line of `krake config check`.
struct EffectiveValue {
  std::string path;    // "etcd.host"
  std::string value;   // as JSON; secrets masked
  std::string origin;  // see ConfigDocument
  friend bool operator==(const EffectiveValue&, const EffectiveValue&) = default;
};
// `values`: the decoded configuration, secrets masked already.
std::vector<EffectiveValue> effective_values(const json::Value& values, const ConfigDocument& document,
                                             const ProgramInfo& program);

// Prints warnings to standard error and, if wanted, every value, `more` after its own; then what keeps the program from
// starting. The exit code: 0 when nothing does.
template <class T, class Start>
int print_configured(const Configured<T>& configured, const ProgramInfo& program, bool values,
                     const Prepared<Start>& start, const std::vector<EffectiveValue>& more = {});

// The arguments after `krake config`; the exit code.
int run_config(Arguments args);

// ---- of templates above

void print_values(const std::vector<EffectiveValue>& values);
void print_log(const LogOptions& log);
void print_warnings(const std::vector<std::string>& warnings);
// To standard error, each with `before` it.
void print_problems(const ConfigDocument& document, const ConfigProblems& problems, std::string_view before);

template <class T, class Start>
int print_configured(const Configured<T>& configured, const ProgramInfo& program, bool values,
                     const Prepared<Start>& start, const std::vector<EffectiveValue>& more) {
  print_warnings(configured.warnings);
  if constexpr (requires { start->warnings; }) {
    if (start) print_warnings(start->warnings);
  }
  if (values) {
    auto own = effective_values(masked<T>(to_value(configured.config)), configured.document, program);
    std::ranges::copy(more, std::back_inserter(own));
    print_values(own);
    print_log(configured.log);
  }
  if (start) return 0;
  print_problems(configured.document, start.error(), "error");
  return 1;
}

}  // namespace krake
