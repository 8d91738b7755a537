#include "api/registry.h"

namespace krake {

const Registry& krake_registry() {
  static const Registry registry = [] {
    Registry r;
    register_core(r);
    register_kubernetes(r);
    register_infrastructure(r);
    register_openstack(r);
    return r;
  }();
  return registry;
}

}  // namespace krake
