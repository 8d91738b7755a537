// infrastructure/Cloud and GlobalCloud (api-contract 2.11).
#pragma once

#include "api/core/metric.h"
#include "meta/kind.h"

namespace krake {

// The infrastructure provider that makes clusters on a cloud: an InfrastructureProvider of its namespace, or a
// GlobalInfrastructureProvider.
struct InfrastructureProviderRef {
  std::string name;
  bool namespaced = false;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {{"name", kRequired}};
  friend bool operator==(const InfrastructureProviderRef&, const InfrastructureProviderRef&) = default;
};
BOOST_DESCRIBE_STRUCT(InfrastructureProviderRef, (), (name, namespaced))

// Of Keystone, by name; a Project of the openstack group names its user and project by id.
struct CloudUser {
  std::string username;
  std::string password;
  std::string domain_name = "Default";
  std::optional<std::string> comment;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {{"username", kRequired}, {"password", kRequired | kSecret}};
  friend bool operator==(const CloudUser&, const CloudUser&) = default;
};
BOOST_DESCRIBE_STRUCT(CloudUser, (), (username, password, domain_name, comment))

struct CloudProject {
  std::string name;
  std::string domain_id = "default";
  std::optional<std::string> comment;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {{"name", kRequired}};
  friend bool operator==(const CloudProject&, const CloudProject&) = default;
};
BOOST_DESCRIBE_STRUCT(CloudProject, (), (name, domain_id, comment))

struct CloudPassword {
  static constexpr std::string_view kTag = "password";
  std::string version = "3";
  CloudUser user;
  CloudProject project;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {{"user", kRequired}, {"project", kRequired}};
  friend bool operator==(const CloudPassword&, const CloudPassword&) = default;
};
BOOST_DESCRIBE_STRUCT(CloudPassword, (), (version, user, project))

using CloudAuth = OneOf<CloudPassword>;

struct OpenstackCloud {
  static constexpr std::string_view kTag = "openstack";
  std::string url;
  CloudAuth auth;
  std::vector<MetricRef> metrics;
  InfrastructureProviderRef infrastructure_provider;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {
      {"url", kRequired}, {"auth", kRequired}, {"infrastructure_provider", kRequired}};
  friend bool operator==(const OpenstackCloud&, const OpenstackCloud&) = default;
};
BOOST_DESCRIBE_STRUCT(OpenstackCloud, (), (url, auth, metrics, infrastructure_provider))

using CloudSpec = OneOf<OpenstackCloud>;

BOOST_DEFINE_ENUM_CLASS(CloudState, ONLINE, FAILING_METRICS)

struct CloudStatus {
  CloudState state = CloudState::ONLINE;
  StringMap<Reason> metrics_reasons;
  Unknown unknown;

  friend bool operator==(const CloudStatus&, const CloudStatus&) = default;
};
BOOST_DESCRIBE_STRUCT(CloudStatus, (), (state, metrics_reasons))

struct Cloud {
  static constexpr std::string_view kApi = "infrastructure", kKindName = "Cloud", kPlural = "clouds";
  static constexpr bool kNamespaced = true;
  ObjectMeta metadata;
  CloudSpec spec;
  CloudStatus status;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {
      {"metadata", kRequired}, {"spec", kRequired}, {"status", kRequired | kSubresource}};
  friend bool operator==(const Cloud&, const Cloud&) = default;
};
BOOST_DESCRIBE_STRUCT(Cloud, (), (metadata, spec, status))
KRAKE_DECLARE_KIND(Cloud)

struct GlobalCloud {
  static constexpr std::string_view kApi = "infrastructure", kKindName = "GlobalCloud", kPlural = "globalclouds";
  static constexpr bool kNamespaced = false;
  ObjectMeta metadata;
  CloudSpec spec;
  CloudStatus status;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {
      {"metadata", kRequired}, {"spec", kRequired}, {"status", kRequired | kSubresource}};
  // It has no namespace in which what it names could be looked for.
  static void check(const GlobalCloud& cloud, FieldChecks& checks);
  friend bool operator==(const GlobalCloud&, const GlobalCloud&) = default;
};
BOOST_DESCRIBE_STRUCT(GlobalCloud, (), (metadata, spec, status))
KRAKE_DECLARE_KIND(GlobalCloud)

}  // namespace krake
