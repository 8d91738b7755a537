// The documents by which clients find out what a simulated cluster serves. Pure.
#pragma once

#include <optional>
#include <string_view>

#include "base/json.h"
#include "kubesim/kinds.h"

namespace krake::kubesim {

json::Value core_versions();                                                  // /api
json::Value group_list(const Kinds& kinds);                                   // /apis
std::optional<json::Value> group(const Kinds& kinds, std::string_view name);  // /apis/G
std::optional<json::Value> resource_list(const Kinds& kinds, std::string_view group,
                                         std::string_view version);  // .../V
json::Value version_info();                                          // /version
// OpenAPI v3: its index, and a document with just enough to tell that a kind takes `fieldValidation`.
json::Value openapi_index(const Kinds& kinds);
std::optional<json::Value> openapi_document(const Kinds& kinds, std::string_view group, std::string_view version);

}  // namespace krake::kubesim
