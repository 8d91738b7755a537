// POST /backup: who gets it, and that it is what the store has.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backup/file.h"
#include "server/testing.h"

namespace krake::server {
namespace {

using krake::testing::TestServer;

Result<backup::Backup> backup_in(std::string_view text) {
  backup::Reader reader;
  RETURN_IF_ERROR(reader.add(text));
  return reader.finish();
}

// `rights` of alice, who asks.
ServerOptions rbac(std::string api, std::string resource, std::string verb, json::Array namespaces = {""}) {
  ServerOptions options;
  options.auth.client_certificates = true;
  options.default_roles.emplace_back(
      json::Object{{"metadata", json::Object{{"name", "alices"}}},
                   {"rules", json::Array{json::Object{{"api", std::move(api)},
                                                      {"resources", json::Array{std::move(resource)}},
                                                      {"namespaces", std::move(namespaces)},
                                                      {"verbs", json::Array{std::move(verb)}}}}}});
  options.default_role_bindings.emplace_back(json::Object{{"metadata", json::Object{{"name", "alices"}}},
                                                          {"users", json::Array{"alice"}},
                                                          {"roles", json::Array{"alices"}}});
  return options;
}

TEST(ServerBackup, IsWhatTheStoreHasAndHoldsNobodyUp) {
  TestServer t(rbac("core", "backup", "create"));
  std::map<std::string, std::string> stored;
  for (int i = 0; i < 250; ++i) {
    const auto key = fmt::format("/kubernetes/unheard-of/{:03}", i);
    store::Txn txn;
    txn.puts.push_back({key, std::make_shared<const std::string>("\xff foreign"), 0});
    ASSERT_TRUE(t.world.run(t.store->commit(std::move(txn))));
    stored[key] = "\xff foreign";
  }
  const auto answer = t.call("POST", "/backup");
  EXPECT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(*answer.headers.get("Content-Type"), "application/x-ndjson");
  EXPECT_EQ(*answer.headers.get("Cache-Control"), "no-store");
  const auto made = backup_in(answer.body);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->header.store_id, t.store->id());
  EXPECT_EQ(made->revision, t.world.run(t.store->current()));
  EXPECT_EQ(made->values.size(), stored.size() + 2) << "and alice's role and its binding";
  for (const auto& [key, value] : stored) EXPECT_EQ(*made->values.at(key), value);
}

TEST(ServerBackup, IsNotForThoseWhoMayOnlyReadEverything) {
  for (const auto& [api, resource, verb] :
       {std::tuple{"", "", "get"}, {"", "", "list"}, {"core", "roles", "create"}, {"kubernetes", "", "create"}}) {
    TestServer t(rbac(api, resource, verb));
    EXPECT_EQ(t.call("POST", "/backup").status, 403) << api << "/" << resource << " " << verb;
  }
  TestServer administrator(rbac("", "", "create"));
  EXPECT_EQ(administrator.call("POST", "/backup").status, 200);
  EXPECT_EQ(administrator.call("GET", "/backup").status, 405);
}

// It has what is in all namespaces.
TEST(ServerBackup, IsNotForTheAdministratorOfANamespace) {
  for (const auto& namespaces : {json::Array{"a"}, json::Array{"a", "b"}, json::Array{}}) {
    TestServer t(rbac("", "", "create", namespaces));
    EXPECT_EQ(t.call("POST", "/backup").status, 403) << json::print(namespaces);
    const auto review = t.call("POST", "/me/access", R"({"verb":"create","resource":"backup"})");
    EXPECT_EQ(json::print(*TestServer::body_of(review).at_path({"allowed"})), "false");
  }
}

TEST(ServerBackup, IsNotForAnybodyWithoutAName) {
  TestServer t(TestServer::open_to_all());
  EXPECT_EQ(t.call("GET", "/core/roles").status, 200);
  EXPECT_EQ(t.call("POST", "/backup").status, 401);
}

// What is written after that is none of his business, and there is no end to what may be read until then.
TEST(ServerBackup, EndsWithTheRightToIt) {
  TestServer t(rbac("core", "backup", "create"));
  for (int i = 0; i < 40; ++i) {
    store::Txn txn;
    txn.puts.push_back({fmt::format("/kubernetes/unheard-of/{:03}", i),
                        std::make_shared<const std::string>(std::string(400'000, 'x')), 0});
    ASSERT_TRUE(t.world.run(t.store->commit(std::move(txn))));
  }
  const auto read_all = [&](const std::function<void()>& meanwhile) {
    auto stream = t.world.run(t.transport->open({"POST", "/backup", {}, ""}));
    EXPECT_EQ(stream->status, 200);
    auto piece = t.world.run(stream->body->read());
    EXPECT_TRUE(piece);
    meanwhile();
    while (piece && !piece->empty()) piece = t.world.run(stream->body->read());
    return piece.has_value();
  };
  EXPECT_TRUE(read_all([] {}));
  EXPECT_FALSE(read_all([&] {
    store::Txn txn;
    txn.removes.push_back({"/core/rolebindings/alices"});
    ASSERT_TRUE(t.world.run(t.store->commit(std::move(txn))));
    t.world.settle();
  }));
}

TEST(ServerBackup, IsMadeForFewAtOnce) {
  auto options = rbac("core", "backup", "create");
  options.backups_limit = 1;
  TestServer t(std::move(options));
  {
    const auto first = t.world.run(t.transport->open({"POST", "/backup", {}, ""}));
    ASSERT_TRUE(first);
    ASSERT_EQ(first->status, 200);
    const auto second = t.call("POST", "/backup");
    EXPECT_EQ(second.status, 429);
    EXPECT_TRUE(second.headers.get("Retry-After"));
  }
  t.world.settle();
  EXPECT_EQ(t.call("POST", "/backup").status, 200) << "the first was given up";
}

}  // namespace
}  // namespace krake::server
