// Validation of the free-form JSON inside specs: manifests, kubeconfigs, TOSCA templates, observer schemas. Pure; never
// throws on any JSON. The texts are part of the API (api-contract 2.4.4 to 2.4.7).
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace krake::manifest {

// False for null, false, 0, "", [] and {}.
bool truthy(const json::Value& value);

// ApplicationSpec.manifest: the errors in order, as many as an answer shows; empty when fine.
inline constexpr std::size_t kMostErrors = 100;
std::vector<std::string> check_manifest(std::span<const json::Object> manifest);

// Of one object: the first number that no cluster takes, with its path, "data.x[1] is NaN"; nullopt when there is none.
// Upstream stores NaN, and numbers beyond what a double holds are read nowhere as what they are.
std::optional<std::string> check_numbers(const json::Value& object);

// The others: nullopt when fine, else the first error.
std::optional<std::string> check_kubeconfig(const json::Object& kubeconfig);

// ApplicationSpec.tosca: the URL of a template, or the template. Only what can be judged without fetching the imports.
std::optional<std::string> check_tosca_application(const json::Value& tosca);
std::optional<std::string> check_tosca_cluster(const json::Object& tosca);
std::optional<std::string> check_csar(std::string_view url);

// ApplicationSpec.observer_schema against spec.manifest; nothing is checked while the manifest is empty.
std::optional<std::string> check_observer_schema(std::span<const json::Object> schema,
                                                 std::span<const json::Object> manifest);

}  // namespace krake::manifest
