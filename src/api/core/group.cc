#include "api/core/lease.h"
#include "api/core/metric.h"
#include "api/core/role.h"
#include "api/registry.h"

namespace krake {

KRAKE_DEFINE_KIND(Metric)
KRAKE_DEFINE_KIND(GlobalMetric)
KRAKE_DEFINE_KIND(MetricsProvider)
KRAKE_DEFINE_KIND(GlobalMetricsProvider)
KRAKE_DEFINE_KIND(Role)
KRAKE_DEFINE_KIND(RoleBinding)
KRAKE_DEFINE_KIND(Lease)

void register_core(Registry& registry) {
  registry.add(make_kind<GlobalMetric>());
  auto global_provider = make_kind<GlobalMetricsProvider>();
  global_provider.unchanged_update_is_ok = true;  // upstream's one exception, pinned by its tests
  registry.add(std::move(global_provider));
  registry.add(make_kind<Metric>());
  registry.add(make_kind<MetricsProvider>());
  registry.add(make_kind<Role>());
  registry.add(make_kind<RoleBinding>());
  auto lease = make_kind<Lease>();
  lease.leased = true;
  registry.add(std::move(lease));
}

}  // namespace krake
