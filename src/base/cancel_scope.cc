#include "base/cancel_scope.h"

#include <boost/asio/multiple_exceptions.hpp>
#include <boost/asio/post.hpp>
#include <boost/system/system_error.hpp>

namespace krake {

namespace asio = boost::asio;

CancelScope::~CancelScope() {
  if (posted_) *posted_ = nullptr;
}

void CancelScope::cancel() {
  if (cancelled_ || posted_) return;
  posted_ = std::make_shared<CancelScope*>(this);
  asio::post(executor_, [posted = posted_] {
    if (CancelScope* scope = *posted) scope->cancel_now();
  });
}

void CancelScope::cancel_now() {
  if (std::exchange(cancelled_, true)) return;
  signal_.emit(asio::cancellation_type::terminal);
}

std::optional<Error> unexpected(const std::exception_ptr& thrown, bool by_us, bool by_caller) {
  try {
    std::rethrow_exception(thrown);
  } catch (const asio::multiple_exceptions& several) {
    // Branches of the operation that were cancelled together: the first stands for all.
    return unexpected(several.first_exception(), by_us, by_caller);
  } catch (const boost::system::system_error& why) {
    const bool cancelled = why.code() == asio::error::operation_aborted;
    if (cancelled && by_us) return std::nullopt;
    if (cancelled && by_caller) throw;
    return unexpected_exception(why.what());
  } catch (const std::exception& why) {
    return unexpected_exception(why.what());
  }
}

}  // namespace krake
