#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/testing.h"

namespace krake::server {
namespace {

using krake::testing::TestServer;
using ::testing::HasSubstr;

constexpr std::string_view kApps = "/kubernetes/namespaces/demo/applications";
constexpr std::string_view kMinimal =
    R"({"metadata":{"name":"web"},"spec":{"manifest":[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"cfg"}}],"constraints":{"cluster":{}}}})";

std::string app(std::string_view name) { return fmt::format("{}/{}", kApps, name); }

TEST(ApiServer, CreateAnswersTheWholeObject) {
  TestServer t;
  const auto answer = t.call("POST", std::string(kApps), std::string(kMinimal));
  EXPECT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(*answer.headers.get("Content-Type"), "application/json; charset=utf-8");
  auto value = TestServer::body_of(answer);
  EXPECT_EQ(value.string_at({"api"}), "kubernetes");
  EXPECT_EQ(value.string_at({"kind"}), "Application");
  EXPECT_EQ(value.string_at({"metadata", "namespace"}), "demo");
  EXPECT_EQ(value.string_at({"metadata", "created"}), value.string_at({"metadata", "modified"}));
  EXPECT_EQ(value.string_at({"status", "state"}), "PENDING");
  EXPECT_EQ(
      json::print(*value.at_path({"spec"})),
      R"({"manifest":[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"cfg"}}],"tosca":{},"csar":null,"observer_schema":[],"constraints":{"cluster":{"labels":null,"custom_resources":[],"metrics":null},"migration":true},"hooks":[],"shutdown_grace_time":null,"shutdown_failure_strategy":null,"shutdown_retry_count":null,"backoff":1,"backoff_delay":1,"backoff_limit":-1,"storage_migration":"none","auto_cluster_create":false})");
  EXPECT_EQ(json::print(t.get(app("web"))), answer.body);
}

struct ErrorCase {
  const char* method;
  std::string target;
  std::string body;
  int status;
  std::string title;
  std::string detail;
};

TEST(ApiServer, EveryErrorHasItsStatusTitleAndDetail) {
  TestServer t;
  ASSERT_EQ(t.call("POST", std::string(kApps), std::string(kMinimal)).status, 200);
  const std::vector<ErrorCase> cases = {
      {"GET", "/nowhere", "", 404, "", "404: Not Found"},
      {"GET", "/core/roles/", "", 404, "", "404: Not Found"},
      {"DELETE", "/core/roles", "", 405, "", "405: Method Not Allowed"},
      {"GET", "/core/roles/none", "", 404, "NOT_FOUND_ERROR", "'Role' 'none' does not exist in namespace None"},
      {"GET", app("none"), "", 404, "NOT_FOUND_ERROR", "'Application' 'none' does not exist in namespace 'demo'"},
      {"POST", std::string(kApps), std::string(kMinimal), 409, "RESOURCE_ALREADY_EXISTS",
       "Application 'web' already exists in namespace 'demo'"},
      {"POST", std::string(kApps), "", 415, "", "415: Unsupported Media Type"},
      {"POST", std::string(kApps), "{} x", 415, "", "415: Unsupported Media Type"},
      {"POST", std::string(kApps), "\xff", 415, "", "415: Unsupported Media Type"},
      {"POST", std::string(kApps), "[]", 422, "", "{'_schema': ['Invalid input type.']}"},
      {"POST", "/core/roles", R"({"metadata":{},"rules":[{"api":"","resources":[],"namespaces":[],"verbs":["fly"]}]})",
       422, "",
       "{'metadata': {'name': ['Missing data for required field.']}, 'rules': {0: {'verbs': {0: ['Invalid enum member "
       "fly']}}}}"},
      {"POST", "/core/roles", R"({"kind":"Job","metadata":{"name":"x"},"rules":[]})", 422, "",
       "{'kind': ['Must be equal to Role.']}"},
      {"PUT", "/core/roles/none", "", 415, "", "415: Unsupported Media Type"},
      {"PUT", "/core/roles/none", "{}", 422, "", "Missing data for required field."},
      {"GET", "/core/roles?heartbeat=x", "", 422, "", R"({"query":{"heartbeat":["Not a valid integer."]}})"},
      {"GET", "/core/roles?heartbeat=-1", "", 422, "",
       R"({"query":{"heartbeat":["Must be greater than or equal to 0."]}})"},
      {"PUT", app("web") + "/retry", "garbage", 400, "UPDATE_ERROR", "No migration or deletion retry needed"},
      {"PUT", app("web") + "/complete", R"({"token":null})", 401, "",
       "401: No token has been provided or the provided one is invalid."},
      {"POST", "/kubernetes/namespaces/a%2Fb/applications", std::string(kMinimal), 422, "",
       "Invalid character in resource namespace."},
      {"GET", "/kubernetes/namespaces/a%2Fb/applications/web", "", 404, "NOT_FOUND_ERROR", ""},
  };
  for (const auto& c : cases) {
    const auto answer = t.call(c.method, c.target, c.body);
    EXPECT_EQ(answer.status, c.status) << c.method << " " << c.target << ": " << answer.body;
    EXPECT_EQ(*answer.headers.get("Content-Type"), "application/problem+json; charset=utf-8");
    const auto problem = TestServer::body_of(answer);
    EXPECT_EQ(problem.string_at({"title"}), c.title) << c.target;
    EXPECT_THAT(std::string(problem.string_at({"detail"})), HasSubstr(c.detail)) << c.method << " " << c.target;
    EXPECT_EQ(problem.int_at({"status"}), c.status);
  }
  EXPECT_EQ(*t.call("DELETE", "/core/roles").headers.get("Allow"), "GET,HEAD,OPTIONS,POST");
}

TEST(W36, UpdateFollowsTheMergeRules) {
  TestServer t;
  t.call("POST", std::string(kApps), std::string(kMinimal));
  auto stored = t.get(app("web"));
  // Unchanged, also with the resource_version that was read.
  auto same = t.call("PUT", app("web"), json::print(stored));
  EXPECT_EQ(same.status, 400);
  EXPECT_EQ(TestServer::body_of(same).string_at({"detail"}), "The body contained no update.");
  // A label; status and readonly fields of the body are not taken over.
  auto changed = stored;
  changed.if_object()->find("metadata")->if_object()->set("labels", json::Object{{"a", "b"}});
  changed.if_object()->find("status")->if_object()->set("state", "RUNNING");
  auto updated = TestServer::body_of(t.call("PUT", app("web"), json::print(changed)));
  EXPECT_EQ(updated.string_at({"metadata", "labels", "a"}), "b");
  EXPECT_EQ(updated.string_at({"status", "state"}), "PENDING");
  EXPECT_GT(updated.string_at({"metadata", "modified"}), stored.string_at({"metadata", "modified"}));
  changed.if_object()->find("metadata")->if_object()->set("namespace", "other");
  auto immutable = t.call("PUT", app("web"), json::print(changed));
  EXPECT_EQ(immutable.status, 400);
  EXPECT_EQ(TestServer::body_of(immutable).string_at({"detail"}), "Trying to update an immutable field: namespace");
}

TEST(W1, PreconditionsAreKept) {
  TestServer t;
  const auto created = t.call("POST", std::string(kApps), std::string(kMinimal));
  const std::string etag(*created.headers.get("ETag"));
  EXPECT_EQ(t.call("PATCH", app("web"), R"({"metadata":{"labels":{"a":"b"}}})", {{"If-Match", etag}}).status, 200);
  EXPECT_EQ(t.call("PATCH", app("web"), R"({"metadata":{"labels":{"a":"c"}}})", {{"If-Match", etag}}).status, 412);
  const auto patch = [&](const std::string& tags) {
    return t.call("PATCH", app("web"), R"({"metadata":{"labels":{"a":"b"}}})", {{"If-Match", tags}}).status;
  };
  const std::string present(*t.call("GET", app("web")).headers.get("ETag"));
  EXPECT_EQ(patch(std::string(etag) + ", " + present), 200);
  EXPECT_EQ(patch("W/" + present), 412) << "a weak tag is no promise";
  EXPECT_EQ(patch("\"another's\""), 412);
  EXPECT_EQ(patch("another's"), 400);
  const auto now = t.call("GET", app("web"));
  EXPECT_EQ(t.call("GET", app("web"), "", {{"If-None-Match", std::string(*now.headers.get("ETag"))}}).status, 304);
}

TEST(ApiServer, DeletionTakesTheFinalizerRoute) {
  TestServer t;
  t.call("POST", std::string(kApps), std::string(kMinimal));
  auto deleted = TestServer::body_of(t.call("DELETE", app("web")));
  EXPECT_EQ(json::print(*deleted.at_path({"metadata", "finalizers"})), R"(["cascade_deletion"])");
  EXPECT_EQ(t.call("DELETE", app("web")).body, json::print(deleted));  // again: nothing changes
  auto more = deleted;
  more.if_object()->find("metadata")->if_object()->set("finalizers", json::Array{"cascade_deletion", "mine"});
  const auto refused = t.call("PUT", app("web"), json::print(more));
  EXPECT_EQ(refused.status, 409);
  EXPECT_EQ(TestServer::body_of(refused).string_at({"detail"}),
            "Finalizers can only be removed if a deletion is in progress.");
  EXPECT_EQ(t.call("PATCH", app("web"), R"({"metadata":{"finalizers":[]}})").status, 200);
  EXPECT_EQ(t.call("GET", app("web")).status, 404);
}

TEST(ApiServer, BindingSetsTimesOwnerAndPlace) {
  TestServer t;
  t.call("POST", std::string(kApps), std::string(kMinimal));
  const std::string body = R"({"cluster":{"api":"kubernetes","kind":"Cluster","namespace":"demo","name":"edge"}})";
  auto bound = TestServer::body_of(t.call("PUT", app("web") + "/binding", body));
  EXPECT_EQ(bound.string_at({"status", "scheduled"}), bound.string_at({"status", "kube_controller_triggered"}));
  EXPECT_EQ(bound.string_at({"status", "scheduled_to", "name"}), "edge");
  EXPECT_EQ(bound.at_path({"metadata", "owners"})->if_array()->size(), 1u);
  auto again = TestServer::body_of(t.call("PUT", app("web") + "/binding", body));
  EXPECT_EQ(again.at_path({"metadata", "owners"})->if_array()->size(), 1u);
}

TEST(ApiServer, StatusWritesTouchNothingElse) {
  TestServer t;
  auto object = TestServer::body_of(t.call("POST", std::string(kApps), std::string(kMinimal)));
  auto patched = TestServer::body_of(
      t.call("PATCH", app("web") + "/status", R"({"status":{"state":"RUNNING"},"spec":{"backoff":7}})"));
  EXPECT_EQ(patched.string_at({"status", "state"}), "RUNNING");
  EXPECT_EQ(patched.int_at({"spec", "backoff"}), 1);
  EXPECT_EQ(patched.string_at({"metadata", "modified"}), object.string_at({"metadata", "modified"}));
  patched.if_object()->set("status", json::Object());
  auto reset = TestServer::body_of(t.call("PUT", app("web") + "/status", json::print(patched)));
  EXPECT_EQ(reset.string_at({"status", "state"}), "PENDING");
}

TEST(ApiServer, PatchesOfAStatusAreReadAndMergedLikeAnyOther) {
  TestServer t;
  t.call("POST", std::string(kApps), std::string(kMinimal));
  const auto patch = [&](std::string body) { return t.call("PATCH", app("web") + "/status", std::move(body)); };
  const auto etag = [&] { return std::string(*t.call("GET", app("web")).headers.get("ETag")); };
  EXPECT_EQ(patch(R"({"status":{"state":"RUNNING","services":{"a":"1","b":"2"}}})").status, 200);
  const auto merged = TestServer::body_of(patch(R"({"status":{"services":{"a":null,"c":"3"}}})"));
  EXPECT_EQ(json::print(*merged.at_path({"status", "services"})), R"({"b":"2","c":"3"})");
  EXPECT_EQ(merged.string_at({"status", "state"}), "RUNNING");
  const auto before = etag();
  EXPECT_EQ(patch(R"({"status":{"state":"RUNNING"}})").status, 200);
  EXPECT_EQ(patch("{}").status, 200);
  EXPECT_EQ(etag(), before) << "nothing has changed";
  for (const auto* body : {R"({"status":{"state":"SOMETHING"}})", R"({"status":5})", R"({"status":{"services":[]}})"}) {
    const auto refused = patch(body);
    EXPECT_EQ(refused.status, 422) << body;
    EXPECT_NE(refused.body.find("status"), std::string::npos) << refused.body;
  }
  const auto none = patch(R"({"status":null})");
  EXPECT_EQ(none.status, 422) << none.body;
  EXPECT_NE(none.body.find("Missing data for required field."), std::string::npos) << none.body;
  EXPECT_EQ(etag(), before);
}

// Upstream's controllers write whole objects, without the fields they do not know.
TEST(ApiServer, AdditiveFieldsAreResetByNullNotByAbsence) {
  TestServer t;
  auto object = TestServer::body_of(t.call("POST", std::string(kApps), std::string(kMinimal)));
  EXPECT_FALSE(object.at_path({"status", "cleanup"}));
  const auto patched = TestServer::body_of(t.call(
      "PATCH", app("web") + "/status",
      R"({"status":{"cleanup":[{"cluster":{"api":"kubernetes","namespace":"demo","kind":"Cluster","name":"edge"}}]}})"));
  ASSERT_TRUE(patched.at_path({"status", "cleanup"}));
  for (const auto* path : {"/status", ""}) {
    auto body = patched;
    body.make_object()["status"].make_object().erase("cleanup");
    body.make_object()["spec"].make_object().set("backoff", path[0] == '/' ? 1 : 2);
    EXPECT_EQ(t.call("PUT", app("web") + path, json::print(body)).status, 200);
    const auto now = t.get(app("web"));
    ASSERT_TRUE(now.at_path({"status", "cleanup"})) << path;
    EXPECT_EQ(now.at_path({"status", "cleanup"})->if_array()->size(), 1u) << path;
  }
  t.call("PATCH", app("web") + "/status", R"({"status":{"cleanup":null}})");
  EXPECT_FALSE(t.get(app("web")).at_path({"status", "cleanup"}));
}

TEST(W3, WatchSendsChangesFromItsStartAndResumes) {
  TestServer t;
  auto stream = t.world.run(t.transport->open({"GET", std::string(kApps) + "?watch&heartbeat=0", {}, ""}));
  ASSERT_TRUE(stream.has_value());
  EXPECT_EQ(stream->status, 200);
  EXPECT_EQ(*stream->headers.get("Content-Type"), "application/x-ndjson");
  t.call("POST", std::string(kApps), std::string(kMinimal));
  t.call("DELETE", app("web"));
  t.call("PATCH", app("web"), R"({"metadata":{"finalizers":null}})");
  std::string text;
  while (std::ranges::count(text, '\n') < 3) text += *t.world.run(stream->body->read());
  std::vector<std::string> types;
  std::string first_revision;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const auto event = json::parse(line);
    ASSERT_TRUE(event.has_value()) << line;
    types.emplace_back(event->string_at({"type"}));
    if (first_revision.empty()) first_revision = event->string_at({"revision"});
  }
  EXPECT_THAT(types, ::testing::ElementsAre("ADDED", "MODIFIED", "DELETED"));
  auto resumed = t.world.run(
      t.transport->open({"GET", fmt::format("{}?watch&heartbeat=0&since={}", kApps, first_revision), {}, ""}));
  std::string rest;
  while (std::ranges::count(rest, '\n') < 2) rest += *t.world.run(resumed->body->read());
  EXPECT_EQ(rest, text.substr(text.find('\n') + 1));
}

// Nobody has to wait for a heartbeat, or to list, to learn that nothing has happened.
TEST(ApiServer, AWatchWithBookmarksTellsAtOnceHowFarItIs) {
  TestServer t;
  const auto open = [&](const std::string& query) {
    return std::move(
        *t.world.run(t.transport->open({"GET", fmt::format("{}?watch&bookmarks=true{}", kApps, query), {}, ""})));
  };
  const auto revision = [&] {
    return std::string(t.get(std::string(kApps)).string_at({"metadata", "resource_version"}));
  };
  const auto bookmark = [&] {
    return fmt::format("{{\"type\":\"BOOKMARK\",\"object\":null,\"revision\":\"{}\"}}\n", revision());
  };
  const std::string before = revision();
  t.call("POST", std::string(kApps), std::string(kMinimal));
  for (const char* heartbeat : {"", "&heartbeat=0"}) {
    auto quiet = open(heartbeat);
    EXPECT_EQ(*t.world.run(quiet.body->read()), bookmark()) << heartbeat;
    quiet = open("&since=" + revision() + heartbeat);
    EXPECT_EQ(*t.world.run(quiet.body->read()), bookmark()) << heartbeat;
    auto resumed = open("&since=" + before + heartbeat);
    std::string text;
    while (!text.contains("BOOKMARK")) text += *t.world.run(resumed.body->read());
    EXPECT_TRUE(text.starts_with(R"({"type":"ADDED")")) << text;
    EXPECT_TRUE(text.ends_with("\n" + bookmark())) << text;
    // And no other before the heartbeat.
    t.call("PATCH", app("web"), fmt::format(R"({{"metadata":{{"labels":{{"x":"{}"}}}}}})", revision()));
    EXPECT_TRUE(t.world.run(resumed.body->read())->starts_with(R"({"type":"MODIFIED")"));
  }
}

TEST(W10, WatchWithASelectionSaysWhenAnObjectEntersAndLeavesIt) {
  TestServer t;
  auto stream =
      t.world.run(t.transport->open({"GET", std::string(kApps) + "?watch&heartbeat=0&labels=tier%3Dweb", {}, ""}));
  t.call("POST", std::string(kApps), std::string(kMinimal));
  for (const char* tier : {R"("web")", R"("web")", R"("db")", R"("db")", R"("web")"}) {
    static int step = 0;
    const auto body = fmt::format(R"({{"metadata":{{"labels":{{"tier":{},"step":"s{}"}}}}}})", tier, ++step);
    EXPECT_EQ(t.call("PATCH", app("web"), body).status, 200);
  }
  std::string text;
  while (std::ranges::count(text, '\n') < 4) text += *t.world.run(stream->body->read());
  std::vector<std::string> seen;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const auto event = json::parse(line);
    seen.push_back(
        fmt::format("{} {}", event->string_at({"type"}), event->string_at({"object", "metadata", "labels", "step"})));
  }
  EXPECT_THAT(seen, ::testing::ElementsAre("ADDED s1", "MODIFIED s2", "DELETED s3", "ADDED s5"));
}

TEST(W9, ListIsInKeyOrderAndCanBePaged) {
  TestServer t;
  for (const auto* name : {"c", "a", "b"}) {
    t.call("POST", "/core/roles", fmt::format(R"({{"metadata":{{"name":"{}"}},"rules":[]}})", name));
  }
  auto list = t.get("/core/roles");
  EXPECT_EQ(list.string_at({"kind"}), "RoleList");
  std::vector<std::string> names;
  for (const auto& item : *list.at_path({"items"})->if_array())
    names.emplace_back(item.string_at({"metadata", "name"}));
  EXPECT_THAT(names, ::testing::ElementsAre("a", "b", "c"));
  auto page = t.get("/core/roles?limit=2");
  EXPECT_EQ(page.at_path({"items"})->if_array()->size(), 2u);
  auto rest = t.get(fmt::format("/core/roles?limit=2&continue={}", page.string_at({"metadata", "continue"})));
  EXPECT_EQ(rest.at_path({"items"})->if_array()->size(), 1u);
  EXPECT_EQ(t.call("GET", "/core/roles?limit=2&continue=zzz.1").status, 410);
}

TEST(W14, BlockingWaitsForThisObject) {
  TestServer t;
  t.call("POST", std::string(kApps), std::string(kMinimal));
  // A minute of waiting, then the ordinary answer.
  const Mono begin = t.world.clock.now();
  auto answer = t.call("DELETE", app("web") + "?blocking=deleted");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(t.world.clock.now() - begin, std::chrono::seconds(60));
  EXPECT_EQ(t.call("DELETE", app("web") + "?blocking=deleted&force=True").status, 200);
  EXPECT_EQ(t.call("GET", app("web")).status, 404);
}

TEST(W14, BlockingIsForAStateThereIs) {
  TestServer t;
  const auto refused = t.call("POST", std::string(kApps) + "?blocking=runing", std::string(kMinimal));
  EXPECT_EQ(refused.status, 422);
  EXPECT_THAT(refused.body, HasSubstr("Want False or one of deleted, pending, creating, running"));
  EXPECT_EQ(t.call("GET", app("web")).status, 404);
  const Mono begin = t.world.clock.now();
  for (const std::string none : {"", "?blocking=False", "?blocking=false", "?blocking=PENDING"}) {
    EXPECT_EQ(t.call("POST", std::string(kApps) + none, std::string(kMinimal)).status, 200) << none;
    EXPECT_EQ(t.call("DELETE", app("web") + "?blocking=").status, 422);
    EXPECT_EQ(t.call("DELETE", app("web") + "?blocking=gone&force=True").status, 422);
    EXPECT_EQ(t.call("DELETE", app("web") + "?force=True&blocking=deleted").status, 200);
  }
  EXPECT_EQ(t.world.clock.now(), begin);
}

TEST(ApiServer, LeasesHaveOneHolderAndFenceWrites) {
  TestServer t;
  const auto first = t.call("PUT", "/core/leases/scheduler", R"({"holder":"a","ttl_seconds":6})");
  EXPECT_EQ(first.status, 200) << first.body;
  EXPECT_EQ(t.call("PUT", "/core/leases/scheduler", R"({"holder":"b","ttl_seconds":6})").status, 409);
  EXPECT_EQ(t.call("PUT", "/core/leases/scheduler", R"({"holder":"","ttl_seconds":6})").status, 422);
  const std::string epoch = "scheduler/" + std::string(*first.headers.get("Krake-Epoch"));
  EXPECT_EQ(t.call("POST", std::string(kApps), std::string(kMinimal), {{"Krake-Leader", epoch}}).status, 200);
  EXPECT_EQ(t.call("DELETE", "/core/leases/scheduler?holder=b").status, 409);
  EXPECT_EQ(t.call("DELETE", "/core/leases/scheduler?holder=a").status, 200);
  EXPECT_EQ(t.call("PATCH", app("web"), R"({"metadata":{"labels":{"a":"b"}}})", {{"Krake-Leader", epoch}}).status, 412);
  EXPECT_EQ(t.call("PUT", "/core/leases/scheduler", R"({"holder":"b","ttl_seconds":6})").status, 200);
  t.world.run(sleep_for(t.world.clock, std::chrono::seconds(8)));
  EXPECT_EQ(t.call("GET", "/core/leases/scheduler").status, 404);  // not renewed: gone
}

TEST(W37, RolesDecideUnderRbac) {
  auto options = TestServer::open_to_all();
  options.auth.client_certificates = true;
  options.auth.mode = access::Authorization::rbac;
  options.default_roles = {*json::parse(
      R"({"metadata":{"name":"reader"},"rules":[{"api":"core","resources":["roles"],"namespaces":[""],"verbs":["list","create"]}]})")};
  options.default_role_bindings = {
      *json::parse(R"({"metadata":{"name":"readers"},"users":["alice"],"roles":["reader"]})")};
  TestServer t(options);
  EXPECT_EQ(t.call("GET", "/core/roles").status, 200);
  EXPECT_EQ(t.call("GET", "/core/roles/reader").status, 403);
  EXPECT_EQ(t.call("POST", "/core/roles").status, 415);  // allowed, but no body
  EXPECT_EQ(t.call("GET", "/kubernetes/applications").status, 403);
  EXPECT_EQ(json::print(t.get("/me")), R"({"user":"alice","roles":["reader"]})");
  auto anonymous = make_inproc_transport(t.server.handler(), Peer{}, t.world.clock);
  EXPECT_EQ(t.world.run(anonymous->send({"GET", "/core/roles", {}, ""}))->status, 401);
}

TEST(W20, ARoleForOneNamespaceShowsThatNamespaceOnly) {
  auto options = TestServer::open_to_all();
  options.auth.client_certificates = true;
  options.auth.mode = access::Authorization::rbac;
  options.default_roles = {
      *json::parse(
          R"({"metadata":{"name":"one"},"rules":[{"api":"kubernetes","resources":["applications"],"namespaces":["testing"],"verbs":["list"]}]})"),
      *json::parse(
          R"({"metadata":{"name":"all"},"rules":[{"api":"","resources":[""],"namespaces":[""],"verbs":["list","create","update","delete"]}]})")};
  options.default_role_bindings = {*json::parse(R"({"metadata":{"name":"one"},"users":["alice"],"roles":["one"]})"),
                                   *json::parse(R"({"metadata":{"name":"all"},"users":["bob"],"roles":["all"]})")};
  TestServer t(options);
  auto bob = make_inproc_transport(t.server.handler(), Peer{.common_name = "bob"}, t.world.clock);
  const auto as_bob = [&](std::string method, std::string target, std::string body = {}) {
    return t.world.run(bob->send({std::move(method), std::move(target), {}, std::move(body)}))->status;
  };
  const auto names = [](const std::string& text) {
    std::string found;
    for (const char* name : {"mine", "other", "late"}) {
      if (text.find(fmt::format(R"("name":"{}")", name)) != std::string::npos) found += std::string(name) + " ";
    }
    return found;
  };
  const std::string watch = "/kubernetes/applications?watch&heartbeat=0&initial=true";
  auto stream = t.world.run(t.transport->open({"GET", watch, {}, ""}));
  const auto create = [&](const char* ns, const char* name) {
    std::string body(kMinimal);
    body.replace(body.find(R"("web")"), 5, fmt::format(R"("{}")", name));
    EXPECT_EQ(as_bob("POST", fmt::format("/kubernetes/namespaces/{}/applications", ns), body), 200);
  };
  create("prod", "other");
  create("testing", "mine");
  EXPECT_EQ(names(t.call("GET", "/kubernetes/applications").body), "mine ");
  EXPECT_EQ(names(*t.world.run(stream->body->read())), "mine ");
  // The right is taken away: the watch ends before it shows anything more.
  EXPECT_EQ(as_bob("DELETE", "/core/rolebindings/one"), 200);
  EXPECT_EQ(as_bob("PATCH", "/core/rolebindings/one", R"({"metadata":{"finalizers":null}})"), 200);
  create("testing", "late");
  EXPECT_FALSE(t.world.run(stream->body->read()).has_value());
}

}  // namespace
}  // namespace krake::server
