#include "manifest/validate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "manifest/schema.h"

namespace krake::manifest {
namespace {

using Message = std::optional<std::string>;

// A value inside a sentence: strings without quotes.
std::string as_text(const json::Value& value) {
  const std::string* text = value.if_string();
  return text ? *text : json::print(value);
}

const json::Value* truthy_member(const json::Object& object, std::string_view key) {
  const json::Value* value = object.find(key);
  return value && truthy(*value) ? value : nullptr;
}

}  // namespace

bool truthy(const json::Value& value) {
  if (const bool* b = value.if_bool()) return *b;
  if (const json::Number* n = value.if_number()) return n->as_double() != 0;
  if (const std::string* s = value.if_string()) return !s->empty();
  if (const json::Array* a = value.if_array()) return !a->empty();
  if (const json::Object* o = value.if_object()) return !o->empty();
  return false;
}

namespace {

void check_resource(const json::Object& resource, std::size_t i, std::vector<std::string>& errors) {
  const json::Value* metadata = resource.find("metadata");
  const json::Value* name = metadata ? metadata->at_path({"name"}) : nullptr;
  std::string suffix;
  if (name && truthy(*name)) {
    suffix = fmt::format(" (metadata.name: '{}')", as_text(*name));
  } else {
    errors.push_back(fmt::format("Field 'metadata.name' not found in resource at index {}", i));
  }
  for (std::string_view field : {"apiVersion", "kind", "metadata"}) {
    if (!resource.contains(field)) {
      errors.push_back(fmt::format("Field '{}' not found in resource at index {}{}", field, i, suffix));
    }
  }
  if (metadata && !metadata->is_object()) {
    errors.push_back(fmt::format("Field 'metadata' is not an object in resource at index {}", i));
  }
}

}  // namespace

std::vector<std::string> check_manifest(std::span<const json::Object> manifest) {
  std::vector<std::string> errors;
  for (std::size_t i = 0; i < manifest.size() && errors.size() < kMostErrors; ++i) {
    check_resource(manifest[i], i, errors);
  }
  if (errors.size() > kMostErrors) errors.resize(kMostErrors);
  return errors;
}

namespace {

bool find_bad_number(const json::Value& value, std::string& path) {
  const std::size_t here = path.size();
  if (const json::Number* number = value.if_number()) {
    if (number->text.size() < 300 && number->is_integer()) return false;
    if (std::isfinite(number->as_double())) return false;
    constexpr std::size_t kShown = 40;
    path += fmt::format(" is {}{}", std::string_view(number->text).substr(0, kShown),
                        number->text.size() > kShown ? "..." : "");
    return true;
  }
  if (const json::Object* object = value.if_object()) {
    for (const auto& [key, member] : *object) {
      path += (here == 0 ? "" : ".") + key;
      if (find_bad_number(member, path)) return true;
      path.resize(here);
    }
  } else if (const json::Array* list = value.if_array()) {
    for (std::size_t i = 0; i < list->size(); ++i) {
      path += fmt::format("[{}]", i);
      if (find_bad_number((*list)[i], path)) return true;
      path.resize(here);
    }
  }
  return false;
}

}  // namespace

Message check_numbers(const json::Value& object) {
  std::string path;
  return find_bad_number(object, path) ? Message(std::move(path)) : std::nullopt;
}

// ---- kubeconfig

namespace {

constexpr std::string_view kKubeconfig = "kube-config";

Message kubeconfig_error(std::string_view text) { return fmt::format("Invalid kube-config file. {}", text); }

Message missing_key(std::string_view key, std::string_view path) {
  return kubeconfig_error(fmt::format("Expected key {} in {}", key, path));
}

struct Entry {
  const json::Object* object = nullptr;  // null when absent or in error
  Message error;
};

// The one entry called `name` of the list `value`; not finding it is no error here.
Entry named_entry(const json::Value& value, std::string_view list, const json::Value& name) {
  const std::string path = fmt::format("{}/{}", kKubeconfig, list);
  const json::Array* entries = value.if_array();
  if (!entries) return {nullptr, kubeconfig_error(fmt::format("Expected {} to be a list", path))};
  Entry found;
  for (const json::Value& entry : *entries) {
    const json::Object* object = entry.if_object();
    const json::Value* entry_name = object ? object->find("name") : nullptr;
    if (!entry_name) {
      return {nullptr, kubeconfig_error(fmt::format("Expected all values in {} list to have 'name' key", path))};
    }
    if (!equal(*entry_name, name)) continue;
    if (found.object) {
      return {nullptr,
              kubeconfig_error(fmt::format("Expected only one object with name {} in {} list", as_text(name), path))};
    }
    found.object = object;
  }
  return found;
}

Entry required_entry(const json::Value& value, std::string_view list, const json::Value& name) {
  Entry entry = named_entry(value, list, name);
  if (entry.object || entry.error) return entry;
  return {nullptr, kubeconfig_error(
                       fmt::format("Expected object with name {} in {}/{} list", as_text(name), kKubeconfig, list))};
}

std::string entry_path(std::string_view list, const json::Value& name) {
  return fmt::format("{}/{}[name={}]", kKubeconfig, list, as_text(name));
}

Message check_user(const json::Object& kubeconfig, const json::Object& context) {
  const json::Value* name = truthy_member(context, "user");
  const json::Value* users = truthy_member(kubeconfig, "users");
  if (!name || !users) return std::nullopt;
  const Entry user = named_entry(*users, "users", *name);
  if (user.error) return user.error;
  if (user.object && !truthy_member(*user.object, "user")) return missing_key("user", entry_path("users", *name));
  return std::nullopt;
}

Message check_cluster(const json::Object& kubeconfig, const json::Object& context, std::string_view context_path) {
  const json::Value* clusters = truthy_member(kubeconfig, "clusters");
  if (!clusters) return missing_key("clusters", kKubeconfig);
  const json::Value* name = truthy_member(context, "cluster");
  if (!name) return missing_key("cluster", context_path);
  const Entry cluster = required_entry(*clusters, "clusters", *name);
  if (cluster.error) return cluster.error;
  if (!truthy_member(*cluster.object, "cluster")) return missing_key("cluster", entry_path("clusters", *name));
  return std::nullopt;
}

Message check_one_of_each(const json::Object& kubeconfig) {
  for (const auto& [list, one] :
       {std::pair{"contexts", "context"}, std::pair{"users", "user"}, std::pair{"clusters", "cluster"}}) {
    const json::Value* value = kubeconfig.find(list);
    if (!value || value->is_null()) return missing_key(list, kKubeconfig);
    const json::Array* entries = value->if_array();
    if (!entries) return kubeconfig_error(fmt::format("Expected {}/{} to be a list", kKubeconfig, list));
    if (entries->size() != 1) return fmt::format("Only one {} is allowed", one);
  }
  return std::nullopt;
}

}  // namespace

Message check_kubeconfig(const json::Object& kubeconfig) {
  if (kubeconfig.empty()) return std::nullopt;
  const json::Value* current = truthy_member(kubeconfig, "current-context");
  if (!current) return missing_key("current-context", kKubeconfig);
  const json::Value* contexts = truthy_member(kubeconfig, "contexts");
  if (!contexts) return missing_key("contexts", kKubeconfig);
  const Entry entry = required_entry(*contexts, "contexts", *current);
  if (entry.error) return entry.error;
  const std::string path = entry_path("contexts", *current);
  const json::Value* value = truthy_member(*entry.object, "context");
  if (!value) return missing_key("context", path);
  const json::Object* context = value->if_object();
  if (!context) return kubeconfig_error(fmt::format("Expected {}/context to be an object", path));
  if (auto error = check_user(kubeconfig, *context)) return error;
  if (auto error = check_cluster(kubeconfig, *context, path + "/context")) return error;
  return check_one_of_each(kubeconfig);
}

// ---- observer schema

namespace {

// nullopt for what is no integer; those too large for 64 bits are as good as the largest. To Python, which took what is
// stored, true and false are integers.
std::optional<std::int64_t> integer(const json::Value& value) {
  if (const bool* truth = value.if_bool()) return *truth ? 1 : 0;
  const json::Number* number = value.if_number();
  if (!number || !number->is_integer()) return std::nullopt;
  if (const auto small = number->as_int64()) return small;
  return number->text.starts_with('-') ? -1 : std::numeric_limits<std::int64_t>::max();
}

Message check_control_element(const json::Array& list) {
  const json::Object* control = list.empty() ? nullptr : list.back().if_object();
  if (!control) return "Special list control dictionary not found";
  const json::Value* min_value = control->find(kListMinLength);
  const json::Value* max_value = control->find(kListMaxLength);
  if (!min_value || !max_value) return "Special list control dictionary malformed";
  const auto min = integer(*min_value);
  const auto max = integer(*max_value);
  if (!min) return fmt::format("{} should be an integer", kListMinLength);
  if (!max) return fmt::format("{} should be an integer", kListMaxLength);
  if (*min < 0) return fmt::format("Invalid value for {}", kListMinLength);
  if (*max < 0) return fmt::format("Invalid value for {}", kListMaxLength);
  if (*max == 0) return std::nullopt;  // unlimited
  if (*max < *min) return fmt::format("{} is inferior to {}", kListMaxLength, kListMinLength);
  if (*max < static_cast<std::int64_t>(list.size()) - 1) {
    return fmt::format("{} is inferior to the number of observed elements", kListMaxLength);
  }
  return std::nullopt;
}

Message check_leaves(const json::Object& object, std::initializer_list<std::string_view> skipped);

Message check_list(const json::Array& list) {
  if (auto error = check_control_element(list)) return error;
  for (std::size_t i = 0; i + 1 < list.size(); ++i) {
    Message error;
    if (const json::Object* object = list[i].if_object()) {
      error = check_leaves(*object, {});
    } else if (const json::Array* inner = list[i].if_array()) {
      error = check_list(*inner);
    } else if (!list[i].is_null()) {
      error = "Element of a list is not 'None'";
    }
    if (error) return error;
  }
  return std::nullopt;
}

Message check_leaves(const json::Object& object, std::initializer_list<std::string_view> skipped) {
  for (const auto& [key, value] : object) {
    if (std::ranges::find(skipped, key) != skipped.end()) continue;
    Message error;
    if (const json::Object* inner = value.if_object()) {
      error = check_leaves(*inner, {});
    } else if (const json::Array* list = value.if_array()) {
      error = check_list(*list);
    } else if (!value.is_null()) {
      error = fmt::format("Value of '{}' is not 'None'", key);
    }
    if (error) return error;
  }
  return std::nullopt;
}

bool has_value(const json::Object& object, std::string_view key) {
  const json::Value* value = object.find(key);
  return value && !value->is_null();
}

Message check_identity(const json::Object& entry) {
  if (!has_value(entry, "apiVersion")) return "apiVersion is not defined";
  if (!has_value(entry, "kind")) return "kind is not defined";
  if (!has_value(entry, "metadata")) return "metadata dictionary is not defined";
  const json::Object* metadata = entry.find("metadata")->if_object();
  if (!metadata) return "metadata must be a dictionary";
  if (!has_value(*metadata, "name")) return "name is not defined in the metadata dictionary";
  return std::nullopt;
}

// What identifies a resource in a manifest, as one text.
std::string identity(const json::Object& resource) {
  const json::Value* metadata = resource.find("metadata");
  const json::Value* name = metadata ? metadata->at_path({"name"}) : nullptr;
  std::string text;
  for (const json::Value* value : {resource.find("apiVersion"), resource.find("kind"), name}) {
    if (value) json::print_to(*value, text);
    text += '\n';
  }
  return text;
}

}  // namespace

Message check_observer_schema(std::span<const json::Object> schema, std::span<const json::Object> manifest) {
  if (manifest.empty()) return std::nullopt;
  std::set<std::string> known;  // sorted: texts with one hash are easily made
  for (const json::Object& resource : manifest) known.insert(identity(resource));
  for (const json::Object& entry : schema) {
    if (auto error = check_identity(entry)) return error;
    if (auto error = check_leaves(entry, {"apiVersion", "kind", "metadata"})) return error;
    if (auto error = check_leaves(*entry.find("metadata")->if_object(), {"name"})) return error;
    if (!known.contains(identity(entry))) return "Observed resource must be in manifest";
  }
  return std::nullopt;
}

}  // namespace krake::manifest
