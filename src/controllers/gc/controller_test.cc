#include "controllers/gc/controller.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/kubernetes/application.h"
#include "api/kubernetes/cluster.h"
#include "controllers/test_bench.h"

namespace krake::gc {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::HasSubstr;

class NoDialer final : public Dialer {
 public:
  Result<std::shared_ptr<Transport>> dial(const Endpoint&) override {
    return fail(Code::unavailable, "nothing to dial");
  }
};

// Refuses some requests.
class RefusingTransport final : public Transport {
 public:
  using Refuses = std::function<bool(const HttpRequest&)>;
  RefusingTransport(std::shared_ptr<Transport> inner, Refuses refuses)
      : inner_(std::move(inner)), refuses_(std::move(refuses)) {}
  Awaitable<Result<HttpResponse>> send(HttpRequest request, CallOptions options) override {
    if (refuses_ && refuses_(request)) co_return HttpResponse{.status = 403, .headers = {}, .body = "{}"};
    co_return co_await inner_->send(std::move(request), options);
  }
  Awaitable<Result<HttpStream>> open(HttpRequest request, CallOptions options) override {
    co_return co_await inner_->open(std::move(request), options);
  }
  void relent() { refuses_ = nullptr; }

 private:
  std::shared_ptr<Transport> inner_;
  Refuses refuses_;
};

struct Bench : testing::ControllerBench {
  NoDialer dialer;
  GcOptions options;
  std::unique_ptr<Controller> gc;
  std::unique_ptr<Client> other_client;  // instead of `client`

  explicit Bench(GcOptions given = {}) : ControllerBench("gc"), options(given) { start(); }
  ~Bench() { stop(); }
  void start() {
    gc = make_garbage_collector({api.world.env, other_client ? *other_client : client, dialer}, options,
                                krake_registry());
    gc->start();
    wait([&] { return gc->ready(); }, seconds(5));
  }
  void stop() {
    if (!gc) return;
    run(gc->stop());
    gc.reset();
  }

  static std::string ref(const std::string& kind, const std::string& name) {
    return "{'api':'kubernetes','namespace':'demo','kind':'" + kind + "','name':'" + name + "'}";
  }
  // An application or a cluster, by its name: c... is a cluster.
  static bool is_cluster(const std::string& name) { return name.starts_with('c'); }
  static std::string ref(const std::string& name) { return ref(is_cluster(name) ? "Cluster" : "Application", name); }
  void add(const std::string& name, const std::vector<std::string>& owners = {}, const std::string& finalizers = "[]") {
    std::string list;
    for (const auto& owner : owners) list += (list.empty() ? "" : ",") + ref(owner);
    const std::string metadata =
        "{'metadata':{'name':'" + name + "','owners':[" + list + "],'finalizers':" + finalizers + "}";
    if (is_cluster(name)) {
      make<Cluster>("demo", metadata + ",'spec':{'kubeconfig':" + testing::kubeconfig_for("http://nowhere") +
                                ",'constraints':{'cloud':{}}}}");
    } else {
      make<Application>("demo", metadata + ",'spec':{'manifest':" + std::string(testing::kManifest) +
                                    ",'constraints':{'cluster':{}}}}");
    }
  }
  void remove(const std::string& name) {
    if (is_cluster(name)) {
      ControllerBench::remove<Cluster>({"demo", name});
    } else {
      ControllerBench::remove<Application>({"demo", name});
    }
  }
  bool exists(const std::string& name) {
    return is_cluster(name) ? get<Cluster>({"demo", name}).has_value() : get<Application>({"demo", name}).has_value();
  }
  bool is_deleted(const std::string& name) {
    if (is_cluster(name)) return get<Cluster>({"demo", name})->metadata.deleted.has_value();
    return get<Application>({"demo", name})->metadata.deleted.has_value();
  }
  bool gone(const std::vector<std::string>& names, Duration limit = seconds(5)) {
    return wait([&] { return std::ranges::none_of(names, [&](const auto& name) { return exists(name); }); }, limit);
  }
};

TEST(GarbageCollector, LetsAnObjectWithoutDependentsGo) {
  Bench bench;
  bench.add("a");
  bench.add("b");
  bench.remove("a");
  EXPECT_TRUE(bench.gone({"a"}));
  EXPECT_TRUE(bench.exists("b"));
  bench.expect_silence();
}

TEST(GarbageCollector, TakesThreeLevelsAlongButNeitherOwnersNorSiblings) {
  Bench bench;
  bench.add("c0");
  bench.add("c1", {"c0"});
  bench.add("c2", {"c1"});
  bench.add("a", {"c2"});
  bench.add("sibling", {"c0"});
  bench.remove("c1");
  EXPECT_TRUE(bench.gone({"c1", "c2", "a"}));
  EXPECT_TRUE(bench.exists("c0"));
  EXPECT_TRUE(bench.exists("sibling"));
  bench.expect_silence();
}

TEST(GarbageCollector, WaitsForTheFinalizersOfDependents) {
  Bench bench;
  bench.add("c1");
  bench.add("a", {"c1"}, "['kubernetes_resources_deletion']");
  bench.remove("c1");
  ASSERT_TRUE(bench.wait(
      [&] {
        return bench.get<Application>({"demo", "a"})->metadata.finalizers ==
               std::vector<std::string>{"kubernetes_resources_deletion"};
      },
      seconds(5)));
  bench.pass(minutes(30));
  EXPECT_TRUE(bench.exists("c1")) << "its dependent is not gone yet";
  bench.patch<Application>({"demo", "a"}, "{'metadata':{'finalizers':[]}}");
  EXPECT_TRUE(bench.gone({"a", "c1"}));
  bench.expect_silence();
}

TEST(GarbageCollector, CollectsADiamond) {
  Bench bench;
  bench.add("c0");
  bench.add("c1", {"c0"});
  bench.add("c2", {"c0"});
  bench.add("a", {"c1", "c2"});
  bench.remove("c0");
  EXPECT_TRUE(bench.gone({"c0", "c1", "c2", "a"}));
  EXPECT_THAT(bench.gc->debug(), HasSubstr("\"cycles\":[]"));
  bench.expect_silence();
}

TEST(GarbageCollector, ReportsAndCollectsACircleAsAWhole) {
  Bench bench;
  bench.add("c1", {"c3"});
  bench.add("c2", {"c1"});
  bench.add("c3", {"c2"});
  bench.add("a", {"c2"});
  bench.pass(seconds(1));
  EXPECT_THAT(bench.gc->debug(),
              HasSubstr("Cluster demo/c1 owns Cluster demo/c2 owns Cluster demo/c3 owns Cluster demo/c1"));
  bench.remove("c2");
  EXPECT_TRUE(bench.gone({"c1", "c2", "c3", "a"}));
  bench.expect_silence();
}

TEST(GarbageCollector, LeavesACircleAloneUntilAllOfItIsDeleted) {
  Bench bench;
  bench.add("c1", {"c2"}, "['mine']");
  bench.add("c2", {"c1"});
  bench.remove("c2");
  ASSERT_TRUE(bench.wait([&] { return bench.is_deleted("c1"); }, seconds(5)));
  // c1 ends with our finalizer too: both wait for the collector alone, c1 then for its own finalizer.
  EXPECT_TRUE(bench.gone({"c2"}));
  EXPECT_EQ(bench.get<Cluster>({"demo", "c1"})->metadata.finalizers, std::vector<std::string>{"mine"});
}

// Deleting a cluster deletes what runs on it; what was left there holds the cluster, as nobody could reach it
// afterwards.
TEST(GarbageCollector, AnApplicationStaysThatHasLeftTheClusterWhichWaitsForWhatItLeft) {
  Bench bench;
  for (const auto* name : {"c1", "c2"}) bench.add(name);
  bench.add("moved", {"c1", "c2"});
  bench.add("let-go", {"c2"});
  bench.add("there", {"c1"});
  const auto status = [&](const std::string& name, const std::string& on, const std::string& cleanup) {
    const auto place = Bench::ref("Cluster", on);
    bench.patch_status<Application>(
        {"demo", name}, "{'running_on':" + place + ",'scheduled_to':" + place + ",'cleanup':" + cleanup + "}");
  };
  const auto entry = "[{'cluster':" + Bench::ref("Cluster", "c1") + ",'objects':[]}]";
  status("moved", "c2", "null");
  status("let-go", "c2", entry);
  status("there", "c1", entry);
  bench.remove("c1");
  EXPECT_TRUE(bench.gone({"there"}));
  bench.pass(minutes(30));
  for (const auto* name : {"moved", "let-go"}) ASSERT_TRUE(bench.exists(name) && !bench.is_deleted(name)) << name;
  EXPECT_TRUE(bench.exists("c1"));
  bench.patch<Application>({"demo", "moved"}, "{'metadata':{'owners':[" + Bench::ref("c2") + "]}}");
  bench.pass(minutes(30));
  EXPECT_TRUE(bench.exists("c1"));
  status("let-go", "c2", "null");
  EXPECT_TRUE(bench.gone({"c1"}));
  for (const auto* name : {"moved", "let-go"}) EXPECT_FALSE(bench.is_deleted(name)) << name;
  bench.remove("c2");
  EXPECT_TRUE(bench.gone({"moved", "let-go", "c2"}));
  bench.expect_silence();
}

TEST(GarbageCollector, AnApplicationThatIsBeingDeletedHoldsWhatItHasLeft) {
  Bench bench;
  bench.add("c1");
  bench.add("a", {}, "['kubernetes_resources_deletion']");
  bench.patch_status<Application>({"demo", "a"},
                                  "{'cleanup':[{'cluster':" + Bench::ref("Cluster", "c1") + ",'objects':[]}]}");
  bench.remove("a");
  bench.remove("c1");
  bench.pass(minutes(30));
  EXPECT_TRUE(bench.exists("c1"));
  bench.patch<Application>({"demo", "a"}, "{'metadata':{'finalizers':[]}}");
  EXPECT_TRUE(bench.gone({"a", "c1"}));
  bench.expect_silence();
}

TEST(GarbageCollector, LetsAnObjectGoThatOwnsItself) {
  Bench bench;
  bench.add("c1", {"c1"});
  bench.remove("c1");
  EXPECT_TRUE(bench.gone({"c1"}));
}

TEST(GarbageCollector, LeavesOrphansAlone) {
  Bench bench;
  bench.add("a", {"c9"});
  bench.pass(minutes(30));
  EXPECT_FALSE(bench.is_deleted("a"));
  // And they go without their owner (W-28).
  bench.add("c1");
  bench.add("b", {"c9", "c1"});
  bench.remove("c1");
  EXPECT_TRUE(bench.gone({"b", "c1"}));
  EXPECT_TRUE(bench.exists("a"));
}

TEST(GarbageCollector, DependentThatLosesItsOwnerReferenceStays) {
  Bench bench;
  bench.add("c1");
  bench.add("a", {"c1"});
  bench.patch<Application>({"demo", "a"}, "{'metadata':{'owners':[]}}");
  bench.remove("c1");
  EXPECT_TRUE(bench.gone({"c1"}));
  EXPECT_FALSE(bench.is_deleted("a"));
}

TEST(GarbageCollector, GoesOnAfterARestartInTheMiddle) {
  Bench bench;
  bench.add("c0");
  bench.add("c1", {"c0"});
  bench.add("a", {"c1"});
  int writes = 0;
  // Stop after each write in turn: whatever was done so far is enough for the next one to go on.
  bench.line.before_write = [&](const HttpRequest&) { ++writes; };
  bench.remove("c0");
  int restarts = 0;
  while (bench.exists("c0") && restarts < 20) {
    const int before = writes;
    bench.wait([&] { return writes > before || !bench.exists("c0"); }, seconds(5));
    bench.stop();
    bench.start();
    ++restarts;
  }
  EXPECT_TRUE(bench.gone({"c0", "c1", "a"}));
  bench.expect_silence();
}

TEST(GarbageCollector, CollectsNothingBeforeEverythingIsKnown) {
  Bench bench;
  bench.stop();
  bench.add("c1");
  bench.add("a", {"c1"}, "['mine']");
  bench.remove("c1");
  // The applications take their time to be listed: c1 looks as if nothing depended on it.
  bench.line.slow = "/applications";
  bench.line.delay = seconds(20);
  bench.start();
  bench.pass(minutes(1));
  EXPECT_TRUE(bench.gc->ready());
  EXPECT_TRUE(bench.exists("c1"));
  EXPECT_TRUE(bench.is_deleted("a"));
}

TEST(GarbageCollector, FindsWhatItsWatchesHaveLost) {
  Bench bench({.resync = seconds(30)});
  bench.add("c1");
  bench.add("a", {"c1"});
  bench.pass(seconds(1));
  bench.line.lose_events = 1;
  bench.add("b", {"c1"});
  bench.remove("c1");
  bench.pass(minutes(1));
  bench.line.lose_events = 0.5;
  EXPECT_TRUE(bench.gone({"a", "b", "c1"}, minutes(20)));
}

// Watches of one kind that tell nothing, from some moment on or at all.
class LaggingTransport final : public Transport {
 public:
  explicit LaggingTransport(std::shared_ptr<Transport> inner, std::string kind = "/kubernetes/applications")
      : inner_(std::move(inner)), kind_(std::move(kind)) {}
  Awaitable<Result<HttpResponse>> send(HttpRequest request, CallOptions options) override {
    if (deaf && is_lagging(request) && request.method == "GET")
      co_return HttpResponse{.status = 503, .headers = {}, .body = "{}"};
    co_return co_await inner_->send(std::move(request), options);
  }
  Awaitable<Result<HttpStream>> open(HttpRequest request, CallOptions options) override {
    const bool lagging = is_lagging(request);
    auto stream = co_await inner_->open(std::move(request), options);
    if (stream && lagging) stream->body = std::make_unique<Stream>(std::move(stream->body), *this);
    co_return stream;
  }
  void lag() { ++silenced_; }  // those that are open; a new one tells everything
  bool deaf = false;           // those that will be opened too, and no lists

 private:
  struct Stream final : ByteStream {
    Stream(std::unique_ptr<ByteStream> b, const LaggingTransport& t) : body(std::move(b)), line(t), born(t.silenced_) {}
    Awaitable<Result<std::string>> read() override {
      for (;;) {
        auto piece = co_await body->read();
        if (!piece || piece->empty() || (!line.deaf && born == line.silenced_)) co_return piece;
      }
    }
    std::unique_ptr<ByteStream> body;
    const LaggingTransport& line;
    int born;
  };
  bool is_lagging(const HttpRequest& request) const { return request.target.starts_with(kind_); }

  std::shared_ptr<Transport> inner_;
  std::string kind_;
  int silenced_ = 0;
};

TEST(GarbageCollector, AWatchThatLagsHidesNoDependent) {
  for (const bool deaf : {false, true}) {
    SCOPED_TRACE(deaf);
    Bench bench;
    bench.stop();
    auto line = std::make_shared<LaggingTransport>(bench.transport);
    bench.other_client = std::make_unique<Client>(line);
    bench.start();
    bench.add("c1");
    bench.pass(seconds(1));
    line->lag();
    line->deaf = deaf;
    bench.add("a", {"c1"}, "['mine']");
    bench.remove("c1");
    if (deaf) {
      EXPECT_TRUE(bench.wait([&] { return bench.gc->debug().find("of the applications") != std::string::npos; }))
          << "it says why c1 stays: " << bench.gc->debug();
      bench.pass(minutes(2));
      ASSERT_TRUE(bench.exists("c1"));
      line->deaf = false;
    }
    EXPECT_TRUE(bench.wait([&] { return bench.is_deleted("a"); }, deaf ? minutes(5) : seconds(1)));
    bench.pass(seconds(30));
    EXPECT_TRUE(bench.exists("c1"));
    bench.patch<Application>({"demo", "a"}, "{'metadata':{'finalizers':[]}}");
    EXPECT_TRUE(bench.gone({"a", "c1"}));
  }
}

TEST(GarbageCollector, WhoHasTheNameOfADeletedOwnerKeepsItsDependents) {
  Bench bench;
  bench.stop();
  auto line = std::make_shared<LaggingTransport>(bench.transport, "/kubernetes/clusters");
  bench.other_client = std::make_unique<Client>(line);
  bench.start();
  bench.add("c1", {}, "['mine']");
  bench.add("old", {"c1"}, "['mine']");
  bench.remove("c1");
  bench.patch<Cluster>({"demo", "c1"}, "{'metadata':{'finalizers':['cascade_deletion']}}");
  ASSERT_TRUE(bench.wait([&] { return bench.is_deleted("old"); }));
  line->lag();
  line->deaf = true;
  ASSERT_TRUE(bench.run(bench.user.call_json("DELETE", "/kubernetes/namespaces/demo/clusters/c1?force=True")));
  bench.add("c1");
  bench.add("young", {"c1"});
  bench.pass(minutes(2));
  EXPECT_FALSE(bench.is_deleted("young")) << "the collector still has the cluster that was deleted";
  line->deaf = false;
  bench.pass(minutes(2));
  EXPECT_FALSE(bench.is_deleted("young"));
  bench.remove("c1");
  EXPECT_TRUE(bench.gone({"young"}));
}

TEST(GarbageCollector, GoesOnWhenTheServerIsBack) {
  Bench bench;
  bench.add("c1");
  bench.add("a", {"c1"});
  bench.pass(seconds(1));
  bench.line.cut = true;
  bench.remove("c1");
  bench.pass(minutes(2));
  EXPECT_TRUE(bench.exists("c1"));
  bench.line.cut = false;
  EXPECT_TRUE(bench.gone({"a", "c1"}, minutes(2)));
}

TEST(GarbageCollector, DoesNotDeleteWhatHasJustGotAnotherOwner) {
  Bench bench;
  bench.add("c1");
  bench.add("a", {"c1"});
  bench.pass(seconds(1));
  // At the moment the collector wants to delete it, somebody moves it elsewhere.
  bool moved = false;
  bench.line.before_write = [&](const HttpRequest& request) {
    if (moved || request.method != "DELETE") return;
    moved = true;
    auto send = [](std::shared_ptr<Transport> transport) -> Awaitable<void> {
      (void)co_await transport->send({"PATCH",
                                      "/kubernetes/namespaces/demo/applications/a",
                                      {{"Content-Type", "application/json"}},
                                      R"({"metadata":{"owners":[]}})"});
    };
    TaskGroup group(bench.api.world.env.executor);
    group.spawn("rival", send(bench.api.transport));
  };
  bench.remove("c1");
  EXPECT_TRUE(bench.gone({"c1"}));
  EXPECT_TRUE(moved);
  EXPECT_TRUE(bench.exists("a"));
}

TEST(GarbageCollector, CollectsManyDependents) {
  Bench bench({.deletes_per_pass = 7});
  bench.add("c1");
  for (int i = 0; i < 60; ++i) bench.add("a" + std::to_string(i), {"c1"});
  bench.remove("c1");
  EXPECT_TRUE(bench.gone({"c1", "a0", "a59"}, seconds(20)));
  bench.expect_silence();
}

TEST(GarbageCollector, OneThatCannotBeDeletedStopsNoOther) {
  Bench bench({.deletes_per_pass = 3});
  bench.stop();
  auto line = std::make_shared<RefusingTransport>(bench.transport, [](const HttpRequest& request) {
    return request.method == "DELETE" && request.target.ends_with("/applications/a0");
  });
  bench.other_client = std::make_unique<Client>(line);
  bench.start();
  bench.add("c1");
  std::vector<std::string> others;
  for (int i = 0; i < 20; ++i) {
    bench.add("a" + std::to_string(i), {"c1"});
    if (i > 0) others.push_back("a" + std::to_string(i));
  }
  bench.remove("c1");
  EXPECT_TRUE(bench.gone(others));
  EXPECT_TRUE(bench.exists("a0"));
  EXPECT_TRUE(bench.exists("c1"));
  EXPECT_TRUE(bench.wait([&] { return bench.gc->debug().find("\"failures\"") != std::string::npos; }, seconds(5)))
      << "it is seen, and tried again";
  line->relent();
  EXPECT_TRUE(bench.gone({"a0", "c1"}, minutes(10)));
  bench.expect_silence();
}

TEST(GarbageCollector, AKindThatCannotBeListedHoldsBackTheRemovalOnly) {
  Bench bench;
  bench.stop();
  auto line = std::make_shared<RefusingTransport>(bench.transport, [](const HttpRequest& request) {
    return request.target.starts_with("/core/globalmetrics?") || request.target == "/core/globalmetrics";
  });
  bench.other_client = std::make_unique<Client>(line);
  bench.start();
  bench.add("c1");
  bench.add("a", {"c1"}, "['mine']");
  bench.remove("c1");
  ASSERT_TRUE(bench.wait([&] { return bench.is_deleted("a"); }, seconds(5)));
  bench.pass(minutes(5));
  EXPECT_FALSE(bench.gc->ready());
  EXPECT_THAT(bench.gc->debug(), HasSubstr(R"("not_listed":["core GlobalMetric"])"));
  EXPECT_EQ(bench.get<Application>({"demo", "a"})->metadata.finalizers.size(), 2u);
  line->relent();
  EXPECT_TRUE(
      bench.wait([&] { return bench.get<Application>({"demo", "a"})->metadata.finalizers.size() == 1; }, minutes(2)));
  bench.patch<Application>({"demo", "a"}, "{'metadata':{'finalizers':[]}}");
  EXPECT_TRUE(bench.gone({"a", "c1"}));
}

// Makes the metadata of the applications in lists unreadable.
class GarblingTransport final : public Transport {
 public:
  explicit GarblingTransport(std::shared_ptr<Transport> inner) : inner_(std::move(inner)) {}
  Awaitable<Result<HttpResponse>> send(HttpRequest request, CallOptions options) override {
    const bool garbles = request.method == "GET" && request.target.starts_with("/kubernetes/applications");
    auto response = co_await inner_->send(std::move(request), options);
    const std::string_view labels = R"("labels":{})";
    if (!response || !garbles) co_return std::move(response);
    for (auto at = response->body.find(labels); at != std::string::npos; at = response->body.find(labels, at))
      response->body.replace(at, labels.size(), R"("labels":7)"), ++garbled;
    co_return std::move(response);
  }
  Awaitable<Result<HttpStream>> open(HttpRequest request, CallOptions options) override {
    co_return co_await inner_->open(std::move(request), options);
  }
  int garbled = 0;

 private:
  std::shared_ptr<Transport> inner_;
};

TEST(GarbageCollector, WhatCannotBeReadIsThereNevertheless) {
  Bench bench;
  bench.stop();
  bench.add("c1");
  bench.add("a", {"c1"}, "['mine']");
  auto line = std::make_shared<GarblingTransport>(bench.transport);
  bench.other_client = std::make_unique<Client>(line);
  bench.start();
  ASSERT_GE(line->garbled, 1);
  bench.remove("c1");
  ASSERT_TRUE(bench.wait([&] { return bench.is_deleted("a"); }, seconds(5)));
  bench.pass(seconds(5));
  EXPECT_TRUE(bench.exists("c1"));
  bench.patch<Application>({"demo", "a"}, "{'metadata':{'finalizers':[]}}");
  EXPECT_TRUE(bench.gone({"a", "c1"}));
}

TEST(GarbageCollector, CountsDependentsThatComeAndGo) {
  Bench bench;
  bench.add("c1");
  bench.add("c2");
  bench.add("a", {"c1"}, "['mine']");
  bench.patch<Application>({"demo", "a"},
                           "{'metadata':{'owners':[" + Bench::ref("c1") + "," + Bench::ref("c2") + "]}}");
  bench.patch<Application>({"demo", "a"}, "{'metadata':{'owners':[" + Bench::ref("c2") + "]}}");
  bench.remove("c1");
  EXPECT_TRUE(bench.gone({"c1"})) << "it has lost its dependent";
  bench.remove("c2");
  ASSERT_TRUE(bench.wait([&] { return bench.is_deleted("a"); }, seconds(5)));
  bench.add("b", {"c2"});
  EXPECT_TRUE(bench.gone({"b"})) << "one that came later";
  EXPECT_TRUE(bench.exists("c2"));
  bench.patch<Application>({"demo", "a"}, "{'metadata':{'finalizers':[]}}");
  EXPECT_TRUE(bench.gone({"a", "c2"}));
  bench.expect_silence();
}

}  // namespace
}  // namespace krake::gc
