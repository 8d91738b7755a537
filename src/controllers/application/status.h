// The status as a function of what was observed, and the smallest patch that makes the stored one say so. Only fields
// this controller owns (control-plane-contract 1.6) are ever in the patch. Pure.
#pragma once

#include <optional>
#include <span>

#include "controllers/application/plan.h"

namespace krake::application {

struct StatusView {
  const Place* place = nullptr;          // where it runs; null: nothing to be seen, observed fields stay
  Identity who;                          // whose objects count there
  std::span<const Item> items;           // parallel to `objects`, at `place`
  const json::Array* objects = nullptr;  // last_applied_manifest; null: stays
  const json::Array* schema = nullptr;   // mangled_observer_schema, for `objects`
  bool write_objects = true;             // false: `objects` are the stored ones, only looked at
  std::optional<ResourceRef> running_on;
  std::optional<Reason> reason;           // what is wrong; none clears a reason of ours
  std::optional<ApplicationState> state;  // instead of the one that follows from the health
};

// Empty: the stored status says it all.
json::Object status_patch(const Application& application, const StatusView& view);

// While its reason stands, the scheduler owns `state` and `reason`.
bool scheduler_owns_state(const Application& application);
// Errors that do not go away by waiting: state FAILED.
bool is_permanent(ReasonCode code);
// For the code of an answer of a cluster.
Reason reason_of(const Error& error);
// Why an object that is being deleted is still there, when that takes longer than a removal does.
std::optional<Reason> why_it_lingers(const ResourceRef& cluster, const kube::ObjectRef& ref, const json::Value& live,
                                     Wall now);
// apiVersion, kind and name of an object, and the namespace if it has one.
json::Object identity_fields(const kube::ObjectRef& ref);
json::Object identity_fields(const json::Object& object);
// Every pod that is wanted runs or has done its work.
bool healthy(std::span<const Item> items);

}  // namespace krake::application
