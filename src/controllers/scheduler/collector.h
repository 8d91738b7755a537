// Keeps the latest values of metrics at hand, so that no decision waits for a provider: each provider is asked once per
// interval for all that is wanted of it, a few questions at a time, one provider never holds up another, and one that
// fails is left alone for a growing time (after `breaker_failures` rounds a single question decides whether the rest is
// asked). A value survives rounds that brought none until it is `max_age` old; one that is no number replaces it at
// once. Static providers are read from the object at once. Ownership: Env and Dialer outlive it; stop() before it dies
// (except when the loop dies too). Thread: the loop.
#pragma once

#include <compare>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "api/core/metric.h"
#include "base/backoff.h"
#include "base/env.h"
#include "base/task_group.h"
#include "net/dial.h"

namespace krake::scheduler {

struct ProviderKey {
  std::optional<std::string> ns;  // none: a GlobalMetricsProvider
  std::string name;
  auto operator<=>(const ProviderKey&) const = default;
};
std::string to_string(const ProviderKey& key);

struct Wanted {
  MetricsProviderSpec spec;
  std::set<std::string> metrics;  // by the provider's names
  bool operator==(const Wanted&) const = default;
};

// What a provider last said of a metric: a value, or why there is none.
struct Reading {
  double value = 0;
  std::optional<Reason> failure;
  Mono at{};
};

struct CollectorOptions {
  Duration interval = std::chrono::seconds(10);
  Duration timeout = std::chrono::seconds(20);  // of one question
  Duration max_age = std::chrono::seconds(30);  // of a value while no new one comes; interval + timeout at least
  int at_once = 8;                              // questions to one provider
  Backoff retry{.base = std::chrono::seconds(2), .cap = std::chrono::minutes(2)};
  int breaker_failures = 3;
  std::size_t body_limit = std::size_t{4} << 20;
};

class Collector {
 public:
  // `on_change` is called, on the loop, when a reading has become another.
  using OnChange = std::function<void(const ProviderKey&, const std::string& metric)>;
  Collector(Env& env, Dialer& dialer, CollectorOptions options, OnChange on_change);
  ~Collector();
  Awaitable<void> stop();

  // What is to be collected of a provider from now on; what is no longer wanted is forgotten. Nothing happens when it
  // is the same.
  void want(const ProviderKey& provider, Wanted wish);
  void drop(const ProviderKey& provider);
  // nullopt: not wanted, or the first round is not over.
  std::optional<Reading> read(const ProviderKey& provider, const std::string& metric) const;

  // Age of values and failures in a row, by provider.
  json::Object debug() const;

 private:
  struct Source;
  struct Round;

  Awaitable<void> run(std::shared_ptr<Source> source);
  Awaitable<bool> round(std::shared_ptr<Source> source);
  Awaitable<void> work(std::shared_ptr<Source> source, std::shared_ptr<Round> round);
  Awaitable<void> ask_next(std::shared_ptr<Source> source, std::shared_ptr<Round> round);
  Awaitable<Result<double>> ask(std::shared_ptr<Source> source, std::string metric);
  bool note(Source& source, const std::string& metric, const Result<double>& answer);
  Reason failure_of(const Source& source, const Error& error) const;

  Env& env_;
  Dialer& dialer_;
  CollectorOptions options_;
  OnChange on_change_;
  Random random_;
  std::map<ProviderKey, std::shared_ptr<Source>> sources_;
  TaskGroup tasks_;
};

}  // namespace krake::scheduler
