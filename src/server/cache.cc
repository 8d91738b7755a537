#include "server/cache.h"

#include "base/backoff.h"
#include "base/check.h"

namespace krake::server {

namespace {

// {"api":"core","kind":"Role","metadata":{  -- after which resource_version is spliced in.
std::string head_of(const Kind& kind) {
  return fmt::format(R"({{"api":"{}","kind":"{}","metadata":{{)", kind.group, kind.name);
}

std::int64_t newest_time(const ObjectMeta& meta) {
  const auto us = [](const DateTime& time) { return time.wall().time_since_epoch().count(); };
  std::int64_t newest = std::max(us(meta.created), us(meta.modified));
  if (meta.deleted) newest = std::max(newest, us(*meta.deleted));
  return newest;
}

}  // namespace

CachedPtr KindCache::find(std::string_view ns, std::string_view name) const {
  const auto it = objects.find(kind.storage_key(ns, name));
  return it == objects.end() ? nullptr : it->second;
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
    cache = std::make_unique<KindCache>(*kind, env.executor);
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
  auto document = json::parse(*value);
  FieldErrors errors;
  auto decoded = document ? kind.decode(kind, *document, Form::stored, errors) : nullptr;
  if (!decoded) {
    ++undecodable_;
    env_.log.error(
        "stored value cannot be decoded; it is left out of lists and can be deleted with ?force=True",
        {{"key", key}, {"revision", modified}, {"why", document ? errors.render() : document.error().message}});
    return nullptr;
  }
  // Values written by another program come in another format: what leaves the server is always ours.
  std::string bytes;
  bytes.reserve(value->size() + 64);
  decoded->encode(bytes);
  const std::string head = head_of(kind);
  CHECK(bytes.starts_with(head), "objects are encoded api, kind, metadata first");
  bytes.insert(head.size(), fmt::format(R"("resource_version":"{}",)", modified));
  object->key = key;
  object->bytes = share_bytes(std::move(bytes));
  object->stored = std::move(value);
  object->created = created;
  object->modified = modified;
  object->lease = lease;
  object->uid = decoded->meta().uid;
  object->labels = decoded->meta().labels;
  if (kind.state) object->state = kind.state(*decoded);
  object->newest_us = newest_time(decoded->meta());
  return object;
}

void Cache::expect(CachedPtr object) {
  if (object->modified > revision_) expected_[object->modified] = std::move(object);
}

Awaitable<Status> Cache::load() {
  auto listing = co_await store_.list("/");
  if (!listing) co_return fail(listing.error());
  // After a gap the difference between old and new content becomes events, so that watchers miss nothing.
  std::map<std::string, const store::Entry*> present;
  for (const auto& entry : listing->entries) present[entry.key] = &entry;
  for (auto& [kind, cache] : kinds_) {
    std::vector<std::string> gone;
    for (const auto& [key, object] : cache->objects) {
      if (!present.contains(key)) gone.push_back(key);
    }
    for (const auto& key : gone) apply({.key = key, .value = nullptr}, listing->revision);
  }
  for (auto& entry : listing->entries) {
    const auto* kind = kind_of_key(entry.key);
    if (!kind) continue;
    auto& cache = of(*kind);
    const auto known = cache.objects.find(entry.key);
    if (known != cache.objects.end() && known->second->modified == entry.modified) continue;
    if (ready_) {
      apply({.key = entry.key, .value = entry.value, .created = entry.created, .lease = entry.lease}, entry.modified);
    } else if (auto object = admit(*kind, entry.key, entry.value, entry.created, entry.modified, entry.lease)) {
      cache.objects[entry.key] = object;
      for (const auto& listener : listeners_) listener(*kind, object->name, object);
    }
  }
  for (auto& [kind, cache] : kinds_) {
    if (!ready_) cache->complete_after = listing->revision;
  }
  revision_ = std::max(revision_, listing->revision);
  auto watch = co_await store_.watch("/", listing->revision);
  if (!watch) co_return fail(watch.error());
  watch_ = std::move(*watch);
  ready_ = true;
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
    for (;;) {
      auto watch = co_await store_.watch("/", revision_);
      if (watch) {
        watch_ = std::move(*watch);
        break;
      }
      if (watch.error().code == Code::compacted && (co_await load())) break;
      co_await sleep_for(env_.clock, backoff.delay(failures++, env_.random));
    }
  }
}

void Cache::apply(const store::CommitEvent& event) {
  if (event.revision <= revision_) return;  // the overlap of a list and a watch
  for (const auto& change : event.changes) apply(change, event.revision);
  revision_ = event.revision;
  while (!expected_.empty() && expected_.begin()->first <= revision_) expected_.erase(expected_.begin());
}

void Cache::apply(const store::Change& change, Revision revision) {
  const auto* kind = kind_of_key(change.key);
  if (!kind) return;
  auto& cache = of(*kind);
  const auto it = cache.objects.find(change.key);
  if (!change.value) {
    if (it == cache.objects.end()) return;
    const CachedPtr last = it->second;
    cache.objects.erase(it);
    push_event(cache, "DELETED", last, revision);
    for (const auto& listener : listeners_) listener(*kind, last->name, nullptr);
    return;
  }
  CachedPtr object;
  if (const auto known = expected_.find(revision); known != expected_.end() && known->second->key == change.key) {
    object = known->second;
  } else {
    object = admit(*kind, change.key, change.value, change.created, revision, change.lease);
  }
  if (!object) {
    if (it != cache.objects.end()) cache.objects.erase(it);
    return;
  }
  cache.objects.insert_or_assign(change.key, object);
  push_event(cache, object->created == object->modified ? "ADDED" : "MODIFIED", object, revision);
  for (const auto& listener : listeners_) listener(*kind, object->name, object);
}

void Cache::push_event(KindCache& cache, std::string_view type, CachedPtr object, Revision revision) {
  std::string line;
  line.reserve(object->bytes->size() + 64);
  fmt::format_to(std::back_inserter(line), R"({{"type":"{}","object":)", type);
  line += *object->bytes;
  fmt::format_to(std::back_inserter(line), ",\"revision\":\"{}\"}}\n", revision);
  cache.event_bytes += line.size();
  cache.events.push_back({revision, object->ns, object, share_bytes(std::move(line)), type == "DELETED"});
  while (cache.events.size() > options_.ring_events ||
         (cache.event_bytes > options_.ring_bytes && cache.events.size() > 1)) {
    cache.complete_after = cache.events.front().revision;
    cache.event_bytes -= cache.events.front().line->size();
    cache.events.pop_front();
    ++cache.first_event;
  }
  cache.changed.notify_all();
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
  Result<Revision> answer = fail(Code::unavailable, "the question was given up");
  ~Question() {
    cache.answer_ = std::move(answer);
    cache.answered_ = number;
    cache.answered_changed_.notify_all();
  }
};

Awaitable<Status> Cache::fresh() {
  // The answer to a question already in flight may predate this call: ours is the next one.
  const std::uint64_t mine = asking_ + 1;
  while (answered_ < mine) {
    if (asking_ != answered_) {
      co_await answered_changed_.wait();
      continue;
    }
    Question question{*this, ++asking_};
    question.answer = co_await store_.current();
  }
  const auto answer = answer_;
  if (!answer) co_return fail(with_context(answer.error(), "the store cannot confirm its revision"));
  co_return co_await wait_for(*answer);
}

}  // namespace krake::server
