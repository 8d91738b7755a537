#include "store/etcd/convert.h"

#include <algorithm>
#include <string_view>
#include <unordered_set>

#include "store/txn.h"

namespace krake::store::etcd {

Entry KeySpace::entry(pb::KeyValue& kv) const {
  Entry entry;
  entry.key = kv.key().substr(prefix.size());
  entry.value = std::make_shared<const std::string>(std::move(*kv.mutable_value()));
  entry.created = kv.create_revision();
  entry.modified = kv.mod_revision();
  entry.lease = kv.lease();
  return entry;
}

EtcdRange range_of(const KeySpace& space, std::string_view prefix, std::string_view after) {
  auto range = key_range(space.to_etcd(prefix), after.empty() ? std::string() : space.to_etcd(after));
  // One zero byte: the first key of all; as an end: no end.
  if (range.first.empty()) range.first.assign(1, '\0');
  if (!range.end) range.end.emplace(1, '\0');
  return {std::move(range.first), std::move(*range.end)};
}

pb::TxnRequest txn_request(const KeySpace& space, const Txn& txn) {
  pb::TxnRequest request;
  for (const auto& guard : txn.guards) {
    auto& compare = *request.add_compare();
    compare.set_key(space.to_etcd(guard.key));
    compare.set_result(pb::Compare::EQUAL);
    // To etcd an absent key has revision 0; to us it has none.
    const Revision revision = guard.revision > 0 ? guard.revision : -1;
    switch (guard.kind) {
      case Guard::Kind::absent:
        compare.set_target(pb::Compare::CREATE);
        compare.set_create_revision(0);
        break;
      case Guard::Kind::created_at:
        compare.set_target(pb::Compare::CREATE);
        compare.set_create_revision(revision);
        break;
      case Guard::Kind::modified_at:
        compare.set_target(pb::Compare::MOD);
        compare.set_mod_revision(revision);
        break;
    }
    request.add_failure()->mutable_request_range()->set_key(space.to_etcd(guard.key));
  }
  for (const auto& put : txn.puts) {
    auto& message = *request.add_success()->mutable_request_put();
    message.set_key(space.to_etcd(put.key));
    message.set_value(*put.value);
    message.set_lease(put.lease);
  }
  for (const auto& remove : txn.removes) {
    request.add_success()->mutable_request_delete_range()->set_key(space.to_etcd(remove.key));
  }
  return request;
}

Result<CommitResult> commit_result(const KeySpace& space, const Txn& txn, pb::TxnResponse& response,
                                   Revision revision) {
  if (response.succeeded()) return Committed{revision};
  for (std::size_t i = 0; i < txn.guards.size() && static_cast<int>(i) < response.responses_size(); ++i) {
    auto& range = *response.mutable_responses(static_cast<int>(i))->mutable_response_range();
    std::optional<Entry> current;
    if (range.kvs_size() > 0) current = space.entry(*range.mutable_kvs(0));
    if (!holds(txn.guards[i], current ? &*current : nullptr)) return Conflict{i, std::move(current)};
  }
  return fail(Code::timeout, "etcd: it refused a transaction whose guards all hold by its own answer");
}

namespace {

constexpr std::size_t kMaxEtcdOperations = 128;  // its default; those of an inner transaction count with the outer ones
constexpr std::size_t kMaxGroup = 64;
constexpr std::size_t kMaxInner = kMaxEtcdOperations - kMaxGroup;
// Far below what etcd takes: a long entry in its log holds up everybody.
constexpr std::size_t kMaxGroupBytes = std::size_t{256} << 10;

bool writes(const Txn& txn, std::string_view key) {
  const auto same = [&](const auto& operation) { return operation.key == key; };
  return std::ranges::any_of(txn.puts, same) || std::ranges::any_of(txn.removes, same);
}

// How many of the outer transaction's operations it takes; see group_request().
std::size_t outer_operations(const Txn& txn) {
  const auto guards = std::ranges::count_if(txn.guards, [&](const Guard& guard) { return !writes(txn, guard.key); });
  return std::max<std::size_t>(1, txn.puts.size() + txn.removes.size() + static_cast<std::size_t>(guards));
}

// What those chosen read and write.
class Touched {
 public:
  bool meets(const Txn& txn) const {
    const auto written = [&](const auto& operation) {
      return written_.contains(operation.key) || read_.contains(operation.key);
    };
    return std::ranges::any_of(txn.puts, written) || std::ranges::any_of(txn.removes, written) ||
           std::ranges::any_of(txn.guards, [&](const Guard& guard) { return written_.contains(guard.key); });
  }
  void add(const Txn& txn) {
    for (const auto& guard : txn.guards) read_.insert(guard.key);
    for (const auto& put : txn.puts) written_.insert(put.key);
    for (const auto& remove : txn.removes) written_.insert(remove.key);
  }

 private:
  std::unordered_set<std::string_view> read_;
  std::unordered_set<std::string_view> written_;
};

}  // namespace

Chosen choose_group(std::span<const Txn* const> waiting) {
  Chosen chosen;
  Touched touched;
  std::size_t bytes = 0;
  std::size_t operations = 0;
  for (std::size_t i = 0; i < waiting.size(); ++i) {
    const Txn& txn = *waiting[i];
    const auto outer = outer_operations(txn);
    const bool large = outer > kMaxGroup || txn.guards.size() > kMaxInner;
    if (i == 0 && large) return {.together = {0}, .alone = {}};
    if (large || touched.meets(txn)) {
      chosen.alone.push_back(i);
      continue;
    }
    const auto size = txn_bytes(txn);
    if (i > 0 && (bytes + size > kMaxGroupBytes || operations + outer > kMaxGroup)) break;
    chosen.together.push_back(i);
    bytes += size;
    operations += outer;
    touched.add(txn);
  }
  return chosen;
}

// Without a comparison the first branch is taken, always. But etcd does not look into it for what it asks beforehand,
// whether there is room and whether the user may: for that the other branch names all keys.
pb::TxnRequest group_request(const KeySpace& space, std::span<const Txn* const> txns) {
  pb::TxnRequest request;
  for (const auto* txn : txns) {
    *request.add_success()->mutable_request_txn() = txn_request(space, *txn);
    for (const auto& put : txn->puts) request.add_failure()->mutable_request_put()->set_key(space.to_etcd(put.key));
    for (const auto& remove : txn->removes)
      request.add_failure()->mutable_request_delete_range()->set_key(space.to_etcd(remove.key));
    for (const auto& guard : txn->guards) {
      if (!writes(*txn, guard.key)) request.add_failure()->mutable_request_range()->set_key(space.to_etcd(guard.key));
    }
  }
  return request;
}

bool safe_to_repeat(const Txn& txn) {
  return std::ranges::any_of(txn.guards, [&](const Guard& guard) {
    const auto of_guard = [&](const auto& operation) { return operation.key == guard.key; };
    return guard.kind == Guard::Kind::modified_at && guard.revision != 0 &&
           (std::ranges::any_of(txn.puts, of_guard) || std::ranges::any_of(txn.removes, of_guard));
  });
}

std::optional<Revision> own_commit(const Txn& txn, const Conflict& conflict) {
  const auto& guard = txn.guards[conflict.guard];
  const auto put = std::ranges::find(txn.puts, guard.key, &Put::key);
  // What else it writes is not seen: somebody else may have written the very same here, and nothing there.
  if (txn.puts.size() + txn.removes.size() != 1) return std::nullopt;
  if (put == txn.puts.end() || !conflict.current || *conflict.current->value != *put->value) return std::nullopt;
  return conflict.current->modified;
}

}  // namespace krake::store::etcd
