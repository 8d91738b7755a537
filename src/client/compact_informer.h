// An informer of objects that are large and seldom looked at: it keeps their text and decodes on use. A decoded
// application with its manifest takes five times the memory of its text.
#pragma once

#include "client/informer.h"

namespace krake {

template <Resource T>
class CompactInformer final : public InformerBase {
 public:
  using Ptr = std::shared_ptr<const Versioned<T>>;
  struct Text {
    std::string text;
    std::int64_t revision = 0;
  };
  // `project` drops what this reader does not need. May be empty.
  CompactInformer(Env& env, Client& client, InformerOptions options = {}, std::function<void(T&)> project = {})
      : InformerBase(env, client, Client::kind_of<T>(), std::move(options)), project_(std::move(project)) {}

  // Decodes. Null when there is none.
  Ptr find(const ObjectKey& key) const {
    const auto it = texts_.find(key);
    if (it == texts_.end()) return nullptr;
    const auto value = json::parse(it->second.text);
    if (!value) return nullptr;
    auto decoded = decode_json<T>(*value, Form::stored);
    if (!decoded) return nullptr;
    return std::make_shared<const Versioned<T>>(Versioned<T>{std::move(*decoded), it->second.revision});
  }
  const std::map<ObjectKey, Text>& texts() const { return texts_; }

 private:
  bool put(const json::Value& value) override {
    auto decoded = Client::decode_versioned<T>(value);
    if (!decoded) return leave_out(value, decoded.error());
    const auto revision = decoded->revision;
    const auto key = key_of(decoded->object.metadata);
    auto& slot = texts_[key];
    if (project_) project_(decoded->object);
    std::string text = project_ ? encode_json(decoded->object) : json::print(value);
    if (slot.text == text && slot.revision == revision) return false;
    text.shrink_to_fit();
    slot = {.text = std::move(text), .revision = revision};
    changed(key);
    return true;
  }
  bool erase(const ObjectKey& key) override {
    if (texts_.erase(key) == 0) return false;
    changed(key);
    return true;
  }
  std::int64_t revision_of(const ObjectKey& key) const override {
    const auto it = texts_.find(key);
    return it == texts_.end() ? 0 : it->second.revision;
  }
  std::vector<ObjectKey> keys() const override {
    std::vector<ObjectKey> all;
    for (const auto& [key, text] : texts_) all.push_back(key);
    return all;
  }

  std::map<ObjectKey, Text> texts_;
  std::function<void(T&)> project_;
};

}  // namespace krake
