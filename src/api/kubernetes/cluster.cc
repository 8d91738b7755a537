#include "api/kubernetes/cluster.h"

#include "manifest/validate.h"

namespace krake {

KRAKE_DEFINE_CODEC(ClusterSpec)
KRAKE_DEFINE_CODEC(ClusterStatus)
KRAKE_DEFINE_KIND(Cluster)

void ClusterSpec::check(const ClusterSpec& spec, FieldChecks& checks) {
  if (checks.loaded("kubeconfig")) {
    if (auto message = manifest::check_kubeconfig(spec.kubeconfig)) checks.error("kubeconfig", *message);
  }
  if (checks.loaded("tosca")) {
    if (auto message = manifest::check_tosca_cluster(spec.tosca)) checks.error("tosca", *message);
  }
  if (checks.loaded("kubeconfig") && checks.loaded("tosca") && spec.kubeconfig.empty() && spec.tosca.empty()) {
    checks.schema_error("The cluster should be defined by a kubeconfig file or a TOSCA template.");
  }
}

void Cluster::advise(const Cluster& cluster, std::vector<std::string>& advice) {
  if (cluster.spec.backoff < 0) advice.emplace_back("spec.backoff: it is negative");
  if (cluster.spec.backoff_delay < 0) advice.emplace_back("spec.backoff_delay: it is negative");
  if (!cluster.spec.tosca.empty())
    advice.emplace_back("spec.tosca: it has no effect yet: no cluster is made or changed from a template");
}

}  // namespace krake
