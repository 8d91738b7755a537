#include "manifest/repair.h"

#include <algorithm>
#include <array>
#include <optional>
#include <ranges>
#include <string>

#include "manifest/diff.h"
#include "manifest/merge_keys.h"
#include "manifest/schema.h"

namespace krake::manifest {
namespace {

// ---- repair

json::Value repaired(const Place& place, const json::Value* entry, const json::Value& desired, const json::Value& live);

// Nothing of it is observed: the live values of the leaves that `desired` has.
json::Value unobserved(const Place& place, const json::Value& desired, const json::Value& live) {
  if (desired.is_object() && live.is_object()) {
    json::Object result;
    for (const auto& [key, value] : *desired.if_object()) {
      const json::Value* seen = live.if_object()->find(key);
      if (seen) result.set(key, unobserved(place.child(key), value, *seen));
    }
    return result;
  }
  const ListKind kind = list_kind(place);
  if (!desired.is_array() || !live.is_array() || kind.type == ListType::atomic) return live;
  const json::Array& items = *desired.if_array();
  const json::Array& seen = *live.if_array();
  const auto same = counterparts(kind, items, seen);
  json::Array result;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (same[i] != kNoItem) result.push_back(unobserved(place, items[i], seen[same[i]]));
  }
  return result;
}

json::Value repaired_list(const Place& place, const json::Array& entry, const json::Array& desired,
                          const json::Array& live) {
  const auto items = list_items(entry);
  const ListLimits limits = list_limits(entry);
  const ListKind kind = list_kind(place);
  const bool too_short = static_cast<std::int64_t>(counted_length(place, desired, live)) < limits.min;
  const auto same = counterparts(kind, desired, live);
  json::Array result;
  for (std::size_t i = 0; i < desired.size(); ++i) {
    const json::Value* item = i < items.size() ? &items[i] : nullptr;
    if (same[i] != kNoItem) {
      result.push_back(repaired(place, item, desired[i], live[same[i]]));
    } else if (item || too_short) {
      result.push_back(desired[i]);
    }
  }
  if (kind.type != ListType::atomic) return result;
  const auto room = [&] { return limits.max == 0 || static_cast<std::int64_t>(result.size()) < limits.max; };
  for (std::size_t i = desired.size(); i < live.size(); ++i) {
    if (injected_by_cluster(place, live[i]) || room()) result.push_back(live[i]);
  }
  return result;
}

// `entry` null pointer: not observed; JSON null: observed with all below it.
json::Value repaired(const Place& place, const json::Value* entry, const json::Value& desired,
                     const json::Value& live) {
  if (!entry) return unobserved(place, desired, live);
  if (entry->is_object() && desired.is_object() && live.is_object()) {
    json::Object result;
    for (const auto& [key, value] : *desired.if_object()) {
      const json::Value* member = entry->if_object()->find(key);
      const json::Value* seen = live.if_object()->find(key);
      if (seen && !seen->is_null()) {
        result.set(key, repaired(place.child(key), member, value, *seen));
      } else if (member) {
        result.set(key, value);
      }
    }
    return result;
  }
  if (entry->is_array() && desired.is_array() && live.is_array()) {
    return repaired_list(place, *entry->if_array(), *desired.if_array(), *live.if_array());
  }
  return desired;
}

// The entry of a member; below a null leaf there are no limits, so nothing to look up.
const json::Value* member_entry(const json::Value* entry, std::string_view key) {
  const json::Object* object = entry ? entry->if_object() : nullptr;
  return object ? object->find(key) : nullptr;
}

// ---- surplus

// Maps whose keys are independent of each other; elsewhere a dropped member goes as a whole or not at all.
constexpr std::array<std::string_view, 6> kFreeMaps{"labels",     "annotations", "data",
                                                    "binaryData", "requests",    "limits"};

bool free_map(const Place& place) { return std::ranges::find(kFreeMaps, place.field) != kFreeMaps.end(); }

class Surplus {
 public:
  json::Array take() { return std::move(operations_); }

  void visit(const std::string& path, const Place& place, const json::Value* entry, const json::Value* previous,
             const json::Value& desired, const json::Value& live) {
    if (desired.is_object() && live.is_object()) {
      const json::Object* before = previous ? previous->if_object() : nullptr;
      visit_object(path, place, entry, before, *desired.if_object(), *live.if_object());
    } else if (desired.is_array() && live.is_array()) {
      const json::Array* before = previous ? previous->if_array() : nullptr;
      const json::Array* limits = entry ? entry->if_array() : nullptr;
      visit_list(path, place, limits, before, *desired.if_array(), *live.if_array());
    }
  }

 private:
  void visit_object(const std::string& path, const Place& place, const json::Value* entry, const json::Object* previous,
                    const json::Object& desired, const json::Object& live) {
    const bool root = place.field.empty();
    const bool metadata = place.field == "metadata" && place.parent.empty();
    for (const auto& [key, seen] : live) {
      if (root && (key == "apiVersion" || key == "kind" || key == "status")) continue;
      const json::Value* wanted = desired.find(key);
      const json::Value* before = previous ? previous->find(key) : nullptr;
      const Place inner = place.child(key);
      if (wanted) {
        visit(pointer_of(path, key), inner, member_entry(entry, key), before, *wanted, seen);
      } else if (before && (!metadata || key == "labels" || key == "annotations")) {
        dropped(pointer_of(path, key), inner, *before, seen);
      }
    }
  }

  void dropped(const std::string& path, const Place& place, const json::Value& previous, const json::Value& live) {
    if (free_map(place) && previous.is_object() && live.is_object()) {
      return visit_object(path, place, nullptr, previous.if_object(), {}, *live.if_object());
    }
    if (covers(place, previous, live)) remove(path, live);
  }

  void visit_list(const std::string& path, const Place& place, const json::Array* entry, const json::Array* previous,
                  const json::Array& desired, const json::Array& live) {
    const ListKind kind = list_kind(place);
    const auto wanted = counterparts(kind, live, desired);
    const bool keyed = previous && kind.type != ListType::atomic;
    const auto before = keyed ? counterparts(kind, live, *previous) : std::vector<std::size_t>(live.size(), kNoItem);
    const ListLimits limits = entry ? list_limits(*entry) : ListLimits{};

    std::vector<bool> removed(live.size());
    auto length = static_cast<std::int64_t>(counted_length(place, desired, live));
    for (std::size_t i = 0; i < live.size(); ++i) {
      if (wanted[i] != kNoItem || before[i] == kNoItem || !covers(place, (*previous)[before[i]], live[i])) continue;
      removed[i] = true;
      --length;
    }
    for (std::size_t i = live.size(); i-- > 0 && limits.max > 0 && length > limits.max;) {
      if (wanted[i] != kNoItem || removed[i] || injected_by_cluster(place, live[i])) continue;
      removed[i] = true;
      --length;
    }
    // Backwards, so that no removal moves what is still to come.
    const auto items = entry ? list_items(*entry) : std::span<const json::Value>();
    for (std::size_t i = live.size(); i-- > 0;) {
      if (removed[i]) {
        remove(pointer_of(path, i), live[i]);
      } else if (wanted[i] != kNoItem) {
        const json::Value* item = wanted[i] < items.size() ? &items[wanted[i]] : nullptr;
        const json::Value* old = before[i] == kNoItem ? nullptr : &(*previous)[before[i]];
        visit(pointer_of(path, i), place, item, old, desired[wanted[i]], live[i]);
      }
    }
  }

  void remove(const std::string& path, const json::Value& live) {
    operations_.push_back(json::Object{{"op", "test"}, {"path", path}, {"value", live}});
    operations_.push_back(json::Object{{"op", "remove"}, {"path", path}});
  }

  json::Array operations_;
};

// ---- lists that are replaced

// Without its indices and keys: "spec.ports.name" of "spec.ports[1].name".
std::string plain_field(std::string_view field) {
  std::string plain;
  int depth = 0;
  for (const char c : field) {
    depth += c == '[' ? 1 : 0;
    if (depth == 0) plain += c;
    depth -= c == ']' && depth > 0 ? 1 : 0;
  }
  return plain;
}

// The same of the path of an operation: of "/spec/ports/1/name". Keys of lists are no numbers.
std::string plain_path(std::string_view path) {
  std::string plain;
  for (const auto part : std::views::split(path, '/')) {
    const std::string_view step(part.begin(), part.end());
    if (step.find_first_not_of("0123456789") == std::string_view::npos) continue;
    plain += (plain.empty() ? "" : ".") + std::string(step);
  }
  return plain;
}

class Replacements {
 public:
  json::Array take() { return std::move(operations_); }

  // `previous` null: as `desired`, as far as is known.
  void visit(const std::string& path, const Place& place, const json::Value* entry, const json::Value* previous,
             const json::Value& desired, const json::Value& live) {
    if (desired.is_object() && live.is_object()) {
      for (const auto& [key, wanted] : *desired.if_object()) {
        const json::Value* seen = live.if_object()->find(key);
        const json::Value* before = previous ? previous->at_path({key}) : nullptr;
        if (seen) visit(pointer_of(path, key), place.child(key), member_entry(entry, key), before, wanted, *seen);
      }
    } else if (entry && entry->is_array() && desired.is_array() && live.is_array()) {
      static const json::Array kNone;
      const bool known = previous && previous->is_array();
      visit_list(path, place, *entry->if_array(), known ? *previous->if_array() : kNone, *desired.if_array(),
                 *live.if_array());
    }
  }

 private:
  void visit_list(const std::string& path, const Place& place, const json::Array& entry, const json::Array& previous,
                  const json::Array& desired, const json::Array& live) {
    const auto items = list_items(entry);
    const ListKind kind = list_kind(place);
    const auto in_live = counterparts(kind, desired, live);
    if (kind.type == ListType::map && item_keys(kind, desired) && item_keys(kind, live)) {
      if (auto list = replaced(place, entry, previous, desired, live))
        return operations_.push_back(json::Object{{"op", "replace"}, {"path", path}, {"value", std::move(*list)}});
    }
    const auto before = counterparts(kind, desired, previous);
    for (std::size_t i = 0; i < std::min(desired.size(), items.size()); ++i) {
      const json::Value* old = before[i] == kNoItem ? nullptr : &previous[before[i]];
      if (in_live[i] != kNoItem)
        visit(pointer_of(path, in_live[i]), place, &items[i], old, desired[i], live[in_live[i]]);
    }
  }

  // Nothing: it has no items missing, or room for all.
  static std::optional<json::Array> replaced(const Place& place, const json::Array& entry, const json::Array& previous,
                                             const json::Array& desired, const json::Array& live) {
    const auto items = list_items(entry);
    const ListLimits limits = list_limits(entry);
    const auto in_live = counterparts(list_kind(place), desired, live);
    const auto in_desired = counterparts(list_kind(place), live, desired);
    const auto in_previous = counterparts(list_kind(place), live, previous);
    json::Array list;
    bool missing = false;
    for (std::size_t i = 0; i < desired.size(); ++i) {
      if (in_live[i] != kNoItem) {
        list.push_back(live[in_live[i]]);
      } else if (i < items.size()) {
        missing = true;
        list.push_back(desired[i]);
      }
    }
    bool dropped = false;
    auto length = static_cast<std::int64_t>(list.size());
    for (std::size_t i = 0; i < live.size(); ++i) {
      if (in_desired[i] != kNoItem) continue;
      const bool injected = injected_by_cluster(place, live[i]);
      if (injected || limits.max == 0 || length < limits.max) {
        list.push_back(live[i]);
        length += injected ? 0 : 1;
      } else {
        // What was ours before goes by itself.
        dropped = dropped || in_previous[i] == kNoItem;
      }
    }
    if (!missing || !dropped) return std::nullopt;
    return list;
  }

  json::Array operations_;
};

}  // namespace

json::Value apply_body(const json::Value& desired) { return normalised(desired); }

json::Value repair_body(const json::Value& desired, const json::Value& live, const json::Value& entry) {
  const json::Value wanted = normalised(desired);
  const std::string kind(wanted.string_at({"kind"}));
  const json::Value schema = normalised_entry(entry);
  json::Value body = repaired(Place{kind, "", ""}, &schema, wanted, live);
  json::Object& fields = body.make_object();
  for (std::string_view key : {"apiVersion", "kind"}) {
    if (const json::Value* value = wanted.at_path({key})) fields.set(key, *value);
  }
  json::Object& metadata = fields["metadata"].make_object();
  for (std::string_view key : {"name", "namespace"}) {
    if (const json::Value* value = wanted.at_path({"metadata", key})) metadata.set(key, *value);
  }
  if (const json::Value* version = live.at_path({"metadata", "resourceVersion"})) {
    metadata.set("resourceVersion", *version);
  }
  return body;
}

json::Array surplus_patch(const json::Value& desired, const json::Value& live, const json::Value& entry,
                          const json::Value* previous) {
  const json::Value wanted = normalised(desired);
  const json::Value schema = normalised_entry(entry);
  const json::Value before = previous ? normalised(*previous) : json::Value();
  const std::string kind(wanted.string_at({"kind"}));
  Surplus surplus;
  surplus.visit("", Place{kind, "", ""}, &schema, previous ? &before : nullptr, wanted, live);
  return surplus.take();
}

json::Array replace_lists_patch(const json::Value& desired, const json::Value& live, const json::Value& entry,
                                const json::Value* previous) {
  const json::Value* version = live.at_path({"metadata", "resourceVersion"});
  if (!version) return {};
  const json::Value wanted = normalised(desired);
  const json::Value schema = normalised_entry(entry);
  const json::Value before = previous ? normalised(*previous) : json::Value();
  const std::string kind(wanted.string_at({"kind"}));
  Replacements replacements;
  replacements.visit("", Place{kind, "", ""}, &schema, previous ? &before : nullptr, wanted, live);
  json::Array operations = replacements.take();
  if (operations.empty()) return {};
  operations.insert(operations.begin(),
                    json::Object{{"op", "test"}, {"path", "/metadata/resourceVersion"}, {"value", *version}});
  return operations;
}

bool concerns_only(const json::Array& patch, const std::vector<std::string>& fields) {
  const auto lies_in_a_list = [&](const std::string& field) {
    return std::ranges::any_of(patch, [&](const json::Value& operation) {
      if (operation.string_at({"op"}) != "replace") return false;
      const std::string list = plain_path(operation.string_at({"path"}));
      const std::string plain = plain_field(field);
      return plain == list || plain.starts_with(list + '.');
    });
  };
  return !fields.empty() && std::ranges::all_of(fields, lies_in_a_list);
}

}  // namespace krake::manifest
