// What is to happen when a call takes long, for calls that are many and nearly always finish in time: one timer for all
// of them. Thread: the loop.
#pragma once

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <functional>
#include <map>

#include "base/async.h"

namespace krake {

class Deadlines {
 public:
  // Makes of Code::timeout what the caller is told, whether the limit or the operation itself said it.
  using Told = Error (*)(Error timeout);

  // The clock outlives the calls; the object itself need not.
  explicit Deadlines(Clock& clock) : calls_(std::make_shared<Calls>(clock)) {}

  // The result of `operation`; an exception becomes Code::internal. After `limit`, counted from its start, it is
  // cancelled (terminal) and waited for: what it answers all the same counts, else it is Code::timeout, "`what` did not
  // finish within 5000 ms". The caller's cancellation passes through it. `what` is a literal.
  template <class T>
  Awaitable<Result<T>> within(Duration limit, const char* what, Told told, Awaitable<Result<T>> operation) {
    return run(calls_, limit, what, told, std::move(operation));
  }

  // `first` alone at first, and from `when` on also the coroutine that `make_second` makes, an Awaitable<U>: what the
  // first of them to end returned. The other is cancelled (terminal) and waited for. An exception of `first` becomes
  // Code::internal, one of the second leaves it to `first`. The caller's cancellation passes through both, and what the
  // second returns then does not count.
  template <class T, class Make, class U = typename std::invoke_result_t<Make>::value_type>
  Awaitable<std::variant<Result<T>, U>> joined_at(Mono when, Awaitable<Result<T>> first, Make make_second) {
    return race<T, U>(calls_, when, std::move(first), std::move(make_second));
  }

 private:
  class Call;
  struct Calls : std::enable_shared_from_this<Calls> {
    explicit Calls(Clock& the_clock) : clock(the_clock) {}
    void arm(Mono deadline, const boost::asio::any_io_executor& executor);
    void expire(const boost::asio::any_io_executor& executor);

    Clock& clock;
    std::multimap<Mono, Call*> by_deadline;  // those that are not over it yet
    std::optional<Mono> armed;
    TimerHandle timer;
  };

  // One that is under way. Lives in the frame that waits for it.
  class Call {
   public:
    Call(std::shared_ptr<Calls> calls, Mono deadline, const boost::asio::any_io_executor& executor);
    virtual ~Call();
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;
    // Once, when it is over its deadline.
    virtual void expire() = 0;

   protected:
    void leave();  // it has no deadline any more

   private:
    friend struct Calls;
    std::shared_ptr<Calls> calls_;
    std::multimap<Mono, Call*>::iterator place_;  // end: over it
  };

  // One that ends at its deadline.
  class Limited final : public Call {
   public:
    Limited(std::shared_ptr<Calls> calls, Mono deadline, const boost::asio::any_io_executor& executor)
        : Call(std::move(calls), deadline, executor), scope(executor) {}
    void expire() override { scope.cancel_now(); }
    CancelScope scope;
  };

  // One that a second coroutine joins at its deadline.
  template <class T, class U, class Make>
  class Race;

  template <class T>
  static Awaitable<Result<T>> run(std::shared_ptr<Calls> calls, Duration limit, const char* what, Told told,
                                  Awaitable<Result<T>> operation);
  template <class T, class U, class Make>
  static Awaitable<std::variant<Result<T>, U>> race(std::shared_ptr<Calls> calls, Mono when, Awaitable<Result<T>> first,
                                                    Make make_second);

  std::shared_ptr<Calls> calls_;
};

template <class T>
Awaitable<Result<T>> Deadlines::run(std::shared_ptr<Calls> calls, Duration limit, const char* what, Told told,
                                    Awaitable<Result<T>> operation) {
  const auto executor = co_await boost::asio::this_coro::executor;
  const Mono deadline = calls->clock.now() + limit;
  Limited call(std::move(calls), deadline, executor);
  auto answer = co_await call.scope.run(std::move(operation));
  if (!answer) answer = fail(late_error(what, limit));
  if (!*answer && answer->error().code == Code::timeout) co_return fail(told(std::move(*answer).error()));
  co_return std::move(*answer);
}

template <class T, class U, class Make>
class Deadlines::Race final : public Call {
 public:
  Race(std::shared_ptr<Calls> calls, Mono when, const boost::asio::any_io_executor& executor, Make make)
      : Call(std::move(calls), when, executor), executor_(executor), make_(std::move(make)) {}

  // `resume`: when nothing is under way any more. It owns the frame this lives in, so that it is kept by what is under
  // way, and not here.
  template <class Resume>
  void start(Awaitable<Result<T>> first, Resume resume) {
    boost::asio::co_spawn(executor_, std::move(first),
                          boost::asio::bind_cancellation_slot(
                              first_signal_.slot(),
                              [this, resume = std::move(resume)](std::exception_ptr thrown, Result<T> answer) mutable {
                                leave();
                                thrown_ = std::move(thrown);
                                first_ = std::move(answer);
                                const auto second = after_second_.lock();
                                if (!second) return std::move(resume)();
                                *second = std::move(resume);
                                second_signal_.emit(boost::asio::cancellation_type::terminal);
                              }));
  }
  void expire() override {
    auto after = std::make_shared<After>();
    after_second_ = after;
    boost::asio::co_spawn(executor_, make_(),
                          boost::asio::bind_cancellation_slot(
                              second_signal_.slot(),
                              [this, after = std::move(after)](const std::exception_ptr& thrown, U answer) mutable {
                                if (*after) return std::exchange(*after, nullptr)();
                                after.reset();
                                if (thrown || cancelled_) return;
                                second_ = std::move(answer);
                                first_signal_.emit(boost::asio::cancellation_type::terminal);
                              }));
  }
  void cancel(boost::asio::cancellation_type type) {
    leave();
    cancelled_ = true;
    first_signal_.emit(type);
    if (!after_second_.expired()) second_signal_.emit(type);
  }
  std::variant<Result<T>, U> outcome() {
    using Outcome = std::variant<Result<T>, U>;
    if (second_) return Outcome(std::in_place_index<1>, std::move(*second_));
    if (!thrown_) return Outcome(std::in_place_index<0>, std::move(first_));
    return Outcome(std::in_place_index<0>, fail(unexpected(thrown_, false, cancelled_).value_or(Error())));
  }

 private:
  using After = std::move_only_function<void()>;

  boost::asio::any_io_executor executor_;
  Make make_;
  boost::asio::cancellation_signal first_signal_;
  boost::asio::cancellation_signal second_signal_;
  std::weak_ptr<After> after_second_;  // there while the second is under way; filled when the first is over
  bool cancelled_ = false;             // by the caller
  std::exception_ptr thrown_;          // by the first
  Result<T> first_;
  std::optional<U> second_;  // what it returned while the first was under way
};

template <class T, class U, class Make>
Awaitable<std::variant<Result<T>, U>> Deadlines::race(std::shared_ptr<Calls> calls, Mono when,
                                                      Awaitable<Result<T>> first, Make make_second) {
  namespace asio = boost::asio;
  Race<T, U, Make> both(std::move(calls), when, co_await asio::this_coro::executor, std::move(make_second));
  co_await asio::async_initiate<const asio::use_awaitable_t<>&, void()>(
      [&](auto resume) {
        if (auto caller = asio::get_associated_cancellation_slot(resume); caller.is_connected())
          caller.assign([&both](asio::cancellation_type type) { both.cancel(type); });
        both.start(std::move(first), std::move(resume));
      },
      asio::use_awaitable);
  co_return both.outcome();
}

}  // namespace krake
