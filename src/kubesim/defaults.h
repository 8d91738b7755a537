// What a Kubernetes API server adds to objects of the common kinds before it stores them. Pure.
#pragma once

#include "base/json.h"
#include "kubesim/kinds.h"

namespace krake::kubesim {

// Fills in absent fields; never changes present ones. `stringData` of Secrets moves into `data`.
void apply_defaults(const KindInfo& kind, json::Value& object);

}  // namespace krake::kubesim
