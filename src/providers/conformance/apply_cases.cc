#include "providers/conformance/conformance.h"

namespace krake::kube::conformance {

namespace {

std::string_view version_of(const json::Value& object) { return object.string_at({"metadata", "resourceVersion"}); }

const json::Value* manager_entry(const json::Value& object, std::string_view manager, std::string_view operation) {
  const json::Value* entries = object.at_path({"metadata", "managedFields"});
  if (!entries || !entries->is_array()) return nullptr;
  for (const json::Value& entry : *entries->if_array()) {
    if (entry.string_at({"manager"}) == manager && entry.string_at({"operation"}) == operation) return &entry;
  }
  return nullptr;
}

Awaitable<Status> creates_changes_and_drops(Rig& rig) {
  const ObjectRef ref{config_maps(), rig.ns, "one"};
  const auto first = co_await rig.client.apply(ref, config_map("one", "{'a':'1','b':'2'}"));
  HOLDS(first && first->created && first->object.string_at({"data", "b"}) == "2");
  const auto same = co_await rig.client.apply(ref, config_map("one", "{'a':'1','b':'2'}"));
  HOLDS(same && !same->created && version_of(same->object) == version_of(first->object));
  const auto less = co_await rig.client.apply(ref, config_map("one", "{'a':'9'}"));
  HOLDS(less && less->object.string_at({"data", "a"}) == "9" && !less->object.at_path({"data", "b"}));
  const auto* entry = manager_entry(less->object, "krake", "Apply");
  HOLDS(entry && entry->at_path({"fieldsV1", "f:data", "f:a"}) && !entry->at_path({"fieldsV1", "f:data", "f:b"}));
  co_return Status();
}

Awaitable<Status> leaves_to_others_what_is_theirs(Rig& rig) {
  const ObjectRef ref{deployments(), rig.ns, "web"};
  HOLDS(co_await rig.client.apply(ref, deployment("web")));
  const auto autoscaler = rig.client_named("autoscaler");
  HOLDS(co_await autoscaler->merge_patch(ref,
                                         value_of("{'spec':{'replicas':3},'metadata':{'annotations':{'note':'x'}}}")));
  auto changed = deployment("web");
  changed.make_object()["metadata"].make_object().set("labels", value_of("{'tier':'front'}"));
  const auto applied = co_await rig.client.apply(ref, changed);
  HOLDS(applied && applied->object.int_at({"spec", "replicas"}) == 3);
  HOLDS(applied->object.string_at({"metadata", "annotations", "note"}) == "x");
  HOLDS(applied->object.string_at({"metadata", "labels", "tier"}) == "front");
  HOLDS(manager_entry(applied->object, "autoscaler", "Update") != nullptr);
  co_return Status();
}

Awaitable<Status> reports_conflicts_unless_forced(Rig& rig) {
  const ObjectRef ref{config_maps(), rig.ns, "one"};
  const auto other = rig.client_named("other");
  HOLDS(co_await other->apply(ref, config_map("one", "{'a':'1','b':'2'}")));
  FAILS(co_await rig.client.apply(ref, config_map("one", "{'a':'3'}"), {.force = false}), Code::conflict, "other");
  HOLDS(co_await rig.client.apply(ref, config_map("one", "{'a':'1'}"), {.force = false}));  // the same value: shared
  const auto forced = co_await rig.client.apply(ref, config_map("one", "{'a':'3'}"));
  HOLDS(forced && forced->object.string_at({"data", "a"}) == "3" && forced->object.string_at({"data", "b"}) == "2");
  const auto* entry = manager_entry(forced->object, "other", "Apply");
  HOLDS(entry && !entry->at_path({"fieldsV1", "f:data", "f:a"}) && entry->at_path({"fieldsV1", "f:data", "f:b"}));
  co_return Status();
}

Awaitable<Status> merges_lists_by_key(Rig& rig) {
  const ObjectRef ref{deployments(), rig.ns, "web"};
  HOLDS(co_await rig.client.apply(ref, deployment("web")));
  const auto injector = rig.client_named("injector");
  const auto sidecar = value_of(
      "{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'web'},'spec':{'template':{'spec':{'containers':["
      "{'name':'side','image':'side:1'}]}}}}");
  const auto both = co_await injector->apply(ref, sidecar);
  HOLDS(both && both->object.at_path({"spec", "template", "spec", "containers"})->if_array()->size() == 2);
  auto changed = deployment("web");
  changed.make_object()["spec"]
      .make_object()["template"]
      .make_object()["spec"]
      .make_object()["containers"]
      .make_array()[0]
      .make_object()
      .set("image", "nginx:1.28");
  const auto applied = co_await rig.client.apply(ref, changed);
  HOLDS(applied);
  const auto& containers = *applied->object.at_path({"spec", "template", "spec", "containers"})->if_array();
  HOLDS(containers.size() == 2 && containers[0].string_at({"name"}) == "web" &&
        containers[0].string_at({"image"}) == "nginx:1.28");
  // What only the injector stated goes when it no longer does.
  auto nothing = value_of("{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'web'}}");
  const auto alone = co_await injector->apply(ref, nothing);
  HOLDS(alone && alone->object.at_path({"spec", "template", "spec", "containers"})->if_array()->size() == 1);
  co_return Status();
}

Awaitable<Status> heeds_resource_versions(Rig& rig) {
  const ObjectRef ref{config_maps(), rig.ns, "one"};
  const auto first = co_await rig.client.apply(ref, config_map("one", "{'a':'1'}"));
  HOLDS(first);
  auto stale = config_map("one", "{'a':'2'}");
  stale.make_object()["metadata"].make_object().set("resourceVersion", version_of(first->object));
  HOLDS(co_await rig.client.apply(ref, stale));
  auto staler = config_map("one", "{'a':'3'}");
  staler.make_object()["metadata"].make_object().set("resourceVersion", version_of(first->object));
  FAILS(co_await rig.client.apply(ref, staler), Code::conflict, "409");
  auto absent = config_map("two");
  absent.make_object()["metadata"].make_object().set("resourceVersion", version_of(first->object));
  // No guard against an object that is gone: it is made again.
  HOLDS(co_await rig.client.apply({config_maps(), rig.ns, "two"}, absent));
  co_return Status();
}

Awaitable<Status> tries_without_doing(Rig& rig) {
  const ObjectRef ref{config_maps(), rig.ns, "one"};
  const auto tried = co_await rig.client.apply(ref, config_map("one", "{'a':'1'}"), {.dry_run = true});
  HOLDS(tried && tried->object.string_at({"data", "a"}) == "1");
  FAILS(co_await rig.client.get(ref), Code::not_found, "one");
  co_return Status();
}

Awaitable<Status> tells_updates_from_applies(Rig& rig) {
  const ObjectRef ref{config_maps(), rig.ns, "one"};
  const auto writer = rig.client_named("writer");
  const auto made = co_await writer->create(config_maps(), rig.ns, config_map("one", "{'a':'1','b':'2'}"));
  HOLDS(made && manager_entry(*made, "writer", "Update"));
  // Updates are no applies: leaving out what was merely written before removes nothing.
  const auto applied = co_await writer->apply(ref, config_map("one", "{'a':'1'}"));
  HOLDS(applied && applied->object.string_at({"data", "b"}) == "2");
  HOLDS(manager_entry(applied->object, "writer", "Update") && manager_entry(applied->object, "writer", "Apply"));
  const auto removed = co_await rig.client.merge_patch(ref, value_of("{'data':{'b':null}}"));
  HOLDS(removed);
  const auto* entry = manager_entry(*removed, "writer", "Update");
  HOLDS(!entry || !entry->at_path({"fieldsV1", "f:data", "f:b"}));
  co_return Status();
}

json::Value service_with_port(std::string_view port) {
  return value_of("{'apiVersion':'v1','kind':'Service','metadata':{'name':'s'},'spec':{'selector':{'a':'b'},'ports':[" +
                  std::string(port) + "]}}");
}

// A Service's ports are keyed by the port: a changed one is another one.
Awaitable<Status> replaces_a_keyed_list_in_one_write(Rig& rig) {
  const ObjectRef ref{services(), rig.ns, "s"};
  const auto changed_by = rig.client_named("vandal");
  const struct {
    const char* ours;
    const char* theirs;
    const char* refusal;
  } rows[] = {
      {"{'port':80,'targetPort':8080}", "{'port':81,'targetPort':8080,'protocol':'TCP'}", "spec.ports[0].name"},
      {"{'name':'http','port':80,'targetPort':8080}", "{'name':'http','port':81,'targetPort':8080,'protocol':'TCP'}",
       "Duplicate value"},
  };
  for (const auto& row : rows) {
    HOLDS(co_await rig.client.apply(ref, service_with_port(row.ours)));
    const auto theirs = co_await changed_by->merge_patch(ref, service_with_port(row.theirs));
    HOLDS(theirs);
    FAILS(co_await rig.client.apply(ref, service_with_port(row.ours)), Code::invalid_object, row.refusal);
    const auto replace = [&](std::string_view version) {
      return json::Array{
          json::Object{{"op", "test"}, {"path", "/metadata/resourceVersion"}, {"value", std::string(version)}},
          json::Object{{"op", "replace"},
                       {"path", "/spec/ports"},
                       {"value", *service_with_port(row.ours).at_path({"spec", "ports"})}}};
    };
    FAILS(co_await rig.client.json_patch(ref, replace("1")), Code::invalid_object, "");
    const auto replaced = co_await rig.client.json_patch(ref, replace(version_of(*theirs)));
    HOLDS(replaced && replaced->at_path({"spec", "ports"})->if_array()->size() == 1);
    HOLDS(replaced->at_path({"spec", "ports"})->if_array()->front().int_at({"port"}) == 80);
    HOLDS(manager_entry(*replaced, "krake", "Update"));
    HOLDS(co_await rig.client.remove(ref));
  }
  co_return Status();
}

constexpr Case kCases[] = {
    {"AppliesChangesAndDrops", creates_changes_and_drops},
    {"LeavesToOthersWhatIsTheirs", leaves_to_others_what_is_theirs},
    {"ReportsConflictsUnlessForced", reports_conflicts_unless_forced},
    {"MergesListsByKey", merges_lists_by_key},
    {"HeedsResourceVersions", heeds_resource_versions},
    {"TriesWithoutDoing", tries_without_doing},
    {"TellsUpdatesFromApplies", tells_updates_from_applies},
    {"ReplacesAKeyedListInOneWrite", replaces_a_keyed_list_in_one_write},
};

}  // namespace

std::span<const Case> apply_cases() { return kCases; }

}  // namespace krake::kube::conformance
