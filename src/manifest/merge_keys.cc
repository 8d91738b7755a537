#include "manifest/merge_keys.h"

#include <algorithm>
#include <array>
#include <set>

namespace krake::manifest {
namespace {

constexpr std::array<KeyField, 1> kName{{{"name", ""}}};
constexpr std::array<KeyField, 1> kMountPath{{{"mountPath", ""}}};
constexpr std::array<KeyField, 1> kDevicePath{{{"devicePath", ""}}};
constexpr std::array<KeyField, 1> kIp{{{"ip", ""}}};
constexpr std::array<KeyField, 1> kType{{{"type", ""}}};
constexpr std::array<KeyField, 1> kUid{{{"uid", ""}}};
constexpr std::array<KeyField, 2> kContainerPort{{{"containerPort", ""}, {"protocol", "TCP"}}};
constexpr std::array<KeyField, 2> kServicePort{{{"port", ""}, {"protocol", "TCP"}}};
constexpr std::array<KeyField, 2> kTopology{{{"topologyKey", ""}, {"whenUnsatisfiable", ""}}};

// An empty kind or parent stands for any.
struct Rule {
  std::string_view kind;
  std::string_view parent;
  std::string_view field;
  ListKind list;
};
const std::array kRules{
    Rule{"", "spec", "containers", {ListType::map, kName}},
    Rule{"", "spec", "initContainers", {ListType::map, kName}},
    Rule{"", "spec", "ephemeralContainers", {ListType::map, kName}},
    Rule{"", "spec", "volumes", {ListType::map, kName}},
    Rule{"", "spec", "imagePullSecrets", {ListType::map, kName}},
    Rule{"", "spec", "hostAliases", {ListType::map, kIp}},
    Rule{"", "spec", "topologySpreadConstraints", {ListType::map, kTopology}},
    Rule{"", "spec", "resourceClaims", {ListType::map, kName}},
    Rule{"", "spec", "schedulingGates", {ListType::map, kName}},
    Rule{"", "containers", "env", {ListType::map, kName}},
    Rule{"", "initContainers", "env", {ListType::map, kName}},
    Rule{"", "containers", "volumeMounts", {ListType::map, kMountPath}},
    Rule{"", "initContainers", "volumeMounts", {ListType::map, kMountPath}},
    Rule{"", "containers", "volumeDevices", {ListType::map, kDevicePath}},
    Rule{"", "initContainers", "volumeDevices", {ListType::map, kDevicePath}},
    Rule{"", "containers", "ports", {ListType::map, kContainerPort}},
    Rule{"", "initContainers", "ports", {ListType::map, kContainerPort}},
    Rule{"", "resources", "claims", {ListType::map, kName}},
    Rule{"Service", "spec", "ports", {ListType::map, kServicePort}},
    Rule{"ServiceAccount", "", "secrets", {ListType::map, kName}},
    Rule{"MutatingWebhookConfiguration", "", "webhooks", {ListType::map, kName}},
    Rule{"ValidatingWebhookConfiguration", "", "webhooks", {ListType::map, kName}},
    Rule{"", "status", "conditions", {ListType::map, kType}},
    Rule{"", "metadata", "ownerReferences", {ListType::map, kUid}},
    Rule{"", "metadata", "finalizers", {ListType::set, {}}},
};

constexpr std::array<std::string_view, 11> kAtomicMaps{
    "selector",        "nodeSelector", "labelSelector",    "namespaceSelector", "podSelector",   "secretKeyRef",
    "configMapKeyRef", "fieldRef",     "resourceFieldRef", "claimRef",          "scaleTargetRef"};

std::vector<std::size_t> by_index(std::size_t from, std::size_t in) {
  std::vector<std::size_t> indices(from, kNoItem);
  for (std::size_t i = 0; i < std::min(from, in); ++i) indices[i] = i;
  return indices;
}

template <class T>
std::vector<std::size_t> by_equality(const std::vector<T>& from, const std::vector<T>& in) {
  std::vector<std::size_t> indices;
  indices.reserve(from.size());
  for (const T& item : from) {
    const auto found = std::ranges::find_if(in, [&](const T& other) { return other == item; });
    indices.push_back(found == in.end() ? kNoItem : static_cast<std::size_t>(found - in.begin()));
  }
  return indices;
}

}  // namespace

ListKind list_kind(const Place& place) {
  for (const Rule& rule : kRules) {
    if (rule.field != place.field) continue;
    if (!rule.kind.empty() && rule.kind != place.kind) continue;
    if (!rule.parent.empty() && rule.parent != place.parent) continue;
    return rule.list;
  }
  return {};
}

bool atomic_map(const Place& place) { return std::ranges::find(kAtomicMaps, place.field) != kAtomicMaps.end(); }

std::optional<std::string> item_key(const ListKind& list, const json::Value& item) {
  const json::Object* object = item.if_object();
  if (!object) return std::nullopt;
  std::string text = "{";
  for (const KeyField& key : list.keys) {
    const json::Value* value = object->find(key.name);
    if (value && (value->is_array() || value->is_object())) return std::nullopt;
    const bool missing = !value || value->is_null();
    if (missing && key.default_text.empty()) return std::nullopt;
    if (text.size() > 1) text += ',';
    json::print_string_to(key.name, text);
    text += ':';
    if (missing) {
      json::print_string_to(key.default_text, text);
    } else {
      json::print_to(*value, text);
    }
  }
  return text + "}";
}

std::optional<std::vector<std::string>> item_keys(const ListKind& list, const json::Array& items) {
  std::vector<std::string> keys;
  std::set<std::string_view> seen;
  keys.reserve(items.size());  // `seen` points into it
  for (const json::Value& item : items) {
    auto key = item_key(list, item);
    if (!key) return std::nullopt;
    keys.push_back(std::move(*key));
    if (!seen.insert(keys.back()).second) return std::nullopt;
  }
  return keys;
}

std::vector<std::size_t> counterparts(const ListKind& list, const json::Array& from, const json::Array& in) {
  if (list.type == ListType::set) return by_equality(from, in);
  if (list.type == ListType::map) {
    const auto from_keys = item_keys(list, from);
    const auto in_keys = item_keys(list, in);
    if (from_keys && in_keys) return by_equality(*from_keys, *in_keys);
  }
  return by_index(from.size(), in.size());
}

bool injected_by_cluster(const Place& place, const json::Value& item) {
  if (place.kind != "Pod") return false;
  if (place.field == "volumes" || place.field == "volumeMounts") {
    const std::string_view name = item.string_at({"name"});
    return name.starts_with("kube-api-access-") || name.starts_with("default-token-");
  }
  if (place.field != "tolerations") return false;
  const std::string_view key = item.string_at({"key"});
  return key == "node.kubernetes.io/not-ready" || key == "node.kubernetes.io/unreachable";
}

}  // namespace krake::manifest
