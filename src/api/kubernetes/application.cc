#include "api/kubernetes/application.h"

#include "manifest/validate.h"

namespace krake {

KRAKE_DEFINE_CODEC(ApplicationSpec)
KRAKE_DEFINE_CODEC(ApplicationStatus)
KRAKE_DEFINE_KIND(Application)

bool ToscaSource::empty() const {
  if (const auto* object = value.if_object()) return object->empty();
  const auto* text = value.if_string();
  return !text || text->empty();
}

namespace codec {
bool Codec<ToscaSource>::decode(const json::Value& in, ToscaSource& out, FieldErrors& errors, Form) {
  if (!in.is_object() && !in.is_string()) {
    errors.add("Not a valid mapping type.");
    errors.add("Not a valid string.");
    return false;
  }
  out.value = in;
  return true;
}
}  // namespace codec

void ApplicationSpec::check(const ApplicationSpec& spec, FieldChecks& checks) {
  if (checks.loaded("manifest")) {
    for (auto& message : manifest::check_manifest(spec.manifest)) checks.error("manifest", std::move(message));
  }
  if (checks.loaded("tosca")) {
    if (auto message = manifest::check_tosca_application(spec.tosca.value)) checks.error("tosca", *message);
  }
  if (checks.loaded("csar") && spec.csar) {
    if (auto message = manifest::check_csar(*spec.csar)) checks.error("csar", *message);
  }
  if (!checks.loaded("manifest") || !checks.loaded("tosca") || !checks.loaded("csar")) return;
  if (spec.manifest.empty() && spec.tosca.empty() && (!spec.csar || spec.csar->empty())) {
    checks.schema_error("The application should be defined by a manifest file, a TOSCA template or a CSAR file.");
  }
  if (checks.loaded("observer_schema") && !spec.manifest.empty()) {
    const auto message = manifest::check_observer_schema(spec.observer_schema, spec.manifest);
    if (message) checks.schema_error(*message);
  }
}

namespace {

// What is stored and served for upstream's sake, and nothing acts on.
void advise_without_effect(const Application& application, std::vector<std::string>& advice) {
  const auto& spec = application.spec;
  const auto& status = application.status;
  // A token that upstream has made is taken by the API.
  if (spec.has_hook(kCompleteHook) && !status.complete_token)
    advice.emplace_back("spec.hooks: 'complete' has no effect yet: no token is made, nothing is put into the manifest");
  if (spec.has_hook(kShutdownHook))
    advice.emplace_back("spec.hooks: 'shutdown' has no effect yet: the application is stopped without being asked");
  if (spec.manifest.empty() && !spec.tosca.empty())
    advice.emplace_back("spec.tosca: it has no effect yet: put the Kubernetes objects into spec.manifest");
  if (spec.manifest.empty() && spec.csar && !spec.csar->empty())
    advice.emplace_back("spec.csar: it has no effect yet: put the Kubernetes objects into spec.manifest");
  if (spec.auto_cluster_create)
    advice.emplace_back("spec.auto_cluster_create: it has no effect yet: no cluster is made for the application");
}

}  // namespace

// W35: upstream takes any text and any number here.
void Application::advise(const Application& application, std::vector<std::string>& advice) {
  const auto& spec = application.spec;
  for (const auto& hook : spec.hooks) {
    if (hook != kCompleteHook && hook != kShutdownHook)
      advice.push_back(fmt::format("spec.hooks: '{}' is no hook; known are complete and shutdown", hook));
  }
  if (spec.shutdown_failure_strategy && *spec.shutdown_failure_strategy != "give_up" &&
      *spec.shutdown_failure_strategy != "delete") {
    advice.push_back(fmt::format("spec.shutdown_failure_strategy: '{}' is not known; known are give_up and delete",
                                 *spec.shutdown_failure_strategy));
  }
  if (spec.storage_migration != "none")
    advice.push_back(fmt::format("spec.storage_migration: '{}' has no effect", spec.storage_migration));
  const std::pair<std::string_view, std::optional<Integer>> counters[] = {
      {"shutdown_grace_time", spec.shutdown_grace_time},
      {"shutdown_retry_count", spec.shutdown_retry_count},
      {"backoff", spec.backoff},
      {"backoff_delay", spec.backoff_delay}};
  for (const auto& [name, value] : counters) {
    if (value && *value < 0) advice.push_back(fmt::format("spec.{}: {} is negative", name, value->text()));
  }
  advise_without_effect(application, advice);
}

}  // namespace krake
