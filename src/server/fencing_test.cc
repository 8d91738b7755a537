// The fence of epochs before every write there is: who does not lead, or leads no more, changes nothing and learns
// nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/store_double.h"
#include "server/testing.h"

namespace krake {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

// The smallest body of each kind, without metadata.
const std::map<std::string_view, std::string_view> kBodies = {
    {"Role", R"({"rules":[]})"},
    {"RoleBinding", R"({"users":[],"roles":[]})"},
    {"GlobalMetric", R"({"spec":{"min":0,"max":1,"provider":{"name":"p","metric":"m"}}})"},
    {"Metric", R"({"spec":{"min":0,"max":1,"provider":{"name":"p","metric":"m"}}})"},
    {"GlobalMetricsProvider", R"({"spec":{"type":"static","static":{"metrics":{}}}})"},
    {"MetricsProvider", R"({"spec":{"type":"static","static":{"metrics":{}}}})"},
    {"Application",
     R"({"spec":{"manifest":[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"}}],"constraints":{"cluster":{}}}})"},
    {"Cluster",
     R"({"spec":{"kubeconfig":{"apiVersion":"v1","kind":"Config","current-context":"x","contexts":[{"name":"x","context":{"cluster":"x","user":"x"}}],"clusters":[{"name":"x","cluster":{"server":"https://x"}}],"users":[{"name":"x","user":{"token":"t"}}]},"constraints":{"cloud":{}}}})"},
    {"GlobalInfrastructureProvider", R"({"spec":{"type":"im","im":{"url":"u","token":"t"}}})"},
    {"InfrastructureProvider", R"({"spec":{"type":"im","im":{"url":"u","token":"t"}}})"},
    {"GlobalCloud",
     R"({"spec":{"type":"openstack","openstack":{"url":"u","auth":{"type":"password","password":{"user":{"username":"u","password":"p"},"project":{"name":"p"}}},"infrastructure_provider":{"name":"im"}}}})"},
    {"Cloud",
     R"({"spec":{"type":"openstack","openstack":{"url":"u","auth":{"type":"password","password":{"user":{"username":"u","password":"p"},"project":{"name":"p"}}},"infrastructure_provider":{"name":"im"}}}})"},
    {"Project",
     R"({"spec":{"url":"u","auth":{"type":"application_credential","application_credential":{"id":"i","secret":"s"}},"template":"t"}})"},
    {"MagnumCluster", R"({"spec":{}})"},
};

// A status that is not what a new object has.
const std::map<std::string_view, std::string_view> kStatuses = {
    {"Application", R"({"state":"DEGRADED","complete_token":"t","shutdown_token":"s"})"},
    {"Cluster", R"({"state":"OFFLINE"})"},
    {"GlobalCloud", R"({"state":"FAILING_METRICS"})"},
    {"Cloud", R"({"state":"FAILING_METRICS"})"},
    {"Project", R"({"state":"FAILING_METRICS"})"},
    {"MagnumCluster", R"({"state":"CREATING"})"},
};

// Bodies of sub-resources, in an order in which each is allowed after the one before.
struct Sub {
  std::string_view kind;
  std::string_view name;
  std::string_view body;
};
constexpr Sub kSubs[] = {
    {"Application", "binding", R"({"cluster":{"api":"kubernetes","kind":"Cluster","namespace":"demo","name":"edge"}})"},
    {"Application", "retry", ""},
    {"Application", "shutdown", R"({"token":"s"})"},
    {"Application", "complete", R"({"token":"t"})"},
    {"Cluster", "binding", R"({"cloud":{"api":"infrastructure","kind":"GlobalCloud","name":"os-1"}})"},
    {"MagnumCluster", "binding",
     R"({"project":{"api":"openstack","kind":"Project","namespace":"demo","name":"p"},"template":"t"})"},
};

struct Write {
  std::string method;
  std::string target;
  std::string body;
};

std::string named(const Kind& kind, std::string_view name) {
  auto body = *json::parse(kBodies.at(kind.name));
  body.make_object().set("metadata", json::Object{{"name", name}});
  return json::print(body);
}

struct Fenced : ::testing::Test {
  HttpResponse take() { return t.call("PUT", "/core/leases/boss", R"({"holder":"me","ttl_seconds":3600})"); }
  std::string epoch_of(const HttpResponse& taken) { return "boss/" + std::string(*taken.headers.get("Krake-Epoch")); }
  // Everything the store has, and its revision.
  std::string everything() {
    const auto listing = t.world.run(t.store->list(""));
    std::string text = fmt::format("{}\n", *t.world.run(t.store->current()));
    for (const auto& entry : listing->entries)
      text += fmt::format("{} {} {} {}\n", entry.key, entry.created, entry.modified, *entry.value);
    return text;
  }
  // Refused as often as there are ways to be no leader, and done when it comes from the leader.
  void expect_fenced(const Write& write) {
    const auto before = everything();
    for (const auto& no_leader : no_leaders) {
      const auto answer = t.call(write.method, write.target, write.body, {{"Krake-Leader", no_leader}});
      EXPECT_EQ(answer.status, 412) << write.method << " " << write.target << " as '" << no_leader
                                    << "': " << answer.body;
      EXPECT_THAT(answer.body, HasSubstr("leadership lost")) << write.method << " " << write.target;
      EXPECT_FALSE(answer.headers.get("ETag")) << write.method << " " << write.target;
    }
    EXPECT_EQ(everything(), before) << write.method << " " << write.target;
    const auto done = t.call(write.method, write.target, write.body, {{"Krake-Leader", leader}});
    EXPECT_EQ(done.status, 200) << write.method << " " << write.target << ": " << done.body;
    EXPECT_NE(everything(), before) << write.method << " " << write.target << " would have done nothing anyway";
  }
  // As GET answers it, with one change.
  std::string changed(const std::string& target, std::initializer_list<std::string_view> path, json::Value value) {
    auto document = t.get(target);
    json::Value change = std::move(value);
    for (auto it = std::rbegin(path); it != std::rend(path); ++it) {
      json::Object around;
      around.set(std::string(*it), std::move(change));
      change = std::move(around);
    }
    json::merge_patch(document, change);
    return json::print(document);
  }

  testing::TestServer t;
  std::string leader;
  std::vector<std::string> no_leaders;

  void SetUp() override {
    const auto before = epoch_of(take());
    ASSERT_EQ(t.call("DELETE", "/core/leases/boss?holder=me").status, 200);
    leader = epoch_of(take());
    ASSERT_NE(leader, before);
    const auto revision = leader.substr(leader.rfind('-'));
    no_leaders = {before, "boss/of-another-store" + revision, "other/" + leader.substr(5), "scheduler/1", ""};
  }
};

TEST_F(Fenced, EveryWriteOfEveryKind) {
  std::set<std::pair<std::string_view, std::string_view>> subs;
  for (const auto& kind : krake_registry().kinds()) {
    if (kind->leased) continue;  // a lease is what the fence is made of
    ASSERT_TRUE(kBodies.contains(kind->name)) << "a row is missing here for " << kind->name;
    const auto all = kind->collection_path(kind->namespaced ? "demo" : "");
    const auto one = kind->item_path(kind->namespaced ? "demo" : "", "a");
    expect_fenced({"POST", all, named(*kind, "a")});
    expect_fenced({"PUT", one, changed(one, {"metadata", "labels", "x"}, "put")});
    expect_fenced({"PATCH", one, R"({"metadata":{"labels":{"x":"patched"}}})"});
    if (kind->has_status) {
      ASSERT_TRUE(kStatuses.contains(kind->name)) << "a row is missing here for " << kind->name;
      expect_fenced({"PATCH", one + "/status", fmt::format(R"({{"status":{}}})", kStatuses.at(kind->name))});
      expect_fenced({"PUT", one + "/status",
                     changed(one, {"status", "reason"}, json::Object{{"code", "INTERNAL_ERROR"}, {"message", "m"}})});
    }
    for (const auto& sub : kSubs) {
      if (sub.kind != kind->name) continue;
      expect_fenced({"PUT", fmt::format("{}/{}", one, sub.name), std::string(sub.body)});
      subs.emplace(sub.kind, sub.name);
    }
    for (const auto& sub : kind->subresources) {
      EXPECT_THAT(subs, Contains(std::pair(kind->name, sub.name))) << "a row is missing here";
    }
  }
}

// Each step of a deletion is one: the mark, a finalizer less, the last one, and by force.
TEST_F(Fenced, EveryStepOfADeletion) {
  for (const auto& kind : krake_registry().kinds()) {
    if (kind->leased) continue;
    const auto all = kind->collection_path(kind->namespaced ? "demo" : "");
    const auto path = [&](std::string_view name) { return kind->item_path(kind->namespaced ? "demo" : "", name); };
    for (const std::string name : {"patched", "put", "forced"}) {
      ASSERT_EQ(t.call("POST", all, named(*kind, name)).status, 200);
      ASSERT_EQ(t.call("PATCH", path(name), R"({"metadata":{"finalizers":["of-somebody"]}})").status, 200);
    }
    expect_fenced({"DELETE", path("patched"), ""});
    expect_fenced({"PATCH", path("patched"), R"({"metadata":{"finalizers":["cascade_deletion"]}})"});
    expect_fenced({"PATCH", path("patched"), R"({"metadata":{"finalizers":[]}})"});
    EXPECT_EQ(t.call("GET", path("patched")).status, 404);
    expect_fenced({"DELETE", path("put"), ""});
    expect_fenced({"PUT", path("put"), changed(path("put"), {"metadata", "finalizers"}, json::Array{"of-somebody"})});
    expect_fenced({"PUT", path("put"), changed(path("put"), {"metadata", "finalizers"}, json::Array{})});
    EXPECT_EQ(t.call("GET", path("put")).status, 404);
    if (kind->force_delete) {
      expect_fenced({"DELETE", path("forced") + "?force=True", ""});
      EXPECT_EQ(t.call("GET", path("forced")).status, 404);
    }
    store::Txn txn;
    txn.puts.push_back({kind->storage_key(kind->namespaced ? "demo" : "", "unreadable"),
                        std::make_shared<const std::string>("not json")});
    ASSERT_TRUE(t.world.run(t.store->commit(std::move(txn))));
    expect_fenced({"DELETE", path("unreadable") + "?force=True", ""});
  }
}

// Nor does it learn what would have come of it.
TEST_F(Fenced, AlsoWhatWouldHaveChangedNothingOrFailed) {
  ASSERT_EQ(t.call("POST", "/core/roles", R"({"metadata":{"name":"r"},"rules":[]})").status, 200);
  const auto before = everything();
  const Write writes[] = {
      {"POST", "/core/roles", R"({"metadata":{"name":"r"},"rules":[]})"},  // the name is taken
      {"PUT", "/core/roles/r", json::print(t.get("/core/roles/r"))},       // as it is
      {"PATCH", "/core/roles/r", "{}"},
      {"PATCH", "/core/roles/none", "{}"},
      {"DELETE", "/core/roles/none", ""},
      {"DELETE", "/core/roles/none?force=True", ""},
  };
  for (const auto& [method, target, body] : writes) {
    for (const auto& no_leader : no_leaders) {
      const auto answer = t.call(method, target, body, {{"Krake-Leader", no_leader}});
      EXPECT_EQ(answer.status, 412) << method << " " << target << " as '" << no_leader << "': " << answer.body;
    }
  }
  EXPECT_EQ(everything(), before);
}

TEST_F(Fenced, TwoHeadersAreNone) {
  const auto body = R"({"metadata":{"name":"r"},"rules":[]})";
  EXPECT_EQ(t.call("POST", "/core/roles", body, {{"Krake-Leader", leader}, {"Krake-Leader", leader}}).status, 412);
  EXPECT_EQ(t.call("POST", "/core/roles", body, {{"Krake-Leader", leader}, {"Krake-Leader", "a/1"}}).status, 412);
  EXPECT_EQ(t.call("POST", "/core/roles", body, {{"Krake-Leader", leader}}).status, 200);
}

TEST_F(Fenced, HeadersThatAreNoEpochAreNone) {
  const auto slash = leader.find('/');
  const auto dash = leader.rfind('-');
  no_leaders = {"boss", "/", "//", "boss/", "boss/-", "boss/1", "boss//1", "boss/-1", leader + "x", leader + " 1"};
  for (const char* revision : {"", "x", "0", "-1", "+2", "0x2", "2.0", "18446744073709551617"})
    no_leaders.push_back(leader.substr(0, dash + 1) + revision);
  for (const char* lease : {"", "BOSS", "../leases/boss", "boss/boss", "%62oss"})
    no_leaders.push_back(lease + leader.substr(slash));
  no_leaders.push_back(leader.substr(0, dash + 1) + std::string(4000, '9'));
  no_leaders.push_back(std::string(4000, 'b') + leader.substr(slash));
  expect_fenced({"POST", "/core/roles", R"({"metadata":{"name":"r"},"rules":[]})"});
  expect_fenced({"PATCH", "/core/roles/r", R"({"metadata":{"labels":{"a":"b"}}})"});
}

// The leader was asleep, or its request was on its way, while the lease went: the store's own transaction refuses.
TEST(FencedInTheStore, ALeaseThatGoesAtTheLastMoment) {
  const Write writes[] = {
      {"POST", "/core/roles", R"({"metadata":{"name":"new"},"rules":[]})"},
      {"PATCH", "/core/roles/r", R"({"metadata":{"labels":{"a":"b"}}})"},
      {"PATCH", "/core/roles/going", R"({"metadata":{"finalizers":[]}})"},
      {"DELETE", "/core/roles/r", ""},
      {"DELETE", "/kubernetes/namespaces/demo/clusters/c?force=True", ""},
      {"DELETE", "/core/roles/unreadable?force=True", ""},
      {"PATCH", "/kubernetes/namespaces/demo/clusters/c/status", R"({"status":{"state":"OFFLINE"}})"},
      {"PUT", "/kubernetes/namespaces/demo/clusters/c/binding",
       std::string(std::ranges::find(kSubs, "Cluster", &Sub::kind)->body)},
  };
  for (const bool another_took_it : {false, true}) {
    for (const auto& write : writes) {
      testing::World world;
      const auto disk = std::make_shared<store::MemoryDisk>("s1", store::MemoryOptions{});
      const auto inner = store::make_memory_store(world.env.executor, world.clock, disk);
      testing::StoreDouble store(world.env.executor, *inner);
      server::ApiServer server(world.env, store, krake_registry(), testing::TestServer::open_to_all());
      ASSERT_TRUE(world.run(server.start()));
      const auto transport = make_inproc_transport(server.handler(), Peer{}, world.clock);
      const auto call = [&](const Write& w, Headers headers = {}) {
        return *world.run(transport->send({w.method, w.target, std::move(headers), w.body}));
      };
      const auto commit = [&](store::Txn txn) { ASSERT_TRUE(disk->commit(std::move(txn))); };
      const auto& cluster = krake_registry().get("kubernetes", "Cluster");
      ASSERT_EQ(call({"POST", cluster.collection_path("demo"), named(cluster, "c")}).status, 200);
      for (const std::string name : {"r", "going"})
        ASSERT_EQ(
            call({"POST", "/core/roles", fmt::format(R"({{"metadata":{{"name":"{}"}},"rules":[]}})", name)}).status,
            200);
      ASSERT_EQ(call({"DELETE", "/core/roles/going", ""}).status, 200);
      commit({.puts = {{"/core/roles/unreadable", std::make_shared<const std::string>("not json")}}});
      const auto taken = call({"PUT", "/core/leases/boss", R"({"holder":"me","ttl_seconds":3600})"});
      const auto of_lease = *disk->get("/core/leases/boss");
      std::map<std::string, store::Entry> expected(disk->entries().begin(), disk->entries().end());
      store.before_commit = [&] {
        commit({.removes = {{of_lease.key}}});
        if (another_took_it) commit({.puts = {{of_lease.key, of_lease.value}}});
      };
      const auto answer = call(write, {{"Krake-Leader", "boss/" + std::string(*taken.headers.get("Krake-Epoch"))}});
      EXPECT_EQ(answer.status, 412) << write.method << " " << write.target << ": " << answer.body;
      EXPECT_THAT(answer.body, HasSubstr("leadership lost")) << write.method << " " << write.target;
      for (const auto& [key, entry] : expected) {
        if (key == of_lease.key) continue;
        const auto now = disk->get(key);
        ASSERT_TRUE(now) << write.method << " " << write.target << ": " << key << " is gone";
        EXPECT_EQ(now->modified, entry.modified) << write.method << " " << write.target << ": " << key;
      }
      EXPECT_EQ(disk->entries().size(), expected.size() - (another_took_it ? 0 : 1))
          << write.method << " " << write.target;
      world.run(server.stop());
    }
  }
}

}  // namespace
}  // namespace krake
