// Configuration files from templates: what `krake config generate` and upstream's krake_generate_config do. Pure.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "main/arguments.h"

namespace krake {

struct TemplateOption {
  std::string_view name;  // "--api-host"; its placeholder is $api_host
  std::string_view by_default;
  bool is_switch = false;
};
std::span<const TemplateOption> template_options();

using TemplateValues = std::map<std::string, std::string, std::less<>>;  // by placeholder, without '$'

// Takes the options out of `args`, adds what follows from them ($api_endpoint). invalid_argument: a value that is none.
Result<TemplateValues> take_template_values(Arguments& args);

// $name and ${name} are replaced, $$ is a '$'. A line with $external_endpoint is left out when that is empty.
// invalid_argument: an unknown name, a '$' without one; with `source` and line.
Result<std::string> fill_template(std::string_view text, std::string_view source, const TemplateValues& values);

// The template of "scheduler.yaml", ...; also of krakectl.yaml. Empty: there is none.
std::string_view builtin_template(std::string_view file);

}  // namespace krake
