#include "main/arguments.h"

#include <fmt/format.h>

#include <algorithm>

#include "main/config.h"

namespace krake {

std::vector<std::string> take_options(Arguments& args, std::initializer_list<std::string_view> names) {
  std::vector<std::string> values;
  for (std::size_t i = 0; i < args.size(); ++i) {
    const auto eq = args[i].find('=');
    const std::string_view name = std::string_view(args[i]).substr(0, eq);
    if (std::ranges::find(names, name) == names.end()) continue;
    if (eq != std::string::npos) {
      values.push_back(args[i].substr(eq + 1));
      args.erase(args.begin() + static_cast<std::ptrdiff_t>(i--));
    } else if (i + 1 < args.size()) {
      values.push_back(args[i + 1]);
      args.erase(args.begin() + static_cast<std::ptrdiff_t>(i), args.begin() + static_cast<std::ptrdiff_t>(i) + 2);
      --i;
    }
  }
  return values;
}

std::optional<std::string> take_option(Arguments& args, std::initializer_list<std::string_view> names) {
  auto values = take_options(args, names);
  if (values.empty()) return std::nullopt;
  return std::move(values.back());
}

bool take_switch(Arguments& args, std::initializer_list<std::string_view> names) {
  return std::erase_if(args, [&](const auto& arg) { return std::ranges::find(names, arg) != names.end(); }) > 0;
}

std::string option_name(std::string_view option) { return std::string(option.substr(0, option.find('='))); }

Status only_positional(std::string_view command, const Arguments& args) {
  for (const auto& arg : args) {
    if (arg.size() > 1 && arg.starts_with('-'))
      return fail(Code::invalid_argument,
                  fmt::format("{}: unknown option '{}', or one without its value", command, option_name(arg)));
  }
  return {};
}

namespace {
// "krake.controller.gc", "krake_gc", "krake_garbage_collector" -> "gc"
std::optional<std::string> component_of(std::string name) {
  std::ranges::replace(name, '.', '-');
  std::ranges::replace(name, '_', '-');
  if (!name.starts_with("krake-")) return std::nullopt;
  name.erase(0, std::string_view("krake-").size());
  if (name.starts_with("controller-")) name.erase(0, std::string_view("controller-").size());
  if (name == "garbage-collector") name = "gc";
  return find_program(name) ? std::optional(name) : std::nullopt;
}
}  // namespace

Arguments as_command(std::string_view program, Arguments args) {
  const std::string name(program.substr(program.rfind('/') + 1));
  Arguments first;
  if (name == "krake_bootstrap_db") {
    first = {"bootstrap", "--new-only", "--local-etcd"};
  } else if (name == "krake_generate_config") {
    first = {"config", "generate", "--force"};
  } else if (args.size() > 1 && args[0] == "-m") {
    const auto component = component_of(args[1]);
    first = {component.value_or(args[1])};
    args.erase(args.begin(), args.begin() + 2);
  } else if (auto component = component_of(name)) {
    first = {*component};
  }
  args.insert(args.begin(), first.begin(), first.end());
  return args;
}

}  // namespace krake
