// What the Kubernetes provider and an API server must do together, as test functions: the same cases run against
// kubesim and against a real kube-apiserver, so that the simulated one cannot drift away. Only tests link this library.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "providers/kubernetes/client.h"

namespace krake::kube::conformance {

// One case has a namespace of its own on a cluster it may share with others.
struct Rig {
  Env& env;
  Dialer& dialer;
  json::Value kubeconfig;  // may do everything
  KubeClient& client;
  std::string ns;
  std::function<void()> expire;  // makes all resourceVersions so far expire; empty: not possible here

  std::unique_ptr<KubeClient> client_named(std::string field_manager) const;
  // Until `probe` says true; false after ten seconds.
  Awaitable<bool> eventually(std::function<bool()> probe) const;
};

struct Case {
  std::string_view name;
  Awaitable<Status> (*run)(Rig& rig);  // an error says what does not hold
};
std::span<const Case> object_cases();
std::span<const Case> apply_cases();
std::span<const Case> watch_cases();
std::vector<Case> all_cases();

// `unique` distinguishes the namespaces of runs on one cluster.
Awaitable<Status> run_case(Env& env, Dialer& dialer, json::Value kubeconfig, Case which, std::string unique,
                           std::function<void()> expire = {});

// {'a': 1} as JSON: single quotes save escaping.
json::Value value_of(std::string text);
json::Value config_map(std::string_view name, std::string_view data = "{}", std::string_view labels = "{}");
json::Value deployment(std::string_view name);
inline ResourceType config_maps() { return {.version = "v1", .kind = "ConfigMap", .plural = "configmaps"}; }
inline ResourceType deployments() {
  return {.group = "apps", .version = "v1", .kind = "Deployment", .plural = "deployments"};
}
inline ResourceType services() { return {.version = "v1", .kind = "Service", .plural = "services"}; }
inline ResourceType namespaces() {
  return {.version = "v1", .kind = "Namespace", .plural = "namespaces", .namespaced = false};
}

Status broken(std::string_view file, int line, std::string_view what);
template <class T>
std::string why(const T& value) {
  if constexpr (requires { value.error().message; }) {
    return value ? std::string() : ": " + to_string(value.error());
  } else {
    return {};
  }
}

#define HOLDS(...)                                                                                          \
  do {                                                                                                      \
    if (const auto& holds_ = (__VA_ARGS__); !holds_) {                                                      \
      co_return ::krake::kube::conformance::broken(__FILE__, __LINE__,                                      \
                                                   #__VA_ARGS__ + ::krake::kube::conformance::why(holds_)); \
    }                                                                                                       \
  } while (false)
// That `result` is an error with this code; `text` must occur in its message.
#define FAILS(result, wanted, text)                                                                      \
  do {                                                                                                   \
    const auto& outcome_ = (result);                                                                     \
    if (outcome_) co_return ::krake::kube::conformance::broken(__FILE__, __LINE__, #result " succeeds"); \
    if (outcome_.error().code != (wanted) || outcome_.error().message.find(text) == std::string::npos) { \
      co_return ::krake::kube::conformance::broken(__FILE__, __LINE__, to_string(outcome_.error()));     \
    }                                                                                                    \
  } while (false)

}  // namespace krake::kube::conformance
