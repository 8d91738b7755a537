// Decisions per second on one core: N clusters with 10 metrics each, 1,000 different constraint sets in turn.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <chrono>
#include <string>
#include <vector>

#include "base/random.h"
#include "placement/placement.h"

namespace krake::placement {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kRequests = 1'000;
constexpr Wall kNow{1'000'000s};

std::string id_of(std::uint64_t i) { return fmt::format("demo/cluster-{:05}", i); }

std::vector<Candidate> clusters(std::size_t count) {
  Random random(1);
  std::vector<Candidate> result;
  for (std::size_t i = 0; i < count; ++i) {
    Candidate c;
    c.id = id_of(i);
    c.labels = {{"location", fmt::format("loc{}", random.below(20))},
                {"tier", fmt::format("t{}", random.below(4))},
                {"site", fmt::format("s{}", random.below(100))},
                {"arch", random.chance(0.8) ? "amd64" : "arm64"}};
    if (random.chance(0.5)) c.custom_resources = {"crontabs.example.org"};
    for (int m = 0; m < 10; ++m) {
      c.metrics.push_back({fmt::format("metric{}", m), 1 + random.unit() * 4, random.unit(), ""});
    }
    c.application_count = static_cast<std::uint32_t>(random.below(50));
    result.push_back(std::move(c));
  }
  return result;
}

expr::LabelConstraint label(expr::LabelConstraint::Op op, std::string key, std::vector<std::string> values) {
  return {op, std::move(key), std::move(values), ""};
}

std::vector<Request> requests(std::size_t candidates) {
  using LabelOp = expr::LabelConstraint::Op;
  using MetricOp = expr::MetricConstraint::Op;
  Random random(2);
  std::vector<Request> result;
  for (std::size_t i = 0; i < kRequests; ++i) {
    Request r;
    r.now = kNow;
    r.scope = "demo";
    std::vector<std::string> places;
    for (std::uint64_t n = 1 + random.below(6); n > 0; --n) places.push_back(fmt::format("loc{}", random.below(20)));
    r.labels.push_back(label(LabelOp::in, "location", places));
    if (random.chance(0.5)) r.labels.push_back(label(LabelOp::equal, "arch", {"amd64"}));
    if (random.chance(0.5)) {
      r.labels.push_back(label(LabelOp::not_equal, "tier", {fmt::format("t{}", random.below(4))}));
    }
    for (std::uint64_t n = random.below(4); n > 0; --n) {
      r.metrics.push_back({random.chance(0.5) ? MetricOp::greater : MetricOp::less,
                           fmt::format("metric{}", random.below(10)), "", 0.5 + random.unit() * 2, ""});
    }
    if (random.chance(0.3)) r.custom_resources = {"crontabs.example.org"};
    if (random.chance(0.8)) r.current = id_of(random.below(candidates));
    r.scheduled_at = kNow - 1h;
    result.push_back(std::move(r));
  }
  return result;
}

void report(benchmark::State& state) {
  state.counters["decisions/s"] =
      benchmark::Counter(static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

void Compiled(benchmark::State& state) {
  const auto count = static_cast<std::size_t>(state.range(0));
  const Snapshot snapshot = Snapshot::build(clusters(count)).value();
  std::vector<CompiledRequest> compiled;
  for (auto& request : requests(count)) compiled.emplace_back(snapshot, std::move(request));
  std::size_t i = 0;
  for (auto _ : state) benchmark::DoNotOptimize(choose(snapshot, compiled[i++ % kRequests]));
  report(state);
  double found = 0;  // shows that the requests are neither impossible nor trivial
  for (const auto& request : compiled) found += choose(snapshot, request).outcome == Outcome::none ? 0 : 1;
  state.counters["found"] = found / kRequests;
}
BENCHMARK(Compiled)->Name("placement/choose")->Arg(100)->Arg(1'000)->Arg(5'000);

void Plain(benchmark::State& state) {
  const auto count = static_cast<std::size_t>(state.range(0));
  const Snapshot snapshot = Snapshot::build(clusters(count)).value();
  const auto asked = requests(count);
  std::size_t i = 0;
  for (auto _ : state) benchmark::DoNotOptimize(choose(snapshot, asked[i++ % kRequests]));
  report(state);
}
BENCHMARK(Plain)->Name("placement/choose_uncompiled")->Arg(1'000);

void Explained(benchmark::State& state) {
  const auto count = static_cast<std::size_t>(state.range(0));
  const Snapshot snapshot = Snapshot::build(clusters(count)).value();
  const auto asked = requests(count);
  std::size_t i = 0;
  for (auto _ : state) benchmark::DoNotOptimize(choose(snapshot, asked[i++ % kRequests], Explain::yes));
  report(state);
}
BENCHMARK(Explained)->Name("placement/choose_explained")->Arg(1'000);

// A metric value of one cluster changes.
void Update(benchmark::State& state) {
  const auto count = static_cast<std::size_t>(state.range(0));
  auto list = clusters(count);
  Snapshot snapshot = Snapshot::build(list).value();
  Random random(3);
  for (auto _ : state) {
    Candidate& c = list[random.below(count)];
    c.metrics[random.below(10)].normalized_value = random.unit();
    benchmark::DoNotOptimize(snapshot.upsert(c));
  }
}
BENCHMARK(Update)->Name("placement/update_one")->Arg(1'000)->Arg(5'000);

}  // namespace
}  // namespace krake::placement

BENCHMARK_MAIN();
