#include "main/programs.h"

#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "api/core/lease.h"
#include "api/registry.h"
#include "backup/restore.h"
#include "controllers/application/controller.h"
#include "controllers/cluster/controller.h"
#include "controllers/gc/controller.h"
#include "controllers/scheduler/controller.h"
#include "main/authentication.h"
#include "main/reload.h"
#include "main/stores.h"
#include "net/beast/client.h"
#include "net/beast/server.h"
#include "net/failover.h"
#include "net/inproc/inproc.h"
#include "net/pki.h"
#include "server/roles.h"
#include "store/compactor.h"
#include "store/metered_store.h"

namespace krake {

namespace {

Duration seconds(double s) { return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(s)); }

Status write_file(const std::string& path, const std::string& text, int mode) {
  const std::string part = path + ".part";
  {
    std::ofstream out(part, std::ios::binary | std::ios::trunc);
    ::chmod(part.c_str(), static_cast<mode_t>(mode));
    out << text;
    if (!out.flush()) return fail(Code::unavailable, fmt::format("cannot write '{}': {}", path, std::strerror(errno)));
  }
  std::error_code ec;
  std::filesystem::rename(part, path, ec);
  if (ec) return fail(Code::unavailable, fmt::format("cannot write '{}': {}", path, ec.message()));
  return {};
}

std::unique_ptr<Controller> make_controller(std::string_view name, ControllerContext context,
                                            const ControllerConfig& config) {
  const int workers = static_cast<int>(config.worker_count);
  if (name == "scheduler") {
    scheduler::SchedulerOptions options;
    options.workers = workers;
    options.debounce = seconds(config.debounce);
    options.reschedule_after = seconds(config.reschedule_after);
    options.stickiness = config.stickiness;
    return scheduler::make_scheduler(context, options);
  }
  if (name == "kubernetes-application") {
    application::ApplicationOptions options;
    options.workers = workers;
    options.debounce = seconds(config.debounce);
    return application::make_application_controller(context, options);
  }
  if (name == "kubernetes-cluster") {
    cluster::ClusterOptions options;
    options.workers = workers;
    options.debounce = seconds(config.debounce);
    return cluster::make_cluster_controller(context, options);
  }
  gc::GcOptions options;
  options.workers = workers;
  options.debounce = seconds(config.debounce);
  return gc::make_garbage_collector(context, options, krake_registry());
}

int failed(const Error& error) {
  fmt::print(stderr, "krake: {}\n", error.message);
  return 1;
}

// Who holds a lease: where, in which program, and a part that no other process ever has.
constexpr std::string_view kInside = "krake-all";
std::string holder_name(std::string_view program, Random& random) {
  char host[256] = {};
  if (::gethostname(host, sizeof host - 1) != 0) host[0] = '\0';
  return fmt::format("{}/{}/{}", *host == '\0' ? "localhost" : host, program, random.uuid4().substr(0, 8));
}

// One controller with its client and its election, in this process.
struct Component {
  // `program`: what it is part of.
  Component(std::string_view name, std::string_view program, Env& process_env, std::shared_ptr<Transport> transport,
            ClientOptions client_options, Dialer& dialer, const ControllerConfig& config)
      : env{process_env.executor, process_env.clock, process_env.random.fork(name), process_env.log.named(name),
            process_env.metrics},
        lease_client(transport, client_options),
        elector(env, lease_client,
                {.name = std::string(name),
                 .holder = holder_name(program, env.random),
                 .ttl = std::chrono::seconds(static_cast<std::int64_t>(config.leader_election.ttl_seconds)),
                 .enabled = config.leader_election.enabled}),
        client(std::move(transport), as_leader(std::move(client_options))),
        controller(make_controller(name, {env, client, dialer, &elector}, config)) {}

  // After elector.resign(): another one takes over while we clear up.
  Awaitable<void> stop() {
    co_await controller->stop();
    co_await elector.stop();
  }

  Env env;
  Client lease_client;
  Elector elector;
  Client client;
  std::unique_ptr<Controller> controller;

 private:
  ClientOptions as_leader(ClientOptions options) {
    options.leader = [this] { return elector.leader(); };
    options.on_leadership_lost = [this] { elector.doubt(); };
    return options;
  }
};

// The first to come lists everything once, after it was elected.
Awaitable<void> start_all(const std::vector<std::unique_ptr<Component>>& components) {
  for (const auto& component : components) component->elector.start();
  for (const auto& component : components) {
    co_await component->elector.wait_answer();
    component->controller->start();
  }
}

Awaitable<void> stop_all(Env& env, const std::vector<std::unique_ptr<Component>>& components) {
  TaskGroup group(env.executor);
  for (const auto& component : components) group.spawn("hand over", component->elector.resign());
  co_await group.join();
  for (const auto& component : components) co_await component->stop();
}

// The leases of controllers that lived in a process that had this database before: since only one may have it, they are
// gone, and need not be waited for. Those of controllers elsewhere stay.
Awaitable<Status> end_inner_leases(store::Store& store) {
  const auto& kind = krake_registry().get("core", "Lease");
  auto leases = co_await store.list(kind.storage_key("", ""));
  if (!leases) co_return fail(leases.error());
  for (const auto& entry : leases->entries) {
    const auto lease = json::parse(*entry.value);
    if (!lease || !lease->string_at({"spec", "holder"}).contains(fmt::format("/{}/", kInside))) continue;
    const auto ended = co_await store.revoke(entry.lease);
    if (!ended && ended.error().code != Code::not_found) co_return fail(ended.error());
  }
  co_return Status{};
}

// The admin listener: the server's pages plus what the controllers of this process have to tell.
class Admin {
 public:
  Admin(server::ApiServer* server, std::vector<std::unique_ptr<Component>>& components, Metrics& metrics)
      : server_(server), components_(components), metrics_(metrics) {}
  Awaitable<ServerReply> handle(ServerRequest& request) {
    const auto path = std::string_view(request.target).substr(0, request.target.find('?'));
    if (path == "/debug/queues") co_return text(200, "application/json", queues());
    if (path == "/readyz") co_return co_await readyz(request);
    if (server_) co_return co_await server_->handle_admin(request);
    if (path == "/metrics") co_return text(200, "text/plain; charset=utf-8", metrics_.text());
    if (path == "/healthz") co_return text(200, "text/plain; charset=utf-8", "ok\n");
    co_return text(404, "text/plain; charset=utf-8", "known: /healthz /readyz /metrics /debug/queues /debug/cache\n");
  }

 private:
  // A standby is ready: to take over.
  Awaitable<ServerReply> readyz(ServerRequest& request) {
    ServerReply reply;
    if (server_) {
      reply = co_await server_->handle_admin(request);
    } else {
      const bool ready = std::ranges::all_of(components_, [](const auto& c) { return c->controller->ready(); });
      reply = text(ready ? 200 : 503, "text/plain; charset=utf-8", ready ? "ok\n" : "the informers are not synced\n");
    }
    for (const auto& c : components_) {
      reply.body.push_back(share_bytes(fmt::format("{}: {}\n", c->controller->name(), to_string(c->elector.mode()))));
    }
    co_return reply;
  }
  static ServerReply text(int status, std::string type, std::string body) {
    ServerReply reply;
    reply.status = status;
    reply.headers.add("Content-Type", std::move(type));
    reply.body.push_back(share_bytes(std::move(body)));
    return reply;
  }
  std::string queues() const {
    std::string out = "[";
    for (const auto& component : components_) out += (out.size() > 1 ? "," : "") + component->controller->debug();
    return out + "]";
  }
  server::ApiServer* server_;
  std::vector<std::unique_ptr<Component>>& components_;
  Metrics& metrics_;
};

// Null when the port is 0. `admin` outlives it.
Awaitable<Result<std::unique_ptr<HttpServer>>> listen_for(Env& env, AdminConfig config, Admin& admin) {
  if (!(config.port > 0)) co_return nullptr;
  auto http = std::make_unique<HttpServer>(
      env.executor, env.clock, [&admin](ServerRequest& request) { return admin.handle(request); },
      HttpServerOptions{.host = config.host, .port = static_cast<std::uint16_t>(config.port)}, env.log);
  if (auto started = co_await http->start(); !started) co_return fail(started.error());
  co_return std::move(http);
}

// Everything `krake api` and `krake all` have in common: store, server, listeners, and the components that live inside.
struct Serving {
  std::unique_ptr<store::Store> store;
  std::optional<Duration> compact_after;
  HttpServerOptions listen;
  server::ServerOptions options;
  AdminConfig admin;
  std::vector<std::string> names;  // of the components inside
  bool sole = false;               // nobody else uses the store at the same time
  InnerControllers controllers{};  // of those names
  ApiConfig config{};              // what it was made of
  Reread reread{};                 // and what that is at another time
  std::function<Status(std::uint16_t port)> on_ready = [](std::uint16_t) { return Status{}; };
};

// What a restore does to the store under a server that runs is not what its clients, or its controllers, may see.
Awaitable<void> stop_when_restored(Process& process, store::Store& store, bool& restored) {
  co_await backup::begun(store, process.env().clock);
  process.env().log.error("the store is being restored; stopping, start again when it is done");
  restored = true;
  process.request_stop();
}

// SIGHUP: takes what the files of the configuration say now, all of it or nothing. `running`: what the server was
// started with.
Status reload(const Env& env, const Serving& running, HttpServer& http, server::ApiServer& api) {
  std::vector<std::string> warnings;
  const auto read = running.reread(warnings);
  if (!read) {
    for (const auto& warning : warnings) env.log.warning(warning);
    return fail(read.error());
  }
  const auto& again = read->api;
  // What it could not be started with is not taken either.
  ConfigProblems problems;
  value_or_problem("authorization", access::parse_authorization(again.config.authorization), problems);
  if (again.config.etcd) check_endpoints(*again.config.etcd, problems);
  if (!problems.empty()) return fail(Code::invalid_argument, describe(again.document, problems.front()));
  ASSIGN_OR_RETURN(auto renewal, read_renewal(running.config, again.config));
  ASSIGN_OR_RETURN(const auto log, Log::open(again.log));
  auto restart = needs_restart(running.config, again.config);
  std::ranges::move(needs_restart(running.controllers, read->controllers), std::back_inserter(restart));
  if (renewal.tls) RETURN_IF_ERROR(http.use_tls(*renewal.tls));
  env.log.become(log);
  api.use_tokens(renewal.tokens, std::move(renewal.signing_keys), renewal.takes_tokens);
  for (const auto& warning : warnings) env.log.warning(warning);
  for (const auto& key : restart)
    env.log.warning("SIGHUP: a key of the configuration has changed; that counts after a restart", {{"key", key}});
  env.log.info("SIGHUP: the configuration, its certificates, tokens and signing keys have been read again");
  return {};
}

void on_hangup(const Env& env, const Serving& running, HttpServer& http, server::ApiServer& api) {
  if (!running.reread) return env.log.info("SIGHUP: there is no configuration to be read again");
  if (auto done = reload(env, running, http, api); !done)
    env.log.error("SIGHUP: nothing has been taken, what there was goes on", {{"why", done.error().message}});
}

Awaitable<int> serve(Process& process, Serving serving) {
  Env& env = process.env();
  auto& listen = serving.listen;
  // A store elsewhere need not be there yet: the server looks again when it loads.
  if (serving.store->current_is_local()) {
    if (auto whole = co_await backup::check_whole(*serving.store); !whole) co_return failed(whole.error());
  }
  if (serving.sole && !serving.names.empty()) {
    if (auto ended = co_await end_inner_leases(*serving.store); !ended) co_return failed(ended.error());
  }
  store::MeteredStore metered(*serving.store, env.clock, env.metrics);
  BeastDialer dialer(env.executor, env.clock);
  serving.options.auth.identity.dialer = &dialer;
  server::ApiServer api(env, metered, krake_registry(), std::move(serving.options));
  auto loaded = co_await api.start();
  if (!loaded) co_return failed(loaded.error());
  const std::string scheme = listen.tls ? "https" : "http";
  // The other half is for controllers, clusters and the store.
  listen.max_connections = std::min(listen.max_connections, raise_descriptor_limit() / 2);
  const std::string host = listen.host;
  HttpServer http(env.executor, env.clock, api.handler(), std::move(listen), env.log);
  if (auto started = co_await http.start(); !started) {
    co_await api.stop();
    co_return failed(started.error());
  }
  std::vector<std::unique_ptr<Component>> components;
  Admin admin(&api, components, env.metrics);
  auto admin_http = co_await listen_for(env, serving.admin, admin);
  if (!admin_http) {
    co_await http.stop();
    co_await api.stop();
    co_return failed(admin_http.error());
  }
  std::optional<store::Compactor> compactor;
  if (serving.compact_after) compactor.emplace(env, metered, *serving.compact_after).start();
  for (const auto& name : serving.names) {
    const std::string user = "system:" + name;
    components.push_back(std::make_unique<Component>(
        name, kInside, env, make_inproc_transport(api.handler(), Peer{.common_name = user}, env.clock), ClientOptions{},
        dialer, serving.controllers.configs.at(name)));
  }
  co_await start_all(components);
  const auto told = serving.on_ready(http.port());
  bool restored = false;
  TaskGroup watching(env.executor);
  if (told) {
    watching.spawn("restore", stop_when_restored(process, *serving.store, restored));
    fmt::print("======== Running on {}://{}:{} ========\n", scheme, host, http.port());
    std::fflush(stdout);
    process.on_hangup([&] { on_hangup(env, serving, http, api); });
    co_await process.wait_stop();
    process.on_hangup(nullptr);
  }
  co_await watching.stop();
  co_await stop_all(env, components);
  if (*admin_http) co_await (*admin_http)->stop();
  co_await http.stop();
  if (compactor) co_await compactor->stop();
  co_await api.stop();
  components.clear();
  if (!told) co_return failed(told.error());
  co_return restored ? 1 : 0;  // whoever keeps it running starts it again
}

// Private to us. One that is there already is left as it is, but must not be everybody's: the keys will lie in it.
Status make_state_dir(const std::string& dir) {
  namespace fs = std::filesystem;
  std::error_code ec;
  const bool made = fs::create_directories(dir, ec);
  if (!ec && made) fs::permissions(dir, fs::perms::owner_all, ec);
  if (ec) return fail(Code::unavailable, fmt::format("cannot make the folder '{}': {}", dir, ec.message()));
  if ((fs::status(dir, ec).permissions() & fs::perms::others_write) != fs::perms::none) {
    return fail(Code::invalid_argument,
                fmt::format("--state '{}': everybody may write into that folder; name one of your own", dir));
  }
  return {};
}

// A throw-away CA and the identities of the server and the administrator.
Result<ServerTls> make_dev_files(const std::string& dir, Wall now) {
  ASSIGN_OR_RETURN(const auto ca, make_ca("krake-dev-ca", now));
  const std::vector<std::string> hosts{"localhost", "127.0.0.1", "::1"};
  ASSIGN_OR_RETURN(const auto server, issue(ca, "system:api-server", hosts, {.server = true, .client = false}, now));
  ASSIGN_OR_RETURN(const auto admin,
                   issue(ca, "system:admin", std::span<const std::string>{}, {.server = false, .client = true}, now));
  RETURN_IF_ERROR(write_file(dir + "/ca.pem", ca.cert_pem, 0644));
  // No colon in the names: curl takes what follows one for a password.
  RETURN_IF_ERROR(write_file(dir + "/admin.pem", admin.cert_pem, 0644));
  RETURN_IF_ERROR(write_file(dir + "/admin-key.pem", admin.key_pem, 0600));
  return ServerTls{.cert_chain_pem = server.cert_pem, .key_pem = server.key_pem, .client_ca_pem = ca.cert_pem};
}

}  // namespace

Awaitable<int> run_api(Process& process, ApiConfig config, ApiStart start, Reread reread) {
  warn_about(config.authentication, process.env().log);
  auto audit = open_audit(config.audit);
  if (!audit) co_return failed(audit.error());
  start.options.audit = std::move(*audit);
  auto store = co_await open_store(process.env(), std::move(start.store), {.unopened = store::Unopened::isolate});
  if (!store) co_return failed(store.error());
  co_return co_await serve(process, {.store = std::move(*store),
                                     .compact_after = compact_after(config),
                                     .listen = std::move(start.listen),
                                     .options = std::move(start.options),
                                     .admin = config.admin,
                                     .names = {},
                                     .controllers = {},
                                     .config = config,
                                     .reread = std::move(reread)});
}

namespace {

std::string shell_quoted(std::string_view text) {
  constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:";
  if (text.find_first_not_of(plain) == std::string_view::npos) return std::string(text);
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

// The configuration krakectl needs, and what a newcomer types first.
Status welcome(const std::string& dir, std::uint16_t port) {
  const auto path = [&](std::string_view name) { return json::print(json::Value(fmt::format("{}/{}", dir, name))); };
  const std::string yaml = fmt::format(
      "api_url: https://localhost:{}\nuser: system:admin\ntls:\n  enabled: true\n  client_ca: {}\n"
      "  client_cert: {}\n  client_key: {}\n",
      port, path("ca.pem"), path("admin.pem"), path("admin-key.pem"));
  RETURN_IF_ERROR(write_file(dir + "/krakectl.yaml", yaml, 0600));
  fmt::print(
      "Krake is ready. In another terminal:\n\n  export KRAKECTL_CONFIG={}\n"
      "  krakectl kube cluster register --kubeconfig ~/.kube/config --wait\n"
      "  krakectl kube app create echo-demo --file examples/applications/echo-demo.yaml --wait\n\n",
      shell_quoted(dir + "/krakectl.yaml"));
  return {};
}

Awaitable<int> run_dev(Process& process, AllOptions options, std::vector<std::string> names) {
  const std::string dir = options.state_dir;
  if (auto made = make_state_dir(dir); !made) co_return failed(made.error());
  // First: as long as another process has the database, its files stay as they are.
  options.api.store = StoreConfig{.type = "sqlite", .path = dir + "/krake.db"};
  auto store = co_await open_store(process.env(), options.api, {.unopened = store::Unopened::isolate});
  if (!store) co_return failed(store.error());
  auto server_tls = make_dev_files(dir, process.env().clock.wall());
  if (!server_tls) co_return failed(server_tls.error());
  server::ServerOptions server;
  apply(options.api.security, server);
  server.auth.mode = access::Authorization::rbac;
  server.auth.client_certificates = true;
  auto roles = shipped_roles();
  server.default_roles = std::move(roles.roles);
  server.default_role_bindings = std::move(roles.bindings);
  server.defaults_for_fresh_store_only = true;
  co_return co_await serve(
      process,
      {.store = std::move(*store),
       .listen = {.host = "localhost", .port = static_cast<std::uint16_t>(options.port), .tls = std::move(*server_tls)},
       .options = std::move(server),
       .admin = options.api.admin,
       .names = std::move(names),
       .sole = true,
       .controllers = std::move(options.controllers),
       .on_ready = [dir](std::uint16_t port) { return welcome(dir, port); }});
}

}  // namespace

Awaitable<int> run_all(Process& process, AllOptions options) {
  std::vector<std::string> names;
  for (const auto name : kComponents) {
    if (!options.without.contains(std::string(name))) names.emplace_back(name);
  }
  std::erase_if(options.controllers.configs, [&](const auto& one) { return options.without.contains(one.first); });
  if (options.dev) co_return co_await run_dev(process, std::move(options), std::move(names));
  const ApiConfig config = for_all(options.api);
  auto& start = *options.start;
  warn_about(config.authentication, process.env().log);
  auto audit = open_audit(config.audit);
  if (!audit) co_return failed(audit.error());
  start.options.audit = std::move(*audit);
  // Controllers inside this process are known by the name the in-process transport vouches for.
  start.options.auth.client_certificates = true;
  auto store = co_await open_store(process.env(), std::move(start.store), {.unopened = store::Unopened::isolate});
  if (!store) co_return failed(store.error());
  co_return co_await serve(process, {.store = std::move(*store),
                                     .compact_after = compact_after(config),
                                     .listen = std::move(start.listen),
                                     .options = std::move(start.options),
                                     .admin = config.admin,
                                     .names = std::move(names),
                                     .sole = config.store && config.store->type == "sqlite",
                                     .controllers = std::move(options.controllers),
                                     .config = std::move(options.api),
                                     .reread = std::move(options.reread)});
}

Awaitable<int> run_controller(Process& process, std::string name, ControllerConfig config, ControllerStart start) {
  Env& env = process.env();
  BeastDialer dialer(env.executor, env.clock);
  auto transport = dial_all(dialer, env.clock, start.endpoint);
  if (!transport) co_return failed(transport.error());
  std::vector<std::unique_ptr<Component>> components;
  components.push_back(std::make_unique<Component>(name, "krake-" + name, env, *transport,
                                                   ClientOptions{.token = config.token}, dialer, config));
  Admin admin(nullptr, components, env.metrics);
  auto admin_http = co_await listen_for(env, config.admin, admin);
  if (!admin_http) co_return failed(admin_http.error());
  env.log.info("Controller started", {{"controller", name}, {"api", start.endpoint.url}});
  co_await start_all(components);
  co_await process.wait_stop();
  co_await stop_all(env, components);
  if (*admin_http) co_await (*admin_http)->stop();
  env.log.info("Controller stopped", {{"controller", name}});
  co_return 0;
}

}  // namespace krake
