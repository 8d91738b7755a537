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
};

// Applies variables and the flags that are in `args` to `document`, and reads it as the configuration of `program`.
// What it returns is to be used when there are no `errors`. invalid_argument: a flag without its value.
template <class T>
Result<Configured<T>> configure(ConfigDocument document, const ProgramInfo& program, Arguments& args,
                                FieldErrors& errors, std::vector<std::string>& warnings, const Variables& variable) {
  const auto flags = config_flags<T>(program);
  apply_variables(document, flags, variable, warnings);
  RETURN_IF_ERROR(apply_flags(document, flags, args));
  Configured<T> out;
  out.config = decode_config<T>(document, program, errors, warnings);
  const auto good = [wrong = errors.flatten()](const std::string& key) {
    return std::ranges::none_of(
        wrong, [&](const auto& error) { return error.first == key || error.first.starts_with(key + "."); });
  };
  if (good("log")) out.log = plan_log(document, warnings);
  if constexpr (std::is_same_v<T, ControllerConfig>) {
    if (good("api_endpoint") && good("tls")) warn_of_scheme(document, out.config, warnings);
  }
  out.document = std::move(document);
  return out;
}
// invalid_argument: all that is wrong. `warnings` has all that is doubtful, then, too.
template <class T>
Result<Configured<T>> configure(ConfigDocument document, const ProgramInfo& program, Arguments& args,
                                std::vector<std::string>& warnings, const Variables& variable = environment_variable) {
  FieldErrors errors;
  ASSIGN_OR_RETURN(auto out, configure<T>(std::move(document), program, args, errors, warnings, variable));
  if (!errors.empty()) return fail(Code::invalid_argument, describe_errors(out.document, errors));
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
int print_configured(const Configured<T>& configured, const std::vector<std::string>& warnings,
                     const ProgramInfo& program, bool values, const Prepared<Start>& start,
                     const std::vector<EffectiveValue>& more = {});
// What cannot be read as a configuration, after its warnings, to standard error. The exit code.
int print_unreadable(const std::vector<std::string>& warnings, const Error& error);

// The arguments after `krake config`; the exit code.
int run_config(Arguments args);

// ---- of templates above

void print_values(const std::vector<EffectiveValue>& values);
void print_log(const LogOptions& log);
void print_warnings(const std::vector<std::string>& warnings);
// To standard error, each with `before` it.
void print_problems(const ConfigDocument& document, const ConfigProblems& problems, std::string_view before);

template <class T, class Start>
int print_configured(const Configured<T>& configured, const std::vector<std::string>& warnings,
                     const ProgramInfo& program, bool values, const Prepared<Start>& start,
                     const std::vector<EffectiveValue>& more) {
  print_warnings(warnings);
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
