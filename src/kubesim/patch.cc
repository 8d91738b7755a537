#include "kubesim/patch.h"

#include <fmt/format.h>

#include <algorithm>

#include "manifest/merge_keys.h"

namespace krake::kubesim {

namespace {

using json::Array;
using json::Object;
using json::Value;
using manifest::ListKind;
using manifest::ListType;
using manifest::Place;

constexpr std::string_view kDeleteItems = "$deleteFromPrimitiveList/";
constexpr std::string_view kOrder = "$setElementOrder/";

Result<Value> merged(const Place& place, const Value& object, const Value& patch);

bool is_primitive_list(const Array& items) {
  return std::ranges::none_of(items, [](const Value& item) { return item.is_object() || item.is_array(); });
}

// The one key that this kind of patch goes by.
const Value* key_of(const ListKind& list, const Value& item) {
  return list.keys.empty() ? nullptr : item.at_path({list.keys.front().name});
}

auto find_item(Array& items, const ListKind& list, const Value& key) {
  return std::ranges::find_if(items, [&](const Value& item) {
    const Value* other = key_of(list, item);
    return other && json::equal(*other, key);
  });
}

Result<Value> merged_list(const Place& place, const Array& items, const Array& patch) {
  const ListKind list = manifest::list_kind(place);
  const bool replaces =
      std::ranges::any_of(patch, [](const Value& item) { return item.string_at({"$patch"}) == "replace"; });
  Array result = replaces ? Array() : items;
  if (list.type == ListType::set && is_primitive_list(patch)) {
    for (const Value& item : patch) {
      if (std::ranges::none_of(result, [&](const Value& other) { return json::equal(item, other); }))
        result.push_back(item);
    }
    return result;
  }
  if (list.type != ListType::map) return patch;
  for (const Value& item : patch) {
    const auto directive = item.string_at({"$patch"});
    if (directive == "replace") continue;
    const Value* key = key_of(list, item);
    if (!key) {
      return fail(Code::invalid_argument,
                  fmt::format("map: {} does not contain declared merge key: {}", json::print(item),
                              list.keys.empty() ? "" : list.keys.front().name));
    }
    const auto found = find_item(result, list, *key);
    if (directive == "delete") {
      if (found != result.end()) result.erase(found);
    } else if (found == result.end()) {
      ASSIGN_OR_RETURN(Value fresh, merged(place, Value(Object{}), item));
      result.push_back(std::move(fresh));
    } else {
      ASSIGN_OR_RETURN(*found, merged(place, *found, item));
    }
  }
  return result;
}

// Items named by the directive in its order; the others keep their places among them as far as they can.
void reorder(const ListKind& list, Array& items, const Array& order) {
  const auto rank = [&](const Value& item) {
    for (std::size_t i = 0; i < order.size(); ++i) {
      const Value* wanted = order[i].is_object() ? key_of(list, order[i]) : &order[i];
      const Value* own = item.is_object() ? key_of(list, item) : &item;
      if (wanted && own && json::equal(*wanted, *own)) return i;
    }
    return order.size();
  };
  std::vector<std::pair<std::size_t, std::size_t>> ranks;  // with the old place: a stable sort
  for (std::size_t i = 0; i < items.size(); ++i) ranks.emplace_back(rank(items[i]), i);
  std::ranges::sort(ranks);
  Array sorted;
  for (const auto& [unused, place] : ranks) sorted.push_back(std::move(items[place]));
  items = std::move(sorted);
}

void apply_directive(const Place& place, Object& result, std::string_view key, const Value& value) {
  const bool removal = key.starts_with(kDeleteItems);
  const std::string_view field = key.substr(removal ? kDeleteItems.size() : kOrder.size());
  Value* target = result.find(field);
  if (!target || !target->is_array() || !value.is_array()) return;
  if (!removal) return reorder(manifest::list_kind(place.child(field)), *target->if_array(), *value.if_array());
  for (const Value& gone : *value.if_array()) {
    std::erase_if(*target->if_array(), [&](const Value& item) { return json::equal(item, gone); });
  }
}

bool is_directive(std::string_view key) { return key.starts_with('$'); }

Result<Value> merged(const Place& place, const Value& object, const Value& patch) {
  if (!patch.is_object()) return patch;
  const auto directive = patch.string_at({"$patch"});
  if (directive == "delete") return Value(Object{});
  Object result = object.is_object() && directive != "replace" ? *object.if_object() : Object{};
  if (const Value* retained = patch.at_path({"$retainKeys"}); retained && retained->is_array()) {
    std::vector<std::string> gone;
    for (const auto& [key, value] : result) {
      if (std::ranges::none_of(*retained->if_array(), [&](const Value& kept) { return kept == Value(key); }))
        gone.push_back(key);
    }
    for (const auto& key : gone) result.erase(key);
  }
  for (const auto& [key, value] : *patch.if_object()) {
    if (is_directive(key)) continue;
    const Value* old = result.find(key);
    const Place below = place.child(key);
    if (value.is_null() || value.string_at({"$patch"}) == "delete") {
      result.erase(key);
    } else if (value.is_object()) {
      ASSIGN_OR_RETURN(Value inner, merged(below, old ? *old : Value(), value));
      result.set(key, std::move(inner));
    } else if (value.is_array()) {
      const Array* items = old ? old->if_array() : nullptr;
      ASSIGN_OR_RETURN(Value inner, merged_list(below, items ? *items : Array(), *value.if_array()));
      result.set(key, std::move(inner));
    } else {
      result.set(key, value);
    }
  }
  for (const auto& [key, value] : *patch.if_object()) {
    if (key.starts_with(kDeleteItems) || key.starts_with(kOrder)) apply_directive(place, result, key, value);
  }
  return result;
}

}  // namespace

Result<Value> strategic_merge(std::string_view kind, const Value& object, const Value& patch) {
  if (!patch.is_object()) return fail(Code::invalid_argument, "a strategic merge patch must be an object");
  return merged(Place{kind, "", ""}, object, patch);
}

}  // namespace krake::kubesim
