// From method and target to what is asked for (api-contract 3.1). Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "meta/kind.h"

namespace krake::server {

enum class Operation {
  index,
  me,
  release,
  openapi,
  review,  // POST /me/access
  rules,   // GET /me/rules
  backup,
  create,
  list,
  read,
  update,
  patch,
  remove,
  status,
  patch_status,
  subresource,
  lease_acquire,
  lease_release
};

struct Route {
  Operation operation = Operation::index;
  const Kind* kind = nullptr;  // null for the miscellaneous routes
  const Subresource* subresource = nullptr;
  std::string ns;  // decoded; empty on routes without
  std::string name;
  bool names_valid = true;  // ns and name keep the alphabet of names

  bool on_object() const { return !name.empty(); }
  bool guarded() const { return kind != nullptr || operation == Operation::backup; }  // needs a right
  // Needs nothing but a name, and yet the stored roles.
  bool about_oneself() const {
    return operation == Operation::me || operation == Operation::review || operation == Operation::rules;
  }
  std::string_view group() const { return kind ? kind->group : "core"; }
  std::string resource() const;   // RBAC: "applications", "applications/status"
  std::string_view verb() const;  // RBAC; empty when only authentication is asked for
};

struct Routed {
  std::optional<Route> route;
  int status = 404;   // when there is none: 404, or 405 with
  std::string allow;  // the Allow header
};

Routed route(const Registry& registry, std::string_view method, std::string_view path);

// Every route there is, for those who describe them: `path` has {namespace} and {name} for what varies, as has `route`.
struct RouteTemplate {
  std::string_view method;
  std::string path;
  Route route;
};
std::vector<RouteTemplate> all_routes(const Registry& registry);

using Query = std::vector<std::pair<std::string, std::string>>;
const std::string* find_parameter(const Query& query, std::string_view name);
// NAME=true, True or 1 (W15).
bool switched_on(const Query& query, std::string_view name);

}  // namespace krake::server
