#include "main/references.h"

#include <fmt/format.h>

namespace krake {

namespace {

bool flag(const json::Value& value, std::string_view key) {
  const auto* member = value.at_path({key});
  return member && member->if_bool() && *member->if_bool();
}

class Collector {
 public:
  explicit Collector(std::string_view ns) : ns_(ns) {}
  std::vector<Reference> found;

  // {"api", "kind", "namespace", "name"}
  void resource(const json::Value* value, std::string path) {
    if (!value || value->string_at({"api"}).empty() || value->string_at({"name"}).empty()) return;
    add(std::move(path), value->string_at({"api"}), value->string_at({"kind"}), value->string_at({"namespace"}),
        value->string_at({"name"}));
  }
  // {"name", "namespaced"}: of a kind that exists with a namespace and, called Global..., without.
  void either(const json::Value* value, std::string path, std::string_view api, std::string_view kind) {
    if (!value || value->string_at({"name"}).empty()) return;
    if (flag(*value, "namespaced")) {
      add(std::move(path), api, kind, ns_, value->string_at({"name"}));
    } else {
      add(std::move(path), api, fmt::format("Global{}", kind), "", value->string_at({"name"}));
    }
  }
  void metrics(const json::Value* list, const std::string& path) {
    const auto* items = list ? list->if_array() : nullptr;
    for (std::size_t i = 0; items && i < items->size(); ++i)
      either(&(*items)[i], fmt::format("{}.{}", path, i), "core", "Metric");
  }
  void add(std::string path, std::string_view api, std::string_view kind, std::string_view ns, std::string_view name) {
    found.push_back({std::move(path), std::string(api), std::string(kind), std::string(ns), std::string(name)});
  }

 private:
  std::string ns_;
};

}  // namespace

std::string to_string(const Reference& reference) {
  return reference.ns.empty() ? fmt::format("{} '{}'", reference.kind, reference.name)
                              : fmt::format("{} '{}' in namespace '{}'", reference.kind, reference.name, reference.ns);
}

std::vector<Reference> references_of(std::string_view kind, std::string_view ns, const json::Value& object) {
  Collector all(ns);
  const auto* owners = object.at_path({"metadata", "owners"});
  for (std::size_t i = 0; owners && owners->if_array() && i < owners->if_array()->size(); ++i)
    all.resource(&(*owners->if_array())[i], fmt::format("metadata.owners.{}", i));
  if (const auto* status = object.at_path({"status"}); status && status->is_object()) {
    for (const auto& [key, member] : *status->if_object()) all.resource(&member, "status." + key);
  }
  const auto* roles = kind == "RoleBinding" ? object.at_path({"roles"}) : nullptr;
  for (std::size_t i = 0; roles && roles->if_array() && i < roles->if_array()->size(); ++i) {
    if (const auto* name = (*roles->if_array())[i].if_string())
      all.add(fmt::format("roles.{}", i), "core", "Role", "", *name);
  }
  if (kind == "Metric" || kind == "GlobalMetric") {
    const bool global = kind == "GlobalMetric";
    all.add("spec.provider", "core", global ? "GlobalMetricsProvider" : "MetricsProvider", global ? "" : ns,
            object.string_at({"spec", "provider", "name"}));
  }
  all.metrics(object.at_path({"spec", "metrics"}), "spec.metrics");
  all.metrics(object.at_path({"spec", "openstack", "metrics"}), "spec.openstack.metrics");
  all.either(object.at_path({"spec", "openstack", "infrastructure_provider"}), "spec.openstack.infrastructure_provider",
             "infrastructure", "InfrastructureProvider");
  return std::move(all.found);
}

}  // namespace krake
