// What `krake config check` says of a krakectl.yaml: by krakectl's own reading of it, without running its
// token_command.
#pragma once

#include <string>
#include <vector>

#include "main/config.h"
#include "main/config_command.h"

namespace krake {

struct KrakectlCheck {
  std::vector<EffectiveValue> values;  // secrets masked
  std::vector<std::string> warnings;
  ConfigProblems problems;  // what keeps krakectl from speaking to a server
};
// Errors: invalid_argument with krakectl's text, those of read_file.
Result<KrakectlCheck> check_krakectl(const std::string& path, const Variables& variable = environment_variable);

}  // namespace krake
