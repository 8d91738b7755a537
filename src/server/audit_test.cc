#include "server/audit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

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
    auto log = Log::open({.level = LogLevel::debug, .json = true, .file = path.string()});
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
