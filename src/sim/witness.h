// Follows the API's watch of applications from the start to the end of a run, as any client may, and checks what it
// promises: revisions never go back, each event fits what came before, and what it has when it is told "everything up
// to here" is what the store had. A stream that breaks it takes up where everything before had come: what it was told
// at the last revision it forgets, and hears again. Where it broke in the middle of a gap it lists. Thread: the loop.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/env.h"
#include "base/task_group.h"
#include "client/client.h"
#include "sim/checks.h"

namespace krake::sim {

class Witness {
 public:
  // All outlive it.
  Witness(Env& env, Client& client, Checks& checks, Reached& reached)
      : env_(env), client_(client), checks_(checks), reached_(reached), tasks_(env.executor) {}
  void start() { tasks_.spawn("witness", run()); }
  // Runs at the first line of each stream. `resumed`: it goes on where one before it broke.
  void on_stream(std::function<void(bool resumed)> hook) { on_stream_ = std::move(hook); }

  // Compares what it has with the store at each point it was told to have everything. To be called when the checks have
  // seen everything.
  void report();
  // Everything up to here has arrived.
  store::Revision complete_up_to() const { return complete_; }
  std::uint64_t events() const { return events_; }

 private:
  using Seen = std::map<std::string, store::Revision>;
  Awaitable<void> run();
  Awaitable<Status> list();
  Awaitable<Status> follow();
  void began(bool resumed);
  Status take(std::string_view line);
  void complete(store::Revision revision);
  void go_back();

  Env& env_;
  Client& client_;
  Checks& checks_;
  Reached& reached_;
  Seen seen_;
  store::Revision revision_ = 0;                                // of the last line
  store::Revision resume_ = 0;                                  // everything up to here has come
  store::Revision mixed_until_ = 0;                             // from the first line of a gap on: where it ends
  std::map<std::string, std::optional<store::Revision>> undo_;  // what was seen of those told of at revision_ before
  store::Revision complete_ = 0;                                // the newest it was promised
  std::string store_;
  std::vector<std::pair<store::Revision, Seen>> points_;
  std::vector<std::string> complaints_;
  std::uint64_t events_ = 0;
  bool broke_ = false;  // a stream since the last list
  std::function<void(bool)> on_stream_;
  TaskGroup tasks_;
};

}  // namespace krake::sim
