#include "controllers/cluster/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random.h"

namespace krake::cluster {
namespace {

using State = ClusterState;
using std::chrono::seconds;
using ::testing::HasSubstr;

constexpr Mono kNow{std::chrono::hours(1)};
const Wall kWall{std::chrono::seconds(1'780'000'000)};

ClusterNode node(const std::string& name, std::vector<std::pair<std::string, std::string>> conditions) {
  ClusterNode out;
  out.metadata.name = name;
  out.status.emplace();
  for (auto& [type, status] : conditions) out.status->conditions.push_back({"because", "Why", status, type});
  return out;
}
const ClusterNode kGood = node("a", {{"MemoryPressure", "False"}, {"Ready", "True"}});

std::shared_ptr<Versioned<Cluster>> cluster(State state) {
  auto out = std::make_shared<Versioned<Cluster>>();
  out->object.metadata.name = "c";
  out->object.metadata.namespace_ = "demo";
  out->object.metadata.modified = DateTime::from_wall(kWall);
  out->object.spec.kubeconfig.set("server", "x");
  out->object.status.state = state;
  out->object.status.kube_controller_triggered = DateTime::from_wall(kWall);
  out->revision = 5;
  return out;
}
Contact unreachable() { return {.problem = Reason{ReasonCode::CLUSTER_NOT_REACHABLE, "connection refused"}}; }
Contact answers(int count, std::vector<ClusterNode> nodes = {kGood}) {
  return {.problem = {}, .answers = count, .nodes = std::move(nodes)};
}

TEST(ClusterPlan, JudgesByTheFirstRuleThatMatches) {
  struct Case {
    const char* what;
    State present;
    Contact contact;
    State wanted;
  };
  const auto pressed = node("b", {{"DiskPressure", "True"}, {"Ready", "False"}});
  const auto unready = node("c", {{"DiskPressure", "False"}, {"Ready", "Unknown"}});
  const Case cases[] = {
      {"new and well", State::PENDING, answers(1), State::ONLINE},
      {"no nodes", State::PENDING, answers(1, {}), State::ONLINE},
      {"new and away", State::PENDING, unreachable(), State::OFFLINE},
      {"goes away", State::ONLINE, unreachable(), State::OFFLINE},
      {"away with bad metrics", State::FAILING_METRICS, unreachable(), State::OFFLINE},
      {"bad metrics stay the scheduler's", State::FAILING_METRICS, answers(2, {pressed}), State::FAILING_METRICS},
      {"comes back", State::OFFLINE, answers(1), State::CONNECTING},
      {"comes back in one step less than it could", State::OFFLINE, answers(2), State::CONNECTING},
      {"one answer is not enough", State::CONNECTING, answers(1), State::CONNECTING},
      {"two are", State::CONNECTING, answers(2), State::ONLINE},
      {"comes back ill", State::CONNECTING, answers(2, {unready}), State::NOTREADY},
      {"pressure", State::ONLINE, answers(2, {kGood, pressed}), State::UNHEALTHY},
      {"pressure comes before readiness within a node", State::ONLINE, answers(2, {pressed, unready}),
       State::UNHEALTHY},
      {"the first bad node decides", State::ONLINE, answers(2, {unready, pressed}), State::NOTREADY},
      {"well again", State::UNHEALTHY, answers(2), State::ONLINE},
      {"ready again", State::NOTREADY, answers(2), State::ONLINE},
      {"degraded is nobody's", State::DEGRADED, answers(2), State::ONLINE},
  };
  for (const auto& c : cases) EXPECT_EQ(judge(c.present, c.contact).state, c.wanted) << c.what;
  EXPECT_THAT(judge(State::ONLINE, answers(2, {pressed})).reason->message,
              HasSubstr("node b: DiskPressure is True: because"));
}

TEST(ClusterPlan, WatchesOnlyWhatIsItsOwn) {
  for (const auto state :
       {State::CREATING, State::RECONCILING, State::DELETING, State::FAILING_RECONCILIATION, State::FAILED}) {
    Observed in{.cluster = cluster(state), .connection = Connection::current, .contact = unreachable(), .wall = kWall};
    EXPECT_EQ(to_string(make_plan(in, kNow)), "disconnect") << enum_name(state);
    in.connection = Connection::none;
    EXPECT_EQ(to_string(make_plan(in, kNow)), "") << enum_name(state);
  }
  auto deleted = cluster(State::ONLINE);
  deleted->object.metadata.deleted = DateTime::from_wall(kWall);
  EXPECT_EQ(to_string(make_plan({.cluster = deleted, .connection = Connection::current}, kNow)), "disconnect");
  auto without = cluster(State::PENDING);
  without->object.spec.kubeconfig = {};
  EXPECT_EQ(to_string(make_plan({.cluster = without}, kNow)), "");
  EXPECT_EQ(to_string(make_plan({.connection = Connection::other}, kNow)), "disconnect");
}

TEST(ClusterPlan, ConnectsAndFollowsTheKubeconfig) {
  EXPECT_EQ(to_string(make_plan({.cluster = cluster(State::PENDING)}, kNow)), "connect");
  EXPECT_EQ(to_string(make_plan(
                {.cluster = cluster(State::ONLINE), .connection = Connection::other, .contact = unreachable()}, kNow)),
            "disconnect; connect");
  EXPECT_EQ(to_string(make_plan({.cluster = cluster(State::ONLINE), .connection = Connection::current}, kNow)), "");
}

TEST(ClusterPlan, WritesOnChangeOnlyAndRatesWhatIsNotUrgent) {
  auto present = cluster(State::ONLINE);
  present->object.status.nodes = {kGood};
  Observed in{.cluster = present, .connection = Connection::current, .contact = answers(2), .wall = kWall};
  EXPECT_EQ(to_string(make_plan(in, kNow)), "");
  in.contact = answers(2, {kGood, node("b", {{"Ready", "True"}})});
  in.refresh_allowed_at = kNow + seconds(3);
  EXPECT_EQ(to_string(make_plan(in, kNow)), "wait 3000 ms");
  EXPECT_THAT(to_string(make_plan(in, kNow + seconds(3))), HasSubstr("status {\"nodes\":[{"));
  in.contact = unreachable();
  EXPECT_EQ(
      to_string(make_plan(in, kNow)),
      R"(status {"state":"OFFLINE","reason":{"code":"CLUSTER_NOT_REACHABLE","message":"connection refused"},"nodes":[]} at 5)");
}

TEST(ClusterPlan, ClearsItsOwnReasonsOnly) {
  auto present = cluster(State::ONLINE);
  present->object.status.nodes = {kGood};
  Observed in{.cluster = present, .connection = Connection::current, .contact = answers(2), .wall = kWall};
  present->object.status.reason = Reason{ReasonCode::CLUSTER_NOT_REACHABLE, "old"};
  EXPECT_EQ(to_string(make_plan(in, kNow)), R"(status {"reason":null} at 5)");
  present->object.status.reason = Reason{ReasonCode::NO_SUITABLE_RESOURCE, "of the scheduler"};
  EXPECT_EQ(to_string(make_plan(in, kNow)), "");
}

TEST(ClusterPlan, BoundsWhatItRecords) {
  std::vector<ClusterNode> many(2000, kGood);
  auto message = std::string(kMaxMessage * 3, 'x');
  Observed in{
      .cluster = cluster(State::ONLINE), .connection = Connection::current, .contact = answers(2, many), .wall = kWall};
  const auto plan = make_plan(in, kNow);
  ASSERT_EQ(plan.size(), 1u);
  EXPECT_EQ(std::get<PatchStatus>(plan[0]).fields.find("nodes")->if_array()->size(), kMaxNodes);
  EXPECT_EQ(
      judge(State::ONLINE, {.problem = Reason{ReasonCode::CLUSTER_NOT_REACHABLE, message}}).reason->message.size(),
      kMaxMessage);
}

// Carrying out a plan and planning again leads to nothing, whatever the cluster says.
TEST(ClusterPlan, ComesToRest) {
  Random random(3);
  const State states[] = {State::PENDING,  State::ONLINE,          State::CONNECTING, State::OFFLINE, State::UNHEALTHY,
                          State::NOTREADY, State::FAILING_METRICS, State::CREATING,   State::FAILED,  State::DEGRADED};
  for (int round = 0; round < 2000; ++round) {
    auto present = cluster(states[random.below(std::size(states))]);
    if (random.chance(0.3)) present->object.status.reason = Reason{ReasonCode::CLUSTER_NOT_REACHABLE, "old"};
    std::vector<ClusterNode> nodes;
    for (auto n = random.below(3); n > 0; --n) {
      nodes.push_back(node("n" + std::to_string(n), {{"MemoryPressure", random.chance(0.3) ? "True" : "False"},
                                                     {"Ready", random.chance(0.3) ? "Unknown" : "True"}}));
    }
    Observed in{.cluster = present,
                .connection = Connection::current,
                .contact = random.chance(0.3) ? unreachable() : answers(1 + static_cast<int>(random.below(2)), nodes),
                .wall = kWall};
    int steps = 0;
    for (; steps < 5; ++steps) {
      const auto plan = make_plan(in, kNow);
      const PatchStatus* patch = nullptr;
      for (const auto& action : plan) {
        if (const auto* found = std::get_if<PatchStatus>(&action)) patch = found;
      }
      if (!patch) break;
      auto document = to_value(present->object);
      json::merge_patch(document, json::Object{{"status", patch->fields}});
      auto next = std::make_shared<Versioned<Cluster>>();
      next->object = *decode_json<Cluster>(document, Form::stored);
      next->revision = present->revision + 1;
      in.cluster = present = next;
    }
    EXPECT_LT(steps, 4);
  }
}

}  // namespace
}  // namespace krake::cluster
