#include "manifest/object_id.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <tuple>

namespace krake::manifest {
namespace {

struct ClusterKind {
  std::string_view group;
  std::string_view kind;
};
constexpr std::array kClusterKinds{
    ClusterKind{"", "Namespace"},
    ClusterKind{"", "Node"},
    ClusterKind{"", "PersistentVolume"},
    ClusterKind{"", "ComponentStatus"},
    ClusterKind{"rbac.authorization.k8s.io", "ClusterRole"},
    ClusterKind{"rbac.authorization.k8s.io", "ClusterRoleBinding"},
    ClusterKind{"apiextensions.k8s.io", "CustomResourceDefinition"},
    ClusterKind{"apiregistration.k8s.io", "APIService"},
    ClusterKind{"storage.k8s.io", "StorageClass"},
    ClusterKind{"storage.k8s.io", "VolumeAttachment"},
    ClusterKind{"storage.k8s.io", "CSIDriver"},
    ClusterKind{"storage.k8s.io", "CSINode"},
    ClusterKind{"scheduling.k8s.io", "PriorityClass"},
    ClusterKind{"node.k8s.io", "RuntimeClass"},
    ClusterKind{"networking.k8s.io", "IngressClass"},
    ClusterKind{"policy", "PodSecurityPolicy"},
    ClusterKind{"certificates.k8s.io", "CertificateSigningRequest"},
    ClusterKind{"flowcontrol.apiserver.k8s.io", "FlowSchema"},
    ClusterKind{"flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"},
    ClusterKind{"admissionregistration.k8s.io", "MutatingWebhookConfiguration"},
    ClusterKind{"admissionregistration.k8s.io", "ValidatingWebhookConfiguration"},
    ClusterKind{"admissionregistration.k8s.io", "ValidatingAdmissionPolicy"},
    ClusterKind{"admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"},
};

std::string_view group_of(std::string_view api_version) {
  const std::size_t slash = api_version.find('/');
  return slash == std::string_view::npos ? std::string_view() : api_version.substr(0, slash);
}

}  // namespace

std::string_view ObjectId::group() const { return group_of(api_version); }

std::string_view ObjectId::version() const {
  const std::size_t slash = api_version.find('/');
  return slash == std::string::npos ? std::string_view(api_version) : std::string_view(api_version).substr(slash + 1);
}

std::string ObjectId::text() const {
  const std::string_view in = group();
  return fmt::format("{}{}{} {}{}{}", in, in.empty() ? "" : "/", kind, namespace_, namespace_.empty() ? "" : "/", name);
}

std::strong_ordering ObjectId::operator<=>(const ObjectId& other) const {
  return std::tuple(group(), std::string_view(kind), std::string_view(namespace_), std::string_view(name)) <=>
         std::tuple(other.group(), std::string_view(other.kind), std::string_view(other.namespace_),
                    std::string_view(other.name));
}

bool cluster_scoped(std::string_view group, std::string_view kind) {
  return std::ranges::any_of(kClusterKinds, [&](const ClusterKind& k) { return k.group == group && k.kind == kind; });
}

Result<ObjectId> object_id(const json::Value& object, std::string_view default_namespace) {
  ObjectId id;
  id.api_version = object.string_at({"apiVersion"});
  id.kind = object.string_at({"kind"});
  id.name = object.string_at({"metadata", "name"});
  for (const auto& [field, value] :
       {std::pair{"apiVersion", &id.api_version}, std::pair{"kind", &id.kind}, std::pair{"metadata.name", &id.name}}) {
    if (!value->empty()) continue;
    return fail(Code::invalid_object,
                fmt::format("Kubernetes object (kind '{}', name '{}') needs {} as a non-empty string", id.kind, id.name,
                            field));
  }
  if (!cluster_scoped(id.group(), id.kind)) {
    const std::string_view own = object.string_at({"metadata", "namespace"});
    id.namespace_ = own.empty() ? default_namespace : own;
  }
  return id;
}

const json::Value* find_object(const json::Array& objects, const ObjectId& id, std::string_view default_namespace) {
  const auto found = std::ranges::find_if(objects, [&](const json::Value& object) {
    const auto other = object_id(object, default_namespace);
    return other && *other == id;
  });
  return found == objects.end() ? nullptr : &*found;
}

}  // namespace krake::manifest
