// kube application create, update, delete, retry.
#include <fmt/format.h>

#include <algorithm>

#include "cli/commands.h"
#include "cli/fields.h"
#include "cli/wait.h"

namespace krake::cli {

namespace {

// Where the workload comes from: -f (manifest or TOSCA) or -u (TOSCA or CSAR by address).
struct Source {
  enum class Kind : std::uint8_t { none, manifest, tosca, csar };
  Kind kind = Kind::none;
  json::Value value;
};

// Replaces the value of every environment entry that equals a key.
void inject(json::Value& value, const json::Object& pairs, bool in_env) {
  if (auto* array = value.if_array()) {
    for (auto& item : *array) inject(item, pairs, in_env);
  } else if (auto* object = value.if_object()) {
    if (auto* text = in_env ? object->find("value") : nullptr; text && text->is_string()) {
      if (const auto* replacement = pairs.find(*text->if_string())) *text = *replacement;
    }
    for (auto& [key, member] : *object) inject(member, pairs, key == "env");
  }
}

Outcome<json::Object> injected_pairs(const Parsed& args) {
  json::Object pairs;
  for (const auto& text : args.list("--inject")) {
    const auto equal = text.find('=');
    if (equal == std::string::npos) return stop(fmt::format("--inject '{}' is not of the form KEY=VALUE", text));
    pairs.set(text.substr(0, equal), text.substr(equal + 1));
  }
  return pairs;
}

Outcome<Source> source_of(const Session& session) {
  const auto& args = session.args();
  if (const auto url = args.one("--url")) {
    const std::string_view path = std::string_view(*url).substr(0, url->find_first_of("?#"));
    if (path.ends_with(".yaml") || path.ends_with(".yml")) return Source{Source::Kind::tosca, *url};
    if (path.ends_with(".zip") || path.ends_with(".csar")) return Source{Source::Kind::csar, *url};
    return stop(fmt::format("--url '{}': the suffix says nothing", *url),
                "use .yaml or .yml for a TOSCA template, .zip or .csar for a CSAR");
  }
  if (!args.has("--file")) return Source{};
  TRY(auto documents, session.yaml_file("--file"));
  TRY(const json::Object pairs, injected_pairs(args));
  if (!documents.empty() && documents[0].at_path({"tosca_definitions_version"})) {
    inject(documents[0], pairs, false);
    return Source{Source::Kind::tosca, std::move(documents[0])};
  }
  json::Array manifest;
  for (auto& document : documents) {
    if (document.is_null()) continue;  // "---" with nothing after it
    inject(document, pairs, false);
    manifest.push_back(std::move(document));
  }
  return Source{Source::Kind::manifest, std::move(manifest)};
}

Outcome<json::Array> observer_schema_of(const Session& session) {
  if (!session.args().has("--observer_schema_file")) return json::Array();
  TRY(auto documents, session.yaml_file("--observer_schema_file"));
  json::Array schema;
  for (auto& document : documents) {
    if (!document.is_null()) schema.push_back(std::move(document));
  }
  return schema;
}

// spec.hooks and the shutdown fields, only what was asked for.
void set_hooks(json::Value& spec, const Parsed& args) {
  if (args.has("--remove-hooks")) child(spec, {"hooks"}) = json::Array();
  std::vector<std::string> hooks;
  if (args.has("--hook-complete")) hooks.emplace_back("complete");
  if (args.has("--hook-shutdown")) hooks.emplace_back("shutdown");
  if (!hooks.empty()) append_new(child(spec, {"hooks"}), hooks);
  if (!args.has("--hook-shutdown")) return;
  const auto values = args.all("--hook-shutdown").back();
  if (!values.empty()) child(spec, {"shutdown_grace_time"}) = integer_or_text(values[0]);
  if (values.size() > 1) child(spec, {"shutdown_failure_strategy"}) = values[1];
  if (values.size() > 2) child(spec, {"shutdown_retry_count"}) = integer_or_text(values[2]);
}

// A migration without a shutdown hook ends what such objects are doing.
void warn_of_migration(const Session& session, const json::Value& spec) {
  const auto* migration = spec.at_path({"constraints", "migration"});
  const bool* allowed = migration ? migration->if_bool() : nullptr;
  const auto* hooks = spec.at_path({"hooks"});
  const bool has_hook = hooks && hooks->is_array() && std::ranges::any_of(*hooks->if_array(), [](const auto& h) {
                          return h == json::Value("shutdown");
                        });
  const auto* manifest = spec.at_path({"manifest"});
  if ((allowed && !*allowed) || has_hook || !manifest || !manifest->is_array()) return;
  for (const auto& object : *manifest->if_array()) {
    const auto kind = object.string_at({"kind"});
    if (kind != "Job" && kind != "CronJob" && kind != "StatefulSet") continue;
    return session.remark(
        fmt::format("the application contains a {}, which may lose its work when Krake migrates it; "
                    "use --disable-migration or --hook-shutdown",
                    kind));
  }
}

Awaitable<Outcome<int>> finish(Session& session, std::optional<WaitGoal> goal, json::Value object) {
  if (goal) {
    auto waited = co_await wait_for(session, *std::move(goal), std::move(object));
    if (!waited) co_return stop(std::move(waited).error());
    object = *std::move(waited);
  }
  session.show(object);
  co_return 0;
}

constexpr Duration kWait = std::chrono::minutes(5);

}  // namespace

Awaitable<Outcome<int>> create_application(Session& session) {
  const auto& args = session.args();
  CO_TRY(auto goal, wait_goal(session, WaitGoal::After::create, "running", kWait));
  CO_TRY(auto source, source_of(session));
  if (source.kind == Source::Kind::none)
    co_return stop("one of --file and --url is needed", "for example -f manifest.yaml");
  CO_TRY(auto schema, observer_schema_of(session));
  CO_TRY(auto labels, labels_of(args));
  using K = Source::Kind;
  json::Value spec = json::Object{
      {"manifest", source.kind == K::manifest ? source.value : json::Value(json::Array())},
      {"tosca", source.kind == K::tosca ? source.value : json::Value(json::Object())},
      {"csar", source.kind == K::csar ? source.value : json::Value()},
      {"observer_schema", std::move(schema)},
      {"constraints",
       json::Object{
           {"migration", !args.has("--disable-migration")},
           {"cluster", json::Object{{"labels", texts(args.list("--cluster-label-constraint"))},
                                    {"custom_resources", texts(args.list("--cluster-resource-constraint"))},
                                    {"metrics", texts(metric_constraints_of(args, "--cluster-metric-constraint"))}}}}},
  };
  set_backoff(spec, args, true);
  child(spec, {"auto_cluster_create"}) = args.has("--auto-cluster-create");
  set_hooks(spec, args);
  warn_of_migration(session, spec);
  json::Object body{{"metadata", json::Object{{"name", session.name()}, {"labels", std::move(labels)}}},
                    {"spec", std::move(spec)}};
  auto object = co_await session.call({.method = "POST",
                                       .target = session.collection() + "?blocking=False",
                                       .body = std::move(body),
                                       .subject = session.subject()});
  if (!object) co_return stop(std::move(object).error());
  co_return co_await finish(session, std::move(goal), *std::move(object));
}

namespace {

void edit_application(json::Value& object, const Parsed& args, const json::Object& labels, const Source& source,
                      const std::optional<json::Array>& schema) {
  merge_labels(object, labels, args.has("--remove-existing-labels"));
  auto& spec = child(object, {"spec"});
  auto& cluster = child(spec, {"constraints", "cluster"});
  // Labels and resources replace, metrics are added: as upstream does it.
  for (const auto& [option, key, clear] :
       {std::tuple{"--cluster-label-constraint", "labels", "--remove-existing-label-constraints"},
        {"--cluster-resource-constraint", "custom_resources", "--remove-existing-resource-constraints"}}) {
    if (args.has(option) || args.has(clear)) child(cluster, {key}) = texts(args.list(option));
  }
  if (args.has("--remove-existing-metric-constraints")) child(cluster, {"metrics"}) = json::Array();
  append_new(child(cluster, {"metrics"}), metric_constraints_of(args, "--cluster-metric-constraint"));
  if (args.has("--enable-migration")) child(spec, {"constraints", "migration"}) = true;
  if (args.has("--disable-migration")) child(spec, {"constraints", "migration"}) = false;
  switch (source.kind) {
    case Source::Kind::none:
      break;
    case Source::Kind::manifest:
      child(spec, {"manifest"}) = source.value;
      child(spec, {"tosca"}) = json::Object();
      child(spec, {"csar"}) = nullptr;
      break;
    case Source::Kind::tosca:
      child(spec, {"manifest"}) = json::Array();
      child(spec, {"tosca"}) = source.value;
      child(spec, {"csar"}) = nullptr;
      break;
    case Source::Kind::csar:
      child(spec, {"manifest"}) = json::Array();
      child(spec, {"tosca"}) = json::Object();
      child(spec, {"csar"}) = source.value;
      break;
  }
  if (schema) child(spec, {"observer_schema"}) = *schema;
  set_backoff(spec, args, false);
  set_hooks(spec, args);
}

}  // namespace

Awaitable<Outcome<int>> update_application(Session& session) {
  const auto& args = session.args();
  CO_TRY(auto goal, wait_goal(session, WaitGoal::After::update, "running", kWait));
  CO_TRY(auto source, source_of(session));
  std::optional<json::Array> schema;
  if (args.has("--observer_schema_file")) {
    CO_TRY(schema, observer_schema_of(session));
  }
  CO_TRY(auto labels, labels_of(args));
  Edit edit = [&](json::Value& object) -> Outcome<bool> {
    edit_application(object, args, labels, source, schema);
    return true;
  };
  auto object = co_await update_object(session, "?blocking=False", edit);
  if (!object) co_return stop(std::move(object).error());
  if (const auto* spec = object->at_path({"spec"})) warn_of_migration(session, *spec);
  co_return co_await finish(session, std::move(goal), *std::move(object));
}

Awaitable<Outcome<int>> delete_application(Session& session) {
  CO_TRY(auto goal, wait_goal(session, WaitGoal::After::remove, "deleted", kWait));
  const std::string query = fmt::format("?blocking=False&force={}", session.args().has("--force") ? "True" : "False");
  auto object =
      co_await session.call({.method = "DELETE", .target = session.item() + query, .subject = session.subject()});
  if (!object) co_return stop(std::move(object).error());
  co_return co_await finish(session, std::move(goal), *std::move(object));
}

Awaitable<Outcome<int>> retry_application(Session& session) {
  auto object =
      co_await session.call({.method = "PUT", .target = session.item() + "/retry", .subject = session.subject()});
  if (!object) co_return stop(std::move(object).error());
  session.show(*object);
  co_return 0;
}

}  // namespace krake::cli
