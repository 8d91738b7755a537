// For tests: a store in front of others that can fall silent and change its history, as a replicated one does when its
// quorum is lost or when it is restored from a snapshot; and that can give commits of one moment one revision. Thread:
// the loop.
#pragma once

#include <deque>

#include "store/store.h"

namespace krake::testing {

class StoreDouble final : public store::Store {
 public:
  StoreDouble(const boost::asio::any_io_executor& executor, store::Store& inner)
      : inner_(&inner), changed_(std::make_shared<Changes>(executor)) {}

  // While it is silent no call is answered and no event delivered.
  void set_silent(bool silent) {
    changed_->silent = silent;
    changed_->notifier.notify_all();
  }
  // While it is deaf no event is delivered.
  void set_deaf(bool deaf) {
    changed_->deaf = deaf;
    changed_->notifier.notify_all();
  }
  // From now on `other` is what is asked. Watches fail, unless they do not notice.
  void replace(store::Store& other, bool watches_notice = true) {
    inner_ = &other;
    if (watches_notice) ++changed_->replaced;
    changed_->notifier.notify_all();
  }

  // From now on commits wait for commit_together(), which makes one of all that do. They must have nothing to do with
  // one another, and their guards hold.
  void gather() { gathers_ = true; }
  Awaitable<Result<store::CommitResult>> commit_together() {
    gathers_ = false;
    const auto waiting = std::exchange(waiting_, {});
    store::Txn all;
    for (const auto& each : waiting) {
      std::ranges::copy(each->txn.guards, std::back_inserter(all.guards));
      std::ranges::copy(each->txn.puts, std::back_inserter(all.puts));
      std::ranges::copy(each->txn.removes, std::back_inserter(all.removes));
    }
    const auto result = co_await inner_->commit(std::move(all));
    for (const auto& each : waiting) each->result = result;
    changed_->notifier.notify_all();
    co_return result;
  }

  Awaitable<Result<std::optional<store::Entry>>> get(std::string key) override {
    co_await changed_->spoken();
    co_return co_await inner_->get(std::move(key));
  }
  Awaitable<Result<store::Listing>> list(std::string prefix, store::ListOptions options) override {
    ++lists;
    co_await changed_->spoken();
    co_return co_await inner_->list(std::move(prefix), std::move(options));
  }
  Awaitable<Result<store::CommitResult>> commit(store::Txn txn) override {
    co_await changed_->spoken();
    if (before_commit) std::exchange(before_commit, nullptr)();
    if (gathers_) {
      const auto mine = std::make_shared<Waiting>(std::move(txn));
      waiting_.push_back(mine);
      while (!mine->result) co_await changed_->notifier.wait();
      co_return *mine->result;
    }
    co_return co_await inner_->commit(std::move(txn));
  }
  Awaitable<Result<std::unique_ptr<store::Watch>>> watch(std::string prefix, store::Revision after) override {
    co_await changed_->spoken();
    if (!watch_errors.empty()) {
      auto error = std::move(watch_errors.front());
      watch_errors.pop_front();
      co_return fail(std::move(error));
    }
    auto inner = co_await inner_->watch(std::move(prefix), after);
    if (!inner) co_return fail(inner.error());
    co_return std::make_unique<Following>(changed_, std::move(*inner));
  }
  Awaitable<Result<store::Revision>> current() override {
    ++questions;
    if (before_question) std::exchange(before_question, nullptr)();
    co_await changed_->spoken();
    co_return co_await inner_->current();
  }
  Awaitable<Status> compact(store::Revision revision) override {
    co_await changed_->spoken();
    co_return co_await inner_->compact(revision);
  }
  Awaitable<Result<store::LeaseId>> grant(Duration ttl) override {
    co_await changed_->spoken();
    co_return co_await inner_->grant(ttl);
  }
  Awaitable<Status> keep_alive(store::LeaseId lease) override {
    co_await changed_->spoken();
    co_return co_await inner_->keep_alive(lease);
  }
  Awaitable<Status> revoke(store::LeaseId lease) override {
    co_await changed_->spoken();
    co_return co_await inner_->revoke(lease);
  }
  const std::string& id() const override { return inner_->id(); }

  // They run once: what another was faster with.
  std::function<void()> before_commit;
  std::function<void()> before_question;
  std::deque<Error> watch_errors;  // the answers to the next calls of watch()
  int questions = 0;               // for its newest revision
  int lists = 0;

 private:
  struct Changes {
    explicit Changes(const boost::asio::any_io_executor& executor) : notifier(executor) {}
    Awaitable<void> spoken() {
      while (silent) co_await notifier.wait();
    }
    Notifier notifier;
    bool silent = false;
    bool deaf = false;
    int replaced = 0;
  };
  class Following final : public store::Watch {
   public:
    Following(std::shared_ptr<Changes> changes, std::unique_ptr<store::Watch> inner)
        : changes_(std::move(changes)), inner_(std::move(inner)), replaced_(changes_->replaced) {}
    Awaitable<Result<std::vector<store::CommitEvent>>> next() override { return next_of(changes_, inner_, replaced_); }

   private:
    static Awaitable<Result<std::vector<store::CommitEvent>>> next_of(std::shared_ptr<Changes> changes,
                                                                      std::shared_ptr<store::Watch> inner, int seen) {
      const auto replaced = [&] { return changes->replaced != seen; };
      auto outcome = co_await unless(changes->notifier, replaced, inner->next());
      co_await changes->spoken();
      while (changes->deaf) co_await changes->notifier.wait();
      if (replaced()) co_return fail(Code::compacted, "the history was replaced");
      co_return std::move(*outcome);
    }
    std::shared_ptr<Changes> changes_;
    std::shared_ptr<store::Watch> inner_;
    int replaced_;
  };

  struct Waiting {
    explicit Waiting(store::Txn the_txn) : txn(std::move(the_txn)) {}
    store::Txn txn;
    std::optional<Result<store::CommitResult>> result;
  };

  store::Store* inner_;
  std::shared_ptr<Changes> changed_;
  bool gathers_ = false;
  std::deque<std::shared_ptr<Waiting>> waiting_;
};

}  // namespace krake::testing
