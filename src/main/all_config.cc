#include "main/all_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <utility>

namespace krake {

namespace {

// Whose place the API server's configuration takes, since they live in its process.
constexpr std::string_view kOfTheProcess[] = {"api_endpoint", "tls", "log", "token", "admin"};

// `krake api` has the other names.
std::vector<ConfigFlag> inner_flags(const ProgramInfo& program) {
  auto flags = config_flags<ControllerConfig>(program);
  std::erase_if(flags, [](const auto& flag) {
    return flag.name != "reschedule-after" && flag.name != "stickiness" && !flag.name.starts_with("leader-election-");
  });
  return flags;
}

void warn_of_what_does_not_count(const ConfigDocument& part, const ProgramInfo& program,
                                 std::vector<std::string>& warnings) {
  std::vector<std::string_view> keys;
  for (const auto& [key, value] : *part.document.if_object()) {
    if (!counts_inside(key)) keys.push_back(key);
  }
  if (keys.empty()) return;
  warnings.push_back(fmt::format("{}: of '{}', {} has no effect in `krake all`: the API server's counts",
                                 part.place(std::string(keys.front())), section_of(program), fmt::join(keys, ", ")));
}

void warn_of_absent_controllers(const ConfigDocument& whole, std::vector<std::string>& warnings) {
  for (const auto* program : programs_in(whole)) {
    if (program->name == "api" || std::ranges::find(kComponents, program->name) != std::end(kComponents)) continue;
    const std::string section(section_of(*program));
    warnings.push_back(fmt::format("{}: '{}' has no effect in `krake all`: there is no such controller yet",
                                   whole.place(section), section));
  }
}

// Reads the programs' parts of one file, and collects what is wrong with any of them under its path in the whole.
class Reader {
 public:
  Reader(const ConfigDocument& whole, Arguments& args, std::vector<std::string>& warnings, const Variables& variable)
      : whole_(whole), args_(args), warnings_(warnings), variable_(variable) {}

  Result<Configured<ApiConfig>> api() {
    const auto& program = *find_program("api");
    const bool alone = programs_in(whole_).empty();
    auto part = alone ? whole_ : section_in_file(program);
    part.warnings = whole_.warnings;
    FieldErrors errors;
    ASSIGN_OR_RETURN(auto read, configure<ApiConfig>(std::move(part), program, args_, errors, warnings_, variable_));
    add(alone ? "" : section_of(program), read.document, std::move(errors));
    return read;
  }

  Result<InnerControllers> controllers() {
    InnerControllers out;
    Arguments rest = args_;
    for (const auto name : kComponents) {
      const auto& program = *find_program(name);
      auto document = section_in_file(program);
      warn_of_what_does_not_count(document, program, warnings_);
      // What is told inside one process comes at once: waiting for more of it gains nothing.
      if (!document.document.if_object()->contains("debounce")) {
        document.document.make_object().set("debounce", 0);
        document.overrides["debounce"] = "default of krake all";
      }
      const auto flags = inner_flags(program);
      apply_variables(document, flags, variable_, warnings_);
      Arguments left = args_;
      RETURN_IF_ERROR(apply_flags(document, flags, left));
      if (name == "scheduler") rest = std::move(left);  // it has those of all
      FieldErrors errors;
      const auto config = decode_config<ControllerConfig>(document, program, errors, warnings_);
      add(section_of(program), document, std::move(errors));
      out.values.emplace(name, values_of(config, document, program));
      out.configs.emplace(name, config);
    }
    args_ = std::move(rest);
    warn_of_absent_controllers(whole_, warnings_);
    return out;
  }

  Status outcome() const {
    if (errors_.empty()) return {};
    return fail(Code::invalid_argument, describe_errors(whole_, errors_));
  }

 private:
  // Empty where the file has no section of the program, or none that is a mapping.
  ConfigDocument section_in_file(const ProgramInfo& program) {
    const std::string section(section_of(program));
    const auto* object = whole_.document.if_object();
    const auto* value = object ? object->find(section) : nullptr;
    if (!value) return {.source = whole_.source};
    auto part = take_section(whole_, section);
    if (!part) {
      errors_.at(section).add("want a mapping");
      return {.source = whole_.source};
    }
    part->warnings.clear();  // of the whole file: told once
    return std::move(*part);
  }

  static std::vector<EffectiveValue> values_of(const ControllerConfig& config, const ConfigDocument& document,
                                               const ProgramInfo& program) {
    auto values = effective_values(masked<ControllerConfig>(to_value(config)), document, program);
    std::erase_if(values, [](const auto& value) { return !counts_inside(value.path.substr(0, value.path.find('.'))); });
    for (auto& value : values) value.path = fmt::format("{}.{}", section_of(program), value.path);
    return values;
  }

  // A section that is no mapping has been found wrong already, and its defaults, if it is the API server's, would be.
  void add(std::string_view section, const ConfigDocument& part, FieldErrors errors) {
    if (errors.empty() || (!section.empty() && !is_mapping(section))) return;
    for (const auto& [path, by] : part.overrides)
      whole_.overrides.emplace(section.empty() ? path : fmt::format("{}.{}", section, path), by);
    (section.empty() ? errors_ : errors_.at(std::string(section))) = std::move(errors);
  }
  bool is_mapping(std::string_view section) const {
    const auto* object = whole_.document.if_object();
    const auto* value = object ? object->find(section) : nullptr;
    return !value || value->is_null() || value->is_object();
  }

  ConfigDocument whole_;
  Arguments& args_;
  std::vector<std::string>& warnings_;
  const Variables& variable_;
  FieldErrors errors_;  // by path in whole_
};

}  // namespace

bool counts_inside(std::string_view key) { return std::ranges::find(kOfTheProcess, key) == std::end(kOfTheProcess); }

Result<AllConfig> configure_all(const ConfigDocument& whole, Arguments& args, std::vector<std::string>& warnings,
                                const Variables& variable) {
  Reader reader(whole, args, warnings, variable);
  AllConfig out;
  ASSIGN_OR_RETURN(out.api, reader.api());
  ASSIGN_OR_RETURN(out.controllers, reader.controllers());
  RETURN_IF_ERROR(reader.outcome());
  return out;
}

Result<InnerControllers> configure_inner(Arguments& args, std::vector<std::string>& warnings,
                                         const Variables& variable) {
  Reader reader({}, args, warnings, variable);
  ASSIGN_OR_RETURN(auto out, reader.controllers());
  RETURN_IF_ERROR(reader.outcome());
  return out;
}

}  // namespace krake
