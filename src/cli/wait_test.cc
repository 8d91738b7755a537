#include "cli/wait.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/testing.h"

namespace krake::cli {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using testing::Ran;
using testing::TestCli;

constexpr std::string_view kItem = "/kubernetes/namespaces/system:admin/applications/web";

Awaitable<void> send_later(krake::testing::TestServer& server, Duration after, HttpRequest request) {
  co_await sleep_for(server.world.clock, after);
  request.headers = {{"Content-Type", "application/json"}};
  auto answer = co_await server.transport->send(std::move(request));
  EXPECT_TRUE(answer && answer->status < 400) << (answer ? answer->body : answer.error().message);
}

struct Waiting : TestCli {
  Waiting() { dir.write("app.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n"); }
  // What somebody else does, `after` from now.
  void later(Duration after, std::string method, std::string target, std::string body = {}) {
    others.push_back(std::make_unique<TaskGroup>(server.world.env.executor));
    others.back()->spawn("later",
                         send_later(server, after, {std::move(method), std::move(target), {}, std::move(body)}));
  }
  void state_later(Duration after, std::string_view state, std::string_view more = "") {
    later(after, "PATCH", std::string(kItem) + "/status",
          fmt::format(R"({{"status":{{"state":"{}"{}}}}})", state, more));
  }
  // Seconds the command took.
  double took(std::string_view line, Ran& ran) {
    const Mono begin = server.world.clock.now();
    ran = run(line);
    return std::chrono::duration<double>(server.world.clock.now() - begin).count();
  }
  std::vector<std::unique_ptr<TaskGroup>> others;
};

constexpr std::string_view kPlace =
    R"(,"running_on":{"api":"kubernetes","kind":"Cluster","namespace":"system:admin","name":"c"})";

// A rollout: the cluster has taken everything, and RUNNING was over before anybody looked.
TEST(Wait, ARolloutUnderWayIsNoFailure) {
  Waiting cli;
  cli.state_later(2s, "CREATING");
  cli.state_later(5s, "DEGRADED", kPlace);
  Ran ran;
  const double seconds = cli.took("kube app create -f app.yaml web --wait", ran);
  EXPECT_EQ(ran.exit, 0) << ran.all();
  EXPECT_NEAR(seconds, 5, 0.1);
  // And the end of that rollout is not yet the update that comes after it.
  cli.later(1s, "PATCH", std::string(kItem) + "/status", R"({"status":{"state":"RUNNING"}})");
  cli.state_later(7s, "RECONCILING");
  cli.state_later(9s, "RUNNING");
  EXPECT_NEAR(cli.took("kube app update web -l a=b --wait", ran), 9, 0.1) << ran.all();
  EXPECT_EQ(ran.exit, 0) << ran.all();
}

TEST(Wait, CreateReturnsWhenTheStateIsReached) {
  Waiting cli;
  cli.terminal = true;
  cli.width = 200;
  cli.state_later(2s, "CREATING");
  cli.state_later(40s, "RUNNING");
  Ran ran;
  const double seconds = cli.took("kube app create -f app.yaml web --wait", ran);
  EXPECT_EQ(ran.exit, 0) << ran.all();
  EXPECT_NEAR(seconds, 40, 0.1);
  EXPECT_THAT(ran.out, HasSubstr("| RUNNING"));
  EXPECT_EQ(ran.err, "Application web: PENDING\nApplication web: CREATING\nApplication web: RUNNING\n");
  EXPECT_THAT(ran.calls(), HasSubstr("POST /kubernetes/namespaces/system%3Aadmin/applications?blocking=False\n"
                                     "GET /kubernetes/namespaces/system%3Aadmin/applications?watch&heartbeat=5\n"));
}

TEST(Wait, SaysNothingButTheDocumentWhenStructured) {
  Waiting cli;
  cli.terminal = true;
  cli.state_later(1s, "RUNNING");
  const auto ran = cli.run("kube app create -f app.yaml web --wait running -o json");
  EXPECT_EQ(ran.err, "");
  EXPECT_EQ(ran.document().string_at({"status", "state"}), "RUNNING");
}

TEST(Wait, IntermediateStatesAreReachedByPassingThem) {
  Waiting cli;
  EXPECT_EQ(cli.run("kube app create -f app.yaml web --wait pending").exit, 0);
  cli.run("kube app delete web --force");
  cli.state_later(1s, "RUNNING");
  EXPECT_EQ(cli.run("kube app create -f app.yaml web --wait CREATING").exit, 0);
}

TEST(Wait, FailsWithTheReason) {
  for (const auto state : {"FAILED", "DEGRADED"}) {
    Waiting cli;
    cli.state_later(3s, state, R"(,"reason":{"code":"NO_SUITABLE_RESOURCE","message":"no cluster matches"})");
    Ran ran;
    EXPECT_NEAR(cli.took("kube app create -f app.yaml web --wait", ran), 3, 0.1);
    EXPECT_EQ(ran.exit, 1);
    EXPECT_EQ(ran.out, "");
    EXPECT_EQ(ran.err, fmt::format("Error: Application \"web\" in namespace \"system:admin\" is {} "
                                   "(NO_SUITABLE_RESOURCE: no cluster matches)\n"
                                   "Hint: the change itself was accepted; the get verb shows the details\n",
                                   state));
  }
}

TEST(Wait, GivesUpWhenTheTimeIsOver) {
  Waiting cli;
  Ran ran;
  EXPECT_NEAR(cli.took("kube app create -f app.yaml web --wait --timeout 2m", ran), 120, 0.5);
  EXPECT_EQ(ran.exit, 1);
  EXPECT_THAT(ran.err, HasSubstr("is PENDING, not running after 120 s"));
}

TEST(Wait, AnotherObjectDoesNotCount) {
  Waiting cli;
  cli.run("kube app create -f app.yaml other");
  cli.later(1s, "PATCH", "/kubernetes/namespaces/system:admin/applications/other/status",
            R"({"status":{"state":"RUNNING"}})");
  EXPECT_EQ(cli.run("kube app create -f app.yaml web --wait --timeout 20s").exit, 1);
}

TEST(Wait, AnObjectThatVanishesIsAnError) {
  Waiting cli;
  cli.later(5s, "DELETE", std::string(kItem) + "?force=True");
  const auto ran = cli.run("kube app create -f app.yaml web --wait");
  EXPECT_EQ(ran.exit, 1);
  EXPECT_THAT(ran.err, HasSubstr("was deleted while waiting"));
  EXPECT_THAT(ran.err, HasSubstr("the change itself was accepted"));
}

TEST(Wait, DeleteReturnsWhenTheObjectIsGone) {
  Waiting cli;
  cli.run("kube app create -f app.yaml web");
  cli.later(1ms, "PATCH", std::string(kItem), R"({"metadata":{"finalizers":["kubernetes_resources_deletion"]}})");
  cli.server.world.run_until([] { return false; }, 10ms);
  cli.later(7s, "PATCH", std::string(kItem), R"({"metadata":{"finalizers":[]}})");
  cli.later(8s, "DELETE", std::string(kItem) + "?force=True");
  Ran ran;
  const double seconds = cli.took("kube app delete web --wait", ran);
  EXPECT_EQ(ran.exit, 0) << ran.all();
  EXPECT_GT(seconds, 6.9);
  EXPECT_LT(seconds, 8.1);
  EXPECT_THAT(ran.out, HasSubstr("| web"));
}

TEST(Wait, DeletingReturnsAtOnceAndFailuresBeforeTheDeletionDoNotCount) {
  Waiting cli;
  cli.run("kube app create -f app.yaml web");
  cli.state_later(0s, "FAILED", R"(,"reason":{"code":"INTERNAL_ERROR","message":"old"})");
  cli.server.world.run_until([] { return false; }, 1s);
  EXPECT_EQ(cli.run("kube app delete web --wait deleting").exit, 0);
  cli.state_later(4s, "DELETING");
  cli.state_later(6s, "DEGRADED", R"(,"reason":{"code":"DELETE_FAILED","message":"stuck"})");
  Ran ran;
  EXPECT_NEAR(cli.took("kube app delete web --wait", ran), 6, 0.1);
  EXPECT_EQ(ran.exit, 1);
  EXPECT_THAT(ran.err, HasSubstr("DELETE_FAILED: stuck"));
}

// A running application still looks as before when its new version is stored: only the controllers' work ends the wait.
TEST(Wait, UpdateWaitsForTheNewVersion) {
  Waiting cli;
  cli.run("kube app create -f app.yaml web");
  cli.state_later(0s, "RUNNING", R"(,"kube_controller_triggered":"2026-05-28T20:26:41")");
  cli.server.world.run_until([] { return false; }, 5s);
  cli.state_later(4s, "RUNNING", R"(,"kube_controller_triggered":"2026-05-28T20:27:00")");
  cli.state_later(5s, "RECONCILING");
  cli.state_later(9s, "RUNNING");
  Ran ran;
  EXPECT_NEAR(cli.took("kube app update web -l a=b --wait", ran), 9, 0.1);
  EXPECT_EQ(ran.exit, 0) << ran.all();

  cli.state_later(2s, "RECONCILING");
  EXPECT_NEAR(cli.took("kube app update web -l a=c --wait reconciling", ran), 2, 0.1);
  EXPECT_EQ(ran.exit, 0) << ran.all();
}

// Whoever is to move it may be gone for a while.
TEST(Wait, UpdateWaitsUntilItRunsWhereItIsToRun) {
  const auto at = [](std::string_view here) {
    const auto place = [](std::string_view name) {
      return fmt::format(R"({{"api":"kubernetes","kind":"Cluster","namespace":"system:admin","name":"{}"}})", name);
    };
    return fmt::format(R"(,"kube_controller_triggered":"2026-05-28T21:00:00","scheduled_to":{},"running_on":{})",
                       place("de"), place(here));
  };
  Waiting cli;
  cli.run("kube app create -f app.yaml web");
  cli.state_later(0s, "RUNNING");
  cli.server.world.run_until([] { return false; }, 5s);
  cli.state_later(1s, "RUNNING", at("sk"));
  cli.state_later(9s, "RUNNING", at("de"));
  Ran ran;
  EXPECT_NEAR(cli.took("kube app update web -l a=b --wait", ran), 12, 0.5);
  EXPECT_EQ(ran.exit, 0) << ran.all();
}

TEST(Wait, UpdateThatChangesNothingOnTheClusterEndsSoon) {
  Waiting cli;
  cli.run("kube app create -f app.yaml web");
  cli.state_later(0s, "RUNNING");
  cli.server.world.run_until([] { return false; }, 5s);
  cli.state_later(2s, "RUNNING", R"(,"kube_controller_triggered":"2026-05-28T21:00:00")");
  Ran ran;
  EXPECT_NEAR(cli.took("kube app update web -l a=b --wait", ran), 5, 0.5);
  EXPECT_EQ(ran.exit, 0) << ran.all();
}

TEST(Wait, UpdateOfAFailedApplicationWaitsForItsRecovery) {
  Waiting cli;
  cli.run("kube app create -f app.yaml web");
  cli.state_later(0s, "FAILED", R"(,"reason":{"code":"INTERNAL_ERROR","message":"old"})");
  cli.server.world.run_until([] { return false; }, 5s);
  cli.state_later(3s, "RECONCILING", R"(,"reason":null)");
  cli.state_later(6s, "RUNNING");
  Ran ran;
  EXPECT_NEAR(cli.took("kube app update web -l a=b --wait", ran), 6, 0.1);
  EXPECT_EQ(ran.exit, 0) << ran.all();
}

TEST(Wait, ClustersComeOnline) {
  Waiting cli;
  cli.dir.write("k.yaml",
                "current-context: c\ncontexts: [{name: c, context: {cluster: e, user: u}}]\n"
                "clusters: [{name: e, cluster: {server: 'https://1.2.3.4'}}]\nusers: [{name: u, user: {token: t}}]\n");
  cli.later(12s, "PATCH", "/kubernetes/namespaces/system:admin/clusters/e/status", R"({"status":{"state":"ONLINE"}})");
  Ran ran;
  EXPECT_NEAR(cli.took("kube cluster register -k k.yaml --wait", ran), 12, 0.1);
  EXPECT_EQ(ran.exit, 0) << ran.all();
  EXPECT_NEAR(cli.took("kube cluster update e -l a=b --wait", ran), 3, 0.1);
  EXPECT_EQ(ran.exit, 0) << ran.all();
  cli.later(1s, "PATCH", "/kubernetes/namespaces/system:admin/clusters/e/status", R"({"status":{"state":"OFFLINE"}})");
  cli.later(20s, "PATCH", "/kubernetes/namespaces/system:admin/clusters/e/status", R"({"status":{"state":"ONLINE"}})");
  EXPECT_NEAR(cli.took("kube cluster update e -l a=c --wait", ran), 20, 0.1);
  EXPECT_EQ(ran.exit, 0) << ran.all();
}

// Such a state from before is what the change is to mend, and nothing that hinders a removal.
TEST(Wait, AKubeconfigThatCannotBeUsedIsAFailureOnlyAfterTheChange) {
  Waiting cli;
  cli.dir.write("k.yaml",
                "current-context: c\ncontexts: [{name: c, context: {cluster: e, user: u}}]\n"
                "clusters: [{name: e, cluster: {server: 'https://1.2.3.4'}}]\nusers: [{name: u, user: {token: t}}]\n");
  const auto state = [&](Duration after, std::string_view text, std::string_view reason) {
    cli.later(after, "PATCH", "/kubernetes/namespaces/system:admin/clusters/e/status",
              fmt::format(R"({{"status":{{"state":"{}","reason":{}}}}})", text, reason));
  };
  constexpr auto kBad = R"({"code":"INVALID_RESOURCE","message":"no PEM"})";
  state(2s, "OFFLINE", kBad);
  Ran ran;
  EXPECT_NEAR(cli.took("kube cluster register -k k.yaml --wait", ran), 2, 0.1);
  EXPECT_EQ(ran.exit, 1) << "nothing that is waited for mends it";
  state(4s, "ONLINE", "null");
  EXPECT_NEAR(cli.took("kube cluster update e -l a=b --wait", ran), 4, 0.1);
  EXPECT_EQ(ran.exit, 0) << ran.all();
  state(3s, "OFFLINE", kBad);
  EXPECT_NEAR(cli.took("kube cluster update e -l a=c --wait --timeout 20s", ran), 3, 0.1);
  EXPECT_EQ(ran.exit, 1) << ran.all();
  state(3s, "OFFLINE", R"({"code":"INVALID_RESOURCE","message":"another"})");
  EXPECT_NEAR(cli.took("kube cluster update e -l a=d --wait --timeout 20s", ran), 3, 0.1);
  EXPECT_EQ(ran.exit, 1) << ran.all();
  // Whose objects it waits for, where it has a place for them yet or had one.
  cli.dir.write("app.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n");
  constexpr auto kThere = R"({"api":"kubernetes","kind":"Cluster","namespace":"system:admin","name":"e"})";
  for (const auto* name : {"web", "left", "other"}) cli.run(fmt::format("kube app create -f app.yaml {}", name));
  cli.later(1s, "PATCH", std::string(kItem) + "/status", fmt::format(R"({{"status":{{"running_on":{}}}}})", kThere));
  cli.later(1s, "PATCH", "/kubernetes/namespaces/system:admin/applications/left/status",
            fmt::format(R"({{"status":{{"cleanup":[{{"cluster":{},"objects":[]}}]}}}})", kThere));
  EXPECT_NEAR(cli.took("kube cluster delete e --wait --timeout 10s", ran), 10, 0.1);
  EXPECT_EQ(ran.exit, 1);
  EXPECT_THAT(ran.err, HasSubstr("not gone after 10 s: there may still be objects on it of left, web\n"));
  EXPECT_THAT(ran.err, HasSubstr("--force"));
  cli.later(5s, "DELETE", "/kubernetes/namespaces/system:admin/clusters/e?force=True");
  EXPECT_NEAR(cli.took("kube cluster delete e --wait", ran), 5, 0.1);
  EXPECT_EQ(ran.exit, 0) << ran.all();
}

TEST(Wait, SurvivesStreamsThatBreak) {
  Waiting cli;
  // Every watch is cut after its first piece.
  struct Cut final : ByteStream {
    explicit Cut(std::unique_ptr<ByteStream> s) : inner(std::move(s)) {}
    Awaitable<Result<std::string>> read() override {
      if (pieces++ > 0) co_return fail(Code::unavailable, "cut");
      co_return co_await inner->read();
    }
    std::unique_ptr<ByteStream> inner;
    int pieces = 0;
  };
  struct Cutting final : Transport {
    explicit Cutting(std::shared_ptr<Transport> t) : inner(std::move(t)) {}
    Awaitable<Result<HttpResponse>> send(HttpRequest request, CallOptions options) override {
      return inner->send(std::move(request), options);
    }
    Awaitable<Result<HttpStream>> open(HttpRequest request, CallOptions options) override {
      if (opened++ == 1) co_return fail(Code::unavailable, "refused");
      auto stream = co_await inner->open(std::move(request), options);
      if (stream) stream->body = std::make_unique<Cut>(std::move(stream->body));
      co_return stream;
    }
    std::shared_ptr<Transport> inner;
    int opened = 0;
  };
  const auto transport = std::make_shared<Cutting>(cli.server.transport);
  cli.dialer = std::make_shared<testing::FakeDialer>(transport);
  cli.state_later(33s, "RUNNING");
  Ran ran;
  EXPECT_NEAR(cli.took("kube app create -f app.yaml web --wait", ran), 33, 1.1);
  EXPECT_EQ(ran.exit, 0) << ran.all();
  EXPECT_LT(transport->opened, 40);
}

// A server that dies in the middle of a refusal.
TEST(Wait, DoesNotWaitForTheRestOfARefusal) {
  Waiting cli;
  struct Silent final : ByteStream {
    explicit Silent(Clock& c) : clock(c) {}
    Awaitable<Result<std::string>> read() override {
      co_await sleep_for(clock, 1h);
      co_return std::string();
    }
    Clock& clock;
  };
  struct Refusing final : Transport {
    Refusing(std::shared_ptr<Transport> t, Clock& c) : inner(std::move(t)), clock(c) {}
    Awaitable<Result<HttpResponse>> send(HttpRequest request, CallOptions options) override {
      return inner->send(std::move(request), options);
    }
    Awaitable<Result<HttpStream>> open(HttpRequest, CallOptions) override {
      co_return HttpStream{.status = 503, .headers = {}, .body = std::make_unique<Silent>(clock)};
    }
    std::shared_ptr<Transport> inner;
    Clock& clock;
  };
  cli.dialer =
      std::make_shared<testing::FakeDialer>(std::make_shared<Refusing>(cli.server.transport, cli.server.world.clock));
  Ran ran;
  EXPECT_NEAR(cli.took("kube app create -f app.yaml web --wait --timeout 20s", ran), 30, 0.1);
  EXPECT_EQ(ran.exit, 1);
  EXPECT_THAT(ran.err, HasSubstr("the change itself was accepted"));
}

TEST(Wait, ReadsDurations) {
  const std::pair<std::string_view, std::optional<Duration>> cases[] = {
      {"30", 30s}, {"30s", 30s}, {"5m", 5min}, {"2h", 2h},         {"", {}},
      {"s", {}},   {"-3", {}},   {"1.5m", {}}, {"9999999999", {}}, {"5d", {}},
  };
  for (const auto& [text, wanted] : cases) EXPECT_EQ(parse_duration(text), wanted) << text;
}

}  // namespace
}  // namespace krake::cli
