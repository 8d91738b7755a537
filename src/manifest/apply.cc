#include "manifest/apply.h"

#include <algorithm>
#include <set>

#include "manifest/diff.h"
#include "manifest/field_set.h"
#include "manifest/merge_keys.h"

namespace krake::manifest {
namespace {

// ---- managedFields

struct Manager {
  json::Object entry;
  FieldSet fields;

  std::string_view text(std::string_view key) const {
    const json::Value* value = entry.find(key);
    return value && value->is_string() ? std::string_view(*value->if_string()) : std::string_view();
  }
  bool is(std::string_view manager, std::string_view operation, std::string_view subresource) const {
    return text("manager") == manager && text("operation") == operation && text("subresource") == subresource;
  }
};

std::vector<Manager> parse_managers(const json::Value* managed_fields) {
  std::vector<Manager> managers;
  const json::Array* entries = managed_fields ? managed_fields->if_array() : nullptr;
  if (!entries) return managers;
  for (const json::Value& entry : *entries) {
    if (!entry.is_object() || entry.if_object()->empty()) continue;  // [{}] resets ownership
    const json::Value* fields = entry.if_object()->find("fieldsV1");
    managers.push_back({*entry.if_object(), fields ? parse_fields(*fields) : FieldSet{}});
    managers.back().fields.self = false;
  }
  return managers;
}

json::Array print_managers(std::vector<Manager> managers) {
  json::Array entries;
  for (Manager& manager : managers) {
    if (manager.fields.empty()) continue;
    manager.entry.set("fieldsType", "FieldsV1");
    manager.entry.set("fieldsV1", print_fields(manager.fields));
    entries.push_back(std::move(manager.entry));
  }
  return entries;
}

Manager& own_entry(std::vector<Manager>& managers, const Writer& writer, std::string_view operation) {
  const auto is_own = [&](const Manager& m) { return m.is(writer.manager, operation, writer.subresource); };
  const auto found = std::ranges::find_if(managers, is_own);
  if (found != managers.end()) return *found;
  Manager manager;
  manager.entry.set("manager", writer.manager);
  manager.entry.set("operation", operation);
  if (!writer.subresource.empty()) manager.entry.set("subresource", writer.subresource);
  managers.push_back(std::move(manager));
  return managers.back();
}

void stamp(Manager& manager, const json::Value& object, const Writer& writer) {
  manager.entry.set("apiVersion", object.string_at({"apiVersion"}));
  if (!writer.time.empty()) manager.entry.set("time", writer.time);
}

// ---- merging

json::Value merged(const Place& place, const json::Value& live, const json::Value& applied);

json::Value merged_list(const Place& place, const json::Array& live, const json::Array& applied) {
  const ListKind kind = list_kind(place);
  if (kind.type == ListType::atomic) return applied;
  if (kind.type == ListType::map && (!item_keys(kind, live) || !item_keys(kind, applied))) return applied;
  const auto in_live = counterparts(kind, applied, live);
  const auto in_applied = counterparts(kind, live, applied);
  // The applied order, with the items of others kept before what they stood before.
  json::Array result;
  std::size_t next = 0;
  const auto take_others = [&] {
    for (; next < live.size(); ++next) {
      if (in_applied[next] == kNoItem) result.push_back(live[next]);
    }
  };
  for (std::size_t i = 0; i < applied.size(); ++i) {
    if (in_live[i] == kNoItem) continue;
    // Others in front of this item's old position, when that has not been passed yet.
    for (; next < in_live[i]; ++next) {
      if (in_applied[next] == kNoItem) result.push_back(live[next]);
    }
    if (next == in_live[i]) ++next;
    // New items stand in the applied list before this one and after the one taken last.
    std::size_t first_new = i;
    while (first_new > 0 && in_live[first_new - 1] == kNoItem) --first_new;
    for (std::size_t j = first_new; j < i; ++j) result.push_back(applied[j]);
    result.push_back(merged(place, live[in_live[i]], applied[i]));
  }
  take_others();
  std::size_t tail = applied.size();
  while (tail > 0 && in_live[tail - 1] == kNoItem) --tail;
  for (std::size_t j = tail; j < applied.size(); ++j) result.push_back(applied[j]);
  return result;
}

json::Value merged(const Place& place, const json::Value& live, const json::Value& applied) {
  if (live.is_object() && applied.is_object() && !atomic_map(place)) {
    json::Object result = *live.if_object();
    for (const auto& [key, value] : *applied.if_object()) {
      json::Value* old = result.find(key);
      result.set(key, old ? merged(place.child(key), *old, value) : value);
    }
    return result;
  }
  if (live.is_array() && applied.is_array()) return merged_list(place, *live.if_array(), *applied.if_array());
  return applied;
}

// ---- taking away what is no longer applied

const FieldSet* child_of(const FieldSet* set, const std::string& element) {
  if (!set) return nullptr;
  const auto found = set->children.find(element);
  return found == set->children.end() ? nullptr : &found->second;
}

bool is_key_field(const Place& place, std::string_view name) {
  return std::ranges::any_of(list_kind(place).keys, [&](const KeyField& key) { return key.name == name; });
}

void erase_element(const Place& place, json::Value& value, const std::string& element) {
  if (element.starts_with("f:")) {
    if (json::Object* object = value.if_object()) object->erase(std::string_view(element).substr(2));
    return;
  }
  const json::Value* item = step_into(place, value, element);
  if (item) value.if_array()->erase(value.if_array()->begin() + (item - value.if_array()->data()));
}

Place place_below(const Place& place, const std::string& element) {
  return element.starts_with("f:") ? place.child(std::string_view(element).substr(2)) : place;
}

// Of a value that is no longer applied: only what `others` own stays, and the keys of list items.
void keep_only(const Place& place, json::Value& value, const FieldSet& others) {
  if (others.self && others.children.empty()) return;
  if (json::Object* object = value.if_object()) {
    std::vector<std::string> gone;
    for (auto& [key, member] : *object) {
      const FieldSet* owners = child_of(&others, "f:" + key);
      if (owners) {
        keep_only(place.child(key), member, *owners);
      } else if (!is_key_field(place, key)) {
        gone.push_back(key);
      }
    }
    for (const std::string& key : gone) object->erase(key);
  } else if (json::Array* items = value.if_array()) {
    std::set<const json::Value*> kept;
    for (const auto& [element, owners] : others.children) {
      const json::Value* item = step_into(place, value, element);
      if (item) kept.insert(item);
    }
    json::Array result;
    for (json::Value& item : *items) {
      if (!kept.contains(&item)) continue;
      for (const auto& [element, owners] : others.children) {
        if (step_into(place, value, element) == &item) {
          keep_only(place, item, owners);
          break;
        }
      }
    }
    for (const json::Value& item : *items) {
      if (kept.contains(&item)) result.push_back(item);
    }
    *items = std::move(result);
  }
}

// `before` and `now`: what the manager applied last time and applies this time.
void prune(const Place& place, json::Value& value, const FieldSet& before, const FieldSet* now,
           const FieldSet* others) {
  for (const auto& [element, old] : before.children) {
    const FieldSet* still = child_of(now, element);
    const FieldSet* owners = child_of(others, element);
    auto* member = const_cast<json::Value*>(step_into(place, value, element));
    if (!member) continue;
    const Place below = place_below(place, element);
    const bool item = !element.starts_with("f:");
    if (!still && !item && now && is_key_field(place, below.field)) continue;
    const bool identity = place.field.empty() && element == "f:metadata";
    if (identity) {
      prune(below, *member, old, still, owners);
    } else if (!still && !owners) {
      erase_element(place, value, element);
    } else if (!still) {
      keep_only(below, *member, *owners);
    } else if (!(still->self && still->children.empty())) {
      prune(below, *member, old, still, owners);
    }
  }
}

FieldSet union_of_others(const std::vector<Manager>& managers, const Manager& own) {
  FieldSet all;
  for (const Manager& manager : managers) {
    if (&manager != &own) add_all(all, manager.fields);
  }
  return all;
}

// Identity of `applied` must not be merged away by accident; the server's own metadata cannot be applied.
json::Value applicable(const json::Value& applied) {
  json::Value value = without_nulls(applied);
  if (!value.is_object()) return value;
  json::Object& metadata = value.if_object()->operator[]("metadata").make_object();
  for (std::string_view key : {"managedFields", "resourceVersion", "uid", "creationTimestamp", "generation", "selfLink",
                               "deletionTimestamp"}) {
    metadata.erase(key);
  }
  return value;
}

json::Value without_managed_fields(const json::Value& object) {
  json::Value value = object;
  json::Object* root = value.if_object();
  json::Value* metadata = root ? root->find("metadata") : nullptr;
  if (metadata && metadata->is_object()) metadata->if_object()->erase("managedFields");
  return value;
}

}  // namespace

Applied apply(const json::Value& live, const json::Value& applied, const Writer& writer) {
  const json::Value wanted = applicable(applied);
  const std::string kind(wanted.string_at({"kind"}));
  const Place root{kind, "", ""};
  std::vector<Manager> managers = parse_managers(live.at_path({"metadata", "managedFields"}));
  managers.reserve(managers.size() + 1);  // `own` stays where it is
  Manager& own = own_entry(managers, writer, "Apply");

  const json::Value before = without_managed_fields(live);
  json::Value object = live.is_null() ? wanted : merged(root, before, wanted);
  const FieldSet changed = live.is_null() ? FieldSet{} : changes_between(before, object).set;

  Applied result;
  for (Manager& manager : managers) {
    if (&manager == &own) continue;
    const FieldSet contested = intersect(manager.fields, changed);
    if (contested.empty()) continue;
    if (writer.force) {
      subtract(manager.fields, contested, false);
      continue;
    }
    for (std::string& path : paths_of(contested)) {
      result.conflicts.push_back({std::string(manager.text("manager")), std::move(path)});
    }
  }
  if (!result.conflicts.empty()) {
    result.object = live;
    return result;
  }
  FieldSet now = fields_of_object(wanted);
  const FieldSet others = union_of_others(managers, own);
  prune(root, object, own.fields, &now, &others);

  result.changed = live.is_null() || !equal(before, object) || !(now == own.fields);
  if (result.changed) stamp(own, wanted, writer);
  own.fields = std::move(now);
  json::Array entries = print_managers(std::move(managers));
  object.make_object()["metadata"].make_object().set("managedFields", std::move(entries));
  result.object = std::move(object);
  return result;
}

json::Array ownership_after_update(const json::Value& before, const json::Value& after, const Writer& writer) {
  const json::Value* sent = after.at_path({"metadata", "managedFields"});
  std::vector<Manager> managers = parse_managers(sent ? sent : before.at_path({"metadata", "managedFields"}));
  managers.reserve(managers.size() + 1);
  const Changes changes = changes_between(without_managed_fields(before), without_managed_fields(after));
  for (Manager& manager : managers) {
    if (manager.is(writer.manager, "Update", writer.subresource)) continue;
    subtract(manager.fields, intersect(manager.fields, changes.set), false);
  }
  for (Manager& manager : managers) subtract(manager.fields, changes.removed, true);
  if (!changes.set.empty()) {
    Manager& own = own_entry(managers, writer, "Update");
    add_all(own.fields, changes.set);
    stamp(own, after, writer);
  }
  return print_managers(std::move(managers));
}

json::Array adopt_updates(const json::Array& managed_fields, std::string_view from, std::string_view to) {
  const json::Value entries(managed_fields);
  std::vector<Manager> managers = parse_managers(&entries);
  managers.reserve(managers.size() + 1);
  FieldSet adopted;
  std::string api_version;
  for (Manager& manager : managers) {
    if (!manager.is(from, "Update", "")) continue;
    add_all(adopted, manager.fields);
    api_version = manager.text("apiVersion");
    manager.fields = {};
  }
  if (adopted.empty()) return managed_fields;
  Manager& own = own_entry(managers, Writer{std::string(to), "", false, ""}, "Apply");
  if (own.text("apiVersion").empty()) own.entry.set("apiVersion", api_version);
  add_all(own.fields, adopted);
  return print_managers(std::move(managers));
}

}  // namespace krake::manifest
