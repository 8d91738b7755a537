// The strategic merge patch: like a merge patch, but keyed lists merge by key, and directives delete and order. Pure.
#pragma once

#include <string_view>

#include "base/error.h"
#include "base/json.h"

namespace krake::kubesim {

// Lists merge as manifest/merge_keys.h says. Error invalid_argument: a directive that makes no sense.
Result<json::Value> strategic_merge(std::string_view kind, const json::Value& object, const json::Value& patch);

}  // namespace krake::kubesim
