#include "kubesim/defaults.h"

#include <fmt/format.h>

#include "base/encoding.h"

namespace krake::kubesim {

namespace {

using json::Object;
using json::Value;

void fill(Object& object, std::string_view key, Value value) {
  const Value* present = object.find(key);
  if (!present || present->is_null()) object.set(key, std::move(value));
}

Object* object_in(Object& object, std::string_view key) {
  Value* value = object.find(key);
  return value ? value->if_object() : nullptr;
}

template <class F>
void each_object(Object& object, std::string_view key, F visit) {
  Value* list = object.find(key);
  if (!list || !list->is_array()) return;
  for (Value& item : *list->if_array()) {
    if (item.is_object()) visit(*item.if_object());
  }
}

bool says(const Object& object, std::string_view key, std::string_view text) {
  const Value* value = object.find(key);
  return value && value->is_string() && *value->if_string() == text;
}

// ---- pods

void default_probe(Object& container, std::string_view key) {
  Object* probe = object_in(container, key);
  if (!probe) return;
  fill(*probe, "timeoutSeconds", 1);
  fill(*probe, "periodSeconds", 10);
  fill(*probe, "successThreshold", 1);
  fill(*probe, "failureThreshold", 3);
  if (Object* get = object_in(*probe, "httpGet")) {
    fill(*get, "path", "/");
    fill(*get, "scheme", "HTTP");
  }
}

std::string_view pull_policy(std::string_view image) {
  const auto slash = image.rfind('/');
  const auto name = slash == std::string_view::npos ? image : image.substr(slash + 1);
  if (name.find('@') != std::string_view::npos) return "IfNotPresent";
  const auto colon = name.rfind(':');
  return colon == std::string_view::npos || name.substr(colon + 1) == "latest" ? "Always" : "IfNotPresent";
}

void default_container(Object& container) {
  const Value* image = container.find("image");
  if (image && image->is_string()) fill(container, "imagePullPolicy", pull_policy(*image->if_string()));
  fill(container, "terminationMessagePath", "/dev/termination-log");
  fill(container, "terminationMessagePolicy", "File");
  fill(container, "resources", Object{});
  each_object(container, "ports", [](Object& port) { fill(port, "protocol", "TCP"); });
  each_object(container, "env", [](Object& variable) {
    Object* source = object_in(variable, "valueFrom");
    Object* field = source ? object_in(*source, "fieldRef") : nullptr;
    if (field) fill(*field, "apiVersion", "v1");
  });
  for (const auto probe : {"livenessProbe", "readinessProbe", "startupProbe"}) default_probe(container, probe);
}

void default_volume(Object& volume) {
  for (const auto source : {"configMap", "secret", "projected", "downwardAPI"}) {
    if (Object* found = object_in(volume, source)) fill(*found, "defaultMode", 420);
  }
  if (Object* host = object_in(volume, "hostPath")) fill(*host, "type", "");
  const bool sourceless = volume.size() == 1 && volume.contains("name");
  if (sourceless) volume.set("emptyDir", Object{});
}

void default_pod_spec(Object& spec, bool of_pod) {
  each_object(spec, "containers", default_container);
  each_object(spec, "initContainers", default_container);
  each_object(spec, "volumes", default_volume);
  fill(spec, "restartPolicy", "Always");
  fill(spec, "terminationGracePeriodSeconds", 30);
  fill(spec, "dnsPolicy", "ClusterFirst");
  fill(spec, "securityContext", Object{});
  fill(spec, "schedulerName", "default-scheduler");
  if (Value* account = spec.find("serviceAccountName"); account && account->is_string()) {
    fill(spec, "serviceAccount", *account->if_string());
  }
  if (!of_pod) return;
  fill(spec, "enableServiceLinks", true);
  fill(spec, "preemptionPolicy", "PreemptLowerPriority");
  fill(spec, "priority", 0);
}

void default_template(Object& spec) {
  Object* pod = object_in(spec, "template");
  if (!pod) return;
  if (Object* pod_spec = object_in(*pod, "spec")) default_pod_spec(*pod_spec, false);
}

// ---- workloads

void default_deployment(Object& spec) {
  fill(spec, "replicas", 1);
  fill(spec, "revisionHistoryLimit", 10);
  fill(spec, "progressDeadlineSeconds", 600);
  fill(spec, "strategy", Object{});
  Object* strategy = object_in(spec, "strategy");
  if (!strategy) return;
  fill(*strategy, "type", "RollingUpdate");
  if (!says(*strategy, "type", "RollingUpdate")) return;
  fill(*strategy, "rollingUpdate", Object{});
  if (Object* rolling = object_in(*strategy, "rollingUpdate")) {
    fill(*rolling, "maxUnavailable", "25%");
    fill(*rolling, "maxSurge", "25%");
  }
}

void default_stateful_set(Object& spec) {
  fill(spec, "replicas", 1);
  fill(spec, "podManagementPolicy", "OrderedReady");
  fill(spec, "revisionHistoryLimit", 10);
  fill(spec, "updateStrategy", Object{{"type", "RollingUpdate"}, {"rollingUpdate", Object{{"partition", 0}}}});
  fill(spec, "persistentVolumeClaimRetentionPolicy", Object{{"whenDeleted", "Retain"}, {"whenScaled", "Retain"}});
}

void default_daemon_set(Object& spec) {
  fill(spec, "revisionHistoryLimit", 10);
  fill(spec, "updateStrategy",
       Object{{"type", "RollingUpdate"}, {"rollingUpdate", Object{{"maxUnavailable", 1}, {"maxSurge", 0}}}});
}

void default_job(Object& spec) {
  if (!spec.contains("completions") && !spec.contains("parallelism")) {
    spec.set("completions", 1);
    spec.set("parallelism", 1);
  }
  fill(spec, "parallelism", 1);
  fill(spec, "backoffLimit", 6);
  fill(spec, "completionMode", "NonIndexed");
  fill(spec, "suspend", false);
  fill(spec, "podReplacementPolicy", "TerminatingOrFailed");
  fill(spec, "manualSelector", false);
}

void default_cron_job(Object& spec) {
  fill(spec, "concurrencyPolicy", "Allow");
  fill(spec, "suspend", false);
  fill(spec, "successfulJobsHistoryLimit", 3);
  fill(spec, "failedJobsHistoryLimit", 1);
  Object* job = object_in(spec, "jobTemplate");
  Object* job_spec = job ? object_in(*job, "spec") : nullptr;
  if (job_spec) default_template(*job_spec);
}

// ---- others

void default_service(Object& spec) {
  fill(spec, "type", "ClusterIP");
  fill(spec, "sessionAffinity", "None");
  each_object(spec, "ports", [](Object& port) {
    fill(port, "protocol", "TCP");
    if (const Value* number = port.find("port")) fill(port, "targetPort", *number);
  });
  if (says(spec, "type", "ExternalName")) return;
  fill(spec, "internalTrafficPolicy", "Cluster");
  fill(spec, "ipFamilyPolicy", "SingleStack");
  fill(spec, "ipFamilies", json::Array{"IPv4"});
  if (says(spec, "type", "ClusterIP")) return;
  fill(spec, "externalTrafficPolicy", "Cluster");
  if (says(spec, "type", "LoadBalancer")) fill(spec, "allocateLoadBalancerNodePorts", true);
}

void default_secret(Object& object) {
  fill(object, "type", "Opaque");
  Value* plain = object.find("stringData");
  if (!plain) return;
  if (plain->is_object()) {
    Object& data = object["data"].make_object();
    const Object texts = *object.find("stringData")->if_object();
    for (const auto& [key, value] : texts) {
      if (value.is_string()) data.set(key, base64_encode(*value.if_string()));
    }
  }
  object.erase("stringData");
}

void default_role_binding(Object& object) {
  if (Object* role = object_in(object, "roleRef")) fill(*role, "apiGroup", "rbac.authorization.k8s.io");
  each_object(object, "subjects", [](Object& subject) {
    if (!says(subject, "kind", "ServiceAccount")) fill(subject, "apiGroup", "rbac.authorization.k8s.io");
  });
}

void default_network_policy(Object& spec) {
  json::Array types{"Ingress"};
  if (spec.contains("egress")) types.emplace_back("Egress");
  fill(spec, "policyTypes", std::move(types));
}

void default_definition(Object& spec) {
  fill(spec, "conversion", Object{{"strategy", "None"}});
  Object* names = object_in(spec, "names");
  if (!names) return;
  const Value* kind = names->find("kind");
  if (!kind || !kind->is_string()) return;
  std::string singular = *kind->if_string();
  for (char& c : singular) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  fill(*names, "listKind", *kind->if_string() + "List");
  fill(*names, "singular", std::move(singular));
}

void default_namespace(Object& object) {
  Object& metadata = object["metadata"].make_object();
  const Value* name = metadata.find("name");
  if (name) metadata["labels"].make_object().set("kubernetes.io/metadata.name", *name);
  fill(object["spec"].make_object(), "finalizers", json::Array{"kubernetes"});
  fill(object["status"].make_object(), "phase", "Active");
}

}  // namespace

void apply_defaults(const KindInfo& kind, json::Value& value) {
  if (kind.custom || !value.is_object()) return;
  Object& object = *value.if_object();
  const std::string_view name = kind.kind;
  if (name == "Namespace") return default_namespace(object);
  if (name == "Secret") return default_secret(object);
  if (name == "RoleBinding" || name == "ClusterRoleBinding") return default_role_binding(object);
  if (name == "StorageClass") {
    fill(object, "reclaimPolicy", "Delete");
    return fill(object, "volumeBindingMode", "Immediate");
  }
  Object* spec = object_in(object, "spec");
  if (!spec) return;
  if (name == "Pod") return default_pod_spec(*spec, true);
  default_template(*spec);
  if (name == "Deployment") default_deployment(*spec);
  if (name == "ReplicaSet" || name == "ReplicationController") fill(*spec, "replicas", 1);
  if (name == "StatefulSet") default_stateful_set(*spec);
  if (name == "DaemonSet") default_daemon_set(*spec);
  if (name == "Job") default_job(*spec);
  if (name == "CronJob") default_cron_job(*spec);
  if (name == "Service") default_service(*spec);
  if (name == "PersistentVolumeClaim" || name == "PersistentVolume") fill(*spec, "volumeMode", "Filesystem");
  if (name == "PersistentVolume") fill(*spec, "persistentVolumeReclaimPolicy", "Retain");
  if (name == "NetworkPolicy") default_network_policy(*spec);
  if (name == "HorizontalPodAutoscaler") fill(*spec, "minReplicas", 1);
  if (name == "CustomResourceDefinition") default_definition(*spec);
}

}  // namespace krake::kubesim
