#include "meta/errors.h"

#include <fmt/format.h>

namespace krake {

namespace {
void python_string(std::string_view text, std::string& out) {
  const bool doubled = text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos;
  const char quote = doubled ? '"' : '\'';
  out += quote;
  for (const char c : text) {
    if (c == quote || c == '\\') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  out += quote;
}

void python_value(const json::Value& value, std::string& out) {
  if (const auto* text = value.if_string()) {
    python_string(*text, out);
  } else if (const auto* object = value.if_object()) {
    out += '{';
    bool first = true;
    for (const auto& [key, member] : *object) {
      if (!std::exchange(first, false)) out += ", ";
      python_string(key, out);
      out += ": ";
      python_value(member, out);
    }
    out += '}';
  } else {
    json::print_to(value, out);
  }
}
}  // namespace

FieldErrors& FieldErrors::at(Key key) {
  for (auto& [k, child] : children_) {
    if (k == key) return child;
  }
  if (children_.size() >= kMost) {
    if (rest_.empty()) rest_.emplace_back();
    return rest_.front();
  }
  return children_.emplace_back(std::move(key), FieldErrors()).second;
}

void FieldErrors::prune() {
  for (auto& [key, child] : children_) child.prune();
  std::erase_if(children_, [](const auto& entry) { return entry.second.empty(); });
  for (auto& rest : rest_) rest.prune();
  std::erase_if(rest_, [](const auto& rest) { return rest.empty(); });
}

void FieldErrors::withhold(std::string_view instead) {
  if (!messages_.empty()) messages_.assign(1, json::Value(instead));
  for (auto& [key, child] : children_) child.withhold(instead);
}

void FieldErrors::render_to(std::string& out) const {
  const auto list = [&] {
    out += '[';
    bool first = true;
    for (const auto& message : messages_) {
      if (!std::exchange(first, false)) out += ", ";
      python_value(message, out);
    }
    out += ']';
  };
  if (children_.empty()) return list();
  out += '{';
  bool first = true;
  for (const auto& [key, child] : children_) {
    if (!std::exchange(first, false)) out += ", ";
    if (const auto* name = std::get_if<std::string>(&key)) {
      python_string(*name, out);
    } else {
      out += std::to_string(std::get<std::size_t>(key));
    }
    out += ": ";
    child.render_to(out);
  }
  if (!messages_.empty()) {
    out += ", '_schema': ";
    list();
  }
  if (!rest_.empty()) out += ", '...': ['More fields are wrong.']";
  out += '}';
}

void FieldErrors::flatten_to(const std::string& path, std::vector<std::pair<std::string, std::string>>& out) const {
  for (const auto& message : messages_)
    out.emplace_back(path, message.if_string() ? *message.if_string() : json::print(message));
  for (const auto& [key, child] : children_) {
    const auto* name = std::get_if<std::string>(&key);
    const std::string step = name ? *name : std::to_string(std::get<std::size_t>(key));
    child.flatten_to(path.empty() ? step : path + "." + step, out);
  }
}

std::vector<std::pair<std::string, std::string>> FieldErrors::flatten() const {
  std::vector<std::pair<std::string, std::string>> out;
  flatten_to("", out);
  return out;
}

std::string FieldErrors::render() const {
  FieldErrors copy = *this;
  copy.prune();
  const bool alone = copy.children_.empty() && !copy.messages_.empty();
  std::string out = alone ? "{'_schema': " : "";
  copy.render_to(out);
  if (alone) out += '}';
  return json::to_utf8(out);  // names and values of the body may hold half a surrogate pair
}

}  // namespace krake
