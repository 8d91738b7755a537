// The deepest documents go through all the server does with them, on a quarter of the stack that programs have.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/testing.h"

namespace krake::server {
namespace {

using krake::testing::nested;
using krake::testing::on_stack;
using krake::testing::TestServer;
using ::testing::HasSubstr;

constexpr std::size_t kStack = std::size_t{2} << 20;
constexpr std::string_view kApps = "/kubernetes/namespaces/demo/applications";
constexpr std::string_view kClusters = "/kubernetes/namespaces/demo/clusters";
// Around it: the object, its spec, the manifest, its element.
constexpr std::size_t kDeepest = kMaxBodyDepth - 4;

std::string application(std::string_view name, std::string_view deep, std::string_view more = {}) {
  return fmt::format(
      R"({{"metadata":{{"name":"{}"}},"spec":{{"manifest":[{{"apiVersion":"v1","kind":"X","metadata":{{"name":"m"}},"x":{}}}],"constraints":{{"cluster":{{}}}}{}}}}})",
      name, deep, more);
}
std::string cluster(std::string_view name, std::string_view deep) {
  return fmt::format(
      R"({{"metadata":{{"name":"{}"}},"spec":{{"kubeconfig":{{"current-context":"x","contexts":[{{"name":"x","context":{{"cluster":"k","user":"u"}}}}],"clusters":[{{"name":"k","cluster":{{"server":"s"}}}}],"users":[{{"name":"u","user":{{"token":"t"}}}}],"deep":{}}},"constraints":{{"cloud":{{}}}}}}}})",
      name, deep);
}

// alice sees secrets, bob does not.
struct Site : TestServer {
  Site() : TestServer(options()), bob(as("bob")) {
    expect(
        200, "POST", "/core/roles",
        R"({"metadata":{"name":"bob"},"rules":[{"api":"kubernetes","resources":["applications","applications/status",)"
        R"("clusters"],"namespaces":[""],"verbs":["create","list","get","update","delete"]}]})");
    expect(200, "POST", "/core/rolebindings", R"({"metadata":{"name":"bob"},"users":["bob"],"roles":["bob"]})");
  }
  static ServerOptions options() {
    auto options = under_shipped_roles();
    options.auth.access.redact_secrets = true;
    return options;
  }
  std::string expect(int status, std::string method, std::string target, std::string body = {}) {
    auto answer = call_as(*line, method, target, std::move(body));
    EXPECT_EQ(answer.status, status) << method << " " << target << ": " << answer.body.substr(0, 300);
    return std::move(answer.body);
  }
  std::string read(const std::string& collection, std::string_view name) {
    for (const char* query : {"", "?labels=a%20is%20b", "?limit=1", "?fields=metadata.name%3Dx"})
      expect(200, "GET", collection + query);
    return expect(200, "GET", fmt::format("{}/{}", collection, name));
  }
  // What was read is sent back, with another label.
  void write_back(const std::string& path, std::string read, std::string_view label) {
    auto document = json::parse(read).value();
    document.make_object()["metadata"].make_object().set("labels", json::Object{{"a", label}});
    expect(200, "PUT", path + "?strict=true", json::print(document));
  }
  std::shared_ptr<Transport> bob;
  std::shared_ptr<Transport> line = transport;
};

void applications(Site& t, char shape) {
  const std::string path = fmt::format("{}/d", kApps);
  const auto deepest = nested(shape, kDeepest);
  t.expect(200, "POST", std::string(kApps), application("d", deepest));
  EXPECT_THAT(t.read(std::string(kApps), "d"), HasSubstr(deepest));
  t.write_back(path, t.read(std::string(kApps), "d"), "b");
  t.expect(
      200, "PATCH", path + "?strict=true",
      fmt::format(
          R"({{"spec":{{"backoff":7,"manifest":[{{"apiVersion":"v1","kind":"X","metadata":{{"name":"m"}},"x":{}}}]}}}})",
          deepest));
  t.expect(200, "PUT", path + "/status", t.read(std::string(kApps), "d"));
  // A controller says of the deepest list how long it is; and who reads that can write it back.
  const auto services = [](std::size_t depth) {
    return fmt::format(R"({{"status":{{"services":{}}}}})", nested('{', depth));
  };
  t.expect(415, "PATCH", path + "/status", services(kMaxBodyDepth + kStatusIsDeeper - 1));
  t.expect(200, "PATCH", path + "/status", services(kMaxBodyDepth + kStatusIsDeeper - 2));
  t.write_back(path, t.read(std::string(kApps), "d"), "c");
  t.expect(415, "POST", std::string(kApps), application("e", nested(shape, kDeepest + 1)));
  for (const char* field : {"hooks", "tosca", "backoff", "constraints2"}) {
    const auto more = fmt::format(R"(,"{}":{})", field, nested(shape, kMaxBodyDepth - 2));
    t.expect(422, "POST", fmt::format("{}?strict=true", kApps), application("e", "1", more));
  }
  const auto schema =
      fmt::format(R"(,"observer_schema":[{{"apiVersion":"v1","kind":"X","metadata":{{"name":"m"}},"x":{}}}])",
                  nested(shape, kDeepest));
  t.expect(422, "POST", std::string(kApps), application("e", "1", schema));
  EXPECT_THAT(t.expect(415, "POST", std::string(kApps), application("e", nested(shape, kDeepest, "NaN"))),
              HasSubstr("Special numeric values"));
}

void clusters(Site& t, char shape) {
  const std::string path = fmt::format("{}/d", kClusters);
  const auto deepest = nested(shape, kMaxBodyDepth - 3);
  t.expect(200, "POST", std::string(kClusters), cluster("d", deepest));
  for (const auto& line : {t.transport, t.bob}) {
    t.line = line;
    EXPECT_EQ(t.read(std::string(kClusters), "d").find(deepest) != std::string::npos, line != t.bob);
    t.write_back(path, t.read(std::string(kClusters), "d"), line == t.bob ? "b" : "c");
    t.expect(422, "PATCH", path, R"({"spec":{"kubeconfig":{"contexts":[]}}})");
    t.expect(200, "PATCH", path, fmt::format(R"({{"spec":{{"backoff":{}}}}})", line == t.bob ? 4 : 5));
    t.expect(200, "PATCH", path, nested('{', kMaxBodyDepth));
  }
  EXPECT_THAT(t.expect(200, "GET", path), HasSubstr(R"("********")"));
  t.line = t.transport;
  EXPECT_THAT(t.expect(200, "GET", path), HasSubstr(deepest));
}

void watched(Site& t, char shape) {
  auto stream = t.world.run(t.bob->open({"GET", fmt::format("{}?watch&heartbeat=0&labels=a%20is%20b", kApps), {}, ""}));
  auto body = json::parse(application("w", nested(shape, kDeepest))).value();
  body.make_object()["metadata"].make_object().set("labels", json::Object{{"a", "b"}});
  t.expect(200, "POST", std::string(kApps), json::print(body));
  t.expect(200, "PATCH", fmt::format("{}/w", kApps), R"({"metadata":{"labels":null}})");
  std::string lines;
  while (std::ranges::count(lines, '\n') < 2) lines += *t.world.run(stream->body->read());
  EXPECT_THAT(lines, HasSubstr(R"({"type":"DELETED")"));
  EXPECT_TRUE(json::parse(lines.substr(0, lines.find('\n'))));
}

TEST(Depth, TheServerHandlesTheDeepestDocuments) {
  for (const char shape : {'[', '{', 'x'}) {
    on_stack(kStack, [shape] {
      Site t;
      applications(t, shape);
      clusters(t, shape);
      watched(t, shape);
      for (const char* path : {"/core/leases/l", "/kubernetes/namespaces/demo/applications/d/binding",
                               "/kubernetes/namespaces/demo/applications/d/shutdown"})
        t.expect(422, "PUT", path, nested(shape == '{' ? 'x' : '[', kMaxBodyDepth));
    });
  }
}

}  // namespace
}  // namespace krake::server
