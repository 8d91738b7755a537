#include "controllers/application/ownership.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace krake::application {
namespace {

std::string_view label(const json::Value& live, std::string_view key) {
  return live.string_at({"metadata", "labels", key});
}

}  // namespace

Ownership ownership(const json::Value& live, const Identity& identity) {
  const auto uid = label(live, kApplicationUid);
  const auto installation = label(live, kInstallation);
  if (!uid.empty() && uid != identity.application_uid) return Ownership::foreign;
  if (!installation.empty() && installation != identity.installation) return Ownership::foreign;
  const bool complete = !uid.empty() && label(live, kManagedBy) == kManager;
  return complete ? Ownership::ours : Ownership::unlabelled;
}

bool made_by_upstream(const json::Value& live) {
  const json::Value* entries = live.at_path({"metadata", "managedFields"});
  const json::Array* list = entries ? entries->if_array() : nullptr;
  return list && std::ranges::any_of(
                     *list, [](const json::Value& entry) { return entry.string_at({"manager"}) == kUpstreamManager; });
}

std::string owner_text(const json::Value& live, const Identity& identity) {
  const auto uid = label(live, kApplicationUid);
  if (!uid.empty() && uid != identity.application_uid) return fmt::format("the application with uid {}", uid);
  return fmt::format("the Krake installation '{}'", label(live, kInstallation));
}

json::Value labelled(const json::Value& desired, const Identity& identity) {
  json::Value object = desired;
  json::Object& labels = object.make_object()["metadata"].make_object()["labels"].make_object();
  labels.set(kManagedBy, kManager);
  labels.set(kApplicationUid, identity.application_uid);
  labels.set(kInstallation, identity.installation);
  return object;
}

json::Value labelled_entry(const json::Value& entry) {
  json::Value result = entry;
  json::Object& root = result.make_object();
  // A null leaf observes all below it already.
  if (json::Value* metadata = root.find("metadata"); metadata && metadata->is_null()) return result;
  json::Object& metadata = root["metadata"].make_object();
  if (json::Value* labels = metadata.find("labels"); labels && labels->is_null()) return result;
  json::Object& labels = metadata["labels"].make_object();
  for (const auto key : std::array{kManagedBy, kApplicationUid, kInstallation}) {
    if (!labels.contains(key)) labels.set(key, nullptr);
  }
  return result;
}

std::string_view uid_of(const json::Value& live) { return live.string_at({"metadata", "uid"}); }

std::string_view version_of(const json::Value& live) { return live.string_at({"metadata", "resourceVersion"}); }

bool being_deleted(const json::Value& live) { return !live.string_at({"metadata", "deletionTimestamp"}).empty(); }

}  // namespace krake::application
