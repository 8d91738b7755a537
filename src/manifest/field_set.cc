#include "manifest/field_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace krake::manifest {
namespace {

std::string field_element(std::string_view name) { return fmt::format("f:{}", name); }

// "k:..." or "v:..." of each item; none when the list is atomic, also for want of good keys.
std::optional<std::vector<std::string>> elements_of(const Place& place, const json::Array& items) {
  const ListKind kind = list_kind(place);
  std::vector<std::string> elements;
  if (kind.type == ListType::atomic) return std::nullopt;
  if (kind.type == ListType::set) {
    for (const json::Value& item : items) elements.push_back("v:" + json::print(item));
    return elements;
  }
  auto keys = item_keys(kind, items);
  if (!keys) return std::nullopt;
  for (std::string& key : *keys) elements.push_back("k:" + key);
  return elements;
}

bool granular(const Place& place, const json::Value& value) {
  return value.is_object() && !value.if_object()->empty() && !atomic_map(place);
}

// Paths nobody owns: identity, and what the server writes into metadata.
bool system_path(const Place& place, std::string_view key) {
  static constexpr std::array<std::string_view, 10> kMetadata{
      "name",          "namespace",         "uid",        "resourceVersion", "creationTimestamp",
      "managedFields", "deletionTimestamp", "generation", "selfLink",        "deletionGracePeriodSeconds"};
  if (place.field.empty()) return key == "apiVersion" || key == "kind";
  return place.parent.empty() && place.field == "metadata" && std::ranges::find(kMetadata, key) != kMetadata.end();
}

void collect(const Place& place, const json::Value& value, FieldSet& set) {
  if (granular(place, value)) {
    for (const auto& [key, member] : *value.if_object()) {
      if (system_path(place, key)) continue;
      FieldSet inner;
      collect(place.child(key), member, inner);
      if (!inner.empty()) set.children[field_element(key)] = std::move(inner);
    }
    return;
  }
  const json::Array* items = value.if_array();
  const auto elements = items && !items->empty() ? elements_of(place, *items) : std::nullopt;
  if (!elements) {
    set.self = true;
    return;
  }
  for (std::size_t i = 0; i < items->size(); ++i) {
    FieldSet& item = set.children[(*elements)[i]];
    if ((*items)[i].is_object()) collect(place, (*items)[i], item);
    item.self = true;
  }
}

FieldSet collected(const Place& place, const json::Value& value) {
  FieldSet set;
  collect(place, value, set);
  return set;
}

void put(FieldSet& set, const std::string& element, FieldSet child) {
  if (!child.empty()) set.children[element] = std::move(child);
}

void compare(const Place& place, const json::Value& before, const json::Value& after, Changes& changes);

void compare_objects(const Place& place, const json::Object& before, const json::Object& after, Changes& changes) {
  for (const auto& [key, value] : after) {
    if (system_path(place, key)) continue;
    const json::Value* old = before.find(key);
    Changes inner;
    if (old) {
      compare(place.child(key), *old, value, inner);
    } else {
      inner.set = collected(place.child(key), value);
    }
    put(changes.set, field_element(key), std::move(inner.set));
    put(changes.removed, field_element(key), std::move(inner.removed));
  }
  for (const auto& [key, value] : before) {
    if (system_path(place, key) || after.contains(key)) continue;
    FieldSet gone = collected(place.child(key), value);
    gone.self = true;
    put(changes.removed, field_element(key), std::move(gone));
  }
}

bool compare_lists(const Place& place, const json::Array& before, const json::Array& after, Changes& changes) {
  const auto old_elements = elements_of(place, before);
  const auto new_elements = elements_of(place, after);
  if (!old_elements || !new_elements) return false;
  for (std::size_t i = 0; i < after.size(); ++i) {
    const std::string& element = (*new_elements)[i];
    const auto old = std::ranges::find(*old_elements, element);
    Changes inner;
    if (old != old_elements->end()) {
      compare(place, before[static_cast<std::size_t>(old - old_elements->begin())], after[i], inner);
    } else {
      if (after[i].is_object()) inner.set = collected(place, after[i]);
      inner.set.self = true;
    }
    put(changes.set, element, std::move(inner.set));
    put(changes.removed, element, std::move(inner.removed));
  }
  for (const std::string& element : *old_elements) {
    if (std::ranges::find(*new_elements, element) == new_elements->end()) changes.removed.children[element].self = true;
  }
  return true;
}

void compare(const Place& place, const json::Value& before, const json::Value& after, Changes& changes) {
  if (before.is_object() && after.is_object() && !atomic_map(place)) {
    compare_objects(place, *before.if_object(), *after.if_object(), changes);
    if (after.if_object()->empty() != before.if_object()->empty()) {
      (after.if_object()->empty() ? changes.set : changes.removed).self = true;
    }
    return;
  }
  if (before.is_array() && after.is_array() && compare_lists(place, *before.if_array(), *after.if_array(), changes))
    return;
  if (equal(before, after)) return;
  changes.set = collected(place, after);
  changes.set.self = true;
}

void list_paths(const FieldSet& set, const std::string& path, std::vector<std::string>& paths) {
  if (set.self) paths.push_back(path.empty() ? "." : path);
  for (const auto& [element, child] : set.children) {
    const std::string_view text = std::string_view(element).substr(std::min<std::size_t>(2, element.size()));
    list_paths(child, element.starts_with("f:") ? fmt::format("{}.{}", path, text) : fmt::format("{}[{}]", path, text),
               paths);
  }
}

}  // namespace

FieldSet parse_fields(const json::Value& fields_v1) {
  FieldSet set;
  const json::Object* object = fields_v1.if_object();
  if (!object) return set;
  if (object->empty()) set.self = true;
  for (const auto& [element, child] : *object) {
    if (element == ".") {
      set.self = true;
    } else {
      set.children[element] = parse_fields(child);
    }
  }
  return set;
}

json::Object print_fields(const FieldSet& set) {
  json::Object object;
  if (set.self && !set.children.empty()) object.set(".", json::Object());
  for (const auto& [element, child] : set.children) object.set(element, print_fields(child));
  return object;
}

FieldSet fields_of_object(const json::Value& object) {
  const std::string kind(object.string_at({"kind"}));
  FieldSet set = collected(Place{kind, "", ""}, object);
  set.self = false;
  return set;
}

void add_all(FieldSet& to, const FieldSet& from) {
  to.self |= from.self;
  for (const auto& [element, child] : from.children) add_all(to.children[element], child);
}

void subtract(FieldSet& from, const FieldSet& members, bool deep) {
  if (members.self) {
    from.self = false;
    if (deep) from.children.clear();
  }
  for (const auto& [element, child] : members.children) {
    const auto found = from.children.find(element);
    if (found == from.children.end()) continue;
    subtract(found->second, child, deep);
    if (found->second.empty()) from.children.erase(found);
  }
}

FieldSet intersect(const FieldSet& owned, const FieldSet& changed) {
  if (changed.self && changed.children.empty()) return owned;
  FieldSet both;
  both.self = owned.self && changed.self;
  for (const auto& [element, child] : changed.children) {
    const auto found = owned.children.find(element);
    if (found == owned.children.end()) continue;
    FieldSet inner = intersect(found->second, child);
    if (!inner.empty()) both.children[element] = std::move(inner);
  }
  return both;
}

std::vector<std::string> paths_of(const FieldSet& set) {
  std::vector<std::string> paths;
  list_paths(set, "", paths);
  return paths;
}

Changes changes_between(const json::Value& before, const json::Value& after) {
  Changes changes;
  const std::string kind(after.string_at({"kind"}));
  if (before.is_null()) {
    changes.set = fields_of_object(after);
  } else {
    compare(Place{kind, "", ""}, before, after, changes);
  }
  return changes;
}

const json::Value* step_into(const Place& place, const json::Value& value, std::string_view element) {
  if (element.size() < 2) return nullptr;
  if (element.starts_with("f:")) return value.at_path({element.substr(2)});
  const json::Array* items = value.if_array();
  const auto elements = items ? elements_of(place, *items) : std::nullopt;
  if (!elements) return nullptr;
  const auto found = std::ranges::find(*elements, element);
  return found == elements->end() ? nullptr : &(*items)[static_cast<std::size_t>(found - elements->begin())];
}

}  // namespace krake::manifest
