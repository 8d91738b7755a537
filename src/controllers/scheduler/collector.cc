#include "controllers/scheduler/collector.h"

#include <prometheus/counter.h>

#include <algorithm>

#include "base/encoding.h"
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
  std::map<std::string, Mono> good_at;   // last answer with a value
  int failures = 0;                      // rounds in a row without any answer
  bool retired = false;                  // replaced or no longer wanted
  bool fresh_wish = false;               // a metric was added: do not wait for the interval
  std::shared_ptr<Transport> transport;  // kept: its connections are used again
  Notifier changed;

  // Until the provider as it is now has answered, what was read before it was edited is better than nothing.
  void inherit(const Source& before) {
    readings = before.readings;
    good_at = before.good_at;
    forget_unwanted();
  }
  void forget_unwanted() {
    const auto unwanted = [this](const auto& entry) { return !wanted.metrics.contains(entry.first); };
    std::erase_if(readings, unwanted);
    std::erase_if(good_at, unwanted);
  }
  void retire() {
    retired = true;
    changed.notify_all();
  }
};

struct Collector::Round {
  std::vector<std::string> metrics;
  std::size_t next = 0;       // to be asked
  int open = 0;               // workers
  int patience = 0;           // so many questions without any answer, and the rest is not asked
  std::optional<Error> down;  // what they got instead
  bool reached = false;
};

Collector::Collector(Env& env, Dialer& dialer, CollectorOptions options, OnChange on_change)
    : env_(env),
      dialer_(dialer),
      options_(options),
      on_change_(std::move(on_change)),
      random_(env.random.fork("metric collector")),
      tasks_(env.executor) {}

Collector::~Collector() = default;

Awaitable<void> Collector::stop() { return tasks_.stop(); }

void Collector::want(const ProviderKey& provider, Wanted wish) {
  auto& source = sources_[provider];
  if (source && source->wanted.spec == wish.spec) {
    if (source->wanted.metrics == wish.metrics) return;
    source->fresh_wish = !std::ranges::includes(source->wanted.metrics, wish.metrics);
    source->wanted.metrics = std::move(wish.metrics);
    source->forget_unwanted();
    source->changed.notify_all();
    return;
  }
  auto fresh = std::make_shared<Source>(env_.executor);
  fresh->key = provider;
  fresh->wanted = std::move(wish);
  if (source) {
    fresh->inherit(*source);
    source->retire();
  }
  source = std::move(fresh);
  if (!source->wanted.spec.as<StaticProvider>()) tasks_.spawn("collect from " + to_string(provider), run(source));
}

void Collector::drop(const ProviderKey& provider) {
  const auto source = sources_.find(provider);
  if (source == sources_.end()) return;
  source->second->retire();
  sources_.erase(source);
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
  auto round = std::make_shared<Round>();
  round->metrics.assign(source->wanted.metrics.begin(), source->wanted.metrics.end());
  if (round->metrics.empty()) co_return true;
  const bool suspicious = source->failures + 1 >= options_.breaker_failures;
  round->patience = suspicious ? 1 : options_.at_once;
  if (suspicious) co_await ask_next(source, round);
  const auto left = round->metrics.size() - round->next;
  round->open = static_cast<int>(std::min(left, static_cast<std::size_t>(options_.at_once)));
  for (int i = round->open; i > 0; --i) tasks_.spawn("ask " + to_string(source->key), work(source, round));
  while (round->open > 0 && !source->retired) co_await source->changed.wait();
  co_return round->reached;
}

Awaitable<void> Collector::work(std::shared_ptr<Source> source, std::shared_ptr<Round> round) {
  while (!source->retired && round->next < round->metrics.size()) co_await ask_next(source, round);
  if (--round->open == 0) source->changed.notify_all();
}

Awaitable<void> Collector::ask_next(std::shared_ptr<Source> source, std::shared_ptr<Round> round) {
  const std::string metric = round->metrics[round->next++];
  const Result<double> answer = round->down ? Result<double>(fail(*round->down)) : co_await ask(source, metric);
  if (source->retired || !source->wanted.metrics.contains(metric)) co_return;
  if (answer || was_answered(answer.error())) {
    round->reached = true;
  } else if (!round->reached && --round->patience == 0) {
    round->down = answer.error();
  }
  if (note(*source, metric, answer)) on_change_(source->key, metric);
}

Awaitable<Result<double>> Collector::ask(std::shared_ptr<Source> source, std::string metric) {
  if (!source->transport) {
    auto transport = dialer_.dial({.url = std::string(url_of(source->wanted.spec))});
    if (!transport) co_return fail(transport.error());
    source->transport = std::move(*transport);
  }
  const auto transport = source->transport;
  auto response = co_await transport->send(request_for(source->wanted.spec, metric),
                                           {.timeout = options_.timeout, .body_limit = options_.body_limit});
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
  return {
      ReasonCode::UNREACHABLE_METRICS_PROVIDER,
      fmt::format("{} at {}: {}", to_string(source.key), presentable_url(url_of(source.wanted.spec)), error.message)};
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
