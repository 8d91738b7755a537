#include "sim/command_user.h"

namespace krake::sim {

namespace {

using std::chrono::seconds;

constexpr Duration kWait = seconds(10);
// A message may be late on its way there and back, whatever the timeout of its request.
constexpr Duration kLate = seconds(2);
// When the time of --wait runs out it may be opening its watch, then reads why that was refused or looks at the object.
constexpr int kRequestsOfWait = 3;
// GET and PUT, nine times.
constexpr int kRequestsOfUpdate = 18;

// What krakectl makes of it: its lists are empty where the API also knows none at all.
ApplicationSpec as_said(ApplicationSpec spec) {
  auto& cluster = spec.constraints.cluster;
  if (!cluster.labels) cluster.labels.emplace();
  if (!cluster.metrics) cluster.metrics.emplace();
  return spec;
}

void add_constraints(std::vector<std::string>& args, const ClusterConstraints& constraints) {
  for (const auto& label : *constraints.labels) args.insert(args.end(), {"-L", label.text});
  for (const auto& metric : *constraints.metrics) args.insert(args.end(), {"-M", metric.text});
}

// JSON is YAML.
std::string manifest_file(const ApplicationSpec& spec) {
  std::string text;
  for (const auto& object : spec.manifest) text += "---\n" + json::print(object) + "\n";
  return text;
}

std::string storage_key(const std::string& app) {
  return Client::kind_of<Application>().storage_key(std::string(kNamespace), app);
}

Result<Versioned<Application>> printed(const Ran& ran) {
  const auto value = json::parse(ran.out);
  if (!value) return fail(value.error());
  return Client::decode_versioned<Application>(*value);
}

// A roll-out under way counts as running: all is on the cluster, not all of it is ready.
bool is_running(const ApplicationStatus& status) {
  using enum ApplicationState;
  return status.state == RUNNING || status.state == COMPLETED ||
         (status.state == DEGRADED && status.running_on && !status.reason);
}

}  // namespace

// ---- running it

void CommandUser::wait_perhaps(Plan& plan) {
  plan.waits = random_.chance(0.25);
  if (!plan.waits) return;
  const auto time = std::chrono::duration_cast<seconds>(kWait).count();
  plan.line.args.insert(plan.line.args.end(), {"--wait", "--timeout", fmt::format("{}s", time)});
}

void CommandUser::wrong(const Plan& plan, const Ran& ran, std::string_view how) {
  checks_.complain(fmt::format("krakectl {}: {}; exit {}, it printed '{}' and '{}'", fmt::join(plan.line.args, " "),
                               how, ran.exit ? std::to_string(*ran.exit) : "none", ran.out, ran.err));
}

Ran CommandUser::run(const Plan& plan) {
  CommandLine line = plan.line;
  const int requests = plan.requests + (plan.waits ? kRequestsOfWait : 0);
  line.limit = requests * (kCommandTimeout + kLate) + (plan.waits ? kWait : Duration::zero());
  if (random_.chance(scenario_.killed)) line.kill_after = random_.below(40);
  auto ran = shell_.run(line);
  checks_.advance();
  trace_.add(fmt::format("user {} with krakectl: {}", plan.what,
                         ran.killed ? "killed"
                         : ran.exit ? fmt::format("exit {}, {} bytes", *ran.exit, ran.out.size())
                                    : "no end"));
  if (ran.killed) {
    reached_.mark("krakectl was killed");
  } else if (!ran.exit) {
    wrong(plan, ran, fmt::format("it has not ended within {}", std::chrono::duration_cast<seconds>(line.limit)));
  } else if (*ran.exit != 0 && (*ran.exit != 1 || ran.err.empty())) {
    wrong(plan, ran, "a command that is right fails with 1 and says why");
  }
  return ran;
}

Ran CommandUser::change(const Plan& plan) {
  auto ran = run(plan);
  const Fate fate = fate_of(ran);
  checks_.complain(model_.answered(fate));
  if (fate == Fate::unknown) reached_.mark("the outcome of a write by krakectl was unknown");
  return ran;
}

// ---- changes

void CommandUser::create(const std::string& app, ApplicationSpec spec) {
  spec = as_said(std::move(spec));
  Plan plan{.what = "creates " + app,
            .line = {.args = {"kube", "app", "create", app, "-o", "json", "-f", "app.yaml"},
                     .files = {{"app.yaml", manifest_file(spec)}}}};
  add_constraints(plan.line.args, spec.constraints.cluster);
  wait_perhaps(plan);
  model_.create(app, spec);
  check_changed(plan, change(plan), app, spec);
}

// All that can differ is given, so that what there is before does not matter.
void CommandUser::update(const std::string& app, ApplicationSpec spec) {
  spec = as_said(std::move(spec));
  Plan plan{.what = "updates " + app,
            .line = {.args = {"kube", "app", "update", app, "-o", "json", "-f", "app.yaml",
                              "--remove-existing-label-constraints", "--remove-existing-metric-constraints"},
                     .files = {{"app.yaml", manifest_file(spec)}}},
            .requests = kRequestsOfUpdate};
  add_constraints(plan.line.args, spec.constraints.cluster);
  wait_perhaps(plan);
  model_.update(app, spec);
  check_changed(plan, change(plan), app, spec);
}

// What it prints on success is a version the store had, with what was asked for, in the state that was waited for.
void CommandUser::check_changed(const Plan& plan, const Ran& ran, const std::string& app, const ApplicationSpec& spec) {
  if (ran.exit != 0) return;
  const auto shown = printed(ran);
  if (!shown) return wrong(plan, ran, shown.error().message);
  const auto& object = shown->object;
  if (object.metadata.name != app || !(object.spec == spec)) return wrong(plan, ran, "that is not what was asked for");
  const auto state = checks_.state_at(app, shown->revision);
  if (!state || *state != object.status.state) return wrong(plan, ran, "that was never stored");
  if (!plan.waits) return;
  if (!is_running(object.status)) return wrong(plan, ran, "that is not running");
  reached_.mark("krakectl saw what it waited for");
}

void CommandUser::remove(const std::string& app, bool force) {
  Plan plan{.what = (force ? "force-deletes " : "deletes ") + app,
            .line = {.args = {"kube", "app", "delete", app, "-o", "json"}}};
  if (force) plan.line.args.emplace_back("--force");
  wait_perhaps(plan);
  force ? model_.force_remove(app) : model_.remove(app);
  const auto ran = change(plan);
  if (ran.exit != 0) return;
  if (!ran.out.empty() && !json::parse(ran.out)) return wrong(plan, ran, "that is no document");
  if (!plan.waits) return;
  if (checks_.applications().contains(app)) return wrong(plan, ran, "it is still there");
  reached_.mark("krakectl saw what it waited for");
}

// ---- looks

void CommandUser::look() {
  const auto names = model_.names();
  switch (random_.below(4)) {
    case 0:
      return list_leases();
    case 1:
      if (!names.empty()) return get_application(names[random_.below(names.size())]);
      [[fallthrough]];
    default:
      return list_applications();
  }
}

// Nothing is older than what anybody knew when it was asked for, the user's own writes among that.
void CommandUser::list_applications() {
  const Plan plan{.what = "lists applications", .line = {.args = {"kube", "app", "list", "-o", "json"}}};
  checks_.advance();
  const auto floor = checks_.history().floor();
  const auto ran = run(plan);
  if (ran.exit != 0) return;
  const auto value = json::parse(ran.out);
  if (!value || !value->is_array()) return wrong(plan, ran, "that is no list");
  std::map<std::string, store::Revision> found;
  for (const auto& item : *value->if_array()) {
    const auto app = Client::decode_versioned<Application>(item);
    if (!app) return wrong(plan, ran, app.error().message);
    found[app->object.metadata.name] = app->revision;
  }
  for (const auto& name : model_.names()) found.try_emplace(name, 0);
  for (const auto& [name, revision] : found)
    checks_.complain(checks_.history().read(storage_key(name), floor, revision));
}

void CommandUser::get_application(const std::string& app) {
  const Plan plan{.what = "looks at " + app, .line = {.args = {"kube", "app", "get", app, "-o", "json"}}};
  checks_.advance();
  const auto floor = checks_.history().floor();
  const auto ran = run(plan);
  if (!ran.exit) return;
  const auto problem = json::parse(ran.err);
  if (*ran.exit != 0 && problem && problem->int_at({"status"}) == 404)
    return checks_.complain(checks_.history().read(storage_key(app), floor, 0));
  if (*ran.exit != 0) return;
  const auto shown = printed(ran);
  if (!shown) return wrong(plan, ran, shown.error().message);
  if (shown->object.metadata.name != app) return wrong(plan, ran, "that is another one");
  checks_.complain(checks_.history().read(storage_key(app), floor, shown->revision));
}

void CommandUser::list_leases() {
  // The list, then each of them.
  const Plan plan{.what = "lists leases",
                  .line = {.args = {"core", "lease", "list", "-o", "json"}},
                  .requests = 1 + static_cast<int>(std::size(kControllers))};
  const auto ran = run(plan);
  if (ran.exit != 0) return;
  const auto value = json::parse(ran.out);
  if (!value || !value->is_array()) return wrong(plan, ran, "that is no list");
  for (const auto& lease : *value->if_array()) {
    if (std::ranges::find(kControllers, lease.string_at({"metadata", "name"})) == std::end(kControllers))
      return wrong(plan, ran, "nobody leads under that name");
  }
}

}  // namespace krake::sim
