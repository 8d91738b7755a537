#include "store/etcd/etcd_store.h"

#include <algorithm>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <set>

#include "store/etcd/connection.h"
#include "store/etcd/convert.h"
#include "store/etcd/group_commit.h"
#include "store/etcd/watch_stream.h"
#include "store/leases.h"
#include "store/txn.h"

namespace krake::store {

namespace {

using etcd::Connection;
using etcd::EtcdRange;
using etcd::GroupCommit;
using etcd::KeySpace;
using etcd::Repeat;
using etcd::Told;
using etcd::WatchStream;
namespace pb = ::etcdserverpb;

// Not of a kind's: upstream's programs do not see them. The first is the store's own: lists leave it out, and watches
// tell of its revisions alone.
constexpr std::string_view kIdKey = "/krake/store_id";
constexpr std::string_view kTickKey = "/krake/tick";
constexpr std::string_view kOursPrefix = "/";

constexpr int kMaxListRestarts = 3;
constexpr std::size_t kMaxFormer = 64;
constexpr Duration kWritableFor = std::chrono::seconds(2);
constexpr Duration kRepeatPause = std::chrono::milliseconds(50);
constexpr std::int64_t kFirstPage = 64;
constexpr std::int64_t kLeastPage = 16;
constexpr std::int64_t kMaxPage = 10'000;
constexpr std::int64_t kPageBytes = std::int64_t{4} << 20;

// Which data this is: the cluster, and what a restore left there.
struct Identity {
  std::uint64_t cluster = 0;
  std::string mark;
  bool operator==(const Identity&) const = default;
};

bool no_room(const Error& error) { return error.message.find("space exceeded") != std::string::npos; }

class EtcdWatch final : public Watch {
 public:
  explicit EtcdWatch(std::shared_ptr<WatchStream> stream) : stream_(std::move(stream)) {}
  ~EtcdWatch() override {
    if (stream_) stream_->cancel();
  }
  void release() { stream_.reset(); }
  Awaitable<Result<std::vector<CommitEvent>>> next() override { return stream_->next(); }

 private:
  std::shared_ptr<WatchStream> stream_;
};

// How large the next page of a list should be, after one with `keys` keys of `bytes` bytes.
std::int64_t next_page(std::int64_t keys, std::int64_t bytes) {
  if (keys == 0) return kFirstPage;
  // Not much more at once: what follows may be larger.
  const std::int64_t most = std::min(kMaxPage, std::max(kLeastPage, 4 * keys));
  return std::clamp(kPageBytes / std::max<std::int64_t>(1, bytes / keys), kLeastPage, most);
}

class Etcd final : public EtcdStore {
 public:
  Etcd(std::shared_ptr<Connection> connection, Clock& clock)
      : connection_(std::move(connection)),
        clock_(clock),
        space_{connection_->options().prefix},
        group_(std::make_shared<GroupCommit>(connection_, space_,
                                             GroupCommit::Owner{
                                                 .accept = [this](const auto& header) { return accept(header); },
                                                 .alone = [this](const Txn& txn) { return commit_once(txn); },
                                             })) {
    partial_ = !space_.prefix.empty();
  }
  ~Etcd() override { connection_->close(); }

  const std::string& id() const override { return id_; }

  Awaitable<Result<std::optional<Entry>>> get(std::string key) override {
    CO_RETURN_IF_ERROR(co_await identified());
    pb::RangeRequest request;
    request.set_key(space_.to_etcd(key));
    ASSIGN_OR_CO_RETURN(auto response, co_await range(std::move(request)));
    if (response.kvs_size() == 0) co_return std::nullopt;
    co_return space_.entry(*response.mutable_kvs(0));
  }

  Awaitable<Result<Listing>> list(std::string prefix, ListOptions options) override {
    const auto doubted = kOursPrefix.starts_with(prefix) ? doubted_.lock() : nullptr;
    for (int restarts = 0;; ++restarts) {
      CO_RETURN_IF_ERROR(co_await refresh());
      auto listing = co_await list_once(prefix, options);
      if (listing && doubted && told_ == doubted) told_.reset();  // it counts for nothing any more
      // The first page's revision was compacted before the last page was read.
      if (listing || listing.error().code != Code::compacted) co_return listing;
      if (restarts == kMaxListRestarts) co_return fail(Code::unavailable, listing.error().message);
    }
  }

  Awaitable<Result<CommitResult>> commit(Txn txn) override;
  Awaitable<Result<std::unique_ptr<Watch>>> watch(std::string prefix, Revision after) override;

  Awaitable<Result<Revision>> current() override {
    ASSIGN_OR_CO_RETURN(const Revision revision, co_await refresh());
    if (told_ && !main_runs()) CO_RETURN_IF_ERROR(co_await check_past());
    if (!partial_) co_return revision;
    co_return co_await current_of_prefix();
  }

  Awaitable<Status> compact(Revision revision) override {
    CO_RETURN_IF_ERROR(co_await identified());
    pb::CompactionRequest request;
    request.set_revision(revision);
    const auto response =
        co_await connection_->call<pb::KV>("Compact", &pb::KV::Stub::PrepareAsyncCompact, std::move(request));
    if (!response && response.error().code != Code::compacted) co_return fail(response.error());
    co_return Status{};
  }

  Awaitable<Result<LeaseId>> grant(Duration ttl) override {
    CO_RETURN_IF_ERROR(check_ttl(ttl));
    pb::LeaseGrantRequest request;
    request.set_ttl(std::chrono::ceil<std::chrono::seconds>(ttl).count());
    ASSIGN_OR_CO_RETURN(const auto response,
                        co_await connection_->call<pb::Lease>("LeaseGrant", &pb::Lease::Stub::PrepareAsyncLeaseGrant,
                                                              std::move(request)));
    co_return response.id();
  }

  Awaitable<Status> keep_alive(LeaseId lease) override {
    pb::LeaseKeepAliveRequest request;
    request.set_id(lease);
    ASSIGN_OR_CO_RETURN(const auto response,
                        co_await connection_->call<pb::Lease>(
                            "LeaseKeepAlive", &pb::Lease::Stub::PrepareAsyncLeaseKeepAlive, std::move(request)));
    if (response.ttl() > 0) co_return Status{};
    co_return fail(Code::not_found, fmt::format("lease {}: it ran out, was revoked or never granted", lease));
  }

  Awaitable<Status> revoke(LeaseId lease) override {
    pb::LeaseRevokeRequest request;
    request.set_id(lease);
    ASSIGN_OR_CO_RETURN(const auto response,
                        co_await connection_->call<pb::Lease>("LeaseRevoke", &pb::Lease::Stub::PrepareAsyncLeaseRevoke,
                                                              std::move(request)));
    note(response.header());
    co_return Status{};
  }

  // Each question is an entry of etcd's log: who asks all the time is told what was found a moment ago.
  Awaitable<Status> writable() override {
    if (clock_.now() < writable_until_) co_return Status{};
    if (denied_) {  // whether that is over only a write tells
      Txn txn;
      txn.puts.push_back({std::string(kTickKey), new_mark()});
      CO_RETURN_IF_ERROR(co_await commit(std::move(txn)));
    }
    ASSIGN_OR_CO_RETURN(const auto response,
                        co_await connection_->call<pb::Maintenance>("Alarm", &pb::Maintenance::Stub::PrepareAsyncAlarm,
                                                                    pb::AlarmRequest()));
    for (const auto& alarm : response.alarms()) {
      const auto words = alarm.alarm() == pb::NOSPACE ? "mvcc: database space exceeded" : "corrupt cluster";
      co_return fail(etcd::judge({0, words, connection_->member()->url, "alarm"}).error);
    }
    writable_until_ = clock_.now() + kWritableFor;
    co_return Status{};
  }

  Awaitable<Status> renew_id() override {
    Txn txn;
    txn.puts.push_back({std::string(kIdKey), new_mark()});
    ASSIGN_OR_CO_RETURN(const auto done, co_await commit(std::move(txn)));
    (void)done;
    (void)co_await refresh();  // notices
    co_return Status{};
  }

 private:
  Bytes new_mark() { return std::make_shared<const std::string>(fmt::format("{:016x}", connection_->random().next())); }

  Awaitable<Result<pb::RangeResponse>> range(pb::RangeRequest request) {
    auto response = co_await connection_->call<pb::KV>("Range", &pb::KV::Stub::PrepareAsyncRange, std::move(request));
    if (response && identity_ && !note(response->header())) co_return fail(replaced_error());
    co_return response;
  }

  static Error replaced_error() {
    return {Code::unavailable, "etcd: the data were replaced or set back; everything is read anew"};
  }

  // False: the answer is of other data than those known so far.
  bool note(const pb::ResponseHeader& header) {
    if (identity_ && header.cluster_id() != identity_->cluster) {
      adopt({header.cluster_id(), ""});
      return false;
    }
    seen_ = std::max<Revision>(seen_, header.revision());
    return true;
  }

  Status accept(const pb::ResponseHeader& header) {
    if (note(header)) return {};
    return fail(Code::timeout, replaced_error().message);
  }

  static std::string text_of(const Identity& identity) {
    return fmt::format("{:016x}{}{}", identity.cluster, identity.mark.empty() ? "" : ".", identity.mark);
  }

  void identify(Identity identity) {
    id_ = text_of(identity);
    identity_ = std::move(identity);
  }

  void adopt(Identity identity) {
    const auto before = id_;
    // Of another cluster it is not one of before: addresses may lead to this one and that.
    if (former_.size() == kMaxFormer) former_.clear();
    if (identity.cluster == identity_->cluster && !identity.mark.empty() && !identity_->mark.empty())
      former_.insert(id_);
    identify(std::move(identity));
    seen_ = 0;
    marked_ = 0;
    told_.reset();
    connection_->log().warning("etcd: the data were replaced", {{"store_before", before}, {"store", id_}});
    for (const auto& weak : std::exchange(streams_, {})) {
      if (const auto stream = weak.lock()) stream->end({Code::compacted, replaced_error().message});
    }
  }

  Awaitable<Status> identified() {
    if (identity_) co_return Status{};
    if (auto revision = co_await refresh(); !revision) co_return fail(revision.error());
    co_return Status{};
  }

  // The newest revision, by a question that also tells which data these are.
  Awaitable<Result<Revision>> refresh() {
    const Revision floor = std::max(seen_, told_ ? told_->revision : 0);
    const auto of = identity_;
    pb::RangeRequest request;
    request.set_key(space_.to_etcd(kIdKey));
    ASSIGN_OR_CO_RETURN(auto response, co_await connection_->ask(std::move(request)));
    const auto* kv = response.kvs_size() > 0 ? &response.kvs(0) : nullptr;
    if (!kv && connection_->options().leave_no_mark) {
      if (!identity_) identify({response.header().cluster_id(), ""});
      co_return response.header().revision();
    }
    if (!kv) co_return co_await leave_mark(floor, response.header());
    Identity now{response.header().cluster_id(), kv->value()};
    if (!identity_) identify(now);
    const Revision revision = response.header().revision();
    if (now != *identity_ && former_.contains(text_of(now)))
      co_return co_await renew_mark(kv->mod_revision(), "an id of before is back", revision);
    if (now != *identity_) {
      adopt(std::move(now));
      co_return fail(replaced_error());
    }
    if (revision < floor && identity_ == of)
      co_return co_await renew_mark(kv->mod_revision(), "revisions went back", revision);
    seen_ = std::max(seen_, revision);
    marked_ = std::max(marked_, revision);
    co_return revision;
  }

  // The data were set back to an older state, with the mark of then.
  Awaitable<Result<Revision>> renew_mark(Revision modified, std::string_view seen, Revision revision) {
    const Revision before = seen_;
    Txn txn;
    const std::string key(kIdKey);
    txn.guards.push_back(Guard::modified_at(key, modified));
    txn.puts.push_back({key, new_mark()});
    // Of several servers that notice, one renews it; all see the new one with their next question, as we do now.
    const auto done = co_await commit(std::move(txn));
    if (!done) co_return fail(done.error());
    if (std::holds_alternative<Committed>(*done)) {
      connection_->log().error(
          fmt::format("etcd: {}: it was set back to an older state; the store's id is renewed", seen),
          {{"seen", before}, {"revision", revision}});
    }
    co_return co_await refresh();
  }

  // etcds that are set up alike have the same cluster id: what tells them apart is written with the first contact. When
  // it is gone later because somebody emptied etcd, it is put back: what was done there is history like all else, and
  // watches go on. Without a proof of that these are other data.
  Awaitable<Result<Revision>> leave_mark(Revision floor, pb::ResponseHeader header) {
    Bytes mark = new_mark();
    if (identity_ && header.cluster_id() == identity_->cluster && header.revision() >= floor) {
      ASSIGN_OR_CO_RETURN(auto known, co_await mark_before());
      if (known) mark = std::make_shared<const std::string>(*std::move(known));
    }
    Txn txn;
    txn.guards.push_back(Guard::absent(std::string(kIdKey)));
    txn.puts.push_back({std::string(kIdKey), std::move(mark)});
    // Somebody else may be faster, or the answer get lost: the next question tells which mark there is.
    if (auto done = co_await commit_once(txn); !done && done.error().code != Code::timeout)
      co_return fail(done.error());
    co_return co_await refresh();
  }

  // The mark known so far, if the history there is now has it where it was seen last: it was deleted since.
  Awaitable<Result<std::optional<std::string>>> mark_before() {
    const std::string mark = identity_->mark;
    if (marked_ == 0) co_return std::nullopt;
    pb::RangeRequest request;
    request.set_key(space_.to_etcd(kIdKey));
    request.set_revision(marked_);
    const auto past = co_await connection_->call<pb::KV>("Range", &pb::KV::Stub::PrepareAsyncRange, std::move(request));
    // Forgotten, or not reached yet: it tells nothing.
    if (!past && past.error().code != Code::compacted && past.error().code != Code::invalid_argument)
      co_return fail(past.error());
    if (!past || past->kvs_size() == 0 || past->kvs(0).value() != mark) co_return std::nullopt;
    co_return mark;
  }

  class Pages;
  Awaitable<Result<Listing>> list_once(const std::string& prefix, const ListOptions& options);
  Awaitable<Result<Revision>> current_of_prefix();
  Awaitable<Result<CommitResult>> commit_once(const Txn& txn);
  Awaitable<Result<CommitResult>> outcome_at_quota(Txn txn, Error error, Revision before);
  Awaitable<Result<std::shared_ptr<WatchStream>>> open_stream(EtcdRange range, Revision after);
  Awaitable<Status> follow_main(std::shared_ptr<WatchStream> stream, EtcdRange range, Revision after, bool narrowed);
  Awaitable<Status> check_history(const std::string& prefix, Revision after);
  Awaitable<Result<std::int64_t>> count_at(EtcdRange range, Revision revision);
  enum class Past : std::uint8_t { same, other, unknown };
  struct Then {
    Past past = Past::same;
    pb::RangeResponse response;
  };
  Awaitable<Result<Past>> compare_past(Told told, EtcdRange range);
  Awaitable<Result<Past>> find_put(Told::Put put, Revision until);
  Awaitable<Result<Then>> range_then(pb::RangeRequest request);
  Awaitable<Result<Past>> check_past();
  bool main_runs() const {
    const auto watch = main_.lock();
    return watch && !watch->ended();
  }

  std::shared_ptr<Connection> connection_;
  Clock& clock_;
  Mono writable_until_{};  // as far as is known
  bool denied_ = false;    // our user was not allowed the last write
  KeySpace space_;
  std::shared_ptr<GroupCommit> group_;
  // Not all keys of etcd are seen: revisions pass of which no watch tells.
  bool partial_ = false;
  bool partial_told_ = false;
  std::optional<Identity> identity_;
  std::string id_;                // the identity as text
  std::set<std::string> former_;  // ids
  Revision seen_ = 0;             // no linearizable answer may be older
  Revision marked_ = 0;           // the newest one with the mark of identity_
  std::vector<std::weak_ptr<WatchStream>> streams_;
  // The last watch of everything, and what it has told: also when it has ended.
  std::weak_ptr<WatchStream> main_;
  EtcdRange main_range_;
  std::shared_ptr<Told> told_;
  std::weak_ptr<Told> doubted_;  // of which nobody can tell any more whether it is of this history
};

// A list that is being read, page by page.
class Etcd::Pages {
 public:
  Pages(const KeySpace& space, const std::string& prefix, const ListOptions& options)
      : space_(space), prefix_(prefix), options_(options), after_(options.after) {}

  // Of what comes after the pages seen so far.
  pb::RangeRequest request() const {
    auto keys = etcd::range_of(space_, prefix_, after_);
    pb::RangeRequest request;
    request.set_key(std::move(keys.first));
    request.set_range_end(std::move(keys.end));
    request.set_revision(listing_.revision);
    request.set_limit(options_.limit > 0 ? std::min(page_, left_) : page_);
    return request;
  }
  // Whether there is more to be asked for after this page.
  bool see(const pb::RangeResponse& response) {
    if (listing_.revision == 0) listing_.revision = response.header().revision();
    std::int64_t bytes = 0;
    for (const auto& kv : response.kvs()) {
      bytes += static_cast<std::int64_t>(kv.key().size() + kv.value().size());
      if (!is_mark(kv)) --left_;
    }
    listing_.more = response.more();
    if (!listing_.more || response.kvs_size() == 0 || (options_.limit > 0 && left_ <= 0)) return false;
    after_ = response.kvs().rbegin()->key().substr(space_.prefix.size());
    page_ = next_page(response.kvs_size(), bytes);
    return true;
  }
  void take(pb::RangeResponse& response) {
    std::vector<Entry> entries;
    auto& into = options_.each_page ? entries : listing_.entries;
    if (options_.each_page) entries.reserve(static_cast<std::size_t>(response.kvs_size()));
    for (auto& kv : *response.mutable_kvs()) {
      if (!is_mark(kv)) into.push_back(space_.entry(kv));
    }
    if (options_.each_page) options_.each_page(std::move(entries), std::exchange(first_, false));
  }
  Listing& listing() { return listing_; }

 private:
  bool is_mark(const pb::KeyValue& kv) const {
    return std::string_view(kv.key()).substr(space_.prefix.size()) == kIdKey;
  }

  const KeySpace& space_;
  const std::string& prefix_;
  const ListOptions& options_;
  Listing listing_;
  std::string after_;  // the last key seen
  std::int64_t page_ = kFirstPage;
  std::int64_t left_ = static_cast<std::int64_t>(options_.limit);  // of the limit
  bool first_ = true;
};

Awaitable<Result<Listing>> Etcd::list_once(const std::string& prefix, const ListOptions& options) {
  using namespace boost::asio::experimental::awaitable_operators;
  Pages pages(space_, prefix, options);
  ASSIGN_OR_CO_RETURN(auto response, co_await range(pages.request()));
  // Of two that throw the awaited pair tells of one, which may be the cancellation of the other.
  std::exception_ptr thrown;
  const auto take = [&]() -> Awaitable<void> {
    try {
      pages.take(response);
    } catch (...) {
      thrown = std::current_exception();
    }
    co_return;
  };
  while (pages.see(response)) {
    // etcd reads the next page while this one is taken.
    auto next = co_await (range(pages.request()) && take());
    if (thrown) std::rethrow_exception(thrown);
    if (!next) co_return fail(std::move(next).error());
    response = std::move(*next);
  }
  pages.take(response);
  co_return std::move(pages.listing());
}

Awaitable<Result<CommitResult>> Etcd::commit_once(const Txn& txn) {
  auto response = co_await connection_->call<pb::KV>("Txn", &pb::KV::Stub::PrepareAsyncTxn,
                                                     etcd::txn_request(space_, txn), Repeat::unless_maybe_applied);
  if (response) {
    CO_RETURN_IF_ERROR(accept(response->header()));
    const Revision revision = response->header().revision();
    co_return etcd::commit_result(space_, txn, *response, revision);
  }
  co_return fail(std::move(response).error());
}

Awaitable<Result<CommitResult>> Etcd::commit(Txn txn) {
  CO_RETURN_IF_ERROR(check_txn(txn));
  CO_RETURN_IF_ERROR(co_await identified());
  Clock& clock = clock_;
  const Mono begin = clock.now();
  const auto connection = connection_;  // tells whether this store still exists
  CO_RETURN_IF_ERROR(co_await connection_->log_in());
  const Revision before = seen_;
  auto result = co_await group_->commit(txn);
  if (result) denied_ = false;
  if (!result && result.error().message.contains("permission denied")) {
    denied_ = true;
    writable_until_ = {};
  }
  if (!result && result.error().code == Code::not_found) {
    const auto put = std::ranges::find_if(txn.puts, [](const Put& p) { return p.lease != 0; });
    if (put != txn.puts.end()) co_return fail(unknown_lease(put->key, put->lease));
  }
  if (result || result.error().code != Code::timeout || connection->closed()) co_return result;
  writable_until_ = {};
  // What only removes is refused for others it was sent with: alone it passes.
  if (!txn.puts.empty() && no_room(result.error()))
    co_return co_await outcome_at_quota(std::move(txn), std::move(result).error(), before);
  if (!etcd::safe_to_repeat(txn)) co_return result;
  // Again, as often as it takes to find out what became of the first one.
  while (!connection->closed() && clock.now() - begin < connection->options().timeout) {
    auto again = co_await commit_once(txn);
    if (!again && no_room(again.error())) break;  // older etcds refuse removals, too
    if (!again && is_transient(again.error().code)) {
      co_await sleep_for(clock, kRepeatPause);
      continue;
    }
    if (again && std::holds_alternative<Committed>(*again)) co_return again;
    const auto* conflict = again ? std::get_if<Conflict>(&*again) : nullptr;
    if (const auto revision = conflict ? etcd::own_commit(txn, *conflict) : std::nullopt)
      co_return Committed{*revision};
    break;  // somebody wrote since: over ours or before it
  }
  co_return result;
}

// etcd says that there is no room before it carries something out, or, when that took the last of it, after: the key
// tells. `before`: a revision from before the commit.
Awaitable<Result<CommitResult>> Etcd::outcome_at_quota(Txn txn, Error error, Revision before) {
  const auto& put = txn.puts.front();
  const auto guard = std::ranges::find(txn.guards, put.key, &Guard::key);
  if (guard == txn.guards.end() || guard->kind == Guard::Kind::created_at) co_return fail(std::move(error));
  const auto entry = co_await get(put.key);
  if (!entry) co_return fail(std::move(error));
  const auto* present = *entry ? &**entry : nullptr;
  // What was absent may have been made and removed again, unless nothing at all happened since.
  const bool untouched = holds(*guard, present) && (guard->kind == Guard::Kind::modified_at || seen_ == before);
  if (untouched) {
    error.message.resize(std::min(error.message.size(), error.message.find(etcd::kMaybeApplied)));
    co_return fail(Code::unavailable, std::move(error.message));
  }
  const bool alone = txn.puts.size() == 1 && txn.removes.empty();  // of others the key does not tell
  if (present && *present->value == *put.value && alone) co_return Committed{present->modified};
  co_return fail(std::move(error));
}

Awaitable<Result<std::shared_ptr<WatchStream>>> Etcd::open_stream(EtcdRange range, Revision after) {
  CO_RETURN_IF_ERROR(co_await connection_->log_in());
  auto stream = std::make_shared<WatchStream>(connection_,
                                              etcd::WatchRange{.first = std::move(range.first),
                                                               .end = std::move(range.end),
                                                               .strip = space_.prefix.size(),
                                                               .hidden = space_.to_etcd(kIdKey)},
                                              after);
  // Ends it also when the caller is cancelled meanwhile.
  auto guard = std::make_unique<EtcdWatch>(stream);
  auto opened = co_await with_timeout(clock_, connection_->options().timeout, "etcd: opening a watch", stream->open());
  if (!opened) {
    if (opened.error().code == Code::timeout) {
      connection_->leave(stream->member());
      opened.error().code = Code::unavailable;
    }
    co_return fail(opened.error());
  }
  guard->release();
  std::erase_if(streams_, [](const auto& weak) { return weak.expired(); });
  streams_.push_back(stream);
  co_return stream;
}

Awaitable<Result<std::unique_ptr<Watch>>> Etcd::watch(std::string prefix, Revision after) {
  if (auto revision = co_await refresh(); !revision) co_return fail(revision.error());
  const auto data = identity_;
  auto range = etcd::range_of(space_, prefix);
  auto stream = co_await open_stream(range, after);
  bool narrowed = false;
  if (!stream && prefix.empty() && stream.error().message.find("permission denied") != std::string::npos) {
    range = etcd::range_of(space_, kOursPrefix);
    stream = co_await open_stream(range, after);
    narrowed = true;
  }
  if (!stream) co_return fail(stream.error());
  auto watch = std::make_unique<EtcdWatch>(*stream);
  CO_RETURN_IF_ERROR(co_await check_history(prefix, after));
  if (prefix.empty() && told_) {
    const auto told = told_;
    ASSIGN_OR_CO_RETURN(const auto past, co_await check_past());
    if (past == Past::unknown && after <= told->revision) {
      doubted_ = told;
      co_return fail(compacted_error(prefix, after, told->revision));
    }
  }
  if (prefix.empty()) CO_RETURN_IF_ERROR(co_await follow_main(*stream, std::move(range), after, narrowed));
  // Replaced while it was being opened: nobody has ended it.
  if (identity_ != data) co_return fail(Code::compacted, replaced_error().message);
  co_return watch;
}

// The watch of everything, or of all that may be seen.
Awaitable<Status> Etcd::follow_main(std::shared_ptr<WatchStream> stream, EtcdRange range, Revision after,
                                    bool narrowed) {
  const bool partial = narrowed || !space_.prefix.empty();
  if (partial && !std::exchange(partial_told_, true)) {
    connection_->log().warning(
        "etcd: not all keys are watched: each read costs a question for Krake's keys, and a small write when they "
        "changed; without a prefix, and with the right to read all keys, it does not",
        {{"user", connection_->options().user}, {"prefix", space_.prefix}});
  }
  partial_ = partial;
  const auto data = identity_;
  Result<std::int64_t> keys = std::int64_t{0};
  if (after > 0) keys = co_await count_at(range, after);
  const bool in_future = !keys && keys.error().code == Code::invalid_argument;
  if (!keys && !in_future) co_return fail(keys.error());
  if (identity_ != data) co_return fail(replaced_error());
  main_ = stream;
  main_range_ = std::move(range);
  const auto before = std::exchange(told_, in_future ? nullptr : stream->told());
  if (in_future) co_return Status{};
  told_->keys += *keys;
  // It goes on where the one before ended: so does what proves it.
  if (before && before->revision == after && told_->revision == after) {
    told_->last = before->last;
    told_->removed = before->removed;
  }
  co_return Status{};
}

// Whether this is still the history that `told` is of, or one that was set back and has passed it since: its revisions
// do not tell. It is when it has the newest put, with the same value at the same revision, and after that, up to where
// it was told of, the same was removed: these keys, and no more of them. (That no key was overwritten meanwhile is not
// asked, as it makes etcd look at all of them: what was removed leaves no revision for that, or hardly one.)
Awaitable<Result<Etcd::Past>> Etcd::compare_past(Told told, EtcdRange range_of_keys) {
  if (told.revision == 0) co_return Past::same;  // nothing yet; to etcd that is the present
  if (told.last) {
    ASSIGN_OR_CO_RETURN(const auto past, co_await find_put(*told.last, told.revision));
    if (past != Past::same || told.revision == told.last->revision) co_return past;
  }
  if (told.removed.size() > Told::kMaxRemoved) co_return Past::unknown;
  pb::RangeRequest request;
  request.set_key(std::move(range_of_keys.first));
  request.set_range_end(std::move(range_of_keys.end));
  request.set_revision(told.revision);
  request.set_count_only(true);
  ASSIGN_OR_CO_RETURN(const auto there, co_await range_then(std::move(request)));
  if (there.past != Past::same) co_return there.past;
  if (there.response.count() != told.keys) co_return Past::other;
  for (auto& key : told.removed) {
    pb::RangeRequest of_key;
    of_key.set_key(std::move(key));
    of_key.set_revision(told.revision);
    of_key.set_count_only(true);
    ASSIGN_OR_CO_RETURN(const auto left, co_await range_then(std::move(of_key)));
    if (left.past != Past::same) co_return left.past;
    if (left.response.count() > 0) co_return Past::other;
  }
  co_return Past::same;
}

// `until`: nothing was put after it up to that revision.
Awaitable<Result<Etcd::Past>> Etcd::find_put(Told::Put put, Revision until) {
  pb::RangeRequest request;
  request.set_key(put.key);
  request.set_revision(put.revision);
  ASSIGN_OR_CO_RETURN(auto there, co_await range_then(request));
  const bool forgotten = there.past == Past::unknown;
  if (forgotten) {  // it may still be there
    request.clear_revision();
    ASSIGN_OR_CO_RETURN(there, co_await range_then(std::move(request)));
  }
  if (there.past != Past::same) co_return there.past;
  const auto* kv = there.response.kvs_size() > 0 ? &there.response.kvs(0) : nullptr;
  if (kv && kv->mod_revision() == put.revision && kv->value() == *put.value) co_return Past::same;
  co_return forgotten && (!kv || kv->mod_revision() > until) ? Past::unknown : Past::other;
}

// Of a revision that was. Other: it never was; unknown: it is forgotten, or not for us to see any more.
Awaitable<Result<Etcd::Then>> Etcd::range_then(pb::RangeRequest request) {
  auto response = co_await range(std::move(request));
  if (response) co_return Then{.past = Past::same, .response = *std::move(response)};
  const auto& error = response.error();
  if (error.code == Code::invalid_argument) co_return Then{.past = Past::other, .response = {}};
  if (error.code == Code::compacted || error.message.contains("permission denied"))
    co_return Then{.past = Past::unknown, .response = {}};
  co_return fail(error);
}

// Another history than that of told_ is an error.
Awaitable<Result<Etcd::Past>> Etcd::check_past() {
  const auto told = told_;
  ASSIGN_OR_CO_RETURN(const auto past, co_await compare_past(Told(*told), main_range_));
  if (past != Past::other) co_return past;
  if (told_ != told) co_return fail(replaced_error());  // noticed by somebody else meanwhile
  ASSIGN_OR_CO_RETURN(const auto mark, co_await get(std::string(kIdKey)));
  if (told_ != told) co_return fail(replaced_error());
  if (mark && *mark->value != identity_->mark) {  // renewed by another server that has noticed, too
    (void)co_await refresh();
    co_return fail(replaced_error());
  }
  if (!mark) {  // the next question writes one, and knows none to put back
    adopt({identity_->cluster, ""});
    co_return fail(replaced_error());
  }
  const auto renewed = co_await renew_mark(mark->modified, "what was told of is not in its history", seen_);
  co_return fail(renewed ? replaced_error() : renewed.error());
}

// etcd takes a watch that begins at the very revision it was compacted to, whose removals are forgotten already; and
// one that begins before that as well, and ends it afterwards. An etcd without any commit is at revision 1.
Awaitable<Status> Etcd::check_history(const std::string& prefix, Revision after) {
  after = std::max<Revision>(after, 1);
  pb::RangeRequest request;
  request.set_key(space_.to_etcd(kIdKey));
  request.set_revision(after);
  const auto response = co_await range(std::move(request));
  if (response) co_return Status{};
  if (response.error().code == Code::invalid_argument) co_return Status{};  // in the future
  if (response.error().code == Code::compacted) co_return fail(compacted_error(prefix, after, after));
  co_return fail(response.error());
}

Awaitable<Result<std::int64_t>> Etcd::count_at(EtcdRange range_of_keys, Revision revision) {
  pb::RangeRequest request;
  request.set_key(std::move(range_of_keys.first));
  request.set_range_end(std::move(range_of_keys.end));
  request.set_revision(revision);
  request.set_count_only(true);
  ASSIGN_OR_CO_RETURN(const auto response, co_await range(std::move(request)));
  co_return response.count();
}

// A revision the main watch has reached or will, and not older than any commit below the prefix acknowledged before.
// When nothing there changed since what the watch handed out - no key is newer, and there are as many - that is it.
// Else a small write of our own: its revision is the newest, and the watch will tell of it.
Awaitable<Result<Revision>> Etcd::current_of_prefix() {
  if (told_ && main_runs()) {
    const Revision handed = told_->revision;
    const std::int64_t keys = told_->keys;
    pb::RangeRequest request;
    request.set_key(main_range_.first);
    request.set_range_end(main_range_.end);
    request.set_keys_only(true);
    request.set_limit(1);
    request.set_min_mod_revision(handed + 1);
    ASSIGN_OR_CO_RETURN(const auto response, co_await range(std::move(request)));
    if (response.kvs_size() == 0 && response.count() == keys) co_return handed;
  }
  Txn txn;
  txn.puts.push_back({std::string(kTickKey), new_mark()});
  ASSIGN_OR_CO_RETURN(const auto done, co_await commit(std::move(txn)));
  co_return std::get<Committed>(done).revision;
}

}  // namespace

Result<std::unique_ptr<EtcdStore>> open_etcd_store(boost::asio::any_io_executor executor, Clock& clock, Random random,
                                                   Log log, EtcdOptions options) {
  auto connection = std::make_shared<Connection>(executor, clock, random, std::move(log), std::move(options));
  RETURN_IF_ERROR(connection->open());
  return std::make_unique<Etcd>(std::move(connection), clock);
}

}  // namespace krake::store
