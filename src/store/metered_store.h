// Counts and times what passes through to a Store:
//   krake_store_operation_seconds{operation}    how long calls took, the time of their own awaiting included
//   krake_store_operations_total{operation,result}    result: ok, conflict, or the error's code;
//                                               cancelled: nobody waited for the answer any more
//   krake_store_watch_events_total              commits delivered to watches
// Thread: the loop.
#pragma once

#include "base/clock.h"
#include "base/metrics.h"
#include "store/store.h"

namespace krake::store {

class MeteredStore final : public Store {
 public:
  // All of them outlive the store and its watches.
  MeteredStore(Store& inner, Clock& clock, Metrics& metrics);

  Awaitable<Result<std::optional<Entry>>> get(std::string key) override;
  Awaitable<Result<Listing>> list(std::string prefix, ListOptions options) override;
  Awaitable<Result<CommitResult>> commit(Txn txn) override;
  Awaitable<Result<std::unique_ptr<Watch>>> watch(std::string prefix, Revision after) override;
  Awaitable<Result<Revision>> current() override;
  Awaitable<Status> compact(Revision revision) override;
  Awaitable<Result<LeaseId>> grant(Duration ttl) override;
  Awaitable<Status> keep_alive(LeaseId lease) override;
  Awaitable<Status> revoke(LeaseId lease) override;
  Awaitable<Status> writable() override { return inner_.writable(); }
  bool current_is_local() const override { return inner_.current_is_local(); }
  const std::string& id() const override { return inner_.id(); }

 private:
  struct Series {
    std::string operation;
    prometheus::Histogram* seconds;
    prometheus::Counter* ok;  // the usual result, at hand
  };
  Series series(const std::string& operation);
  struct Call;
  template <class T>
  Awaitable<Result<T>> timed(const Series& series, Awaitable<Result<T>> call);

  Store& inner_;
  Clock& clock_;
  Metrics& metrics_;
  Series get_, list_, commit_, watch_, current_, compact_, grant_, keep_alive_, revoke_;
};

}  // namespace krake::store
