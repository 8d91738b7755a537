// From a kubeconfig document to what is needed to call the cluster. Only what travels with the document is accepted:
// data given inline in base64. Pure.
#pragma once

#include <string>

#include "base/error.h"
#include "base/json.h"
#include "net/dial.h"

namespace krake::kube {

struct ClusterAccess {
  Endpoint endpoint;
  std::string bearer_token;  // secret; empty: none
  std::string username;      // basic authentication; empty: none
  std::string password;      // secret
  std::string default_namespace = "default";
  std::string host;     // of the server's URL, without port and brackets: where node ports are reached
  std::string cluster;  // the name of the cluster entry
  bool operator==(const ClusterAccess&) const = default;
};

// Takes the context `current-context`, or the only one when that is missing. Code::invalid_argument with the place and
// the remedy for: missing or dangling entries, wrong types, files instead of data, exec and auth-provider plug-ins, bad
// URLs.
Result<ClusterAccess> parse_kubeconfig(const json::Value& kubeconfig);

}  // namespace krake::kube
