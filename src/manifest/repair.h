// Putting a live object right. Pure.
//
//   first apply, or the manifest changed:  apply_body(desired)
//   drift:                                 repair_body(desired, live, entry), then surplus_patch(..) on what came back
//   lists in it refused as invalid:        replace_lists_patch(desired, live, entry, previous) first
#pragma once

#include <string>
#include <vector>

#include "base/json.h"

namespace krake::manifest {

// The desired object as it is sent: without status and nulls, Secret stringData as data.
json::Value apply_body(const json::Value& desired);

// The object for server-side apply on drift: observed leaves as desired, unobserved ones as they are on the live object
// (absent there: left out), with the live object's resourceVersion. What other owners have and `desired` does not
// mention is not in it, except the items of lists without keys, which are replaced as a whole and so keep what their
// limits allow.
json::Value repair_body(const json::Value& desired, const json::Value& live, const json::Value& entry);

// What applying does not take away, as an RFC 6902 patch against exactly this live object, each `remove` after a
// `test`: list items beyond the limits of the entry and, when `previous` (the object applied before `desired`) is
// given, what vanished from it and has not been changed by anybody since. Empty when there is nothing to remove.
json::Array surplus_patch(const json::Value& desired, const json::Value& live, const json::Value& entry,
                          const json::Value* previous = nullptr);

// The keyed lists in which items of `desired` are missing while those of others take their place, as an RFC 6902 patch
// against exactly this live object that replaces each in one go; items of others stay as far as the limits have room.
// For servers that refuse both side by side, as a Service's ports. An item of `previous` (the object applied before
// `desired`, null: the same) is nobody else's. Empty when there is no such list, or no resourceVersion on `live` to go
// by.
json::Array replace_lists_patch(const json::Value& desired, const json::Value& live, const json::Value& entry,
                                const json::Value* previous = nullptr);

// Whether the fields that a server refuses ("spec.ports[1].name") all lie in lists that such a patch replaces. Indices
// are not compared: the server counts the items as it has merged them. False when no field is named.
bool concerns_only(const json::Array& patch, const std::vector<std::string>& fields);

}  // namespace krake::manifest
