#include "api/field_texts.h"

namespace krake {

namespace {

constexpr FieldText kCore[] = {
    {"group core", "", "What the others go by: metrics and who provides them, roles, leases."},

    {"Metric", "", "A number about clusters or clouds, like price or load, that its provider measures."},
    {"Metric", "metadata", "Name, namespace, labels."},
    {"Metric", "spec", "Which values it may have, and where they come from."},
    {"GlobalMetric", "", "A metric that all namespaces may use."},
    {"GlobalMetric", "metadata", "Name and labels."},
    {"GlobalMetric", "spec", "Which values it may have, and where they come from."},
    {"MetricSpec", "", "Which values a metric may have, and where they come from."},
    {"MetricSpec", "allowed_values", "The only values it may have. Empty: every value from `min` to `max`."},
    {"MetricSpec", "min", "The least value. What the provider says below it is invalid."},
    {"MetricSpec", "max", "The greatest value. What the provider says above it is invalid."},
    {"MetricSpec", "provider", "Who measures it."},
    {"MetricSpecProvider", "", "A metrics provider, and what it calls the metric."},
    {"MetricSpecProvider", "name",
     "A MetricsProvider of the same namespace; of a global metric, a GlobalMetricsProvider."},
    {"MetricSpecProvider", "metric", "The metric's name at the provider."},
    {"MetricRef", "", "A metric of a cluster or cloud, with its weight."},
    {"MetricRef", "name", "The name of a Metric or GlobalMetric."},
    {"MetricRef", "weight", "How much it counts against the other metrics when the scheduler compares."},
    {"MetricRef", "namespaced", "Whether it is a Metric of the same namespace; else it is a GlobalMetric."},

    {"MetricsProvider", "", "Where the metrics of a namespace are measured."},
    {"MetricsProvider", "metadata", "Name, namespace, labels."},
    {"MetricsProvider", "spec", "Which service it is, and how it is reached."},
    {"GlobalMetricsProvider", "", "Where global metrics are measured."},
    {"GlobalMetricsProvider", "metadata", "Name and labels."},
    {"GlobalMetricsProvider", "spec", "Which service it is, and how it is reached."},
    {"PrometheusProvider", "", "A Prometheus server. The newest sample of the metric is its value."},
    {"PrometheusProvider", "url", "The address of the server, like `http://prometheus:9090`."},
    {"InfluxProvider", "", "An InfluxDB server of version 2."},
    {"InfluxProvider", "url", "The address of the server."},
    {"InfluxProvider", "token", "The token that may read the bucket."},
    {"InfluxProvider", "org", "The organisation the bucket belongs to."},
    {"InfluxProvider", "bucket", "The bucket that has the measurements."},
    {"KafkaProvider", "", "A table of a KSQL server, which has one row for each metric."},
    {"KafkaProvider", "comparison_column", "The column that has the name of the metric."},
    {"KafkaProvider", "value_column", "The column that has its value."},
    {"KafkaProvider", "table", "The table."},
    {"KafkaProvider", "url", "The address of the KSQL server."},
    {"StaticProvider", "", "Values that are written here, for trying out."},
    {"StaticProvider", "metrics", "The value of each metric, by its name."},

    {"Role", "", "Rights, by a name that role bindings give to users."},
    {"Role", "metadata", "Name and labels."},
    {"Role", "rules", "What the role permits. Nothing forbids: what no rule permits is forbidden."},
    {"RoleRule", "", "Permits all of its verbs, on all of its resources, in all of its namespaces."},
    {"RoleRule", "api", "The API group; the empty text stands for all."},
    {"RoleRule", "resources",
     "Plurals of kinds, like `applications`, or their sub-resources, like `applications/status`; the empty text stands "
     "for "
     "all."},
    {"RoleRule", "namespaces", "Namespaces; the empty text stands for all, and for kinds that have none."},
    {"RoleRule", "verbs", "What may be done. A watch is `list`, a patch is `update`."},
    {"RoleBinding", "", "Gives roles to users."},
    {"RoleBinding", "metadata", "Name and labels."},
    {"RoleBinding", "users", "The users, by the names authentication gives them."},
    {"RoleBinding", "roles", "The roles. Those that do not exist give nothing."},

    {"Lease", "", "Leadership: one holder at a time. It vanishes when it is not renewed."},
    {"Lease", "metadata", "Name and labels; `epoch` is another one each time the lease is taken."},
    {"Lease", "spec", "Who holds it, and for how long."},
    {"LeaseSpec", "", "Who holds a lease, and for how long."},
    {"LeaseSpec", "holder", "Who holds it."},
    {"LeaseSpec", "ttl_seconds", "How long it is held without being renewed."},
};

}  // namespace

std::span<const FieldText> core_texts() { return kCore; }

}  // namespace krake
