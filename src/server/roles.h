// The role set Krake ships: each component may do what it needs and nothing else (api-contract 10.4, completed: W-33).
#pragma once

#include <vector>

#include "base/json.h"

namespace krake {

struct ShippedRoles {
  std::vector<json::Value> roles;
  std::vector<json::Value> bindings;
};
ShippedRoles shipped_roles();

}  // namespace krake
