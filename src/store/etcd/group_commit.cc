#include "store/etcd/group_commit.h"

#include <algorithm>
#include <boost/asio/post.hpp>

namespace krake::store::etcd {

namespace {
// While so many are under way, what comes waits and goes together. Two: one is being made durable while the next one is
// on its way.
constexpr int kMaxInFlight = 2;
// Of those that wait so many are looked at for one group: who conflicts with one of them waits for the next.
constexpr std::size_t kLookAhead = 256;
}  // namespace

struct GroupCommit::Waiter {
  Waiter(GroupCommit& the_owner, const Txn& the_txn)
      : owner(the_owner),
        txn(the_txn),
        woken(the_owner.connection_->executor(), boost::asio::steady_timer::time_point::max()) {}
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;
  ~Waiter() {
    if (group) std::ranges::replace(*group, this, nullptr);
    if (!group) std::erase(owner.waiting_, this);
  }
  void settle(std::optional<Result<CommitResult>> the_result) {
    result = std::move(the_result);
    done = true;
    woken.cancel();
  }

  GroupCommit& owner;
  const Txn& txn;
  boost::asio::steady_timer woken;
  std::shared_ptr<Waiters> group;  // none: still waits for one
  std::optional<Result<CommitResult>> result;
  bool done = false;
};

Awaitable<std::optional<Result<CommitResult>>> GroupCommit::commit(const Txn& txn) {
  const auto self = shared_from_this();
  if (connection_->closed()) co_return fail(Connection::closed_error());
  Waiter waiter(*this, txn);
  waiting_.push_back(&waiter);
  send_soon();
  while (!waiter.done) co_await wait_for_cancel(waiter.woken);
  co_return std::move(waiter.result);
}

// Whoever is about to come in this turn of the loop comes along.
void GroupCommit::send_soon() {
  if (sending_ || waiting_.empty() || in_flight_ >= kMaxInFlight) return;
  sending_ = true;
  boost::asio::post(connection_->executor(), [self = shared_from_this()] { self->send(); });
}

void GroupCommit::send() {
  sending_ = false;
  if (connection_->closed()) {
    for (auto* waiter : std::exchange(waiting_, {})) {
      waiter->group = std::make_shared<Waiters>();
      waiter->settle(fail(Connection::closed_error()));
    }
    return;
  }
  if (!waiting_.empty() && in_flight_ < kMaxInFlight) send_group();
  send_soon();
}

void GroupCommit::send_group() {
  std::vector<const Txn*> txns;
  for (const auto* waiter : waiting_) {
    txns.push_back(&waiter->txn);
    if (txns.size() == kLookAhead) break;
  }
  const auto chosen = choose_group(txns);
  const auto group = std::make_shared<Waiters>();
  std::vector<const Txn*> members;
  for (const auto i : chosen) {
    group->push_back(waiting_[i]);
    members.push_back(txns[i]);
    std::exchange(waiting_[i], nullptr)->group = group;
  }
  std::erase(waiting_, nullptr);
  const auto request = members.size() == 1 ? txn_request(space_, *members.front()) : group_request(space_, members);
  const auto asked = connection_->member();
  auto call = std::make_shared<UnaryCall<pb::TxnResponse>>(connection_, asked);
  connection_->prepare(call->context);
  const Duration time = connection_->options().timeout;
  call->context.set_deadline(gpr_time_from_micros(time / std::chrono::microseconds(1), GPR_TIMESPAN));
  call->then = [self = shared_from_this(), group, asked](UnaryCall<pb::TxnResponse>& ended) {
    --self->in_flight_;
    self->answered(*group, asked, ended);
    self->send_soon();
  };
  ++in_flight_;
  call->start(asked->stub<pb::KV>().PrepareAsyncTxn(&call->context, request, connection_->queue()));
}

void GroupCommit::answered(const Waiters& waiters, const MemberPtr& asked, UnaryCall<pb::TxnResponse>& call) {
  // What is the same for all of them; null: each has an answer of its own.
  std::optional<std::optional<Result<CommitResult>>> common;
  const auto& status = call.status;
  if (!status.ok()) {
    auto verdict = judge({static_cast<int>(status.error_code()), status.error_message(), asked->url, "Txn"});
    common.emplace(std::nullopt);
    if (verdict.maybe_applied) {
      if (verdict.next == Next::elsewhere) connection_->leave(asked);
      common.emplace(fail(Code::timeout, verdict.error.message + "; it may or may not have been carried out"));
    }
  } else if (connection_->closed()) {
    common.emplace(
        fail(Code::timeout, "etcd: the store was closed meanwhile; it may or may not have been carried out"));
  } else if (auto accepted = accept_(call.response.header()); !accepted) {
    common.emplace(fail(std::move(accepted).error()));
  } else if (waiters.size() > 1 && call.response.responses_size() != static_cast<int>(waiters.size())) {
    common.emplace(fail(Code::timeout, "etcd: its answer to a transaction does not fit: nobody knows what it did"));
  }
  const Revision revision = call.response.header().revision();
  for (std::size_t i = 0; i < waiters.size(); ++i) {
    auto* waiter = waiters[i];
    if (!waiter) continue;
    if (common) {
      waiter->settle(*common);
      continue;
    }
    auto& response = waiters.size() == 1
                         ? call.response
                         : *call.response.mutable_responses(static_cast<int>(i))->mutable_response_txn();
    waiter->settle(commit_result(space_, waiter->txn, response, revision));
  }
}

}  // namespace krake::store::etcd
