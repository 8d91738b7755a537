#include "base/async.h"

#include <boost/asio/post.hpp>

namespace krake {

namespace asio = boost::asio;

Awaitable<void> wait_for_cancel(asio::steady_timer& timer) {
  boost::system::error_code ec;
  co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ec));
  const auto state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none) {
    throw boost::system::system_error(asio::error::operation_aborted);
  }
}

void Notifier::notify_all() {
  waiters_->all.cancel();
  for (auto* timer : waiters_->with_deadline) timer->cancel();
}

Awaitable<void> Notifier::wait() {
  const auto waiters = waiters_;
  co_await wait_for_cancel(waiters->all);
}

Awaitable<bool> Notifier::wait_until(Clock& clock, Mono deadline) {
  if (clock.now() >= deadline) co_return false;
  struct Place {
    Place(std::shared_ptr<Waiters> the_waiters, asio::steady_timer& timer)
        : waiters(std::move(the_waiters)), at(waiters->with_deadline.insert(waiters->with_deadline.end(), &timer)) {}
    ~Place() { waiters->with_deadline.erase(at); }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    std::shared_ptr<Waiters> waiters;
    std::list<asio::steady_timer*>::iterator at;
  };
  asio::steady_timer timer(waiters_->all.get_executor(), asio::steady_timer::time_point::max());
  bool expired = false;
  const Place place(waiters_, timer);
  const auto handle = clock.at(deadline, [&expired, &timer] {
    expired = true;
    timer.cancel();
  });
  co_await wait_for_cancel(timer);
  co_return !expired;
}

Awaitable<void> sleep_until(Clock& clock, Mono when) {
  const auto executor = co_await asio::this_coro::executor;
  auto timer = std::make_shared<asio::steady_timer>(executor, asio::steady_timer::time_point::max());
  const auto handle = clock.at(when, [timer] { timer->cancel(); });
  co_await wait_for_cancel(*timer);
}

Awaitable<void> yield() { co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable); }

Awaitable<AsyncMutex::Lock> AsyncMutex::lock() {
  while (locked_) co_await free_.wait();
  locked_ = true;
  co_return Lock(*this);
}

}  // namespace krake
