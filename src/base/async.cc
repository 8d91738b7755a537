#include "base/async.h"

#include <boost/asio/post.hpp>

namespace krake {

namespace asio = boost::asio;

namespace {
// A wait on `timer` that ends by cancel(): normally when notified, by exception when the coroutine itself is cancelled.
Awaitable<void> wait_for_cancel(std::shared_ptr<asio::steady_timer> timer) {
  boost::system::error_code ec;
  co_await timer->async_wait(asio::redirect_error(asio::use_awaitable, ec));
  const auto state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none) {
    throw boost::system::system_error(asio::error::operation_aborted);
  }
}
}  // namespace

Awaitable<void> Notifier::wait() { return wait_for_cancel(timer_); }

Awaitable<bool> Notifier::wait_until(Clock& clock, Mono deadline) {
  if (clock.now() >= deadline) co_return false;
  bool expired = false;
  // Waking all waiters is allowed (spurious wake-ups) and keeps one timer per notifier.
  const auto handle = clock.at(deadline, [&expired, timer = timer_] {
    expired = true;
    timer->cancel();
  });
  co_await wait_for_cancel(timer_);
  co_return !expired;
}

Awaitable<void> sleep_until(Clock& clock, Mono when) {
  const auto executor = co_await asio::this_coro::executor;
  auto timer = std::make_shared<asio::steady_timer>(executor, asio::steady_timer::time_point::max());
  const auto handle = clock.at(when, [timer] { timer->cancel(); });
  co_await wait_for_cancel(timer);
}

Awaitable<void> yield() { co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable); }

Awaitable<AsyncMutex::Lock> AsyncMutex::lock() {
  while (locked_) co_await free_.wait();
  locked_ = true;
  co_return Lock(*this);
}

}  // namespace krake
