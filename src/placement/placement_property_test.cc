// Random snapshots and requests against a second implementation that reads the contract literally.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "base/random.h"
#include "placement/placement.h"

namespace krake::placement {
namespace {

using namespace std::chrono_literals;
constexpr Wall kNow{std::chrono::seconds(1'000'000)};

class World {
 public:
  // Every other world needs more than one word of bits.
  explicit World(std::uint64_t seed) : random(seed), names_(seed % 2 == 0 ? 20 : 200) {}

  std::string name() { return (chance(0.7) ? "demo/c" : "other/c") + std::to_string(random.below(names_)); }

  Candidate candidate() {
    Candidate c;
    c.id = name();
    for (const char* key : {"site", "zone", "tier"}) {
      if (chance(0.7)) c.labels.emplace_back(key, value());
    }
    if (chance(0.5)) c.custom_resources.push_back(chance(0.5) ? "crd-a" : "crd-b");
    c.state_online = chance(0.9);
    c.deleted = chance(0.05);
    for (const char* metric : {"load", "green", "price"}) {
      if (!chance(0.6)) continue;
      // Few distinct values, so that ties are common.
      c.metrics.push_back({metric, static_cast<double>(random.below(3)), static_cast<double>(random.below(3)) / 2, ""});
      if (chance(0.05)) c.metrics.back().normalized_value.reset();
    }
    if (chance(0.3)) c.metrics.clear();
    c.application_count = static_cast<std::uint32_t>(random.below(3));
    if (chance(0.2)) c.penalty = penalty();
    return c;
  }

  Request request() {
    Request r;
    r.now = kNow;
    if (chance(0.5)) r.scope = chance(0.8) ? "demo" : "other";
    for (std::uint64_t i = random.below(3); i > 0; --i) r.labels.push_back(label_constraint());
    if (chance(0.3)) r.metrics.push_back(metric_constraint());
    if (chance(0.2)) r.custom_resources.push_back(chance(0.9) ? "crd-a" : "crd-x");
    if (chance(0.6)) r.current = name();
    if (chance(0.3)) r.scheduled_at = kNow - std::chrono::seconds(random.below(120));
    r.stickiness = static_cast<double>(random.below(3)) / 2;
    r.migration_allowed = chance(0.9);
    for (std::uint64_t i = random.below(3); i > 0; --i) r.penalties.emplace_back(name(), penalty());
    return r;
  }

  bool chance(double p) { return random.chance(p); }

  Random random;

 private:
  std::uint64_t names_;
  std::string value() { return std::string(1, static_cast<char>('a' + random.below(3))); }
  Penalty penalty() {
    return {static_cast<int>(random.below(3)),
            chance(0.5) ? Wall{} : kNow + 20s - std::chrono::seconds(random.below(40))};
  }
  expr::LabelConstraint label_constraint() {
    using Op = expr::LabelConstraint::Op;
    expr::LabelConstraint c;
    c.op = std::array{Op::equal, Op::not_equal, Op::in, Op::not_in}[random.below(4)];
    c.key = chance(0.95) ? (chance(0.5) ? "site" : "zone") : "nowhere";
    c.values = {chance(0.9) ? value() : "unknown"};
    if (c.op == Op::in || c.op == Op::not_in) c.values.push_back(value());
    return c;
  }
  expr::MetricConstraint metric_constraint() {
    using Op = expr::MetricConstraint::Op;
    expr::MetricConstraint c;
    c.op =
        std::array{Op::equal, Op::not_equal, Op::greater, Op::greater_equal, Op::less, Op::less_equal}[random.below(6)];
    c.key = chance(0.95) ? (chance(0.5) ? "load" : "green") : "nothing";
    c.value = std::to_string(random.below(3));
    if (chance(0.97)) c.threshold = std::stod(c.value);
    return c;
  }
};

// The contract read literally, over plain candidates.
class Naive {
 public:
  Naive(const std::map<std::string, Candidate>& all, const Request& request) : request_(request) {
    for (const auto& [id, candidate] : all) {
      if (fits(candidate)) left_.push_back(&candidate);
    }
  }

  Decision decide() {
    Decision decision;
    if (request_.current && !request_.migration_allowed) return stay(decision);
    if (left_.empty()) return decision;
    keep_unless_empty([&](const Candidate& c) { return !backing_off(c); });
    const bool recent = request_.scheduled_at && kNow - *request_.scheduled_at < request_.reschedule_after;
    if (recent && std::ranges::any_of(left_, [&](const Candidate* c) { return current(*c); })) return stay(decision);
    keep_unless_empty([](const Candidate& c) { return !c.metrics.empty(); });
    const Candidate* best = *std::ranges::min_element(left_, {}, [&](const Candidate* c) {
      return std::tuple(-score(*c), !current(*c), failures(*c), c->application_count, c->id);
    });
    decision.chosen = best->id;
    decision.outcome = current(*best) ? Outcome::stay : request_.current ? Outcome::move : Outcome::place;
    decision.score = score(*best);
    return decision;
  }

  bool anything_fits() const { return !left_.empty(); }
  bool fits(const Candidate& c) const {
    if (c.deleted || !c.state_online) return false;
    if (request_.scope && !c.id.starts_with(*request_.scope + "/")) return false;
    for (const Metric& metric : c.metrics) {
      if (!metric.normalized_value) return false;
    }
    for (const auto& constraint : request_.labels) {
      if (!expr::matches(constraint, c.labels)) return false;
    }
    for (const auto& crd : request_.custom_resources) {
      if (std::ranges::find(c.custom_resources, crd) == c.custom_resources.end()) return false;
    }
    for (const auto& constraint : request_.metrics) {
      const auto it = std::ranges::find(c.metrics, constraint.key, &Metric::name);
      if (it == c.metrics.end() || !expr::matches(constraint, it->weight * *it->normalized_value)) return false;
    }
    return true;
  }

 private:
  bool current(const Candidate& c) const { return request_.current == c.id; }
  Decision stay(Decision decision) const {
    decision.outcome = Outcome::stay;
    decision.chosen = request_.current;
    decision.pinned = true;
    return decision;
  }
  double score(const Candidate& c) const {
    double sum = current(c) ? request_.stickiness : 0;
    double weights = sum;
    if (c.metrics.empty()) return sum;
    for (const Metric& metric : c.metrics) {
      sum += metric.weight * *metric.normalized_value;
      weights += metric.weight;
    }
    return weights == 0 ? 0 : std::round(sum / weights * 1e9) / 1e9;
  }
  int failures(const Candidate& c) const {
    int total = c.penalty.failures;
    for (const auto& [id, penalty] : request_.penalties) total += id == c.id ? penalty.failures : 0;
    return total;
  }
  bool backing_off(const Candidate& c) const {
    const bool mine = std::ranges::any_of(request_.penalties, [&](const auto& entry) {
      return entry.first == c.id && entry.second.back_off_until > kNow;
    });
    return mine || (!current(c) && c.penalty.back_off_until > kNow);
  }
  template <class Keep>
  void keep_unless_empty(Keep keep) {
    std::vector<const Candidate*> kept;
    for (const Candidate* c : left_) {
      if (keep(*c)) kept.push_back(c);
    }
    if (!kept.empty()) left_ = kept;
  }

  const Request& request_;
  std::vector<const Candidate*> left_;
};

void expect_same(const Decision& decision, const Decision& expected) {
  EXPECT_EQ(decision.outcome, expected.outcome);
  EXPECT_EQ(decision.chosen, expected.chosen);
  EXPECT_EQ(decision.pinned, expected.pinned);
  if (!expected.pinned) EXPECT_DOUBLE_EQ(decision.score, expected.score);
}

// What the verdicts claim must be what was decided.
void expect_consistent(const Decision& explained, const std::map<std::string, Candidate>& all, const Request& request,
                       const Naive& naive) {
  std::size_t in_scope = 0;
  for (const auto& [id, candidate] : all) in_scope += !request.scope || id.starts_with(*request.scope + "/");
  EXPECT_EQ(explained.verdicts.size(), in_scope);
  for (const Verdict& verdict : explained.verdicts) {
    const bool fits = verdict.filter == Filter::passed || verdict.filter == Filter::back_off ||
                      verdict.filter == Filter::without_metrics;
    EXPECT_EQ(fits, naive.fits(all.at(verdict.id))) << verdict.id << " " << verdict.why;
    EXPECT_EQ(verdict.score.has_value(), verdict.filter == Filter::passed);
    EXPECT_FALSE(verdict.why.empty());
  }
  if (explained.pinned || explained.outcome == Outcome::none) return;
  ASSERT_FALSE(explained.verdicts.empty());
  EXPECT_EQ(explained.verdicts.front().id, explained.chosen);
  EXPECT_EQ(explained.verdicts.front().score, explained.score);
  const bool has_next = explained.verdicts.size() > 1 && explained.verdicts[1].score;
  EXPECT_EQ(explained.margin.has_value(), has_next);
  if (has_next) EXPECT_DOUBLE_EQ(*explained.margin, explained.score - *explained.verdicts[1].score);
}

TEST(ChooseProperty, AgreesWithTheContractReadLiterally) {
  std::map<Outcome, int> seen;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    World world(seed);
    std::map<std::string, Candidate> all;
    for (std::uint64_t i = world.random.below(seed % 2 == 0 ? 20 : 200); i > 0; --i) {
      Candidate c = world.candidate();
      all[c.id] = c;
    }
    std::vector<Candidate> list;
    for (const auto& [id, candidate] : all) list.push_back(candidate);
    const Snapshot snapshot = Snapshot::build(list).value();
    for (int i = 0; i < 20; ++i) {
      const Request request = world.request();
      Naive naive(all, request);
      const bool fits = naive.anything_fits();
      const Decision fast = choose(snapshot, request);
      expect_same(fast, naive.decide());
      EXPECT_EQ(fast, choose(snapshot, CompiledRequest(snapshot, request))) << "same input, same decision";
      if (!fast.pinned) EXPECT_EQ(fast.outcome != Outcome::none, fits) << "what fits is never refused";
      Decision explained = choose(snapshot, request, Explain::yes);
      expect_consistent(explained, all, request, Naive(all, request));
      explained.verdicts.clear();
      explained.reason = fast.reason;
      EXPECT_EQ(explained, fast);
      ++seen[fast.outcome];
    }
    if (HasFailure()) return;
  }
  for (const Outcome outcome : {Outcome::place, Outcome::stay, Outcome::move, Outcome::none}) {
    EXPECT_GT(seen[outcome], 50) << to_string(outcome);
  }
}

TEST(ChooseProperty, StaysOnceItHasMoved) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    World world(seed);
    std::vector<Candidate> list;
    for (int i = 0; i < 30; ++i) list.push_back(world.candidate());
    const Snapshot snapshot = Snapshot::build(list).value();
    Request request = world.request();
    request.migration_allowed = true;
    request.scheduled_at.reset();
    request.penalties.clear();
    const Decision first = choose(snapshot, request);
    if (first.outcome == Outcome::none) continue;
    request.current = first.chosen;
    const Decision second = choose(snapshot, request);
    EXPECT_EQ(second.outcome, Outcome::stay) << seed;
    EXPECT_EQ(second.chosen, first.chosen) << seed;
  }
}

TEST(ChooseProperty, MoreStickinessNeverMakesItMove) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    World world(seed);
    std::vector<Candidate> list;
    for (int i = 0; i < 30; ++i) list.push_back(world.candidate());
    const Snapshot snapshot = Snapshot::build(list).value();
    Request request = world.request();
    request.migration_allowed = true;
    request.stickiness = 0;
    bool stayed = false;
    for (const double stickiness : {0.0, 0.1, 0.5, 2.0, 100.0}) {
      request.stickiness = stickiness;
      const bool stays = choose(snapshot, request).outcome == Outcome::stay;
      EXPECT_TRUE(stays || !stayed) << seed << " at " << stickiness;
      stayed = stays;
    }
  }
}

TEST(SnapshotProperty, UpdatesOneByOneEqualARebuild) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    World world(seed);
    Snapshot grown;
    std::map<std::string, Candidate> model;
    // Compiled early, used throughout: the layout changes under it.
    std::vector<CompiledRequest> compiled;
    for (int i = 0; i < 10; ++i) compiled.emplace_back(grown, world.request());
    for (int step = 0; step < 150; ++step) {
      const std::string id = world.name();
      switch (world.random.below(6)) {
        case 0:
        case 1:
          EXPECT_EQ(grown.remove(id), model.erase(id) == 1);
          break;
        case 2: {
          const auto count = static_cast<std::uint32_t>(world.random.below(4));
          EXPECT_EQ(grown.set_application_count(id, count), model.contains(id));
          if (model.contains(id)) model[id].application_count = count;
          break;
        }
        case 3: {
          const Penalty penalty{static_cast<int>(world.random.below(3)), kNow + 10s};
          EXPECT_EQ(grown.set_penalty(id, penalty), model.contains(id));
          if (model.contains(id)) model[id].penalty = penalty;
          break;
        }
        default: {
          const Candidate c = world.candidate();
          model[c.id] = c;
          ASSERT_TRUE(grown.upsert(c));
        }
      }
      if (step % 10 != 9) continue;
      std::vector<Candidate> list;
      for (const auto& [name, candidate] : model) list.push_back(candidate);
      const Snapshot built = Snapshot::build(list).value();
      std::vector<std::string> order, expected;
      for (const Candidate* c : grown.candidates()) order.push_back(c->id);
      for (const Candidate* c : built.candidates()) expected.push_back(c->id);
      EXPECT_EQ(order, expected);
      for (const CompiledRequest& request : compiled) {
        EXPECT_EQ(choose(grown, request, Explain::yes), choose(built, request.request(), Explain::yes));
      }
      if (HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace krake::placement
