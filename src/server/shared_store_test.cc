// Several servers on one store, servers cut off from it, and a store whose history is replaced.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/store_double.h"
#include "server/testing.h"
#include "store/faulty_store.h"

namespace krake {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kAllowAll =
    R"("rules":[{"api":"","resources":[""],"namespaces":[""],"verbs":["create","list","get","update","delete"]}])";

std::string role(std::string_view name) { return fmt::format(R"({{"metadata":{{"name":"{}"}},"rules":[]}})", name); }
// As another program would put it into the store.
store::Bytes stored(std::string_view name, std::string_view rest = R"("rules":[])") {
  return std::make_shared<const std::string>(fmt::format(
      R"({{"metadata":{{"name":"{}","uid":"u-{}","created":"2026-01-01T00:00:00","modified":"2026-01-01T00:00:00"}},{}}})",
      name, name, rest));
}

// A server with its own way to a store.
struct Server {
  Server(testing::World& the_world, store::Store& store,
         server::ServerOptions options = testing::TestServer::open_to_all())
      : world(the_world),
        api(world.env, store, krake_registry(), std::move(options)),
        transport(make_inproc_transport(api.handler(), Peer{.common_name = "alice"}, world.clock)) {
    if (auto started = world.run(api.start()); !started) throw std::runtime_error(started.error().message);
  }
  ~Server() { world.run(api.stop()); }
  HttpResponse call(std::string method, std::string target, std::string body = {}, Headers headers = {}) {
    return *world.run(transport->send({std::move(method), std::move(target), std::move(headers), std::move(body)},
                                      {.timeout = std::chrono::minutes(5)}));
  }
  int get(std::string target) { return call("GET", std::move(target)).status; }
  HttpStream watch(std::string query = "") {
    return std::move(*world.run(transport->open({"GET", "/core/roles?watch&heartbeat=0" + query, {}, ""})));
  }
  std::string admin(std::string path, int& status) {
    ServerRequest request{.method = "GET", .target = std::move(path), .headers = {}, .peer = {}};
    auto reply = world.run(api.handle_admin(request));
    status = reply.status;
    return std::string(*reply.body.front());
  }
  std::string list_metadata(std::string_view field) {
    return std::string(testing::TestServer::body_of(call("GET", "/core/roles")).string_at({"metadata", field}));
  }
  testing::World& world;
  server::ApiServer api;
  std::shared_ptr<Transport> transport;
};

struct Shared {
  std::unique_ptr<store::Store> open() { return store::make_memory_store(world.env.executor, world.clock, disk); }
  store::Revision put(std::string key, store::Bytes value) {
    store::Txn txn;
    txn.puts.push_back({std::move(key), std::move(value)});
    return std::get<store::Committed>(*disk->commit(std::move(txn))).revision;
  }
  testing::World world;
  std::shared_ptr<store::MemoryDisk> disk = std::make_shared<store::MemoryDisk>("s1", store::MemoryOptions{});
};

TEST(SharedStore, WhatOneServerWritesEachOtherShowsAtOnce) {
  Shared t;
  const auto first = t.open();
  const auto second = t.open();
  Server a(t.world, *first);
  Server b(t.world, *second);
  for (int i = 0; i < 20; ++i) {
    auto& writer = i % 2 ? a : b;
    auto& reader = i % 2 ? b : a;
    const std::string name = fmt::format("r{}", i);
    EXPECT_EQ(writer.call("POST", "/core/roles", role(name)).status, 200);
    EXPECT_EQ(reader.get("/core/roles/" + name), 200);
    EXPECT_EQ(reader.call("POST", "/core/roles", role(name)).status, 409);
  }
  EXPECT_EQ(a.call("GET", "/core/roles").body, b.call("GET", "/core/roles").body);
}

TEST(W21, ARolePutStraightIntoTheStoreCountsForTheNextRequest) {
  Shared t;
  auto options = testing::TestServer::open_to_all();
  options.auth.mode = access::Authorization::rbac;
  options.auth.client_certificates = true;
  const auto first = t.open();
  const auto second = t.open();
  Server a(t.world, *first, options);
  Server b(t.world, *second, options);
  EXPECT_EQ(a.get("/core/roles"), 403);
  t.put("/core/roles/all", stored("all", kAllowAll));
  t.put("/core/rolebindings/all", stored("all", R"("users":["alice"],"roles":["all"])"));
  EXPECT_EQ(a.get("/core/roles"), 200);
  EXPECT_EQ(b.get("/core/roles"), 200);
  store::Txn txn;
  txn.removes.push_back({"/core/rolebindings/all"});
  ASSERT_TRUE(t.disk->commit(std::move(txn)));
  EXPECT_EQ(b.get("/core/roles"), 403);
  EXPECT_EQ(a.get("/core/roles"), 403);
}

// A server on a store that counts what it is asked, with roles.
struct Counted {
  explicit Counted(Duration unconfirmed_limit = std::chrono::seconds(10)) {
    t.put("/core/roles/all", stored("all", kAllowAll));
    t.put("/core/rolebindings/all", stored("all", R"("users":["alice"],"roles":["all"])"));
    auto options = testing::TestServer::open_to_all();
    options.auth.mode = access::Authorization::rbac;
    options.auth.client_certificates = true;
    options.unconfirmed_limit = unconfirmed_limit;
    server.emplace(t.world, store, std::move(options));
  }
  // The status, and how often the store was asked.
  std::pair<int, int> call(std::string method, std::string target, std::string body = {}) {
    const int before = store.questions;
    const auto answer = server->call(std::move(method), std::move(target), std::move(body));
    return {answer.status, store.questions - before};
  }
  Shared t;
  std::unique_ptr<store::Store> inner = t.open();
  testing::StoreDouble store{t.world.env.executor, *inner};
  std::optional<Server> server;
};

// For the rights, for what is read and for what is changed together.
TEST(SharedStore, IsAskedOnceForARequest) {
  Counted c;
  const std::pair once(200, 1);
  EXPECT_EQ(c.call("POST", "/core/roles", role("r")), once);
  EXPECT_EQ(c.call("GET", "/core/roles/r"), once);
  EXPECT_EQ(c.call("GET", "/core/roles"), once);
  auto changed = testing::TestServer::body_of(c.server->call("GET", "/core/roles/r"));
  changed.if_object()->find("metadata")->if_object()->set("labels", json::Object{{"a", "b"}});
  EXPECT_EQ(c.call("PUT", "/core/roles/r", json::print(changed)), once);
  EXPECT_EQ(c.call("PATCH", "/core/roles/r", R"({"metadata":{"labels":{"a":"c"}}})"), once);
  EXPECT_EQ(c.call("PUT", "/core/leases/boss", R"({"holder":"me"})"), once);
  EXPECT_EQ(c.call("PUT", "/core/leases/boss", R"({"holder":"me"})"), once) << "a renewal";
  EXPECT_EQ(c.call("DELETE", "/core/roles/r"), once);
}

TEST(SharedStore, IsAskedAgainWhenAnotherWasFaster) {
  Counted c;
  EXPECT_EQ(c.call("POST", "/core/roles", role("r")), std::pair(200, 1));
  c.store.before_commit = [&] { c.t.put("/core/roles/r", stored("r")); };
  EXPECT_EQ(c.call("PATCH", "/core/roles/r", R"({"metadata":{"labels":{"a":"b"}}})"), std::pair(200, 2));
}

TEST(SharedStore, IsAskedAgainWhenAnotherTookTheLease) {
  Counted c;
  c.store.before_commit = [&] {
    c.t.put("/core/leases/boss", stored("boss", R"("spec":{"holder":"another","ttl_seconds":6})"));
  };
  EXPECT_EQ(c.call("PUT", "/core/leases/boss", R"({"holder":"me"})"), std::pair(409, 2));
}

// Of a write, whose body comes when this has been done.
struct LateBody final : RequestBody {
  LateBody(std::string the_text, std::function<Awaitable<void>()> the_deed)
      : text(std::move(the_text)), deed(std::move(the_deed)) {}
  Awaitable<Result<std::string>> read(std::size_t) override {
    co_await deed();
    co_return text;
  }
  int sent_to(Counted& c, std::string method, std::string target) {
    ServerRequest request{.method = std::move(method),
                          .target = std::move(target),
                          .headers = {{"Content-Type", "application/json"}},
                          .peer = {.common_name = "alice"},
                          .body = this};
    return c.t.world.run(c.server->api.handle(request)).status;
  }
  std::string text;
  std::function<Awaitable<void>()> deed;
};

TEST(SharedStore, IsAskedAgainWhenTheBodyCameSlowly) {
  Counted c;
  LateBody body(role("r"), [&]() -> Awaitable<void> {
    co_await sleep_for(c.t.world.clock, std::chrono::seconds(1));
    store::Txn txn;  // of which this server does not hear before the body is there
    txn.removes.push_back({"/core/rolebindings/all"});
    EXPECT_TRUE(c.t.disk->commit(std::move(txn)));
  });
  EXPECT_EQ(body.sent_to(c, "POST", "/core/roles"), 403);
}

// The answer is so late that the server knows itself cut off: it asks again, and looks at the rights again.
TEST(SharedStore, IsAskedAgainWhenItsAnswerCameSlowly) {
  Counted c(std::chrono::seconds(1));
  TimerHandle later;
  LateBody body(role("r"), [&]() -> Awaitable<void> {
    co_await sleep_for(c.t.world.clock, std::chrono::milliseconds(200));
    c.store.set_silent(true);
    later = c.t.world.clock.at(c.t.world.clock.now() + std::chrono::seconds(2), [&] {
      c.store.before_question = [&] {
        store::Txn txn;
        txn.removes.push_back({"/core/rolebindings/all"});
        EXPECT_TRUE(c.t.disk->commit(std::move(txn)));
      };
      c.store.set_silent(false);
    });
  });
  EXPECT_EQ(body.sent_to(c, "POST", "/core/roles"), 403);
  EXPECT_FALSE(c.t.disk->entries().contains("/core/roles/r"));
}

TEST(SharedStore, IsAskedAgainWhenItsHistoryIsAnother) {
  Counted c;
  EXPECT_EQ(c.call("POST", "/core/roles", role("r")), std::pair(200, 1));
  // The same keys at the same revisions, as after a restore.
  Shared restored;
  restored.disk = std::make_shared<store::MemoryDisk>("s2", store::MemoryOptions{});
  restored.put("/core/roles/all", stored("all", kAllowAll));
  restored.put("/core/rolebindings/all", stored("all", R"("users":["alice"],"roles":["all"])"));
  const auto revision = restored.put("/core/roles/r", stored("r"));
  const auto other = store::make_memory_store(c.t.world.env.executor, c.t.world.clock, restored.disk);
  LateBody body(R"({"metadata":{"labels":{"a":"b"}}})", [&]() -> Awaitable<void> {
    c.store.replace(*other, false);
    co_return;
  });
  EXPECT_GE(body.sent_to(c, "PATCH", "/core/roles/r"), 500);
  EXPECT_EQ(*c.t.world.run(other->current()), revision) << "nothing was written into it";
  c.server.reset();
}

// Keys that are nobody's business move the store's revision too.
TEST(SharedStore, KeysOfOtherProgramsHoldUpNeitherReadsNorStarts) {
  Shared t;
  const auto first = t.open();
  Server a(t.world, *first);
  EXPECT_EQ(a.call("POST", "/core/roles", role("r")).status, 200);
  const Mono begin = t.world.clock.now();
  for (const auto* key : {"plain", "\xff", "/other/program/x", "/core/roles/a/b"}) {
    const auto revision = t.put(key, std::make_shared<const std::string>("x"));
    EXPECT_EQ(a.get("/core/roles/r"), 200);
    EXPECT_EQ(a.api.cache().revision(), revision);
    const auto second = t.open();
    Server b(t.world, *second);
    EXPECT_EQ(b.get("/core/roles/r"), 200);
  }
  EXPECT_EQ(t.world.clock.now() - begin, Duration(0));
}

TEST(SharedStore, ASilentStoreIsAnsweredForInTime) {
  Shared t;
  const auto inner = t.open();
  testing::StoreDouble store(t.world.env.executor, *inner);
  auto options = testing::TestServer::open_to_all();
  options.auth.client_certificates = true;
  Server a(t.world, store, options);
  EXPECT_EQ(a.call("POST", "/core/roles", role("r")).status, 200);
  store.set_silent(true);
  const auto timed = [&](std::string method, std::string target, std::string body) {
    const Mono begin = t.world.clock.now();
    auto answer = a.call(std::move(method), std::move(target), std::move(body));
    EXPECT_EQ(answer.status, 500);
    EXPECT_EQ(*answer.headers.get("Content-Type"), "application/problem+json; charset=utf-8");
    EXPECT_LE(t.world.clock.now() - begin, std::chrono::seconds(10));
    return answer;
  };
  // Whether this one was carried out nobody knows: it must not be sent again without a look.
  const auto unknown = timed("POST", "/core/roles", role("s"));
  EXPECT_FALSE(unknown.headers.get("Retry-After"));
  EXPECT_THAT(unknown.body, HasSubstr("the outcome is unknown"));
  for (const auto* target : {"/core/roles", "/core/roles/r", "/core/roles?watch", "/me"})
    EXPECT_TRUE(timed("GET", target, "").headers.get("Retry-After")) << target;
  EXPECT_TRUE(timed("PATCH", "/core/roles/r", R"({"metadata":{"labels":{"a":"b"}}})").headers.get("Retry-After"));
  EXPECT_TRUE(timed("PUT", "/core/leases/l", R"({"holder":"me"})").headers.get("Retry-After"));
  EXPECT_TRUE(timed("POST", "/backup", "").headers.get("Retry-After"));
  // Who knows that the store is away sends it nothing.
  EXPECT_TRUE(timed("POST", "/core/roles", role("t")).headers.get("Retry-After"));
  EXPECT_EQ(a.get("/"), 200);
  EXPECT_EQ(a.get("/core/roles/r?consistency=cached"), 200);
  int status = 0;
  EXPECT_THAT(a.admin("/readyz", status), HasSubstr("the store"));
  EXPECT_EQ(status, 503);
  store.set_silent(false);
  EXPECT_EQ(a.call("POST", "/core/roles", role("t")).status, 200);
  EXPECT_EQ(a.get("/core/roles/r"), 200);
}

// Compacted: what is here and what comes may be of two histories. That it was read once, and not used, changes nothing.
TEST(SharedStore, WhatTheStoreDoesNotGoOnFromIsReadAnewUntilThatIsDone) {
  Shared t;
  const auto inner = t.open();
  testing::StoreDouble store(t.world.env.executor, *inner);
  Server a(t.world, store);
  EXPECT_EQ(a.call("POST", "/core/roles", role("r")).status, 200);
  const int before = store.lists;
  store.watch_errors = {{Code::compacted, "forgotten"}, {Code::unavailable, "not now"}};
  store.replace(*inner);  // the watch ends
  t.world.run_until([&] { return store.watch_errors.empty(); }, std::chrono::seconds(10));
  EXPECT_EQ(a.get("/core/roles/r"), 200);
  t.world.run_until([&] { return store.lists - before == 2; }, std::chrono::seconds(10));
  EXPECT_EQ(store.lists - before, 2);
  EXPECT_EQ(a.call("POST", "/core/roles", role("s")).status, 200);
  EXPECT_EQ(a.get("/core/roles/s"), 200);
}

// What may be behind is shown by the roles of that moment, and without the store.
TEST(SharedStore, WhoTakesWhatIsCachedIsJudgedByCachedRoles) {
  Shared t;
  t.put("/core/roles/all", stored("all", kAllowAll));
  t.put("/core/rolebindings/all", stored("all", R"("users":["alice"],"roles":["all"])"));
  auto options = testing::TestServer::open_to_all();
  options.auth.mode = access::Authorization::rbac;
  options.auth.client_certificates = true;
  const auto inner = t.open();
  testing::StoreDouble store(t.world.env.executor, *inner);
  Server a(t.world, store, options);
  EXPECT_EQ(a.get("/core/roles"), 200);
  store.set_silent(true);
  EXPECT_EQ(a.get("/core/roles"), 500);
  EXPECT_EQ(a.get("/core/roles?consistency=cached"), 200);
  EXPECT_EQ(a.get("/core/roles/all?consistency=cached"), 200);
  EXPECT_EQ(a.get("/core/roles?watch&consistency=cached"), 500) << "a watch is never behind";
  EXPECT_EQ(a.call("DELETE", "/core/roles/all?consistency=cached").status, 500);
  EXPECT_EQ(a.call("POST", "/backup?consistency=cached").status, 500) << "it reads the store, and so are its roles";
  store.set_silent(false);
  EXPECT_EQ(a.get("/core/roles"), 200);
  store.set_deaf(true);
  store::Txn txn;
  txn.removes.push_back({"/core/rolebindings/all"});
  ASSERT_TRUE(t.disk->commit(std::move(txn)));
  EXPECT_EQ(a.call("POST", "/backup?consistency=cached").status, 500) << "nor by roles that are no more";
  store.set_deaf(false);
  EXPECT_EQ(a.get("/core/roles"), 403);
  EXPECT_EQ(a.get("/core/roles?consistency=cached"), 403);
}

TEST(SharedStore, WatchesAreClosedWhenTheServerIsCutOff) {
  Shared t;
  const auto inner = t.open();
  testing::StoreDouble store(t.world.env.executor, *inner);
  Server a(t.world, store);
  auto quiet = a.watch();
  t.world.run(sleep_for(t.world.clock, std::chrono::minutes(2)));
  EXPECT_EQ(a.call("POST", "/core/roles", role("r")).status, 200);
  EXPECT_THAT(*t.world.run(quiet.body->read()), HasSubstr("ADDED")) << "nothing happened for long, and that is no cut";
  const Mono begin = t.world.clock.now();
  store.set_silent(true);
  EXPECT_FALSE(t.world.run(quiet.body->read()).has_value());
  EXPECT_LE(t.world.clock.now() - begin, std::chrono::seconds(11));
  store.set_silent(false);
  auto again = a.watch();
  EXPECT_EQ(again.status, 200);
  EXPECT_EQ(a.call("POST", "/core/roles", role("s")).status, 200);
  EXPECT_THAT(*t.world.run(again.body->read()), HasSubstr("ADDED"));
}

TEST(SharedStore, AServerStartsWithoutItsStoreAndFindsItLater) {
  Shared t;
  const auto inner = t.open();
  store::FaultyStore store(*inner, t.world.env.executor, t.world.clock, Random(1));
  store.set_away(true);
  auto options = testing::TestServer::open_to_all();
  options.default_roles = {*json::parse(R"({"metadata":{"name":"default"},"rules":[]})")};
  Server a(t.world, store, options);
  EXPECT_EQ(a.get("/"), 200);
  const auto refused = a.call("GET", "/core/roles");
  EXPECT_EQ(refused.status, 500);
  EXPECT_TRUE(refused.headers.get("Retry-After"));
  EXPECT_EQ(a.get("/core/roles?consistency=cached"), 500);
  int status = 0;
  EXPECT_THAT(a.admin("/readyz", status), HasSubstr("not loaded"));
  EXPECT_EQ(status, 503);
  t.world.run(sleep_for(t.world.clock, std::chrono::minutes(5)));
  store.set_away(false);
  // The first request that needs it finds it, whatever the back-off has come to.
  const Mono begin = t.world.clock.now();
  EXPECT_EQ(a.get("/core/roles/default"), 200);
  EXPECT_LE(t.world.clock.now() - begin, std::chrono::seconds(1));
  EXPECT_EQ(a.admin("/readyz", status), "ok\n");
}

TEST(SharedStore, ABadDefaultRoleStopsTheStart) {
  Shared t;
  const auto inner = t.open();
  auto options = testing::TestServer::open_to_all();
  options.default_roles = {*json::parse(R"({"metadata":{},"rules":7})")};
  server::ApiServer api(t.world.env, *inner, krake_registry(), options);
  const auto started = t.world.run(api.start());
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, Code::invalid_object);
  t.world.run(api.stop());
}

TEST(SharedStore, AReplacedHistoryBeginsAnew) {
  for (const bool watches_notice : {true, false}) {
    Shared t;
    const auto before = t.open();
    // An older snapshot, under an identity of its own: revisions go back.
    const auto disk = std::make_shared<store::MemoryDisk>("s2", store::MemoryOptions{});
    const auto after = store::make_memory_store(t.world.env.executor, t.world.clock, disk);
    store::Txn txn;
    txn.puts.push_back({"/core/roles/z", stored("z")});
    ASSERT_TRUE(disk->commit(std::move(txn)));
    testing::StoreDouble store(t.world.env.executor, *before);
    Server a(t.world, store);
    for (const auto* name : {"a", "b", "c"}) EXPECT_EQ(a.call("POST", "/core/roles", role(name)).status, 200);
    const auto since = a.list_metadata("resource_version");
    const auto page = testing::TestServer::body_of(a.call("GET", "/core/roles?limit=1"));
    auto stream = a.watch();
    store.replace(*after, watches_notice);
    EXPECT_FALSE(t.world.run(stream.body->read()).has_value());
    ASSERT_TRUE(t.world.run_until([&] { return a.get("/core/roles/z") == 200; }));
    EXPECT_EQ(a.get("/core/roles/a"), 404);
    EXPECT_EQ(a.list_metadata("store"), "s2");
    EXPECT_EQ(a.list_metadata("resource_version"), "1");
    EXPECT_EQ(a.get("/core/roles?limit=1&continue=" + std::string(page.string_at({"metadata", "continue"}))), 410);
    EXPECT_EQ(a.watch("&store=s1&since=" + since).status, 410);
    EXPECT_EQ(a.watch("&since=" + since).status, 410) << "not there yet";
    EXPECT_EQ(a.call("PATCH", "/core/roles/z", R"({"metadata":{"labels":{"x":"y"}}})",
                     {{"If-Match", "\"1\""}, {"Krake-Store", "s1"}})
                  .status,
              412);
    auto fresh = a.watch();
    EXPECT_EQ(a.call("POST", "/core/roles", role("new")).status, 200);
    EXPECT_THAT(*t.world.run(fresh.body->read()), HasSubstr(R"("name":"new")"));
  }
}

// A client that fails over asks for what comes after a revision this server has not heard of yet.
TEST(SharedStore, AServerThatIsBehindWaitsForTheRevisionOfAWatch) {
  Shared t;
  const auto first = t.open();
  const auto second = t.open();
  store::FaultyStore late(*second, t.world.env.executor, t.world.clock, Random(2),
                          {.max_lag = std::chrono::seconds(3)});
  Server a(t.world, *first);
  Server b(t.world, late);
  late.script(store::WatchFault::lag);
  EXPECT_EQ(a.call("POST", "/core/roles", role("r")).status, 200);
  const auto since = a.list_metadata("resource_version");
  auto stream = b.watch("&store=s1&since=" + since);
  EXPECT_EQ(stream.status, 200);
  EXPECT_EQ(a.call("POST", "/core/roles", role("s")).status, 200);
  const auto text = *t.world.run(stream.body->read());
  EXPECT_THAT(text, HasSubstr(R"("name":"s")"));
  EXPECT_THAT(text, ::testing::Not(HasSubstr(R"("name":"r")"))) << "seen at the other server already";
}

// Between the look at the cache and the commit: the store's own guards decide.
TEST(W2, WhoWasFasterWinsAlsoInTheLastMoment) {
  Shared t;
  const auto inner = t.open();
  testing::StoreDouble store(t.world.env.executor, *inner);
  Server a(t.world, store);
  EXPECT_EQ(a.call("POST", "/core/roles", role("r")).status, 200);
  const auto taken = a.call("PUT", "/core/leases/boss", R"({"holder":"me"})");
  const std::string leader = "boss/" + std::string(*taken.headers.get("Krake-Epoch"));
  const auto patch = [&](Headers headers) {
    return a.call("PATCH", "/core/roles/r", R"({"metadata":{"labels":{"a":"b"}}})", std::move(headers));
  };
  store.before_commit = [&] {
    store::Txn txn;
    txn.removes.push_back({"/core/leases/boss"});
    ASSERT_TRUE(t.disk->commit(std::move(txn)));
  };
  const auto deposed = patch({{"Krake-Leader", leader}});
  EXPECT_EQ(deposed.status, 412);
  EXPECT_THAT(deposed.body, HasSubstr("leadership lost"));
  const std::string etag(*a.call("GET", "/core/roles/r").headers.get("ETag"));
  store.before_commit = [&] { t.put("/core/roles/r", stored("r", R"("rules":[],"x":1)")); };
  const auto late = patch({{"If-Match", etag}});
  EXPECT_EQ(late.status, 412);
  EXPECT_THAT(late.body, HasSubstr("has changed"));
  EXPECT_THAT(a.call("GET", "/core/roles/r").body, ::testing::Not(HasSubstr(R"("a":"b")")));
}

TEST(SharedStore, WhatWasMadeAndChangedInAGapIsAdded) {
  Shared t;
  const auto inner = t.open();
  store::FaultyStore store(*inner, t.world.env.executor, t.world.clock, Random(1));
  Server a(t.world, store);
  auto stream = a.watch();
  store.set_away(true);
  t.put("/core/roles/g", stored("g"));
  t.put("/core/roles/g", stored("g", R"("rules":[],"x":1)"));
  ASSERT_TRUE(t.disk->compact(t.disk->revision()));
  store.set_away(false);
  EXPECT_THAT(*t.world.run(stream.body->read()), HasSubstr(R"({"type":"ADDED")"));
}

std::vector<json::Value> events_in(const std::string& text) {
  std::vector<json::Value> events;
  for (std::size_t begin = 0, end = 0; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1)
    events.push_back(*json::parse(std::string_view(text).substr(begin, end - begin)));
  return events;
}

// The server that missed something tells the difference to who follows it. Elsewhere each change has a revision of its
// own: who leaves in the middle goes on from where the gap began, and is told all of it.
TEST(SharedStore, WhoLeavesAServerInTheMiddleOfItsGapGoesOnFromWhereTheGapBegan) {
  Shared t;
  const auto first = t.open();
  const auto second = t.open();
  store::FaultyStore gappy(*first, t.world.env.executor, t.world.clock, Random(1));
  Server a(t.world, gappy);
  Server b(t.world, *second);
  t.put("/core/roles/gone", stored("gone"));
  const auto from = t.put("/core/roles/changed", stored("changed"));
  EXPECT_EQ(a.get("/core/roles/changed"), 200);
  auto stream = a.watch();
  gappy.set_away(true);
  t.put("/core/roles/changed", stored("changed", R"("rules":[],"x":1)"));
  store::Txn txn;
  txn.removes.push_back({"/core/roles/gone"});
  ASSERT_TRUE(t.disk->commit(std::move(txn)));
  const auto to = t.put("/core/roles/new", stored("new"));
  EXPECT_EQ(b.get("/core/roles/new"), 200);
  ASSERT_TRUE(t.disk->compact(to));
  gappy.set_away(false);
  const auto difference = events_in(*t.world.run(stream.body->read()));
  ASSERT_EQ(difference.size(), 3U);
  for (const auto& event : difference) {
    EXPECT_EQ(event.string_at({"revision"}), std::to_string(from + 1));
    EXPECT_EQ(event.string_at({"gap"}), std::to_string(to));
  }
  auto elsewhere = b.watch(fmt::format("&store=s1&since={}", from));
  ASSERT_EQ(elsewhere.status, 200);
  const auto whole = events_in(*t.world.run(elsewhere.body->read()));
  ASSERT_EQ(whole.size(), 3U);
  EXPECT_EQ(whole[1].string_at({"type"}), "DELETED");
  EXPECT_EQ(whole[1].string_at({"revision"}), std::to_string(from + 2));
  EXPECT_EQ(whole[1].at_path({"gap"}), nullptr);
  // Who heard something of the gap elsewhere must be told what is no difference any more: here nobody knows that.
  for (auto since = from; since < to; ++since) EXPECT_EQ(a.watch(fmt::format("&since={}", since)).status, 410) << since;
  EXPECT_EQ(a.watch(fmt::format("&since={}", to)).status, 200);
}

// What an object was before the history begins, nobody knows: it may have left the selection, but never its namespace.
TEST(W20, ARestartTellsNothingOfNamespacesOneMayNotSee) {
  Shared t;
  const auto namespaced = [](std::string_view ns, std::string_view labels) {
    return std::make_shared<const std::string>(fmt::format(
        R"({{"metadata":{{"name":"p","namespace":"{0}","uid":"u-{0}","created":"2026-01-01T00:00:00","modified":"2026-01-01T00:00:00","labels":{1}}},"spec":{{"type":"prometheus","prometheus":{{"url":"http://in-{0}"}}}}}})",
        ns, labels));
  };
  for (const auto* ns : {"mine", "other"})
    t.put(fmt::format("/core/metricsproviders/{}/p", ns), namespaced(ns, R"({"a":"b"})"));
  t.put("/core/roles/one",
        stored("one",
               R"("rules":[{"api":"core","resources":["metricsproviders"],"namespaces":["mine"],"verbs":["list"]}])"));
  auto since = t.put("/core/rolebindings/one", stored("one", R"("users":["alice"],"roles":["one"])"));
  ASSERT_TRUE(t.disk->compact(since));
  for (int i = 0; i < 200; ++i)  // a start looks back no further than this
    since = t.put("/core/metricsproviders/else/p", namespaced("else", "{}"));
  for (const auto* ns : {"other", "mine"}) t.put(fmt::format("/core/metricsproviders/{}/p", ns), namespaced(ns, "{}"));
  auto options = testing::TestServer::open_to_all();
  options.auth.client_certificates = true;
  options.auth.mode = access::Authorization::rbac;
  const auto store = t.open();
  Server a(t.world, *store, options);
  for (const auto* selection : {"", "&labels=a%3Db"}) {
    auto stream = *t.world.run(a.transport->open(
        {"GET", fmt::format("/core/metricsproviders?watch&bookmarks=true&since={}{}", since, selection), {}, ""}));
    ASSERT_EQ(stream.status, 200);
    const auto text = *t.world.run(stream.body->read());
    EXPECT_THAT(text, ::testing::Not(HasSubstr("in-other"))) << selection;
    const auto events = events_in(text);
    ASSERT_EQ(events.size(), 2U) << text;
    EXPECT_EQ(events[0].string_at({"type"}), *selection ? "DELETED" : "MODIFIED");
    EXPECT_EQ(events[0].string_at({"object", "metadata", "namespace"}), "mine");
  }
}

Awaitable<void> send(std::shared_ptr<Transport> transport, HttpRequest request, std::vector<HttpResponse>* answers) {
  auto answer = co_await transport->send(std::move(request), {});
  if (answer) answers->push_back(std::move(*answer));
}

TEST(SharedStore, TwoWritesOfOneRevisionAreEachTheirOwn) {
  std::vector<HttpResponse> answers;
  Shared t;
  const auto inner = t.open();
  testing::StoreDouble store(t.world.env.executor, *inner);
  Server a(t.world, store);
  EXPECT_EQ(a.call("POST", "/core/roles", role("old")).status, 200);
  auto stream = a.watch();
  store.gather();
  const std::string labels = R"({"metadata":{"labels":{"a":"b"}}})";
  TaskGroup sending(t.world.env.executor);
  sending.spawn("create", send(a.transport, {"POST", "/core/roles", {}, role("new")}, &answers));
  sending.spawn("change", send(a.transport, {"PATCH", "/core/roles/old", {}, labels}, &answers));
  t.world.settle();
  EXPECT_TRUE(answers.empty());
  const auto result = t.world.run(store.commit_together());
  ASSERT_TRUE(result && std::holds_alternative<store::Committed>(*result));
  const auto revision = std::to_string(std::get<store::Committed>(*result).revision);
  ASSERT_TRUE(t.world.run_until([&] { return answers.size() == 2; }));
  std::map<std::string, std::string> told;
  for (const auto& event : events_in(*t.world.run(stream.body->read()))) {
    EXPECT_EQ(event.string_at({"revision"}), revision);
    told[std::string(event.string_at({"object", "metadata", "name"}))] = event.string_at({"type"});
  }
  EXPECT_EQ(told, (std::map<std::string, std::string>{{"new", "ADDED"}, {"old", "MODIFIED"}}));
  for (const auto& answer : answers) {
    EXPECT_EQ(answer.status, 200) << answer.body;
    EXPECT_EQ(answer.headers.get("ETag"), "\"" + revision + "\"");
    const auto object = testing::TestServer::body_of(answer);
    const auto path = fmt::format("/core/roles/{}", object.string_at({"metadata", "name"}));
    EXPECT_EQ(a.call("GET", path).body, answer.body);
    // What happened to the other one at that revision is none of its business.
    const auto change = R"({"metadata":{"labels":{"c":"d"}}})";
    EXPECT_EQ(a.call("PATCH", path, change, {{"If-Match", "\"" + revision + "\""}}).status, 200);
    EXPECT_EQ(a.call("PATCH", path, change, {{"If-Match", "\"" + revision + "\""}}).status, 412);
  }
}

// Each leaves in a piece of its own.
TEST(SharedStore, ABookmarkCountsNoRevisionOfWhichSomethingIsStillToBeSent) {
  Shared t;
  const auto inner = t.open();
  Server a(t.world, *inner);
  const auto before = t.put("/core/roles/first", stored("first"));
  const auto large = fmt::format(R"("rules":[],"x":"{}")", std::string(300'000, 'x'));
  store::Txn txn;
  for (const auto* name : {"p", "q"}) txn.puts.push_back({fmt::format("/core/roles/{}", name), stored(name, large)});
  ASSERT_TRUE(t.disk->commit(std::move(txn)));
  EXPECT_EQ(a.get("/core/roles/q"), 200);
  const auto since = fmt::format("&bookmarks=true&since={}", before);
  auto stream = a.watch(since);
  const auto half = events_in(*t.world.run(stream.body->read()));
  ASSERT_EQ(half.size(), 2U);
  EXPECT_EQ(half[0].string_at({"object", "metadata", "name"}), "p");
  EXPECT_EQ(half[0].string_at({"revision"}), std::to_string(before + 1));
  EXPECT_EQ(half[1].string_at({"type"}), "BOOKMARK");
  EXPECT_EQ(half[1].string_at({"revision"}), std::to_string(before));
  auto again = a.watch(since);
  for (const auto* name : {"p", "q"}) {
    const auto events = events_in(*t.world.run(again.body->read()));
    ASSERT_FALSE(events.empty());
    EXPECT_EQ(events[0].string_at({"object", "metadata", "name"}), name);
  }
}

}  // namespace
}  // namespace krake
