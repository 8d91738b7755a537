// P1: every call can be repeated and then changes nothing more.
#include <gtest/gtest.h>

#include "server/testing.h"

namespace krake {
namespace {

struct Repeated {
  const char* method;
  std::string target;
  std::string body;
};

// The object without what is allowed to move when a write is repeated: revisions and the times binding renews.
std::string settled(json::Value value) {
  value.if_object()->find("metadata")->if_object()->erase("resource_version");
  value.if_object()->find("metadata")->if_object()->erase("modified");
  if (auto* status = value.if_object()->find("status")) {
    status->if_object()->erase("scheduled");
    status->if_object()->erase("kube_controller_triggered");
  }
  return json::print(value);
}

TEST(Declarative, RepeatingAnyWriteChangesNothingMore) {
  testing::TestServer t;
  const std::string apps = "/kubernetes/namespaces/demo/applications";
  const std::string body =
      R"({"metadata":{"name":"web"},"spec":{"manifest":[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"cfg"}}],"hooks":["shutdown"],"constraints":{"cluster":{}}}})";
  ASSERT_EQ(t.call("POST", apps, body).status, 200);
  ASSERT_EQ(t.call("PATCH", apps + "/web/status",
                   R"({"status":{"complete_token":"t","shutdown_token":"s","state":"DEGRADED"}})")
                .status,
            200);
  auto full = t.get(apps + "/web");
  full.if_object()->find("metadata")->if_object()->set("labels", json::Object{{"a", "b"}});
  const std::vector<Repeated> writes = {
      {"POST", apps, body},
      {"PUT", apps + "/web", json::print(full)},
      {"PATCH", apps + "/web", R"({"spec":{"backoff":4}})"},
      {"PATCH", apps + "/web/status",
       R"({"status":{"state":"DEGRADED","reason":{"code":"INTERNAL_ERROR","message":"m"}}})"},
      {"PUT", apps + "/web/status", json::print(full)},
      {"PUT", apps + "/web/binding",
       R"({"cluster":{"api":"kubernetes","kind":"Cluster","namespace":"demo","name":"c"}})"},
      {"PUT", apps + "/web/retry", ""},
      {"PUT", apps + "/web/shutdown", R"({"token":"s"})"},
      {"PUT", apps + "/web/complete", R"({"token":"t"})"},
      {"PUT", "/core/leases/l", R"({"holder":"h","ttl_seconds":60})"},
      {"DELETE", apps + "/web", ""},
  };
  for (const auto& write : writes) {
    t.call(write.method, write.target, write.body);
    const auto once = settled(t.get(apps + "/web"));
    t.call(write.method, write.target, write.body);
    EXPECT_EQ(settled(t.get(apps + "/web")), once) << write.method << " " << write.target;
  }
}

TEST(W29, APatchThatChangesNothingWritesNothing) {
  testing::TestServer t;
  t.call("POST", "/core/roles", R"({"metadata":{"name":"r"},"rules":[]})");
  const auto before = t.call("GET", "/core/roles/r");
  EXPECT_EQ(t.call("PATCH", "/core/roles/r", R"({"rules":[]})").status, 200);
  EXPECT_EQ(t.call("GET", "/core/roles/r").body, before.body);
}

}  // namespace
}  // namespace krake
