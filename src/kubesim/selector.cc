#include "kubesim/selector.h"

#include <fmt/format.h>

#include <algorithm>

namespace krake::kubesim {

namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// At commas outside parentheses.
std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> parts;
  int depth = 0;
  std::size_t begin = 0;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size() && text[i] == '(') ++depth;
    if (i < text.size() && text[i] == ')') --depth;
    if (i < text.size() && (text[i] != ',' || depth > 0)) continue;
    if (const auto part = trimmed(text.substr(begin, i - begin)); !part.empty()) parts.push_back(part);
    begin = i + 1;
  }
  return parts;
}

std::unexpected<Error> unparsable(std::string_view text) {
  return fail(Code::invalid_argument, fmt::format("unable to parse requirement: \"{}\"", text));
}

// "key in (a, b)" with `word` "in" or "notin".
bool parse_set(std::string_view part, std::string_view word, Requirement& requirement) {
  const std::string with_blanks = fmt::format(" {} ", word);
  auto at = part.find(with_blanks);
  std::size_t skip = with_blanks.size();
  if (at == std::string_view::npos) {
    at = part.find(fmt::format(" {}(", word));
    skip = with_blanks.size() - 1;
  }
  if (at == std::string_view::npos) return false;
  std::string_view values = trimmed(part.substr(at + skip));
  if (values.size() < 2 || values.front() != '(' || values.back() != ')') return false;
  values = values.substr(1, values.size() - 2);
  requirement.key = trimmed(part.substr(0, at));
  for (const auto value : split(values)) requirement.values.emplace_back(value);
  requirement.op = word == "in" ? Requirement::Op::in : Requirement::Op::not_in;
  return true;
}

bool parse_equality(std::string_view part, Requirement& requirement) {
  const auto at = part.find('=');
  if (at == std::string_view::npos || at == 0) return false;
  const bool differs = part[at - 1] == '!';
  std::string_view value = part.substr(at + 1);
  if (!differs && value.starts_with('=')) value.remove_prefix(1);
  requirement.key = trimmed(part.substr(0, differs ? at - 1 : at));
  requirement.values = {std::string(trimmed(value))};
  requirement.op = differs ? Requirement::Op::not_in : Requirement::Op::in;
  return true;
}

bool holds(const Requirement& requirement, const std::string* value) {
  const bool listed = value && std::ranges::find(requirement.values, *value) != requirement.values.end();
  switch (requirement.op) {
    case Requirement::Op::in:
      return listed;
    case Requirement::Op::not_in:
      return !listed;
    case Requirement::Op::exists:
      return value != nullptr;
    case Requirement::Op::absent:
      return value == nullptr;
  }
  return false;
}

const json::Value* at_dotted(const json::Value& object, std::string_view path) {
  const json::Value* value = &object;
  while (value && !path.empty()) {
    const auto dot = path.find('.');
    value = value->at_path({path.substr(0, dot)});
    path = dot == std::string_view::npos ? std::string_view() : path.substr(dot + 1);
  }
  return value;
}

}  // namespace

Result<Selector> Selector::labels(std::string_view text) {
  Selector selector;
  for (const auto part : split(text)) {
    Requirement requirement;
    if (parse_set(part, "in", requirement) || parse_set(part, "notin", requirement) ||
        parse_equality(part, requirement)) {
      if (requirement.key.empty()) return unparsable(text);
    } else {
      const bool absent = part.front() == '!';
      requirement.key = trimmed(absent ? part.substr(1) : part);
      requirement.op = absent ? Requirement::Op::absent : Requirement::Op::exists;
    }
    if (requirement.key.find_first_of(" ()!=") != std::string::npos) return unparsable(text);
    selector.requirements_.push_back(std::move(requirement));
  }
  return selector;
}

Result<Selector> Selector::fields(std::string_view text) {
  Selector selector;
  for (const auto part : split(text)) {
    Requirement requirement;
    if (!parse_equality(part, requirement))
      return fail(Code::invalid_argument, fmt::format("invalid selector: '{}'", text));
    selector.requirements_.push_back(std::move(requirement));
  }
  return selector;
}

Selector Selector::of_object(const json::Value* object) {
  Selector selector;
  if (!object) return selector;
  if (const json::Value* labels = object->at_path({"matchLabels"}); labels && labels->is_object()) {
    for (const auto& [key, value] : *labels->if_object()) {
      if (value.is_string()) selector.requirements_.push_back({Requirement::Op::in, key, {*value.if_string()}});
    }
  }
  const json::Value* expressions = object->at_path({"matchExpressions"});
  if (!expressions || !expressions->is_array()) return selector;
  for (const json::Value& expression : *expressions->if_array()) {
    Requirement requirement{.key = std::string(expression.string_at({"key"}))};
    const auto op = expression.string_at({"operator"});
    requirement.op = op == "In"       ? Requirement::Op::in
                     : op == "NotIn"  ? Requirement::Op::not_in
                     : op == "Exists" ? Requirement::Op::exists
                                      : Requirement::Op::absent;
    if (const json::Value* values = expression.at_path({"values"}); values && values->is_array()) {
      for (const json::Value& value : *values->if_array()) {
        if (value.is_string()) requirement.values.push_back(*value.if_string());
      }
    }
    selector.requirements_.push_back(std::move(requirement));
  }
  return selector;
}

bool Selector::matches_map(const json::Value* labels) const {
  return std::ranges::all_of(requirements_, [&](const Requirement& requirement) {
    const json::Value* value = labels ? labels->at_path({requirement.key}) : nullptr;
    return holds(requirement, value ? value->if_string() : nullptr);
  });
}

bool Selector::matches_labels(const json::Value& object) const {
  return matches_map(object.at_path({"metadata", "labels"}));
}

bool Selector::matches_fields(const json::Value& object) const {
  static const std::string kEmpty;
  return std::ranges::all_of(requirements_, [&](const Requirement& requirement) {
    const json::Value* value = at_dotted(object, requirement.key);
    return holds(requirement, value && value->is_string() ? value->if_string() : &kEmpty);
  });
}

}  // namespace krake::kubesim
