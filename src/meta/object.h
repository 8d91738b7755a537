// What every kind shares (api-contract 2.8).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/names.h"
#include "meta/schema.h"

namespace krake {

struct ResourceRef {
  std::string api;
  std::optional<std::string> namespace_;
  std::string kind;
  std::string name;

  static constexpr FieldMark kMarks[] = {{"api", kRequired}, {"kind", kRequired}, {"name", kRequired}};
  friend bool operator==(const ResourceRef&, const ResourceRef&) = default;
  friend auto operator<=>(const ResourceRef&, const ResourceRef&) = default;
};
BOOST_DESCRIBE_STRUCT(ResourceRef, (), (api, namespace_, kind, name))
std::string to_string(const ResourceRef& ref);  // "Cluster demo/edge-1"

// In the order given by the client.
struct Labels {
  std::vector<std::pair<std::string, std::string>> entries;
  const std::string* find(std::string_view key) const;
  friend bool operator==(const Labels& a, const Labels& b);
};
namespace codec {
template <>
struct Codec<Labels> {
  static bool decode(const json::Value& in, Labels& out, FieldErrors& errors, Form form);
  static void encode(const Labels& labels, std::string& out);
};
}  // namespace codec
template <>
struct schema::SchemaOf<Labels> {
  static json::Object of(Components& components, Use use);
};

struct ObjectMeta {
  std::string name;
  std::optional<std::string> namespace_;
  Labels labels;
  bool inherit_labels = false;
  std::vector<std::string> finalizers;
  std::string uid;
  DateTime created;
  DateTime modified;
  std::optional<DateTime> deleted;
  std::vector<ResourceRef> owners;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {
      {"name", kRequired | kImmutable},   {"namespace", kImmutable},           {"uid", kRequired | kReadonly},
      {"created", kRequired | kReadonly}, {"modified", kRequired | kReadonly}, {"deleted", kReadonly},
  };
  static constexpr FieldLimit kLimits[] = {{.name = "name", .pattern = kNamePattern, .min = 1, .max = 255},
                                           {.name = "namespace", .pattern = kNamePattern, .min = 1, .max = 255}};
  // The server puts it beside the stored fields; kept as an unknown key it would be printed twice.
  static constexpr std::string_view kOfTheAnswer = "resource_version";
  static void check(const ObjectMeta& meta, FieldChecks& checks);
  friend bool operator==(const ObjectMeta&, const ObjectMeta&) = default;
};
BOOST_DESCRIBE_STRUCT(ObjectMeta, (),
                      (name, namespace_, labels, inherit_labels, finalizers, uid, created, modified, deleted, owners))
KRAKE_DECLARE_CODEC(ObjectMeta)

BOOST_DEFINE_ENUM_CLASS(ReasonCode, INTERNAL_ERROR, INVALID_RESOURCE, UNSUPPORTED_RESOURCE, INVALID_CUSTOM_RESOURCE,
                        INVALID_TOSCA_MANIFEST, CLUSTER_NOT_REACHABLE, NO_SUITABLE_RESOURCE, KUBERNETES_ERROR,
                        CREATE_FAILED, RECONCILE_FAILED, RECONFIGURE_FAILED, DELETE_FAILED, RETRIEVE_FAILED, NOT_FOUND,
                        OPENSTACK_ERROR, INVALID_CLUSTER_TEMPLATE, INVALID_METRIC, UNREACHABLE_METRICS_PROVIDER,
                        UNKNOWN_METRIC, UNKNOWN_METRICS_PROVIDER)

struct Reason {
  ReasonCode code = ReasonCode::INTERNAL_ERROR;
  std::string message;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {{"code", kRequired}, {"message", kRequired}};
  friend bool operator==(const Reason&, const Reason&) = default;
};
BOOST_DESCRIBE_STRUCT(Reason, (), (code, message))

// A user name that the server gives to callers nobody has vouched for.
inline constexpr std::string_view kAnonymous = "system:anonymous";
inline constexpr std::string_view kCascadeDeletion = "cascade_deletion";

}  // namespace krake
