// core/Role and core/RoleBinding (api-contract 2.9, 7.5).
#pragma once

#include "meta/kind.h"

namespace krake {

// delete_ is `delete` on the wire.
BOOST_DEFINE_ENUM_CLASS(Verb, create, list, list_all, get, update, delete_)

struct RoleRule {
  std::string api;
  std::vector<std::string> resources;
  std::vector<std::string> namespaces;
  std::vector<Verb> verbs;

  static constexpr FieldMark kMarks[] = {
      {"api", kRequired}, {"resources", kRequired}, {"namespaces", kRequired}, {"verbs", kRequired}};
  friend bool operator==(const RoleRule&, const RoleRule&) = default;
};
BOOST_DESCRIBE_STRUCT(RoleRule, (), (api, resources, namespaces, verbs))

struct Role {
  static constexpr std::string_view kApi = "core", kKindName = "Role", kPlural = "roles";
  static constexpr bool kNamespaced = false;
  ObjectMeta metadata;
  std::vector<RoleRule> rules;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {{"metadata", kRequired}, {"rules", kRequired}};
  friend bool operator==(const Role&, const Role&) = default;
};
BOOST_DESCRIBE_STRUCT(Role, (), (metadata, rules))
KRAKE_DECLARE_KIND(Role)

struct RoleBinding {
  static constexpr std::string_view kApi = "core", kKindName = "RoleBinding", kPlural = "rolebindings";
  static constexpr bool kNamespaced = false;
  ObjectMeta metadata;
  std::vector<std::string> users;
  std::vector<std::string> roles;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {{"metadata", kRequired}, {"users", kRequired}, {"roles", kRequired}};
  friend bool operator==(const RoleBinding&, const RoleBinding&) = default;
};
BOOST_DESCRIBE_STRUCT(RoleBinding, (), (metadata, users, roles))
KRAKE_DECLARE_KIND(RoleBinding)

}  // namespace krake
