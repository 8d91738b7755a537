#include <fmt/format.h>

#include "providers/conformance/conformance.h"
#include "providers/kubernetes/fence.h"

namespace krake::kube::conformance {

namespace {

std::string_view version_of(const json::Value& object) { return object.string_at({"metadata", "resourceVersion"}); }

Awaitable<Status> finds_kinds(Rig& rig) {
  const auto web = co_await rig.client.resolve("apps/v1", "Deployment");
  HOLDS(web && web->plural == "deployments" && web->group == "apps" && web->version == "v1" && web->namespaced);
  const auto node = co_await rig.client.resolve("v1", "Node");
  HOLDS(node && node->plural == "nodes" && node->group.empty() && !node->namespaced);
  for (const auto& [api_version, kind] : {std::pair{"batch/v1", "Job"},
                                          {"rbac.authorization.k8s.io/v1", "ClusterRole"},
                                          {"networking.k8s.io/v1", "Ingress"},
                                          {"autoscaling/v2", "HorizontalPodAutoscaler"},
                                          {"policy/v1", "PodDisruptionBudget"},
                                          {"storage.k8s.io/v1", "StorageClass"},
                                          {"coordination.k8s.io/v1", "Lease"},
                                          {"apiextensions.k8s.io/v1", "CustomResourceDefinition"},
                                          {"v1", "PersistentVolumeClaim"}}) {
    const auto type = co_await rig.client.resolve(api_version, kind);
    HOLDS(type && type->kind == kind);
  }
  FAILS(co_await rig.client.resolve("apps/v1", "Nonsense"), Code::not_found, "Nonsense");
  FAILS(co_await rig.client.resolve("example.org/v1", "Thing"), Code::not_found, "example.org/v1");
  FAILS(co_await rig.client.resolve("", "Pod"), Code::invalid_argument, "apiVersion");
  FAILS(co_await rig.client.resolve("../v1", "Pod"), Code::invalid_argument, "apiVersion");
  const auto ref = co_await rig.client.locate(config_map("x"));
  HOLDS(ref && ref->ns == "default" && ref->name == "x");
  co_return Status();
}

Awaitable<Status> creates_and_reads(Rig& rig) {
  const auto made = co_await rig.client.create(config_maps(), rig.ns, config_map("one", "{'a':'1'}"));
  HOLDS(made && !made->string_at({"metadata", "uid"}).empty() && !version_of(*made).empty());
  HOLDS(made->string_at({"metadata", "namespace"}) == rig.ns && made->at_path({"metadata", "creationTimestamp"}));
  const auto read = co_await rig.client.get({config_maps(), rig.ns, "one"});
  HOLDS(read && *read == *made);
  FAILS(co_await rig.client.create(config_maps(), rig.ns, config_map("one")), Code::already_exists, "already exists");
  FAILS(co_await rig.client.get({config_maps(), rig.ns, "two"}), Code::not_found, "two");
  FAILS(co_await rig.client.create(config_maps(), rig.ns + "-not", config_map("one")), Code::not_found, "namespaces");
  co_return Status();
}

Awaitable<Status> lists_by_label_in_pages(Rig& rig) {
  for (int i = 0; i < 7; ++i) {
    const auto labels = fmt::format("{{'parity':'{}','n':'{}'}}", i % 2 ? "odd" : "even", i);
    HOLDS(co_await rig.client.create(config_maps(), rig.ns, config_map(fmt::format("m{}", i), "{}", labels)));
  }
  const auto count = [&rig](std::string selector, int page) -> Awaitable<std::size_t> {
    const auto list = co_await rig.client.list(
        config_maps(), {.ns = rig.ns, .label_selector = std::move(selector), .page_size = page});
    co_return list ? list->items.size() : 999;
  };
  HOLDS(co_await count("parity=even", 2) == 4);
  HOLDS(co_await count("parity!=even,n", 500) == 3);
  HOLDS(co_await count("n in (1, 2,3),parity notin (odd)", 1) == 1);
  HOLDS(co_await count("parity,!nothing", 3) == 7);
  const auto list = co_await rig.client.list(config_maps(), {.label_selector = "parity=odd", .page_size = 2});
  HOLDS(list && list->items.size() >= 3 && !list->resource_version.empty());
  HOLDS(list->items.front().string_at({"kind"}) == "ConfigMap" &&
        list->items.front().string_at({"apiVersion"}) == "v1");
  const auto named = co_await rig.client.list(config_maps(), {.ns = rig.ns, .field_selector = "metadata.name=m3"});
  HOLDS(named && named->items.size() == 1);
  FAILS(co_await rig.client.list(config_maps(), {.ns = rig.ns, .label_selector = "a in b"}), Code::invalid_argument,
        "requirement");
  co_return Status();
}

Awaitable<Status> fills_in_defaults(Rig& rig) {
  const auto web = co_await rig.client.create(deployments(), rig.ns, deployment("web"));
  HOLDS(web && web->int_at({"spec", "replicas"}) == 1 && web->int_at({"metadata", "generation"}) == 1);
  HOLDS(web->string_at({"spec", "strategy", "type"}) == "RollingUpdate");
  HOLDS(web->string_at({"spec", "strategy", "rollingUpdate", "maxSurge"}) == "25%");
  HOLDS(web->int_at({"spec", "revisionHistoryLimit"}) == 10 && web->int_at({"spec", "progressDeadlineSeconds"}) == 600);
  const auto* pod = web->at_path({"spec", "template", "spec"});
  HOLDS(pod && pod->string_at({"restartPolicy"}) == "Always" && pod->int_at({"terminationGracePeriodSeconds"}) == 30);
  HOLDS(pod->string_at({"dnsPolicy"}) == "ClusterFirst" && pod->string_at({"schedulerName"}) == "default-scheduler");
  const auto& container = pod->at_path({"containers"})->if_array()->front();
  HOLDS(container.string_at({"imagePullPolicy"}) == "IfNotPresent" && container.at_path({"resources"}));
  HOLDS(container.at_path({"ports"})->if_array()->front().string_at({"protocol"}) == "TCP");
  const auto svc = co_await rig.client.create(
      services(), rig.ns,
      value_of(
          "{'metadata':{'name':'web'},'spec':{'type':'NodePort','ports':[{'port':80}],'selector':{'app':'web'}}}"));
  HOLDS(svc && !svc->string_at({"spec", "clusterIP"}).empty() && svc->string_at({"spec", "sessionAffinity"}) == "None");
  const auto& port = svc->at_path({"spec", "ports"})->if_array()->front();
  HOLDS(port.int_at({"targetPort"}) == 80 && port.string_at({"protocol"}) == "TCP" &&
        port.int_at({"nodePort"}).value_or(0) >= 30000);
  const auto secret = co_await rig.client.create({.version = "v1", .kind = "Secret", .plural = "secrets"}, rig.ns,
                                                 value_of("{'metadata':{'name':'s'},'stringData':{'k':'text'}}"));
  HOLDS(secret && secret->string_at({"type"}) == "Opaque" && secret->string_at({"data", "k"}) == "dGV4dA==");
  HOLDS(!secret->at_path({"stringData"}));
  co_return Status();
}

Awaitable<Status> refuses_what_is_invalid(Rig& rig) {
  FAILS(co_await rig.client.create(config_maps(), rig.ns, config_map("No_Name")), Code::invalid_object,
        "metadata.name");
  auto web = deployment("web");
  web.make_object()["spec"].make_object().erase("selector");
  FAILS(co_await rig.client.create(deployments(), rig.ns, web), Code::invalid_object, "spec.selector");
  web = deployment("web");
  web.make_object()["spec"].make_object().set("selector", value_of("{'matchLabels':{'app':'other'}}"));
  FAILS(co_await rig.client.create(deployments(), rig.ns, web), Code::invalid_object, "spec.template.metadata.labels");
  FAILS(co_await rig.client.create(services(), rig.ns, value_of("{'metadata':{'name':'s'},'spec':{}}")),
        Code::invalid_object, "spec.ports");
  FAILS(co_await rig.client.create(services(), rig.ns,
                                   value_of("{'metadata':{'name':'s'},'spec':{'ports':[{'port':99999}]}}")),
        Code::invalid_object, "65535");
  FAILS(co_await rig.client.create(config_maps(), rig.ns, config_map("x", "{'a':1}")), Code::invalid_argument,
        "ConfigMap");
  FAILS(co_await rig.client.create(config_maps(), rig.ns, deployment("web")), Code::invalid_argument, "400");
  FAILS(co_await rig.client.apply({config_maps(), rig.ns, "y"}, config_map("x")), Code::invalid_argument, "name");
  HOLDS(co_await rig.client.create(deployments(), rig.ns, deployment("web")));
  FAILS(co_await rig.client.merge_patch({deployments(), rig.ns, "web"},
                                        value_of("{'spec':{'selector':{'matchLabels':{'x':'y'}}}}")),
        Code::invalid_object, "immutable");
  co_return Status();
}

// A kind that no controller writes to.
Awaitable<Status> replaces_what_was_read(Rig& rig) {
  const ResourceType policies{
      .group = "networking.k8s.io", .version = "v1", .kind = "NetworkPolicy", .plural = "networkpolicies"};
  const ObjectRef ref{policies, rig.ns, "shut"};
  const auto first =
      co_await rig.client.create(policies, rig.ns, value_of("{'metadata':{'name':'shut'},'spec':{'podSelector':{}}}"));
  HOLDS(first);
  HOLDS(first->int_at({"metadata", "generation"}) == 1 && first->at_path({"spec", "policyTypes"}));
  auto changed = *first;
  changed.make_object()["spec"].make_object().set("policyTypes", value_of("['Egress']"));
  const auto second = co_await rig.client.replace(ref, changed);
  HOLDS(second);
  HOLDS(second->int_at({"metadata", "generation"}) == 2 && version_of(*second) != version_of(*first));
  FAILS(co_await rig.client.replace(ref, changed), Code::conflict, "modified");
  const auto label = co_await rig.client.merge_patch(ref, value_of("{'metadata':{'labels':{'a':'b'}}}"));
  HOLDS(label);
  HOLDS(label->int_at({"metadata", "generation"}) == 2);
  const auto nothing = co_await rig.client.merge_patch(ref, value_of("{'metadata':{'labels':{'a':'b'}}}"));
  HOLDS(nothing);
  HOLDS(version_of(*nothing) == version_of(*label));
  FAILS(co_await rig.client.replace({config_maps(), rig.ns, "absent"}, config_map("absent")), Code::not_found,
        "absent");
  // A write that names another generation of the object.
  auto other = *label;
  other.make_object()["metadata"].make_object().set("uid", "00000000-0000-4000-8000-000000000000");
  FAILS(co_await rig.client.replace(ref, other), Code::conflict, "409");
  co_return Status();
}

Awaitable<Status> keeps_status_apart(Rig& rig) {
  const ObjectRef ref{deployments(), rig.ns, "web"};
  auto web = deployment("web");
  web.make_object()["spec"].make_object().set("replicas", 0);
  HOLDS(co_await rig.client.create(deployments(), rig.ns, web));
  const auto status = co_await rig.client.merge_patch(
      ref,
      value_of(
          "{'spec':{'replicas':5},'status':{'observedGeneration':1,'conditions':[{'type':'Krake','status':'True'}]}}"),
      "status");
  HOLDS(status && status->int_at({"spec", "replicas"}) == 0 && status->int_at({"metadata", "generation"}) == 1);
  HOLDS(status->at_path({"status", "conditions"}));
  const auto main = co_await rig.client.merge_patch(ref, value_of("{'status':{'conditions':null}}"));
  HOLDS(main && main->at_path({"status"}));
  co_return Status();
}

Awaitable<Status> patches_with_json_patch(Rig& rig) {
  const ObjectRef ref{config_maps(), rig.ns, "one"};
  HOLDS(co_await rig.client.create(config_maps(), rig.ns, config_map("one", "{'a':'1','b':'2'}")));
  const auto patched = co_await rig.client.json_patch(
      ref, *value_of("[{'op':'test','path':'/data/a','value':'1'},{'op':'replace','path':'/data/"
                     "a','value':'3'},{'op':'remove','path':'/data/b'}]")
                .if_array());
  HOLDS(patched && patched->string_at({"data", "a"}) == "3" && !patched->at_path({"data", "b"}));
  const auto failed = co_await rig.client.json_patch(
      ref, *value_of("[{'op':'test','path':'/data/a','value':'1'},{'op':'remove','path':'/data/a'}]").if_array());
  FAILS(failed, Code::invalid_object, "422");
  const auto read = co_await rig.client.get(ref);
  HOLDS(read && read->string_at({"data", "a"}) == "3");
  co_return Status();
}

Awaitable<Status> deletes_under_preconditions(Rig& rig) {
  const ObjectRef ref{config_maps(), rig.ns, "one"};
  const auto made = co_await rig.client.create(config_maps(), rig.ns, config_map("one"));
  HOLDS(made);
  FAILS(co_await rig.client.remove(ref, {.uid = "00000000-0000-4000-8000-000000000000"}), Code::conflict, "UID");
  FAILS(co_await rig.client.remove(ref, {.resource_version = "1"}), Code::conflict, "409");
  HOLDS(co_await rig.client.get(ref));
  const auto gone = co_await rig.client.remove(ref, {.uid = std::string(made->string_at({"metadata", "uid"}))});
  HOLDS(gone && *gone == Removed::deleted);
  const auto again = co_await rig.client.remove(ref);
  HOLDS(again && *again == Removed::absent);
  co_return Status();
}

Awaitable<Status> waits_for_finalizers(Rig& rig) {
  const ObjectRef ref{config_maps(), rig.ns, "one"};
  auto object = config_map("one");
  object.make_object()["metadata"].make_object().set("finalizers", value_of("['example.org/wait']"));
  HOLDS(co_await rig.client.create(config_maps(), rig.ns, object));
  const auto waits = co_await rig.client.remove(ref);
  HOLDS(waits && *waits == Removed::deleting);
  const auto live = co_await rig.client.get(ref);
  HOLDS(live && live->at_path({"metadata", "deletionTimestamp"}));
  HOLDS(co_await rig.client.merge_patch(ref, value_of("{'metadata':{'finalizers':null}}")));
  FAILS(co_await rig.client.get(ref), Code::not_found, "not found");
  co_return Status();
}

Awaitable<Status> closes_namespaces(Rig& rig) {
  const std::string ns = rig.ns + "-2";
  HOLDS(co_await rig.client.create(namespaces(), "", value_of(fmt::format("{{'metadata':{{'name':'{}'}}}}", ns))));
  auto held = config_map("held");
  held.make_object()["metadata"].make_object().set("finalizers", value_of("['example.org/wait']"));
  HOLDS(co_await rig.client.create(config_maps(), ns, held));
  const auto removed = co_await rig.client.remove({namespaces(), "", ns});
  HOLDS(removed && *removed == Removed::deleting);
  FAILS(co_await rig.client.create(config_maps(), ns, config_map("late")), Code::forbidden, "terminated");
  FAILS(co_await rig.client.remove({namespaces(), "", "kube-system"}), Code::forbidden, "kube-system");
  co_return Status();
}

Awaitable<Status> serves_custom_resources(Rig& rig) {
  const std::string group = rig.ns + ".example.org";
  const std::string api_version = group + "/v1";
  FAILS(co_await rig.client.resolve(api_version, "Widget"), Code::not_found, "CustomResourceDefinition");
  const auto crd = co_await rig.client.resolve("apiextensions.k8s.io/v1", "CustomResourceDefinition");
  HOLDS(crd);
  const auto definition = value_of(fmt::format(
      "{{'apiVersion':'apiextensions.k8s.io/"
      "v1','kind':'CustomResourceDefinition','metadata':{{'name':'widgets.{0}'}},'spec':{{'group':'{0}',"
      "'scope':'Namespaced','names':{{'plural':'widgets','kind':'Widget'}},'versions':[{{'name':'v1','served':true,'"
      "storage':true,"
      "'schema':{{'openAPIV3Schema':{{'type':'object','x-kubernetes-preserve-unknown-fields':true}}}}}}]}}}}",
      group));
  HOLDS(co_await rig.client.apply({*crd, "", "widgets." + group}, definition));
  Result<ResourceType> type = fail(Code::not_found, "");
  const Mono end = rig.env.clock.now() + std::chrono::seconds(20);
  while (!type && rig.env.clock.now() < end) {
    co_await sleep_for(rig.env.clock, std::chrono::milliseconds(100));
    type = co_await rig.client.resolve(api_version, "Widget");
  }
  HOLDS(type && type->plural == "widgets" && type->namespaced);
  const auto widget = value_of(
      fmt::format("{{'apiVersion':'{}','kind':'Widget','metadata':{{'name':'w'}},'spec':{{'size':3}}}}", api_version));
  const ObjectRef ref{*type, rig.ns, "w"};
  Result<Applied> applied = co_await rig.client.apply(ref, widget);
  while (!applied && rig.env.clock.now() < end) {  // served a moment after it is announced
    co_await sleep_for(rig.env.clock, std::chrono::milliseconds(100));
    applied = co_await rig.client.apply(ref, widget);
  }
  HOLDS(applied && applied->created && applied->object.int_at({"spec", "size"}) == 3);
  const auto grown = co_await rig.client.merge_patch(ref, value_of("{'spec':{'size':4}}"));
  HOLDS(grown && grown->int_at({"metadata", "generation"}) == 2);
  // What was made in a version that is not served any more is reached in this one.
  const auto older = value_of(fmt::format(
      "{{'apiVersion':'{}/v1beta1','kind':'Widget','metadata':{{'name':'w','namespace':'{}'}}}}", group, rig.ns));
  FAILS(co_await rig.client.locate(older), Code::not_found, "v1beta1");
  const auto found = co_await rig.client.locate(older, KubeClient::Version::any);
  HOLDS(found && *found == ref);
  FAILS(co_await rig.client.resolve_in_any_version(group + "/v1beta1", "Gadget"), Code::not_found, "v1beta1");
  FAILS(co_await rig.client.resolve_in_any_version("no-" + group + "/v1", "Widget"), Code::not_found, "no-");
  HOLDS(co_await rig.client.remove(ref));
  HOLDS(co_await rig.client.remove({*crd, "", "widgets." + group}));
  co_return Status();
}

Awaitable<Status> tells_about_the_cluster(Rig& rig) {
  CO_RETURN_IF_ERROR(co_await rig.client.ready());
  const auto uid = co_await rig.client.kube_system_uid();
  HOLDS(uid && uid->size() == 36);
  HOLDS(co_await rig.client.nodes());
  co_return Status();
}

Awaitable<Status> wants_credentials(Rig& rig) {
  auto access = parse_kubeconfig(rig.kubeconfig);
  access->bearer_token = "wrong";
  KubeClient stranger(rig.env, rig.dialer, *access);
  FAILS(co_await stranger.get({config_maps(), rig.ns, "one"}), Code::unauthenticated, "401");
  FAILS(co_await stranger.ready(), Code::unauthenticated, "probe");
  FAILS(co_await stranger.watch(config_maps(), {.ns = rig.ns}), Code::unauthenticated, "watch configmaps");
  co_return Status();
}

Awaitable<Status> fences_terms(Rig& rig) {
  const Mono now = rig.env.clock.now();
  Fence first(rig.client, rig.ns, "krake-test");
  Fence second(rig.client, rig.ns, "krake-test");
  HOLDS(co_await first.check("s-5", "one") == Passage::open);
  HOLDS(co_await first.raise("s-5", "one", false, now) == Passage::open);
  HOLDS(co_await second.check("s-5", "two") == Passage::open);
  HOLDS(co_await second.check("s-4", "two") == Passage::outrun);
  HOLDS(co_await second.check("t-1", "two") == Passage::outrun);
  HOLDS(co_await second.raise("s-4", "late", false, now) == Passage::outrun);
  HOLDS(co_await second.raise("s-9", "two", false, now) == Passage::open);
  HOLDS(co_await first.check("s-5", "one") == Passage::outrun);
  HOLDS(co_await first.raise("s-5", "one", true, now) == Passage::outrun);
  // The store was restored: another order begins.
  HOLDS(co_await first.check("t-1", "one") == Passage::outrun);
  HOLDS(co_await first.raise("t-1", "one", false, now) == Passage::open);
  const auto type = co_await rig.client.resolve("coordination.k8s.io/v1", "Lease");
  HOLDS(type);
  const auto lease = co_await rig.client.get({*type, rig.ns, "krake-test"});
  HOLDS(lease && lease->string_at({"metadata", "annotations", "krake/epoch"}) == "t-1");
  HOLDS(lease->string_at({"spec", "holderIdentity"}) == "one");
  // Removed by somebody: put there again before a delete.
  HOLDS(co_await rig.client.remove({*type, rig.ns, "krake-test"}));
  HOLDS(co_await first.raise("t-1", "one", true, now) == Passage::open);
  HOLDS(co_await rig.client.get({*type, rig.ns, "krake-test"}));
  // No object is no leave: it cannot be put there either.
  Fence nowhere(rig.client, rig.ns + "-not", "krake-test");
  HOLDS(co_await nowhere.check("s-5", "one") == Passage::unfenced);
  HOLDS(co_await nowhere.raise("s-5", "one", false, now) == Passage::unfenced);
  co_return Status();
}

constexpr Case kCases[] = {
    {"FindsKinds", finds_kinds},
    {"CreatesAndReads", creates_and_reads},
    {"ListsByLabelInPages", lists_by_label_in_pages},
    {"FillsInDefaults", fills_in_defaults},
    {"RefusesWhatIsInvalid", refuses_what_is_invalid},
    {"ReplacesWhatWasRead", replaces_what_was_read},
    {"KeepsStatusApart", keeps_status_apart},
    {"PatchesWithJsonPatch", patches_with_json_patch},
    {"DeletesUnderPreconditions", deletes_under_preconditions},
    {"WaitsForFinalizers", waits_for_finalizers},
    {"ClosesNamespaces", closes_namespaces},
    {"ServesCustomResources", serves_custom_resources},
    {"TellsAboutTheCluster", tells_about_the_cluster},
    {"WantsCredentials", wants_credentials},
    {"FencesTerms", fences_terms},
};

}  // namespace

std::span<const Case> object_cases() { return kCases; }

}  // namespace krake::kube::conformance
