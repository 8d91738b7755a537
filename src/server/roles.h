// The role set Krake ships: each component may do what it needs and nothing else (api-contract 10.4, completed: W-33).
#pragma once

#include <memory>
#include <vector>

#include "base/json.h"
#include "meta/kind.h"

namespace krake {

struct ShippedRoles {
  std::vector<json::Value> roles;
  std::vector<json::Value> bindings;
};
ShippedRoles shipped_roles();

// A role or binding that is to be there from the start. Errors: invalid_object, with each field that is wrong.
Result<std::unique_ptr<Object>> decode_default(const Kind& kind, const json::Value& value);

}  // namespace krake
