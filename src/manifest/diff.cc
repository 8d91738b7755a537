#include "manifest/diff.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/encoding.h"
#include "manifest/quantity.h"
#include "manifest/schema.h"

namespace krake::manifest {
namespace {

constexpr std::array<std::string_view, 11> kQuantityMaps{
    "requests", "limits",   "capacity",       "allocatable",         "hard", "min", "max",
    "default",  "overhead", "defaultRequest", "maxLimitRequestRatio"};
constexpr std::array<std::string_view, 4> kQuantityFields{"sizeLimit", "divisor", "averageValue", "value"};

bool contains(auto& names, std::string_view name) { return std::ranges::find(names, name) != names.end(); }

// `value` is a quantity in metrics only; elsewhere (env, tolerations) it is text.
bool holds_quantity(const Place& place) {
  if (place.kind == "ConfigMap" || place.kind == "Secret") return false;
  if (contains(kQuantityMaps, place.parent)) return true;
  if (place.field == "value") return place.parent == "target";
  return contains(kQuantityFields, place.field);
}

std::optional<std::string> scalar_text(const json::Value& value) {
  if (const std::string* text = value.if_string()) return *text;
  if (const json::Number* number = value.if_number()) return number->text;
  return std::nullopt;
}

bool same_bytes(std::string_view a, std::string_view b) {
  const auto x = base64_decode(a);
  const auto y = base64_decode(b);
  return x && y && *x == *y;
}

bool same_scalar(const Place& place, const json::Value& wanted, const json::Value& seen) {
  if (equal(wanted, seen)) return true;
  const auto a = scalar_text(wanted);
  const auto b = scalar_text(seen);
  if (!a || !b) return false;
  if (holds_quantity(place) && same_quantity(*a, *b)) return true;
  const bool secret = place.kind == "Secret" && place.parent == "data";
  if (secret || place.parent == "binaryData") return same_bytes(*a, *b);
  return wanted.is_string() != seen.is_string() && *a == *b;
}

// Of the kinds Kubernetes brings along. Groups of their makers under k8s.io hold custom resources as well.
bool built_in(std::string_view api_version) {
  const auto slash = api_version.find('/');
  if (slash == std::string_view::npos) return true;
  std::string_view group = api_version.substr(0, slash);
  if (group.find('.') == std::string_view::npos) return true;
  if (!group.ends_with(".k8s.io")) return false;
  group.remove_suffix(std::string_view(".k8s.io").size());
  return group.find('.') == std::string_view::npos || group == "rbac.authorization" || group == "flowcontrol.apiserver";
}

// Maps whose keys are free: there an empty value is a value.
constexpr std::array<std::string_view, 8> kFreeMaps{"labels",      "annotations", "data",     "binaryData",
                                                    "matchLabels", "parameters",  "selector", "nodeSelector"};

bool is_zero(const json::Value& value) {
  if (const bool* flag = value.if_bool()) return !*flag;
  if (const std::string* text = value.if_string()) return text->empty();
  const json::Number* number = value.if_number();
  return number && number->as_double() == 0;
}

bool is_empty(const json::Value& value) {
  if (const json::Array* array = value.if_array()) return array->empty();
  if (const json::Object* object = value.if_object()) return object->empty();
  return value.is_null();
}

class Comparison {
 public:
  std::vector<Difference> take() { return std::move(found_); }

  // `entry` null: everything below is observed. `seen` null: absent.
  void compare(const std::string& path, const Place& place, const json::Value& entry, const json::Value& wanted,
               const json::Value* seen) {
    const bool lists = wanted.is_array() && seen && seen->is_array();
    if (lists && entry.is_array())
      return compare_list(path, place, *entry.if_array(), *wanted.if_array(), *seen->if_array());
    if (is_empty(wanted)) return;
    if (!seen || seen->is_null()) {
      if (states_anything(place, entry, wanted)) add(path, wanted, nullptr);
      return;
    }
    if (wanted.is_object() && seen->is_object()) {
      return compare_object(path, place, entry, *wanted.if_object(), *seen->if_object());
    }
    if (lists) return compare_whole_list(path, place, *wanted.if_array(), *seen->if_array());
    if (!same_scalar(place, wanted, *seen)) add(path, wanted, *seen);
  }

  void compare_root(const json::Value& entry, const json::Value& wanted, const json::Value& seen) {
    const json::Object* fields = wanted.if_object();
    if (!fields) return;
    const std::string kind(wanted.string_at({"kind"}));
    zero_is_absent_ = built_in(wanted.string_at({"apiVersion"}));
    for (const auto& [key, value] : *fields) {
      const json::Value* member = observed(entry, key);
      if (!member || key == "apiVersion" || key == "kind" || key == "status") continue;
      const json::Value* live = seen.at_path({key});
      if (key != "metadata") {
        compare(pointer_of("", key), Place{kind, "", key}, *member, value, live);
        continue;
      }
      if (!value.is_object()) continue;
      for (const auto& [name, field] : *value.if_object()) {
        const json::Value* inner = observed(*member, name);
        if (!inner || name == "name" || name == "namespace" || name == "resourceVersion") continue;
        compare(pointer_of("/metadata", name), Place{kind, "metadata", name}, *inner, field,
                live ? live->at_path({name}) : nullptr);
      }
    }
  }

 private:
  static const json::Value* observed(const json::Value& entry, std::string_view key) {
    if (const json::Object* object = entry.if_object()) return object->find(key);
    return entry.is_null() ? &entry : &kAll;
  }

  // Whether an absent live value is a difference: some observed leaf of `wanted` is not empty.
  bool states_anything(const Place& place, const json::Value& entry, const json::Value& wanted) const {
    if (is_empty(wanted)) return false;
    const json::Object* object = wanted.if_object();
    if (!object) return !zero_is_absent_ || !is_zero(wanted) || keeps_zeros(place);
    // {"a": {}} is kept as given by the cluster; only all-empty trees of it are as good as absent.
    return std::ranges::any_of(*object, [&](const auto& item) {
      const json::Value* member = observed(entry, item.first);
      return member && states_anything(place.child(item.first), *member, item.second);
    });
  }

  static bool keeps_zeros(const Place& place) {
    return contains(kFreeMaps, place.parent) || contains(kQuantityMaps, place.parent) || holds_quantity(place);
  }

  void compare_object(const std::string& path, const Place& place, const json::Value& entry, const json::Object& wanted,
                      const json::Object& seen) {
    for (const auto& [key, value] : wanted) {
      if (const json::Value* member = observed(entry, key)) {
        compare(pointer_of(path, key), place.child(key), *member, value, seen.find(key));
      }
    }
  }

  void compare_list(const std::string& path, const Place& place, const json::Array& entry, const json::Array& wanted,
                    const json::Array& seen) {
    const auto items = list_items(entry);
    const auto same = counterparts(list_kind(place), wanted, seen);
    for (std::size_t i = 0; i < std::min(items.size(), wanted.size()); ++i) {
      compare_item(pointer_of(path, i), place, items[i], wanted[i], same[i] == kNoItem ? nullptr : &seen[same[i]]);
    }
    const ListLimits limits = list_limits(entry);
    const auto length = static_cast<std::int64_t>(counted_length(place, wanted, seen));
    if (length < limits.min || (limits.max > 0 && length > limits.max)) {
      add(path, control_element(limits.min, limits.max), json::Object{{std::string(kListCurrentLength), length}});
    }
  }

  // A list that is one leaf of the schema: keyed ones may have more items, others are exactly as stated.
  void compare_whole_list(const std::string& path, const Place& place, const json::Array& wanted,
                          const json::Array& seen) {
    const ListKind kind = list_kind(place);
    if (kind.type == ListType::atomic && counted_length(place, wanted, seen) != wanted.size()) {
      return add(path, wanted, seen);
    }
    const auto same = counterparts(kind, wanted, seen);
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      compare_item(pointer_of(path, i), place, kAll, wanted[i], same[i] == kNoItem ? nullptr : &seen[same[i]]);
    }
  }

  // Unlike a member, an item that is not there is missed even when it is {}.
  void compare_item(const std::string& path, const Place& place, const json::Value& entry, const json::Value& wanted,
                    const json::Value* seen) {
    if (!seen) return add(path, wanted, nullptr);
    compare(path, place, entry, wanted, seen);
  }

  void add(const std::string& path, json::Value wanted, json::Value seen) {
    found_.push_back({path, std::move(wanted), std::move(seen)});
  }

  static inline const json::Value kAll;
  bool zero_is_absent_ = false;
  std::vector<Difference> found_;
};

}  // namespace

json::Value without_nulls(const json::Value& value) {
  if (const json::Object* object = value.if_object()) {
    json::Object kept;
    for (const auto& [key, member] : *object) {
      if (!member.is_null()) kept.set(key, without_nulls(member));
    }
    return kept;
  }
  const json::Array* array = value.if_array();
  if (!array) return value;
  json::Array kept;
  for (const json::Value& item : *array) kept.push_back(without_nulls(item));
  return kept;
}

std::vector<Difference> diff(const json::Value& desired, const json::Value& live, const json::Value& entry) {
  Comparison comparison;
  comparison.compare_root(normalised_entry(entry), normalised(desired), live);
  return comparison.take();
}

std::string describe(const std::vector<Difference>& differences, std::size_t limit) {
  std::string text;
  for (std::size_t i = 0; i < std::min(limit, differences.size()); ++i) {
    text += fmt::format("{}{}", i == 0 ? "" : ", ", differences[i].path);
  }
  if (differences.size() > limit) text += fmt::format(" and {} more", differences.size() - limit);
  return text;
}

json::Value normalised(const json::Value& object) {
  json::Value value = without_nulls(object);
  json::Object* fields = value.if_object();
  if (!fields) return value;
  fields->erase("status");
  if (value.string_at({"kind"}) != "Secret") return value;
  const json::Value* text = fields->find("stringData");
  if (!text) return value;
  if (const json::Object* texts = text->if_object()) {
    const json::Object copy = *texts;
    json::Object& data = (*fields)["data"].make_object();
    for (const auto& [key, plain] : copy) {
      if (const auto bytes = scalar_text(plain)) data.set(key, base64_encode(*bytes));
    }
  }
  fields->erase("stringData");
  return value;
}

json::Value normalised_entry(const json::Value& entry) {
  const json::Value* text = entry.string_at({"kind"}) == "Secret" ? entry.at_path({"stringData"}) : nullptr;
  if (!text) return entry;
  json::Value value = entry;
  json::Object& fields = *value.if_object();
  const json::Value* data = fields.find("data");
  if (!text->is_object()) {
    fields.set("data", nullptr);
  } else if (!data || data->is_object()) {
    json::Object& keys = fields["data"].make_object();
    for (const auto& [key, member] : *text->if_object()) keys.set(key, member);
  }
  fields.erase("stringData");
  return value;
}

bool covers(const Place& place, const json::Value& wanted, const json::Value& seen) {
  Comparison comparison;
  comparison.compare("", place, json::Value(), wanted, &seen);
  return comparison.take().empty();
}

std::size_t counted_length(const Place& place, const json::Array& desired, const json::Array& live) {
  const auto same = counterparts(list_kind(place), desired, live);
  std::size_t length = 0;
  for (std::size_t i = 0; i < live.size(); ++i) {
    const bool wanted = std::ranges::find(same, i) != same.end();
    if (wanted || !injected_by_cluster(place, live[i])) ++length;
  }
  return length;
}

std::string pointer_of(const std::string& parent, std::string_view key) {
  std::string pointer = parent + '/';
  for (const char c : key) {
    if (c == '~') {
      pointer += "~0";
    } else if (c == '/') {
      pointer += "~1";
    } else {
      pointer += c;
    }
  }
  return pointer;
}

std::string pointer_of(const std::string& parent, std::size_t index) { return fmt::format("{}/{}", parent, index); }

}  // namespace krake::manifest
