// Command lines: options taken out of a list of words, and what the names mean that a program is called by. Pure.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace krake {

using Arguments = std::vector<std::string>;

// The values of an option, in order: "--name VALUE", "--name=VALUE". One without its value stays in `args`.
std::vector<std::string> take_options(Arguments& args, std::initializer_list<std::string_view> names);
// The last one counts.
std::optional<std::string> take_option(Arguments& args, std::initializer_list<std::string_view> names);
bool take_switch(Arguments& args, std::initializer_list<std::string_view> names);
// Of "--name=VALUE" the name: the value may be a password, which no message shows.
std::string option_name(std::string_view option);
// What is left must be positional ("-" is): invalid_argument names an option that is not.
Status only_positional(std::string_view command, const Arguments& args);

// The words after `krake` that are meant when the program is called `program` (a path) with `args`: a link
// krake_bootstrap_db or krake_generate_config, one called after a component (krake_api, krake.controller.scheduler), or
// upstream's "-m krake.api".
Arguments as_command(std::string_view program, Arguments args);

}  // namespace krake
