// The configuration files of upstream (api-contract 9, cli-and-config-contract 2), read unchanged, plus additive keys.
// A key may be written with '-' or '_'; unknown keys are warned about; every scalar has a flag (--etcd-host) and a
// variable (KRAKE_ETCD_HOST). A flag wins over a variable, that over the file, that over the default.
// docs/operations/configuration.md says what each key is for; config_test.cc compares.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cli/yaml.h"
#include "main/files.h"
#include "main/security_config.h"
#include "meta/codec.h"

namespace krake {

// Files in PEM form.
struct EtcdTlsConfig {
  std::string ca;  // empty: the system's
  std::string cert;
  std::string key;
};
BOOST_DESCRIBE_STRUCT(EtcdTlsConfig, (), (ca, cert, key))

// All but host, port and retry_transactions is additive.
struct EtcdConfig {
  std::string host = "127.0.0.1";
  Integer port = 2379;
  Integer retry_transactions = 1;
  std::vector<std::string> endpoints;  // http[s]://HOST:PORT; instead of host and port
  EtcdTlsConfig tls;
  std::string user;
  std::string password;
  std::string password_file;  // its first line
  std::string prefix;         // before every key; empty: where upstream's are
  // History older than this many seconds is forgotten; 0, or a prefix: never, somebody else sees to it.
  double compact_after = 600;

  static constexpr FieldMark kMarks[] = {{"password", kSecret}};
};
BOOST_DESCRIBE_STRUCT(EtcdConfig, (),
                      (host, port, retry_transactions, endpoints, tls, user, password, password_file, prefix,
                       compact_after))

// Additive: the embedded store.
struct StoreConfig {
  std::string type = "sqlite";  // or memory, or etcd
  std::string path;
};
BOOST_DESCRIBE_STRUCT(StoreConfig, (), (type, path))

struct DocsConfig {
  std::string problem_base_url = "https://rak-n-rok.readthedocs.io/projects/krake/en/latest/user/problem.html";
};
BOOST_DESCRIBE_STRUCT(DocsConfig, (), (problem_base_url))

struct ServerTlsConfig {
  bool enabled = false;
  std::string client_ca;
  std::string cert;
  std::string key;
};
BOOST_DESCRIBE_STRUCT(ServerTlsConfig, (), (enabled, client_ca, cert, key))

struct StaticAuthConfig {
  bool enabled = false;
  std::string name = "system";
};
BOOST_DESCRIBE_STRUCT(StaticAuthConfig, (), (enabled, name))

struct KeystoneAuthConfig {
  bool enabled = false;
  std::string endpoint = "http://localhost:5000/v3";
};
BOOST_DESCRIBE_STRUCT(KeystoneAuthConfig, (), (enabled, endpoint))

struct KeycloakAuthConfig {
  bool enabled = false;
  std::string endpoint = "http://localhost:9080";
  std::string realm = "krake";
};
BOOST_DESCRIBE_STRUCT(KeycloakAuthConfig, (), (enabled, endpoint, realm))

// Additive: JWTs of any OpenID provider, verified here by its keys.
struct OidcAuthConfig {
  bool enabled = false;
  std::string issuer;
  std::vector<std::string> audiences;  // one of them must be in the token
  std::string jwks_uri;                // empty: from the discovery document
  std::string username_claim = "sub";
  std::string username_prefix;
  std::vector<std::string> algorithms{"RS256", "PS256", "ES256", "EdDSA"};
  double leeway = 30;  // seconds that clocks may differ
};
BOOST_DESCRIBE_STRUCT(OidcAuthConfig, (),
                      (enabled, issuer, audiences, jwks_uri, username_claim, username_prefix, algorithms, leeway))

// Additive: tokens signed by `krake token create`. A file of PEM keys, public or private.
struct SignedAuthConfig {
  std::string file;
};
BOOST_DESCRIBE_STRUCT(SignedAuthConfig, (), (file))

// Additive: a file with lines `<token> <user>`.
struct TokenAuthConfig {
  std::string file;
};
BOOST_DESCRIBE_STRUCT(TokenAuthConfig, (), (file))

struct AuthStrategyConfig {
  KeystoneAuthConfig keystone;
  KeycloakAuthConfig keycloak;
  StaticAuthConfig static_;
  TokenAuthConfig token;
  SignedAuthConfig signed_;
  OidcAuthConfig oidc;
};
BOOST_DESCRIBE_STRUCT(AuthStrategyConfig, (), (keystone, keycloak, static_, token, signed_, oidc))

// Additive: tokens that were found to be good are not asked about again for so long.
struct AuthCacheConfig {
  double seconds = 60;  // 0: always ask
  Integer size = 10'000;
};
BOOST_DESCRIBE_STRUCT(AuthCacheConfig, (), (seconds, size))

struct AuthenticationConfig {
  std::string cors_origin = "*";
  std::optional<std::vector<std::string>> cors_origins;  // additive; instead of cors_origin
  bool allow_anonymous = false;
  bool several = false;  // additive: all strategies that are enabled, not the first alone
  std::string ca;        // additive: a PEM file to verify identity services by; empty: the system's
  double timeout = 5;    // additive: seconds an identity service may take
  AuthCacheConfig cache;
  AuthStrategyConfig strategy;
};
BOOST_DESCRIBE_STRUCT(AuthenticationConfig, (),
                      (cors_origin, cors_origins, allow_anonymous, several, ca, timeout, cache, strategy))

// The simple keys of logging, `format` and `output` additive; Python's dictionary beside them is read by log_config.h.
struct LogConfig {
  std::optional<std::string> level;
  std::string format = "text";  // or json
  std::string output;           // a file; empty: standard error
};
BOOST_DESCRIBE_STRUCT(LogConfig, (), (level, format, output))

// Additive: /healthz /readyz /metrics /debug on a port of their own; 0 is off.
struct AdminConfig {
  std::string host = "localhost";
  Integer port = 0;
};
BOOST_DESCRIBE_STRUCT(AdminConfig, (), (host, port))

// Additive: what the server takes on at once (server/admission.h says for whom), and how long it waits for its store.
struct LimitsConfig {
  Integer requests = 2000;
  Integer bodies = 4000;
  Integer body_bytes = 268'435'456;
  Integer watches = 20'000;
  Integer list_streams = 200;
  double store_seconds = 5;         // of one wait of a request for the store
  double unconfirmed_seconds = 10;  // without the store's word that they are up to date, watches are closed
};
BOOST_DESCRIBE_STRUCT(LimitsConfig, (),
                      (requests, bodies, body_bytes, watches, list_streams, store_seconds, unconfirmed_seconds))

struct ApiConfig {
  std::string host = "localhost";
  Integer port = 8080;
  std::optional<EtcdConfig> etcd;
  std::optional<StoreConfig> store;
  DocsConfig docs;
  ServerTlsConfig tls;
  AuthenticationConfig authentication;
  std::string authorization;
  // Neither key there and authorization RBAC: the shipped ones, so that a fresh store locks nobody out.
  std::optional<std::vector<json::Object>> default_roles;
  std::optional<std::vector<json::Object>> default_role_bindings;
  // Additive: Krake's controllers may keep their leases and read what they watch, whatever the roles say.
  bool implicit_controller_rights = true;
  LogConfig log;
  AdminConfig admin;
  LimitsConfig limits;
  SecurityConfig security;  // additive
  AuditConfig audit;        // additive

  static constexpr FieldMark kMarks[] = {{"authorization", kRequired}};
};
BOOST_DESCRIBE_STRUCT(ApiConfig, (),
                      (host, port, etcd, store, docs, tls, authentication, authorization, default_roles,
                       default_role_bindings, implicit_controller_rights, log, admin, limits, security, audit))

struct ClientTlsConfig {
  bool enabled = false;
  std::string client_ca;
  std::string client_cert;
  std::string client_key;
};
BOOST_DESCRIBE_STRUCT(ClientTlsConfig, (), (enabled, client_ca, client_cert, client_key))

// Additive: several of one kind may run; one leads.
struct LeaderElectionConfig {
  bool enabled = true;
  Integer ttl_seconds = 6;  // after a crash another one takes over within that and a second
};
BOOST_DESCRIBE_STRUCT(LeaderElectionConfig, (), (enabled, ttl_seconds))

// Of the scheduler. Without effect so far: no cluster is made.
struct ClusterCreationConfig {
  std::string tosca_file = "examples/automation/cluster.yaml";
  Integer deletion_retention = 600;  // seconds
};
BOOST_DESCRIBE_STRUCT(ClusterCreationConfig, (), (tosca_file, deletion_retention))

// Of the application controller. Without effect so far, as `migration`.
struct CompleteHookConfig {
  std::string hook_user = "system:complete-hook";
  std::string intermediate_src;
  std::string intermediate_key_src;
  std::string cert_dest = "/etc/krake_complete_cert";
  std::string env_token = "KRAKE_COMPLETE_TOKEN";
  std::string env_url = "KRAKE_COMPLETE_URL";
  std::optional<std::string> external_endpoint;
};
BOOST_DESCRIBE_STRUCT(CompleteHookConfig, (),
                      (hook_user, intermediate_src, intermediate_key_src, cert_dest, env_token, env_url,
                       external_endpoint))

struct ShutdownHookConfig {
  std::string hook_user = "system:shutdown-hook";
  std::string intermediate_src;
  std::string intermediate_key_src;
  std::string cert_dest = "/etc/krake_shutdown_cert";
  std::string env_token = "KRAKE_SHUTDOWN_TOKEN";
  std::string env_url = "KRAKE_SHUTDOWN_URL";
  std::optional<std::string> external_endpoint;
  Integer timeout = 30;                     // seconds
  std::string failure_strategy = "delete";  // or give_up
  Integer failure_retry_count = 0;
};
BOOST_DESCRIBE_STRUCT(ShutdownHookConfig, (),
                      (hook_user, intermediate_src, intermediate_key_src, cert_dest, env_token, env_url,
                       external_endpoint, timeout, failure_strategy, failure_retry_count))

struct HooksConfig {
  CompleteHookConfig complete;
  ShutdownHookConfig shutdown;
};
BOOST_DESCRIBE_STRUCT(HooksConfig, (), (complete, shutdown))

struct MigrationRetryConfig {
  Integer max = 10;
  Integer timeout = 60;  // seconds
};
BOOST_DESCRIBE_STRUCT(MigrationRetryConfig, (), (max, timeout))

struct MigrationConfig {
  MigrationRetryConfig retry;
};
BOOST_DESCRIBE_STRUCT(MigrationConfig, (), (retry))

// The keys of all controllers; has_key() says which of them one has.
struct ControllerConfig {
  std::string api_endpoint = "http://localhost:8080";  // additive: several, with commas between them
  Integer worker_count = 5;
  double debounce = 1.0;  // seconds
  ClientTlsConfig tls;
  LogConfig log;
  std::string token;  // additive
  double reschedule_after = 60;
  double stickiness = 0.1;
  ClusterCreationConfig automatic_cluster_creation;
  double poll_interval = 30;
  HooksConfig hooks;
  MigrationConfig migration;
  LeaderElectionConfig leader_election;
  AdminConfig admin;  // additive

  static constexpr FieldMark kMarks[] = {{"token", kSecret}};
};
BOOST_DESCRIBE_STRUCT(ControllerConfig, (),
                      (api_endpoint, worker_count, debounce, tls, log, token, reschedule_after, stickiness,
                       automatic_cluster_creation, poll_interval, hooks, migration, leader_election, admin))

// ---- programs

// A program with a configuration file of its own.
struct ProgramInfo {
  std::string_view name;    // "kubernetes-application"
  std::string_view file;    // "kubernetes_application.yaml"
  std::string_view module;  // "krake.controller.kubernetes.application", as upstream is started
};
inline constexpr ProgramInfo kPrograms[] = {
    {"api", "api.yaml", "krake.api"},
    {"scheduler", "scheduler.yaml", "krake.controller.scheduler"},
    {"kubernetes-application", "kubernetes_application.yaml", "krake.controller.kubernetes.application"},
    {"kubernetes-cluster", "kubernetes_cluster.yaml", "krake.controller.kubernetes.cluster"},
    {"infrastructure", "infrastructure.yaml", "krake.controller.infrastructure"},
    {"gc", "garbage_collector.yaml", "krake.controller.gc"},
    {"magnum", "magnum.yaml", "krake.controller.magnum"},
};
const ProgramInfo* find_program(std::string_view name);
// "api.yaml" -> "api": the section of the program in a krake.yaml.
std::string_view section_of(const ProgramInfo& program);
// "api, scheduler, ..."
std::string known_sections();
// Whether `program` has the top-level key of ApiConfig or ControllerConfig.
bool has_key(const ProgramInfo& program, std::string_view key);

// ---- flags

// One scalar of a configuration struct, for flags, variables and help.
struct ConfigFlag {
  std::string name;               // "etcd-host"
  std::vector<std::string> path;  // {"etcd", "host"}
  bool is_switch = false;         // a boolean: --name and --no-name

  std::string dotted() const { return fmt::format("{}", fmt::join(path, ".")); }  // "etcd.host"
  std::string variable() const;                                                   // "KRAKE_ETCD_HOST"
};

namespace config_detail {
template <class T>
void collect(std::vector<std::string> path, std::vector<ConfigFlag>& out) {
  if constexpr (codec::is_optional<T>) {
    collect<typename T::value_type>(std::move(path), out);
  } else if constexpr (codec::Described<T>) {
    codec::for_each_member<T>([&](std::string_view name, auto pointer) {
      auto inner = path;
      inner.emplace_back(name);
      collect<std::decay_t<decltype(std::declval<T>().*pointer)>>(std::move(inner), out);
    });
  } else if constexpr (std::is_same_v<T, std::string> || std::is_same_v<T, Integer> || std::is_same_v<T, double> ||
                       std::is_same_v<T, bool>) {
    std::string name;
    for (const auto& step : path) name += (name.empty() ? "" : "-") + step;
    std::ranges::replace(name, '_', '-');
    out.push_back({name, std::move(path), std::is_same_v<T, bool>});
  }
}
}  // namespace config_detail

template <class T>
std::vector<ConfigFlag> config_flags() {
  std::vector<ConfigFlag> flags;
  config_detail::collect<T>({}, flags);
  return flags;
}

// The flags of one program.
template <class T>
std::vector<ConfigFlag> config_flags(const ProgramInfo& program) {
  auto flags = config_flags<T>();
  std::erase_if(flags, [&](const auto& flag) { return !has_key(program, flag.path.front()); });
  return flags;
}

// ---- loading

struct ConfigDocument {
  json::Value document = json::Object();
  std::string source{};                            // the file it came from; empty: none
  cli::YamlLines lines{};                          // of `document`
  std::map<std::string, std::string> overrides{};  // "etcd.host": "--etcd-host", or the variable
  std::vector<std::string> warnings{};             // keys that are there more than once

  // Where the value at this path comes from: "api.yaml:3", "--port", "KRAKE_PORT", "default".
  std::string origin(const std::string& path) const;
  // "api.yaml:3", or the file alone.
  std::string place(const std::string& path) const;
};

// The keys of a text: '-' is '_'; of a repeated one the last counts, as upstream has it. With sections of programs it
// is a combined file, and whatever stands beside them gives a warning. Errors begin with the file.
Result<ConfigDocument> parse_config(std::string_view text, const std::string& source);
// Whose sections it has; of none when it is not a combined file.
std::vector<const ProgramInfo*> programs_in(const ConfigDocument& whole);
// That part of a combined file, with its lines; empty when there is none. Any other file is left as it is.
Result<ConfigDocument> take_section(ConfigDocument whole, std::string_view section);
// `path` when given, else ./FILE, /etc/krake/FILE, or the program's section of ./krake.yaml, /etc/krake/krake.yaml. Who
// names a pipe means it (`-c <(...)`); what is found must be a regular file, lest it is waited for without end.
// not_found with upstream's text when there is none.
Result<ConfigDocument> load_config_file(const std::string& path, const ProgramInfo& program,
                                        FileKind kind = FileKind::any);
// The same file, with the sections of all programs if it has some.
Result<ConfigDocument> load_whole_file(const std::string& path, const ProgramInfo& program,
                                       FileKind kind = FileKind::any);
// Takes the flags of `flags` (--name VALUE, --name=VALUE, --switch, --no-switch) out of `args` and into the document.
Status apply_flags(ConfigDocument& config, const std::vector<ConfigFlag>& flags, std::vector<std::string>& args);
// What `variable` answers for KRAKE_* goes into the document. Before the flags.
using Variables = std::function<std::optional<std::string>(const std::string& name)>;
void apply_variables(ConfigDocument& config, const std::vector<ConfigFlag>& flags, const Variables& variable,
                     std::vector<std::string>& warnings);
std::optional<std::string> environment_variable(const std::string& name);
// What a type cannot say of a configuration: ranges. All that are not kept are added.
void check(const ApiConfig& config, FieldErrors& errors);
void check(const ControllerConfig& config, FieldErrors& errors);
// "https" or "http", as tls.enabled says: what the URLs of api_endpoint get.
std::string_view api_scheme(const ControllerConfig& config);
// For each of them that has the other one.
void warn_of_scheme(const ConfigDocument& document, const ControllerConfig& config, std::vector<std::string>& warnings);

// Keys `known` (a decoded configuration) does not have, keys of other programs and what is deprecated, with their
// lines.
std::vector<std::string> doubtful_keys(const ConfigDocument& config, const json::Value& known,
                                       const ProgramInfo& program);
// "field 'port': Not a valid integer. (api.yaml:3)" for each.
std::string describe_errors(const ConfigDocument& config, const FieldErrors& errors);

// A key whose value is well-formed, but no program can start with it.
struct ConfigProblem {
  std::string key;  // "tls.cert"
  std::string what;
};
using ConfigProblems = std::vector<ConfigProblem>;
// "authorization: Unknown authorization strategy 'rbac' (api.yaml:3)"
std::string describe(const ConfigDocument& config, const ConfigProblem& problem);
// The value; or an empty one, and a problem more.
template <class T>
T value_or_problem(std::string key, Result<T> result, ConfigProblems& problems) {
  if (result) return std::move(*result);
  problems.push_back({std::move(key), result.error().message});
  return T();
}

// The configuration, to be used when there are no `errors`. A wrong value does not keep the warnings back: what is
// missing may be there under a mistyped name.
template <class T>
T decode_config(const ConfigDocument& config, const ProgramInfo& program, FieldErrors& errors,
                std::vector<std::string>& warnings) {
  T out{};
  (void)codec::decode(config.document, out, errors, Form::full);
  check(out, errors);
  std::ranges::copy(config.warnings, std::back_inserter(warnings));
  std::ranges::move(doubtful_keys(config, to_value(out), program), std::back_inserter(warnings));
  return out;
}
// invalid_argument: describe_errors().
template <class T>
Result<T> decode_config(const ConfigDocument& config, const ProgramInfo& program, std::vector<std::string>& warnings) {
  FieldErrors errors;
  T out = decode_config<T>(config, program, errors, warnings);
  if (!errors.empty()) return fail(Code::invalid_argument, describe_errors(config, errors));
  return out;
}

}  // namespace krake
