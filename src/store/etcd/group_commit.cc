#include "store/etcd/group_commit.h"

#include <algorithm>
#include <boost/asio/post.hpp>

namespace krake::store::etcd {

namespace {
// While so many are under way, what comes waits and goes together. Two: one is being made durable while the next one is
// on its way.
constexpr int kMaxInFlight = 2;
constexpr int kTurns = 3;                    // of the loop: fewer, and those who were just answered are not there yet
constexpr std::size_t kMaxWaiting = 10'000;  // the server admits fewer requests
}  // namespace

// However it ends, the others go on.
struct GroupCommit::Scouting {
  explicit Scouting(GroupCommit& the_owner) : owner(the_owner) { owner.scouting_ = true; }
  Scouting(const Scouting&) = delete;
  Scouting& operator=(const Scouting&) = delete;
  ~Scouting() {
    owner.scouting_ = false;
    owner.send_soon();
  }
  GroupCommit& owner;
};

struct GroupCommit::Waiter {
  enum class Fate { open, settled, alone, scout };
  Waiter(GroupCommit& the_owner, const Txn& the_txn)
      : owner(the_owner), txn(the_txn), point(WaitPoint::lot_of(the_owner.connection_->executor())) {}
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;
  ~Waiter() {
    if (group) std::ranges::replace(*group, this, nullptr);
    std::erase(owner.waiting_, this);
  }
  void settle(Result<CommitResult> the_result) {
    result = std::move(the_result);
    wake(Fate::settled);
  }
  void wake(Fate the_fate) {
    fate = the_fate;
    point.wake();
  }

  GroupCommit& owner;
  const Txn& txn;
  WaitPoint point;
  std::shared_ptr<Waiters> group;  // it was sent with; none: it waits
  Fate fate = Fate::open;
  Result<CommitResult> result;
  std::optional<Scouting> scouting;
};

Awaitable<Result<CommitResult>> GroupCommit::commit(const Txn& txn) {
  const auto self = shared_from_this();
  if (connection_->closed()) co_return fail(Connection::closed_error());
  if (waiting_.size() >= kMaxWaiting)
    co_return fail(Code::unavailable, fmt::format("etcd: {} commits wait for it already", kMaxWaiting));
  Waiter waiter(*this, txn);
  waiting_.push_back(&waiter);
  send_soon();
  try {
    while (waiter.fate == Waiter::Fate::open) co_await waiter.point.wait();
  } catch (const boost::system::system_error&) {
    if (waiter.fate == Waiter::Fate::open && waiter.group) throw;
    if (waiter.fate != Waiter::Fate::settled)
      waiter.settle(fail(Code::unavailable, "etcd: not sent: those before it were not answered in time"));
  }
  if (waiter.fate == Waiter::Fate::settled) co_return std::move(waiter.result);
  if (connection_->closed()) co_return fail(Connection::closed_error());
  if (waiter.fate == Waiter::Fate::alone) co_return co_await owner_.alone(txn);
  co_return co_await scout(txn);
}

Awaitable<Result<CommitResult>> GroupCommit::scout(const Txn& txn) {
  auto result = co_await owner_.alone(txn);
  // Those who have waited all the time need not find out one by one that nobody answers.
  const bool nobody = !result && result.error().code == Code::unavailable &&
                      result.error().message.find("permission denied") == std::string::npos;
  if (nobody) fail_waiting({Code::unavailable, "not sent: " + result.error().message});
  co_return result;
}

void GroupCommit::fail_waiting(const Error& error) {
  for (auto* waiter : std::exchange(waiting_, {})) waiter->settle(fail(error));
}

// Whoever is about to come in these turns of the loop comes along: also those whose commit was answered a moment ago.
void GroupCommit::send_soon() {
  if (sending_ || scouting_ || waiting_.empty() || in_flight_ >= kMaxInFlight) return;
  sending_ = true;
  gather(kTurns);
}

void GroupCommit::gather(int turns) {
  boost::asio::post(connection_->executor(), [self = shared_from_this(), turns] {
    if (turns > 1) return self->gather(turns - 1);
    self->send();
  });
}

void GroupCommit::send() {
  sending_ = false;
  if (connection_->closed()) return fail_waiting(Connection::closed_error());
  if (scouting_ || waiting_.empty() || in_flight_ >= kMaxInFlight) return;
  send_group();
  send_soon();
}

void GroupCommit::send_group() {
  std::vector<const Txn*> txns;
  for (const auto* waiter : waiting_) txns.push_back(&waiter->txn);
  const auto chosen = choose_group(txns);
  const auto group = std::make_shared<Waiters>();
  std::vector<const Txn*> members;
  for (const auto i : chosen.together) {
    group->push_back(waiting_[i]);
    members.push_back(txns[i]);
    std::exchange(waiting_[i], nullptr)->group = group;
  }
  for (const auto i : chosen.alone) std::exchange(waiting_[i], nullptr)->wake(Waiter::Fate::alone);
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
  const auto tell_all = [&](Code code, const std::string& message) {
    for (auto* waiter : waiters) {
      if (waiter) waiter->settle(fail(code, message));
    }
  };
  const auto& status = call.status;
  if (!status.ok()) {
    const auto verdict = judge({static_cast<int>(status.error_code()), status.error_message(), asked->url, "Txn"});
    if (!verdict.maybe_applied) return refused(waiters, verdict);
    if (verdict.next == Next::elsewhere) connection_->leave(asked);
    return tell_all(Code::timeout, verdict.error.message + std::string(kMaybeApplied));
  }
  if (connection_->closed()) return tell_all(Code::timeout, Connection::closed_meanwhile().message);
  if (auto accepted = owner_.accept(call.response.header()); !accepted)
    return tell_all(accepted.error().code, accepted.error().message);
  if (waiters.size() > 1 && call.response.responses_size() != static_cast<int>(waiters.size()))
    return tell_all(Code::timeout, "etcd: its answer does not fit the transaction: nobody knows what it did");
  const Revision revision = call.response.header().revision();
  for (std::size_t i = 0; i < waiters.size(); ++i) {
    if (!waiters[i]) continue;
    auto& response = waiters.size() == 1
                         ? call.response
                         : *call.response.mutable_responses(static_cast<int>(i))->mutable_response_txn();
    waiters[i]->settle(commit_result(space_, waiters[i]->txn, response, revision));
  }
}

// None was carried out.
void GroupCommit::refused(const Waiters& waiters, const Verdict& verdict) {
  if (connection_->closed() || (verdict.next == Next::give_up && waiters.size() == 1)) {
    const auto error = connection_->closed() ? Connection::closed_error() : verdict.error;
    for (auto* waiter : waiters) {
      if (waiter) waiter->settle(fail(error));
    }
  } else if (verdict.next == Next::give_up) {  // because of one of them: each finds out alone
    for (auto* waiter : waiters) {
      if (waiter) waiter->wake(Waiter::Fate::alone);
    }
  } else {
    wait_again(waiters);
    if (scouting_ || waiting_.empty()) return;
    auto* scout = waiting_.front();
    waiting_.pop_front();
    scout->scouting.emplace(*this);
    scout->wake(Waiter::Fate::scout);
  }
}

void GroupCommit::wait_again(const Waiters& waiters) {
  Waiters again;
  for (auto* waiter : waiters) {
    if (!waiter) continue;
    waiter->group.reset();
    again.push_back(waiter);
  }
  waiting_.insert(waiting_.begin(), again.begin(), again.end());
}

}  // namespace krake::store::etcd
