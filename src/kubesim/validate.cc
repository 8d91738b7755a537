#include "kubesim/validate.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "kubesim/selector.h"

namespace krake::kubesim {

namespace {

using json::Value;
using Causes = std::vector<Cause>;

void required(Causes& causes, std::string field, std::string_view detail = "") {
  causes.push_back({"FieldValueRequired", detail.empty() ? "Required value" : fmt::format("Required value: {}", detail),
                    std::move(field)});
}

void wrong(Causes& causes, std::string field, const Value& value, std::string_view detail) {
  causes.push_back(
      {"FieldValueInvalid", fmt::format("Invalid value: {}: {}", json::print(value), detail), std::move(field)});
}

void unsupported(Causes& causes, std::string field, const Value& value, std::string_view choice) {
  causes.push_back({"FieldValueNotSupported",
                    fmt::format("Unsupported value: {}: supported values: {}", json::print(value), choice),
                    std::move(field)});
}

bool lower_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

bool dns_label(std::string_view text) {
  return !text.empty() && text.size() <= 63 && lower_alnum(text.front()) && lower_alnum(text.back()) &&
         std::ranges::all_of(text, [](char c) { return lower_alnum(c) || c == '-'; });
}

bool dns_subdomain(std::string_view text) {
  if (text.empty() || text.size() > 253) return false;
  while (true) {
    const auto dot = text.find('.');
    const auto label = text.substr(0, dot);
    if (label.empty() || !lower_alnum(label.front()) || !lower_alnum(label.back())) return false;
    if (!std::ranges::all_of(label, [](char c) { return lower_alnum(c) || c == '-'; })) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

constexpr std::string_view kSubdomainRule =
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end "
    "with an alphanumeric character";
constexpr std::string_view kLabelRule =
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an "
    "alphanumeric character";

bool qualified_name(std::string_view text) {
  const auto slash = text.find('/');
  if (slash != std::string_view::npos) {
    if (!dns_subdomain(text.substr(0, slash))) return false;
    text.remove_prefix(slash + 1);
  }
  const auto inner = [](char c) { return lower_alnum(c) || (c >= 'A' && c <= 'Z'); };
  return !text.empty() && text.size() <= 63 && inner(text.front()) && inner(text.back()) &&
         std::ranges::all_of(text, [&](char c) { return inner(c) || c == '-' || c == '_' || c == '.'; });
}

bool label_value(std::string_view text) {
  return text.empty() || (text.find('/') == std::string_view::npos && qualified_name(text));
}

void check_name(const KindInfo& kind, const Value& object, Causes& causes) {
  const Value* name = object.at_path({"metadata", "name"});
  if (!name || !name->is_string() || name->if_string()->empty()) {
    return required(causes, "metadata.name", "name or generateName is required");
  }
  const std::string& text = *name->if_string();
  if (kind.group == "rbac.authorization.k8s.io") {  // path segments
    if (text == "." || text == ".." || text.find_first_of("/%") != std::string::npos) {
      wrong(causes, "metadata.name", *name, "may not contain '/' or '%', nor be '.' or '..'");
    }
  } else if (kind.kind == "Namespace" || kind.kind == "Service") {
    if (!dns_label(text)) wrong(causes, "metadata.name", *name, kLabelRule);
  } else if (!dns_subdomain(text)) {
    wrong(causes, "metadata.name", *name, kSubdomainRule);
  }
}

void check_labels(const Value& object, const std::string& field, Causes& causes) {
  const Value* labels = object.at_path({"metadata", "labels"});
  if (!labels || !labels->is_object()) return;
  for (const auto& [key, value] : *labels->if_object()) {
    if (!qualified_name(key)) wrong(causes, field + ".labels", key, "name part must be a qualified name");
    if (value.is_string() && !label_value(*value.if_string())) {
      wrong(causes, field + ".labels", value,
            "a valid label must be an empty string or consist of alphanumeric "
            "characters, '-', '_' or '.', and must start and end with an alphanumeric "
            "character");
    }
  }
}

void check_port(const Value& item, std::string_view key, const std::string& field, Causes& causes) {
  const Value* port = item.at_path({key});
  if (!port) return required(causes, field + "." + std::string(key));
  const auto number = item.int_at({key});
  if (!number || *number < 1 || *number > 65535) {
    wrong(causes, field + "." + std::string(key), *port, "must be between 1 and 65535, inclusive");
  }
}

void check_containers(const Value& spec, const std::string& field, Causes& causes) {
  const Value* containers = spec.at_path({"containers"});
  if (!containers || !containers->is_array() || containers->if_array()->empty()) {
    return required(causes, field + ".containers");
  }
  std::set<std::string_view> names;
  int index = 0;
  for (const Value& container : *containers->if_array()) {
    const std::string at = fmt::format("{}.containers[{}]", field, index++);
    const Value* name = container.at_path({"name"});
    if (!name || !name->is_string() || name->if_string()->empty()) {
      required(causes, at + ".name");
    } else if (!dns_label(*name->if_string())) {
      wrong(causes, at + ".name", *name, kLabelRule);
    } else if (!names.insert(*name->if_string()).second) {
      causes.push_back({"FieldValueDuplicate", fmt::format("Duplicate value: {}", json::print(*name)), at + ".name"});
    }
    if (container.string_at({"image"}).empty()) required(causes, at + ".image");
    const Value* ports = container.at_path({"ports"});
    if (!ports || !ports->is_array()) continue;
    int port_index = 0;
    for (const Value& port : *ports->if_array()) {
      check_port(port, "containerPort", fmt::format("{}.ports[{}]", at, port_index++), causes);
    }
  }
}

void check_restart_policy(const Value& spec, const std::string& field, std::string_view allowed, Causes& causes) {
  const Value* policy = spec.at_path({"restartPolicy"});
  if (!policy || !policy->is_string()) return;
  if (allowed.find(*policy->if_string()) == std::string_view::npos) {
    unsupported(causes, field + ".restartPolicy", *policy, allowed);
  }
}

void check_template(const KindInfo& kind, const Value& spec, Causes& causes) {
  const Value* pod = spec.at_path({"template", "spec"});
  static const Value kNone{json::Object{}};
  check_containers(pod ? *pod : kNone, "spec.template.spec", causes);
  const bool job = kind.kind == "Job";
  if (pod) {
    check_restart_policy(*pod, "spec.template.spec", job ? R"("Never", "OnFailure")" : R"("Always")", causes);
  }
  if (const Value* tmpl = spec.at_path({"template"})) check_labels(*tmpl, "spec.template.metadata", causes);
  if (job || kind.kind == "ReplicationController") return;
  const Value* selector = spec.at_path({"selector"});
  if (!selector || !selector->is_object()) return required(causes, "spec.selector");
  const Selector parsed = Selector::of_object(selector);
  if (parsed.empty()) {
    wrong(causes, "spec.selector", *selector, "empty selector is invalid for " + kind.singular);
  } else if (!parsed.matches_map(spec.at_path({"template", "metadata", "labels"}))) {
    const Value* labels = spec.at_path({"template", "metadata", "labels"});
    wrong(causes, "spec.template.metadata.labels", labels ? *labels : Value(),
          "`selector` does not match template `labels`");
  }
}

void check_service(const Value& spec, Causes& causes) {
  const auto type = spec.string_at({"type"});
  if (const Value* given = spec.at_path({"type"});
      type != "ClusterIP" && type != "NodePort" && type != "LoadBalancer" && type != "ExternalName") {
    unsupported(causes, "spec.type", given ? *given : Value(),
                R"("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")");
  }
  const Value* ports = spec.at_path({"ports"});
  const bool some = ports && ports->is_array() && !ports->if_array()->empty();
  if (!some && type != "ExternalName" && spec.string_at({"clusterIP"}) != "None") return required(causes, "spec.ports");
  if (!some) return;
  int index = 0;
  std::set<std::string_view> names;
  for (const Value& port : *ports->if_array()) {
    const std::string at = fmt::format("spec.ports[{}]", index++);
    const std::string_view name = port.string_at({"name"});
    check_port(port, "port", at, causes);
    if (ports->if_array()->size() > 1 && name.empty()) required(causes, at + ".name");
    if (!name.empty() && !names.insert(name).second) {
      causes.push_back(
          {"FieldValueDuplicate", fmt::format("Duplicate value: {}", json::print(Value(name))), at + ".name"});
    }
  }
}

void check_definition(const Value& object, Causes& causes) {
  const auto group = object.string_at({"spec", "group"});
  const auto plural = object.string_at({"spec", "names", "plural"});
  if (group.empty()) required(causes, "spec.group");
  if (plural.empty()) required(causes, "spec.names.plural");
  if (object.string_at({"spec", "names", "kind"}).empty()) required(causes, "spec.names.kind");
  const Value* scope = object.at_path({"spec", "scope"});
  if (const auto text = object.string_at({"spec", "scope"}); text != "Namespaced" && text != "Cluster") {
    unsupported(causes, "spec.scope", scope ? *scope : Value(), R"("Cluster", "Namespaced")");
  }
  const Value* name = object.at_path({"metadata", "name"});
  if (name && name->is_string() && *name->if_string() != fmt::format("{}.{}", plural, group)) {
    wrong(causes, "metadata.name", *name, "must be spec.names.plural+\".\"+spec.group");
  }
  const Value* versions = object.at_path({"spec", "versions"});
  if (!versions || !versions->is_array() || versions->if_array()->empty()) required(causes, "spec.versions");
}

void check_data(const Value* before, const Value& object, Causes& causes) {
  if (!before) return;
  const Value* immutable = before->at_path({"immutable"});
  if (!immutable || !immutable->if_bool() || !*immutable->if_bool()) return;
  for (const std::string_view key : {"data", "binaryData"}) {
    const Value* old_data = before->at_path({key});
    const Value* new_data = object.at_path({key});
    if (json::equal(old_data ? *old_data : Value(), new_data ? *new_data : Value())) continue;
    causes.push_back(
        {"FieldValueForbidden", "Forbidden: field is immutable when `immutable` is set", std::string(key)});
  }
}

struct Fixed {
  std::string_view kind;
  std::vector<std::string_view> path;
};

void check_fixed(const KindInfo& kind, const Value& before, const Value& object, Causes& causes) {
  static const std::vector<Fixed> kFixed = {
      {"Deployment", {"spec", "selector"}},
      {"ReplicaSet", {"spec", "selector"}},
      {"DaemonSet", {"spec", "selector"}},
      {"StatefulSet", {"spec", "selector"}},
      {"StatefulSet", {"spec", "serviceName"}},
      {"StatefulSet", {"spec", "podManagementPolicy"}},
      {"Job", {"spec", "selector"}},
      {"Job", {"spec", "template"}},
      {"Job", {"spec", "completionMode"}},
      {"RoleBinding", {"roleRef"}},
      {"ClusterRoleBinding", {"roleRef"}},
      {"StorageClass", {"provisioner"}},
      {"StorageClass", {"parameters"}},
      {"PersistentVolumeClaim", {"spec", "storageClassName"}},
      {"PersistentVolumeClaim", {"spec", "accessModes"}},
      {"Secret", {"type"}},
  };
  const auto at = [](const Value& root, const std::vector<std::string_view>& path) {
    const Value* value = &root;
    for (const auto step : path) value = value ? value->at_path({step}) : nullptr;
    return value ? *value : Value();
  };
  for (const Fixed& fixed : kFixed) {
    if (fixed.kind != kind.kind || kind.custom) continue;
    const Value now = at(object, fixed.path);
    if (json::equal(at(before, fixed.path), now)) continue;
    wrong(causes, fmt::format("{}", fmt::join(fixed.path, ".")), now, "field is immutable");
  }
  const auto old_ip = before.string_at({"spec", "clusterIP"});
  if (kind.kind == "Service" && !old_ip.empty() && object.string_at({"spec", "type"}) != "ExternalName" &&
      object.string_at({"spec", "clusterIP"}) != old_ip) {
    wrong(causes, "spec.clusterIP", Value(object.string_at({"spec", "clusterIP"})), "field is immutable");
  }
}

}  // namespace

Outcome<void> check_types(const KindInfo& kind, const Value& object) {
  const auto undecodable = [&](std::string_view field, std::string_view type) {
    return refuse(
        bad_request(fmt::format("{} in version \"{}\" cannot be handled as a {}: json: cannot unmarshal into "
                                "field {} of type {}",
                                kind.kind, kind.version, kind.kind, field, type)));
  };
  if (!object.is_object()) return refuse(bad_request("the body of the request must be an object"));
  const Value* metadata = object.at_path({"metadata"});
  if (metadata && !metadata->is_null() && !metadata->is_object()) return undecodable("metadata", "ObjectMeta");
  for (const std::string_view map : {"labels", "annotations"}) {
    const Value* entries = object.at_path({"metadata", map});
    if (!entries || entries->is_null()) continue;
    if (!entries->is_object()) return undecodable(fmt::format("metadata.{}", map), "map[string]string");
    for (const auto& [key, value] : *entries->if_object()) {
      if (!value.is_string() && !value.is_null()) return undecodable(fmt::format("metadata.{}", map), "string");
    }
  }
  if (kind.custom) return {};
  if (const Value* spec = object.at_path({"spec"}); spec && !spec->is_null() && !spec->is_object()) {
    return undecodable("spec", kind.kind + "Spec");
  }
  if (const Value* replicas = object.at_path({"spec", "replicas"}); replicas && !replicas->is_null()) {
    if (!replicas->is_number() || !replicas->if_number()->is_integer()) return undecodable("spec.replicas", "int32");
  }
  if (kind.kind != "ConfigMap" && kind.kind != "Secret") return {};
  for (const std::string_view map : {"data", "stringData"}) {
    const Value* data = object.at_path({map});
    if (!data || data->is_null()) continue;
    if (!data->is_object()) return undecodable(map, "map[string]string");
    for (const auto& [key, value] : *data->if_object()) {
      if (!value.is_string() && !value.is_null()) return undecodable(map, "string");
    }
  }
  return {};
}

std::vector<Cause> check_object(const KindInfo& kind, const Value* before, const Value& object) {
  Causes causes;
  check_name(kind, object, causes);
  check_labels(object, "metadata", causes);
  if (kind.custom) return causes;
  static const Value kNone{json::Object{}};
  const Value* given = object.at_path({"spec"});
  const Value& spec = given ? *given : kNone;
  if (kind.kind == "Pod") check_containers(spec, "spec", causes);
  if (kind.kind == "Deployment" || kind.kind == "ReplicaSet" || kind.kind == "StatefulSet" ||
      kind.kind == "DaemonSet" || kind.kind == "Job") {
    check_template(kind, spec, causes);
  }
  if (const auto replicas = object.int_at({"spec", "replicas"}); replicas && *replicas < 0) {
    wrong(causes, "spec.replicas", *replicas, "must be greater than or equal to 0");
  }
  if (kind.kind == "Service") check_service(spec, causes);
  if (kind.kind == "CustomResourceDefinition") check_definition(object, causes);
  if (kind.kind == "StorageClass" && object.string_at({"provisioner"}).empty()) required(causes, "provisioner");
  if (kind.kind == "RoleBinding" || kind.kind == "ClusterRoleBinding") {
    if (object.string_at({"roleRef", "name"}).empty()) required(causes, "roleRef.name");
  }
  if (kind.kind == "PersistentVolumeClaim" && !spec.at_path({"accessModes"})) required(causes, "spec.accessModes");
  if (kind.kind == "ConfigMap" || kind.kind == "Secret") check_data(before, object, causes);
  if (before) check_fixed(kind, *before, object, causes);
  return causes;
}

}  // namespace krake::kubesim
