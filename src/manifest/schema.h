// The observer schema: which fields of each Kubernetes object are compared and put right (control-plane-contract 5.4).
// An entry has the shape of the object: objects, null for an observed leaf (of any type, with all below it), and lists
// of entries that end with a control element. Keys are those of the object's JSON. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace krake::manifest {

inline constexpr std::string_view kListMinLength = "observer_schema_list_min_length";
inline constexpr std::string_view kListMaxLength = "observer_schema_list_max_length";
inline constexpr std::string_view kListCurrentLength = "observer_schema_list_current_length";

struct ListLimits {
  std::int64_t min = 0;
  std::int64_t max = 0;  // 0 = unlimited
};
// Of a list of an entry; no limits when its control element is missing.
ListLimits list_limits(const json::Array& list);
// The list's elements without the control element.
std::span<const json::Value> list_items(const json::Array& list);
json::Value control_element(std::int64_t min, std::int64_t max);

// Everything the object states is observed; a LoadBalancer Service's ingress too.
json::Value default_entry(const json::Value& object);

// The custom schema, then a default entry for each manifest object that has none, in manifest order.
json::Array mangle(const json::Array& observer_schema, const json::Array& manifest);

// Entries name objects without a namespace: the n-th of several objects that differ only there takes the n-th entry of
// that group, kind and name, or the last one. Null for an object without any.
std::vector<const json::Value*> entries_for(const json::Array& objects, const json::Array& schema);
// Of one object that is known to be the only one of its group, kind and name.
const json::Value* entry_for(const json::Value& object, const json::Array& schema);

}  // namespace krake::manifest
