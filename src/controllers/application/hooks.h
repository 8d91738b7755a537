// What upstream's hooks have put into the manifests of applications that run (control-plane-contract 5.12). Nothing of
// it is made here yet; what is there stays, so that its Pods are not rolled and still know whom to tell. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/kubernetes/application.h"
#include "base/json.h"

namespace krake::application {

// What one hook has put into the manifest of one application. It is known by these names, not by those in containers:
// upstream could be told others, and the manifest may have them from the user.
struct InjectedHook {
  std::string volume;                // of its certificate
  std::vector<std::string> secrets;  // that the containers take token, URL and certificate from
};
// Of the hooks the application wants and has a token for.
std::vector<InjectedHook> injected_hooks(const Application& application);

// `manifest` with what the hooks have put into `applied`, the status.last_applied_manifest: their environment, mounts
// and volumes, appended container by container, and their Secrets, behind all others. What the manifest says itself
// wins; an object or a container that was not there gets nothing.
json::Array keep_hooks(json::Array manifest, const json::Array& applied, const std::vector<InjectedHook>& hooks,
                       std::string_view default_namespace);

// The custom observer schema with the limits of lists raised by what keep_hooks() has appended to them.
json::Array widen_schema(json::Array schema, const json::Array& manifest, const json::Array& kept);

}  // namespace krake::application
