#include "main/start.h"

#include <fmt/format.h>

#include "api/registry.h"
#include "main/authentication.h"
#include "main/reload.h"
#include "net/beast/tls.h"
#include "net/failover.h"
#include "server/roles.h"

namespace krake {

namespace {

Duration seconds(double s) { return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(s)); }

std::vector<json::Value> default_objects(std::string_view kind, const std::string& key,
                                         const std::optional<std::vector<json::Object>>& objects,
                                         ConfigProblems& problems) {
  std::vector<json::Value> out;
  if (!objects) return out;
  for (const auto& object : *objects) {
    const auto where = fmt::format("{}.{}", key, out.size());
    if (const auto good = decode_default(krake_registry().get("core", kind), object); !good)
      problems.push_back({where, good.error().message});
    out.emplace_back(object);
  }
  return out;
}

void use_default_roles(const ApiConfig& config, server::ServerOptions& options, ConfigProblems& problems) {
  if (!config.default_roles && !config.default_role_bindings && options.auth.mode == access::Authorization::rbac) {
    auto shipped = shipped_roles();
    options.default_roles = std::move(shipped.roles);
    options.default_role_bindings = std::move(shipped.bindings);
    options.defaults_for_fresh_store_only = true;
    return;
  }
  options.default_roles = default_objects("Role", "default_roles", config.default_roles, problems);
  options.default_role_bindings =
      default_objects("RoleBinding", "default_role_bindings", config.default_role_bindings, problems);
}

server::ServerOptions server_options(const ApiConfig& config, ConfigProblems& problems) {
  server::ServerOptions options;
  options.auth.mode = value_or_problem("authorization", access::parse_authorization(config.authorization), problems);
  options.auth.implicit_controller_rights = config.implicit_controller_rights;
  options.auth.client_certificates = config.tls.enabled && !config.tls.client_ca.empty();
  use_authentication(config.authentication, options, problems);
  options.problem_base_url = config.docs.problem_base_url;
  const auto count = [](const Integer& value) { return static_cast<std::size_t>(static_cast<std::int64_t>(value)); };
  options.limits = {.requests = count(config.limits.requests),
                    .bodies = count(config.limits.bodies),
                    .body_bytes = count(config.limits.body_bytes),
                    .watches = count(config.limits.watches),
                    .list_streams = count(config.limits.list_streams)};
  options.store_limit = seconds(config.limits.store_seconds);
  options.unconfirmed_limit = seconds(config.limits.unconfirmed_seconds);
  apply(config.security, options);
  if (config.etcd) options.retry_transactions = static_cast<int>(config.etcd->retry_transactions);
  use_default_roles(config, options, problems);
  return options;
}

// The texts of the files, found to be usable.
std::optional<ServerTls> usable_tls(const ServerTlsConfig& config, ConfigProblems& problems) {
  const auto before = problems.size();
  auto tls = read_tls(config, problems);
  if (tls && problems.size() == before)
    value_or_problem("tls", make_server_tls(tls->cert_chain_pem, tls->key_pem, tls->client_ca_pem), problems);
  return tls;
}

Endpoint api_endpoint(const ControllerConfig& config, ConfigProblems& problems) {
  Endpoint endpoint;
  for (const auto& url : value_or_problem("api_endpoint", split_urls(config.api_endpoint), problems)) {
    endpoint.url += (endpoint.url.empty() ? "" : ",");
    endpoint.url += api_scheme(config);
    endpoint.url += url.substr(url.find("://"));
  }
  return endpoint;
}

void use_identity(const ClientTlsConfig& config, Endpoint& endpoint, ConfigProblems& problems) {
  if (!config.enabled) return;
  const auto before = problems.size();
  const auto read = [&](const char* key, const std::string& path) {
    return path.empty() ? std::string() : value_or_problem(key, read_file(path), problems);
  };
  endpoint.ca_pem = read("tls.client_ca", config.client_ca);
  endpoint.client_cert_pem = read("tls.client_cert", config.client_cert);
  endpoint.client_key_pem = read("tls.client_key", config.client_key);
  if (problems.size() > before) return;
  value_or_problem("tls", make_client_tls(endpoint.ca_pem, endpoint.client_cert_pem, endpoint.client_key_pem, false),
                   problems);
}

}  // namespace

Prepared<ApiStart> prepare(const ApiConfig& config) {
  ConfigProblems problems;
  ApiStart start;
  start.options = server_options(config, problems);
  start.listen = {.host = config.host, .port = static_cast<std::uint16_t>(config.port)};
  start.listen.tls = usable_tls(config.tls, problems);
  start.store = plan_store(config, problems);
  if (!problems.empty()) return std::unexpected(std::move(problems));
  return start;
}

Prepared<ControllerStart> prepare(const ControllerConfig& config) {
  ConfigProblems problems;
  ControllerStart start;
  start.endpoint = api_endpoint(config, problems);
  use_identity(config.tls, start.endpoint, problems);
  if (!problems.empty()) return std::unexpected(std::move(problems));
  return start;
}

ApiConfig for_all(ApiConfig config) {
  if (!config.store && !config.etcd) config.store = StoreConfig{.type = "sqlite", .path = "krake.db"};
  return config;
}

}  // namespace krake
