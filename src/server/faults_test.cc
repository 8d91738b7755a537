// The store misbehaves, clients misbehave: nothing is lost, errors are told.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/testing.h"
#include "store/faulty_store.h"

namespace krake {
namespace {

struct FaultyServer {
  FaultyServer()
      : inner(store::make_memory_store(world.env.executor, world.clock, "s1")),
        faulty(*inner, world.env.executor, world.clock, Random(3)),
        server(world.env, faulty, krake_registry(), testing::TestServer::open_to_all()),
        transport(make_inproc_transport(server.handler(), Peer{}, world.clock)) {
    if (auto started = world.run(server.start()); !started) throw std::runtime_error(started.error().message);
  }
  ~FaultyServer() { world.run(server.stop()); }
  HttpResponse call(std::string method, std::string target, std::string body = {}) {
    return *world.run(transport->send({std::move(method), std::move(target), {}, std::move(body)}));
  }
  testing::World world;
  std::unique_ptr<store::Store> inner;
  store::FaultyStore faulty;
  server::ApiServer server;
  std::shared_ptr<Transport> transport;
};

TEST(W18, StoreOutageIsAnswered500AndEndsByItself) {
  FaultyServer t;
  t.faulty.set_away(true);
  const auto refused = t.call("POST", "/core/roles", R"({"metadata":{"name":"r"},"rules":[]})");
  EXPECT_EQ(refused.status, 500);
  EXPECT_EQ(*refused.headers.get("Content-Type"), "application/problem+json; charset=utf-8");
  EXPECT_EQ(t.call("GET", "/").status, 200);
  EXPECT_EQ(t.call("GET", "/core/roles").status, 500);  // never a stale answer
  EXPECT_EQ(t.call("GET", "/core/roles?consistency=cached").status, 200);
  t.faulty.set_away(false);
  EXPECT_EQ(t.call("POST", "/core/roles", R"({"metadata":{"name":"r"},"rules":[]})").status, 200);
  EXPECT_EQ(t.call("GET", "/core/roles/r").status, 200);
}

TEST(ServerFaults, ConflictsAreRetriedAndThenTold) {
  FaultyServer t;
  t.call("POST", "/core/roles", R"({"metadata":{"name":"r"},"rules":[]})");
  t.faulty.script(store::CommitFault::conflict);
  EXPECT_EQ(t.call("PATCH", "/core/roles/r", R"({"metadata":{"labels":{"a":"b"}}})").status, 200);
  for (int i = 0; i < 4; ++i) t.faulty.script(store::CommitFault::conflict);
  const auto lost = t.call("PATCH", "/core/roles/r", R"({"metadata":{"labels":{"a":"c"}}})");
  EXPECT_EQ(lost.status, 409);
  EXPECT_NE(lost.body.find("TRANSACTION_ERROR"), std::string::npos);
  EXPECT_NE(lost.body.find("Concurrent writes to database"), std::string::npos);
}

TEST(ServerFaults, WatchersMissNothingWhenTheStoreWatchBreaks) {
  FaultyServer t;
  auto stream = t.world.run(t.transport->open({"GET", "/core/roles?watch&heartbeat=0", {}, ""}));
  for (int i = 0; i < 6; ++i) {
    if (i % 2 == 0) t.faulty.script(i == 2 ? store::WatchFault::compacted : store::WatchFault::cut);
    EXPECT_EQ(t.call("POST", "/core/roles", fmt::format(R"({{"metadata":{{"name":"r{}"}},"rules":[]}})", i)).status,
              200);
  }
  std::string text;
  while (std::ranges::count(text, '\n') < 6) text += *t.world.run(stream->body->read());
  for (int i = 0; i < 6; ++i) EXPECT_NE(text.find(fmt::format(R"("name":"r{}")", i)), std::string::npos) << i;
}

TEST(ServerFaults, StartsWhenTheStoreTellsLateThatTheBeginningIsForgotten) {
  FaultyServer t;
  EXPECT_EQ(t.call("POST", "/core/roles", R"({"metadata":{"name":"a"},"rules":[]})").status, 200);
  store::FaultyStore forgetful(*t.inner, t.world.env.executor, t.world.clock, Random(3));
  forgetful.script(store::WatchFault::compacted);
  server::ApiServer other(t.world.env, forgetful, krake_registry(), testing::TestServer::open_to_all());
  const auto started = t.world.run(other.start());
  EXPECT_TRUE(started) << started.error().message;
  EXPECT_TRUE(other.cache().of(krake_registry().get("core", "Role")).find("", "a"));
  EXPECT_EQ(t.call("POST", "/core/roles", R"({"metadata":{"name":"b"},"rules":[]})").status, 200);
  EXPECT_TRUE(t.world.run(other.cache().wait_for(*t.world.run(t.inner->current()))));
  EXPECT_TRUE(other.cache().of(krake_registry().get("core", "Role")).find("", "b"));
  t.world.run(other.stop());
}

TEST(ServerFaults, AGapInTheStoresHistoryIsClosedByListing) {
  FaultyServer t;
  EXPECT_EQ(t.call("POST", "/core/roles", R"({"metadata":{"name":"a"},"rules":[]})").status, 200);
  auto stream = t.world.run(t.transport->open({"GET", "/core/roles?watch&heartbeat=0", {}, ""}));
  t.faulty.set_away(true);
  // Another server writes meanwhile, and the store forgets what came before.
  auto text = *t.world.run(t.inner->get("/core/roles/a"))->value().value;
  text.replace(text.find(R"("name":"a")"), 10, R"("name":"c")");
  store::Txn txn;
  txn.puts.push_back({"/core/roles/c", std::make_shared<const std::string>(std::move(text))});
  txn.removes.push_back({"/core/roles/a"});
  ASSERT_TRUE(t.world.run(t.inner->commit(std::move(txn))));
  ASSERT_TRUE(t.world.run(t.inner->compact(*t.world.run(t.inner->current()))));
  t.faulty.set_away(false);
  std::string seen;
  while (std::ranges::count(seen, '\n') < 2) seen += *t.world.run(stream->body->read());
  EXPECT_NE(seen.find(R"("type":"DELETED")"), std::string::npos) << seen;
  EXPECT_NE(seen.find(R"("type":"ADDED")"), std::string::npos) << seen;
  EXPECT_EQ(t.call("GET", "/core/roles/a").status, 404);
  EXPECT_EQ(t.call("GET", "/core/roles/c").status, 200);
}

TEST(ServerFaults, AWriteInFlightIsNotTakenForAnotherOne) {
  FaultyServer t;
  EXPECT_EQ(t.call("POST", "/core/roles", R"({"metadata":{"name":"a"},"rules":[]})").status, 200);
  const auto& kind = krake_registry().get("core", "Role");
  FieldErrors errors;
  const std::shared_ptr<Object> object =
      kind.decode(kind, testing::TestServer::body_of(t.call("GET", "/core/roles/a")), Form::full, errors);
  ASSERT_NE(object, nullptr) << errors.render();
  object->meta().labels.entries = {{"who", "never-committed"}};
  const server::Cache::Draft draft(t.server.cache(), object);
  EXPECT_EQ(t.call("PATCH", "/core/roles/a", R"({"metadata":{"labels":{"who":"committed"}}})").status, 200);
  EXPECT_EQ(testing::TestServer::body_of(t.call("GET", "/core/roles/a")).string_at({"metadata", "labels", "who"}),
            "committed");
}

TEST(ServerFaults, WatchersResumeAcrossARestartOfTheServer) {
  FaultyServer t;
  const auto write = [&](std::string method, std::string target, std::string body) {
    const auto answer = t.call(std::move(method), std::move(target), std::move(body));
    EXPECT_EQ(answer.status, 200) << answer.body;
  };
  write("POST", "/core/roles", R"({"metadata":{"name":"a"},"rules":[]})");
  const auto since = testing::TestServer::body_of(t.call("GET", "/core/roles/a"));
  write("POST", "/core/roles", R"({"metadata":{"name":"b"},"rules":[]})");
  write("PATCH", "/core/roles/a", R"({"metadata":{"labels":{"x":"y"}}})");
  write("DELETE", "/core/roles/b", "");
  write("PATCH", "/core/roles/b", R"({"metadata":{"finalizers":null}})");
  const auto watched = [&](server::ApiServer& server) {
    const auto transport = make_inproc_transport(server.handler(), Peer{}, t.world.clock);
    const auto from = since.string_at({"metadata", "resource_version"});
    auto stream =
        t.world.run(transport->open({"GET", fmt::format("/core/roles?watch&heartbeat=0&since={}", from), {}, ""}));
    EXPECT_EQ(stream->status, 200);
    std::string text;
    while (stream->status == 200 && std::ranges::count(text, '\n') < 4) text += *t.world.run(stream->body->read());
    return text;
  };
  const auto before = watched(t.server);
  server::ApiServer another(t.world.env, t.faulty, krake_registry(), testing::TestServer::open_to_all());
  ASSERT_TRUE(t.world.run(another.start()));
  EXPECT_EQ(watched(another), before);
  EXPECT_EQ(another.cache().of(krake_registry().get("core", "Role")).objects.size(), 1U);
  t.world.run(another.stop());
}

// The history a server reads at its start has other values than there are now.
TEST(ServerFaults, AStartTakesTheUnreadableForWhatItIsNow) {
  FaultyServer t;
  const auto put = [&](const std::string& name, std::string value) {
    store::Txn txn;
    txn.puts.push_back({"/core/roles/" + name, std::make_shared<const std::string>(std::move(value))});
    ASSERT_TRUE(t.world.run(t.faulty.commit(std::move(txn))));
  };
  ASSERT_EQ(t.call("POST", "/core/roles", R"({"metadata":{"name":"a"},"rules":[]})").status, 200);
  const auto good = t.world.run(t.faulty.get("/core/roles/a"));
  ASSERT_TRUE(good && *good);
  const std::string value = *(**good).value;
  put("a", "not json");
  put("b", "not json");
  put("b", value);
  server::ApiServer another(t.world.env, t.faulty, krake_registry(), testing::TestServer::open_to_all());
  ASSERT_TRUE(t.world.run(another.start()));
  const auto& roles = another.cache().of(krake_registry().get("core", "Role"));
  EXPECT_EQ(roles.objects.size(), 1U);
  EXPECT_NE(roles.objects.find("/core/roles/b"), roles.objects.end());
  EXPECT_EQ(roles.unreadable.size(), 1U);
  EXPECT_TRUE(roles.unreadable.contains("/core/roles/a"));
  t.world.run(another.stop());
}

TEST(ServerFaults, ForeignValuesAreLeftOutAndOthersServed) {
  testing::TestServer t;
  store::Txn txn;
  txn.puts.push_back({"/core/roles/bad", std::make_shared<const std::string>("not json")});
  txn.puts.push_back(
      {"/core/roles/odd",
       std::make_shared<const std::string>(
           R"({"metadata": {"name": "odd", "uid": "u", "created": "2026-01-01T00:00:00", "modified": "2026-01-01T00:00:00", "later": 1}, "rules": [], "x": {}})")});
  ASSERT_TRUE(t.world.run(t.store->commit(std::move(txn))));
  auto list = t.get("/core/roles");
  ASSERT_EQ(list.at_path({"items"})->if_array()->size(), 1u);
  EXPECT_EQ(t.call("PATCH", "/core/roles/odd", R"({"metadata":{"labels":{"a":"b"}}})").status, 200);
  const auto odd = t.get("/core/roles/odd");
  EXPECT_EQ(odd.int_at({"metadata", "later"}), 1);  // unknown fields survive our writes
  EXPECT_NE(odd.at_path({"x"}), nullptr);
  EXPECT_EQ(odd.string_at({"metadata", "created"}), "2026-01-01T00:00:00");
}

// Python's json module writes halves of surrogate pairs, NaN and some hundred levels: such objects are as good as
// others.
TEST(ServerFaults, ValuesOnlyPythonWritesAreServedUpdatedAndKept) {
  testing::TestServer t;
  const std::string path = "/kubernetes/namespaces/x/applications";
  const std::string deep = std::string(700, '[') + "1" + std::string(700, ']');
  const std::string odd =
      R"({"apiVersion":"v1","kind":"X","metadata":{"name":"m"},"\ud83d":"a\udc19","n":[NaN,Infinity,-Infinity,)"
      R"(1e99999999999],"deep":)" +
      deep + "}";
  const std::string body =
      R"({"metadata":{"name":"NAME"},"spec":{"manifest":[MANIFEST],"constraints":{"cluster":{}}}})";
  const auto with = [&](std::string name, std::string_view manifest) {
    std::string text = body;
    text.replace(text.find("MANIFEST"), 8, manifest);
    return text.replace(text.find("NAME"), 4, name);
  };
  const std::string plain = R"({"apiVersion":"v1","kind":"X","metadata":{"name":"m"}})";
  ASSERT_EQ(t.call("POST", path, with("a", plain)).status, 200);
  const std::string key = "/kubernetes/applications/x/a";
  const auto stored = [&] { return *t.world.run(t.store->get(key))->value().value; };
  auto text = stored();
  text.replace(text.find(plain), plain.size(), odd);
  store::Txn txn;
  txn.puts.push_back({key, std::make_shared<const std::string>(std::move(text))});
  ASSERT_TRUE(t.world.run(t.store->commit(std::move(txn))));

  const auto has_it = ::testing::HasSubstr(odd);
  const auto list = t.call("GET", path);
  EXPECT_THAT(list.body, has_it);
  EXPECT_TRUE(json::valid_utf8(list.body));
  const auto read = t.call("GET", path + "/a");
  EXPECT_THAT(read.body, has_it);
  const auto patched = t.call("PATCH", path + "/a", R"({"metadata":{"labels":{"a":"b"}}})");
  EXPECT_EQ(patched.status, 200) << patched.body;
  EXPECT_THAT(stored(), has_it);
  // As every client does: what was read, with a change.
  auto document = testing::TestServer::body_of(patched);
  document.make_object()["metadata"].make_object().set("labels", json::Object{{"a", "c"}});
  const auto put = t.call("PUT", path + "/a", json::print(document));
  EXPECT_EQ(put.status, 200) << put.body;
  EXPECT_THAT(stored(), has_it);
  const auto status = t.call("PUT", path + "/a/status", put.body);
  EXPECT_EQ(status.status, 200) << status.body;
  EXPECT_THAT(stored(), has_it);

  // Where it is, and nowhere else: no cluster takes it, and no strict reader.
  const auto same = t.call("PATCH", path + "/a", fmt::format(R"({{"spec":{{"backoff":2,"manifest":[{}]}}}})", odd));
  EXPECT_EQ(same.status, 200) << same.body;
  EXPECT_THAT(stored(), has_it);
  // A status tells of its spec.
  const auto applied = [](std::string_view number) {
    return fmt::format(R"({{"status":{{"last_applied_manifest":[{{"n":{}}}]}}}})", number);
  };
  const auto told = t.call("PATCH", path + "/a/status", applied("NaN"));
  EXPECT_EQ(told.status, 200) << told.body;
  EXPECT_THAT(told.body, ::testing::HasSubstr(R"("last_applied_manifest":[{"n":NaN}])"));
  EXPECT_EQ(t.call("PUT", path + "/a/status", told.body).status, 200);

  ASSERT_EQ(t.call("POST", path, with("clean", plain)).status, 200);
  const auto clean = t.call("GET", path + "/clean").body;
  const auto replaced = [](const std::string& whole, std::string_view part, std::string_view member,
                           const std::string& value) {
    auto document = *json::parse(whole);
    document.make_object()[part].make_object().set(member, *json::parse(value));
    return json::print(document);
  };
  // Python would send 1e400 back as Infinity.
  for (const std::string number : {"NaN", "Infinity", "-Infinity", "1e400"}) {
    const auto manifest =
        fmt::format(R"([{{"apiVersion":"v1","kind":"X","metadata":{{"name":"m"}},"new":{}}}])", number);
    const auto patch = fmt::format(R"({{"spec":{{"manifest":{}}}}})", manifest);
    const auto status = fmt::format(R"([{{"n":{}}}])", number);
    const std::tuple<std::string, std::string, std::string, std::string_view> refused[] = {
        {"POST", "", with("b", manifest.substr(1, manifest.size() - 2)), "{'spec': {'manifest': {0: {'new': ["},
        {"PUT", "/a", replaced(put.body, "spec", "manifest", manifest), "{'spec': {'manifest': {0: {'new': ["},
        {"PUT", "/clean", replaced(clean, "spec", "manifest", manifest), "{'spec': {'manifest': {0: {'new': ["},
        {"PATCH", "/a", patch, "{'spec': {'manifest': {0: {'new': ["},
        {"PATCH", "/clean", patch, "{'spec': {'manifest': {0: {'new': ["},
        {"PUT", "/clean/status", replaced(clean, "status", "last_applied_manifest", status),
         "{'status': {'last_applied_manifest': {0: {'n': ["},
        {"PATCH", "/clean/status", applied(number), "{'status': {'last_applied_manifest': {0: {'n': ["},
    };
    for (const auto& [method, at, text, where] : refused) {
      const auto answer = t.call(method, path + at, text);
      EXPECT_EQ(answer.status, 415) << method << at << number;
      EXPECT_THAT(testing::TestServer::body_of(answer).string_at({"detail"}),
                  ::testing::AllOf(::testing::HasSubstr("may stay where it is stored"), ::testing::HasSubstr(where)));
    }
  }
  EXPECT_THAT(stored(), has_it);
  EXPECT_EQ(t.call("GET", path + "/clean").body, clean);

  // Halves are text as any other.
  const auto half =
      t.call("POST", path, with("b", R"({"apiVersion":"v1","kind":"X","metadata":{"name":"m"},"n":"\ud83d"})"));
  EXPECT_EQ(half.status, 200) << half.body;
  EXPECT_THAT(half.body, ::testing::HasSubstr(R"("n":"\ud83d")"));
  const auto name = t.call("POST", path, with("\\ud83d", plain));
  EXPECT_EQ(name.status, 422);
  EXPECT_TRUE(json::valid_utf8(name.body)) << name.body;
}

TEST(W7, AnUnreadableValueIsTakenAwayByForce) {
  testing::TestServer t;
  EXPECT_EQ(t.call("POST", "/core/roles", R"({"metadata":{"name":"a"},"rules":[]})").status, 200);
  auto stream = t.world.run(t.transport->open({"GET", "/core/roles?watch&heartbeat=0", {}, ""}));
  store::Txn txn;
  txn.puts.push_back({"/core/roles/a", std::make_shared<const std::string>("not json")});
  ASSERT_TRUE(t.world.run(t.store->commit(std::move(txn))));
  EXPECT_THAT(*t.world.run(stream->body->read()), ::testing::HasSubstr(R"("type":"DELETED")"));
  EXPECT_EQ(t.call("GET", "/core/roles/a").status, 404);
  const auto taken = t.call("POST", "/core/roles", R"({"metadata":{"name":"a"},"rules":[]})");
  EXPECT_EQ(taken.status, 409);
  EXPECT_THAT(taken.body, ::testing::HasSubstr("force=True"));
  EXPECT_EQ(t.call("DELETE", "/core/roles/a").status, 404);
  EXPECT_EQ(t.call("DELETE", "/core/roles/a?force=True").status, 200);
  EXPECT_EQ(t.call("POST", "/core/roles", R"({"metadata":{"name":"a"},"rules":[]})").status, 200);
}

TEST(W5, RemovalsBeforeARestartAreStillTold) {
  FaultyServer t;
  EXPECT_EQ(t.call("POST", "/core/roles", R"({"metadata":{"name":"a"},"rules":[]})").status, 200);
  const auto since = t.server.cache().revision();
  EXPECT_EQ(t.call("DELETE", "/core/roles/a").status, 200);
  EXPECT_EQ(t.call("PATCH", "/core/roles/a", R"({"metadata":{"finalizers":null}})").status, 200);
  server::ApiServer another(t.world.env, t.faulty, krake_registry(), testing::TestServer::open_to_all());
  ASSERT_TRUE(t.world.run(another.start()));
  const auto transport = make_inproc_transport(another.handler(), Peer{}, t.world.clock);
  auto stream =
      t.world.run(transport->open({"GET", fmt::format("/core/roles?watch&heartbeat=0&since={}", since), {}, ""}));
  std::string text;
  while (std::ranges::count(text, '\n') < 2) text += *t.world.run(stream->body->read());
  EXPECT_THAT(text, ::testing::HasSubstr(R"("type":"DELETED")"));
  t.world.run(another.stop());
}

// Lists and events nest an object deeper than its body did: what is taken must be readable there too.
TEST(ServerFaults, TheDeepestBodyCanBeListed) {
  testing::TestServer t;
  const auto body = [](std::size_t depth) {
    return R"({"metadata":{"name":"d"},"spec":{"manifest":[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"d"},"x":)" +
           std::string(depth, '[') + std::string(depth, ']') + "}],\"constraints\":{\"cluster\":{}}}}";
  };
  const std::string path = "/kubernetes/namespaces/x/applications";
  EXPECT_EQ(t.call("POST", path, body(1000)).status, 415);
  EXPECT_EQ(t.call("POST", path, body(server::kMaxBodyDepth - 4)).status, 200);
  EXPECT_EQ(t.get(path).at_path({"items"})->if_array()->size(), 1U);
}

// Whoever loses a right while his body is on the way does not get it written.
TEST(ServerFaults, RightsAreAskedAgainWhenTheBodyHasCome) {
  auto options = testing::TestServer::open_to_all();
  options.auth.mode = access::Authorization::rbac;
  options.auth.allow_anonymous = false;
  options.auth.client_certificates = true;
  options.default_roles = {*json::parse(
      R"({"metadata":{"name":"all"},"rules":[{"api":"","resources":[""],"namespaces":[""],"verbs":["create","delete","get","list","update"]}]})")};
  options.default_role_bindings = {*json::parse(R"({"metadata":{"name":"alice"},"users":["alice"],"roles":["all"]})"),
                                   *json::parse(R"({"metadata":{"name":"root"},"users":["root"],"roles":["all"]})")};
  testing::TestServer t(options);
  struct LateBody final : RequestBody {
    LateBody(testing::TestServer& server, std::string wanted) : t(server), text(std::move(wanted)) {}
    Awaitable<Result<std::string>> read(std::size_t) override {
      const auto root = make_inproc_transport(t.server.handler(), Peer{.common_name = "root"}, t.world.clock);
      for (const auto* method : {"DELETE", "PATCH"}) {
        (void)co_await root->send({method,
                                   "/core/rolebindings/alice",
                                   {{"Content-Type", "application/json"}},
                                   R"({"metadata":{"finalizers":null}})"});
      }
      co_return text;
    }
    testing::TestServer& t;
    std::string text;
  } body(t, R"({"metadata":{"name":"back"},"users":["alice"],"roles":["all"]})");
  ServerRequest request{
      .method = "POST", .target = "/core/rolebindings", .headers = {}, .peer = {"alice", ""}, .body = &body};
  EXPECT_EQ(t.world.run(t.server.handle(request)).status, 403);
}

TEST(ServerFaults, PagesHaveAnEnd) {
  testing::TestServer t;
  for (int i = 0; i < 10; ++i)
    EXPECT_EQ(t.call("POST", "/core/roles", fmt::format(R"({{"metadata":{{"name":"r{}"}},"rules":[]}})", i)).status,
              200);
  const auto first = t.get("/core/roles?limit=5");
  const std::string token(first.string_at({"metadata", "continue"}));
  ASSERT_FALSE(token.empty());
  const auto rest = t.get("/core/roles?limit=18446744073709551615&continue=" + token);
  EXPECT_EQ(rest.at_path({"items"})->if_array()->size(), 5U);
  // More lists than are kept: the oldest goes, nobody is refused.
  std::vector<std::string> tokens;
  for (int i = 0; i < 40; ++i) {
    tokens.emplace_back(t.get("/core/roles?limit=1").string_at({"metadata", "continue"}));
    t.world.clock.advance(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(t.call("GET", "/core/roles?limit=1&continue=" + tokens.front()).status, 410);
  EXPECT_EQ(t.call("GET", "/core/roles?limit=1&continue=" + tokens.back()).status, 200);
}

TEST(ServerFaults, RevisionsOfAnotherStoreAreRefused) {
  testing::TestServer t;
  EXPECT_EQ(t.call("POST", "/core/roles", R"({"metadata":{"name":"a"},"rules":[]})").status, 200);
  const auto list = t.get("/core/roles");
  const std::string since(list.string_at({"metadata", "resource_version"}));
  const std::string store(list.string_at({"metadata", "store"}));
  EXPECT_EQ(t.call("GET", "/core/roles?watch&since=" + since + "&store=another").status, 410);
  EXPECT_EQ(
      t.world.run(t.transport->open({"GET", "/core/roles?watch&since=" + since + "&store=" + store, {}, ""}))->status,
      200);
}

// Sizes at which anything quadratic would take minutes.
TEST(ServerFaults, LargeBodiesCostNoMoreThanTheirSize) {
  testing::TestServer t;
  std::string labels;
  std::string users;
  for (int i = 0; i < 40'000; ++i) {
    labels += fmt::format("{}\"k{}\":0", i ? "," : "", i);
    users += i ? ",0" : "0";
  }
  const auto refused =
      t.call("POST", "/core/roles", R"({"metadata":{"name":"a","labels":{)" + labels + R"(}},"rules":[]})");
  EXPECT_EQ(refused.status, 422);
  EXPECT_LT(refused.body.size(), 100'000U);
  EXPECT_EQ(
      t.call("POST", "/core/rolebindings", R"({"metadata":{"name":"a"},"roles":[],"users":[)" + users + "]}").status,
      422);
  std::string people;
  std::string roles;
  for (int i = 0; i < 20'000; ++i) {
    people += fmt::format("{}\"u{}\"", i ? "," : "", i);
    roles += fmt::format("{}\"r{}\"", i ? "," : "", i);
  }
  EXPECT_EQ(t.call("POST", "/core/rolebindings",
                   R"({"metadata":{"name":"a"},"roles":[)" + roles + R"(],"users":[)" + people + "]}")
                .status,
            200);
}

TEST(ServerFaults, BadBodiesAreRefusedPrecisely) {
  testing::TestServer t;
  EXPECT_EQ(t.call("POST", "/core/roles", std::string(10'000, '[')).status, 415);
  std::string body = R"({"metadata":{"name":"r"},"rules":[],"pad":")";
  body += std::string(1'048'576 - body.size() - 2, 'x') + "\"}";
  ASSERT_EQ(body.size(), 1'048'576u);
  EXPECT_EQ(t.call("POST", "/core/roles", body).status, 200);
  const auto large = t.call("POST", "/core/roles", body + " ");
  EXPECT_EQ(large.status, 413);
  EXPECT_NE(large.body.find("Maximum request body size 1048576 exceeded, actual body size 1048577"), std::string::npos)
      << large.body;
}

TEST(ServerFaults, ClockJumpsDoNotTakeTimesBack) {
  testing::TestServer t;
  t.call("POST", "/core/roles", R"({"metadata":{"name":"r"},"rules":[]})");
  const auto before = std::string(t.get("/core/roles/r").string_at({"metadata", "modified"}));
  t.world.clock.jump_wall(-std::chrono::hours(24));
  t.call("PATCH", "/core/roles/r", R"({"metadata":{"labels":{"a":"b"}}})");
  EXPECT_GT(std::string(t.get("/core/roles/r").string_at({"metadata", "modified"})), before);
}

// Clients write times into a status. Those of a clock that differs are stepped over, so that controllers see the
// change; those of no clock are not followed.
TEST(ServerFaults, TimesOfAStatusAreFollowedAsFarAsClocksDiffer) {
  const std::string path = "/kubernetes/namespaces/demo/applications";
  struct Case {
    Duration ahead;
    std::optional<int> offset;
    bool followed;
  };
  for (const Case& c : {Case{std::chrono::minutes(4), 0, true}, Case{std::chrono::minutes(4), 120, true},
                        Case{std::chrono::minutes(6), 0, false}, Case{std::chrono::hours(23), 0, false},
                        Case{std::chrono::minutes(4), std::nullopt, false}}) {
    testing::TestServer t;
    t.call("POST", path,
           R"({"metadata":{"name":"a"},"spec":{"manifest":[{"apiVersion":"v1","kind":"ConfigMap","metadata":{)"
           R"("name":"cfg"}}],"constraints":{"cluster":{}}}})");
    const Wall now = t.world.clock.wall();
    auto given = DateTime::from_wall(now + std::chrono::duration_cast<Wall::duration>(c.ahead));
    given.offset_minutes = c.offset;
    given.local_us += std::int64_t{c.offset.value_or(0)} * 60'000'000;
    ASSERT_EQ(t.call("PATCH", path + "/a/status",
                     fmt::format(R"({{"status":{{"kube_controller_triggered":"{}"}}}})", to_string(given)))
                  .status,
              200);
    ASSERT_EQ(t.call("PATCH", path + "/a", R"({"metadata":{"labels":{"a":"b"}}})").status, 200);
    const auto modified = parse_datetime(t.get(path + "/a").string_at({"metadata", "modified"}));
    ASSERT_TRUE(modified);
    EXPECT_EQ(modified->wall() > given.wall(), c.followed) << to_string(given) << " " << to_string(*modified);
    EXPECT_EQ(modified->wall() < now + std::chrono::minutes(1), !c.followed);
  }
}

}  // namespace
}  // namespace krake
