// The garbage collector: an object that is being deleted takes with it what names it as owner, bottom-up, and goes when
// nothing does any more (control-plane-contract 7). Objects of every kind of the registry take part; those whose owner
// does not exist are left alone; nothing is removed before all kinds were listed. Every delete carries the revision it
// was decided on. Ownership: the context and the registry outlive the controller. Thread: the loop.
#pragma once

#include <memory>

#include "controllers/controller.h"
#include "meta/kind.h"

namespace krake::gc {

struct GcOptions {
  int workers = 5;
  Duration debounce{};
  Duration resync = std::chrono::minutes(10);  // of the informers, and of the look at everything being deleted
  std::size_t deletes_per_pass = 200;
};

std::unique_ptr<Controller> make_garbage_collector(ControllerContext context, GcOptions options,
                                                   const Registry& registry);

}  // namespace krake::gc
