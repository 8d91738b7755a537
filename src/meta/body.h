// What is asked of a body beside its schema. Pure.
#pragma once

#include "base/json.h"
#include "meta/errors.h"

namespace krake {

// Reports each key of `given` that `known` does not have: what was left when `given` was read as its kind and written
// again. An absent null is no key. `error` is placed as schema violations are.
void report_unknown(const json::Value& given, const json::Value& known, FieldErrors& errors);

// Reports NaN, the infinities, and what Python makes infinities of (1e400) in `given`, which no Kubernetes cluster
// takes, but for those that are in `stored` at the same place: upstream may have stored them. `stored` null: all.
void report_special(const json::Value& given, const json::Value* stored, FieldErrors& errors);
bool has_special(const json::Value& value);

// Who was shown `masked` instead of `stored` and sends it back means what is stored: wherever `body` is as in `masked`
// it becomes as in `stored`. What he has changed stays.
void restore_masked(json::Value& body, const json::Value& masked, const json::Value& stored);

}  // namespace krake
