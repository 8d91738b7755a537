// What can be made to go wrong with a simulated cluster, at any time. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"

namespace krake::kubesim {

struct Faults {
  Duration latency{};     // before every answer
  double error_rate = 0;  // 0..1: answered with error_status instead
  int error_status = 500;
  bool refuse = false;            // connections are cut without an answer
  bool hang = false;              // no answer ever
  bool garbage = false;           // 200 and something that is not Kubernetes
  bool pods_never_ready = false;  // new ones stay Pending
  bool silent_watches = false;    // watches stay open and say nothing
  // "secrets", "list:deployments.apps", "watch:*", "list:pods:all" (only over all namespaces): answered with 403.
  std::vector<std::string> forbidden;
  std::vector<std::string> unsupported;      // media types of patches that are answered with 415
  std::map<std::string, std::string> nodes;  // condition type -> status of every node, e.g. MemoryPressure: "True"
};

json::Object to_json(const Faults& faults);
// Absent members keep their defaults. invalid_argument: unknown members, wrong types, values out of range.
Result<Faults> parse_faults(const json::Value& value);
bool is_forbidden(const Faults& faults, std::string_view verb, std::string_view resource, bool all_namespaces);

}  // namespace krake::kubesim
