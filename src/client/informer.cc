#include "client/informer.h"

#include "base/encoding.h"

namespace krake {

namespace {
constexpr int kPage = 500;
constexpr Duration kFirstBookmark = std::chrono::milliseconds(200);
// Streams that tell something and break are opened again soon, however often: that many failures is what they count at
// most. It bounds what a server does that opens streams and drops them: 400 ms lie between them.
constexpr int kToldFailures = 2;
constexpr std::size_t kMaxLine = std::size_t{64} << 20;

std::int64_t number(std::string_view text) {
  std::int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

ObjectKey key_in(const json::Value& object) {
  return {std::string(object.string_at({"metadata", "namespace"})),
          std::string(object.string_at({"metadata", "name"}))};
}
}  // namespace

InformerBase::InformerBase(Env& env, Client& client, const Kind& kind, InformerOptions options)
    : env_(env),
      client_(client),
      kind_(kind),
      options_(std::move(options)),
      random_(env.random.fork(std::string("informer ") + std::string(kind.plural))),
      progress_(env.executor),
      wished_(env.executor),
      tasks_(env.executor) {}

bool InformerBase::leave_out(const json::Value& object, const Error& why) {
  const ObjectKey key = key_in(object);
  env_.log.warning("an object cannot be decoded and is left out",
                   {{"kind", kind_.plural}, {"key", to_string(key)}, {"why", why.message}});
  return erase(key);
}

Awaitable<void> InformerBase::wait_synced() {
  while (!synced_) co_await progress_.wait();
}

// Whether what happened to `key` up to `revision` has been seen. In a gap a line may tell of a revision far ahead.
bool InformerBase::has_heard(const ObjectKey& key, std::int64_t revision) const {
  return complete_ >= revision || revision_of(key) >= revision || (revision_ == revision && at_newest_.contains(key));
}

Awaitable<void> InformerBase::wait_for(ObjectKey key, std::int64_t revision, Duration limit) {
  const Mono deadline = env_.clock.now() + limit;
  while (!has_heard(key, revision) && env_.clock.now() < deadline) co_await progress_.wait_until(env_.clock, deadline);
}

Awaitable<void> InformerBase::catch_up(Epoch epoch) {
  co_await wait_synced();
  if (has_seen(epoch)) co_return;
  // A quiet stream tells how far it is with its next bookmark, a new one at its beginning.
  ++reopens_;
  wished_.notify_all();
  const Mono deadline = env_.clock.now() + kFirstBookmark;
  while (!has_seen(epoch) && env_.clock.now() < deadline) co_await progress_.wait_until(env_.clock, deadline);
  if (has_seen(epoch)) co_return;
  const auto mine = ++wishes_;
  wished_.notify_all();
  while (granted_ < mine && !has_seen(epoch)) co_await progress_.wait();
}

void InformerBase::hurry() {
  if (reopened_ != reopens_ || env_.clock.now() < reopen_at_) return;
  ++reopens_;
  reopen_at_ = env_.clock.now() + kFirstBookmark;
  wished_.notify_all();
}

// Where the stream has not told in half the time, the list is read.
Awaitable<bool> InformerBase::reach(Epoch point, Duration limit) {
  const Mono deadline = env_.clock.now() + limit;
  const Mono half = env_.clock.now() + limit / 2;
  bool listing = false;
  while (!has_seen(point) && env_.clock.now() < deadline) {
    hurry();
    if (!listing && env_.clock.now() >= half) {
      listing = true;
      if (granted_ == wishes_) ++wishes_;
      wished_.notify_all();
    }
    Mono until = listing ? deadline : half;
    if (reopened_ == reopens_) until = std::min(until, reopen_at_);
    co_await progress_.wait_until(env_.clock, until);
  }
  co_return has_seen(point);
}

Awaitable<void> InformerBase::run() {
  const Backoff backoff{.base = std::chrono::milliseconds(100), .cap = std::chrono::seconds(30)};
  int failures = 0;
  int refused_lists = 0;
  bool need_list = true;
  Mono next_list{};
  for (;;) {
    Status status;
    need_list = need_list || complete_ < mixed_until_;
    if (need_list || granted_ < wishes_ || env_.clock.now() >= next_list) {
      const auto wishes = wishes_;
      status = co_await list();
      if (status) {
        granted_ = wishes;
        progress_.notify_all();
        need_list = !resumable_;
        refused_lists = 0;
        next_list =
            env_.clock.now() + std::chrono::duration_cast<Duration>(options_.resync * (0.8 + 0.4 * random_.unit()));
      } else if (!need_list && granted_ == wishes_) {
        // The comparison can wait; following cannot.
        env_.log.warning("comparing with a fresh list failed; the watch goes on",
                         {{"kind", kind_.plural}, {"why", status.error().message}});
        next_list = env_.clock.now() + 10 * backoff.delay(refused_lists++, random_);
        status = {};
      }
    }
    if (status) {
      const Mono begin = env_.clock.now();
      told_ = false;
      status = co_await follow(next_list);
      if (told_) failures = std::min(failures, kToldFailures);
      if (status || env_.clock.now() - begin > std::chrono::seconds(2)) failures = 0;
    }
    if (status) continue;  // the period is over: compare again
    const bool compacted = status.error().code == Code::compacted;
    env_.log.info(compacted ? "events are missing; listing again" : "watch broken; resuming",
                  {{"kind", kind_.plural}, {"revision", complete_}, {"why", status.error().message}});
    need_list = need_list || compacted;
    if (compacted && failures++ == 0) continue;  // at once the first time
    co_await wished_.wait_until(env_.clock, env_.clock.now() + backoff.delay(failures++, random_));
  }
}

// In pages, which servers that do not know them ignore: memory holds one page at a time besides the objects.
Awaitable<Status> InformerBase::list() {
  const std::string path = kind_.collection_path(options_.ns);
  std::set<ObjectKey> listed;
  std::string token;
  std::string store;
  std::int64_t revision = 0;
  do {
    std::string target = fmt::format("{}?limit={}", path, kPage);
    if (!token.empty()) target += "&continue=" + percent_encode(token);
    auto answer = co_await client_.call_json("GET", std::move(target));
    if (!answer) co_return fail(answer.error());
    const auto* items = answer->at_path({"items"});
    if (!items || !items->is_array())
      co_return fail(Code::unavailable, fmt::format("list of {}: no items in the answer", kind_.plural));
    const auto text = answer->string_at({"metadata", "resource_version"});
    resumable_ = !text.empty();
    revision = number(text);
    store = answer->string_at({"metadata", "store"});
    token = answer->string_at({"metadata", "continue"});
    for (const auto& item : *items->if_array()) {
      listed.insert(key_in(item));
      put(item);  // it is what is, whatever we have
    }
  } while (!token.empty());
  ++relists_;
  for (const auto& key : keys()) {
    if (!listed.contains(key)) erase(key);
  }
  // Together, and only now: a revision counts in its own store alone.
  store_ = std::move(store);
  revision_ = complete_ = revision;
  at_newest_.clear();
  mixed_until_ = 0;
  synced_ = true;
  progress_.notify_all();
  co_return Status{};
}

Awaitable<Status> InformerBase::follow(Mono until) {
  const auto reopens = reopens_;
  std::string target = fmt::format("{}?watch&heartbeat={}", kind_.collection_path(options_.ns),
                                   std::chrono::duration_cast<std::chrono::seconds>(options_.heartbeat).count());
  if (resumable_) target += fmt::format("&since={}&bookmarks=true", complete_);
  if (resumable_ && !store_.empty()) target += "&store=" + percent_encode(store_);
  auto stream = co_await client_.open_watch(std::move(target), env_.clock);
  if (!stream) co_return fail(stream.error());
  // Without revisions what happened between list and watch is only found by listing once more.
  if (!resumable_) CO_RETURN_IF_ERROR(co_await list());
  std::string buffer;
  const auto wished = [this, reopens] { return reopens != reopens_ || granted_ < wishes_; };
  while (env_.clock.now() < until && !wished()) {
    auto piece = co_await next_piece(*stream->body, wished);
    if (wished()) break;
    if (!piece) co_return fail(piece.error());
    if (piece->empty()) co_return fail(Code::unavailable, "the server ended the watch");
    buffer += *piece;
    if (buffer.size() > kMaxLine) co_return fail(Code::unavailable, "the watch sent a line without end");
    std::size_t begin = 0;
    for (std::size_t end; (end = buffer.find('\n', begin)) != std::string::npos; begin = end + 1) {
      if (end == begin) continue;  // heartbeat
      CO_RETURN_IF_ERROR(handle_line(std::string_view(buffer).substr(begin, end - begin)));
    }
    buffer.erase(0, begin);
    if (begin > 0) {
      reopened_ = reopens;
      told_ = true;
    }
    progress_.notify_all();
  }
  co_return Status{};
}

// Or something, when another stream or a list is `wished` for.
Awaitable<Result<std::string>> InformerBase::next_piece(ByteStream& body, std::function<bool()> wished) {
  CancelScope scope(co_await boost::asio::this_coro::executor);
  const CancelWhen when(scope, wished_, wished);
  const auto timer = env_.clock.at(env_.clock.now() + options_.silence, [&scope] { scope.cancel(); });
  auto piece = co_await scope.run(body.read());
  if (piece && (*piece || !scope.cancelled())) co_return std::move(*piece);
  if (wished()) co_return std::string();
  co_return fail(late_error("the next line of the watch", options_.silence));
}

Status InformerBase::handle_line(std::string_view line) {
  auto event = json::parse(line);
  if (!event) return fail(Code::unavailable, "a line of the watch is " + event.error().message);
  const auto type = event->string_at({"type"});
  const auto* object = event->at_path({"object"});
  if (type.empty() || !object) return fail(Code::unavailable, "a line of the watch is no event");
  const auto revision = number(event->string_at({"revision"}));
  if (revision > revision_) {
    revision_ = revision;
    at_newest_.clear();
  }
  if (type == "BOOKMARK") {
    complete_ = std::max(complete_, revision);
    return {};
  }
  mixed_until_ = std::max(mixed_until_, number(event->string_at({"gap"})));
  handle_event(type, *object, revision);
  // Of what else happened at it there may be more to come.
  complete_ = std::max(complete_, revision - 1);
  return {};
}

// What comes again after a resume is no news, and may be older than what is here.
void InformerBase::handle_event(std::string_view type, const json::Value& object, std::int64_t revision) {
  const ObjectKey key = key_in(object);
  const auto known = revision_of(key);
  if (type == "ADDED" || type == "MODIFIED") {
    const auto of_object = number(object.string_at({"metadata", "resource_version"}));
    if (of_object == 0 || of_object > known) put(object);
  } else if (type == "DELETED") {
    if (revision == 0 || revision >= known) erase(key);
  }
  if (revision != 0 && revision == revision_) at_newest_.insert(key);
}

}  // namespace krake
