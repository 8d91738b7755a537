// Where one coroutine waits for others of its loop: what a timer that never expires is used for elsewhere, without the
// timer, and so without the reactor and its system calls where nothing else needs them. Thread: the loop.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/intrusive/list.hpp>
#include <functional>

namespace krake {

class WaitPoint : public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  class Lot;
  // Those who wait on one loop; `executor` is one of an io_context. To be looked up once.
  static Lot& lot_of(const boost::asio::any_io_executor& executor);

  explicit WaitPoint(Lot& lot) : lot_(lot) {}
  ~WaitPoint();
  WaitPoint(const WaitPoint&) = delete;
  WaitPoint& operator=(const WaitPoint&) = delete;

  // Until wake(), by nobody else at the same time. Throws operation_aborted when the coroutine is cancelled, also when
  // it was woken before it could run; where this_coro::throw_if_cancelled is off, it returns. As with all that is
  // pending there, the coroutine dies with its loop.
  boost::asio::awaitable<void> wait();
  // Who waits runs soon, not within. Nothing when nobody does, and not remembered.
  void wake();

 private:
  Lot& lot_;
  std::move_only_function<void()> resume_;  // there while one waits, and then in the lot
};

}  // namespace krake
