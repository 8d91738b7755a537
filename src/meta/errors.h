// What is wrong with a body: a tree that mirrors its fields, with messages at the leaves (api-contract 4.3).
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/json.h"

namespace krake {

class FieldErrors {
 public:
  using Key = std::variant<std::string, std::size_t>;  // field name or list index
  static constexpr std::size_t kMost = 100;            // messages, and fields with some, kept at one place

  bool empty() const { return messages_.empty() && children_.empty() && rest_.empty(); }
  void add(std::string message) { add_value(std::move(message)); }
  void add_value(json::Value message) {  // e.g. {"<label>": "<message>"}
    if (messages_.size() < kMost) messages_.push_back(std::move(message));
  }
  // Made when absent; drop empty ones by prune(). Beyond kMost fields all share one place that is not shown.
  FieldErrors& at(Key key);
  void prune();
  // Each place keeps one message, this one: where the field is, and nothing of what it holds.
  void withhold(std::string_view instead);

  // One line for each message: "dotted.path", "message".
  std::vector<std::pair<std::string, std::string>> flatten() const;

  // Python literal notation, as upstream renders it: {'metadata': {'name': ['Missing data ...']}}.
  std::string render() const;

 private:
  void render_to(std::string& out) const;
  void flatten_to(const std::string& path, std::vector<std::pair<std::string, std::string>>& out) const;
  std::vector<json::Value> messages_;
  std::vector<std::pair<Key, FieldErrors>> children_;
  std::vector<FieldErrors> rest_;  // none or one
};

}  // namespace krake
