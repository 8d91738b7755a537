#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "manifest/validate.h"

namespace krake::manifest {
namespace {

constexpr std::string_view kInvalid = "Invalid TOSCA template content.";

constexpr std::array<std::string_view, 4> kVersions{"tosca_simple_yaml_1_0", "tosca_simple_yaml_1_2",
                                                    "tosca_simple_profile_for_nfv_1_0_0",
                                                    "tosca_simple_profile_for_mec_1_0_0"};
constexpr std::array<std::string_view, 20> kTemplateKeys{"tosca_definitions_version",
                                                         "tosca_default_namespace",
                                                         "template_name",
                                                         "topology_template",
                                                         "template_author",
                                                         "template_version",
                                                         "description",
                                                         "imports",
                                                         "dsl_definitions",
                                                         "node_types",
                                                         "relationship_types",
                                                         "relationship_templates",
                                                         "capability_types",
                                                         "artifact_types",
                                                         "data_types",
                                                         "interface_types",
                                                         "policy_types",
                                                         "group_types",
                                                         "repositories",
                                                         "metadata"};
constexpr std::array<std::string_view, 8> kTopologyKeys{
    "description", "inputs", "node_templates",        "relationship_templates",
    "outputs",     "groups", "substitution_mappings", "policies"};
constexpr std::array<std::string_view, 12> kNodeKeys{"derived_from", "properties", "requirements", "interfaces",
                                                     "capabilities", "type",       "description",  "directives",
                                                     "attributes",   "artifacts",  "node_filter",  "copy"};
constexpr std::array<std::string_view, 2> kOutputKeys{"description", "value"};

bool only_keys(const json::Object& object, std::span<const std::string_view> allowed) {
  return std::ranges::all_of(
      object, [&](const auto& entry) { return std::ranges::find(allowed, entry.first) != allowed.end(); });
}

// The member as an object; `ok` turns false when it is there and neither an object nor null.
const json::Object* section(const json::Object& object, std::string_view key, bool& ok) {
  const json::Value* value = object.find(key);
  if (!value || value->is_null()) return nullptr;
  if (!value->is_object()) ok = false;
  return value->if_object();
}

// The definition of a type inside the template itself.
const json::Object* own_type(const json::Object& tosca, std::string_view name) {
  for (std::string_view key : {"node_types", "data_types"}) {
    const json::Value* types = tosca.find(key);
    const json::Value* type = types && types->is_object() ? types->if_object()->find(name) : nullptr;
    if (type && type->is_object()) return type->if_object();
  }
  return nullptr;
}

// Everything that is built in begins with `tosca.`; `indigo` types are an extension that a template declares or
// imports.
bool built_in(std::string_view type) { return type.starts_with("tosca.") && !type.starts_with("tosca.nodes.indigo."); }

bool required(const json::Value& property) {
  const json::Object* definition = property.if_object();
  if (!definition || definition->contains("default")) return false;
  const json::Value* flag = definition->find("required");
  return !flag || !flag->if_bool() || *flag->if_bool();
}

// Required properties are there and, when every ancestor is known, no others are.
bool check_properties(const json::Object& tosca, std::string_view type, const json::Object* given) {
  std::set<std::string_view> known;
  std::set<std::string_view> seen;  // a cycle of derived_from must not hang us
  const json::Object* definition = own_type(tosca, type);
  while (definition && seen.insert(type).second) {
    const json::Value* properties = definition->find("properties");
    if (properties && properties->is_object()) {
      for (const auto& [name, property] : *properties->if_object()) {
        known.insert(name);
        if (required(property) && !(given && given->contains(name))) return false;
      }
    }
    const json::Value* parent = definition->find("derived_from");
    type = parent && parent->is_string() ? std::string_view(*parent->if_string()) : "tosca.nodes.Root";
    definition = own_type(tosca, type);
  }
  if (type != "tosca.nodes.Root" || known.empty() || !given) return true;
  return std::ranges::all_of(*given, [&](const auto& entry) { return known.contains(entry.first); });
}

bool check_node(const json::Object& tosca, const json::Value& value) {
  const json::Object* node = value.if_object();
  if (!node || !only_keys(*node, kNodeKeys)) return false;
  const json::Value* type = node->find("type");
  if (!type || !type->is_string()) return false;
  const std::string& name = *type->if_string();
  const json::Value* imports = tosca.find("imports");
  const bool imported = imports && truthy(*imports);
  if (!own_type(tosca, name) && !built_in(name) && !imported) return false;
  bool ok = true;
  const json::Object* properties = section(*node, "properties", ok);
  return ok && check_properties(tosca, name, properties);
}

bool check_topology(const json::Object& tosca, const json::Object& topology) {
  if (!only_keys(topology, kTopologyKeys)) return false;
  bool ok = true;
  const json::Object* nodes = section(topology, "node_templates", ok);
  const json::Object* outputs = section(topology, "outputs", ok);
  section(topology, "inputs", ok);
  if (!ok) return false;
  if (nodes && !std::ranges::all_of(*nodes, [&](const auto& node) { return check_node(tosca, node.second); })) {
    return false;
  }
  return !outputs || std::ranges::all_of(*outputs, [](const auto& output) {
    return output.second.is_object() && only_keys(*output.second.if_object(), kOutputKeys);
  });
}

bool check_template(const json::Object& tosca) {
  const json::Value* version = tosca.find("tosca_definitions_version");
  if (!version || !version->is_string()) return false;
  if (std::ranges::find(kVersions, *version->if_string()) == kVersions.end()) return false;
  if (!only_keys(tosca, kTemplateKeys)) return false;
  bool ok = true;
  section(tosca, "node_types", ok);
  section(tosca, "data_types", ok);
  const json::Object* topology = section(tosca, "topology_template", ok);
  return ok && (!topology || check_topology(tosca, *topology));
}

}  // namespace

std::optional<std::string> check_tosca_application(const json::Value& tosca) {
  if (!truthy(tosca)) return std::nullopt;
  if (const std::string* url = tosca.if_string()) {
    if (url->ends_with(".yaml") || url->ends_with(".yml")) return std::nullopt;
    return "Invalid TOSCA template URL.";
  }
  if (tosca.is_object() && check_template(*tosca.if_object())) return std::nullopt;
  return std::string(kInvalid);
}

std::optional<std::string> check_tosca_cluster(const json::Object& tosca) {
  if (tosca.empty()) return std::nullopt;
  const json::Value* topology = tosca.find("topology_template");
  const json::Value* output = topology ? topology->at_path({"outputs", "kubeconfig"}) : nullptr;
  if (!output || !truthy(*output)) return fmt::format("{} The output `kubeconfig` is missing.", kInvalid);
  if (check_template(tosca)) return std::nullopt;
  return std::string(kInvalid);
}

std::optional<std::string> check_csar(std::string_view url) {
  if (url.ends_with(".csar") || url.ends_with(".zip")) return std::nullopt;
  return "Invalid CSAR archive URL.";
}

}  // namespace krake::manifest
