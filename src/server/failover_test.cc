// Clients of several servers on one store: nothing is lost and nothing told twice when one of them goes.
#include "net/failover.h"

#include <gtest/gtest.h>

#include "api/core/role.h"
#include "client/informer.h"
#include "server/breaking_transport.h"
#include "server/testing.h"
#include "store/faulty_store.h"

namespace krake {
namespace {

// The way to a process that can be killed: then connections are refused and streams break.
class Way final : public Transport {
 public:
  Way(Handler handler, testing::World& world)
      : world_(world), inner_(make_inproc_transport(std::move(handler), Peer{.common_name = "alice"}, world.clock)) {}
  void kill() {
    down_ = true;
    ++life_->ended;
    life_->changed.notify_all();
  }
  void revive() { down_ = false; }
  Awaitable<Status> connect(Duration) override {
    if (down_) co_return fail(Code::unavailable, "connection refused");
    co_return Status{};
  }
  Awaitable<Result<HttpResponse>> send(HttpRequest request, CallOptions options) override {
    if (down_) return refused<HttpResponse>();
    return inner_->send(std::move(request), options);
  }
  Awaitable<Result<HttpStream>> open(HttpRequest request, CallOptions options) override {
    targets.push_back(request.target);
    if (down_) co_return co_await refused<HttpStream>();
    auto stream = co_await inner_->open(std::move(request), options);
    if (stream) stream->body = std::make_unique<Breaking>(life_, std::move(stream->body));
    co_return stream;
  }
  std::vector<std::string> targets;  // of streams

 private:
  struct Life {
    explicit Life(const boost::asio::any_io_executor& executor) : changed(executor) {}
    Notifier changed;
    int ended = 0;
  };
  struct Breaking final : ByteStream {
    Breaking(std::shared_ptr<Life> the_life, std::unique_ptr<ByteStream> b)
        : life(std::move(the_life)), born(life->ended), body(std::move(b)) {}
    Awaitable<Result<std::string>> read() override {
      using namespace boost::asio::experimental::awaitable_operators;
      auto outcome = co_await (body->read() || until_ended(life, born));
      if (outcome.index() == 1 || life->ended != born) co_return fail(Code::unavailable, "connection reset");
      co_return std::move(std::get<0>(outcome));
    }
    static Awaitable<void> until_ended(std::shared_ptr<Life> life, int born) {
      while (life->ended == born) co_await life->changed.wait();
    }
    std::shared_ptr<Life> life;
    int born;
    std::unique_ptr<ByteStream> body;
  };
  template <class T>
  static Awaitable<Result<T>> refused() {
    co_return fail(Code::unavailable, "connection refused");
  }
  testing::World& world_;
  std::shared_ptr<Transport> inner_;
  bool down_ = false;
  std::shared_ptr<Life> life_ = std::make_shared<Life>(world_.env.executor);
};

struct TwoServers {
  TwoServers() {
    for (int i = 0; i < 2; ++i) {
      stores[i] = store::make_memory_store(world.env.executor, world.clock, disk);
      faults[i] = std::make_unique<store::FaultyStore>(*stores[i], world.env.executor, world.clock, Random(1));
      servers[i] = std::make_unique<server::ApiServer>(world.env, *faults[i], krake_registry(),
                                                       testing::TestServer::open_to_all());
      if (!world.run(servers[i]->start())) throw std::runtime_error("no start");
      ways[i] = std::make_shared<Way>(servers[i]->handler(), world);
    }
    lines = std::make_shared<testing::BreakingTransport>(ways[0]);
    transport = make_failover_transport(world.clock, {lines, ways[1]});
  }
  ~TwoServers() {
    for (auto& server : servers) world.run(server->stop());
  }
  int call(std::string method, std::string target, std::string body = {}) {
    auto answer = world.run(transport->send({std::move(method), std::move(target), {}, std::move(body)}));
    return answer ? answer->status : 0;
  }
  int create(std::string_view name) {
    return call("POST", "/core/roles", fmt::format(R"({{"metadata":{{"name":"{}"}},"rules":[]}})", name));
  }
  testing::World world;
  std::shared_ptr<store::MemoryDisk> disk = std::make_shared<store::MemoryDisk>("s1", store::MemoryOptions{});
  std::unique_ptr<store::Store> stores[2];
  std::unique_ptr<store::FaultyStore> faults[2];
  std::unique_ptr<server::ApiServer> servers[2];
  std::shared_ptr<Way> ways[2];
  std::shared_ptr<testing::BreakingTransport> lines;  // of the first
  std::shared_ptr<Transport> transport;
};

TEST(FailoverOfClients, AnInformerGoesOnAtTheOtherServerWhereItWas) {
  TwoServers t;
  Client client(t.transport);
  Informer<Role> informer(t.world.env, client);
  std::map<std::string, int> told;
  informer.on_change([&](const ObjectKey& key) { ++told[key.name]; });
  informer.start();
  t.world.run(informer.wait_synced());
  const int lists = informer.relists();
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(t.create(fmt::format("before{}", i)), 200);
    t.ways[i % 2]->kill();
    const Mono begin = t.world.clock.now();
    EXPECT_EQ(t.create(fmt::format("after{}", i)), 200) << "nothing had been sent to the dead one";
    ASSERT_TRUE(t.world.run_until([&] { return told.contains(fmt::format("after{}", i)); }, std::chrono::minutes(1)));
    EXPECT_LT(t.world.clock.now() - begin, std::chrono::milliseconds(500));
    t.ways[i % 2]->revive();
    t.world.run(sleep_for(t.world.clock, std::chrono::seconds(3)));
  }
  for (const auto& [name, times] : told) EXPECT_EQ(times, 1) << name;
  EXPECT_EQ(told.size(), 12U);
  EXPECT_EQ(informer.relists(), lists) << "resumed, not listed again";
  EXPECT_NE(t.ways[1]->targets.back().find("&store=s1"), std::string::npos);
  t.world.run(informer.stop());
}

// The first server has missed something and tells the difference; it dies after each line of that in turn. The other
// one has all of it, also what was there in between: what the informer knows to be gone must not come back for a
// moment.
TEST(FailoverOfClients, AServerThatDiesWhileItTellsWhatItHadMissedLeavesNothingOut) {
  for (const int lines_told : {1, 2}) {
    SCOPED_TRACE(lines_told);
    std::vector<std::string> told;
    TwoServers t;
    Client client(t.transport);
    Informer<Role> informer(t.world.env, client);
    informer.start();
    t.world.run(informer.wait_synced());
    EXPECT_EQ(t.create("gone"), 200);
    ASSERT_TRUE(t.world.run_until([&] { return informer.find({"", "gone"}) != nullptr; }));
    ASSERT_FALSE(t.ways[0]->targets.empty());
    ASSERT_TRUE(t.ways[1]->targets.empty()) << "it follows the first";
    informer.on_change([&](const ObjectKey& key) { told.push_back((informer.find(key) ? "+" : "-") + key.name); });
    t.lines->set_breaks([&, left = lines_told](std::string_view) mutable {
      if (--left > 0) return false;
      t.ways[0]->kill();
      return true;
    });
    t.faults[0]->set_away(true);
    const auto other = [&](std::string method, std::string target, std::string body) {
      auto answer = t.world.run(t.ways[1]->send({std::move(method), std::move(target), {}, std::move(body)}, {}));
      return answer ? answer->status : 0;
    };
    EXPECT_EQ(other("PATCH", "/core/roles/gone", R"({"metadata":{"labels":{"a":"b"}}})"), 200);
    EXPECT_EQ(other("DELETE", "/core/roles/gone", ""), 200);
    EXPECT_EQ(other("PATCH", "/core/roles/gone", R"({"metadata":{"finalizers":[]}})"), 200);
    EXPECT_EQ(other("POST", "/core/roles", R"({"metadata":{"name":"new"},"rules":[]})"), 200);
    ASSERT_TRUE(t.disk->compact(t.disk->revision()));
    EXPECT_TRUE(told.empty()) << "the first does not know";
    t.faults[0]->set_away(false);
    EXPECT_TRUE(
        t.world.run_until([&] { return !t.ways[1]->targets.empty() && told.size() >= 2; }, std::chrono::minutes(1)));
    EXPECT_EQ(told, (std::vector<std::string>{"+new", "-gone"}));
    EXPECT_EQ(informer.find({"", "gone"}), nullptr);
    t.world.run(informer.stop());
  }
}

TEST(FailoverOfClients, AllServersGoneIsToldAndRecoveredFrom) {
  TwoServers t;
  for (auto& way : t.ways) way->kill();
  EXPECT_EQ(t.create("a"), 0);
  t.ways[1]->revive();
  EXPECT_EQ(t.create("a"), 200);
}

}  // namespace
}  // namespace krake
