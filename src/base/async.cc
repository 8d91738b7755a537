#include "base/async.h"

#include <boost/asio/post.hpp>

namespace krake {

namespace asio = boost::asio;

void Notifier::notify_all() {
  for (auto& listener : listeners_) listener.notified();
}

Awaitable<void> Notifier::wait() {
  Waiter waiter(lot_);
  listeners_.push_back(waiter);
  co_await waiter.wait();
}

Awaitable<bool> Notifier::wait_until(Clock& clock, Mono deadline) {
  if (clock.now() >= deadline) co_return false;
  Waiter waiter(lot_);
  listeners_.push_back(waiter);
  bool expired = false;
  const auto timer = clock.at(deadline, [&expired, &waiter] {
    expired = true;
    waiter.wake();
  });
  co_await waiter.wait();
  co_return !expired;
}

Awaitable<void> sleep_until(Clock& clock, Mono when) {
  WaitPoint point(WaitPoint::lot_of(co_await asio::this_coro::executor));
  const auto timer = clock.at(when, [&point] { point.wake(); });
  co_await point.wait();
}

Awaitable<void> yield() { co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable); }

Awaitable<AsyncMutex::Lock> AsyncMutex::lock() {
  while (locked_) co_await free_.wait();
  locked_ = true;
  co_return Lock(*this);
}

}  // namespace krake
