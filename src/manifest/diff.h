// Semantic comparison of a desired object with the live one, restricted to what the schema observes. Pure.
//
// Equal are: absent and a stated false, 0 or "" of built-in kinds (most of their fields are not kept when they say
// nothing; in maps with free keys they say something), quantities of the same size ("1000m" and "1", "1Gi" and
// "1024Mi", 1 and "1") where Kubernetes keeps quantities, a number and its text, Secret `stringData` and the `data` it
// becomes, null / {} / [] and whatever the cluster put there. `status` is not compared. A field the desired object does
// not have never differs. Keyed lists pair their items by key (merge_keys.h), others by index; an observed list's real
// length must lie within its limits (max 0 = unlimited).
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "manifest/merge_keys.h"

namespace krake::manifest {

struct Difference {
  std::string path;    // JSON pointer; indices are those of the desired object
  json::Value wanted;  // a list whose length is wrong: its control element
  json::Value seen;    // null when absent; a list whose length is wrong: {observer_schema_list_current_length: n}
  bool operator==(const Difference&) const = default;
};

// Empty: in sync. `wanted` and `seen` of a Secret hold its values: never log them, log the paths.
std::vector<Difference> diff(const json::Value& desired, const json::Value& live, const json::Value& entry);
// "/spec/replicas, /spec/template/..." of at most `limit` differences, then how many more.
std::string describe(const std::vector<Difference>& differences, std::size_t limit = 5);

// What is sent and compared: no `status`, no null members, Secret `stringData` turned into `data`.
json::Value normalised(const json::Value& object);
// The same for an entry of the schema.
json::Value normalised_entry(const json::Value& entry);
// Without the null members of objects, at any depth; null items of lists stay.
json::Value without_nulls(const json::Value& value);

// Null leaf: everything `wanted` states is in `seen`, by the rules above. Used for parts of objects.
bool covers(const Place& place, const json::Value& wanted, const json::Value& seen);

// The list's length as limits see it: without injected items that `desired` does not name.
std::size_t counted_length(const Place& place, const json::Array& desired, const json::Array& live);

std::string pointer_of(const std::string& parent, std::string_view key);  // parent + '/' + escaped key
std::string pointer_of(const std::string& parent, std::size_t index);

}  // namespace krake::manifest
