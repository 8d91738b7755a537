#include "store/sqlite/sqlite_store.h"

#include <fmt/format.h>
#include <prometheus/counter.h>

#include <deque>
#include <set>

#include "base/check.h"
#include "store/event_ring.h"
#include "store/leases.h"
#include "store/sqlite/worker.h"
#include "store/txn.h"

namespace krake::store {

namespace {

constexpr Duration kRevokeRetry = std::chrono::seconds(1);

Error closed_error() { return {Code::unavailable, "the store is closed"}; }
Error overloaded_error() { return {Code::unavailable, "too many requests wait for the store's disk: try again later"}; }

// An answer on its way from the worker. Every one arrives, also when the store closes first.
template <class T>
struct Answer {
  explicit Answer(const boost::asio::any_io_executor& executor) : done(executor) {}
  void set(Result<T> value) {
    result = std::move(value);
    done.notify_all();
  }
  std::optional<Result<T>> result;
  bool abandoned = false;  // nobody waits for it any more
  Notifier done;
};
template <class T>
using Answered = std::shared_ptr<Answer<T>>;

template <class T>
Awaitable<Result<T>> wait(Answered<T> answer) {
  while (!answer->result) co_await answer->done.wait();
  co_return std::move(*answer->result);
}

// The loop's half: what is acknowledged, the ring the watches read, leases. Watches keep it alive when the store goes;
// they then answer unavailable. The clock may be gone by then.
class Core : public std::enable_shared_from_this<Core> {
 public:
  Core(boost::asio::any_io_executor executor, Clock& clock, SqliteOptions options, std::unique_ptr<Engine> engine)
      : changed(executor),
        executor_(executor),
        clock_(clock),
        options_(std::move(options)),
        id_(engine->id()),
        ring_(engine->revision()),
        current_(engine->revision()),
        compacted_(engine->compacted()),
        engine_(engine.get()) {
    for (const auto& [lease, ttl] : engine->leases_at_open()) leases_.start(lease, ttl, clock_.now());
    worker_ = std::make_unique<Worker>(executor_, std::move(engine),
                                       WorkerOptions{.run_inline = options_.run_inline, .linger = options_.linger});
  }

  void start() {
    if (auto* metrics = options_.metrics) {
      commits_total_ = &metrics->counter("krake_store_commits_total", "Transactions that changed something");
      syncs_total_ = &metrics->counter("krake_store_syncs_total", "Groups of them that one fsync made durable");
    }
    samples_.emplace_back(clock_.now(), current_);
    arm_leases();
    arm_history();
  }

  const std::string& id() const { return id_; }
  Revision current() const { return current_; }
  Revision compacted() const { return compacted_; }
  const EventRing& ring() const { return ring_; }
  LeaseTimes& leases() { return leases_; }
  Mono now() const { return clock_.now(); }
  bool closed() const { return !worker_; }
  // Whether a write is under way whose caller has given up: it may still be carried out.
  bool has_abandoned() const { return abandoned_ > 0; }
  SqliteCounters counters() const { return closed() ? last_counters_ : engine_->counters(); }

  // What the write changes here - leases, events - happens before its answer and also when nobody waits for that.
  Answered<Written> write(Write write) {
    auto answer = std::make_shared<Answer<Written>>(executor_);
    if (closing_) {
      answer->set(fail(closed_error()));
      return answer;
    }
    const auto ttl = write.ttl;
    const auto revoked = write.lease;
    const bool taken =
        worker_->write(std::move(write), [core = shared_from_this(), answer, ttl, revoked](WriteResult result) {
          core->written(result);
          if (result && result->lease != 0) core->granted(result->lease, ttl);
          if (result && revoked != 0) core->leases_.forget(revoked);
          if (answer->abandoned) --core->abandoned_;
          answer->set(std::move(result));
        });
    if (!taken) answer->set(fail(overloaded_error()));
    return answer;
  }

  static Awaitable<Result<Written>> carried_out(std::shared_ptr<Core> core, Write write) {
    struct Caller {
      std::shared_ptr<Core> core;
      Answered<Written> answer;
      ~Caller() {
        if (!answer->result) core->abandon(*answer);
      }
    };
    const Caller caller{core, core->write(std::move(write))};
    auto& answer = *caller.answer;
    while (!answer.result) co_await answer.done.wait();
    co_return std::move(*answer.result);
  }

  // Behind every write pushed so far, abandoned ones too.
  static Awaitable<Result<Revision>> settled(std::shared_ptr<Core> core) {
    CO_RETURN_IF_ERROR(co_await wait(core->read<void>([](Engine&) { return Status{}; })));
    co_return core->current();
  }

  // `function` runs on the worker and sees every commit acknowledged before this call.
  template <class T>
  Answered<T> read(std::move_only_function<Result<T>(Engine&)> function) {
    auto answer = std::make_shared<Answer<T>>(executor_);
    if (closing_) {
      answer->set(fail(closed_error()));
      return answer;
    }
    const bool taken = worker_->read([answer, function = std::move(function)](Engine* engine) mutable {
      Result<T> result = engine ? function(*engine) : fail(closed_error());
      return Worker::ReadDone([answer, result = std::move(result)]() mutable { answer->set(std::move(result)); });
    });
    if (!taken) answer->set(fail(overloaded_error()));
    return answer;
  }

  void forget_up_to(Revision revision) {
    compacted_ = std::max(compacted_, revision);
    ring_.forget(compacted_);
    changed.notify_all();
  }

  static Awaitable<void> drain(std::shared_ptr<Core> core) {
    if (core->closing_) {
      while (!core->closed()) co_await core->changed.wait();
      co_return;
    }
    const auto last = core->read<int>([](Engine&) { return Result<int>(0); });
    core->closing_ = true;
    (void)co_await wait(last);
    core->close();
  }

  // Ends the worker, waiting for the group it writes; what has not been begun is answered unavailable.
  void close() {
    if (closed()) return;
    closing_ = true;
    lease_timer_.reset();
    overdue_timer_.reset();
    history_timer_.reset();
    last_counters_ = engine_->counters();
    engine_ = nullptr;
    worker_->stop();
    worker_.reset();
    changed.notify_all();
  }

  Notifier changed;  // new events, or closed

 private:
  void abandon(Answer<Written>& answer) {
    answer.abandoned = true;
    ++abandoned_;
  }

  void granted(LeaseId lease, Duration ttl) {
    if (closed()) return;
    leases_.start(lease, ttl, clock_.now());
    arm_leases();
  }

  // One write has reached the disk: publish it before its writer hears of it.
  void written(const WriteResult& result) {
    if (!result || result->events.empty()) return;
    for (const auto& event : result->events) {
      CHECK(event->revision > current_, "commits are acknowledged in order");
      current_ = event->revision;
      ring_.push(event);
    }
    ring_.trim(options_.ring_commits, options_.ring_bytes);
    changed.notify_all();
    arm_history();
    count();
  }

  void count() {
    if (!options_.metrics || closed()) return;
    const auto now = counters();
    commits_total_->Increment(static_cast<double>(now.commits - counted_.commits));
    syncs_total_->Increment(static_cast<double>(now.groups - counted_.groups));
    counted_ = now;
  }

  // keep_alive only moves deadlines away: a timer may fire early, never late.
  void arm_leases() {
    const auto next = leases_.earliest();
    if (!next || closed() || (lease_armed_ && *lease_armed_ <= *next)) return;
    lease_armed_ = next;
    lease_timer_ = clock_.at(*next, [this] {
      lease_armed_.reset();
      for (const auto lease : leases_.expired(clock_.now())) expire(lease);
      arm_leases();
    });
  }

  // From here on the lease is gone for keep_alive; its keys go with the next group. A failure is tried again.
  void expire(LeaseId lease) {
    leases_.forget(lease);
    if (closing_) return;
    const bool taken = worker_->write({.kind = Write::Kind::revoke, .lease = lease},
                                      [core = shared_from_this(), lease](WriteResult result) {
                                        core->written(result);
                                        if (!result && result.error().code != Code::not_found)
                                          core->expire_later(lease);
                                      });
    if (!taken) expire_later(lease);
  }
  void expire_later(LeaseId lease) {
    overdue_.insert(lease);
    if (overdue_armed_ || closing_) return;
    overdue_armed_ = true;
    overdue_timer_ = clock_.at(clock_.now() + kRevokeRetry, [this] {
      overdue_armed_ = false;
      for (const auto late : std::exchange(overdue_, {})) expire(late);
    });
  }

  // History older than history_age is forgotten: (time, revision) pairs say how old a revision is at least.
  void arm_history() {
    if (history_armed_ || closed() || compacted_ >= current_) return;
    history_armed_ = true;
    history_timer_ = clock_.at(clock_.now() + options_.history_age / 10, [this] {
      history_armed_ = false;
      forget_old();
      arm_history();
    });
  }
  void forget_old() {
    if (samples_.back().second != current_) samples_.emplace_back(clock_.now(), current_);
    Revision old = 0;
    while (samples_.front().first <= clock_.now() - options_.history_age) {
      old = samples_.front().second;
      if (samples_.size() == 1) break;  // the newest stays, to compare with
      samples_.pop_front();
    }
    if (old <= compacted_ || closing_) return;
    (void)worker_->write({.kind = Write::Kind::compact, .revision = old},
                         [core = shared_from_this(), old](WriteResult result) {
                           if (result) core->forget_up_to(old);
                         });
  }

  prometheus::Counter* commits_total_ = nullptr;
  prometheus::Counter* syncs_total_ = nullptr;
  SqliteCounters counted_;
  boost::asio::any_io_executor executor_;
  Clock& clock_;
  SqliteOptions options_;
  std::string id_;
  EventRing ring_;
  Revision current_;
  Revision compacted_;  // at least; the worker may be ahead
  Engine* engine_;      // for its counters; the worker owns it
  std::unique_ptr<Worker> worker_;
  SqliteCounters last_counters_;
  bool closing_ = false;
  std::size_t abandoned_ = 0;

  LeaseTimes leases_;
  TimerHandle lease_timer_;
  std::optional<Mono> lease_armed_;
  std::set<LeaseId> overdue_;
  TimerHandle overdue_timer_;
  bool overdue_armed_ = false;

  std::deque<std::pair<Mono, Revision>> samples_;
  TimerHandle history_timer_;
  bool history_armed_ = false;
};

struct Cursor {
  std::shared_ptr<Core> core;
  std::string prefix;
  Revision after = 0;
};

// From the ring when it reaches back far enough, from the file otherwise. A named function over shared state: the watch
// may die while this waits.
Awaitable<Result<std::vector<CommitEvent>>> next_events(std::shared_ptr<Cursor> cursor) {
  auto& core = *cursor->core;
  while (true) {
    if (core.closed()) co_return fail(closed_error());
    if (cursor->after < core.compacted())
      co_return fail(compacted_error(cursor->prefix, cursor->after, core.compacted()));
    if (cursor->after >= core.ring().base()) {
      auto events = core.ring().read(cursor->prefix, cursor->after, kMaxEventsPerRead);
      if (!events.empty()) co_return events;
      co_await core.changed.wait();
      continue;
    }
    auto chunk = co_await wait(core.read<HistoryChunk>(
        [prefix = cursor->prefix, after = cursor->after](Engine& engine) { return engine.history(prefix, after); }));
    if (!chunk) co_return fail(std::move(chunk).error());
    cursor->after = chunk->covered;
    if (!chunk->events.empty()) co_return std::move(chunk->events);
  }
}

class SqliteWatch final : public Watch {
 public:
  explicit SqliteWatch(Cursor cursor) : cursor_(std::make_shared<Cursor>(std::move(cursor))) {}
  Awaitable<Result<std::vector<CommitEvent>>> next() override { return next_events(cursor_); }

 private:
  std::shared_ptr<Cursor> cursor_;
};

class Front final : public SqliteStore {
 public:
  explicit Front(std::shared_ptr<Core> core) : core_(std::move(core)) {}
  ~Front() override { core_->close(); }

  Awaitable<Result<std::optional<Entry>>> get(std::string key) override {
    return wait(core_->read<std::optional<Entry>>([key = std::move(key)](Engine& engine) { return engine.get(key); }));
  }

  Awaitable<Result<Listing>> list(std::string prefix, ListOptions options) override {
    // The pages are for the loop, not for the thread that reads.
    const ListOptions bounds{.after = options.after, .limit = options.limit};
    ASSIGN_OR_CO_RETURN(auto listing,
                        co_await wait(core_->read<Listing>([prefix = std::move(prefix), bounds](Engine& engine) {
                          return engine.list(prefix, bounds);
                        })));
    co_return in_one_page(std::move(listing), options);
  }

  Awaitable<Result<CommitResult>> commit(Txn txn) override {
    CO_RETURN_IF_ERROR(check_txn(txn));
    ASSIGN_OR_CO_RETURN(auto written,
                        co_await Core::carried_out(core_, {.kind = Write::Kind::commit, .txn = std::move(txn)}));
    co_return std::move(written.result);
  }

  Awaitable<Result<std::unique_ptr<Watch>>> watch(std::string prefix, Revision after) override {
    if (core_->closed()) co_return fail(closed_error());
    if (after < core_->compacted()) co_return fail(compacted_error(prefix, after, core_->compacted()));
    co_return std::make_unique<SqliteWatch>(Cursor{core_, std::move(prefix), after});
  }

  bool current_is_local() const override { return !core_->has_abandoned(); }
  Awaitable<Result<Revision>> current() override {
    if (core_->closed()) co_return fail(closed_error());
    // Who reads to find out what became of a write must not be answered before that is settled.
    if (core_->has_abandoned()) co_return co_await Core::settled(core_);
    co_return core_->current();
  }

  Awaitable<Status> compact(Revision revision) override {
    const auto core = core_;
    ASSIGN_OR_CO_RETURN(auto written,
                        co_await Core::carried_out(core_, {.kind = Write::Kind::compact, .revision = revision}));
    (void)written;
    core->forget_up_to(revision);
    co_return Status{};
  }

  Awaitable<Result<LeaseId>> grant(Duration ttl) override {
    const auto core = core_;
    CO_RETURN_IF_ERROR(check_ttl(ttl));
    ASSIGN_OR_CO_RETURN(auto written, co_await Core::carried_out(core_, {.kind = Write::Kind::grant, .ttl = ttl}));
    co_return written.lease;
  }

  Awaitable<Status> keep_alive(LeaseId lease) override {
    if (core_->closed()) co_return fail(closed_error());
    if (!core_->leases().keep_alive(lease, core_->now())) co_return fail(lease_not_found(lease));
    co_return Status{};
  }

  Awaitable<Status> revoke(LeaseId lease) override {
    const auto core = core_;
    ASSIGN_OR_CO_RETURN(auto written, co_await Core::carried_out(core_, {.kind = Write::Kind::revoke, .lease = lease}));
    (void)written;
    co_return Status{};
  }

  Awaitable<Status> writable() override {
    const auto core = core_;
    ASSIGN_OR_CO_RETURN(
        const auto status,
        co_await wait(core->read<Status>([](Engine& engine) { return Result<Status>(engine.writable()); })));
    co_return status;
  }

  const std::string& id() const override { return core_->id(); }
  SqliteCounters counters() const override { return core_->counters(); }
  Awaitable<void> close() override { return Core::drain(core_); }

 private:
  std::shared_ptr<Core> core_;
};

}  // namespace

Awaitable<Result<std::unique_ptr<SqliteStore>>> open_sqlite_store(boost::asio::any_io_executor executor, Clock& clock,
                                                                  Random random, SqliteOptions options) {
  EngineOptions engine_options{.path = options.path,
                               .history_changes = options.history_changes,
                               .new_id = random.uuid4(),
                               .renew_id = options.renew_id,
                               .keep_layout = options.keep_layout,
                               .vfs = options.vfs};
  ASSIGN_OR_CO_RETURN(auto engine, Engine::open(std::move(engine_options)));
  auto core = std::make_shared<Core>(std::move(executor), clock, std::move(options), std::move(engine));
  core->start();
  co_return std::make_unique<Front>(std::move(core));
}

}  // namespace krake::store
