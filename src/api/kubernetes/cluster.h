// kubernetes/Cluster (api-contract 2.10).
#pragma once

#include "api/constraint_field.h"
#include "api/core/metric.h"
#include "meta/kind.h"

namespace krake {

struct CloudConstraints {
  std::optional<std::vector<expr::LabelConstraint>> labels;
  std::optional<std::vector<expr::MetricConstraint>> metrics;
  Unknown unknown;

  friend bool operator==(const CloudConstraints&, const CloudConstraints&) = default;
};
BOOST_DESCRIBE_STRUCT(CloudConstraints, (), (labels, metrics))

struct ClusterCloudConstraints {
  CloudConstraints cloud;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {{"cloud", kRequired}};
  friend bool operator==(const ClusterCloudConstraints&, const ClusterCloudConstraints&) = default;
};
BOOST_DESCRIBE_STRUCT(ClusterCloudConstraints, (), (cloud))

struct ClusterSpec {
  json::Object kubeconfig;
  json::Object tosca;
  std::vector<std::string> custom_resources;
  ClusterCloudConstraints constraints;
  std::vector<MetricRef> metrics;
  bool inherit_metrics = false;
  Integer backoff = 1;
  Integer backoff_delay = 1;
  Integer backoff_limit = -1;
  bool auto_generated = false;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {{"kubeconfig", kSecret}, {"constraints", kRequired}};
  static void check(const ClusterSpec& spec, FieldChecks& checks);
  friend bool operator==(const ClusterSpec&, const ClusterSpec&) = default;
};
BOOST_DESCRIBE_STRUCT(ClusterSpec, (),
                      (kubeconfig, tosca, custom_resources, constraints, metrics, inherit_metrics, backoff,
                       backoff_delay, backoff_limit, auto_generated))
KRAKE_DECLARE_CODEC(ClusterSpec)

BOOST_DEFINE_ENUM_CLASS(ClusterState, PENDING, ONLINE, CONNECTING, OFFLINE, UNHEALTHY, NOTREADY, FAILING_METRICS,
                        CREATING, RECONCILING, DELETING, FAILING_RECONCILIATION, FAILED, DEGRADED)

struct ClusterNodeCondition {
  std::string message;
  std::string reason;
  std::string status;
  std::string type;

  static constexpr FieldMark kMarks[] = {
      {"message", kRequired}, {"reason", kRequired}, {"status", kRequired}, {"type", kRequired}};
  friend bool operator==(const ClusterNodeCondition&, const ClusterNodeCondition&) = default;
};
BOOST_DESCRIBE_STRUCT(ClusterNodeCondition, (), (message, reason, status, type))

struct ClusterNodeStatus {
  std::vector<ClusterNodeCondition> conditions;

  static constexpr FieldMark kMarks[] = {{"conditions", kRequired}};
  friend bool operator==(const ClusterNodeStatus&, const ClusterNodeStatus&) = default;
};
BOOST_DESCRIBE_STRUCT(ClusterNodeStatus, (), (conditions))

struct ClusterNodeMetadata {
  std::string name;

  static constexpr FieldMark kMarks[] = {{"name", kRequired}};
  friend bool operator==(const ClusterNodeMetadata&, const ClusterNodeMetadata&) = default;
};
BOOST_DESCRIBE_STRUCT(ClusterNodeMetadata, (), (name))

// Not a resource: its api and kind are plain strings.
struct ClusterNode {
  std::string api = "kubernetes";
  std::string kind = "ClusterNode";
  ClusterNodeMetadata metadata;
  std::optional<ClusterNodeStatus> status;

  static constexpr FieldMark kMarks[] = {{"metadata", kRequired}};
  friend bool operator==(const ClusterNode&, const ClusterNode&) = default;
};
BOOST_DESCRIBE_STRUCT(ClusterNode, (), (api, kind, metadata, status))

struct ClusterStatus {
  std::optional<Reason> reason;
  std::optional<DateTime> kube_controller_triggered;
  ClusterState state = ClusterState::PENDING;
  StringMap<Reason> metrics_reasons;
  json::Object last_applied_tosca;
  std::vector<ClusterNode> nodes;
  std::optional<std::string> cluster_id;
  std::optional<DateTime> scheduled;
  std::optional<ResourceRef> scheduled_to;
  std::optional<ResourceRef> running_on;
  Integer retries;
  Unknown unknown;

  friend bool operator==(const ClusterStatus&, const ClusterStatus&) = default;
};
BOOST_DESCRIBE_STRUCT(ClusterStatus, (),
                      (reason, kube_controller_triggered, state, metrics_reasons, last_applied_tosca, nodes, cluster_id,
                       scheduled, scheduled_to, running_on, retries))
KRAKE_DECLARE_CODEC(ClusterStatus)

struct Cluster {
  static constexpr std::string_view kApi = "kubernetes", kKindName = "Cluster", kPlural = "clusters";
  static constexpr bool kNamespaced = true;
  ObjectMeta metadata;
  ClusterSpec spec;
  ClusterStatus status;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {
      {"metadata", kRequired}, {"spec", kRequired}, {"status", kRequired | kSubresource}};
  static void advise(const Cluster& cluster, std::vector<std::string>& advice);
  friend bool operator==(const Cluster&, const Cluster&) = default;
};
BOOST_DESCRIBE_STRUCT(Cluster, (), (metadata, spec, status))
KRAKE_DECLARE_KIND(Cluster)

// Body of PUT .../binding. Its api is infrastructure, although the route is kubernetes.
struct CloudBinding {
  static constexpr std::string_view kApi = "infrastructure", kKindName = "CloudBinding";
  ResourceRef cloud;

  static constexpr FieldMark kMarks[] = {{"cloud", kRequired}};
};
BOOST_DESCRIBE_STRUCT(CloudBinding, (), (cloud))

}  // namespace krake
