#include "server/audit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <tuple>

#include "server/store_double.h"
#include "server/testing.h"

namespace krake::server {
namespace {

using krake::testing::TestServer;
using ::testing::HasSubstr;
using ::testing::Not;

struct Memory final : AuditSink {
  void write(std::string line) override { lines.push_back(std::move(line)); }
  std::uint64_t dropped() const override { return lost; }
  std::vector<std::string> lines;
  std::uint64_t lost = 0;
};

struct Recorded {
  explicit Recorded(bool reads = false) : site(options(sink, reads)) {}
  static ServerOptions options(const std::shared_ptr<Memory>& sink, bool reads) {
    auto options = TestServer::under_shipped_roles();
    options.audit = {.sink = sink, .reads = reads};
    return options;
  }
  // The records since the last question.
  std::vector<json::Value> taken() {
    std::vector<json::Value> records;
    for (const auto& line : sink->lines) records.push_back(json::parse(line).value_or(json::Value()));
    sink->lines.clear();
    return records;
  }
  std::shared_ptr<Memory> sink = std::make_shared<Memory>();
  TestServer site;
};

const std::string kApps = "/kubernetes/namespaces/demo/applications";
const std::string kApp =
    R"({"metadata":{"name":"web"},"spec":{"manifest":[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"}}],"constraints":{"cluster":{}}}})";
constexpr std::string_view kRole = R"({"metadata":{"name":"r"},"rules":[]})";

TEST(W27, WritesAndRefusalsAreRecorded) {
  Recorded r;
  const auto created = r.site.call("POST", "/core/roles", std::string(kRole), {{"X-Request-Id", "mine-1"}});
  EXPECT_EQ(*created.headers.get("X-Request-Id"), "mine-1");
  auto records = r.taken();
  ASSERT_EQ(records.size(), 1U);
  const auto& made = records[0];
  EXPECT_EQ(made.string_at({"user"}), "alice");
  EXPECT_EQ(made.string_at({"verb"}), "create");
  EXPECT_EQ(made.string_at({"api"}), "core");
  EXPECT_EQ(made.string_at({"resource"}), "roles");
  EXPECT_EQ(made.string_at({"name"}), "r");
  EXPECT_EQ(made.string_at({"id"}), "mine-1");
  EXPECT_EQ(made.string_at({"outcome"}), "done");
  EXPECT_EQ(made.int_at({"status"}), 200);
  EXPECT_EQ(fmt::format("\"{}\"", made.string_at({"revision"})), *created.headers.get("ETag"));

  r.site.call("GET", "/core/roles/r");
  r.site.call("GET", "/core/roles");
  EXPECT_TRUE(r.taken().empty());  // reading is nobody's business unless asked for

  r.site.call("POST", "/core/roles", std::string(kRole));
  r.site.call("PATCH", "/core/roles/r", R"({"rules":[{}]})");
  r.site.call("DELETE", "/core/roles/none?force=true");
  const auto bob = r.site.as("bob");
  r.site.call_as(*bob, "GET", "/core/roles/r");
  r.site.call_as(*r.site.as(""), "GET", "/core/roles/r");
  records = r.taken();
  ASSERT_EQ(records.size(), 5U);
  EXPECT_EQ(records[0].string_at({"outcome"}), "rejected");
  EXPECT_EQ(records[1].int_at({"status"}), 422);
  EXPECT_EQ(json::print(*records[2].at_path({"forced"})), "true");
  EXPECT_EQ(records[3].string_at({"outcome"}), "refused");
  EXPECT_EQ(records[3].string_at({"user"}), "bob");
  EXPECT_EQ(records[3].string_at({"name"}), "r");
  EXPECT_EQ(records[4].int_at({"status"}), 401);
}

TEST(W27, RenewalsOfLeasesAreNot) {
  Recorded r;
  for (int i = 0; i < 3; ++i) r.site.call("PUT", "/core/leases/boss", R"({"holder":"me"})");
  EXPECT_EQ(r.taken().size(), 1U);  // that it was taken
  r.site.call("DELETE", "/core/leases/boss?holder=me");
  EXPECT_EQ(r.taken().size(), 1U);
  // Who stands by asks each second.
  r.site.call("PUT", "/core/leases/boss", R"({"holder":"other"})");
  EXPECT_EQ(r.taken().size(), 1U);
  EXPECT_EQ(r.site.call("PUT", "/core/leases/boss", R"({"holder":"me"})").status, 409);
  EXPECT_TRUE(r.taken().empty());
  Recorded all(true);
  all.site.call("GET", "/core/roles");
  EXPECT_EQ(all.taken().size(), 1U);
}

TEST(W27, NothingOfABodyOrAQueryIsRecorded) {
  Recorded r(true);
  const std::string planted = "pl4nted";
  r.site.call(
      "POST", "/core/namespaces/demo/metricsproviders",
      fmt::format(
          R"({{"metadata":{{"name":"i"}},"spec":{{"type":"influx","influx":{{"url":"http://h","token":"{}","org":"o","bucket":"b"}}}}}})",
          planted),
      {{"X-Request-Id", planted + " not plain"}, {"Authorization", planted}});
  r.site.call("POST", "/core/roles", "{\"" + planted + "\":1}");
  r.site.call("GET", "/core/roles?labels=" + planted);
  r.site.call("PUT", "/core/roles/r?x=" + planted, planted);
  ASSERT_EQ(r.sink->lines.size(), 4U);
  for (const auto& line : r.sink->lines) EXPECT_THAT(line, Not(HasSubstr(planted)));
}

ServerRequest a_request(std::string method = "PUT") {
  return {.method = std::move(method), .target = "/", .headers = {}, .peer = {.address = std::string(200, '1')}};
}

TEST(W27, WhatIsNoNameIsCutAfterEscaping) {
  const auto kept = [](std::string user, std::string name) {
    const Answered answered{.verb = "update", .user = std::move(user), .status = 404, .name = std::move(name)};
    const auto line = audit_line(Wall(), a_request(), answered);
    EXPECT_LE(line.size(), kMaxAuditLine);
    return std::string(json::parse(line).value_or(json::Value()).string_at({"name"}));
  };
  const auto times = [](int count, std::string_view text) {
    std::string all;
    for (int i = 0; i < count; ++i) all += text;
    return all;
  };
  const std::tuple<std::string, std::string> rows[] = {
      {times(255, "n"), times(255, "n")},  // a name
      {times(256, "n"), times(61, "n") + "..."},
      {"two words", "two words"},
      {times(64, "/"), times(64, "/")},
      {times(65, "/"), times(61, "/") + "..."},
      {times(50, "\n"), times(10, "\n") + "..."},
      {times(40, "\""), times(30, "\"") + "..."},
      {times(33, "\u00e4"), times(30, "\u00e4") + "..."},
      {times(62, "/") + "\xf0\x9f\x90\x99", times(61, "/") + "..."},
      {"\xff\xed\xa0\xbd", "\ufffd\\ud83d"},
  };
  for (const auto& [name, wanted] : rows) EXPECT_EQ(kept("alice", name), wanted) << name;
  EXPECT_EQ(kept("", times(255, "n")), times(61, "n") + "...");
}

TEST(W27, StrangersAreThoseWithoutANameOrARight) {
  const struct {
    std::string user;
    std::string_view verb;
    int status;
    bool may_be_done;
    bool strangers;
  } rows[] = {
      {"", "", 401, false, true},
      {"", "create", 503, false, true},
      {"system:anonymous", "", 200, false, true},  // everybody may see these
      {"system:anonymous", "create", 401, false, true},
      {"system:anonymous", "create", 422, false, true},
      {"system:anonymous", "create", 200, false, false},  // he had the right
      {"system:anonymous", "create", 500, true, false},
      {"system:anonymous", "create", 500, false, true},
      {"alice", "", 403, false, false},
      {"alice", "create", 403, false, false},
  };
  for (const auto& row : rows) {
    const Answered answered{.verb = row.verb, .user = row.user, .status = row.status, .may_be_done = row.may_be_done};
    EXPECT_EQ(is_a_strangers(answered), row.strangers) << row.user << ' ' << row.verb << ' ' << row.status;
  }
}

TEST(W27, StrangersHaveALineASecond) {
  Recorded r;
  const auto nobody = r.site.as("");
  const auto bob = r.site.as("bob");
  for (int i = 0; i < 50; ++i) r.site.call_as(*nobody, "GET", fmt::format("/core/roles/n{}", i));
  for (int i = 0; i < 3; ++i) r.site.call_as(*bob, "GET", "/core/roles/r");
  auto records = r.taken();
  ASSERT_EQ(records.size(), 4U);
  EXPECT_EQ(records[0].string_at({"name"}), "n0");
  EXPECT_EQ(records[0].at_path({"count"}), nullptr);
  for (std::size_t i = 1; i < 4; ++i) EXPECT_EQ(records[i].string_at({"user"}), "bob");

  r.site.world.clock.advance(kStrangersPause);
  records = r.taken();
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].string_at({"name"}), "n1");
  EXPECT_EQ(records[0].int_at({"status"}), 401);
  EXPECT_EQ(records[0].int_at({"count"}), 49);

  r.site.call_as(*nobody, "GET", "/core/roles/again");  // the line of this second was that one
  EXPECT_TRUE(r.taken().empty());
  r.site.world.clock.advance(10 * kStrangersPause);
  EXPECT_EQ(r.taken().size(), 1U);
  r.site.call_as(*nobody, "GET", "/core/roles/later");
  EXPECT_EQ(r.taken().size(), 1U);
}

TEST(W27, WhatStrangersCanWriteIsBounded) {
  krake::testing::World world;
  const auto sink = std::make_shared<Memory>();
  constexpr int seconds = 10;
  {
    Audit audit(world.clock, {.sink = sink});
    const std::string wild(10'000, '\x01');
    const Answered answered{
        .verb = "delete", .status = 401, .request_id = wild, .ns = wild, .name = wild, .forced = true};
    const auto request = a_request(wild);
    for (int i = 0; i < seconds * 100; ++i) {
      audit.record(request, answered);
      world.clock.advance(std::chrono::milliseconds(10));
    }
    audit.record(request, answered);
  }  // and tells of the last
  std::int64_t count = 0;
  for (const auto& line : sink->lines) {
    EXPECT_LE(line.size(), kMaxStrangersLine);
    const auto record = json::parse(line);
    ASSERT_TRUE(record) << line;
    count += record->int_at({"count"}).value_or(1);
  }
  EXPECT_EQ(count, seconds * 100 + 1) << "none is forgotten";
  EXPECT_LE(sink->lines.size(), std::size_t{seconds + 2});
}

TEST(W27, PreflightsAreNot) {
  for (const bool reads : {false, true}) {
    Recorded r(reads);
    EXPECT_EQ(r.site.call("OPTIONS", "/core/roles", "", {{"Origin", "https://a.example"}}).status, 403);
    EXPECT_EQ(r.site.call("OPTIONS", "/nowhere").status, 404);
    EXPECT_TRUE(r.taken().empty());
  }
}

TEST(W27, AWriteNobodyKnowsTheEndOfIsUnknown) {
  Answered answered{.verb = "update", .user = "u", .status = 500};
  EXPECT_EQ(outcome_of(answered), "failed");
  answered.may_be_done = true;
  EXPECT_EQ(outcome_of(answered), "unknown");
}

// Sends, and leaves after a second.
void send_and_leave(Recorded& r, Transport& line, std::string method, std::string target, std::string body = {}) {
  const auto answer = r.site.world.run(
      line.send({std::move(method), std::move(target), {}, std::move(body)}, {.timeout = std::chrono::seconds(1)}));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Code::timeout);
}

std::string summary(const std::vector<json::Value>& records) {
  std::string text;
  for (const auto& record : records) {
    text += fmt::format("{} {} {} {} {}\n", record.string_at({"user"}), record.string_at({"verb"}),
                        record.string_at({"name"}), record.string_at({"outcome"}), *record.int_at({"status"}));
  }
  return text;
}

TEST(W27, AWriteWhoseSenderHasLeftIsRecorded) {
  Recorded r;
  auto& world = r.site.world;
  send_and_leave(r, *r.site.transport, "POST", kApps + "?blocking=running", kApp);
  const auto created = r.taken();
  EXPECT_EQ(summary(created), "alice create web done 0\n");
  EXPECT_EQ(fmt::format("\"{}\"", created.at(0).string_at({"revision"})),
            *r.site.call("GET", kApps + "/web").headers.get("ETag"));
  EXPECT_THAT(
      world.metrics.text(),
      HasSubstr(R"(krake_api_requests_total{code="none",group="kubernetes",resource="applications",verb="create"} 1)"));

  krake::testing::StoreDouble store(world.env.executor, *r.site.store);
  ApiServer server(world.env, store, krake_registry(), Recorded::options(r.sink, false));
  ASSERT_TRUE(world.run(server.start()));
  const auto line = make_inproc_transport(server.handler(), Peer{.common_name = "alice"}, world.clock);
  const std::string change = R"({"metadata":{"labels":{"a":"b"}}})";
  // Before anything is done: the store does not even say what is there.
  store.set_silent(true);
  send_and_leave(r, *line, "PATCH", kApps + "/web", change);
  EXPECT_EQ(summary(r.taken()), "alice update web abandoned 0\n");
  store.set_silent(false);
  // While it is done. Nobody waits longer for the store than its limit, either.
  store.gather();
  send_and_leave(r, *line, "PATCH", kApps + "/web", change);
  send_and_leave(r, *line, "POST", "/core/roles", std::string(kRole));
  EXPECT_EQ(summary(r.taken()), "alice update web unknown 0\nalice create r unknown 0\n");
  EXPECT_EQ(r.site.call_as(*line, "PATCH", kApps + "/web", change).status, 500);
  EXPECT_EQ(summary(r.taken()), "alice update web unknown 500\n");
  world.run(server.stop());
}

TEST(W27, WhatNobodyAwaitedHasAnOutcome) {
  const AuditOptions writes{.sink = std::make_shared<Memory>()};
  constexpr auto patch = Operation::patch;
  constexpr auto lease = Operation::lease_acquire;
  const struct {
    Operation operation;
    int status;
    Revision revision;
    bool may_be_done;
    std::string_view outcome;
    bool audited;
  } cases[] = {
      {patch, 0, 7, false, "done", true},        {patch, 0, 0, true, "unknown", true},
      {patch, 0, 0, false, "abandoned", true},   {patch, 500, 7, false, "done", true},
      {patch, 500, 0, true, "unknown", true},    {patch, 500, 0, false, "failed", true},
      {patch, 200, 7, false, "done", true},      {patch, 200, 0, false, "done", true},
      {patch, 409, 0, false, "rejected", true},  {patch, 403, 0, false, "refused", true},
      {lease, 200, 7, false, "done", true},      {lease, 0, 7, false, "done", true},
      {lease, 0, 0, true, "unknown", true},      {lease, 500, 0, false, "failed", true},
      {lease, 422, 0, false, "rejected", true},  {lease, 200, 0, false, "done", false},
      {lease, 409, 0, false, "rejected", false}, {lease, 0, 0, false, "abandoned", false},
  };
  for (const auto& c : cases) {
    const Answered answered{.operation = c.operation,
                            .verb = "update",
                            .user = "u",
                            .status = c.status,
                            .revision = c.revision,
                            .may_be_done = c.may_be_done};
    EXPECT_EQ(outcome_of(answered), c.outcome) << static_cast<int>(c.operation) << ' ' << c.status;
    EXPECT_EQ(is_audited(writes, {}, answered), c.audited) << static_cast<int>(c.operation) << ' ' << c.status;
  }
  // What is done is never a stranger's.
  EXPECT_FALSE(is_a_strangers({.verb = "update", .user = std::string(kAnonymous), .revision = 7}));
  EXPECT_TRUE(is_a_strangers({.verb = "update", .user = std::string(kAnonymous)}));
  // Given up before anybody knew who asks, and what is only read.
  EXPECT_FALSE(is_audited(writes, {}, {}));
  EXPECT_FALSE(is_audited(writes, {}, {.verb = "get", .user = "u"}));
}

// The transport answers 500.
TEST(W27, ARequestThatABugEndsIsRecorded) {
  struct Bug final : RequestBody {
    Awaitable<Result<std::string>> read(std::size_t) override { throw std::runtime_error("a bug"); }
  } bug;
  const auto handled = [](Awaitable<ServerReply> handling) -> Awaitable<bool> {
    try {
      co_await std::move(handling);
    } catch (const std::runtime_error&) {
      co_return false;
    }
    co_return true;
  };
  Recorded r;
  ServerRequest request{.method = "POST", .target = "/core/roles", .headers = {}, .peer = {}, .body = &bug};
  request.peer.common_name = "alice";
  EXPECT_FALSE(r.site.world.run(handled(r.site.server.handle(request))));
  EXPECT_EQ(summary(r.taken()), "alice create  failed 500\n");
}

Awaitable<void> ignored(Awaitable<Result<HttpResponse>> sending) { (void)co_await std::move(sending); }

TEST(W27, ARequestMayOutliveItsServer) {
  const auto sink = std::make_shared<Memory>();
  {
    krake::testing::World world;
    const auto inner = store::make_memory_store(world.env.executor, world.clock, "s1");
    krake::testing::StoreDouble store(world.env.executor, *inner);
    auto options = Recorded::options(sink, false);
    options.store_limit = std::chrono::hours(1);
    auto server = std::make_unique<ApiServer>(world.env, store, krake_registry(), options);
    ASSERT_TRUE(world.run(server->start()));
    const auto line = make_inproc_transport(server->handler(), Peer{.common_name = "alice"}, world.clock);
    TaskGroup requests(world.env.executor);
    ASSERT_EQ(world.run(line->send({"POST", kApps, {}, kApp}))->status, 200);
    sink->lines.clear();
    requests.spawn("blocking", ignored(line->send({"DELETE", kApps + "/web?blocking=deleted", {}, ""})));
    world.settle();
    store.gather();  // this one waits for its commit
    requests.spawn("write", ignored(line->send({"POST", "/core/roles", {}, std::string(kRole)})));
    world.settle();
    store.set_silent(true);  // and this one to hear whether the cache is up to date
    requests.spawn("read", ignored(line->send({"GET", kApps, {}, ""})));
    world.settle();
    options.store_limit = std::chrono::seconds(5);
    auto starting = std::make_unique<ApiServer>(world.env, store, krake_registry(), options);
    ASSERT_TRUE(world.run(starting->start()));
    const auto other = make_inproc_transport(starting->handler(), Peer{.common_name = "alice"}, world.clock);
    requests.spawn("early", ignored(other->send({"GET", kApps, {}, ""})));
    world.settle();
    ASSERT_EQ(requests.size(), 4U);
    for (auto* each : {&server, &starting}) {
      world.run((*each)->stop());
      each->reset();
    }
  }
  EXPECT_TRUE(sink->lines.empty());
}

TEST(W27, WhatWasLostIsCounted) {
  Recorded r;
  r.sink->lost = 3;
  ServerRequest request{.method = "GET", .target = "/metrics", .headers = {}, .peer = {}};
  const auto reply = r.site.world.run(r.site.server.handle_admin(request));
  EXPECT_THAT(std::string(*reply.body.front()), HasSubstr("krake_audit_dropped_total 3"));
}

TEST(W28, AClientsErrorIsOneLineOfTheAccessLogAndNoMore) {
  namespace fs = std::filesystem;
  const fs::path path = fs::path(::testing::TempDir()) / fmt::format("w28_{}.log", ::getpid());
  {
    TestServer t;
    auto log = Log::open({.level = LogLevel::info, .json = true, .file = path.string()});
    ASSERT_TRUE(log);
    t.world.env.log = *log;
    EXPECT_EQ(t.call("POST", "/core/roles", R"({"metadata":{"name":"pl4nted!"},"rules":[]})").status, 422);
    EXPECT_EQ(t.call("GET", "/core/roles/none").status, 404);
    t.world.env.log = Log();
  }
  std::ifstream in(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  fs::remove(path);
  ASSERT_EQ(lines.size(), 2U);
  for (const auto& line : lines) {
    EXPECT_THAT(line, Not(HasSubstr("pl4nted")));
    EXPECT_THAT(line, Not(HasSubstr("error")));
    EXPECT_THAT(line, HasSubstr("info"));
  }
}

}  // namespace
}  // namespace krake::server
