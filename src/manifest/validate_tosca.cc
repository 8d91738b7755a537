#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <span>
#include <vector>

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

// What must be a mapping when it is there. A type of any of these sections may be the type of a node.
constexpr std::array<std::string_view, 7> kTypeSections{"node_types", "capability_types", "relationship_types",
                                                        "data_types", "interface_types",  "policy_types",
                                                        "group_types"};
constexpr std::array<std::string_view, 6> kTopologySections{"inputs",  "node_templates", "relationship_templates",
                                                            "outputs", "groups",         "substitution_mappings"};
constexpr std::array<std::string_view, 3> kNodeSections{"properties", "interfaces", "capabilities"};

// Names of types that may be built in although they have a dot and no `tosca.`.
constexpr std::array<std::string_view, 4> kShortPrefixes{"network.", "Container.", "nfv.", "mec."};

// The properties of all types together, inherited ones counted again. No template of practice comes near.
constexpr std::size_t kMostProperties = 500'000;

// Upstream looks for other keys in the text `metadata`, not in a list with it, so every part of the word passes.
bool only_keys(const json::Object& object, std::span<const std::string_view> allowed, std::string_view also = {}) {
  return std::ranges::all_of(object, [&](const auto& entry) {
    return std::ranges::find(allowed, entry.first) != allowed.end() || (!also.empty() && also.contains(entry.first));
  });
}

const json::Value* truthy_member(const json::Object& object, std::string_view key) {
  const json::Value* value = object.find(key);
  return value && truthy(*value) ? value : nullptr;
}

// The member as an object; `ok` turns false when it is something else. What is falsy counts as absent.
const json::Object* section(const json::Object& object, std::string_view key, bool& ok) {
  const json::Value* value = truthy_member(object, key);
  if (value && !value->is_object()) ok = false;
  return value ? value->if_object() : nullptr;
}

bool all_sections(const json::Object& object, std::span<const std::string_view> keys) {
  bool ok = true;
  for (const auto key : keys) section(object, key, ok);
  return ok;
}
bool list_or_absent(const json::Object& object, std::string_view key) {
  const json::Value* value = truthy_member(object, key);
  return !value || value->is_array();
}
bool text_or_absent(const json::Object& object, std::string_view key) {
  const json::Value* value = truthy_member(object, key);
  return !value || value->is_string();
}

// Without the prefix that says "of TOSCA itself".
std::string_view plain(std::string_view type) {
  if (type.starts_with("tosca:")) type.remove_prefix(6);
  return type;
}

// What is built in begins with `tosca.`, or is written short: `Compute`, `tosca:Compute`. `indigo` types are an
// extension that a template declares or imports.
bool may_be_built_in(std::string_view type) {
  if (type.starts_with("tosca.nodes.indigo.")) return false;
  if (type.starts_with("tosca.") || type.starts_with("tosca:") || !type.contains('.')) return !type.empty();
  return std::ranges::any_of(kShortPrefixes, [&](std::string_view prefix) { return type.starts_with(prefix); });
}

bool required(const json::Value& property) {
  const json::Object* definition = property.if_object();
  if (!definition) return true;
  const json::Value* standard = definition->find("default");
  if (standard && !standard->is_null()) return false;
  const json::Value* flag = definition->find("required");
  return !flag || !flag->if_bool() || *flag->if_bool();
}

// What a type says of the properties of its nodes.
struct Schema {
  struct Property {
    std::string_view name;
    bool required = false;
  };
  std::vector<Property> properties;  // own and inherited, sorted by name
  std::size_t required = 0;          // how many of them
  bool complete = false;             // all ancestors are known: there are no other properties
};

// The types a template declares, each resolved once: a megabyte of types, deep or wide, takes milliseconds.
class Types {
 public:
  explicit Types(const json::Object& tosca) {
    for (const auto key : kTypeSections) {
      const json::Value* types = tosca.find(key);
      if (!types || !types->is_object()) continue;
      // The last one of a name counts, as upstream merges the sections.
      for (const auto& [name, definition] : *types->if_object()) types_.insert_or_assign(name, Type{&definition});
    }
    types_.erase("");  // the name of no parent
  }
  bool declares(std::string_view name) { return find(name) != nullptr; }
  // Null when the type, or one it is derived from, is broken. Types that are not declared have an incomplete schema.
  const Schema* schema(std::string_view name) {
    std::vector<Type*> open;
    Type* type = find(name);
    for (; type && !type->schema; type = find(name)) {
      if (std::exchange(type->open, true)) return nullptr;  // derived from itself
      open.push_back(type);
      if (!parent_of(*type, name)) return nullptr;
    }
    const bool rooted = name.empty() || name == "tosca.nodes.Root" || plain(name) == "Root";
    auto schema = type ? type->schema : rooted ? rooted_ : open_;
    for (; !open.empty(); open.pop_back()) {
      schema = extend(*open.back(), std::move(schema));
      if (!schema) return nullptr;
    }
    return schema.get();
  }

 private:
  struct Type {
    const json::Value* definition = nullptr;
    std::shared_ptr<const Schema> schema;
    bool open = false;
  };

  Type* find(std::string_view name) {
    const auto found = types_.find(plain(name));
    return found == types_.end() ? nullptr : &found->second;
  }
  // "" when it has none.
  static bool parent_of(const Type& type, std::string_view& name) {
    name = {};
    if (!truthy(*type.definition)) return true;
    const json::Object* definition = type.definition->if_object();
    if (!definition || !text_or_absent(*definition, "derived_from")) return false;
    if (const json::Value* parent = truthy_member(*definition, "derived_from")) name = *parent->if_string();
    return true;
  }
  // The type's own properties over the inherited ones.
  std::shared_ptr<const Schema> extend(Type& type, std::shared_ptr<const Schema> inherited) {
    const json::Object* definition = type.definition->if_object();
    bool ok = true;
    const json::Object* own = definition ? section(*definition, "properties", ok) : nullptr;
    if (!ok) return nullptr;
    if (!own) return type.schema = std::move(inherited);
    std::vector<Schema::Property> added;
    for (const auto& [name, property] : *own) added.push_back({name, required(property)});
    std::ranges::sort(added, {}, &Schema::Property::name);
    properties_ += added.size() + inherited->properties.size();
    if (properties_ > kMostProperties) return nullptr;
    auto schema = std::make_shared<Schema>(Schema{.complete = inherited->complete});
    std::ranges::set_union(added, inherited->properties, std::back_inserter(schema->properties), {},
                           &Schema::Property::name, &Schema::Property::name);
    schema->required =
        static_cast<std::size_t>(std::ranges::count(schema->properties, true, &Schema::Property::required));
    return type.schema = std::move(schema);
  }

  std::map<std::string_view, Type> types_;
  const std::shared_ptr<const Schema> rooted_ = std::make_shared<const Schema>(Schema{.complete = true});
  const std::shared_ptr<const Schema> open_ = std::make_shared<const Schema>();
  std::size_t properties_ = 0;
};

// Required properties are there and, when every ancestor is known, no others are.
bool check_properties(const Schema& schema, const json::Object* given) {
  if (!given) return schema.required == 0;
  std::size_t required = 0;
  for (const auto& [name, value] : *given) {
    const auto found = std::ranges::lower_bound(schema.properties, name, {}, &Schema::Property::name);
    const bool known = found != schema.properties.end() && found->name == name;
    if (!known && schema.complete) return false;
    if (known && found->required) ++required;
  }
  return required == schema.required;
}

bool check_node(Types& types, const json::Value& value, bool imported) {
  const json::Object* node = value.if_object();
  if (!node || !only_keys(*node, kNodeKeys, "metadata")) return false;
  const json::Value* type = node->find("type");
  if (type && type->is_null()) return true;  // upstream looks no further
  if (!type || !type->is_string()) return false;
  const std::string& name = *type->if_string();
  if (!types.declares(name) && !may_be_built_in(name) && !imported) return false;
  if (!all_sections(*node, kNodeSections) || !list_or_absent(*node, "requirements")) return false;
  const Schema* schema = types.schema(name);
  bool ok = true;
  return schema && check_properties(*schema, section(*node, "properties", ok));
}

bool check_output(const json::Value& value) {
  const json::Object* output = value.if_object();
  if (!output || !only_keys(*output, kOutputKeys)) return false;
  const json::Value* result = output->find("value");
  return result && !result->is_null();
}

bool check_topology(const json::Object& tosca, const json::Object& topology) {
  if (!only_keys(topology, kTopologyKeys) || !all_sections(topology, kTopologySections)) return false;
  if (!list_or_absent(topology, "policies") || !text_or_absent(topology, "description")) return false;
  bool ok = true;
  if (const json::Object* nodes = section(topology, "node_templates", ok)) {
    Types types(tosca);
    const bool imported = truthy_member(tosca, "imports") != nullptr;
    const auto good = [&](const auto& node) { return check_node(types, node.second, imported); };
    if (!std::ranges::all_of(*nodes, good)) return false;
  }
  const json::Object* outputs = section(topology, "outputs", ok);
  return !outputs || std::ranges::all_of(*outputs, [](const auto& output) { return check_output(output.second); });
}

bool check_template(const json::Object& tosca) {
  const json::Value* version = tosca.find("tosca_definitions_version");
  if (!version || !version->is_string()) return false;
  if (std::ranges::find(kVersions, *version->if_string()) == kVersions.end()) return false;
  if (!only_keys(tosca, kTemplateKeys, "metadata") || !all_sections(tosca, kTypeSections)) return false;
  if (!list_or_absent(tosca, "imports") || !text_or_absent(tosca, "description")) return false;
  bool ok = true;
  section(tosca, "repositories", ok);
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
