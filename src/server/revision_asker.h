// Asks the store for its newest revision, for many readers at once: one question at a time, which all share who came
// before it was asked. (The answer to one already in flight may predate their call.) Several at a time would save
// nobody time: etcd answers linearizable reads in rounds, one after the other. Thread: the loop.
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
  bool in_flight_ = false;
  TaskGroup tasks_;
};

}  // namespace krake::server
