// A Store that misbehaves within the contract, for tests and the simulator: what networks, disks and other writers do
// to a caller, by chance or by script. Nothing it answers is impossible for a real store. Thread: the loop.
#pragma once

#include <deque>
#include <string>

#include "base/clock.h"
#include "base/random.h"
#include "store/store.h"

namespace krake::store {

// Chances of each fault per call, 0..1.
struct FaultRates {
  double conflict = 0;     // another writer writes a guarded key again, with the same bytes, just before the commit
  double unavailable = 0;  // a commit is refused: unavailable or timeout, not applied
  double lost_answer = 0;  // a commit is applied and answers timeout
  double read_unavailable = 0;  // get, list, watch, current, lease calls
  double delay = 0;             // any call, by up to max_delay
  Duration max_delay = std::chrono::milliseconds(500);
  double watch_cut = 0;  // per delivery: the watch ends with unavailable
  double watch_lag = 0;  // per delivery: it comes up to max_lag late
  Duration max_lag = std::chrono::seconds(5);
  double early_compaction = 0;  // per watch() and delivery: compacted, although the history is there
};

enum class CommitFault : std::uint8_t { none, conflict, unavailable, timeout, lost_answer };
enum class ReadFault : std::uint8_t { none, unavailable };
enum class WatchFault : std::uint8_t { none, cut, compacted, lag };

class FaultyStore final : public Store {
 public:
  // All of them outlive the store and its watches.
  FaultyStore(Store& inner, boost::asio::any_io_executor executor, Clock& clock, Random random, FaultRates rates = {});
  ~FaultyStore() override;

  void set_rates(FaultRates rates);
  // The next calls of each kind meet these, in order, before chance does. `none` lets one pass unharmed.
  void script(CommitFault fault);
  void script(ReadFault fault);
  void script(WatchFault fault);  // one per delivery
  // Ends every watch now: unavailable.
  void cut_watches();
  // While it is away every call answers unavailable, and watches are cut.
  void set_away(bool away);
  std::uint64_t faults() const;  // met so far

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
  const std::string& id() const override;

  struct Faults;  // shared with the watches

 private:
  template <class T>
  Awaitable<Result<T>> harmed(Awaitable<Result<T>> operation);
  Awaitable<void> write_guarded_key_again(std::vector<Guard> guards);

  Store& inner_;
  std::shared_ptr<Faults> faults_;
};

}  // namespace krake::store
