#include "sim/process.h"

#include "api/registry.h"
#include "controllers/application/controller.h"
#include "controllers/cluster/controller.h"
#include "controllers/gc/controller.h"
#include "controllers/scheduler/controller.h"
#include "server/roles.h"

namespace krake::sim {

namespace {

server::ServerOptions server_options() {
  auto shipped = shipped_roles();
  server::ServerOptions options;
  options.auth.client_certificates = true;
  options.auth.mode = access::Authorization::rbac;
  options.default_roles = std::move(shipped.roles);
  options.default_role_bindings = std::move(shipped.bindings);
  options.defaults_for_fresh_store_only = true;
  return options;
}

std::unique_ptr<Controller> make_controller(std::string_view name, const ControllerContext& context) {
  if (name == "scheduler") {
    scheduler::SchedulerOptions options;
    options.reschedule_after = std::chrono::seconds(20);
    options.resync = kResync;
    return scheduler::make_scheduler(context, options);
  }
  if (name == "kubernetes-application") {
    application::ApplicationOptions options;
    options.migration_health_wait = std::chrono::seconds(20);
    options.resync = kResync;
    return application::make_application_controller(context, options);
  }
  if (name == "kubernetes-cluster") {
    cluster::ClusterOptions options;
    options.resync = kResync;
    return cluster::make_cluster_controller(context, options);
  }
  gc::GcOptions options;
  options.resync = kResync;
  return gc::make_garbage_collector(context, options, krake_registry());
}

}  // namespace

Process::Process(const std::string& name, std::uint64_t life, Env& shared, Conductor& conductor)
    : conductor_(conductor),
      env{loop_.get_executor(), shared.clock, shared.random.fork(fmt::format("process {} {}", name, life)), shared.log,
          shared.metrics} {
  conductor_.add(loop_);
}

ApiProcess::ApiProcess(std::uint64_t life, Env& shared, Conductor& conductor, std::shared_ptr<store::MemoryDisk> disk,
                       store::FaultRates rates)
    : Process("api", life, shared, conductor),
      inner(store::make_memory_store(env.executor, env.clock, std::move(disk))),
      store(*inner, env.executor, env.clock, env.random.fork("store"), rates),
      server(env, store, krake_registry(), server_options()) {}

ControllerProcess::ControllerProcess(const std::string& name, std::uint64_t life, Env& shared, Conductor& conductor,
                                     Network& network)
    : Process(name, life, shared, conductor),
      dialer(network, name),
      client(network.transport(name, "api", Peer{.common_name = "system:" + name}),
             {.timeout = std::chrono::seconds(10)}),
      controller(make_controller(name, {env, client, dialer})) {
  controller->start();
}

}  // namespace krake::sim
