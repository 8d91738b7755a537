#include "api/field_texts.h"

namespace krake {

namespace {

constexpr FieldText kInfrastructure[] = {
    {"group infrastructure", "", "Clouds that clusters are made on, and the services that make them."},

    {"InfrastructureProvider", "", "A service that makes clusters on clouds, for one namespace."},
    {"InfrastructureProvider", "metadata", "Name, namespace, labels."},
    {"InfrastructureProvider", "spec", "Which service it is, and how it is reached."},
    {"GlobalInfrastructureProvider", "", "A service that makes clusters on clouds, for all namespaces."},
    {"GlobalInfrastructureProvider", "metadata", "Name and labels."},
    {"GlobalInfrastructureProvider", "spec", "Which service it is, and how it is reached."},
    {"ImProvider", "", "An Infrastructure Manager: it wants a token, or a user name and a password."},
    {"ImProvider", "url", "Its address."},
    {"ImProvider", "username", "The user it knows."},
    {"ImProvider", "password", "The password of that user."},
    {"ImProvider", "token", "The token it takes instead."},

    {"Cloud", "", "A cloud that clusters of one namespace can be made on."},
    {"Cloud", "metadata", "Name, namespace, labels; constraints of clusters go by the labels."},
    {"Cloud", "spec", "Which cloud it is, and how it is reached."},
    {"Cloud", "status", "How it is. Controllers write it."},
    {"GlobalCloud", "", "A cloud that clusters of all namespaces can be made on."},
    {"GlobalCloud", "metadata", "Name and labels; constraints of clusters go by the labels."},
    {"GlobalCloud", "spec", "Which cloud it is, and how it is reached. All that it refers to is global too."},
    {"GlobalCloud", "status", "How it is. Controllers write it."},
    {"OpenstackCloud", "", "An OpenStack cloud."},
    {"OpenstackCloud", "url", "The address of its Keystone, like `https://keystone:5000/v3`."},
    {"OpenstackCloud", "auth", "How Krake logs in."},
    {"OpenstackCloud", "metrics", "The metrics that speak for or against it, weighted."},
    {"OpenstackCloud", "infrastructure_provider", "Who makes clusters on it."},
    {"CloudPassword", "", "A user with a password, in a project."},
    {"CloudPassword", "version", "The version of Keystone's API."},
    {"CloudPassword", "user", "The user."},
    {"CloudPassword", "project", "The project clusters are made in."},
    {"CloudUser", "", "A user of Keystone, by name."},
    {"CloudUser", "username", "The name of the user."},
    {"CloudUser", "password", "The password of the user."},
    {"CloudUser", "domain_name", "The domain the user belongs to."},
    {"CloudUser", "comment", "A note for people."},
    {"CloudProject", "", "A project of Keystone, by name."},
    {"CloudProject", "name", "The name of the project."},
    {"CloudProject", "domain_id", "The domain the project belongs to."},
    {"CloudProject", "comment", "A note for people."},
    {"InfrastructureProviderRef", "", "Names an infrastructure provider."},
    {"InfrastructureProviderRef", "name", "The name of an InfrastructureProvider or GlobalInfrastructureProvider."},
    {"InfrastructureProviderRef", "namespaced",
     "Whether it is an InfrastructureProvider of the same namespace; else it is a GlobalInfrastructureProvider."},
    {"CloudStatus", "", "How a cloud is."},
    {"CloudStatus", "state", "Whether all of its metrics have a value."},
    {"CloudStatus", "metrics_reasons", "Of its metrics that have no value: why not, by name."},
};

}  // namespace

std::span<const FieldText> infrastructure_texts() { return kInfrastructure; }

}  // namespace krake
