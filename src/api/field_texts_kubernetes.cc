#include "api/field_texts.h"

namespace krake {

namespace {

constexpr FieldText kKubernetes[] = {
    {"group kubernetes", "", "Applications, and the Kubernetes clusters they run on."},

    {"Application", "",
     "Kubernetes objects that Krake places on one of its clusters, keeps there, and moves when that is "
     "better."},
    {"Application", "metadata", "Name, namespace, labels."},
    {"Application", "spec", "What is to run, and where it may."},
    {"Application", "status", "Where it runs, and how it is. Controllers write it."},
    {"Application", "/binding",
     "Says on which cluster the application is to run: sets `status.scheduled_to`, `status.scheduled` and "
     "`status.kube_controller_triggered`, and adds the cluster to the owners."},
    {"Application", "/complete",
     "The application says that it is done. Its state becomes READY_FOR_ACTION, and it is deleted. 401 unless the "
     "token is "
     "`status.complete_token`."},
    {"Application", "/shutdown",
     "The application says that it may be stopped: WAITING_FOR_CLEANING or DEGRADED becomes READY_FOR_ACTION. 401 "
     "unless the "
     "token is `status.shutdown_token`."},
    {"Application", "/retry",
     "Tries a migration or deletion again that has failed: DEGRADED becomes WAITING_FOR_CLEANING. 400 in any other "
     "state."},

    {"ApplicationSpec", "",
     "What is to run, and where it may: a manifest, a TOSCA template or a CSAR archive, one of them at least."},
    {"ApplicationSpec", "manifest",
     "Kubernetes objects as kubectl takes them; each needs apiVersion, kind and metadata.name. May be empty where "
     "`tosca` or "
     "`csar` says what to run."},
    {"ApplicationSpec", "tosca",
     "A TOSCA template that the manifest is made from: the template itself, or a URL that ends with .yaml or .yml."},
    {"ApplicationSpec", "csar", "The URL of a CSAR archive that has a TOSCA template; it ends with .csar or .zip."},
    {"ApplicationSpec", "observer_schema",
     "Which fields of the objects on the cluster are watched over and put right, null for each. Unless it is given, "
     "those the "
     "manifest sets."},
    {"ApplicationSpec", "constraints", "Which clusters it may run on, and whether it may be moved."},
    {"ApplicationSpec", "hooks",
     "What the application itself says: `complete`, when it is done; `shutdown`, before it may be stopped."},
    {"ApplicationSpec", "shutdown_grace_time",
     "With the hook `shutdown`: seconds the application has to say that it may be stopped."},
    {"ApplicationSpec", "shutdown_failure_strategy",
     "When it does not say so in time: `give_up`, and it stays DEGRADED; or `delete`, and it is stopped nevertheless."},
    {"ApplicationSpec", "shutdown_retry_count", "How often it is asked again before that strategy is followed."},
    {"ApplicationSpec", "backoff", "Factor between the delays of retries."},
    {"ApplicationSpec", "backoff_delay", "Seconds before the first retry."},
    {"ApplicationSpec", "backoff_limit", "How many retries there are. -1: no limit."},
    {"ApplicationSpec", "storage_migration",
     "What becomes of its volumes when it moves. `none`: they are left behind."},
    {"ApplicationSpec", "auto_cluster_create", "Whether a cluster may be made for it where none is suitable."},

    {"Constraints", "", "Which clusters an application may run on, and whether it may be moved."},
    {"Constraints", "cluster", "What the cluster must be like."},
    {"Constraints", "migration", "Whether it may be moved once it runs."},
    {"ClusterConstraints", "", "What a cluster must be like: all of it must hold."},
    {"ClusterConstraints", "labels",
     "Label constraints like `location is DE`, `tier in (gold, silver)`. A label that is not there fulfils none, nor "
     "its "
     "opposite."},
    {"ClusterConstraints", "custom_resources", "Custom resources the cluster must know, as PLURAL.GROUP."},
    {"ClusterConstraints", "metrics",
     "Metric constraints like `load < 0.8`, `price greater than or equal 2`, on the value the metric has now."},

    {"ContainerHealth", "", "The pods of an application, counted."},
    {"ContainerHealth", "desired_pods", "How many there should be."},
    {"ContainerHealth", "running_pods", "How many run and are ready."},
    {"ContainerHealth", "completed_pods", "How many have ended well."},
    {"ContainerHealth", "failed_pods", "How many have failed."},

    {"ApplicationStatus", "", "Where an application runs, and how it is."},
    {"ApplicationStatus", "reason", "Why it is not as it should be; null when it is."},
    {"ApplicationStatus", "state", "What is going on, in one word."},
    {"ApplicationStatus", "container_health", "Its pods, counted."},
    {"ApplicationStatus", "kube_controller_triggered",
     "When its controller was last told to act. Before `metadata.modified`: the scheduler has not seen the newest "
     "change."},
    {"ApplicationStatus", "scheduled", "When a cluster was last chosen."},
    {"ApplicationStatus", "scheduled_to", "The cluster it is to run on."},
    {"ApplicationStatus", "running_on", "The cluster it does run on."},
    {"ApplicationStatus", "retries", "How many retries are left."},
    {"ApplicationStatus", "scheduled_retry", "When it is tried again."},
    {"ApplicationStatus", "services", "Where its services can be reached: an address for each name."},
    {"ApplicationStatus", "mangled_observer_schema", "The observer schema that is in use, completed by Krake."},
    {"ApplicationStatus", "last_observed_manifest",
     "The objects as they were last seen on the cluster, as far as they are "
     "watched over."},
    {"ApplicationStatus", "last_applied_manifest", "The objects as they were last sent to the cluster."},
    {"ApplicationStatus", "complete_token", "What the application shows to say that it is done."},
    {"ApplicationStatus", "complete_cert", "The client certificate it does so with."},
    {"ApplicationStatus", "complete_key", "The private key of that certificate."},
    {"ApplicationStatus", "shutdown_token", "What the application shows to say that it may be stopped."},
    {"ApplicationStatus", "shutdown_cert", "The client certificate it does so with."},
    {"ApplicationStatus", "shutdown_key", "The private key of that certificate."},
    {"ApplicationStatus", "shutdown_grace_period",
     "Until when it has to say that it may be stopped; null unless it is asked."},
    {"ApplicationStatus", "auto_cluster_create_started", "The name of the cluster that is being made for it."},
    {"ApplicationStatus", "migration_retries", "How often a migration was tried again."},
    {"ApplicationStatus", "migration_timeout", "Seconds a migration may take."},
    {"ApplicationStatus", "cleanup", "Clusters where something of it may be left although it does not run there."},
    {"CleanUp", "", "A cluster where something of an application may be left, or may come to be."},
    {"CleanUp", "cluster", "The cluster."},
    {"CleanUp", "objects", "What may be there, each with apiVersion, kind and metadata."},
    {"CleanUp", "observed", "Those of them that were seen as the application's, and may carry no label that says so."},
    {"CleanUp", "left", "When the application left the cluster."},

    {"ClusterBinding", "", "Says on which cluster an application is to run."},
    {"ClusterBinding", "cluster", "The cluster. It need not exist yet."},
    {"CompleteHook", "", "An application says that it is done."},
    {"CompleteHook", "token", "Its `status.complete_token`."},
    {"ShutdownHook", "", "An application says that it may be stopped."},
    {"ShutdownHook", "token", "Its `status.shutdown_token`."},

    {"Cluster", "",
     "A Kubernetes cluster that applications are placed on: an existing one, or one that Krake makes on a "
     "cloud."},
    {"Cluster", "metadata", "Name, namespace, labels; constraints of applications go by the labels."},
    {"Cluster", "spec", "How it is reached or made, and what is known of it."},
    {"Cluster", "status", "How it is. Controllers write it."},
    {"Cluster", "/binding",
     "Says on which cloud the cluster is to be made: sets `status.scheduled_to` and `status.scheduled`, and adds the "
     "cloud to "
     "the owners."},
    {"ClusterSpec", "", "How a cluster is reached (`kubeconfig`) or made (`tosca`), one of them at least."},
    {"ClusterSpec", "kubeconfig",
     "How it is reached: a kubeconfig with one context, one user, one cluster. Empty for one that "
     "is to be made."},
    {"ClusterSpec", "tosca",
     "How it is made: a TOSCA template with an output `kubeconfig`. Empty for one that exists."},
    {"ClusterSpec", "custom_resources", "Custom resources it knows, as PLURAL.GROUP."},
    {"ClusterSpec", "constraints", "On which clouds it may be made."},
    {"ClusterSpec", "metrics", "The metrics that speak for or against it, weighted."},
    {"ClusterSpec", "inherit_metrics", "Whether it also has the metrics of the cloud it was made on."},
    {"ClusterSpec", "backoff", "Factor between the delays of retries."},
    {"ClusterSpec", "backoff_delay", "Seconds before the first retry."},
    {"ClusterSpec", "backoff_limit", "How many retries there are. -1: no limit."},
    {"ClusterSpec", "auto_generated", "Whether Krake made it up for an application that found none."},
    {"ClusterCloudConstraints", "", "On which clouds a cluster may be made."},
    {"ClusterCloudConstraints", "cloud", "What the cloud must be like."},
    {"CloudConstraints", "", "What a cloud must be like: all of it must hold."},
    {"CloudConstraints", "labels", "Label constraints like `location is DE`."},
    {"CloudConstraints", "metrics", "Metric constraints like `heat < 0.8`, on the value the metric has now."},

    {"ClusterStatus", "", "How a cluster is."},
    {"ClusterStatus", "reason", "Why it is not as it should be; null when it is."},
    {"ClusterStatus", "kube_controller_triggered", "When its controller was last told to act."},
    {"ClusterStatus", "state", "How it is, in one word. Applications are placed on those that are ONLINE."},
    {"ClusterStatus", "metrics_reasons", "Of its metrics that have no value: why not, by name."},
    {"ClusterStatus", "last_applied_tosca", "The template it was last made or changed by."},
    {"ClusterStatus", "nodes", "Its nodes, as last seen."},
    {"ClusterStatus", "cluster_id", "What the infrastructure provider calls it."},
    {"ClusterStatus", "scheduled", "When a cloud was last chosen."},
    {"ClusterStatus", "scheduled_to", "The cloud it is to be made on."},
    {"ClusterStatus", "running_on", "The cloud it was made on."},
    {"ClusterStatus", "retries", "How many retries are left."},
    {"ClusterNode", "", "A node of a cluster."},
    {"ClusterNode", "api", "Always `kubernetes`."},
    {"ClusterNode", "kind", "Always `ClusterNode`."},
    {"ClusterNode", "metadata", "Its name."},
    {"ClusterNode", "status", "Its conditions; null when nothing is known."},
    {"ClusterNodeMetadata", "", "Names a node."},
    {"ClusterNodeMetadata", "name", "The name of the node."},
    {"ClusterNodeStatus", "", "How a node is."},
    {"ClusterNodeStatus", "conditions", "What Kubernetes says of it."},
    {"ClusterNodeCondition", "", "A condition of a node, as Kubernetes has it."},
    {"ClusterNodeCondition", "message", "What it means, for people."},
    {"ClusterNodeCondition", "reason", "Why it is so, for programs."},
    {"ClusterNodeCondition", "status", "`True`, `False` or `Unknown`."},
    {"ClusterNodeCondition", "type", "Which condition it is, like `Ready`."},
    {"CloudBinding", "", "Says on which cloud a cluster is to be made."},
    {"CloudBinding", "cloud", "The cloud or global cloud. It need not exist yet."},
};

}  // namespace

std::span<const FieldText> kubernetes_texts() { return kKubernetes; }

}  // namespace krake
