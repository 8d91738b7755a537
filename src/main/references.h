// What a stored object names by name: who bootstraps or examines a store looks whether it is there. Pure; works on the
// document, so that it knows the kinds of upstream that this program does not serve.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace krake {

struct Reference {
  std::string path;  // in the object: "spec.provider"
  std::string api;
  std::string kind;
  std::string ns;  // empty: of a kind without namespace
  std::string name;
  friend bool operator==(const Reference&, const Reference&) = default;
};
// "GlobalMetric 'heat'", "Metric 'heat' in namespace 'demo'"
std::string to_string(const Reference& reference);

// `kind`, `ns`: of the object.
std::vector<Reference> references_of(std::string_view kind, std::string_view ns, const json::Value& object);

}  // namespace krake
