#include <fmt/format.h>

#include "providers/conformance/conformance.h"
#include "providers/kubernetes/object_cache.h"

namespace krake::kube::conformance {

namespace {

using Type = WatchEvent::Type;

// The next event that is no bookmark, as "added one"; else what happened instead.
Awaitable<std::string> next_text(ObjectWatch& watch) {
  for (;;) {
    auto event = co_await watch.next(std::chrono::seconds(20));
    if (!event) co_return to_string(event.error());
    if (!*event) co_return "end";
    const auto name = (*event)->object.string_at({"metadata", "name"});
    switch ((*event)->type) {
      case Type::added:
        co_return fmt::format("added {}", name);
      case Type::modified:
        co_return fmt::format("modified {}", name);
      case Type::deleted:
        co_return fmt::format("deleted {}", name);
      case Type::bookmark:
        break;
    }
  }
}

Awaitable<Status> sees_every_change(Rig& rig) {
  HOLDS(co_await rig.client.create(config_maps(), rig.ns, config_map("before")));
  const auto list = co_await rig.client.list(config_maps(), {.ns = rig.ns});
  HOLDS(list);
  auto watch = co_await rig.client.watch(config_maps(), {.ns = rig.ns, .resource_version = list->resource_version});
  HOLDS(watch);
  const ObjectRef ref{config_maps(), rig.ns, "one"};
  HOLDS(co_await rig.client.create(config_maps(), rig.ns, config_map("one")));
  HOLDS(co_await rig.client.merge_patch(ref, value_of("{'data':{'a':'1'}}")));
  HOLDS(co_await rig.client.remove(ref));
  HOLDS(co_await next_text(**watch) == "added one");
  HOLDS(co_await next_text(**watch) == "modified one");
  const std::string between = (*watch)->resource_version();
  HOLDS(co_await next_text(**watch) == "deleted one");
  // Resumed, it goes on where it was.
  auto again = co_await rig.client.watch(config_maps(), {.ns = rig.ns, .resource_version = between});
  HOLDS(again);
  HOLDS(co_await next_text(**again) == "deleted one");
  co_return Status();
}

Awaitable<Status> follows_labels(Rig& rig) {
  const auto list = co_await rig.client.list(config_maps(), {.ns = rig.ns, .label_selector = "seen=yes"});
  HOLDS(list && list->items.empty());
  auto watch = co_await rig.client.watch(
      config_maps(), {.ns = rig.ns, .label_selector = "seen=yes", .resource_version = list->resource_version});
  HOLDS(watch);
  HOLDS(co_await rig.client.create(config_maps(), rig.ns, config_map("hidden")));
  HOLDS(co_await rig.client.create(config_maps(), rig.ns, config_map("one", "{}", "{'seen':'yes'}")));
  HOLDS(co_await next_text(**watch) == "added one");
  HOLDS(co_await rig.client.merge_patch({config_maps(), rig.ns, "one"},
                                        value_of("{'metadata':{'labels':{'seen':'no'}}}")));
  HOLDS(co_await next_text(**watch) == "deleted one");
  HOLDS(co_await rig.client.merge_patch({config_maps(), rig.ns, "hidden"},
                                        value_of("{'metadata':{'labels':{'seen':'yes'}}}")));
  HOLDS(co_await next_text(**watch) == "added hidden");
  co_return Status();
}

Awaitable<Status> ends_when_asked_to(Rig& rig) {
  auto access = parse_kubeconfig(rig.kubeconfig);
  KubeClient hurried(rig.env, rig.dialer, *access, {.watch_period = std::chrono::seconds(1)});
  const auto list = co_await hurried.list(config_maps(), {.ns = rig.ns, .label_selector = "none=such"});
  HOLDS(list);
  auto watch = co_await hurried.watch(
      config_maps(), {.ns = rig.ns, .label_selector = "none=such", .resource_version = list->resource_version});
  HOLDS(watch);
  HOLDS(co_await next_text(**watch) == "end");
  co_return Status();
}

Awaitable<Status> says_when_history_is_gone(Rig& rig) {
  if (!rig.expire) co_return Status();
  HOLDS(co_await rig.client.create(config_maps(), rig.ns, config_map("one")));
  rig.expire();
  auto watch = co_await rig.client.watch(config_maps(), {.ns = rig.ns, .resource_version = "1"});
  if (!watch) {
    FAILS(watch, Code::compacted, "410");
    co_return Status();
  }
  const auto event = co_await (*watch)->next(std::chrono::seconds(20));
  FAILS(event, Code::compacted, "410");
  co_return Status();
}

// ---- the cache on top

struct Cached {
  std::vector<std::string> changes;
  std::unique_ptr<LabelledObjects> cache;

  explicit Cached(Rig& rig, CacheOptions options = {}) {
    cache = std::make_unique<LabelledObjects>(
        rig.env, rig.client,
        [this](const ObjectRef& ref, const std::string& uid) {
          changes.push_back(fmt::format("{} {}", ref.name, uid));
        },
        std::move(options));
    cache->add_type(config_maps());
    cache->start();
  }
};

Awaitable<Status> use_cache(Rig& rig, Cached& cached) {
  LabelledObjects& cache = *cached.cache;
  const std::string labels =
      fmt::format("{{'app.kubernetes.io/managed-by':'krake','krake/application-uid':'{}'}}", rig.ns);
  HOLDS(co_await cache.wait_synced(std::chrono::seconds(20)));
  HOLDS(cache.by_application(rig.ns).empty());
  const ObjectRef one{config_maps(), rig.ns, "one"};
  const ObjectRef two{config_maps(), rig.ns, "two"};
  HOLDS(co_await rig.client.create(config_maps(), rig.ns, config_map("one", "{'a':'1'}", labels)));
  HOLDS(co_await rig.client.create(config_maps(), rig.ns, config_map("two", "{'a':'1'}", labels)));
  HOLDS(co_await rig.client.create(config_maps(), rig.ns, config_map("other")));
  HOLDS(co_await rig.eventually([&] { return cache.by_application(rig.ns).size() == 2; }));
  HOLDS(cache.find(one)->string_at({"data", "a"}) == "1" && !cache.find({config_maps(), rig.ns, "other"}));
  HOLDS(co_await rig.client.merge_patch(one, value_of("{'data':{'a':'2'}}")));
  HOLDS(co_await rig.eventually([&] { return cache.find(one)->string_at({"data", "a"}) == "2"; }));
  HOLDS(co_await rig.client.remove(two));
  HOLDS(co_await rig.eventually([&] { return !cache.find(two); }));
  HOLDS(std::ranges::count(cached.changes, "one " + rig.ns) >= 2 &&
        std::ranges::count(cached.changes, "two " + rig.ns) >= 2);
  // An answer is known at once, and not undone by what the watch said earlier.
  const auto patched = co_await rig.client.merge_patch(one, value_of("{'data':{'a':'3'}}"));
  HOLDS(patched);
  cache.note(one, *patched);
  HOLDS(cache.find(one)->string_at({"data", "a"}) == "3");
  HOLDS(!cache.problem(config_maps()) && cache.last_contact());
  co_return Status();
}

Awaitable<Status> mirrors_labelled_objects(Rig& rig) {
  Cached cached(rig);
  const Status status = co_await use_cache(rig, cached);
  co_await cached.cache->stop();
  co_return status;
}

constexpr Case kCases[] = {
    {"WatchSeesEveryChange", sees_every_change},
    {"WatchFollowsLabels", follows_labels},
    {"WatchEndsWhenAskedTo", ends_when_asked_to},
    {"WatchSaysWhenHistoryIsGone", says_when_history_is_gone},
    {"CacheMirrorsLabelledObjects", mirrors_labelled_objects},
};

}  // namespace

std::span<const Case> watch_cases() { return kCases; }

}  // namespace krake::kube::conformance
