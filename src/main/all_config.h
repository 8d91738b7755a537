// What counts for the controllers inside `krake all`: their sections of the file that the API server's is in, and the
// few variables and flags that are meant for them (docs/operations/configuration.md). Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "main/arguments.h"
#include "main/config.h"
#include "main/config_command.h"

namespace krake {

inline constexpr std::string_view kComponents[] = {"scheduler", "kubernetes-application", "kubernetes-cluster", "gc"};

struct InnerControllers {
  std::map<std::string, ControllerConfig, std::less<>> configs;  // by name, one of each of kComponents
  // For --print-config: "scheduler.stickiness" = 0.1, by name of the component. What does not count is not among them.
  std::map<std::string, std::vector<EffectiveValue>, std::less<>> values;
};

// `whole`: the file with its sections, or one that has none. Takes the flags out of `args`. invalid_argument: all that
// is wrong with the first section with errors.
Result<InnerControllers> configure_inner(const ConfigDocument& whole, Arguments& args,
                                         std::vector<std::string>& warnings,
                                         const Variables& variable = environment_variable);

}  // namespace krake
