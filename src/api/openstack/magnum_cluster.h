// openstack/MagnumCluster (api-contract 2.12).
#pragma once

#include "api/constraint_field.h"
#include "api/core/metric.h"
#include "meta/kind.h"

namespace krake {

struct ProjectConstraints {
  std::optional<std::vector<expr::LabelConstraint>> labels;
  Unknown unknown;

  friend bool operator==(const ProjectConstraints&, const ProjectConstraints&) = default;
};
BOOST_DESCRIBE_STRUCT(ProjectConstraints, (), (labels))

struct MagnumClusterConstraints {
  std::optional<ProjectConstraints> project;
  Unknown unknown;

  friend bool operator==(const MagnumClusterConstraints&, const MagnumClusterConstraints&) = default;
};
BOOST_DESCRIBE_STRUCT(MagnumClusterConstraints, (), (project))

struct MagnumClusterSpec {
  std::optional<Integer> master_count;
  std::optional<Integer> node_count;
  std::vector<MetricRef> metrics;
  std::optional<MagnumClusterConstraints> constraints;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {{"master_count", kImmutable}};
  friend bool operator==(const MagnumClusterSpec&, const MagnumClusterSpec&) = default;
};
BOOST_DESCRIBE_STRUCT(MagnumClusterSpec, (), (master_count, node_count, metrics, constraints))

BOOST_DEFINE_ENUM_CLASS(MagnumClusterState, PENDING, CREATING, RUNNING, RECONCILING, DELETING, FAILED)

// The binding sets `project` and `template`; a status may not change the template.
struct MagnumClusterStatus {
  std::optional<Reason> reason;
  MagnumClusterState state = MagnumClusterState::PENDING;
  std::optional<ResourceRef> project;
  std::optional<std::string> template_;
  std::optional<std::string> cluster_id;
  std::optional<Integer> node_count;
  std::optional<std::string> api_address;
  std::optional<std::vector<std::string>> master_addresses;
  std::optional<std::vector<std::string>> node_addresses;
  std::optional<ResourceRef> cluster;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {{"template", kImmutable}};
  friend bool operator==(const MagnumClusterStatus&, const MagnumClusterStatus&) = default;
};
BOOST_DESCRIBE_STRUCT(MagnumClusterStatus, (),
                      (reason, state, project, template_, cluster_id, node_count, api_address, master_addresses,
                       node_addresses, cluster))

struct MagnumCluster {
  static constexpr std::string_view kApi = "openstack", kKindName = "MagnumCluster", kPlural = "magnumclusters";
  static constexpr bool kNamespaced = true;
  ObjectMeta metadata;
  MagnumClusterSpec spec;
  MagnumClusterStatus status;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {
      {"metadata", kRequired}, {"spec", kRequired}, {"status", kRequired | kSubresource}};
  friend bool operator==(const MagnumCluster&, const MagnumCluster&) = default;
};
BOOST_DESCRIBE_STRUCT(MagnumCluster, (), (metadata, spec, status))
KRAKE_DECLARE_KIND(MagnumCluster)

// Body of PUT .../binding.
struct MagnumClusterBinding {
  static constexpr std::string_view kApi = "openstack", kKindName = "MagnumClusterBinding";
  ResourceRef project;
  std::string template_;

  static constexpr FieldMark kMarks[] = {{"project", kRequired}, {"template", kRequired}};
};
BOOST_DESCRIBE_STRUCT(MagnumClusterBinding, (), (project, template_))

}  // namespace krake
