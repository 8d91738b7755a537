#include "main/bootstrap.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "api/core/role.h"
#include "api/registry.h"
#include "base/encoding.h"
#include "base/testing.h"
#include "main/config.h"
#include "net/inproc/inproc.h"
#include "server/api_server.h"
#include "server/roles.h"
#include "store/faulty_store.h"
#include "store/memory/memory_store.h"
#include "store/sealed_store.h"

namespace krake {

namespace {

using krake::testing::World;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

std::string role(std::string_view name, std::string_view more = "rules: []") {
  return fmt::format("api: core\nkind: Role\nmetadata: {{name: {}}}\n{}\n", name, more);
}

BootstrapInput read(std::string text) { return read_bootstrap({{"f.yaml", std::move(text)}}, krake_registry()); }

BootstrapObjects objects_of(std::string text) {
  auto input = read(std::move(text));
  for (const auto& problem : input.problems) ADD_FAILURE() << problem.what << ": " << problem.error;
  return std::make_shared<const std::vector<BootstrapObject>>(std::move(input.objects));
}

std::string roles(int count, std::string_view more = "rules: []") {
  std::string text;
  for (int i = 0; i < count; ++i) text += fmt::format("---\n{}", role(fmt::format("r{:03}", i), more));
  return text;
}

// It must not write into one store while another one was named as well.
TEST(BootstrapTarget, IsOnePlace) {
  const std::pair<Arguments, const char*> rows[] = {
      {{"-c", "none.yaml", "--db-host", "x", "f"}, "-c or --db-host: which one?"},
      {{"--db-port=1", "--config=none.yaml", "f"}, "-c or --db-port: which one?"},
      {{"--server", "--db-host", "x", "f"}, "--server or --db-host: which one?"},
      {{"--krakectl", "none.yaml", "--db-port", "1", "f"}, "--krakectl or --db-port: which one?"},
      {{"--server", "-c", "none.yaml", "f"}, "--server or -c: which one?"},
      {as_command("krake_bootstrap_db", {"-c", "none.yaml", "--db-host", "x", "f"}), "-c or --db-host: which one?"},
  };
  for (const auto& [args, wanted] : rows) {
    auto words = args;
    if (words.front() == "bootstrap") words.erase(words.begin());
    ::testing::internal::CaptureStderr();
    EXPECT_EQ(run_bootstrap(words), 2);
    EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr(wanted));
  }
  // Upstream's command has a default, which is no second place.
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(run_bootstrap({"--new-only", "--local-etcd", "-c", "none.yaml", "f"}), 1);
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("'none.yaml' not found"));
}

TEST(BootstrapInput, SaysWhatIsWrongAndWhere) {
  const std::tuple<std::string, std::string, std::string> rows[] = {
      {"api: nope\nkind: Role\nmetadata: {name: x}\n", "Role(api='nope', namespace='None', name='x')",
       "The api 'nope' could not be found."},
      {"api: core\nkind: Rule\nmetadata: {name: x}\n", "Rule(api='core', namespace='None', name='x')",
       "The kind 'Rule' could not be found."},
      {"api: core\nkind: Lease\nmetadata: {name: x}\n", "", "The kind 'Lease' could not be found."},
      {"kind: Role\n", "", "a document needs 'api', 'kind' and 'metadata.name' (f.yaml:1, document 1)"},
      {"- a\n", "", "a document needs 'api', 'kind'"},
      {"", "the file", "there is no document in it"},
      {"a: [", "the file", "f.yaml:1"},
      {role("x", "rules:\n  - api: core\n    verbs: [fly]\n"), "",
       "rules.0.verbs.0: Invalid enum member fly (f.yaml:6, document 1)"},
      {role("'a b'"), "", "metadata.name: Invalid character in resource name. (f.yaml:3, document 1)"},
      {role("x") + "---\n" + role("x"), "", "it is given twice: f.yaml:1, document 1 and f.yaml:"},
      {"api: core\nkind: Metric\nmetadata: {name: m}\nspec: {min: 0, max: 1, provider: {name: p, metric: m}}\n", "",
       "metadata.namespace: Missing data for required field. (f.yaml:3, document 1)"},
  };
  for (const auto& [text, what, error] : rows) {
    const auto input = read(text);
    ASSERT_THAT(input.problems, ::testing::Not(IsEmpty())) << text;
    if (!what.empty()) EXPECT_EQ(input.problems[0].what, what);
    std::string all;
    for (const auto& problem : input.problems) all += problem.error + "\n";
    EXPECT_THAT(all, HasSubstr(error)) << text;
  }
}

TEST(BootstrapInput, OfARepeatedKeyTheLastCountsWithAWarning) {
  const auto input = read("---\n" + role("x") + "---\n" + role("y", "rules: []\nmetadata: {name: z}"));
  EXPECT_THAT(input.problems, IsEmpty());
  ASSERT_THAT(input.objects, SizeIs(2));
  EXPECT_EQ(input.objects[1].object->meta().name, "z");
  EXPECT_THAT(input.warnings, ElementsAre("f.yaml:11: the key 'metadata' is there since line 9; the last one counts"));
}

TEST(BootstrapInput, TakesWhatUpstreamTakes) {
  const auto input = read("# a comment\n---\n" + role("role:system") + "---\n---\n" + role("b"));
  EXPECT_THAT(input.problems, IsEmpty());
  ASSERT_THAT(input.objects, SizeIs(2));
  EXPECT_EQ(input.objects[0].key, "/core/roles/role:system");
  EXPECT_EQ(identify(*input.objects[0].kind, input.objects[0].object->meta()),
            "Role(api='core', namespace='None', name='role:system')");
}

// Every file that is shipped can be read, and names only what it has itself.
TEST(BootstrapInput, ReadsWhatIsShipped) {
  for (const auto* name : {"base_roles", "example_roles", "static_metrics", "prometheus_metrics"}) {
    const auto path = fmt::format("{}/examples/bootstrap/{}.yaml", KRAKE_SOURCE_DIR, name);
    const auto text = read_file(path);
    ASSERT_TRUE(text) << text.error().message;
    const auto input = read_bootstrap({{path, *text}}, krake_registry());
    for (const auto& problem : input.problems) ADD_FAILURE() << problem.what << ": " << problem.error;
    EXPECT_THAT(named_objects(input.objects, krake_registry()), IsEmpty());
  }
}

// Who puts the roles in place himself gets what a server would have made.
TEST(BootstrapInput, TheRolesThatAreShippedAreTheServers) {
  const auto text = read_file(KRAKE_SOURCE_DIR "/examples/bootstrap/base_roles.yaml");
  ASSERT_TRUE(text) << text.error().message;
  std::map<std::string, std::string> in_the_file;
  const auto objects = objects_of(*text);
  for (const auto& object : *objects) object.object->encode(in_the_file[object.key]);

  std::map<std::string, std::string> of_the_server;
  const auto add = [&](std::string_view name, const std::vector<json::Value>& documents) {
    const Kind& kind = krake_registry().get("core", name);
    for (const auto& document : documents) {
      FieldErrors errors;
      const auto object = kind.decode(kind, document, Form::create, errors);
      ASSERT_TRUE(object) << errors.render();
      object->encode(of_the_server[kind.storage_key("", object->meta().name)]);
    }
  };
  const auto shipped = shipped_roles();
  add("Role", shipped.roles);
  add("RoleBinding", shipped.bindings);
  EXPECT_EQ(in_the_file, of_the_server);
}

TEST(BootstrapPlan, NeedsAsFewTransactionsAsTheStoreAllows) {
  const auto plan_of = [](int count) {
    const auto objects = objects_of(roles(count));
    return plan_bootstrap(*objects, {}, {}, Present::refuse_any, Wall(), [] { return "u"; }).batches.size();
  };
  EXPECT_EQ(plan_of(1), 1U);
  EXPECT_EQ(plan_of(50), 1U);
  EXPECT_EQ(plan_of(51), 2U);
  EXPECT_EQ(plan_of(120), 3U);
}

TEST(BootstrapPlan, WarnsOfWhatIsNamedAndNotThere) {
  const auto objects = objects_of("api: core\nkind: RoleBinding\nmetadata: {name: b}\nusers: []\nroles: [a, c]\n");
  std::vector<std::string> keys;
  for (const auto& named : named_objects(*objects, krake_registry())) keys.push_back(named.key());
  EXPECT_THAT(keys, ElementsAre("/core/roles/a", "/core/roles/c"));
  EXPECT_THAT(
      dangling_references(*objects, krake_registry(), {"/core/roles/c"}),
      ElementsAre(HasSubstr("roles.1: RoleBinding(api='core', namespace='None', name='b') names Role 'c', which "
                            "is not there (f.yaml:1, document 1)")));
}

struct Bench : ::testing::Test {
  World world;
  std::unique_ptr<store::Store> store = store::make_memory_store(world.env.executor, world.clock, "s");

  BootstrapDone put(const std::string& text, Present present = Present::refuse_other, bool dry_run = false) {
    auto done = world.run(bootstrap_store(world.env, *store, objects_of(text), {present, dry_run}));
    if (!done) ADD_FAILURE() << done.error().message;
    return done.value_or(BootstrapDone());
  }
  store::Revision revision() { return *world.run(store->current()); }
  json::Value stored(const std::string& key) {
    const auto entry = world.run(store->get(key));
    if (!entry || !*entry) return {};
    return *json::parse(*(*entry)->value);
  }
};

using Bootstrap = Bench;

TEST_F(Bootstrap, W38_WritesAllOrNothing) {
  put(role("b", "rules: [{api: core, resources: [], namespaces: [], verbs: []}]"));
  const auto before = revision();
  const auto done = put(role("a") + "---\n" + role("b"));
  ASSERT_THAT(done.problems, SizeIs(1));
  EXPECT_THAT(done.problems[0].error, HasSubstr("Resource already present in database, and different"));
  EXPECT_THAT(done.written, IsEmpty());
  EXPECT_EQ(revision(), before);
  EXPECT_TRUE(stored("/core/roles/a").is_null());
}

TEST_F(Bootstrap, W38_ReplacesInPlace) {
  put(role("a"));
  const auto before = stored("/core/roles/a");
  world.clock.advance(std::chrono::seconds(5));
  const auto entry = **world.run(store->get("/core/roles/a"));
  const auto done =
      put(role("a", "rules: [{api: core, resources: [x], namespaces: [], verbs: [get]}]"), Present::replace);
  EXPECT_THAT(done.written, ElementsAre(0));
  const auto after = stored("/core/roles/a");
  EXPECT_EQ(after.string_at({"metadata", "uid"}), before.string_at({"metadata", "uid"}));
  EXPECT_EQ(after.string_at({"metadata", "created"}), before.string_at({"metadata", "created"}));
  EXPECT_GT(after.string_at({"metadata", "modified"}), before.string_at({"metadata", "modified"}));
  EXPECT_EQ((*world.run(store->get("/core/roles/a")))->created, entry.created) << "watchers see it as modified";
}

TEST_F(Bootstrap, DoesNothingTwice) {
  const auto text = roles(120);
  const auto first = put(text);
  EXPECT_EQ(first.transactions, 3U);
  EXPECT_THAT(first.written, SizeIs(120));
  const auto at = revision();
  for (const auto present : {Present::refuse_other, Present::replace}) {
    const auto again = put(text, present);
    EXPECT_THAT(again.problems, IsEmpty());
    EXPECT_THAT(again.unchanged, SizeIs(120));
  }
  EXPECT_THAT(put(text, Present::refuse_any).problems, SizeIs(120)) << "upstream's rule";
  EXPECT_EQ(revision(), at);
}

std::string shipped_text() {
  const auto shipped = shipped_roles();
  std::string text;
  for (const auto& [kind, documents] :
       {std::pair{"Role", &shipped.roles}, std::pair{"RoleBinding", &shipped.bindings}}) {
    for (auto document : *documents) {
      document.make_object().set("api", "core");
      document.make_object().set("kind", kind);
      text += "---\n" + json::print(document) + "\n";
    }
  }
  return text;
}

// A server that runs on the empty store for a moment.
void seed(World& world, store::Store& store) {
  server::ServerOptions options;
  auto shipped = shipped_roles();
  options.auth.mode = access::Authorization::rbac;
  options.default_roles = std::move(shipped.roles);
  options.default_role_bindings = std::move(shipped.bindings);
  options.defaults_for_fresh_store_only = true;
  server::ApiServer api(world.env, store, krake_registry(), options);
  ASSERT_TRUE(world.run(api.start()));
  world.run(api.stop());
}

// What an administrator wrote is his, also when it is what Krake would have made.
TEST_F(Bootstrap, TakesNothingOverThatKrakeDidNotMake) {
  put(shipped_text());
  const auto at = revision();
  EXPECT_THAT(put(shipped_text(), Present::refuse_any).problems, Not(IsEmpty()));
  EXPECT_THAT(put(shipped_text(), Present::refuse_other).problems, IsEmpty());
  for (const auto present : {Present::refuse_other, Present::refuse_any}) {
    const auto done = put(role("\"role:system:gc\""), present);
    ASSERT_THAT(done.problems, SizeIs(1));
    EXPECT_THAT(done.problems[0].error, HasSubstr("Resource already present in database"));
  }
  EXPECT_EQ(revision(), at);
}

TEST_F(Bootstrap, AServerMarksWhatItMakesOnAnEmptyStore) {
  seed(world, *store);
  const auto made = stored("/core/roles/role:system:gc");
  const auto uid = made.string_at({"metadata", "uid"});
  EXPECT_EQ(uid.size(), 36U);
  EXPECT_TRUE(is_shipped_uid(uid, "Role", "role:system:gc"));
  EXPECT_FALSE(is_shipped_uid(uid, "Role", "role:system"));
  EXPECT_FALSE(is_shipped_uid(uid, "RoleBinding", "role:system:gc"));
  EXPECT_FALSE(is_shipped_uid(world.env.random.uuid4(), "Role", "role:system:gc"));
  EXPECT_FALSE(is_shipped_uid("", "Role", "role:system:gc"));
  EXPECT_NE(shipped_uid(world.env.random, "Role", "a"), shipped_uid(world.env.random, "Role", "a"));
}

// The roles Krake makes on an empty store stand in nobody's way while they are as it made them.
TEST_F(Bootstrap, TakesOverWhatIsAsShipped) {
  const auto text = shipped_text();
  const std::string key = "/core/roles/role:system:gc";
  const auto other = [](std::string_view resource) {
    return role("\"role:system:gc\"",
                fmt::format("rules: [{{api: core, resources: [{}], namespaces: [], verbs: [get]}}]", resource));
  };
  for (const auto present : {Present::refuse_other, Present::refuse_any}) {
    store = store::make_memory_store(world.env.executor, world.clock, "s");
    seed(world, *store);
    const auto before = stored(key);
    const auto again = put(text, present);
    EXPECT_THAT(again.problems, IsEmpty());
    EXPECT_THAT(again.written, IsEmpty());
    EXPECT_THAT(put(other("x"), present).written, ElementsAre(0));
    EXPECT_EQ(stored(key).string_at({"metadata", "uid"}), before.string_at({"metadata", "uid"}));
    EXPECT_NE(json::print(*stored(key).at_path({"rules"})), json::print(*before.at_path({"rules"})));
    EXPECT_THAT(put(other("y"), present).problems, SizeIs(1)) << "somebody has decided about it";
    EXPECT_THAT(put(text, present).problems, SizeIs(1));
  }
}

// Stopped between two transactions; the same call does the rest.
TEST_F(Bootstrap, GoesOnWhereItWasStopped) {
  const auto objects = objects_of(roles(120));
  auto plan = plan_bootstrap(*objects, {}, {}, Present::refuse_other, world.clock.wall(), [] { return "u"; });
  ASSERT_TRUE(world.run(store->commit(std::move(plan.batches.front().txn))));
  const auto done = put(roles(120));
  EXPECT_THAT(done.problems, IsEmpty());
  EXPECT_THAT(done.unchanged, SizeIs(50));
  EXPECT_THAT(done.written, SizeIs(70));
}

TEST_F(Bootstrap, ADryRunWritesNothing) {
  const auto at = revision();
  const auto done = put(roles(60), Present::refuse_other, true);
  EXPECT_THAT(done.written, SizeIs(60));
  EXPECT_EQ(done.transactions, 2U);
  EXPECT_EQ(revision(), at);
}

TEST_F(Bootstrap, ReplacesAValueThatCannotBeRead) {
  store::Txn txn;
  txn.puts.push_back({"/core/roles/a", std::make_shared<const std::string>("junk")});
  ASSERT_TRUE(world.run(store->commit(std::move(txn))));
  EXPECT_THAT(put(role("a")).problems, SizeIs(1));
  EXPECT_THAT(put(role("a"), Present::replace).written, SizeIs(1));
  EXPECT_EQ(stored("/core/roles/a").string_at({"metadata", "name"}), "a");
}

// It is as good as any other: only we lack its key.
TEST_F(Bootstrap, LeavesWhatIsSealedWithAKeyItLacks) {
  const auto disk = std::make_shared<store::MemoryDisk>("s", store::MemoryOptions{});
  const auto open = [&](SealingKeys keys, store::Unopened unopened) {
    return std::make_unique<store::SealedStore>(store::make_memory_store(world.env.executor, world.clock, disk),
                                                std::move(keys), std::vector<std::string>{"/core/"}, unopened);
  };
  auto keys = SealingKeys::parse("k " + base64_encode(std::string(32, 'k')), "keys");
  ASSERT_TRUE(keys);
  store = open(std::move(*keys), store::Unopened::refuse);
  put(role("a"));
  store = open({}, store::Unopened::refuse);
  const auto other = objects_of(role("a", "rules: [{api: core, resources: [x], namespaces: [], verbs: [get]}]"));
  const auto at = revision();
  const auto direct = world.run(bootstrap_store(world.env, *store, other, {Present::replace}));
  ASSERT_FALSE(direct);
  EXPECT_THAT(direct.error().message, HasSubstr("sealed with the key 'k'"));
  store = open({}, store::Unopened::isolate);
  server::ServerOptions options;
  options.auth.mode = access::Authorization::always_allow;
  options.auth.allow_anonymous = true;
  server::ApiServer api(world.env, *store, krake_registry(), std::move(options));
  ASSERT_TRUE(world.run(api.start()));
  const auto transport = make_inproc_transport(api.handler(), Peer{}, world.clock);
  const auto through = world.run(bootstrap_api(world.env, transport, "", other, {Present::replace}));
  ASSERT_FALSE(through);
  EXPECT_THAT(through.error().message, HasSubstr("sealed with the key 'k'"));
  world.run(api.stop());
  EXPECT_EQ(revision(), at);
}

// What the file does not speak of stays: finalizers, owners, unknown keys.
TEST_F(Bootstrap, KeepsWhatIsNotInTheFile) {
  put(role("a"));
  auto value = stored("/core/roles/a");
  value.make_object()["metadata"].make_object().set("finalizers", json::Array{"keep"});
  value.make_object().set("of_a_newer_version", 7);
  store::Txn txn;
  txn.puts.push_back({"/core/roles/a", std::make_shared<const std::string>(json::print(value))});
  ASSERT_TRUE(world.run(store->commit(std::move(txn))));
  EXPECT_THAT(put(role("a")).unchanged, SizeIs(1));
  put(role("a", "rules: [{api: core, resources: [x], namespaces: [], verbs: [get]}]"), Present::replace);
  const auto after = stored("/core/roles/a");
  EXPECT_EQ(after.int_at({"of_a_newer_version"}), 7);
  EXPECT_EQ(json::print(*after.at_path({"metadata", "finalizers"})), R"(["keep"])");
}

// Through an API server the same comes about.
TEST_F(Bootstrap, WorksThroughTheApi) {
  server::ServerOptions options;
  options.auth.mode = access::Authorization::always_allow;
  options.auth.allow_anonymous = true;
  server::ApiServer api(world.env, *store, krake_registry(), std::move(options));
  ASSERT_TRUE(world.run(api.start()));
  const auto transport = make_inproc_transport(api.handler(), Peer{}, world.clock);
  const auto put_through = [&](const std::string& text, Present present, bool dry_run = false) {
    auto done = world.run(bootstrap_api(world.env, transport, "", objects_of(text), {present, dry_run}));
    if (!done) ADD_FAILURE() << done.error().message;
    return done.value_or(BootstrapDone());
  };
  EXPECT_THAT(put_through(roles(3), Present::refuse_other, true).written, SizeIs(3));
  EXPECT_TRUE(stored("/core/roles/r000").is_null());
  EXPECT_THAT(put_through(roles(3), Present::refuse_other).written, SizeIs(3));
  const auto before = stored("/core/roles/r000");
  EXPECT_THAT(put_through(roles(3), Present::refuse_other).unchanged, SizeIs(3));
  EXPECT_THAT(put_through(roles(4), Present::refuse_any).problems, SizeIs(3));
  EXPECT_TRUE(stored("/core/roles/r003").is_null()) << "all are looked at before one is written";
  const auto other = roles(1, "rules: [{api: core, resources: [x], namespaces: [], verbs: [get]}]");
  EXPECT_THAT(put_through(other, Present::refuse_other).problems, SizeIs(1));
  EXPECT_THAT(put_through(other, Present::replace).written, SizeIs(1));
  const auto after = stored("/core/roles/r000");
  EXPECT_EQ(after.string_at({"metadata", "uid"}), before.string_at({"metadata", "uid"}));
  EXPECT_EQ(after.at_path({"rules"})->if_array()->size(), 1U);
  world.run(api.stop());
}

}  // namespace
}  // namespace krake
