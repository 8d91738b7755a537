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
      collector_(env_, context.dialer, options.collector,
                 [this](const ProviderKey& provider, const std::string& metric) { mark_value(provider, metric); }),
      changed_(env_.executor),
      tasks_(env_.executor) {
  clusters_.on_change([this](const ObjectKey& key) { mark(key); });
  metrics_.on_change([this](const ObjectKey& key) { mark_metric({key.ns, key.name}); });
  global_metrics_.on_change([this](const ObjectKey& key) { mark_metric({std::nullopt, key.name}); });
  providers_.on_change([this](const ObjectKey& key) { mark_provider({key.ns, key.name}); });
  global_providers_.on_change([this](const ObjectKey& key) { mark_provider({std::nullopt, key.name}); });
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
void Inputs::mark_metric(const MetricKey& metric) {
  const auto users = users_of_metric_.find(metric);
  if (users == users_of_metric_.end()) return;
  dirty_.insert(users->second.begin(), users->second.end());
  changed_.notify_all();
}
void Inputs::mark_value(const ProviderKey& provider, const std::string& metric) {
  const auto users = users_of_value_.find({provider, metric});
  if (users == users_of_value_.end()) return;
  dirty_.insert(users->second.begin(), users->second.end());
  changed_.notify_all();
}
void Inputs::mark_provider(const ProviderKey& provider) {
  for (auto it = users_of_value_.lower_bound({provider, ""});
       it != users_of_value_.end() && it->first.first == provider; ++it) {
    dirty_.insert(it->second.begin(), it->second.end());
    wishes_.insert(provider);
  }
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
  const auto keys = std::exchange(dirty_, {});
  for (const auto& key : keys) update_uses(key);
  for (const auto& provider : std::exchange(wishes_, {})) update_wish(provider);
  std::set<std::string> namespaces;
  for (const auto& key : keys) refresh_cluster(key, namespaces);
  for (const auto& ns : namespaces) listener_.candidates_changed(ns);
}

Inputs::Uses Inputs::uses_of(const Cluster& cluster) const {
  Uses uses;
  for (const auto& ref : cluster.spec.metrics) {
    const auto ns = ref.namespaced ? std::optional(cluster.metadata.namespace_.value_or("")) : std::nullopt;
    uses.metrics.insert({ns, ref.name});
    const auto source = source_of(cluster, ref);
    if (source.metric) uses.values.insert({source.provider, source.metric->provider.metric});
  }
  return uses;
}

void Inputs::update_uses(const ObjectKey& key) {
  const auto cluster = clusters_.find(key);
  Uses now = cluster && !cluster->object.metadata.deleted ? uses_of(cluster->object) : Uses{};
  auto& known = uses_[key];
  if (!(known == now)) {
    for (const auto& metric : known.metrics) {
      auto& users = users_of_metric_[metric];
      users.erase(key);
      if (users.empty()) users_of_metric_.erase(metric);
    }
    for (const auto& metric : now.metrics) users_of_metric_[metric].insert(key);
    for (const auto& value : known.values) {
      auto& users = users_of_value_[value];
      users.erase(key);
      if (!users.empty()) continue;
      users_of_value_.erase(value);
      wishes_.insert(value.first);
    }
    for (const auto& value : now.values) {
      auto& users = users_of_value_[value];
      if (users.empty()) wishes_.insert(value.first);
      users.insert(key);
    }
    known = std::move(now);
  }
  if (known == Uses{}) uses_.erase(key);
}

// Asked for is what some cluster is measured by.
void Inputs::update_wish(const ProviderKey& provider) {
  Wanted wish;
  for (auto it = users_of_value_.lower_bound({provider, ""});
       it != users_of_value_.end() && it->first.first == provider; ++it) {
    wish.metrics.insert(it->first.second);
  }
  const auto spec = spec_of(provider);
  if (!spec || wish.metrics.empty()) return collector_.drop(provider);
  wish.spec = *spec;
  collector_.want(provider, std::move(wish));
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
  Measured now{.measures = {}, .revision = cluster->revision};
  bool missing = false;
  if (!cluster->object.metadata.deleted) {
    for (const auto& ref : cluster->object.spec.metrics) {
      const auto& one = now.measures.emplace_back(measure(cluster->object, ref));
      missing = missing || (!one.normalized && !one.failure);
    }
  }
  if (missing) {
    unread_.insert(key);
  } else {
    unread_.erase(key);
  }
  const auto known = measures_.find(key);
  if (known != measures_.end() && known->second == now) return;
  measures_.insert_or_assign(key, now);
  listener_.cluster_changed(key);
  const auto count = applications_.find(id);
  auto candidate = candidate_of(cluster->object, now.measures, count == applications_.end() ? 0 : count->second);
  if (const auto* present = snapshot_.find(id); present && *present == candidate) return;
  changed_namespaces.insert(key.ns);
  if (auto done = snapshot_.upsert(std::move(candidate)); !done) {
    env_.log.error("cluster is not considered", {{"cluster", id}, {"why", done.error().message}});
  }
}

ObservedCluster Inputs::cluster(const ObjectKey& key) const {
  const auto measures = measures_.find(key);
  return {clusters_.find(key), measures == measures_.end() ? std::vector<Measure>() : measures->second.measures};
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

std::shared_ptr<const MetricsProviderSpec> Inputs::spec_of(const ProviderKey& provider) const {
  if (provider.ns) {
    const auto found = providers_.find({*provider.ns, provider.name});
    return found ? std::shared_ptr<const MetricsProviderSpec>(found, &found->object.spec) : nullptr;
  }
  const auto found = global_providers_.find({"", provider.name});
  return found ? std::shared_ptr<const MetricsProviderSpec>(found, &found->object.spec) : nullptr;
}

Inputs::Source Inputs::source_of(const Cluster& cluster, const MetricRef& ref) const {
  Source source;
  const auto ns = ref.namespaced ? std::optional(cluster.metadata.namespace_.value_or("")) : std::nullopt;
  if (ns) {
    if (const auto found = metrics_.find({*ns, ref.name})) source.metric = {found, &found->object.spec};
  } else if (const auto found = global_metrics_.find({"", ref.name})) {
    source.metric = {found, &found->object.spec};
  }
  const auto kind = ns ? fmt::format("Metric '{}'", ref.name) : fmt::format("GlobalMetric '{}'", ref.name);
  const auto where = ns ? fmt::format(" in namespace '{}'", *ns) : std::string();
  if (!source.metric) {
    source.failure = Reason{ReasonCode::UNKNOWN_METRIC, fmt::format("there is no {}{}", kind, where)};
    return source;
  }
  source.provider = {ns, source.metric->provider.name};
  source.spec = spec_of(source.provider);
  if (!source.spec) {
    source.failure = Reason{ReasonCode::UNKNOWN_METRICS_PROVIDER,
                            fmt::format("{}: there is no {} '{}'{}", kind,
                                        ns ? "MetricsProvider" : "GlobalMetricsProvider", source.provider.name, where)};
  }
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

}  // namespace krake::scheduler
