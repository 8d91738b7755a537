#include "backup/export.h"

#include <fmt/format.h>

#include <set>

#include "backup/restore.h"
#include "base/async.h"
#include "base/check.h"
#include "base/datetime.h"
#include "meta/kind.h"
#include "store/txn.h"

namespace krake::backup {

namespace {
constexpr std::size_t kMaxPage = 100;  // entries
constexpr std::size_t kPageBytes = std::size_t{1} << 20;

// As many as before were a megabyte.
std::size_t next_page(std::size_t page, const store::Listing& listing) {
  std::size_t bytes = 0;
  for (const auto& entry : listing.entries) bytes += entry.key.size() + entry.value->size();
  if (bytes > kPageBytes) return std::max<std::size_t>(1, page / 2);
  return std::min(kMaxPage, page * 2);
}
// A backup has no holes, and is plain.
Status check_opened(const std::string& key, const std::string& sealed_with) {
  if (sealed_with.empty()) return {};
  return fail(
      Code::unavailable,
      fmt::format("'{}' is sealed with the key '{}', which is not in security.encryption_key_file", key, sealed_with));
}
constexpr Duration kWatchPatience = std::chrono::milliseconds(200);
constexpr Duration kWatchLimit = std::chrono::seconds(30);
constexpr std::string_view kNudgeKey = "/krake/backup";  // below no prefix of Krake's objects
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
  store::ListOptions options{.after = after_, .limit = page_};
  ASSIGN_OR_CO_RETURN(const auto listing, co_await store_.list(prefix, std::move(options)));
  if (!watch_) {
    covered_ = listing.revision;
    ASSIGN_OR_CO_RETURN(watch_, co_await store_.watch("/", listing.revision));
    CO_RETURN_IF_ERROR(co_await check_whole(store_));  // one that begins after this the watch tells of
    writer_.begin({.store_id = store_.id(), .time = to_string(DateTime::from_wall(clock_.wall()))}, out);
  }
  page_ = next_page(page_, listing);
  CO_RETURN_IF_ERROR(co_await catch_up(listing.revision, out));
  for (const auto& entry : listing.entries) {
    CO_RETURN_IF_ERROR(check_opened(entry.key, entry.sealed_with));
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
      if (std::ranges::any_of(later_.front().changes, [](const auto& change) { return change.key == kMarkerKey; }))
        co_return fail(Code::unavailable, "the store was restored meanwhile; take the backup again");
      CO_RETURN_IF_ERROR(record(later_.front(), out));
      later_.pop_front();
    }
    if (covered_ >= revision) co_return Status{};
    ASSIGN_OR_CO_RETURN(auto events, co_await delivered());
    for (auto& event : events) {
      covered_ = event.revision;
      later_.push_back(std::move(event));
    }
  }
}

Awaitable<Result<std::vector<store::CommitEvent>>> Export::delivered() {
  using namespace boost::asio::experimental::awaitable_operators;
  std::optional<std::variant<Result<std::vector<store::CommitEvent>>, std::monostate>> outcome;
  try {
    outcome = co_await (caught(watch_->next()) || nudge());
  } catch (const boost::asio::multiple_exceptions& both) {
    std::rethrow_exception(both.first_exception());  // we are cancelled, and so were both
  }
  if (outcome->index() == 0) co_return std::move(std::get<0>(*outcome));
  co_return fail(Code::timeout, "the store's watch does not tell what was committed; try again");
}

// The newest revision may be that of a key outside of "/", of another program on the same etcd: no event tells that the
// watch has passed it. One of our own does.
Awaitable<void> Export::nudge() {
  co_await sleep_for(clock_, kWatchPatience);
  store::Txn txn;
  txn.puts.push_back({std::string(kNudgeKey),
                      std::make_shared<const std::string>(std::to_string(clock_.wall().time_since_epoch().count())),
                      0});
  (void)co_await store_.commit(std::move(txn));  // should it fail, the limit is the end of it
  co_await sleep_for(clock_, kWatchLimit);
}

Status Export::record(const store::CommitEvent& event, std::string& out) {
  for (const auto& change : event.changes) {
    if (change.key >= bound_ || !is_below(change.key, prefixes_)) continue;
    RETURN_IF_ERROR(check_opened(change.key, change.sealed_with));
    if (change.value && change.lease == 0) {
      writer_.put(change.key, *change.value, out);
    } else {
      writer_.remove(change.key, out);
    }
  }
  return {};
}

}  // namespace krake::backup
