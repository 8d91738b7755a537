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

// A line of a watch, as it came over the wire.
struct Line {
  std::string type, name;
  std::int64_t revision = 0;
  int stream = 0;  // by when they were opened, whichever way
  std::string text() const { return fmt::format("{} {} at {}", type, name, revision); }
};

// All lines about objects that reached the client, of all streams.
struct Wire {
  std::vector<Line> lines;
  int streams = 0;
};

// The way to a process that can be killed: then connections are refused and streams break. Or paused: then nothing
// comes.
class Way final : public Transport {
 public:
  Way(Handler handler, testing::World& world, Wire& wire)
      : inner_(make_inproc_transport(std::move(handler), Peer{.common_name = "alice"}, world.clock)),
        clock_(world.clock),
        life_(std::make_shared<Life>(world.env.executor, wire)) {}
  void kill() { life_->kill(); }
  void revive() { life_->down = false; }
  void pause(bool paused) {
    life_->paused = paused;
    life_->changed.notify_all();
  }
  // It dies when so many more lines have got through, and then `also` happens.
  void kill_after_lines(int lines, std::function<void()> also = {}) {
    life_->lines_left = lines;
    life_->at_death = std::move(also);
  }
  Awaitable<Status> connect(Duration) override {
    if (life_->down) co_return fail(Code::unavailable, "connection refused");
    co_return Status{};
  }
  Awaitable<Result<HttpResponse>> send(HttpRequest request, CallOptions options) override {
    if (life_->down) return refused<HttpResponse>();
    if (life_->paused) return silence(clock_, options.timeout);
    return inner_->send(std::move(request), options);
  }
  Awaitable<Result<HttpStream>> open(HttpRequest request, CallOptions options) override {
    targets.push_back(request.target);
    if (life_->down) co_return co_await refused<HttpStream>();
    auto stream = co_await inner_->open(std::move(request), options);
    if (stream) stream->body = std::make_unique<Breaking>(life_, std::move(stream->body));
    co_return stream;
  }
  std::vector<std::string> targets;  // of streams

 private:
  struct Life {
    Life(const boost::asio::any_io_executor& executor, Wire& the_wire) : changed(executor), wire(the_wire) {}
    void kill() {
      down = true;
      ++ended;
      changed.notify_all();
      if (at_death) std::exchange(at_death, nullptr)();
    }
    Notifier changed;
    Wire& wire;
    bool down = false;
    bool paused = false;
    int ended = 0;
    int lines_left = 0;  // 0: no end
    std::function<void()> at_death;
  };
  struct Breaking final : ByteStream {
    Breaking(std::shared_ptr<Life> the_life, std::unique_ptr<ByteStream> b)
        : life(std::move(the_life)), born(life->ended), number(++life->wire.streams), body(std::move(b)) {}
    Awaitable<Result<std::string>> read() override {
      using namespace boost::asio::experimental::awaitable_operators;
      if (life->ended != born) co_return fail(Code::unavailable, "connection reset");
      auto outcome = co_await (body->read() || until_ended(life, born));
      if (outcome.index() == 1 || life->ended != born) co_return fail(Code::unavailable, "connection reset");
      auto piece = std::move(std::get<0>(outcome));
      while (life->paused) co_await life->changed.wait();
      if (piece) let_through(*piece);
      co_return piece;
    }
    // Writes down what is whole, and cuts off what comes after the last line that gets through.
    void let_through(std::string& piece) {
      for (std::size_t i = 0; i < piece.size(); ++i) {
        if (piece[i] != '\n') {
          line += piece[i];
          continue;
        }
        if (note(std::exchange(line, {})) && life->lines_left > 0 && --life->lines_left == 0) {
          piece.resize(i + 1);
          life->kill();
          return;
        }
      }
    }
    // Whether it is about an object.
    bool note(const std::string& text) {
      if (text.empty()) return false;
      const auto event = json::parse(text);
      if (!event || event->string_at({"type"}) == "BOOKMARK") return false;
      Line said{.type = std::string(event->string_at({"type"})),
                .name = std::string(event->string_at({"object", "metadata", "name"})),
                .stream = number};
      const auto revision = event->string_at({"revision"});
      std::from_chars(revision.data(), revision.data() + revision.size(), said.revision);
      life->wire.lines.push_back(std::move(said));
      return true;
    }
    static Awaitable<void> until_ended(std::shared_ptr<Life> life, int born) {
      while (life->ended == born) co_await life->changed.wait();
    }
    std::shared_ptr<Life> life;
    int born;
    int number;
    std::unique_ptr<ByteStream> body;
    std::string line;  // what came of it
  };
  static Awaitable<Result<HttpResponse>> silence(Clock& clock, Duration limit) {
    co_await sleep_for(clock, limit);
    co_return fail(Code::timeout, "paused");
  }
  template <class T>
  static Awaitable<Result<T>> refused() {
    co_return fail(Code::unavailable, "connection refused");
  }
  std::shared_ptr<Transport> inner_;
  Clock& clock_;
  std::shared_ptr<Life> life_;
};

struct TwoServers {
  TwoServers() {
    for (int i = 0; i < 2; ++i) {
      stores[i] = store::make_memory_store(world.env.executor, world.clock, disk);
      faults[i] = std::make_unique<store::FaultyStore>(*stores[i], world.env.executor, world.clock, Random(1));
      servers[i] = std::make_unique<server::ApiServer>(world.env, *faults[i], krake_registry(),
                                                       testing::TestServer::open_to_all());
      if (!world.run(servers[i]->start())) throw std::runtime_error("no start");
      ways[i] = std::make_shared<Way>(servers[i]->handler(), world, wire);
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
  // Writes, one after another; each is what a watch must tell.
  void happened(std::string_view type, std::string_view name) {
    written.push_back({.type = std::string(type), .name = std::string(name), .revision = disk->revision()});
  }
  void create(std::string_view name) {
    ASSERT_EQ(call("POST", "/core/roles", fmt::format(R"({{"metadata":{{"name":"{}"}},"rules":[]}})", name)), 200);
    happened("ADDED", name);
  }
  void change(std::string_view name, std::string_view patch) {
    ASSERT_EQ(call("PATCH", fmt::format("/core/roles/{}", name), std::string(patch)), 200);
    happened(patch.contains("finalizers") ? "DELETED" : "MODIFIED", name);
  }
  void mark_deleted(std::string_view name) {
    ASSERT_EQ(call("DELETE", fmt::format("/core/roles/{}", name)), 200);
    happened("MODIFIED", name);
  }
  // Three objects at one revision, as another program may put them.
  void commit_of_three(std::string_view added, std::string_view changed, std::string_view gone) {
    const auto key = [](std::string_view name) { return fmt::format("/core/roles/{}", name); };
    const auto value = [](std::string_view name) {
      return std::make_shared<const std::string>(fmt::format(
          R"({{"metadata":{{"name":"{}","uid":"u-{}","created":"2026-01-01T00:00:00","modified":"2026-01-01T00:00:00"}},"rules":[]}})",
          name, name));
    };
    ASSERT_TRUE(
        disk->commit({.puts = {{key(added), value(added)}, {key(changed), value(changed)}}, .removes = {{key(gone)}}}));
    happened("ADDED", added);
    happened("MODIFIED", changed);
    happened("DELETED", gone);
  }
  // Nothing is missing or comes late; what comes again is of the last revision that came before the stream.
  void expect_whole_wire() const {
    std::vector<std::string> wanted;
    for (const auto& line : written) wanted.push_back(line.text());
    std::vector<std::string> seen;
    std::set<std::pair<int, std::string>> of_stream;
    std::int64_t newest = 0;
    std::int64_t before = 0;  // the newest when the stream began
    int stream = 0;
    for (const auto& line : wire.lines) {
      if (std::exchange(stream, line.stream) != line.stream) before = newest;
      EXPECT_TRUE(of_stream.emplace(line.stream, line.text()).second) << line.text() << " twice on one stream";
      if (std::ranges::find(seen, line.text()) == seen.end()) {
        seen.push_back(line.text());
      } else {
        EXPECT_EQ(line.revision, before) << line.text() << " again";
      }
      newest = std::max(newest, line.revision);
    }
    EXPECT_EQ(seen, wanted);
  }
  testing::World world;
  std::shared_ptr<store::MemoryDisk> disk = std::make_shared<store::MemoryDisk>("s1", store::MemoryOptions{});
  std::unique_ptr<store::Store> stores[2];
  std::unique_ptr<store::FaultyStore> faults[2];
  std::unique_ptr<server::ApiServer> servers[2];
  Wire wire;
  std::shared_ptr<Way> ways[2];
  std::shared_ptr<testing::BreakingTransport> lines;  // of the first
  std::shared_ptr<Transport> transport;
  std::vector<Line> written;
};

// Who uses an informer: what it was told, and what was there to read then.
struct Reader {
  explicit Reader(TwoServers& two) : t(two), client(two.transport), informer(two.world.env, client) {
    informer.on_change([this](const ObjectKey& key) {
      const auto now = informer.find(key);
      told.push_back(now ? fmt::format("{} at {}", key.name, now->revision) : key.name + " gone");
    });
    informer.start();
    t.world.run(informer.wait_synced());
    lists = informer.relists();
  }
  ~Reader() { t.world.run(informer.stop()); }
  // Until it was told as often as something happened.
  void wait_for_all() {
    t.world.run_until([this] { return told.size() >= t.written.size(); }, std::chrono::minutes(1));
  }
  void expect_all_told_once() const {
    std::vector<std::string> wanted;
    for (const auto& line : t.written)
      wanted.push_back(line.type == "DELETED" ? line.name + " gone"
                                              : fmt::format("{} at {}", line.name, line.revision));
    EXPECT_EQ(told, wanted);
    EXPECT_EQ(informer.relists(), lists) << "resumed, not listed again";
  }
  TwoServers& t;
  Client client;
  Informer<Role> informer;
  std::vector<std::string> told;
  int lists = 0;
};

TEST(FailoverOfClients, AnInformerGoesOnAtTheOtherServerWhereItWas) {
  TwoServers t;
  Reader reader(t);
  for (int i = 0; i < 6; ++i) {
    t.create(fmt::format("before{}", i));
    t.ways[i % 2]->kill();
    const Mono begin = t.world.clock.now();
    t.create(fmt::format("after{}", i));  // nothing had been sent to the dead one
    reader.wait_for_all();
    EXPECT_LT(t.world.clock.now() - begin, std::chrono::milliseconds(500));
    t.ways[i % 2]->revive();
    t.world.run(sleep_for(t.world.clock, std::chrono::seconds(3)));
  }
  t.expect_whole_wire();
  reader.expect_all_told_once();
  EXPECT_GE(t.wire.streams, 7);
  EXPECT_NE(t.ways[1]->targets.back().find("&store=s1"), std::string::npos);
}

// The first server dies behind any line, also between two of one commit; the second may die soon after.
TEST(FailoverOfClients, WhicheverLineIsTheLastOfAServerNothingIsLostOrToldTwice) {
  constexpr int kLines = 10;
  for (int first = 1; first <= kLines; ++first) {
    for (const int second : {0, 1, 2}) {
      SCOPED_TRACE(fmt::format("the first server dies behind line {}, the second behind {}", first, second));
      TwoServers t;
      Reader reader(t);
      t.ways[0]->kill_after_lines(first);
      if (second > 0) t.ways[1]->kill_after_lines(second, [&] { t.ways[0]->revive(); });
      for (const auto* name : {"a", "b", "c"}) t.create(name);
      t.change("a", R"({"metadata":{"labels":{"x":"y"}}})");
      t.commit_of_three("d", "b", "c");
      t.mark_deleted("a");
      t.change("a", R"({"metadata":{"finalizers":null}})");
      t.create("a");
      ASSERT_EQ(t.written.size(), kLines);
      reader.wait_for_all();
      t.world.run(sleep_for(t.world.clock, std::chrono::seconds(3)));  // for what would come too often
      t.expect_whole_wire();
      reader.expect_all_told_once();
      EXPECT_GE(t.wire.streams, 2) << "nothing was broken";
    }
  }
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
    t.create("gone");
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

TEST(FailoverOfClients, AnInformerLeavesAServerThatIsPaused) {
  TwoServers t;
  Reader reader(t);
  t.ways[0]->pause(true);
  const Mono begin = t.world.clock.now();
  const auto made =
      t.world.run(t.ways[1]->send({"POST", "/core/roles", {}, R"({"metadata":{"name":"a"},"rules":[]})"}, {}));
  ASSERT_TRUE(made && made->status == 200);
  t.happened("ADDED", "a");
  reader.wait_for_all();
  EXPECT_LT(t.world.clock.now() - begin, std::chrono::seconds(5));
  t.expect_whole_wire();
  reader.expect_all_told_once();
  EXPECT_EQ(t.ways[1]->targets.size(), 1);
  t.ways[0]->pause(false);
}

TEST(FailoverOfClients, AllServersGoneIsToldAndRecoveredFrom) {
  TwoServers t;
  for (auto& way : t.ways) way->kill();
  const std::string body = R"({"metadata":{"name":"a"},"rules":[]})";
  EXPECT_EQ(t.call("POST", "/core/roles", body), 0);
  t.ways[1]->revive();
  EXPECT_EQ(t.call("POST", "/core/roles", body), 200);
}

}  // namespace
}  // namespace krake
