#include "store/bounded_store.h"

namespace krake::store {

namespace {

constexpr const char* kCall = "the call of the store";
constexpr const char* kCommit = "the commit";

// Of everything but commits it is all the same whether it was carried out.
Error no_answer(Error timeout) { return {Code::unavailable, std::move(timeout.message)}; }
Error unknown_outcome(Error timeout) {
  return with_context(std::move(timeout),
                      "the outcome is unknown, the write may have been carried out or not; read to find out");
}

}  // namespace

BoundedStore::BoundedStore(Store& inner, Clock& clock, BoundedOptions options)
    : inner_(inner), deadlines_(clock), options_(options) {}

Awaitable<Result<std::optional<Entry>>> BoundedStore::get(std::string key) {
  return deadlines_.within(options_.call, kCall, no_answer, inner_.get(std::move(key)));
}
Awaitable<Result<Listing>> BoundedStore::list(std::string prefix, ListOptions options) {
  // What is done with its pages is part of its time.
  const auto limit = options.each_page ? options_.list_in_pages : options_.list;
  return deadlines_.within(limit, kCall, no_answer, inner_.list(std::move(prefix), std::move(options)));
}
Awaitable<Result<CommitResult>> BoundedStore::commit(Txn txn) {
  return deadlines_.within(options_.call, kCommit, unknown_outcome, inner_.commit(std::move(txn)));
}
Awaitable<Result<std::unique_ptr<Watch>>> BoundedStore::watch(std::string prefix, Revision after) {
  return deadlines_.within(options_.call, kCall, no_answer, inner_.watch(std::move(prefix), after));
}
Awaitable<Result<Revision>> BoundedStore::current() {
  if (inner_.current_is_local()) return inner_.current();  // of every read: a timer would cost more than the call
  return deadlines_.within(options_.call, kCall, no_answer, inner_.current());
}
Awaitable<Status> BoundedStore::compact(Revision revision) {
  return deadlines_.within(options_.call, kCall, no_answer, inner_.compact(revision));
}
Awaitable<Result<LeaseId>> BoundedStore::grant(Duration ttl) {
  return deadlines_.within(options_.call, kCall, no_answer, inner_.grant(ttl));
}
Awaitable<Status> BoundedStore::keep_alive(LeaseId lease) {
  return deadlines_.within(options_.call, kCall, no_answer, inner_.keep_alive(lease));
}
Awaitable<Status> BoundedStore::revoke(LeaseId lease) {
  return deadlines_.within(options_.call, kCall, no_answer, inner_.revoke(lease));
}
Awaitable<Status> BoundedStore::writable() {
  return deadlines_.within(options_.call, kCall, no_answer, inner_.writable());
}

}  // namespace krake::store
