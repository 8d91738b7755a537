// The configuration of `krake all`: the API server's, and what counts for the controllers inside: their sections of the
// file that the API server's is in, and the few variables and flags that are meant for them
// (docs/operations/configuration.md). Pure.
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

struct AllConfig {
  Configured<ApiConfig> api;
  InnerControllers controllers;
};

// Whether a key of a controller (the first step of its path) counts in `krake all`.
bool counts_inside(std::string_view key);

// `whole`: the file with its sections, or one of the API server alone. Takes the flags out of `args`. invalid_argument:
// all that is wrong, in a file with sections by its path there ("scheduler.worker_count"). `warnings` has all that is
// doubtful, then, too.
Result<AllConfig> configure_all(const ConfigDocument& whole, Arguments& args, std::vector<std::string>& warnings,
                                const Variables& variable = environment_variable);
// The same for the controllers alone, where the API server has no file.
Result<InnerControllers> configure_inner(Arguments& args, std::vector<std::string>& warnings,
                                         const Variables& variable = environment_variable);

}  // namespace krake
