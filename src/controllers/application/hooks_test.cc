#include "controllers/application/hooks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "controllers/application/test_bench.h"
#include "manifest/schema.h"

namespace krake::application {
namespace {

using manifest::array_of;
using ::testing::HasSubstr;

// As upstream makes them for an application `web`.
const std::string kToken =
    "{'name':'KRAKE_COMPLETE_TOKEN','valueFrom':{'secretKeyRef':{'name':'web-krake-complete-secret-token',"
    "'key':'krake_complete_token'}}}";
const std::string kUrl =
    "{'name':'KRAKE_COMPLETE_URL','valueFrom':{'secretKeyRef':{'name':'web-krake-complete-secret-token',"
    "'key':'krake_complete_url'}}}";
const std::string kEnv = kToken + "," + kUrl;
const std::string kMount = "{'name':'web-krake-complete-volume','mountPath':'/etc/krake_complete_cert'}";
const std::string kVolume =
    "{'name':'web-krake-complete-volume','secret':{'secretName':'web-krake-complete-secret-certs'}}";

std::string secret(const std::string& name) {
  return "{'apiVersion':'v1','kind':'Secret','metadata':{'name':'" + name + "'},'data':{'a':'Yg=='}}";
}
std::string pod(const std::string& spec, const std::string& name = "p") {
  return "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'" + name + "'},'spec':{" + spec + "}}";
}
std::string deployed(const std::string& spec) {
  return "{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'d'},'spec':{'template':{'spec':{" + spec +
         "}}}}";
}
std::string container(const std::string& name, const std::string& more = "", const std::string& image = "i") {
  return "{'name':'" + name + "','image':'" + image + "'" + more + "}";
}
std::string env(const std::string& entries) { return ",'env':[" + entries + "]"; }

Application hooked(std::vector<std::string> hooks = {"complete"}) {
  Application app;
  app.metadata.name = "web";
  app.spec.hooks = std::move(hooks);
  app.status.complete_token = "t";
  return app;
}

TEST(KeepHooks, CarriesOverWhatUpstreamHasPutIn) {
  const std::string mounts = ",'volumeMounts':[" + kMount + "]";
  const std::string plain = "'containers':[" + container("c") + "]";
  const std::string with_env = "'containers':[" + container("c", env(kEnv)) + "]";
  const std::string with_cert = "'containers':[" + container("c", env(kEnv) + mounts) + "],'volumes':[" + kVolume + "]";
  const std::string users = "{'name':'KRAKE_COMPLETE_URL','value':'mine'}";
  const std::string other = "{'name':'A','value':'1'}";
  const std::string renamed =
      "{'name':'T','valueFrom':{'secretKeyRef':{'name':'web-krake-complete-secret-token','key':'t'}}}";
  struct Row {
    const char* what;
    std::string manifest;
    std::string applied;
    std::string kept;
  };
  const std::vector<Row> rows = {
      {"Deployment", deployed(plain), deployed(with_env), deployed(with_env)},
      {"Pod", pod(plain), pod(with_env), pod(with_env)},
      {"certificate", deployed(plain), deployed(with_cert), deployed(with_cert)},
      {"mounted elsewhere than is said here", pod(plain),
       pod("'containers':[" +
           container("c", ",'volumeMounts':[{'name':'web-krake-complete-volume','mountPath':'/x'}]") + "],'volumes':[" +
           kVolume + "]"),
       pod("'containers':[" +
           container("c", ",'volumeMounts':[{'name':'web-krake-complete-volume','mountPath':'/x'}]") + "],'volumes':[" +
           kVolume + "]")},
      {"the user's own volume where the certificate would be, then dropped", pod(plain),
       pod("'containers':[" + container("c", ",'volumeMounts':[{'name':'v','mountPath':'/etc/krake_complete_cert'}]") +
           "],'volumes':[{'name':'v','secret':{}}]"),
       pod(plain)},
      {"the user's own URL, then dropped", pod(plain), pod("'containers':[" + container("c", env(users)) + "]"),
       pod(plain)},
      {"names upstream was told", pod(plain), pod("'containers':[" + container("c", env(renamed)) + "]"),
       pod("'containers':[" + container("c", env(renamed)) + "]")},
      {"several containers", pod("'containers':[" + container("a") + "," + container("b", env(other)) + "]"),
       pod("'containers':[" + container("b", env(other + "," + kEnv)) + "," + container("a", env(kEnv)) + "]"),
       pod("'containers':[" + container("a", env(kEnv)) + "," + container("b", env(other + "," + kEnv)) + "]")},
      {"a container that is new", pod("'containers':[" + container("c") + "," + container("new") + "]"), pod(with_env),
       pod("'containers':[" + container("c", env(kEnv)) + "," + container("new") + "]")},
      {"the user's own", pod("'containers':[" + container("c", env(users)) + "]"),
       pod("'containers':[" + container("c", env(users + "," + kToken)) + "]"),
       pod("'containers':[" + container("c", env(users + "," + kToken)) + "]")},
      {"what the user drops goes", pod(plain), pod("'containers':[" + container("c", env(other + "," + kEnv)) + "]"),
       pod(with_env)},
      {"another image", deployed("'containers':[" + container("c", "", "new") + "]"), deployed(with_env),
       deployed("'containers':[" + container("c", env(kEnv), "new") + "]")},
      {"env: null", pod("'containers':[" + container("c", ",'env':null") + "]"), pod(with_env), pod(with_env)},
      {"no list", pod("'containers':[" + container("c", ",'env':7") + "]"), pod(with_env),
       pod("'containers':[" + container("c", ",'env':7") + "]")},
      {"an object that is new", pod(plain, "new"), pod(with_env), pod(plain, "new")},
      {"of another namespace",
       "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p','namespace':'n'},'spec':{" + plain + "}}", pod(with_env),
       "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p','namespace':'n'},'spec':{" + plain + "}}"},
      {"its Secrets", pod(plain),
       secret("web-krake-complete-secret-certs") + "," + pod(with_env) + "," +
           secret("web-krake-complete-secret-token") + "," + secret("other"),
       pod(with_env) + "," + secret("web-krake-complete-secret-certs") + "," +
           secret("web-krake-complete-secret-token")},
      {"a Secret the user has", secret("web-krake-complete-secret-token"), secret("web-krake-complete-secret-token"),
       secret("web-krake-complete-secret-token")},
      {"nothing like a pod", "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p'},'spec':[]}", pod(with_env),
       "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p'},'spec':[]}"},
  };
  const auto hooks = injected_hooks(hooked());
  for (const auto& row : rows) {
    const auto kept =
        keep_hooks(array_of("[" + row.manifest + "]"), array_of("[" + row.applied + "]"), hooks, "default");
    EXPECT_EQ(json::print(kept), json::print(array_of("[" + row.kept + "]"))) << row.what;
    EXPECT_EQ(keep_hooks(kept, array_of("[" + row.applied + "]"), hooks, "default"), kept) << row.what;
  }
}

TEST(KeepHooks, OnlyOfHooksWithAToken) {
  const auto count = [](const Application& app) { return injected_hooks(app).size(); };
  auto app = hooked({"complete", "shutdown"});
  EXPECT_EQ(count(app), 1U);
  app.status.shutdown_token = "t";
  EXPECT_EQ(count(app), 2U);
  app.status.complete_token.reset();
  ASSERT_EQ(count(app), 1U);
  EXPECT_EQ(injected_hooks(app)[0].volume, "web-krake-shutdown-volume");
  EXPECT_EQ(count(hooked({})), 0U) << "the user has taken the hook away";
}

TEST(KeepHooks, LimitsOfACustomSchemaAreRaised) {
  const auto schema = [](int min, int max) {
    return array_of("[" +
                    pod("'containers':[{'name':null,'env':[{'name':null},{'observer_schema_list_min_length':" +
                        std::to_string(min) + ",'observer_schema_list_max_length':" + std::to_string(max) +
                        "}]},{'observer_schema_list_min_length':1,'observer_schema_list_max_length':1}]") +
                    "]");
  };
  const auto manifest = array_of("[" + pod("'containers':[" + container("c", env("{'name':'A'}")) + "]") + "]");
  const auto kept = array_of("[" + pod("'containers':[" + container("c", env("{'name':'A'}," + kEnv)) + "]") + "]");
  EXPECT_EQ(widen_schema(schema(1, 1), manifest, kept), schema(3, 3));
  EXPECT_EQ(widen_schema(schema(0, 0), manifest, kept), schema(2, 0)) << "no limit stays none";
  EXPECT_EQ(widen_schema(schema(1, 1), manifest, manifest), schema(1, 1));
  EXPECT_EQ(widen_schema({}, manifest, kept), json::Array());
}

// ---- with the controller

json::Object with_env(const std::string& name, const std::string& entries) {
  auto text = json::print(deployment(name));
  const std::string image = R"("image":"nginx")";
  text.replace(text.find(image), image.size(), image + env(entries));
  return object_of(text);
}

void post_as_upstream(Bench& bench, const std::string& target, const json::Object& object) {
  auto dialled = bench.dialer.dial({.url = Bench::url("one")});
  HttpRequest post{.method = "POST", .target = target, .headers = {}, .body = json::print(object)};
  post.headers.add("Content-Type", "application/json");
  post.headers.add("Authorization", "Bearer sim-token");
  post.headers.add("User-Agent", "OpenAPI-Generator/22.6.0/python");
  ASSERT_EQ(bench.api.world.run((*dialled)->send(post))->status, 201);
}

// In place from upstream: no Pod is rolled, and a new image comes with the hook.
TEST(KeepHooks, ARunningApplicationOfUpstreamIsNotRolled) {
  const auto log_file = std::filesystem::path(::testing::TempDir()) / fmt::format("krake-hooks-{}", ::getpid());
  Bench bench({"one"});
  bench.stop();
  bench.ticks = true;
  bench.ticking_env.log = *Log::open({.level = LogLevel::info, .file = log_file.string()});
  const auto hooked = with_env("web", kEnv);
  const auto token = object_of(secret("web-krake-complete-secret-token"));
  Application app;
  app.metadata.name = "web";
  app.spec.manifest = {deployment("web")};
  app.spec.hooks = {"complete", "shutdown"};
  ASSERT_TRUE(bench.api.world.run(bench.user.create<Application>("demo", app)));
  bench.bind("web", "one");
  post_as_upstream(bench, "/apis/apps/v1/namespaces/default/deployments", hooked);
  post_as_upstream(bench, "/api/v1/namespaces/default/secrets", token);
  const json::Array both{hooked, token};
  json::Object status{{"state", "RUNNING"},
                      {"running_on", to_value(Bench::ref("one"))},
                      {"complete_token", "t"},
                      {"mangled_observer_schema", manifest::mangle({}, both)},
                      {"last_observed_manifest", both},
                      {"last_applied_manifest", both}};
  ASSERT_TRUE(bench.api.world.run(bench.user.patch_status<Application>(Bench::key("web"), status)));
  const auto live = [&] { return bench.sim("one").find("deployments", "default", "web"); };
  const auto template_of = [&] { return json::print(*live()->at_path({"spec", "template"})); };
  const auto generation = live()->int_at({"metadata", "generation"});
  const auto before = template_of();
  bench.start();
  ASSERT_TRUE(bench.wait([&] {
    return live()->string_at({"metadata", "labels", kApplicationUid}) == bench.get("web")->metadata.uid;
  })) << json::print(*live());
  ASSERT_TRUE(bench.healthy_on("web", "one")) << bench.show("web");
  EXPECT_EQ(template_of(), before);
  EXPECT_EQ(live()->int_at({"metadata", "generation"}), generation);
  EXPECT_TRUE(bench.sim("one").find("secrets", "default", "web-krake-complete-secret-token"));
  bench.expect_silence();
  std::stringstream told;
  told << std::ifstream(log_file).rdbuf();
  const auto first = told.str().find("upstream's hooks");
  EXPECT_NE(first, std::string::npos) << told.str();
  EXPECT_EQ(told.str().find("upstream's hooks", first + 1), std::string::npos) << "said once";

  auto changed = json::print(deployment("web"));
  changed.replace(changed.find("nginx"), 5, "other");
  bench.update("web", {object_of(changed)});
  bench.bind("web", "one");
  ASSERT_TRUE(bench.wait([&] { return template_of().contains("other"); })) << template_of();
  ASSERT_TRUE(bench.healthy_on("web", "one")) << bench.show("web");
  EXPECT_THAT(template_of(), HasSubstr("KRAKE_COMPLETE_TOKEN"));
  EXPECT_TRUE(bench.sim("one").find("secrets", "default", "web-krake-complete-secret-token"));

  // Who takes the hook away gets rid of it.
  ASSERT_TRUE(bench.api.world.run(bench.user.patch<Application>(
      Bench::key("web"), json::Object{{"spec", json::Object{{"hooks", json::Array()}}}})));
  bench.bind("web", "one");
  ASSERT_TRUE(bench.wait([&] { return !template_of().contains("KRAKE_COMPLETE_TOKEN"); })) << template_of();
  EXPECT_TRUE(
      bench.wait([&] { return !bench.sim("one").find("secrets", "default", "web-krake-complete-secret-token"); }));
  std::filesystem::remove(log_file);
}

}  // namespace
}  // namespace krake::application
