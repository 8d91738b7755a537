#include "sim/process.h"

#include "api/registry.h"
#include "controllers/application/controller.h"
#include "controllers/cluster/controller.h"
#include "controllers/gc/controller.h"
#include "controllers/scheduler/controller.h"
#include "net/failover.h"
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

Process::Process(const ProcessStart& start, const Surroundings& world)
    : name_(start.name),
      conductor_(world.conductor),
      clock_(world.clock, loop_, start.skew),
      env{loop_.get_executor(), clock_, world.env.random.fork(fmt::format("process {} {}", start.name, start.life)),
          world.env.log, world.env.metrics} {
  conductor_.add(loop_);
}

ApiProcess::ApiProcess(const ProcessStart& start, const Surroundings& world, std::shared_ptr<store::MemoryDisk> disk,
                       store::FaultRates rates)
    : Process(start, world),
      network(world.network),
      inner(store::make_memory_store(env.executor, world.clock, std::move(disk))),
      store(*inner, env.executor, env.clock, env.random.fork("store"), rates),
      recorded(world.recorder.record(store, name())),
      server(env, *recorded, krake_registry(), server_options()),
      tasks(env.executor) {
  network.up(name(), env.executor, world.recorder.record(server.handler(), name()));
  tasks.spawn("begin", begin());
}

// As a supervisor would: the store may refuse the first load.
Awaitable<void> ApiProcess::begin() {
  while (!co_await server.start()) co_await sleep_for(env.clock, std::chrono::milliseconds(100));
}

Awaitable<void> ApiProcess::finish() {
  co_await network.down(name());
  co_await tasks.stop();
  co_await server.stop();
}

void ApiProcess::crash() {
  Process::crash();
  network.forget(name());
}

ControllerProcess::ControllerProcess(const ProcessStart& start, const Surroundings& world, std::string_view role,
                                     const std::vector<std::string>& servers)
    : Process(start, world),
      dialer(world.network, name()),
      transport(make_failover_transport(env.clock,
                                        to_servers(world.network, servers, name(), fmt::format("system:{}", role)))),
      lease_client(transport, {.timeout = std::chrono::seconds(10)}),
      elector(env, lease_client, {.name = std::string(role), .holder = fmt::format("{}-{}", start.name, start.life)}),
      client(transport, {.timeout = std::chrono::seconds(10),
                         .leader = [this] { return elector.leader(); },
                         .on_leadership_lost = [this] { elector.doubt(); }}),
      controller(make_controller(role, {env, client, dialer, &elector})) {
  elector.start();
  controller->start();
}

Awaitable<void> ControllerProcess::finish() {
  co_await elector.resign();
  co_await controller->stop();
  co_await elector.stop();
}

std::vector<std::shared_ptr<Transport>> to_servers(Network& network, const std::vector<std::string>& servers,
                                                   const std::string& from, const std::string& user) {
  std::vector<std::shared_ptr<Transport>> transports;
  for (const auto& server : servers) transports.push_back(network.transport(from, server, Peer{.common_name = user}));
  return transports;
}

}  // namespace krake::sim
