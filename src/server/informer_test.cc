// The informer against the real server: resume, re-list, self-healing (P7, P12).
#include "client/informer.h"

#include <gtest/gtest.h>

#include "api/core/role.h"
#include "client/compact_informer.h"
#include "server/breaking_transport.h"
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

constexpr Duration kLong = std::chrono::hours(10);  // enough for many a pause before a stream is opened again

// As another program would put it into the store.
store::Bytes stored(std::string_view name) {
  return std::make_shared<const std::string>(fmt::format(
      R"({{"metadata":{{"name":"{}","uid":"u-{}","created":"2026-01-01T00:00:00","modified":"2026-01-01T00:00:00"}},"rules":[]}})",
      name, name));
}

struct InformerRig {
  explicit InformerRig(InformerOptions options = {})
      : lines(std::make_shared<testing::BreakingTransport>(server.transport)),
        transport(std::make_shared<CuttingTransport>(lines)),
        client(transport),
        informer(server.world.env, client, std::move(options)) {
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
  // At one revision.
  store::Revision commit(const std::set<std::string>& put, const std::set<std::string>& removed = {}) {
    store::Txn txn;
    for (const auto& name : put) txn.puts.push_back({"/core/roles/" + name, stored(name)});
    for (const auto& name : removed) txn.removes.push_back({"/core/roles/" + name});
    const auto result = server.world.run(server.store->commit(std::move(txn)));
    return std::get<store::Committed>(*result).revision;
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
  std::shared_ptr<testing::BreakingTransport> lines;
  std::shared_ptr<CuttingTransport> transport;
  Client client;
  Informer<Role> informer;
};

TEST(CompactInformer, DecodesWhatHasChangedAndRemembersALittle) {
  testing::TestServer t;
  Client client(t.transport);
  const auto create = [&](int i) {
    t.call("POST", "/core/roles", fmt::format(R"({{"metadata":{{"name":"r{}"}},"rules":[]}})", i));
  };
  for (int i = 0; i < 200; ++i) create(i);
  CompactInformer<Role> informer(t.world.env, client);
  informer.start();
  t.world.run(informer.wait_synced());
  const ObjectKey key{"", "r0"};
  const auto first = informer.find(key);
  ASSERT_TRUE(first);
  EXPECT_EQ(informer.find(key), first);
  t.call("PATCH", "/core/roles/r0", R"({"metadata":{"labels":{"a":"b"}}})");
  EXPECT_TRUE(t.world.run_until([&] { return informer.find(key)->object.metadata.labels.entries.size() == 1; }, kLong));
  EXPECT_GT(informer.find(key)->revision, first->revision);
  // Of many not all stay in memory: whoever drops one lets it go.
  std::vector<std::weak_ptr<const Versioned<Role>>> found;
  for (const auto& [each, text] : informer.texts()) found.emplace_back(informer.find(each));
  const auto kept = std::ranges::count_if(found, [](const auto& role) { return !role.expired(); });
  EXPECT_EQ(found.size(), 200U);
  EXPECT_GT(kept, 1);
  EXPECT_LT(kept, 100);
  // Of large ones a few.
  for (int i = 0; i < 20; ++i) {
    const auto name = fmt::format("large{}", i);
    auto text = *stored(name);
    text.insert(1, fmt::format(R"("padding":"{}",)", std::string(100'000, 'x')));
    store::Txn txn;
    txn.puts.push_back({"/core/roles/" + name, std::make_shared<const std::string>(std::move(text))});
    ASSERT_TRUE(t.world.run(t.store->commit(std::move(txn))));
  }
  EXPECT_TRUE(t.world.run_until([&] { return informer.texts().size() == 220; }, kLong));
  found.clear();
  std::size_t text_kept = 0;
  for (const auto& [each, text] : informer.texts()) {
    if (each.name.starts_with("large")) found.emplace_back(informer.find(each));
  }
  for (const auto& role : found) text_kept += role.expired() ? 0 : 100'000;
  EXPECT_EQ(found.size(), 20U);
  EXPECT_GT(text_kept, 0U);
  EXPECT_LE(text_kept, std::size_t{1} << 20);
  t.call("DELETE", "/core/roles/r0");
  t.call("PATCH", "/core/roles/r0", R"({"metadata":{"finalizers":[]}})");
  EXPECT_TRUE(t.world.run_until([&] { return informer.find(key) == nullptr; }, kLong));
  t.world.run(informer.stop());
}

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

TEST(Informer, ComesBackSoonHoweverOftenItsStreamsBreakThatTellSomething) {
  InformerRig rig;
  std::set<std::string> names;
  for (int i = 0; i < 10; ++i) {
    const Mono begin = rig.server.world.clock.now();
    const std::string name = fmt::format("r{}", i);
    names.insert(name);
    rig.transport->cut();
    rig.create(name);
    EXPECT_TRUE(rig.sees(names));
    const Duration took = rig.server.world.clock.now() - begin;
    EXPECT_LE(took, std::chrono::milliseconds(500)) << i;
    if (i > 3) EXPECT_GE(took, std::chrono::milliseconds(300)) << "but asks for no more than a few a second";
  }
}

// Two objects of one commit are two lines of one revision.
TEST(Informer, MissesNothingWhenItsStreamBreaksBetweenTwoLinesOfOneRevision) {
  std::map<std::string, int> told;
  std::set<std::string, std::less<>> broke_after;
  InformerRig rig;
  rig.informer.on_change([&](const ObjectKey& key) { ++told[key.name]; });
  const int lists = rig.informer.relists();
  rig.lines->set_breaks([&](std::string_view line) {
    return line.find(R"("name":"x")") != std::string_view::npos && broke_after.emplace(line).second;
  });
  rig.commit({"x", "y"});
  EXPECT_TRUE(rig.sees({"x", "y"}));
  rig.commit({}, {"x", "y"});
  EXPECT_TRUE(rig.sees({}));
  EXPECT_EQ(broke_after.size(), 2U);
  EXPECT_EQ(told, (std::map<std::string, int>{{"x", 2}, {"y", 2}})) << "what comes again is no news";
  EXPECT_EQ(rig.informer.relists(), lists);
}

// What an informer shows of each object when it reports a change of it.
struct Shown {
  void note(const std::string& name, std::int64_t revision) {  // 0: gone
    EXPECT_NE(now[name], revision) << name << " is told twice";
    if (revision != 0) EXPECT_GT(revision, newest[name]) << name << " goes back";
    now[name] = revision;
    newest[name] = std::max(newest[name], revision);
  }
  std::map<std::string, std::int64_t> now;
  std::map<std::string, std::int64_t> newest;
};

TEST(Informer, TellsNothingTwiceAndNothingBackwardsHoweverOftenItsStreamBreaks) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    Shown shown;
    int breaks = 0;
    InformerRig rig({.resync = std::chrono::hours(1000)});
    rig.informer.on_change([&](const ObjectKey& key) {
      const auto object = rig.informer.find(key);
      shown.note(key.name, object ? object->revision : 0);
    });
    const int lists = rig.informer.relists();
    rig.lines->set_breaks([&](std::string_view) { return random.chance(0.3) && ++breaks > 0; });
    std::set<std::string> present;
    for (int i = 0; i < 40; ++i) {
      std::set<std::string> put;
      std::set<std::string> removed;
      for (const auto* name : {"a", "b", "c", "d", "e"}) {
        if (present.contains(name) && random.chance(0.3)) {
          removed.insert(name);
        } else if (random.chance(0.4)) {
          put.insert(name);
        }
      }
      if (put.empty() && removed.empty()) continue;
      const auto revision = rig.commit(put, removed);
      present.insert(put.begin(), put.end());
      for (const auto& name : removed) present.erase(name);
      if (random.chance(0.3))
        EXPECT_TRUE(rig.server.world.run_until([&] { return rig.informer.complete() >= revision; }, kLong));
    }
    rig.lines->set_breaks({});
    EXPECT_TRUE(rig.sees(present));
    EXPECT_GT(breaks, 10);
    EXPECT_EQ(rig.informer.relists(), lists);
  }
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

TEST(Informer, WaitsForItsOwnObjectAndNotForAnotherOfTheSameRevision) {
  InformerRig rig;
  rig.lines->set_breaks([broke = false](std::string_view) mutable { return !std::exchange(broke, true); });
  const auto revision = rig.commit({"x", "y"});
  rig.server.world.run(rig.informer.wait_for({"", "x"}, revision));
  EXPECT_NE(rig.informer.find({"", "x"}), nullptr);
  EXPECT_EQ(rig.informer.find({"", "y"}), nullptr) << "the stream has broken in between";
  EXPECT_EQ(rig.informer.revision(), revision);
  EXPECT_EQ(rig.informer.complete(), revision - 1);
  rig.server.world.run(rig.informer.wait_for({"", "y"}, revision));
  EXPECT_NE(rig.informer.find({"", "y"}), nullptr);
}

}  // namespace
}  // namespace krake
