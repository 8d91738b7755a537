#include "client/metadata_informer.h"

#include <charconv>

namespace krake {

namespace {

std::optional<ObjectMeta> salvaged(const json::Value& metadata) {
  ObjectMeta meta;
  meta.name = metadata.string_at({"name"});
  if (meta.name.empty()) return std::nullopt;
  if (const auto ns = metadata.string_at({"namespace"}); !ns.empty()) meta.namespace_ = std::string(ns);
  meta.uid = metadata.string_at({"uid"});
  const auto* deleted = metadata.at_path({"deleted"});
  if (deleted && !deleted->is_null())
    meta.deleted = parse_datetime(metadata.string_at({"deleted"})).value_or(DateTime{});
  const auto* owners = metadata.at_path({"owners"});
  if (!owners || !owners->is_array()) return meta;
  for (const auto& owner : *owners->if_array()) {
    if (auto ref = decode_json<ResourceRef>(owner, Form::stored)) meta.owners.push_back(std::move(*ref));
  }
  return meta;
}

}  // namespace

bool MetadataInformer::put(const json::Value& object) {
  const auto* metadata = object.at_path({"metadata"});
  if (!metadata) return false;
  auto decoded = decode_json<ObjectMeta>(*metadata, Form::stored);
  auto meta = decoded ? std::optional(std::move(*decoded)) : salvaged(*metadata);
  if (!meta) return false;
  const auto text = metadata->string_at({"resource_version"});
  std::int64_t revision = 0;
  std::from_chars(text.data(), text.data() + text.size(), revision);
  const auto key = key_of(*meta);
  auto& slot = objects_[key];
  auto found = more_(kind(), object, *meta);
  if (slot && slot->object == *meta && slot->revision == revision && found == more(key)) return false;
  if (found.empty()) {
    found_.erase(key);
  } else {
    found_[key] = std::move(found);
  }
  decoded ? (void)unreadable_.erase(key) : (void)unreadable_.insert(key);
  slot = std::make_shared<const Versioned<ObjectMeta>>(Versioned<ObjectMeta>{std::move(*meta), revision});
  changed(key);
  return true;
}

bool MetadataInformer::erase(const ObjectKey& key) {
  unreadable_.erase(key);
  found_.erase(key);
  if (objects_.erase(key) == 0) return false;
  changed(key);
  return true;
}

std::int64_t MetadataInformer::revision_of(const ObjectKey& key) const {
  const auto object = find(key);
  return object ? object->revision : 0;
}

std::vector<ObjectKey> MetadataInformer::keys() const {
  std::vector<ObjectKey> all;
  all.reserve(objects_.size());
  for (const auto& [key, object] : objects_) all.push_back(key);
  return all;
}

}  // namespace krake
