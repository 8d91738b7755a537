// What an application wants on its cluster, as a function of its spec and of what was applied last.
#include "manifest/desired.h"

#include "controllers/application/plan.h"
#include "manifest/schema.h"

namespace krake::application {

Desired desired_of(const Application& application, std::string_view default_namespace) {
  const auto applied = as_array(application.status.last_applied_manifest);
  auto manifest = as_array(application.spec.manifest);
  auto schema = as_array(application.spec.observer_schema);
  Desired desired;
  if (const auto hooks = injected_hooks(application); !hooks.empty()) {
    auto kept = keep_hooks(manifest, applied, hooks, default_namespace);
    desired.hooks_kept = kept != manifest;
    schema = widen_schema(std::move(schema), manifest, kept);
    manifest = std::move(kept);
  }
  desired.schema = manifest::mangle(schema, manifest);
  desired.objects = manifest::last_applied_manifest(manifest, desired.schema, applied, default_namespace);
  return desired;
}

}  // namespace krake::application
