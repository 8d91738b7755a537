#include "controllers/gc/holds.h"

#include <algorithm>

#include "api/kubernetes/application.h"
#include "api/kubernetes/cluster.h"

namespace krake::gc {

namespace {

std::optional<ResourceRef> cluster_in(const json::Value* value) {
  auto ref = value && value->is_object() ? decode_json<ResourceRef>(*value, Form::stored) : fail(Code::not_found, "");
  if (!ref || ref->api != Cluster::kApi || ref->kind != Cluster::kKindName) return std::nullopt;
  return *std::move(ref);
}

}  // namespace

std::vector<ResourceRef> held_by(const Kind& kind, const json::Value& object, const ObjectMeta& meta) {
  std::vector<ResourceRef> held;
  if (kind.group != Application::kApi || kind.name != Application::kKindName) return held;
  const auto running_on = cluster_in(object.at_path({"status", "running_on"}));
  const auto scheduled_to = cluster_in(object.at_path({"status", "scheduled_to"}));
  for (const auto& owner : meta.owners) {
    if (owner.api != Cluster::kApi || owner.kind != Cluster::kKindName) continue;
    if ((running_on || scheduled_to) && owner != running_on && owner != scheduled_to) held.push_back(owner);
  }
  const auto* cleanup = object.at_path({"status", "cleanup"});
  if (!cleanup || !cleanup->is_array()) return held;
  for (const auto& entry : *cleanup->if_array()) {
    const auto cluster = cluster_in(entry.at_path({"cluster"}));
    // Those of other namespaces are none of its business, whatever somebody has written there.
    if (!cluster || cluster->namespace_ != meta.namespace_) continue;
    const bool known = std::ranges::find(meta.owners, *cluster) != meta.owners.end();
    if (!known && std::ranges::find(held, *cluster) == held.end()) held.push_back(*cluster);
  }
  return held;
}

}  // namespace krake::gc
