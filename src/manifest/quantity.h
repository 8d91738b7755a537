// Kubernetes quantities ("250m", "1.5Gi", "1e3"): exact comparison. Pure.
#pragma once

#include <string_view>

namespace krake::manifest {

// False when either is no quantity, or beyond 10^29.
bool same_quantity(std::string_view a, std::string_view b);

}  // namespace krake::manifest
