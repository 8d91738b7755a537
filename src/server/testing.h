// For tests: the real server over the memory store, reached without a socket.
#pragma once

#include "api/registry.h"
#include "base/testing.h"
#include "net/inproc/inproc.h"
#include "server/api_server.h"
#include "server/roles.h"
#include "store/memory/memory_store.h"

namespace krake::testing {

struct TestServer {
  explicit TestServer(server::ServerOptions options = open_to_all(), const Registry& registry = krake_registry())
      : store(store::make_memory_store(world.env.executor, world.clock, "s1")),
        server(world.env, *store, registry, std::move(options)),
        transport(make_inproc_transport(server.handler(), Peer{.common_name = "alice"}, world.clock)) {
    if (auto started = world.run(server.start()); !started) throw std::runtime_error(started.error().message);
  }
  ~TestServer() { world.run(server.stop()); }

  static server::ServerOptions open_to_all() {
    server::ServerOptions options;
    options.auth.allow_anonymous = true;
    options.auth.mode = access::Authorization::always_allow;
    return options;
  }

  // As a site has it: each controller may do what its own role says and nothing else. alice is an administrator.
  static server::ServerOptions under_shipped_roles() {
    auto shipped = shipped_roles();
    server::ServerOptions options;
    options.auth.client_certificates = true;
    options.auth.mode = access::Authorization::rbac;
    options.auth.implicit_controller_rights = false;
    options.default_roles = std::move(shipped.roles);
    options.default_role_bindings = std::move(shipped.bindings);
    options.default_role_bindings.emplace_back(json::Object{{"metadata", json::Object{{"name", "alice"}}},
                                                            {"users", json::Array{"alice"}},
                                                            {"roles", json::Array{"role:system"}}});
    return options;
  }
  // A line to the server that is vouched for as that user; empty: nobody.
  std::shared_ptr<Transport> as(std::string user) {
    return make_inproc_transport(server.handler(), Peer{.common_name = std::move(user), .address = {}}, world.clock);
  }

  HttpResponse call(std::string method, std::string target, std::string body = {}, Headers headers = {}) {
    return call_as(*transport, std::move(method), std::move(target), std::move(body), std::move(headers));
  }
  HttpResponse call_as(Transport& line, std::string method, std::string target, std::string body = {},
                       Headers headers = {}) {
    auto answer = world.run(line.send({std::move(method), std::move(target), std::move(headers), std::move(body)},
                                      {.timeout = std::chrono::minutes(5)}));
    if (!answer) throw std::runtime_error(answer.error().message);
    return std::move(*answer);
  }
  json::Value get(std::string target) { return body_of(call("GET", std::move(target))); }
  static json::Value body_of(const HttpResponse& response) {
    auto value = json::parse(response.body);
    if (!value) throw std::runtime_error(value.error().message + ": " + response.body);
    return std::move(*value);
  }

  World world;
  std::unique_ptr<store::Store> store;
  server::ApiServer server;
  std::shared_ptr<Transport> transport;
};

}  // namespace krake::testing
