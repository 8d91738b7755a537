// The openstack group (api-contract 2.12, 3.8).
#include "api/openstack/magnum_cluster.h"
#include "api/openstack/project.h"
#include "api/registry.h"
#include "api/subresource_body.h"

namespace krake {

KRAKE_DEFINE_KIND(Project)
KRAKE_DEFINE_KIND(MagnumCluster)

namespace {

Status bind_magnum_cluster(Object& object, const SubresourceCall& call) {
  auto& cluster = object.as<MagnumCluster>();
  auto binding = read_body<MagnumClusterBinding>(call);
  add_owner(cluster.metadata, binding.project);
  cluster.status.project = std::move(binding.project);
  cluster.status.template_ = std::move(binding.template_);
  return {};
}

}  // namespace

void register_openstack(Registry& registry) {
  registry.add(make_kind<Project>());

  auto cluster = make_kind<MagnumCluster>();
  cluster.subresources = {
      {.name = "binding",
       .resource = "magnumclusters/binding",
       .load_first = true,  // upstream's one exception, pinned by its tests
       .validate = validate_body<MagnumClusterBinding>,
       .rewrite = rewrite_body<MagnumClusterBinding>,
       .apply = bind_magnum_cluster,
       .schema = schema::request<MagnumClusterBinding>,
       .target_kinds = {"Project"}},
  };
  registry.add(std::move(cluster));
}

}  // namespace krake
