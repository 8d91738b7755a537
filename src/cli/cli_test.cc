// Whole command lines against the real server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/testing.h"
#include "cli/yaml.h"

namespace krake::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing::Ran;
using ::testing::StartsWith;
using testing::TestCli;

constexpr std::string_view kManifest =
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: cfg\ndata:\n  mode: \"0644\"\n---\n"
    "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - name: c\n    image: i\n    env:\n    - "
    "{name: A, value: KEY}\n    - {name: B, value: other}\n";
constexpr std::string_view kTosca =
    "tosca_definitions_version: tosca_simple_yaml_1_0\ntopology_template:\n  node_templates: {}\n";
constexpr std::string_view kKubeconfig =
    "apiVersion: v1\nkind: Config\ncurrent-context: one\n"
    "contexts:\n- {name: one, context: {cluster: edge-1, user: u1}}\n- {name: two, context: {cluster: edge-2, user: "
    "u2}}\n"
    "- {name: broken, context: {cluster: gone, user: u1}}\n"
    "clusters:\n- {name: edge-1, cluster: {server: 'https://1.2.3.4:6443', certificate-authority: pki/ca.pem}}\n"
    "- {name: edge-2, cluster: {server: 'https://1.2.3.5:6443'}}\n"
    "users:\n- {name: u1, user: {client-certificate: pki/c.pem, client-key: pki/k.pem}}\n- {name: u2, user: {token: "
    "t}}\n";

struct Cli : TestCli {
  Cli() {
    dir.write("app.yaml", kManifest);
    dir.write("tosca.yaml", kTosca);
    dir.write("kube/config", kKubeconfig);
    dir.write("kube/pki/ca.pem", "CA");
    dir.write("pki/c.pem", "CERT");
    dir.write("pki/k.pem", "KEY");
  }
  // A request of somebody else, `after` from now.
  void later(Duration after, std::string method, std::string target, std::string body) {
    others.push_back(std::make_unique<TaskGroup>(server.world.env.executor));
    others.back()->spawn(
        "later", send(server, after,
                      {std::move(method), std::move(target), {{"Content-Type", "application/json"}}, std::move(body)}));
  }
  static Awaitable<void> send(krake::testing::TestServer& server, Duration after, HttpRequest request) {
    co_await sleep_for(server.world.clock, after);
    auto answer = co_await server.transport->send(std::move(request));
    EXPECT_TRUE(answer && answer->status < 400) << (answer ? answer->body : answer.error().message);
  }
  json::Value app(const std::string& name) {
    return server.get("/kubernetes/namespaces/system:admin/applications/" + name);
  }
  std::vector<std::unique_ptr<TaskGroup>> others;
};

std::string path_of(const json::Value& value, std::initializer_list<std::string_view> path) {
  const auto* found = value.at_path(path);
  return found ? json::print(*found) : "absent";
}

// ---- every command once: exit status and the requests it makes

TEST(Krakectl, MakesTheRequestsOfEachCommand) {
  const std::string apps = "/kubernetes/namespaces/system%3Aadmin/applications";
  const std::string clusters = "/kubernetes/namespaces/system%3Aadmin/clusters";
  const std::string mps = "/core/namespaces/system%3Aadmin/metricsproviders";
  const std::string metrics = "/core/namespaces/system%3Aadmin/metrics";
  const std::pair<std::string, std::string> cases[] = {
      {"kube application list", "0 GET " + apps + "\n"},
      {"kubernetes apps list -a -n x", "0 GET /kubernetes/applications\n"},
      {"kube app list -n x", "0 GET /kubernetes/namespaces/x/applications\n"},
      {"kube app create -f app.yaml web", "0 POST " + apps + "?blocking=False\n"},
      {"kube app create -f app.yaml web", "1 POST " + apps + "?blocking=False\n"},
      {"kube app get web", "0 GET " + apps + "/web\n"},
      {"kube app update web -l a=b", "0 GET " + apps + "/web\nPUT " + apps + "/web?blocking=False\n"},
      {"kube app update web -l a=b", "1 GET " + apps + "/web\nPUT " + apps + "/web?blocking=False\n"},
      {"kube app retry web", "1 PUT " + apps + "/web/retry\n"},
      {"kube app delete web", "0 DELETE " + apps + "/web?blocking=False&force=False\n"},
      {"kube app delete web --force", "0 DELETE " + apps + "/web?blocking=False&force=True\n"},
      {"kube app get web", "1 GET " + apps + "/web\n"},
      {"kube app update web -l a=b", "1 GET " + apps + "/web\n"},
      {"kube app delete web", "1 DELETE " + apps + "/web?blocking=False&force=False\n"},
      {"kube cluster list", "0 GET " + clusters + "\n"},
      {"kube cluster list --all", "0 GET /kubernetes/clusters\n"},
      {"kube cluster register -k kube/config", "0 POST " + clusters + "\n"},
      {"kube cluster create -f tosca.yaml made", "1 POST " + clusters + "\n"},  // the API wants a kubeconfig output
      {"kube cluster get edge-1", "0 GET " + clusters + "/edge-1\n"},
      {"kube cluster update edge-1 -R a.b", "0 GET " + clusters + "/edge-1\nPUT " + clusters + "/edge-1\n"},
      {"kube cluster delete edge-1", "0 DELETE " + clusters + "/edge-1?force=False\n"},
      {"core mp list", "0 GET " + mps + "\n"},
      {"core metricsprovider list -a", "0 GET /core/metricsproviders\n"},
      {"core mp create prom --type prometheus --url http://p", "0 POST " + mps + "\n"},
      {"core mp get prom", "0 GET " + mps + "/prom\n"},
      {"core mp update prom --url http://q", "0 GET " + mps + "/prom\nPUT " + mps + "/prom\n"},
      {"core mp update prom --url http://q", "0 GET " + mps + "/prom\nPUT " + mps + "/prom\n"},  // unchanged
      {"core mp delete prom", "0 DELETE " + mps + "/prom\n"},
      {"core gmp create st --type static -m heat 1 --metric load 2.5", "0 POST /core/globalmetricsproviders\n"},
      {"core globalmetricsprovider list", "0 GET /core/globalmetricsproviders\n"},
      {"core gmp get st", "0 GET /core/globalmetricsproviders/st\n"},
      {"core gmp update st -m heat 3", "0 GET /core/globalmetricsproviders/st\nPUT /core/globalmetricsproviders/st\n"},
      {"core gmp update st -m heat 3", "0 GET /core/globalmetricsproviders/st\nPUT /core/globalmetricsproviders/st\n"},
      {"core gmp delete st", "0 DELETE /core/globalmetricsproviders/st\n"},
      {"core metric list", "0 GET " + metrics + "\n"},
      {"core metric create heat --mp-name prom --min 0 --max 10", "0 POST " + metrics + "\n"},
      {"core metric get heat", "0 GET " + metrics + "/heat\n"},
      {"core metric update heat --max 11", "0 GET " + metrics + "/heat\nPUT " + metrics + "/heat\n"},
      {"core metric update heat", "1 "},
      {"core metric delete heat", "0 DELETE " + metrics + "/heat\n"},
      {"core gm create heat --gmp-name st --min -1.5 --max 10 --allowed-values 3 1 2", "0 POST /core/globalmetrics\n"},
      {"core globalmetric list", "0 GET /core/globalmetrics\n"},
      {"core gm get heat", "0 GET /core/globalmetrics/heat\n"},
      {"core gm update heat --allowed-values 5", "0 GET /core/globalmetrics/heat\nPUT /core/globalmetrics/heat\n"},
      {"core gm delete heat", "0 DELETE /core/globalmetrics/heat\n"},
      {"core role list", "0 GET /core/roles\n"},
      {"core role get nobody", "1 GET /core/roles/nobody\n"},
      {"core rolebinding list", "0 GET /core/rolebindings\n"},
      {"core rolebinding get nobody", "1 GET /core/rolebindings/nobody\n"},
      {"core lease list", "0 GET /core/leases\n"},
      {"core lease get scheduler", "1 GET /core/leases/scheduler\n"},
      {"version", "0 GET /\n"},
      {"whoami", "0 GET /me\n"},
      {"kube app get a/b", "1 GET " + apps + "/a%2Fb\n"},
  };
  Cli cli;
  for (const auto& [line, wanted] : cases) {
    const auto ran = cli.run(line);
    EXPECT_EQ(std::to_string(ran.exit) + " " + ran.calls(), wanted) << line << "\n" << ran.all();
    if (ran.exit == 0 && !ran.err.starts_with("Error")) EXPECT_EQ(ran.err, "") << line;
  }
}

TEST(Krakectl, SendsTheBodiesOfUpstream) {
  Cli cli;
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"kube app create -f app.yaml a --inject KEY=v=1",
       R"({"metadata":{"name":"a","labels":{}},"spec":{"manifest":[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"cfg"},"data":{"mode":"0644"}},{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i","env":[{"name":"A","value":"v=1"},{"name":"B","value":"other"}]}]}}],"tosca":{},"csar":null,"observer_schema":[],"constraints":{"migration":true,"cluster":{"labels":[],"custom_resources":[],"metrics":[]}},"backoff":1,"backoff_delay":1,"backoff_limit":-1,"auto_cluster_create":false}})"},
      {"kube app create -u http://x/t.yaml b -l a=b -l c=d -l a=e --disable-migration -L 'location = DE' -R a.b -M "
       "'load less than 5' -M 'heat is greater than 1' "
       "--hook-complete --hook-shutdown 30 delete 4 --backoff 2 --backoff_delay 3 --backoff_limit -1 "
       "--auto-cluster-create",
       R"({"metadata":{"name":"b","labels":{"a":"e","c":"d"}},"spec":{"manifest":[],"tosca":"http://x/t.yaml","csar":null,"observer_schema":[],"constraints":{"migration":false,"cluster":{"labels":["location = DE"],"custom_resources":["a.b"],"metrics":["load lesser than 5","heat greater than 1"]}},"backoff":2,"backoff_delay":3,"backoff_limit":-1,"auto_cluster_create":true,"hooks":["complete","shutdown"],"shutdown_grace_time":30,"shutdown_failure_strategy":"delete","shutdown_retry_count":4}})"},
      {"kube app create c --url http://x/t.csar --hook-shutdown",
       R"({"metadata":{"name":"c","labels":{}},"spec":{"manifest":[],"tosca":{},"csar":"http://x/t.csar","observer_schema":[],"constraints":{"migration":true,"cluster":{"labels":[],"custom_resources":[],"metrics":[]}},"backoff":1,"backoff_delay":1,"backoff_limit":-1,"auto_cluster_create":false,"hooks":["shutdown"]}})"},
      {"kube app create d -f tosca.yaml -O observe.yaml",
       R"({"metadata":{"name":"d","labels":{}},"spec":{"manifest":[],"tosca":{"tosca_definitions_version":"tosca_simple_yaml_1_0","topology_template":{"node_templates":{}}},"csar":null,"observer_schema":[{"kind":"X"}],"constraints":{"migration":true,"cluster":{"labels":[],"custom_resources":[],"metrics":[]}},"backoff":1,"backoff_delay":1,"backoff_limit":-1,"auto_cluster_create":false}})"},
      {"kube cluster register -k kube/config -c two -R x.y --metric m 1 --global-metric g 0.5 -l a=b", R"({"metadata":{"name":"edge-2","labels":{"a":"b"}},"spec":{"kubeconfig":{"apiVersion":"v1","kind":"Config","current-context":"two","contexts":[{"name":"two","context":{"cluster":"edge-2","user":"u2"}}],"clusters":[{"name":"edge-2","cluster":{"server":"https://1.2.3.5:6443"}}],"users":[{"name":"u2","user":{"token":"t"}}]},"metrics":[{"name":"m","weight":1.0,"namespaced":true},{"name":"g","weight":0.5,"namespaced":false}],"custom_resources":["x.y"],"constraints":{"cloud":{"labels":[],"metrics":[]}},"backoff":1,"backoff_delay":1,"backoff_limit":-1}})"},
      {"kube cluster register --name mine -k kube/config",
       R"({"metadata":{"name":"mine","labels":{}},"spec":{"kubeconfig":{"apiVersion":"v1","kind":"Config","current-context":"one","contexts":[{"name":"one","context":{"cluster":"edge-1","user":"u1"}}],"clusters":[{"name":"edge-1","cluster":{"server":"https://1.2.3.4:6443","certificate-authority-data":"Q0E="}}],"users":[{"name":"u1","user":{"client-certificate-data":"Q0VSVA==","client-key-data":"S0VZ"}}]},"metrics":[],"custom_resources":[],"constraints":{"cloud":{"labels":[],"metrics":[]}},"backoff":1,"backoff_delay":1,"backoff_limit":-1}})"},
      {"kube cluster create made -f tosca.yaml --inherit-metrics --inherit-labels -L 'location is DE' -M 'm > 1'",
       R"({"metadata":{"name":"made","labels":{},"inherit_labels":true},"spec":{"tosca":{"tosca_definitions_version":"tosca_simple_yaml_1_0","topology_template":{"node_templates":{}}},"metrics":[],"inherit_metrics":true,"custom_resources":[],"constraints":{"cloud":{"labels":["location is DE"],"metrics":["m > 1"]}},"backoff":1,"backoff_delay":1,"backoff_limit":-1}})"},
      {"core mp create i --type influx --url http://i --token T --org o --bucket b --table ignored",
       R"({"api":"core","kind":"MetricsProvider","metadata":{"name":"i"},"spec":{"type":"influx","influx":{"url":"http://i","token":"T","org":"o","bucket":"b"}}})"},
      {"core gmp create k --type kafka --url http://k --comparison-column c --value-column v --table t",
       R"({"api":"core","kind":"GlobalMetricsProvider","metadata":{"name":"k"},"spec":{"type":"kafka","kafka":{"url":"http://k","comparison_column":"c","value_column":"v","table":"t"}}})"},
      {"core gmp create s --type static -m a 1 -m b 2.5",
       R"({"api":"core","kind":"GlobalMetricsProvider","metadata":{"name":"s"},"spec":{"type":"static","static":{"metrics":{"a":1.0,"b":2.5}}}})"},
      {"core gm create m --gmp s --min 0 --max 5 --allowed-values 3 1 2 --metric-name a",
       R"({"api":"core","kind":"GlobalMetric","metadata":{"name":"m"},"spec":{"min":0.0,"max":5.0,"allowed_values":[1,2,3],"provider":{"name":"s","metric":"a"}}})"},
      {"core metric create m --mp-name s --min 0 --max 5",
       R"({"api":"core","kind":"Metric","metadata":{"name":"m"},"spec":{"min":0.0,"max":5.0,"allowed_values":[],"provider":{"name":"s","metric":"m"}}})"},
  };
  cli.dir.write("observe.yaml", "kind: X\n");
  for (const auto& [line, wanted] : cases) {
    const auto ran = cli.run(line);
    ASSERT_EQ(ran.requests.size(), 1U) << line << "\n" << ran.all();
    EXPECT_EQ(ran.requests[0].body, wanted) << line;
  }
}

// ---- output

TEST(Krakectl, ShowsListsAndObjectsAsTables) {
  Cli cli;
  EXPECT_EQ(cli.run("core gm list").out,
            "+------+-----------+--------+---------+----------+---------+----------+-----+-----+----------------+\n"
            "| name | namespace | labels | created | modified | deleted | provider | min | max | allowed_values |\n"
            "+======+===========+========+=========+==========+=========+==========+=====+=====+================+\n"
            "+------+-----------+--------+---------+----------+---------+----------+-----+-----+----------------+\n");
  EXPECT_EQ(cli.run("core gm create heat --gmp-name st --min 0 --max 10 --allowed-values 3 1").out,
            "+----------------+---------------------+\n"
            "| name           | heat                |\n"
            "| namespace      | None                |\n"
            "| labels         | None                |\n"
            "| created        | 2026-05-28 20:26:40 |\n"
            "| modified       | 2026-05-28 20:26:40 |\n"
            "| deleted        | None                |\n"
            "| provider       | st (metric heat)    |\n"
            "| min            | 0.0                 |\n"
            "| max            | 10.0                |\n"
            "| allowed_values | 1, 3                |\n"
            "+----------------+---------------------+\n");
  EXPECT_EQ(cli.run("core gm list --no-headers").out,
            "heat  None  None  2026-05-28 20:26:40  2026-05-28 20:26:40  None  st (metric heat)  0.0  10.0  1, 3\n");
  EXPECT_EQ(cli.run("core gm list -o name").out, "heat\n");
  EXPECT_EQ(cli.run("core gm get heat -oname").out, "heat\n");
  EXPECT_THAT(cli.run("core gm list -o wide").out, HasSubstr("| age |"));
}

TEST(Krakectl, ShowsApplicationsWithUpstreamsRows) {
  Cli cli;
  cli.run("kube app create -f app.yaml web -l location=DE -l tier=1 -L 'location in (DE, SK)'");
  cli.server.call(
      "PATCH", "/kubernetes/namespaces/system:admin/applications/web/status",
      R"({"status":{"state":"RUNNING","services":{"echo":"1.2.3.4:80"},"running_on":{"api":"kubernetes","kind":"Cluster","namespace":"system:admin","name":"c1"},
                      "reason":{"code":"KUBERNETES_ERROR","message":"bad\u001b[31m"},"container_health":{"desired_pods":2,"running_pods":1,"completed_pods":0,"failed_pods":0}}})");
  EXPECT_EQ(cli.run("kube app get web").out,
            "+-----------------------+-----------------------------------------------+\n"
            "| name                  | web                                           |\n"
            "| namespace             | system:admin                                  |\n"
            "| labels                | location: DE                                  |\n"
            "|                       | tier: 1                                       |\n"
            "| created               | 2026-05-28 20:26:40                           |\n"
            "| modified              | 2026-05-28 20:26:40                           |\n"
            "| deleted               | None                                          |\n"
            "| state                 | RUNNING                                       |\n"
            "| reason                | code: KUBERNETES_ERROR                        |\n"
            "|                       | message: bad?[31m                             |\n"
            "| container_health      | 1 active / 0 failed / 0 succeeded / 2 desired |\n"
            "| services              | echo: 1.2.3.4:80                              |\n"
            "| allow migration       | True                                          |\n"
            "| label constraints     | location in (DE, SK)                          |\n"
            "| resources constraints | None                                          |\n"
            "| metric constraints    | None                                          |\n"
            "| hooks                 | None                                          |\n"
            "| scheduled_to          | None                                          |\n"
            "| scheduled             | None                                          |\n"
            "| running_on            | Cluster system:admin/c1                       |\n"
            "| backoff               | 1                                             |\n"
            "| backoff_delay         | 1                                             |\n"
            "| backoff_limit         | -1                                            |\n"
            "+-----------------------+-----------------------------------------------+\n");
  EXPECT_THAT(cli.run("kube app list -o wide").out, HasSubstr("| Cluster system:admin/c1 | 0s  |"));
  // On a terminal the table fits it.
  cli.terminal = true;
  cli.width = 60;
  const std::string narrow = cli.run("kube app get web").out;
  for (std::size_t at = 0; at < narrow.size(); at = narrow.find('\n', at) + 1)
    EXPECT_LE(narrow.find('\n', at) - at, 60U);
  EXPECT_THAT(narrow, HasSubstr("1 active"));
}

TEST(Krakectl, ShowsClustersWithNodesAndMasksNoNeededField) {
  Cli cli;
  cli.run("kube cluster register -k kube/config -m load 2 --global-metric heat 0.5");
  cli.server.call(
      "PATCH", "/kubernetes/namespaces/system:admin/clusters/edge-1/status",
      R"({"status":{"state":"ONLINE","metrics_reasons":{"load":{"code":"UNKNOWN_METRIC","message":"gone"}},"nodes":[
                      {"metadata":{"name":"a"},"status":{"conditions":[{"type":"Ready","status":"True","reason":"","message":""},{"type":"DiskPressure","status":"True","reason":"","message":""}]}},
                      {"metadata":{"name":"b"},"status":null}]}})");
  const auto table = cli.run("kube cluster get edge-1").out;
  for (const auto row :
       {"| state                 | ONLINE ", "| metrics               | load ×2.0 (namespaced) ",
        "|                       | heat ×0.5 (global) ", "| failing_metrics       | load: UNKNOWN_METRIC gone ",
        "| nodes                 | 1/2 ", "| nodes_pid_pressure    | 0/2 ", "| nodes_disk_pressure   | 1/2 ",
        "| backoff_limit         | -1 "}) {
    EXPECT_THAT(table, HasSubstr(row));
  }
  EXPECT_THAT(table, Not(HasSubstr("S0VZ")));
  EXPECT_THAT(cli.run("kube cluster get edge-1 -o json").out, HasSubstr("S0VZ"));
  EXPECT_THAT(cli.run("kube cluster get edge-1 -o yaml").out, HasSubstr("client-key-data: S0VZ"));
}

TEST(Krakectl, MasksSecretsInTables) {
  Cli cli;
  const auto created = cli.run("core mp create i --type influx --url http://i --token TOPSECRET --org o --bucket b");
  EXPECT_EQ(created.exit, 0);
  EXPECT_THAT(created.all(), Not(HasSubstr("TOPSECRET")));
  EXPECT_THAT(created.out, HasSubstr("| token     | ********"));
  EXPECT_THAT(cli.run("core mp list -o wide").all(), Not(HasSubstr("TOPSECRET")));
  EXPECT_EQ(cli.run("core mp get i -o json").document().string_at({"spec", "influx", "token"}), "TOPSECRET");
}

TEST(Krakectl, StructuredOutputIsTheDocumentAlone) {
  Cli cli;
  EXPECT_EQ(cli.run("kube app list -o json").all(), "[]\n");
  EXPECT_EQ(cli.run("kube app list -o yaml").all(), "[]\n");
  const auto created = cli.run("kube app create -f app.yaml web -ojson");
  EXPECT_EQ(created.err, "");
  EXPECT_THAT(created.out, StartsWith("{\n  \"api\": \"kubernetes\",\n  \"kind\": \"Application\",\n"));
  EXPECT_EQ(created.document().string_at({"metadata", "name"}), "web");
  const auto list = cli.run("kube app list -o json").document();
  ASSERT_TRUE(list.is_array());
  EXPECT_EQ(list.if_array()->at(0).string_at({"status", "state"}), "PENDING");
  const auto yaml = parse_yaml(cli.run("kube app get web -o yaml").out, "out");
  ASSERT_TRUE(yaml);
  EXPECT_EQ(yaml->front(), cli.run("kube app get web -o json").document());
  EXPECT_EQ(cli.run("kube app delete web -o json").document().at_path({"metadata", "deleted"})->is_string(), true);
  EXPECT_THAT(cli.run("whoami -o json").out, HasSubstr("\"user\""));
  EXPECT_THAT(cli.run("version").out, HasSubstr("| krakectl | " KRAKE_VERSION));
}

// ---- updates

TEST(Krakectl, ShowsWhoLeadsAndSince) {
  Cli cli;
  cli.server.call("PUT", "/core/leases/scheduler", R"({"holder":"host-1/krake-all/0badcafe","ttl_seconds":60})");
  const auto answer = cli.server.call("GET", "/core/leases/scheduler");
  const std::string epoch(answer.headers.get("Krake-Epoch").value_or("None"));
  cli.server.world.run(sleep_for(cli.server.world.clock, std::chrono::seconds(30)));
  const auto one = cli.run("core lease get scheduler");
  for (const auto& wanted : {std::string("host-1/krake-all/0badcafe"), epoch, std::string("30s"), std::string("60")})
    EXPECT_NE(one.out.find(wanted), std::string::npos) << one.all();
  const auto all = cli.run("core lease list");
  EXPECT_EQ(all.calls(), "GET /core/leases\nGET /core/leases/scheduler\n");
  for (const auto& wanted :
       {std::string("holder"), std::string("host-1/krake-all/0badcafe"), epoch, std::string("30s")})
    EXPECT_NE(all.out.find(wanted), std::string::npos) << all.all();
}

TEST(Krakectl, UpdatesApplicationsFieldByField) {
  Cli cli;
  cli.dir.write("other.yaml", "kind: Secret\napiVersion: v1\nmetadata: {name: s}\n");
  ASSERT_EQ(cli.run("kube app create -f app.yaml web -l a=1 -l b=2 -L 'x = 1' -R c.d -M 'load < 1' --backoff 7").exit,
            0);
  struct Case {
    std::string_view options;
    std::vector<std::string_view> path;
    std::string_view wanted;
  };
  const Case cases[] = {
      {"-l b=3 -l c=4", {"metadata", "labels"}, R"({"a":"1","b":"3","c":"4"})"},
      {"--remove-existing-labels -l z=1", {"metadata", "labels"}, R"({"z":"1"})"},
      {"-L 'x = 2'", {"spec", "constraints", "cluster", "labels"}, R"(["x = 2"])"},
      {"--remove-existing-label", {"spec", "constraints", "cluster", "labels"}, "ambiguous"},
      {"--remove-existing-label-constraints", {"spec", "constraints", "cluster", "labels"}, "[]"},
      {"-R e.f -R g.h", {"spec", "constraints", "cluster", "custom_resources"}, R"(["e.f","g.h"])"},
      {"--remove-existing-resource-constraints", {"spec", "constraints", "cluster", "custom_resources"}, "[]"},
      {"-M 'heat > 2' -M 'load < 1'", {"spec", "constraints", "cluster", "metrics"}, R"(["load < 1","heat > 2"])"},
      {"--remove-existing-metric-constraints -M 'm = 1'",
       {"spec", "constraints", "cluster", "metrics"},
       R"(["m = 1"])"},
      {"--disable-migration", {"spec", "constraints", "migration"}, "false"},
      {"-l k=v", {"spec", "constraints", "migration"}, "false"},
      {"--enable-migration", {"spec", "constraints", "migration"}, "true"},
      {"-l k=w", {"spec", "backoff"}, "7"},
      {"--backoff_limit 3", {"spec", "backoff_limit"}, "3"},
      {"--hook-complete", {"spec", "hooks"}, R"(["complete"])"},
      {"--hook-shutdown 9", {"spec", "hooks"}, R"(["complete","shutdown"])"},
      {"-l k=x", {"spec", "shutdown_grace_time"}, "9"},
      {"--remove-hooks", {"spec", "hooks"}, "[]"},
      {"-f other.yaml", {"spec", "manifest"}, R"([{"kind":"Secret","apiVersion":"v1","metadata":{"name":"s"}}])"},
      {"-u http://x/t.csar", {"spec", "csar"}, R"("http://x/t.csar")"},
      {"-l k=y", {"spec", "manifest"}, "[]"},
      {"-f app.yaml -i KEY=w", {"spec", "csar"}, "null"},
  };
  for (const auto& [options, path, wanted] : cases) {
    const auto ran = cli.run("kube app update web " + std::string(options));
    if (wanted == "ambiguous") {
      EXPECT_EQ(ran.exit, 2) << ran.all();
      continue;
    }
    EXPECT_EQ(ran.exit, 0) << options << "\n" << ran.all();
    const auto object = cli.app("web");
    const json::Value* here = &object;
    for (const auto step : path) here = here ? here->at_path({step}) : nullptr;
    EXPECT_EQ(here ? json::print(*here) : "absent", wanted) << options;
  }
}

TEST(Krakectl, UpdatesClustersFieldByField) {
  Cli cli;
  ASSERT_EQ(cli.run("kube cluster register -k kube/config -m load 1 -l a=1 -R a.b --backoff 4").exit, 0);
  const std::tuple<std::string_view, std::string_view, std::string_view> cases[] = {
      {"-m load 2 --global-metric load 3", "metrics",
       R"([{"name":"load","weight":2.0,"namespaced":true},{"name":"load","weight":3.0,"namespaced":false}])"},
      {"--remove-existing-metrics --metric heat 1", "metrics", R"([{"name":"heat","weight":1.0,"namespaced":true}])"},
      {"-R c.d", "custom_resources", R"(["c.d"])"},
      {"-L 'x = 1'", "constraints", R"({"cloud":{"labels":["x = 1"],"metrics":[]}})"},
      {"-L 'x = 1' -L 'y = 2' -M 'm > 1'", "constraints",
       R"({"cloud":{"labels":["x = 1","y = 2"],"metrics":["m > 1"]}})"},
      {"--remove-existing-cloud-label-constraints", "constraints", R"({"cloud":{"labels":[],"metrics":["m > 1"]}})"},
      {"-k kube/config -c two", "backoff", "4"},
  };
  for (const auto& [options, key, wanted] : cases) {
    const auto ran = cli.run("kube cluster update edge-1 " + std::string(options));
    EXPECT_EQ(ran.exit, 0) << options << "\n" << ran.all();
    const auto object = cli.server.get("/kubernetes/namespaces/system:admin/clusters/edge-1");
    EXPECT_EQ(path_of(object, {"spec", key}), wanted) << options;
  }
  const auto object = cli.server.get("/kubernetes/namespaces/system:admin/clusters/edge-1");
  EXPECT_EQ(object.string_at({"spec", "kubeconfig", "current-context"}), "two");
  EXPECT_EQ(cli.run("kube cluster update edge-1 -c two").exit, 2);
}

TEST(Krakectl, UpdatesCoreKindsByTheirType) {
  Cli cli;
  cli.run("core mp create st --type static -m a 1 -m b 2");
  cli.run("core mp create ka --type kafka --url http://k --comparison-column c --value-column v --table t");
  cli.run("core metric create m --mp-name st --min 0 --max 1");
  const std::tuple<std::string_view, int, std::string_view> cases[] = {
      {"core mp update st -m c 3", 0, "| metrics   | c: 3.0"},
      {"core mp update st", 1, "needs --metric"},
      {"core mp update st -m c 3 --url http://x", 1, "has no --url"},
      {"core mp update ka --table other", 0, "| table             | other"},
      {"core mp update ka --bucket b", 1, "has no --bucket"},
      {"core metric update m --allowed-values 4 2", 0, "| allowed_values | 2, 4"},
      {"core metric update m --min -1 --mp ka --metric-name q", 0, "| provider       | ka (metric q)"},
      {"core metric update m --min -1", 0, "400 UPDATE_ERROR"},
      {"core metric update m --min -1 -o json", 0, "\"status\": 400"},
      {"core mp update nobody --url x", 1, "404 NOT_FOUND_ERROR"},
      {"core mp create x --type oracle", 1, "'oracle' is not known"},
      {"core mp create x --type influx --url x", 1, "needs --token, --org, --bucket"},
  };
  for (const auto& [line, exit, part] : cases) {
    const auto ran = cli.run(line);
    EXPECT_EQ(ran.exit, exit) << line << "\n" << ran.all();
    EXPECT_THAT(ran.all(), HasSubstr(part)) << line;
  }
}

// Somebody writes the status between the GET and the PUT: the update is made again on the new object.
TEST(Krakectl, RepeatsAnUpdateThatLostARace) {
  Cli cli;
  cli.run("kube app create -f app.yaml web");
  struct Racing final : Transport {
    Racing(std::shared_ptr<Transport> transport, krake::testing::TestServer&) : inner(std::move(transport)) {}
    Awaitable<Result<HttpResponse>> send(HttpRequest request, CallOptions options) override {
      if (request.method == "PUT" && races-- > 0) {
        auto other = co_await inner->send({"PATCH",
                                           request.target.substr(0, request.target.find('?')),
                                           {{"Content-Type", "application/json"}},
                                           R"({"metadata":{"labels":{"from":"elsewhere"}}})"},
                                          {});
        EXPECT_EQ(other->status, 200);
      }
      co_return co_await inner->send(std::move(request), options);
    }
    Awaitable<Result<HttpStream>> open(HttpRequest request, CallOptions options) override {
      return inner->open(std::move(request), options);
    }
    std::shared_ptr<Transport> inner;
    int races = 1;
  };
  cli.dialer = std::make_shared<testing::FakeDialer>(std::make_shared<Racing>(cli.server.transport, cli.server));
  const auto ran = cli.run("kube app update web -l mine=1");
  EXPECT_EQ(ran.exit, 0) << ran.all();
  EXPECT_EQ(path_of(cli.app("web"), {"metadata", "labels"}), R"({"from":"elsewhere","mine":"1"})");
}

// ---- usage errors

TEST(Krakectl, RefusesWrongUsage) {
  const std::tuple<std::string_view, int, std::string_view> cases[] = {
      {"", 2, "a command is required"},
      {"kube", 2, "krakectl kubernetes: error: a command is required"},
      {"kube app", 2, "a command is required"},
      {"kube pods list", 2, "invalid choice: 'pods' (choose from 'application', 'cluster')"},
      {"kube app ", 2, "error"},
      {"kube app get", 2, "the following arguments are required: NAME"},
      {"kube app create web -f app.yaml -u http://x/y.yaml", 2, "-u/--url: not allowed with argument -f/--file"},
      {"kube app create web -f app.yaml --enable-m --disable-m", 2, "not allowed with argument"},
      {"kube app create web -f missing.yaml", 2,
       "argument -f/--file: can't open 'missing.yaml': No such file or directory"},
      {"kube app create web -f kube", 2, "Is a directory"},
      {"kube app create web", 1, "one of --file and --url is needed"},
      {"kube app create web -u http://x/y.txt", 1, "the suffix says nothing"},
      {"kube app create web -f app.yaml -l nolabel", 1, "label 'nolabel' is not of the form KEY=VALUE"},
      {"kube app create web -f app.yaml --wait nonsense", 2, "unrecognized arguments: nonsense"},
      {"kube app create web -f app.yaml --wait=deleted", 2, "invalid value 'deleted'"},
      {"kube app create web -f app.yaml --wait --timeout soon", 2, "invalid duration: 'soon'"},
      {"kube app list -o xml", 2, "invalid choice: 'xml'"},
      {"kube app list --remove", 2, "unrecognized arguments: --remove"},
      {"kube app update web --remove-existing", 2, "ambiguous option"},
      {"kube cluster register", 2, "required: -k/--kubeconfig"},
      {"kube cluster register -k missing", 2, "can't open 'missing'"},
      {"kube cluster register -k kube/config -c three", 1, "there is no context 'three'"},
      {"kube cluster register -k kube/config -c three", 1, "its contexts, for --context: one, two, broken"},
      {"kube cluster register -k none.yaml", 1, "the file has no contexts; `kubectl config view --raw"},
      {"kube cluster register -k kube/config -c broken", 1, "names the cluster 'gone', which is not there"},
      {"kube cluster register -k kube/config extra", 2, "unrecognized arguments: extra"},
      {"kube cluster register -k kube/config -m load heavy", 2, "invalid float value: 'heavy'"},
      {"kube cluster create x -f app.yaml", 1, "not a TOSCA template"},
      {"core gm create x --gmp-name p --min a --max 1", 2, "invalid float value: 'a'"},
      {"core gm create x --min 1 --max 1", 2, "required: --gmp-name"},
      {"core mp create x", 2, "required: --type"},
      {"kube app list --config nowhere.yaml", 1, "does not exist"},
      {"kube app create web -f bad.yaml", 1, "bad.yaml:2:"},
      {"kube app create web -f twice.yaml", 1, "twice.yaml:2:1: the key 'a' is given twice"},
  };
  Cli cli;
  cli.dir.write("bad.yaml", "a: 1\n b: [\n");
  cli.dir.write("twice.yaml", "a: 1\na: 2\n");
  cli.dir.write("none.yaml", "apiVersion: v1\nkind: Config\ncontexts: []\n");
  for (const auto& [line, exit, part] : cases) {
    const auto ran = cli.run(line);
    EXPECT_EQ(ran.exit, exit) << line << "\n" << ran.all();
    EXPECT_THAT(ran.err, HasSubstr(part)) << line;
    EXPECT_EQ(ran.out, "") << line;
    EXPECT_TRUE(ran.requests.empty()) << line;
    if (exit == 2) EXPECT_THAT(ran.err, StartsWith("usage: krakectl")) << line;
    if (exit == 1) EXPECT_THAT(ran.err, StartsWith("Error: ")) << line;
  }
}

TEST(Krakectl, NamesWhatItDoesNotHaveYet) {
  Cli cli;
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"infra gprovider list", "under /infrastructure"},
      {"infrastructure cloud get x", "under /infrastructure"},
      {"os project list", "under /openstack"},
      {"openstack cluster delete x", "under /openstack"},
      {"core role create x", "the API can write them"},
      {"core roles delete x", "the API can write them"},
      {"core rolebinding update x", "krake bootstrap; "},
  };
  for (const auto& [line, part] : cases) {
    const auto ran = cli.run(line);
    EXPECT_EQ(ran.exit, 2) << line;
    EXPECT_THAT(ran.err, HasSubstr(part)) << line;
    EXPECT_THAT(ran.err, HasSubstr("see 'Not there yet' in the user guide")) << line;
  }
}

TEST(Krakectl, SaysWhichConstraintIsWrong) {
  Cli cli;
  ASSERT_EQ(cli.run("kube app create web -f app.yaml").exit, 0);
  ASSERT_EQ(cli.run("kube cluster register -k kube/config").exit, 0);
  const std::tuple<std::string_view, std::string_view, std::string_view> cases[] = {
      {"kube app create a -f app.yaml -L 'a = b' -L 'loc ~ DE'",
       "spec.constraints.cluster.labels.1: 'loc ~ DE' is no label constraint (4", "KEY not in (A, B)"},
      {"kube app update web -L 'loc ~ DE'", "Application \"web\"", "KEY not in (A, B)"},
      {"kube app create a -f app.yaml -M 'load about 5'",
       "spec.constraints.cluster.metrics.0: 'load about 5' is no metric constraint (4", "METRIC > NUMBER"},
      {"kube cluster update edge-1 -L 'loc ~ DE'",
       "spec.constraints.cloud.labels.0: 'loc ~ DE' is no label constraint (4", "KEY not in (A, B)"},
  };
  for (const auto& [line, message, hint] : cases) {
    const auto ran = cli.run(line);
    EXPECT_EQ(ran.exit, 1) << line;
    EXPECT_THAT(ran.err, HasSubstr(message)) << line;
    EXPECT_THAT(ran.err, HasSubstr(hint)) << line;
    EXPECT_THAT(ran.err, Not(HasSubstr("['"))) << line;
  }
  EXPECT_THAT(cli.run("kube app create a -f app.yaml -L '~' -o json").err, HasSubstr("\"detail\""));
}

TEST(Krakectl, HasHelpOnEveryLevel) {
  Cli cli;
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"-h", "kubernetes (kube)"},
      {"kube -h", "application (app, applications, apps)"},
      {"kube app --help", "retry"},
      {"kube app create -h", "--cluster-label-constraint"},
      {"kube cluster register --he", "--kubeconfig"},
      {"--version", "krakectl " KRAKE_VERSION},
      {"--print-completion bash", "complete -o default -F _krakectl krakectl"},
  };
  for (const auto& [line, part] : cases) {
    const auto ran = cli.run(line);
    EXPECT_EQ(ran.exit, 0) << line;
    EXPECT_THAT(ran.out, HasSubstr(part)) << line;
    EXPECT_EQ(ran.err, "");
  }
}

TEST(Krakectl, GreedyOptionsLeaveTheName) {
  Cli cli;
  for (const auto line :
       {"kube app create -f app.yaml --hook-shutdown w1", "kube app create -f app.yaml --hook-shutdown 5 w2",
        "kube app create -f app.yaml --inject A=1 B=2 w3",
        "kube app create --hook-shutdown 5 give_up w4 --file=app.yaml"}) {
    EXPECT_EQ(cli.run(line).exit, 0) << line;
  }
  EXPECT_EQ(cli.run("kube app list -o name").out, "w1\nw2\nw3\nw4\n");
  EXPECT_EQ(cli.run("core gm create --gmp-name p --min 0 --max 1 --allowed-values 1 2 m").exit, 0);
}

TEST(Krakectl, ReadsStandardInput) {
  Cli cli;
  cli.input = std::string(kManifest);
  EXPECT_EQ(cli.run("kube app create -f - web").exit, 0);
  EXPECT_EQ(cli.app("web").at_path({"spec", "manifest"})->if_array()->size(), 2U);
  cli.input = "";
  const auto empty = cli.run("kube app create -f - empty");
  EXPECT_EQ(empty.exit, 1);
  EXPECT_THAT(empty.err, HasSubstr("422"));
}

// ---- errors

TEST(Krakectl, TellsErrorsInTwoLines) {
  Cli cli;
  EXPECT_EQ(cli.run("kube app get nobody -n ns").err,
            "Error: Application \"nobody\" not found in namespace \"ns\" (404 NOT_FOUND_ERROR)\n"
            "Hint: the list verb shows what exists; another namespace is given with -n\n");
  EXPECT_EQ(cli.run("core gm get nobody").err,
            "Error: GlobalMetric \"nobody\" not found (404 NOT_FOUND_ERROR)\nHint: the list verb shows what exists\n");
  cli.run("kube app create -f app.yaml web");
  EXPECT_EQ(cli.run("kube app create -f app.yaml web").err,
            "Error: Application \"web\" already exists in namespace \"system:admin\" (409 RESOURCE_ALREADY_EXISTS)\n"
            "Hint: use update to change it, or delete it first\n");
  EXPECT_EQ(
      cli.run("kube app update web").err,
      "Error: Application \"web\" in namespace \"system:admin\": The body contained no update. (400 UPDATE_ERROR)\n"
      "Hint: nothing was changed\n");
  const auto invalid = cli.run("kube app create -f app.yaml 'b d'");
  EXPECT_EQ(invalid.exit, 1);
  EXPECT_THAT(invalid.err, HasSubstr("(422)"));
  const auto json = cli.run("kube app get nobody -o json");
  EXPECT_EQ(json.exit, 1);
  EXPECT_EQ(json.out, "");
  const auto problem = json::parse(json.err);
  ASSERT_TRUE(problem);
  EXPECT_EQ(problem->string_at({"title"}), "NOT_FOUND_ERROR");
  EXPECT_EQ(problem->int_at({"status"}), 404);
}

struct Broken final : Transport {
  explicit Broken(Result<HttpResponse> given) : answer(std::move(given)) {}
  Awaitable<Result<HttpResponse>> send(HttpRequest, CallOptions) override { co_return answer; }
  Awaitable<Result<HttpStream>> open(HttpRequest, CallOptions) override { co_return fail(Code::unavailable, "no"); }
  Result<HttpResponse> answer;
};

TEST(Krakectl, TellsWhatIsWrongWithTheApi) {
  const std::tuple<Result<HttpResponse>, std::string_view, std::string_view> cases[] = {
      {fail(Code::unavailable, "localhost:8080: connection refused"),
       "Error: the Krake API at http://localhost:8080 cannot be reached: localhost:8080: connection refused\n",
       "KRAKE_API_URL"},
      {fail(Code::timeout, "30000 ms"), "Error: no answer from the Krake API at http://localhost:8080: 30000 ms\n",
       "may or may not"},
      {HttpResponse{.status = 502, .headers = {{"Content-Type", "text/html"}}, .body = "<html>"},
       "Error: GET http://localhost:8080/kubernetes/namespaces/system%3Aadmin/applications was answered 502\n",
       "later"},
      {HttpResponse{.status = 200, .headers = {}, .body = "<html>"}, "Error: GET ", "is this a Krake API?"},
      {HttpResponse{.status = 200, .headers = {}, .body = " \n"}, "Error: GET ", "try again"},
      {HttpResponse{.status = 403,
                    .headers = {{"Content-Type", "application/problem+json; charset=utf-8"}},
                    .body = R"({"type":"about:blank","status":403,"detail":"403: Forbidden"})"},
       "Error: Application in namespace \"system:admin\": Forbidden (403)\n", "whoami"},
      {HttpResponse{.status = 401,
                    .headers = {{"Content-Type", "application/problem+json"}},
                    .body = R"({"type":"about:blank","status":401,"detail":"401: Unauthorized"})"},
       "Error: Application in namespace \"system:admin\": Unauthorized (401)\n", "certificate"},
  };
  for (const auto& [answer, first, hint] : cases) {
    Cli cli;
    cli.dialer = std::make_shared<testing::FakeDialer>(std::make_shared<Broken>(answer));
    const auto ran = cli.run("kube app list");
    EXPECT_EQ(ran.exit, 1);
    EXPECT_THAT(ran.err, StartsWith(std::string(first)));
    EXPECT_THAT(ran.err, HasSubstr(hint));
    EXPECT_EQ(ran.out, "");
  }
}

TEST(Krakectl, DoesNotCallAChangeUndoneThatMayHaveBeenCarriedOut) {
  Cli cli;
  cli.dialer = std::make_shared<testing::FakeDialer>(
      std::make_shared<Broken>(fail(Code::unavailable, "the connection was cut")));
  EXPECT_THAT(cli.run("kube app delete web").err, HasSubstr("the change may have been carried out"));
  EXPECT_THAT(cli.run("kube app list").err, Not(HasSubstr("may have been carried out")));
  cli.dialer = std::make_shared<testing::FakeDialer>(
      std::make_shared<Broken>(HttpResponse{.status = 200, .headers = {}, .body = {}}));
  const auto cut_off = cli.run("kube app delete web -o json");
  EXPECT_EQ(cut_off.exit, 1);
  EXPECT_EQ(cut_off.out, "");
  EXPECT_THAT(cut_off.err, HasSubstr("may have been carried out"));
}

// Scripts merge both streams and parse what comes.
TEST(Krakectl, TellsWhatTheApiWarnsOfToHumansAlone) {
  Cli cli;
  const std::string line = "core gm create {} --gmp-name nope --min 5 --max 1{}";
  EXPECT_THAT(cli.run(fmt::format(fmt::runtime(line), "a", "")).err, StartsWith("WARNING: spec.min"));
  for (const auto* format : {"json", "yaml", "name"}) {
    const auto ran = cli.run(fmt::format(fmt::runtime(line), format, fmt::format(" -o {}", format)));
    EXPECT_EQ(ran.exit, 0) << format;
    EXPECT_EQ(ran.err, "") << format;
    EXPECT_NE(ran.out, "") << format;
  }
}

TEST(Krakectl, WarnsOfMigrationsThatLoseWork) {
  Cli cli;
  cli.dir.write("job.yaml", "apiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\n");
  EXPECT_THAT(cli.run("kube app create -f job.yaml a").err, StartsWith("WARNING: the application contains a Job"));
  EXPECT_EQ(cli.run("kube app create -f job.yaml b --disable-migration").err, "");
  const auto hooked = cli.run("kube app create -f job.yaml c --hook-shutdown 5");
  EXPECT_THAT(hooked.err, StartsWith("WARNING: spec.hooks: 'shutdown' has no effect yet"));
  EXPECT_THAT(hooked.err, Not(HasSubstr("a Job")));
  EXPECT_EQ(cli.run("kube app create -f job.yaml d -o json").err, "");
  EXPECT_EQ(cli.run("kube app create -f job.yaml g -o name").err, "");
  EXPECT_EQ(cli.run("kube app create -f job.yaml e -q").err, "");
  cli.env["PYTHONWARNINGS"] = "ignore";
  EXPECT_EQ(cli.run("kube app create -f job.yaml f").err, "");
}

}  // namespace
}  // namespace krake::cli
