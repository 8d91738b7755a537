#include "controllers/scheduler/collector.h"

#include <prometheus/counter.h>

#include <algorithm>

#include "controllers/scheduler/provider_protocols.h"

namespace krake::scheduler {

std::string to_string(const ProviderKey& key) {
  return key.ns ? fmt::format("metrics provider {}/{}", *key.ns, key.name)
                : fmt::format("global metrics provider {}", key.name);
}

namespace {

// The provider is there, the value is not.
bool was_answered(const Error& error) { return error.code == Code::invalid_object || error.code == Code::not_found; }

}  // namespace

struct Collector::Source {
  explicit Source(const boost::asio::any_io_executor& executor) : changed(executor) {}
  ProviderKey key;
  Wanted wanted;
  std::map<std::string, Reading> readings;
  std::map<std::string, Mono> good_at;  // last answer with a value
  int failures = 0;                     // rounds in a row without any answer
  bool retired = false;                 // replaced or no longer wanted
  bool fresh_wish = false;              // a metric was added: do not wait for the interval
  Notifier changed;

  // Until the provider as it is now has answered, what was read before it was edited is better than nothing.
  void inherit(const Source& before) {
    readings = before.readings;
    std::erase_if(readings, [this](const auto& entry) { return !wanted.metrics.contains(entry.first); });
    good_at = before.good_at;
  }
};

Collector::Collector(Env& env, Dialer& dialer, CollectorOptions options,
                     std::function<void(const ProviderKey&)> on_change)
    : env_(env),
      dialer_(dialer),
      options_(options),
      on_change_(std::move(on_change)),
      random_(env.random.fork("metric collector")),
      tasks_(env.executor) {}

Collector::~Collector() = default;

Awaitable<void> Collector::stop() { return tasks_.stop(); }

void Collector::set_wanted(std::map<ProviderKey, Wanted> wanted) {
  std::map<ProviderKey, std::shared_ptr<Source>> edited;
  for (auto it = sources_.begin(); it != sources_.end();) {
    const auto still = wanted.find(it->first);
    if (still != wanted.end() && still->second.spec == it->second->wanted.spec) {
      ++it;
      continue;
    }
    it->second->retired = true;
    it->second->changed.notify_all();
    if (still != wanted.end()) edited.insert(*it);
    it = sources_.erase(it);
  }
  for (auto& [key, wish] : wanted) {
    auto& source = sources_[key];
    if (source) {
      std::erase_if(source->readings, [&](const auto& entry) { return !wish.metrics.contains(entry.first); });
      if (source->wanted.metrics == wish.metrics) continue;
      source->fresh_wish = !std::ranges::includes(source->wanted.metrics, wish.metrics);
      source->wanted.metrics = std::move(wish.metrics);
      source->changed.notify_all();
      continue;
    }
    source = std::make_shared<Source>(env_.executor);
    source->key = key;
    source->wanted = std::move(wish);
    if (const auto before = edited.find(key); before != edited.end()) source->inherit(*before->second);
    if (!source->wanted.spec.as<StaticProvider>()) tasks_.spawn("collect from " + to_string(key), run(source));
  }
}

std::optional<Reading> Collector::read(const ProviderKey& provider, const std::string& metric) const {
  const auto source = sources_.find(provider);
  if (source == sources_.end()) return std::nullopt;
  if (const auto* fixed = source->second->wanted.spec.as<StaticProvider>()) {
    const auto value = static_value(*fixed, metric);
    if (!value)
      return Reading{
          0, Reason{ReasonCode::INVALID_METRIC, fmt::format("{}: {}", to_string(provider), value.error().message)},
          env_.clock.now()};
    return Reading{*value, {}, env_.clock.now()};
  }
  const auto reading = source->second->readings.find(metric);
  if (reading == source->second->readings.end()) return std::nullopt;
  return reading->second;
}

Awaitable<void> Collector::run(std::shared_ptr<Source> source) {
  while (!source->retired) {
    source->fresh_wish = false;
    const bool answered = co_await round(source);
    if (source->retired) co_return;
    source->failures = answered ? 0 : source->failures + 1;
    env_.metrics
        .counter("krake_metric_rounds_total", "rounds of metric collection by outcome",
                 {{"outcome", answered ? "ok" : "error"}})
        .Increment();
    const Duration pause = answered
                               ? std::chrono::duration_cast<Duration>(options_.interval * (0.95 + 0.1 * random_.unit()))
                               : options_.retry.delay(source->failures - 1, random_);
    const Mono next = env_.clock.now() + pause;
    while (!source->retired && !source->fresh_wish && env_.clock.now() < next)
      co_await source->changed.wait_until(env_.clock, next);
  }
}

// False when the provider was not to be reached.
Awaitable<bool> Collector::round(std::shared_ptr<Source> source) {
  const auto metrics = source->wanted.metrics;
  const Mono deadline = env_.clock.now() + options_.timeout;
  bool reached = metrics.empty();
  bool changed = false;
  std::optional<Error> down;
  for (const auto& metric : metrics) {
    Result<double> answer = down ? Result<double>(fail(*down)) : co_await ask(source, metric, deadline);
    if (source->retired) co_return true;
    if (answer || was_answered(answer.error())) {
      reached = true;
    } else if (!reached && source->failures + 1 >= options_.breaker_failures) {
      down = answer.error();
    }
    changed = note(*source, metric, answer) || changed;
  }
  if (changed) on_change_(source->key);
  co_return reached;
}

Awaitable<Result<double>> Collector::ask(std::shared_ptr<Source> source, std::string metric, Mono deadline) {
  const Duration left = deadline - env_.clock.now();
  if (left <= Duration::zero()) co_return fail(Code::timeout, "no time was left in this round");
  auto transport = dialer_.dial({.url = std::string(url_of(source->wanted.spec))});
  if (!transport) co_return fail(transport.error());
  auto response =
      co_await (*transport)
          ->send(request_for(source->wanted.spec, metric), {.timeout = left, .body_limit = options_.body_limit});
  if (!response) co_return fail(std::move(response).error());
  co_return value_in(source->wanted.spec, metric, *response);
}

// True when what read() says has changed.
bool Collector::note(Source& source, const std::string& metric, const Result<double>& answer) {
  const Mono now = env_.clock.now();
  const auto before = source.readings.find(metric);
  Reading reading{.at = now};
  if (answer) {
    reading.value = *answer;
    source.good_at[metric] = now;
  } else {
    const auto good = source.good_at.find(metric);
    const bool usable = before != source.readings.end() && !before->second.failure && good != source.good_at.end();
    // A value that is wrong says so at once; that there is none may be one missed scrape.
    if (answer.error().code != Code::invalid_object && usable && now - good->second < options_.max_age) return false;
    reading.failure = failure_of(source, answer.error());
  }
  const bool same =
      before != source.readings.end() && before->second.failure.has_value() == reading.failure.has_value() &&
      (reading.failure ? before->second.failure->code == reading.failure->code : before->second.value == reading.value);
  source.readings[metric] = std::move(reading);
  return !same;
}

Reason Collector::failure_of(const Source& source, const Error& error) const {
  if (was_answered(error))
    return {ReasonCode::INVALID_METRIC, fmt::format("{}: {}", to_string(source.key), error.message)};
  return {ReasonCode::UNREACHABLE_METRICS_PROVIDER,
          fmt::format("{} at {}: {}", to_string(source.key), url_of(source.wanted.spec), error.message)};
}

json::Object Collector::debug() const {
  json::Object out;
  const Mono now = env_.clock.now();
  for (const auto& [key, source] : sources_) {
    json::Object metrics;
    for (const auto& [metric, reading] : source->readings) {
      const auto age = std::chrono::duration_cast<std::chrono::seconds>(now - reading.at).count();
      metrics.set(metric, reading.failure ? json::Object{{"failure", reading.failure->message},
                                                         {"age_seconds", static_cast<std::int64_t>(age)}}
                                          : json::Object{{"value", reading.value},
                                                         {"age_seconds", static_cast<std::int64_t>(age)}});
    }
    out.set(to_string(key), json::Object{{"failed_rounds", source->failures}, {"metrics", std::move(metrics)}});
  }
  return out;
}

}  // namespace krake::scheduler
