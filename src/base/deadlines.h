// Limits on the time of calls that are many and nearly always finish in time: with_timeout() with one timer for all of
// them. Thread: the loop.
#pragma once

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
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
    ~Call();
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

    // Of an operation that ended by an exception; nothing when that was the cancellation at the deadline. Throws on
    // when it was one by the caller.
    std::optional<Error> unexpected(const std::exception_ptr& thrown) const;

    boost::asio::cancellation_signal signal;

   private:
    friend struct Calls;
    std::shared_ptr<Calls> calls_;
    std::multimap<Mono, Call*>::iterator place_;  // end: over its deadline
  };

  template <class T>
  static Awaitable<Result<T>> run(std::shared_ptr<Calls> calls, Duration limit, const char* what, Told told,
                                  Awaitable<Result<T>> operation);

  std::shared_ptr<Calls> calls_;
};

// The operation is a coroutine of its own, as that is what can be cancelled alone.
template <class T>
Awaitable<Result<T>> Deadlines::run(std::shared_ptr<Calls> calls, Duration limit, const char* what, Told told,
                                    Awaitable<Result<T>> operation) {
  namespace asio = boost::asio;
  const auto executor = co_await asio::this_coro::executor;
  const Mono deadline = calls->clock.now() + limit;
  Call call(std::move(calls), deadline, executor);
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

}  // namespace krake
