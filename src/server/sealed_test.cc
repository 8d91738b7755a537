// Several servers on one store, of which not all know the keys its values are sealed with.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/encoding.h"
#include "server/testing.h"
#include "store/sealed_store.h"

namespace krake {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::string_view kProviders = "/core/namespaces/demo/metricsproviders";

std::string provider(std::string_view name, std::string_view token) {
  return fmt::format(
      R"({{"metadata":{{"name":"{}"}},"spec":{{"type":"influx","influx":{{"url":"http://u","token":"{}","org":"o","bucket":"b"}}}}}})",
      name, token);
}
std::string at(std::string_view name) { return fmt::format("{}/{}", kProviders, name); }

// Each letter is a key; the first one seals, unless '-' is before it. A large letter is another key by the small one's
// name.
SealingKeys keys_of(std::string_view ids) {
  std::string text;
  for (const char id : ids) {
    const char name = static_cast<char>(std::tolower(id));
    text += id == '-' ? "plain\n" : fmt::format("{} {}\n", name, base64_encode(std::string(32, id)));
  }
  return ids.empty() ? SealingKeys() : SealingKeys::parse(text, "keys").value();
}

struct Site {
  std::unique_ptr<store::Store> open(std::string_view ids) {
    return std::make_unique<store::SealedStore>(
        store::make_memory_store(world.env.executor, world.clock, disk), keys_of(ids),
        std::vector<std::string>{"/core/metricsproviders/", "/kubernetes/applications/"}, store::Unopened::isolate);
  }
  testing::World world;
  std::shared_ptr<store::MemoryDisk> disk = std::make_shared<store::MemoryDisk>("s1", store::MemoryOptions{});
};

server::ServerOptions options() {
  auto options = testing::TestServer::open_to_all();
  options.auth.client_certificates = true;
  return options;
}

struct Server {
  Server(Site& site, std::string_view ids)
      : world(site.world),
        store(site.open(ids)),
        api(world.env, *store, krake_registry(), options()),
        transport(make_inproc_transport(api.handler(), Peer{.common_name = "alice"}, world.clock)) {
    if (auto started = world.run(api.start()); !started) throw std::runtime_error(started.error().message);
  }
  ~Server() { world.run(api.stop()); }
  HttpResponse call(std::string method, std::string target, std::string body = {}, Headers headers = {}) {
    auto answer = world.run(transport->send({std::move(method), std::move(target), std::move(headers), std::move(body)},
                                            {.timeout = std::chrono::minutes(5)}));
    return answer ? std::move(*answer) : HttpResponse{.status = 0, .headers = {}, .body = answer.error().message};
  }
  int get(std::string target) { return call("GET", std::move(target)).status; }
  HttpStream watch() {
    return std::move(*world.run(transport->open({"GET", fmt::format("{}?watch&heartbeat=0", kProviders), {}, ""})));
  }
  std::string metrics() {
    ServerRequest request{.method = "GET", .target = "/metrics", .headers = {}, .peer = {}};
    auto reply = world.run(api.handle_admin(request));
    return std::string(*reply.body.front());
  }
  testing::World& world;
  std::unique_ptr<store::Store> store;
  server::ApiServer api;
  std::shared_ptr<Transport> transport;
};

store::Revision disk_revision(const Site& site, std::string_view name) {
  return site.disk->get(fmt::format("/core/metricsproviders/demo/{}", name))->modified;
}

TEST(W11, AKeyAServerLacksConcernsTheValuesSealedWithItAlone) {
  Site t;
  Server first(t, "ba");
  {
    Server second(t, "a");
    Server third(t, "");
    auto stream = second.watch();
    ASSERT_EQ(first.call("POST", std::string(kProviders), provider("x", "one")).status, 200);
    const auto whole = first.call("GET", at("x")).body;
    for (auto* server : {&second, &third}) {
      EXPECT_EQ(server->get("/me"), 200);
      EXPECT_EQ(server->get("/core/roles"), 200);
      for (const auto* query : {"", "?watch", "?limit=5", "?consistency=cached"}) {
        const auto list = server->call("GET", std::string(kProviders) + query);
        EXPECT_EQ(list.status, 500) << "what is not in it would be taken for gone";
        EXPECT_TRUE(list.headers.get("Retry-After"));
        EXPECT_THAT(list.body,
                    HasSubstr("metricsproviders cannot be listed or watched here: 'x' is sealed with the key 'b'"));
      }
      const auto why = HasSubstr(
          "MetricsProvider 'x' is sealed with the key 'b', which this server does not have, or not the same "
          "(security.encryption_key_file)");
      const std::pair<std::string, std::string> refused[] = {
          {"GET", ""}, {"PUT", whole}, {"PATCH", R"({"metadata":{"labels":{"a":"b"}}})"}, {"DELETE", ""}};
      for (const auto& [method, body] : refused) {
        const auto answer = server->call(method, at("x"), body);
        EXPECT_EQ(answer.status, 500) << method;
        EXPECT_TRUE(answer.headers.get("Retry-After")) << "another server may know the key";
        EXPECT_THAT(answer.body, why) << method;
      }
      EXPECT_EQ(server->get(at("y")), 404);
      const auto taken = server->call("POST", std::string(kProviders), provider("x", "mine"));
      EXPECT_EQ(taken.status, 409);
      EXPECT_THAT(taken.body, AllOf(HasSubstr("is sealed with the key 'b'"), Not(HasSubstr("force"))));
      EXPECT_THAT(server->metrics(), HasSubstr("krake_api_unopened_values 1"));
      EXPECT_EQ(server->call("POST", "/backup").status, 500) << "it would have a hole";
    }
    EXPECT_FALSE(t.world.run(stream.body->read())) << "the watch has ended";
    // The watch on the store has not.
    ASSERT_EQ(second.call("POST", std::string(kProviders), provider("y", "two")).status, 200);
    EXPECT_EQ(first.get(at("y")), 200);
    EXPECT_EQ(second.call("POST", "/core/roles", R"({"metadata":{"name":"r"},"rules":[]})").status, 200);
    // As an owner it is there.
    const auto owned = second.call(
        "POST", "/core/roles",
        R"({"metadata":{"name":"s","owners":[{"api":"core","kind":"MetricsProvider","namespace":"demo","name":"x"}]},"rules":[]})");
    EXPECT_EQ(owned.status, 200);
    EXPECT_FALSE(owned.headers.get("Warning"));
    // One that could be read and cannot be any more, and can again.
    Server fourth(t, "ab");
    for (int i = 0; i < 2; ++i) {
      const auto label = fmt::format(R"({{"metadata":{{"labels":{{"a":"{}"}}}}}})", i);
      ASSERT_EQ(first.call("PATCH", at("y"), label).status, 200);
      EXPECT_EQ(second.get(at("y")), 500);
      ASSERT_EQ(fourth.call("PATCH", at("y"), R"({"metadata":{"labels":{"a":null}}})").status, 200);
      EXPECT_EQ(second.get(at("y")), 200);
    }
    EXPECT_THAT(second.metrics(),
                AllOf(HasSubstr("krake_api_unopened_values 1"), Not(HasSubstr("krake_store_watch_breaks_total{"))));
    EXPECT_EQ(whole, fourth.call("GET", at("x")).body) << "it is as it was";
  }
  // Started with the key it reads what it could not; started without it serves the rest.
  Server knows(t, "ab");
  EXPECT_EQ(knows.call("GET", at("x")).body, first.call("GET", at("x")).body);
  EXPECT_THAT(knows.call("GET", at("x")).body, HasSubstr(R"("token":"one")"));
  Server lacks(t, "");
  EXPECT_EQ(lacks.get("/core/roles"), 200);
  EXPECT_EQ(lacks.get(at("x")), 500);
  // Whoever knows what he does can be rid of it.
  const auto refused = lacks.call("DELETE", at("x") + "?force=True");
  EXPECT_EQ(refused.status, 500) << "elsewhere this is a deletion in order";
  const auto revision = std::to_string(disk_revision(t, "x"));
  EXPECT_THAT(refused.body, HasSubstr("If-Match: " + revision));
  EXPECT_EQ(lacks.call("DELETE", at("x") + "?force=True", {}, {{"If-Match", "\"77\""}}).status, 412);
  EXPECT_EQ(lacks.call("DELETE", at("x") + "?force=True", {}, {{"If-Match", revision}}).status, 200);
  EXPECT_EQ(first.get(at("x")), 404);
  // Now all can be told, but not what was before.
  EXPECT_EQ(lacks.get(std::string(kProviders)), 500) << "y is sealed, too";
  ASSERT_EQ(first.call("DELETE", at("y")).status, 200);
  EXPECT_EQ(lacks.get(std::string(kProviders)), 500);
  const auto before = t.disk->revision();
  ASSERT_EQ(first.call("PATCH", at("y"), R"({"metadata":{"finalizers":[]}})").status, 200);
  EXPECT_EQ(lacks.get(std::string(kProviders)), 200);
  const auto since = [&](store::Revision revision) {
    return fmt::format("{}?watch&heartbeat=0&since={}", kProviders, revision);
  };
  EXPECT_EQ(t.world.run(lacks.transport->open({"GET", since(before), {}, ""}))->status, 410)
      << "who was at another server must hear that y is gone";
  EXPECT_EQ(t.world.run(lacks.transport->open({"GET", since(t.disk->revision()), {}, ""}))->status, 200);
  EXPECT_EQ(lacks.call("POST", std::string(kProviders), provider("x", "new")).status, 200);
}

// One that was told of it as being there must not believe that for ever.
TEST(W11, AWatchEndsWhenAValueThatCannotBeOpenedHasComeAndGone) {
  Site t;
  Server first(t, "ba");
  Server second(t, "a");
  ASSERT_EQ(second.call("POST", std::string(kProviders), provider("x", "one")).status, 200);
  auto stream = second.watch();
  const std::string key = "/core/metricsproviders/demo/x";
  const auto as_it_is = *t.disk->get(key)->value;
  // Both come in one piece.
  const auto sealed = keys_of("b").seal(*keys_of("a").open(as_it_is, key), key);
  ASSERT_TRUE(t.disk->commit({.puts = {{key, std::make_shared<const std::string>(sealed)}}}));
  ASSERT_TRUE(t.disk->commit({.removes = {{key}}}));
  EXPECT_FALSE(t.world.run(stream.body->read())) << "it has not heard that x is gone, and never would";
  EXPECT_EQ(second.get(at("x")), 404);
  EXPECT_EQ(second.get(std::string(kProviders)), 200);
}

// An object is not deleted because this server cannot open it any more.
TEST(W11, WhoWaitsForADeletionIsNotToldOfWhatCannotBeOpened) {
  Site t;
  Server first(t, "ba");
  Server second(t, "a");
  const std::string apps = "/kubernetes/namespaces/demo/applications";
  ASSERT_EQ(
      second
          .call(
              "POST", apps,
              R"({"metadata":{"name":"x","finalizers":["keep"]},"spec":{"manifest":[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"}}],"constraints":{"cluster":{}}}})")
          .status,
      200);
  std::optional<HttpResponse> waited;
  TaskGroup tasks(t.world.env.executor);
  const auto wait = [&]() -> Awaitable<void> {
    auto answer = co_await second.transport->send({"DELETE", apps + "/x?blocking=deleted", {}, ""},
                                                  {.timeout = std::chrono::minutes(5)});
    if (answer) waited = std::move(*answer);
  };
  tasks.spawn("wait", wait());
  t.world.settle();
  ASSERT_FALSE(waited);
  ASSERT_EQ(first.call("PATCH", apps + "/x", R"({"metadata":{"labels":{"a":"b"}}})").status, 200);
  t.world.run(tasks.join());
  ASSERT_TRUE(waited);
  EXPECT_EQ(waited->status, 200);
  EXPECT_THAT(waited->body, AllOf(HasSubstr("keep"), Not(HasSubstr("DELETED")))) << "the ordinary answer";
  EXPECT_EQ(first.get(apps + "/x"), 200);
  EXPECT_EQ(second.get(apps + "/x"), 500);
}

// The name of a key is free text: two may give it to different ones.
TEST(W11, AnotherKeyOfTheSameNameOpensNoMoreThanNone) {
  Site t;
  Server first(t, "b");
  Server other(t, "-B");
  ASSERT_EQ(other.call("POST", std::string(kProviders), provider("x", "one")).status, 200);
  auto stream = other.watch();
  ASSERT_EQ(first.call("PATCH", at("x"), R"({"metadata":{"labels":{"a":"b"}}})").status, 200);
  EXPECT_FALSE(t.world.run(stream.body->read())) << "x is not deleted";
  EXPECT_EQ(other.get(at("x")), 500);
  EXPECT_EQ(other.get(std::string(kProviders)), 500);
  EXPECT_EQ(other.call("DELETE", at("x") + "?force=True").status, 500);
  EXPECT_THAT(other.metrics(), HasSubstr("krake_api_unopened_values 1"));
  EXPECT_EQ(first.get(at("x")), 200);
}

TEST(W11, WhatCannotBeOpenedConcernsItsNamespaceAlone) {
  Site t;
  Server first(t, "b");
  Server second(t, "");
  const auto path = [](std::string_view ns) { return fmt::format("/core/namespaces/{}/metricsproviders", ns); };
  ASSERT_EQ(first.call("POST", path("merger"), provider("acme", "one")).status, 200);
  EXPECT_EQ(second.get(path("demo")), 200);
  EXPECT_EQ(t.world.run(second.transport->open({"GET", path("demo") + "?watch", {}, ""}))->status, 200);
  EXPECT_EQ(second.get(path("merger")), 500);
  const auto all = second.call("GET", "/core/metricsproviders");
  EXPECT_EQ(all.status, 500);
  EXPECT_THAT(all.body, HasSubstr("'acme'"));
}

// As the manual says: all know the new key before anybody seals with it.
TEST(W11, EncryptionComesChangesItsKeyAndGoesWithoutAnybodyMissingAValue) {
  Site t;
  std::vector<std::unique_ptr<Server>> servers;
  const auto restart = [&](std::size_t i, std::string_view ids) {
    if (servers.size() <= i) servers.resize(i + 1);
    servers[i].reset();
    servers[i] = std::make_unique<Server>(t, ids);
  };
  int made = 0;
  const auto all_see_all = [&] {
    for (const auto& writer : servers) {
      const auto name = fmt::format("p{}", made++);
      EXPECT_EQ(writer->call("POST", std::string(kProviders), provider(name, "t")).status, 200);
      for (const auto& reader : servers) EXPECT_EQ(reader->get(at(name)), 200);
    }
    for (const auto& reader : servers) {
      const auto items = testing::TestServer::body_of(reader->call("GET", std::string(kProviders)));
      EXPECT_EQ(items.at_path({"items"})->if_array()->size(), static_cast<std::size_t>(made));
    }
  };
  for (std::size_t i = 0; i < 3; ++i) restart(i, "");
  all_see_all();
  for (const std::string_view phase : {"-a", "a", "ab", "ba", "-ba"}) {
    for (std::size_t i = 0; i < 3; ++i) {
      restart(i, phase);
      all_see_all();
    }
  }
}

}  // namespace
}  // namespace krake
