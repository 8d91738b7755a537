// The two manifests in an application's status: what we want (`last_applied_manifest`) and what was seen of it
// (`last_observed_manifest`); control-plane-contract 5.5 and 5.6. Keys are those of the objects' JSON. Pure.
#pragma once

#include <string_view>

#include "base/json.h"

namespace krake::manifest {

// `manifest` wins. Observed values that only `previous` has are carried over: with a default entry there are none, so a
// field dropped from the manifest is dropped; a path named in a custom schema keeps its last value. Objects of
// `previous` with a custom entry but not in the manifest come back with their observed fields. `schema` is the mangled
// one.
json::Array last_applied_manifest(const json::Array& manifest, const json::Array& schema, const json::Array& previous,
                                  std::string_view default_namespace);

// After the cluster's answer to an apply: observed fields `applied` does not have yet are taken from `reply`. What is
// known already stays, list elements beyond the observed ones are not taken, nor is anything below `status`.
void complete_from_reply(json::Value& applied, const json::Value& entry, const json::Value& reply);

// Exactly the observed fields of one live object; null for those it lacks; each list ends with its real length.
json::Value observed_fields(const json::Value& live, const json::Value& entry);

// observed_fields() of all live objects, in the order of `live`; objects without an entry are left out.
json::Array last_observed_manifest(const json::Array& live, const json::Array& schema);

}  // namespace krake::manifest
