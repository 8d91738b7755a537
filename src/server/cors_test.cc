#include "server/cors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "server/testing.h"

namespace krake::server {
namespace {

using krake::testing::TestServer;

constexpr std::string_view kHere = "https://ui.example";

std::string header(const Headers& headers, std::string_view name) {
  return std::string(headers.get(name).value_or("-"));
}

struct PreflightCase {
  std::vector<std::string> origins;
  Headers request;
  std::string detail;  // empty: allowed
  std::string headers = "-";
};

TEST(Cors, PreflightIsAnsweredByItsHeaders) {
  const auto asks = [](std::string origin, std::string method) {
    return Headers{{"Origin", std::move(origin)}, {"Access-Control-Request-Method", std::move(method)}};
  };
  const auto with_headers = [&](std::string list) {
    auto headers = asks(std::string(kHere), "GET");
    headers.add("Access-Control-Request-Headers", std::move(list));
    return headers;
  };
  const std::string start = "CORS preflight request failed: ";
  const std::vector<PreflightCase> cases = {
      {{std::string(kHere)}, asks(std::string(kHere), "GET"), ""},
      {{"*"}, asks("https://elsewhere.example", "DELETE"), ""},
      {{"*"}, asks("null", "PUT"), ""},
      {{std::string(kHere)}, asks(std::string(kHere), "PATCH"), ""},
      {{"https://a.example", std::string(kHere)}, asks(std::string(kHere), "OPTIONS"), ""},
      {{"*"}, with_headers("x-a, Content-Type ,,\tx-b"), "", "X-A,CONTENT-TYPE,X-B"},
      {{"*"}, with_headers(" , "), ""},
      {{"*"}, {}, start + "origin header is not specified in the request"},
      {{"*"}, {{"Access-Control-Request-Method", "GET"}}, start + "origin header is not specified in the request"},
      {{"*"}, {{"Origin", "https://ui.example"}}, start + "'Access-Control-Request-Method' header is not specified"},
      {{std::string(kHere)},
       asks("https://ui.example.evil", "GET"),
       start + "request method 'GET' is not allowed for 'https://ui.example.evil' origin"},
      {{std::string(kHere)},
       asks("HTTPS://UI.EXAMPLE", "GET"),
       start + "request method 'GET' is not allowed for 'HTTPS://UI.EXAMPLE' origin"},
      {{"*"},
       asks(std::string(kHere), "TRACE"),
       start + "request method 'TRACE' is not allowed for 'https://ui.example' origin"},
      {{"*"},
       asks(std::string(kHere), "get"),
       start + "request method 'get' is not allowed for 'https://ui.example' origin"},
      {{},
       asks(std::string(kHere), "GET"),
       start + "request method 'GET' is not allowed for 'https://ui.example' origin"},
  };
  for (const auto& c : cases) {
    const auto reply = preflight({.origins = c.origins}, c.request, "");
    if (c.detail.empty()) {
      EXPECT_EQ(reply.status, 200);
      EXPECT_TRUE(reply.body.empty());
      EXPECT_EQ(header(reply.headers, "Access-Control-Allow-Origin"), header(c.request, "Origin"));
      EXPECT_EQ(header(reply.headers, "Access-Control-Allow-Credentials"), "true");
      EXPECT_EQ(header(reply.headers, "Access-Control-Allow-Methods"),
                header(c.request, "Access-Control-Request-Method"));
      EXPECT_EQ(header(reply.headers, "Access-Control-Allow-Headers"), c.headers);
    } else {
      EXPECT_EQ(reply.status, 403);
      EXPECT_EQ(json::parse(*reply.body[0]).value().string_at({"detail"}), c.detail);
      EXPECT_EQ(header(reply.headers, "Access-Control-Allow-Origin"), "-");
    }
  }
}

// Before anybody is asked who he is, on every path, and without a right to anything.
TEST(Cors, PreflightNeedsNoUser) {
  ServerOptions options;
  options.auth.mode = access::Authorization::rbac;
  options.cors.origins = {std::string(kHere)};
  TestServer t(std::move(options));
  const Headers request{
      {"Origin", std::string(kHere)}, {"Access-Control-Request-Method", "DELETE"}, {"Authorization", "Bearer nobody"}};
  for (const char* path : {"/", "/me", "/core/roles", "/kubernetes/namespaces/a/applications/b/status"})
    EXPECT_EQ(t.call("OPTIONS", path, "", request).status, 200) << path;
  EXPECT_EQ(t.call("OPTIONS", "/nowhere", "", request).status, 404);
  EXPECT_EQ(t.call("OPTIONS", "/core/roles").status, 403);
}

TEST(W25, EveryAnswerIsSharedWithAnAllowedOrigin) {
  auto options = TestServer::open_to_all();
  options.cors.origins = {std::string(kHere)};
  TestServer t(std::move(options));
  struct {
    const char* path;
    int status;
  } const cases[] = {{"/", 200}, {"/core/roles", 200}, {"/core/roles/none", 404}, {"/nowhere", 404}};
  for (const auto& [path, status] : cases) {
    const auto shared = t.call("GET", path, "", {{"Origin", std::string(kHere)}});
    EXPECT_EQ(shared.status, status);
    EXPECT_EQ(header(shared.headers, "Access-Control-Allow-Origin"), kHere) << path;
    EXPECT_EQ(header(shared.headers, "Access-Control-Allow-Credentials"), "true") << path;
    EXPECT_EQ(header(shared.headers, "Vary"), "Origin") << path;
    for (const Headers& request : {Headers{}, Headers{{"Origin", "https://other.example"}}}) {
      const auto plain = t.call("GET", path, "", request);
      EXPECT_EQ(plain.status, status);
      EXPECT_EQ(header(plain.headers, "Access-Control-Allow-Origin"), "-") << path;
      EXPECT_EQ(header(plain.headers, "Access-Control-Allow-Credentials"), "-") << path;
    }
  }
}

}  // namespace
}  // namespace krake::server
