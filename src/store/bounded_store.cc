#include "store/bounded_store.h"

#include <fmt/format.h>

#include "base/async.h"

namespace krake::store {

namespace {

std::int64_t ms(Duration duration) { return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count(); }

// Of everything but commits it is all the same whether it was carried out.
template <class T>
Awaitable<Result<T>> within(Clock& clock, Duration limit, Awaitable<Result<T>> call) {
  auto result = co_await with_timeout(clock, limit, "the store", std::move(call));
  if (!result && result.error().code == Code::timeout)
    co_return fail(Code::unavailable, fmt::format("the store did not answer within {} ms", ms(limit)));
  co_return result;
}

Awaitable<Result<CommitResult>> committed_within(Clock& clock, Duration limit, Awaitable<Result<CommitResult>> call) {
  auto result = co_await with_timeout(clock, limit, "the commit", std::move(call));
  if (!result && result.error().code == Code::timeout) {
    co_return fail(
        with_context(std::move(result).error(),
                     "the outcome is unknown, the write may have been carried out or not; read to find out"));
  }
  co_return result;
}

}  // namespace

BoundedStore::BoundedStore(Store& inner, Clock& clock, BoundedOptions options)
    : inner_(inner), clock_(clock), options_(options) {}

Awaitable<Result<std::optional<Entry>>> BoundedStore::get(std::string key) {
  return within(clock_, options_.call, inner_.get(std::move(key)));
}
Awaitable<Result<Listing>> BoundedStore::list(std::string prefix, ListOptions options) {
  return within(clock_, options_.list, inner_.list(std::move(prefix), std::move(options)));
}
Awaitable<Result<CommitResult>> BoundedStore::commit(Txn txn) {
  return committed_within(clock_, options_.call, inner_.commit(std::move(txn)));
}
Awaitable<Result<std::unique_ptr<Watch>>> BoundedStore::watch(std::string prefix, Revision after) {
  return within(clock_, options_.call, inner_.watch(std::move(prefix), after));
}
Awaitable<Result<Revision>> BoundedStore::current() {
  if (inner_.current_is_local()) return inner_.current();  // of every read: a timer would cost more than the call
  return within(clock_, options_.call, inner_.current());
}
Awaitable<Status> BoundedStore::compact(Revision revision) {
  return within(clock_, options_.call, inner_.compact(revision));
}
Awaitable<Result<LeaseId>> BoundedStore::grant(Duration ttl) {
  return within(clock_, options_.call, inner_.grant(ttl));
}
Awaitable<Status> BoundedStore::keep_alive(LeaseId lease) {
  return within(clock_, options_.call, inner_.keep_alive(lease));
}
Awaitable<Status> BoundedStore::revoke(LeaseId lease) { return within(clock_, options_.call, inner_.revoke(lease)); }
Awaitable<Status> BoundedStore::writable() { return within(clock_, options_.call, inner_.writable()); }

}  // namespace krake::store
