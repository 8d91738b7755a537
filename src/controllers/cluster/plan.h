// What the cluster controller does about one registered cluster, from what was observed (control-plane-contract 6, with
// W-26 and W-43 put right). Pure. Who owns which state: the states of an infrastructure operation are never touched,
// and FAILING_METRICS gives way to OFFLINE only.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "api/kubernetes/cluster.h"
#include "base/clock.h"
#include "client/client.h"

namespace krake::cluster {

// What the cluster last said.
struct Contact {
  std::optional<Reason> problem;   // none: it answered
  int answers = 0;                 // in a row
  std::vector<ClusterNode> nodes;  // by name; empty too when they may not be listed

  bool operator==(const Contact&) const = default;
};

enum class Connection : std::uint8_t {
  none,
  other,
  current
};  // other: by a kubeconfig that is no longer the cluster's

struct Observed {
  std::shared_ptr<const Versioned<Cluster>> cluster;  // null: it is gone
  Connection connection = Connection::none;
  std::optional<Contact> contact;  // none: nothing has been heard yet
  Mono refresh_allowed_at{};       // for writes that change no state
  Wall wall{};
};

struct Connect {
  bool operator==(const Connect&) const = default;
};
struct Disconnect {
  bool operator==(const Disconnect&) const = default;
};
struct PatchStatus {
  json::Object fields;  // a merge patch of the status
  std::int64_t revision = 0;
  friend bool operator==(const PatchStatus&, const PatchStatus&) = default;
};
struct Wait {  // look again even if nothing happens
  Duration time{};
  bool operator==(const Wait&) const = default;
};
using Action = std::variant<Connect, Disconnect, PatchStatus, Wait>;
using Plan = std::vector<Action>;

Plan make_plan(const Observed& observed, Mono now);
std::string to_string(const Action& action);
std::string to_string(const Plan& plan);

// ---- the parts, for tests and for reading Kubernetes' answers

struct Verdict {
  ClusterState state = ClusterState::ONLINE;
  std::optional<Reason> reason;
  bool operator==(const Verdict&) const = default;
};
// Rules 1 to 6 of 6.2.
Verdict judge(ClusterState present, const Contact& contact);
// Whether the cluster is to be watched at all.
bool is_watched(const Cluster& cluster);
// A core/v1 Node.
ClusterNode node_of(const json::Value& node);

// More nodes than this are judged but not recorded; longer messages are cut.
inline constexpr std::size_t kMaxNodes = 500;
inline constexpr std::size_t kMaxMessage = 500;

}  // namespace krake::cluster
