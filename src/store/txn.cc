#include "store/txn.h"

#include <fmt/format.h>

#include <set>

namespace krake::store {

namespace {
// Keys are bytes: keep messages short and printable.
std::string shown(std::string_view key) {
  std::string text;
  for (const char c : key.substr(0, 80)) {
    text += c >= ' ' && c < 0x7f ? std::string(1, c) : fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  }
  if (key.size() > 80) text += "...";
  return "'" + text + "'";
}
}  // namespace

std::size_t txn_bytes(const Txn& txn) {
  std::size_t bytes = 0;
  for (const auto& guard : txn.guards) bytes += guard.key.size();
  for (const auto& put : txn.puts) bytes += put.key.size() + (put.value ? put.value->size() : 0);
  for (const auto& remove : txn.removes) bytes += remove.key.size();
  return bytes;
}

Status check_txn(const Txn& txn) {
  const auto operations = txn.guards.size() + txn.puts.size() + txn.removes.size();
  if (operations > kMaxTxnOperations) {
    return fail(Code::too_large,
                fmt::format("transaction has {} guards and operations, at most {} are allowed: split it", operations,
                            kMaxTxnOperations));
  }
  const auto most = operations <= kFewOperations ? kMaxBytesOfFew : kMaxTxnBytes;
  if (const auto bytes = txn_bytes(txn); bytes > most) {
    return fail(Code::too_large,
                fmt::format("transaction has {} bytes of keys and values, at most {} are allowed", bytes, most));
  }
  std::set<std::string_view> written;
  for (const auto& put : txn.puts) {
    if (!put.value) return fail(Code::invalid_argument, fmt::format("put {}: has no value", shown(put.key)));
    if (!written.insert(put.key).second) {
      return fail(Code::invalid_argument, fmt::format("transaction writes {} twice", shown(put.key)));
    }
  }
  for (const auto& remove : txn.removes) {
    if (!written.insert(remove.key).second) {
      return fail(Code::invalid_argument, fmt::format("transaction writes {} twice", shown(remove.key)));
    }
  }
  if (written.contains("")) return fail(Code::invalid_argument, "transaction writes the empty key");
  for (const auto& guard : txn.guards) {
    if (guard.key.empty()) return fail(Code::invalid_argument, "transaction guards the empty key");
  }
  return {};
}

bool holds(const Guard& guard, const Entry* current) {
  switch (guard.kind) {
    case Guard::Kind::absent:
      return !current;
    case Guard::Kind::modified_at:
      return current && current->modified == guard.revision;
    case Guard::Kind::created_at:
      return current && current->created == guard.revision;
  }
  return false;
}

KeyRange key_range(std::string_view prefix, std::string_view after) {
  KeyRange range;
  if (!after.empty() && after >= prefix) {
    range.first = std::string(after) + '\0';  // the smallest key greater than `after`
  } else {
    range.first = prefix;
  }
  std::string end(prefix);
  while (!end.empty() && static_cast<unsigned char>(end.back()) == 0xff) end.pop_back();
  if (!end.empty()) {
    end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1);
    range.end = std::move(end);
  }
  return range;
}

Error unknown_lease(std::string_view key, LeaseId lease) {
  return {Code::invalid_argument,
          fmt::format("put {}: lease {} is unknown: it ran out, was revoked or never granted", shown(key), lease)};
}

Error compacted_error(std::string_view prefix, Revision after, Revision compacted) {
  return {Code::compacted, fmt::format("watch of {} after revision {}: history up to {} is forgotten; list again",
                                       shown(prefix), after, compacted)};
}

}  // namespace krake::store
