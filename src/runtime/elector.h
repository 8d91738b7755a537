// Runs the election of one controller: asks the API for its lease, renews it, says in which mode the controller is, and
// gives the lease back at the end. The decisions are in election.h.
// Ownership: Env and Client outlive it. stop() before it dies (except when the loop dies too). Thread: the loop.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "api/core/lease.h"
#include "base/env.h"
#include "base/task_group.h"
#include "client/client.h"
#include "client/informer.h"
#include "runtime/election.h"

namespace prometheus {
class Counter;
class Gauge;
}  // namespace prometheus

namespace krake {

struct ElectorOptions {
  std::string name;                        // of the lease: that of the controller
  std::string holder;                      // no other process may ever have the same one
  Duration ttl = std::chrono::seconds(6);  // whole seconds, 2 to 3600
  bool enabled = true;                     // false: leads without asking anybody
};

class Elector {
 public:
  // `client` is for the lease alone: it carries no leadership itself.
  Elector(Env& env, Client& client, ElectorOptions options);
  void start();
  // Returns when the first answer is there, or after `limit`. What is listed after that is as new as the term.
  Awaitable<void> wait_answer(Duration limit = std::chrono::seconds(1));
  // The end of the term, cleanly: standby for good; what runs is waited for, not longer than `patience`; then the lease
  // is given back, so that the next one takes over at once.
  Awaitable<void> resign(Duration patience = std::chrono::milliseconds(100));
  // resign(), and the rest.
  Awaitable<void> stop();

  // By the clock, now: a process may have been stopped since the last line. Right before an act, ask again.
  Mode mode() const { return mode_of(standing_, timing_, env_.clock.now()); }
  // Of the present term; empty in standby and where there are no leases.
  const std::string& epoch() const { return standing_.epoch; }
  // Leads because there is nobody to ask.
  bool alone() const { return standing_.kind == Standing::Kind::alone; }
  // When the request was sent that confirmed the present term last.
  Mono confirmed() const { return standing_.confirmed; }
  // Where nobody could be told that another one leads, a repair-only holder does not go on after that: 2 ttl after the
  // last confirmation.
  Mono unfenced_until() const { return standing_.confirmed + 2 * timing_.ttl; }
  const std::string& holder() const { return options_.holder; }
  // For the header Krake-Leader of each write: NAME/EPOCH. After a lost term still that of the lost one, which the
  // server refuses. Empty where there are no leases.
  std::string leader() const;

  // Somebody was told that the term is over: asks at once.
  void doubt();
  // Called, on the loop, after mode or epoch have become others, as long as the handle lives. Callbacks read the
  // present state.
  [[nodiscard]] std::shared_ptr<void> on_change(std::function<void()> callback);
  // Held while something runs that belongs to the term.
  std::shared_ptr<void> at_work();
  json::Value debug() const;

 private:
  Awaitable<void> run();
  Awaitable<void> watch_the_clock();
  Awaitable<Result<HttpResponse>> ask();
  void take(const Answer& answer, Mono sent);
  void announce();
  void look_at_lease();

  Env& env_;
  Client& client_;
  ElectorOptions options_;
  ElectionTiming timing_;
  Random random_;
  Informer<Lease> leases_;
  Standing standing_;
  std::string last_epoch_;  // also of a term that is over
  std::string why_;         // what the last answer said against us
  int failures_ = 0;
  Duration took_{};  // the last answer
  bool hurried_ = false;
  bool asking_ = false;
  bool answered_ = false;
  bool resigned_ = false;
  bool watching_ = false;
  // What the listeners were told last.
  Mode told_mode_ = Mode::standby;
  std::string told_epoch_;
  std::vector<std::weak_ptr<std::function<void()>>> listeners_;
  struct Work {
    int running = 0;
    Notifier ended;
  };
  std::shared_ptr<Work> work_;  // what runs may end after us
  Notifier wake_;               // ask sooner
  Notifier turned_;             // the standing is another
  prometheus::Gauge& leads_;
  TaskGroup tasks_;
};

}  // namespace krake
