// No call waits longer than its limit, whatever the store behind it does: a caller that serves others must not hang
// with it. Over it the call is cancelled and answers unavailable, or timeout when it is a commit, whose outcome is then
// unknown - unless the store knows it after all by then.
// Watches wait as long as they like: nothing may happen for days. Thread: the loop.
#pragma once

#include "base/deadlines.h"
#include "store/store.h"

namespace krake::store {

struct BoundedOptions {
  Duration call = std::chrono::seconds(5);
  Duration list = std::chrono::seconds(60);            // of everything
  Duration list_in_pages = std::chrono::seconds(300);  // and objects made of it, when a server starts
};

class BoundedStore final : public Store {
 public:
  // Both outlive the store.
  BoundedStore(Store& inner, Clock& clock, BoundedOptions options = {});

  Awaitable<Result<std::optional<Entry>>> get(std::string key) override;
  Awaitable<Result<Listing>> list(std::string prefix, ListOptions options = {}) override;
  Awaitable<Result<CommitResult>> commit(Txn txn) override;
  Awaitable<Result<std::unique_ptr<Watch>>> watch(std::string prefix, Revision after) override;
  Awaitable<Result<Revision>> current() override;
  Awaitable<Status> compact(Revision revision) override;
  Awaitable<Result<LeaseId>> grant(Duration ttl) override;
  Awaitable<Status> keep_alive(LeaseId lease) override;
  Awaitable<Status> revoke(LeaseId lease) override;
  Awaitable<Status> writable() override;
  bool current_is_local() const override { return inner_.current_is_local(); }
  const std::string& id() const override { return inner_.id(); }

 private:
  Store& inner_;
  Deadlines deadlines_;
  BoundedOptions options_;
};

}  // namespace krake::store
