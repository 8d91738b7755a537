// Whose a Kubernetes object is: labels put on at apply, read back from what lives on a cluster. They are never part of
// a stored manifest. Pure.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"

namespace krake::application {

inline constexpr std::string_view kManagedBy = "app.kubernetes.io/managed-by";
inline constexpr std::string_view kManager = "krake";
inline constexpr std::string_view kApplicationUid = "krake/application-uid";
inline constexpr std::string_view kInstallation = "krake/installation";

struct Identity {
  std::string application_uid;
  std::string installation;
  bool operator==(const Identity&) const = default;
};

enum class Ownership {
  ours,        // carries our uid, and our installation or none
  unlabelled,  // nobody's, as far as Krake is concerned
  foreign,     // another application's or another installation's
};
Ownership ownership(const json::Value& live, const Identity& identity);
// Written by upstream, which puts no labels on: known by the name its Kubernetes client goes by.
inline constexpr std::string_view kUpstreamManager = "OpenAPI-Generator";
bool made_by_upstream(const json::Value& live);
// "application uid 7f3...", "installation east": whose a foreign object is.
std::string owner_text(const json::Value& live, const Identity& identity);

// The desired object with the three labels.
json::Value labelled(const json::Value& desired, const Identity& identity);
// The entry of the observer schema for it: the three labels are observed too.
json::Value labelled_entry(const json::Value& entry);

std::string_view uid_of(const json::Value& live);
std::string_view version_of(const json::Value& live);
bool being_deleted(const json::Value& live);

}  // namespace krake::application
