#include "controllers/scheduler/inputs.h"

#include "controllers/scheduler/provider_protocols.h"
#include "placement/metrics.h"

namespace krake::scheduler {

Inputs::Inputs(ControllerContext context, InputOptions options, Listener listener)
    : env_(context.env),
      options_(options),
      listener_(std::move(listener)),
      clusters_(env_, context.client, {.resync = options.resync},
                [](Cluster& cluster) {
                  cluster.spec.kubeconfig = {};
                  cluster.spec.tosca = {};
                  cluster.status.nodes = {};
                  cluster.status.last_applied_tosca = {};
                }),
      metrics_(env_, context.client, {.resync = options.resync}),
      global_metrics_(env_, context.client, {.resync = options.resync}),
      providers_(env_, context.client, {.resync = options.resync}),
      global_providers_(env_, context.client, {.resync = options.resync}),
      collector_(env_, context.dialer, options.collector, [this](const ProviderKey&) { mark_all(); }),
      changed_(env_.executor),
      tasks_(env_.executor) {
  clusters_.on_change([this](const ObjectKey& key) { mark(key); });
  const auto all = [this](const ObjectKey&) { mark_all(); };
  metrics_.on_change(all);
  global_metrics_.on_change(all);
  providers_.on_change(all);
  global_providers_.on_change(all);
}

void Inputs::start() {
  clusters_.start();
  metrics_.start();
  global_metrics_.start();
  providers_.start();
  global_providers_.start();
}

Awaitable<void> Inputs::stop() {
  co_await tasks_.stop();
  co_await collector_.stop();
  co_await clusters_.stop();
  co_await metrics_.stop();
  co_await global_metrics_.stop();
  co_await providers_.stop();
  co_await global_providers_.stop();
}

Awaitable<void> Inputs::wait_synced() {
  co_await clusters_.wait_synced();
  co_await metrics_.wait_synced();
  co_await global_metrics_.wait_synced();
  co_await providers_.wait_synced();
  co_await global_providers_.wait_synced();
  refresh();
  tasks_.spawn("scheduler inputs", run());
}

void Inputs::mark(const ObjectKey& cluster) {
  dirty_.insert(cluster);
  changed_.notify_all();
}
void Inputs::mark_all() {
  all_dirty_ = true;
  changed_.notify_all();
}

Awaitable<void> Inputs::run() {
  for (;;) {
    while (idle()) co_await changed_.wait();
    co_await yield();  // events come in bunches
    refresh();
  }
}

void Inputs::refresh() {
  std::set<ObjectKey> keys = std::exchange(dirty_, {});
  if (std::exchange(all_dirty_, false)) {
    for (const auto& [key, cluster] : clusters_.objects()) keys.insert(key);
  }
  collect_wanted();
  std::set<std::string> namespaces;
  for (const auto& key : keys) refresh_cluster(key, namespaces);
  for (const auto& ns : namespaces) listener_.candidates_changed(ns);
}

void Inputs::refresh_cluster(const ObjectKey& key, std::set<std::string>& changed_namespaces) {
  const auto cluster = clusters_.find(key);
  const auto id = to_string(key);
  if (!cluster) {
    measures_.erase(key);
    unread_.erase(key);
    if (snapshot_.remove(id)) changed_namespaces.insert(key.ns);
    return;
  }
  std::vector<Measure> measures;
  bool missing = false;
  for (const auto& ref : cluster->object.spec.metrics) {
    measures.push_back(measure(cluster->object, ref));
    missing = missing || (!measures.back().normalized && !measures.back().failure);
  }
  if (missing && !cluster->object.metadata.deleted) {
    unread_.insert(key);
  } else {
    unread_.erase(key);
  }
  auto& slot = measures_[key];
  slot = std::move(measures);
  listener_.cluster_changed(key);
  const auto count = applications_.find(id);
  auto candidate = candidate_of(cluster->object, slot, count == applications_.end() ? 0 : count->second);
  if (const auto* present = snapshot_.find(id); present && *present == candidate) return;
  changed_namespaces.insert(key.ns);
  if (auto done = snapshot_.upsert(std::move(candidate)); !done) {
    env_.log.error("cluster is not considered", {{"cluster", id}, {"why", done.error().message}});
  }
}

ObservedCluster Inputs::cluster(const ObjectKey& key) const {
  const auto measures = measures_.find(key);
  return {clusters_.find(key), measures == measures_.end() ? std::vector<Measure>() : measures->second};
}

bool Inputs::measuring(const std::string& ns) const {
  const auto first = unread_.lower_bound({ns, ""});
  return first != unread_.end() && first->ns == ns;
}

void Inputs::set_applications(const std::string& cluster_id, std::uint32_t count) {
  if (count == 0) {
    applications_.erase(cluster_id);
  } else {
    applications_[cluster_id] = count;
  }
  snapshot_.set_application_count(cluster_id, count);
}

Inputs::Source Inputs::source_of(const Cluster& cluster, const MetricRef& ref) const {
  const std::string ns = cluster.metadata.namespace_.value_or("");
  Source source;
  const auto missing = [&source](ReasonCode code, std::string message) {
    source.failure = Reason{code, std::move(message)};
    return source;
  };
  if (ref.namespaced) {
    const auto metric = metrics_.find({ns, ref.name});
    if (!metric)
      return missing(ReasonCode::UNKNOWN_METRIC,
                     fmt::format("there is no Metric '{}' in namespace '{}'", ref.name, ns));
    source.metric = &metric->object.spec;
    source.provider = {ns, source.metric->provider.name};
    const auto provider = providers_.find({ns, source.provider.name});
    if (!provider) {
      return missing(ReasonCode::UNKNOWN_METRICS_PROVIDER,
                     fmt::format("Metric '{}': there is no MetricsProvider '{}' in namespace '{}'", ref.name,
                                 source.provider.name, ns));
    }
    source.spec = &provider->object.spec;
    return source;
  }
  const auto metric = global_metrics_.find({"", ref.name});
  if (!metric) return missing(ReasonCode::UNKNOWN_METRIC, fmt::format("there is no GlobalMetric '{}'", ref.name));
  source.metric = &metric->object.spec;
  source.provider = {std::nullopt, source.metric->provider.name};
  const auto provider = global_providers_.find({"", source.provider.name});
  if (!provider) {
    return missing(
        ReasonCode::UNKNOWN_METRICS_PROVIDER,
        fmt::format("GlobalMetric '{}': there is no GlobalMetricsProvider '{}'", ref.name, source.provider.name));
  }
  source.spec = &provider->object.spec;
  return source;
}

Measure Inputs::measure(const Cluster& cluster, const MetricRef& ref) const {
  Measure measure{.name = ref.name, .weight = ref.weight};
  const auto source = source_of(cluster, ref);
  if (source.failure) {
    measure.failure = source.failure;
    return measure;
  }
  const auto reading = collector_.read(source.provider, source.metric->provider.metric);
  if (!reading) return measure;
  if (reading->failure) {
    measure.failure = reading->failure;
    return measure;
  }
  const std::vector<std::int64_t> allowed(source.metric->allowed_values.begin(), source.metric->allowed_values.end());
  const auto value = placement::normalize(reading->value, source.metric->min, source.metric->max, allowed);
  if (value) {
    measure.normalized = *value;
  } else {
    measure.failure =
        Reason{ReasonCode::INVALID_METRIC, fmt::format("metric '{}': {}", ref.name, value.error().message)};
  }
  return measure;
}

// Asked for is what some cluster is measured by.
void Inputs::collect_wanted() {
  std::map<ProviderKey, Wanted> wanted;
  for (const auto& [key, cluster] : clusters_.objects()) {
    if (cluster->object.metadata.deleted) continue;
    for (const auto& ref : cluster->object.spec.metrics) {
      const auto source = source_of(cluster->object, ref);
      if (!source.spec) continue;
      auto& wish = wanted[source.provider];
      if (wish.metrics.empty()) wish.spec = *source.spec;
      wish.metrics.insert(source.metric->provider.metric);
    }
  }
  collector_.set_wanted(std::move(wanted));
}

}  // namespace krake::scheduler
