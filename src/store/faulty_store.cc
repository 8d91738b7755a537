#include "store/faulty_store.h"

#include <algorithm>

namespace krake::store {

struct FaultyStore::Faults {
  Faults(const boost::asio::any_io_executor& executor, Clock& the_clock, Random the_random, FaultRates the_rates)
      : clock(the_clock), random(the_random), rates(the_rates), cut(executor) {}

  template <class T>
  static std::optional<T> take(std::deque<T>& script) {
    if (script.empty()) return std::nullopt;
    const T fault = script.front();
    script.pop_front();
    return fault;
  }
  Duration some(Duration most) {
    return Duration(static_cast<Duration::rep>(random.below(static_cast<std::uint64_t>(most.count()) + 1)));
  }
  Awaitable<void> maybe_delay() {
    if (random.chance(rates.delay)) co_await sleep_for(clock, some(rates.max_delay));
  }
  // Draws a fixed number of times, so that rates do not shift what comes after.
  CommitFault commit_fault() {
    if (const auto scripted = take(commits)) return *scripted;
    const bool conflict = random.chance(rates.conflict);
    const bool refused = random.chance(rates.unavailable);
    const bool lost = random.chance(rates.lost_answer);
    const bool late = random.chance(0.5);
    if (refused) return late ? CommitFault::timeout : CommitFault::unavailable;
    if (lost) return CommitFault::lost_answer;
    return conflict ? CommitFault::conflict : CommitFault::none;
  }
  ReadFault read_fault() {
    if (const auto scripted = take(reads)) return *scripted;
    return random.chance(rates.read_unavailable) ? ReadFault::unavailable : ReadFault::none;
  }
  WatchFault watch_fault() {
    if (const auto scripted = take(watches)) return *scripted;
    const bool is_cut = random.chance(rates.watch_cut);
    const bool compacted = random.chance(rates.early_compaction);
    const bool lag = random.chance(rates.watch_lag);
    if (is_cut) return WatchFault::cut;
    if (compacted) return WatchFault::compacted;
    return lag ? WatchFault::lag : WatchFault::none;
  }
  std::unexpected<Error> away_error() { return fault(Code::unavailable, "the store is away (injected)"); }
  std::unexpected<Error> fault(Code code, std::string message) {
    ++met;
    return fail(code, std::move(message));
  }

  Clock& clock;
  Random random;
  FaultRates rates;
  std::deque<CommitFault> commits;
  std::deque<ReadFault> reads;
  std::deque<WatchFault> watches;
  Notifier cut;
  std::uint64_t cuts = 0;  // how often all watches were ended
  bool away = false;
  std::uint64_t met = 0;
};

namespace {

using Faults = FaultyStore::Faults;

struct Stream {
  std::shared_ptr<Faults> faults;
  std::unique_ptr<Watch> inner;
  std::uint64_t cuts = 0;
  bool dead = false;
};

Awaitable<Result<std::vector<CommitEvent>>> next_or_cut(std::shared_ptr<Stream> stream) {
  auto& faults = *stream->faults;
  if (stream->dead || stream->cuts != faults.cuts) co_return faults.away_error();
  const auto cut = [&] { return stream->cuts != faults.cuts; };
  auto outcome = co_await unless(faults.cut, cut, stream->inner->next());
  if (cut()) {
    stream->dead = true;
    co_return faults.away_error();
  }
  auto& events = *outcome;
  if (!events) co_return std::move(events);
  switch (faults.watch_fault()) {
    case WatchFault::none:
      break;
    case WatchFault::cut:
      stream->dead = true;  // the events are lost with it: the next watch delivers them
      co_return faults.fault(Code::unavailable, "watch cut (injected)");
    case WatchFault::compacted:
      stream->dead = true;
      co_return faults.fault(Code::compacted, "history forgotten early (injected); list again");
    case WatchFault::lag:
      ++faults.met;
      co_await sleep_for(faults.clock, faults.some(faults.rates.max_lag));
      break;
  }
  co_return std::move(events);
}

class FaultyWatch final : public Watch {
 public:
  explicit FaultyWatch(std::shared_ptr<Stream> stream) : stream_(std::move(stream)) {}
  Awaitable<Result<std::vector<CommitEvent>>> next() override { return next_or_cut(stream_); }

 private:
  std::shared_ptr<Stream> stream_;
};

}  // namespace

FaultyStore::FaultyStore(Store& inner, boost::asio::any_io_executor executor, Clock& clock, Random random,
                         FaultRates rates)
    : inner_(inner), faults_(std::make_shared<Faults>(executor, clock, random, rates)) {}
FaultyStore::~FaultyStore() { cut_watches(); }

void FaultyStore::set_rates(FaultRates rates) { faults_->rates = rates; }
void FaultyStore::script(CommitFault fault) { faults_->commits.push_back(fault); }
void FaultyStore::script(ReadFault fault) { faults_->reads.push_back(fault); }
void FaultyStore::script(WatchFault fault) { faults_->watches.push_back(fault); }
std::uint64_t FaultyStore::faults() const { return faults_->met; }

void FaultyStore::cut_watches() {
  ++faults_->cuts;
  faults_->cut.notify_all();
}

void FaultyStore::set_away(bool away) {
  faults_->away = away;
  if (away) cut_watches();
}

template <class T>
Awaitable<Result<T>> FaultyStore::harmed(Awaitable<Result<T>> operation) {
  const auto faults = faults_;
  co_await faults->maybe_delay();
  if (faults->away) co_return faults->away_error();
  if (faults->read_fault() == ReadFault::unavailable) {
    co_return faults->fault(Code::unavailable, "the store cannot be reached (injected)");
  }
  auto result = co_await std::move(operation);
  co_await faults->maybe_delay();  // what it says may no longer be so when it comes
  co_return result;
}

// What an honest conflict needs: the key is written again, so that its `modified` moves on.
Awaitable<void> FaultyStore::write_guarded_key_again(std::vector<Guard> guards) {
  for (const auto& guard : guards) {
    if (guard.kind != Guard::Kind::modified_at) continue;
    auto entry = co_await inner_.get(guard.key);
    if (!entry || !*entry || (*entry)->modified != guard.revision) co_return;  // it is lost anyhow
    Txn txn{.guards = {guard}, .puts = {{guard.key, (*entry)->value, (*entry)->lease}}};
    (void)co_await inner_.commit(std::move(txn));
    ++faults_->met;
    co_return;
  }
}

Awaitable<Result<CommitResult>> FaultyStore::commit(Txn txn) {
  const auto faults = faults_;
  co_await faults->maybe_delay();
  if (faults->away) co_return faults->away_error();
  const auto fault = faults->commit_fault();
  if (fault == CommitFault::unavailable) co_return faults->fault(Code::unavailable, "commit refused (injected)");
  if (fault == CommitFault::timeout) co_return faults->fault(Code::timeout, "no answer to the commit (injected)");
  if (fault == CommitFault::conflict) co_await write_guarded_key_again(txn.guards);
  auto result = co_await inner_.commit(std::move(txn));
  if (fault == CommitFault::lost_answer) co_return faults->fault(Code::timeout, "no answer to the commit (injected)");
  co_await faults->maybe_delay();
  if (faults->away) co_return faults->fault(Code::timeout, "the store went away before it answered (injected)");
  co_return result;
}

Awaitable<Result<std::unique_ptr<Watch>>> FaultyStore::watch(std::string prefix, Revision after) {
  const auto faults = faults_;
  if (faults->random.chance(faults->rates.early_compaction)) {
    co_return faults->fault(Code::compacted, "history forgotten early (injected); list again");
  }
  auto stream = std::make_shared<Stream>(faults, nullptr, faults->cuts);
  ASSIGN_OR_CO_RETURN(stream->inner, co_await harmed<std::unique_ptr<Watch>>(inner_.watch(std::move(prefix), after)));
  co_return std::make_unique<FaultyWatch>(std::move(stream));
}

Awaitable<Result<std::optional<Entry>>> FaultyStore::get(std::string key) {
  return harmed<std::optional<Entry>>(inner_.get(std::move(key)));
}
Awaitable<Result<Listing>> FaultyStore::list(std::string prefix, ListOptions options) {
  // A list in pages always begins twice, first with something that is gone by the second time.
  if (options.each_page) {
    options.each_page = [next = std::move(options.each_page)](std::vector<Entry> page, bool anew) {
      if (anew && !page.empty()) {
        auto gone = page.front();
        gone.key += 'x';
        next({std::move(gone)}, true);
      }
      next(std::move(page), anew);
    };
  }
  return harmed<Listing>(inner_.list(std::move(prefix), std::move(options)));
}
Awaitable<Result<Revision>> FaultyStore::current() { return harmed<Revision>(inner_.current()); }
Awaitable<Status> FaultyStore::compact(Revision revision) { return harmed<void>(inner_.compact(revision)); }
Awaitable<Result<LeaseId>> FaultyStore::grant(Duration ttl) { return harmed<LeaseId>(inner_.grant(ttl)); }
Awaitable<Status> FaultyStore::keep_alive(LeaseId lease) { return harmed<void>(inner_.keep_alive(lease)); }
Awaitable<Status> FaultyStore::revoke(LeaseId lease) { return harmed<void>(inner_.revoke(lease)); }
const std::string& FaultyStore::id() const { return inner_.id(); }

}  // namespace krake::store
