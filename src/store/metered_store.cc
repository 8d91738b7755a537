#include "store/metered_store.h"

#include <prometheus/counter.h>
#include <prometheus/histogram.h>

namespace krake::store {

namespace {

template <class T>
std::string_view result_label(const Result<T>& result) {
  if (!result) return to_string(result.error().code);
  if constexpr (std::is_same_v<T, CommitResult>) {
    if (std::holds_alternative<Conflict>(*result)) return "conflict";
  }
  return "ok";
}

prometheus::Counter& result_counter(Metrics& metrics, const std::string& operation, const std::string& result) {
  return metrics.counter("krake_store_operations_total", "Calls to the store, by result.",
                         {{"operation", operation}, {"result", result}});
}

Awaitable<Result<std::vector<CommitEvent>>> counted(Awaitable<Result<std::vector<CommitEvent>>> next,
                                                    prometheus::Counter* events) {
  auto result = co_await std::move(next);
  if (result) events->Increment(static_cast<double>(result->size()));
  co_return result;
}

class MeteredWatch final : public Watch {
 public:
  MeteredWatch(std::unique_ptr<Watch> inner, prometheus::Counter& events)
      : inner_(std::move(inner)), events_(&events) {}
  Awaitable<Result<std::vector<CommitEvent>>> next() override { return counted(inner_->next(), events_); }

 private:
  std::unique_ptr<Watch> inner_;
  prometheus::Counter* events_;
};

}  // namespace

MeteredStore::MeteredStore(Store& inner, Clock& clock, Metrics& metrics)
    : inner_(inner),
      clock_(clock),
      metrics_(metrics),
      get_(series("get")),
      list_(series("list")),
      commit_(series("commit")),
      watch_(series("watch")),
      current_(series("current")),
      compact_(series("compact")),
      grant_(series("grant")),
      keep_alive_(series("keep_alive")),
      revoke_(series("revoke")) {}

MeteredStore::Series MeteredStore::series(const std::string& operation) {
  return {
      operation,
      &metrics_.histogram("krake_store_operation_seconds", "Time calls to the store took.", {{"operation", operation}}),
      &result_counter(metrics_, operation, "ok")};
}

// Measured however it ends: a call nobody waits for any more is what a store that hangs looks like.
struct MeteredStore::Call {
  MeteredStore& store;
  const Series& series;
  Mono start = store.clock_.now();
  std::string_view label = "cancelled";
  int unwinding = std::uncaught_exceptions();
  ~Call() {
    // Destroyed with the whole loop: what it would be counted in may be gone.
    if (label == "cancelled" && std::uncaught_exceptions() == unwinding) return;
    series.seconds->Observe(std::chrono::duration<double>(store.clock_.now() - start).count());
    (label == "ok" ? *series.ok : result_counter(store.metrics_, series.operation, std::string(label))).Increment();
  }
};

template <class T>
Awaitable<Result<T>> MeteredStore::timed(const Series& series, Awaitable<Result<T>> call) {
  Call measured{*this, series};
  auto result = co_await std::move(call);
  measured.label = result_label(result);
  co_return result;
}

Awaitable<Result<std::optional<Entry>>> MeteredStore::get(std::string key) {
  return timed(get_, inner_.get(std::move(key)));
}
Awaitable<Result<Listing>> MeteredStore::list(std::string prefix, ListOptions options) {
  return timed(list_, inner_.list(std::move(prefix), std::move(options)));
}
Awaitable<Result<CommitResult>> MeteredStore::commit(Txn txn) { return timed(commit_, inner_.commit(std::move(txn))); }

Awaitable<Result<std::unique_ptr<Watch>>> MeteredStore::watch(std::string prefix, Revision after) {
  ASSIGN_OR_CO_RETURN(auto inner, co_await timed(watch_, inner_.watch(std::move(prefix), after)));
  auto& events = metrics_.counter("krake_store_watch_events_total", "Commits delivered to watches of the store.");
  co_return std::make_unique<MeteredWatch>(std::move(inner), events);
}

Awaitable<Result<Revision>> MeteredStore::current() { return timed(current_, inner_.current()); }
Awaitable<Status> MeteredStore::compact(Revision revision) { return timed(compact_, inner_.compact(revision)); }
Awaitable<Result<LeaseId>> MeteredStore::grant(Duration ttl) { return timed(grant_, inner_.grant(ttl)); }
Awaitable<Status> MeteredStore::keep_alive(LeaseId lease) { return timed(keep_alive_, inner_.keep_alive(lease)); }
Awaitable<Status> MeteredStore::revoke(LeaseId lease) { return timed(revoke_, inner_.revoke(lease)); }

}  // namespace krake::store
