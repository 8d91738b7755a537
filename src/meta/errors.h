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

  bool empty() const { return messages_.empty() && children_.empty(); }
  void add(std::string message) { messages_.emplace_back(std::move(message)); }
  void add_value(json::Value message) { messages_.push_back(std::move(message)); }  // e.g. {"<label>": "<message>"}
  FieldErrors& at(Key key);  // made when absent; drop empty ones by prune()
  void prune();

  // One line for each message: "dotted.path", "message".
  std::vector<std::pair<std::string, std::string>> flatten() const;

  // Python literal notation, as upstream renders it: {'metadata': {'name': ['Missing data ...']}}.
  std::string render() const;

 private:
  void render_to(std::string& out) const;
  void flatten_to(const std::string& path, std::vector<std::pair<std::string, std::string>>& out) const;
  std::vector<json::Value> messages_;
  std::vector<std::pair<Key, FieldErrors>> children_;
};

}  // namespace krake
