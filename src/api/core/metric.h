// core/Metric, GlobalMetric, MetricsProvider, GlobalMetricsProvider (api-contract 2.9).
#pragma once

#include "meta/kind.h"

namespace krake {

struct MetricSpecProvider {
  std::string name;
  std::string metric;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {{"name", kRequired}, {"metric", kRequired}};
  friend bool operator==(const MetricSpecProvider&, const MetricSpecProvider&) = default;
};
BOOST_DESCRIBE_STRUCT(MetricSpecProvider, (), (name, metric))

struct MetricSpec {
  // Upstream's server wants it in each request; the client library it has released does not send it. So it may be
  // missing: empty then. Answers always have it.
  std::vector<Integer> allowed_values;
  double min = 0;
  double max = 0;
  MetricSpecProvider provider;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {{"min", kRequired}, {"max", kRequired}, {"provider", kRequired}};
  friend bool operator==(const MetricSpec&, const MetricSpec&) = default;
};
BOOST_DESCRIBE_STRUCT(MetricSpec, (), (allowed_values, min, max, provider))

// What looks like a mistake in them (W35).
void advise_metric(const MetricSpec& spec, std::vector<std::string>& advice);

struct Metric {
  static constexpr std::string_view kApi = "core", kKindName = "Metric", kPlural = "metrics";
  static constexpr bool kNamespaced = true;
  ObjectMeta metadata;
  MetricSpec spec;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {{"metadata", kRequired}, {"spec", kRequired}};
  static void advise(const Metric& metric, std::vector<std::string>& advice) { advise_metric(metric.spec, advice); }
  friend bool operator==(const Metric&, const Metric&) = default;
};
BOOST_DESCRIBE_STRUCT(Metric, (), (metadata, spec))
KRAKE_DECLARE_KIND(Metric)

struct GlobalMetric {
  static constexpr std::string_view kApi = "core", kKindName = "GlobalMetric", kPlural = "globalmetrics";
  static constexpr bool kNamespaced = false;
  ObjectMeta metadata;
  MetricSpec spec;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {{"metadata", kRequired}, {"spec", kRequired}};
  static void advise(const GlobalMetric& metric, std::vector<std::string>& advice) {
    advise_metric(metric.spec, advice);
  }
  friend bool operator==(const GlobalMetric&, const GlobalMetric&) = default;
};
BOOST_DESCRIBE_STRUCT(GlobalMetric, (), (metadata, spec))
KRAKE_DECLARE_KIND(GlobalMetric)

struct PrometheusProvider {
  static constexpr std::string_view kTag = "prometheus";
  std::string url;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {{"url", kRequired}};
  friend bool operator==(const PrometheusProvider&, const PrometheusProvider&) = default;
};
BOOST_DESCRIBE_STRUCT(PrometheusProvider, (), (url))

struct InfluxProvider {
  static constexpr std::string_view kTag = "influx";
  std::string url;
  std::string token;
  std::string org;
  std::string bucket;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {
      {"url", kRequired}, {"token", kRequired | kSecret}, {"org", kRequired}, {"bucket", kRequired}};
  friend bool operator==(const InfluxProvider&, const InfluxProvider&) = default;
};
BOOST_DESCRIBE_STRUCT(InfluxProvider, (), (url, token, org, bucket))

struct KafkaProvider {
  static constexpr std::string_view kTag = "kafka";
  std::string comparison_column;
  std::string value_column;
  std::string table;
  std::string url;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {
      {"comparison_column", kRequired}, {"value_column", kRequired}, {"table", kRequired}, {"url", kRequired}};
  friend bool operator==(const KafkaProvider&, const KafkaProvider&) = default;
};
BOOST_DESCRIBE_STRUCT(KafkaProvider, (), (comparison_column, value_column, table, url))

struct StaticProvider {
  static constexpr std::string_view kTag = "static";
  StringMap<double> metrics;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {{"metrics", kRequired}};
  friend bool operator==(const StaticProvider&, const StaticProvider&) = default;
};
BOOST_DESCRIBE_STRUCT(StaticProvider, (), (metrics))

using MetricsProviderSpec = OneOf<PrometheusProvider, InfluxProvider, KafkaProvider, StaticProvider>;

void advise_provider(const MetricsProviderSpec& spec, std::vector<std::string>& advice);

struct MetricsProvider {
  static constexpr std::string_view kApi = "core", kKindName = "MetricsProvider", kPlural = "metricsproviders";
  static constexpr bool kNamespaced = true;
  ObjectMeta metadata;
  MetricsProviderSpec spec;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {{"metadata", kRequired}, {"spec", kRequired}};
  static void advise(const MetricsProvider& provider, std::vector<std::string>& advice) {
    advise_provider(provider.spec, advice);
  }
  friend bool operator==(const MetricsProvider&, const MetricsProvider&) = default;
};
BOOST_DESCRIBE_STRUCT(MetricsProvider, (), (metadata, spec))
KRAKE_DECLARE_KIND(MetricsProvider)

struct GlobalMetricsProvider {
  static constexpr std::string_view kApi = "core", kKindName = "GlobalMetricsProvider",
                                    kPlural = "globalmetricsproviders";
  static constexpr bool kNamespaced = false;
  ObjectMeta metadata;
  MetricsProviderSpec spec;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {{"metadata", kRequired}, {"spec", kRequired}};
  static void advise(const GlobalMetricsProvider& provider, std::vector<std::string>& advice) {
    advise_provider(provider.spec, advice);
  }
  friend bool operator==(const GlobalMetricsProvider&, const GlobalMetricsProvider&) = default;
};
BOOST_DESCRIBE_STRUCT(GlobalMetricsProvider, (), (metadata, spec))
KRAKE_DECLARE_KIND(GlobalMetricsProvider)

// A reference to a Metric (namespaced) or a GlobalMetric, with its weight.
struct MetricRef {
  std::string name;
  double weight = 0;
  bool namespaced = false;

  static constexpr FieldMark kMarks[] = {{"name", kRequired}, {"weight", kRequired}};
  friend bool operator==(const MetricRef&, const MetricRef&) = default;
};
BOOST_DESCRIBE_STRUCT(MetricRef, (), (name, weight, namespaced))

}  // namespace krake
