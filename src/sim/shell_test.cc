#include "sim/shell.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/command_user.h"

namespace krake::sim {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(FateOfACommand, IsWhatItsUserCanKnow) {
  struct Case {
    Ran ran;
    Fate fate;
  };
  const Case cases[] = {
      {{.exit = 0, .out = "{}", .err = {}}, Fate::done},
      {{.exit = 0, .out = {}, .err = "WARNING: something\n"}, Fate::done},
      {{.exit = 2, .out = {}, .err = "usage: krakectl\n"}, Fate::refused},
      {{.exit = 1, .out = {}, .err = R"({"status": 409, "title": "RESOURCE_ALREADY_EXISTS"})"}, Fate::refused},
      {{.exit = 1, .out = {}, .err = R"({"status": 404})"}, Fate::refused},
      {{.exit = 1, .out = {}, .err = R"({"status": 503})"}, Fate::unknown},
      {{.exit = 1, .out = {}, .err = "Error: no answer from the Krake API\nHint: may or may not\n"}, Fate::unknown},
      {{.exit = 1, .out = {}, .err = "Error: the Krake API cannot be reached\n"}, Fate::unknown},
      {{.exit = 1, .out = {}, .err = "Error: not running\nHint: the change itself was accepted; ...\n"}, Fate::done},
      {{.killed = true, .out = "{", .err = {}}, Fate::unknown},
      {{.out = {}, .err = {}}, Fate::unknown},
  };
  for (const auto& [ran, fate] : cases) EXPECT_EQ(fate_of(ran), fate) << ran.out << ran.err;
}

// Two API servers and nobody else.
class CommandWorld : public ::testing::Test {
 protected:
  CommandWorld() {
    conductor.add(loop);
    conductor.at_rest([this] { checks.advance(); });
    network.on_send([this](const auto&, const auto& to, const auto&) {
      shell.sent(to);
      user.sent(to);
    });
    for (const auto& name : fleet.servers()) fleet.start(name);
    conductor.pass(seconds(1));
  }
  ~CommandWorld() override { loop.drop(); }

  Ran run(std::vector<std::string> args, std::optional<std::uint64_t> kill_after = std::nullopt) {
    return shell.run({.args = std::move(args),
                      .files = {{"app.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: web}}\n"}},
                      .kill_after = kill_after,
                      .limit = minutes(2)});
  }
  Ran create(const std::string& app, std::optional<std::uint64_t> kill_after = std::nullopt) {
    return run({"kube", "app", "create", app, "-f", "app.yaml", "-o", "json"}, kill_after);
  }
  // Of what the store has.
  bool stored(const std::string& app) {
    checks.advance();
    return checks.applications().contains(app);
  }
  double seconds_of(const std::function<void()>& what) {
    const auto begin = clock.now();
    what();
    return std::chrono::duration<double>(clock.now() - begin).count();
  }
  ApplicationSpec spec_with(std::string_view image) {
    ApplicationSpec spec;
    spec.manifest.push_back(json::Object{{"apiVersion", "v1"},
                                         {"kind", "ConfigMap"},
                                         {"metadata", json::Object{{"name", "web"}}},
                                         {"data", json::Object{{"image", image}, {"version", "3"}}}});
    spec.constraints.cluster.labels.emplace().push_back(*expr::parse_label_constraint("location is DE"));
    spec.constraints.cluster.metrics.emplace().push_back(*expr::parse_metric_constraint("load-c0 > 0.5"));
    return spec;
  }

  ProcessLoop loop;
  SimClock clock{loop.get_executor(), Wall(seconds(1'780'000'000))};
  Conductor conductor{clock};
  Metrics metrics;
  Env env{loop.get_executor(), clock, Random(1), Log(), metrics};
  Trace trace{clock};
  Network network{env, trace};
  std::shared_ptr<store::MemoryDisk> disk = std::make_shared<store::MemoryDisk>("sim", store::MemoryOptions{});
  Clusters clusters;
  Model model;
  Removals removals;
  Reached reached;
  Checks checks{*disk, clusters, model, removals, reached};
  Recorder recorder{checks.history(), removals, reached, [this] { checks.advance(); },
                    [this](const Complaint& complaint) { checks.complain(complaint); }};
  Surroundings world{env, clock, conductor, network, recorder};
  Fleet fleet{world, disk, {.servers = 2}, trace, reached};
  Scenario scenario;
  Shell shell{world, fleet.servers(), reached};
  CommandUser user{world, fleet.servers(), checks, model, reached, trace, scenario};
};

TEST_F(CommandWorld, RunsAsInAShell) {
  const auto created = create("web");
  EXPECT_EQ(created.exit, 0) << created.err;
  EXPECT_EQ(json::parse(created.out).value_or(json::Value()).string_at({"metadata", "name"}), "web");
  EXPECT_TRUE(stored("web"));
  const auto again = create("web");
  EXPECT_EQ(again.exit, 1);
  EXPECT_EQ(fate_of(again), Fate::refused) << again.err;
  EXPECT_THAT(run({"kube", "app", "list", "-o", "name"}).out, HasSubstr("web"));
  EXPECT_EQ(json::parse(run({"core", "lease", "list", "-o", "json"}).out), json::Value(json::Array()));
  EXPECT_EQ(run({"kube", "app", "get", "nobody", "-o", "json"}).exit, 1);
  EXPECT_EQ(run({"kube", "app", "explode"}).exit, 2);
  const auto missing = run({"kube", "app", "create", "b", "-f", "missing.yaml"});
  EXPECT_EQ(missing.exit, 2);
  EXPECT_THAT(missing.err, HasSubstr("No such file"));
  EXPECT_EQ(run({"kube", "app", "delete", "web", "--force"}).exit, 0);
  EXPECT_FALSE(stored("web"));
}

TEST_F(CommandWorld, MayBeKilledAtAnyMoment) {
  int killed = 0;
  for (std::uint64_t handlers = 0;; ++handlers) {
    ASSERT_LT(handlers, 1000) << "it ends by itself at some time";
    const std::string app = fmt::format("app{}", handlers);
    const auto ran = create(app, handlers);
    EXPECT_NE(ran.killed, ran.exit.has_value());
    conductor.pass(seconds(1));
    if (ran.exit) {
      EXPECT_EQ(ran.exit, 0) << ran.err;
      EXPECT_TRUE(stored(app));
      break;
    }
    ++killed;
  }
  EXPECT_GE(killed, 1) << "with its request sent and no answer yet";
}

TEST_F(CommandWorld, GoesToAnotherServer) {
  network.partition(std::string(kUserMachine), "api0");
  EXPECT_EQ(create("web").exit, 0);
  EXPECT_TRUE(reached.counts().contains("krakectl failed over to another server"));
  network.heal();
  network.partition(std::string(kUserMachine), "api0", Way::silent);
  EXPECT_EQ(create("db").exit, 0);
  EXPECT_TRUE(stored("db"));
}

TEST_F(CommandWorld, StaysWithTheFirstServerThatWorks) {
  EXPECT_EQ(create("web").exit, 0);
  EXPECT_EQ(run({"core", "lease", "list"}).exit, 0);
  EXPECT_FALSE(reached.counts().contains("krakectl failed over to another server"));
}

TEST_F(CommandWorld, DoesNotKnowWhatBecameOfALostAnswer) {
  network.faults.lose_answer = 1;
  const auto ran = create("web");
  EXPECT_EQ(ran.exit, 1);
  EXPECT_EQ(fate_of(ran), Fate::unknown) << ran.err;
  EXPECT_TRUE(stored("web"));
}

TEST_F(CommandWorld, EndsWhenNobodyAnswers) {
  network.partition(std::string(kUserMachine), "*", Way::silent);
  Ran ran;
  EXPECT_LE(seconds_of([&] { ran = create("web"); }), 10.1);
  EXPECT_EQ(ran.exit, 1);
  EXPECT_EQ(fate_of(ran), Fate::unknown) << ran.err;
}

TEST_F(CommandWorld, WaitsNoLongerThanItMay) {
  Ran ran;
  const double took = seconds_of([&] {
    ran = run({"kube", "app", "create", "web", "-f", "app.yaml", "-o", "json", "--wait", "--timeout", "10s"});
  });
  EXPECT_NEAR(took, 10, 1) << "nobody is there to run it";
  EXPECT_EQ(ran.exit, 1);
  EXPECT_EQ(fate_of(ran), Fate::done) << ran.err;
}

TEST_F(CommandWorld, TheModelHearsWhatAUserHears) {
  user.create("web", spec_with("nginx"));
  user.update("web", spec_with("caddy"));
  for (int i = 0; i < 10; ++i) user.look();
  EXPECT_EQ(model.living(), std::vector<std::string>{"web"});
  user.create("db", spec_with("postgres"));
  user.remove("db", true);
  user.remove("web", false);
  for (int i = 0; i < 10; ++i) user.look();
  EXPECT_THAT(model.living(), IsEmpty());
  EXPECT_EQ(model.expected("web"), Known::no);
  EXPECT_THAT(checks.broken(), IsEmpty());
}

TEST_F(CommandWorld, WhatMayHaveBeenDoneIsNotTakenForRefused) {
  network.faults.lose_answer = 1;
  user.create("web", spec_with("nginx"));
  network.faults = {};
  EXPECT_TRUE(reached.counts().contains("the outcome of a write by krakectl was unknown"));
  EXPECT_EQ(model.found_done(), 1);
  EXPECT_EQ(model.living(), std::vector<std::string>{"web"});
  EXPECT_THAT(checks.broken(), IsEmpty());
}

Awaitable<ServerReply> answer_nothing_there() {
  co_return ServerReply{.headers = {{"Content-Type", "application/json"}},
                        .body = {share_bytes(R"({"items": [], "metadata": {}})")}};
}

TEST_F(CommandWorld, AListThatLeavesOutOwnWritesIsNoticed) {
  user.create("web", spec_with("nginx"));
  ASSERT_THAT(checks.broken(), IsEmpty());
  network.up("api0", loop.get_executor(), [](ServerRequest&) { return answer_nothing_there(); });
  for (int i = 0; i < 10; ++i) user.look();
  EXPECT_THAT(checks.broken(), Contains(HasSubstr("was read as absent")));
}

}  // namespace
}  // namespace krake::sim
