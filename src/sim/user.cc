#include "sim/user.h"

#include <numeric>

#include "base/check.h"

namespace krake::sim {

namespace {

constexpr std::string_view kLocations[] = {"DE", "SK", "PL"};
constexpr std::string_view kProvider = "loads";
constexpr std::string_view kPrefix = "app";  // of the names of applications, a number follows

ObjectKey application_key(const std::string& name) { return {std::string(kNamespace), name}; }
ObjectKey cluster_key(const std::string& name) { return {std::string(kNamespace), name}; }
std::string load_of(const std::string& cluster) { return "load-" + cluster; }

// Every fourth application has one that must not run twice.
bool runs_once(const std::string& name) { return std::stoi(name.substr(kPrefix.size())) % 4 == 0; }
json::Object workload(const std::string& name, int version) {
  const json::Object labels{{"app", name}};
  const json::Object container{{"name", "main"}, {"image", fmt::format("image:{}", version)}};
  const json::Object pod{{"metadata", json::Object{{"labels", labels}}},
                         {"spec", json::Object{{"containers", json::Array{container}}}}};
  json::Object spec{{"selector", json::Object{{"matchLabels", labels}}}, {"template", pod}};
  if (runs_once(name)) spec.set("serviceName", name);
  return json::Object{{"apiVersion", "apps/v1"},
                      {"kind", runs_once(name) ? "StatefulSet" : "Deployment"},
                      {"metadata", json::Object{{"name", name}}},
                      {"spec", std::move(spec)}};
}
json::Object config(const std::string& name, int version) {
  return json::Object{{"apiVersion", "v1"},
                      {"kind", "ConfigMap"},
                      {"metadata", json::Object{{"name", name}}},
                      {"data", json::Object{{"version", fmt::format("{}", version)}}}};
}

std::size_t index_of(const Clusters& clusters, const std::string& name) {
  return static_cast<std::size_t>(std::distance(clusters.begin(), clusters.find(name)));
}

}  // namespace

// ---- asking

template <class T>
Fate User::learn(const std::string& what, const std::optional<Result<T>>& answer) {
  const Fate fate = !answer ? Fate::unknown : *answer ? Fate::done : fate_of(answer->error());
  checks_.advance();
  checks_.complain(model_.answered(fate));
  note(what, answer);
  return fate;
}

template <class T>
bool User::note(const std::string& what, const std::optional<Result<T>>& answer) {
  trace_.add(fmt::format("user {}: {}", what,
                         !answer   ? "no answer"
                         : *answer ? "ok"
                                   : std::string(to_string(answer->error().code))));
  return answer && *answer;
}

// ---- clusters and metrics

void User::introduce() {
  StaticProvider loads;
  for (const auto& [name, cluster] : clusters_) loads.metrics.set(load_of(name), kHealthyLoad);
  GlobalMetricsProvider provider;
  provider.metadata.name = kProvider;
  provider.spec.value = loads;
  auto made = ask(client_.create<GlobalMetricsProvider>("", std::move(provider)));
  CHECK(made && *made, made ? made->error().message : "no answer");
  for (const auto& [name, cluster] : clusters_) {
    GlobalMetric metric;
    metric.metadata.name = load_of(name);
    metric.spec.min = 0;
    metric.spec.max = 1;
    metric.spec.provider = {.name = std::string(kProvider), .metric = load_of(name)};
    auto created = ask(client_.create<GlobalMetric>("", std::move(metric)));
    CHECK(created && *created, created ? created->error().message : "no answer");
    CHECK(register_cluster(name), "clusters are registered before anything misbehaves");
  }
}

bool User::register_cluster(const std::string& name) {
  const auto index = index_of(clusters_, name);
  Cluster object;
  object.metadata.name = name;
  object.metadata.labels.entries = {{"location", std::string(kLocations[index % 3])},
                                    {"zone", fmt::format("z{}", index % 2)}};
  object.spec.kubeconfig = *clusters_.at(name)->kubeconfig("https://" + name, "").if_object();
  object.spec.metrics = {{.name = load_of(name), .weight = 1, .namespaced = false}};
  return note("registers " + name, ask(client_.create<Cluster>(std::string(kNamespace), std::move(object))));
}

void User::register_again() {
  for (const auto& [name, cluster] : clusters_) {
    if (!checks_.exists(name)) {
      register_cluster(name);
      return;
    }
  }
}

// One at a time, so that the others have somewhere to go.
void User::delete_cluster(bool force) {
  for (const auto& [name, cluster] : clusters_) {
    if (!checks_.exists(name) || checks_.deleting(name)) return;
  }
  const auto name = some_cluster();
  if (force) {
    checks_.force_asked(name);
    note("force-deletes " + name,
         ask(client_.call("DELETE", Client::item<Cluster>(cluster_key(name)) + "?force=True")));
  } else {
    model_.remove_cluster(name);
    const auto answer = ask(client_.remove<Cluster>(cluster_key(name)));
    note("deletes " + name, answer);
    if (answer && !*answer && fate_of(answer->error()) == Fate::refused) model_.cluster_kept(name);
  }
}

bool User::label_cluster(const std::string& name, int zone) {
  const json::Object labels{{"zone", fmt::format("z{}", zone)}};
  return note(
      fmt::format("labels {} z{}", name, zone),
      ask(client_.patch<Cluster>(cluster_key(name), json::Object{{"metadata", json::Object{{"labels", labels}}}})));
}

bool User::set_load(const std::string& name, std::optional<double> load) {
  json::Object values;
  values.set(load_of(name), load ? json::Value(*load) : json::Value());
  const json::Object fixed{{"metrics", std::move(values)}};
  return note(fmt::format("sets {} to {}", load_of(name), load ? json::print_double(*load) : "nothing"),
              ask(client_.patch<GlobalMetricsProvider>(ObjectKey{"", std::string(kProvider)},
                                                       json::Object{{"spec", json::Object{{"static", fixed}}}})));
}

void User::change_load() {
  const auto name = some_cluster();
  if (random_.chance(0.2)) {
    set_load(name, std::nullopt);
  } else {
    set_load(name, static_cast<double>(random_.below(11)) / 10);
  }
}

bool User::put_right(Duration limit) {
  const Mono end = env_.clock.now() + limit;
  std::set<std::string> labelled;
  std::set<std::string> measured;
  for (;;) {
    why_.clear();
    for (const auto& [name, cluster] : clusters_) {
      if (!measured.contains(name) && set_load(name, kHealthyLoad)) measured.insert(name);
      if (!measured.contains(name)) why_ = fmt::format("the load of {} could not be set", name);
      if (!checks_.exists(name) && !register_cluster(name)) why_ = fmt::format("{} could not be registered", name);
      if (checks_.deleting(name)) {
        why_ = fmt::format("the deletion of {} does not end", name);
        continue;
      }
      const int zone = static_cast<int>(index_of(clusters_, name) % 2);
      if (!labelled.contains(name) && label_cluster(name, zone)) labelled.insert(name);
      if (!labelled.contains(name)) why_ = fmt::format("{} could not be labelled", name);
    }
    if (why_.empty()) return true;
    if (env_.clock.now() >= end) return false;
    conductor_.pass(std::chrono::seconds(2));
  }
}

// ---- applications

std::optional<std::string> User::some_application() {
  const auto living = model_.living();
  if (living.empty()) return std::nullopt;
  return living[random_.below(living.size())];
}
std::string User::some_cluster() {
  return std::next(clusters_.begin(), static_cast<std::ptrdiff_t>(random_.below(clusters_.size())))->first;
}

// Some of these places do not exist at times; in the end each has a cluster.
void User::place(ApplicationSpec& spec) {
  auto& constraints = spec.constraints.cluster;
  constraints = {};
  const std::size_t locations = std::min(std::size(kLocations), clusters_.size());
  std::string label;
  switch (random_.below(6)) {
    case 0:
    case 1:
      label = fmt::format("location is {}", kLocations[random_.below(locations)]);
      break;
    case 2:
      if (locations == 1) return;
      label = fmt::format("location is not {}", kLocations[random_.below(locations)]);
      break;
    case 3:
      label = fmt::format("zone is z{}", random_.below(std::min<std::size_t>(2, clusters_.size())));
      break;
    case 4:
      constraints.metrics.emplace().push_back(
          *expr::parse_metric_constraint(fmt::format("{} > 0.5", load_of(some_cluster()))));
      return;
    default:
      return;
  }
  constraints.labels.emplace().push_back(*expr::parse_label_constraint(label));
}

void User::create_application() {
  if (model_.living().size() >= static_cast<std::size_t>(scenario_.applications)) return;
  const int version = next_++;
  Application app;
  app.metadata.name = fmt::format("{}{}", kPrefix, version);
  app.spec.manifest = {workload(app.metadata.name, version)};
  if (random_.chance(0.5)) app.spec.manifest.push_back(config(app.metadata.name, version));
  place(app.spec);
  const std::string name = app.metadata.name;
  if (by_krakectl()) return krakectl_.create(name, std::move(app.spec));
  model_.create(name, app.spec);
  learn("creates " + name, ask(client_.create<Application>(std::string(kNamespace), std::move(app))));
}

void User::update(const std::string& what, const std::function<void(ApplicationSpec&, const std::string&)>& change) {
  const auto name = some_application();
  if (!name) return;
  for (int attempt = 0; attempt < 4; ++attempt) {
    auto read = ask(client_.get<Application>(application_key(*name)));
    if (!read || !*read || (**read).object.metadata.deleted) return;
    Application object = (**read).object;
    change(object.spec, *name);
    if (object.spec == (**read).object.spec) return;
    model_.update(*name, object.spec);
    const auto answer = ask(client_.update<Application>(std::move(object), {.revision = (**read).revision}));
    const auto fate = learn(fmt::format("{} {}", what, *name), answer);
    if (fate == Fate::done && attempt > 0) reached_.mark("a write lost the race and was made again");
    if (fate != Fate::refused || answer->error().code != Code::precondition_failed) return;
  }
}
void User::update_content() {
  const int version = next_++;
  const bool with_config = random_.chance(0.5);
  if (by_krakectl()) return update_all(version, with_config);
  update("updates", [&](ApplicationSpec& spec, const std::string& name) {
    spec.manifest = {workload(name, version)};
    if (with_config) spec.manifest.push_back(config(name, version));
  });
}
// With krakectl: the content, and another place.
void User::update_all(int version, bool with_config) {
  const auto name = some_application();
  if (!name) return;
  ApplicationSpec spec;
  spec.manifest = {workload(*name, version)};
  if (with_config) spec.manifest.push_back(config(*name, version));
  place(spec);
  krakectl_.update(*name, std::move(spec));
}
void User::update_place() {
  ApplicationSpec elsewhere;
  place(elsewhere);
  update("moves", [&](ApplicationSpec& spec, const std::string&) { spec.constraints = elsewhere.constraints; });
}

void User::delete_application() {
  const auto name = some_application();
  if (!name) return;
  if (by_krakectl()) return krakectl_.remove(*name, false);
  model_.remove(*name);
  learn("deletes " + *name, ask(client_.remove<Application>(application_key(*name))));
}
void User::force_delete_application() {
  const auto name = some_application();
  if (!name) return;
  if (by_krakectl()) return krakectl_.remove(*name, true);
  model_.force_remove(*name);
  learn("force-deletes " + *name,
        ask(client_.call("DELETE", Client::item<Application>(application_key(*name)) + "?force=True")));
}

// ---- behind Krake's back

void User::vandalise() {
  auto& cluster = *clusters_.at(some_cluster());
  constexpr std::string_view kVictims[] = {"deployments", "deployments", "statefulsets", "configmaps"};
  const std::string plural(kVictims[random_.below(std::size(kVictims))]);
  const auto all = cluster.list(plural);
  if (all.empty()) return;
  const std::string name(all[random_.below(all.size())]->string_at({"metadata", "name"}));
  if (!model_.knows(name)) return;
  if (random_.chance(0.5)) {
    trace_.add(fmt::format("vandal deletes {} {} on {}", plural, name, cluster.options().name));
    if (cluster.erase(plural, "default", name)) reached_.mark("somebody deleted a managed object");
    return;
  }
  trace_.add(fmt::format("vandal changes {} {} on {}", plural, name, cluster.options().name));
  const json::Object container{{"name", "main"}, {"image", "evil"}};
  const json::Object pod{{"spec", json::Object{{"containers", json::Array{container}}}}};
  const json::Object patch = plural == "configmaps" ? json::Object{{"data", json::Object{{"version", "evil"}}}}
                                                    : json::Object{{"spec", json::Object{{"template", pod}}}};
  if (cluster.merge(plural, "default", name, patch)) reached_.mark("somebody changed a managed object");
}

void User::act() {
  const int total = std::accumulate(scenario_.work.begin(), scenario_.work.end(), 0);
  if (total == 0) return;
  auto left = static_cast<int>(random_.below(static_cast<std::uint64_t>(total)));
  std::size_t deed = 0;
  while ((left -= scenario_.work.at(deed)) >= 0) ++deed;
  do_deed(static_cast<Deed>(deed));
}

void User::do_deed(Deed deed) {
  switch (deed) {
    case Deed::create:
      return create_application();
    case Deed::update:
      return update_content();
    case Deed::move:
      return update_place();
    case Deed::remove:
      return delete_application();
    case Deed::force_remove:
      return force_delete_application();
    case Deed::remove_cluster:
      return delete_cluster(false);
    case Deed::force_remove_cluster:
      return delete_cluster(true);
    case Deed::register_cluster:
      return register_again();
    case Deed::label_cluster:
      label_cluster(some_cluster(), static_cast<int>(random_.below(2)));
      return;
    case Deed::change_load:
      return change_load();
    case Deed::look:
      return krakectl_.look();
    case Deed::vandalise:
      return vandalise();
  }
}

}  // namespace krake::sim
