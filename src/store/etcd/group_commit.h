// Commits that come at one moment become one etcd transaction: of what one costs etcd - an entry in its log, a message
// to each watcher - little depends on how much is in it. Each keeps its own guards and its own outcome; those that are
// carried out share a revision. See docs/design/004-etcd.md. Thread: the loop.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "store/etcd/connection.h"
#include "store/etcd/convert.h"

namespace krake::store::etcd {

class GroupCommit : public std::enable_shared_from_this<GroupCommit> {
 public:
  // Neither is called once the connection is closed.
  struct Owner {
    // Is shown the header of each answer; an error: the answer is worth nothing.
    std::function<Status(const pb::ResponseHeader&)> accept;
    // Commits it without others, with all the patience there is: other members, a new log-in, back-off.
    std::function<Awaitable<Result<CommitResult>>(const Txn&)> alone;
  };
  GroupCommit(std::shared_ptr<Connection> connection, KeySpace space, Owner owner)
      : connection_(std::move(connection)), space_(std::move(space)), owner_(std::move(owner)) {}

  // As Store::commit() has it; not_found: a lease is unknown. Cancelled before it was sent it answers unavailable: it
  // was not carried out. Connection::log_in() comes first; `txn` outlives the call.
  Awaitable<Result<CommitResult>> commit(const Txn& txn);

 private:
  struct Waiter;
  struct Scouting;
  using Waiters = std::vector<Waiter*>;  // null: has gone meanwhile
  Awaitable<void> settled(Waiter& waiter);
  Awaitable<Result<CommitResult>> scout(const Txn& txn);
  void fail_waiting(const Error& error);
  void send_soon();
  void gather(int turns);
  void send();
  void send_group();
  void answered(const Waiters& waiters, const MemberPtr& asked, UnaryCall<pb::TxnResponse>& call);
  void refused(const Waiters& waiters, const Verdict& verdict);
  void wait_again(const Waiters& waiters);

  std::shared_ptr<Connection> connection_;
  KeySpace space_;
  Owner owner_;
  std::deque<Waiter*> waiting_;
  int in_flight_ = 0;
  bool sending_ = false;   // send() will run
  bool scouting_ = false;  // no group is sent: one commit finds out whether etcd can be had again
};

}  // namespace krake::store::etcd
