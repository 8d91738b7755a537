// The live objects of one cluster that carry a label, kept in memory by list and watch. One watch per type in use over
// all namespaces; where the user may not list those, one per namespace; where the user may not watch, a poll. A lost
// connection leaves the objects as they were (stale, see `last_contact`); an expired watch lists again and reports what
// is gone as deleted. A full comparison runs now and then even if nothing seems wrong. Ownership: Env and client
// outlive it. start(), then stop() before it dies (except when the loop dies too). Thread: the loop. Callbacks run on
// it, must not block, and may call find() and by_application().
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/backoff.h"
#include "base/env.h"
#include "base/task_group.h"
#include "providers/kubernetes/client.h"

namespace krake::kube {

inline constexpr std::string_view kManagedByLabel = "app.kubernetes.io/managed-by";
inline constexpr std::string_view kApplicationLabel = "krake/application-uid";

using LiveObject = std::shared_ptr<const json::Value>;

struct CacheOptions {
  std::string label_selector = "app.kubernetes.io/managed-by=krake";  // empty: all objects
  std::string application_label{kApplicationLabel};
  Duration compare_every = std::chrono::minutes(5);
  Duration poll_every = std::chrono::seconds(10);       // where watching is refused
  Duration retry_wide_every = std::chrono::minutes(5);  // how soon to ask again for all namespaces after a 403
  Backoff backoff{.base = std::chrono::milliseconds(200), .cap = std::chrono::seconds(30)};
  std::size_t max_objects = 100'000;  // per type and namespace scope; more is an error of that scope, not a crash
};

class LabelledObjects {
 public:
  // The object that appeared, changed or vanished (then find() is empty), and the application it says it belongs to.
  using OnChange = std::function<void(const ObjectRef& ref, const std::string& application_uid)>;

  LabelledObjects(Env& env, KubeClient& client, OnChange on_change, CacheOptions options = {});
  LabelledObjects(const LabelledObjects&) = delete;
  LabelledObjects& operator=(const LabelledObjects&) = delete;
  ~LabelledObjects();

  void start();
  Awaitable<void> stop();

  // The types wanted from now on; others are dropped silently. Cheap when nothing changes.
  void set_types(std::set<ResourceType> types);
  void add_type(const ResourceType& type);
  // Where to look when the user may not list all namespaces. Adds only.
  void add_namespace(const std::string& ns);

  // Every type in use has been listed at least once (forbidden and unserved types count: nothing can be seen there).
  bool synced() const;
  bool synced(const ResourceType& type) const;
  // Suspends until synced() or the deadline; false when the deadline came first.
  Awaitable<bool> wait_synced(Duration limit);
  // The same for these types only.
  Awaitable<bool> wait_synced(std::set<ResourceType> types, Duration limit);
  // Whether find() would know: the type is listed where `ref` is. False where that is forbidden; then only asking
  // tells.
  bool sees(const ObjectRef& ref) const;

  LiveObject find(const ObjectRef& ref) const;  // null: not there
  // An object whose kind is watched in several versions is there once per version.
  std::vector<std::pair<ObjectRef, LiveObject>> by_application(const std::string& uid) const;
  std::vector<std::pair<ObjectRef, LiveObject>> all() const;
  std::size_t size() const { return objects_.size(); }

  // The answer to a write, so that the cache is not older than what its owner has just done. Ignored when the object
  // lacks the label, its type is not in use, or a newer one is known.
  void note(const ObjectRef& ref, const json::Value& object);
  void note_removed(const ObjectRef& ref, const std::string& uid);

  // When the server last said anything on any watch, and what is wrong with a type at present.
  std::optional<Mono> last_contact() const { return last_contact_; }
  std::optional<Error> problem(const ResourceType& type) const;

 private:
  struct Feed;
  struct TypeState;

  void open_feed(const ResourceType& type, const std::string& ns);
  void close_feed(std::unique_ptr<Feed> feed);
  void drop_type(const ResourceType& type);
  Awaitable<void> run(Feed* feed);
  Awaitable<Status> list_once(Feed* feed);
  Awaitable<Status> watch_once(Feed* feed);
  Awaitable<Status> one_round(Feed* feed);
  Duration after_failure(Feed* feed, const Error& error);
  void go_narrow(Feed* feed);
  void go_wide(Feed* feed);
  Status take_list(Feed* feed, ObjectList list);
  Status take_event(Feed* feed, WatchEvent event);
  void put(const ObjectRef& ref, json::Value object);
  void erase(const ObjectRef& ref);
  void erase_scope(const Feed& feed, const std::set<ObjectRef>& except, std::string_view list_version);
  bool covers(const Feed& feed, const ObjectRef& ref) const;
  std::string application_of(const json::Value& object) const;
  void unindex(const ObjectRef& ref, const json::Value& object);

  Env& env_;
  KubeClient& client_;
  OnChange on_change_;
  CacheOptions options_;
  Log log_;
  bool running_ = false;
  std::map<ResourceType, TypeState> types_;
  std::set<std::string> namespaces_;
  std::vector<std::unique_ptr<Feed>> closing_;
  std::map<ObjectRef, LiveObject> objects_;
  std::map<std::string, std::set<ObjectRef>, std::less<>> applications_;
  // Known from an answer to a write only: what watches say may still be older.
  std::set<ObjectRef> noted_;
  std::optional<Mono> last_contact_;
  Random random_;
  Notifier changed_;
};

}  // namespace krake::kube
