// The kinds Krake ships. A new API group adds its file here, and nowhere else.
#pragma once

#include "meta/kind.h"

namespace krake {

void register_core(Registry& registry);            // core/group.cc
void register_kubernetes(Registry& registry);      // kubernetes/group.cc
void register_infrastructure(Registry& registry);  // infrastructure/group.cc
void register_openstack(Registry& registry);       // openstack/group.cc

// All of the above.
const Registry& krake_registry();

}  // namespace krake
