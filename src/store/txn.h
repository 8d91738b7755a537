// What every store checks and computes the same way. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "store/store.h"

namespace krake::store {

// invalid_argument (an empty key, a missing value, a key written twice) or too_large, naming the limit and what was
// seen.
Status check_txn(const Txn& txn);
std::size_t txn_bytes(const Txn& txn);

// Whether `guard` holds when its key is `current` (null: absent).
bool holds(const Guard& guard, const Entry* current);

// The keys a list covers: from `first` (inclusive) to `end` (exclusive; none: to the last key).
struct KeyRange {
  std::string first;
  std::optional<std::string> end;
};
// Keys that start with `prefix` and are greater than `after`.
KeyRange key_range(std::string_view prefix, std::string_view after);

Error unknown_lease(std::string_view key, LeaseId lease);
Error compacted_error(std::string_view prefix, Revision after, Revision compacted);

}  // namespace krake::store
