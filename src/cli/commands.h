// All commands, as data. A new kind adds its resource here.
#pragma once

#include <vector>

#include "cli/session.h"

namespace krake::cli {

struct Command {
  Syntax syntax;
  const Kind* kind = nullptr;  // null: not about a kind
  Run run = nullptr;
};

const std::vector<Command>& all_commands();
// Of upstream's krakectl, or asked for by its habits, and not here yet.
const std::vector<Absent>& absent_commands();

// The verbs. generic.cc
Awaitable<Outcome<int>> list_objects(Session& session);
Awaitable<Outcome<int>> get_object(Session& session);
Awaitable<Outcome<int>> list_leases(Session& session);
Awaitable<Outcome<int>> get_lease(Session& session);
Awaitable<Outcome<int>> delete_object(Session& session);
Awaitable<Outcome<int>> show_version(Session& session);
// explain.cc
Awaitable<Outcome<int>> explain(Session& session);
Awaitable<Outcome<int>> show_api_resources(Session& session);
// application.cc
Awaitable<Outcome<int>> create_application(Session& session);
Awaitable<Outcome<int>> update_application(Session& session);
Awaitable<Outcome<int>> delete_application(Session& session);
Awaitable<Outcome<int>> retry_application(Session& session);
// cluster.cc
Awaitable<Outcome<int>> register_cluster(Session& session);
Awaitable<Outcome<int>> create_cluster(Session& session);
Awaitable<Outcome<int>> update_cluster(Session& session);
Awaitable<Outcome<int>> delete_cluster(Session& session);
// auth.cc
Awaitable<Outcome<int>> show_whoami(Session& session);
Awaitable<Outcome<int>> can_i(Session& session);
// core.cc
Awaitable<Outcome<int>> create_provider(Session& session);
Awaitable<Outcome<int>> update_provider(Session& session);
Awaitable<Outcome<int>> create_metric(Session& session);
Awaitable<Outcome<int>> update_metric(Session& session);

}  // namespace krake::cli
