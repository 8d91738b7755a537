// Which Kubernetes object a piece of JSON is. Two versions of one group name the same object; a namespace left out is
// the default one, except for kinds that live outside namespaces. Pure.
#pragma once

#include <compare>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/json.h"

namespace krake::manifest {

struct ObjectId {
  std::string api_version;  // as written; only its group is part of the identity
  std::string kind;
  std::string namespace_;  // resolved; empty for the known cluster-scoped kinds
  std::string name;

  std::string_view group() const;  // "" for the core group
  std::string_view version() const;
  // "apps/Deployment default/web", "Namespace shop": unambiguous, for messages and map keys.
  std::string text() const;

  std::strong_ordering operator<=>(const ObjectId& other) const;
  bool operator==(const ObjectId& other) const { return (*this <=> other) == std::strong_ordering::equal; }
};

// Error: invalid_object that names the missing one of apiVersion, kind and metadata.name (each a non-empty string).
Result<ObjectId> object_id(const json::Value& object, std::string_view default_namespace);

// True for built-in kinds outside namespaces; custom kinds are taken for namespaced, which does no harm to identity.
bool cluster_scoped(std::string_view group, std::string_view kind);

// The object of that identity in a list; null when none. Elements that are no objects are passed over.
const json::Value* find_object(const json::Array& objects, const ObjectId& id, std::string_view default_namespace);

}  // namespace krake::manifest
