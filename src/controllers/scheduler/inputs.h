// What the scheduler decides on, kept in memory and up to date: the clusters with their metrics, laid out for
// placement. Says which namespaces have changed and which clusters' metrics have. Thread: the loop.
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
  bool idle() const { return !all_dirty_ && dirty_.empty(); }
  json::Object debug() const { return collector_.debug(); }

 private:
  void mark(const ObjectKey& cluster);
  void mark_all();
  Awaitable<void> run();
  void refresh();
  void refresh_cluster(const ObjectKey& key, std::set<std::string>& changed_namespaces);
  void collect_wanted();
  Measure measure(const Cluster& cluster, const MetricRef& ref) const;
  // The spec of the metric and its provider, or why there is none.
  struct Source {
    const MetricSpec* metric = nullptr;
    ProviderKey provider;
    const MetricsProviderSpec* spec = nullptr;
    std::optional<Reason> failure;
  };
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
  std::map<ObjectKey, std::vector<Measure>> measures_;
  std::set<ObjectKey> unread_;  // clusters with metrics that were never read
  std::set<ObjectKey> dirty_;
  bool all_dirty_ = true;
  Notifier changed_;
  TaskGroup tasks_;
};

}  // namespace krake::scheduler
