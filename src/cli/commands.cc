#include "cli/commands.h"

#include "api/core/lease.h"
#include "api/core/metric.h"
#include "api/core/role.h"
#include "api/kubernetes/application.h"
#include "api/kubernetes/cluster.h"

namespace krake::cli {

namespace {

using Options = std::vector<Option>;

// ---- options used by many commands (letters of the contract in capitals)

Option flag(std::string_view name, std::string_view help, char letter = 0, int group = 0) {
  return {.name = name, .letter = letter, .help = help, .group = group};
}
Option value(std::string_view name, std::string_view shown, std::string_view help, char letter = 0) {
  return {.name = name, .letter = letter, .values = shown, .min = 1, .max = 1, .help = help};
}
Option number(std::string_view name, std::string_view help) {
  Option option = value(name, "NUMBER", help);
  option.number = true;
  return option;
}
Option required(Option option) {
  option.required = true;
  return option;
}
Option ours(Option option) {
  option.ours = true;
  return option;
}
Option in_group(Option option, int group) {
  option.group = group;
  return option;
}

const Option kNamespace = value("--namespace", "NAMESPACE", "default: the configured user", 'n');
const Option kAll = flag("--all", "objects of all namespaces", 'a');
const Option kLabel = value("--label", "KEY=VALUE", "repeatable", 'l');
const Option kMetric{.name = "--metric",
                     .letter = 'm',
                     .values = "NAME WEIGHT",
                     .min = 2,
                     .max = 2,
                     .help = "a metric of the namespace; repeatable",
                     .number = true};
const Option kGlobalMetric{.name = "--global-metric",
                           .values = "NAME WEIGHT",
                           .min = 2,
                           .max = 2,
                           .help = "a global metric; repeatable",
                           .number = true};
const Option kCustomResource =
    value("--custom-resource", "PLURAL.GROUP", "a custom resource the cluster knows; repeatable", 'R');
const Option kTimeout = ours(value("--timeout", "DURATION", "how long --wait waits, like 30s, 5m, 1h"));
const Option kForce = ours(flag("--force", "remove the record at once, without cleaning up"));

Options backoff() {
  return {value("--backoff", "N", "factor between the delays of retries (default: 1)"),
          value("--backoff_delay", "SECONDS", "delay before the first retry (default: 1)"),
          value("--backoff_limit", "N", "number of retries (default: -1, no limit)")};
}

template <std::size_t N>
bool one_of(std::string_view word, const std::string_view (&words)[N]) {
  std::string lower(word);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return std::ranges::find(words, lower) != std::end(words);
}
constexpr std::string_view kCreateStates[] = {"creating", "pending", "running"};
constexpr std::string_view kUpdateStates[] = {"reconciling", "running"};
constexpr std::string_view kDeleteStates[] = {"deleting", "deleted"};
constexpr std::string_view kOnline[] = {"online"};

Option wait_option(std::string_view states, std::string_view help, bool (*accepts)(std::size_t, std::string_view)) {
  return {.name = "--wait", .values = states, .min = 0, .max = 1, .help = help, .accepts = accepts};
}

const Option kHookShutdown{
    .name = "--hook-shutdown",
    .values = "TIMEOUT [STRATEGY [RETRIES]]",
    .min = 0,
    .max = 3,
    .help = "ask the application before it is stopped: seconds (default: 60), give_up or delete, retries",
    .accepts = [](std::size_t index, std::string_view word) {
      return index == 1 ? word == "give_up" || word == "delete" : is_integer(word);
    }};
const Option kInject{.name = "--inject",
                     .letter = 'i',
                     .values = "KEY=VALUE ...",
                     .min = 1,
                     .max = 1000,
                     .help = "environment entries whose value is KEY get VALUE",
                     .accepts = [](std::size_t, std::string_view word) { return word.contains('='); }};
const Option kAllowedValues{.name = "--allowed-values",
                            .values = "INT ...",
                            .min = 0,
                            .max = 1000,
                            .help = "the only values the metric may have",
                            .accepts = [](std::size_t, std::string_view word) { return is_integer(word); }};

Options operator+(Options a, const Options& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// ---- the table

template <Resource T>
const Kind* kind_of() {
  static const Kind kind = make_kind<T>();
  return &kind;
}

struct Resource_ {
  std::vector<Level> path;
  const Kind* kind;
};

class Table {
 public:
  void verb(const Resource_& resource, std::vector<std::string_view> words, std::string_view help,
            std::string_view positional, Options options, Run run) {
    auto path = resource.path;
    path.push_back({std::move(words), help});
    commands.push_back({{std::move(path), positional, std::move(options)}, resource.kind, run});
  }
  void read_verbs(const Resource_& resource, Run list = list_objects, Run get = get_object) {
    const bool namespaced = resource.kind->namespaced;
    verb(resource, {"list", "ls"}, "show all objects", "", namespaced ? Options{kAll, kNamespace} : Options{}, list);
    verb(resource, {"get"}, "show one object", "NAME", namespaced ? Options{kNamespace} : Options{}, get);
  }
  void delete_verb(const Resource_& resource) {
    verb(resource, {"delete"}, "delete an object", "NAME", resource.kind->namespaced ? Options{kNamespace} : Options{},
         delete_object);
  }
  std::vector<Command> commands;
};

const Level kKube{{"kubernetes", "kube"}, "applications and clusters"};
const Level kCore{{"core"}, "metrics, metrics providers, roles"};

void add_applications(Table& table) {
  const Resource_ app{{kKube, {{"application", "app", "applications", "apps"}, "manage applications"}},
                      kind_of<Application>()};
  const Options source{
      in_group(value("--file", "FILE", "Kubernetes manifest or TOSCA template; - for standard input", 'f'), 1),
      in_group(value("--url", "URL", "TOSCA template (.yaml) or CSAR (.csar, .zip)", 'u'), 1),
      value("--observer_schema_file", "FILE", "the fields to observe", 'O')};
  const Options constraints{
      flag("--enable-migration", "let it move between clusters (default)", 0, 2),
      flag("--disable-migration", "keep it where it is", 0, 2),
      value("--cluster-label-constraint", "EXPR", "like 'location in (DE, SK)'; repeatable; update replaces", 'L'),
      value("--cluster-resource-constraint", "PLURAL.GROUP", "repeatable; update replaces", 'R'),
      value("--cluster-metric-constraint", "EXPR", "like 'load < 5'; repeatable; update adds", 'M')};
  const Options hooks{flag("--hook-complete", "let the application tell when it is done"), kHookShutdown};
  table.read_verbs(app);
  table.verb(app, {"create"}, "create an application; labels and constraints decide where it runs", "NAME",
             source + constraints + Options{kNamespace, kLabel} + hooks + backoff() +
                 Options{flag("--auto-cluster-create", "let Krake make a cluster when none fits"), kInject,
                         wait_option("STATE", "until creating, pending or running (default)",
                                     [](std::size_t, std::string_view w) { return one_of(w, kCreateStates); }),
                         kTimeout},
             create_application);
  table.verb(app, {"update"}, "change an application; what is not given stays, labels are merged", "NAME",
             source + constraints +
                 Options{flag("--remove-existing-labels", "before the given ones are set"),
                         flag("--remove-existing-label-constraints", "before the given ones are set"),
                         flag("--remove-existing-resource-constraints", "before the given ones are set"),
                         flag("--remove-existing-metric-constraints", "before the given ones are added"),
                         flag("--remove-hooks", "before the given ones are set"), kNamespace, kLabel} +
                 hooks + backoff() +
                 Options{kInject,
                         wait_option("STATE", "until reconciling or running (default)",
                                     [](std::size_t, std::string_view w) { return one_of(w, kUpdateStates); }),
                         kTimeout},
             update_application);
  table.verb(app, {"delete"}, "delete an application and what it runs", "NAME",
             {kNamespace, kForce,
              wait_option("STATE", "until deleting or deleted (default)",
                          [](std::size_t, std::string_view w) { return one_of(w, kDeleteStates); }),
              kTimeout},
             delete_application);
  table.verb(app, {"retry"}, "try a DEGRADED migration or deletion again", "NAME", {kNamespace}, retry_application);
}

void add_clusters(Table& table) {
  const Resource_ cluster{{kKube, {{"cluster", "clusters"}, "manage clusters"}}, kind_of<Cluster>()};
  const Option kubeconfig = value("--kubeconfig", "FILE", "kubeconfig; files it names are sent along", 'k');
  const Option context = value("--context", "NAME", "context of the kubeconfig (default: its current one)", 'c');
  const Options attributes = Options{kCustomResource, kMetric, kGlobalMetric, kNamespace, kLabel} + backoff();
  const Options cloud{value("--cloud-label-constraint", "EXPR", "repeatable", 'L'),
                      value("--cloud-metric-constraint", "EXPR", "repeatable", 'M')};
  const Options wait{
      wait_option("online", "until it is ONLINE", [](std::size_t, std::string_view w) { return one_of(w, kOnline); }),
      kTimeout};
  table.read_verbs(cluster);
  table.verb(
      cluster, {"register"}, "add an existing cluster", "",
      Options{required(kubeconfig), context,
              ours(value("--name", "NAME", "its name in Krake (default: that of the cluster in the kubeconfig)"))} +
          attributes + wait,
      register_cluster);
  table.verb(cluster, {"create"}, "create a cluster from a TOSCA template", "NAME",
             Options{required(value("--file", "FILE", "TOSCA template", 'f')),
                     flag("--inherit-metrics", "use the metrics of the cloud"),
                     flag("--inherit-labels", "use the labels of the cloud")} +
                 attributes + cloud + wait,
             create_cluster);
  table.verb(cluster, {"update"}, "change a cluster; labels are merged, metrics and constraints are added", "NAME",
             Options{kubeconfig, context, value("--file", "FILE", "TOSCA template", 'f'),
                     flag("--remove-existing-labels", "before the given ones are set"),
                     flag("--remove-existing-metrics", "before the given ones are added"),
                     flag("--remove-existing-cloud-label-constraints", "before the given ones are added"),
                     flag("--remove-existing-cloud-metric-constraints", "before the given ones are added")} +
                 attributes + cloud + wait,
             update_cluster);
  table.verb(cluster, {"delete"}, "remove a cluster; one that Krake created is destroyed", "NAME",
             {kNamespace, kForce,
              wait_option("STATE", "until deleting or deleted (default)",
                          [](std::size_t, std::string_view w) { return one_of(w, kDeleteStates); }),
              kTimeout},
             delete_cluster);
}

void add_providers(Table& table, Level level, const Kind* kind) {
  const Resource_ provider{{kCore, std::move(level)}, kind};
  const Options scope = kind->namespaced ? Options{kNamespace} : Options{};
  const Options values{value("--url", "URL", "of prometheus, kafka or influx"),
                       {.name = "--metric",
                        .letter = 'm',
                        .values = "NAME VALUE",
                        .min = 2,
                        .max = 2,
                        .help = "a value of a static provider; repeatable",
                        .number = true},
                       value("--table", "TABLE", "kafka: the KSQL table"),
                       value("--comparison-column", "COLUMN", "kafka: holds the names of the metrics"),
                       value("--value-column", "COLUMN", "kafka: holds their values"),
                       value("--token", "TOKEN", "influx"),
                       value("--org", "ORG", "influx"),
                       value("--bucket", "BUCKET", "influx")};
  table.read_verbs(provider);
  table.verb(provider, {"create"}, "create a metrics provider", "NAME",
             Options{required(value("--type", "TYPE", "prometheus, static, kafka or influx"))} + values + scope,
             create_provider);
  table.verb(provider, {"update"}, "change a metrics provider; --metric replaces all static values", "NAME",
             values + scope, update_provider);
  table.delete_verb(provider);
}

void add_metrics(Table& table, Level level, const Kind* kind) {
  const Resource_ metric{{kCore, std::move(level)}, kind};
  const Options scope = kind->namespaced ? Options{kNamespace} : Options{};
  const Option provider = value(kind->namespaced ? "--mp-name" : "--gmp-name", "NAME", "the metrics provider");
  const Options rest{kAllowedValues, value("--metric-name", "NAME", "its name at the provider (default: NAME)")};
  table.read_verbs(metric);
  table.verb(metric, {"create"}, "create a metric", "NAME",
             Options{required(provider), required(number("--min", "least value")),
                     required(number("--max", "greatest value"))} +
                 rest + scope,
             create_metric);
  table.verb(metric, {"update"}, "change a metric", "NAME",
             Options{provider, number("--min", "least value"), number("--max", "greatest value")} + rest + scope,
             update_metric);
  table.delete_verb(metric);
}

std::vector<Command> build() {
  Table table;
  add_applications(table);
  add_clusters(table);
  add_providers(table, {{"metricsprovider", "mp", "metricsproviders"}, "manage metrics providers"},
                kind_of<MetricsProvider>());
  add_providers(table, {{"globalmetricsprovider", "gmp", "globalmetricsproviders"}, "manage global metrics providers"},
                kind_of<GlobalMetricsProvider>());
  add_metrics(table, {{"metric", "metrics"}, "manage metrics"}, kind_of<Metric>());
  add_metrics(table, {{"globalmetric", "gm", "globalmetrics"}, "manage global metrics"}, kind_of<GlobalMetric>());
  table.read_verbs({{kCore, {{"role", "roles"}, "show roles"}}, kind_of<Role>()});
  table.read_verbs({{kCore, {{"rolebinding", "rolebindings"}, "show role bindings"}}, kind_of<RoleBinding>()});
  table.read_verbs({{kCore, {{"lease", "leases"}, "show who leads what"}}, kind_of<Lease>()}, list_leases, get_lease);
  table.verb({{}, nullptr}, {"version"}, "the versions of krakectl and the API", "", {}, show_version);
  table.verb({{}, nullptr}, {"whoami"}, "who the API thinks you are", "", {}, show_whoami);
  table.verb({{}, nullptr}, {"explain"}, "what a kind and its fields are, like kube app.spec.constraints",
             "[GROUP] [KIND.FIELD]", {}, explain);
  table.verb({{}, nullptr}, {"api-resources"}, "the kinds the API has, and what may be asked of them", "", {},
             show_api_resources);
  const Resource_ auth{{{{"auth"}, "who you are, and what you may do"}}, nullptr};
  table.verb(auth, {"whoami"}, "who the API thinks you are", "", {}, show_whoami);
  table.verb(auth, {"can-i"}, "whether you may do something, like: update applications/status web -n demo",
             "[VERB] [RESOURCE] [NAME]",
             {kNamespace, flag("--all", "in all namespaces", 'a'), flag("--list", "show all rules you have instead")},
             can_i);
  return std::move(table.commands);
}

}  // namespace

const std::vector<Command>& all_commands() {
  static const std::vector<Command> commands = build();
  return commands;
}

const std::vector<Absent>& absent_commands() {
  constexpr std::string_view kInfrastructure =
      "krakectl cannot handle infrastructure providers and clouds yet: the API can, under /infrastructure; see 'Not "
      "there yet' in the user guide";
  constexpr std::string_view kOpenstack =
      "krakectl cannot handle OpenStack projects and Magnum clusters yet: the API can, under /openstack; see 'Not "
      "there "
      "yet' in the user guide";
  constexpr std::string_view kRoles =
      "krakectl only shows roles and role bindings yet: the API can write them, under /core, and so can krake "
      "bootstrap; "
      "see 'Not there yet' in the user guide";
  const std::vector<std::string_view> writes{"create", "update", "delete", "register", "edit", "apply"};
  static const std::vector<Absent> absent{{.path = {{"infrastructure", "infra"}}, .instead = kInfrastructure},
                                          {.path = {{"openstack", "os"}}, .instead = kOpenstack},
                                          {.path = {{"core"}, {"role"}, writes}, .instead = kRoles},
                                          {.path = {{"core"}, {"rolebinding"}, writes}, .instead = kRoles}};
  return absent;
}

}  // namespace krake::cli
