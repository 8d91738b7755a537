#include "kubesim/controllers.h"

#include <fmt/format.h>

namespace krake::kubesim {

namespace {

using json::Object;
using json::Value;

constexpr std::string_view kHashLabel = "pod-template-hash";
constexpr std::string_view kFate = "kubesim/pod";
constexpr Duration kLookAgain = std::chrono::seconds(1);
constexpr int kMaxTurns = 100;

bool is_workload(std::string_view resource) {
  return resource == "deployments.apps" || resource == "replicasets.apps" || resource == "statefulsets.apps" ||
         resource == "daemonsets.apps" || resource == "replicationcontrollers";
}

bool needs_time(std::string_view resource) {
  return resource == "pods" || resource == "services" || resource == "persistentvolumeclaims";
}

std::string hash_of(const Value& workload) {
  const Value* tmpl = workload.at_path({"spec", "template"});
  return fmt::format("{:010x}", stable_hash(tmpl ? json::print(*tmpl) : "") & 0xff'ffff'ffff);
}

bool is_ready(const Value& object) {
  const Value* conditions = object.at_path({"status", "conditions"});
  if (!conditions || !conditions->is_array()) return false;
  return std::ranges::any_of(*conditions->if_array(), [](const Value& condition) {
    return condition.string_at({"type"}) == "Ready" && condition.string_at({"status"}) == "True";
  });
}

bool has_ended(const Value& pod) {
  const auto phase = pod.string_at({"status", "phase"});
  return phase == "Succeeded" || phase == "Failed";
}

const Value* controller_of(const Value& object) {
  const Value* owners = object.at_path({"metadata", "ownerReferences"});
  if (!owners || !owners->is_array()) return nullptr;
  for (const Value& owner : *owners->if_array()) {
    const Value* flag = owner.at_path({"controller"});
    if (flag && flag->if_bool() && *flag->if_bool()) return &owner;
  }
  return nullptr;
}

// Zero counts are left out, as the real controllers do.
void count(Object& status, std::string_view key, std::int64_t value) {
  if (value != 0) status.set(key, value);
}

}  // namespace

Controllers::Controllers(Env& env, Api& api, const Faults& faults, ControllerTimes times)
    : env_(env), api_(api), faults_(faults), times_(times) {
  api_.objects().on_change([this] { wake_at(env_.clock.now()); });
  look_at_everything();
  wake_at(env_.clock.now());
}

void Controllers::wake_at(Mono when) {
  if (wake_ && *wake_ <= when) return;
  wake_ = when;
  timer_ = env_.clock.at(when, [this] { step(); });
}

void Controllers::schedule(const ObjectKey& key, Duration after) {
  if (waiting_.insert(key).second) due_.emplace(env_.clock.now() + after, key);
}

void Controllers::step() {
  const Mono now = env_.clock.now();
  wake_ = now;  // changes made from here on are looked at here
  // Each turn settles what the last one changed; what does not settle goes on after others had theirs.
  for (int turn = 0; turn < kMaxTurns; ++turn) {
    catch_up();
    if (dirty_.empty() && (due_.empty() || due_.begin()->first > now)) break;
    for (const ObjectKey& key : std::exchange(dirty_, {})) reconcile(key);
    while (!due_.empty() && due_.begin()->first <= now) {
      const ObjectKey key = due_.extract(due_.begin()).mapped();
      waiting_.erase(key);
      advance(key);
    }
  }
  wake_.reset();
  if (!dirty_.empty() || cursor_ != api_.objects().revision()) return wake_at(now + std::chrono::milliseconds(1));
  if (!due_.empty()) wake_at(due_.begin()->first);
}

void Controllers::look_at_everything() {
  cursor_ = api_.objects().revision();
  for (const KindInfo& kind : api_.kinds().all()) {
    api_.objects().each(kind.resource(), "", nullptr, [this](const ObjectKey& key, const ObjectPtr& object) {
      look_at(key, *object);
      return true;
    });
  }
}

void Controllers::look_at(const ObjectKey& key, const Value& object) {
  if (is_workload(key.resource) || key.resource == "jobs.batch") dirty_.insert(key);
  if (key.resource == "pods") {
    if (const Value* owner = controller_of(object)) {
      for (const std::string_view resource : {"deployments.apps", "replicasets.apps", "statefulsets.apps",
                                              "daemonsets.apps", "jobs.batch", "replicationcontrollers"}) {
        const KindInfo* kind = api_.kinds().find_resource(resource);
        if (kind->kind == owner->string_at({"kind"}))
          dirty_.insert({std::string(resource), key.ns, std::string(owner->string_at({"name"}))});
      }
    }
  }
  if (key.resource == "nodes") {
    for (const std::string_view resource : {"pods", "daemonsets.apps"}) {
      api_.objects().each(resource, "", nullptr, [this](const ObjectKey& other, const ObjectPtr& it) {
        if (other.resource != "pods") {
          dirty_.insert(other);
        } else if (it->string_at({"status", "phase"}) == "Pending") {
          schedule(other, times_.pod_start);
        }
        return true;
      });
    }
  }
  if (!needs_time(key.resource)) return;
  const auto phase = object.string_at({"status", "phase"});
  const bool pod_waits = key.resource == "pods" && (phase == "Pending" || phase == "Running");
  const bool claim_waits = key.resource == "persistentvolumeclaims" && phase != "Bound";
  const bool service_waits = key.resource == "services" && object.string_at({"spec", "type"}) == "LoadBalancer" &&
                             !object.at_path({"status", "loadBalancer", "ingress"});
  if (!pod_waits && !claim_waits && !service_waits) return;
  const Value* owner = controller_of(object);
  const bool of_job = owner && owner->string_at({"kind"}) == "Job";
  if (pod_waits && phase == "Running" && !of_job) return;
  schedule(key, phase == "Running" ? times_.job_run : times_.pod_start);
}

void Controllers::catch_up() {
  if (cursor_ < api_.objects().compacted()) return look_at_everything();
  while (cursor_ < api_.objects().revision()) {
    const Change* change = api_.objects().change(++cursor_);
    if (!change) return look_at_everything();
    look_at(change->key, change->after ? *change->after : *change->last);
  }
}

// ---- workloads

void Controllers::reconcile(const ObjectKey& key) {
  const ObjectPtr object = api_.objects().find(key);
  if (!object || object->at_path({"metadata", "deletionTimestamp"})) return;
  if (key.resource == "jobs.batch") return reconcile_job(key, *object);
  reconcile_workload(key, *api_.kinds().find_resource(key.resource), *object);
}

std::vector<Controllers::Own> Controllers::pods_of(const Value& owner, const std::string& hash) const {
  std::vector<Own> pods;
  for (const ObjectKey& key : api_.objects().dependents(owner.string_at({"metadata", "uid"}))) {
    if (key.resource != "pods") continue;
    ObjectPtr pod = api_.objects().find(key);
    if (!pod) continue;
    const bool current = pod->string_at({"metadata", "labels", kHashLabel}) == hash;
    const bool ready = is_ready(*pod);
    pods.push_back({key, std::move(pod), current, ready});
  }
  return pods;
}

void Controllers::make_pod(const KindInfo& kind, const Value& owner, const std::string& name, const std::string& hash) {
  const Value* tmpl = owner.at_path({"spec", "template"});
  if (!tmpl) return;
  Value pod = *tmpl;
  Object& metadata = pod.make_object()["metadata"].make_object();
  metadata.set("name", name);
  metadata["labels"].make_object().set(kHashLabel, hash);
  metadata.set("ownerReferences", json::Array{Object{{"apiVersion", kind.api_version()},
                                                     {"kind", kind.kind},
                                                     {"name", owner.string_at({"metadata", "name"})},
                                                     {"uid", owner.string_at({"metadata", "uid"})},
                                                     {"controller", true},
                                                     {"blockOwnerDeletion", true}}});
  (void)api_.create(*api_.kinds().find_resource("pods"), std::string(owner.string_at({"metadata", "namespace"})),
                    std::move(pod), {.manager = "kube-controller-manager", .by_client = false});
}

void Controllers::drop_pod(const ObjectKey& key) {
  (void)api_.remove(*api_.kinds().find_resource("pods"), key.ns, key.name, {.by_client = false});
}

void Controllers::reconcile_workload(const ObjectKey& key, const KindInfo& kind, const Value& workload) {
  const std::string hash = hash_of(workload);
  const bool ordered = kind.kind == "StatefulSet";
  const bool daemon = kind.kind == "DaemonSet";
  const std::int64_t wanted = daemon ? count_nodes() : workload.int_at({"spec", "replicas"}).value_or(1);
  std::vector<Own> pods = pods_of(workload, hash);
  std::vector<Own> current;
  std::vector<Own> former;
  for (Own& pod : pods) {
    const bool useless = has_ended(*pod.pod);
    (pod.current && !useless ? current : former).push_back(pod);
  }
  const std::string name(workload.string_at({"metadata", "name"}));
  if (ordered) {
    // Names are few and fixed: what is outdated goes first, and comes again under its name.
    for (const Own& pod : former) drop_pod(pod.key);
    former.clear();
    std::set<std::string> names;
    for (std::int64_t i = 0; i < wanted; ++i) names.insert(fmt::format("{}-{}", name, i));
    std::erase_if(current, [&](const Own& pod) {
      if (names.erase(pod.key.name)) return false;
      drop_pod(pod.key);
      return true;
    });
    for (const auto& missing : names) make_pod(kind, workload, missing, hash);
  } else {
    while (static_cast<std::int64_t>(current.size()) > wanted) {
      drop_pod(current.back().key);
      current.pop_back();
    }
    for (auto i = static_cast<std::int64_t>(current.size()); i < wanted; ++i) {
      const std::string middle = kind.kind == "Deployment" ? "-" + hash : "";
      make_pod(kind, workload, fmt::format("{}{}-{}", name, middle, api_.random_suffix()), hash);
    }
    // Rolling: an old Pod goes for each new one that is ready.
    const auto ready = std::ranges::count_if(current, &Own::ready);
    while (!former.empty() && static_cast<std::int64_t>(former.size()) > std::max<std::int64_t>(0, wanted - ready)) {
      drop_pod(former.back().key);
      former.pop_back();
    }
  }
  // Counted afresh: the Pods just made are there already.
  pods = pods_of(workload, hash);
  const auto total = static_cast<std::int64_t>(pods.size());
  const auto ready = static_cast<std::int64_t>(std::ranges::count_if(pods, &Own::ready));
  const auto updated = static_cast<std::int64_t>(std::ranges::count_if(pods, &Own::current));
  Object status;
  status.set("observedGeneration", workload.int_at({"metadata", "generation"}).value_or(1));
  if (daemon) {
    status.set("currentNumberScheduled", total);
    status.set("desiredNumberScheduled", wanted);
    status.set("numberMisscheduled", 0);
    status.set("numberReady", ready);
    count(status, "numberAvailable", ready);
    count(status, "numberUnavailable", std::max<std::int64_t>(0, wanted - ready));
    count(status, "updatedNumberScheduled", updated);
  } else {
    if (kind.kind == "Deployment") {
      count(status, "replicas", total);
      count(status, "updatedReplicas", updated);
      count(status, "unavailableReplicas", std::max<std::int64_t>(0, wanted - ready));
      status.set("conditions", conditions(workload, {{"Progressing", true}, {"Available", ready >= wanted}}));
    } else {
      status.set("replicas", total);
    }
    count(status, "readyReplicas", ready);
    count(status, "availableReplicas", ready);
    if (ordered) {
      count(status, "currentReplicas", updated);
      count(status, "updatedReplicas", updated);
      status.set("currentRevision", name + "-" + hash);
      status.set("updateRevision", name + "-" + hash);
      status.set("collisionCount", 0);
    } else if (kind.kind != "Deployment") {
      count(status, "fullyLabeledReplicas", total);
    }
  }
  const ObjectPtr fresh = api_.objects().find(key);
  if (!fresh) return;
  Value object = *fresh;
  if (kind.kind == "Deployment" &&
      object.string_at({"metadata", "annotations", "deployment.kubernetes.io/revision"}).empty()) {
    object.make_object()["metadata"].make_object()["annotations"].make_object().set("deployment.kubernetes.io/revision",
                                                                                    "1");
  }
  write_status(key, object, std::move(status));
}

json::Array Controllers::conditions(const Value& object, std::vector<std::pair<std::string, bool>> wanted) const {
  json::Array list;
  for (const auto& [type, holds] : wanted) {
    const std::string_view status = holds ? "True" : "False";
    std::string since = api_.now();
    const Value* old = object.at_path({"status", "conditions"});
    for (const Value& condition : old && old->is_array() ? *old->if_array() : json::Array()) {
      if (condition.string_at({"type"}) == type && condition.string_at({"status"}) == status) {
        since = condition.string_at({"lastTransitionTime"});
      }
    }
    const std::string reason = type == "Progressing" ? "NewReplicaSetAvailable"
                               : holds               ? "MinimumReplicasAvailable"
                                                     : "MinimumReplicasUnavailable";
    list.push_back(Object{{"type", type},
                          {"status", status},
                          {"reason", reason},
                          {"message", "simulated"},
                          {"lastTransitionTime", since},
                          {"lastUpdateTime", since}});
  }
  return list;
}

void Controllers::write_status(const ObjectKey& key, const Value& object, Value status) {
  Value after = object;
  after.make_object().set("status", std::move(status));
  api_.overwrite(key, std::move(after));
}

void Controllers::reconcile_job(const ObjectKey& key, const Value& job) {
  const std::string hash = hash_of(job);
  const std::int64_t completions = job.int_at({"spec", "completions"}).value_or(1);
  const std::int64_t parallelism = job.int_at({"spec", "parallelism"}).value_or(1);
  const Value* suspended = job.at_path({"spec", "suspend"});
  std::int64_t active = 0;
  std::int64_t succeeded = 0;
  for (const Own& pod : pods_of(job, hash)) ++(has_ended(*pod.pod) ? succeeded : active);
  const bool paused = suspended && suspended->if_bool() && *suspended->if_bool();
  while (!paused && active < parallelism && active + succeeded < completions) {
    make_pod(*api_.kinds().find_resource(key.resource), job,
             fmt::format("{}-{}", job.string_at({"metadata", "name"}), api_.random_suffix()), hash);
    ++active;
  }
  Object status;
  const Value* started = job.at_path({"status", "startTime"});
  status.set("startTime", started ? *started : Value(api_.now()));
  count(status, "active", active);
  count(status, "succeeded", succeeded);
  status.set("uncountedTerminatedPods", Object{});
  if (succeeded >= completions) {
    const Value* ended = job.at_path({"status", "completionTime"});
    const Value time = ended ? *ended : Value(api_.now());
    status.set("completionTime", time);
    status.set("conditions", json::Array{Object{{"type", "Complete"},
                                                {"status", "True"},
                                                {"reason", "CompletionsReached"},
                                                {"message", "simulated"},
                                                {"lastTransitionTime", time}}});
  }
  write_status(key, *api_.objects().find(key), std::move(status));
}

// ---- what takes time

void Controllers::advance(const ObjectKey& key) {
  const ObjectPtr object = api_.objects().find(key);
  if (!object || object->at_path({"metadata", "deletionTimestamp"})) return;
  if (key.resource == "pods") {
    if (object->string_at({"status", "phase"}) == "Pending") {
      start_pod(key, *object);
    } else {
      finish_pod(key, *object);
    }
  } else if (key.resource == "services") {
    ++addresses_;
    const std::string ip = fmt::format("198.51.{}.{}", 100 + addresses_ / 250, addresses_ % 250 + 1);
    write_status(key, *object, Object{{"loadBalancer", Object{{"ingress", json::Array{Object{{"ip", ip}}}}}}});
  } else if (key.resource == "persistentvolumeclaims") {
    Object status{{"phase", "Bound"}};
    if (const Value* modes = object->at_path({"spec", "accessModes"})) status.set("accessModes", *modes);
    if (const Value* size = object->at_path({"spec", "resources", "requests"})) status.set("capacity", *size);
    write_status(key, *object, std::move(status));
  }
}

int Controllers::count_nodes() const {
  int nodes = 0;
  api_.objects().each("nodes", "", nullptr, [&](const ObjectKey&, const ObjectPtr&) { return ++nodes, true; });
  return nodes;
}

std::string Controllers::ready_node() const {
  std::string name;
  api_.objects().each("nodes", "", nullptr, [&](const ObjectKey& key, const ObjectPtr& node) {
    if (is_ready(*node)) name = key.name;
    return name.empty();
  });
  return name;
}

void Controllers::start_pod(const ObjectKey& key, const Value& pod) {
  const auto fate = pod.string_at({"metadata", "annotations", kFate});
  const std::string node = ready_node();
  if (faults_.pods_never_ready || node.empty()) return schedule(key, kLookAgain);
  if (fate == "pending") return;
  const bool crashes = fate == "crash";
  const std::string now = api_.now();
  json::Array containers;
  const Value* specified = pod.at_path({"spec", "containers"});
  for (const Value& container : specified && specified->is_array() ? *specified->if_array() : json::Array()) {
    Object state{{"running", Object{{"startedAt", now}}}};
    if (crashes) state = {{"waiting", Object{{"reason", "CrashLoopBackOff"}, {"message", "simulated"}}}};
    containers.push_back(Object{{"name", container.string_at({"name"})},
                                {"image", container.string_at({"image"})},
                                {"imageID", ""},
                                {"ready", !crashes},
                                {"started", !crashes},
                                {"restartCount", crashes ? 1 : 0},
                                {"state", std::move(state)},
                                {"lastState", Object{}}});
  }
  json::Array list;
  for (const std::string_view type : {"PodScheduled", "Initialized", "ContainersReady", "Ready"}) {
    const bool holds = !crashes || type == "PodScheduled" || type == "Initialized";
    list.push_back(Object{{"type", type}, {"status", holds ? "True" : "False"}, {"lastTransitionTime", now}});
  }
  ++addresses_;
  Value after = pod;
  after.make_object()["spec"].make_object().set("nodeName", node);
  write_status(key, after,
               Object{{"phase", "Running"},
                      {"qosClass", "BestEffort"},
                      {"podIP", fmt::format("10.244.{}.{}", addresses_ / 250 % 256, addresses_ % 250 + 1)},
                      {"startTime", now},
                      {"conditions", std::move(list)},
                      {"containerStatuses", std::move(containers)}});
}

void Controllers::finish_pod(const ObjectKey& key, const Value& pod) {
  if (pod.string_at({"metadata", "annotations", kFate}) == "crash") return;
  Value status = *pod.at_path({"status"});
  Object& members = status.make_object();
  members.set("phase", "Succeeded");
  for (Value& container : members["containerStatuses"].make_array()) {
    container.make_object().set("ready", false);
    container.make_object().set(
        "state", Object{{"terminated", Object{{"exitCode", 0}, {"reason", "Completed"}, {"finishedAt", api_.now()}}}});
  }
  for (Value& condition : members["conditions"].make_array()) {
    const auto type = condition.string_at({"type"});
    if (type == "Ready" || type == "ContainersReady") condition.make_object().set("status", "False");
  }
  write_status(key, pod, std::move(status));
}

}  // namespace krake::kubesim
