#include "kubesim/kinds.h"

#include <algorithm>

namespace krake::kubesim {

namespace {

enum Flag : unsigned { kNone = 0, kCluster = 1, kStatus = 2, kScale = 4, kGeneration = 8 };

struct Row {
  const char* group;
  const char* version;
  const char* kind;
  const char* plural;
  const char* short_name;
  unsigned flags;
};

constexpr unsigned kWorkload = kStatus | kGeneration;

constexpr Row kBuiltIn[] = {
    {"", "v1", "Namespace", "namespaces", "ns", kCluster | kStatus},
    {"", "v1", "Node", "nodes", "no", kCluster | kStatus},
    {"", "v1", "Pod", "pods", "po", kStatus | kGeneration},
    {"", "v1", "Service", "services", "svc", kStatus},
    {"", "v1", "ConfigMap", "configmaps", "cm", kNone},
    {"", "v1", "Secret", "secrets", "", kNone},
    {"", "v1", "ServiceAccount", "serviceaccounts", "sa", kNone},
    {"", "v1", "PersistentVolume", "persistentvolumes", "pv", kCluster | kStatus},
    {"", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", "pvc", kStatus},
    {"", "v1", "Event", "events", "ev", kNone},
    {"", "v1", "Endpoints", "endpoints", "ep", kNone},
    {"", "v1", "ReplicationController", "replicationcontrollers", "rc", kWorkload | kScale},
    {"", "v1", "LimitRange", "limitranges", "limits", kNone},
    {"", "v1", "ResourceQuota", "resourcequotas", "quota", kStatus},
    {"apps", "v1", "Deployment", "deployments", "deploy", kWorkload | kScale},
    {"apps", "v1", "ReplicaSet", "replicasets", "rs", kWorkload | kScale},
    {"apps", "v1", "StatefulSet", "statefulsets", "sts", kWorkload | kScale},
    {"apps", "v1", "DaemonSet", "daemonsets", "ds", kWorkload},
    {"apps", "v1", "ControllerRevision", "controllerrevisions", "", kNone},
    {"batch", "v1", "Job", "jobs", "", kWorkload},
    {"batch", "v1", "CronJob", "cronjobs", "cj", kWorkload},
    {"rbac.authorization.k8s.io", "v1", "Role", "roles", "", kNone},
    {"rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", "", kNone},
    {"rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", "", kCluster},
    {"rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", "", kCluster},
    {"networking.k8s.io", "v1", "Ingress", "ingresses", "ing", kStatus | kGeneration},
    {"networking.k8s.io", "v1", "IngressClass", "ingressclasses", "", kCluster | kGeneration},
    {"networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", "netpol", kGeneration},
    {"autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", "hpa", kStatus},
    {"policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", "pdb", kStatus | kGeneration},
    {"storage.k8s.io", "v1", "StorageClass", "storageclasses", "sc", kCluster},
    {"scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", "pc", kCluster | kGeneration},
    {"coordination.k8s.io", "v1", "Lease", "leases", "", kNone},
    {"discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", "", kGeneration},
    {"apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", "crd",
     kCluster | kStatus | kGeneration},
};

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  return text;
}

bool is_true(const json::Value* value) { return value && value->if_bool() && *value->if_bool(); }

}  // namespace

Kinds::Kinds() {
  for (const Row& row : kBuiltIn) {
    KindInfo info{.group = row.group,
                  .version = row.version,
                  .kind = row.kind,
                  .plural = row.plural,
                  .singular = lower(row.kind),
                  .short_names = {},
                  .namespaced = (row.flags & kCluster) == 0,
                  .status = (row.flags & kStatus) != 0,
                  .scale = (row.flags & kScale) != 0,
                  .generation = (row.flags & kGeneration) != 0};
    if (*row.short_name) info.short_names.emplace_back(row.short_name);
    kinds_.push_back(std::move(info));
  }
}

const KindInfo* Kinds::find(std::string_view group, std::string_view version, std::string_view plural) const {
  const auto it = std::ranges::find_if(
      kinds_, [&](const KindInfo& k) { return k.plural == plural && k.group == group && k.version == version; });
  return it == kinds_.end() ? nullptr : &*it;
}

const KindInfo* Kinds::find_kind(std::string_view group, std::string_view kind) const {
  const auto it = std::ranges::find_if(kinds_, [&](const KindInfo& k) { return k.kind == kind && k.group == group; });
  return it == kinds_.end() ? nullptr : &*it;
}

const KindInfo* Kinds::find_resource(std::string_view resource) const {
  const auto it = std::ranges::find_if(kinds_, [&](const KindInfo& k) { return k.resource() == resource; });
  return it == kinds_.end() ? nullptr : &*it;
}

void Kinds::define(const json::Value& definition) {
  const std::string group(definition.string_at({"spec", "group"}));
  const std::string plural(definition.string_at({"spec", "names", "plural"}));
  undefine(group, plural);
  const json::Value* versions = definition.at_path({"spec", "versions"});
  if (!versions || !versions->is_array()) return;
  for (const json::Value& version : *versions->if_array()) {
    if (!is_true(version.at_path({"served"}))) continue;
    KindInfo info{.group = group,
                  .version = std::string(version.string_at({"name"})),
                  .kind = std::string(definition.string_at({"spec", "names", "kind"})),
                  .plural = plural,
                  .singular = std::string(definition.string_at({"spec", "names", "singular"})),
                  .short_names = {},
                  .namespaced = definition.string_at({"spec", "scope"}) == "Namespaced",
                  .status = version.at_path({"subresources", "status"}) != nullptr,
                  .generation = true,
                  .custom = true};
    if (info.singular.empty()) info.singular = lower(info.kind);
    if (const json::Value* names = definition.at_path({"spec", "names", "shortNames"}); names && names->is_array()) {
      for (const json::Value& name : *names->if_array()) {
        if (name.is_string()) info.short_names.push_back(*name.if_string());
      }
    }
    kinds_.push_back(std::move(info));
  }
}

void Kinds::undefine(std::string_view group, std::string_view plural) {
  std::erase_if(kinds_, [&](const KindInfo& k) { return k.custom && k.group == group && k.plural == plural; });
}

}  // namespace krake::kubesim
