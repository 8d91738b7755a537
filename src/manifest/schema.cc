#include "manifest/schema.h"

#include <algorithm>
#include <limits>
#include <map>
#include <string>

#include "manifest/object_id.h"

namespace krake::manifest {
namespace {

const json::Object* control_of(const json::Array& list) {
  const json::Object* last = list.empty() ? nullptr : list.back().if_object();
  return last && (last->contains(kListMinLength) || last->contains(kListMaxLength)) ? last : nullptr;
}

std::int64_t length(const json::Object& control, std::string_view key) {
  const json::Value* value = control.find(key);
  if (const bool* truth = value ? value->if_bool() : nullptr) return *truth ? 1 : 0;
  const json::Number* number = value ? value->if_number() : nullptr;
  if (!number) return 0;
  return std::max<std::int64_t>(number->as_int64().value_or(std::numeric_limits<std::int64_t>::max()), 0);
}

json::Value observe(const json::Value& value) {
  if (const json::Object* object = value.if_object()) {
    json::Object entry;
    for (const auto& [key, member] : *object) entry.set(key, observe(member));
    return entry;
  }
  if (const json::Array* array = value.if_array()) {
    json::Array entry;
    for (const json::Value& item : *array) entry.push_back(observe(item));
    const auto n = static_cast<std::int64_t>(array->size());
    entry.push_back(control_element(n, n));
    return entry;
  }
  return nullptr;
}

// Group, kind and name: all that an entry tells about its object.
std::string name_of(const json::Value& value) {
  auto id = object_id(value, "");
  if (!id) return {};
  id->namespace_.clear();
  return id->text();
}

}  // namespace

ListLimits list_limits(const json::Array& list) {
  const json::Object* control = control_of(list);
  if (!control) return {};
  return {length(*control, kListMinLength), length(*control, kListMaxLength)};
}

std::span<const json::Value> list_items(const json::Array& list) {
  const std::span all(list);
  return control_of(list) ? all.first(list.size() - 1) : all;
}

json::Value control_element(std::int64_t min, std::int64_t max) {
  return json::Object{{std::string(kListMinLength), min}, {std::string(kListMaxLength), max}};
}

json::Value default_entry(const json::Value& object) {
  json::Value entry = observe(object);
  if (!object.is_object()) return entry;
  json::Object& fields = *entry.if_object();
  for (std::string_view key : {"apiVersion", "kind"}) {
    if (const json::Value* value = object.at_path({key})) fields.set(key, *value);
  }
  if (const json::Value* name = object.at_path({"metadata", "name"}))
    fields["metadata"].make_object().set("name", *name);
  if (object.string_at({"spec", "type"}) == "LoadBalancer") {
    fields["status"].make_object()["loadBalancer"].make_object().set("ingress", nullptr);
  }
  return entry;
}

json::Array mangle(const json::Array& observer_schema, const json::Array& manifest) {
  json::Array mangled = observer_schema;
  const auto has_custom = [&](const json::Value& object) { return entry_for(object, observer_schema) != nullptr; };
  for (const json::Value& object : manifest) {
    if (!has_custom(object)) mangled.push_back(default_entry(object));
  }
  return mangled;
}

std::vector<const json::Value*> entries_for(const json::Array& objects, const json::Array& schema) {
  std::map<std::string, std::vector<const json::Value*>> entries;
  for (const json::Value& entry : schema) entries[name_of(entry)].push_back(&entry);
  std::map<std::string, std::size_t> used;
  std::vector<const json::Value*> result;
  for (const json::Value& object : objects) {
    const std::string name = name_of(object);
    const auto found = entries.find(name);
    if (name.empty() || found == entries.end()) {
      result.push_back(nullptr);
      continue;
    }
    const std::size_t n = std::min(used[name]++, found->second.size() - 1);
    result.push_back(found->second[n]);
  }
  return result;
}

const json::Value* entry_for(const json::Value& object, const json::Array& schema) {
  const std::string name = name_of(object);
  if (name.empty()) return nullptr;
  const auto found = std::ranges::find_if(schema, [&](const json::Value& entry) { return name_of(entry) == name; });
  return found == schema.end() ? nullptr : &*found;
}

}  // namespace krake::manifest
