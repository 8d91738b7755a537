// Server-side apply and field ownership, as a Kubernetes API server does them, with the fixed table of merge_keys.h in
// place of schemas. Ownership lives in `metadata.managedFields` of the objects. Pure: times are passed in as text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace krake::manifest {

struct Writer {
  std::string manager;
  std::string time;  // RFC 3339; written when the manager's entry changes
  bool force = false;
  std::string subresource;  // "" or "status", "scale"
};

struct FieldConflict {
  std::string manager;
  std::string path;  // .spec.template.spec.containers[{"name":"web"}].image
  bool operator==(const FieldConflict&) const = default;
};

struct Applied {
  json::Value object;                    // `live` itself when there are conflicts
  std::vector<FieldConflict> conflicts;  // empty when the apply went through
  bool changed = false;                  // more than the times of managedFields
};

// `live` null: the object is created. Fields the manager applied before and does not mention now go, unless somebody
// else owns them. Without `force`, changing a field that others own is a conflict; with it they lose the field.
Applied apply(const json::Value& live, const json::Value& applied, const Writer& writer);

// The managedFields after any other write (create, replace, patch) from `before` (null: created) to `after`: the writer
// gets what it changed, everybody else loses what it changed or removed. Entries the client itself sent in `after` are
// the starting point.
json::Array ownership_after_update(const json::Value& before, const json::Value& after, const Writer& writer);

// Before the first apply to an object that was written by plain updates: the Update entries of `from` become part of
// the Apply entry of `to`, so that what `to` does not state is removed as if it had applied it.
json::Array adopt_updates(const json::Array& managed_fields, std::string_view from, std::string_view to);

}  // namespace krake::manifest
