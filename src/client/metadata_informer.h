// An informer of any kind that keeps the metadata alone: for readers that treat all kinds alike. Same promises as
// client/informer.h. An object whose metadata cannot be read is kept with what can be: it must not look as if it were
// not there. Thread: the loop.
#pragma once

#include <map>
#include <memory>
#include <set>

#include "client/informer.h"

namespace krake {

class MetadataInformer final : public InformerBase {
 public:
  using Ptr = std::shared_ptr<const Versioned<ObjectMeta>>;
  // References to other objects that are not in the metadata.
  using More = std::vector<ResourceRef> (*)(const Kind& kind, const json::Value& object, const ObjectMeta& meta);
  // `kind` must outlive the informer.
  MetadataInformer(Env& env, Client& client, const Kind& kind, More more, InformerOptions options = {})
      : InformerBase(env, client, kind, std::move(options)), more_(more) {}

  // Null when there is none.
  Ptr find(const ObjectKey& key) const {
    const auto it = objects_.find(key);
    return it == objects_.end() ? nullptr : it->second;
  }
  const std::map<ObjectKey, Ptr>& objects() const { return objects_; }
  std::vector<ResourceRef> more(const ObjectKey& key) const {
    const auto it = found_.find(key);
    return it == found_.end() ? std::vector<ResourceRef>() : it->second;
  }
  // Those of which only name, uid, owners and whether they are being deleted are known, if that.
  const std::set<ObjectKey>& unreadable() const { return unreadable_; }

 private:
  bool put(const json::Value& object) override;
  bool erase(const ObjectKey& key) override;
  std::int64_t revision_of(const ObjectKey& key) const override;
  std::vector<ObjectKey> keys() const override;

  More more_;
  std::map<ObjectKey, Ptr> objects_;
  std::map<ObjectKey, std::vector<ResourceRef>> found_;  // by more_; nothing of most
  std::set<ObjectKey> unreadable_;
};

}  // namespace krake
