// Files that are there whole or not at all.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace krake {

// `mode` as for chmod, from the first byte on. already_exists when there is a file and it is not to be replaced;
// unavailable when it cannot be written.
Status write_whole_file(const std::string& path, std::string_view text, unsigned mode, bool replace);

}  // namespace krake
