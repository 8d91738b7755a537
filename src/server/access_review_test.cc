#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/testing.h"

namespace krake::server {
namespace {

using krake::testing::TestServer;
using ::testing::HasSubstr;

struct Question {
  std::string user;
  std::string body;
  bool allowed;
};

TEST(AccessReview, AnswersAsTheRequestWouldBe) {
  TestServer t(TestServer::under_shipped_roles());
  const std::vector<Question> questions = {
      {"alice", R"({"verb":"delete","resource":"applications","namespace":"demo"})", true},
      {"alice", R"({"verb":"create","resource":"backup"})", true},
      {"bob", R"({"verb":"get","resource":"applications","namespace":"demo"})", false},
      {"system:kubernetes-cluster", R"({"verb":"update","resource":"clusters/status","namespace":"demo"})", true},
      {"system:kubernetes-cluster", R"({"verb":"update","resource":"clusters/binding","namespace":"demo"})", false},
      {"system:kubernetes-cluster", R"({"verb":"get","resource":"clusters/secrets"})", true},
      {"system:gc", R"({"verb":"get","resource":"clusters/secrets"})", false},
      {"system:gc", R"({"verb":"delete","resource":"roles","api":"core"})", true},
      {"system:kubernetes-application", R"({"verb":"update","resource":"applications/retry","namespace":"demo"})",
       true},
      {"system:scheduler", R"({"verb":"update","resource":"leases","name":"scheduler"})", true},
      {"system:complete-hook", R"({"verb":"update","resource":"applications/complete","namespace":"demo"})", true},
      {"system:complete-hook", R"({"verb":"update","resource":"applications/shutdown","namespace":"demo"})", false},
  };
  for (const auto& q : questions) {
    const auto answer = t.call_as(*t.as(q.user), "POST", "/me/access", q.body);
    ASSERT_EQ(answer.status, 200) << q.user << q.body << answer.body;
    EXPECT_EQ(*TestServer::body_of(answer).at_path({"allowed"})->if_bool(), q.allowed) << q.user << q.body;
  }
}

TEST(AccessReview, IsForEverybodyWithAName) {
  TestServer t(TestServer::under_shipped_roles());
  const auto nobody = t.as("");
  EXPECT_EQ(t.call_as(*nobody, "POST", "/me/access", R"({"verb":"get","resource":"roles"})").status, 401);
  EXPECT_EQ(t.call_as(*nobody, "GET", "/me/rules").status, 401);
  EXPECT_EQ(t.call_as(*t.as("bob"), "GET", "/me/rules").body,
            R"({"user":"bob","authorization":"RBAC","roles":[],"rules":[]})");
}

TEST(AccessReview, SaysWhatItDoesNotUnderstand) {
  TestServer t;
  EXPECT_EQ(t.call("POST", "/me/access", "").status, 415);
  EXPECT_EQ(t.call("POST", "/me/access", "[]").status, 422);
  EXPECT_THAT(t.call("POST", "/me/access", R"({"verb":"fly","resource":"roles"})").body, HasSubstr("fly"));
  EXPECT_THAT(t.call("POST", "/me/access", R"({"verb":"get","resource":"rolls"})").body, HasSubstr("rolls"));
  EXPECT_THAT(t.call("POST", "/me/access", R"({"verb":"get","resource":"roles/status"})").body,
              HasSubstr("Unknown resource"));
  EXPECT_EQ(t.call("GET", "/me/access").status, 405);
}

TEST(AccessReview, ListsTheRulesOneHas) {
  TestServer t(TestServer::under_shipped_roles());
  const auto rules = TestServer::body_of(t.call_as(*t.as("system:complete-hook"), "GET", "/me/rules"));
  EXPECT_EQ(json::print(*rules.at_path({"rules"})),
            R"([{"api":"kubernetes","resources":["applications/complete"],"namespaces":[""],"verbs":["update"]}])");
  TestServer open;
  EXPECT_THAT(open.call("GET", "/me/rules").body, HasSubstr(R"("authorization":"always-allow")"));
}

}  // namespace
}  // namespace krake::server
