// Improvements over upstream that have no other test, by their number in docs/design: each additive, the stricter ones
// behind a switch.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "server/testing.h"

namespace krake::server {
namespace {

using krake::testing::TestServer;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::string_view kApps = "/kubernetes/namespaces/demo/applications";
constexpr std::string_view kClusters = "/kubernetes/namespaces/demo/clusters";
constexpr std::string_view kSecretText = "s3cr3t-token";

std::string app(std::string_view name) { return fmt::format("{}/{}", kApps, name); }
std::string application(std::string_view name, std::string_view more = {}) {
  return fmt::format(
      R"({{"metadata":{{"name":"{}"}},"spec":{{"manifest":[{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"c"}}}}],"constraints":{{"cluster":{{}}}}{}}}}})",
      name, more);
}
std::string cluster(std::string_view name, std::string_view token = kSecretText) {
  return fmt::format(
      R"({{"metadata":{{"name":"{}"}},"spec":{{"kubeconfig":{{"apiVersion":"v1","kind":"Config","current-context":"x","contexts":[{{"name":"x","context":{{"cluster":"k","user":"u"}}}}],"clusters":[{{"name":"k","cluster":{{"server":"https://k.example"}}}}],"users":[{{"name":"u","user":{{"token":"{}"}}}}]}},"constraints":{{"cloud":{{}}}}}}}})",
      name, token);
}
std::string role(std::string_view name, std::string_view rules = "") {
  return fmt::format(R"({{"metadata":{{"name":"{}"}},"rules":[{}]}})", name, rules);
}
std::string rule(std::string_view api, std::string_view resource, std::string_view ns, std::string_view verbs) {
  return fmt::format(R"({{"api":"{}","resources":["{}"],"namespaces":["{}"],"verbs":[{}]}})", api, resource, ns, verbs);
}
std::string binding(std::string_view name, std::string_view user, std::string_view to) {
  return fmt::format(R"({{"metadata":{{"name":"{}"}},"users":["{}"],"roles":["{}"]}})", name, user, to);
}

ServerOptions with(void (*change)(AccessSwitches&)) {
  auto options = TestServer::under_shipped_roles();
  change(options.auth.access);
  return options;
}

// alice is an administrator; bob has the rules that are given.
struct Site : TestServer {
  explicit Site(ServerOptions options = TestServer::under_shipped_roles(), std::string_view rules = "")
      : TestServer(std::move(options)), bob(as("bob")) {
    give(rules);
  }
  void give(std::string_view rules) {
    if (call("GET", "/core/roles/bob").status == 404) {
      EXPECT_EQ(call("POST", "/core/roles", role("bob", rules)).status, 200);
      EXPECT_EQ(call("POST", "/core/rolebindings", binding("bob", "bob", "bob")).status, 200);
      return;
    }
    EXPECT_EQ(call("PATCH", "/core/roles/bob", fmt::format(R"({{"rules":[{}]}})", rules)).status, 200);
  }
  HttpResponse by_bob(std::string method, std::string target, std::string body = {}) {
    return call_as(*bob, std::move(method), std::move(target), std::move(body));
  }
  std::shared_ptr<Transport> bob;
};

std::vector<std::string> warnings(const HttpResponse& answer) {
  std::vector<std::string> found;
  for (const auto& [name, value] : answer.headers) {
    if (iequals(name, "Warning")) found.push_back(value);
  }
  return found;
}

std::string lines(TestServer& t, ByteStream& stream, std::ptrdiff_t count) {
  std::string text;
  while (std::ranges::count(text, '\n') < count) text += *t.world.run(stream.read());
  return text;
}

TEST(W4, AWatchGoesOnWhereAListEnds) {
  TestServer t;
  t.call("POST", std::string(kApps), application("a"));
  const auto list = t.get(std::string(kApps));
  const std::string at(list.string_at({"metadata", "resource_version"}));
  t.call("POST", std::string(kApps), application("b"));
  auto stream = t.world.run(t.transport->open({"GET", fmt::format("{}?watch&since={}", kApps, at), {}, ""}));
  const auto event = json::parse(lines(t, *stream->body, 1));
  ASSERT_TRUE(event);
  EXPECT_EQ(event->string_at({"object", "metadata", "name"}), "b");
}

TEST(W6, EveryWatcherGetsEveryEvent) {
  TestServer t;
  std::vector<HttpStream> watches;
  for (int i = 0; i < 40; ++i)
    watches.push_back(std::move(*t.world.run(t.transport->open({"GET", "/core/roles?watch&heartbeat=0", {}, ""}))));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(t.call("POST", "/core/roles", role(fmt::format("r{}", i))).status, 200);
  for (auto& watch : watches) EXPECT_EQ(std::ranges::count(lines(t, *watch.body, 100), '\n'), 100);
}

TEST(W7, AnswersSayWhatWasLeftOut) {
  TestServer t;
  store::Txn txn;
  txn.puts.push_back({"/core/roles/a", std::make_shared<const std::string>("not json")});
  ASSERT_TRUE(t.world.run(t.store->commit(std::move(txn))));
  const auto list = t.call("GET", "/core/roles");
  EXPECT_EQ(list.status, 200);
  EXPECT_THAT(warnings(list), ElementsAre(R"(299 krake "1 stored values of roles cannot be read and are left out")"));
  EXPECT_THAT(warnings(t.call("GET", "/core/globalmetrics")), ElementsAre());
}

TEST(Bodies, AreReadInTheirCharset) {
  TestServer t;
  ASSERT_EQ(t.call("POST", std::string(kApps), application("web")).status, 200);
  const auto patched = [&](std::string body, std::string type) {
    return t.call("PATCH", app("web"), std::move(body), {{"Content-Type", std::move(type)}}).status;
  };
  const auto hooks = [&] { return json::print(*t.get(app("web")).at_path({"spec", "hooks"})); };
  EXPECT_EQ(patched("{\"spec\":{\"hooks\":[\"\xFC\"]}}", "application/json; charset=latin-1"), 200);
  EXPECT_EQ(hooks(), "[\"\xC3\xBC\"]");
  std::string wide;
  for (const char c : std::string_view(R"({"spec":{"hooks":["wide"]}})")) wide += {c, '\0'};
  EXPECT_EQ(patched(wide, "text/plain; charset=utf-16le"), 200);
  EXPECT_EQ(hooks(), R"(["wide"])");
  EXPECT_EQ(patched(wide, "application/json"), 415);
  EXPECT_EQ(patched("{\"spec\":{\"hooks\":[\"\x80\"]}}", "application/json; charset=windows-1252"), 200);
  EXPECT_EQ(hooks(), "[\"\xE2\x82\xAC\"]");
  EXPECT_EQ(patched("{\"spec\":{\"hooks\":[\"\xFC\"]}}", "application/json; charset=us-ascii"), 415);
  EXPECT_EQ(patched("{}", "application/json; charset=nonsense"), 415);
}

TEST(W8, EnumsTakeTheirNamesAndNothingElse) {
  TestServer t;
  for (const char* verb : {"__doc__", "__class__", "name", "mro", "Create", "delete_", ""}) {
    const auto answer =
        t.call("POST", "/core/roles", role("r", rule("core", "roles", "", fmt::format("\"{}\"", verb))));
    EXPECT_EQ(answer.status, 422) << verb;
    EXPECT_THAT(answer.body, HasSubstr("Invalid enum member")) << verb;
  }
  t.call("POST", std::string(kApps), application("web"));
  for (const char* state : {"__doc__", "running", "__members__"}) {
    EXPECT_EQ(t.call("PATCH", app("web") + "/status", fmt::format(R"({{"status":{{"state":"{}"}}}})", state)).status,
              422)
        << state;
  }
  EXPECT_EQ(t.call("GET", "/core/roles/r").status, 404);
}

TEST(W11, SecretsAreForThoseWhoMayHaveThem) {
  Site t(with([](auto& s) { s.redact_secrets = true; }),
         rule("kubernetes", "clusters", "demo", R"("list","get","update","create","delete")"));
  auto stream = t.world.run(t.bob->open({"GET", fmt::format("{}?watch&heartbeat=0", kClusters), {}, ""}));
  auto selected =
      t.world.run(t.bob->open({"GET", fmt::format("{}?watch&heartbeat=0&labels=a%3Db", kClusters), {}, ""}));
  EXPECT_THAT(t.call("POST", std::string(kClusters), cluster("one")).body, HasSubstr(kSecretText));
  const auto hides = AllOf(Not(HasSubstr(kSecretText)), HasSubstr(R"("token":"********")"));
  EXPECT_THAT(t.call("GET", fmt::format("{}/one", kClusters)).body, HasSubstr(kSecretText));
  EXPECT_THAT(t.by_bob("GET", fmt::format("{}/one", kClusters)).body, hides);
  EXPECT_THAT(t.by_bob("GET", std::string(kClusters)).body, hides);
  EXPECT_THAT(t.by_bob("GET", "/kubernetes/clusters").body, hides);
  EXPECT_THAT(lines(t, *stream->body, 1), hides);
  // What he was shown can be written back, and leaves the secrets as they are.
  auto shown = TestServer::body_of(t.by_bob("GET", fmt::format("{}/one", kClusters)));
  shown.make_object()["metadata"].make_object().set("labels", json::Object{{"a", "b"}});
  const auto put = t.by_bob("PUT", fmt::format("{}/one", kClusters), json::print(shown));
  EXPECT_EQ(put.status, 200) << put.body;
  EXPECT_THAT(put.body, hides);
  EXPECT_THAT(lines(t, *stream->body, 1), hides);
  EXPECT_THAT(lines(t, *selected->body, 1), AllOf(hides, HasSubstr(R"("type":"ADDED")")));
  EXPECT_EQ(t.by_bob("PATCH", fmt::format("{}/one", kClusters), R"({"metadata":{"labels":{"a":"c"}}})").status, 200);
  EXPECT_THAT(lines(t, *selected->body, 1), AllOf(hides, HasSubstr(R"("type":"DELETED")")));
  EXPECT_THAT(t.call("GET", fmt::format("{}/one", kClusters)).body, HasSubstr(kSecretText));
  // And he may give new ones.
  EXPECT_THAT(t.by_bob("POST", std::string(kClusters), cluster("two", "of-bob")).body, Not(HasSubstr("of-bob")));
  EXPECT_THAT(t.call("GET", fmt::format("{}/two", kClusters)).body, HasSubstr("of-bob"));
  EXPECT_THAT(t.by_bob("DELETE", fmt::format("{}/one?force=True", kClusters)).body, hides);
  EXPECT_THAT(lines(t, *stream->body, 3), AllOf(hides, HasSubstr(R"("type":"DELETED")"), Not(HasSubstr("of-bob"))));
}

TEST(W11, TheRightToSecretsCountsAtOnceAndByNamespace) {
  Site t(with([](auto& s) { s.redact_secrets = true; }), rule("kubernetes", "clusters", "", R"("list","get")"));
  t.call("POST", std::string(kClusters), cluster("one"));
  t.call("POST", "/kubernetes/namespaces/other/clusters", cluster("two", "other-t0ken"));
  auto stream = t.world.run(t.bob->open({"GET", "/kubernetes/clusters?watch&heartbeat=0", {}, ""}));
  t.give(rule("kubernetes", "clusters", "", R"("list","get")") + "," +
         rule("kubernetes", "clusters/secrets", "other", R"("get")"));
  EXPECT_THAT(t.by_bob("GET", "/kubernetes/clusters").body,
              AllOf(Not(HasSubstr(kSecretText)), HasSubstr("other-t0ken")));
  EXPECT_FALSE(t.world.run(stream->body->read())) << "what was shown without its secret has to be read anew";
  stream = t.world.run(t.bob->open({"GET", "/kubernetes/clusters?watch&heartbeat=0", {}, ""}));
  t.call("PATCH", "/kubernetes/namespaces/other/clusters/two", R"({"metadata":{"labels":{"a":"b"}}})");
  EXPECT_THAT(lines(t, *stream->body, 1), HasSubstr("other-t0ken"));
}

TEST(W11, WhoIsShownTheSameSharesItsBytes) {
  TestServer t;
  t.call("POST", std::string(kClusters), cluster("one"));
  const Kind& kind = krake_registry().get("kubernetes", "Cluster");
  const auto object = t.server.cache().of(kind).find("demo", "one");
  ASSERT_TRUE(object);
  const auto first = without_secrets(kind, object);
  EXPECT_EQ(without_secrets(kind, object), first);
  EXPECT_EQ(first->line->find(*first->bytes), object->line->find(*object->bytes));
  EXPECT_THAT(std::string(*first->line), AllOf(Not(HasSubstr(kSecretText)), HasSubstr(R"("resource_version")")));
  // It is still an object of its kind.
  FieldErrors errors;
  EXPECT_TRUE(kind.decode(kind, *json::parse(*first->bytes), Form::full, errors)) << errors.render();
}

// A kind with secrets, all of which begin with the same text, and what bob needs to write it.
struct SecretKind {
  std::string_view group, plural, ns, body;
  std::string_view status = "{}";
  std::string collection() const {
    return ns.empty() ? fmt::format("/{}/{}", group, plural) : fmt::format("/{}/namespaces/{}/{}", group, ns, plural);
  }
};
constexpr std::string_view kPlanted = "pl4nted";
constexpr std::string_view kInflux =
    R"({"metadata":{"name":"x"},"spec":{"type":"influx","influx":{"url":"http://u","token":"pl4nted-1","org":"o","bucket":"b"}}})";
constexpr std::string_view kIm =
    R"({"metadata":{"name":"x"},"spec":{"type":"im","im":{"url":"http://u","username":"u","password":"pl4nted-1","token":"pl4nted-2"}}})";
constexpr std::string_view kCloud =
    R"({"metadata":{"name":"x"},"spec":{"type":"openstack","openstack":{"url":"http://u","auth":{"type":"password","password":{"user":{"username":"u","password":"pl4nted-1"},"project":{"name":"p"}}},"infrastructure_provider":{"name":"i"}}}})";
constexpr SecretKind kSecretKinds[] = {
    {"core", "globalmetricsproviders", "", kInflux},
    {"core", "metricsproviders", "demo", kInflux},
    {"kubernetes", "applications", "demo",
     R"({"metadata":{"name":"x"},"spec":{"manifest":[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"}}],"constraints":{"cluster":{}}}})",
     R"({"complete_token":"pl4nted-1","complete_cert":"pl4nted-2","complete_key":"pl4nted-3","shutdown_token":"pl4nted-4","shutdown_cert":"pl4nted-5","shutdown_key":"pl4nted-6"})"},
    {"kubernetes", "clusters", "demo",
     R"({"metadata":{"name":"x"},"spec":{"kubeconfig":{"current-context":"pl4nted-1","contexts":[{"name":"pl4nted-1","context":{"cluster":"pl4nted-2","user":"pl4nted-3"}}],"clusters":[{"name":"pl4nted-2","cluster":{"server":"pl4nted-4"}}],"users":[{"name":"pl4nted-3","user":{"token":"pl4nted-5"}}]},"constraints":{"cloud":{}}}})"},
    {"infrastructure", "globalinfrastructureproviders", "", kIm},
    {"infrastructure", "infrastructureproviders", "demo", kIm},
    {"infrastructure", "globalclouds", "", kCloud},
    {"infrastructure", "clouds", "demo", kCloud},
    {"openstack", "projects", "demo",
     R"({"metadata":{"name":"x"},"spec":{"url":"http://u","template":"t","auth":{"type":"application_credential","application_credential":{"id":"i","secret":"pl4nted-1"}}}})"},
};

// Copies of `whole`, each with one value in it, at any depth, replaced by one of another shape.
void spoil(const json::Value& whole, json::Value& here, std::vector<json::Value>& out) {
  auto kept = here;
  for (const auto& other : {json::Value(), json::Value(5), json::Value("x"), json::Value(json::Object())}) {
    here = other;
    out.push_back(whole);
  }
  here = std::move(kept);
  if (auto* object = here.if_object()) {
    for (auto& entry : *object) spoil(whole, entry.second, out);
  } else if (auto* array = here.if_array()) {
    for (auto& element : *array) spoil(whole, element, out);
  }
}

// Whatever a caller makes of what he was shown, with the secrets put back or in what he leaves alone: no answer has
// them, also those that say what is wrong.
TEST(W11, ProblemsQuoteNoSecrets) {
  std::set<std::string_view> covered;
  for (const auto& kind : kSecretKinds) {
    covered.insert(kind.plural);
    const auto rights = rule("", kind.plural, "", R"("get","update")") + "," +
                        rule("", fmt::format("{}/status", kind.plural), "", R"("update")");
    Site t(with([](auto& s) { s.redact_secrets = true; }), rights);
    ASSERT_EQ(t.call("POST", kind.collection(), std::string(kind.body)).status, 200) << kind.plural;
    const auto path = kind.collection() + "/x";
    const bool has_status = kind.status != "{}";
    const auto status = fmt::format(R"({{"status":{}}})", kind.status);
    if (has_status) ASSERT_EQ(t.call("PATCH", path + "/status", status).status, 200) << kind.plural;
    const auto full = t.get(path);
    const auto shown = TestServer::body_of(t.by_bob("GET", path));
    std::size_t refused = 0;
    for (const std::string_view part : {"spec", "status"}) {
      if (part == "status" && !has_status) continue;
      auto whole = *shown.at_path({part});
      std::vector<json::Value> spoiled;
      spoil(whole, whole, spoiled);
      for (const auto& value : spoiled) {
        const auto to = part == "status" ? path + "/status" : path;
        const auto patched = t.by_bob("PATCH", to, json::print(json::Object{{std::string(part), value}}));
        EXPECT_THAT(patched.body, Not(HasSubstr(kPlanted))) << to << json::print(value);
        auto document = shown;
        document.make_object().set(part, value);
        const auto put = t.by_bob("PUT", to, json::print(document));
        EXPECT_THAT(put.body, Not(HasSubstr(kPlanted))) << to << json::print(value);
        for (const auto* answer : {&patched, &put}) refused += answer->status == 422 ? 1 : 0;
        if (patched.status == 422 && put.status == 422) continue;
        ASSERT_EQ(t.call("PATCH", path, json::print(json::Object{{"spec", *full.at_path({"spec"})}})).status, 200);
        if (has_status) ASSERT_EQ(t.call("PATCH", path + "/status", status).status, 200);
      }
    }
    EXPECT_GT(refused, 20U) << kind.plural;
  }
  for (const auto& kind : krake_registry().kinds())
    EXPECT_EQ(covered.contains(kind->plural), kind->mask != nullptr) << kind->plural;
}

TEST(W11, WhatIsWrongIsSaidInWhatIsShown) {
  Site t(with([](auto& s) { s.redact_secrets = true; }),
         rule("kubernetes", "clusters", "demo", R"("get","update","create")"));
  const auto one = fmt::format("{}/one", kClusters);
  ASSERT_EQ(t.call("POST", std::string(kClusters), cluster("one")).status, 200);
  const auto renamed =
      t.by_bob("PATCH", one, R"({"spec":{"kubeconfig":{"contexts":[{"name":"other","context":{"cluster":"k"}}]}}})");
  EXPECT_EQ(renamed.status, 422);
  EXPECT_THAT(renamed.body, HasSubstr("Expected object with name ******** in kube-config/contexts list"));
  // Who may see them is told as ever.
  EXPECT_THAT(t.call("PATCH", one, R"({"spec":{"kubeconfig":{"contexts":[{"name":"other"}]}}})").body,
              HasSubstr("Expected object with name x in"));
  // Somebody stored what is wrong only where nobody looks: that it is, and where, but not what.
  auto stored = t.get(one);
  stored.make_object()["metadata"].make_object().erase("resource_version");
  stored.make_object()["spec"].make_object()["kubeconfig"].make_object().set("current-context", "pl4nted");
  store::Txn txn;
  txn.puts.push_back({"/kubernetes/clusters/demo/one", std::make_shared<const std::string>(json::print(stored))});
  ASSERT_TRUE(t.world.run(t.store->commit(std::move(txn))));
  auto shown = TestServer::body_of(t.by_bob("GET", one));
  shown.make_object()["spec"].make_object().set("backoff", 7);
  for (const auto& answer :
       {t.by_bob("PATCH", one, R"({"spec":{"backoff":7}})"), t.by_bob("PUT", one, json::print(shown))}) {
    EXPECT_EQ(answer.status, 422);
    EXPECT_THAT(answer.body, AllOf(HasSubstr("'kubeconfig': ['Not valid together with what is stored here"),
                                   Not(HasSubstr(kPlanted))));
  }
}

TEST(W12, ATokenMayBeGoodForOneUse) {
  for (const bool once : {false, true}) {
    auto options = TestServer::open_to_all();
    options.auth.access.one_time_hook_tokens = once;
    TestServer t(options);
    t.call("POST", std::string(kApps), application("web"));
    t.call("PATCH", app("web") + "/status", R"({"status":{"complete_token":"c","shutdown_token":"s"}})");
    EXPECT_EQ(t.call("PUT", app("web") + "/shutdown", R"({"token":"x"})").status, 401);
    for (const char* hook : {"/shutdown", "/complete"}) {
      const std::string body = fmt::format(R"({{"token":"{}"}})", hook[1]);
      EXPECT_EQ(t.call("PUT", app("web") + hook, body).status, 200) << hook;
      EXPECT_EQ(t.call("PUT", app("web") + hook, body).status, once ? 401 : 200) << hook;
    }
  }
}

TEST(W13, ARepeatedCompleteDoesNotMoveTheDeletion) {
  TestServer t;
  t.call("POST", std::string(kApps), application("web"));
  t.call("PATCH", app("web") + "/status", R"({"status":{"complete_token":"c"}})");
  const auto first = TestServer::body_of(t.call("PUT", app("web") + "/complete", R"({"token":"c"})"));
  t.world.run(sleep_for(t.world.clock, std::chrono::seconds(5)));
  const auto again = TestServer::body_of(t.call("PUT", app("web") + "/complete", R"({"token":"c"})"));
  EXPECT_EQ(first.string_at({"metadata", "deleted"}), again.string_at({"metadata", "deleted"}));
}

TEST(W15, ForceIsSpelledInThreeWaysAndMayNeedARight) {
  for (const char* spelled : {"True", "true", "1", "False", "yes"}) {
    TestServer t;
    t.call("POST", std::string(kApps), application("web"));
    EXPECT_EQ(t.call("DELETE", fmt::format("{}?force={}", app("web"), spelled)).status, 200);
    const bool forces = std::string_view(spelled) != "False" && std::string_view(spelled) != "yes";
    EXPECT_EQ(t.call("GET", app("web")).status, forces ? 404 : 200) << spelled;
  }
  const auto deletes = rule("kubernetes", "applications", "demo", R"("delete")");
  Site t(with([](auto& s) { s.force_needs_right = true; }), deletes);
  t.call("POST", std::string(kApps), application("web"));
  const auto refused = t.by_bob("DELETE", app("web") + "?force=true");
  EXPECT_EQ(refused.status, 403);
  EXPECT_THAT(refused.body, HasSubstr("applications/force"));
  EXPECT_EQ(t.by_bob("DELETE", app("web")).status, 200);
  t.give(deletes + "," + rule("kubernetes", "applications/force", "demo", R"("delete")"));
  EXPECT_EQ(t.by_bob("DELETE", app("web") + "?force=true").status, 200);
  EXPECT_EQ(t.call("GET", app("web")).status, 404);
}

// A finalizer is taken away by whom it belongs to, or by who may force: else DELETE and an update would be a force.
TEST(W15, NobodyTakesAwayTheFinalizersOfOthers) {
  const auto updates = rule("kubernetes", "applications", "demo", R"("get","update","delete")");
  const auto forces = updates + "," + rule("kubernetes", "applications/force", "demo", R"("delete")");
  const auto finalizers = [](std::string_view list) {
    return fmt::format(R"({{"metadata":{{"finalizers":[{}]}}}})", list);
  };
  struct Case {
    std::string_view who, from, to;
    bool deleted, refused;
  };
  constexpr std::string_view kApp = R"("kubernetes_resources_deletion")", kGc = R"("cascade_deletion")";
  const Case cases[] = {
      {"bob", kApp, "", true, true},       // what upstream takes for a deletion
      {"bob", kApp, kGc, true, true},      // the collector would do the rest
      {"bob", kApp, kApp, true, true},     // its dependents would be forgotten
      {"bob", kApp, "", false, true},      // before the deletion
      {"bob", R"("x")", kGc, true, true},  // of whomever
      {"bob", R"("x")", "", false, true},
      {"bob", R"("bobby")", kGc, true, true},
      {"bob", kGc, "", false, false},         // DELETE puts it there anyway
      {"bob", R"("bob")", kGc, true, false},  // his own
      {"bob", R"("bob/clean-up")", kGc, true, false},
      {"system:kubernetes-application", kApp, kGc, true, false},
      {"system:kubernetes-application", kApp, "", true, true},
      {"system:gc", kApp, kApp, true, false},
      {"system:gc", kApp, kGc, true, true},
  };
  for (const auto& c : cases) {
    for (const bool needed : {true, false}) {
      for (const bool may : {false, true}) {
        const auto label = fmt::format("{}: [{}] to [{}], deleted {}, switch {}, right {}", c.who, c.from, c.to,
                                       c.deleted, needed, may);
        auto options = TestServer::under_shipped_roles();
        options.auth.access.force_needs_right = needed;
        Site t(options, may ? forces : updates);
        t.call("POST", std::string(kApps), application("web"));
        t.call("PATCH", app("web"), finalizers(c.from));
        if (c.deleted) t.call("DELETE", app("web"));
        const auto line = t.as(std::string(c.who));
        const auto answer = t.call_as(*line, "PATCH", app("web"), finalizers(c.to));
        const bool refused = c.refused && needed && !(may && c.who == "bob");
        EXPECT_EQ(answer.status, refused ? 403 : 200) << label << answer.body;
        if (!refused) continue;
        EXPECT_THAT(answer.body, HasSubstr("applications/force")) << label;
        // Neither by a PUT.
        auto document = t.get(app("web"));
        auto& metadata = document.make_object()["metadata"].make_object();
        metadata.set("finalizers", *json::parse(finalizers(c.to))->at_path({"metadata", "finalizers"}));
        EXPECT_EQ(t.call_as(*line, "PUT", app("web"), json::print(document)).status, 403) << label;
        // Everything else may be changed.
        EXPECT_EQ(t.call_as(*line, "PATCH", app("web"), R"({"metadata":{"labels":{"a":"b"}}})").status, 200) << label;
      }
    }
  }
  // By the role of the controller, whatever the name.
  Site t(with([](auto& s) { s.force_needs_right = true; }), updates);
  t.call("POST", std::string(kApps), application("web"));
  t.call("PATCH", app("web"), finalizers(kApp));
  t.call("DELETE", app("web"));
  EXPECT_EQ(t.by_bob("PATCH", app("web"), finalizers(kGc)).status, 403);
  t.call("POST", "/core/rolebindings", binding("bobs", "bob", "role:system:kubernetes-application"));
  EXPECT_EQ(t.by_bob("PATCH", app("web"), finalizers(kGc)).status, 200);
  EXPECT_EQ(t.call("PATCH", app("web"), finalizers("")).status, 200) << "an administrator may";
  EXPECT_EQ(t.call("GET", app("web")).status, 404);
}

TEST(W16, NamesInPathsKeepTheAlphabetOfNames) {
  TestServer t;
  for (const char* ns : {"a%20b", "a%2Fb", "%C3%A4", "-a", "a%00"}) {
    const std::string path = fmt::format("/kubernetes/namespaces/{}/applications", ns);
    EXPECT_EQ(t.call("POST", path, application("web")).status, 422) << ns;
    EXPECT_EQ(t.call("GET", path + "/web").status, 404) << ns;
    EXPECT_EQ(t.call("DELETE", path + "/web").status, 404) << ns;
  }
  EXPECT_THAT(t.call("GET", "/kubernetes/applications").body, HasSubstr(R"("items":[])"));
}

TEST(W17, WhatUpstreamAnswersWith500IsTheClientsError) {
  TestServer t;
  const auto manifest = [](std::string_view text) {
    return fmt::format(R"({{"metadata":{{"name":"x"}},"spec":{{"manifest":{},"constraints":{{"cluster":{{}}}}}}}})",
                       text);
  };
  const std::vector<std::pair<std::string, int>> bodies = {
      {manifest(R"([{"apiVersion":"v1","kind":"C","metadata":null}])"), 422},
      {manifest(R"([{"apiVersion":"v1","kind":"C","metadata":[]}])"), 422},
      {application("x", R"(,"observer_schema":[{"apiVersion":"v1","kind":"C","metadata":{"name":"c"},"x":1}])"), 422},
      {application(
           "x",
           R"(,"tosca":{"tosca_definitions_version":"tosca_simple_yaml_1_0","topology_template":null,"node_types":null})"),
       422},
      {"\xff\xfe{}", 415},
  };
  for (const auto& [body, status] : bodies) {
    const Headers unknown{{"Content-Type", "application/json; charset=none"}};
    EXPECT_EQ(t.call("POST", std::string(kApps), body, unknown).status, 415);
    const auto answer = t.call("POST", std::string(kApps), body, {{"Content-Type", "application/json; charset=utf-8"}});
    if (answer.status == 200) {
      EXPECT_EQ(t.call("DELETE", app("x") + "?force=1").status, 200);  // accepting is no 500 either
      continue;
    }
    EXPECT_EQ(answer.status, status) << body << answer.body;
  }
  for (
      const char* kubeconfig :
      {R"({"current-context":"x","contexts":"x"})",
       R"({"current-context":"x","contexts":[{"name":"x","context":{"cluster":"k","user":"u"}}],"clusters":[{"name":"k","cluster":{}}]})",
       R"({"current-context":[],"contexts":[1]})"}) {
    const auto answer =
        t.call("POST", std::string(kClusters),
               fmt::format(R"({{"metadata":{{"name":"x"}},"spec":{{"kubeconfig":{},"constraints":{{"cloud":{{}}}}}}}})",
                           kubeconfig));
    EXPECT_EQ(answer.status, 422) << kubeconfig << answer.body;
  }
}

TEST(W20, TheFilterCanBeSwitchedOff) {
  for (const bool filters : {true, false}) {
    auto options = TestServer::under_shipped_roles();
    options.auth.access.filter_namespaces = filters;
    Site t(options, rule("kubernetes", "applications", "other", R"("list")"));
    t.call("POST", std::string(kApps), application("web"));
    const auto list = t.by_bob("GET", "/kubernetes/applications");
    EXPECT_EQ(list.status, 200);
    EXPECT_EQ(list.body.find(R"("name":"web")") == std::string::npos, filters);
  }
}

// What came into sight was there before, and what went out of it may be gone when it is back: there is no event for
// either, so that whoever follows must list anew.
TEST(W20, AWatchEndsWhenOtherNamespacesAreToBeSeenAndIsNotTakenUpFromBefore) {
  const auto in = [](std::string_view ns) { return rule("kubernetes", "applications", ns, R"("list")"); };
  struct Case {
    const char* name;
    std::string before, now;
    bool goes_on;  // for who watches namespace demo alone
  };
  const Case cases[] = {{"one more", in("demo"), in("demo") + "," + in("other"), true},
                        {"one less", in("demo") + "," + in("other"), in("demo"), true},
                        {"another one", in("demo"), in("other"), false},
                        {"all of them", in("demo"), in(""), true}};
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    Site t(TestServer::under_shipped_roles(), c.before);
    const auto watch = [&](std::string_view where, std::string_view more = "") {
      return *t.world.run(
          t.bob->open({"GET", fmt::format("/kubernetes{}/applications?watch&bookmarks=true{}", where, more), {}, ""}));
    };
    const auto since = [&] {
      return std::string(t.get("/kubernetes/applications").string_at({"metadata", "resource_version"}));
    };
    const auto before = since();
    EXPECT_EQ(watch("", "&since=" + before).status, 200);
    auto everywhere = watch("");
    auto there = watch("/namespaces/demo");
    t.give(c.now);
    EXPECT_FALSE(t.world.run(everywhere.body->read()));
    t.call("POST", std::string(kApps), application("web"));
    const auto went_on = t.world.run(there.body->read());
    EXPECT_EQ(went_on && went_on->contains(R"("name":"web")"), c.goes_on);
    EXPECT_EQ(watch("", "&since=" + before).status, 410);
    EXPECT_EQ(watch("", "&since=" + since()).status, 200);
    if (c.goes_on) EXPECT_EQ(watch("/namespaces/demo", "&since=" + before).status, 200);
  }
}

TEST(W22, NobodyGivesWhatHeDoesNotHave) {
  const auto own = rule("core", "roles", "", R"("create","update","get")") + "," +
                   rule("core", "rolebindings", "", R"("create","update","get")") + "," +
                   rule("kubernetes", "applications", "demo", R"("get","list")");
  Site t(with([](auto& s) { s.strict_roles = true; }), own);
  const auto some = rule("kubernetes", "applications", "demo", R"("get")");
  const auto more = rule("kubernetes", "applications", "", R"("get")");
  EXPECT_EQ(t.by_bob("POST", "/core/roles", role("some", some)).status, 200);
  const auto refused = t.by_bob("POST", "/core/roles", role("more", more));
  EXPECT_EQ(refused.status, 403);
  EXPECT_THAT(refused.body, HasSubstr("applications"));
  EXPECT_EQ(t.by_bob("PATCH", "/core/roles/some", fmt::format(R"({{"rules":[{}]}})", more)).status, 403);
  EXPECT_EQ(t.by_bob("PATCH", "/core/roles/some", R"({"metadata":{"labels":{"a":"b"}}})").status, 200);
  EXPECT_EQ(t.by_bob("POST", "/core/rolebindings", binding("mine", "bob", "role:system")).status, 403);
  EXPECT_EQ(t.by_bob("POST", "/core/rolebindings", binding("later", "bob", "nobody-made-it")).status, 403);
  EXPECT_EQ(t.by_bob("POST", "/core/rolebindings", binding("fine", "carol", "some")).status, 200);
  EXPECT_EQ(t.by_bob("PATCH", "/core/rolebindings/alice", R"({"users":["alice","bob"]})").status, 403);
  // The administrator holds everything.
  EXPECT_EQ(t.call("POST", "/core/roles", role("more", more)).status, 200);
  // Without the switch, creating them is a right as any other.
  Site loose(TestServer::under_shipped_roles(), own);
  EXPECT_EQ(loose.by_bob("POST", "/core/rolebindings", binding("mine", "bob", "role:system")).status, 200);
}

TEST(W22, WhatIsBeingDeletedGivesNothing) {
  const auto list = rule("kubernetes", "applications", "", R"("list")");
  for (const bool strict : {true, false}) {
    auto options = TestServer::under_shipped_roles();
    options.auth.access.strict_roles = strict;
    Site t(options, list);
    EXPECT_EQ(t.by_bob("GET", std::string(kApps)).status, 200);
    EXPECT_EQ(t.call("DELETE", "/core/rolebindings/bob").status, 200);
    EXPECT_EQ(t.by_bob("GET", std::string(kApps)).status, strict ? 403 : 200);
  }
}

TEST(W30, StrictBodiesHaveNoUnknownKeys) {
  TestServer t;
  const auto with_typo = application("web", R"(,"bakoff":3,"constraints2":{})");
  const auto refused = t.call("POST", std::string(kApps) + "?strict=true", with_typo);
  EXPECT_EQ(refused.status, 422);
  EXPECT_THAT(refused.body, AllOf(HasSubstr("'bakoff': ['Unknown field.']"), HasSubstr("constraints2")));
  EXPECT_EQ(t.call("POST", std::string(kApps), with_typo).status, 200);
  // What was read is never unknown; neither is what only upstream or only we have.
  auto read = t.get(app("web"));
  read.make_object()["metadata"].make_object().set("labels", json::Object{{"a", "b"}});
  EXPECT_EQ(t.call("PUT", app("web") + "?strict=true", json::print(read)).status, 200);
  read.make_object()["metadata"].make_object().set("lables", json::Object());
  EXPECT_EQ(t.call("PUT", app("web") + "?strict=1", json::print(read)).status, 422);
  EXPECT_EQ(t.call("PATCH", app("web") + "?strict=true", R"({"spec":{"bakoff":3}})").status, 422);
  EXPECT_EQ(t.call("PATCH", app("web") + "?strict=true", R"({"spec":{"backoff":3}})").status, 200);
  EXPECT_EQ(t.call("PATCH", app("web") + "/status?strict=true", R"({"status":{"services":{"any":"x"}}})").status, 200);
  EXPECT_EQ(t.call("PATCH", app("web") + "/status?strict=true", R"({"status":{"sate":"RUNNING"}})").status, 422);
  // What upstream has stored and nobody here knows does not make it known.
  auto stored = t.get(app("web"));
  stored.make_object()["metadata"].make_object().erase("resource_version");
  stored.make_object()["status"].make_object().set("future", 1);
  store::Txn txn;
  txn.puts.push_back({"/kubernetes/applications/demo/web", std::make_shared<const std::string>(json::print(stored))});
  ASSERT_TRUE(t.world.run(t.store->commit(std::move(txn))));
  EXPECT_EQ(t.call("PATCH", app("web") + "/status?strict=true", R"({"status":{"future":2}})").status, 422);
  EXPECT_EQ(t.call("PATCH", app("web") + "/status", R"({"status":{"future":2,"state":"RUNNING"}})").status, 200);
  EXPECT_EQ(t.get(app("web")).int_at({"status", "future"}), 1);
  // Bindings and hooks have bodies, too.
  const auto bind = [&](std::string_view more, std::string_view in_ref) {
    return t.call("PUT", app("web") + "/binding?strict=true",
                  fmt::format(R"({{"api":"kubernetes","kind":"ClusterBinding",{}"cluster":{{"api":"kubernetes",{})"
                              R"("kind":"Cluster","namespace":"demo","name":"c"}}}})",
                              more, in_ref));
  };
  EXPECT_EQ(bind("", "").status, 200);
  EXPECT_EQ(bind(R"("project":{},)", "").status, 422);
  EXPECT_THAT(bind("", R"("namespce":"x",)").body, HasSubstr("{'cluster': {'namespce': ['Unknown field.']}}"));
  t.call("PATCH", app("web") + "/status", R"({"status":{"shutdown_token":"s"}})");
  EXPECT_EQ(t.call("PUT", app("web") + "/shutdown?strict=true", R"({"token":"s","tokn":"s"})").status, 422);
  EXPECT_EQ(t.call("PUT", app("web") + "/shutdown", R"({"token":"s","tokn":"s"})").status, 200);
  EXPECT_EQ(t.call("PUT", app("web") + "/shutdown?strict=true", R"({"token":"s","kind":"Shutdown"})").status, 200);
  // A new object may say of its status what it likes.
  EXPECT_EQ(t.call("POST", std::string(kClusters) + "?strict=true", cluster("c")).status, 200);
}

TEST(W31, WhatHasNoNamespaceGetsNone) {
  TestServer t;
  const auto made =
      TestServer::body_of(t.call("POST", "/core/roles", R"({"metadata":{"name":"r","namespace":"demo"},"rules":[]})"));
  EXPECT_TRUE(made.at_path({"metadata", "namespace"})->is_null());
}

TEST(W32, APutForAnotherObjectOfThatNameCanBeRefused) {
  for (const bool checks : {false, true}) {
    auto options = TestServer::open_to_all();
    options.auth.access.check_uid = checks;
    TestServer t(options);
    t.call("POST", std::string(kApps), application("web"));
    auto old = t.get(app("web"));
    t.call("DELETE", app("web") + "?force=1");
    t.call("POST", std::string(kApps), application("web"));
    old.make_object()["metadata"].make_object().set("labels", json::Object{{"a", "b"}});
    const auto answer = t.call("PUT", app("web"), json::print(old));
    EXPECT_EQ(answer.status, checks ? 409 : 200);
    if (checks) EXPECT_THAT(answer.body, HasSubstr("uid"));
    old.make_object()["metadata"].make_object().set("uid", "");
    EXPECT_EQ(t.call("PUT", app("web") + "/status", json::print(old)).status, 200);
  }
}

TEST(W33, DoubtfulReferencesAreToldOrRefused) {
  const std::string bind = R"({"cluster":{"api":"kubernetes","kind":"Cluster","namespace":"demo","name":"none"}})";
  const std::string wrong = R"({"cluster":{"api":"core","kind":"Role","namespace":null,"name":"r"}})";
  const std::string owner =
      R"({"metadata":{"owners":[{"api":"kubernetes","kind":"Application","namespace":"demo","name":"a"}]}})";
  for (const bool strict : {false, true}) {
    auto options = TestServer::open_to_all();
    options.auth.access.check_references = strict;
    TestServer t(options);
    t.call("POST", std::string(kApps), application("a"));
    t.call("POST", std::string(kApps), application("b"));
    const auto expect = [&](const HttpResponse& answer, std::string_view text) {
      EXPECT_EQ(answer.status, strict ? 422 : 200) << text << answer.body;
      if (strict) {
        EXPECT_THAT(answer.body, HasSubstr(text));
      } else {
        EXPECT_THAT(warnings(answer), ElementsAre(HasSubstr(text)));
      }
    };
    expect(t.call("PUT", app("a") + "/binding", bind), "does not exist");
    expect(t.call("PUT", app("a") + "/binding", wrong), "of another kind than Cluster");
    const std::string magnum = "/openstack/namespaces/demo/magnumclusters";
    t.call("POST", magnum, R"({"metadata":{"name":"m"},"spec":{}})");
    expect(t.call("PUT", magnum + "/m/binding",
                  R"({"template":"t","project":{"api":"kubernetes","kind":"Cluster","namespace":"demo","name":"p"}})"),
           "of another kind than Project");
    expect(t.call("PUT", magnum + "/m/binding",
                  R"({"template":"t","project":{"api":"openstack","kind":"Project","namespace":"demo","name":"p"}})"),
           "does not exist");
    const auto fine = t.call("PATCH", app("b"), owner);
    EXPECT_EQ(fine.status, 200);
    EXPECT_THAT(warnings(fine), ElementsAre());
    std::string back = owner;
    back.replace(back.find(R"("a")"), 3, R"("b")");
    expect(t.call("PATCH", app("a"), back), "never be deleted");
    expect(t.call("PATCH", app("b"),
                  R"({"metadata":{"owners":[{"api":"core","kind":"Nothing","namespace":null,"name":"x"}]}})"),
           "does not exist");
  }
}

TEST(W34, DeletingTwiceAddsOneFinalizerAndLeavesModifiedAlone) {
  TestServer t;
  const auto made = TestServer::body_of(t.call("POST", std::string(kApps), application("web")));
  t.call("PATCH", app("web"), R"({"metadata":{"finalizers":["cascade_deletion","mine"]}})");
  t.call("DELETE", app("web"));
  const auto deleted = TestServer::body_of(t.call("DELETE", app("web")));
  EXPECT_EQ(json::print(*deleted.at_path({"metadata", "finalizers"})), R"(["mine","cascade_deletion"])");
  EXPECT_EQ(deleted.string_at({"metadata", "modified"}), made.string_at({"metadata", "modified"}));
}

TEST(W35, WhatLooksLikeAMistakeIsTold) {
  TestServer t;
  struct Case {
    std::string path;
    std::string body;
    std::string_view text;
  };
  const std::string values = R"("provider":{"name":"p","metric":"m"}})";
  const std::vector<Case> cases = {
      {std::string(kApps), application("a", R"(,"hooks":["finish"])"), "'finish' is no hook"},
      {std::string(kApps), application("b", R"(,"shutdown_failure_strategy":"cry")"), "'cry' is not known"},
      {std::string(kApps), application("c", R"(,"storage_migration":"fast")"), "no effect"},
      {std::string(kApps), application("d", R"(,"backoff_delay":-5)"), "-5 is negative"},
      {"/core/globalmetrics", R"({"metadata":{"name":"m"},"spec":{"min":2,"max":1,)" + values + "}",
       "more than spec.max"},
      {"/core/globalmetricsproviders",
       R"({"metadata":{"name":"p"},"spec":{"type":"prometheus","prometheus":{"url":"prometheus:9090"}}})", "http://"},
      {"/core/rolebindings", binding("b", "alice", "nobody-made-it"), "role 'nobody-made-it' does not exist"},
  };
  for (const auto& c : cases) {
    const auto answer = t.call("POST", c.path, c.body);
    EXPECT_EQ(answer.status, 200) << answer.body;
    EXPECT_THAT(warnings(answer), ElementsAre(HasSubstr(c.text)));
  }
  EXPECT_THAT(warnings(t.call("POST", std::string(kApps), application("good", R"(,"backoff":2)"))), ElementsAre());
  // Clients refuse an answer with a hundred headers.
  std::string hooks;
  for (int i = 0; i < 300; ++i) hooks += fmt::format("{}\"h{}\"", i == 0 ? "" : ",", i);
  const auto many =
      warnings(t.call("POST", std::string(kApps), application("many", fmt::format(R"(,"hooks":[{}])", hooks))));
  ASSERT_EQ(many.size(), 11U);
  EXPECT_THAT(many[9], HasSubstr("'h9' is no hook"));
  EXPECT_EQ(many[10], R"(299 krake "and 290 more")");
}

// Upstream acts on these.
TEST(W35, WhatHasNoEffectYetIsTold) {
  TestServer t;
  const std::string clusters = "/kubernetes/namespaces/demo/clusters";
  const std::string tosca = R"({"tosca_definitions_version":"tosca_simple_yaml_1_0","topology_template":{)"
                            R"("node_templates":{},"outputs":{"kubeconfig":{"value":"x"}}}})";
  const auto both = t.call("POST", std::string(kApps),
                           application("web", R"(,"hooks":["complete","shutdown"],"auto_cluster_create":true)"));
  EXPECT_EQ(both.status, 200) << both.body;
  const auto all = ElementsAre(HasSubstr("spec.hooks: 'complete' has no effect yet"),
                               HasSubstr("spec.hooks: 'shutdown' has no effect yet"),
                               HasSubstr("spec.auto_cluster_create: it has no effect yet"));
  EXPECT_THAT(warnings(both), all);
  EXPECT_THAT(warnings(t.call("PATCH", app("web"), R"({"metadata":{"labels":{"a":"b"}}})")), all);
  // With upstream's token the application may still say that it is complete.
  ASSERT_EQ(t.call("PATCH", app("web") + "/status", R"({"status":{"complete_token":"t","shutdown_token":"t"}})").status,
            200);
  EXPECT_THAT(warnings(t.call("PATCH", app("web"), R"({"spec":{"auto_cluster_create":false}})")),
              ElementsAre(HasSubstr("'shutdown' has no effect yet")));
  EXPECT_THAT(warnings(t.call("PATCH", app("web"), R"({"spec":{"hooks":[]}})")), ElementsAre());

  const auto made = t.call(
      "POST", clusters,
      R"({"metadata":{"name":"made"},"spec":{"kubeconfig":{},"tosca":)" + tosca + R"(,"constraints":{"cloud":{}}}})");
  EXPECT_EQ(made.status, 200) << made.body;
  EXPECT_THAT(warnings(made), ElementsAre(HasSubstr("spec.tosca: it has no effect yet")));
  const std::string url = R"({"metadata":{"name":"t"},"spec":{"manifest":[],"tosca":"http://x/t.yaml",)"
                          R"("constraints":{"cluster":{}}}})";
  EXPECT_THAT(warnings(t.call("POST", std::string(kApps), url)),
              ElementsAre(HasSubstr("spec.tosca: it has no effect yet")));
  const std::string csar = R"({"metadata":{"name":"c"},"spec":{"manifest":[],"csar":"http://x/t.csar",)"
                           R"("constraints":{"cluster":{}}}})";
  EXPECT_THAT(warnings(t.call("POST", std::string(kApps), csar)),
              ElementsAre(HasSubstr("spec.csar: it has no effect yet")));
}

TEST(W40, RetryHasARightOfItsOwn) {
  for (const char* resource : {"applications/status", "applications/retry", "applications"}) {
    Site t(TestServer::under_shipped_roles(), rule("kubernetes", resource, "demo", R"("update")"));
    t.call("POST", std::string(kApps), application("web"));
    t.call("PATCH", app("web") + "/status", R"({"status":{"state":"DEGRADED"}})");
    EXPECT_EQ(t.by_bob("PUT", app("web") + "/retry").status, std::string_view(resource) == "applications" ? 403 : 200)
        << resource;
  }
}

TEST(W42, StoredValuesAreNotValidatedAgain) {
  TestServer t;
  t.call("POST", std::string(kApps), application("web"));
  auto stored = t.get(app("web"));
  stored.make_object()["spec"].make_object().set("tosca", json::Object{{"tosca_definitions_version", "of_old"}});
  stored.make_object()["metadata"].make_object().erase("resource_version");
  store::Txn txn;
  txn.puts.push_back({"/kubernetes/applications/demo/web", std::make_shared<const std::string>(json::print(stored))});
  ASSERT_TRUE(t.world.run(t.store->commit(std::move(txn))));
  EXPECT_EQ(t.get(app("web")).string_at({"spec", "tosca", "tosca_definitions_version"}), "of_old");
  EXPECT_EQ(t.call("PUT", app("web") + "/binding",
                   R"({"cluster":{"api":"kubernetes","kind":"Cluster","namespace":"demo","name":"c"}})")
                .status,
            200);
  // A patch is judged by what it speaks of.
  EXPECT_EQ(t.call("PATCH", app("web"), R"({"spec":{"backoff":3}})").status, 422);
  EXPECT_EQ(t.call("PATCH", app("web") + "/status", R"({"status":{"state":"NONE"}})").status, 422);
  EXPECT_EQ(t.call("PATCH", app("web"), R"({"metadata":{"labels":{"-":"b"}}})").status, 422);
  EXPECT_EQ(t.call("PATCH", app("web"), R"({"metadata":{"uid":null}})").status, 422);
  const auto status = t.call("PATCH", app("web") + "/status", R"({"status":{"state":"RUNNING"},"spec":{"x":1}})");
  EXPECT_EQ(status.status, 200) << status.body;
  EXPECT_EQ(TestServer::body_of(status).string_at({"status", "state"}), "RUNNING");
  EXPECT_EQ(t.call("PATCH", app("web"), R"({"metadata":{"labels":{"a":"b"}}})").status, 200);
  EXPECT_EQ(t.get(app("web")).string_at({"spec", "tosca", "tosca_definitions_version"}), "of_old");
  EXPECT_EQ(t.call("DELETE", app("web")).status, 200);
  const auto gone = t.call("PATCH", app("web"), R"({"metadata":{"finalizers":[]}})");
  EXPECT_EQ(gone.status, 200) << gone.body;
  EXPECT_EQ(t.call("GET", app("web")).status, 404);
}

}  // namespace
}  // namespace krake::server
