// A queue of keys. A key waits at most once however often it is added; while it is being worked on it is not handed out
// again, and if it was added meanwhile it comes back. Deadlines are separate from dirtiness: a key added now is not
// held up by one for later. Keys of different namespaces take turns. Not a coroutine itself: ControllerLoop pulls.
// Thread: the loop.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "base/clock.h"
#include "client/client.h"

namespace krake {

class WorkQueue {
 public:
  // `debounce`: after a key was worked on, further adds of it within this time are gathered and come at its end. The
  // first add of a quiet key passes at once.
  explicit WorkQueue(Duration debounce = {}) : debounce_(debounce) {}

  void add(const ObjectKey& key, Mono now);
  // Not before `when`; the earliest of several wins. Does not delay an add().
  void add_at(const ObjectKey& key, Mono when);
  void forget(const ObjectKey& key);  // drops deadlines and the debounce memory of a key that is gone

  // The next key to work on, marked as being worked on; nullopt when none is due.
  std::optional<ObjectKey> take(Mono now);
  void done(const ObjectKey& key, Mono now);
  // When take() could next return something it does not return now.
  std::optional<Mono> next_deadline() const;

  std::size_t ready() const { return ready_.size(); }
  std::size_t working() const { return working_.size(); }
  std::size_t waiting() const { return deadlines_.size(); }
  bool idle() const { return ready_.empty() && working_.empty(); }

 private:
  void make_ready(const ObjectKey& key);
  void promote(Mono now);

  Duration debounce_;
  // Per namespace a FIFO; `turns_` holds the namespaces with something ready, in turn.
  std::map<std::string, std::deque<ObjectKey>> fifo_;
  std::deque<std::string> turns_;
  std::set<ObjectKey> ready_;
  std::set<ObjectKey> working_;
  std::set<ObjectKey> again_;  // added while being worked on
  std::map<ObjectKey, Mono> deadlines_;
  std::set<std::pair<Mono, ObjectKey>> by_time_;
  std::map<ObjectKey, Mono> quiet_after_;  // of the last work, plus debounce
  std::size_t sweep_at_ = 64;              // so many entries: then those that are over go
};

}  // namespace krake
