#include "controllers/application/hooks.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <set>

#include "manifest/object_id.h"
#include "manifest/schema.h"

namespace krake::application {
namespace {

const json::Value* item_with(const json::Value* list, std::string_view key, std::string_view text) {
  const json::Array* items = list ? list->if_array() : nullptr;
  if (!items || text.empty()) return nullptr;
  const auto same = [&](const json::Value& item) { return item.string_at({key}) == text; };
  const auto found = std::ranges::find_if(*items, same);
  return found == items->end() ? nullptr : &*found;
}

json::Value* member(json::Value* value, std::string_view key) {
  json::Object* object = value ? value->if_object() : nullptr;
  return object ? object->find(key) : nullptr;
}

const json::Value* pod_spec(const json::Value& object) {
  const json::Value* in_template = object.at_path({"spec", "template", "spec"});
  return in_template ? in_template : object.at_path({"spec"});
}
json::Value* pod_spec(json::Value& object) {
  json::Value* spec = member(&object, "spec");
  json::Value* in_template = member(member(spec, "template"), "spec");
  return in_template ? in_template : spec;
}

// Appends those items of the list at `key` of `from` that are wanted and have no like in that of `to`. `id` tells them
// apart.
template <class Wanted>
void keep_items(json::Value& to, const json::Value& from, std::string_view key, std::string_view id,
                const Wanted& wanted) {
  const json::Value* list = from.at_path({key});
  if (!list || !list->is_array() || !to.is_object()) return;
  for (const json::Value& item : *list->if_array()) {
    const std::string_view name = item.string_at({id});
    if (name.empty() || !wanted(item) || item_with(to.at_path({key}), id, name)) continue;
    json::Value& own = to.make_object()[key];
    if (!own.is_null() && !own.is_array()) return;  // the cluster will say what is wrong with it
    own.make_array().push_back(item);
  }
}

bool is_secret(const InjectedHook& hook, std::string_view name) {
  return std::ranges::find(hook.secrets, name) != hook.secrets.end();
}

void keep_in_container(json::Value& to, const json::Value& from, const InjectedHook& hook) {
  keep_items(to, from, "env", "name", [&](const json::Value& entry) {
    return is_secret(hook, entry.string_at({"valueFrom", "secretKeyRef", "name"}));
  });
  keep_items(to, from, "volumeMounts", "mountPath",
             [&](const json::Value& mount) { return mount.string_at({"name"}) == hook.volume; });
}

void keep_in_pod(json::Value& to, const json::Value& from, const InjectedHook& hook) {
  json::Value* containers = member(&to, "containers");
  if (!containers || !containers->is_array()) return;
  bool mounted = false;
  for (json::Value& container : *containers->if_array()) {
    const json::Value* before = item_with(from.at_path({"containers"}), "name", container.string_at({"name"}));
    if (before) keep_in_container(container, *before, hook);
    const json::Value* mounts = container.at_path({"volumeMounts"});
    mounted = mounted || item_with(mounts, "name", hook.volume);
  }
  keep_items(to, from, "volumes", "name",
             [&](const json::Value& volume) { return mounted && volume.string_at({"name"}) == hook.volume; });
}

bool is_secret_of(const json::Value& object, const std::vector<InjectedHook>& hooks) {
  if (object.string_at({"apiVersion"}) != "v1" || object.string_at({"kind"}) != "Secret") return false;
  const auto name = object.string_at({"metadata", "name"});
  return std::ranges::any_of(hooks, [&](const InjectedHook& hook) { return is_secret(hook, name); });
}

// Whatever `after` has more than `before` was appended.
void widen(json::Value& entry, const json::Value& before, const json::Value& after) {
  if (json::Object* fields = entry.if_object(); fields && before.is_object() && after.is_object()) {
    for (auto& [key, field] : *fields) {
      const json::Value* now = after.if_object()->find(key);
      const json::Value* then = before.if_object()->find(key);
      if (now) widen(field, then ? *then : json::Value(), *now);
    }
    return;
  }
  json::Array* list = entry.if_array();
  if (!list || !after.is_array()) return;
  const json::Array none;
  const json::Array& now = *after.if_array();
  const json::Array& then = before.is_array() ? *before.if_array() : none;
  const std::size_t items = manifest::list_items(*list).size();
  for (std::size_t i = 0; i < std::min({items, then.size(), now.size()}); ++i) widen((*list)[i], then[i], now[i]);
  if (items == list->size() || now.size() <= then.size()) return;
  const auto grown = static_cast<std::int64_t>(now.size() - then.size());
  const auto raised = [&](std::int64_t n) {
    return n > std::numeric_limits<std::int64_t>::max() - grown ? n : n + grown;
  };
  const auto limits = manifest::list_limits(*list);
  list->back() = manifest::control_element(raised(limits.min), limits.max == 0 ? 0 : raised(limits.max));
}

}  // namespace

std::vector<InjectedHook> injected_hooks(const Application& application) {
  std::vector<InjectedHook> hooks;
  const auto add = [&](std::string_view hook, const std::optional<std::string>& token) {
    if (!token || !application.spec.has_hook(hook)) return;
    const auto stem = fmt::format("{}-krake-{}", application.metadata.name, hook);
    hooks.push_back({stem + "-volume", {stem + "-secret-token", stem + "-secret-certs"}});
  };
  add(kCompleteHook, application.status.complete_token);
  add(kShutdownHook, application.status.shutdown_token);
  return hooks;
}

json::Array keep_hooks(json::Array manifest, const json::Array& applied, const std::vector<InjectedHook>& hooks,
                       std::string_view default_namespace) {
  if (hooks.empty()) return manifest;
  for (json::Value& object : manifest) {
    const auto id = manifest::object_id(object, default_namespace);
    const json::Value* before = id ? manifest::find_object(applied, *id, default_namespace) : nullptr;
    json::Value* to = before ? pod_spec(object) : nullptr;
    const json::Value* from = before ? pod_spec(*before) : nullptr;
    if (!to || !from) continue;
    for (const auto& hook : hooks) keep_in_pod(*to, *from, hook);
  }
  for (const json::Value& object : applied) {
    if (!is_secret_of(object, hooks)) continue;
    const auto id = manifest::object_id(object, default_namespace);
    if (id && !manifest::find_object(manifest, *id, default_namespace)) manifest.push_back(object);
  }
  return manifest;
}

json::Array widen_schema(json::Array schema, const json::Array& manifest, const json::Array& kept) {
  const auto entries = manifest::entries_for(manifest, schema);
  std::set<std::size_t> widened;  // several objects may share an entry
  for (std::size_t i = 0; i < std::min(entries.size(), kept.size()); ++i) {
    if (!entries[i]) continue;
    const auto index = static_cast<std::size_t>(entries[i] - schema.data());
    if (widened.insert(index).second) widen(schema[index], manifest[i], kept[i]);
  }
  return schema;
}

}  // namespace krake::application
