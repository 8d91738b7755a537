#include "server/audit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <tuple>

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
    const Answered answered{
        .verb = row.verb, .user = row.user, .status = row.status, .may_be_done = row.may_be_done};
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
