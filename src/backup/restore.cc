#include "backup/restore.h"

#include <fmt/format.h>

#include "backup/export.h"
#include "base/async.h"
#include "base/json.h"
#include "store/txn.h"

namespace krake::backup {

namespace {

constexpr std::size_t kPage = 100;
constexpr Duration kRetry = std::chrono::seconds(1);
constexpr int kRounds = 10;

Error keep_going(Error error) {
  error.message = fmt::format("{}; the restore is not finished: run it again", error.message);
  return error;
}

Error taken_over() {
  return {Code::conflict, "another restore of the same store has begun meanwhile; let that one finish"};
}

Awaitable<Result<std::vector<store::Entry>>> everything(store::Store& store, std::vector<std::string> prefixes) {
  std::vector<store::Entry> all;
  for (const auto& prefix : prefixes) {
    std::string after;
    for (bool more = true; more;) {
      store::ListOptions options{.after = after, .limit = kPage};
      ASSIGN_OR_CO_RETURN(auto page, co_await store.list(prefix, std::move(options)));
      more = page.more && !page.entries.empty();
      if (more) after = page.entries.back().key;
      std::ranges::move(page.entries, std::back_inserter(all));
    }
  }
  co_return all;
}

// Fills transactions up to their limits. What is larger is alone.
class Batches {
 public:
  explicit Batches(std::vector<store::Txn>& out) : out_(out) {}
  store::Txn& with_room_for(std::size_t bytes) {
    constexpr std::size_t room = store::kMaxTxnBytes - kMarkerKey.size();
    if (operations_ == 0 || operations_ + 1 >= store::kMaxTxnOperations || bytes_ + bytes > room) {
      out_.emplace_back();
      operations_ = bytes_ = 0;
    }
    ++operations_;
    bytes_ += bytes;
    return out_.back();
  }

 private:
  std::vector<store::Txn>& out_;
  std::size_t operations_ = 0;
  std::size_t bytes_ = 0;
};

// Puts or takes the marker. The revision it has then.
Awaitable<Result<store::Revision>> mark(store::Store& store, std::optional<store::Entry> present, std::string value) {
  const std::string key(kMarkerKey);
  store::Txn txn;
  txn.guards.push_back(present ? store::Guard::modified_at(key, present->modified) : store::Guard::absent(key));
  if (value.empty()) {
    txn.removes.push_back({key});
  } else {
    txn.puts.push_back({key, std::make_shared<const std::string>(std::move(value))});
  }
  ASSIGN_OR_CO_RETURN(const auto result, co_await store.commit(std::move(txn)));
  const auto* done = std::get_if<store::Committed>(&result);
  if (!done) co_return fail(taken_over());
  co_return done->revision;
}

// Makes what is below `prefixes` what the backup says while the marker is that of revision `marked`. What somebody else
// wrote meanwhile, who has not yet seen the marker, is overwritten in another round.
Awaitable<Result<RestorePlan>> equalize(store::Store& store, std::shared_ptr<const Backup> backup,
                                        std::vector<std::string> prefixes, store::Revision marked) {
  RestorePlan done;
  for (int round = 0; round < kRounds; ++round) {
    ASSIGN_OR_CO_RETURN(const auto present, co_await everything(store, prefixes));
    ASSIGN_OR_CO_RETURN(auto plan, plan_restore(backup->values, present));
    if (round == 0) done.unchanged = plan.unchanged;
    if (plan.transactions.empty()) co_return done;
    for (auto& txn : plan.transactions) {
      txn.guards.push_back(store::Guard::modified_at(std::string(kMarkerKey), marked));
      ASSIGN_OR_CO_RETURN(const auto result, co_await store.commit(std::move(txn)));
      if (std::holds_alternative<store::Conflict>(result)) co_return fail(taken_over());
    }
    done.written += plan.written;
    done.removed += plan.removed;
  }
  co_return fail(Code::unavailable, fmt::format("{} times what was restored had been changed by somebody else when it "
                                                "was looked at again: somebody goes on writing, stop every API server",
                                                kRounds));
}

std::string member_of(const store::Entry& marker, std::string_view name) {
  const auto value = json::parse(*marker.value);
  return value ? std::string(value->string_at({name})) : std::string();
}

// Returns when the marker was put after revision `seen`, which moves on. Errors: those of the watch.
Awaitable<Status> marked_after(store::Store& store, std::shared_ptr<store::Revision> seen) {
  ASSIGN_OR_CO_RETURN(const auto watch, co_await store.watch(std::string(kMarkerKey), *seen));
  for (;;) {
    ASSIGN_OR_CO_RETURN(const auto events, co_await watch->next());
    for (const auto& event : events) {
      *seen = event.revision;
      if (std::ranges::any_of(event.changes, [](const auto& c) { return c.key == kMarkerKey && c.value; }))
        co_return Status{};
    }
  }
}

}  // namespace

Result<RestorePlan> plan_restore(const Values& wanted, const std::vector<store::Entry>& present) {
  RestorePlan plan;
  Batches batches(plan.transactions);
  Values::const_iterator next = wanted.begin();
  const auto write = [&](const std::string& key, const store::Bytes& value) -> Status {
    const auto bytes = key.size() + value->size();
    if (constexpr auto room = store::kMaxBytesOfFew - kMarkerKey.size(); bytes > room) {
      return fail(Code::too_large, fmt::format("the value of '{}' has {} bytes with its key, a store takes {} at most",
                                               key, bytes, room));
    }
    batches.with_room_for(bytes).puts.push_back({key, value});
    ++plan.written;
    return {};
  };
  for (const auto& entry : present) {
    for (; next != wanted.end() && next->first < entry.key; ++next) RETURN_IF_ERROR(write(next->first, next->second));
    if (next == wanted.end() || next->first != entry.key) {
      batches.with_room_for(entry.key.size()).removes.push_back({entry.key});
      ++plan.removed;
      continue;
    }
    if (entry.lease == 0 && *entry.value == *next->second) {
      ++plan.unchanged;
    } else {
      RETURN_IF_ERROR(write(next->first, next->second));
    }
    ++next;
  }
  for (; next != wanted.end(); ++next) RETURN_IF_ERROR(write(next->first, next->second));
  return plan;
}

Awaitable<Result<RestorePlan>> restore(store::Store& store, std::shared_ptr<const Backup> backup,
                                       RestoreOptions options) {
  for (const auto& [key, value] : backup->values) {
    if (is_below(key, options.prefixes)) continue;
    co_return fail(Code::invalid_argument,
                   fmt::format("the backup has the key '{}', which this program does not know to be Krake's: use the "
                               "program that wrote it or a newer one",
                               key));
  }
  ASSIGN_OR_CO_RETURN(auto marker, co_await store.get(std::string(kMarkerKey)));
  const bool goes_on = marker && member_of(*marker, "checksum") == backup->checksum;
  {
    ASSIGN_OR_CO_RETURN(const auto present, co_await everything(store, options.prefixes));
    if (!present.empty() && !goes_on && !options.replace) {
      co_return fail(Code::already_exists,
                     fmt::format("the store has {} keys, the first is '{}'; a restore removes what the backup does not "
                                 "have: confirm with --replace, or give an empty store",
                                 present.size(), present.front().key));
    }
    CO_RETURN_IF_ERROR(plan_restore(backup->values, present));
  }
  const json::Object mine{{"checksum", backup->checksum}, {"attempt", options.attempt}};
  ASSIGN_OR_CO_RETURN(const auto marked, co_await mark(store, std::move(marker), json::print(mine)));
  auto done = co_await equalize(store, std::move(backup), std::move(options.prefixes), marked);
  if (!done && done.error().code != Code::conflict) co_return fail(keep_going(std::move(done.error())));
  co_return done;
}

Awaitable<Status> finish(store::Store& store, std::string attempt) {
  auto marker = co_await store.get(std::string(kMarkerKey));
  if (!marker) co_return fail(keep_going(std::move(marker.error())));
  if (!*marker || member_of(**marker, "attempt") != attempt) co_return fail(taken_over());
  auto removed = co_await mark(store, std::move(*marker), "");
  if (!removed) co_return fail(removed.error().code == Code::conflict ? removed.error() : keep_going(removed.error()));
  co_return Status{};
}

Awaitable<void> begun(store::Store& store, Clock& clock) {
  const auto seen = std::make_shared<store::Revision>(-1);
  for (;; co_await sleep_for(clock, kRetry)) {
    if (*seen < 0) {
      const auto now = co_await store.current();
      const auto marker = co_await store.get(std::string(kMarkerKey));
      if (!now || !marker) continue;
      if (*marker) co_return;
      *seen = *now;
    }
    const auto marked = co_await marked_after(store, seen);
    if (marked) co_return;
    if (marked.error().code == Code::compacted) *seen = -1;
  }
}

Awaitable<Status> check_whole(store::Store& store) {
  ASSIGN_OR_CO_RETURN(const auto marker, co_await store.get(std::string(kMarkerKey)));
  if (!marker) co_return Status{};
  co_return fail(Code::unavailable,
                 "the store is being restored, or its restore was interrupted: what is in it is not whole; let "
                 "`krake restore` finish, or run it again with the same file");
}

}  // namespace krake::backup
