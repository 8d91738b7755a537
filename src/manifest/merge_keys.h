// How lists and maps of Kubernetes objects merge: the one table shared by comparison, repair and server-side apply.
// Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace krake::manifest {

// Where in an object a value is: the kind at the root, and the last two field names, list indices not counted
// (/spec/containers/0/ports -> parent "containers", field "ports"). Enough for the table; views into the walked JSON.
struct Place {
  std::string_view kind;
  std::string_view parent;
  std::string_view field;
  Place child(std::string_view key) const { return {kind, field, key}; }
};

struct KeyField {
  std::string_view name;
  std::string_view default_text;  // "" when there is no default
};

enum class ListType { atomic, map, set };
struct ListKind {
  ListType type = ListType::atomic;
  std::span<const KeyField> keys;  // of a map, sorted by name
};
ListKind list_kind(const Place& place);
// Maps that are replaced as a whole, such as selectors.
bool atomic_map(const Place& place);

// `{"containerPort":80,"protocol":"TCP"}`: the item's key as managedFields spells it; none when a part is missing.
std::optional<std::string> item_key(const ListKind& list, const json::Value& item);
// The keys of all items when there are no gaps and no two are equal; else none: such a list is treated as atomic.
std::optional<std::vector<std::string>> item_keys(const ListKind& list, const json::Array& items);

inline constexpr std::size_t kNoItem = static_cast<std::size_t>(-1);
// For every item of `from` the index of the same item in `in` or kNoItem: by key, by value, or by index.
std::vector<std::size_t> counterparts(const ListKind& list, const json::Array& from, const json::Array& in);

// Items that admission adds to every Pod by itself (token volume, default tolerations): never surplus.
bool injected_by_cluster(const Place& place, const json::Value& item);

}  // namespace krake::manifest
