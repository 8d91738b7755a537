// Watches while the ring of events turns over.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/testing.h"

namespace krake::server {

namespace {

using testing::TestServer;

ServerOptions small_ring() {
  auto options = TestServer::open_to_all();
  options.ring_events = 16;
  return options;
}

// The body of an answer, taken piece by piece.
struct Taken {
  Taken(TestServer& server, std::string target) : t(server) {
    ServerRequest request{.method = "GET", .target = std::move(target), .headers = {}, .peer = {}};
    auto reply = t.world.run(t.server.handle(request));
    EXPECT_EQ(reply.status, 200);
    source = std::move(reply.source);
  }
  // Empty: the watch ended with an error.
  std::string next() {
    std::vector<SharedBytes> batch;
    const auto more = t.world.run(source->next(batch));
    std::string text;
    for (const auto& piece : batch) text += *piece;
    return more ? text : std::string();
  }
  TestServer& t;
  std::unique_ptr<ReplySource> source;
};

void make_role(TestServer& t, const std::string& name, std::size_t size = 10) {
  const auto body = fmt::format(R"({{"metadata":{{"name":"{}","labels":{{"l":"{}"}}}},"rules":[]}})", name,
                                std::string(std::min<std::size_t>(size, 60), 'x'));
  ASSERT_EQ(t.call("POST", "/core/roles", body).status, 200);
}

void change_role(TestServer& t, const std::string& name, int times) {
  for (int i = 0; i < times; ++i) {
    ASSERT_EQ(
        t.call("PATCH", "/core/roles/" + name, fmt::format(R"({{"metadata":{{"labels":{{"i":"{}"}}}}}})", i)).status,
        200);
  }
}

TEST(WatchUnderPressure, WhoIsStillReadingTheInitialObjectsWhenTheRingTurnsOverIsCut) {
  TestServer t(small_ring());
  for (int i = 0; i < 1500; ++i) make_role(t, fmt::format("r{}", i));  // several slices
  Taken watch(t, "/core/roles?watch&initial=true&bookmarks=true");
  EXPECT_THAT(watch.next(), ::testing::HasSubstr("ADDED"));
  change_role(t, "r0", 40);
  EXPECT_EQ(watch.next(), "");
}

TEST(W6, WhatHappensInOtherNamespacesCutsNobody) {
  TestServer t(small_ring());
  const auto metric = [&](const std::string& ns, int i) {
    const auto body = fmt::format(
        R"({{"metadata":{{"name":"m{}"}},"spec":{{"min":0,"max":1,"provider":{{"name":"p","metric":"m"}}}}}})", i);
    ASSERT_EQ(t.call("POST", fmt::format("/core/namespaces/{}/metrics", ns), body).status, 200);
  };
  Taken quiet(t, "/core/namespaces/quiet/metrics?watch&heartbeat=0");
  for (int i = 0; i < 60; ++i) metric("busy", i);
  metric("quiet", 1);
  EXPECT_THAT(quiet.next(), ::testing::HasSubstr("\"m1\""));
  for (int i = 2; i < 40; ++i) metric("quiet", i);
  EXPECT_EQ(quiet.next(), "") << "its own are not passed over";
}

TEST(WatchUnderPressure, AnUnreadableValueThatWasRemovedIsForgottenAtTheNextStart) {
  testing::World world;
  const auto disk = std::make_shared<store::MemoryDisk>("disk", store::MemoryOptions{});
  const auto store = store::make_memory_store(world.env.executor, world.clock, disk);
  const auto call = [&](ApiServer& api, std::string method, std::string target, std::string body) {
    const auto transport = make_inproc_transport(api.handler(), Peer{.common_name = "alice"}, world.clock);
    return world.run(transport->send({std::move(method), std::move(target), {}, std::move(body)}))->status;
  };
  {
    ApiServer api(world.env, *store, krake_registry(), TestServer::open_to_all());
    ASSERT_TRUE(world.run(api.start()));
    store::Txn txn;
    txn.puts.push_back({"/core/leases/boss", std::make_shared<const std::string>("not JSON")});
    ASSERT_TRUE(world.run(store->commit(std::move(txn))));
    EXPECT_EQ(call(api, "PUT", "/core/leases/boss", R"({"holder":"me","ttl_seconds":6})"), 409);
    EXPECT_EQ(call(api, "DELETE", "/core/leases/boss?force=True", ""), 200);
    world.run(api.stop());
  }
  ApiServer api(world.env, *store, krake_registry(), TestServer::open_to_all());
  ASSERT_TRUE(world.run(api.start()));
  EXPECT_EQ(call(api, "PUT", "/core/leases/boss", R"({"holder":"me","ttl_seconds":6})"), 200);
  world.run(api.stop());
}

}  // namespace

}  // namespace krake::server
