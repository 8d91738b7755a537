// What the conformance cases do not reach: the simulated controllers, the collection of dependents, faults.
#include "kubesim/sim_cluster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kubesim/patch.h"
#include "kubesim/test_cluster.h"
#include "providers/conformance/conformance.h"

namespace krake::kubesim {

namespace {

using namespace std::chrono_literals;
using kube::conformance::config_map;
using kube::conformance::config_maps;
using kube::conformance::deployment;
using kube::conformance::deployments;
using kube::conformance::value_of;

struct SimBench : TestCluster {
  ObjectPtr make(std::string_view resource, json::Value object) {
    const auto made = sim.api().create(*sim.api().kinds().find_resource(resource), "default", std::move(object), {});
    EXPECT_TRUE(made) << made.error().message;
    return made ? *made : nullptr;
  }
  ObjectPtr web() { return sim.find("deployments", "default", "web"); }
  bool ready(std::int64_t count) {
    return world.run_until([&] { return web()->int_at({"status", "readyReplicas"}).value_or(0) == count; }, 30s);
  }
  std::size_t pods() { return sim.list("pods").size(); }
};

json::Value workload(std::string_view kind, std::string_view name, std::string_view extra = "") {
  return value_of(fmt::format(
      "{{'apiVersion':'apps/"
      "v1','kind':'{}','metadata':{{'name':'{}'}},'spec':{{{}'selector':{{'matchLabels':{{'a':'b'}}}},"
      "'template':{{'metadata':{{'labels':{{'a':'b'}}}},'spec':{{'containers':[{{'name':'c','image':'i'}}]}}}}}}}}",
      kind, name, extra));
}

}  // namespace

TEST(SimCluster, RunsDeploymentsAfterTheirTime) {
  SimBench bench;
  bench.make("deployments.apps", deployment("web"));
  const Mono begin = bench.world.clock.now();
  ASSERT_TRUE(bench.ready(1));
  EXPECT_GE(bench.world.clock.now() - begin, 200ms);
  EXPECT_LT(bench.world.clock.now() - begin, 1s);
  EXPECT_EQ(bench.web()->int_at({"status", "availableReplicas"}), 1);
  ASSERT_TRUE(bench.sim.merge("deployments", "default", "web", value_of("{'spec':{'replicas':3}}")));
  ASSERT_TRUE(bench.ready(3));
  EXPECT_EQ(bench.pods(), 3U);
  ASSERT_TRUE(bench.sim.merge("deployments", "default", "web", value_of("{'spec':{'replicas':0}}")));
  EXPECT_TRUE(bench.world.run_until([&] { return bench.pods() == 0; }, 5s));
}

TEST(SimCluster, RollsOutNewTemplatesWithoutAGap) {
  SimBench bench;
  bench.make("deployments.apps", deployment("web"));
  ASSERT_TRUE(bench.sim.merge("deployments", "default", "web", value_of("{'spec':{'replicas':2}}")));
  ASSERT_TRUE(bench.ready(2));
  ASSERT_TRUE(bench.sim.merge("deployments", "default", "web",
                              value_of("{'spec':{'template':{'metadata':{'annotations':{'v':'2'}}}}}")));
  const auto settled = [&] {
    EXPECT_GE(bench.web()->int_at({"status", "readyReplicas"}).value_or(0), 2);
    return bench.pods() == 2 && bench.web()->int_at({"status", "updatedReplicas"}) == 2 &&
           bench.web()->int_at({"status", "observedGeneration"}) == 3;
  };
  EXPECT_TRUE(bench.world.run_until(settled, 10s));
}

TEST(SimCluster, RunsTheOtherWorkloads) {
  SimBench bench;
  bench.make("statefulsets.apps", workload("StatefulSet", "db", "'serviceName':'db','replicas':2,"));
  bench.make("daemonsets.apps", workload("DaemonSet", "agent"));
  bench.make("replicasets.apps", workload("ReplicaSet", "rs", "'replicas':2,"));
  const auto number = [&](std::string_view resource, std::string_view name, std::string_view field) {
    return bench.sim.find(resource, "default", name)->int_at({"status", field}).value_or(0);
  };
  EXPECT_TRUE(bench.world.run_until(
      [&] {
        return number("statefulsets", "db", "readyReplicas") == 2 &&
               number("daemonsets", "agent", "numberReady") == 1 &&
               number("replicasets", "rs", "availableReplicas") == 2;
      },
      5s));
  EXPECT_TRUE(bench.sim.find("pods", "default", "db-0") && bench.sim.find("pods", "default", "db-1"));
}

TEST(SimCluster, CompletesJobs) {
  SimBench bench;
  bench.make("jobs.batch",
             value_of("{'metadata':{'name':'once'},'spec':{'completions':2,'parallelism':1,'template':{'spec':{"
                      "'restartPolicy':'Never','containers':[{'name':'c','image':'i'}]}}}}"));
  EXPECT_TRUE(bench.world.run_until(
      [&] { return bench.sim.find("jobs", "default", "once")->int_at({"status", "succeeded"}) == 2; }, 10s));
  EXPECT_TRUE(bench.sim.find("jobs", "default", "once")->at_path({"status", "completionTime"}));
  // Jobs leave their Pods behind unless told otherwise.
  const KindInfo& jobs = *bench.sim.api().kinds().find_resource("jobs.batch");
  ASSERT_TRUE(bench.sim.api().remove(jobs, "default", "once", {}));
  EXPECT_EQ(bench.pods(), 2U);
}

TEST(SimCluster, GrantsAddressesAndVolumes) {
  SimBench bench;
  bench.make("services",
             value_of("{'metadata':{'name':'lb'},'spec':{'type':'LoadBalancer','ports':[{'port':80,'name':'a'},"
                      "{'port':81,'name':'b'}]}}"));
  bench.make("persistentvolumeclaims", value_of("{'metadata':{'name':'v'},'spec':{'accessModes':['ReadWriteOnce']}}"));
  EXPECT_TRUE(bench.world.run_until(
      [&] {
        return bench.sim.find("services", "default", "lb")->at_path({"status", "loadBalancer", "ingress"}) &&
               bench.sim.find("persistentvolumeclaims", "default", "v")->string_at({"status", "phase"}) == "Bound";
      },
      5s));
  const auto& ports = *bench.sim.find("services", "default", "lb")->at_path({"spec", "ports"})->if_array();
  EXPECT_NE(ports[0].int_at({"nodePort"}), ports[1].int_at({"nodePort"}));
}

TEST(SimCluster, CollectsWhatDeletedObjectsOwned) {
  SimBench bench;
  bench.make("deployments.apps", deployment("web"));
  ASSERT_TRUE(bench.ready(1));
  ASSERT_TRUE(bench.sim.erase("deployments", "default", "web"));
  EXPECT_EQ(bench.pods(), 0U);
}

TEST(SimCluster, OrphansWhenAskedTo) {
  SimBench bench;
  bench.make("deployments.apps", deployment("web"));
  ASSERT_TRUE(bench.ready(1));
  const auto removed =
      bench.world.run(bench.client.remove({deployments(), "default", "web"}, {.propagation = "Orphan"}));
  EXPECT_EQ(removed.value(), kube::Removed::deleted);
  ASSERT_EQ(bench.pods(), 1U);
  EXPECT_FALSE(bench.sim.list("pods").front()->at_path({"metadata", "ownerReferences"}));
}

TEST(SimCluster, EmptiesDeletedNamespaces) {
  SimBench bench;
  const KindInfo& kind = *bench.sim.api().kinds().find_resource("namespaces");
  ASSERT_TRUE(bench.sim.api().create(kind, "", value_of("{'metadata':{'name':'team'}}"), {}));
  ASSERT_TRUE(
      bench.sim.api().create(*bench.sim.api().kinds().find_resource("configmaps"), "team", config_map("c"), {}));
  ASSERT_TRUE(bench.sim.erase("namespaces", "", "team"));
  EXPECT_FALSE(bench.sim.find("namespaces", "", "team"));
  EXPECT_FALSE(bench.sim.find("configmaps", "team", "c"));
  EXPECT_FALSE(bench.sim.find("serviceaccounts", "team", "default"));
}

TEST(SimCluster, ReplacesPodsThatSomebodyDeletes) {
  SimBench bench;
  bench.make("deployments.apps", deployment("web"));
  ASSERT_TRUE(bench.ready(1));
  const std::string name(bench.sim.list("pods").front()->string_at({"metadata", "name"}));
  ASSERT_TRUE(bench.sim.erase("pods", "default", name));
  ASSERT_TRUE(bench.ready(0));
  ASSERT_TRUE(bench.ready(1));
  EXPECT_NE(bench.sim.list("pods").front()->string_at({"metadata", "name"}), name);
}

TEST(SimCluster, LetsPodsFareAsTheirAnnotationSays) {
  SimBench bench;
  auto web = deployment("web");
  web.make_object()["spec"].make_object()["template"].make_object()["metadata"].make_object().set(
      "annotations", value_of("{'kubesim/pod':'crash'}"));
  bench.make("deployments.apps", web);
  EXPECT_TRUE(bench.world.run_until(
      [&] { return bench.pods() == 1 && bench.sim.list("pods").front()->at_path({"status", "containerStatuses"}); },
      5s));
  const auto& container = bench.sim.list("pods").front()->at_path({"status", "containerStatuses"})->if_array()->front();
  EXPECT_EQ(container.string_at({"state", "waiting", "reason"}), "CrashLoopBackOff");
  EXPECT_FALSE(bench.web()->at_path({"status", "readyReplicas"}));
}

TEST(SimCluster, StartsNoPodsWithoutAReadyNode) {
  SimBench bench;
  Faults faults;
  faults.nodes = {{"Ready", "False"}, {"MemoryPressure", "True"}};
  bench.sim.set_faults(faults);
  bench.make("deployments.apps", deployment("web"));
  bench.world.run_until([] { return false; }, 10s);
  EXPECT_FALSE(bench.web()->at_path({"status", "readyReplicas"}));
  const auto nodes = bench.world.run(bench.client.nodes());
  ASSERT_TRUE(nodes && nodes->size() == 1);
  EXPECT_THAT(json::print(nodes->front()), ::testing::HasSubstr(R"("type":"MemoryPressure","status":"True")"));
  bench.sim.set_faults({});
  EXPECT_TRUE(bench.ready(1));
}

TEST(SimCluster, MisbehavesAsTold) {
  SimBench bench;
  const auto code = [&] {
    const auto got = bench.world.run(bench.client.get({config_maps(), "default", "kube-root-ca.crt"}));
    return got ? std::optional<Code>() : got.error().code;
  };
  EXPECT_EQ(code(), std::nullopt);
  bench.sim.faults.error_rate = 1;
  EXPECT_EQ(code(), Code::unavailable);
  bench.sim.faults = {.garbage = true};
  EXPECT_EQ(code(), Code::unavailable);
  bench.sim.faults = {.refuse = true};
  EXPECT_EQ(code(), Code::unavailable);
  bench.sim.faults = {.hang = true};
  EXPECT_EQ(code(), Code::timeout);
  bench.sim.faults = {.forbidden = {"configmaps"}};
  EXPECT_EQ(code(), Code::forbidden);
  bench.sim.faults = {.latency = 3s};
  const Mono begin = bench.world.clock.now();
  EXPECT_EQ(code(), std::nullopt);
  EXPECT_EQ(bench.world.clock.now() - begin, 3s);
}

TEST(SimCluster, TakesFaultsOverItsAdminPath) {
  SimBench bench;
  const auto transport = bench.dialer.dial({}).value();
  HttpRequest put{.method = "PUT",
                  .target = "/kubesim/faults",
                  .headers = {{"Authorization", "Bearer sim-token"}},
                  .body = R"({"latency_ms":5,"forbidden":["secrets"],"nodes":{"Ready":"Unknown"}})"};
  EXPECT_EQ(bench.world.run(transport->send(put))->status, 200);
  EXPECT_EQ(bench.sim.faults.latency, 5ms);
  EXPECT_EQ(bench.sim.faults.forbidden.front(), "secrets");
  put.body = R"({"latencyms":5})";
  EXPECT_EQ(bench.world.run(transport->send(put))->status, 400);
  put.headers = {};
  EXPECT_EQ(bench.world.run(transport->send(put))->status, 401);
}

TEST(SimCluster, MakesClientsFallBackFromServerSideApply) {
  SimBench bench;
  bench.sim.faults.unsupported = {"application/apply-patch+yaml"};
  const kube::ObjectRef ref{config_maps(), "default", "one"};
  const auto first = bench.world.run(bench.client.apply(ref, config_map("one", "{'a':'1'}")));
  ASSERT_TRUE(first && first->created) << first.error().message;
  const auto second = bench.world.run(bench.client.apply(ref, config_map("one", "{'a':'2'}")));
  ASSERT_TRUE(second && !second->created);
  EXPECT_EQ(second->object.string_at({"data", "a"}), "2");
}

TEST(SimCluster, IsTheSameClusterHoweverOftenAsked) {
  SimBench bench;
  EXPECT_EQ(bench.world.run(bench.client.kube_system_uid()).value(), bench.sim.uid());
  SimBench other;
  EXPECT_EQ(other.sim.uid(), bench.sim.uid()) << "same seed, same world";
  SimCluster third(bench.world.env, {.name = "third"});
  EXPECT_NE(third.uid(), bench.sim.uid());
}

// What clients with generated models insist on, here and below.
TEST(SimCluster, ServicesHaveAStatusFromTheBeginning) {
  SimBench bench;
  const auto service = bench.make("services", value_of("{'apiVersion':'v1','kind':'Service','metadata':{'name':'s'},"
                                                       "'spec':{'type':'LoadBalancer','ports':[{'port':80}]}}"));
  ASSERT_NE(service, nullptr);
  const json::Value* balancer = service->at_path({"status", "loadBalancer"});
  EXPECT_TRUE(balancer && balancer->is_object());
}

TEST(SimCluster, ItsNodesReportWhatAKubeletDoes) {
  const SimBench bench;
  const auto nodes = bench.sim.list("nodes");
  ASSERT_FALSE(nodes.empty());
  for (const std::string_view field :
       {"architecture", "bootID", "containerRuntimeVersion", "kernelVersion", "kubeProxyVersion", "kubeletVersion",
        "machineID", "operatingSystem", "osImage", "systemUUID"}) {
    const json::Value* value = nodes.front()->at_path({"status", "nodeInfo", field});
    EXPECT_TRUE(value && value->is_string()) << field;
  }
}

TEST(StrategicMerge, MergesByKeyDeletesAndOrders) {
  const auto object = value_of(
      "{'spec':{'template':{'spec':{'containers':[{'name':'a','image':'1','env':[{'name':'X','value':'1'}]},{'name':'b'"
      ",'image':'1'}]}}},"
      "'metadata':{'finalizers':['f','g'],'labels':{'l':'1'}}}");
  const auto after =
      strategic_merge("Deployment", object,
                      value_of("{'spec':{'template':{'spec':{'$setElementOrder/"
                               "containers':[{'name':'b'},{'name':'a'}],'containers':[{'name':'a','image':'2'},"
                               "{'name':'c','image':'3'}]}}},'metadata':{'$deleteFromPrimitiveList/"
                               "finalizers':['f'],'finalizers':['h'],'labels':{'l':null}}}"));
  ASSERT_TRUE(after);
  EXPECT_EQ(*after, value_of("{'spec':{'template':{'spec':{'containers':[{'name':'b','image':'1'},{'name':'a','image':'"
                             "2','env':[{'name':'X','value':'1'}]},"
                             "{'name':'c','image':'3'}]}}},'metadata':{'finalizers':['g','h'],'labels':{}}}"));
  const auto without = strategic_merge(
      "Deployment", object, value_of("{'spec':{'template':{'spec':{'containers':[{'$patch':'delete','name':'a'}]}}}}"));
  ASSERT_TRUE(without);
  EXPECT_EQ(without->at_path({"spec", "template", "spec", "containers"})->if_array()->size(), 1U);
  EXPECT_FALSE(
      strategic_merge("Deployment", object, value_of("{'spec':{'template':{'spec':{'containers':[{'image':'2'}]}}}}")));
}

}  // namespace krake::kubesim
