#include "server/cache.h"

#include <prometheus/counter.h>

#include <set>

#include "base/backoff.h"
#include "base/check.h"

namespace krake::server {

namespace {

// More than upstream can write. Lists and events add two levels and must stay below json::kMaxDepth.
constexpr std::size_t kMaxStoredDepth = 1000;

// {"api":"core","kind":"Role","metadata":{  -- after which resource_version is spliced in.
std::string head_of(const Kind& kind) {
  return fmt::format(R"({{"api":"{}","kind":"{}","metadata":{{)", kind.group, kind.name);
}

std::int64_t microseconds(const std::optional<DateTime>& time) {
  // Without an offset it is nobody's clock: of another program, in a zone of its own.
  return time && time->offset_minutes ? time->wall().time_since_epoch().count() : 0;
}

// The index part of a cached object.
void index_object(CachedObject& target, const Object& object) {
  const auto& meta = object.meta();
  target.uid = meta.uid;
  target.labels = meta.labels;
  target.owners = meta.owners;
  if (object.kind().state) target.state = object.kind().state(object);
  target.newest_us = std::max({microseconds(meta.created), microseconds(meta.modified), microseconds(meta.deleted)});
  if (object.kind().newest_time) target.status_us = microseconds(object.kind().newest_time(object));
}

// Encodes once what reads, lists and watchers are sent. `encoded` is the object as the store has it.
void set_bytes(CachedObject& target, const Kind& kind, std::string_view encoded, std::string_view store) {
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
  if (kind.leased) fmt::format_to(std::back_inserter(line), R"("epoch":"{}-{}",)", store, target.created);
  line += encoded.substr(head.size());
  const std::size_t size = line.size() - begin;
  line += R"(,"revision":")";
  line.append(modified.data(), modified.size());
  line += "\"}\n";
  target.line = share_bytes(std::move(line));
  target.bytes = target.line.part(begin, size);
}

}  // namespace

SharedBytes event_line(std::string_view type, const CachedObject& object, Told told) {
  std::string line;
  line.reserve(object.bytes->size() + 64);
  fmt::format_to(std::back_inserter(line), R"({{"type":"{}","object":)", type);
  line += *object.bytes;
  fmt::format_to(std::back_inserter(line), R"(,"revision":"{}")", told.revision);
  if (told.gap != 0) fmt::format_to(std::back_inserter(line), R"(,"gap":"{}")", told.gap);
  line += "}\n";
  return share_bytes(std::move(line));
}

namespace {
// `line`, which tells of `object`, with `bytes` in its place.
std::string retold(std::string_view line, std::string_view object, std::string_view bytes) {
  constexpr std::string_view member = R"("object":)";
  const std::size_t begin = line.find(member) + member.size();
  return fmt::format("{}{}{}", line.substr(0, begin), bytes, line.substr(begin + object.size()));
}
}  // namespace

CachedPtr without_secrets(const Kind& kind, const CachedPtr& object) {
  if (object->redacted) return object->redacted;
  // Should it ever not be JSON, nothing of it is shown.
  auto document = json::parse(*object->bytes).value_or(json::Value());
  kind.mask(document);
  const std::string bytes = json::print(document);
  auto twin = std::make_shared<CachedObject>(*object);
  twin->decoded.reset();
  twin->line = share_bytes(retold(*object->line, *object->bytes, bytes));
  twin->bytes =
      twin->line.part(twin->line->find(R"("object":)") + std::string_view(R"("object":)").size(), bytes.size());
  object->redacted = std::move(twin);
  return object->redacted;
}

SharedBytes line_without_secrets(const Kind& kind, const WatchLine& event) {
  const auto twin = without_secrets(kind, event.object);
  const bool own = event.line->data() == event.object->line->data();
  if (own) return twin->line;
  if (!event.redacted) event.redacted = share_bytes(retold(*event.line, *event.object->bytes, *twin->bytes));
  return event.redacted;
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

void KindCache::wake_all() const {
  all_->changed.notify_all();
  for (const auto& [ns, weak] : feeds_) {
    if (const auto feed = weak.lock()) feed->changed.notify_all();
  }
}

void KindCache::drop_oldest() {
  const auto& oldest = events.front();
  complete_after = oldest.revision;
  event_bytes -= oldest.line->size();
  all_->dropped_end = first_event + 1;
  if (const auto it = feeds_.find(oldest.ns); it != feeds_.end()) {
    if (const auto feed = it->second.lock()) feed->dropped_end = first_event + 1;
  }
  events.pop_front();
  ++first_event;
}

Cache::Cache(Env& env, store::Store& store, const Registry& registry, CacheOptions options)
    : env_(env),
      store_(store),
      options_(options),
      gate_(env.executor, env.clock),
      urged_(env.executor),
      replaced_changed_(env.executor),
      confirmed_changed_(env.executor),
      asker_(env, store, [this] { return RevisionAsker::Known{revision_, generation_}; }),
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

CachedPtr Cache::admit(const Kind& kind, const store::Change& change, Revision revision) {
  return admit(kind, store::Entry{.key = change.key,
                                  .value = change.value,
                                  .created = change.created,
                                  .modified = revision,
                                  .lease = change.lease,
                                  .sealed_with = change.sealed_with});
}

CachedPtr Cache::admit(const Kind& kind, const store::Entry& entry) {
  auto object = std::make_shared<CachedObject>();
  if (!kind.split_key(entry.key, object->ns, object->name)) return nullptr;
  if (!entry.sealed_with.empty()) {
    leave_out(kind, entry, {});
    return nullptr;
  }
  auto document = json::parse(*entry.value, kMaxStoredDepth);
  FieldErrors errors;
  auto decoded = document ? kind.decode(kind, *document, Form::stored, errors) : nullptr;
  if (!decoded) {
    leave_out(kind, entry, document ? errors.render() : document.error().message);
    return nullptr;
  }
  // Values written by another program come in another format: what leaves the server is always ours.
  std::string encoded;
  encoded.reserve(entry.value->size());
  decoded->encode(encoded);
  object->key = entry.key;
  object->created = entry.created;
  object->modified = entry.modified;
  object->lease = entry.lease;
  set_bytes(*object, kind, encoded, id_);
  index_object(*object, *decoded);
  return object;
}

void Cache::leave_out(const Kind& kind, const store::Entry& entry, std::string_view why) {
  ++undecodable_;
  const bool known =
      !of(kind).unreadable.insert_or_assign(entry.key, Unreadable{entry.modified, entry.sealed_with}).second;
  if (known) return;  // told once for each key
  if (!entry.sealed_with.empty()) {
    env_.log.error(
        "stored value cannot be opened with the keys of security.encryption_key_file; lists of its kind are refused, "
        "give this server the key it names and restart it",
        {{"key", entry.key}, {"revision", entry.modified}, {"sealed_with", entry.sealed_with}});
  } else {
    env_.log.error("stored value cannot be decoded; it is left out of lists and can be deleted with ?force=True",
                   {{"key", entry.key}, {"revision", entry.modified}, {"why", std::string(why)}});
  }
}

std::shared_ptr<const Object> Cache::decoded(const Kind& kind, const CachedPtr& object) {
  if (object->decoded) {
    remembered_.splice(remembered_.end(), remembered_, object->remembered);
    return object->decoded;
  }
  FieldErrors errors;
  std::shared_ptr<const Object> decoded = kind.decode(kind, stored_document(*object), Form::stored, errors);
  if (decoded) remember(object, decoded);
  return decoded;
}

void Cache::remember(const CachedPtr& object, std::shared_ptr<const Object> decoded) {
  object->decoded = std::move(decoded);
  object->remembered = remembered_.insert(remembered_.end(), object);
  remembered_bytes_ += object->bytes->size();
  while (remembered_.size() > options_.decoded_objects || remembered_bytes_ > options_.decoded_bytes)
    forget_decoded(*remembered_.front());
}

void Cache::forget_decoded(const CachedObject& object) {
  if (!std::exchange(object.decoded, nullptr)) return;
  remembered_bytes_ -= object.bytes->size();
  remembered_.erase(object.remembered);  // may be the last that held it
}

Cache::Draft::Draft(Cache& cache, std::shared_ptr<const Object> object)
    : cache_(cache), kind_(object->kind()), decoded_(std::move(object)), drafts_(cache.drafts_) {
  const auto& meta = decoded_->meta();
  object_.ns = meta.namespace_.value_or("");
  object_.name = meta.name;
  object_.key = kind_.storage_key(object_.ns, object_.name);
  std::string encoded;
  decoded_->encode(encoded);
  stored_ = std::make_shared<const std::string>(std::move(encoded));
#ifndef NDEBUG
  FieldErrors errors;
  const auto again = kind_.decode(kind_, json::parse(*stored_).value_or(json::Value()), Form::stored, errors);
  std::string text;
  if (again) again->encode(text);
  CHECK(text == *stored_, "what is remembered is what would be read: " + errors.render());
#endif
  index_object(object_, *decoded_);
  place_ = drafts_->emplace(object_.key, this);
}

Cache::Draft::~Draft() { drafts_->erase(place_); }

CachedPtr Cache::Draft::finish(Revision created, Revision modified, store::LeaseId lease) {
  auto object = std::make_shared<CachedObject>(object_);
  object->created = created;
  object->modified = modified;
  object->lease = lease;
  set_bytes(*object, kind_, *stored_, cache_.id_);
  seen_ = std::move(object);
  cache_.remember(seen_, decoded_);
  return seen_;
}

CachedPtr Cache::Draft::committed(Revision created, Revision revision) {
  if (seen_ && seen_->modified == revision) return seen_;
  return finish(created, revision, 0);
}

CachedPtr Cache::from_draft(const store::Change& change, Revision revision) {
  const auto [first, last] = drafts_->equal_range(change.key);
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
// A watch of everything reaches the newest revision at once. Only a store whose newest revisions left no event behind
// (made from a snapshot, without any commit since) has us wait in vain.
constexpr Duration kRecallLimit = std::chrono::seconds(1);
constexpr std::string_view kEverything;

// Opens the watch, at the start of the server as far back as the ring reaches. Answers after which revision it starts.
Awaitable<Result<Revision>> Cache::open_watch(Revision newest) {
  for (const Revision commits : kRecalledCommits) {
    if (ready_ && commits > 0) continue;
    const Revision after = std::max<Revision>(0, newest - commits);
    auto watch = co_await store_.watch(std::string(kEverything), after);
    if (watch) {
      watch_ = std::move(*watch);
      co_return after;
    }
    if (watch.error().code != Code::compacted || commits == 0) co_return fail(watch.error());
  }
  co_return newest;
}

// Fills the rings with what led to the listing.
Awaitable<Status> Cache::recall_history(Revision newest, const Content& content) {
  auto reached = co_await open_watch(newest);
  if (!reached) co_return fail(reached.error());
  for (auto& [kind, cache] : kinds_) forget_events(*cache, *reached);
  const bool untouched = newest <= 1 && content.nothing;  // etcd begins with revision 1
  Recalled recalled;
  while (*reached < newest && !untouched) {
    auto events = co_await with_timeout(env_.clock, kRecallLimit, "reading the store's history", watch_->next());
    // What is forgotten already may also be told by the first answer of the watch.
    if (!events && events.error().code != Code::timeout && events.error().code != Code::compacted)
      co_return fail(events.error());
    if (!events) {
      // Events begin here.
      for (auto& [kind, cache] : kinds_) forget_events(*cache, newest);
      auto watch = co_await store_.watch(std::string(kEverything), newest);
      if (!watch) co_return fail(watch.error());
      watch_ = std::move(*watch);
      break;
    }
    for (auto& event : *events) {
      *reached = event.revision;
      if (event.revision <= newest) {
        recall(event, content, recalled);
      } else {
        later_.push_back(std::move(event));
      }
    }
  }
  co_return Status{};
}

// One commit of before the start becomes events; the objects themselves come from the listing.
void Cache::recall(const store::CommitEvent& event, const Content& content, Recalled& recalled) {
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
      push_event(cache, "DELETED", before, {event.revision});
      recalled.erase(it);
      continue;
    }
    const auto there =
        std::ranges::lower_bound(content.objects, std::string_view(change.key), {},
                                 [](const auto& entry) -> std::string_view { return entry.second->key; });
    const bool is_there =
        there != content.objects.end() && there->second->key == change.key && there->second->modified == event.revision;
    auto object = is_there ? there->second : admit(*kind, change, event.revision);
    if (!object) {  // to clients it is gone, unless others have its key
      if (before && change.sealed_with.empty()) {
        push_event(cache, "DELETED", before, {event.revision});
      } else {
        forget_events(cache, event.revision);
      }
      if (before) recalled.erase(it);
      continue;
    }
    recalled.insert_or_assign(change.key, object);
    const bool added = object->created == object->modified;
    push_event(cache, added ? "ADDED" : "MODIFIED", object, {event.revision}, before);
    cache.events.back().before_unknown = !added && !before;
  }
}

bool Cache::resumable(const KindCache& kind, Revision since) const {
  return since >= kind.complete_after && since >= gap_end_ && since <= revision_;
}

// After a gap the difference between old and new content becomes events, in the order of revisions; removals, whose
// revision nobody knows, come last. They are right for who follows us and for nobody else: another server may have told
// of what is no difference any more. So nobody takes up a watch here before the end of the gap; and since these events
// have no place among the revisions of other servers, all are told at the first one of the gap: who has seen some of
// them is sure of nothing after its beginning.
void Cache::apply_difference(const store::Listing& listing) {
  const Told told{.revision = revision_ + 1, .gap = listing.revision};
  if (listing.revision > revision_) gap_end_ = listing.revision;
  std::set<std::string_view> present;
  std::vector<const store::Entry*> changed;
  for (const auto& entry : listing.entries) {
    const auto* kind = kind_of_key(entry.key);
    if (!kind) continue;
    present.insert(entry.key);
    const auto& cache = of(*kind);
    const auto known = cache.objects.find(entry.key);
    const auto unreadable = cache.unreadable.find(entry.key);
    const bool same = known != cache.objects.end()
                          ? known->second->modified == entry.modified
                          : unreadable != cache.unreadable.end() && unreadable->second.revision == entry.modified;
    if (!same) changed.push_back(&entry);
  }
  std::ranges::sort(changed, {}, [](const store::Entry* entry) { return entry->modified; });
  for (const auto* entry : changed) {
    apply({.key = entry->key,
           .value = entry->value,
           .created = entry->created,
           .lease = entry->lease,
           .sealed_with = entry->sealed_with},
          entry->modified, told);
  }
  for (auto& [kind, cache] : kinds_) {
    std::vector<std::string> gone;
    for (const auto& [key, object] : cache->objects) {
      if (!present.contains(key)) gone.push_back(key);
    }
    for (const auto& [key, unreadable] : cache->unreadable) {
      if (!present.contains(key)) gone.push_back(key);
    }
    for (const auto& key : gone) apply({.key = key, .value = nullptr}, listing.revision, told);
  }
}

void Cache::admit_page(const std::vector<store::Entry>& page, bool anew, Content& content) {
  if (anew) content = {};
  content.nothing = content.nothing && page.empty();
  for (const auto& entry : page) {
    const auto* kind = kind_of_key(entry.key);
    if (!kind) continue;
    if (auto object = admit(*kind, entry)) {
      content.objects.emplace_back(kind, std::move(object));
    } else if (const auto left_out = of(*kind).unreadable.find(entry.key); left_out != of(*kind).unreadable.end()) {
      content.unreadable[kind].insert(*left_out);
    }
  }
}

// The first content of a generation.
void Cache::fill(Content content) {
  for (auto& [kind, cache] : kinds_) cache->unreadable = std::move(content.unreadable[kind]);
  for (auto& [kind, object] : content.objects) {
    of(*kind).objects.try_emplace(object->key).first->second = object;
    for (const auto& listener : listeners_) listener(*kind, object->name, object);
  }
}

// Before the first content of the next generation, which follows at once: no reader sees the emptiness between.
void Cache::forget_everything(Revision until) {
  for (auto& [kind, cache] : kinds_) {
    for (const auto& [key, object] : cache->objects.take_all()) {
      forget_decoded(*object);
      for (const auto& listener : listeners_) listener(*kind, object->name, nullptr);
    }
    cache->unreadable.clear();
    forget_events(*cache, until);
  }
}

void Cache::wake_watchers() {
  for (const auto& [kind, cache] : kinds_) cache->wake_all();
}

Awaitable<Status> Cache::load_first() {
  Content content;
  // Objects are made of each page while the store reads the next one.
  const auto each_page = [&](const std::vector<store::Entry>& page, bool anew) {
    if (anew) id_ = store_.id();
    admit_page(page, anew, content);
  };
  ASSIGN_OR_CO_RETURN(const auto listing, co_await store_.list("/", {.each_page = each_page}));
  later_.clear();
  CO_RETURN_IF_ERROR(co_await recall_history(listing.revision, content));
  CO_RETURN_IF_ERROR(settled(id_));
  // Nothing waits from here on.
  fill(std::move(content));
  go_on_from(listing.revision);
  gate_.reached(revision_);
  co_return Status{};
}

Awaitable<Status> Cache::load_again() {
  must_load_ = true;
  ASSIGN_OR_CO_RETURN(auto listing, co_await store_.list("/"));
  const std::string id = store_.id();
  const bool replaced = id != id_ || listing.revision < revision_;
  later_.clear();
  if (auto after = co_await open_watch(listing.revision); !after) co_return fail(after.error());
  CO_RETURN_IF_ERROR(settled(id));
  // Nothing waits from here on.
  if (replaced) {
    env_.log.warning("the store's history was replaced; everything begins anew",
                     {{"store", id_}, {"revision", revision_}, {"now", id}, {"now_at", listing.revision}});
    note_break("replaced");
    forget_everything(listing.revision);
    gap_end_ = 0;
    id_ = id;
    ++generation_;
    revision_ = listing.revision;
    Content content;
    admit_page(listing.entries, true, content);
    fill(std::move(content));
  } else {
    apply_difference(listing);
  }
  go_on_from(listing.revision);
  replaced ? gate_.shake() : gate_.reached(revision_);
  if (replaced) wake_watchers();
  co_return Status{};
}

Status Cache::settled(const std::string& id) const {
  if (!id.empty() && store_.id() == id) return {};
  return fail(Code::unavailable, fmt::format("the store's identity is not settled: '{}', now '{}'", id, store_.id()));
}

void Cache::go_on_from(Revision revision) {
  revision_ = std::max(revision_, revision);
  ready_ = true;
  replaced_ = false;
  must_load_ = false;
  for (const auto& event : std::exchange(later_, {})) apply(event);
}

Awaitable<Status> Cache::start() {
  CO_RETURN_IF_ERROR(co_await load_first());
  confirmed_ = env_.clock.now();  // nobody was told anything before
  tasks_.spawn("watch cache", run());
  tasks_.spawn("confirm the cache", keep_confirmed());
  tasks_.spawn("notice a cut", watch_confirmation());
  co_return Status{};
}

Awaitable<void> Cache::stop() {
  co_await tasks_.stop();
  co_await asker_.stop();
  if (reader_) co_await reader_->stop();
}

void Cache::note_break(std::string_view reason) {
  env_.metrics
      .counter("krake_store_watch_breaks_total", "Times the server's watch on the store ended, by what was found.",
               {{"reason", std::string(reason)}})
      .Increment();
}

// A watch from a revision the present history has not reached yet would wait in silence: it is given up when somebody
// finds out.
Awaitable<void> Cache::run() {
  int failures = 0;
  const Backoff backoff{.base = std::chrono::milliseconds(50), .cap = std::chrono::seconds(5)};
  for (;;) {
    reader_ = std::make_unique<TaskGroup>(env_.executor);
    reader_->spawn("store watch", follow());
    while (!replaced_) co_await replaced_changed_.wait();
    co_await reader_->stop();
    while (replaced_) {
      if (co_await load_again()) break;
      co_await pause(backoff.delay(failures++, env_.random));
    }
    failures = 0;
  }
}

Awaitable<void> Cache::follow() {
  int failures = 0;
  const Backoff backoff{.base = std::chrono::milliseconds(50), .cap = std::chrono::seconds(5)};
  for (;;) {
    auto events = co_await watch_->next();
    if (events) {
      failures = 0;
      for (const auto& event : *events) apply(event);
      gate_.reached(revision_);
      continue;
    }
    env_.log.warning("store watch ended; resuming", {{"why", events.error().message}, {"revision", revision_}});
    note_break(to_string(events.error().code));
    // At once the first time; slower when the new one fails too.
    for (;;) {
      if (failures++ > 0) co_await pause(backoff.delay(failures - 2, env_.random));
      if (co_await resume()) break;
    }
  }
}

// Goes on after the last revision seen, if this is still the history it is of.
Awaitable<Status> Cache::resume() {
  auto newest = co_await store_.current();
  if (!newest) co_return fail(newest.error());
  if (!must_load_ && store_.id() == id_ && *newest >= revision_) {
    auto watch = co_await store_.watch(std::string(kEverything), revision_);
    if (watch) {
      watch_ = std::move(*watch);
      co_return Status{};
    }
    if (watch.error().code != Code::compacted) co_return fail(watch.error());
  }
  co_return co_await load_again();
}

// Shorter when somebody waits, but never so short that many who wait become a storm.
Awaitable<void> Cache::pause(Duration time) {
  constexpr Duration kLeast = std::chrono::milliseconds(50);
  const Mono end = env_.clock.now() + time;
  co_await sleep_for(env_.clock, std::min(time, kLeast));
  while (gate_.empty() && env_.clock.now() < end) co_await urged_.wait_until(env_.clock, end);
}

Awaitable<void> Cache::keep_confirmed() {
  const Duration every = options_.unconfirmed_limit / 4;
  for (;;) {
    if (unconfirmed() < every) {
      co_await sleep_until(env_.clock, confirmed_ + every);
    } else if (auto confirmed = co_await fresh(); !confirmed) {
      co_await sleep_for(env_.clock, every / 2);
    }
  }
}

Awaitable<void> Cache::watch_confirmation() {
  for (;;) {
    if (!cut_off()) {
      co_await sleep_until(env_.clock, confirmed_ + options_.unconfirmed_limit + std::chrono::milliseconds(1));
      continue;
    }
    env_.log.error("cut off from the store: watches are closed, reads and writes are refused", {{"store", id_}});
    wake_watchers();
    while (cut_off()) co_await confirmed_changed_.wait();
    env_.log.warning("the store answers again", {{"store", id_}, {"revision", revision_}});
  }
}

void Cache::apply(const store::CommitEvent& event) {
  if (event.revision <= revision_) return;  // the overlap of a list and a watch
  for (const auto& change : event.changes) apply(change, event.revision, {event.revision});
  revision_ = event.revision;
}

void Cache::apply(const store::Change& change, Revision revision, Told told) {
  const auto* kind = kind_of_key(change.key);
  if (!kind) return;
  auto& cache = of(*kind);
  CachedPtr object;
  if (change.value) {
    object = from_draft(change, revision);
    if (!object) object = admit(*kind, change, revision);
  }
  // Others could read it all the time: what they have told of it is not what we can tell.
  const auto hidden = cache.unreadable.find(change.key);
  const bool was_sealed = hidden != cache.unreadable.end() && !hidden->second.sealed_with.empty();
  if (object || !change.value) cache.unreadable.erase(change.key);
  if (was_sealed || !change.sealed_with.empty()) close(cache, change.key, told);
  if (!change.sealed_with.empty()) return;
  if (!object) return lose(cache, change.key, told);  // to clients it is gone
  // Removed and made again while we did not look: that is told as such.
  const auto known = cache.objects.find(change.key);
  if (known != cache.objects.end() && known->second->created != object->created) lose(cache, change.key, told);
  CachedPtr before = std::exchange(cache.objects.try_emplace(change.key).first->second, object);
  if (before) forget_decoded(*before);
  // What was made and changed while we did not look is new all the same.
  push_event(cache, before ? "MODIFIED" : "ADDED", object, told, std::move(before));
  for (const auto& listener : listeners_) listener(*kind, object->name, object);
}

// Something of a value that is sealed with a key we lack, or was. Nobody is told of it, nor of anything else until all
// can be told; and who comes back from before, also from another server, has to list again.
void Cache::close(KindCache& cache, const std::string& key, Told told) {
  if (const auto it = cache.objects.find(key); it != cache.objects.end()) {
    forget_decoded(*it->second);
    cache.objects.erase(it);
  }
  forget_events(cache, std::max({cache.complete_after, told.revision, told.gap}));
  ++cache.closings;
  cache.wake_all();
}

void Cache::lose(KindCache& cache, const std::string& key, Told told) {
  const auto it = cache.objects.find(key);
  if (it == cache.objects.end()) return;
  const CachedPtr last = it->second;
  cache.objects.erase(it);
  forget_decoded(*last);
  push_event(cache, "DELETED", last, told);
  for (const auto& listener : listeners_) listener(cache.kind, last->name, nullptr);
}

void Cache::push_event(KindCache& cache, std::string_view type, CachedPtr object, Told told, CachedPtr before) {
  const std::string_view usual = object->created == object->modified ? "ADDED" : "MODIFIED";
  auto line = type == usual && told.gap == 0 ? object->line : event_line(type, *object, told);
  if (before && before->labels == object->labels && before->state == object->state) before.reset();
  cache.event_bytes += line->size();
  cache.events.push_back(
      {told.revision, told.gap, object->ns, object, std::move(line), type == "DELETED", std::move(before)});
  while (cache.events.size() > options_.ring_events ||
         (cache.event_bytes > options_.ring_bytes && cache.events.size() > 1)) {
    cache.drop_oldest();
  }
  cache.notify(cache.events.back().ns);
}

void Cache::forget_events(KindCache& cache, Revision until) {
  while (!cache.events.empty()) cache.drop_oldest();
  cache.complete_after = until;
}

Awaitable<Status> Cache::wait_until(Revision revision, Mono deadline) {
  if (revision_ >= revision) co_return Status{};
  if (gate_.empty()) urged_.notify_all();
  while (revision_ < revision) {
    if (env_.clock.now() >= deadline) {
      co_return fail(
          Code::unavailable,
          fmt::format("this server is at revision {} of the store and did not reach {} in time", revision_, revision));
    }
    co_await gate_.wait(revision, deadline);
  }
  co_return Status{};
}

Awaitable<Status> Cache::fresh(Confirmed* last) {
  constexpr Duration kLong = std::chrono::milliseconds(100);
  if (!ready_) co_return fail(Code::unavailable, "the server has not loaded its data yet");
  const bool same_history = !replaced_ && store_.id() == id_;
  const bool known = last && last->asked && same_history && last->generation == generation_;
  if (known && env_.clock.now() - *last->asked < kLong) co_return Status{};
  const Mono deadline = env_.clock.now() + options_.wait_limit;
  const auto answer = co_await asker_.ask();
  if (!answer.newest) co_return fail(with_context(answer.newest.error(), "the store cannot confirm its revision"));
  const bool same = answer.known.generation == generation_ && store_.id() == id_;
  // What was shown when we asked had been committed: a store that knows less has another history.
  if (!same || *answer.newest < answer.known.revision) {
    if (answer.known.generation == generation_) replaced_ = true;
    replaced_changed_.notify_all();
    co_return fail(Code::unavailable, "the store's history was replaced by another; the server reads it anew");
  }
  CO_RETURN_IF_ERROR(co_await wait_until(*answer.newest, deadline));
  if (generation_ != answer.known.generation)
    co_return fail(Code::unavailable, "the store's history was replaced by another meanwhile; try again");
  if (answer.asked > confirmed_) {
    const bool was_cut_off = cut_off();
    confirmed_ = answer.asked;
    if (was_cut_off) confirmed_changed_.notify_all();
  }
  if (last) *last = {.asked = answer.asked, .generation = generation_};
  co_return Status{};
}

}  // namespace krake::server
