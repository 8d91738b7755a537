// The few coroutine tools everything else is made of. Thread: the loop.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/multiple_exceptions.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "base/clock.h"
#include "base/error.h"
#include "base/wait_point.h"

namespace krake {

// A condition variable for coroutines: wait() suspends until the next notify. Wake-ups may be spurious: wait in a loop
// on the condition itself. The notifier must outlive its waiters.
class Notifier {
 public:
  explicit Notifier(const boost::asio::any_io_executor& executor) : lot_(WaitPoint::lot_of(executor)) {}

  void notify_all();
  Awaitable<void> wait();
  // False when `deadline` came first.
  Awaitable<bool> wait_until(Clock& clock, Mono deadline);

 private:
  using Hook = boost::intrusive::list_base_hook<boost::intrusive::tag<Notifier>,
                                                boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;
  struct Waiter : WaitPoint, Hook {
    using WaitPoint::WaitPoint;
  };
  WaitPoint::Lot& lot_;
  // Woken ones stay until they have run.
  boost::intrusive::list<Waiter, boost::intrusive::base_hook<Hook>, boost::intrusive::constant_time_size<false>>
      waiters_;
};

Awaitable<void> sleep_until(Clock& clock, Mono when);
inline Awaitable<void> sleep_for(Clock& clock, Duration time) { return sleep_until(clock, clock.now() + time); }
// Lets everything that is ready run first.
Awaitable<void> yield();

inline Error unexpected_exception(const std::string& what) { return {Code::internal, "unexpected exception: " + what}; }

// The result of `operation`; an exception becomes Code::internal. Cancellation passes.
template <class T>
Awaitable<Result<T>> caught(Awaitable<Result<T>> operation) {
  std::string what;
  try {
    co_return co_await std::move(operation);
  } catch (const boost::system::system_error& error) {
    if (error.code() == boost::asio::error::operation_aborted) throw;
    what = error.what();
  } catch (const std::exception& error) {
    what = error.what();
  }
  co_return fail(unexpected_exception(what));
}

inline Error late_error(const std::string& what, Duration limit) {
  return {Code::timeout, what + " did not finish within " +
                             std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(limit).count()) +
                             " ms"};
}

// The result of `operation`, or Code::timeout after `limit`; then the operation is cancelled (terminal) and waited for.
// `what` completes the sentence "... did not finish within 5s". For calls that are many: Deadlines.
template <class T>
Awaitable<Result<T>> with_timeout(Clock& clock, Duration limit, std::string what, Awaitable<Result<T>> operation) {
  using namespace boost::asio::experimental::awaitable_operators;
  std::optional<std::variant<Result<T>, std::monostate>> outcome;
  try {
    outcome = co_await (caught(std::move(operation)) || sleep_for(clock, limit));
  } catch (const boost::asio::multiple_exceptions& both) {
    // Both branches were cancelled with us: go on as the one exception everybody expects.
    std::rethrow_exception(both.first_exception());
  }
  if (outcome->index() == 0) co_return std::move(std::get<0>(*outcome));
  co_return fail(late_error(what, limit));
}

// Mutual exclusion between coroutines of one loop, first come first served.
class AsyncMutex {
 public:
  explicit AsyncMutex(const boost::asio::any_io_executor& executor) : free_(executor) {}

  class Lock {
   public:
    explicit Lock(AsyncMutex& mutex) : mutex_(&mutex) {}
    Lock(Lock&& other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)) {}
    Lock& operator=(Lock&&) = delete;
    ~Lock() {
      if (mutex_) mutex_->unlock();
    }

   private:
    AsyncMutex* mutex_;
  };
  [[nodiscard]] Awaitable<Lock> lock();

 private:
  void unlock() {
    locked_ = false;
    free_.notify_all();
  }
  bool locked_ = false;
  Notifier free_;
};

}  // namespace krake
