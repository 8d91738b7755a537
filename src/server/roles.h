// The role set Krake ships: each component may do what it needs and nothing else (api-contract 10.4, completed: W-33).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/random.h"
#include "meta/kind.h"

namespace krake {

struct ShippedRoles {
  std::vector<json::Value> roles;
  std::vector<json::Value> bindings;
};
ShippedRoles shipped_roles();

// The uid of a role or binding that a server makes on an empty store, by which it is known later: of the form of any
// other and as unique, its end follows from the rest. `kind` and `name` are the object's.
std::string shipped_uid(Random& random, std::string_view kind, std::string_view name);
bool is_shipped_uid(std::string_view uid, std::string_view kind, std::string_view name);

// A role or binding that is to be there from the start. Errors: invalid_object, with each field that is wrong.
Result<std::unique_ptr<Object>> decode_default(const Kind& kind, const json::Value& value);

}  // namespace krake
