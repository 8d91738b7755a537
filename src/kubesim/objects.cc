#include "kubesim/objects.h"

namespace krake::kubesim {

namespace {

template <class F>
void each_owner(const json::Value& object, F visit) {
  const json::Value* owners = object.at_path({"metadata", "ownerReferences"});
  if (!owners || !owners->is_array()) return;
  for (const json::Value& owner : *owners->if_array()) visit(owner.string_at({"uid"}));
}

void set_version(json::Value& object, std::uint64_t revision) {
  object.make_object()["metadata"].make_object().set("resourceVersion", std::to_string(revision));
}

}  // namespace

ObjectPtr Objects::find(const ObjectKey& key) const {
  const auto it = objects_.find(key);
  return it == objects_.end() ? nullptr : it->second;
}

void Objects::each(std::string_view resource, std::string_view ns, const ObjectKey* after, const Visitor& visit) const {
  auto it = after ? objects_.upper_bound(*after)
                  : objects_.lower_bound(ObjectKey{std::string(resource), std::string(ns), ""});
  for (; it != objects_.end() && it->first.resource == resource; ++it) {
    if (!ns.empty() && it->first.ns != ns) break;
    if (!visit(it->first, it->second)) return;
  }
}

std::vector<ObjectKey> Objects::keys_in_namespace(std::string_view ns) const {
  std::vector<ObjectKey> keys;
  for (const auto& [key, object] : objects_) {
    if (key.ns == ns) keys.push_back(key);
  }
  return keys;
}

std::vector<ObjectKey> Objects::dependents(std::string_view uid) const {
  const auto it = dependents_.find(uid);
  if (it == dependents_.end()) return {};
  return {it->second.begin(), it->second.end()};
}

void Objects::index(const ObjectKey& key, const json::Value& object, bool add) {
  const std::string uid(object.string_at({"metadata", "uid"}));
  if (add) {
    uids_[uid] = key;
  } else {
    uids_.erase(uid);
  }
  each_owner(object, [&](std::string_view owner) {
    if (add) {
      dependents_[std::string(owner)].insert(key);
      return;
    }
    const auto it = dependents_.find(owner);
    if (it == dependents_.end()) return;
    it->second.erase(key);
    if (it->second.empty()) dependents_.erase(it);
  });
}

void Objects::record(Change change) {
  history_.push_back(std::move(change));
  while (history_.size() > max_history_) history_.pop_front();
  changed_.notify_all();
  if (hook_) hook_();
}

ObjectPtr Objects::put(const ObjectKey& key, json::Value object) {
  set_version(object, ++revision_);
  auto stored = std::make_shared<const json::Value>(std::move(object));
  ObjectPtr& slot = objects_[key];
  Change change{.revision = revision_, .key = key, .before = slot, .after = stored, .last = nullptr};
  if (slot) index(key, *slot, false);
  slot = stored;
  index(key, *stored, true);
  record(std::move(change));
  return stored;
}

void Objects::erase(const ObjectKey& key) {
  const auto it = objects_.find(key);
  if (it == objects_.end()) return;
  json::Value last = *it->second;
  set_version(last, ++revision_);
  Change change{.revision = revision_,
                .key = key,
                .before = it->second,
                .after = nullptr,
                .last = std::make_shared<const json::Value>(std::move(last))};
  index(key, *it->second, false);
  objects_.erase(it);
  record(std::move(change));
}

const Change* Objects::change(std::uint64_t revision) const {
  if (history_.empty() || revision < history_.front().revision || revision > revision_) return nullptr;
  return &history_[revision - history_.front().revision];
}

void Objects::forget_history() {
  history_.clear();
  changed_.notify_all();
}

}  // namespace krake::kubesim
