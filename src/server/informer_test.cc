// The informer against the real server: resume, re-list, self-healing (P7, P12).
#include "client/informer.h"

#include <gtest/gtest.h>

#include "api/core/role.h"
#include "server/testing.h"

namespace krake {
namespace {

// Breaks streams on demand.
class CuttingTransport final : public Transport {
 public:
  explicit CuttingTransport(std::shared_ptr<Transport> inner) : inner_(std::move(inner)) {}
  Awaitable<Result<HttpResponse>> send(HttpRequest request, CallOptions options) override {
    return inner_->send(std::move(request), options);
  }
  Awaitable<Result<HttpStream>> open(HttpRequest request, CallOptions options) override {
    targets.push_back(request.target);
    auto stream = co_await inner_->open(std::move(request), options);
    if (stream) stream->body = std::make_unique<Cut>(std::move(stream->body), generation, spoiled);
    co_return stream;
  }
  void cut() { ++*generation; }
  void spoil() { *spoiled = true; }  // what comes is no Role any more
  std::vector<std::string> targets;

 private:
  struct Cut final : ByteStream {
    Cut(std::unique_ptr<ByteStream> b, std::shared_ptr<int> g, std::shared_ptr<bool> s)
        : body(std::move(b)), generation(std::move(g)), spoiled(std::move(s)), mine(*generation) {}
    Awaitable<Result<std::string>> read() override {
      auto piece = co_await body->read();
      if (*generation != mine) co_return fail(Code::unavailable, "cut");  // and the piece is lost
      constexpr std::string_view kRules = R"("rules":[])";
      const auto at = piece && *spoiled ? piece->find(kRules) : std::string::npos;
      if (at != std::string::npos) piece->replace(at, kRules.size(), R"("rules":7)");
      co_return piece;
    }
    std::unique_ptr<ByteStream> body;
    std::shared_ptr<int> generation;
    std::shared_ptr<bool> spoiled;
    int mine;
  };
  std::shared_ptr<Transport> inner_;
  std::shared_ptr<int> generation = std::make_shared<int>(0);
  std::shared_ptr<bool> spoiled = std::make_shared<bool>(false);
};

struct InformerRig {
  InformerRig()
      : transport(std::make_shared<CuttingTransport>(server.transport)),
        client(transport),
        informer(server.world.env, client) {
    informer.start();
    server.world.run(informer.wait_synced());
  }
  ~InformerRig() { server.world.run(informer.stop()); }
  void create(std::string_view name) {
    server.call("POST", "/core/roles", fmt::format(R"({{"metadata":{{"name":"{}"}},"rules":[]}})", name));
  }
  void remove(std::string_view name) {
    server.call("DELETE", fmt::format("/core/roles/{}", name));
    server.call("PATCH", fmt::format("/core/roles/{}", name), R"({"metadata":{"finalizers":[]}})");
  }
  bool sees(std::set<std::string> names) {
    return server.world.run_until(
        [&] {
          std::set<std::string> seen;
          for (const auto& [key, object] : informer.objects()) seen.insert(key.name);
          return seen == names;
        },
        std::chrono::minutes(2));
  }
  testing::TestServer server;
  std::shared_ptr<CuttingTransport> transport;
  Client client;
  Informer<Role> informer;
};

TEST(Informer, FollowsCreatesAndDeletes) {
  InformerRig rig;
  rig.create("a");
  rig.create("b");
  EXPECT_TRUE(rig.sees({"a", "b"}));
  rig.remove("a");
  EXPECT_TRUE(rig.sees({"b"}));
}

TEST(Informer, ResumesWithoutListingAgain) {
  InformerRig rig;
  rig.create("a");
  EXPECT_TRUE(rig.sees({"a"}));
  const int lists = rig.informer.relists();
  rig.transport->cut();
  rig.create("b");
  rig.remove("a");
  EXPECT_TRUE(rig.sees({"b"}));
  EXPECT_EQ(rig.informer.relists(), lists);
  EXPECT_NE(rig.transport->targets.back().find("since="), std::string::npos);
}

TEST(Informer, AWrongEntryHealsWithinTheResyncInterval) {
  InformerRig rig;
  rig.create("a");
  EXPECT_TRUE(rig.sees({"a"}));
  rig.informer.plant_for_test({"", "ghost"}, std::make_shared<const Versioned<Role>>());
  EXPECT_TRUE(rig.server.world.run_until([&] { return !rig.informer.find({"", "ghost"}); }, std::chrono::minutes(15)));
  EXPECT_NE(rig.informer.find({"", "a"}), nullptr);
}

TEST(Informer, KeepsNoOldCopyOfWhatCannotBeRead) {
  InformerRig rig;
  rig.create("a");
  EXPECT_TRUE(rig.sees({"a"}));
  rig.transport->spoil();
  rig.server.call("PATCH", "/core/roles/a", R"({"metadata":{"labels":{"x":"y"}}})");
  EXPECT_TRUE(rig.sees({}));
}

// What happens to other kinds moves the revision too.
TEST(Informer, ReachesARevisionWithoutAnEventOrAList) {
  InformerRig rig;
  auto& world = rig.server.world;
  EXPECT_EQ(
      rig.server.call("POST", "/core/rolebindings", R"({"metadata":{"name":"x"},"roles":["a"],"users":["b"]})").status,
      200);
  const auto list = rig.server.get("/core/rolebindings");
  Epoch point{.store = std::string(list.string_at({"metadata", "store"})),
              .revision = std::stoll(std::string(list.string_at({"metadata", "resource_version"})))};
  ASSERT_FALSE(rig.informer.has_seen(point));
  const int lists = rig.informer.relists();
  const auto streams = rig.transport->targets.size();
  const Mono begin = world.clock.now();
  int reached = 0;
  const auto wait = [](Informer<Role>& informer, Epoch until, int* count) -> Awaitable<void> {
    if (co_await informer.reach(std::move(until), std::chrono::seconds(5))) ++*count;
  };
  TaskGroup waiting(world.env.executor);
  for (int i = 0; i < 3; ++i) waiting.spawn("wait", wait(rig.informer, point, &reached));
  EXPECT_TRUE(world.run_until([&] { return reached == 3; }, std::chrono::seconds(1)));
  EXPECT_LT(world.clock.now() - begin, std::chrono::milliseconds(200));
  EXPECT_EQ(rig.informer.relists(), lists);
  EXPECT_EQ(rig.transport->targets.size(), streams + 1) << "they share one stream";
  point.store = "another";
  EXPECT_FALSE(world.run(rig.informer.reach(point, std::chrono::seconds(5))));
  EXPECT_GT(rig.informer.relists(), lists) << "that would have told";
  EXPECT_LT(rig.transport->targets.size(), streams + 30) << "and not in a hurry";
}

TEST(Informer, WaitsForItsOwnWrites) {
  InformerRig rig;
  auto created = rig.server.world.run(rig.client.create<Role>("", Role{.metadata = {.name = "mine"}}));
  ASSERT_TRUE(created.has_value());
  rig.server.world.run(rig.informer.wait_for({"", "mine"}, created->revision));
  ASSERT_NE(rig.informer.find({"", "mine"}), nullptr);
  EXPECT_EQ(rig.informer.find({"", "mine"})->revision, created->revision);
}

}  // namespace
}  // namespace krake
