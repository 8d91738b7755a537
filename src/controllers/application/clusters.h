// The workload clusters the applications of this controller live on: one connection each, with a watch on everything
// that carries Krake's label, made anew when the kubeconfig changes and closed when no application uses it any more.
// Ownership: Env, Dialer and the informer outlive it. stop() before it dies (except when the loop dies too). Thread:
// the loop.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "api/kubernetes/cluster.h"
#include "base/task_group.h"
#include "client/informer.h"
#include "controllers/application/plan.h"
#include "providers/kubernetes/client.h"
#include "providers/kubernetes/fence.h"
#include "providers/kubernetes/object_cache.h"

namespace krake::application {

struct ClusterOptions {
  Duration request_timeout = std::chrono::seconds(15);
  Duration first_list = std::chrono::seconds(10);  // to wait for the watches of the types in use
  int max_waiting = 3;  // reconciles on a cluster that keeps silent; less than the controller has workers
  Backoff breaker{.base = std::chrono::seconds(1), .cap = std::chrono::seconds(30)};
  std::string fence = "krake-kubernetes-application";  // name of the Lease with the epoch on each cluster
};

class Connection {
 public:
  Connection(Env& env, Dialer& dialer, kube::ClusterAccess access, kube::LabelledObjects::OnChange on_change,
             const ClusterOptions& options);
  kube::KubeClient client;
  kube::LabelledObjects objects;
  kube::Fence fence;

  // Calls fail fast for a while after one that could not reach the cluster.
  const Error* broken(Mono now) const {
    return failures_ > 0 && (now < retry_at_ || probing_) ? &last_error_ : nullptr;
  }
  // After that time one finds out whether it is back, and the others go on failing fast until the handle is dropped.
  // Null: nothing to find out.
  std::shared_ptr<void> probe();
  // Held by a reconcile that may use the cluster. crowded(): so many do, and nobody has been answered for a while, that
  // the next one should come later instead of holding up other clusters.
  static std::shared_ptr<void> use(std::shared_ptr<Connection> connection);
  bool crowded(Mono now) const;
  void failed(const Error& error, Mono now);
  // failed(), if since `answers` were counted nobody has answered; what is refused is no failure of the connection.
  bool failed_silently(const Error& error, std::uint64_t answers, Mono now);
  void succeeded() { failures_ = 0, retry_at_ = {}; }

  // The kind may be gone - or only the namespace, which is no reason to discover everything at each try.
  void forget_discovery(Mono now);

  // The types each application needs to see.
  void want(const ObjectKey& user, std::set<kube::ResourceType> types);
  bool leave(const ObjectKey& user);  // true: nobody is left
  const std::map<ObjectKey, std::set<kube::ResourceType>>& users() const { return users_; }

  std::string identity;
  bool identity_known = false;
  // Since when the fence has a later epoch than ours, in the term `epoch`.
  struct Outrun {
    std::string epoch;
    Mono since{};
  };
  std::optional<Outrun> outrun;

 private:
  ClusterOptions options_;
  Random random_;
  std::map<ObjectKey, std::set<kube::ResourceType>> users_;
  Mono may_forget_{};
  int failures_ = 0;
  bool probing_ = false;
  int used_ = 0;
  Mono retry_at_{};
  Error last_error_;
};

class Clusters {
 public:
  // Something of the application with that uid has changed on a cluster.
  using OnChange = std::function<void(const std::string& application_uid)>;
  Clusters(Env& env, Dialer& dialer, const Informer<Cluster>& informer, OnChange on_change,
           ClusterOptions options = {});

  struct Wanted {
    ObjectKey user;
    std::string uid;
    const json::Array* desired;  // these outlive the call
    const json::Array* applied;
    const json::Array* recorded;
    const json::Array* left;
  };
  // All that make_plan needs to know of one cluster. Failures are part of the answer.
  Awaitable<Place> observe(ResourceRef cluster, Wanted wanted);

  // Null when there is none; keep it while using it.
  std::shared_ptr<Connection> find(const ResourceRef& cluster) const;
  // Of the kubeconfig; "default" when there is none.
  std::string default_namespace(const ResourceRef& cluster) const;
  // The application uses only these from now on.
  void keep_only(const ObjectKey& user, const std::vector<ResourceRef>& clusters);
  // Compares with the informer; the applications concerned by a change (a cluster that came, went, or got another
  // kubeconfig).
  std::set<ObjectKey> changed(const ObjectKey& cluster);

  Awaitable<void> stop();
  json::Value debug() const;

 private:
  struct Entry {
    std::uint64_t kubeconfig = 0;            // fingerprint
    bool deleted = false;                    // seen last
    std::shared_ptr<Connection> connection;  // null: see `error`
    std::optional<Error> error;
    std::optional<Mono> error_since;  // looks have failed since then
    std::set<ObjectKey> users;
  };
  Entry& open(const ObjectKey& key, const Cluster& cluster);
  void close(Entry& entry);
  void note_outcome(const ObjectKey& key, Place& place);
  Awaitable<void> fill(Place& place, std::shared_ptr<Connection> connection, Wanted wanted);

  Env& env_;
  Dialer& dialer_;
  const Informer<Cluster>& informer_;
  OnChange on_change_;
  ClusterOptions options_;
  std::map<ObjectKey, Entry> entries_;
  TaskGroup closing_;
};

}  // namespace krake::application
