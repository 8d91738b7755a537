#include "base/epoch.h"

#include <charconv>

namespace krake {

std::optional<Epoch> parse_epoch(std::string_view text) {
  const auto dash = text.rfind('-');
  if (dash == std::string_view::npos || dash == 0) return std::nullopt;
  Epoch epoch{.store = std::string(text.substr(0, dash)), .revision = 0};
  const auto number = text.substr(dash + 1);
  const auto [end, ec] = std::from_chars(number.data(), number.data() + number.size(), epoch.revision);
  if (ec != std::errc() || end != number.data() + number.size() || epoch.revision <= 0) return std::nullopt;
  if (number.front() == '0') return std::nullopt;  // it has one spelling
  return epoch;
}

}  // namespace krake
