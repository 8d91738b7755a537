// Commits that come at one moment become one etcd transaction: of what one costs etcd - an entry in its log, a message
// to each watcher - little depends on how much is in it. Each keeps its own guards and its own outcome; those that are
// carried out share a revision. See docs/design/004-etcd.md. Thread: the loop.
#pragma once

#include <boost/asio/steady_timer.hpp>
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
  // `accept` is shown the header of each answer; an error: the answer is worth nothing. It is not called once the
  // connection is closed.
  using Accept = std::function<Status(const pb::ResponseHeader&)>;
  GroupCommit(std::shared_ptr<Connection> connection, KeySpace space, Accept accept)
      : connection_(std::move(connection)), space_(std::move(space)), accept_(std::move(accept)) {}

  // nullopt: it was refused and not carried out, perhaps for another one's sake. Sent alone it succeeds, or the error
  // is its own. timeout: nobody knows. Connection::log_in() comes first; `txn` outlives the call.
  Awaitable<std::optional<Result<CommitResult>>> commit(const Txn& txn);

 private:
  struct Waiter;
  using Waiters = std::vector<Waiter*>;  // null: has gone meanwhile
  void send_soon();
  void send();
  void send_group();
  void answered(const Waiters& waiters, const MemberPtr& asked, UnaryCall<pb::TxnResponse>& call);

  std::shared_ptr<Connection> connection_;
  KeySpace space_;
  Accept accept_;
  std::deque<Waiter*> waiting_;
  int in_flight_ = 0;
  bool sending_ = false;  // send() will run
};

}  // namespace krake::store::etcd
