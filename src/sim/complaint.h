// A broken promise in words; nothing when all is well.
#pragma once

#include <optional>
#include <string>

namespace krake::sim {

using Complaint = std::optional<std::string>;

}  // namespace krake::sim
