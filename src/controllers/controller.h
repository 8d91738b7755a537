// What all controllers share: an ordinary client of the public API, a dialler for what they manage, a life cycle.
#pragma once

#include <memory>
#include <string>

#include "base/env.h"
#include "client/client.h"
#include "net/dial.h"
#include "runtime/elector.h"

namespace krake {

// All outlive the controller.
struct ControllerContext {
  Env& env;
  Client& client;  // with the controller's own identity
  Dialer& dialer;  // to workload clusters and metrics providers
  // Whether it may act, and under which epoch. Null: it is the only one of its kind.
  Elector* elector = nullptr;
};

class Controller {
 public:
  virtual ~Controller() = default;
  virtual std::string_view name() const = 0;
  virtual void start() = 0;
  virtual Awaitable<void> stop() = 0;
  // The informers have their first list.
  virtual bool ready() const = 0;
  // Nothing is waiting or being worked on now (deadlines apart): for tests and the simulator.
  virtual bool idle() const = 0;
  virtual std::string debug() const = 0;  // JSON, for /debug/queues
};

}  // namespace krake
