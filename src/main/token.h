// `krake token`: keys and tokens for authentication.strategy.signed.
#pragma once

#include <string>
#include <vector>

namespace krake {

// The exit code. `key FILE` makes a private key, `create` prints a token.
int run_token(std::vector<std::string> args);

}  // namespace krake
