// An informer of objects that are large and seldom looked at: it keeps their text and decodes on use. A decoded
// application with its manifest takes five times the memory of its text.
#pragma once

#include <deque>

#include "client/informer.h"

namespace krake {

template <Resource T>
class CompactInformer final : public InformerBase {
 public:
  using Ptr = std::shared_ptr<const Versioned<T>>;
  struct Text {
    std::string text;
    std::int64_t revision = 0;
    mutable Ptr decoded{};  // while it is remembered
  };
  // `project` drops what this reader does not need. May be empty.
  CompactInformer(Env& env, Client& client, InformerOptions options = {}, std::function<void(T&)> project = {})
      : InformerBase(env, client, Client::kind_of<T>(), std::move(options)), project_(std::move(project)) {}

  // Decodes what was not asked for a moment ago. Null when there is none.
  Ptr find(const ObjectKey& key) const {
    const auto it = texts_.find(key);
    if (it == texts_.end()) return nullptr;
    if (it->second.decoded) return it->second.decoded;
    const auto value = json::parse(it->second.text);
    if (!value) return nullptr;
    auto decoded = decode_json<T>(*value, Form::stored);
    if (!decoded) return nullptr;
    it->second.decoded = std::make_shared<const Versioned<T>>(Versioned<T>{std::move(*decoded), it->second.revision});
    remembered_.emplace_back(key, it->second.text.size());
    remembered_bytes_ += it->second.text.size();
    auto found = it->second.decoded;
    while (remembered_.size() > kRemembered || remembered_bytes_ > kRememberedBytes) forget_oldest();
    return found;
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

  // Who reconciles an object asks for it a few times, and again when something about it has changed.
  static constexpr std::size_t kRemembered = 64;
  static constexpr std::size_t kRememberedBytes = std::size_t{1} << 20;  // of text
  void forget_oldest() const {
    const auto& [key, size] = remembered_.front();
    if (const auto it = texts_.find(key); it != texts_.end()) it->second.decoded = nullptr;
    remembered_bytes_ -= size;
    remembered_.pop_front();
  }

  std::map<ObjectKey, Text> texts_;
  // Whose decoded form may be kept, the oldest first, and how much text that was.
  mutable std::deque<std::pair<ObjectKey, std::size_t>> remembered_;
  mutable std::size_t remembered_bytes_ = 0;
  std::function<void(T&)> project_;
};

}  // namespace krake
