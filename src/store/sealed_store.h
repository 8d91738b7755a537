// Seals the values of some keys on their way to a Store, and opens all that are sealed on their way back: encryption at
// rest. Plain values are read as they are, and sealed when they are written next. What was damaged is passed on as it
// is, for its reader to isolate. Thread: the loop.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/sealing.h"
#include "store/store.h"

namespace krake::store {

// What becomes of a value whose key is not here. `refuse`: the whole call or watch fails, for readers that must not
// take what they do not see for what is not there. `isolate`: it is passed on as it is, `sealed_with` names its key.
enum class Unopened { refuse, isolate };

class SealedStore final : public Store {
 public:
  // Nothing is sealed without keys that seal. `prefixes`: of the keys whose values are.
  SealedStore(std::unique_ptr<Store> inner, SealingKeys keys, std::vector<std::string> prefixes, Unopened unopened);

  Awaitable<Result<std::optional<Entry>>> get(std::string key) override;
  Awaitable<Result<Listing>> list(std::string prefix, ListOptions options) override;
  Awaitable<Result<CommitResult>> commit(Txn txn) override;
  Awaitable<Result<std::unique_ptr<Watch>>> watch(std::string prefix, Revision after) override;
  Awaitable<Result<Revision>> current() override { return inner_->current(); }
  bool current_is_local() const override { return inner_->current_is_local(); }
  Awaitable<Status> compact(Revision revision) override { return inner_->compact(revision); }
  Awaitable<Result<LeaseId>> grant(Duration ttl) override { return inner_->grant(ttl); }
  Awaitable<Status> keep_alive(LeaseId lease) override { return inner_->keep_alive(lease); }
  Awaitable<Status> revoke(LeaseId lease) override { return inner_->revoke(lease); }
  Awaitable<Status> writable() override { return inner_->writable(); }
  const std::string& id() const override { return inner_->id(); }

 private:
  std::unique_ptr<Store> inner_;
  std::shared_ptr<const SealingKeys> keys_;  // watches may outlive the store
  Unopened unopened_;
  std::vector<std::string> prefixes_;
};

}  // namespace krake::store
