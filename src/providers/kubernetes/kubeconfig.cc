#include "providers/kubernetes/kubeconfig.h"

#include <fmt/format.h>

#include "base/encoding.h"
#include "net/url.h"

namespace krake::kube {

namespace {

constexpr std::string_view kRecipe =
    "Krake runs no programs from a kubeconfig. Use the token of a service account instead: kubectl -n kube-system "
    "create "
    "serviceaccount krake; kubectl create clusterrolebinding krake --clusterrole=cluster-admin "
    "--serviceaccount=kube-system:krake; kubectl -n kube-system create token krake --duration=8760h; then put it into "
    "the "
    "kubeconfig as users[].user.token";

std::unexpected<Error> bad(std::string message) {
  return fail(Code::invalid_argument, "kubeconfig: " + std::move(message));
}

// A member that, when there, must be a string.
Result<std::string> text_of(const json::Object& object, std::string_view key, std::string_view where) {
  const json::Value* value = object.find(key);
  if (!value || value->is_null()) return std::string();
  if (!value->is_string()) return bad(fmt::format("{}.{} must be a string", where, key));
  return *value->if_string();
}

Result<bool> flag_of(const json::Object& object, std::string_view key, std::string_view where) {
  const json::Value* value = object.find(key);
  if (!value || value->is_null()) return false;
  if (!value->is_bool()) return bad(fmt::format("{}.{} must be true or false", where, key));
  return *value->if_bool();
}

bool is_set(const json::Object& object, std::string_view key) {
  const json::Value* value = object.find(key);
  return value && !value->is_null();
}

// The body of the entry `name` of the list `section`, e.g. section "clusters", body "cluster".
Result<const json::Object*> entry_named(const json::Object& config, std::string_view section, std::string_view body,
                                        std::string_view name) {
  const json::Value* list = config.find(section);
  if (!list || !list->is_array()) return bad(fmt::format("`{}` must be a list", section));
  for (const json::Value& entry : *list->if_array()) {
    if (entry.string_at({"name"}) != name) continue;
    const json::Value* value = entry.at_path({body});
    if (!value || !value->is_object()) return bad(fmt::format("{} entry '{}' has no object `{}`", section, name, body));
    return value->if_object();
  }
  return bad(fmt::format("no entry named '{}' in `{}`", name, section));
}

Result<std::string> context_name(const json::Object& config) {
  ASSIGN_OR_RETURN(std::string name, text_of(config, "current-context", "kubeconfig"));
  if (!name.empty()) return name;
  const json::Value* contexts = config.find("contexts");
  const json::Array* list = contexts ? contexts->if_array() : nullptr;
  if (list && list->size() == 1) return std::string(list->front().string_at({"name"}));
  return bad("`current-context` is not set and there is not exactly one context");
}

// PEM text from `key`-data; a file reference alone is refused.
Result<std::string> pem_of(const json::Object& object, const std::string& key, std::string_view where) {
  ASSIGN_OR_RETURN(const std::string data, text_of(object, key + "-data", where));
  ASSIGN_OR_RETURN(const std::string file, text_of(object, key, where));
  if (data.empty() && !file.empty()) {
    return bad(
        fmt::format("{0}.{1} names a file, which is not here: put its content, base64 encoded, into {1}-data "
                    "(krakectl and `kubectl config view --raw --flatten` do that)",
                    where, key));
  }
  if (data.empty()) return std::string();
  auto pem = base64_decode(data);
  if (!pem) return bad(fmt::format("{}.{}-data is not base64", where, key));
  if (pem->find("-----BEGIN ") == std::string::npos) {
    return bad(fmt::format("{}.{}-data does not decode to PEM text", where, key));
  }
  return std::move(*pem);
}

Status read_cluster(const json::Object& cluster, const std::string& where, ClusterAccess& access) {
  ASSIGN_OR_RETURN(access.endpoint.url, text_of(cluster, "server", where));
  if (access.endpoint.url.empty()) return bad(where + ".server is missing");
  auto url = parse_url(access.endpoint.url);
  if (!url) return fail(with_context(std::move(url).error(), fmt::format("kubeconfig: {}.server", where)));
  access.endpoint.url = url->text();
  access.host = url->host;
  ASSIGN_OR_RETURN(access.endpoint.ca_pem, pem_of(cluster, "certificate-authority", where));
  ASSIGN_OR_RETURN(access.endpoint.server_name, text_of(cluster, "tls-server-name", where));
  ASSIGN_OR_RETURN(access.endpoint.insecure_skip_verify, flag_of(cluster, "insecure-skip-tls-verify", where));
  if (is_set(cluster, "proxy-url")) {
    return bad(where + ".proxy-url: proxies are not supported; remove it and make the server reachable");
  }
  if (access.endpoint.insecure_skip_verify && !access.endpoint.ca_pem.empty()) {
    return bad(where + ": give certificate-authority-data or insecure-skip-tls-verify, not both");
  }
  return {};
}

Status read_user(const json::Object& user, const std::string& where, ClusterAccess& access) {
  for (const std::string_view plugin : {"exec", "auth-provider"}) {
    if (is_set(user, plugin)) return bad(fmt::format("{}.{} is not supported. {}", where, plugin, kRecipe));
  }
  for (const std::string_view key : {"as", "as-uid", "as-groups", "as-user-extra"}) {
    if (is_set(user, key)) return bad(fmt::format("{}.{}: impersonation is not supported", where, key));
  }
  ASSIGN_OR_RETURN(access.endpoint.client_cert_pem, pem_of(user, "client-certificate", where));
  ASSIGN_OR_RETURN(access.endpoint.client_key_pem, pem_of(user, "client-key", where));
  if (access.endpoint.client_cert_pem.empty() != access.endpoint.client_key_pem.empty()) {
    return bad(where + ": client-certificate-data and client-key-data go together, one of them is missing");
  }
  ASSIGN_OR_RETURN(access.bearer_token, text_of(user, "token", where));
  ASSIGN_OR_RETURN(const std::string token_file, text_of(user, "tokenFile", where));
  if (access.bearer_token.empty() && !token_file.empty()) {
    return bad(where + ".tokenFile names a file, which is not here: put the token itself into `token`");
  }
  // A line break would end the header it travels in.
  if (access.bearer_token.find_first_of("\r\n") != std::string::npos)
    return bad(where + ".token contains a line break");
  ASSIGN_OR_RETURN(access.username, text_of(user, "username", where));
  ASSIGN_OR_RETURN(access.password, text_of(user, "password", where));
  return {};
}

}  // namespace

Result<ClusterAccess> parse_kubeconfig(const json::Value& kubeconfig) {
  const json::Object* config = kubeconfig.if_object();
  if (!config || config->empty()) return bad("it is empty or not an object");
  ASSIGN_OR_RETURN(const std::string context_key, context_name(*config));
  ASSIGN_OR_RETURN(const json::Object* context, entry_named(*config, "contexts", "context", context_key));
  const std::string where = fmt::format("context '{}'", context_key);

  ClusterAccess access;
  ASSIGN_OR_RETURN(access.cluster, text_of(*context, "cluster", where));
  ASSIGN_OR_RETURN(const std::string user_key, text_of(*context, "user", where));
  ASSIGN_OR_RETURN(std::string ns, text_of(*context, "namespace", where));
  if (!ns.empty()) access.default_namespace = std::move(ns);

  ASSIGN_OR_RETURN(const json::Object* cluster, entry_named(*config, "clusters", "cluster", access.cluster));
  RETURN_IF_ERROR(read_cluster(*cluster, fmt::format("cluster '{}'", access.cluster), access));
  if (!user_key.empty()) {
    ASSIGN_OR_RETURN(const json::Object* user, entry_named(*config, "users", "user", user_key));
    RETURN_IF_ERROR(read_user(*user, fmt::format("user '{}'", user_key), access));
  }
  return access;
}

}  // namespace krake::kube
