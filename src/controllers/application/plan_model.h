// For tests of plans: a world small enough to be a value, and objects to put in it.
#pragma once

#include <gtest/gtest.h>

#include "api/kubernetes/cluster.h"
#include "controllers/application/plan.h"
#include "controllers/application/status.h"
#include "manifest/testing.h"

namespace krake::application::testing {

using manifest::object_of;
using std::chrono::seconds;

constexpr std::string_view kUid = "uid-of-web";

inline ResourceRef cluster(std::string name) {
  return {.api = "kubernetes", .namespace_ = "demo", .kind = "Cluster", .name = std::move(name)};
}

inline json::Object config_map(const std::string& name, const std::string& value = "1") {
  return object_of("{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'" + name + "'},'data':{'x':'" + value +
                   "'}}");
}
inline json::Object deployment(const std::string& name) {
  return object_of("{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'" + name +
                   "'},'spec':{'replicas':1}}");
}

inline json::Object stateful_set(const std::string& name) {
  return object_of("{'apiVersion':'apps/v1','kind':'StatefulSet','metadata':{'name':'" + name +
                   "'},'spec':{'replicas':1}}");
}

inline kube::ObjectRef ref_of(const json::Value& object) {
  const auto kind = object.string_at({"kind"});
  const auto api_version = std::string(object.string_at({"apiVersion"}));
  const auto slash = api_version.find('/');
  kube::ObjectRef ref;
  ref.type.group = slash == std::string::npos ? "" : api_version.substr(0, slash);
  ref.type.version = slash == std::string::npos ? api_version : api_version.substr(slash + 1);
  ref.type.kind = kind;
  ref.type.plural = std::string(kind) + "s";
  ref.type.namespaced = kind != "Namespace" && kind != "CustomResourceDefinition";
  if (ref.type.namespaced)
    ref.ns =
        object.string_at({"metadata", "namespace"}).empty() ? "default" : object.string_at({"metadata", "namespace"});
  ref.name = object.string_at({"metadata", "name"});
  return ref;
}

// A world small enough to be a value: clusters are maps, applying merges, removing erases.
struct Model {
  struct Site {
    std::map<kube::ObjectRef, json::Value> objects;
    std::string identity;
    std::optional<Reason> error;
    std::optional<Mono> error_since;  // none: just now
    bool online = false;
    std::vector<std::string> refused;  // kinds
    std::vector<std::string> hidden;   // kinds that cannot be read
    std::string forgets;               // a key of `data` that is not kept
    bool exists = true;
    bool pods_ready = true;
    bool watched = true;  // else objects are found by their names only
    bool silent = false;  // takes what is applied and does not answer
  };
  Application app;
  std::map<std::string, Site> sites;
  Memory memory;
  PlanOptions options;
  Mono now{seconds(1000)};
  std::int64_t revision = 1;
  int next_uid = 0;
  bool status_rate_limited = false;
  std::vector<std::string> unknown_kinds;
  int mutations = 0;

  Model() {
    app.metadata.name = "web";
    app.metadata.namespace_ = "demo";
    app.metadata.uid = kUid;
    app.metadata.modified = DateTime::from_wall(Wall(seconds(100)));
    app.spec.manifest = {config_map("a"), deployment("d")};
    for (const auto* name : {"one", "two"}) sites[name].identity = std::string("id-") + name;
  }
  void bind(const std::string& name) {
    app.status.scheduled_to = cluster(name);
    app.status.kube_controller_triggered = app.metadata.modified;
    ++revision;
    if (std::ranges::find(app.metadata.owners, cluster(name)) == app.metadata.owners.end())
      app.metadata.owners.push_back(cluster(name));
  }

  Wall wall() const { return Wall(std::chrono::duration_cast<Wall::duration>(now.time_since_epoch())); }

  std::vector<Item> items(const Site& site, const json::Array& objects) const {
    std::vector<Item> result;
    for (const auto& object : objects) {
      Item item{.ref = ref_of(object)};
      if (std::ranges::find(unknown_kinds, item.ref.type.kind) != unknown_kinds.end()) {
        item.problem = Reason{ReasonCode::UNSUPPORTED_RESOURCE, "no kind " + item.ref.type.kind};
      } else if (std::ranges::find(site.hidden, item.ref.type.kind) != site.hidden.end()) {
        item.problem = Reason{ReasonCode::KUBERNETES_ERROR, item.ref.type.kind + " cannot be read"};
      } else if (const auto it = site.objects.find(item.ref); it != site.objects.end()) {
        item.live = std::make_shared<const json::Value>(it->second);
      }
      result.push_back(std::move(item));
    }
    return result;
  }
  Observed observe() const {
    Observed observed;
    observed.application = std::make_shared<const Application>(app);
    observed.revision = revision;
    observed.desired = desired_of(app, "default");
    observed.memory = memory;
    if (!status_rate_limited) observed.memory.status_allowed_at = now;
    observed.options = options;
    observed.wall = wall();
    for (const auto& ref : clusters_of(app)) {
      Place place{.cluster = ref, .host = "10.0.0.1"};
      const auto it = sites.find(ref.name);
      if (it == sites.end() || !it->second.exists) {
        place.exists = false;
      } else if (it->second.error) {
        place.error = it->second.error;
        place.error_since = it->second.error_since.value_or(now);
        place.online = it->second.online;
      } else {
        place.identity = it->second.identity;
        const Relevant relevant = relevant_at(app, ref);
        if (relevant.desired) place.desired = items(it->second, observed.desired.objects);
        if (relevant.manifests) place.applied = items(it->second, as_array(app.status.last_applied_manifest));
        if (relevant.manifests) place.recorded = items(it->second, as_array(app.status.last_observed_manifest));
        if (relevant.entry) place.left = items(it->second, as_array(relevant.entry->objects));
        for (const auto& [key, live] : it->second.objects) {
          const bool hidden = std::ranges::find(it->second.hidden, key.type.kind) != it->second.hidden.end();
          if (it->second.watched && !hidden && live.string_at({"metadata", "labels", kApplicationUid}) == kUid)
            place.ours.emplace_back(key, std::make_shared<const json::Value>(live));
        }
      }
      observed.places.push_back(std::move(place));
    }
    return observed;
  }
  Plan plan() const { return make_plan(observe(), now); }

  void carry_out(const Plan& plan) {
    for (const auto& action : plan) {
      remember(memory, action, options, now);
      if (const auto* meta = std::get_if<PatchMeta>(&action)) {
        if (meta->finalizers) app.metadata.finalizers = *meta->finalizers;
        if (meta->owners) app.metadata.owners = *meta->owners;
        ++revision;
      } else if (const auto* status = std::get_if<PatchStatus>(&action)) {
        auto value = to_value(app.status);
        json::merge_patch(value, status->fields);
        app.status = *decode_json<ApplicationStatus>(value, Form::stored);
        ++revision;
      } else if (const auto* trial = std::get_if<TryOut>(&action)) {
        if (!refuses(trial->cluster, trial->ref)) continue;
        remember(memory, GiveUpMigration{trial->cluster, "refused"}, options, now);
        return;
      } else if (const auto* object = std::get_if<Apply>(&action)) {
        note_sending(memory, object->key, object->fingerprint, revision, object->difference != 0);
        if (refuses(object->cluster, object->ref)) {
          note_refusal(memory, object->key, object->fingerprint, {ReasonCode::KUBERNETES_ERROR, "refused"}, now);
          continue;
        }
        ++mutations;
        apply(*object);
      } else if (const auto* gone = std::get_if<Remove>(&action)) {
        note_sending(memory, gone->key, 0, revision, false);
        if (refuses(gone->cluster, gone->ref)) {
          note_refusal(memory, gone->key, 0, {ReasonCode::DELETE_FAILED, "not deleted"}, now);
          continue;
        }
        ++mutations;
        auto& site = sites.at(gone->cluster.name);
        EXPECT_EQ(uid_of(site.objects.at(gone->ref)), gone->uid);
        site.objects.erase(gone->ref);
      }
    }
  }
  bool refuses(const ResourceRef& where, const kube::ObjectRef& ref) const {
    const auto& refused = sites.at(where.name).refused;
    return std::ranges::find(refused, ref.type.kind) != refused.end();
  }
  void apply(const Apply& action) {
    auto& site = sites.at(action.cluster.name);
    auto& live = site.objects[action.ref];
    const bool fresh = live.is_null();
    json::merge_patch(live, action.body);
    auto& metadata = live.make_object()["metadata"].make_object();
    metadata.erase("resourceVersion");
    if (fresh) metadata.set("uid", "object-" + std::to_string(next_uid++));
    if (action.ref.type.kind == "Deployment") {
      live.make_object().set("status", json::Object{{"replicas", 1}, {"readyReplicas", site.pods_ready ? 1 : 0}});
    }
    if (json::Value* data = live.if_object()->find("data"); data && !site.forgets.empty())
      data->make_object().erase(site.forgets);
    if (site.silent) return;
    const auto left = manifest::diff(action.desired, live, action.entry);
    if (!left.empty()) note_repair(memory, action.key, difference_of(left), true, now);
    note_taken(memory, action.key, action.fingerprint);
    if (left.empty() && action.difference != 0) note_repair(memory, action.key, action.difference, false, now);
  }
  // Plans and carries out until there is nothing to do but to wait. The number of rounds, or -1.
  int settle(int limit = 30) {
    for (int round = 0; round < limit; ++round) {
      const Plan next = plan();
      const bool quiet = std::ranges::all_of(
          next, [](const Action& a) { return std::holds_alternative<Wait>(a) || std::holds_alternative<Retry>(a); });
      if (quiet) return round;
      carry_out(next);
    }
    return -1;
  }
  std::vector<ResourceRef> cleanup() const {
    std::vector<ResourceRef> clusters;
    for (const auto& entry : app.status.cleanup.value_or(std::vector<CleanUp>())) clusters.push_back(entry.cluster);
    return clusters;
  }
  json::Value& live(const std::string& site, const json::Value& object) {
    return sites.at(site).objects.at(ref_of(object));
  }
  bool has(const std::string& site, const json::Value& object) const {
    return sites.at(site).objects.contains(ref_of(object));
  }
};

}  // namespace krake::application::testing
