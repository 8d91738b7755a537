#include "client/metadata_informer.h"

#include <charconv>

namespace krake {

bool MetadataInformer::put(const json::Value& object, std::int64_t& revision, Source source) {
  const auto* metadata = object.at_path({"metadata"});
  if (!metadata) return false;
  auto meta = decode_json<ObjectMeta>(*metadata, Form::stored);
  if (!meta) return false;  // unreadable for us: as if it were not there
  const auto text = metadata->string_at({"resource_version"});
  revision = 0;
  std::from_chars(text.data(), text.data() + text.size(), revision);
  const auto key = key_of(*meta);
  auto& slot = objects_[key];
  if (slot && slot->object == *meta && slot->revision == revision) return false;
  if (source == Source::event && slot && revision != 0 && slot->revision > revision) return false;
  slot = std::make_shared<const Versioned<ObjectMeta>>(Versioned<ObjectMeta>{std::move(*meta), revision});
  changed(key);
  return true;
}

bool MetadataInformer::erase(const ObjectKey& key) {
  if (objects_.erase(key) == 0) return false;
  changed(key);
  return true;
}

std::vector<ObjectKey> MetadataInformer::keys() const {
  std::vector<ObjectKey> all;
  all.reserve(objects_.size());
  for (const auto& [key, object] : objects_) all.push_back(key);
  return all;
}

}  // namespace krake
