// Leases. The fence their epochs are is in fencing_test.cc.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/testing.h"

namespace krake {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kLease = "/core/leases/boss";

std::string epoch_of(const HttpResponse& answer) {
  return std::string(answer.headers.get("Krake-Epoch").value_or("none"));
}

TEST(Lease, WhatIsAskedForWronglyIsRefusedByField) {
  testing::TestServer t;
  const auto nothing = *t.world.run(t.store->current());
  const struct {
    std::string_view body;
    std::string_view wanted;
  } cases[] = {
      {R"({"holder":""})", "{'holder': ['Must have 1 to 255 characters.']}"},
      {R"({})", "{'holder': ['Missing data for required field.']}"},
      {R"({"holder":7})", "{'holder': ['Not a valid string.']}"},
      {R"({"holder":"h","ttl_seconds":0})", "{'ttl_seconds': ['Must be from 2 to 3600.']}"},
      {R"({"holder":"h","ttl_seconds":-6})", "{'ttl_seconds': ['Must be from 2 to 3600.']}"},
      {R"({"holder":"h","ttl_seconds":3601})", "{'ttl_seconds': ['Must be from 2 to 3600.']}"},
      {R"({"holder":"h","ttl_seconds":99999999999999999999})", "{'ttl_seconds': ['Must be from 2 to 3600.']}"},
      {R"({"holder":"h","ttl_seconds":2.5})", "{'ttl_seconds': ['Not a valid integer.']}"},
      {R"({"holder":"h","ttl_seconds":"soon"})", "{'ttl_seconds': ['Not a valid integer.']}"},
      {R"({"spec":{"holder":"h","ttl_seconds":2.5}})", "{'spec': {'ttl_seconds': ['Not a valid integer.']}}"},
      {R"({"holder":null})", "{'holder': ['Field may not be null.']}"},
      {R"({"holder":["h"]})", "{'holder': ['Not a valid string.']}"},
      {R"({"holder":"h","ttl_seconds":1})", "{'ttl_seconds': ['Must be from 2 to 3600.']}"},
      {R"({"holder":"h","ttl_seconds":"6"})", "{'ttl_seconds': ['Not a valid integer.']}"},
      {R"({"holder":"h","ttl_seconds":true})", "{'ttl_seconds': ['Not a valid integer.']}"},
      {R"({"holder":"h","ttl_seconds":null})", "{'ttl_seconds': ['Field may not be null.']}"},
      {R"({"holder":"","ttl_seconds":0})",
       "{'holder': ['Must have 1 to 255 characters.'], 'ttl_seconds': ['Must be from 2 to 3600.']}"},
      {R"({"spec":{}})", "{'spec': {'holder': ['Missing data for required field.']}}"},
      {R"({"spec":{"holder":""},"holder":"h"})", "{'spec': {'holder': ['Must have 1 to 255 characters.']}}"},
      {R"({"holder":"h","kind":"Role"})", "{'kind': ['Must be equal to Lease.']}"},
      {R"([])", "{'_schema': ['Invalid input type.']}"},
      {R"(null)", "{'_schema': ['Invalid input type.']}"},
  };
  for (const auto& [body, wanted] : cases) {
    const auto answer = t.call("PUT", std::string(kLease), std::string(body));
    EXPECT_EQ(answer.status, 422) << body;
    EXPECT_EQ(testing::TestServer::body_of(answer).string_at({"detail"}), wanted) << body;
  }
  const auto holder = [&](std::size_t length) {
    return t.call("PUT", std::string(kLease), fmt::format(R"({{"holder":"{}"}})", std::string(length, 'h')));
  };
  EXPECT_EQ(testing::TestServer::body_of(holder(256)).string_at({"detail"}),
            "{'holder': ['Must have 1 to 255 characters.']}");
  for (const std::string_view no_json : {"", "{", "{\"holder\":\"h\xff\"}", R"({"holder":"h","ttl_seconds":NaN})"})
    EXPECT_EQ(t.call("PUT", std::string(kLease), std::string(no_json)).status, 415) << no_json;
  EXPECT_EQ(t.call("GET", std::string(kLease)).status, 404);
  EXPECT_EQ(*t.world.run(t.store->current()), nothing);
  EXPECT_EQ(holder(255).status, 200);
}

TEST(Lease, NamesAreNamesAsEverywhere) {
  testing::TestServer t;
  const auto nothing = *t.world.run(t.store->current());
  for (const std::string& name :
       {std::string("a%20b"), std::string("a%2Fb"), std::string("%00"), std::string(".."), std::string("-a"),
        std::string("%C3%A9"), std::string("@"), std::string(300, 'a'), std::string(5000, 'a')}) {
    const auto answer = t.call("PUT", "/core/leases/" + name, R"({"holder":"me"})");
    EXPECT_EQ(answer.status, 422) << name;
    EXPECT_EQ(testing::TestServer::body_of(answer).string_at({"detail"}),
              "{'metadata': {'name': ['Invalid character in resource name.']}}")
        << name;
  }
  for (const char* method : {"POST", "PATCH"})
    EXPECT_EQ(t.call(method, std::string(kLease), R"({"holder":"me"})").status, 405) << method;
  for (const char* method : {"POST", "PUT", "PATCH", "DELETE"})
    EXPECT_EQ(t.call(method, "/core/leases", R"({"holder":"me"})").status, 405) << method;
  EXPECT_EQ(t.call("PUT", "/core/leases/boss/status", R"({"holder":"me"})").status, 404);
  EXPECT_EQ(*t.world.run(t.store->current()), nothing);
}

// Neither an old epoch nor another's name ends a term or prolongs it.
TEST(Lease, IsItsHoldersAlone) {
  testing::TestServer t;
  const auto taken = t.call("PUT", std::string(kLease), R"({"holder":"me"})");
  const auto revision = t.server.cache().revision();
  const auto refused = t.call("PUT", std::string(kLease), R"({"holder":"you","ttl_seconds":3600})");
  EXPECT_EQ(refused.status, 409);
  EXPECT_EQ(testing::TestServer::body_of(refused).string_at({"lease", "spec", "holder"}), "me");
  EXPECT_EQ(epoch_of(refused), epoch_of(taken)) << "so that who was late knows whom he would have to fence";
  for (const char* query : {"", "?holder=", "?holder=you", "?holder=ME", "?holder=me%20", "?force=True"}) {
    const auto kept = t.call("DELETE", std::string(kLease) + query);
    EXPECT_EQ(kept.status, 409) << query;
    EXPECT_THAT(kept.body, HasSubstr("is held by 'me'; name that holder with ?holder=")) << query;
  }
  EXPECT_EQ(t.server.cache().revision(), revision);
  t.world.run(sleep_for(t.world.clock, std::chrono::seconds(4)));
  EXPECT_EQ(t.call("PUT", std::string(kLease), R"({"holder":"you"})").status, 409);
  t.world.run(sleep_for(t.world.clock, std::chrono::seconds(3)));
  EXPECT_EQ(t.call("GET", std::string(kLease)).status, 404) << "what others ask prolongs nothing";
}

TEST(Lease, WhoHasNoRightToItGetsNone) {
  auto options = testing::TestServer::open_to_all();
  options.auth.client_certificates = true;
  options.auth.mode = access::Authorization::rbac;
  testing::TestServer t(options);
  const auto nothing = *t.world.run(t.store->current());
  EXPECT_EQ(t.call("PUT", std::string(kLease), R"({"holder":"alice"})").status, 403);
  const auto own = make_inproc_transport(t.server.handler(), Peer{.common_name = "system:scheduler"}, t.world.clock);
  const auto put = [&](std::string target) {
    return t.world.run(own->send({"PUT", std::move(target), {}, R"({"holder":"me"})"}))->status;
  };
  EXPECT_EQ(*t.world.run(t.store->current()), nothing);
  EXPECT_EQ(put("/core/leases/scheduler"), 200);
  EXPECT_EQ(put(std::string(kLease)), 403);
  EXPECT_EQ(t.call("DELETE", "/core/leases/scheduler?holder=me").status, 403) << "nor take it from its holder";
  EXPECT_EQ(t.world.run(t.store->list("/core/leases/"))->entries.size(), 1U);
}

TEST(Lease, ReadsListsAndEventsSayTheEpoch) {
  testing::TestServer t;
  auto stream = t.world.run(t.transport->open({"GET", "/core/leases?watch&heartbeat=0", {}, ""}));
  const auto epoch = epoch_of(t.call("PUT", std::string(kLease), R"({"holder":"me"})"));
  EXPECT_EQ(epoch, "s1-1");
  EXPECT_EQ(epoch_of(t.call("GET", std::string(kLease))), epoch);
  EXPECT_EQ(t.get(std::string(kLease)).string_at({"metadata", "epoch"}), epoch);
  const auto list = t.get("/core/leases");
  EXPECT_EQ((*list.at_path({"items"})->if_array())[0].string_at({"metadata", "epoch"}), epoch);
  EXPECT_THAT(*t.world.run(stream->body->read()), HasSubstr(R"("epoch":"s1-1")"));
}

TEST(Lease, ARenewalMayChangeTheTimeAndKeepsTheEpoch) {
  testing::TestServer t;
  const auto put = [&](int seconds) {
    return t.call("PUT", std::string(kLease), fmt::format(R"({{"holder":"me","ttl_seconds":{}}})", seconds));
  };
  const auto taken = put(4);
  const auto longer = put(60);
  EXPECT_EQ(longer.status, 200);
  EXPECT_EQ(epoch_of(longer), epoch_of(taken));
  EXPECT_EQ(testing::TestServer::body_of(longer).int_at({"spec", "ttl_seconds"}), 60);
  EXPECT_EQ(longer.body.find("epoch"), longer.body.rfind("epoch")) << "what is stored has none";
  t.world.run(sleep_for(t.world.clock, std::chrono::seconds(50)));
  EXPECT_EQ(t.call("GET", std::string(kLease)).status, 200);
  const auto revision = t.server.cache().revision();
  EXPECT_EQ(put(60).status, 200);
  EXPECT_EQ(t.call("PUT", std::string(kLease), R"({"holder":"me"})").status, 200);
  EXPECT_EQ(t.server.cache().revision(), revision) << "an ordinary renewal commits nothing";
  EXPECT_EQ(put(2).status, 200);
  t.world.run(sleep_for(t.world.clock, std::chrono::seconds(3)));
  EXPECT_EQ(t.call("GET", std::string(kLease)).status, 404);
  EXPECT_NE(epoch_of(put(2)), epoch_of(taken));
}

TEST(Lease, AnUnreadableValueObeysItsPreconditionsAndGoesByForce) {
  testing::TestServer t;
  store::Txn txn;
  for (const auto* key : {"/core/leases/boss", "/core/roles/r"})
    txn.puts.push_back({key, std::make_shared<const std::string>("not json")});
  ASSERT_TRUE(t.world.run(t.store->commit(std::move(txn))));
  EXPECT_EQ(t.get("/core/leases").at_path({"items"})->if_array()->size(), 0U);
  const auto taken = t.call("PUT", std::string(kLease), R"({"holder":"me"})");
  EXPECT_EQ(taken.status, 409);
  EXPECT_THAT(taken.body, HasSubstr("force=True"));
  const auto remove = [&](std::string target, Headers headers) {
    return t.call("DELETE", std::move(target), "", std::move(headers)).status;
  };
  EXPECT_EQ(remove("/core/roles/r?force=True", {{"If-Match", "\"7\""}}), 412);
  EXPECT_EQ(remove("/core/roles/r?force=True", {{"Krake-Leader", "boss/s1-9"}}), 412);
  EXPECT_EQ(remove("/core/roles/r?force=True", {{"If-Match", "\"1\""}}), 200);
  EXPECT_EQ(remove(std::string(kLease), {}), 404);
  EXPECT_EQ(remove(std::string(kLease) + "?force=True", {}), 200);
  EXPECT_EQ(t.call("PUT", std::string(kLease), R"({"holder":"me"})").status, 200);
}

// As another program may put it: without a store lease.
TEST(Lease, OneWithoutATimeGetsOneWithItsRenewal) {
  testing::TestServer t;
  store::Txn txn;
  txn.puts.push_back(
      {std::string(kLease),
       std::make_shared<const std::string>(
           R"({"metadata":{"name":"boss","uid":"u","created":"2026-01-01T00:00:00","modified":"2026-01-01T00:00:00"},"spec":{"holder":"me","ttl_seconds":6}})")});
  ASSERT_TRUE(t.world.run(t.store->commit(std::move(txn))));
  EXPECT_EQ(t.call("PUT", std::string(kLease), R"({"holder":"me","ttl_seconds":6})").status, 200);
  t.world.run(sleep_for(t.world.clock, std::chrono::seconds(8)));
  EXPECT_EQ(t.call("GET", std::string(kLease)).status, 404);
}

}  // namespace
}  // namespace krake
