#include "base/names.h"

#include <fmt/format.h>

#include <algorithm>

namespace krake {

namespace {
bool word(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; }

bool in_alphabet(std::string_view text, std::size_t max, std::string_view inner) {
  if (text.empty() || text.size() > max || !word(text.front()) || !word(text.back())) return false;
  return std::ranges::all_of(text, [&](char c) { return word(c) || inner.find(c) != std::string_view::npos; });
}
bool label_part(std::string_view text, std::size_t max) { return in_alphabet(text, max, ".-"); }
}  // namespace

bool valid_resource_name(std::string_view name) { return in_alphabet(name, 255, ".:-"); }

std::optional<std::string> check_label_key(std::string_view key) {
  const auto slash = key.find('/');
  const bool good = slash == std::string_view::npos
                        ? label_part(key, 63)
                        : label_part(key.substr(0, slash), 253) && label_part(key.substr(slash + 1), 63);
  if (good) return std::nullopt;
  return fmt::format("Label key '{}' does not match the regex '{}'", key, kLabelKeyPattern);
}

std::optional<std::string> check_label_value(std::string_view value) {
  if (label_part(value, 63)) return std::nullopt;
  return fmt::format("Label value '{}' does not match the regex '{}'", value, kLabelValuePattern);
}

}  // namespace krake
