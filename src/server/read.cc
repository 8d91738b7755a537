// GET: one object, lists, watches. Never decodes: the answer is bytes from the cache.
#include "base/check.h"
#include "base/encoding.h"
#include "expr/constraint.h"
#include "server/api_server.h"
#include "server/openapi.h"

namespace krake::server {

namespace {

constexpr std::size_t kSliceBytes = std::size_t{256} << 10;
constexpr std::size_t kMaxPageAtOnce = 1000;  // objects of a page that leaves in one piece
constexpr std::size_t kMaxPinnedLists = 256;
constexpr std::ptrdiff_t kMaxPinnedListsOfAUser = 32;
constexpr std::size_t kMaxPage = 100'000;
constexpr std::size_t kMaxSelectors = 32;
constexpr Duration kListLimit = std::chrono::minutes(5);

// heartbeat: an integer >= 0 (api-contract 3.4).
std::expected<std::optional<Integer>, Problem> heartbeat_of(const Query& query) {
  const auto* text = find_parameter(query, "heartbeat");
  if (!text) return std::nullopt;
  Integer value;
  FieldErrors errors;
  std::string message;
  if (!codec::decode_integer(json::Value(*text), value, errors)) {
    message = "Not a valid integer.";
  } else if (value < 0) {
    message = "Must be greater than or equal to 0.";
  } else {
    return value;
  }
  return refuse(
      Problem{.status = 422,
              .detail = json::print(json::Object{{"query", json::Object{{"heartbeat", json::Array{message}}}}})});
}

// The additive selection: labels=, fields=.
struct Selection {
  std::vector<expr::LabelMatcher> labels;
  std::vector<std::pair<std::string, std::string>> fields;
  access::NamespaceScope namespaces{.all = true, .names = {}};  // what the user may see of all

  bool empty() const { return labels.empty() && fields.empty() && namespaces.all; }
  bool may_be_seen(const CachedObject& object) const { return namespaces.contains(object.ns); }
  bool admits(const CachedObject& object) const {
    if (!may_be_seen(object)) return false;
    for (const auto& constraint : labels) {
      if (!constraint.matches(object.labels.entries)) return false;
    }
    for (const auto& [field, value] : fields) {
      if (field == "metadata.name" && object.name != value) return false;
      if (field == "metadata.namespace" && object.ns != value) return false;
      if (field == "metadata.uid" && object.uid != value) return false;
      if (field == "status.state" && object.state != value) return false;
    }
    return true;
  }
};

std::expected<Selection, Problem> selection_of(const Query& query) {
  Selection selection;
  for (const auto& [name, value] : query) {
    if (selection.labels.size() + selection.fields.size() >= kMaxSelectors && (name == "labels" || name == "fields"))
      return refuse(query_problem(name, fmt::format("At most {} selectors.", kMaxSelectors)));
    if (name == "labels") {
      auto parsed = expr::parse_label_constraint(value);
      if (!parsed) return refuse(query_problem("labels", parsed.error().message + ": '" + value + "'"));
      selection.labels.emplace_back(std::move(*parsed));
    } else if (name == "fields") {
      const auto eq = value.find('=');
      const auto field = value.substr(0, eq);
      const bool known = field == "metadata.name" || field == "metadata.namespace" || field == "metadata.uid" ||
                         field == "status.state";
      if (eq == std::string::npos || !known) {
        return refuse(query_problem(
            "fields", "Want metadata.name, metadata.namespace, metadata.uid or status.state, '=' and a value."));
      }
      selection.fields.emplace_back(field, value.substr(eq + 1));
    }
  }
  return selection;
}

// A list in slices: no step of the loop handles more than kSliceBytes. It keeps the objects as they were, so there is
// an end to how long a reader may take.
class ListSource final : public ReplySource {
 public:
  ListSource(Clock& clock, std::string head, std::vector<CachedPtr> objects, Sight sight,
             std::optional<Pool::Share> place)
      : clock_(clock),
        end_(clock.now() + kListLimit),
        head_(std::move(head)),
        objects_(std::move(objects)),
        sight_(std::move(sight)),
        place_(std::move(place)) {}
  Awaitable<Result<bool>> next(std::vector<SharedBytes>& batch) override {
    if (done_) co_return false;
    if (clock_.now() > end_) co_return fail(Code::timeout, "the reader of the list is too slow");
    if (at_ == 0) batch.push_back(share_bytes(std::move(head_)));
    std::size_t size = 0;
    while (at_ < objects_.size() && size < kSliceBytes) {
      if (at_ > 0) batch.push_back(comma());
      const auto bytes = sight_.of(objects_[at_])->bytes;
      size += bytes->size();
      batch.push_back(bytes);
      objects_[at_++].reset();
    }
    if (at_ == objects_.size()) {
      batch.push_back(tail());
      done_ = true;
    } else {
      co_await yield();
    }
    co_return true;
  }
  static const SharedBytes& comma() {
    static const SharedBytes bytes = share_bytes(",");
    return bytes;
  }
  static const SharedBytes& tail() {
    static const SharedBytes bytes = share_bytes("]}");
    return bytes;
  }

 private:
  Clock& clock_;
  Mono end_;
  std::string head_;
  std::vector<CachedPtr> objects_;
  Sight sight_;
  std::optional<Pool::Share> place_;
  std::size_t at_ = 0;
  bool done_ = false;
};

struct WatchOptions {
  std::string ns;  // empty: all
  Standing standing;
  std::optional<Duration> heartbeat;
  bool bookmarks = false;
  Selection selection;
  Sight sight;
};

// Events by position in the kind's ring. A watcher the ring has overtaken is cut: its client lists again.
class WatchSource final : public ReplySource {
 public:
  WatchSource(Env& env, Cache& cache, const Authenticator& authenticator, const Authorizer& authorizer, KindCache& kind,
              WatchOptions options, std::uint64_t position, std::optional<std::vector<CachedPtr>> initial,
              Pool::Share place)
      : clock_(env.clock),
        cache_(cache),
        authenticator_(authenticator),
        authorizer_(authorizer),
        kind_(kind),
        feed_(kind.feed(options.ns)),
        options_(std::move(options)),
        generation_(cache.generation()),
        closings_(kind.closings),
        position_(position),
        initial_(std::move(initial)),
        place_(std::move(place)) {
    beat();
    // Who goes on from a revision hears at once how far that was.
    if (options_.bookmarks && !initial_) next_beat_ = clock_.now();
  }

  Awaitable<Result<bool>> next(std::vector<SharedBytes>& batch) override {
    CO_RETURN_IF_ERROR(may_go_on());
    if (initial_) {
      CO_RETURN_IF_ERROR(keep_up());  // the ring goes on while they are sent
      send_initial(batch);
      if (!batch.empty()) co_return true;
    }
    for (;;) {
      CO_RETURN_IF_ERROR(may_go_on());
      CO_RETURN_IF_ERROR(keep_up());
      std::size_t size = 0;
      while (position_ < kind_.end_event() && size < kSliceBytes) {
        const auto& event = kind_.events[position_++ - kind_.first_event];
        if (!options_.ns.empty() && event.ns != options_.ns) continue;
        const auto line = shown(event);
        if (!line) continue;
        size += line->size();
        batch.push_back(line);
      }
      if (next_beat_ && clock_.now() >= *next_beat_) {
        beat();
        batch.push_back(heartbeat_line());
      }
      if (!batch.empty()) co_return true;
      if (const auto look = next_look()) {
        co_await feed_->changed.wait_until(clock_, *look);
      } else {
        co_await feed_->changed.wait();
      }
    }
  }

 private:
  // When there is something to do, whatever happens in the store.
  std::optional<Mono> next_look() const {
    const auto& until = options_.standing.until;
    if (!until) return next_beat_;
    const Mono end = mono_of(clock_, *until);
    return next_beat_ ? std::min(*next_beat_, end) : end;
  }
  // Nobody is left to believe that he is up to date when he may not be.
  Status may_go_on() {
    if (cache_.generation() != generation_)
      return fail(Code::compacted, "the store's history was replaced by another; list and watch again");
    if (kind_.closings != closings_)
      return fail(Code::compacted, "a value came or went that this server cannot open; list and watch again");
    if (cache_.cut_off()) return fail(Code::unavailable, "this server is cut off from the store; watch at another");
    auto& standing = options_.standing;
    const bool same_roles = standing.authorized == authorizer_.version();
    RETURN_IF_ERROR(standing.check(clock_, authenticator_, authorizer_));
    if (same_roles) return {};
    // What came into sight was there before, and what went out of it may be gone when it is back: neither is an event.
    if (differs(authorizer_.scope(standing.user, standing.route), options_.selection.namespaces))
      return fail(Code::compacted, "other namespaces are to be seen now; list and watch again");
    if (differs(authorizer_.sight(standing.user, *standing.route.kind).secrets, options_.sight.secrets))
      return fail(Code::compacted, "other secrets are to be seen now; list and watch again");
    return {};
  }
  bool differs(const access::NamespaceScope& now, const access::NamespaceScope& before) const {
    if (options_.ns.empty()) return now != before;
    return now.contains(options_.ns) != before.contains(options_.ns);
  }
  // What came of other namespaces is passed over, also what the ring has dropped of it.
  Status keep_up() {
    if (feed_->end <= position_) position_ = kind_.end_event();
    if (position_ >= kind_.first_event) return {};
    if (position_ < feed_->dropped_end) return fail(Code::compacted, "this watcher was too slow; list and watch again");
    position_ = kind_.first_event;
    return {};
  }
  void beat() {
    next_beat_.reset();
    if (options_.heartbeat) next_beat_ = clock_.now() + *options_.heartbeat;
  }
  SharedBytes heartbeat_line() const {
    static const SharedBytes empty = share_bytes("\n");
    if (!options_.bookmarks) return empty;
    // Everything up to here has been sent: of the next event's revision something may have been, but not all.
    const auto sent =
        position_ < kind_.end_event() ? kind_.events[position_ - kind_.first_event].revision - 1 : cache_.revision();
    return share_bytes(fmt::format("{{\"type\":\"BOOKMARK\",\"object\":null,\"revision\":\"{}\"}}\n", sent));
  }
  // To a watcher with a selection, an object that leaves it is deleted and one that enters it is added. No object
  // leaves its namespace: of those he may not see he hears nothing.
  SharedBytes shown(const WatchLine& event) const {
    if (!options_.selection.may_be_seen(*event.object)) return nullptr;
    const bool now = options_.selection.admits(*event.object);
    const auto other = [&](std::string_view type) {
      return event_line(type, *options_.sight.of(event.object), {event.revision, event.gap});
    };
    if (event.before_unknown) return now ? options_.sight.line(event) : other("DELETED");
    if (event.removed || !event.before) return now ? options_.sight.line(event) : nullptr;
    const bool before = options_.selection.admits(*event.before);
    if (now == before) return now ? options_.sight.line(event) : nullptr;
    return other(now ? "ADDED" : "DELETED");
  }
  // In slices, like a list.
  void send_initial(std::vector<SharedBytes>& batch) {
    std::size_t size = 0;
    while (sent_ < initial_->size() && size < kSliceBytes) {
      CachedPtr object = std::move((*initial_)[sent_++]);
      object = options_.sight.of(object);
      batch.push_back(share_bytes(R"({"type":"ADDED","object":)"));
      batch.push_back(object->bytes);
      batch.push_back(share_bytes(fmt::format(",\"revision\":\"{}\"}}\n", object->modified)));
      size += object->bytes->size();
    }
    if (sent_ < initial_->size()) return;
    initial_.reset();
    if (options_.bookmarks) batch.push_back(heartbeat_line());
  }

  Clock& clock_;
  Cache& cache_;
  const Authenticator& authenticator_;
  const Authorizer& authorizer_;
  KindCache& kind_;
  std::shared_ptr<EventFeed> feed_;
  WatchOptions options_;
  std::uint64_t generation_;  // of the cache
  std::uint64_t closings_;
  std::uint64_t position_;
  std::optional<std::vector<CachedPtr>> initial_;
  std::size_t sent_ = 0;  // of initial_
  Pool::Share place_;
  std::optional<Mono> next_beat_;
};

ServerReply not_modified(std::string etag) {
  ServerReply reply;
  reply.status = 304;
  reply.headers.add("ETag", std::move(etag));
  return reply;
}

}  // namespace

// Made for the first who asks, and the same for all.
Answer ApiServer::openapi(const Request& request) {
  if (!openapi_) {
    auto document = json::print(openapi_document(registry_, options_.version));
    openapi_etag_ = fmt::format("\"{}\"", sha256_hex(document).substr(0, 32));
    openapi_ = share_bytes(std::move(document));
  }
  const auto none_match = joined(request.http.headers, "If-None-Match");
  if (none_match && names_tag(*none_match, openapi_etag_)) return not_modified(openapi_etag_);
  ServerReply reply;
  reply.headers.add("Content-Type", "application/json; charset=utf-8");
  reply.headers.add("ETag", openapi_etag_);
  reply.body.push_back(openapi_);
  return reply;
}

// Then the roles are those this server knows as well: it shows nothing newer than what they allowed.
bool ApiServer::takes_cached(const Request& request) {
  const auto operation = request.route.operation;
  if (operation != Operation::read && operation != Operation::list) return false;
  const auto* consistency = find_parameter(request.query, "consistency");
  return consistency && *consistency == "cached" && !find_parameter(request.query, "watch");
}

Awaitable<Answer> ApiServer::read(Request& request) {
  if (!takes_cached(request)) {
    if (auto fresh = co_await cache_.fresh(&request.confirmed); !fresh) co_return refuse(fresh.error());
  }
  const auto object = load(request);
  if (!object) co_return refuse(missing(request));
  if (const auto none_match = joined(request.http.headers, "If-None-Match");
      none_match && names_tag(*none_match, fmt::format("\"{}\"", object->modified))) {
    co_return not_modified(fmt::format("\"{}\"", object->modified));
  }
  auto reply = object_reply(request, object);
  if (request.route.kind->leased) reply.headers.add("Krake-Epoch", epoch_of(*object));
  co_return reply;
}

// A list without what this server has no key for would have controllers take it for gone; another server may have the
// key. Of namespaces he does not ask for, or may not see, he hears nothing.
std::optional<Problem> ApiServer::incomplete(const Request& request, const access::NamespaceScope& scope) {
  const Kind& kind = *request.route.kind;
  std::string ns;
  std::string name;
  for (const auto& [key, value] : cache_.of(kind).unreadable) {
    if (value.sealed_with.empty() || !kind.split_key(key, ns, name)) continue;
    if (kind.namespaced && ((!request.route.ns.empty() && ns != request.route.ns) || !scope.contains(ns))) continue;
    return problem_of(Error{Code::unavailable, fmt::format("{} cannot be listed or watched here: '{}' {}", kind.plural,
                                                           name, lacks_key(value.sealed_with))});
  }
  return std::nullopt;
}

// What nobody can decode is left out, and that is told (W7).
void ApiServer::warn_of_unreadable(Request& request) {
  const auto count = cache_.of(*request.route.kind).unreadable.size();
  if (count == 0) return;
  request.warnings.push_back(
      fmt::format("{} stored values of {} cannot be read and are left out", count, request.route.kind->plural));
}

Awaitable<Answer> ApiServer::list(Request& request) {
  const auto heartbeat = heartbeat_of(request.query);
  if (!heartbeat) co_return refuse(heartbeat.error());
  auto selection = selection_of(request.query);
  if (!selection) co_return refuse(selection.error());
  if (find_parameter(request.query, "watch")) co_return co_await watch(request);

  if (!takes_cached(request)) {
    if (auto fresh = co_await cache_.fresh(&request.confirmed); !fresh) co_return refuse(fresh.error());
  }
  std::size_t limit = 0;
  if (const auto* text = find_parameter(request.query, "limit")) {
    const auto [end, ec] = std::from_chars(text->data(), text->data() + text->size(), limit);
    if (ec != std::errc() || end != text->data() + text->size() || limit == 0) {
      co_return refuse(query_problem("limit", "Want an integer greater than 0."));
    }
    limit = std::min(limit, kMaxPage);
  }
  selection->namespaces = authorizer_.scope(request.user, request.route);
  if (auto refused = incomplete(request, selection->namespaces)) co_return refuse(std::move(*refused));
  warn_of_unreadable(request);
  Revision revision = cache_.revision();
  std::shared_ptr<const std::vector<CachedPtr>> all;
  Page page;
  if (const auto* given = find_parameter(request.query, "continue")) {
    auto found = continued(request, *given, selection->namespaces);
    if (!found) co_return refuse(found.error());
    page = std::move(*found);
    revision = page.snapshot->revision;
    all = page.snapshot->objects;
  } else {
    std::vector<CachedPtr> objects;
    const auto& kind = cache_.of(*request.route.kind);
    const auto prefix =
        request.route.ns.empty() ? kind.kind.storage_prefix() : kind.kind.storage_prefix() + request.route.ns + "/";
    if (request.route.ns.empty() && selection->empty()) objects.reserve(kind.objects.size());
    for (auto it = kind.objects.lower_bound(prefix); it != kind.objects.end() && it->first.starts_with(prefix); ++it) {
      if (selection->admits(*it->second)) objects.push_back(it->second);
    }
    all = std::make_shared<const std::vector<CachedPtr>>(std::move(objects));
  }
  const std::size_t left = all->size() - page.begin;  // continued() has looked at page.begin
  std::size_t count = left;
  std::string metadata = fmt::format(R"({{"resource_version":"{}","store":"{}")", revision, cache_.id());
  if (limit > 0 && left > limit) {
    count = limit;
    if (page.token.empty()) page.token = pin(request, all, revision, selection->namespaces);
    fmt::format_to(std::back_inserter(metadata), R"(,"continue":"{}.{}","remaining":{})", page.token,
                   page.begin + limit, left - limit);
  } else if (!page.token.empty()) {
    snapshots_.erase(page.token);  // the last page
  }
  const auto first = all->begin() + static_cast<std::ptrdiff_t>(page.begin);
  std::vector<CachedPtr> shown(first, first + static_cast<std::ptrdiff_t>(count));
  metadata += '}';

  ServerReply reply;
  reply.headers.add("Content-Type", "application/json; charset=utf-8");
  std::string head = fmt::format(R"({{"api":"{}","kind":"{}List","metadata":{},"items":[)", request.route.kind->group,
                                 request.route.kind->name, metadata);
  const bool small =
      request.http.method == "HEAD" || shown.size() < 200 || (limit > 0 && shown.size() <= kMaxPageAtOnce);
  auto place = small ? std::nullopt : admission_.list_streams.take(request.priority);
  if (!small && !place) {
    co_return refuse(
        Error{Code::too_many_requests, fmt::format("{} lists are being sent, which is the limit for requests "
                                                   "like this",
                                                   admission_.list_streams.used())});
  }
  auto source = std::make_unique<ListSource>(env_.clock, std::move(head), std::move(shown),
                                             authorizer_.sight(request.user, *request.route.kind), std::move(place));
  if (small) {
    // Small: one piece with its length.
    bool more = true;
    while (more) {
      auto next = co_await source->next(reply.body);
      more = next && *next;
    }
  } else {
    reply.source = std::move(source);
  }
  co_return reply;
}

namespace {
// Who asked for what: a token is good for the same question only.
std::string question_of(const std::string& user, std::string_view target) {
  return user + ' ' + std::string(target.substr(0, target.find('?')));
}
}  // namespace

// <token>.<position> of a list pinned for a minute.
std::expected<ApiServer::Page, Problem> ApiServer::continued(const Request& request, const std::string& given,
                                                             const access::NamespaceScope& scope) {
  const Problem expired{.status = 410, .detail = "the continue token has expired; start the list again"};
  const auto dot = given.rfind('.');
  if (dot == std::string::npos) return refuse(expired);
  Page page{.token = given.substr(0, dot)};
  const auto* last = given.data() + given.size();
  const auto [end, ec] = std::from_chars(given.data() + dot + 1, last, page.begin);
  if (ec != std::errc() || end != last) return refuse(expired);
  const auto it = snapshots_.find(page.token);
  if (it == snapshots_.end() || it->second.expires < env_.clock.now()) return refuse(expired);
  page.snapshot = &it->second;
  // Rights that were lost since count at once.
  if (page.snapshot->generation != cache_.generation()) return refuse(expired);
  if (page.begin > page.snapshot->objects->size() || page.snapshot->scope != scope ||
      page.snapshot->asked_by != question_of(request.user, request.http.target)) {
    return refuse(expired);
  }
  return page;
}

// Over a limit the oldest goes; who pages through it starts again.
std::string ApiServer::pin(const Request& request, std::shared_ptr<const std::vector<CachedPtr>> objects,
                           Revision revision, access::NamespaceScope scope) {
  const auto now = env_.clock.now();
  std::erase_if(snapshots_, [&](const auto& entry) { return entry.second.expires < now; });
  const auto is_own = [&](const auto& entry) { return entry.second.user == request.user; };
  const auto drop_oldest = [&](auto among) {
    auto oldest = snapshots_.end();
    for (auto it = snapshots_.begin(); it != snapshots_.end(); ++it) {
      if (among(*it) && (oldest == snapshots_.end() || it->second.expires < oldest->second.expires)) oldest = it;
    }
    if (oldest != snapshots_.end()) snapshots_.erase(oldest);
  };
  if (std::ranges::count_if(snapshots_, is_own) >= kMaxPinnedListsOfAUser) drop_oldest(is_own);
  if (snapshots_.size() >= kMaxPinnedLists) drop_oldest([](const auto&) { return true; });
  auto token = secret_token(12);
  snapshots_[token] = {.user = request.user,
                       .asked_by = question_of(request.user, request.http.target),
                       .scope = std::move(scope),
                       .objects = std::move(objects),
                       .revision = revision,
                       .generation = cache_.generation(),
                       .expires = now + std::chrono::seconds(60)};
  return token;
}

// What somebody has seen up to that revision he has seen by the roles of now.
bool ApiServer::same_roles_since(Revision revision) {
  const auto unchanged = [&](std::string_view kind) {
    return cache_.unchanged(cache_.of(registry_.get("core", kind)), revision);
  };
  return unchanged("Role") && unchanged("RoleBinding");
}

Awaitable<Answer> ApiServer::watch(Request& request) {
  auto place = admission_.watches.take(request.priority);
  if (!place) {
    co_return refuse(Error{
        Code::too_many_requests,
        fmt::format("{} watches are open, which is the limit for requests like this", admission_.watches.used())});
  }
  // Opening a watch is a read: nothing committed before it may be missed by a list that follows.
  if (auto fresh = co_await cache_.fresh(&request.confirmed); !fresh) co_return refuse(fresh.error());
  const auto scope = authorizer_.scope(request.user, request.route);
  if (auto refused = incomplete(request, scope)) co_return refuse(std::move(*refused));
  warn_of_unreadable(request);
  auto& kind = cache_.of(*request.route.kind);
  WatchOptions options{.ns = request.route.ns,
                       .standing = standing_of(request),
                       .bookmarks = switched_on(request.query, "bookmarks"),
                       .selection = *selection_of(request.query),
                       .sight = authorizer_.sight(request.user, *request.route.kind)};
  options.selection.namespaces = scope;
  const auto heartbeat = *heartbeat_of(request.query);
  const std::int64_t seconds = heartbeat ? std::min<std::int64_t>(*heartbeat, 1'000'000) : 10;
  if (seconds > 0) options.heartbeat = std::chrono::seconds(seconds);

  std::uint64_t position = kind.end_event();
  std::optional<std::vector<CachedPtr>> initial;
  if (const auto* since = find_parameter(request.query, "since")) {
    Revision revision = 0;
    const auto [end, ec] = std::from_chars(since->data(), since->data() + since->size(), revision);
    if (ec != std::errc() || end != since->data() + since->size())
      co_return refuse(query_problem("since", "Want a revision."));
    const auto* store = find_parameter(request.query, "store");
    if (store && *store != cache_.id()) {
      co_return refuse(Problem{
          .status = 410, .detail = fmt::format("revision {} is of another store, '{}'; list again", revision, *store)});
    }
    if (!cache_.resumable(kind, revision)) {
      co_return refuse(
          Problem{.status = 410, .detail = fmt::format("events after revision {} are not kept; list again", revision)});
    }
    if (authorizer_.shows_by_roles(request.user, request.route) && !same_roles_since(revision)) {
      co_return refuse(Problem{.status = 410,
                               .detail = fmt::format("roles have changed after revision {}, and with them perhaps what "
                                                     "there is to be seen; list again",
                                                     revision)});
    }
    position = kind.position_after(revision);
  } else if (switched_on(request.query, "initial")) {
    initial.emplace();
    const auto prefix = options.ns.empty() ? kind.kind.storage_prefix() : kind.kind.storage_prefix() + options.ns + "/";
    for (auto it = kind.objects.lower_bound(prefix); it != kind.objects.end() && it->first.starts_with(prefix); ++it) {
      if (options.selection.admits(*it->second)) initial->push_back(it->second);
    }
  }
  ServerReply reply;
  reply.headers.add("Content-Type", "application/x-ndjson");
  reply.source = std::make_unique<WatchSource>(env_, cache_, authenticator_, authorizer_, kind, std::move(options),
                                               position, std::move(initial), std::move(*place));
  co_return reply;
}

}  // namespace krake::server
