// Asks the store for its newest revision, for many readers at once. Each gets the answer to a question asked after its
// call: one already in flight may predate it. With one question at a time everybody would be answered at the same
// moment, and the server idle until the next answer: a few are in flight, spread over the time one takes.
// Thread: the loop.
#pragma once

#include <functional>
#include <memory>

#include "base/env.h"
#include "base/task_group.h"
#include "store/store.h"

namespace krake::server {

class RevisionAsker {
 public:
  // What was known when the question was asked.
  struct Known {
    store::Revision revision = 0;
    std::uint64_t generation = 0;
  };
  struct Answer {
    Result<store::Revision> newest = store::Revision{0};
    Mono asked;
    Known known;
  };
  static constexpr int kInFlight = 2;

  // All outlive it.
  RevisionAsker(Env& env, store::Store& store, std::function<Known()> known);
  RevisionAsker(const RevisionAsker&) = delete;
  RevisionAsker& operator=(const RevisionAsker&) = delete;

  Awaitable<Answer> ask();
  // Whoever waits, or asks later, is told unavailable.
  Awaitable<void> stop();

 private:
  struct Question;
  struct Flight;
  Answer answer_now() const;
  void send_soon();
  Awaitable<void> send();

  Env& env_;
  store::Store& store_;
  std::function<Known()> known_;
  std::shared_ptr<Question> next_;  // not asked yet
  bool sending_ = false;            // send() will run
  bool stopped_ = false;
  int in_flight_ = 0;
  Mono asked_;           // when the last one was
  Duration round_trip_;  // what one took lately
  TaskGroup tasks_;
};

}  // namespace krake::server
