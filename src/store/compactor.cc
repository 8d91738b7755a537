#include "store/compactor.h"

#include <fmt/format.h>

#include <charconv>

namespace krake::store {

namespace {
constexpr std::string_view kKey = "/krake/compaction";

Revision number_in(const std::string& text) {
  Revision revision = 0;
  std::from_chars(text.data(), text.data() + text.size(), revision);
  return revision;
}
}  // namespace

Awaitable<void> Compactor::run() {
  for (;;) {
    if (auto done = co_await turn(); !done) {
      env_.log.warning("the store's history could not be compacted; it is tried again later",
                       {{"why", done.error().message}});
    }
    co_await sleep_for(env_.clock, age_);
  }
}

Awaitable<Status> Compactor::turn() {
  ASSIGN_OR_CO_RETURN(const auto entry, co_await store_.get(std::string(kKey)));
  const Revision now_at = entry ? entry->modified : 0;
  if (now_at != seen_) {  // another one's turn, or our first look
    seen_ = now_at;
    co_return Status{};
  }
  ASSIGN_OR_CO_RETURN(const Revision newest, co_await store_.current());
  Txn txn;
  const std::string key(kKey);
  txn.guards.push_back(entry ? Guard::modified_at(key, entry->modified) : Guard::absent(key));
  // With the time, no two histories have the same value at the same revision: stores tell them apart by that.
  const auto time = std::chrono::duration_cast<std::chrono::microseconds>(env_.clock.wall().time_since_epoch()).count();
  txn.puts.push_back({key, std::make_shared<const std::string>(fmt::format("{} {}", newest, time))});
  ASSIGN_OR_CO_RETURN(const auto result, co_await store_.commit(std::move(txn)));
  const auto* done = std::get_if<Committed>(&result);
  if (!done) co_return Status{};  // somebody was faster
  seen_ = done->revision;
  const Revision old = entry ? number_in(*entry->value) : 0;
  if (old <= 0) co_return Status{};
  CO_RETURN_IF_ERROR(co_await store_.compact(std::min(old, newest)));
  env_.log.info("compacted the store's history", {{"revision", old}});
  co_return Status{};
}

}  // namespace krake::store
