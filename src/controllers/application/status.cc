#include "controllers/application/status.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/datetime.h"
#include "manifest/desired.h"
#include "manifest/health.h"
#include "manifest/schema.h"
#include "manifest/services.h"

namespace krake::application {
namespace {

using State = ApplicationState;

// States in which the objects' health has something to say.
bool settled(State state) {
  return state == State::RUNNING || state == State::DEGRADED || state == State::RESTARTING || state == State::COMPLETED;
}

State state_of(const Application& application, const StatusView& view, const manifest::Observed& seen) {
  const State old = application.status.state;
  if (view.reason && is_permanent(view.reason->code)) return State::FAILED;
  if (view.state) return *view.state;
  if (!view.place) return old;
  // RUNNING means that every call has succeeded; whether the pods are ready is the next look.
  if (!settled(old)) return State::RUNNING;
  switch (seen.state) {
    case manifest::State::completed:
      return State::COMPLETED;
    case manifest::State::running:
      return State::RUNNING;
    case manifest::State::restarting:
      return State::RESTARTING;
    case manifest::State::degraded:
      return State::DEGRADED;
    case manifest::State::unknown:
      break;
  }
  return seen.health.desired == 0 ? State::RUNNING : old;
}

bool reason_is_ours(ReasonCode code) {
  static constexpr std::array kOurs{ReasonCode::INTERNAL_ERROR,
                                    ReasonCode::INVALID_RESOURCE,
                                    ReasonCode::UNSUPPORTED_RESOURCE,
                                    ReasonCode::INVALID_CUSTOM_RESOURCE,
                                    ReasonCode::INVALID_TOSCA_MANIFEST,
                                    ReasonCode::CLUSTER_NOT_REACHABLE,
                                    ReasonCode::KUBERNETES_ERROR,
                                    ReasonCode::CREATE_FAILED,
                                    ReasonCode::RECONCILE_FAILED,
                                    ReasonCode::RECONFIGURE_FAILED,
                                    ReasonCode::DELETE_FAILED,
                                    ReasonCode::RETRIEVE_FAILED,
                                    ReasonCode::NOT_FOUND};
  return std::ranges::find(kOurs, code) != kOurs.end();
}

// What may be recorded as the application's: an object with its label, or one of upstream's that has been recorded.
bool belongs(const StatusView& view, const Item& item, bool recorded) {
  if (item.problem || !item.live) return false;
  const auto whose = ownership(*item.live, view.who);
  return whose == Ownership::ours || (recorded && whose == Ownership::unlabelled && made_by_upstream(*item.live));
}

// What is seen of the wanted objects, then what is still there although no longer wanted.
json::Array observed_manifest(const Application& application, const StatusView& view) {
  json::Array seen;
  std::vector<kube::ObjectRef> named;
  // What was seen elsewhere says nothing about who made what is here.
  const bool here = view.place->cluster == application.status.running_on;
  const auto entries = manifest::entries_for(*view.objects, *view.schema);
  for (std::size_t i = 0; i < view.items.size(); ++i) {
    if (view.items[i].problem) continue;
    named.push_back(view.items[i].ref);
    const bool known = here && std::ranges::any_of(view.place->recorded, [&](const Item& item) {
                         return !item.problem && same_object(item.ref, view.items[i].ref);
                       });
    if (belongs(view, view.items[i], known) && entries[i])
      seen.push_back(manifest::observed_fields(*view.items[i].live, *entries[i]));
  }
  const auto is_named = [&](const kube::ObjectRef& ref) {
    return !ref.name.empty() &&
           std::ranges::any_of(named, [&](const kube::ObjectRef& one) { return same_object(one, ref); });
  };
  const auto& recorded = view.place->recorded;
  for (std::size_t i = 0; i < recorded.size(); ++i) {
    const bool hidden = here && recorded[i].problem && recorded[i].problem->code == ReasonCode::KUBERNETES_ERROR;
    if (!(hidden || belongs(view, recorded[i], here)) || is_named(recorded[i].ref)) continue;
    named.push_back(recorded[i].ref);
    seen.push_back(application.status.last_observed_manifest[i]);
  }
  for (const auto& [ref, live] : view.place->ours) {
    if (is_named(ref) || ownership(*live, view.who) != Ownership::ours) continue;
    named.push_back(ref);
    seen.push_back(identity_fields(ref));
  }
  return seen;
}

// What somebody else has there under the same name says nothing about this application.
bool counts(const StatusView& view, const Item& item) {
  return item.live && ownership(*item.live, view.who) != Ownership::foreign;
}

json::Object services_of(const StatusView& view) {
  json::Object services;
  for (const Item& item : view.items) {
    if (!counts(view, item)) continue;
    if (auto endpoint = manifest::service_endpoint(*item.live, view.place->host)) {
      services.set(item.ref.name, std::move(*endpoint));
    }
  }
  return services;
}

// A merge patch from one map to another.
json::Object map_patch(const json::Object& from, const json::Object& to) {
  json::Object patch;
  for (const auto& [key, value] : from) {
    if (!to.contains(key)) patch.set(key, nullptr);
  }
  for (const auto& [key, value] : to) {
    const json::Value* old = from.find(key);
    if (!old || !(*old == value)) patch.set(key, value);
  }
  return patch;
}

// What the answers of the cluster add to the fields a custom schema observes.
json::Array completed_objects(const StatusView& view) {
  json::Array objects = *view.objects;
  if (!view.place) return objects;
  const auto entries = manifest::entries_for(objects, *view.schema);
  for (std::size_t i = 0; i < std::min(objects.size(), view.items.size()); ++i) {
    if (entries[i] && counts(view, view.items[i]))
      manifest::complete_from_reply(objects[i], *entries[i], *view.items[i].live);
  }
  return objects;
}

void put_observation(const Application& application, const StatusView& view, const manifest::Observed& seen,
                     json::Object& patch) {
  const auto& status = application.status;
  const ContainerHealth health{seen.health.desired, seen.health.running, seen.health.completed, seen.health.failed};
  if (!(health == status.container_health)) patch.set("container_health", to_value(health));
  if (auto services = map_patch(status.services, services_of(view)); !services.empty()) {
    patch.set("services", std::move(services));
  }
  if (!view.objects) return;
  if (auto observed = observed_manifest(application, view); !(observed == as_array(status.last_observed_manifest))) {
    patch.set("last_observed_manifest", std::move(observed));
  }
}

}  // namespace

json::Object status_patch(const Application& application, const StatusView& view) {
  const auto& status = application.status;
  json::Object patch;
  json::Array lives;
  for (const Item& item : view.items) {
    if (counts(view, item)) lives.push_back(*item.live);
  }
  const auto seen = manifest::health_of_all(lives);
  if (view.place) put_observation(application, view, seen, patch);
  if (view.objects && view.write_objects) {
    if (auto objects = completed_objects(view); !(objects == as_array(status.last_applied_manifest))) {
      patch.set("last_applied_manifest", std::move(objects));
    }
    if (!(*view.schema == as_array(status.mangled_observer_schema))) patch.set("mangled_observer_schema", *view.schema);
  }
  if (view.running_on && view.running_on != status.running_on) patch.set("running_on", to_value(*view.running_on));
  if (scheduler_owns_state(application) && !application.metadata.deleted) return patch;
  if (const State state = state_of(application, view, seen); state != status.state) {
    patch.set("state", std::string(enum_name(state)));
  }
  if (view.reason) {
    if (view.reason != status.reason) patch.set("reason", to_value(*view.reason));
  } else if (status.reason && reason_is_ours(status.reason->code)) {
    patch.set("reason", nullptr);
  }
  return patch;
}

bool scheduler_owns_state(const Application& application) {
  return application.status.reason && application.status.reason->code == ReasonCode::NO_SUITABLE_RESOURCE;
}

bool is_permanent(ReasonCode code) {
  return code == ReasonCode::INVALID_RESOURCE || code == ReasonCode::UNSUPPORTED_RESOURCE ||
         code == ReasonCode::INVALID_CUSTOM_RESOURCE || code == ReasonCode::INVALID_TOSCA_MANIFEST;
}

Reason reason_of(const Error& error) {
  switch (error.code) {
    case Code::invalid_object:
    case Code::invalid_argument:
    case Code::too_large:
    case Code::unsupported_media:
      return {ReasonCode::INVALID_RESOURCE, error.message};
    default:
      return {ReasonCode::KUBERNETES_ERROR, error.message};
  }
}

std::optional<Reason> why_it_lingers(const ResourceRef& cluster, const kube::ObjectRef& ref, const json::Value& live,
                                     Wall now) {
  constexpr auto kLong = std::chrono::seconds(30);
  const auto since = live.string_at({"metadata", "deletionTimestamp"});
  const auto time = parse_datetime(since);
  const auto* finalizers = live.at_path({"metadata", "finalizers"});
  if (!time || now < time->wall() + kLong || !finalizers || !finalizers->if_array() || finalizers->if_array()->empty())
    return std::nullopt;
  std::vector<std::string> names;
  for (const auto& name : *finalizers->if_array()) names.emplace_back(name.string_at({}));
  return Reason{
      ReasonCode::DELETE_FAILED,
      fmt::format("waiting for {} to go from {}: it is being deleted since {} and kept by its finalizers ({}), "
                  "which whoever has set them takes away; see there why they do not",
                  kube::to_string(ref), krake::to_string(cluster), since, fmt::join(names, ", "))};
}

json::Object identity_fields(const kube::ObjectRef& ref) {
  json::Object metadata{{"name", ref.name}};
  if (ref.type.namespaced) metadata.set("namespace", ref.ns);
  return {{"apiVersion", ref.type.api_version()}, {"kind", ref.type.kind}, {"metadata", std::move(metadata)}};
}

json::Object identity_fields(const json::Object& object) {
  const json::Value value(object);
  json::Object metadata{{"name", std::string(value.string_at({"metadata", "name"}))}};
  if (const auto ns = value.string_at({"metadata", "namespace"}); !ns.empty())
    metadata.set("namespace", std::string(ns));
  return {{"apiVersion", std::string(value.string_at({"apiVersion"}))},
          {"kind", std::string(value.string_at({"kind"}))},
          {"metadata", std::move(metadata)}};
}

bool healthy(std::span<const Item> items) {
  return std::ranges::all_of(items, [](const Item& item) {
    if (item.problem || !item.live || being_deleted(*item.live) || !manifest::up_to_date(*item.live)) return false;
    const auto seen = manifest::health_of(*item.live);
    if (seen.state == manifest::State::completed) return true;
    const bool bad = seen.state == manifest::State::degraded || seen.state == manifest::State::restarting;
    return !bad && seen.health.running + seen.health.completed >= seen.health.desired;
  });
}

}  // namespace krake::application
