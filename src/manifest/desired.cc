#include "manifest/desired.h"

#include <algorithm>

#include "manifest/merge_keys.h"
#include "manifest/object_id.h"
#include "manifest/schema.h"

namespace krake::manifest {
namespace {

// The observed part of a value, without control elements: what may be carried over.
json::Value observed_part(const json::Value& value, const json::Value& entry) {
  const json::Object* schema = entry.if_object();
  const json::Object* object = value.if_object();
  if (schema && object) {
    json::Object part;
    for (const auto& [key, member] : *schema) {
      const json::Value* found = object->find(key);
      if (found && !found->is_null()) part.set(key, observed_part(*found, member));
    }
    return part;
  }
  const json::Array* list = entry.if_array();
  const json::Array* array = value.if_array();
  if (list && array) {
    const auto items = list_items(*list);
    json::Array part;
    for (std::size_t i = 0; i < std::min(items.size(), array->size()); ++i) {
      part.push_back(observed_part((*array)[i], items[i]));
    }
    return part;
  }
  return value;
}

void carry(const Place& place, json::Value& target, const json::Value& entry, const json::Value& source);

void carry_list(const Place& place, json::Array& target, const json::Array& list, const json::Array& source) {
  const auto items = list_items(list);
  const ListKind kind = list_kind(place);
  const auto same = counterparts(kind, target, source);
  const std::size_t own = target.size();
  for (std::size_t i = 0; i < std::min(items.size(), own); ++i) {
    if (same[i] != kNoItem) carry(place, target[i], items[i], source[same[i]]);
  }
  for (std::size_t i = own; i < std::min(items.size(), source.size()); ++i) {
    if (std::ranges::find(same, i) == same.end()) target.push_back(observed_part(source[i], items[i]));
  }
}

// Adds to `target` what the entry observes and only `source` has.
void carry(const Place& place, json::Value& target, const json::Value& entry, const json::Value& source) {
  if (entry.is_object() && target.is_object() && source.is_object()) {
    for (const auto& [key, member] : *entry.if_object()) {
      if (place.field.empty() && key == "status") continue;
      const json::Value* found = source.if_object()->find(key);
      if (!found || found->is_null()) continue;
      if (json::Value* own = target.if_object()->find(key)) {
        carry(place.child(key), *own, member, *found);
      } else {
        target.if_object()->set(key, observed_part(*found, member));
      }
    }
  } else if (entry.is_array() && target.is_array() && source.is_array()) {
    carry_list(place, *target.if_array(), *entry.if_array(), *source.if_array());
  }
}

// At the root the field name is empty.
void carry_object(json::Value& target, const json::Value& entry, const json::Value& source) {
  const std::string kind(target.string_at({"kind"}));
  carry(Place{kind, "", ""}, target, entry, source);
}

json::Value observe(const json::Value* value, const json::Value& entry) {
  if (const json::Object* schema = entry.if_object()) {
    const json::Object* object = value ? value->if_object() : nullptr;
    json::Object seen;
    for (const auto& [key, member] : *schema) seen.set(key, observe(object ? object->find(key) : nullptr, member));
    return seen;
  }
  if (const json::Array* list = entry.if_array()) {
    const json::Array* array = value ? value->if_array() : nullptr;
    const auto items = list_items(*list);
    const std::size_t length = array ? array->size() : 0;
    json::Array seen;
    for (std::size_t i = 0; i < std::min(items.size(), length); ++i) seen.push_back(observe(&(*array)[i], items[i]));
    seen.push_back(json::Object{{std::string(kListCurrentLength), static_cast<std::int64_t>(length)}});
    return seen;
  }
  return value ? *value : json::Value();
}

}  // namespace

json::Array last_applied_manifest(const json::Array& manifest, const json::Array& schema, const json::Array& previous,
                                  std::string_view default_namespace) {
  json::Array applied = manifest;
  const auto entries = entries_for(applied, schema);
  for (std::size_t i = 0; i < applied.size(); ++i) {
    const auto id = object_id(applied[i], default_namespace);
    const json::Value* before = id ? find_object(previous, *id, default_namespace) : nullptr;
    if (before && entries[i]) carry_object(applied[i], *entries[i], *before);
  }
  const auto previous_entries = entries_for(previous, schema);
  for (std::size_t i = 0; i < previous.size(); ++i) {
    const bool named = previous_entries[i] && !entry_for(*previous_entries[i], manifest);
    if (!named) continue;
    json::Value object = observed_part(previous[i], *previous_entries[i]);
    if (object.is_object()) object.if_object()->erase("status");
    if (const json::Value* ns = previous[i].at_path({"metadata", "namespace"})) {
      object.make_object()["metadata"].make_object().set("namespace", *ns);
    }
    applied.push_back(std::move(object));
  }
  return applied;
}

void complete_from_reply(json::Value& applied, const json::Value& entry, const json::Value& reply) {
  carry_object(applied, entry, reply);
}

json::Value observed_fields(const json::Value& live, const json::Value& entry) { return observe(&live, entry); }

json::Array last_observed_manifest(const json::Array& live, const json::Array& schema) {
  json::Array seen;
  const auto entries = entries_for(live, schema);
  for (std::size_t i = 0; i < live.size(); ++i) {
    if (entries[i]) seen.push_back(observed_fields(live[i], *entries[i]));
  }
  return seen;
}

}  // namespace krake::manifest
