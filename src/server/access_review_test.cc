#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

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

// What controllers may do without any role: their own lease, and reading what they watch.
TEST(AccessReview, ControllersWithoutARoleReadWhatTheyWatch) {
  auto options = TestServer::open_to_all();
  options.auth.client_certificates = true;
  options.auth.mode = access::Authorization::rbac;
  TestServer t(std::move(options));
  const auto may = [&](const std::string& user, std::string_view verb, std::string_view resource,
                       std::string_view name = "x") {
    const auto answer = t.call_as(*t.as(user), "POST", "/me/access",
                                  fmt::format(R"({{"verb":"{}","resource":"{}"{}}})", verb, resource,
                                              resource == "leases" ? fmt::format(R"(,"name":"{}")", name) : ""));
    EXPECT_EQ(answer.status, 200) << user << " " << resource << answer.body;
    return *TestServer::body_of(answer).at_path({"allowed"})->if_bool();
  };
  const std::vector<std::string_view> all = {"applications",
                                             "clusters",
                                             "metrics",
                                             "globalmetrics",
                                             "metricsproviders",
                                             "globalmetricsproviders",
                                             "roles",
                                             "rolebindings",
                                             "infrastructureproviders",
                                             "globalinfrastructureproviders",
                                             "clouds",
                                             "globalclouds",
                                             "projects",
                                             "magnumclusters",
                                             "applications/secrets",
                                             "clusters/secrets",
                                             "metricsproviders/secrets",
                                             "infrastructureproviders/secrets"};
  const std::map<std::string, std::set<std::string_view>> wanted = {
      {"scheduler",
       {"applications", "clusters", "metrics", "globalmetrics", "metricsproviders", "globalmetricsproviders",
        "metricsproviders/secrets"}},
      {"kubernetes-application", {"applications", "clusters", "applications/secrets", "clusters/secrets"}},
      {"kubernetes-cluster", {"clusters", "clusters/secrets"}},
      {"gc",
       {"applications", "clusters", "metrics", "globalmetrics", "metricsproviders", "globalmetricsproviders",
        "infrastructureproviders", "globalinfrastructureproviders", "clouds", "globalclouds", "projects",
        "magnumclusters"}},
      {"magnum", {}},
      {"infrastructure", {}},
      {"somebody", {}},
  };
  for (const auto& [name, reads] : wanted) {
    const std::string user = "system:" + name;
    for (const auto resource : all) {
      EXPECT_EQ(may(user, "get", resource), reads.contains(resource)) << user << " " << resource;
      EXPECT_FALSE(may(user, "update", resource)) << user << " " << resource;
    }
    EXPECT_EQ(may(user, "update", "leases", name), name != "somebody");
    EXPECT_EQ(may(user, "get", "leases", "another"), name != "somebody");
    EXPECT_FALSE(may(user, "update", "leases", "another")) << user;
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
