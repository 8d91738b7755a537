// A call that may be cut short by something else than its caller: a deadline, a notification. It costs one coroutine
// and, unlike a race of two of them (`a || b`), no exception when nothing cuts it short. Thread: the loop; cancel()
// also from where a simulated clock fires.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "base/error.h"

namespace krake {

// Lives in the frame that waits for the call, which is one at a time.
class CancelScope {
 public:
  explicit CancelScope(boost::asio::any_io_executor executor) : executor_(std::move(executor)) {}
  ~CancelScope();
  CancelScope(const CancelScope&) = delete;
  CancelScope& operator=(const CancelScope&) = delete;

  // Cancels (terminal) what runs: cancel() soon and not within, cancel_now() within. Once is enough.
  void cancel();
  void cancel_now();
  // That it was cancelled by one of these, in time to matter or not.
  bool cancelled() const { return cancelled_; }

  // The result of `operation`; an exception becomes Code::internal. When the scope is cancelled, `operation` is waited
  // for: what it returns all the same, or nothing when it is given up. The caller's cancellation passes through it.
  // One that is cancelled already starts nothing.
  template <class T>
  Awaitable<std::optional<Result<T>>> run(Awaitable<Result<T>> operation);

 private:
  boost::asio::any_io_executor executor_;
  boost::asio::cancellation_signal signal_;
  bool cancelled_ = false;
  std::shared_ptr<CancelScope*>
      posted_;  // there while a cancellation is on its way; points to nothing when we are gone
};

inline Error unexpected_exception(const std::string& what) { return {Code::internal, "unexpected exception: " + what}; }
// Of an operation that ended by an exception; nothing when that was a cancellation by us. One by the caller is thrown
// on; one by nobody is as unexpected as any other exception.
std::optional<Error> unexpected(const std::exception_ptr& thrown, bool by_us, bool by_caller);

// The operation is a coroutine of its own, as that is what can be cancelled alone.
template <class T>
Awaitable<std::optional<Result<T>>> CancelScope::run(Awaitable<Result<T>> operation) {
  namespace asio = boost::asio;
  if (cancelled_) co_return std::nullopt;
  std::exception_ptr thrown;
  Result<T> result;
  co_await asio::async_initiate<const asio::use_awaitable_t<>&, void()>(
      [&](auto resume) {
        if (auto caller = asio::get_associated_cancellation_slot(resume); caller.is_connected())
          caller.assign([this](asio::cancellation_type type) { signal_.emit(type); });
        asio::co_spawn(
            executor_, std::move(operation),
            asio::bind_cancellation_slot(signal_.slot(), [&thrown, &result, resume = std::move(resume)](
                                                             std::exception_ptr error, Result<T> answer) mutable {
              thrown = std::move(error);
              result = std::move(answer);
              std::move(resume)();
            }));
      },
      asio::use_awaitable);
  if (!thrown) co_return std::move(result);
  const auto caller = co_await asio::this_coro::cancellation_state;
  if (auto error = unexpected(thrown, cancelled_, caller.cancelled() != asio::cancellation_type::none))
    co_return fail(std::move(*error));
  co_return std::nullopt;
}

}  // namespace krake
