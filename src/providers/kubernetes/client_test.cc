// What no real server does, or not on demand: answers are scripted. The rest is in providers/conformance.
#include "providers/kubernetes/client.h"

#include <gtest/gtest.h>

#include "base/testing.h"
#include "net/inproc/inproc.h"

namespace krake::kube {

namespace {

using namespace std::chrono_literals;

class Script final : public Dialer {
 public:
  explicit Script(Clock& clock) : clock_(clock) {}
  Result<std::shared_ptr<Transport>> dial(const Endpoint&) override {
    return make_inproc_transport([this](ServerRequest& request) { return answer(request); }, {}, clock_);
  }
  int status = 200;
  std::string body;
  bool silent = false;
  std::vector<std::string> seen;  // method, target, authorization

 private:
  Awaitable<ServerReply> answer(ServerRequest& request) {
    seen.push_back(
        fmt::format("{} {} {}", request.method, request.target, request.headers.get("Authorization").value_or("-")));
    if (silent) co_await sleep_for(clock_, 24h);
    ServerReply reply{.status = status};
    reply.body.push_back(share_bytes(body));
    co_return reply;
  }
  Clock& clock_;
};

struct Bench {
  krake::testing::World world;
  Script script{world.clock};
  ClusterAccess access{.endpoint = {.url = "https://api:6443"}, .bearer_token = "secret-token"};
  KubeClient client{world.env, script, access};
  const ResourceType pods{.version = "v1", .kind = "Pod", .plural = "pods"};
  const ResourceType secrets{.version = "v1", .kind = "Secret", .plural = "secrets"};
};

Awaitable<void> keep_answer(KubeClient& client, ObjectRef ref, std::optional<Result<json::Value>>& answer) {
  answer = co_await client.get(std::move(ref));
}

struct Answer {
  int status;
  std::string body;
  Code code;
  std::string text;
};

}  // namespace

TEST(KubeClient, TellsARefusalFromSilence) {
  Bench bench;
  bench.script.status = 500;
  EXPECT_FALSE(bench.world.run(bench.client.get({bench.pods, "default", "a"})));
  EXPECT_EQ(bench.client.answers(), 1U);
  EXPECT_EQ(bench.client.silence(bench.world.clock.now()), Duration(0));
  bench.script.silent = true;
  const Mono begin = bench.world.clock.now();
  TaskGroup tasks(bench.world.env.executor);
  std::optional<Result<json::Value>> lost;
  tasks.spawn("get", keep_answer(bench.client, {bench.pods, "default", "a"}, lost));
  bench.world.run_until([] { return false; }, 5s);
  EXPECT_GE(bench.client.silence(bench.world.clock.now()), 5s);
  EXPECT_TRUE(bench.world.run_until([&] { return lost.has_value(); }, 1min));
  EXPECT_FALSE(*lost);
  EXPECT_GE(bench.world.clock.now() - begin, 5s);
  EXPECT_EQ(bench.client.answers(), 1U);
  EXPECT_EQ(bench.client.silence(bench.world.clock.now()), Duration(0));
}

TEST(KubeClient, AnObjectIsTheSameInEveryVersion) {
  const ResourceType v1{.group = "autoscaling", .version = "v1", .kind = "HorizontalPodAutoscaler", .plural = "x"};
  auto v2 = v1;
  v2.version = "v2";
  EXPECT_TRUE(same_object({v1, "ns", "a"}, {v2, "ns", "a"}));
  EXPECT_NE((ObjectRef{v1, "ns", "a"}), (ObjectRef{v2, "ns", "a"}));
  EXPECT_FALSE(same_object({v1, "ns", "a"}, {v1, "ns", "b"}));
  EXPECT_FALSE(same_object({v1, "ns", "a"}, {v1, "other", "a"}));
  auto other = v1;
  other.group = "example.org";
  EXPECT_FALSE(same_object({v1, "ns", "a"}, {other, "ns", "a"}));
}

TEST(KubeClient, MapsAnswersToErrors) {
  const std::vector<Answer> answers = {
      {401, R"({"kind":"Status","reason":"Unauthorized","message":"Unauthorized"})", Code::unauthenticated,
       "401 Unauthorized"},
      {403, R"({"kind":"Status","reason":"Forbidden","message":"no"})", Code::forbidden, "403 Forbidden: no"},
      {404, R"({"kind":"Status","reason":"NotFound","message":"x","details":{"name":"p","kind":"pods"}})",
       Code::not_found, "404 NotFound"},
      // None of these says that the object is not there.
      {404, R"({"kind":"Status","reason":"NotFound","message":"the server could not find the requested resource"})",
       Code::unavailable, "still served"},
      {404, R"({"kind":"Status","reason":"NotFound","message":"x","details":{"name":"ns","kind":"namespaces"}})",
       Code::unavailable, "404 NotFound"},
      {404, "<html>not here</html>", Code::unavailable, "404"},
      {500,
       R"({"kind":"Status","message":"failed to create typed patch object: .spec.x: field not declared in schema"})",
       Code::invalid_object, "typed patch object"},
      {409, R"({"kind":"Status","reason":"Conflict","message":"x"})", Code::conflict, "409"},
      {409, R"({"kind":"Status","reason":"AlreadyExists","message":"x"})", Code::already_exists, "AlreadyExists"},
      {410, R"({"kind":"Status","reason":"Expired","message":"x"})", Code::compacted, "Expired"},
      {429, "slow down", Code::too_many_requests, "slow down"},
      {500, R"({"kind":"Status","reason":"InternalError","message":"etcd"})", Code::unavailable, "etcd"},
      {502, "<html>bad gateway</html>", Code::unavailable, "502"},
      {504, "", Code::timeout, "Gateway Timeout"},
      {200, "<html>hello</html>", Code::unavailable, "Kubernetes API server"},
      {200, "[]", Code::unavailable, "Kubernetes API server"},
  };
  for (const auto& answer : answers) {
    Bench bench;
    bench.script.status = answer.status;
    bench.script.body = answer.body;
    const auto got = bench.world.run(bench.client.get({bench.pods, "ns", "p"}));
    ASSERT_FALSE(got) << answer.status;
    EXPECT_EQ(got.error().code, answer.code) << answer.status;
    EXPECT_NE(got.error().message.find("get pods ns/p on https://api:6443"), std::string::npos) << got.error().message;
    EXPECT_NE(got.error().message.find(answer.text), std::string::npos) << got.error().message;
    EXPECT_EQ(got.error().message.find("secret-token"), std::string::npos);
  }
}

TEST(KubeClient, SaysOfRefusedSecretsWhichFieldNotWhichValue) {
  Bench bench;
  bench.script.status = 422;
  bench.script.body =
      R"({"kind":"Status","reason":"Invalid","message":"data: Invalid value: \"hunter2\"","details":{"causes":[{"field":"data.k","reason":"FieldValueInvalid"}]}})";
  const auto made = bench.world.run(bench.client.apply({bench.secrets, "ns", "s"}, json::Object{}));
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().message.find("hunter2"), std::string::npos) << made.error().message;
  EXPECT_NE(made.error().message.find("data.k (FieldValueInvalid)"), std::string::npos) << made.error().message;
  EXPECT_EQ(made.error().fields, std::vector<std::string>{"data.k"});
}

TEST(KubeClient, GivesUpOnServersThatDoNotAnswer) {
  Bench bench;
  bench.script.silent = true;
  const Mono begin = bench.world.clock.now();
  EXPECT_EQ(bench.world.run(bench.client.get({bench.pods, "ns", "p"})).error().code, Code::timeout);
  EXPECT_EQ(bench.world.run(bench.client.ready()).error().code, Code::timeout);
  EXPECT_EQ(bench.world.run(bench.client.watch(bench.pods, {})).error().code, Code::timeout);
  EXPECT_EQ(bench.world.clock.now() - begin, 30s + 5s + 30s);
}

TEST(KubeClient, SendsBasicAuthenticationWithoutToken) {
  Bench bench;
  ClusterAccess access{.endpoint = {.url = "https://api"}, .username = "u", .password = "p"};
  KubeClient client(bench.world.env, bench.script, access);
  bench.script.body = "ok";
  EXPECT_TRUE(bench.world.run(client.ready()));
  EXPECT_EQ(bench.script.seen.back(), "GET /readyz Basic dTpw");
}

TEST(KubeClient, NeverAddressesCollectionsByMistake) {
  Bench bench;
  EXPECT_EQ(bench.world.run(bench.client.remove({bench.pods, "ns", ""})).error().code, Code::invalid_argument);
  EXPECT_EQ(bench.world.run(bench.client.remove({bench.pods, "", "p"})).error().code, Code::invalid_argument);
  EXPECT_TRUE(bench.script.seen.empty());
  bench.script.body = "{}";
  ASSERT_TRUE(bench.world.run(bench.client.get({bench.pods, "a/b", "c?d/../e"})));
  EXPECT_TRUE(bench.script.seen.back().starts_with("GET /api/v1/namespaces/a%2Fb/pods/c%3Fd%2F..%2Fe "));
}

TEST(KubeClient, TakesAHiddenProbeForReadyAndGarbageNot) {
  Bench bench;
  bench.script.body = "<html>";
  EXPECT_EQ(bench.world.run(bench.client.ready()).error().code, Code::unavailable);
  bench.script.status = 403;
  EXPECT_TRUE(bench.world.run(bench.client.ready()));
  bench.script.status = 500;
  EXPECT_EQ(bench.world.run(bench.client.ready()).error().code, Code::unavailable);
}

TEST(KubeClient, LooksUnknownKindsUpEachTimeAndKnownOnesOnce) {
  Bench bench;
  bench.script.body =
      R"({"resources":[{"name":"pods","kind":"Pod","namespaced":true},{"name":"pods/log","kind":"Pod"}]})";
  for (int i = 0; i < 3; ++i) EXPECT_EQ(bench.world.run(bench.client.resolve("v1", "Pod"))->plural, "pods");
  EXPECT_EQ(bench.script.seen.size(), 1U);
  for (int i = 0; i < 2; ++i)
    EXPECT_EQ(bench.world.run(bench.client.resolve("v1", "Pud")).error().code, Code::not_found);
  EXPECT_EQ(bench.script.seen.size(), 3U);
}

// Discovery sends nothing that could be wrong: a refusal of it must not pass for a fault of the object.
TEST(KubeClient, ARefusedDiscoveryTellsNothingOfTheKind) {
  for (const int status : {400, 409, 413, 415, 422, 500}) {
    Bench bench;
    bench.script.status = status;
    bench.script.body = R"({"kind":"Status","reason":"Invalid","message":"failed to create typed patch object"})";
    EXPECT_EQ(bench.world.run(bench.client.resolve("apps/v1", "Deployment")).error().code, Code::unavailable) << status;
  }
}

TEST(ObjectWatch, ReadsEventsWhereverTheyAreCut) {
  Bench bench;
  bench.script.body =
      "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"5\"}}}\n\n"
      "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"7\"}}}\n"
      "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410,\"reason\":\"Expired\"}}\n";
  auto watch = bench.world.run(bench.client.watch(bench.pods, {.resource_version = "1"}));
  ASSERT_TRUE(watch);
  EXPECT_TRUE(bench.script.seen.back().find("resourceVersion=1") != std::string::npos);
  const auto added = bench.world.run((*watch)->next());
  ASSERT_TRUE(added && *added);
  EXPECT_EQ((*added)->object.string_at({"metadata", "name"}), "a");
  EXPECT_EQ((*watch)->resource_version(), "5");
  const auto bookmark = bench.world.run((*watch)->next());
  ASSERT_TRUE(bookmark && *bookmark);
  EXPECT_EQ((*bookmark)->type, WatchEvent::Type::bookmark);
  EXPECT_EQ((*watch)->resource_version(), "7");
  EXPECT_EQ(bench.world.run((*watch)->next()).error().code, Code::compacted);
}

TEST(ObjectWatch, RefusesWhatIsNoEvent) {
  for (const std::string line : {"hello", "[]", "{}", R"({"type":"ADDED"})", R"({"type":"ADDED","object":3})",
                                 R"({"type":"ODD","object":{}})"}) {
    Bench bench;
    bench.script.body = line + "\n";
    auto watch = bench.world.run(bench.client.watch(bench.pods, {}));
    ASSERT_TRUE(watch);
    const auto event = bench.world.run((*watch)->next());
    ASSERT_FALSE(event) << line;
    EXPECT_EQ(event.error().code, Code::unavailable) << line;
  }
}

}  // namespace krake::kube
