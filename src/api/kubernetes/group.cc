// The kubernetes group: kinds and what their sub-resources do (api-contract 3.6, 3.8, 3.9).
#include "api/kubernetes/application.h"
#include "api/kubernetes/cluster.h"
#include "api/registry.h"
#include "api/subresource_body.h"
#include "base/encoding.h"

namespace krake {

namespace {

Status bind_application(Object& object, const SubresourceCall& call) {
  auto& app = object.as<Application>();
  auto binding = read_body<ClusterBinding>(call);
  app.status.scheduled = app.status.kube_controller_triggered = call.now;
  add_owner(app.metadata, binding.cluster);
  app.status.scheduled_to = std::move(binding.cluster);
  return {};
}

Status bind_cluster(Object& object, const SubresourceCall& call) {
  auto& cluster = object.as<Cluster>();
  auto binding = read_body<CloudBinding>(call);
  cluster.status.scheduled = call.now;
  add_owner(cluster.metadata, binding.cloud);
  cluster.status.scheduled_to = std::move(binding.cloud);
  return {};
}

bool token_matches(const std::optional<std::string>& stored, const std::optional<std::string>& given) {
  return stored && given && constant_time_equal(*stored, *given);
}
Status bad_token() { return fail(Code::unauthenticated, "No token has been provided or the provided one is invalid."); }

Status complete_application(Object& object, const SubresourceCall& call) {
  auto& app = object.as<Application>();
  if (!token_matches(app.status.complete_token, read_body<CompleteHook>(call).token)) return bad_token();
  app.status.state = ApplicationState::READY_FOR_ACTION;
  if (call.spend_token) app.status.complete_token.reset();
  if (!app.metadata.deleted) app.metadata.deleted = call.now;  // a repeated call does not move the deletion time (W13)
  return {};
}

Status shutdown_application(Object& object, const SubresourceCall& call) {
  auto& app = object.as<Application>();
  if (!token_matches(app.status.shutdown_token, read_body<ShutdownHook>(call).token)) return bad_token();
  if (call.spend_token) app.status.shutdown_token.reset();
  if (app.status.state == ApplicationState::WAITING_FOR_CLEANING || app.status.state == ApplicationState::DEGRADED) {
    app.status.state = ApplicationState::READY_FOR_ACTION;
    app.status.shutdown_grace_period.reset();
  }
  return {};
}

Status retry_application(Object& object, const SubresourceCall&) {
  auto& app = object.as<Application>();
  if (app.status.state != ApplicationState::DEGRADED)
    return fail(Code::invalid_argument, "No migration or deletion retry needed");
  app.status.state = ApplicationState::WAITING_FOR_CLEANING;
  app.status.shutdown_grace_period.reset();
  return {};
}

void delete_application(Object& object) {
  auto& app = object.as<Application>();
  if (app.spec.has_hook(kShutdownHook)) app.status.state = ApplicationState::WAITING_FOR_CLEANING;
}

}  // namespace

void register_kubernetes(Registry& registry) {
  auto application = make_kind<Application>();
  application.force_delete = true;
  application.on_delete = delete_application;
  application.newest_time = [](const Object& object) {
    const auto& status = object.as<Application>().status;
    std::optional<DateTime> newest;
    for (const auto& time : {status.scheduled, status.kube_controller_triggered}) {
      // One without offset is of no clock that could be compared.
      if (time && time->offset_minutes && (!newest || newest->wall() < time->wall())) newest = time;
    }
    return newest;
  };
  application.subresources = {
      {.name = "binding",
       .resource = "applications/binding",
       .validate = validate_body<ClusterBinding>,
       .rewrite = rewrite_body<ClusterBinding>,
       .apply = bind_application,
       .schema = schema::request<ClusterBinding>,
       .target_kinds = {"Cluster"}},
      {.name = "complete",
       .resource = "applications/complete",
       .validate = validate_body<CompleteHook>,
       .rewrite = rewrite_body<CompleteHook>,
       .apply = complete_application,
       .schema = schema::request<CompleteHook>},
      {.name = "shutdown",
       .resource = "applications/shutdown",
       .validate = validate_body<ShutdownHook>,
       .rewrite = rewrite_body<ShutdownHook>,
       .apply = shutdown_application,
       .schema = schema::request<ShutdownHook>},
      {.name = "retry", .resource = "applications/status", .has_body = false, .apply = retry_application},
  };
  registry.add(std::move(application));

  auto cluster = make_kind<Cluster>();
  cluster.force_delete = true;
  cluster.newest_time = [](const Object& object) { return object.as<Cluster>().status.scheduled; };
  cluster.subresources = {
      {.name = "binding",
       .resource = "clusters/binding",
       .validate = validate_body<CloudBinding>,
       .rewrite = rewrite_body<CloudBinding>,
       .apply = bind_cluster,
       .schema = schema::request<CloudBinding>,
       .target_kinds = {"Cloud", "GlobalCloud"}},
  };
  registry.add(std::move(cluster));
}

}  // namespace krake
