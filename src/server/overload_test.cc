// Too much at once: what matters least is refused first.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/store_double.h"
#include "server/testing.h"

namespace krake::server {
namespace {

using ::testing::HasSubstr;

TEST(Admission, PrioritiesAreByWhatIsAskedAndByWhom) {
  const struct {
    std::string_view method, target, user;
    Priority wanted;
  } cases[] = {
      {"PUT", "/core/leases/x", "alice", Priority::lease},
      {"DELETE", "/core/leases/x", "alice", Priority::lease},
      {"GET", "/core/leases/x", "alice", Priority::user},
      {"PUT", "/core/leases/x", "", Priority::user},  // nobody vouches for him
      {"GET", "/core/leases", "alice", Priority::bulk},
      {"PUT", "/kubernetes/namespaces/n/applications/a/status", "system:kubernetes-application", Priority::component},
      {"GET", "/kubernetes/applications", "system:scheduler", Priority::component},
      {"PUT", "/kubernetes/namespaces/n/applications/a/status", "alice", Priority::user},
      {"GET", "/kubernetes/applications", "system:admin", Priority::bulk},
      {"GET", "/kubernetes/applications", "system:anonymous", Priority::bulk},
      {"GET", "/kubernetes/applications?watch", "alice", Priority::user},
      {"GET", "/kubernetes/namespaces/n/applications/a", "alice", Priority::user},
      {"GET", "/no/such/path", "alice", Priority::user},
      {"GET", "/me", "alice", Priority::user},
  };
  for (const auto& [method, target, user, wanted] : cases) {
    const auto question = target.find('?');
    const auto routed = route(krake_registry(), method, target.substr(0, question));
    EXPECT_EQ(priority_of(routed.route ? &*routed.route : nullptr, user, question != std::string_view::npos), wanted)
        << method << " " << target << " " << user;
  }
}

TEST(Admission, APoolKeepsRoomForWhatMattersMore) {
  Pool pool(100);
  std::vector<Pool::Share> taken;
  const auto fill = [&](Priority priority) {
    while (auto share = pool.take(priority)) taken.push_back(std::move(*share));
    return pool.used();
  };
  EXPECT_EQ(fill(Priority::bulk), 60U);
  EXPECT_EQ(fill(Priority::user), 90U);
  EXPECT_EQ(fill(Priority::component), 95U);
  EXPECT_EQ(fill(Priority::lease), 100U);
  EXPECT_EQ(pool.used(Priority::component), 5U);
  for (const auto priority : kPriorities) EXPECT_EQ(pool.refused(priority), 1U);
  taken.back().pause();
  EXPECT_EQ(pool.used(), 99U);
  EXPECT_FALSE(pool.take(Priority::bulk));
  EXPECT_FALSE(pool.take(Priority::lease, 2));
  taken.back().resume();
  taken.back().pause();
  EXPECT_TRUE(taken.back().try_resume());
  taken.front().pause();  // bulk
  EXPECT_FALSE(taken.front().try_resume());
  EXPECT_EQ(pool.refused(Priority::bulk), 3U);
  EXPECT_EQ(pool.used(), 99U);
  taken.clear();
  EXPECT_EQ(pool.used(), 0U);
  EXPECT_TRUE(pool.take(Priority::bulk, 60));
}

// A body of which nothing comes until it may.
struct SlowBody final : RequestBody {
  explicit SlowBody(std::shared_ptr<Notifier> the_gate) : gate(std::move(the_gate)) {}
  Awaitable<Result<std::string>> read(std::size_t) override {
    co_await gate->wait();
    co_return std::string(R"({"metadata":{"name":"late"},"rules":[]})");
  }
  std::shared_ptr<Notifier> gate;
};

// Many requests under way at once.
struct Flood {
  Flood(testing::World& the_world, ApiServer& the_server)
      : world(the_world), server(the_server), tasks(the_world.env.executor) {}
  ~Flood() {
    gate->notify_all();
    world.run(tasks.stop());
  }
  void send(int count, const std::string& method, const std::string& target, const std::string& user = "alice") {
    for (int i = 0; i < count; ++i) tasks.spawn("flood", one(this, method, target, user));
    world.settle();
  }
  static Awaitable<void> one(Flood* flood, std::string method, std::string target, std::string user) {
    SlowBody body(flood->gate);
    ServerRequest request{.method = std::move(method),
                          .target = std::move(target),
                          .headers = {{"Content-Length", "1000"}},
                          .peer = {.common_name = std::move(user), .address = ""},
                          .body = &body};
    auto reply = co_await flood->server.handle(request);
    ++flood->statuses[reply.status];
    if (reply.source) flood->unread.push_back(std::move(reply.source));
  }
  testing::World& world;
  ApiServer& server;
  std::shared_ptr<Notifier> gate = std::make_shared<Notifier>(world.env.executor);
  std::map<int, int> statuses;                       // of those answered
  std::vector<std::unique_ptr<ReplySource>> unread;  // answers nobody takes
  TaskGroup tasks;
};

ServerOptions small_limits() {
  auto options = testing::TestServer::open_to_all();
  options.auth.client_certificates = true;
  options.limits = {
      .requests = 100, .bodies = 20, .body_bytes = std::size_t{16} << 20, .watches = 20, .list_streams = 20};
  return options;
}

TEST(W39, LeasesAreRenewedThroughAFloodOfListsAndSlowBodies) {
  testing::TestServer t(small_limits());
  for (int i = 0; i < 200; ++i)
    ASSERT_EQ(t.call("POST", "/core/roles", fmt::format(R"({{"metadata":{{"name":"r{}"}},"rules":[]}})", i)).status,
              200);
  const std::string lease = R"({"holder":"me","ttl_seconds":6})";
  EXPECT_EQ(t.call("PUT", "/core/leases/boss", lease).status, 200);
  Flood flood(t.world, t.server);
  flood.send(50, "POST", "/core/roles");
  EXPECT_EQ(flood.statuses[429], 32) << "18 of 20 bodies are for users";
  flood.send(50, "GET", "/core/roles");
  EXPECT_EQ(flood.statuses[200], 12) << "12 of 20 large lists are for anybody";
  EXPECT_EQ(flood.statuses[429], 32 + 38);
  flood.send(50, "GET", "/core/roles?watch");
  EXPECT_EQ(flood.statuses[200], 12 + 18);
  const auto refused = t.call("POST", "/core/roles", R"({"metadata":{"name":"x"},"rules":[]})");
  EXPECT_EQ(refused.status, 429);
  EXPECT_TRUE(refused.headers.get("Retry-After"));
  EXPECT_THAT(refused.body, ::testing::Not(HasSubstr("title")));
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(t.call("PUT", "/core/leases/boss", lease).status, 200);
    t.world.run(sleep_for(t.world.clock, std::chrono::seconds(2)));
  }
  const auto own = make_inproc_transport(t.server.handler(), Peer{.common_name = "system:gc"}, t.world.clock);
  EXPECT_EQ(t.world.run(own->send({"PATCH", "/core/roles/r1", {}, R"({"metadata":{"labels":{"a":"b"}}})"}))->status,
            200);
  EXPECT_EQ(t.world.run(own->open({"GET", "/core/roles?watch", {}, ""}))->status, 200);
  ServerRequest request{.method = "GET", .target = "/metrics", .headers = {}, .peer = {}};
  const auto metrics = t.world.run(t.server.handle_admin(request));
  EXPECT_THAT(std::string(*metrics.body.front()),
              HasSubstr(R"(krake_api_refused_total{priority="user",what="bodies"} 33)"));
}

// The store hangs, and requests pile up.
TEST(Overload, RequestsThatWaitLeaveRoomForThoseThatMatterMore) {
  testing::World world;
  const auto inner = store::make_memory_store(world.env.executor, world.clock, "s1");
  testing::StoreDouble store(world.env.executor, *inner);
  ApiServer server(world.env, store, krake_registry(), small_limits());
  ASSERT_TRUE(world.run(server.start()));
  store.set_silent(true);
  {
    Flood flood(world, server);
    flood.send(70, "GET", "/core/roles");
    EXPECT_EQ(flood.statuses[429], 10);
    flood.send(40, "GET", "/core/roles/x");
    EXPECT_EQ(flood.statuses[429], 20);
    flood.send(10, "GET", "/core/roles/x", "system:gc");
    EXPECT_EQ(flood.statuses[429], 25);
    flood.send(5, "DELETE", "/core/leases/x?holder=me", "system:gc");
    EXPECT_EQ(flood.statuses[429], 25) << "these wait";
    // Nobody waits for ever.
    EXPECT_TRUE(world.run_until([&] { return flood.statuses[500] == 100; }, std::chrono::seconds(11)));
  }
  world.run(server.stop());
}

// They were let in one by one, and held up nobody until then.
TEST(Overload, BodiesThatEndAtOnceLeaveRoomForThoseThatMatterMore) {
  testing::World world;
  const auto inner = store::make_memory_store(world.env.executor, world.clock, "s1");
  testing::StoreDouble store(world.env.executor, *inner);
  auto options = small_limits();
  options.limits.bodies = 200;
  ApiServer server(world.env, store, krake_registry(), options);
  ASSERT_TRUE(world.run(server.start()));
  store.set_silent(true);
  {
    Flood flood(world, server);
    flood.send(150, "POST", "/core/roles");
    EXPECT_EQ(flood.statuses[429], 0);
    flood.gate->notify_all();
    world.settle();
    EXPECT_EQ(flood.statuses[429], 60);
    flood.send(10, "GET", "/core/roles/x", "system:gc");
    EXPECT_EQ(flood.statuses[429], 65);
    flood.send(5, "DELETE", "/core/leases/x?holder=me", "system:gc");
    EXPECT_EQ(flood.statuses[429], 65) << "these wait";
  }
  world.run(server.stop());
}

}  // namespace
}  // namespace krake::server
