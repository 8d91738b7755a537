#include "kubesim/api.h"

#include <fmt/format.h>

#include "kubesim/defaults.h"
#include "kubesim/validate.h"
#include "manifest/apply.h"

namespace krake::kubesim {

namespace {

using json::Object;
using json::Value;

constexpr int kFirstNodePort = 30'000;
constexpr int kLastNodePort = 32'767;

Object& metadata_of(Value& object) { return object.make_object()["metadata"].make_object(); }

bool has_finalizers(const Value& object) {
  const Value* finalizers = object.at_path({"metadata", "finalizers"});
  return finalizers && finalizers->is_array() && !finalizers->if_array()->empty();
}

bool same_but_version(const Value& a, const Value& b) {
  Value left = a;
  Value right = b;
  metadata_of(left).erase("resourceVersion");
  metadata_of(right).erase("resourceVersion");
  return json::equal(left, right);
}

// Everything but metadata and status.
bool same_spec(const Value& a, const Value& b) {
  Value left = a;
  Value right = b;
  for (Value* value : {&left, &right}) {
    for (const std::string_view key : {"metadata", "status", "apiVersion", "kind"}) value->make_object().erase(key);
  }
  return json::equal(left, right);
}

bool same_annotations(const Value& a, const Value& b) {
  const Value* left = a.at_path({"metadata", "annotations"});
  const Value* right = b.at_path({"metadata", "annotations"});
  return json::equal(left ? *left : Value(), right ? *right : Value());
}

// Nulls in maps are "not given" to the real server.
void drop_nulls(Value& value) {
  if (json::Array* items = value.if_array()) {
    for (Value& item : *items) drop_nulls(item);
  }
  Object* object = value.if_object();
  if (!object) return;
  std::vector<std::string> gone;
  for (auto& [key, member] : *object) {
    if (member.is_null()) {
      gone.push_back(key);
    } else {
      drop_nulls(member);
    }
  }
  for (const auto& key : gone) object->erase(key);
}

// What clients cannot set: taken over from the live object, or gone.
void keep_identity(const Value* before, Value& after) {
  Object& metadata = metadata_of(after);
  for (const std::string_view key : {"uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
                                     "generation", "selfLink", "name", "namespace", "generateName"}) {
    const Value* old = before ? before->at_path({"metadata", key}) : nullptr;
    if (old) {
      metadata.set(key, *old);
    } else if (before || (key != "name" && key != "namespace" && key != "generateName")) {
      metadata.erase(key);
    }
  }
}

void keep_member(const Value* before, Value& after, std::string_view key) {
  const Value* old = before ? before->at_path({key}) : nullptr;
  if (old) {
    after.make_object().set(key, *old);
  } else {
    after.make_object().erase(key);
  }
}

std::string conflict_text(const manifest::Applied& applied) {
  std::string text = fmt::format("Apply failed with {} conflict{}: ", applied.conflicts.size(),
                                 applied.conflicts.size() == 1 ? "" : "s");
  for (const auto& conflict : applied.conflicts) {
    if (!text.ends_with(": ")) text += ", ";
    text += fmt::format("conflict with \"{}\": {}", conflict.manager, conflict.path);
  }
  return text;
}

}  // namespace

ObjectKey key_of(const KindInfo& kind, const std::string& ns, const std::string& name) {
  return {kind.resource(), kind.namespaced ? ns : std::string(), name};
}

bool ready_to_go(const json::Value& object) {
  return object.at_path({"metadata", "deletionTimestamp"}) && !has_finalizers(object);
}

Api::Api(Env& env, Random random, std::size_t max_objects)
    : env_(env), random_(random), max_objects_(max_objects), objects_(env.executor) {}

std::string Api::now() const {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(env_.clock.wall());
  const auto day = std::chrono::floor<std::chrono::days>(seconds);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss time(seconds - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), time.hours().count(),
                     time.minutes().count(), time.seconds().count());
}

std::string Api::random_suffix() {
  constexpr std::string_view kLetters = "bcdfghjklmnpqrstvwxz2456789";
  std::string text;
  for (int i = 0; i < 5; ++i) text += kLetters[random_.below(kLetters.size())];
  return text;
}

Outcome<ObjectPtr> Api::get(const KindInfo& kind, const std::string& ns, const std::string& name) const {
  ObjectPtr object = objects_.find(key_of(kind, ns, name));
  if (!object) return refuse(not_found(kind, name));
  return object;
}

Outcome<void> Api::check_namespace(const KindInfo& kind, const std::string& ns) const {
  if (!kind.namespaced) return {};
  const ObjectPtr found = objects_.find({"namespaces", "", ns});
  if (!found) return refuse(not_found(*kinds_.find_resource("namespaces"), ns));
  if (!found->at_path({"metadata", "deletionTimestamp"})) return {};
  return refuse(forbidden(
      kind, "", fmt::format("unable to create new content in namespace {} because it is being terminated", ns)));
}

// That the body is of this kind, and meant for this place.
Outcome<void> Api::check_request(const KindInfo& kind, const std::string& ns, const std::string& name,
                                 Value& object) const {
  if (!object.is_object()) return refuse(bad_request("the body of the request must be a JSON object"));
  const auto api_version = object.string_at({"apiVersion"});
  const auto given_kind = object.string_at({"kind"});
  if ((!api_version.empty() && api_version != kind.api_version()) || (!given_kind.empty() && given_kind != kind.kind)) {
    return refuse(
        bad_request(fmt::format("the API version and kind in the data ({}, {}) do not match the expected ones ({}, {})",
                                api_version, given_kind, kind.api_version(), kind.kind)));
  }
  object.if_object()->set("apiVersion", kind.api_version());
  object.if_object()->set("kind", kind.kind);
  if (auto types = check_types(kind, object); !types) return types;
  drop_nulls(object);
  Object& metadata = metadata_of(object);
  const auto given_ns = object.string_at({"metadata", "namespace"});
  if (kind.namespaced && !given_ns.empty() && given_ns != ns) {
    return refuse(bad_request("the namespace of the provided object does not match the namespace sent on the request"));
  }
  if (kind.namespaced) {
    metadata.set("namespace", ns);
  } else {
    metadata.erase("namespace");
  }
  const auto given_name = object.string_at({"metadata", "name"});
  if (!name.empty() && !given_name.empty() && given_name != name) {
    return refuse(bad_request(
        fmt::format("the name of the object ({}) does not match the name on the URL ({})", given_name, name)));
  }
  if (!name.empty()) metadata.set("name", name);
  return {};
}

void Api::prepare_new(const KindInfo& kind, const ObjectKey& key, Value& object) {
  Object& metadata = metadata_of(object);
  metadata.set("name", key.name);
  metadata.set("uid", random_.uuid4());
  metadata.set("creationTimestamp", now());
  if (kind.generation) metadata.set("generation", 1);
  if (kind.status && kind.kind != "Node") object.make_object().erase("status");
  if (kind.custom) return;
  if (kind.kind == "Pod") object.make_object().set("status", Object{{"phase", "Pending"}, {"qosClass", "BestEffort"}});
  if (kind.kind == "Service" || kind.kind == "Ingress")
    object.make_object().set("status", Object{{"loadBalancer", Object{}}});
}

std::int64_t Api::free_node_port() {
  std::set<std::int64_t> used;
  objects_.each("services", "", nullptr, [&](const ObjectKey&, const ObjectPtr& service) {
    const Value* ports = service->at_path({"spec", "ports"});
    if (!ports || !ports->is_array()) return true;
    for (const Value& port : *ports->if_array()) used.insert(port.int_at({"nodePort"}).value_or(0));
    return true;
  });
  for (std::int64_t port = kFirstNodePort; port <= kLastNodePort; ++port) {
    if (!used.contains(port)) return port;
  }
  return kLastNodePort;
}

// Addresses and ports of Services; the scheduling fields of Pods.
void Api::allocate(const KindInfo& kind, const Value* before, Value& object) {
  if (kind.custom || !object.at_path({"spec"})) return;
  Object& spec = object.make_object()["spec"].make_object();
  if (kind.kind == "Pod" && !before && !spec.contains("serviceAccountName")) {
    spec.set("serviceAccountName", "default");
    spec.set("serviceAccount", "default");
  }
  if (kind.kind != "Service") return;
  const std::string type(object.string_at({"spec", "type"}));
  if (type == "ExternalName") return;
  for (const std::string_view key : {"clusterIP", "clusterIPs"}) {
    const Value* old = before ? before->at_path({"spec", key}) : nullptr;
    if (old && !spec.contains(key)) spec.set(key, *old);
  }
  if (object.string_at({"spec", "clusterIP"}).empty()) {
    const auto n = ++next_ip_;
    spec.set("clusterIP", fmt::format("10.96.{}.{}", n / 250 % 256, n % 250 + 1));
  }
  spec.set("clusterIPs", json::Array{*spec.find("clusterIP")});
  Value* ports = spec.find("ports");
  if (!ports || !ports->is_array()) return;
  std::int64_t last = 0;
  for (Value& port : *ports->if_array()) {
    if (type == "ClusterIP") {
      port.make_object().erase("nodePort");
      continue;
    }
    if (port.int_at({"nodePort"}).value_or(0) != 0) continue;
    // The same port as before keeps its node port.
    const Value* old_ports = before ? before->at_path({"spec", "ports"}) : nullptr;
    for (const Value& old : old_ports && old_ports->is_array() ? *old_ports->if_array() : json::Array()) {
      if (old.int_at({"port"}) == port.int_at({"port"}) && old.at_path({"nodePort"})) {
        port.make_object().set("nodePort", *old.at_path({"nodePort"}));
      }
    }
    if (port.at_path({"nodePort"})) continue;
    last = std::max(last + 1, free_node_port());
    port.make_object().set("nodePort", last);
  }
}

// The one way an object changes on behalf of a client. `own`: the writer's ownership has still to be worked out.
Outcome<ObjectPtr> Api::store(const KindInfo& kind, const ObjectKey& key, const ObjectPtr& before, Value after,
                              const WriteOptions& options, bool own) {
  const auto sent_version = after.string_at({"metadata", "resourceVersion"});
  if (before && !sent_version.empty() && sent_version != before->string_at({"metadata", "resourceVersion"})) {
    return refuse(conflict(
        kind, key.name, "the object has been modified; please apply your changes to the latest version and try again"));
  }
  if (const auto uid = after.string_at({"metadata", "uid"});
      before && !uid.empty() && uid != before->string_at({"metadata", "uid"})) {
    return refuse(conflict(kind, key.name,
                           fmt::format("Precondition failed: UID in precondition: {}, UID in object meta: {}", uid,
                                       before->string_at({"metadata", "uid"}))));
  }
  drop_nulls(after);
  keep_identity(before.get(), after);
  if (!before) prepare_new(kind, key, after);
  if (before && kind.status && options.subresource.empty()) keep_member(before.get(), after, "status");
  if (options.subresource.empty()) {
    apply_defaults(kind, after);
    allocate(kind, before.get(), after);
  }
  if (const auto causes = check_object(kind, before.get(), after); !causes.empty())
    return refuse(invalid(kind, key.name, causes));
  if (own) {
    const manifest::Writer writer{options.manager, now(), false, options.subresource};
    metadata_of(after).set("managedFields",
                           manifest::ownership_after_update(before ? *before : Value(), after, writer));
  }
  if (before) metadata_of(after).set("resourceVersion", before->string_at({"metadata", "resourceVersion"}));
  if (before && same_but_version(*before, after)) return before;
  // A Deployment's annotations count too: its controller hands them on.
  const bool annotated = kind.kind == "Deployment" && before && !same_annotations(*before, after);
  if (before && kind.generation && (annotated || !same_spec(*before, after))) {
    metadata_of(after).set("generation", before->int_at({"metadata", "generation"}).value_or(0) + 1);
  }
  if (options.dry_run) return std::make_shared<const Value>(std::move(after));
  if (options.by_client) ++mutations_;
  if (before && ready_to_go(after)) {
    auto last = std::make_shared<const Value>(after);
    objects_.put(key, std::move(after));
    erase(key, "Background");
    return last;
  }
  ObjectPtr stored = objects_.put(key, std::move(after));
  admitted(kind, key, *stored);
  return objects_.find(key);
}

// What follows at once from an object having been stored.
void Api::admitted(const KindInfo& kind, const ObjectKey& key, const Value& object) {
  if (kind.kind == "Namespace" && !objects_.find({"serviceaccounts", key.name, "default"})) {
    const auto make = [&](const KindInfo& extra, const std::string& name, Value value) {
      if (!objects_.find(key_of(extra, key.name, name)))
        (void)create(extra, key.name, std::move(value), {.manager = "kubesim", .by_client = false});
    };
    if (object.at_path({"metadata", "deletionTimestamp"})) return;
    make(*kinds_.find_resource("serviceaccounts"), "default", Object{{"metadata", Object{{"name", "default"}}}});
    make(*kinds_.find_resource("configmaps"), "kube-root-ca.crt",
         Object{{"metadata", Object{{"name", "kube-root-ca.crt"}}}, {"data", Object{{"ca.crt", ""}}}});
  }
  if (kind.kind == "CustomResourceDefinition" && kind.group == "apiextensions.k8s.io") {
    kinds_.define(object);
    Value accepted = object;
    Object& status = accepted.make_object()["status"].make_object();
    json::Array conditions;
    for (const auto& [type, reason] :
         {std::pair{"NamesAccepted", "NoConflicts"}, {"Established", "InitialNamesAccepted"}}) {
      conditions.push_back(Object{{"type", type},
                                  {"status", "True"},
                                  {"reason", reason},
                                  {"message", "accepted"},
                                  {"lastTransitionTime", object.string_at({"metadata", "creationTimestamp"})}});
    }
    status.set("conditions", std::move(conditions));
    status.set("acceptedNames", *object.at_path({"spec", "names"}));
    status.set("storedVersions",
               json::Array{object.at_path({"spec", "versions"})->if_array()->front().string_at({"name"})});
    overwrite(key, std::move(accepted));
  }
}

Outcome<ObjectPtr> Api::create(const KindInfo& kind, const std::string& ns, Value object, const WriteOptions& options) {
  if (auto checked = check_request(kind, ns, "", object); !checked) return refuse(std::move(checked).error());
  if (!object.string_at({"metadata", "resourceVersion"}).empty()) {
    return refuse(bad_request("resourceVersion should not be set on objects to be created"));
  }
  if (auto checked = check_namespace(kind, ns); !checked) return refuse(std::move(checked).error());
  std::string name(object.string_at({"metadata", "name"}));
  if (name.empty() && !object.string_at({"metadata", "generateName"}).empty()) {
    name = std::string(object.string_at({"metadata", "generateName"})) + random_suffix();
    metadata_of(object).set("name", name);
  }
  const ObjectKey key = key_of(kind, ns, name);
  if (objects_.find(key)) return refuse(already_exists(kind, name));
  if (objects_.size() >= max_objects_) {
    return refuse(
        {507, "InsufficientStorage", fmt::format("the simulated cluster holds its {} objects", max_objects_), {}});
  }
  return store(kind, key, nullptr, std::move(object), options, true);
}

Outcome<ObjectPtr> Api::patch(const KindInfo& kind, const std::string& ns, const std::string& name, const Patch& change,
                              const WriteOptions& options) {
  auto live = get(kind, ns, name);
  if (!live) return live;
  auto after = change(**live);
  if (!after) return refuse(std::move(after).error());
  return replace(kind, ns, name, std::move(*after), options);
}

Outcome<ObjectPtr> Api::replace(const KindInfo& kind, const std::string& ns, const std::string& name, Value object,
                                const WriteOptions& options) {
  auto live = get(kind, ns, name);
  if (!live) return live;
  if (auto checked = check_request(kind, ns, name, object); !checked) return refuse(std::move(checked).error());
  if (options.subresource == "status") {
    Value after = **live;
    if (const Value* status = object.at_path({"status"})) {
      after.make_object().set("status", *status);
    } else {
      after.make_object().erase("status");
    }
    if (const Value* version = object.at_path({"metadata", "resourceVersion"})) {
      metadata_of(after).set("resourceVersion", *version);
    } else {
      metadata_of(after).erase("resourceVersion");
    }
    object = std::move(after);
  }
  return store(kind, key_of(kind, ns, name), *live, std::move(object), options, true);
}

Outcome<Written> Api::apply(const KindInfo& kind, const std::string& ns, const std::string& name, Value object,
                            const WriteOptions& options) {
  if (object.string_at({"apiVersion"}).empty() || object.string_at({"kind"}).empty()) {
    return refuse(bad_request("apply: apiVersion and kind must be set"));
  }
  if (object.at_path({"metadata", "managedFields"})) return refuse(bad_request("metadata.managedFields must be nil"));
  if (auto checked = check_request(kind, ns, name, object); !checked) return refuse(std::move(checked).error());
  const ObjectKey key = key_of(kind, ns, name);
  const ObjectPtr live = objects_.find(key);
  const std::string version(object.string_at({"metadata", "resourceVersion"}));
  if (!live) {
    if (auto checked = check_namespace(kind, ns); !checked) return refuse(std::move(checked).error());
  }
  if (kind.kind == "Secret") apply_defaults(kind, object);  // stringData is not a field that stays
  const manifest::Writer writer{options.manager, now(), options.force, options.subresource};
  auto applied = manifest::apply(live ? *live : Value(), object, writer);
  if (!applied.conflicts.empty()) {
    Refusal refusal{409, "Conflict", conflict_text(applied), {}};
    json::Array causes;
    for (const auto& found : applied.conflicts) {
      causes.push_back(Object{{"reason", "FieldManagerConflict"},
                              {"message", fmt::format("conflict with \"{}\"", found.manager)},
                              {"field", found.path}});
    }
    refusal.details.set("causes", std::move(causes));
    return refuse(std::move(refusal));
  }
  if (live && !version.empty()) metadata_of(applied.object).set("resourceVersion", version);
  if (!live) metadata_of(applied.object).erase("resourceVersion");
  auto stored = store(kind, key, live, std::move(applied.object), options, false);
  if (!stored) return refuse(std::move(stored).error());
  return Written{.object = *stored, .created = !live};
}

// ---- deletion

Outcome<Deleted> Api::remove(const KindInfo& kind, const std::string& ns, const std::string& name,
                             const DeleteOptions& options) {
  auto live = get(kind, ns, name);
  if (!live) return refuse(std::move(live).error());
  const ObjectKey key = key_of(kind, ns, name);
  const auto differs = [&](const std::string& wanted, std::string_view field, std::string_view label) -> Outcome<void> {
    const auto seen = (*live)->string_at({"metadata", field});
    if (wanted.empty() || wanted == seen) return {};
    return refuse(conflict(
        kind, name,
        fmt::format("Precondition failed: {0} in precondition: {1}, {0} in object meta: {2}", label, wanted, seen)));
  };
  if (auto same = differs(options.uid, "uid", "UID"); !same) return refuse(std::move(same).error());
  if (auto same = differs(options.resource_version, "resourceVersion", "ResourceVersion"); !same) {
    return refuse(std::move(same).error());
  }
  if (options.dry_run) return Deleted{.object = *live, .gone = true};
  if (options.by_client) ++mutations_;
  if (kind.kind == "Namespace" && !kind.custom) return remove_namespace(kind, *live);
  const std::string own = kind.kind == "Job" ? "Orphan" : "Background";
  const std::string propagation = options.propagation.empty() ? own : options.propagation;
  if (has_finalizers(**live)) {
    if (!(*live)->at_path({"metadata", "deletionTimestamp"})) {
      Value marked = **live;
      metadata_of(marked).set("deletionTimestamp", now());
      metadata_of(marked).set("deletionGracePeriodSeconds", 0);
      objects_.put(key, std::move(marked));
    }
    return Deleted{.object = objects_.find(key), .gone = false};
  }
  erase(key, propagation);
  return Deleted{.object = *live, .gone = true};
}

Outcome<Deleted> Api::remove_namespace(const KindInfo& kind, const ObjectPtr& live) {
  const std::string name(live->string_at({"metadata", "name"}));
  if (name == "default" || name == "kube-system" || name == "kube-public") {
    return refuse(forbidden(kind, name, "this namespace may not be deleted"));
  }
  Value marked = *live;
  if (!live->at_path({"metadata", "deletionTimestamp"})) metadata_of(marked).set("deletionTimestamp", now());
  marked.make_object()["status"].make_object().set("phase", "Terminating");
  const ObjectPtr last = objects_.put({"namespaces", "", name}, std::move(marked));
  for (const ObjectKey& key : objects_.keys_in_namespace(name)) {
    const KindInfo* inner = kinds_.find_resource(key.resource);
    if (inner && objects_.find(key))
      (void)remove(*inner, key.ns, key.name, {.propagation = "Background", .by_client = false});
  }
  erase_if_empty(name);
  return Deleted{.object = last, .gone = false};
}

void Api::erase_if_empty(const std::string& ns) {
  const ObjectPtr found = ns.empty() ? nullptr : objects_.find({"namespaces", "", ns});
  if (!found || !found->at_path({"metadata", "deletionTimestamp"})) return;
  if (objects_.keys_in_namespace(ns).empty() && !has_finalizers(*found)) objects_.erase({"namespaces", "", ns});
}

void Api::erase(const ObjectKey& key, const std::string& propagation) {
  const ObjectPtr object = objects_.find(key);
  if (!object) return;
  const std::string uid(object->string_at({"metadata", "uid"}));
  objects_.erase(key);
  if (key.resource == "customresourcedefinitions.apiextensions.k8s.io") {
    std::vector<ObjectKey> instances;
    objects_.each(key.name, "", nullptr, [&](const ObjectKey& instance, const ObjectPtr&) {
      instances.push_back(instance);
      return true;
    });
    for (const auto& instance : instances) erase(instance, "Background");
    kinds_.undefine(object->string_at({"spec", "group"}), object->string_at({"spec", "names", "plural"}));
  }
  for (const ObjectKey& dependent : objects_.dependents(uid)) {
    const ObjectPtr child = objects_.find(dependent);
    const KindInfo* kind = kinds_.find_resource(dependent.resource);
    if (!child || !kind) continue;
    json::Array others;
    for (const Value& owner : *child->at_path({"metadata", "ownerReferences"})->if_array()) {
      if (objects_.uid_exists(owner.string_at({"uid"}))) others.push_back(owner);
    }
    if (propagation != "Orphan" && others.empty()) {
      (void)remove(*kind, dependent.ns, dependent.name, {.propagation = "Background", .by_client = false});
      continue;
    }
    Value freed = *child;
    if (others.empty()) {
      metadata_of(freed).erase("ownerReferences");
    } else {
      metadata_of(freed).set("ownerReferences", std::move(others));
    }
    objects_.put(dependent, std::move(freed));
  }
  erase_if_empty(key.ns);
}

void Api::overwrite(const ObjectKey& key, Value object) {
  const ObjectPtr before = objects_.find(key);
  if (before && same_but_version(*before, object)) return;
  objects_.put(key, std::move(object));
}

}  // namespace krake::kubesim
