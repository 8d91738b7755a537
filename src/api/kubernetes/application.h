// kubernetes/Application (api-contract 2.10).
#pragma once

#include "api/constraint_field.h"
#include "meta/kind.h"

namespace krake {

// A TOSCA template: an object, or the URL of one. {} when there is none.
struct ToscaSource {
  json::Value value = json::Object();
  bool empty() const;
  friend bool operator==(const ToscaSource&, const ToscaSource&) = default;
};
namespace codec {
template <>
struct Codec<ToscaSource> {
  static bool decode(const json::Value& in, ToscaSource& out, FieldErrors& errors, Form form);
  static void encode(const ToscaSource& v, std::string& out) { json::print_to(v.value, out); }
};
}  // namespace codec
template <>
struct schema::SchemaOf<ToscaSource> {
  static json::Object of(Components&, Use) { return {{"type", schema::string_array({"object", "string"})}}; }
};

struct ClusterConstraints {
  std::optional<std::vector<expr::LabelConstraint>> labels;
  std::vector<std::string> custom_resources;
  std::optional<std::vector<expr::MetricConstraint>> metrics;
  Unknown unknown;

  friend bool operator==(const ClusterConstraints&, const ClusterConstraints&) = default;
};
BOOST_DESCRIBE_STRUCT(ClusterConstraints, (), (labels, custom_resources, metrics))

struct Constraints {
  ClusterConstraints cluster;
  bool migration = true;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {{"cluster", kRequired}};
  friend bool operator==(const Constraints&, const Constraints&) = default;
};
BOOST_DESCRIBE_STRUCT(Constraints, (), (cluster, migration))

// The names in ApplicationSpec::hooks.
inline constexpr std::string_view kCompleteHook = "complete", kShutdownHook = "shutdown";

struct ApplicationSpec {
  std::vector<json::Object> manifest;
  ToscaSource tosca;
  std::optional<std::string> csar;
  std::vector<json::Object> observer_schema;
  Constraints constraints;
  std::vector<std::string> hooks;
  std::optional<Integer> shutdown_grace_time;
  std::optional<std::string> shutdown_failure_strategy;
  std::optional<Integer> shutdown_retry_count;
  Integer backoff = 1;
  Integer backoff_delay = 1;
  Integer backoff_limit = -1;
  std::string storage_migration = "none";
  bool auto_cluster_create = false;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {{"manifest", kRequired}, {"constraints", kRequired}};
  static void check(const ApplicationSpec& spec, FieldChecks& checks);
  bool has_hook(std::string_view hook) const { return std::ranges::find(hooks, hook) != hooks.end(); }
  friend bool operator==(const ApplicationSpec&, const ApplicationSpec&) = default;
};
BOOST_DESCRIBE_STRUCT(ApplicationSpec, (),
                      (manifest, tosca, csar, observer_schema, constraints, hooks, shutdown_grace_time,
                       shutdown_failure_strategy, shutdown_retry_count, backoff, backoff_delay, backoff_limit,
                       storage_migration, auto_cluster_create))
KRAKE_DECLARE_CODEC(ApplicationSpec)

struct ContainerHealth {
  Integer desired_pods;
  Integer running_pods;
  Integer completed_pods;
  Integer failed_pods;
  Unknown unknown;

  friend bool operator==(const ContainerHealth&, const ContainerHealth&) = default;
};
BOOST_DESCRIBE_STRUCT(ContainerHealth, (), (desired_pods, running_pods, completed_pods, failed_pods))

BOOST_DEFINE_ENUM_CLASS(ApplicationState, PENDING, CREATING, RUNNING, RECONCILING, TRANSLATING, RETRYING, RESTARTING,
                        WAITING_FOR_CLEANING, READY_FOR_ACTION, MIGRATING, WAITING_FOR_CLUSTER_CREATION, DELETING,
                        DELETED, DEGRADED, FAILED, COMPLETED)

// A cluster where objects of the application may be although it does not run there, or not yet: `objects` are those
// known by name, each with apiVersion, kind and metadata. `observed`: those of them that were seen as the application's
// when it left and may carry no label. `left`: when that was; earlier, when it could not be looked at by then.
struct CleanUp {
  ResourceRef cluster;
  std::vector<json::Object> objects;
  std::optional<std::vector<json::Object>> observed{};
  std::optional<DateTime> left{};

  static constexpr FieldMark kMarks[] = {{"cluster", kRequired}, {"observed", kAdditive}, {"left", kAdditive}};
  friend bool operator==(const CleanUp&, const CleanUp&) = default;
};
BOOST_DESCRIBE_STRUCT(CleanUp, (), (cluster, objects, observed, left))

struct ApplicationStatus {
  std::optional<Reason> reason;
  ApplicationState state = ApplicationState::PENDING;
  ContainerHealth container_health;
  std::optional<DateTime> kube_controller_triggered;
  std::optional<DateTime> scheduled;
  std::optional<ResourceRef> scheduled_to;
  std::optional<ResourceRef> running_on;
  std::optional<Integer> retries;
  std::optional<DateTime> scheduled_retry;
  json::Object services;
  std::vector<json::Object> mangled_observer_schema;
  std::vector<json::Object> last_observed_manifest;
  std::vector<json::Object> last_applied_manifest;
  std::optional<std::string> complete_token;
  std::optional<std::string> complete_cert;
  std::optional<std::string> complete_key;
  std::optional<std::string> shutdown_token;
  std::optional<std::string> shutdown_cert;
  std::optional<std::string> shutdown_key;
  std::optional<DateTime> shutdown_grace_period;
  std::optional<std::string> auto_cluster_create_started;
  Integer migration_retries;
  Integer migration_timeout;
  std::optional<std::vector<CleanUp>> cleanup;  // W-23; additive
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {
      {"complete_token", kSecret}, {"complete_cert", kSecret}, {"complete_key", kSecret}, {"shutdown_token", kSecret},
      {"shutdown_cert", kSecret},  {"shutdown_key", kSecret},  {"cleanup", kAdditive}};
  friend bool operator==(const ApplicationStatus&, const ApplicationStatus&) = default;
};
BOOST_DESCRIBE_STRUCT(ApplicationStatus, (),
                      (reason, state, container_health, kube_controller_triggered, scheduled, scheduled_to, running_on,
                       retries, scheduled_retry, services, mangled_observer_schema, last_observed_manifest,
                       last_applied_manifest, complete_token, complete_cert, complete_key, shutdown_token,
                       shutdown_cert, shutdown_key, shutdown_grace_period, auto_cluster_create_started,
                       migration_retries, migration_timeout, cleanup))
KRAKE_DECLARE_CODEC(ApplicationStatus)

struct Application {
  static constexpr std::string_view kApi = "kubernetes", kKindName = "Application", kPlural = "applications";
  static constexpr bool kNamespaced = true;
  ObjectMeta metadata;
  ApplicationSpec spec;
  ApplicationStatus status;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {
      {"metadata", kRequired}, {"spec", kRequired}, {"status", kRequired | kSubresource}};
  static void advise(const Application& application, std::vector<std::string>& advice);
  friend bool operator==(const Application&, const Application&) = default;
};
BOOST_DESCRIBE_STRUCT(Application, (), (metadata, spec, status))
KRAKE_DECLARE_KIND(Application)

// Body of PUT .../binding.
struct ClusterBinding {
  static constexpr std::string_view kApi = "kubernetes", kKindName = "ClusterBinding";
  ResourceRef cluster;

  static constexpr FieldMark kMarks[] = {{"cluster", kRequired}};
};
BOOST_DESCRIBE_STRUCT(ClusterBinding, (), (cluster))

// Bodies of PUT .../complete and .../shutdown.
struct CompleteHook {
  static constexpr std::string_view kApi = "kubernetes", kKindName = "Complete";
  std::optional<std::string> token;
};
BOOST_DESCRIBE_STRUCT(CompleteHook, (), (token))
struct ShutdownHook {
  static constexpr std::string_view kApi = "kubernetes", kKindName = "Shutdown";
  std::optional<std::string> token;
};
BOOST_DESCRIBE_STRUCT(ShutdownHook, (), (token))

inline constexpr std::string_view kKubernetesResourcesDeletion = "kubernetes_resources_deletion";

}  // namespace krake
