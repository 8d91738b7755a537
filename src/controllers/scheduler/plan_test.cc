#include "controllers/scheduler/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random.h"

namespace krake::scheduler {
namespace {

using State = ApplicationState;
using std::chrono::microseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr Mono kNow{std::chrono::hours(1)};
const Wall kWall{seconds(1'780'000'000)};

ResourceRef cluster_ref(const std::string& name) { return {"kubernetes", "demo", "Cluster", name}; }

struct Model {
  Application app;
  std::int64_t revision = 9;
  placement::Snapshot clusters;
  Memory memory;
  PlanOptions options;
  Mono now = kNow;
  Wall wall = kWall;
  bool measuring = false;

  Model() {
    app.metadata.name = "web";
    app.metadata.namespace_ = "demo";
    app.metadata.uid = "u";
    app.metadata.created = app.metadata.modified = DateTime::from_wall(kWall - seconds(10));
  }
  void cluster(const std::string& name, double load = -1, bool online = true) {
    placement::Candidate candidate{.id = "demo/" + name, .state_online = online};
    if (load >= 0) candidate.metrics.push_back({.name = "load", .weight = 1, .normalized_value = load});
    EXPECT_TRUE(clusters.upsert(std::move(candidate)));
  }
  // One of its metrics was never read, another has a value.
  void unread_cluster(const std::string& name, bool failed = false) {
    placement::Candidate candidate{.id = "demo/" + name};
    candidate.metrics.push_back({.name = "load", .normalized_value = 0.5});
    candidate.metrics.push_back({.name = "new", .failure = "not read yet", .pending = true});
    if (failed) candidate.metrics.push_back({.name = "bad", .failure = "refused"});
    EXPECT_TRUE(clusters.upsert(std::move(candidate)));
  }
  void remove_cluster(const std::string& name) {
    auto candidate = *clusters.find("demo/" + name);
    candidate.deleted = true;
    EXPECT_TRUE(clusters.upsert(std::move(candidate)));
  }
  // As the server does it.
  void bind(const std::string& name) {
    app.status.scheduled = app.status.kube_controller_triggered = DateTime::from_wall(wall);
    app.status.scheduled_to = cluster_ref(name);
    if (std::ranges::find(app.metadata.owners, cluster_ref(name)) == app.metadata.owners.end())
      app.metadata.owners.push_back(cluster_ref(name));
  }
  void pass(Duration time) {
    now += time;
    wall += std::chrono::duration_cast<microseconds>(time);
  }
  Observed observed() const {
    auto versioned = std::make_shared<Versioned<Application>>();
    versioned->object = app;
    versioned->revision = revision;
    return {.application = versioned,
            .clusters = &clusters,
            .measuring = measuring,
            .memory = memory,
            .options = options,
            .wall = wall};
  }
  Plan plan() const { return make_plan(observed(), now); }
  // Carries the plan out; the number of writes.
  int apply(const Plan& plan) {
    int writes = 0;
    for (const auto& action : plan.actions) {
      if (const auto* patch = std::get_if<PatchStatus>(&action)) {
        auto document = to_value(app);
        json::merge_patch(document, json::Object{{"status", patch->fields}});
        app = *decode_json<Application>(document, Form::stored);
        ++writes;
      } else if (const auto* bound = std::get_if<Bind>(&action)) {
        bind(bound->cluster.name);
        ++writes;
      } else if (const auto* remember = std::get_if<Remember>(&action)) {
        memory = remember->memory;
      }
    }
    revision += writes;
    return writes;
  }
};

std::string writes(const Plan& plan) {
  std::string out;
  for (const auto& action : plan.actions) {
    if (std::holds_alternative<Bind>(action) || std::holds_alternative<PatchStatus>(action))
      out += (out.empty() ? "" : "; ") + to_string(action);
  }
  return out;
}
std::optional<Duration> wait_in(const Plan& plan) {
  for (const auto& action : plan.actions) {
    if (const auto* wait = std::get_if<Wait>(&action)) return wait->time;
  }
  return std::nullopt;
}

TEST(SchedulerPlan, BindsWhatHasNoPlace) {
  Model model;
  model.cluster("a", 0.2);
  model.cluster("b", 0.7);
  EXPECT_EQ(writes(model.plan()), "bind to Cluster demo/b at 9");
}

TEST(SchedulerPlan, DoesNothingAboutTheGoneAndTheDeleted) {
  EXPECT_EQ(make_plan({}, kNow), Plan{});
  Model model;
  model.cluster("a");
  model.app.metadata.deleted = DateTime::from_wall(kWall);
  EXPECT_EQ(model.plan(), Plan{});
}

TEST(SchedulerPlan, ANewPlaceWaitsForFirstReadingsOnce) {
  Model model;
  model.cluster("a");
  model.measuring = true;
  EXPECT_EQ(to_string(model.plan()), "remember 0 attempts; wait 3000 ms");
  model.apply(model.plan());
  model.pass(seconds(2));
  EXPECT_EQ(to_string(model.plan()), "wait 1000 ms") << "whatever cluster is new meanwhile";
  auto read = model;
  read.measuring = false;
  EXPECT_EQ(writes(read.plan()), "bind to Cluster demo/a at 9");
  model.pass(seconds(1));
  EXPECT_EQ(writes(model.plan()), "bind to Cluster demo/a at 9");
}

TEST(SchedulerPlan, NothingThatHasAPlaceWaitsForReadings) {
  Model model;
  model.cluster("a");
  model.bind("a");
  model.measuring = true;
  model.app.metadata.modified = DateTime::from_wall(kWall + seconds(5));
  EXPECT_THAT(writes(model.plan()), StartsWith(R"(status {"kube_controller_triggered":)"));
}

TEST(SchedulerPlan, ThatNothingFitsCountsOnlyWhenEverythingWasRead) {
  for (const bool placed : {false, true}) {
    Model model;
    if (placed) model.bind("gone");
    model.unread_cluster("a");
    model.measuring = true;
    model.apply(model.plan());
    model.pass(seconds(19));
    EXPECT_EQ(to_string(model.plan()), "wait 1000 ms");
    auto read = model;
    read.measuring = false;
    EXPECT_THAT(writes(read.plan()), HasSubstr("DEGRADED"));
    model.pass(seconds(1));
    EXPECT_THAT(writes(model.plan()), HasSubstr("DEGRADED"));
  }
}

TEST(SchedulerPlan, AMetricThatWasNeverReadMovesNothing) {
  struct Case {
    const char* what;
    bool failed;
    std::string constraint, writes;
  };
  const Case cases[] = {
      {"not read", false, "", ""},
      {"not read, and asked for", false, "new > 0.5", ""},
      {"another has failed", true, "", "bind to Cluster demo/b at 9"},
      {"another breaks a constraint", false, "load > 0.9", "bind to Cluster demo/b at 9"},
  };
  for (const auto& c : cases) {
    Model model;
    model.cluster("a");
    model.bind("a");
    model.unread_cluster("a", c.failed);
    placement::Candidate other{.id = "demo/b"};
    for (const auto* name : {"load", "new"}) other.metrics.push_back({.name = name, .normalized_value = 1.0});
    ASSERT_TRUE(model.clusters.upsert(std::move(other)));
    if (!c.constraint.empty())
      model.app.spec.constraints.cluster.metrics = std::vector{*expr::parse_metric_constraint(c.constraint)};
    model.measuring = true;
    model.pass(seconds(600));
    EXPECT_EQ(writes(model.plan()), c.writes) << c.what;
  }
}

TEST(SchedulerPlan, RenewsTheHandshakeOnlyWhenItIsOld) {
  Model model;
  model.cluster("a");
  model.bind("a");
  EXPECT_EQ(writes(model.plan()), "");
  model.app.metadata.modified = DateTime::from_wall(kWall + seconds(5));  // by a server whose clock is ahead
  EXPECT_EQ(writes(model.plan()), R"(status {"kube_controller_triggered":"2026-05-28T20:26:45+00:00"} at 9)");
  model.apply(model.plan());
  EXPECT_TRUE(is_confirmed(model.app));
  EXPECT_EQ(writes(model.plan()), "");
}

TEST(SchedulerPlan, WithoutAnIntervalItIsLookedAtTenTimesASecond) {
  Model model;
  model.options.reschedule_after = Duration::zero();
  model.cluster("a", 0.1);
  model.bind("a");
  EXPECT_EQ(wait_in(model.plan()), std::chrono::milliseconds(100)) << "not at once for ever";
  model.cluster("b", 1.0);
  EXPECT_EQ(writes(model.plan()), "bind to Cluster demo/b at 9");
}

TEST(SchedulerPlan, TheIntervalRunsFromSettlingUpToTwiceTheInterval) {
  Model model;
  model.cluster("a", 0.1);
  model.bind("a");
  model.cluster("b", 1.0);
  EXPECT_EQ(writes(model.plan()), "");
  EXPECT_EQ(wait_in(model.plan()), seconds(60));
  model.memory.uid = "u";
  model.memory.settled_at = kWall + seconds(30);
  EXPECT_EQ(wait_in(model.plan()), seconds(90));
  model.memory.settled_at = kWall + seconds(100);
  EXPECT_EQ(wait_in(model.plan()), seconds(120));
  model.pass(seconds(119));
  EXPECT_EQ(writes(model.plan()), "");
  model.pass(seconds(1));
  EXPECT_EQ(writes(model.plan()), "bind to Cluster demo/b at 9");
}

TEST(SchedulerPlan, AChangedSpecIsReconsideredByThePlainRule) {
  Model model;
  model.cluster("a", 0.1);
  model.cluster("b", 0.0);
  model.bind("a");
  model.cluster("b", 1.0);
  model.memory = {.uid = "u", .settled_at = kWall + seconds(55)};
  model.pass(seconds(61));
  EXPECT_EQ(writes(model.plan()), "");
  model.app.metadata.modified = DateTime::from_wall(model.wall);
  EXPECT_EQ(writes(model.plan()), "bind to Cluster demo/b at 9");
}

TEST(SchedulerPlan, LeavesAnUnsuitableClusterAtOnce) {
  Model model;
  model.cluster("a");
  model.cluster("b");
  model.bind("a");
  auto labelled = *model.clusters.find("demo/b");
  labelled.labels = {{"x", "y"}};
  ASSERT_TRUE(model.clusters.upsert(labelled));
  model.app.spec.constraints.cluster.labels = std::vector{*expr::parse_label_constraint("x is y")};
  EXPECT_EQ(writes(model.plan()), "bind to Cluster demo/b at 9");
  model.cluster("a", -1, false);
  EXPECT_EQ(writes(model.plan()), "bind to Cluster demo/b at 9") << "waiting would not make it fit";
  model.app.spec.constraints.migration = false;
  EXPECT_EQ(writes(model.plan()), "");
}

TEST(SchedulerPlan, LeavesAClusterThatIsNotOnlineAfterTheHoldOff) {
  Model model;
  model.cluster("a");
  model.cluster("b");
  model.bind("a");
  model.cluster("a", -1, false);
  EXPECT_EQ(writes(model.plan()), "");
  EXPECT_EQ(wait_in(model.plan()), seconds(15));
  model.apply(model.plan());
  model.pass(seconds(14));
  EXPECT_EQ(writes(model.plan()), "");
  EXPECT_EQ(wait_in(model.plan()), seconds(1));
  EXPECT_THAT(model.plan().decision->reason, StartsWith("stays on demo/a: "));
  auto left = model;
  left.pass(seconds(1));
  EXPECT_EQ(writes(left.plan()), "bind to Cluster demo/b at 9");
  left.app.spec.constraints.migration = false;
  EXPECT_EQ(writes(left.plan()), "");
  // What comes back starts from the beginning.
  model.cluster("a");
  model.apply(model.plan());
  EXPECT_FALSE(model.memory.absence);
  model.pass(seconds(10));
  model.cluster("a", -1, false);
  EXPECT_EQ(writes(model.plan()), "");
  EXPECT_EQ(wait_in(model.plan()), seconds(15));
  model.options.reschedule_after = seconds(5);
  EXPECT_EQ(wait_in(model.plan()), seconds(5)) << "never longer than the interval";
  model.app.metadata.modified = DateTime::from_wall(model.wall);
  EXPECT_THAT(writes(model.plan()), StartsWith(R"(status {"kube_controller_triggered":)"))
      << "what the user changes is not held up";
}

TEST(SchedulerPlan, StaysWithAClusterThatIsBeingDeleted) {
  struct Case {
    const char* what;
    std::optional<std::string> scheduled_to, running_on;
    std::string owner, leaving, writes;
  };
  const Case cases[] = {
      {"placed there", "a", {}, "a", "a", ""},
      {"runs there", "a", "a", "a", "a", ""},
      {"on its way from there", "b", "a", "a", "a", ""},
      {"on its way to there", "a", "b", "a", "a", ""},
      {"with its status lost", {}, "a", "a", "a", ""},
      {"placed elsewhere", "b", "b", "b", "a", ""},
      {"without a place", {}, {}, "", "a", "bind to Cluster demo/b at 9"},
  };
  for (const auto& c : cases) {
    Model model;
    model.cluster("a", 0.1);
    model.cluster("b", 0.1);
    if (c.scheduled_to) model.bind(*c.scheduled_to);
    if (c.running_on) model.app.status.running_on = cluster_ref(*c.running_on);
    if (!c.owner.empty()) model.app.metadata.owners = {cluster_ref(c.owner)};
    model.cluster("b", 1.0);
    model.remove_cluster(c.leaving);
    model.pass(seconds(600));
    EXPECT_EQ(writes(model.plan()), c.writes) << c.what;
  }
}

TEST(SchedulerPlan, AvoidsAClusterThatRefuses) {
  const auto complain = [](Model& model, const std::string& text) {
    model.app.status.state = State::FAILED;
    model.app.status.reason = Reason{ReasonCode::KUBERNETES_ERROR, text};
  };
  Model model;
  model.cluster("a", 0.9);
  model.cluster("b", 0.1);
  model.bind("a");
  complain(model, "a: quota exceeded");
  EXPECT_EQ(writes(model.plan()), "");
  EXPECT_EQ(wait_in(model.plan()), seconds(10));
  model.apply(model.plan());
  model.pass(seconds(10));
  auto alone = model;
  EXPECT_TRUE(alone.clusters.remove("demo/b"));
  EXPECT_EQ(writes(alone.plan()), "") << "the last resort is to go on trying";
  EXPECT_EQ(writes(model.plan()), "bind to Cluster demo/b at 9");
  model.apply(model.plan());
  // What is still in the status was said of the other cluster.
  model.pass(seconds(30));
  EXPECT_EQ(model.apply(model.plan()), 0);
  model.app.status.state = State::RUNNING;
  model.app.status.reason.reset();
  model.app.status.running_on = cluster_ref("b");
  model.pass(seconds(29));
  EXPECT_EQ(model.apply(model.plan()), 0);
  model.pass(seconds(1));
  EXPECT_EQ(writes(model.plan()), "bind to Cluster demo/a at 10");
  model.apply(model.plan());
  complain(model, "migration to a was given up");
  model.apply(model.plan());
  model.pass(seconds(10));
  EXPECT_EQ(writes(model.plan()), "bind to Cluster demo/b at 11") << "it still runs there";
  model.apply(model.plan());
  model.app.status.state = State::RUNNING;
  model.app.status.reason.reset();
  model.pass(seconds(119));
  EXPECT_EQ(model.apply(model.plan()), 0) << "twice as long the second time";
  model.pass(seconds(1));
  EXPECT_EQ(writes(model.plan()), "bind to Cluster demo/a at 12");
  model.apply(model.plan());
  model.app.status.running_on = cluster_ref("a");
  model.apply(model.plan());
  EXPECT_TRUE(model.memory.refusals.empty()) << "who has taken it is forgiven";
}

TEST(SchedulerPlan, AnOldComplaintDoesNotStopAMigration) {
  Model model;
  model.cluster("a", 0.1);
  model.bind("a");
  model.app.status.running_on = cluster_ref("a");
  model.app.status.state = State::RUNNING;
  model.app.status.reason = Reason{ReasonCode::RECONCILE_FAILED, "a: one object cannot be applied"};
  model.cluster("b", 1.0);
  model.pass(seconds(120));
  EXPECT_EQ(writes(model.plan()), "bind to Cluster demo/b at 9");
  model.apply(model.plan());
  model.app.status.state = State::MIGRATING;
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(model.apply(model.plan()), 0);
    model.pass(seconds(11));
  }
  model.app.status.reason = Reason{ReasonCode::CREATE_FAILED, "migration to b was given up"};
  model.apply(model.plan());
  model.pass(seconds(10));
  EXPECT_EQ(writes(model.plan()), "bind to Cluster demo/a at 10");
}

TEST(SchedulerPlan, WhatCountsAsARefusal) {
  struct Case {
    const char* what;
    State state;
    std::optional<ReasonCode> reason;
    std::optional<std::string> running_on;
    std::optional<Duration> after;
  };
  const Case cases[] = {
      {"an error of the cluster", State::FAILED, ReasonCode::KUBERNETES_ERROR, {}, seconds(10)},
      {"objects cannot be made", State::RUNNING, ReasonCode::CREATE_FAILED, "b", seconds(10)},
      {"takes for ever", State::CREATING, {}, {}, seconds(300)},
      {"nothing is known", State::PENDING, {}, {}, {}},
      {"the manifest is wrong", State::FAILED, ReasonCode::INVALID_RESOURCE, {}, {}},
      {"it runs there", State::FAILED, ReasonCode::KUBERNETES_ERROR, "a", {}},
  };
  for (const auto& c : cases) {
    Model model;
    model.cluster("a");
    model.bind("a");
    model.cluster("b");
    model.app.status.state = c.state;
    if (c.reason) model.app.status.reason = Reason{*c.reason, "why"};
    if (c.running_on) model.app.status.running_on = cluster_ref(*c.running_on);
    model.apply(model.plan());
    model.pass(c.after.value_or(seconds(3600)) - seconds(1));
    EXPECT_EQ(model.apply(model.plan()), 0) << c.what;
    model.pass(seconds(1));
    EXPECT_EQ(writes(model.plan()), c.after ? "bind to Cluster demo/b at 9" : "") << c.what;
  }
}

TEST(SchedulerPlan, FailureIsCountedAtItsTimeAndNotAtEveryLook) {
  Model model;
  model.app.spec.backoff_limit = 2;
  model.app.spec.backoff_delay = 3;
  auto plan = model.plan();
  EXPECT_THAT(writes(plan), HasSubstr(R"("state":"DEGRADED","retries":1,"reason":{"code":"NO_SUITABLE_RESOURCE")"));
  EXPECT_EQ(wait_in(plan), seconds(3));
  model.apply(plan);
  EXPECT_EQ(model.app.status.scheduled_retry->wall(), kWall + seconds(3));
  for (int look = 0; look < 5; ++look) {
    EXPECT_EQ(writes(model.plan()), "");
    model.pass(std::chrono::milliseconds(500));
  }
  model.pass(seconds(1));
  model.apply(model.plan());
  EXPECT_EQ(model.app.status.retries, Integer(0));
  EXPECT_EQ(model.app.status.state, State::DEGRADED);
  model.pass(seconds(3));
  model.apply(model.plan());
  EXPECT_EQ(model.app.status.state, State::FAILED);
  model.pass(seconds(300));
  EXPECT_EQ(writes(model.plan()), "");
  model.cluster("a");
  EXPECT_EQ(writes(model.plan()), "") << "given up";
  model.app.metadata.modified = DateTime::from_wall(model.wall);
  EXPECT_EQ(
      writes(model.plan()),
      R"(status {"retries":null,"scheduled_retry":null,"reason":null,"state":"PENDING"} at 12; bind to Cluster demo/a at 12)");
}

TEST(SchedulerPlan, AUserUpdateIsAppliedWhereItRunsEvenWhenNothingFits) {
  for (const std::int64_t limit : {-1, 0}) {
    Model model;
    model.app.spec.backoff_limit = limit;
    model.cluster("a");
    model.bind("a");
    model.app.status.running_on = cluster_ref("a");
    model.cluster("a", -1, false);
    model.apply(model.plan());
    model.pass(seconds(20));
    model.apply(model.plan());
    ASSERT_EQ(model.app.status.reason->code, ReasonCode::NO_SUITABLE_RESOURCE);
    model.pass(seconds(1));
    model.app.metadata.modified = DateTime::from_wall(model.wall);
    ASSERT_FALSE(is_confirmed(model.app));
    model.apply(model.plan());
    EXPECT_TRUE(is_confirmed(model.app));
    EXPECT_EQ(model.app.status.state, limit < 0 ? State::DEGRADED : State::FAILED);
    // The handshake was lost, no attempt is due.
    model.app.status.kube_controller_triggered.reset();
    model.apply(model.plan());
    EXPECT_TRUE(is_confirmed(model.app));
    EXPECT_EQ(writes(model.plan()), "");
    // Where it must not run any more nothing is applied.
    model.app.spec.constraints.cluster.labels = std::vector{*expr::parse_label_constraint("x is y")};
    model.pass(seconds(1));
    model.app.metadata.modified = DateTime::from_wall(model.wall);
    model.apply(model.plan());
    EXPECT_FALSE(is_confirmed(model.app));
  }
}

TEST(SchedulerPlan, AChangedSpecStartsTheCountAgain) {
  Model model;
  model.app.spec.backoff_limit = 1;
  model.apply(model.plan());
  model.pass(seconds(1));
  model.apply(model.plan());
  ASSERT_EQ(model.app.status.state, State::FAILED);
  model.pass(seconds(1));
  model.app.metadata.modified = DateTime::from_wall(model.wall);
  model.apply(model.plan());
  EXPECT_EQ(model.app.status.state, State::DEGRADED);
  EXPECT_EQ(model.app.status.retries, Integer(0));
}

TEST(SchedulerPlan, WithoutALimitItSlowsDownAndWritesNothingNew) {
  Model model;
  EXPECT_EQ(model.apply(model.plan()), 1);
  std::vector<std::int64_t> waits;
  for (int i = 0; i < 12; ++i) {
    const auto wait = wait_in(model.plan());
    ASSERT_TRUE(wait);
    waits.push_back(std::chrono::duration_cast<seconds>(*wait).count());
    model.pass(*wait);
    EXPECT_EQ(model.apply(model.plan()), 0);
  }
  EXPECT_THAT(waits, ::testing::ElementsAre(1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300));
}

TEST(SchedulerPlan, ExplainsOnlyWhenAnAttemptIsDue) {
  Model model;
  model.app.spec.backoff_delay = 10;
  for (int i = 0; i < 20; ++i) model.cluster("c" + std::to_string(i), -1, false);
  EXPECT_EQ(model.plan().decision->verdicts.size(), 20u);
  model.apply(model.plan());
  model.pass(seconds(9));
  ASSERT_TRUE(model.plan().decision);
  EXPECT_EQ(model.plan().decision->outcome, placement::Outcome::none);
  EXPECT_TRUE(model.plan().decision->verdicts.empty());
  model.pass(seconds(1));
  EXPECT_EQ(model.plan().decision->verdicts.size(), 20u);
  model.cluster("c1");
  EXPECT_THAT(model.plan().decision->reason, StartsWith("placed on demo/c1: "));
  model.bind("c1");
  EXPECT_TRUE(model.plan().decision->verdicts.empty()) << "staying";
}

TEST(SchedulerPlan, DelaysHonourTheFields) {
  struct Case {
    std::int64_t backoff, delay, limit;
    int attempt;
    double seconds;
  };
  const Case cases[] = {
      {1, 1, 5, 0, 1},     {1, 1, 5, 4, 1},      {1, 10, 5, 3, 10},
      {2, 3, 5, 0, 6},     {2, 3, 5, 1, 12},     {3, 1, 5, 2, 27},
      {1, 1, -1, 3, 8},    {3, 2, -1, 1, 18},    {1, 1, -1, 999, 300},
      {1, 500, 5, 0, 500}, {1, 500, -1, 9, 500}, {9, 9, 9, 99, 300},
      {0, 0, 5, 0, 0.1},   {-5, -5, 5, 3, 0.1},  {1'000'000'000, 1'000'000'000, 5, 60, 86'400},
  };
  for (const auto& c : cases) {
    ApplicationSpec spec;
    spec.backoff = c.backoff;
    spec.backoff_delay = c.delay;
    spec.backoff_limit = c.limit;
    const auto delay = retry_delay(spec, c.attempt, seconds(300));
    EXPECT_NEAR(std::chrono::duration<double>(delay).count(), c.seconds, 0.001)
        << c.backoff << " " << c.delay << " " << c.limit << " " << c.attempt;
  }
}

TEST(SchedulerPlan, TimesFarAwayAreNoTrouble) {
  for (const auto* time : {"9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"}) {
    const auto far = *parse_datetime(time);
    Model none;
    none.app.status.state = State::DEGRADED;
    none.app.status.reason = Reason{ReasonCode::NO_SUITABLE_RESOURCE, "none"};
    none.app.status.scheduled_retry = far;
    none.app.metadata.modified = DateTime::from_wall(std::min(far.wall(), kWall));
    const auto wait = wait_in(none.plan());
    ASSERT_TRUE(wait) << time;
    EXPECT_GE(*wait, Duration::zero()) << time;
    EXPECT_LE(*wait, std::chrono::hours(24)) << time;
    Model placed;
    placed.cluster("a", 0.5);
    placed.bind("a");
    placed.app.status.scheduled = far;
    placed.cluster("b", 1.0);
    const bool future = far.wall() > kWall;
    EXPECT_EQ(writes(placed.plan()), future ? "" : "bind to Cluster demo/b at 9") << time;
    EXPECT_GT(wait_in(placed.plan()).value_or(Duration::zero()), Duration::zero()) << time;
  }
}

TEST(SchedulerPlan, AReasonOfSomebodyElseStays) {
  Model model;
  model.cluster("a");
  model.bind("a");
  model.app.status.state = State::FAILED;
  model.app.status.reason = Reason{ReasonCode::KUBERNETES_ERROR, "of the application controller"};
  EXPECT_EQ(writes(model.plan()), "");
}

TEST(SchedulerPlan, LooksForALostPlace) {
  Model model;
  model.cluster("a", 0.1);
  model.cluster("b", 0.9);
  model.app.metadata.owners = {cluster_ref("b"), {"kubernetes", "demo", "Application", "x"}, cluster_ref("a")};
  auto plan = model.plan();
  EXPECT_EQ(writes(plan), "");
  EXPECT_EQ(wait_in(plan), seconds(10));
  model.apply(plan);
  model.pass(seconds(4));
  EXPECT_EQ(wait_in(model.plan()), seconds(6));
  auto told = model;
  told.app.status.running_on = cluster_ref("b");
  EXPECT_EQ(writes(told.plan()), "bind to Cluster demo/b at 9");
  model.pass(seconds(6));
  EXPECT_EQ(writes(model.plan()), "bind to Cluster demo/a at 9") << "the last owner";
}

TEST(SchedulerPlan, ExplainsInShort) {
  Model model;
  EXPECT_EQ(explain_none(*model.plan().decision),
            "No matching Kubernetes cluster found: there is no cluster in this namespace");
  for (int i = 0; i < 50; ++i) model.cluster("cluster-with-a-long-name-" + std::to_string(i), -1, false);
  const auto text = explain_none(*model.plan().decision);
  EXPECT_LE(text.size(), 1200u);
  EXPECT_THAT(text, StartsWith("No matching Kubernetes cluster found: demo/cluster-with-a-long-name-0: "));
  EXPECT_THAT(text, HasSubstr("; and 42 more"));
}

TEST(SchedulerPlan, ClusterStateFollowsItsMetrics) {
  const auto with = [](ClusterState state, std::vector<std::string> reasons = {}) {
    auto cluster = std::make_shared<Versioned<Cluster>>();
    cluster->object.status.state = state;
    for (const auto& name : reasons)
      cluster->object.status.metrics_reasons.set(name, {ReasonCode::INVALID_METRIC, "old"});
    cluster->revision = 4;
    return cluster;
  };
  const Measure good{.name = "g", .normalized = 0.5};
  const Measure bad{.name = "b", .failure = Reason{ReasonCode::INVALID_METRIC, "new"}};
  const Measure unread{.name = "u"};
  struct Case {
    const char* what;
    ObservedCluster in;
    std::string status;
  };
  const Case cases[] = {
      {"all is well", {with(ClusterState::ONLINE), {good}}, ""},
      {"no metrics", {with(ClusterState::ONLINE), {}}, ""},
      {"fails",
       {with(ClusterState::ONLINE), {good, bad}},
       R"({"state":"FAILING_METRICS","metrics_reasons":{"b":{"code":"INVALID_METRIC","message":"new"}}})"},
      {"fails as before", {with(ClusterState::FAILING_METRICS, {"b"}), {good, bad}}, ""},
      {"fails in another way",
       {with(ClusterState::FAILING_METRICS, {"g"}), {good, bad}},
       R"({"metrics_reasons":{"g":null,"b":{"code":"INVALID_METRIC","message":"new"}}})"},
      {"recovers",
       {with(ClusterState::FAILING_METRICS, {"b"}), {good}},
       R"({"state":"ONLINE","metrics_reasons":{"b":null}})"},
      {"recovers without metrics",
       {with(ClusterState::FAILING_METRICS, {"b"}), {}},
       R"({"state":"ONLINE","metrics_reasons":{"b":null}})"},
      {"tidies up", {with(ClusterState::ONLINE, {"b"}), {good}}, R"({"metrics_reasons":{"b":null}})"},
      {"not known yet", {with(ClusterState::FAILING_METRICS, {"b"}), {good, unread}}, ""},
      {"one fails, another is not known yet",
       {with(ClusterState::ONLINE), {unread, bad}},
       R"({"state":"FAILING_METRICS","metrics_reasons":{"b":{"code":"INVALID_METRIC","message":"new"}}})"},
      {"what is not known yet keeps its reason", {with(ClusterState::FAILING_METRICS, {"b", "u"}), {unread, bad}}, ""},
      {"offline", {with(ClusterState::OFFLINE), {bad}}, ""},
      {"gone", {nullptr, {bad}}, ""},
  };
  for (const auto& c : cases) {
    const auto plan = make_cluster_plan(c.in);
    EXPECT_EQ(plan ? json::print(plan->fields) : "", c.status) << c.what;
  }
}

// Random worlds: plans come to rest, bind only where it fits, and move for a score only when it is due.
TEST(SchedulerPlan, Properties) {
  for (std::uint64_t seed = 1; seed <= 3000; ++seed) {
    Random random(seed);
    Model model;
    const auto clusters = random.below(5);
    const bool metrics = random.chance(0.5);
    for (std::uint64_t i = 0; i < clusters; ++i) {
      model.cluster("c" + std::to_string(i), metrics ? static_cast<double>(random.below(10)) / 10 : -1,
                    random.chance(0.7));
    }
    model.app.spec.constraints.migration = random.chance(0.8);
    model.app.spec.backoff_limit = static_cast<std::int64_t>(random.below(4)) - 1;
    if (random.chance(0.6)) {
      model.bind("c" + std::to_string(random.below(6)));
      if (random.chance(0.3)) model.app.status.running_on = model.app.status.scheduled_to;
    }
    if (random.chance(0.2)) model.app.status.scheduled_to.reset();
    if (random.chance(0.2)) model.app.status.kube_controller_triggered.reset();
    if (random.chance(0.3))
      model.app.status.reason =
          Reason{random.chance(0.5) ? ReasonCode::NO_SUITABLE_RESOURCE : ReasonCode::KUBERNETES_ERROR, "old"};
    if (random.chance(0.3)) model.app.status.state = random.chance(0.5) ? State::DEGRADED : State::FAILED;
    if (random.chance(0.2)) model.app.status.retries = static_cast<std::int64_t>(random.below(3));
    model.pass(seconds(random.below(200)));
    if (random.chance(0.3)) model.app.metadata.modified = DateTime::from_wall(model.wall);
    if (model.app.status.scheduled_to && random.chance(0.7))
      model.memory = {.uid = "u", .absence = Since{"demo/" + model.app.status.scheduled_to->name, kNow - seconds(60)}};

    const auto before = model.app.status.scheduled_to;
    const auto* present = before ? model.clusters.find("demo/" + before->name) : nullptr;
    const auto plan = model.plan();
    EXPECT_EQ(plan, model.plan()) << "equal input, equal plan";
    for (const auto& action : plan.actions) {
      const auto* bind = std::get_if<Bind>(&action);
      if (!bind) continue;
      // What may not move is written down where it runs, whatever has become of that cluster.
      if (!model.app.spec.constraints.migration && model.app.status.running_on == bind->cluster) continue;
      const auto* target = model.clusters.find("demo/" + bind->cluster.name);
      ASSERT_TRUE(target) << seed;
      EXPECT_TRUE(target->state_online) << seed;
      if (!before || *before == bind->cluster) continue;
      EXPECT_TRUE(model.app.spec.constraints.migration) << seed << " " << to_string(plan);
      if (present && present->state_online) {
        EXPECT_GE(model.wall - model.app.status.scheduled->wall(), seconds(60)) << seed << " " << to_string(plan);
      }
    }
    int steps = 0;
    while (steps < 6 && model.apply(model.plan()) > 0) ++steps;
    EXPECT_LT(steps, 3) << seed << " " << to_string(model.plan());
    EXPECT_LE(plan.actions.size(), 4u);
  }
}

}  // namespace
}  // namespace krake::scheduler
