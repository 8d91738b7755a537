#include "server/revision_asker.h"

#include <gtest/gtest.h>

#include <deque>

#include "base/testing.h"
#include "store/memory/memory_store.h"

namespace krake::server {

namespace {

// Answers a question when the test says so.
class SlowStore final : public store::Store {
 public:
  explicit SlowStore(const boost::asio::any_io_executor& executor) : changed_(executor) {}
  std::size_t asked() const { return questions_.size(); }
  void answer(std::size_t question, Result<store::Revision> revision) {
    questions_.at(question) = std::move(revision);
    changed_.notify_all();
  }

  Awaitable<Result<store::Revision>> current() override {
    const auto mine = questions_.size();
    questions_.emplace_back();
    while (!questions_[mine]) co_await changed_.wait();
    co_return *questions_[mine];
  }
  Awaitable<Result<std::optional<store::Entry>>> get(std::string) override { co_return nobody_asks(); }
  Awaitable<Result<store::Listing>> list(std::string, store::ListOptions) override { co_return nobody_asks(); }
  Awaitable<Result<store::CommitResult>> commit(store::Txn) override { co_return nobody_asks(); }
  Awaitable<Result<std::unique_ptr<store::Watch>>> watch(std::string, store::Revision) override {
    co_return nobody_asks();
  }
  Awaitable<Status> compact(store::Revision) override { co_return nobody_asks(); }
  Awaitable<Result<store::LeaseId>> grant(Duration) override { co_return nobody_asks(); }
  Awaitable<Status> keep_alive(store::LeaseId) override { co_return nobody_asks(); }
  Awaitable<Status> revoke(store::LeaseId) override { co_return nobody_asks(); }
  const std::string& id() const override { return id_; }

 private:
  static std::unexpected<Error> nobody_asks() { return fail(Code::internal, "not expected"); }
  const std::string id_ = "slow";
  std::deque<std::optional<Result<store::Revision>>> questions_;
  Notifier changed_;
};

struct RevisionAskerTest : ::testing::Test {
  krake::testing::World world;
  SlowStore store{world.env.executor};
  RevisionAsker asker{world.env, store, [] { return RevisionAsker::Known{7, 1}; }};
  TaskGroup tasks{world.env.executor};
  std::map<int, Result<store::Revision>> answers;  // by reader

  void read(int reader) {
    tasks.spawn("reader", run(reader));
    world.settle();
  }
  Awaitable<void> run(int reader) {
    const auto answer = co_await asker.ask();
    answers.insert_or_assign(reader, answer.newest);
  }
  void answer(std::size_t question, Result<store::Revision> revision) {
    store.answer(question, std::move(revision));
    world.settle();
  }
  ~RevisionAskerTest() override {
    world.run(asker.stop());
    world.run(tasks.stop());
  }
};

TEST_F(RevisionAskerTest, NobodyGetsTheAnswerToAQuestionFromBeforeItsCall) {
  read(1);
  ASSERT_EQ(store.asked(), 1U);
  read(2);
  read(3);
  EXPECT_EQ(store.asked(), 1U) << "one at a time";
  answer(0, 10);
  EXPECT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers.at(1), 10);
  ASSERT_EQ(store.asked(), 2U) << "for all who came meanwhile";
  read(4);
  answer(1, 12);
  EXPECT_EQ(answers.at(2), 12);
  EXPECT_EQ(answers.at(3), 12);
  EXPECT_FALSE(answers.contains(4));
  answer(2, 13);
  EXPECT_EQ(answers.at(4), 13);
}

TEST_F(RevisionAskerTest, WhoComesInTheSameMomentComesAlong) {
  for (int i = 0; i < 50; ++i) tasks.spawn("reader", run(i));
  world.settle();
  EXPECT_EQ(store.asked(), 1U);
  answer(0, 3);
  EXPECT_EQ(answers.size(), 50U);
}

TEST_F(RevisionAskerTest, AnErrorIsForThoseWhoAskedAndWhoLeavesTakesNobodyAlong) {
  read(1);
  TaskGroup impatient(world.env.executor);
  const auto leave = [this]() -> Awaitable<void> { (void)co_await asker.ask(); };
  impatient.spawn("impatient", leave());
  world.settle();
  read(2);  // with the impatient one
  world.run(impatient.stop());
  answer(0, fail(Code::unavailable, "away"));
  for (const int reader : {1, 2}) {
    ASSERT_FALSE(answers.at(reader));
    EXPECT_EQ(answers.at(reader).error().message, "away") << "who waits for the next question is told the same";
  }
  EXPECT_EQ(store.asked(), 1U);
  read(3);
  answer(1, 3);
  EXPECT_EQ(answers.at(3), 3);
}

TEST_F(RevisionAskerTest, WhenItStopsNobodyIsLeftWaiting) {
  for (int i = 0; i < 4; ++i) read(i);
  world.run(asker.stop());
  world.settle();
  ASSERT_EQ(answers.size(), 4U);
  for (const auto& [reader, answer] : answers) EXPECT_EQ(answer.error().code, Code::unavailable) << reader;
  read(5);
  EXPECT_EQ(answers.at(5).error().code, Code::unavailable);
}

}  // namespace

}  // namespace krake::server
