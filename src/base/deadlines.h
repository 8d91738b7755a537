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
  // Code::internal, one of the second leaves it to `first`. The caller's cancellation passes through both.
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
    bool is_late() const { return place_ == calls_->by_deadline.end(); }
    void leave();  // it has no deadline any more

   private:
    friend struct Calls;
    std::shared_ptr<Calls> calls_;
    std::multimap<Mono, Call*>::iterator place_;  // end: over it
  };

  // One that ends at its deadline.
  class Limited final : public Call {
   public:
    using Call::Call;
    void expire() override { signal.emit(boost::asio::cancellation_type::terminal); }
    std::optional<Error> unexpected(const std::exception_ptr& thrown) const {
      return Deadlines::unexpected(thrown, is_late());
    }
    boost::asio::cancellation_signal signal;
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
  // Of an operation that ended by an exception; nothing when that was a cancellation by us. Throws on when it was one
  // by the caller.
  static std::optional<Error> unexpected(const std::exception_ptr& thrown, bool cancelled);

  std::shared_ptr<Calls> calls_;
};

// The operation is a coroutine of its own, as that is what can be cancelled alone.
template <class T>
Awaitable<Result<T>> Deadlines::run(std::shared_ptr<Calls> calls, Duration limit, const char* what, Told told,
                                    Awaitable<Result<T>> operation) {
  namespace asio = boost::asio;
  const auto executor = co_await asio::this_coro::executor;
  const Mono deadline = calls->clock.now() + limit;
  Limited call(std::move(calls), deadline, executor);
  std::exception_ptr thrown;
  Result<T> result;
  co_await asio::async_initiate<const asio::use_awaitable_t<>&, void()>(
      [&](auto resume) {
        if (auto caller = asio::get_associated_cancellation_slot(resume); caller.is_connected())
          caller.assign([&call](asio::cancellation_type type) { call.signal.emit(type); });
        asio::co_spawn(
            executor, std::move(operation),
            asio::bind_cancellation_slot(call.signal.slot(), [&thrown, &result, resume = std::move(resume)](
                                                                 std::exception_ptr error, Result<T> answer) mutable {
              thrown = std::move(error);
              result = std::move(answer);
              std::move(resume)();
            }));
      },
      asio::use_awaitable);
  if (thrown) {
    auto unexpected = call.unexpected(thrown);
    result = fail(unexpected ? std::move(*unexpected) : late_error(what, limit));
  }
  if (!result && result.error().code == Code::timeout) co_return fail(told(std::move(result).error()));
  co_return result;
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
                                if (thrown) return;
                                second_ = std::move(answer);
                                first_signal_.emit(boost::asio::cancellation_type::terminal);
                              }));
  }
  void cancel(boost::asio::cancellation_type type) {
    leave();
    first_signal_.emit(type);
    if (!after_second_.expired()) second_signal_.emit(type);
  }
  std::variant<Result<T>, U> outcome() {
    using Outcome = std::variant<Result<T>, U>;
    if (second_) return Outcome(std::in_place_index<1>, std::move(*second_));
    if (!thrown_) return Outcome(std::in_place_index<0>, std::move(first_));
    return Outcome(std::in_place_index<0>, fail(unexpected(thrown_, false).value_or(Error())));
  }

 private:
  using After = std::move_only_function<void()>;

  boost::asio::any_io_executor executor_;
  Make make_;
  boost::asio::cancellation_signal first_signal_;
  boost::asio::cancellation_signal second_signal_;
  std::weak_ptr<After> after_second_;  // there while the second is under way; filled when the first is over
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
