// Whether an object may be stored: names, labels, required fields and ranges of the common kinds, what must not change.
// Pure.
#pragma once

#include <vector>

#include "kubesim/refusal.h"

namespace krake::kubesim {

// Values of a type that cannot be decoded: 400, as the real server says before it looks any closer.
Outcome<void> check_types(const KindInfo& kind, const json::Value& object);
// With defaults in place. `before` null: it is being created.
std::vector<Cause> check_object(const KindInfo& kind, const json::Value* before, const json::Value& object);

}  // namespace krake::kubesim
