// RFC 6902 JSON patch. Pure.
#pragma once

#include "base/error.h"
#include "base/json.h"

namespace krake::manifest {

// All operations or none. Error invalid_object: a malformed operation or a path that is not there; conflict: a failed
// `test`.
Result<json::Value> json_patch(json::Value document, const json::Array& operations);

}  // namespace krake::manifest
