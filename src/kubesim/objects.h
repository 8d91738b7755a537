// What a simulated cluster has stored: objects, the count of changes that gives resourceVersions, and the recent
// changes for those who watch. Thread: the loop.
#pragma once

#include <compare>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/async.h"
#include "base/json.h"

namespace krake::kubesim {

using ObjectPtr = std::shared_ptr<const json::Value>;

struct ObjectKey {
  std::string resource;  // KindInfo::resource()
  std::string ns;        // empty for cluster-scoped kinds
  std::string name;
  auto operator<=>(const ObjectKey&) const = default;
};

struct Change {
  std::uint64_t revision = 0;
  ObjectKey key;
  ObjectPtr before;  // null: created
  ObjectPtr after;   // null: deleted
  // What a watch sends of a deletion: the last state under the revision of the deletion.
  ObjectPtr last;
};

class Objects {
 public:
  explicit Objects(const boost::asio::any_io_executor& executor, std::size_t max_history = 20'000)
      : max_history_(max_history), changed_(executor) {}

  ObjectPtr find(const ObjectKey& key) const;
  // All of one resource, in one namespace or (empty) in all, by namespace and name, from `after` (exclusive) on.
  using Visitor = std::function<bool(const ObjectKey&, const ObjectPtr&)>;  // false: stop
  void each(std::string_view resource, std::string_view ns, const ObjectKey* after, const Visitor& visit) const;
  std::vector<ObjectKey> keys_in_namespace(std::string_view ns) const;
  // Whoever names this uid in its ownerReferences.
  std::vector<ObjectKey> dependents(std::string_view uid) const;
  bool uid_exists(std::string_view uid) const { return uids_.contains(uid); }
  std::size_t size() const { return objects_.size(); }

  // Stores under the next revision, which becomes metadata.resourceVersion.
  ObjectPtr put(const ObjectKey& key, json::Value object);
  void erase(const ObjectKey& key);

  std::uint64_t revision() const { return revision_; }
  // Changes after this revision are still known.
  std::uint64_t compacted() const { return history_.empty() ? revision_ : history_.front().revision - 1; }
  // The change with the given revision; null: not made yet, or forgotten.
  const Change* change(std::uint64_t revision) const;
  void forget_history();  // all watches and continuations from here back are expired
  Notifier& changed() { return changed_; }
  // Called after each change; must not change objects itself.
  void on_change(std::function<void()> hook) { hook_ = std::move(hook); }

 private:
  void index(const ObjectKey& key, const json::Value& object, bool add);
  void record(Change change);

  std::size_t max_history_;
  std::map<ObjectKey, ObjectPtr> objects_;
  std::map<std::string, ObjectKey, std::less<>> uids_;
  std::map<std::string, std::set<ObjectKey>, std::less<>> dependents_;  // by owner's uid
  std::uint64_t revision_ = 1;
  std::deque<Change> history_;
  Notifier changed_;
  std::function<void()> hook_;
};

}  // namespace krake::kubesim
