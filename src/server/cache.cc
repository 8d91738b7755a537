#include "server/cache.h"

#include <set>

#include "base/backoff.h"
#include "base/check.h"

namespace krake::server {

namespace {

// Lists and events add two levels and must stay below json::kMaxDepth.
constexpr std::size_t kMaxStoredDepth = 240;

// {"api":"core","kind":"Role","metadata":{  -- after which resource_version is spliced in.
std::string head_of(const Kind& kind) {
  return fmt::format(R"({{"api":"{}","kind":"{}","metadata":{{)", kind.group, kind.name);
}

std::int64_t newest_time(const Object& object, Wall now) {
  const auto us = [](const DateTime& time) { return time.wall().time_since_epoch().count(); };
  const auto& meta = object.meta();
  std::int64_t newest = std::max(us(meta.created), us(meta.modified));
  if (meta.deleted) newest = std::max(newest, us(*meta.deleted));
  if (object.kind().newest_time) {
    // A status write may set these to anything: what lies in the far future is no clock's doing.
    const auto other = object.kind().newest_time(object);
    if (other && other->wall() < now + std::chrono::hours(24)) newest = std::max(newest, us(*other));
  }
  return newest;
}

// The index part of a cached object.
void index_object(CachedObject& target, const Object& object, Wall now) {
  target.uid = object.meta().uid;
  target.labels = object.meta().labels;
  if (object.kind().state) target.state = object.kind().state(object);
  target.newest_us = newest_time(object, now);
}

// Encodes once what reads, lists and watchers are sent. `encoded` is the object as the store has it.
void set_bytes(CachedObject& target, const Kind& kind, std::string_view encoded) {
  const std::string head = head_of(kind);
  CHECK(encoded.starts_with(head), "objects are encoded api, kind, metadata first");
  const auto modified = fmt::format_int(target.modified);
  std::string line;
  line.reserve(encoded.size() + 128);
  line += target.created == target.modified ? R"({"type":"ADDED","object":)" : R"({"type":"MODIFIED","object":)";
  const std::size_t begin = line.size();
  line += head;
  line += R"("resource_version":")";
  line.append(modified.data(), modified.size());
  line += "\",";
  line += encoded.substr(head.size());
  const std::size_t size = line.size() - begin;
  line += R"(,"revision":")";
  line.append(modified.data(), modified.size());
  line += "\"}\n";
  target.line = share_bytes(std::move(line));
  target.bytes = target.line.part(begin, size);
}

}  // namespace

SharedBytes event_line(std::string_view type, const CachedObject& object, Revision revision) {
  std::string line;
  line.reserve(object.bytes->size() + 64);
  fmt::format_to(std::back_inserter(line), R"({{"type":"{}","object":)", type);
  line += *object.bytes;
  fmt::format_to(std::back_inserter(line), ",\"revision\":\"{}\"}}\n", revision);
  return share_bytes(std::move(line));
}

json::Value stored_document(const CachedObject& object) {
  auto document = json::parse(*object.bytes);
  if (!document || !document->is_object()) return nullptr;
  (*document->if_object())["metadata"].make_object().erase("resource_version");
  return std::move(*document);
}

CachedPtr KindCache::find(std::string_view ns, std::string_view name) const {
  const auto it = objects.find(kind.storage_key(ns, name));
  return it == objects.end() ? nullptr : it->second;
}

constexpr std::size_t kFewWatchers = 32;
constexpr Duration kPausePerWatcher = std::chrono::microseconds(10);
constexpr Duration kMaxPause = std::chrono::milliseconds(20);

void EventFeed::tell(std::size_t watchers) {
  if (later_) return;
  const Duration pause =
      watchers <= kFewWatchers ? Duration::zero() : std::min<Duration>(kMaxPause, watchers * kPausePerWatcher);
  const Mono now = clock_.now();
  if (!told_ || now - *told_ >= pause) {
    told_ = now;
    changed.notify_all();
    return;
  }
  later_ = true;
  timer_ = clock_.at(*told_ + pause, [this] {
    later_ = false;
    told_ = clock_.now();
    changed.notify_all();
  });
}

std::uint64_t KindCache::position_after(Revision revision) const {
  const auto it = std::ranges::upper_bound(events, revision, {}, &WatchLine::revision);
  return first_event + static_cast<std::uint64_t>(it - events.begin());
}

std::shared_ptr<EventFeed> KindCache::feed(const std::string& ns) {
  if (ns.empty()) return all_;
  std::erase_if(feeds_, [](const auto& entry) { return entry.second.expired(); });
  auto& place = feeds_[ns];
  auto feed = place.lock();
  if (!feed) {
    feed = std::make_shared<EventFeed>(env_.executor, env_.clock);
    feed->end = end_event();
    place = feed;
  }
  return feed;
}

void KindCache::notify(const std::string& ns) {
  all_->end = end_event();
  all_->tell(static_cast<std::size_t>(all_.use_count()));
  if (ns.empty()) return;
  const auto it = feeds_.find(ns);
  if (const auto feed = it == feeds_.end() ? nullptr : it->second.lock()) {
    feed->end = end_event();
    feed->tell(static_cast<std::size_t>(feed.use_count()));
  }
}

Cache::Cache(Env& env, store::Store& store, const Registry& registry, CacheOptions options)
    : env_(env),
      store_(store),
      options_(options),
      advanced_(env.executor),
      answered_changed_(env.executor),
      tasks_(env.executor) {
  for (const auto& kind : registry.kinds()) {
    auto& cache = kinds_[kind.get()];
    cache = std::make_unique<KindCache>(*kind, env);
    by_prefix_[kind->storage_prefix()] = cache.get();
  }
}

KindCache& Cache::of(const Kind& kind) {
  const auto it = kinds_.find(&kind);
  CHECK(it != kinds_.end(), "the kind is in the server's registry");
  return *it->second;
}

const Kind* Cache::kind_of_key(std::string_view key) const {
  // Prefixes are /group/plural/, so the two first segments decide.
  const auto first = key.find('/', 1);
  const auto second = first == std::string_view::npos ? first : key.find('/', first + 1);
  if (second == std::string_view::npos) return nullptr;
  const auto it = by_prefix_.find(key.substr(0, second + 1));
  return it == by_prefix_.end() ? nullptr : &it->second->kind;
}

CachedPtr Cache::admit(const Kind& kind, const std::string& key, store::Bytes value, Revision created,
                       Revision modified, store::LeaseId lease) {
  auto object = std::make_shared<CachedObject>();
  if (!kind.split_key(key, object->ns, object->name)) return nullptr;
  auto document = json::parse(*value, kMaxStoredDepth);
  FieldErrors errors;
  auto decoded = document ? kind.decode(kind, *document, Form::stored, errors) : nullptr;
  if (!decoded) {
    ++undecodable_;
    of(kind).unreadable[key] = modified;
    env_.log.error(
        "stored value cannot be decoded; it is left out of lists and can be deleted with ?force=True",
        {{"key", key}, {"revision", modified}, {"why", document ? errors.render() : document.error().message}});
    return nullptr;
  }
  // Values written by another program come in another format: what leaves the server is always ours.
  std::string encoded;
  encoded.reserve(value->size());
  decoded->encode(encoded);
  object->key = key;
  object->created = created;
  object->modified = modified;
  object->lease = lease;
  set_bytes(*object, kind, encoded);
  index_object(*object, *decoded, env_.clock.wall());
  return object;
}

Cache::Draft::Draft(Cache& cache, const Object& object) : cache_(cache), kind_(object.kind()) {
  const auto& meta = object.meta();
  object_.ns = meta.namespace_.value_or("");
  object_.name = meta.name;
  object_.key = kind_.storage_key(object_.ns, object_.name);
  std::string encoded;
  object.encode(encoded);
  stored_ = std::make_shared<const std::string>(std::move(encoded));
  index_object(object_, object, cache.env_.clock.wall());
  place_ = cache_.drafts_.emplace(object_.key, this);
}

Cache::Draft::~Draft() { cache_.drafts_.erase(place_); }

CachedPtr Cache::Draft::finish(Revision created, Revision modified, store::LeaseId lease) {
  auto object = std::make_shared<CachedObject>(object_);
  object->created = created;
  object->modified = modified;
  object->lease = lease;
  set_bytes(*object, kind_, *stored_);
  seen_ = std::move(object);
  return seen_;
}

CachedPtr Cache::Draft::committed(Revision created, Revision revision) {
  if (seen_ && seen_->modified == revision) return seen_;
  return finish(created, revision, 0);
}

CachedPtr Cache::from_draft(const store::Change& change, Revision revision) {
  const auto [first, last] = drafts_.equal_range(change.key);
  for (auto it = first; it != last; ++it) {
    // Equal bytes mean the same object, whoever wrote them.
    const auto& stored = it->second->stored();
    if (stored == change.value || *stored == *change.value)
      return it->second->finish(change.created, revision, change.lease);
  }
  return nullptr;
}

// How many commits before the start the store is asked for; the next when it has forgotten that many.
constexpr Revision kRecalledCommits[] = {8192, 1024, 128, 0};
constexpr Duration kRecallLimit = std::chrono::seconds(5);

// Opens the watch, at the start of the server as far back as the ring reaches. Answers after which revision it starts.
Awaitable<Result<Revision>> Cache::open_watch(Revision newest) {
  for (const Revision commits : kRecalledCommits) {
    if (ready_ && commits > 0) continue;
    const Revision after = std::max<Revision>(0, newest - commits);
    auto watch = co_await store_.watch("", after);
    if (watch) {
      watch_ = std::move(*watch);
      co_return after;
    }
    if (watch.error().code != Code::compacted || commits == 0) co_return fail(watch.error());
  }
  co_return newest;
}

// Fills the rings with what led to the listing.
Awaitable<Status> Cache::recall_history(const store::Listing& listing, Recalled& recalled) {
  auto reached = co_await open_watch(listing.revision);
  if (!reached) co_return fail(reached.error());
  for (auto& [kind, cache] : kinds_) forget_events(*cache, *reached);
  while (*reached < listing.revision) {
    auto events = co_await with_timeout(env_.clock, kRecallLimit, "reading the store's history", watch_->next());
    if (!events && events.error().code != Code::timeout) co_return fail(events.error());
    if (!events) {
      // The newest commits changed nothing of ours: nothing will come. Events begin here.
      for (auto& [kind, cache] : kinds_) forget_events(*cache, listing.revision);
      auto watch = co_await store_.watch("", listing.revision);
      if (!watch) co_return fail(watch.error());
      watch_ = std::move(*watch);
      break;
    }
    for (auto& event : *events) {
      *reached = event.revision;
      if (event.revision <= listing.revision) {
        recall(event, recalled);
      } else {
        later_.push_back(std::move(event));
      }
    }
  }
  co_return Status{};
}

// One commit of before the start becomes events; the objects themselves come from the listing.
void Cache::recall(const store::CommitEvent& event, Recalled& recalled) {
  for (const auto& change : event.changes) {
    const auto* kind = kind_of_key(change.key);
    if (!kind) continue;
    auto& cache = of(*kind);
    const auto it = recalled.find(change.key);
    CachedPtr before = it == recalled.end() ? nullptr : it->second;
    if (!change.value) {
      // What was removed is not known here: events begin after it.
      if (!before) {
        forget_events(cache, event.revision);
        continue;
      }
      push_event(cache, "DELETED", before, event.revision);
      recalled.erase(it);
      continue;
    }
    auto object = admit(*kind, change.key, change.value, change.created, event.revision, change.lease);
    if (!object) continue;
    recalled.insert_or_assign(change.key, object);
    const bool added = object->created == object->modified;
    push_event(cache, added ? "ADDED" : "MODIFIED", object, event.revision, before);
    cache.events.back().before_unknown = !added && !before;
  }
}

// After a gap the difference between old and new content becomes events, in the order of revisions; removals, whose
// revision nobody knows, come last.
void Cache::apply_difference(const store::Listing& listing) {
  std::set<std::string_view> present;
  std::vector<const store::Entry*> changed;
  for (const auto& entry : listing.entries) {
    const auto* kind = kind_of_key(entry.key);
    if (!kind) continue;
    present.insert(entry.key);
    const auto& objects = of(*kind).objects;
    const auto known = objects.find(entry.key);
    if (known == objects.end() || known->second->modified != entry.modified) changed.push_back(&entry);
  }
  std::ranges::sort(changed, {}, [](const store::Entry* entry) { return entry->modified; });
  for (const auto* entry : changed) {
    apply({.key = entry->key, .value = entry->value, .created = entry->created, .lease = entry->lease},
          entry->modified);
  }
  for (auto& [kind, cache] : kinds_) {
    std::vector<std::string> gone;
    for (const auto& [key, object] : cache->objects) {
      if (!present.contains(key)) gone.push_back(key);
    }
    for (const auto& [key, revision] : cache->unreadable) {
      if (!present.contains(key)) gone.push_back(key);
    }
    for (const auto& key : gone) apply({.key = key, .value = nullptr}, listing.revision);
  }
}

Awaitable<Status> Cache::load() {
  auto listing = co_await store_.list("/");
  if (!listing) co_return fail(listing.error());
  later_.clear();
  if (ready_) {
    apply_difference(*listing);
    if (auto after = co_await open_watch(listing->revision); !after) co_return fail(after.error());
  } else {
    Recalled recalled;
    CO_RETURN_IF_ERROR(co_await recall_history(*listing, recalled));
    for (auto& entry : listing->entries) {
      const auto* kind = kind_of_key(entry.key);
      if (!kind) continue;
      auto& cache = of(*kind);
      const auto it = recalled.find(entry.key);
      auto object = it != recalled.end() && it->second->modified == entry.modified
                        ? it->second
                        : admit(*kind, entry.key, entry.value, entry.created, entry.modified, entry.lease);
      if (!object) continue;
      cache.objects[entry.key] = object;
      for (const auto& listener : listeners_) listener(*kind, object->name, object);
    }
  }
  revision_ = std::max(revision_, listing->revision);
  ready_ = true;
  for (const auto& event : std::exchange(later_, {})) apply(event);
  advanced_.notify_all();
  co_return Status{};
}

Awaitable<Status> Cache::start() {
  CO_RETURN_IF_ERROR(co_await load());
  tasks_.spawn("watch cache", follow());
  co_return Status{};
}

Awaitable<void> Cache::follow() {
  int failures = 0;
  const Backoff backoff{.base = std::chrono::milliseconds(50), .cap = std::chrono::seconds(5)};
  for (;;) {
    auto events = co_await watch_->next();
    if (events) {
      failures = 0;
      for (const auto& event : *events) apply(event);
      advanced_.notify_all();
      continue;
    }
    env_.log.warning("store watch ended; resuming", {{"why", events.error().message}, {"revision", revision_}});
    // At once the first time; slower when the new one fails too.
    for (;;) {
      if (failures++ > 0) co_await sleep_for(env_.clock, backoff.delay(failures - 2, env_.random));
      auto watch = co_await store_.watch("", revision_);
      if (watch) {
        watch_ = std::move(*watch);
        break;
      }
      if (watch.error().code == Code::compacted && (co_await load())) break;
    }
  }
}

void Cache::apply(const store::CommitEvent& event) {
  if (event.revision <= revision_) return;  // the overlap of a list and a watch
  for (const auto& change : event.changes) apply(change, event.revision);
  revision_ = event.revision;
}

void Cache::apply(const store::Change& change, Revision revision) {
  const auto* kind = kind_of_key(change.key);
  if (!kind) return;
  auto& cache = of(*kind);
  const auto it = cache.objects.find(change.key);
  cache.unreadable.erase(change.key);
  if (!change.value) return lose(cache, change.key, revision);
  CachedPtr object = from_draft(change, revision);
  if (!object) object = admit(*kind, change.key, change.value, change.created, revision, change.lease);
  if (!object) return lose(cache, change.key, revision);  // to clients it is gone
  // Removed and made again while we did not look: that is told as such.
  if (it != cache.objects.end() && it->second->created != object->created) lose(cache, change.key, revision);
  const auto known = cache.objects.find(change.key);
  CachedPtr before = known == cache.objects.end() ? nullptr : known->second;
  cache.objects.insert_or_assign(change.key, object);
  push_event(cache, object->created == object->modified ? "ADDED" : "MODIFIED", object, revision, std::move(before));
  for (const auto& listener : listeners_) listener(*kind, object->name, object);
}

void Cache::lose(KindCache& cache, const std::string& key, Revision revision) {
  const auto it = cache.objects.find(key);
  if (it == cache.objects.end()) return;
  const CachedPtr last = it->second;
  cache.objects.erase(it);
  push_event(cache, "DELETED", last, revision);
  for (const auto& listener : listeners_) listener(cache.kind, last->name, nullptr);
}

void Cache::push_event(KindCache& cache, std::string_view type, CachedPtr object, Revision revision, CachedPtr before) {
  auto line = type == "DELETED" ? event_line(type, *object, revision) : object->line;
  if (before && before->labels == object->labels && before->state == object->state) before.reset();
  cache.event_bytes += line->size();
  cache.events.push_back({revision, object->ns, object, std::move(line), type == "DELETED", std::move(before)});
  while (cache.events.size() > options_.ring_events ||
         (cache.event_bytes > options_.ring_bytes && cache.events.size() > 1)) {
    cache.complete_after = cache.events.front().revision;
    cache.event_bytes -= cache.events.front().line->size();
    cache.events.pop_front();
    ++cache.first_event;
  }
  cache.notify(cache.events.back().ns);
}

void Cache::forget_events(KindCache& cache, Revision until) {
  cache.first_event += cache.events.size();
  cache.events.clear();
  cache.event_bytes = 0;
  cache.complete_after = until;
}

Awaitable<Status> Cache::wait_for(Revision revision) {
  const Mono deadline = env_.clock.now() + std::chrono::seconds(10);
  while (revision_ < revision) {
    const bool in_time = co_await advanced_.wait_until(env_.clock, deadline);
    if (!in_time) {
      if (env_.clock.now() < deadline) continue;
      co_return fail(Code::unavailable,
                     fmt::format("the cache is at revision {} and did not reach {} within 10 s", revision_, revision));
    }
  }
  co_return Status{};
}

// Settles the question it stands for however the asking coroutine ends: the others must not wait for one that was
// cancelled.
struct Cache::Question {
  Cache& cache;
  std::uint64_t number;
  Result<Revision> answer = Revision{0};
  bool asked = false;
  ~Question() {
    cache.answer_ = std::move(answer);
    cache.abandoned_ = !asked;  // then the next one asks
    cache.answered_ = number;
    cache.answered_changed_.notify_all();
  }
};

Awaitable<Status> Cache::fresh() {
  // The answer to a question already in flight may predate this call: ours is the next one.
  const std::uint64_t mine = asking_ + 1;
  while (answered_ < mine || abandoned_) {
    if (asking_ != answered_) {
      co_await answered_changed_.wait();
      continue;
    }
    Question question{*this, ++asking_};
    question.answer = co_await store_.current();
    question.asked = true;
  }
  const auto answer = answer_;
  if (!answer) co_return fail(with_context(answer.error(), "the store cannot confirm its revision"));
  co_return co_await wait_for(*answer);
}

}  // namespace krake::server
