// What one may have a right to, and the switches that make the API stricter than upstream's. All are additive.
#pragma once

#include <string>
#include <string_view>

#include "access/rbac.h"
#include "server/cache.h"
#include "server/route.h"

namespace krake::server {

struct AccessSwitches {
  // Lists and watches over all namespaces show those in which the user may list; else, as upstream, all (W20).
  bool filter_namespaces = true;
  // Roles and bindings in deletion give nothing, and who writes one must hold what it gives (W22).
  bool strict_roles = false;
  // Fields marked as secret are shown to who may `get` PLURAL/secrets, and masked for all others (W11).
  bool redact_secrets = false;
  // ?force=True also wants `delete` on PLURAL/force (W15).
  bool force_needs_right = false;
  // The token of a hook is accepted once (W12).
  bool one_time_hook_tokens = false;
  // A PUT whose uid is another one's is refused (W32).
  bool check_uid = false;
  // References to what does not exist, or in a circle, are refused and not only warned about (W33).
  bool check_references = false;
};

// A right by its names in rules.
struct Right {
  const Kind* kind = nullptr;  // null: it is about no kind (a backup)
  std::string_view api;
  std::string resource;  // "applications", "applications/status"
  access::Verb verb = access::Verb::get;
  std::string_view ns;    // empty: over all namespaces, or of what has none
  std::string_view name;  // of the object; empty: none
};
Right right_of(const Route& route);
// On a part of what `route` names that has no route of its own: PLURAL/secrets, PLURAL/force.
Right right_on_part(const Route& route, std::string_view part, access::Verb verb);

// How a caller sees the objects of a kind: as they are, or without their secrets.
struct Sight {
  const Kind* kind = nullptr;
  access::NamespaceScope secrets{.all = true, .names = {}};  // where he sees them

  bool full(std::string_view ns) const { return secrets.contains(ns); }
  CachedPtr of(const CachedPtr& object) const { return full(object->ns) ? object : without_secrets(*kind, object); }
  SharedBytes line(const WatchLine& event) const {
    return full(event.object->ns) ? event.line : line_without_secrets(*kind, event);
  }
};

}  // namespace krake::server
