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

#include "base/cancel_scope.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/wait_point.h"

namespace krake {

// A condition variable for coroutines: wait() suspends until the next notify. Wake-ups may be spurious: wait in a loop
// on the condition itself. The notifier must outlive its waiters.
class Notifier {
  using Hook = boost::intrusive::list_base_hook<boost::intrusive::tag<Notifier>,
                                                boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;

 public:
  // Is told of each notify, within it, as long as it lives. Must only note it or put it off.
  class Listener : public Hook {
   public:
    virtual void notified() = 0;

   protected:
    ~Listener() = default;
  };

  explicit Notifier(const boost::asio::any_io_executor& executor) : lot_(WaitPoint::lot_of(executor)) {}

  void add(Listener& listener) { listeners_.push_back(listener); }
  void notify_all();
  Awaitable<void> wait();
  // False when `deadline` came first.
  Awaitable<bool> wait_until(Clock& clock, Mono deadline);

 private:
  struct Waiter final : WaitPoint, Listener {
    using WaitPoint::WaitPoint;
    void notified() override { wake(); }
  };
  WaitPoint::Lot& lot_;
  // Woken waiters stay until they have run.
  boost::intrusive::list<Listener, boost::intrusive::base_hook<Hook>, boost::intrusive::constant_time_size<false>>
      listeners_;
};

Awaitable<void> sleep_until(Clock& clock, Mono when);
inline Awaitable<void> sleep_for(Clock& clock, Duration time) { return sleep_until(clock, clock.now() + time); }
// Lets everything that is ready run first.
Awaitable<void> yield();

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

// The result of `operation`; an exception becomes Code::internal. After `limit` it is cancelled (terminal) and waited
// for, and is Code::timeout unless it has a value all the same; what ends at the limit is late. The caller's
// cancellation passes through it. `what` completes the sentence "... did not finish within 5s". For calls that are
// many: Deadlines.
template <class T>
Awaitable<Result<T>> with_timeout(Clock& clock, Duration limit, std::string what, Awaitable<Result<T>> operation) {
  CancelScope scope(co_await boost::asio::this_coro::executor);
  const auto timer = clock.at(clock.now() + limit, [&scope] { scope.cancel(); });
  auto result = co_await scope.run(std::move(operation));
  if (scope.cancelled() && !(result && *result)) co_return fail(late_error(what, limit));
  co_return std::move(*result);
}

// Cancels a scope when it is notified of something that is a reason to: `due()`. Asked at once, too.
template <class Due>
class CancelWhen final : public Notifier::Listener {
 public:
  CancelWhen(CancelScope& scope, Notifier& notifier, Due due) : scope_(scope), due_(std::move(due)) {
    notifier.add(*this);
    notified();
  }
  void notified() override {
    if (due_()) scope_.cancel();
  }

 private:
  CancelScope& scope_;
  Due due_;
};

// The result of `operation`; an exception becomes Code::internal. Once `notifier` is notified and `due()` is true, it
// is cancelled (terminal) and waited for: what it returns all the same, or nothing. The notifier must outlive it.
template <class T, class Due>
Awaitable<std::optional<Result<T>>> unless(Notifier& notifier, Due due, Awaitable<Result<T>> operation) {
  CancelScope scope(co_await boost::asio::this_coro::executor);
  const CancelWhen when(scope, notifier, std::move(due));
  co_return co_await scope.run(std::move(operation));
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
