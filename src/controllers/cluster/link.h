// The line to one cluster: keeps asking whether it answers and what its nodes are like, and says so when that changes.
// The nodes are listed and watched; as long as the watch is quiet the cluster is asked each `probe_interval`. Where
// nodes may not be listed, whether it answers is all that is asked. Nothing is ever changed on the cluster.
// Ownership: Env and Dialer outlive it; stop() before it dies (except when the loop dies too). Thread: the loop.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/env.h"
#include "base/task_group.h"
#include "controllers/cluster/plan.h"
#include "providers/kubernetes/client.h"

namespace krake::cluster {

struct LinkOptions {
  Duration probe_interval = std::chrono::seconds(10);
  Duration probe_timeout = std::chrono::seconds(5);
  Duration second_look = std::chrono::milliseconds(300);  // after the first failure of a cluster that was well
};

class Link {
 public:
  // `on_change` is called, on the loop, after contact() has changed.
  Link(Env& env, Dialer& dialer, const json::Object& kubeconfig, LinkOptions options, std::function<void()> on_change);
  void start();
  Awaitable<void> stop() { return tasks_.stop(); }

  const json::Object& kubeconfig() const { return kubeconfig_; }
  const std::optional<Contact>& contact() const { return contact_; }

 private:
  Awaitable<void> run();
  Awaitable<Status> round();
  Awaitable<Status> watch(std::string resource_version);
  Awaitable<Status> follow(std::unique_ptr<kube::ObjectWatch> watch);
  Awaitable<Status> probe_while_quiet();
  Awaitable<Status> discover();
  void answered();
  void failed(const Error& error);
  void report(Contact contact);
  std::vector<ClusterNode> nodes() const;

  Env& env_;
  Dialer& dialer_;
  json::Object kubeconfig_;
  LinkOptions options_;
  std::function<void()> on_change_;
  Random random_;
  std::unique_ptr<kube::KubeClient> client_;
  std::map<std::string, ClusterNode> nodes_;
  std::optional<Contact> contact_;
  Mono heard_{};            // from the cluster, last
  int watch_failures_ = 0;  // in a row
  TaskGroup tasks_;
};

}  // namespace krake::cluster
