#include "sim/recorder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/registry.h"
#include "base/check.h"
#include "base/task_group.h"
#include "net/inproc/inproc.h"
#include "sim/loop.h"
#include "store/memory/memory_store.h"

namespace krake::sim {
namespace {

using std::chrono::seconds;
using store::Revision;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr auto kLease = "/core/leases/gc";

// A server that takes a second to answer, and does what it is told in the middle of it.
struct Recorded : ::testing::Test {
  Recorded() { conductor.add(loop); }
  ~Recorded() override { loop.drop(); }

  void advance() {
    while (cursor < disk->revision()) {
      for (const auto& event : disk->history().read("/", cursor, store::kMaxEventsPerRead)) {
        history.committed(event);
        cursor = event.revision;
      }
    }
    removals.seen(cursor);
  }
  Revision commit(store::Txn txn) {
    auto result = disk->commit(std::move(txn));
    CHECK(result.has_value());
    return std::get<store::Committed>(*result).revision;
  }
  Revision put(const std::string& key) {
    store::Txn txn;
    txn.puts.push_back({key, std::make_shared<const std::string>("{}")});
    return commit(std::move(txn));
  }
  Revision take_away(const std::string& key) {
    store::Txn txn;
    txn.removes.push_back({key});
    return commit(std::move(txn));
  }

  static Awaitable<ServerReply> answer(Recorded& self) {
    co_await sleep_for(self.clock, seconds(1));
    if (self.meanwhile) self.meanwhile();
    co_await sleep_for(self.clock, seconds(1));
    ServerReply reply;
    reply.status = self.status;
    reply.headers.add("Content-Type", self.type);
    reply.body.push_back(share_bytes(self.body));
    co_return reply;
  }
  static Awaitable<void> ask(std::shared_ptr<Transport> transport, std::string target) {
    (void)co_await transport->send({.method = "DELETE", .target = std::move(target)}, {});
  }
  // The user deletes the application; `on` what the server runs, for so long.
  void remove(ProcessLoop& on, std::string_view query, Duration time) {
    const auto handler = recorder.record([this](ServerRequest&) { return answer(*this); }, "api0");
    TaskGroup tasks(on.get_executor());
    tasks.spawn("ask", ask(make_inproc_transport(handler, {}, clock), item + std::string(query)));
    conductor.pass(time);
    if (&on != &loop) on.drop();
  }

  ProcessLoop loop;
  SimClock clock{loop.get_executor(), Wall()};
  Conductor conductor{clock};
  std::shared_ptr<store::MemoryDisk> disk = std::make_shared<store::MemoryDisk>("test", store::MemoryOptions{});
  Revision cursor = 0;
  History history;
  Removals removals;
  Reached reached;
  std::vector<std::string> complaints;
  Recorder recorder{history, removals, reached, [this] { advance(); },
                    [this](const Complaint& complaint) { complaints.push_back(*complaint); }};
  const std::string key = krake_registry().of<Application>().storage_key("demo", "web");
  const std::string item = krake_registry().of<Application>().item_path("demo", "web");
  std::function<void()> meanwhile;
  int status = 200;
  std::string type = "application/json";
  std::string body = "{}";
};

TEST_F(Recorded, WhatIsForceDeleted) {
  put(key);
  Revision gone = 0;
  meanwhile = [&] {
    gone = take_away(key);
    advance();
    EXPECT_EQ(removals.of(key, gone), Known::maybe) << "its answer is still to come";
  };
  remove(loop, "?force=True", seconds(3));
  EXPECT_EQ(removals.of(key, gone), Known::yes);
  EXPECT_TRUE(reached.counts().contains("an application was force-deleted"));
  EXPECT_THAT(complaints, IsEmpty());
}

TEST_F(Recorded, WhatGoesWithoutForceIsNone) {
  put(key);
  Revision gone = 0;
  meanwhile = [&] { gone = take_away(key); };
  for (const auto* query : {"", "?force=False"}) {
    remove(loop, query, seconds(3));
    EXPECT_EQ(removals.of(key, gone), Known::no);
    put(key);
  }
  EXPECT_THAT(reached.counts(), IsEmpty());
}

TEST_F(Recorded, AForceThatIsRefusedIsNone) {
  put(key);
  status = 403;
  remove(loop, "?force=True", seconds(3));
  EXPECT_EQ(removals.of(key, take_away(key)), Known::no);
  EXPECT_THAT(reached.counts(), IsEmpty());
}

TEST_F(Recorded, AServerThatDoesNotKnowMayHaveDoneIt) {
  put(key);
  status = 504;
  Revision gone = 0;
  meanwhile = [&] { gone = take_away(key); };
  remove(loop, "?force=True", seconds(3));
  EXPECT_EQ(removals.of(key, gone), Known::maybe);
  put(key);
  EXPECT_EQ(removals.of(key, take_away(key)), Known::no);
}

TEST_F(Recorded, AServerThatCrashesMayHaveDoneItBefore) {
  put(key);
  ProcessLoop server;
  conductor.add(server);
  Revision gone = 0;
  meanwhile = [&] { gone = take_away(key); };
  remove(server, "?force=True", std::chrono::milliseconds(1500));
  conductor.remove(server);
  advance();
  EXPECT_EQ(removals.of(key, gone), Known::maybe);
  put(key);
  EXPECT_EQ(removals.of(key, take_away(key)), Known::no);
}

TEST_F(Recorded, AnAnswerIsJson) {
  for (const auto& [what, as] : {std::pair("<html>", "text/html"), {"{}", "text/html"}, {"{\"a", "application/json"}}) {
    body = what;
    type = as;
    complaints.clear();
    remove(loop, "", seconds(3));
    EXPECT_THAT(complaints, ElementsAre(HasSubstr("is not JSON"))) << what;
  }
}

TEST_F(Recorded, ALeaseThatIsGivenBack) {
  const auto inner = store::make_memory_store(loop.get_executor(), clock, disk);
  const auto store = recorder.record(*inner, "api0");
  const auto release = [&](store::Guard guard) {
    store::Txn txn;
    txn.guards.push_back(std::move(guard));
    txn.removes.push_back({kLease});
    return conductor.wait(loop.get_executor(), store->commit(std::move(txn)));
  };
  const auto held = put(kLease);
  ASSERT_TRUE(release(store::Guard::modified_at(kLease, held + 1)));
  EXPECT_THAT(reached.counts(), IsEmpty()) << "a conflict";
  ASSERT_TRUE(release(store::Guard::modified_at(kLease, held)));
  EXPECT_EQ(removals.of(kLease, disk->revision()), Known::yes);
  EXPECT_TRUE(reached.counts().contains("a lease was given back"));
  put(kLease);
  EXPECT_EQ(removals.of(kLease, take_away(kLease)), Known::no);
}

}  // namespace
}  // namespace krake::sim
