// What stays for an object although it does not go with it. Pure.
#pragma once

#include <vector>

#include "base/json.h"
#include "meta/kind.h"

namespace krake::gc {

// Of an application: the clusters it has left, by its status. Its owners name them until that is written down, and
// `status.cleanup` until what lies there is gone. When one of them is deleted the application stays where it runs, and
// the cluster until nothing of the application is left on it: afterwards nobody could reach that any more. Of other
// kinds: none.
std::vector<ResourceRef> held_by(const Kind& kind, const json::Value& object, const ObjectMeta& meta);

}  // namespace krake::gc
