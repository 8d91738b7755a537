#include "api/field_texts.h"

namespace krake {

namespace {

constexpr FieldText kOpenstack[] = {
    {"group openstack", "", "OpenStack projects, and the clusters that their Magnum makes."},

    {"Project", "", "A project of an OpenStack cloud that Magnum clusters can be made in."},
    {"Project", "metadata", "Name, namespace, labels; constraints of Magnum clusters go by the labels."},
    {"Project", "spec", "Which project it is, and how Krake logs in."},
    {"Project", "status", "How it is. Controllers write it."},
    {"ProjectSpec", "", "Which project it is, and how Krake logs in."},
    {"ProjectSpec", "url", "The address of the cloud's Keystone, like `https://keystone:5000/v3`."},
    {"ProjectSpec", "auth", "How Krake logs in."},
    {"ProjectSpec", "template", "The id of the cluster template clusters are made by."},
    {"ProjectSpec", "metrics", "The metrics that speak for or against it, weighted."},
    {"ProjectPassword", "", "A user with a password, in a project."},
    {"ProjectPassword", "user", "The user."},
    {"ProjectPassword", "project", "The project."},
    {"ProjectUser", "", "A user of Keystone, by id."},
    {"ProjectUser", "id", "The id of the user."},
    {"ProjectUser", "password", "The password of the user."},
    {"ProjectUser", "comment", "A note for people, like the user's name."},
    {"ProjectId", "", "A project of Keystone, by id."},
    {"ProjectId", "id", "The id of the project."},
    {"ProjectId", "comment", "A note for people, like the project's name."},
    {"ApplicationCredential", "", "An application credential of Keystone, which is for one user in one project."},
    {"ApplicationCredential", "id", "Its id."},
    {"ApplicationCredential", "secret", "Its secret."},
    {"ProjectStatus", "", "How a project is."},
    {"ProjectStatus", "state", "Whether all of its metrics have a value."},
    {"ProjectStatus", "metrics_reasons", "Of its metrics that have no value: why not, by name."},

    {"MagnumCluster", "",
     "A Kubernetes cluster that Magnum makes in one of the projects. Krake registers it as a Cluster."},
    {"MagnumCluster", "metadata", "Name, namespace, labels."},
    {"MagnumCluster", "spec", "How large it is to be, and in which projects it may be made."},
    {"MagnumCluster", "status", "Where it was made, and how it is. Controllers write it."},
    {"MagnumCluster", "/binding",
     "Says in which project, by which template, the cluster is to be made: sets `status.project` and "
     "`status.template`, and "
     "adds the project to the owners."},
    {"MagnumClusterSpec", "", "How large a cluster is to be, and in which projects it may be made."},
    {"MagnumClusterSpec", "master_count", "How many masters it has; null: as the template says. It cannot be changed."},
    {"MagnumClusterSpec", "node_count", "How many workers it has; null: as the template says."},
    {"MagnumClusterSpec", "metrics", "The metrics that the Cluster is registered with."},
    {"MagnumClusterSpec", "constraints", "In which projects it may be made."},
    {"MagnumClusterConstraints", "", "In which projects a cluster may be made."},
    {"MagnumClusterConstraints", "project", "What the project must be like."},
    {"ProjectConstraints", "", "What a project must be like: all of it must hold."},
    {"ProjectConstraints", "labels", "Label constraints like `location is DE`."},
    {"MagnumClusterStatus", "", "Where a cluster was made, and how it is."},
    {"MagnumClusterStatus", "reason", "Why it is not as it should be; null when it is."},
    {"MagnumClusterStatus", "state", "What is going on, in one word."},
    {"MagnumClusterStatus", "project", "The project it is made in."},
    {"MagnumClusterStatus", "template", "The id of the template it is made by. Only a binding changes it."},
    {"MagnumClusterStatus", "cluster_id", "Its id in Magnum."},
    {"MagnumClusterStatus", "node_count", "How many workers it has."},
    {"MagnumClusterStatus", "api_address", "The address of its Kubernetes API."},
    {"MagnumClusterStatus", "master_addresses", "The addresses of its masters."},
    {"MagnumClusterStatus", "node_addresses", "The addresses of its workers."},
    {"MagnumClusterStatus", "cluster", "The Cluster it is registered as."},
    {"MagnumClusterBinding", "", "Says in which project, by which template, a cluster is to be made."},
    {"MagnumClusterBinding", "project", "The project. It need not exist yet."},
    {"MagnumClusterBinding", "template", "The id of the template."},
};

}  // namespace

std::span<const FieldText> openstack_texts() { return kOpenstack; }

}  // namespace krake
