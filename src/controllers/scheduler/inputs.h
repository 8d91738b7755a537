// What the scheduler decides on, kept in memory and up to date: the clusters with their metrics, laid out for
// placement. Says which namespaces have changed and which clusters' metrics have. A change costs what depends on it:
// clusters are found by the metrics and values they use. Thread: the loop.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "api/core/metric.h"
#include "client/informer.h"
#include "controllers/controller.h"
#include "controllers/scheduler/collector.h"
#include "controllers/scheduler/plan.h"

namespace krake::scheduler {

struct InputOptions {
  CollectorOptions collector;
  Duration resync = std::chrono::minutes(10);
};

class Inputs {
 public:
  struct Listener {
    std::function<void(const std::string& ns)> candidates_changed;  // something a decision there may have read
    std::function<void(const ObjectKey& cluster)> cluster_changed;  // itself or its metrics
  };
  Inputs(ControllerContext context, InputOptions options, Listener listener);

  void start();
  Awaitable<void> stop();
  Awaitable<void> wait_synced();

  const placement::Snapshot& snapshot() const { return snapshot_; }
  ObservedCluster cluster(const ObjectKey& key) const;
  Informer<Cluster>& clusters() { return clusters_; }
  // Whether clusters in `ns` have metrics that were never read.
  bool measuring(const std::string& ns) const;
  void set_applications(const std::string& cluster_id, std::uint32_t count);
  // Nothing is waiting to be taken in.
  bool idle() const { return dirty_.empty() && wishes_.empty(); }
  json::Object debug() const { return collector_.debug(); }

 private:
  using MetricKey = std::pair<std::optional<std::string>, std::string>;  // no namespace: a GlobalMetric
  using ValueKey = std::pair<ProviderKey, std::string>;                  // by the provider's name for it
  // What the measures of a cluster depend on, whether it exists or not.
  struct Uses {
    std::set<MetricKey> metrics;
    std::set<ValueKey> values;
    bool operator==(const Uses&) const = default;
  };

  void mark(const ObjectKey& cluster);
  void mark_metric(const MetricKey& metric);
  void mark_provider(const ProviderKey& provider);
  void mark_value(const ProviderKey& provider, const std::string& metric);
  Awaitable<void> run();
  void refresh();
  Uses uses_of(const Cluster& cluster) const;
  void update_uses(const ObjectKey& key);
  void update_wish(const ProviderKey& provider);
  void refresh_cluster(const ObjectKey& key, std::set<std::string>& changed_namespaces);
  Measure measure(const Cluster& cluster, const MetricRef& ref) const;
  // The spec of the metric and its provider, or why there is none.
  struct Source {
    std::shared_ptr<const MetricSpec> metric;
    ProviderKey provider;
    std::shared_ptr<const MetricsProviderSpec> spec;
    std::optional<Reason> failure;
  };
  std::shared_ptr<const MetricsProviderSpec> spec_of(const ProviderKey& provider) const;
  Source source_of(const Cluster& cluster, const MetricRef& ref) const;

  Env& env_;
  InputOptions options_;
  Listener listener_;
  Informer<Cluster> clusters_;
  Informer<Metric> metrics_;
  Informer<GlobalMetric> global_metrics_;
  Informer<MetricsProvider> providers_;
  Informer<GlobalMetricsProvider> global_providers_;
  Collector collector_;
  placement::Snapshot snapshot_;
  std::map<std::string, std::uint32_t> applications_;  // by cluster id
  struct Measured {
    std::vector<Measure> measures;
    std::int64_t revision = 0;  // of the cluster
    bool operator==(const Measured&) const = default;
  };
  std::map<ObjectKey, Measured> measures_;
  std::map<ObjectKey, Uses> uses_;
  std::map<MetricKey, std::set<ObjectKey>> users_of_metric_;
  std::map<ValueKey, std::set<ObjectKey>> users_of_value_;
  std::set<ObjectKey> unread_;  // clusters with metrics that were never read
  std::set<ObjectKey> dirty_;
  std::set<ProviderKey> wishes_;  // providers of which something else is wanted
  Notifier changed_;
  TaskGroup tasks_;
};

}  // namespace krake::scheduler
