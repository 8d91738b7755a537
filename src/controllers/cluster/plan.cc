#include "controllers/cluster/plan.h"

#include <fmt/format.h>

namespace krake::cluster {

namespace {

std::string cut(std::string text) {
  if (text.size() <= kMaxMessage) return text;
  text = json::to_utf8(text);
  text.resize(kMaxMessage - 3);
  // Not in the middle of a character.
  while (!text.empty() && !json::valid_utf8(text)) text.pop_back();
  return text + "...";
}

bool is_state_of_others(ClusterState state) {
  switch (state) {
    case ClusterState::CREATING:
    case ClusterState::RECONCILING:
    case ClusterState::DELETING:
    case ClusterState::FAILING_RECONCILIATION:
    case ClusterState::FAILED:
      return true;
    default:
      return false;
  }
}

// The codes this controller writes; a reason with another one belongs to somebody else.
bool is_own_reason(const Reason& reason) {
  return reason.code == ReasonCode::CLUSTER_NOT_REACHABLE || reason.code == ReasonCode::KUBERNETES_ERROR ||
         reason.code == ReasonCode::INVALID_RESOURCE;
}

Verdict judge_nodes(const std::vector<ClusterNode>& nodes) {
  for (const auto& node : nodes) {
    if (!node.status) continue;
    for (const auto& condition : node.status->conditions) {
      const bool pressure = condition.type.ends_with("Pressure") && condition.status == "True";
      const bool unready = condition.type == "Ready" && condition.status != "True";
      if (!pressure && !unready) continue;
      auto message = fmt::format("node {}: {} is {}", node.metadata.name, condition.type, condition.status);
      if (!condition.message.empty()) message += ": " + condition.message;
      return {pressure ? ClusterState::UNHEALTHY : ClusterState::NOTREADY,
              Reason{ReasonCode::KUBERNETES_ERROR, cut(std::move(message))}};
    }
  }
  return {};
}

json::Value nodes_value(const std::vector<ClusterNode>& nodes) { return to_value(nodes); }

}  // namespace

bool is_watched(const Cluster& cluster) {
  return !cluster.metadata.deleted && !cluster.spec.kubeconfig.empty() && !is_state_of_others(cluster.status.state);
}

Verdict judge(ClusterState present, const Contact& contact) {
  if (contact.problem) return {ClusterState::OFFLINE, Reason{contact.problem->code, cut(contact.problem->message)}};
  if (present == ClusterState::FAILING_METRICS) return {present, {}};
  if (present == ClusterState::OFFLINE) return {ClusterState::CONNECTING, {}};
  // One answer may be the last twitch of a cluster that is going down: coming back takes two.
  if (present == ClusterState::CONNECTING && contact.answers < 2) return {present, {}};
  return judge_nodes(contact.nodes);
}

ClusterNode node_of(const json::Value& node) {
  ClusterNode out;
  out.metadata.name = node.string_at({"metadata", "name"});
  const auto* conditions = node.at_path({"status", "conditions"});
  if (!conditions || !conditions->is_array()) return out;
  auto& status = out.status.emplace();
  for (const auto& condition : *conditions->if_array()) {
    status.conditions.push_back({.message = cut(std::string(condition.string_at({"message"}))),
                                 .reason = std::string(condition.string_at({"reason"})),
                                 .status = std::string(condition.string_at({"status"})),
                                 .type = std::string(condition.string_at({"type"}))});
  }
  return out;
}

Plan make_plan(const Observed& observed, Mono now) {
  Plan plan;
  const bool watched = observed.cluster && is_watched(observed.cluster->object);
  if (observed.connection == Connection::other || (observed.connection == Connection::current && !watched))
    plan.emplace_back(Disconnect{});
  if (!watched) return plan;
  if (observed.connection != Connection::current) {
    plan.emplace_back(Connect{});
    return plan;
  }
  if (!observed.contact) return plan;

  const auto& status = observed.cluster->object.status;
  const auto verdict = judge(status.state, *observed.contact);
  json::Object fields;
  if (verdict.state != status.state) fields.set("state", enum_name(verdict.state));
  const bool urgent = !fields.empty();
  if (verdict.reason ? verdict.reason != status.reason : status.reason && is_own_reason(*status.reason)) {
    fields.set("reason", verdict.reason ? to_value(*verdict.reason) : json::Value());
  }
  std::vector<ClusterNode> nodes = observed.contact->nodes;
  if (nodes.size() > kMaxNodes) nodes.resize(kMaxNodes);
  if (nodes != status.nodes) fields.set("nodes", nodes_value(nodes));
  if (fields.empty()) return plan;
  if (!urgent && now < observed.refresh_allowed_at) {
    plan.emplace_back(Wait{observed.refresh_allowed_at - now});
    return plan;
  }
  const auto& triggered = status.kube_controller_triggered;
  if (!triggered || triggered->wall() < observed.cluster->object.metadata.modified.wall()) {
    fields.set(
        "kube_controller_triggered",
        to_string(DateTime::from_wall(std::max(observed.wall, observed.cluster->object.metadata.modified.wall()))));
  }
  plan.emplace_back(PatchStatus{std::move(fields), observed.cluster->revision});
  return plan;
}

namespace {
struct Printer {
  std::string operator()(const Connect&) const { return "connect"; }
  std::string operator()(const Disconnect&) const { return "disconnect"; }
  std::string operator()(const PatchStatus& a) const {
    return fmt::format("status {} at {}", json::print(a.fields), a.revision);
  }
  std::string operator()(const Wait& a) const {
    return fmt::format("wait {} ms", std::chrono::duration_cast<std::chrono::milliseconds>(a.time).count());
  }
};
}  // namespace

std::string to_string(const Action& action) { return std::visit(Printer{}, action); }

std::string to_string(const Plan& plan) {
  std::string out;
  for (const auto& action : plan) out += (out.empty() ? "" : "; ") + to_string(action);
  return out;
}

}  // namespace krake::cluster
