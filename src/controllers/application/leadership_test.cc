// Several application controllers, of which one leads; and what one does that is cut off from Krake.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controllers/application/plan_model.h"
#include "controllers/application/test_bench.h"
#include "controllers/test_bench.h"

namespace krake::application {
namespace {

constexpr Duration kTtl = seconds(6);

// One process: a controller with its election, and its own line to the API.
struct Replica {
  Replica(Bench& b, std::string holder)
      : bench(b),
        env{b.api.world.env.executor, b.api.world.clock, b.api.world.env.random.fork(holder), Log(),
            b.api.world.metrics},
        transport(std::make_shared<krake::testing::FaultyTransport>(b.api.as("system:kubernetes-application"), line)),
        lease_client(transport),
        elector(env, lease_client, {.name = "kubernetes-application", .holder = std::move(holder), .ttl = kTtl}),
        client(transport,
               {.leader = [this] { return elector.leader(); }, .on_leadership_lost = [this] { elector.doubt(); }}),
        controller(make_application_controller({env, client, b.dialer, &elector}, b.options)) {
    line.clock = &b.api.world.clock;
    elector.start();
    controller->start();
  }
  ~Replica() {
    auto& world = bench.api.world;
    world.run(elector.resign());
    world.run(controller->stop());
    world.run(elector.stop());
  }
  bool leads() const { return elector.mode() == Mode::leading; }

  Bench& bench;
  Env env;
  krake::testing::LineFaults line;
  std::shared_ptr<Transport> transport;
  Client lease_client;
  Elector elector;
  Client client;
  std::unique_ptr<Controller> controller;
};

struct World {
  World() {
    bench.stop();
    first = start("first");
    EXPECT_TRUE(bench.wait([&] { return first->leads(); }));
  }
  std::unique_ptr<Replica> start(std::string holder) { return std::make_unique<Replica>(bench, std::move(holder)); }
  void run_app(const std::string& name, std::vector<json::Object> manifest) {
    bench.create(name, std::move(manifest));
    bench.bind(name, "one");
    ASSERT_TRUE(bench.healthy_on(name, "one")) << bench.show(name);
  }
  void remove_app(const std::string& name) {
    auto& world = bench.api.world;
    ASSERT_TRUE(world.run(bench.user.remove<Application>(Bench::key(name))));
    // What the garbage collector does.
    json::Object metadata{{"finalizers", json::Array{"kubernetes_resources_deletion"}}};
    ASSERT_TRUE(
        world.run(bench.user.patch<Application>(Bench::key(name), json::Object{{"metadata", std::move(metadata)}})));
  }
  // Until its line is dead and it has noticed.
  void cut_off(Replica& replica) {
    replica.line.cut = true;
    ASSERT_TRUE(bench.wait([&] { return replica.elector.mode() == Mode::repair_only; }));
  }
  bool has(const std::string& config_map) {
    return bench.sim("one").find("configmaps", "default", config_map) != nullptr;
  }
  bool put_right(const std::string& config_map, Duration limit = seconds(5)) {
    return bench.wait([&] { return has(config_map); }, limit);
  }
  std::string epoch_on(const std::string& site) {
    const auto lease = bench.sim(site).find("leases.coordination.k8s.io", "default", "krake-kubernetes-application");
    return lease ? std::string(lease->string_at({"metadata", "annotations", "krake/epoch"})) : "none";
  }

  void put_epoch(const std::string& site, const std::string& epoch) {
    const auto patch = value_of("{'metadata':{'annotations':{'krake/epoch':'" + epoch + "'}}}");
    EXPECT_TRUE(bench.sim(site).merge("leases.coordination.k8s.io", "default", "krake-kubernetes-application", patch));
  }
  // Of the same store, and nobody's.
  std::string later_epoch() const {
    const auto epoch = parse_epoch(first->elector.epoch());
    return fmt::format("{}-{}", epoch->store, epoch->revision + 1'000'000);
  }

  Bench bench;
  std::unique_ptr<Replica> first;
};

TEST(ApplicationLeadership, TheEpochIsOnAClusterBeforeItIsChanged) {
  World world;
  world.bench.pass(minutes(1));
  EXPECT_EQ(world.epoch_on("one"), "none") << "nothing was to be done there";
  world.run_app("web", {config_map("settings")});
  EXPECT_EQ(world.epoch_on("one"), world.first->elector.epoch());
  EXPECT_EQ(world.epoch_on("two"), "none");
  world.bench.expect_silence();
}

TEST(ApplicationLeadership, AStandbyTakesUpWhatTheLeaderLeaves) {
  World world;
  auto second = world.start("second");
  world.run_app("web", {config_map("settings")});
  world.bench.expect_silence(minutes(5));
  EXPECT_FALSE(second->leads());
  const std::string epoch = world.first->elector.epoch();
  world.bench.api.world.run(world.first->elector.resign());
  ASSERT_TRUE(world.bench.sim("one").erase("configmaps", "default", "settings"));
  EXPECT_TRUE(world.put_right("settings", seconds(2)));
  EXPECT_TRUE(second->leads());
  EXPECT_EQ(world.epoch_on("one"), second->elector.epoch());
  EXPECT_NE(world.epoch_on("one"), epoch);
  world.run_app("other", {config_map("more")});
  world.bench.expect_silence(minutes(5));
}

TEST(ApplicationLeadership, WithKrakeAwayDriftIsPutRightAndReportedAfterwards) {
  World world;
  auto& sim = world.bench.sim("one");
  world.run_app("web", {deployment("web"), config_map("settings", "{'x':'1'}")});
  world.cut_off(*world.first);
  world.bench.pass(minutes(10));
  ASSERT_TRUE(sim.erase("configmaps", "default", "settings"));
  EXPECT_TRUE(world.put_right("settings"));
  ASSERT_TRUE(sim.merge("configmaps", "default", "settings", value_of("{'data':{'x':'2'}}")));
  EXPECT_TRUE(world.bench.wait(
      [&] { return sim.find("configmaps", "default", "settings")->string_at({"data", "x"}) == "1"; }, seconds(5)));
  sim.faults.pods_never_ready = true;
  ASSERT_TRUE(sim.erase("deployments", "default", "web"));
  EXPECT_TRUE(world.bench.wait([&] { return sim.find("deployments", "default", "web") != nullptr; }, seconds(5)));

  world.first->line.cut = false;
  EXPECT_TRUE(world.bench.wait([&] {
    const auto health = world.bench.get("web")->status.container_health;
    return health.running_pods == Integer(0) && health.desired_pods == Integer(2);
  })) << world.bench.show("web");
  sim.faults.pods_never_ready = false;
  ASSERT_TRUE(sim.erase("deployments", "default", "web"));
  EXPECT_TRUE(world.bench.healthy_on("web", "one")) << world.bench.show("web");
}

// What the cut off one holds up has been deleted by the one that leads now.
TEST(ApplicationLeadership, RepairsEndWhereAnotherLeaderHasBeen) {
  World world;
  auto second = world.start("second");
  world.run_app("web", {config_map("settings")});
  world.run_app("other", {config_map("more")});
  world.cut_off(*world.first);
  ASSERT_TRUE(world.bench.sim("one").erase("configmaps", "default", "more"));
  EXPECT_TRUE(world.put_right("more", seconds(2))) << "nobody has taken over yet";
  ASSERT_TRUE(world.bench.wait([&] { return second->leads(); }));
  EXPECT_EQ(world.first->elector.mode(), Mode::repair_only);
  // The first change of the new leader there is a delete.
  world.remove_app("web");
  ASSERT_TRUE(world.bench.wait([&] { return !world.has("settings"); }));
  EXPECT_EQ(world.epoch_on("one"), second->elector.epoch());
  EXPECT_FALSE(world.put_right("settings", minutes(10))) << "the old leader has brought it back";
  EXPECT_TRUE(world.bench.wait([&] { return !world.bench.get("web"); }));
  // And it goes on as a standby when it hears of Krake again.
  world.first->line.cut = false;
  EXPECT_TRUE(world.bench.wait([&] { return world.first->elector.mode() == Mode::standby; }));
  world.bench.expect_silence(minutes(5));
  EXPECT_FALSE(world.has("settings"));
}

TEST(ApplicationLeadership, WhereNobodyCanBeToldRepairsEndAfterTwiceTheTtl) {
  const std::vector<std::string> rows[] = {
      {"leases.coordination.k8s.io"},
      {"create:leases.coordination.k8s.io", "update:leases.coordination.k8s.io", "patch:leases.coordination.k8s.io"},
  };
  for (const auto& forbidden : rows) {
    SCOPED_TRACE(forbidden.front());
    World world;
    auto& sim = world.bench.sim("one");
    sim.faults.forbidden = forbidden;
    world.run_app("web", {config_map("settings")});
    EXPECT_EQ(world.epoch_on("one"), "none");
    world.cut_off(*world.first);
    ASSERT_TRUE(sim.erase("configmaps", "default", "settings"));
    EXPECT_TRUE(world.put_right("settings", seconds(2)));
    world.bench.pass(2 * kTtl);
    ASSERT_TRUE(sim.erase("configmaps", "default", "settings"));
    EXPECT_FALSE(world.put_right("settings", minutes(10)));
    world.first->line.cut = false;
    EXPECT_TRUE(world.put_right("settings", seconds(30)));
  }
}

// It is confirmed by Krake and kept out by the cluster: people have to know.
TEST(ApplicationLeadership, ALeaderThatIsKeptOutByALaterEpochSaysSo) {
  World world;
  world.run_app("web", {config_map("settings")});
  const std::string epoch = world.later_epoch();
  world.put_epoch("one", epoch);
  world.remove_app("web");
  const auto says_so = [&] {
    const auto app = world.bench.get("web");
    return app && app->status.reason &&
           app->status.reason->message.contains("Lease default/krake-kubernetes-application carries epoch " + epoch);
  };
  EXPECT_TRUE(world.bench.wait(says_so, seconds(30))) << world.bench.show("web");
  EXPECT_TRUE(world.first->leads());
  const auto before = world.first->elector.epoch();
  world.bench.pass(minutes(10));
  EXPECT_TRUE(says_so()) << world.bench.show("web");
  EXPECT_TRUE(world.has("settings"));
  EXPECT_EQ(world.epoch_on("one"), epoch) << "what may be another's is not touched";
  EXPECT_EQ(world.first->elector.epoch(), before);
  ASSERT_TRUE(world.bench.sim("one").erase("leases.coordination.k8s.io", "default", "krake-kubernetes-application"));
  EXPECT_TRUE(world.bench.wait([&] { return !world.bench.get("web"); }, minutes(20))) << world.bench.show("web");
}

// Putting one object right may take two changes: another leader may have been there in between.
TEST(ApplicationLeadership, ARepairEndsBetweenItsTwoChanges) {
  for (const bool outrun : {false, true}) {
    SCOPED_TRACE(outrun);
    World world;
    auto& sim = world.bench.sim("one");
    world.run_app("web", {deployment("web")});
    world.cut_off(*world.first);
    int applied = 0;
    int patched = 0;
    world.bench.dialer.sending = [&](const HttpRequest& request) {
      if (request.method != "PATCH") return;
      const bool second = *request.headers.get("Content-Type") == "application/json-patch+json";
      ++(second ? patched : applied);
      if (!second && outrun) world.put_epoch("one", world.later_epoch());
    };
    // What others add to a list stays when the manifest is applied.
    const auto live = sim.find("deployments", "default", "web");
    json::Value containers = *live->at_path({"spec", "template", "spec", "containers"});
    containers.make_array().push_back(value_of("{'name':'surplus','image':'nginx'}"));
    json::Value drift = value_of("{'spec':{'template':{'spec':{}}}}");
    drift.make_object()["spec"].make_object()["template"].make_object()["spec"].make_object().set("containers",
                                                                                                  containers);
    ASSERT_TRUE(sim.merge("deployments", "default", "web", drift));
    EXPECT_TRUE(world.bench.wait([&] { return applied > 0; }));
    world.bench.pass(minutes(1));
    EXPECT_EQ(patched > 0, !outrun);
    world.bench.dialer.sending = nullptr;
  }
}

// ---- the plan of one that only repairs

using Plans = testing::Model;

struct Row {
  const char* what;
  void (*arrange)(Plans&);
  bool repairs;
};

TEST(ApplicationRepairPlan, HoldsUpWhatWasConfirmedAndNothingElse) {
  const Row rows[] = {
      {"nothing is wrong", [](Plans&) {}, false},
      {"an object is gone", [](Plans& m) { m.sites["one"].objects.erase(testing::ref_of(testing::config_map("a"))); },
       true},
      {"an object was changed",
       [](Plans& m) { json::merge_patch(m.live("one", testing::config_map("a")), value_of("{'data':{'x':'9'}}")); },
       true},
      {"a new manifest that was never applied",
       [](Plans& m) {
         m.app.spec.manifest = {testing::config_map("a", "2"), testing::config_map("new")};
         m.bind("one");
       },
       false},
      {"a new manifest, and an old object is gone",
       [](Plans& m) {
         m.app.spec.manifest = {testing::config_map("a", "2")};
         m.bind("one");
         m.sites["one"].objects.erase(testing::ref_of(testing::config_map("a")));
       },
       true},
      {"it is to move", [](Plans& m) { m.bind("two"); }, false},
      {"it is to move and an object is gone",
       [](Plans& m) {
         m.bind("two");
         m.sites["one"].objects.erase(testing::ref_of(testing::config_map("a")));
       },
       true},
      {"its place is undecided",
       [](Plans& m) {
         m.app.status.scheduled_to.reset();
         m.sites["one"].objects.clear();
       },
       false},
      {"it runs nowhere",
       [](Plans& m) {
         m.app.status.running_on.reset();
         m.sites["one"].objects.clear();
       },
       false},
      {"it is being deleted",
       [](Plans& m) {
         m.app.metadata.deleted = m.app.metadata.modified;
         m.sites["one"].objects.clear();
       },
       false},
      {"nothing would clean up after it",
       [](Plans& m) {
         m.app.metadata.finalizers.clear();
         m.sites["one"].objects.clear();
       },
       false},
      {"its status is out of date", [](Plans& m) { m.app.status.last_observed_manifest.clear(); }, false},
  };
  for (const auto& row : rows) {
    Plans model;
    model.bind("one");
    ASSERT_GE(model.settle(), 0);
    row.arrange(model);
    auto observed = model.observe();
    observed.mode = Mode::repair_only;
    const Plan plan = make_plan(observed, model.now);
    for (const auto& action : plan) {
      const bool mild = std::holds_alternative<Apply>(action) || std::holds_alternative<Again>(action) ||
                        std::holds_alternative<Wait>(action);
      EXPECT_TRUE(mild) << row.what << ": " << to_string(plan);
      if (const auto* apply = std::get_if<Apply>(&action))
        EXPECT_EQ(apply->cluster, testing::cluster("one")) << row.what;
    }
    EXPECT_EQ(std::ranges::any_of(plan, mutates_cluster), row.repairs) << row.what << ": " << to_string(plan);
    observed.mode = Mode::standby;
    EXPECT_TRUE(make_plan(observed, model.now).empty()) << row.what;
  }
}

// An object is gone, and this process has sent something for it before: whether what it knows is the latest word.
TEST(ApplicationRepairPlan, OrdersWhatItHasSentByTheRevisionItCameFrom) {
  enum What { same, other, removal };
  const struct {
    const char* name;
    What what;
    int ahead;  // of the revision that is known
    bool repairs;
  } rows[] = {
      {"what is known", same, 0, true},
      {"the same, of a state not heard of yet", same, 1, true},
      {"the same, long ago", same, -1, true},
      {"something newer", other, 1, false},
      {"something else of this very state", other, 0, false},
      {"something older", other, -1, true},
      {"a newer removal", removal, 1, false},
      {"a removal at this very state", removal, 0, false},
      {"an older removal", removal, -1, true},
  };
  for (const auto& row : rows) {
    for (const bool answered : {true, false}) {
      Plans model;
      model.bind("one");
      ASSERT_GE(model.settle(), 0);
      model.sites["one"].objects.erase(testing::ref_of(testing::config_map("a")));
      int known = 0;
      for (auto& [key, sent] : model.memory.sent) {
        if (!key.ends_with("default/a")) continue;
        const std::uint64_t what = row.what == removal ? 0 : sent.fingerprint + (row.what == other ? 1 : 0);
        sent = {.fingerprint = what, .revision = model.revision + row.ahead, .answered = answered};
        ++known;
      }
      ASSERT_EQ(known, 1);
      auto observed = model.observe();
      observed.mode = Mode::repair_only;
      const Plan plan = make_plan(observed, model.now);
      EXPECT_EQ(std::ranges::count_if(plan, mutates_cluster), row.repairs ? 1 : 0) << row.name << to_string(plan);
    }
  }
}

TEST(ApplicationRepairPlan, ForgetsRemovalsTheApplicationHasGonePast) {
  Memory memory;
  note_sending(memory, "gone long ago", 0, 9, false);
  note_sending(memory, "gone just now", 0, 10, false);
  note_sending(memory, "there", 7, 1, false);
  forget_removals(memory, 10);
  EXPECT_FALSE(memory.sent.contains("gone long ago"));
  EXPECT_TRUE(memory.sent.contains("gone just now"));
  EXPECT_TRUE(memory.sent.contains("there"));
}

// The source is empty because its objects must not run twice.
TEST(ApplicationRepairPlan, BringsNothingBackThatIsMoving) {
  Plans model;
  model.app.spec.manifest = {testing::stateful_set("db")};
  model.bind("one");
  ASSERT_GE(model.settle(), 0);
  model.bind("two");
  model.sites["one"].objects.clear();
  auto observed = model.observe();
  observed.mode = Mode::repair_only;
  EXPECT_TRUE(make_plan(observed, model.now).empty());
}

}  // namespace
}  // namespace krake::application
