#include "backup/export.h"

#include <fmt/format.h>

#include <set>

#include "base/async.h"
#include "base/check.h"
#include "base/datetime.h"
#include "meta/kind.h"
#include "store/txn.h"

namespace krake::backup {

namespace {
constexpr std::size_t kPage = 100;  // entries; they are 140 MB at the worst, and usually 200 KB
constexpr Duration kWatchLimit = std::chrono::seconds(30);
}  // namespace

std::vector<std::string> key_prefixes(const Registry& registry) {
  std::set<std::string> prefixes{"/core/", "/infrastructure/", "/kubernetes/", "/openstack/"};
  for (const auto& kind : registry.kinds()) prefixes.insert(fmt::format("/{}/", kind->group));
  return {prefixes.begin(), prefixes.end()};
}

bool is_below(std::string_view key, const std::vector<std::string>& prefixes) {
  return std::ranges::any_of(prefixes, [&](const auto& prefix) { return key.starts_with(prefix); });
}

Export::Export(store::Store& store, Clock& clock, std::vector<std::string> prefixes)
    : store_(store), clock_(clock), prefixes_(std::move(prefixes)) {
  CHECK(!prefixes_.empty() && std::ranges::is_sorted(prefixes_));
}

Awaitable<Result<bool>> Export::next(std::string& out) {
  const auto had = out.size();
  while (prefix_ < prefixes_.size() && out.size() == had) CO_RETURN_IF_ERROR(co_await page(out));
  co_return out.size() > had;
}

Awaitable<Status> Export::page(std::string& out) {
  const std::string prefix = prefixes_[prefix_];
  store::ListOptions options{.after = after_, .limit = kPage};
  ASSIGN_OR_CO_RETURN(const auto listing, co_await store_.list(prefix, std::move(options)));
  if (!watch_) {
    covered_ = listing.revision;
    ASSIGN_OR_CO_RETURN(watch_, co_await store_.watch("/", listing.revision));
    writer_.begin({.store_id = store_.id(), .time = to_string(DateTime::from_wall(clock_.wall()))}, out);
  }
  CO_RETURN_IF_ERROR(co_await catch_up(listing.revision, out));
  for (const auto& entry : listing.entries) {
    if (entry.lease == 0) writer_.put(entry.key, *entry.value, out);
  }
  if (listing.more && !listing.entries.empty()) {
    after_ = listing.entries.back().key;
    bound_ = after_ + '\0';
    co_return Status{};
  }
  after_.clear();
  bound_ = store::key_range(prefix, "").end.value_or(bound_);
  if (++prefix_ == prefixes_.size()) {
    writer_.end(listing.revision, out);
    watch_.reset();
  }
  co_return Status{};
}

// Writes what has changed up to `revision` in the keys that are written already; the others are still to be listed.
Awaitable<Status> Export::catch_up(store::Revision revision, std::string& out) {
  for (;;) {
    while (!later_.empty() && later_.front().revision <= revision) {
      record(later_.front(), out);
      later_.pop_front();
    }
    if (covered_ >= revision) co_return Status{};
    auto events = co_await with_timeout(clock_, kWatchLimit, "the store's watch", watch_->next());
    if (!events) co_return fail(events.error());
    for (auto& event : *events) {
      covered_ = event.revision;
      later_.push_back(std::move(event));
    }
  }
}

void Export::record(const store::CommitEvent& event, std::string& out) {
  for (const auto& change : event.changes) {
    if (change.key >= bound_ || !is_below(change.key, prefixes_)) continue;
    if (change.value && change.lease == 0) {
      writer_.put(change.key, *change.value, out);
    } else {
      writer_.remove(change.key, out);
    }
  }
}

}  // namespace krake::backup
