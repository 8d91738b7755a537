#include "main/config_templates.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace krake {

namespace {

constexpr TemplateOption kOptions[] = {
    {"--tls-enabled", "false", true},
    {"--cert-dir", "tmp/pki"},
    {"--allow-anonymous", "false", true},
    {"--keystone-authentication-enabled", "false", true},
    {"--keystone-authentication-endpoint", "http://localhost:5000/v3"},
    {"--keycloak-authentication-enabled", "false", true},
    {"--keycloak-authentication-endpoint", "http://localhost:9080"},
    {"--keycloak-authentication-realm", "krake"},
    {"--static-authentication-enabled", "false", true},
    {"--static-authentication-username", "system:admin"},
    {"--cors-origin", "*"},
    {"--authorization-mode", "always-allow"},
    {"--api-host", "localhost"},
    {"--listen-address", ""},  // additive; as --api-host when empty
    {"--api-port", "8080"},
    {"--etcd-version", "v3.5.12"},
    {"--etcd-host", "127.0.0.1"},
    {"--etcd-port", "2379"},
    {"--etcd-peer-port", "2380"},
    {"--im-host", "127.0.0.1"},
    {"--im-port", "8800"},
    {"--docs-problem-base-url", "https://rak-n-rok.readthedocs.io/projects/krake/en/latest/user/problem.html"},
    {"--worker-count", "5"},
    {"--debounce", "1.0"},
    {"--reschedule-after", "60"},
    {"--stickiness", "0.1"},
    {"--poll-interval", "30"},
    {"--cluster-creation-tosca-file", "examples/automation/cluster.yaml"},
    {"--cluster-creation-deletion-retention", "600"},
    {"--complete-hook-user", "system:complete-hook"},
    {"--complete-hook-cert-dest", "/etc/krake_cert"},
    {"--complete-hook-env-token", "KRAKE_COMPLETE_TOKEN"},
    {"--complete-hook-env-url", "KRAKE_COMPLETE_URL"},
    {"--shutdown-hook-user", "system:shutdown-hook"},
    {"--shutdown-hook-cert-dest", "/etc/krake_cert"},
    {"--shutdown-hook-env-token", "KRAKE_SHUTDOWN_TOKEN"},
    {"--shutdown-hook-env-url", "KRAKE_SHUTDOWN_URL"},
    {"--external-endpoint", ""},
    {"--logging-level", "INFO"},
    {"--logging-handler", "console"},
    {"--logging-formatter", "krake"},  // only some of upstream's templates ask for it
    {"--docker-daemon-mtu", "1450"},
};

std::string placeholder(std::string_view option) {
  std::string name(option.substr(2));
  std::ranges::replace(name, '-', '_');
  return name;
}

bool is_port(const std::string& text) {
  int port = -1;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), port);
  return ec == std::errc() && end == text.data() + text.size() && port >= 0 && port <= 65535;
}

// What every file has at its end; @ is the stem of the log file.
constexpr std::string_view kLog = R"(
log:
  version: 1
  level: $logging_level
  formatters:
    krake:
      format: "%(asctime)s - [%(name)s] - [%(levelname)s] - %(message)s"
  handlers:
    console:
      class: logging.StreamHandler
      formatter: krake
      stream: ext://sys.stdout
    file:
      class: logging.handlers.WatchedFileHandler
      formatter: krake
      filename: ./logs/krake-@.log
    rotating:
      class: logging.handlers.RotatingFileHandler
      formatter: krake
      filename: ./logs/krake-@.log
      maxBytes: 2000000
      backupCount: 3
  loggers:
    krake:
      handlers: [$logging_handler]
      propagate: false
  root:
    handlers: [$logging_handler]
)";

constexpr std::string_view kApi = R"(# The API server. docs/operations/configuration.md explains every key.
host: $listen_address
port: $api_port

etcd:
  host: $etcd_host
  port: $etcd_port
  retry_transactions: 1

docs:
  problem_base_url: $docs_problem_base_url

tls:
  enabled: $tls_enabled
  cert: $cert_dir/system:api-server.pem
  key: $cert_dir/system:api-server-key.pem
  client_ca: $cert_dir/ca.pem

authentication:
  cors_origin: "$cors_origin"
  allow_anonymous: $allow_anonymous
  strategy:
    keystone:
      enabled: $keystone_authentication_enabled
      endpoint: $keystone_authentication_endpoint
    keycloak:
      enabled: $keycloak_authentication_enabled
      endpoint: $keycloak_authentication_endpoint
      realm: $keycloak_authentication_realm
    static:
      enabled: $static_authentication_enabled
      name: $static_authentication_username

authorization: $authorization_mode
)";

// @ is the component's user, as its certificate names it.
constexpr std::string_view kController = R"(# docs/operations/configuration.md explains every key.
api_endpoint: $api_endpoint
worker_count: $worker_count
debounce: $debounce

tls:
  enabled: $tls_enabled
  client_ca: $cert_dir/ca.pem
  client_cert: $cert_dir/system:@.pem
  client_key: $cert_dir/system:@-key.pem
)";

constexpr std::string_view kScheduler = R"(
reschedule_after: $reschedule_after
stickiness: $stickiness
automatic_cluster_creation:
  tosca_file: $cluster_creation_tosca_file
  deletion_retention: $cluster_creation_deletion_retention
)";

constexpr std::string_view kPolling = R"(
poll_interval: $poll_interval
)";

constexpr std::string_view kHooks = R"(
hooks:
  complete:
    hook_user: $complete_hook_user
    intermediate_src: $cert_dir/system:complete-signing.pem
    intermediate_key_src: $cert_dir/system:complete-signing-key.pem
    cert_dest: $complete_hook_cert_dest
    env_token: $complete_hook_env_token
    env_url: $complete_hook_env_url
    external_endpoint: $external_endpoint
  shutdown:
    hook_user: $shutdown_hook_user
    intermediate_src: $cert_dir/system:shutdown-signing.pem
    intermediate_key_src: $cert_dir/system:shutdown-signing-key.pem
    cert_dest: $shutdown_hook_cert_dest
    env_token: $shutdown_hook_env_token
    env_url: $shutdown_hook_env_url
    external_endpoint: $external_endpoint
    timeout: 30
    failure_strategy: delete
    failure_retry_count: 0
)";

constexpr std::string_view kKrakectl = R"(# krakectl.
api_url: $api_endpoint
user: system:admin

tls:
  enabled: $tls_enabled
  client_ca: $cert_dir/ca.pem
  client_cert: $cert_dir/system:admin.pem
  client_key: $cert_dir/system:admin-key.pem
)";

std::string with(std::string_view text, std::string_view name) {
  std::string out;
  for (const char c : text) {
    if (c == '@') {
      out += name;
    } else {
      out += c;
    }
  }
  return out;
}

std::string controller(std::string_view user, std::string_view own, std::string_view log) {
  return with(kController, user) + std::string(own) + with(kLog, log);
}

bool starts_name(char c) { return std::isalpha(static_cast<unsigned char>(c)) || c == '_'; }
bool in_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

// The name after the '$' at `at`, which moves behind it; nothing when there is none.
std::optional<std::string_view> take_name(std::string_view line, std::size_t& at) {
  const bool braces = at < line.size() && line[at] == '{';
  const std::size_t begin = at + (braces ? 1 : 0);
  std::size_t end = begin;
  while (end < line.size() && (end == begin ? starts_name(line[end]) : in_name(line[end]))) ++end;
  if (end == begin || (braces && (end == line.size() || line[end] != '}'))) return std::nullopt;
  at = end + (braces ? 1 : 0);
  return line.substr(begin, end - begin);
}

// Values that take their line with them when they are empty.
constexpr std::string_view kWholeLine[] = {"external_endpoint", "external_complete_endpoint_key_and_value",
                                           "external_shutdown_endpoint_key_and_value"};

// Nothing: the line is to be left out.
Result<std::optional<std::string>> fill_line(std::string_view line, const TemplateValues& values) {
  std::string out;
  for (std::size_t i = 0; i < line.size();) {
    if (line[i] != '$') {
      out += line[i++];
      continue;
    }
    ++i;
    if (i < line.size() && line[i] == '$') {
      out += line[i++];
      continue;
    }
    const auto name = take_name(line, i);
    if (!name) return fail(Code::invalid_argument, "a '$' without a name; a '$' itself is written '$$'");
    const auto value = values.find(*name);
    if (value == values.end()) return fail(Code::invalid_argument, fmt::format("there is no value for '${}'", *name));
    if (value->second.empty() && std::ranges::find(kWholeLine, *name) != std::end(kWholeLine)) return std::nullopt;
    out += value->second;
  }
  return out;
}

}  // namespace

std::span<const TemplateOption> template_options() { return kOptions; }

Result<TemplateValues> take_template_values(Arguments& args) {
  for (auto& arg : args) {  // upstream's tool takes both spellings
    if (!arg.starts_with("--")) continue;
    const auto end = arg.begin() + static_cast<std::ptrdiff_t>(std::min(arg.find('='), arg.size()));
    std::replace(arg.begin(), end, '_', '-');
  }
  TemplateValues values;
  for (const auto& option : kOptions) {
    std::string value(option.by_default);
    if (!option.is_switch) {
      value = take_option(args, {option.name}).value_or(value);
    } else if (take_switch(args, {option.name})) {
      value = "true";
    }
    if (value.find_first_of("\n\r") != std::string::npos)
      return fail(Code::invalid_argument, fmt::format("{}: a value has one line", option.name));
    if (option.name.ends_with("-port") && !is_port(value))
      return fail(Code::invalid_argument, fmt::format("{}: want a port, got '{}'", option.name, value));
    values[placeholder(option.name)] = std::move(value);
  }
  const auto& mode = values["authorization_mode"];
  if (mode != "RBAC" && mode != "always-allow" && mode != "always-deny") {
    return fail(Code::invalid_argument,
                fmt::format("--authorization-mode: want RBAC, always-allow or always-deny, got '{}'", mode));
  }
  if (values["listen_address"].empty()) values["listen_address"] = values["api_host"];
  values["api_endpoint"] = fmt::format("{}://{}:{}", values["tls_enabled"] == "true" ? "https" : "http",
                                       values["api_host"], values["api_port"]);
  // Upstream's template has the whole of this line as one value, of each hook.
  const auto& external = values["external_endpoint"];
  const std::string line = external.empty() ? "" : "external_endpoint: " + external;
  for (const auto* hook : {"complete", "shutdown"})
    values[fmt::format("external_{}_endpoint_key_and_value", hook)] = line;
  return values;
}

Result<std::string> fill_template(std::string_view text, std::string_view source, const TemplateValues& values) {
  std::string out;
  int number = 0;
  while (!text.empty()) {
    ++number;
    const auto end = std::min(text.find('\n'), text.size() - 1) + 1;
    auto line = fill_line(text.substr(0, end), values);
    if (!line) return fail(with_context(line.error(), fmt::format("{}:{}", source, number)));
    if (*line) out += **line;
    text.remove_prefix(end);
  }
  return out;
}

std::string_view builtin_template(std::string_view file) {
  static const std::map<std::string, std::string, std::less<>> templates{
      {"api.yaml", std::string(kApi) + with(kLog, "api")},
      {"scheduler.yaml", controller("scheduler", kScheduler, "scheduler")},
      {"kubernetes_application.yaml", controller("kubernetes-application", kHooks, "app")},
      {"kubernetes_cluster.yaml", controller("kubernetes-cluster", "", "cluster")},
      {"infrastructure.yaml", controller("infrastructure", kPolling, "ic")},
      {"garbage_collector.yaml", controller("gc", "", "gc")},
      {"magnum.yaml", controller("magnum", kPolling, "magnum")},
      {"krakectl.yaml", std::string(kKrakectl)},
  };
  const auto it = templates.find(file);
  return it == templates.end() ? std::string_view() : it->second;
}

}  // namespace krake
