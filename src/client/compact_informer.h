// An informer of objects that are large and seldom looked at: it keeps their text and decodes on use. A decoded
// application with its manifest takes five times the memory of its text.
#pragma once

#include "client/informer.h"

namespace krake {

template <Resource T>
class CompactInformer final : public InformerBase {
 public:
  using Ptr = std::shared_ptr<const Versioned<T>>;
  CompactInformer(Env& env, Client& client, InformerOptions options = {})
      : InformerBase(env, client, Client::kind_of<T>(), std::move(options)) {}

  // Decodes. Null when there is none.
  Ptr find(const ObjectKey& key) const {
    const auto it = texts_.find(key);
    if (it == texts_.end()) return nullptr;
    const auto value = json::parse(it->second.text);
    auto decoded = value ? Client::decode_versioned<T>(*value) : fail(value.error());
    return decoded ? std::make_shared<const Versioned<T>>(std::move(*decoded)) : nullptr;
  }
  // Empty when there is none.
  std::string_view uid(const ObjectKey& key) const {
    const auto it = texts_.find(key);
    return it == texts_.end() ? std::string_view() : it->second.uid;
  }

 private:
  struct Text {
    std::string text;
    std::string uid;
    std::int64_t revision = 0;
  };

  bool put(const json::Value& value, std::int64_t& revision, Source source) override {
    const auto decoded = Client::decode_versioned<T>(value);
    if (!decoded) return leave_out(value, decoded.error());
    revision = decoded->revision;
    auto& slot = texts_[key_of(decoded->object.metadata)];
    // An event may be older than what we have; a list is what is, whatever we have.
    if (source == Source::event && revision != 0 && slot.revision > revision) return false;
    std::string text = json::print(value);
    if (slot.text == text) return false;
    text.shrink_to_fit();
    slot = {.text = std::move(text), .uid = decoded->object.metadata.uid, .revision = revision};
    changed(key_of(decoded->object.metadata));
    return true;
  }
  bool erase(const ObjectKey& key) override {
    if (texts_.erase(key) == 0) return false;
    changed(key);
    return true;
  }
  std::vector<ObjectKey> keys() const override {
    std::vector<ObjectKey> all;
    for (const auto& [key, text] : texts_) all.push_back(key);
    return all;
  }

  std::map<ObjectKey, Text> texts_;
};

}  // namespace krake
