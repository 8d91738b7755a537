// The infrastructure group (api-contract 2.11).
#include "api/infrastructure/cloud.h"
#include "api/infrastructure/provider.h"
#include "api/registry.h"

namespace krake {

KRAKE_DEFINE_KIND(InfrastructureProvider)
KRAKE_DEFINE_KIND(GlobalInfrastructureProvider)
KRAKE_DEFINE_KIND(Cloud)
KRAKE_DEFINE_KIND(GlobalCloud)

void GlobalCloud::check(const GlobalCloud& cloud, FieldChecks& checks) {
  if (!checks.loaded("spec")) return;
  const auto* openstack = cloud.spec.as<OpenstackCloud>();
  if (!openstack) return;
  if (openstack->infrastructure_provider.namespaced) {
    checks.schema_error(
        "A non-namespaced global cloud resource cannot reference the namespaced infrastructure provider resource.");
  } else if (std::ranges::any_of(openstack->metrics, &MetricRef::namespaced)) {
    checks.schema_error("A non-namespaced global cloud resource cannot reference the namespaced metric resource.");
  }
}

void register_infrastructure(Registry& registry) {
  registry.add(make_kind<GlobalInfrastructureProvider>());
  registry.add(make_kind<InfrastructureProvider>());
  registry.add(make_kind<GlobalCloud>());
  registry.add(make_kind<Cloud>());
}

}  // namespace krake
