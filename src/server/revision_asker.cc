#include "server/revision_asker.h"

namespace krake::server {

struct RevisionAsker::Question {
  explicit Question(const boost::asio::any_io_executor& executor) : settled(executor) {}
  void settle(Answer the_answer) {
    answer = std::move(the_answer);
    settled.notify_all();
  }
  std::optional<Answer> answer;
  Notifier settled;
};

// A question on its way: settled however that ends.
struct RevisionAsker::Flight {
  Flight(RevisionAsker& the_owner, std::shared_ptr<Question> the_question)
      : owner(the_owner), question(std::move(the_question)), answer(owner.answer_now()) {
    owner.in_flight_ = true;
  }
  Flight(const Flight&) = delete;
  Flight& operator=(const Flight&) = delete;
  ~Flight() {
    owner.in_flight_ = false;
    // They need not wait as long again to hear the same.
    if (const auto next = answer.newest ? nullptr : std::exchange(owner.next_, nullptr)) next->settle(answer);
    question->settle(std::move(answer));
    owner.send_soon();
  }
  RevisionAsker& owner;
  std::shared_ptr<Question> question;
  Answer answer;
};

RevisionAsker::RevisionAsker(Env& env, store::Store& store, std::function<Known()> known)
    : env_(env), store_(store), known_(std::move(known)), tasks_(env.executor) {}

RevisionAsker::Answer RevisionAsker::answer_now() const {
  return {.newest = fail(Code::unavailable, "the server stops"), .asked = env_.clock.now(), .known = known_()};
}

Awaitable<RevisionAsker::Answer> RevisionAsker::ask() {
  if (store_.current_is_local()) {
    Answer answer = answer_now();
    answer.newest = co_await store_.current();
    co_return answer;
  }
  if (stopped_) co_return answer_now();
  if (!next_) next_ = std::make_shared<Question>(env_.executor);
  const auto question = next_;
  send_soon();
  while (!question->answer) co_await question->settled.wait();
  co_return *question->answer;
}

void RevisionAsker::send_soon() {
  if (!next_ || sending_ || stopped_ || in_flight_) return;
  sending_ = true;
  tasks_.spawn("ask the store", send());
}

// Some turns of the loop later: who comes in the same moment comes along, and so does who was answered a moment ago and
// asks anew. With fewer turns half of many readers asks while the other half is answered, and there are twice as many
// questions.
Awaitable<void> RevisionAsker::send() {
  constexpr int kTurns = 3;
  for (int turn = 0; turn < kTurns; ++turn) co_await yield();
  sending_ = false;
  Flight flight(*this, std::exchange(next_, nullptr));
  flight.answer.newest = co_await store_.current();
}

Awaitable<void> RevisionAsker::stop() {
  stopped_ = true;
  co_await tasks_.stop();
  if (const auto question = std::exchange(next_, nullptr)) question->settle(answer_now());
}

}  // namespace krake::server
