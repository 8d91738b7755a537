#include "server/openapi.h"

#include <gtest/gtest.h>

#include <set>

#include "server/testing.h"

namespace krake {
namespace {

const json::Value& document() {
  static const json::Value made = server::openapi_document(krake_registry(), "1.0.1");
  return made;
}

// Everything `visit` is called with: each operation, by method and path.
void for_each_operation(const std::function<void(const std::string&, const json::Value&)>& visit) {
  for (const auto& [path, item] : *document().at_path({"paths"})->if_object()) {
    for (const auto& [method, operation] : *item.if_object()) visit(method + " " + path, operation);
  }
}

const json::Value* behind(std::string_view reference) {
  const json::Value* value = &document();
  EXPECT_TRUE(reference.starts_with("#/")) << reference;
  reference.remove_prefix(2);
  while (value && !reference.empty()) {
    const auto slash = reference.find('/');
    value = value->if_object() ? value->if_object()->find(reference.substr(0, slash)) : nullptr;
    reference = slash == std::string_view::npos ? std::string_view() : reference.substr(slash + 1);
  }
  return value;
}

void follow(const json::Value& value) {
  if (const auto* array = value.if_array()) std::ranges::for_each(*array, follow);
  if (const auto* object = value.if_object()) {
    for (const auto& [key, member] : *object) {
      if (key == "$ref") EXPECT_NE(behind(*member.if_string()), nullptr) << *member.if_string();
      follow(member);
    }
  }
}

TEST(Openapi, RefersToWhatIsThere) { follow(document()); }

TEST(Openapi, HasEveryRouteAndNoOther) {
  const auto routes = server::all_routes(krake_registry());
  std::size_t described = 0;
  for_each_operation([&](const std::string&, const json::Value&) { ++described; });
  EXPECT_EQ(described, routes.size());
  for (const auto& known : routes) {
    // {namespace} and {name} are no names: what a client would put there.
    std::string path = known.path;
    for (const auto* what : {"{namespace}", "{name}"}) {
      if (const auto at = path.find(what); at != std::string::npos) path.replace(at, std::strlen(what), "x");
    }
    const auto found = server::route(krake_registry(), known.method, path);
    ASSERT_TRUE(found.route) << known.method << ' ' << known.path;
    EXPECT_EQ(found.route->operation, known.route.operation) << known.path;
    EXPECT_EQ(found.route->kind, known.route.kind) << known.path;
    EXPECT_EQ(found.route->subresource, known.route.subresource) << known.path;
    EXPECT_EQ(found.route->guarded(), known.route.guarded()) << known.path;
  }
}

TEST(Openapi, NamesEveryOperationOnce) {
  std::set<std::string, std::less<>> seen;
  for_each_operation([&](const std::string& where, const json::Value& operation) {
    const auto id = std::string(operation.string_at({"operationId"}));
    EXPECT_FALSE(id.empty()) << where;
    EXPECT_TRUE(seen.insert(id).second) << where << ": " << id;
    EXPECT_FALSE(operation.string_at({"summary"}).empty()) << where;
  });
  // Clients are generated from these.
  for (const auto* id : {"createApplication", "listApplications", "listAllApplications", "readApplication",
                         "updateApplication", "patchApplication", "deleteApplication", "updateApplicationStatus",
                         "patchApplicationStatus", "updateApplicationBinding", "listRoles", "acquireLease",
                         "releaseLease", "getIndex", "getMe", "getRelease", "getOpenapi", "createBackup"}) {
    EXPECT_TRUE(seen.contains(id)) << id;
  }
}

TEST(Openapi, DeclaresTheParametersOfEveryPath) {
  for_each_operation([&](const std::string& where, const json::Value& operation) {
    std::set<std::string_view> declared;
    if (const auto* parameters = operation.at_path({"parameters"})) {
      for (const auto& parameter : *parameters->if_array()) {
        const auto* schema = behind(parameter.string_at({"$ref"}));
        ASSERT_NE(schema, nullptr) << where;
        if (schema->string_at({"in"}) == "path") declared.insert(schema->string_at({"name"}));
      }
    }
    for (const std::string_view name : {"namespace", "name"}) {
      EXPECT_EQ(where.contains(fmt::format("{{{}}}", name)), declared.contains(name)) << where;
    }
  });
}

TEST(Openapi, SaysWhatAnOperationNeedsAndMayAnswer) {
  const auto* bind =
      document().at_path({"paths", "/kubernetes/namespaces/{namespace}/applications/{name}/binding", "put"});
  ASSERT_NE(bind, nullptr);
  EXPECT_EQ(bind->string_at({"requestBody", "content", "application/json", "schema", "$ref"}),
            "#/components/schemas/ClusterBindingInput");
  EXPECT_EQ(*bind->at_path({"x-krake-right"}),
            *json::parse(R"({"api":"kubernetes","resource":"applications/binding","verb":"update"})"));
  for (const auto* status : {"200", "400", "401", "403", "404", "408", "409", "412", "413", "415", "422", "429", "500"})
    EXPECT_NE(bind->at_path({"responses", status}), nullptr) << status;
  const auto* retry =
      document().at_path({"paths", "/kubernetes/namespaces/{namespace}/applications/{name}/retry", "put"});
  ASSERT_NE(retry, nullptr);
  EXPECT_EQ(retry->at_path({"requestBody"}), nullptr);
  EXPECT_EQ(retry->at_path({"responses", "415"}), nullptr) << "it takes no body";
  const auto* list = document().at_path({"paths", "/core/roles", "get"});
  EXPECT_EQ(list->string_at({"responses", "200", "content", "application/json", "schema", "$ref"}),
            "#/components/schemas/RoleList");
  EXPECT_EQ(*list->at_path({"responses", "200", "content", "application/x-ndjson", "x-krake-lines"}),
            json::Value(true));
  // The epoch is a lease's alone.
  EXPECT_NE(document().at_path({"components", "schemas", "Lease", "properties", "metadata", "properties", "epoch"}),
            nullptr);
  EXPECT_EQ(document().at_path({"components", "schemas", "Role", "properties", "metadata", "properties"}), nullptr);
}

TEST(Openapi, IsServedToWhoeverMayAskForTheIndex) {
  server::ServerOptions options;
  options.auth.allow_anonymous = true;
  options.auth.mode = access::Authorization::always_deny;
  testing::TestServer t(options);
  const auto answer = t.call("GET", "/openapi.json");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.headers.get("Content-Type"), "application/json; charset=utf-8");
  EXPECT_TRUE(testing::TestServer::body_of(answer) == document());
  const auto etag = std::string(answer.headers.get("ETag").value_or(""));
  EXPECT_FALSE(etag.empty());
  for (const auto& tag : {etag, "W/" + etag, std::string("*"), "\"x\", " + etag}) {
    const auto again = t.call("GET", "/openapi.json", "", Headers{{"If-None-Match", tag}});
    EXPECT_EQ(again.status, 304) << tag;
    EXPECT_EQ(again.headers.get("ETag"), etag);
    EXPECT_TRUE(again.body.empty());
  }
  EXPECT_EQ(t.call("GET", "/openapi.json", "", Headers{{"If-None-Match", "\"x\""}}).body, answer.body);
  EXPECT_EQ(t.call("POST", "/openapi.json").status, 405);

  options.auth.allow_anonymous = false;
  testing::TestServer closed(options);
  EXPECT_EQ(closed.call("GET", "/openapi.json").status, 401);
}

}  // namespace
}  // namespace krake
