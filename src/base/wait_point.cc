#include "base/wait_point.h"

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/check.h"

namespace krake {

namespace asio = boost::asio;

// Those of one loop who wait. They own the frames the points are in: who goes down with the loop must be found.
class WaitPoint::Lot final : public asio::execution_context::service {
 public:
  using key_type = Lot;
  static inline asio::execution_context::id id;

  explicit Lot(asio::execution_context& context)
      : service(context), executor_(static_cast<asio::io_context&>(context).get_executor()) {}

  void add(WaitPoint& point) { waiting_.push_back(point); }
  void post(std::move_only_function<void()> resume) { asio::post(executor_, std::move(resume)); }

 private:
  void shutdown() override {
    while (!waiting_.empty()) {
      WaitPoint& point = waiting_.front();
      waiting_.pop_front();
      const auto dies = std::exchange(point.resume_, nullptr);
    }
  }
  asio::io_context::executor_type executor_;
  boost::intrusive::list<WaitPoint, boost::intrusive::constant_time_size<false>> waiting_;
};

WaitPoint::Lot& WaitPoint::lot_of(const asio::any_io_executor& executor) {
  return asio::use_service<Lot>(asio::query(executor, asio::execution::context));
}

WaitPoint::~WaitPoint() = default;

asio::awaitable<void> WaitPoint::wait() {
  co_await asio::async_initiate<const asio::use_awaitable_t<>&, void()>(
      [this](auto resume) {
        CHECK(!resume_, "one waits here");
        if (auto slot = asio::get_associated_cancellation_slot(resume); slot.is_connected())
          slot.assign([this](asio::cancellation_type) { wake(); });
        resume_ = std::move(resume);
        lot_.add(*this);
      },
      asio::use_awaitable);
  const auto state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none && co_await asio::this_coro::throw_if_cancelled())
    throw boost::system::system_error(asio::error::operation_aborted);
}

void WaitPoint::wake() {
  if (!resume_) return;
  unlink();
  lot_.post(std::exchange(resume_, nullptr));
}

}  // namespace krake
