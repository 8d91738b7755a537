// Sets of field paths, as `metadata.managedFields[].fieldsV1` spells them: "f:spec", "k:{\"name\":\"x\"}", "v:\"x\"",
// "." for the node itself. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "manifest/merge_keys.h"

namespace krake::manifest {

struct FieldSet {
  bool self = false;  // the path itself is a member: a leaf, a list item, an empty map
  std::map<std::string, FieldSet> children;

  bool empty() const { return !self && children.empty(); }
  bool operator==(const FieldSet&) const = default;
};

// Unknown members are kept as they are; what is not an object is an empty set.
FieldSet parse_fields(const json::Value& fields_v1);
json::Object print_fields(const FieldSet& set);

// The paths a whole object states. Identity and what only the server writes are not fields anybody owns.
FieldSet fields_of_object(const json::Value& object);

void add_all(FieldSet& to, const FieldSet& from);
// Removes the members of `members`; a leaf of it takes away everything below that path when `deep`.
void subtract(FieldSet& from, const FieldSet& members, bool deep);
// Members of both; a leaf of `changed` meets everything `owned` has below it.
FieldSet intersect(const FieldSet& owned, const FieldSet& changed);
// ".spec.containers[name="x"].image" for every member, sorted.
std::vector<std::string> paths_of(const FieldSet& set);

struct Changes {
  FieldSet set;  // added or modified
  FieldSet removed;
};
Changes changes_between(const json::Value& before, const json::Value& after);

// The value one path element below; null when it is not there. `place` is that of `value`.
const json::Value* step_into(const Place& place, const json::Value& value, std::string_view element);

}  // namespace krake::manifest
