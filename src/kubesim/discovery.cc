#include "kubesim/discovery.h"

#include <fmt/format.h>

#include <set>

namespace krake::kubesim {

namespace {

using json::Array;
using json::Object;

Array verbs(std::initializer_list<const char*> names) {
  Array array;
  for (const char* name : names) array.emplace_back(name);
  return array;
}

// In the order of the kinds, each once.
std::vector<std::string> versions_of(const Kinds& kinds, std::string_view name) {
  std::vector<std::string> versions;
  for (const KindInfo& kind : kinds.all()) {
    if (kind.group == name && std::ranges::find(versions, kind.version) == versions.end())
      versions.push_back(kind.version);
  }
  return versions;
}

Object group_entry(std::string_view name, const std::vector<std::string>& versions) {
  Array list;
  for (const auto& version : versions) {
    list.push_back(Object{{"groupVersion", fmt::format("{}/{}", name, version)}, {"version", version}});
  }
  const json::Value preferred = list.front();
  return Object{{"name", name}, {"versions", std::move(list)}, {"preferredVersion", preferred}};
}

Object sub_entry(const KindInfo& kind, std::string_view name) {
  Object entry{
      {"name", fmt::format("{}/{}", kind.plural, name)}, {"singularName", ""}, {"namespaced", kind.namespaced}};
  if (name == "scale") {
    entry.set("group", "autoscaling");
    entry.set("version", "v1");
    entry.set("kind", "Scale");
  } else {
    entry.set("kind", kind.kind);
  }
  entry.set("verbs", verbs({"get", "patch", "update"}));
  return entry;
}

std::string path_of(const KindInfo& kind) {
  const std::string base = kind.group.empty() ? "/api/" + kind.version : "/apis/" + kind.api_version();
  return fmt::format("{}{}/{}", base, kind.namespaced ? "/namespaces/{namespace}" : "", kind.plural);
}

}  // namespace

json::Value core_versions() {
  return Object{{"kind", "APIVersions"},
                {"versions", Array{"v1"}},
                {"serverAddressByClientCIDRs", Array{Object{{"clientCIDR", "0.0.0.0/0"}, {"serverAddress", ""}}}}};
}

json::Value group_list(const Kinds& kinds) {
  Array groups;
  std::set<std::string> seen{""};
  for (const KindInfo& kind : kinds.all()) {
    if (seen.insert(kind.group).second) groups.push_back(group_entry(kind.group, versions_of(kinds, kind.group)));
  }
  return Object{{"kind", "APIGroupList"}, {"apiVersion", "v1"}, {"groups", std::move(groups)}};
}

std::optional<json::Value> group(const Kinds& kinds, std::string_view name) {
  const auto versions = versions_of(kinds, name);
  if (versions.empty() || name.empty()) return std::nullopt;
  Object entry = group_entry(name, versions);
  entry.set("kind", "APIGroup");
  entry.set("apiVersion", "v1");
  return json::Value(std::move(entry));
}

std::optional<json::Value> resource_list(const Kinds& kinds, std::string_view group, std::string_view version) {
  Array resources;
  for (const KindInfo& kind : kinds.all()) {
    if (kind.group != group || kind.version != version) continue;
    Object entry{{"name", kind.plural},
                 {"singularName", kind.singular},
                 {"namespaced", kind.namespaced},
                 {"kind", kind.kind},
                 {"verbs", verbs({"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"})}};
    if (!kind.short_names.empty()) {
      Array names;
      for (const auto& name : kind.short_names) names.emplace_back(name);
      entry.set("shortNames", std::move(names));
    }
    if (kind.kind == "Pod" || kind.kind == "Service" || kind.group == "apps" || kind.group == "batch") {
      entry.set("categories", Array{"all"});
    }
    resources.push_back(std::move(entry));
    if (kind.status) resources.push_back(sub_entry(kind, "status"));
    if (kind.scale) resources.push_back(sub_entry(kind, "scale"));
  }
  if (resources.empty()) return std::nullopt;
  const std::string group_version = group.empty() ? std::string(version) : fmt::format("{}/{}", group, version);
  Object list{{"kind", "APIResourceList"}, {"groupVersion", group_version}, {"resources", std::move(resources)}};
  if (!group.empty()) list.set("apiVersion", "v1");
  return json::Value(std::move(list));
}

json::Value version_info() {
  return Object{{"major", "1"},
                {"minor", "36"},
                {"gitVersion", "v1.36.0+kubesim"},  // says plainly that it is simulated
                {"gitCommit", "kubesim"},
                {"gitTreeState", "clean"},
                {"buildDate", "2026-01-01T00:00:00Z"},
                {"goVersion", "none"},
                {"compiler", "clang"},
                {"platform", "linux/amd64"}};
}

json::Value openapi_index(const Kinds& kinds) {
  Object paths;
  for (const KindInfo& kind : kinds.all()) {
    const std::string name = kind.group.empty() ? "api/" + kind.version : "apis/" + kind.api_version();
    paths.set(name, Object{{"serverRelativeURL", "/openapi/v3/" + name}});
  }
  return Object{{"paths", std::move(paths)}};
}

std::optional<json::Value> openapi_document(const Kinds& kinds, std::string_view group, std::string_view version) {
  Object paths;
  for (const KindInfo& kind : kinds.all()) {
    if (kind.group != group || kind.version != version) continue;
    const Object operation{
        {"parameters",
         Array{Object{{"name", "fieldValidation"}, {"in", "query"}, {"schema", Object{{"type", "string"}}}},
               Object{{"name", "dryRun"}, {"in", "query"}, {"schema", Object{{"type", "string"}}}}}},
        {"responses", Object{}},
        {"x-kubernetes-group-version-kind",
         Object{{"group", kind.group}, {"version", kind.version}, {"kind", kind.kind}}}};
    paths.set(path_of(kind), Object{{"post", operation}});
    paths.set(path_of(kind) + "/{name}", Object{{"patch", operation}, {"put", operation}});
  }
  if (paths.empty()) return std::nullopt;
  return json::Value(Object{{"openapi", "3.0.0"},
                            {"info", Object{{"title", "kubesim"}, {"version", "v1.36.0+kubesim"}}},
                            {"paths", std::move(paths)}});
}

}  // namespace krake::kubesim
