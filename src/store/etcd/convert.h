// Between the store's values and etcd's messages. Pure.
#pragma once

#include <etcd.pb.h>

#include <span>
#include <string>
#include <vector>

#include "store/store.h"

namespace krake::store::etcd {

namespace pb = ::etcdserverpb;

// Every key in etcd is `prefix` and the store's key.
struct KeySpace {
  std::string prefix;

  std::string to_etcd(std::string_view key) const { return prefix + std::string(key); }
  Entry entry(pb::KeyValue& kv) const;  // takes the value out
};

// The keys a list or a watch covers, as etcd has them.
struct EtcdRange {
  std::string first;
  std::string end;
};
EtcdRange range_of(const KeySpace& space, std::string_view prefix, std::string_view after = {});

// Guards become compares; when one fails the answer has what the guarded keys are.
pb::TxnRequest txn_request(const KeySpace& space, const Txn& txn);
// `revision` is of the whole answer. timeout: it is no answer to this, and nobody knows what etcd did.
Result<CommitResult> commit_result(const KeySpace& space, const Txn& txn, pb::TxnResponse& response, Revision revision);

// Which of the waiting commits are sent now, as ascending indices; the others wait for the next group.
struct Chosen {
  // As one etcd transaction; the first always. None of them writes what another one reads or writes, because all guards
  // are judged before anything is written.
  std::vector<std::size_t> together;
  std::vector<std::size_t> alone;  // those who have to do with one of them, or are too large
};
Chosen choose_group(std::span<const Txn* const> waiting);
// A transaction within it for each.
pb::TxnRequest group_request(const KeySpace& space, std::span<const Txn* const> txns);

// Sent twice it is applied at most once, whenever each copy arrives: one of the keys it writes is guarded by its
// revision. A guard on absence is not enough: the key may have been made and removed between the two.
bool safe_to_repeat(const Txn& txn);
// The conflict a repeated `txn` met is its own first copy, which had been applied. The revision of that commit.
std::optional<Revision> own_commit(const Txn& txn, const Conflict& conflict);

}  // namespace krake::store::etcd
