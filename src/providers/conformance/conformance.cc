#include "providers/conformance/conformance.h"

#include <fmt/format.h>

#include <algorithm>

namespace krake::kube::conformance {

std::unique_ptr<KubeClient> Rig::client_named(std::string field_manager) const {
  auto access = parse_kubeconfig(kubeconfig);
  return std::make_unique<KubeClient>(env, dialer, access.value(),
                                      ClientOptions{.field_manager = std::move(field_manager)});
}

Awaitable<bool> Rig::eventually(std::function<bool()> probe) const {
  const Mono end = env.clock.now() + std::chrono::seconds(10);
  while (!probe()) {
    if (env.clock.now() > end) co_return false;
    co_await sleep_for(env.clock, std::chrono::milliseconds(20));
  }
  co_return true;
}

std::vector<Case> all_cases() {
  std::vector<Case> all;
  for (const auto part : {object_cases(), apply_cases(), watch_cases()})
    all.insert(all.end(), part.begin(), part.end());
  return all;
}

Awaitable<Status> run_case(Env& env, Dialer& dialer, json::Value kubeconfig, Case which, std::string unique,
                           std::function<void()> expire) {
  ASSIGN_OR_CO_RETURN(const ClusterAccess access, parse_kubeconfig(kubeconfig));
  KubeClient client(env, dialer, access);
  std::string ns = fmt::format("c-{}-{}", which.name, unique);
  std::ranges::transform(ns, ns.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  CO_RETURN_IF_ERROR(
      co_await client.create(namespaces(), "", value_of(fmt::format("{{'metadata':{{'name':'{}'}}}}", ns))));
  Rig rig{env, dialer, kubeconfig, client, ns, std::move(expire)};
  co_return co_await which.run(rig);
}

json::Value value_of(std::string text) {
  std::ranges::replace(text, '\'', '"');
  return json::parse(text).value();
}

json::Value config_map(std::string_view name, std::string_view data, std::string_view labels) {
  auto object = value_of(fmt::format("{{'apiVersion':'v1','kind':'ConfigMap','metadata':{{'name':'{}'}}}}", name));
  // Empty maps are left out: servers drop them, and then applying one is a change.
  if (data != "{}") object.make_object().set("data", value_of(std::string(data)));
  if (labels != "{}") object.make_object()["metadata"].make_object().set("labels", value_of(std::string(labels)));
  return object;
}

json::Value deployment(std::string_view name) {
  return value_of(fmt::format(
      "{{'apiVersion':'apps/"
      "v1','kind':'Deployment','metadata':{{'name':'{0}'}},'spec':{{'selector':{{'matchLabels':{{'app':'{0}'}}}},"
      "'template':{{'metadata':{{'labels':{{'app':'{0}'}}}},'spec':{{'containers':[{{'name':'web','image':'nginx:1.27',"
      "'ports':[{{'containerPort':80}}]}}]}}}}}}}}",
      name));
}

Status broken(std::string_view file, int line, std::string_view what) {
  return fail(Code::internal, fmt::format("{}:{}: does not hold: {}", file.substr(file.rfind('/') + 1), line, what));
}

}  // namespace krake::kube::conformance
