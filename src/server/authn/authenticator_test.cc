#include "server/authn/authenticator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

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
using ::testing::StartsWith;

constexpr const char* kKeystone = "http://keystone:5000/v3";
constexpr const char* kKeycloak = "http://keycloak:9080";
constexpr const char* kIssuer = "https://id.example";
constexpr const char* kUnknown = "401 401: No user has been authenticated.";

struct Rig {
  ~Rig() {
    if (who) world.run(who->stop());
  }
  Authenticator& start() {
    options.identity.dialer = &dialer;
    who.emplace(world.env, options);
    if (auto opened = who->open(); !opened) throw std::runtime_error(opened.error().message);
    return *who;
  }
  // The user, or status and detail.
  static Awaitable<std::string> outcome(Authenticator& authenticator, std::optional<std::string> authorization,
                                        std::string common_name) {
    ServerRequest request{.method = "GET", .target = "/me"};
    if (authorization) request.headers.add("Authorization", *authorization);
    request.peer.common_name = common_name;
    auto verdict = authenticator.known(request);
    if (!verdict) verdict = co_await authenticator.ask(request);
    if (*verdict) co_return (*verdict)->user;
    co_return fmt::format("{} {}", verdict->error().status, verdict->error().detail);
  }
  std::string ask(std::optional<std::string> authorization, std::string common_name = "") {
    if (!who) start();
    return world.run(outcome(*who, std::move(authorization), std::move(common_name)));
  }
  void wait(Duration time) {
    world.clock.advance(time);
    world.settle();
  }
  FakeIdentity& keystone() { return dialer.at(kKeystone); }
  FakeIdentity& keycloak() { return dialer.at(kKeycloak); }

  World world;
  FakeDialer dialer{world.clock};
  AuthOptions options;
  std::optional<Authenticator> who;
};

std::string keystone_document(std::string_view user, std::string_view expires = "2099-01-01T00:00:00.000000Z") {
  return json::print(json::Object{
      {"token",
       json::Object{{"methods", json::Array{"password"}},
                    {"user", json::Object{{"domain", json::Object{{"id", "default"}}}, {"id", "u1"}, {"name", user}}},
                    {"expires_at", expires}}}});
}

// Knows "good" and "good2".
ServerReply keystone_answer(const FakeIdentity::Asked& asked) {
  const auto token = asked.headers.get("X-Subject-Token").value_or("");
  if (token == "good") return FakeIdentity::reply(200, keystone_document("alice"));
  if (token == "good2") return FakeIdentity::reply(200, keystone_document("bob"));
  return FakeIdentity::reply(401, R"({"error":{"code":401}})", "UNAUTHORIZED");
}

ServerReply keycloak_answer(const FakeIdentity::Asked& asked) {
  if (asked.body == "access_token=good%2B") return FakeIdentity::reply(200, R"({"preferred_username":"carol"})");
  return FakeIdentity::reply(401, R"({"error":"invalid_token"})");
}

Rig& with_keystone(Rig& rig) {
  rig.options.identity.keystone = KeystoneOptions{.endpoint = kKeystone};
  rig.keystone().answer = keystone_answer;
  return rig;
}
Rig& with_keycloak(Rig& rig) {
  rig.options.identity.keycloak = KeycloakOptions{.endpoint = kKeycloak, .realm = "kra ke"};
  rig.keycloak().answer = keycloak_answer;
  return rig;
}

// ---- upstream's order and rules

TEST(Authenticator, KeystoneIsAskedAsUpstreamAsksIt) {
  Rig rig;
  EXPECT_EQ(with_keystone(rig).ask("good"), "alice");
  ASSERT_EQ(rig.keystone().asked.size(), 1u);
  const auto& asked = rig.keystone().asked[0];
  EXPECT_EQ(asked.method + " " + asked.target, "GET /auth/tokens");
  EXPECT_EQ(asked.headers.get("X-Auth-Token"), "good");
  EXPECT_EQ(asked.headers.get("X-Subject-Token"), "good");
  EXPECT_EQ(rig.ask("bad"), "401 Invalid Keystone token (HTTP 401 UNAUTHORIZED)");
}

TEST(Authenticator, KeycloakIsAskedAsUpstreamAsksIt) {
  Rig rig;
  EXPECT_EQ(with_keycloak(rig).ask("good+"), "carol");
  ASSERT_EQ(rig.keycloak().asked.size(), 1u);
  const auto& asked = rig.keycloak().asked[0];
  EXPECT_EQ(asked.method + " " + asked.target, "POST /auth/realms/kra%20ke/protocol/openid-connect/userinfo");
  // A kept connection that was just closed makes no good token unknown.
  EXPECT_TRUE(question(ServiceKind::keycloak, "kra ke", "token").repeatable);
  EXPECT_EQ(asked.headers.get("Content-Type"), "application/x-www-form-urlencoded");
  EXPECT_EQ(rig.ask("bad"), "401 Invalid Keycloak token (HTTP 401 Unauthorized)");
}

// What comes is passed on unchanged; only when that is refused, "Bearer" is taken for a scheme.
TEST(Authenticator, BothFormsOfTheHeaderCount) {
  Rig rig;
  EXPECT_EQ(with_keystone(rig).ask("Bearer good"), "alice");
  ASSERT_EQ(rig.keystone().asked.size(), 2u);
  EXPECT_EQ(rig.keystone().asked[0].headers.get("X-Subject-Token"), "Bearer good");
  EXPECT_EQ(rig.keystone().asked[1].headers.get("X-Subject-Token"), "good");
}

struct OrderCase {
  std::string name;
  std::function<void(AuthOptions&)> set;
  std::optional<std::string> authorization;
  std::string common_name;
  std::string wanted;
};

TEST(Authenticator, OrderAndRules) {
  const auto nothing = [](AuthOptions&) {};
  const auto anonymous = [](AuthOptions& o) { o.allow_anonymous = true; };
  const auto fixed = [](AuthOptions& o) { o.static_user = "fixed"; };
  const auto keystone = [](AuthOptions& o) { o.identity.keystone = KeystoneOptions{kKeystone}; };
  const auto keycloak = [](AuthOptions& o) { o.identity.keycloak = KeycloakOptions{kKeycloak, "kra ke"}; };
  const auto certificates = [](AuthOptions& o) { o.client_certificates = true; };
  const auto several = [](AuthOptions& o) { o.identity.several = true; };
  const auto file = [](AuthOptions& o) { o.tokens = {{"filed", "dora"}}; };
  const auto all = [](std::vector<std::function<void(AuthOptions&)>> sets) {
    return [sets](AuthOptions& o) {
      for (const auto& set : sets) set(o);
    };
  };
  const std::string no_keystone = "401 Invalid Keystone token (HTTP 401 UNAUTHORIZED)";
  const std::string no_file = "401 401: The bearer token is not known.";
  const std::vector<OrderCase> cases = {
      {"nobody", nothing, {}, "", kUnknown},
      {"a token nobody asks for", nothing, "x", "", kUnknown},
      {"a token nobody asks for, anonymous", anonymous, "x", "", "system:anonymous"},
      {"a certificate nobody asks for", nothing, {}, "cn", kUnknown},
      {"certificate", certificates, {}, "cn", "cn"},
      {"no certificate", certificates, {}, "", kUnknown},
      {"certificate before anonymous", all({certificates, anonymous}), {}, "cn", "cn"},
      {"static before all", all({fixed, keystone, certificates}), "bad", "cn", "fixed"},
      {"no header", all({keystone, anonymous}), {}, "", "system:anonymous"},
      {"an empty header", all({keystone, anonymous}), "", "", "system:anonymous"},
      {"no header, certificate", all({keystone, certificates}), {}, "cn", "cn"},
      {"a bad token is not anonymous", all({keystone, anonymous}), "bad", "", no_keystone},
      {"a bad token is no certificate", all({keystone, certificates}), "bad", "cn", no_keystone},
      {"token before certificate", all({keystone, certificates}), "good", "cn", "alice"},
      {"Keystone before Keycloak", all({keystone, keycloak}), "good+", "", no_keystone},
      {"file", file, "filed", "", "dora"},
      {"file, scheme", file, "bearer  filed", "", "dora"},
      {"file, unknown", all({file, anonymous}), "file", "", no_file},
      {"an empty file", all({[](AuthOptions& o) { o.takes_tokens = true; }, anonymous}), "x", "", no_file},
      {"file beside Keystone", all({file, keystone}), "filed", "", "dora"},
      {"several", all({keystone, keycloak, several}), "good+", "", "carol"},
      {"several, scheme", all({keystone, keycloak, several}), "Bearer good", "", "alice"},
      {"several, bad", all({keystone, keycloak, several, anonymous}), "bad", "", no_keystone},
      {"several, bad, certificate", all({keystone, several, certificates}), "bad", "cn", "cn"},
      {"several, static comes last", all({keystone, several, fixed}), "good", "", "alice"},
      {"several, static, bad", all({keystone, several, fixed}), "bad", "", no_keystone},
      {"several, static, nothing", all({keystone, several, fixed}), {}, "", "fixed"},
      {"several, static after certificate", all({several, fixed, certificates}), {}, "cn", "cn"},
  };
  for (const auto& c : cases) {
    Rig rig;
    rig.keystone().answer = keystone_answer;
    rig.keycloak().answer = keycloak_answer;
    c.set(rig.options);
    EXPECT_EQ(rig.ask(c.authorization, c.common_name), c.wanted) << c.name;
  }
}

TEST(Authenticator, ProblemsAreThoseOfUpstream) {
  World world;
  FakeDialer dialer(world.clock);
  dialer.at(kKeystone).answer = keystone_answer;
  auto options = TestServer::open_to_all();
  options.problem_base_url = "https://problems.example";
  options.auth.identity.keystone = KeystoneOptions{kKeystone};
  options.auth.identity.dialer = &dialer;
  TestServer t(std::move(options));
  EXPECT_EQ(TestServer::body_of(t.call("GET", "/me", "", {{"Authorization", "good"}})).string_at({"user"}), "alice");
  EXPECT_EQ(t.get("/me").string_at({"user"}), "system:anonymous");
  const auto refused = t.call("GET", "/nowhere", "", {{"Authorization", "bad"}});
  EXPECT_EQ(refused.status, 401);
  EXPECT_EQ(
      refused.body,
      R"j({"type":"https://problems.example#invalid-keystone-token","title":"INVALID_KEYSTONE_TOKEN","status":401,"detail":"Invalid Keystone token (HTTP 401 UNAUTHORIZED)"})j");
  dialer.at(kKeystone).answer = [](const auto&) { return ServerReply{.status = 503}; };
  const auto outage = t.call("GET", "/me", "", {{"Authorization", "good2"}});
  EXPECT_EQ(outage.status, 503);
  EXPECT_EQ(outage.headers.get("Retry-After"), "1");
  EXPECT_EQ(
      outage.body,
      R"({"type":"about:blank","status":503,"detail":"503: Keystone cannot be asked about the token now; try again"})");
  dialer.at(kKeystone).answer = [](const auto&) { return FakeIdentity::reply(200, R"({"token":{}})", ""); };
  const auto unexpected = t.call("GET", "/me", "", {{"Authorization", "good2"}});
  EXPECT_EQ(unexpected.status, 500);
  EXPECT_FALSE(unexpected.headers.get("Retry-After")) << "no promise";
}

// ---- what services answer

TEST(Authenticator, AnswersOfServicesAreJudged) {
  const std::string outage = "503 503: Keystone cannot be asked about the token now; try again";
  struct Case {
    ServerReply reply;
    std::string wanted;
  };
  const auto reply = FakeIdentity::reply;
  std::vector<Case> cases;
  const auto add = [&](ServerReply r, std::string wanted) { cases.push_back({std::move(r), std::move(wanted)}); };
  add(reply(200, keystone_document("alice"), ""), "alice");
  add(reply(200, R"({"token":{"user":{"name":"only"}}})", ""), "only");
  for (const char* body : {"", "<html>", "{\"token\":"}) add(reply(200, body, ""), outage);
  for (const char* body :
       {"[]", "{}", "null", R"({"token":null})", R"({"token":{"user":"alice"}})", R"({"token":{"user":{"name":7}}})",
        R"({"token":{"user":{"name":""}}})", R"({"token":{"user":{"name":"a\nb"}}})", R"({"user":{"name":"alice"}})"})
    add(reply(200, body, ""), "500 500: Keystone's answer about the token has no usable user name");
  add(reply(200, "{\"a\":\"" + std::string(2'000'000, 'x') + "\"}", ""), outage);
  for (const int status : {301, 302, 307, 308, 429, 502, 503, 504}) add(reply(status, "", ""), outage);
  add(reply(404, "", "NOT FOUND"), "401 Invalid Keystone token (HTTP 404 NOT FOUND)");
  add(reply(403, "", ""), "401 Invalid Keystone token (HTTP 403 Forbidden)");
  add(reply(500, "", ""), "401 Invalid Keystone token (HTTP 500 Internal Server Error)");
  add(reply(201, keystone_document("alice"), ""), "401 Invalid Keystone token (HTTP 201 Created)");
  add(reply(401, "", std::string(500, 'x')), "401 Invalid Keystone token (HTTP 401 Unauthorized)");
  add(reply(401, "", "\x1b[31m"), "401 Invalid Keystone token (HTTP 401 Unauthorized)");
  for (auto& c : cases) {
    Rig rig;
    with_keystone(rig);
    const auto status = c.reply.status;
    const std::string body = c.reply.body.empty() ? "" : std::string(*c.reply.body[0]).substr(0, 60);
    auto shared = std::make_shared<ServerReply>(std::move(c.reply));
    rig.keystone().answer = [shared](const auto&) { return std::move(*shared); };
    EXPECT_EQ(rig.ask("token"), c.wanted) << status << " " << body;
  }
}

TEST(W43, ASilentServiceIsGivenUp) {
  Rig rig;
  with_keystone(rig);
  rig.options.client_certificates = rig.options.identity.several = true;
  rig.keystone().delay = std::chrono::hours(1);
  const auto before = rig.world.clock.now();
  // Not even the certificate counts: the token might.
  EXPECT_THAT(rig.ask("good", "cn"), StartsWith("503 "));
  EXPECT_LE(rig.world.clock.now() - before, seconds(6));
  rig.keystone().delay = {};
  EXPECT_EQ(rig.ask("good"), "alice");
}

TEST(W23, OneServiceThatIsAwayDoesNotHideAnother) {
  Rig rig;
  with_keycloak(with_keystone(rig)).options.identity.several = true;
  rig.keystone().answer = [](const auto&) { return ServerReply{.status = 502}; };
  EXPECT_EQ(rig.ask("good+"), "carol");
  // Keystone might know it.
  EXPECT_THAT(rig.ask("good"), StartsWith("503 503: Keystone"));
}

// ---- the cache, and questions under way

TEST(W43, GoodTokensAreRememberedForAWhile) {
  Rig rig;
  EXPECT_EQ(with_keystone(rig).ask("good"), "alice");
  rig.wait(seconds(59));
  EXPECT_EQ(rig.ask("good"), "alice");
  EXPECT_EQ(rig.keystone().asked.size(), 1u);
  EXPECT_EQ(rig.ask("good2"), "bob");
  EXPECT_EQ(rig.keystone().asked.size(), 2u);
  rig.wait(seconds(1));
  rig.keystone().answer = [](const auto&) { return ServerReply{.status = 401}; };
  EXPECT_THAT(rig.ask("good"), StartsWith("401 "));
  // Refusals are not remembered.
  rig.keystone().answer = keystone_answer;
  EXPECT_EQ(rig.ask("good"), "alice");
}

// Not even by the leeway: that is for what was opened with it.
TEST(Authenticator, NotBeyondTheExpiryTheServiceTells) {
  Rig rig;
  with_keystone(rig);
  const auto soon = DateTime::from_wall(rig.world.clock.wall() + seconds(10));
  rig.keystone().answer = [soon](const auto&) {
    return FakeIdentity::reply(200, keystone_document("alice", to_string(soon)));
  };
  EXPECT_EQ(rig.ask("good"), "alice");
  rig.wait(seconds(9));
  EXPECT_EQ(rig.ask("good"), "alice");
  EXPECT_EQ(rig.keystone().asked.size(), 1u);
  rig.wait(seconds(1));
  EXPECT_EQ(rig.ask("good"), "alice");
  EXPECT_EQ(rig.keystone().asked.size(), 2u);
}

Awaitable<void> keep(Awaitable<std::string> outcome, std::string* into) { *into = co_await std::move(outcome); }

TEST(Authenticator, RequestsWithOneTokenShareOneQuestion) {
  Rig rig;
  with_keystone(rig).start();
  rig.keystone().delay = seconds(2);
  std::vector<std::string> outcomes(50);
  TaskGroup group(rig.world.context.get_executor());
  for (std::size_t i = 0; i < outcomes.size(); ++i)
    group.spawn("request", keep(Rig::outcome(*rig.who, i % 2 == 0 ? "good" : "bad", ""), &outcomes[i]));
  ASSERT_TRUE(rig.world.run_until([&] { return group.size() == 0; }));
  EXPECT_EQ(rig.keystone().asked.size(), 2u);
  for (std::size_t i = 0; i < outcomes.size(); ++i)
    EXPECT_THAT(outcomes[i], i % 2 == 0 ? StartsWith("alice") : StartsWith("401 ")) << i;
}

TEST(Authenticator, WhoAskedFirstMayGoAway) {
  Rig rig;
  with_keystone(rig).start();
  rig.keystone().delay = seconds(2);
  std::string first;
  TaskGroup impatient(rig.world.context.get_executor());
  impatient.spawn("request", keep(Rig::outcome(*rig.who, "good", ""), &first));
  ASSERT_TRUE(rig.world.run_until([&] { return rig.keystone().asked.size() == 1; }));
  std::string second;
  TaskGroup patient(rig.world.context.get_executor());
  patient.spawn("request", keep(Rig::outcome(*rig.who, "good", ""), &second));
  rig.world.settle();
  rig.world.run(impatient.stop());
  ASSERT_TRUE(rig.world.run_until([&] { return patient.size() == 0; }));
  EXPECT_EQ(first, "");
  EXPECT_EQ(second, "alice");
  EXPECT_EQ(rig.keystone().asked.size(), 1u);
}

TEST(Authenticator, NotMoreThanSoManyWait) {
  Rig rig;
  with_keystone(rig).options.identity.waiting_limit = 3;
  rig.start();
  rig.keystone().delay = seconds(2);
  std::vector<std::string> outcomes(5);
  TaskGroup group(rig.world.context.get_executor());
  for (std::size_t i = 0; i < outcomes.size(); ++i)
    group.spawn("request", keep(Rig::outcome(*rig.who, "good", ""), &outcomes[i]));
  ASSERT_TRUE(rig.world.run_until([&] { return group.size() == 0; }));
  EXPECT_EQ(std::ranges::count(outcomes, "alice"), 3);
  EXPECT_EQ(std::ranges::count(outcomes, "429 429: Too Many Requests"), 2);
  EXPECT_EQ(rig.ask("good2"), "bob");
}

TEST(Authenticator, WhoWaitsIsToldWhenTheServerStops) {
  Rig rig;
  with_keystone(rig).start();
  rig.keystone().delay = seconds(2);
  std::string outcome;
  TaskGroup group(rig.world.context.get_executor());
  group.spawn("request", keep(Rig::outcome(*rig.who, "good", ""), &outcome));
  ASSERT_TRUE(rig.world.run_until([&] { return rig.keystone().asked.size() == 1; }));
  rig.world.run(rig.who->stop());
  ASSERT_TRUE(rig.world.run_until([&] { return group.size() == 0; }));
  EXPECT_THAT(outcome, StartsWith("503 "));
  EXPECT_THAT(rig.ask("good2"), StartsWith("503 "));
}

// ---- signed tokens

struct Signer {
  Signer() {
    const std::string pem = access::make_signing_key().value();
    keys = access::parse_pem_keys(pem).value();
    BIO* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
    EVP_PKEY* key = PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr);
    std::string raw(32, '\0');
    std::size_t size = raw.size();
    EVP_PKEY_get_raw_public_key(key, reinterpret_cast<unsigned char*>(raw.data()), &size);
    EVP_PKEY_free(key);
    BIO_free(bio);
    jwk = {{"kty", "OKP"}, {"crv", "Ed25519"}, {"kid", keys[0].id()}, {"x", base64url_encode(raw)}};
  }
  std::string token(const World& world, std::string_view issuer, std::string_view audience, std::string_view user,
                    std::int64_t ttl = 3600) const {
    const auto now = std::chrono::duration_cast<seconds>(world.clock.wall().time_since_epoch()).count();
    return access::sign_jwt(keys[0],
                            {{"iss", issuer}, {"aud", audience}, {"sub", user}, {"iat", now}, {"exp", now + ttl}})
        .value();
  }
  access::Keys keys;
  json::Object jwk;
};

TEST(Authenticator, KrakesOwnTokensNeedNobody) {
  Rig rig;
  const Signer signer;
  const Signer stranger;
  rig.options.identity.own_keys = signer.keys;
  rig.options.allow_anonymous = true;
  const auto token = signer.token(rig.world, "krake", "krake", "system:scheduler", 100);
  EXPECT_EQ(rig.ask("Bearer " + token), "system:scheduler");
  EXPECT_EQ(rig.ask(token), "system:scheduler");
  EXPECT_THAT(rig.ask(stranger.token(rig.world, "krake", "krake", "system:scheduler")),
              HasSubstr("401 401: The token is signed by a key that is not known."));
  EXPECT_THAT(rig.ask(signer.token(rig.world, "krake", "other", "x")), HasSubstr("not meant for this API"));
  EXPECT_THAT(rig.ask(signer.token(rig.world, "other", "krake", "x")), HasSubstr("The bearer token is not known."));
  rig.wait(seconds(131));
  EXPECT_EQ(rig.ask(token), "401 401: The token has expired.");
}

TEST(Authenticator, OtherTokensAndKeysCountAtOnce) {
  Rig rig;
  const Signer before;
  const Signer after;
  rig.options.identity.own_keys = before.keys;
  rig.options.tokens = {{"t0", "alice"}, {"t1", "bob"}};
  const auto old_token = before.token(rig.world, "krake", "krake", "carol");
  const auto new_token = after.token(rig.world, "krake", "krake", "carol");
  EXPECT_EQ(rig.ask("t0"), "alice");
  EXPECT_EQ(rig.ask(old_token), "carol");
  rig.who->use_tokens({{"t1", "dora"}, {"t2", "eve"}}, after.keys, true);
  EXPECT_THAT(rig.ask("t0"), StartsWith("401 "));
  EXPECT_EQ(rig.ask("t1"), "dora");
  EXPECT_EQ(rig.ask("t2"), "eve");
  EXPECT_THAT(rig.ask(old_token), StartsWith("401 ")) << "nor because it was good a moment ago";
  EXPECT_EQ(rig.ask(new_token), "carol");
  // The last one is gone from its file: a token is unknown all the same. Without a file a header says nothing, as at a
  // start without one.
  rig.who->use_tokens({}, {}, true);
  EXPECT_EQ(rig.ask("t1"), "401 401: The bearer token is not known.");
  rig.who->use_tokens({}, {}, false);
  EXPECT_EQ(rig.ask("t1"), kUnknown);
}

Rig& with_oidc(Rig& rig, const Signer& signer) {
  OidcOptions oidc;
  oidc.rules = {
      .issuer = kIssuer, .audiences = {"krake"}, .algorithms = {access::Algorithm::eddsa}, .user_prefix = "oidc:"};
  rig.options.identity.oidc = oidc;
  rig.dialer.at(kIssuer).answer = [jwk = signer.jwk](const FakeIdentity::Asked& asked) {
    if (asked.target == "/.well-known/openid-configuration")
      return FakeIdentity::reply(200, R"({"issuer":"https://id.example","jwks_uri":"https://id.example/keys?all"})");
    if (asked.target == "/keys?all")
      return FakeIdentity::reply(200, json::print(json::Object{{"keys", json::Array{jwk}}}));
    return FakeIdentity::reply(404, "");
  };
  return rig;
}

TEST(Authenticator, OpenIdTokensAreVerifiedByTheProvidersKeys) {
  Rig rig;
  const Signer signer;
  with_oidc(rig, signer);
  EXPECT_EQ(rig.ask("Bearer " + signer.token(rig.world, kIssuer, "krake", "alice")), "oidc:alice");
  const auto& asked = rig.dialer.at(kIssuer).asked;
  EXPECT_EQ(asked.size(), 2u);
  EXPECT_EQ(rig.ask(signer.token(rig.world, kIssuer, "krake", "bob")), "oidc:bob");
  EXPECT_EQ(rig.ask(signer.token(rig.world, kIssuer, "else", "bob")),
            "401 401: The token is not meant for this API ('aud').");
  EXPECT_EQ(rig.ask("opaque"), "401 401: The bearer token is not known.");
  EXPECT_EQ(asked.size(), 2u);
}

TEST(Authenticator, RotatedKeysAreFoundButNotLookedForAllTheTime) {
  Rig rig;
  const Signer old_key;
  const Signer new_key;
  const Signer stranger;
  with_oidc(rig, old_key);
  const auto& asked = rig.dialer.at(kIssuer).asked;
  const auto alice = old_key.token(rig.world, kIssuer, "krake", "alice");
  EXPECT_EQ(rig.ask(alice), "oidc:alice");
  const auto strange = stranger.token(rig.world, kIssuer, "krake", "eve");
  for (int i = 0; i < 20; ++i) EXPECT_EQ(rig.ask(strange), "401 401: The token is signed by a key that is not known.");
  EXPECT_EQ(asked.size(), 2u);
  with_oidc(rig, new_key);
  rig.wait(seconds(10));
  EXPECT_EQ(rig.ask(new_key.token(rig.world, kIssuer, "krake", "bob")), "oidc:bob");
  EXPECT_EQ(asked.size(), 4u);
  // The old key counts no more, nor what was remembered of it.
  EXPECT_THAT(rig.ask(alice), HasSubstr("a key that is not known"));
}

TEST(Authenticator, OldKeysAreRefreshedAndDoNotCountForEver) {
  Rig rig;
  const Signer signer;
  with_oidc(rig, signer);
  const auto& asked = rig.dialer.at(kIssuer).asked;
  const auto alice = [&] { return rig.ask(signer.token(rig.world, kIssuer, "krake", "alice")); };
  EXPECT_EQ(alice(), "oidc:alice");
  rig.wait(std::chrono::minutes(6));
  EXPECT_EQ(alice(), "oidc:alice");
  rig.world.settle();
  EXPECT_EQ(asked.size(), 4u);
  rig.dialer.at(kIssuer).answer = [](const auto&) { return ServerReply{.status = 500}; };
  rig.wait(std::chrono::hours(23));
  EXPECT_EQ(alice(), "oidc:alice");
  rig.wait(std::chrono::hours(2));
  EXPECT_EQ(alice(), "503 503: the OpenID provider cannot be asked about the token now; try again");
  with_oidc(rig, signer);
  rig.wait(seconds(2));
  EXPECT_EQ(alice(), "oidc:alice");
}

TEST(Authenticator, OldKeysDoNotCountBeforeTheProviderWasAsked) {
  Rig rig;
  const Signer withdrawn;
  const Signer present;
  const auto alice = [&] { return rig.ask(withdrawn.token(rig.world, kIssuer, "krake", "alice")); };
  with_oidc(rig, withdrawn);
  EXPECT_EQ(alice(), "oidc:alice");
  with_oidc(rig, present);
  rig.wait(std::chrono::minutes(6));
  EXPECT_EQ(alice(), "401 401: The token is signed by a key that is not known.");
  EXPECT_EQ(rig.ask(present.token(rig.world, kIssuer, "krake", "bob")), "oidc:bob");
}

TEST(Authenticator, RequestsThatFindTheKeysOldShareOneQuestion) {
  Rig rig;
  const Signer signer;
  with_oidc(rig, signer).start();
  const auto token = [&](std::size_t i) { return signer.token(rig.world, kIssuer, "krake", fmt::format("u{}", i)); };
  EXPECT_EQ(rig.ask(token(0)), "oidc:u0");
  rig.wait(std::chrono::minutes(6));
  rig.dialer.at(kIssuer).delay = seconds(1);
  std::vector<std::string> outcomes(50);
  TaskGroup group(rig.world.context.get_executor());
  for (std::size_t i = 0; i < outcomes.size(); ++i)
    group.spawn("request", keep(Rig::outcome(*rig.who, token(i), ""), &outcomes[i]));
  ASSERT_TRUE(rig.world.run_until([&] { return group.size() == 0; }));
  for (std::size_t i = 0; i < outcomes.size(); ++i) EXPECT_EQ(outcomes[i], fmt::format("oidc:u{}", i));
  EXPECT_EQ(rig.dialer.at(kIssuer).asked.size(), 4u);
}

TEST(Authenticator, AProviderThatFailsIsWaitedForOnce) {
  Rig rig;
  const Signer signer;
  with_oidc(rig, signer);
  const auto& clock = rig.world.clock;
  const auto ask = [&](std::string_view user) {
    const Mono before = clock.now();
    EXPECT_EQ(rig.ask(signer.token(rig.world, kIssuer, "krake", user)), fmt::format("oidc:{}", user));
    return clock.now() - before;
  };
  ask("alice");
  rig.dialer.at(kIssuer).delay = std::chrono::hours(1);
  rig.wait(std::chrono::minutes(6));
  EXPECT_EQ(ask("bob"), seconds(5)) << "the time one question has";
  EXPECT_EQ(ask("carol"), Duration::zero());
  rig.wait(seconds(2));
  EXPECT_EQ(ask("dora"), Duration::zero()) << "it is asked again, but nobody waits";
}

TEST(Authenticator, AProviderThatFailsIsAskedLessAndLess) {
  Rig rig;
  const Signer signer;
  const Signer stranger;
  with_oidc(rig, signer);
  EXPECT_EQ(rig.ask(signer.token(rig.world, kIssuer, "krake", "alice")), "oidc:alice");
  auto& provider = rig.dialer.at(kIssuer);
  provider.answer = [](const auto&) { return ServerReply{.status = 500}; };
  provider.asked.clear();
  for (int second = 0; second < 600; ++second) {
    rig.wait(seconds(1));
    const auto strange = rig.ask(stranger.token(rig.world, kIssuer, "krake", "eve"));
    // Before its first failure the provider had said that it has no such key.
    EXPECT_THAT(strange, provider.asked.empty() ? StartsWith("401 ") : StartsWith("503 ")) << second;
  }
  EXPECT_GE(provider.asked.size(), 50u);
  EXPECT_LE(provider.asked.size(), 65u);
}

TEST(Authenticator, AnAnswerWithoutUsableKeysWipesNone) {
  for (const char* keys : {R"({"keys":[]})", R"({"keys":[{"kty":"oct","k":"c2VjcmV0"}]})", "{}", "<html>"}) {
    Rig rig;
    const Signer signer;
    with_oidc(rig, signer);
    const auto alice = [&] { return rig.ask(signer.token(rig.world, kIssuer, "krake", "alice")); };
    EXPECT_EQ(alice(), "oidc:alice");
    const auto good = rig.dialer.at(kIssuer).answer;
    rig.dialer.at(kIssuer).answer = [&](const FakeIdentity::Asked& asked) {
      return asked.target == "/keys?all" ? FakeIdentity::reply(200, keys) : good(asked);
    };
    for (int hour = 0; hour < 23; ++hour) {
      rig.wait(std::chrono::hours(1));
      EXPECT_EQ(alice(), "oidc:alice") << keys << " after " << hour;
    }
    rig.wait(std::chrono::hours(2));
    EXPECT_THAT(alice(), StartsWith("503 ")) << keys;
    rig.dialer.at(kIssuer).answer = good;
    rig.wait(seconds(10));
    EXPECT_EQ(alice(), "oidc:alice") << keys;
  }
}

TEST(Authenticator, AProviderThatIsNotWhatItSaysIsNotBelieved) {
  const Signer signer;
  const std::string keys = json::print(json::Object{{"keys", json::Array{signer.jwk}}});
  struct Case {
    std::string discovery;
    std::string keys;
  };
  const std::string good = R"({"issuer":"https://id.example","jwks_uri":"https://id.example/keys"})";
  const std::vector<Case> cases = {
      {"", keys},
      {"[]", keys},
      {R"({"issuer":"https://evil.example","jwks_uri":"https://id.example/keys"})", keys},
      {R"({"issuer":"https://id.example","jwks_uri":"http://id.example/keys"})", keys},
      {R"({"issuer":"https://id.example"})", keys},
      {R"({"issuer":"https://id.example","jwks_uri":"https://id.example/keys#x"})", keys},
      {good, ""},
      {good, "{}"},
      {good, R"({"keys":[]})"},
      {good, R"({"keys":[{"kty":"oct","k":"c2VjcmV0"}]})"},
      {good, std::string(300'000, ' ') + keys},
  };
  for (const auto& c : cases) {
    Rig rig;
    with_oidc(rig, signer);
    rig.dialer.at(kIssuer).answer = [&c](const FakeIdentity::Asked& asked) {
      return FakeIdentity::reply(200, asked.target == "/keys" ? c.keys : c.discovery);
    };
    EXPECT_THAT(rig.ask(signer.token(rig.world, kIssuer, "krake", "alice")), StartsWith("503 "))
        << c.discovery << " " << c.keys.substr(0, 40);
  }
}

TEST(W24, ServicesAreVerifiedByTheGivenCa) {
  Rig rig;
  const Signer signer;
  with_oidc(with_keystone(rig), signer).options.identity.ca_pem = "the CA";
  EXPECT_EQ(rig.ask(signer.token(rig.world, kIssuer, "krake", "alice")), "oidc:alice");
  ASSERT_GE(rig.dialer.dialed.size(), 3u);
  for (const auto& endpoint : rig.dialer.dialed) {
    EXPECT_EQ(endpoint.ca_pem, "the CA") << endpoint.url;
    EXPECT_FALSE(endpoint.insecure_skip_verify);
    EXPECT_EQ(endpoint.client_cert_pem + endpoint.client_key_pem, "");
  }
}

TEST(Authenticator, AddressesAreTakenApart) {
  using Parts = std::pair<std::string, std::string>;
  EXPECT_EQ(split_target("https://host/a/b?c=d").value(), Parts("https://host", "/a/b?c=d"));
  EXPECT_EQ(split_target("http://host:81").value(), Parts("http://host:81", "/"));
  for (const char* bad : {"", "host/keys", "ftp://host/x", "https:///x", "https://host/a#b", "https://host/a b"})
    EXPECT_FALSE(split_target(bad).has_value()) << bad;
}

}  // namespace
}  // namespace krake::server
