#include "placement/placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace krake::placement {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr Wall kNow{std::chrono::seconds(1'000'000)};

Candidate cluster(std::string name) {
  Candidate c;
  c.id = "demo/" + std::move(name);
  return c;
}
Candidate scored(std::string name, double value, double weight = 1) {
  Candidate c = cluster(std::move(name));
  c.metrics = {{"load", weight, value, ""}};
  return c;
}
expr::LabelConstraint label(std::string_view text) { return expr::parse_label_constraint(text).value(); }
expr::MetricConstraint metric(std::string_view text) { return expr::parse_metric_constraint(text).value(); }

Decision decide(const std::vector<Candidate>& candidates, Request request, SnapshotOptions options = {}) {
  request.now = kNow;
  return choose(Snapshot::build(candidates, options).value(), request, Explain::yes);
}
Request at(std::string current, double stickiness = 0.1) {
  Request request;
  request.current = std::move(current);
  request.stickiness = stickiness;
  return request;
}
std::string chosen(const Decision& decision) {
  return std::string(to_string(decision.outcome)) + " " + decision.chosen.value_or("-");
}
std::string why(const Decision& decision, const std::string& id) {
  for (const Verdict& verdict : decision.verdicts) {
    if (verdict.id == id) return std::string(to_string(verdict.filter)) + ": " + verdict.why;
  }
  return "not listed";
}

struct FilterCase {
  std::function<void(Candidate&)> candidate;
  std::function<void(Request&)> request;
  std::string verdict;  // empty: fits
};

TEST(Filter, NamesTheFirstThingThatDoesNotFit) {
  const auto nothing = [](auto&) {};
  const auto labels = [](std::string text) { return [text](Request& r) { r.labels = {label(text)}; }; };
  const auto metrics = [](std::string text) { return [text](Request& r) { r.metrics = {metric(text)}; }; };
  const auto in_slovakia = [](Candidate& c) { c.labels = {{"location", "SK"}}; };
  const auto loaded = [](Candidate& c) { c.metrics = {{"load", 6, 1.0, ""}}; };
  const auto broken = [](Candidate& c) {
    c.metrics = {{"ok", 1, 0.5, ""}, {"load", 1, std::nullopt, "UNKNOWN_METRIC: load"}};
  };
  const std::vector<FilterCase> cases = {
      {nothing, nothing, ""},
      {[](Candidate& c) { c.deleted = true; }, nothing, "deleted: cluster is being deleted"},
      {[](Candidate& c) { c.state_online = false; }, nothing, "offline: cluster is not ONLINE"},
      {in_slovakia, labels("location is DE"), "label: label location is DE: cluster has location=SK"},
      {nothing, labels("location is DE"), "label: label location is DE: cluster has no label location"},
      {nothing, labels("location is not DE"), "label: label location is not DE: cluster has no label location"},
      {nothing, labels("location not in (DE)"), "label: label location not in (DE): cluster has no label location"},
      {in_slovakia, labels("location = SK"), ""},
      {in_slovakia, labels("location != DE"), ""},
      {in_slovakia, labels("location != SK"), "label: label location != SK: cluster has location=SK"},
      {in_slovakia, labels("location in (DE, SK)"), ""},
      {in_slovakia, labels("location in (DE, AT)"), "label: label location in (DE, AT): cluster has location=SK"},
      {in_slovakia, labels("location not in (DE, AT)"), ""},
      {in_slovakia, labels("location not in (DE, SK)"),
       "label: label location not in (DE, SK): cluster has location=SK"},
      {[](Candidate& c) { c.labels = {{"location", "DE"}, {"location", "SK"}}; }, labels("location is SK"), ""},
      {nothing, [](Request& r) { r.custom_resources = {"crontabs.example.org"}; },
       "custom_resource: custom resource crontabs.example.org: cluster does not offer it"},
      {[](Candidate& c) { c.custom_resources = {"b", "a", "b"}; }, [](Request& r) { r.custom_resources = {"a", "b"}; },
       ""},
      {loaded, metrics("load > 5"), ""},
      {loaded, metrics("load > 6"), "metric: metric load > 6: cluster has load=6 (weight 6 x value 1)"},
      {loaded, metrics("load >= 6"), ""},
      {loaded, metrics("load is 6"), ""},
      {loaded, metrics("load != 6"), "metric: metric load != 6: cluster has load=6 (weight 6 x value 1)"},
      {loaded, metrics("load != 5"), ""},
      {loaded, metrics("load < 6"), "metric: metric load < 6: cluster has load=6 (weight 6 x value 1)"},
      {loaded, metrics("load <= 6"), ""},
      {nothing, metrics("load < 5"), "metric: metric load < 5: cluster has no metric load"},
      {nothing, metrics("load != 5"), "metric: metric load != 5: cluster has no metric load"},
      {loaded, metrics("load is high"), "metric: metric load is high: 'high' is not a number"},
      {broken, nothing, "metrics_failed: metric load failed: UNKNOWN_METRIC: load"},
      {[](Candidate& c) { c.metrics = {{"load", 1, 0.2, ""}, {"load", 1, 0.9, ""}}; }, metrics("load > 0.5"),
       "metric: metric load > 0.5: cluster has load=0.2 (weight 1 x value 0.2)"},
      {[](Candidate& c) { c.metrics = {{"load", 1, 0.9, ""}, {"load", 1, 0.2, ""}}; }, metrics("load > 0.5"), ""},
      {[](Candidate& c) { c.metrics = {{"load", std::numeric_limits<double>::infinity(), 0.5, ""}}; }, nothing,
       "metrics_failed: metric load has no usable value or weight"},
      {nothing, [](Request& r) { r.scope = "demo"; }, ""},
      {nothing, [](Request& r) { r.scope = "other"; }, "not listed"},
  };
  for (std::size_t i = 0; i < cases.size(); ++i) {
    Candidate candidate = cluster("a");
    Request request;
    cases[i].candidate(candidate);
    cases[i].request(request);
    const Decision decision = decide({candidate}, request);
    const bool fits = cases[i].verdict.empty();
    EXPECT_EQ(chosen(decision), fits ? "place demo/a" : "none -") << "case " << i;
    if (!fits) EXPECT_EQ(why(decision, "demo/a"), cases[i].verdict) << "case " << i;
    if (!fits) EXPECT_EQ(decision.reason, "No matching Kubernetes cluster found");
  }
}

TEST(Filter, WantsAllConstraintsOfAllLists) {
  Candidate both = scored("both", 0.5);
  both.labels = {{"a", "1"}, {"b", "2"}};
  Candidate one = scored("one", 0.9);
  one.labels = {{"a", "1"}, {"b", "3"}};
  Request request;
  request.labels = {label("a is 1"), label("b in (2, 4)")};
  request.metrics = {metric("load > 0.1"), metric("load < 0.95")};
  EXPECT_EQ(chosen(decide({both, one}, request)), "place demo/both");
}

TEST(Filter, KeepsNamespacesApart) {
  Candidate mine = scored("a", 0.1);
  Candidate other = scored("b", 0.9);
  other.id = "other/b";
  Candidate global = scored("c", 0.5);
  global.id = "c";
  Request request;
  request.scope = "demo";
  const Decision decision = decide({mine, other, global}, request);
  EXPECT_EQ(chosen(decision), "place demo/a");
  EXPECT_EQ(decision.verdicts.size(), 1U);
  request.scope = "";
  EXPECT_EQ(chosen(decide({mine, other, global}, request)), "place c");
  request.scope.reset();
  EXPECT_EQ(chosen(decide({mine, other, global}, request)), "place other/b");
}

TEST(Filter, CountsCloudsWithFailedMetricsAsWithoutMetrics) {
  Candidate broken = cluster("broken");
  broken.metrics = {{"load", 1, std::nullopt, "timeout"}};
  EXPECT_EQ(chosen(decide({broken}, {}, {.failed_metrics_exclude = false})), "place demo/broken");
  EXPECT_EQ(chosen(decide({broken, scored("z", 0)}, {}, {.failed_metrics_exclude = false})), "place demo/z");
  Request request;
  request.metrics = {metric("load != 3")};
  const Decision decision = decide({broken}, request, {.failed_metrics_exclude = false});
  EXPECT_EQ(why(decision, "demo/broken"), "metric: metric load != 3: metric load failed: timeout");
}

struct RankCase {
  std::string what;
  std::vector<Candidate> candidates;
  Request request;
  std::string chosen;
  double score;
  std::optional<double> margin;
};

TEST(Rank, FollowsScoreStickinessAndTheTieRules) {
  Candidate busy = scored("a", 0.5);
  busy.application_count = 3;
  Candidate failing = scored("a", 0.5);
  failing.penalty.failures = 1;
  Candidate two = cluster("two");
  two.metrics = {{"x", 3, 1.0, ""}, {"y", 1, 0.0, ""}};
  const std::vector<RankCase> cases = {
      {"the higher score", {scored("a", 0.2), scored("b", 0.7)}, {}, "place demo/b", 0.7, 0.5},
      {"weighted mean", {two, scored("a", 0.7)}, {}, "place demo/two", 0.75, 0.05},
      {"weights are relative to the candidate",
       {scored("a", 0.6, 1), scored("b", 0.5, 9)},
       {},
       "place demo/a",
       0.6,
       0.1},
      {"no metrics at all: by name", {cluster("b"), cluster("a")}, {}, "place demo/a", 0, 0},
      {"metrics displace none", {cluster("a"), scored("b", 0)}, {}, "place demo/b", 0, std::nullopt},
      {"even the current one", {cluster("a"), scored("b", 0)}, at("demo/a", 5), "move demo/b", 0, std::nullopt},
      {"tie: fewest applications", {busy, scored("b", 0.5)}, {}, "place demo/b", 0.5, 0},
      {"tie: fewest failures first", {failing, busy, scored("b", 0.5)}, {}, "place demo/b", 0.5, 0},
      {"failures matter less than score", {scored("z", 0.4), failing}, {}, "place demo/a", 0.5, 0.1},
      {"tie: current stays without stickiness",
       {scored("a", 0.5), scored("b", 0.5)},
       at("demo/b", 0),
       "stay demo/b",
       0.5,
       0},
      {"zero weights score nothing", {scored("a", 1, 0), scored("b", 0.1)}, {}, "place demo/b", 0.1, 0.1},
      {"stickiness holds",
       {scored("a", 0.5), scored("b", 0.54)},
       at("demo/a"),
       "stay demo/a",
       0.545454545,
       0.005454545},
      {"stickiness is overcome", {scored("a", 0.5), scored("b", 0.56)}, at("demo/a"), "move demo/b", 0.56, 0.014545455},
      {"without metrics stickiness is the score",
       {cluster("a"), cluster("b")},
       at("demo/b", 0.3),
       "stay demo/b",
       0.3,
       0.3},
      {"negative stickiness is none", {scored("a", 0.5), scored("b", 0.5)}, at("demo/b", -3), "stay demo/b", 0.5, 0},
      {"gone current", {scored("a", 0.5)}, at("demo/gone"), "move demo/a", 0.5, std::nullopt},
      {"alone", {scored("a", 0.5)}, at("demo/a", 0), "stay demo/a", 0.5, std::nullopt},
      {"equal means of different weights tie",
       {scored("a", 0.1, 3), scored("b", 0.1, 7)},
       at("demo/b", 0),
       "stay demo/b",
       0.1,
       0},
  };
  for (const RankCase& c : cases) {
    const Decision decision = decide(c.candidates, c.request);
    EXPECT_EQ(chosen(decision), c.chosen) << c.what;
    EXPECT_NEAR(decision.score, c.score, 1e-8) << c.what;
    EXPECT_EQ(decision.margin.has_value(), c.margin.has_value()) << c.what;
    if (c.margin) EXPECT_NEAR(decision.margin.value_or(-1), *c.margin, 1e-8) << c.what;
    EXPECT_FALSE(decision.pinned) << c.what;
  }
}

TEST(Rule, WhatMayNotMigrateStaysWhateverHappens) {
  Candidate a = cluster("a");
  a.state_online = false;
  Request request = at("demo/a");
  request.migration_allowed = false;
  const Decision decision = decide({a, scored("b", 1)}, request);
  EXPECT_EQ(chosen(decision), "stay demo/a");
  EXPECT_TRUE(decision.pinned);
  EXPECT_EQ(decision.reason, "stays on demo/a: migration is not allowed");
  request.current.reset();
  EXPECT_EQ(chosen(decide({a, scored("b", 1)}, request)), "place demo/b");
}

TEST(Rule, WhatWasScheduledLatelyStaysWhileItFits) {
  Request request = at("demo/a");
  request.reschedule_after = 60s;
  request.scheduled_at = kNow - 59s;
  const Decision decision = decide({scored("a", 0), scored("b", 1)}, request);
  EXPECT_EQ(chosen(decision), "stay demo/a");
  EXPECT_TRUE(decision.pinned);
  EXPECT_EQ(decision.margin, std::nullopt);
  EXPECT_EQ(decision.reason, "stays on demo/a: scheduled 59 s ago, reconsidered after 60 s");
  EXPECT_EQ(chosen(decide({cluster("a"), scored("b", 1)}, request)), "stay demo/a") << "also without metrics";
  request.scheduled_at = kNow - 60s;
  EXPECT_EQ(chosen(decide({scored("a", 0), scored("b", 1)}, request)), "move demo/b");
  request.scheduled_at = kNow - 1s;
  request.metrics = {metric("load > 0.5")};
  EXPECT_EQ(chosen(decide({scored("a", 0), scored("b", 1)}, request)), "move demo/b");
}

TEST(BackOff, PassesOverACandidateUnlessItIsTheOnlyOne) {
  Candidate best = scored("a", 0.9);
  best.penalty = {.failures = 3, .back_off_until = kNow + 29500ms};
  const Decision decision = decide({best, scored("b", 0.1)}, {});
  EXPECT_EQ(chosen(decision), "place demo/b");
  EXPECT_EQ(why(decision, "demo/a"), "back_off: cluster failed lately (failures: 3), passed over for another 30 s");
  EXPECT_EQ(chosen(decide({best}, {})), "place demo/a");
  best.penalty.back_off_until = kNow;
  EXPECT_EQ(chosen(decide({best, scored("b", 0.1)}, {})), "place demo/a") << "it is over";
}

TEST(BackOff, OfAClusterDoesNotDriveAwayWhatRunsThere) {
  Candidate a = scored("a", 0.9);
  a.penalty = {.failures = 3, .back_off_until = kNow + 30s};
  EXPECT_EQ(chosen(decide({a, scored("b", 0.1)}, at("demo/a"))), "stay demo/a");
}

TEST(BackOff, OfThisApplicationMakesItChooseDifferently) {
  Request request = at("demo/a");
  request.penalties = {{"demo/a", {.failures = 2, .back_off_until = kNow + 30s}}};
  request.scheduled_at = kNow - 1s;
  EXPECT_EQ(chosen(decide({scored("a", 0.9), scored("b", 0.1)}, request)), "move demo/b");
  EXPECT_EQ(chosen(decide({scored("a", 0.9)}, request)), "stay demo/a");
}

TEST(BackOff, OnceOverPutsTheCandidateBehindItsEquals) {
  Request request;
  request.penalties = {{"demo/a", {.failures = 1}}, {"demo/unknown", {.failures = 1}}};
  const Decision decision = decide({scored("a", 0.5), scored("b", 0.5), scored("c", 0.5)}, request);
  EXPECT_EQ(chosen(decision), "place demo/b");
  EXPECT_EQ(decision.verdicts.front().id, "demo/b");
  EXPECT_EQ(decision.verdicts.back().id, "demo/a");
  EXPECT_EQ(chosen(decide({scored("a", 0.6), scored("b", 0.5)}, request)), "place demo/a");
}

TEST(Explanation, SaysWhyHereAndWhyNotThere) {
  Candidate a = scored("a", 0.5);
  a.labels = {{"location", "SK"}};
  Candidate b = scored("b", 0.25, 2);
  b.labels = {{"location", "DE"}};
  Candidate c = cluster("c");
  c.labels = {{"location", "DE"}};
  Request request = at("demo/a");
  request.labels = {label("location is DE")};
  const Decision decision = decide({a, b, c}, request);
  EXPECT_EQ(decision.reason,
            "moves to demo/b: score 0.25; demo/a no longer fits: label location is DE: cluster has location=SK");
  EXPECT_THAT(
      decision.verdicts,
      ElementsAre(Verdict{"demo/b", Filter::passed, 0.25, "score 0.25 from 1 metric"},
                  Verdict{"demo/a", Filter::label, std::nullopt, "label location is DE: cluster has location=SK"},
                  Verdict{"demo/c", Filter::without_metrics, std::nullopt, "cluster has no metrics, others have"}));
  request.labels.clear();
  const Decision stays = decide({a, b}, request);
  EXPECT_EQ(stays.reason, "stays on demo/a: score 0.545455, 0.295455 ahead of the next");
  EXPECT_EQ(why(stays, "demo/a"), "passed: score 0.545455 from 1 metric, current place (stickiness 0.1)");
  request.current = "demo/x";
  EXPECT_EQ(decide({a}, request).reason, "moves to demo/a: score 0.5; demo/x no longer exists");
  EXPECT_EQ(decide({a}, {}).reason, "placed on demo/a: score 0.5");
}

TEST(Explanation, UsesTheWordingOfTheRequest) {
  Request request;
  request.wording = {"cloud", "No matching cloud found"};
  request.labels = {label("a is b")};
  const Decision decision = decide({cluster("a")}, request);
  EXPECT_EQ(decision.reason, "No matching cloud found");
  EXPECT_EQ(why(decision, "demo/a"), "label: label a is b: cloud has no label a");
}

TEST(Choose, FindsNothingAmongNothing) {
  const Decision decision = choose(Snapshot(), Request{});
  EXPECT_EQ(decision.outcome, Outcome::none);
  EXPECT_EQ(decision.reason, "No matching Kubernetes cluster found");
  EXPECT_THAT(decision.verdicts, IsEmpty());
}

TEST(Choose, TakesACompiledRequestPastChangesOfTheSnapshot) {
  Snapshot snapshot = Snapshot::build({cluster("a")}).value();
  Request request;
  request.labels = {label("site is x")};
  const CompiledRequest compiled(snapshot, request);
  EXPECT_EQ(chosen(choose(snapshot, compiled)), "none -");
  Candidate b = cluster("b");
  b.labels = {{"site", "x"}};
  ASSERT_TRUE(snapshot.upsert(b));
  EXPECT_EQ(chosen(choose(snapshot, compiled)), "place demo/b");
  ASSERT_TRUE(snapshot.remove("demo/b"));
  EXPECT_EQ(chosen(choose(snapshot, compiled)), "none -");
}

TEST(Traits, LeaveAsideWhatPassesByItself) {
  Candidate a = scored("a", 0.5);
  a.labels = {{"site", "x"}};
  a.custom_resources = {"crd"};
  a.state_online = false;
  a.metrics.push_back({.name = "unread"});
  struct Case {
    const char* what;
    std::function<void(Request&)> request;
    bool traits, broken;
  };
  const Case cases[] = {
      {"nothing asked", [](Request&) {}, true, false},
      {"its label", [](Request& r) { r.labels = {label("site is x")}; }, true, false},
      {"another label", [](Request& r) { r.labels = {label("site is y")}; }, false, false},
      {"its resource", [](Request& r) { r.custom_resources = {"crd"}; }, true, false},
      {"another resource", [](Request& r) { r.custom_resources = {"crd", "other"}; }, false, false},
      {"another namespace", [](Request& r) { r.scope = "other"; }, false, false},
      {"a value that holds", [](Request& r) { r.metrics = {metric("load > 0.4")}; }, true, false},
      {"a value that breaks", [](Request& r) { r.metrics = {metric("load > 0.6")}; }, true, true},
      {"a metric without value", [](Request& r) { r.metrics = {metric("unread > 0.6")}; }, true, false},
      {"an unknown metric", [](Request& r) { r.metrics = {metric("missing > 0.6")}; }, true, false},
  };
  for (const auto& c : cases) {
    Request request;
    request.scope = "demo";
    c.request(request);
    EXPECT_EQ(has_traits(a, request), c.traits) << c.what;
    EXPECT_EQ(breaks_metric(a, request), c.broken) << c.what;
  }
}

TEST(CloudWins, OnlyByAHigherScoreAndNeverOverARule) {
  Decision cluster_choice, cloud_choice;
  EXPECT_FALSE(cloud_wins(cluster_choice, cloud_choice));
  cloud_choice.outcome = Outcome::place;
  cloud_choice.score = 0.5;
  EXPECT_TRUE(cloud_wins(cluster_choice, cloud_choice));
  cluster_choice.outcome = Outcome::stay;
  cluster_choice.score = 0.5;
  EXPECT_FALSE(cloud_wins(cluster_choice, cloud_choice)) << "clusters win ties";
  cluster_choice.score = 0.4;
  EXPECT_TRUE(cloud_wins(cluster_choice, cloud_choice));
  cluster_choice.pinned = true;
  EXPECT_FALSE(cloud_wins(cluster_choice, cloud_choice));
}

}  // namespace
}  // namespace krake::placement
