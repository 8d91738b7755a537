// kube cluster register, create, update, delete.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "cli/commands.h"
#include "cli/fields.h"
#include "cli/kubeconfig.h"
#include "cli/wait.h"

namespace krake::cli {

namespace {

constexpr Duration kWaitOnline = std::chrono::minutes(5);
constexpr Duration kWaitMachines = std::chrono::minutes(30);

Outcome<PickedKubeconfig> kubeconfig_of(const Session& session) {
  TRY(const auto documents, session.yaml_file("--kubeconfig"));
  if (documents.size() != 1)
    return stop(fmt::format("kubeconfig: want one document, the file has {}", documents.size()));
  const std::string path = session.args().one_or("--kubeconfig", "-");
  const std::string directory =
      path == "-" ? session.io().cwd : std::filesystem::path(absolute_path(session.io(), path)).parent_path().string();
  return pick_context(session.io(), documents[0], session.args().one_or("--context", ""), directory);
}

Outcome<json::Value> template_of(const Session& session) {
  TRY(auto documents, session.yaml_file("--file"));
  if (documents.empty() || !documents[0].at_path({"tosca_definitions_version"})) {
    return stop("--file: not a TOSCA template: tosca_definitions_version is missing",
                "clusters are created from TOSCA; an existing cluster is added by register");
  }
  return std::move(documents[0]);
}

json::Object cloud_constraints(json::Array labels, json::Array metrics) {
  return {{"cloud", json::Object{{"labels", std::move(labels)}, {"metrics", std::move(metrics)}}}};
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

// Adds the references; one with the same name and scope takes the new weight.
void merge_metrics(json::Value& list, const json::Array& refs) {
  if (refs.empty()) return;
  auto& array = list.make_array();
  for (const auto& ref : refs) {
    const auto same = std::ranges::find_if(array, [&](const json::Value& item) {
      const auto* a = item.at_path({"namespaced"});
      const auto* b = ref.at_path({"namespaced"});
      return item.string_at({"name"}) == ref.string_at({"name"}) && (a ? *a : json::Value(false)) == *b;
    });
    if (same == array.end()) {
      array.push_back(ref);
    } else {
      *same = ref;
    }
  }
}

Awaitable<Outcome<int>> post_cluster(Session& session, std::optional<WaitGoal> goal, json::Value body) {
  const std::string name(body.string_at({"metadata", "name"}));
  auto object = co_await session.call({.method = "POST",
                                       .target = session.collection(),
                                       .body = std::move(body),
                                       .subject = {&session.kind(), session.ns(), name}});
  if (!object) co_return stop(std::move(object).error());
  co_return co_await finish(session, std::move(goal), *std::move(object));
}

}  // namespace

Awaitable<Outcome<int>> register_cluster(Session& session) {
  const auto& args = session.args();
  CO_TRY(auto goal, wait_goal(session, WaitGoal::After::create, "online", kWaitOnline));
  CO_TRY(auto picked, kubeconfig_of(session));
  CO_TRY(auto labels, labels_of(args));
  json::Value spec = json::Object{{"kubeconfig", std::move(picked.kubeconfig)},
                                  {"metrics", metric_refs_of(args)},
                                  {"custom_resources", texts(args.list("--custom-resource"))},
                                  {"constraints", cloud_constraints({}, {})}};
  set_backoff(spec, args, true);
  const std::string name = args.one_or("--name", picked.cluster);
  co_return co_await post_cluster(
      session, std::move(goal),
      json::Object{{"metadata", json::Object{{"name", name}, {"labels", std::move(labels)}}},
                   {"spec", std::move(spec)}});
}

Awaitable<Outcome<int>> create_cluster(Session& session) {
  const auto& args = session.args();
  CO_TRY(auto goal, wait_goal(session, WaitGoal::After::create, "online", kWaitMachines));
  CO_TRY(auto tosca, template_of(session));
  CO_TRY(auto labels, labels_of(args));
  json::Value spec =
      json::Object{{"tosca", std::move(tosca)},
                   {"metrics", metric_refs_of(args)},
                   {"inherit_metrics", args.has("--inherit-metrics")},
                   {"custom_resources", texts(args.list("--custom-resource"))},
                   {"constraints", cloud_constraints(texts(args.list("--cloud-label-constraint")),
                                                     texts(metric_constraints_of(args, "--cloud-metric-constraint")))}};
  set_backoff(spec, args, true);
  json::Object metadata{
      {"name", session.name()}, {"labels", std::move(labels)}, {"inherit_labels", args.has("--inherit-labels")}};
  co_return co_await post_cluster(session, std::move(goal),
                                  json::Object{{"metadata", std::move(metadata)}, {"spec", std::move(spec)}});
}

Awaitable<Outcome<int>> update_cluster(Session& session) {
  const auto& args = session.args();
  CO_TRY(auto goal, wait_goal(session, WaitGoal::After::update, "online", kWaitMachines));
  if (args.has("--context") && !args.has("--kubeconfig"))
    co_return stop(session.usage("--context", "needs -k/--kubeconfig"));
  std::optional<json::Value> kubeconfig;
  std::optional<json::Value> tosca;
  if (args.has("--kubeconfig")) {
    CO_TRY(auto picked, kubeconfig_of(session));
    kubeconfig = std::move(picked.kubeconfig);
  }
  if (args.has("--file")) {
    CO_TRY(tosca, template_of(session));
  }
  CO_TRY(auto labels, labels_of(args));
  Edit edit = [&](json::Value& object) -> Outcome<bool> {
    merge_labels(object, labels, args.has("--remove-existing-labels"));
    auto& spec = child(object, {"spec"});
    if (kubeconfig) child(spec, {"kubeconfig"}) = *kubeconfig;
    if (tosca) child(spec, {"tosca"}) = *tosca;
    if (args.has("--custom-resource")) child(spec, {"custom_resources"}) = texts(args.list("--custom-resource"));
    if (args.has("--remove-existing-metrics")) child(spec, {"metrics"}) = json::Array();
    merge_metrics(child(spec, {"metrics"}), metric_refs_of(args));
    auto& cloud = child(spec, {"constraints", "cloud"});
    if (args.has("--remove-existing-cloud-label-constraints")) child(cloud, {"labels"}) = json::Array();
    if (args.has("--remove-existing-cloud-metric-constraints")) child(cloud, {"metrics"}) = json::Array();
    append_new(child(cloud, {"labels"}), args.list("--cloud-label-constraint"));
    append_new(child(cloud, {"metrics"}), metric_constraints_of(args, "--cloud-metric-constraint"));
    set_backoff(spec, args, false);
    return true;
  };
  auto object = co_await update_object(session, "", edit);
  if (!object) co_return stop(std::move(object).error());
  co_return co_await finish(session, std::move(goal), *std::move(object));
}

Awaitable<Outcome<int>> delete_cluster(Session& session) {
  CO_TRY(auto goal, wait_goal(session, WaitGoal::After::remove, "deleted", kWaitMachines));
  const std::string query = fmt::format("?force={}", session.args().has("--force") ? "True" : "False");
  auto object =
      co_await session.call({.method = "DELETE", .target = session.item() + query, .subject = session.subject()});
  if (!object) co_return stop(std::move(object).error());
  co_return co_await finish(session, std::move(goal), *std::move(object));
}

}  // namespace krake::cli
