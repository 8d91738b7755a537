#include "main/all_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace krake {

namespace {

// Whose place the API server's configuration takes, since they live in its process.
constexpr std::string_view kOfTheProcess[] = {"api_endpoint", "tls", "log", "token", "admin"};

bool counts(std::string_view key) { return std::ranges::find(kOfTheProcess, key) == std::end(kOfTheProcess); }

// `krake api` has the other names.
std::vector<ConfigFlag> inner_flags(const ProgramInfo& program) {
  auto flags = config_flags<ControllerConfig>(program);
  std::erase_if(flags, [](const auto& flag) {
    return flag.name != "reschedule-after" && flag.name != "stickiness" && !flag.name.starts_with("leader-election-");
  });
  return flags;
}

// Empty where the file has no section of the program.
Result<ConfigDocument> section_in(const ConfigDocument& whole, const ProgramInfo& program) {
  const auto* object = whole.document.if_object();
  if (!object || !object->contains(section_of(program))) return ConfigDocument();
  ASSIGN_OR_RETURN(auto part, take_section(whole, section_of(program)));
  part.warnings.clear();  // of the file; who reads it as the API server's has told them
  return part;
}

void warn_of_what_does_not_count(const ConfigDocument& part, const ProgramInfo& program,
                                 std::vector<std::string>& warnings) {
  std::vector<std::string_view> keys;
  for (const auto& [key, value] : *part.document.if_object()) {
    if (!counts(key)) keys.push_back(key);
  }
  if (keys.empty()) return;
  warnings.push_back(fmt::format("{}: of '{}', {} has no effect in `krake all`: the API server's counts",
                                 part.place(std::string(keys.front())), section_of(program), fmt::join(keys, ", ")));
}

}  // namespace

Result<InnerControllers> configure_inner(const ConfigDocument& whole, Arguments& args,
                                         std::vector<std::string>& warnings, const Variables& variable) {
  InnerControllers out;
  Arguments rest = args;
  for (const auto name : kComponents) {
    const auto& program = *find_program(name);
    ASSIGN_OR_RETURN(auto document, section_in(whole, program));
    warn_of_what_does_not_count(document, program, warnings);
    // What is told inside one process comes at once: waiting for more of it gains nothing.
    if (!document.document.if_object()->contains("debounce")) {
      document.document.make_object().set("debounce", 0);
      document.overrides["debounce"] = "default of krake all";
    }
    const auto flags = inner_flags(program);
    apply_variables(document, flags, variable, warnings);
    Arguments left = args;
    RETURN_IF_ERROR(apply_flags(document, flags, left));
    if (name == "scheduler") rest = std::move(left);  // it has those of all
    ASSIGN_OR_RETURN(const auto config, decode_config<ControllerConfig>(document, program, warnings));
    auto& values = out.values[std::string(name)];
    for (auto& value : effective_values(masked<ControllerConfig>(to_value(config)), document, program)) {
      if (!counts(value.path.substr(0, value.path.find('.')))) continue;
      value.path = fmt::format("{}.{}", section_of(program), value.path);
      values.push_back(std::move(value));
    }
    out.configs.emplace(name, config);
  }
  args = std::move(rest);
  return out;
}

}  // namespace krake
