// How long what somebody showed counts: told with who he is, and the end of what goes on because of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/authn/authenticator.h"
#include "server/authn/fake_identity.h"
#include "server/testing.h"

namespace krake::server {
namespace {

using krake::testing::FakeDialer;
using krake::testing::FakeIdentity;
using krake::testing::TestServer;
using krake::testing::World;
using std::chrono::seconds;
using ::testing::HasSubstr;

constexpr const char* kKeystone = "http://keystone:5000/v3";
constexpr const char* kKeycloak = "http://keycloak:9080";
constexpr seconds kLeeway{30};

access::Keys new_keys() { return access::parse_pem_keys(access::make_signing_key().value()).value(); }

std::string signed_token(const access::Keys& keys, Wall expires, std::string_view user = "alice") {
  const auto at = expires.time_since_epoch() / seconds(1);
  return access::sign_jwt(keys[0], {{"iss", "krake"}, {"aud", "krake"}, {"sub", user}, {"exp", at}}).value();
}

std::string keystone_document(Wall expires) {
  return json::print(json::Object{{"token", json::Object{{"user", json::Object{{"name", "alice"}}},
                                                         {"expires_at", to_string(DateTime::from_wall(expires))}}}});
}

// ---- who it is, and until when

Awaitable<Authenticator::Verdict> asked(Authenticator& authenticator, std::string authorization, Peer peer) {
  ServerRequest request{.method = "GET", .target = "/me"};
  if (!authorization.empty()) request.headers.add("Authorization", std::move(authorization));
  request.peer = std::move(peer);
  auto verdict = authenticator.known(request);
  if (!verdict) verdict = co_await authenticator.ask(request);
  co_return std::move(*verdict);
}

TEST(CredentialExpiry, IsToldWithTheUser) {
  World world;
  FakeDialer dialer(world.clock);
  const auto keys = new_keys();
  const Wall soon = world.clock.wall() + seconds(600);
  dialer.at(kKeystone).answer = [soon](const FakeIdentity::Asked& a) {
    if (a.headers.get("X-Subject-Token") != "keystone") return FakeIdentity::reply(401, "");
    return FakeIdentity::reply(200, keystone_document(soon));
  };
  dialer.at(kKeycloak).answer = [](const auto&) {
    return FakeIdentity::reply(200, R"({"preferred_username":"alice"})");
  };
  AuthOptions options;
  options.allow_anonymous = options.client_certificates = true;
  options.tokens = {{"filed", "alice"}};
  options.identity.own_keys = keys;
  options.identity.keystone = KeystoneOptions{kKeystone};
  options.identity.keycloak = KeycloakOptions{kKeycloak, "krake"};
  options.identity.several = true;
  options.identity.dialer = &dialer;
  Authenticator who(world.env, options);
  ASSERT_TRUE(who.open());
  const Peer certificate{.common_name = "alice", .address = {}, .until = soon};
  const Peer inside{.common_name = "alice", .address = {}};
  const auto of_keycloak =
      access::sign_jwt(keys[0], {{"iss", "keycloak"}, {"exp", soon.time_since_epoch() / seconds(1)}});
  const struct {
    const char* name;
    std::string token;
    Peer peer;
    std::optional<Wall> until;
    std::optional<std::uint64_t> generation{};
  } cases[] = {
      {"Keystone", "keystone", {}, soon + kLeeway},
      {"signed by Krake", signed_token(keys, soon), {}, soon + kLeeway, 0},
      {"Keycloak, a JWT", *of_keycloak, {}, soon + kLeeway},
      {"Keycloak, another token", "opaque", {}, std::nullopt},
      {"a token file", "filed", {}, std::nullopt, 0},
      {"a certificate", "", certificate, soon},
      {"the process itself", "", inside, std::nullopt},
  };
  for (const auto& c : cases) {
    // The second time it is remembered.
    for (int i = 0; i < 2; ++i) {
      const auto verdict = world.run(asked(who, c.token, c.peer));
      ASSERT_TRUE(verdict) << c.name << ": " << verdict.error().detail;
      EXPECT_EQ(*verdict, (access::Identity{.user = "alice", .until = c.until, .generation = c.generation})) << c.name;
    }
    world.clock.advance(seconds(1));
  }
  EXPECT_EQ(dialer.at(kKeystone).asked.size() + dialer.at(kKeycloak).asked.size(), 5U) << "Keystone refused two";
  EXPECT_EQ(world.run(asked(who, "", {})), access::Identity{.user = std::string(kAnonymous)});
  world.run(who.stop());
}

TEST(CredentialExpiry, AConnectionDoesNotOutliveItsCertificate) {
  auto options = TestServer::open_to_all();
  options.auth.client_certificates = true;
  TestServer t(options);
  const Peer peer{.common_name = "bob", .address = {}, .until = t.world.clock.wall() + seconds(60)};
  const auto line = make_inproc_transport(t.server.handler(), peer, t.world.clock);
  EXPECT_EQ(TestServer::body_of(t.call_as(*line, "GET", "/me")).string_at({"user"}), "bob");
  t.world.clock.advance(seconds(60));
  const auto refused = t.call_as(*line, "GET", "/me");
  EXPECT_EQ(refused.status, 401) << "and not anonymous: " << refused.body;
  EXPECT_THAT(refused.body, HasSubstr("certificate has expired"));
}

// ---- what goes on because of it

struct Site : TestServer {
  explicit Site(ServerOptions options) : TestServer(std::move(options)) {}
  HttpStream watch(Transport& line, std::string_view query, std::string_view token = {}) {
    HttpRequest request{.target = fmt::format("/core/roles?watch&{}", query)};
    if (!token.empty()) request.headers.add("Authorization", fmt::format("Bearer {}", token));
    auto stream = world.run(line.open(std::move(request)));
    if (!stream || stream->status != 200) throw std::runtime_error("no watch");
    return std::move(*stream);
  }
  // How it ended. Heartbeats before are passed over.
  std::string end_of(HttpStream& stream) {
    for (;;) {
      const auto piece = world.run(stream.body->read());
      if (!piece) return piece.error().message;
      if (piece->empty()) return "a regular end";
    }
  }
};

Awaitable<void> keep_end(HttpStream& stream, std::string* into) {
  const auto piece = co_await stream.body->read();
  *into = piece ? "a line, or a regular end" : piece.error().message;
}

ServerOptions with_keys(const access::Keys& keys) {
  auto options = TestServer::open_to_all();
  options.auth.identity.own_keys = keys;
  return options;
}

TEST(CredentialExpiry, AWatchEndsWithItsToken) {
  const auto keys = new_keys();
  for (const auto* query : {"heartbeat=0", "heartbeat=7", "heartbeat=7&bookmarks=true", "heartbeat=0&initial=true"}) {
    Site t(with_keys(keys));
    const Wall expires = std::chrono::floor<seconds>(t.world.clock.wall()) + seconds(100);
    auto stream = t.watch(*t.transport, query, signed_token(keys, expires));
    EXPECT_THAT(t.end_of(stream), HasSubstr("has expired")) << query;
    EXPECT_EQ(t.world.clock.wall(), expires + kLeeway) << query;
  }
}

TEST(CredentialExpiry, AWatchEndsWithItsCertificate) {
  auto options = TestServer::open_to_all();
  options.auth.client_certificates = true;
  Site t(options);
  const Wall expires = t.world.clock.wall() + seconds(100);
  const auto line = make_inproc_transport(t.server.handler(),
                                          Peer{.common_name = "bob", .address = {}, .until = expires}, t.world.clock);
  auto stream = t.watch(*line, "heartbeat=0");
  EXPECT_THAT(t.end_of(stream), HasSubstr("has expired"));
  EXPECT_EQ(t.world.clock.wall(), expires);
}

// That a token was good a moment ago makes it no longer good than it is.
TEST(CredentialExpiry, AWatchOnARememberedTokenEndsWithItToo) {
  World unused;
  FakeDialer dialer(unused.clock);
  auto options = TestServer::open_to_all();
  options.auth.identity.keystone = KeystoneOptions{kKeystone};
  options.auth.identity.dialer = &dialer;
  Site t(options);
  const Wall expires = t.world.clock.wall() + seconds(40);
  dialer.at(kKeystone).answer = [expires](const auto&) { return FakeIdentity::reply(200, keystone_document(expires)); };
  auto first = t.watch(*t.transport, "heartbeat=0", "token");
  t.world.clock.advance(seconds(30));
  auto second = t.watch(*t.transport, "heartbeat=0", "token");
  EXPECT_EQ(dialer.at(kKeystone).asked.size(), 1U);
  EXPECT_THAT(t.end_of(second), HasSubstr("has expired"));
  EXPECT_THAT(t.end_of(first), HasSubstr("has expired"));
  EXPECT_EQ(t.world.clock.wall(), expires + kLeeway);
}

// The clock of the service is behind ours: what it accepts has expired long ago, by ours.
TEST(CredentialExpiry, AWatchLastsAMomentWhateverTheClocksSay) {
  World unused;
  FakeDialer dialer(unused.clock);
  auto options = TestServer::open_to_all();
  options.auth.identity.keystone = KeystoneOptions{kKeystone};
  options.auth.identity.dialer = &dialer;
  Site t(options);
  const Wall opened = t.world.clock.wall();
  dialer.at(kKeystone).answer = [opened](const auto&) {
    return FakeIdentity::reply(200, keystone_document(opened - std::chrono::hours(1)));
  };
  for (int i = 0; i < 3; ++i) {
    const Wall before = t.world.clock.wall();
    auto stream = t.watch(*t.transport, "heartbeat=0", "token");
    EXPECT_THAT(t.end_of(stream), HasSubstr("has expired"));
    EXPECT_EQ(t.world.clock.wall() - before, seconds(5));
  }
}

TEST(CredentialExpiry, NothingIsSentAfterIt) {
  const auto keys = new_keys();
  Site t(with_keys(keys));
  auto stream = t.watch(*t.transport, "heartbeat=0", signed_token(keys, t.world.clock.wall() + seconds(100)));
  // The clock is set ahead: no timer has heard of it.
  t.world.clock.jump_wall(std::chrono::hours(1));
  EXPECT_EQ(t.call("POST", "/core/roles", R"({"metadata":{"name":"late"},"rules":[]})").status, 200);
  const auto piece = t.world.run(stream.body->read());
  ASSERT_FALSE(piece) << *piece;
  EXPECT_THAT(piece.error().message, HasSubstr("has expired"));
}

TEST(CredentialExpiry, WhatDoesNotExpireEndsNothing) {
  auto options = TestServer::open_to_all();
  options.auth.tokens = {{"filed", "alice"}};
  Site t(options);
  for (const auto* token : {"", "filed"}) {
    auto stream = t.watch(*t.transport, "heartbeat=60", token);
    for (int beat = 0; beat < 100; ++beat) {
      const auto piece = t.world.run(stream.body->read());
      ASSERT_TRUE(piece) << piece.error().message;
    }
  }
}

// ---- what the server takes anew

// What a watch was opened with, and whether it goes on when the server has `tokens` and `keys` instead.
TEST(CredentialRenewal, AWatchEndsWhenATokenOrAKeyIsTakenAway) {
  const auto keys = new_keys();
  const auto more = [&] {
    auto both = new_keys();
    both.insert(both.begin(), keys[0]);
    return both;
  }();
  using Tokens = std::vector<std::pair<std::string, std::string>>;
  const Tokens both{{"t0", "alice"}, {"t1", "bob"}};
  const struct {
    const char* name;
    const char* shown;
    Tokens tokens;
    access::Keys keys;
    bool ends;
  } cases[] = {
      {"the same", "t0", both, keys, false},
      {"in another order", "t0", {both[1], both[0]}, keys, false},
      {"a token more", "t0", {both[0], both[1], {"t2", "eve"}}, keys, false},
      {"a key more", "signed", both, more, false},
      {"its token is gone", "t0", {both[1]}, keys, true},
      {"the last ones are gone", "t0", {}, {}, true},
      {"its token is somebody else's", "t0", {{"t0", "eve"}, both[1]}, keys, true},
      {"its key is gone", "signed", both, {}, true},
      {"another key", "signed", both, new_keys(), true},
      {"nothing of the server's was shown", "", {}, {}, false},
  };
  for (const auto& c : cases) {
    auto options = with_keys(keys);
    options.auth.tokens = both;
    Site t(options);
    const std::string token = c.shown == std::string_view("signed")
                                  ? signed_token(keys, t.world.clock.wall() + std::chrono::hours(9))
                                  : c.shown;
    auto stream = t.watch(*t.transport, "heartbeat=0", token);
    // It waits when it is told: nothing else wakes it.
    const Wall before = t.world.clock.wall();
    std::string end = "goes on";
    TaskGroup group(t.world.env.executor);
    group.spawn("reader", keep_end(stream, &end));
    t.world.settle();
    t.server.use_tokens(c.tokens, c.keys, true);
    t.world.settle();
    if (c.ends) {
      EXPECT_THAT(end, HasSubstr("tokens or keys are others now")) << c.name;
    } else {
      EXPECT_EQ(end, "goes on") << c.name;
    }
    EXPECT_EQ(t.world.clock.wall(), before) << c.name;
    t.world.run(group.stop());
  }
}

TEST(CredentialExpiry, ABlockingRequestWaitsNoLonger) {
  const auto keys = new_keys();
  auto options = with_keys(keys);
  options.blocking_limit = std::chrono::minutes(4);
  Site t(options);
  const std::string app = "/kubernetes/namespaces/demo/applications";
  t.call(
      "POST", app,
      R"({"metadata":{"name":"web"},"spec":{"manifest":[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"cfg"}}],"constraints":{"cluster":{}}}})");
  const Wall expires = std::chrono::floor<seconds>(t.world.clock.wall()) + seconds(60);
  const auto answer =
      t.call("DELETE", app + "/web?blocking=deleted", "", {{"Authorization", "Bearer " + signed_token(keys, expires)}});
  EXPECT_EQ(answer.status, 200) << "it was done: " << answer.body;
  EXPECT_EQ(t.world.clock.wall(), expires + kLeeway);
}

}  // namespace
}  // namespace krake::server
