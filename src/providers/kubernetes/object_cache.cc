#include "providers/kubernetes/object_cache.h"

#include <fmt/format.h>

#include <charconv>

namespace krake::kube {

namespace {

constexpr Duration kSilence = std::chrono::seconds(100);
// A watch that ends sooner than this counts as a failure, so that a server that closes at once is not hammered.
constexpr Duration kShortWatch = std::chrono::seconds(1);

// Servers compare resource versions as numbers; what is none is taken as newer.
bool older(std::string_view a, std::string_view b) {
  std::uint64_t x = 0;
  std::uint64_t y = 0;
  const auto parsed = [](std::string_view text, std::uint64_t& value) {
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
    return ec == std::errc() && end == text.data() + text.size() && !text.empty();
  };
  return parsed(a, x) && parsed(b, y) && x < y;
}

std::string_view version_of(const json::Value& object) { return object.string_at({"metadata", "resourceVersion"}); }

ObjectRef ref_of(const ResourceType& type, const json::Value& object) {
  return {.type = type,
          .ns = type.namespaced ? std::string(object.string_at({"metadata", "namespace"})) : std::string(),
          .name = std::string(object.string_at({"metadata", "name"}))};
}

}  // namespace

// One scope of one type: all namespaces (ns empty) or one.
struct LabelledObjects::Feed {
  Feed(boost::asio::any_io_executor executor, ResourceType t, std::string n)
      : type(std::move(t)), ns(std::move(n)), tasks(std::move(executor)) {}
  ResourceType type;
  std::string ns;
  std::string resource_version;  // empty: list first
  bool listed = false;
  bool seen = false;     // listed, and not by being refused
  bool listing = false;  // the request under way, or the one that failed, is a list
  bool can_watch = true;
  Mono try_watch_again{};
  int failures = 0;
  Mono next_compare{};
  std::optional<Error> problem;
  TaskGroup tasks;
};

struct LabelledObjects::TypeState {
  std::map<std::string, std::unique_ptr<Feed>> feeds;  // by namespace
  bool narrow = false;                                 // all namespaces at once is forbidden
};

LabelledObjects::LabelledObjects(Env& env, KubeClient& client, OnChange on_change, CacheOptions options)
    : env_(env),
      client_(client),
      on_change_(std::move(on_change)),
      options_(std::move(options)),
      log_(env.log.named("kubernetes")),
      random_(env.random.fork("object-cache " + client.server())),
      changed_(env.executor) {}

LabelledObjects::~LabelledObjects() = default;

void LabelledObjects::start() {
  if (std::exchange(running_, true)) return;
  for (const auto& [type, state] : types_) open_feed(type, "");
}

Awaitable<void> LabelledObjects::stop() {
  running_ = false;
  for (auto& [type, state] : types_) {
    for (auto& [ns, feed] : state.feeds) close_feed(std::move(feed));
    state.feeds.clear();
    state.narrow = false;
  }
  while (!closing_.empty()) {
    auto feed = std::move(closing_.back());
    closing_.pop_back();
    co_await feed->tasks.join();
  }
}

void LabelledObjects::open_feed(const ResourceType& type, const std::string& ns) {
  const auto it = types_.find(type);
  if (!running_ || it == types_.end() || it->second.feeds.contains(ns)) return;
  auto feed = std::make_unique<Feed>(env_.executor, type, ns);
  feed->tasks.spawn(fmt::format("observe {} {}", type.name(), ns), run(feed.get()));
  it->second.feeds.emplace(ns, std::move(feed));
}

void LabelledObjects::close_feed(std::unique_ptr<Feed> feed) {
  std::erase_if(closing_, [](const auto& closing) { return closing->tasks.size() == 0; });
  feed->tasks.cancel();
  closing_.push_back(std::move(feed));
}

void LabelledObjects::drop_type(const ResourceType& type) {
  const auto it = types_.find(type);
  if (it == types_.end()) return;
  for (auto& [ns, feed] : it->second.feeds) close_feed(std::move(feed));
  types_.erase(it);
  for (auto object = objects_.begin(); object != objects_.end();) {
    if (object->first.type != type) {
      ++object;
      continue;
    }
    unindex(object->first, *object->second);
    noted_.erase(object->first);
    object = objects_.erase(object);
  }
  changed_.notify_all();
}

void LabelledObjects::set_types(std::set<ResourceType> types) {
  std::vector<ResourceType> unwanted;
  for (const auto& [type, state] : types_) {
    if (!types.contains(type)) unwanted.push_back(type);
  }
  for (const auto& type : unwanted) drop_type(type);
  for (const auto& type : types) add_type(type);
}

void LabelledObjects::add_type(const ResourceType& type) {
  if (types_.try_emplace(type).second) open_feed(type, "");
}

void LabelledObjects::add_namespace(const std::string& ns) {
  if (ns.empty() || !namespaces_.insert(ns).second) return;
  for (const auto& [type, state] : types_) {
    if (state.narrow) open_feed(type, ns);
  }
}

// ---- what is known

bool LabelledObjects::synced(const ResourceType& type) const {
  const auto it = types_.find(type);
  if (it == types_.end() || it->second.feeds.empty()) return false;
  return std::ranges::all_of(it->second.feeds, [](const auto& entry) { return entry.second->listed; });
}

bool LabelledObjects::synced() const {
  return std::ranges::all_of(types_, [this](const auto& entry) { return synced(entry.first); });
}

Awaitable<bool> LabelledObjects::wait_synced(Duration limit) {
  const Mono deadline = env_.clock.now() + limit;
  while (!synced()) {
    if (env_.clock.now() >= deadline) co_return false;
    co_await changed_.wait_until(env_.clock, deadline);
  }
  co_return true;
}

Awaitable<bool> LabelledObjects::wait_synced(std::set<ResourceType> types, Duration limit) {
  const Mono deadline = env_.clock.now() + limit;
  while (!std::ranges::all_of(types, [this](const ResourceType& type) { return synced(type); })) {
    if (env_.clock.now() >= deadline) co_return false;
    co_await changed_.wait_until(env_.clock, deadline);
  }
  co_return true;
}

bool LabelledObjects::sees(const ObjectRef& ref) const {
  const auto it = types_.find(ref.type);
  return it != types_.end() && std::ranges::any_of(it->second.feeds, [&](const auto& entry) {
           return entry.second->seen && covers(*entry.second, ref);
         });
}

LiveObject LabelledObjects::find(const ObjectRef& ref) const {
  const auto it = objects_.find(ref);
  return it == objects_.end() ? nullptr : it->second;
}

std::vector<std::pair<ObjectRef, LiveObject>> LabelledObjects::by_application(const std::string& uid) const {
  std::vector<std::pair<ObjectRef, LiveObject>> found;
  const auto it = applications_.find(uid);
  if (it == applications_.end()) return found;
  for (const ObjectRef& ref : it->second) found.emplace_back(ref, objects_.at(ref));
  return found;
}

std::vector<std::pair<ObjectRef, LiveObject>> LabelledObjects::all() const {
  return {objects_.begin(), objects_.end()};
}

std::optional<Error> LabelledObjects::problem(const ResourceType& type) const {
  const auto it = types_.find(type);
  if (it == types_.end()) return std::nullopt;
  for (const auto& [ns, feed] : it->second.feeds) {
    // That all namespaces at once are forbidden is no problem once single ones are watched.
    if (feed->problem && !(it->second.narrow && ns.empty() && !namespaces_.empty())) return feed->problem;
  }
  return std::nullopt;
}

std::string LabelledObjects::application_of(const json::Value& object) const {
  return std::string(object.string_at({"metadata", "labels", options_.application_label}));
}

void LabelledObjects::unindex(const ObjectRef& ref, const json::Value& object) {
  const auto it = applications_.find(application_of(object));
  if (it == applications_.end()) return;
  it->second.erase(ref);
  if (it->second.empty()) applications_.erase(it);
}

// ---- changes

void LabelledObjects::put(const ObjectRef& ref, json::Value object) {
  LiveObject& known = objects_[ref];
  const std::string application = application_of(object);
  std::string former;
  if (known) {
    if (version_of(*known) == version_of(object) && !version_of(object).empty()) return;
    former = application_of(*known);
    unindex(ref, *known);
  }
  known = std::make_shared<const json::Value>(std::move(object));
  if (!application.empty()) applications_[application].insert(ref);
  if (!former.empty() && former != application) on_change_(ref, former);
  on_change_(ref, application);
}

void LabelledObjects::erase(const ObjectRef& ref) {
  const auto it = objects_.find(ref);
  if (it == objects_.end()) return;
  const std::string application = application_of(*it->second);
  unindex(ref, *it->second);
  objects_.erase(it);
  noted_.erase(ref);
  on_change_(ref, application);
}

void LabelledObjects::note(const ObjectRef& ref, const json::Value& object) {
  if (!types_.contains(ref.type) || application_of(object).empty()) return;
  const LiveObject known = find(ref);
  if (known && !older(version_of(*known), version_of(object))) return;
  noted_.insert(ref);
  put(ref, object);
}

void LabelledObjects::note_removed(const ObjectRef& ref, const std::string& uid) {
  // In every version it is watched in.
  std::vector<ObjectRef> gone;
  for (const auto& [type, state] : types_) {
    const ObjectRef one{.type = type, .ns = ref.ns, .name = ref.name};
    if (!same_object(one, ref)) continue;
    const LiveObject known = find(one);
    if (known && known->string_at({"metadata", "uid"}) == uid) gone.push_back(one);
  }
  for (const ObjectRef& one : gone) erase(one);
}

bool LabelledObjects::covers(const Feed& feed, const ObjectRef& ref) const {
  return ref.type == feed.type && (feed.ns.empty() || feed.ns == ref.ns);
}

void LabelledObjects::erase_scope(const Feed& feed, const std::set<ObjectRef>& except, std::string_view list_version) {
  std::vector<ObjectRef> gone;
  for (const auto& [ref, object] : objects_) {
    if (!covers(feed, ref) || except.contains(ref)) continue;
    // Written after the list was made.
    if (noted_.contains(ref) && older(list_version, version_of(*object))) continue;
    gone.push_back(ref);
  }
  for (const ObjectRef& ref : gone) erase(ref);
}

Status LabelledObjects::take_list(Feed* feed, ObjectList list) {
  if (list.items.size() > options_.max_objects) {
    return fail(Code::too_large,
                fmt::format("{} holds {} labelled {}, more than the {} that are watched", client_.server(),
                            list.items.size(), feed->type.name(), options_.max_objects));
  }
  std::set<ObjectRef> seen;
  for (json::Value& item : list.items) {
    const ObjectRef ref = ref_of(feed->type, item);
    seen.insert(ref);
    const LiveObject known = find(ref);
    if (known && noted_.contains(ref) && older(version_of(item), version_of(*known))) continue;
    noted_.erase(ref);
    put(ref, std::move(item));
  }
  erase_scope(*feed, seen, list.resource_version);
  feed->resource_version = std::move(list.resource_version);
  return {};
}

Status LabelledObjects::take_event(Feed* feed, WatchEvent event) {
  if (event.type == WatchEvent::Type::bookmark) return {};
  const ObjectRef ref = ref_of(feed->type, event.object);
  if (ref.name.empty())
    return fail(Code::unavailable, fmt::format("a watch event of {} without a name", feed->type.name()));
  const LiveObject known = find(ref);
  const bool stale = known && noted_.contains(ref) && older(version_of(event.object), version_of(*known));
  if (stale) return {};
  if (event.type == WatchEvent::Type::deleted) {
    erase(ref);
    return {};
  }
  if (!known && objects_.size() >= options_.max_objects) {
    return fail(Code::too_large,
                fmt::format("{} holds more than {} labelled objects", client_.server(), options_.max_objects));
  }
  noted_.erase(ref);
  put(ref, std::move(event.object));
  return {};
}

// ---- list and watch

Awaitable<Status> LabelledObjects::list_once(Feed* feed) {
  auto list = co_await client_.list(feed->type, {.ns = feed->ns, .label_selector = options_.label_selector});
  if (!list && list.error().code == Code::not_found) {
    // The type is not served (its definition is gone, or not there yet): so there are no such objects.
    erase_scope(*feed, {}, "");
    feed->listed = feed->seen = true;
    changed_.notify_all();
  }
  if (!list) co_return fail(std::move(list).error());
  last_contact_ = env_.clock.now();
  const bool first = !feed->listed;
  CO_RETURN_IF_ERROR(take_list(feed, std::move(*list)));
  feed->listed = feed->seen = true;
  feed->problem.reset();
  // Spread, so that the kinds of many clusters do not compare at the same moment.
  feed->next_compare =
      env_.clock.now() + std::chrono::duration_cast<Duration>(options_.compare_every * (0.8 + 0.4 * random_.unit()));
  if (feed->ns.empty()) go_wide(feed);
  if (first) changed_.notify_all();
  co_return Status();
}

Awaitable<Status> LabelledObjects::watch_once(Feed* feed) {
  const Mono begin = env_.clock.now();
  auto watch = co_await client_.watch(
      feed->type,
      {.ns = feed->ns, .label_selector = options_.label_selector, .resource_version = feed->resource_version});
  if (!watch) co_return fail(std::move(watch).error());
  last_contact_ = env_.clock.now();
  feed->problem.reset();
  while (env_.clock.now() < feed->next_compare) {
    auto event = co_await (*watch)->next(std::min(kSilence, feed->next_compare - env_.clock.now()));
    feed->resource_version = (*watch)->resource_version();
    // Silence is not an error; what was missed comes with the next watch.
    if (!event && event.error().code == Code::timeout) co_return Status();
    if (!event) co_return fail(std::move(event).error());
    last_contact_ = env_.clock.now();
    if (!*event) break;
    feed->failures = 0;
    CO_RETURN_IF_ERROR(take_event(feed, std::move(**event)));
  }
  if (env_.clock.now() - begin < kShortWatch)
    co_return fail(Code::unavailable, client_.server() + " ends watches at once");
  co_return Status();
}

Awaitable<Status> LabelledObjects::one_round(Feed* feed) {
  if (feed->resource_version.empty() || env_.clock.now() >= feed->next_compare) {
    feed->listing = true;
    CO_RETURN_IF_ERROR(co_await list_once(feed));
  }
  feed->listing = false;
  if (!feed->can_watch && env_.clock.now() >= feed->try_watch_again) feed->can_watch = true;
  if (feed->can_watch) co_return co_await watch_once(feed);
  co_await sleep_for(env_.clock, options_.poll_every);
  feed->resource_version.clear();
  co_return Status();
}

// How long to wait, and what to do differently.
Duration LabelledObjects::after_failure(Feed* feed, const Error& error) {
  if (error.code == Code::compacted) {
    feed->resource_version.clear();
    if (feed->failures++ == 0) return Duration(0);
  } else if (error.code == Code::forbidden && feed->listing) {
    feed->problem = error;
    feed->listed = true;
    feed->seen = false;
    changed_.notify_all();
    if (feed->type.namespaced && feed->ns.empty()) go_narrow(feed);
    return options_.retry_wide_every;
  } else if ((error.code == Code::forbidden || error.code == Code::method_not_allowed) && !feed->listing) {
    feed->can_watch = false;
    feed->try_watch_again = env_.clock.now() + options_.retry_wide_every;
    log_.info("watching is refused, polling instead", {{"server", client_.server()}, {"type", feed->type.name()}});
    return options_.poll_every;
  } else {
    ++feed->failures;
    // Nothing to continue from that is worth trusting when the server itself refuses the request.
    if (!is_transient(error.code)) feed->resource_version.clear();
  }
  if (feed->failures > 1 || !feed->listed) feed->problem = error;
  return options_.backoff.delay(feed->failures - 1, random_);
}

void LabelledObjects::go_narrow(Feed* feed) {
  TypeState& state = types_.at(feed->type);
  if (std::exchange(state.narrow, true)) return;
  log_.info("listing all namespaces is forbidden, watching single ones",
            {{"server", client_.server()}, {"type", feed->type.name()}, {"namespaces", namespaces_.size()}});
  for (const auto& ns : namespaces_) open_feed(feed->type, ns);
}

void LabelledObjects::go_wide(Feed* feed) {
  TypeState& state = types_.at(feed->type);
  if (!std::exchange(state.narrow, false)) return;
  for (auto it = state.feeds.begin(); it != state.feeds.end();) {
    if (it->first.empty()) {
      ++it;
      continue;
    }
    close_feed(std::move(it->second));
    it = state.feeds.erase(it);
  }
}

Awaitable<void> LabelledObjects::run(Feed* feed) {
  for (;;) {
    const Status status = co_await one_round(feed);
    if (status) {
      feed->failures = 0;
      feed->problem.reset();
      continue;
    }
    const Duration delay = after_failure(feed, status.error());
    if (delay > Duration(0)) co_await sleep_for(env_.clock, delay);
  }
}

}  // namespace krake::kube
