#include "manifest/quantity.h"

#include <array>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace krake::manifest {
namespace {

__extension__ typedef __int128 Wide;

// Kubernetes keeps nine decimal places.
constexpr int kPlaces = 9;
constexpr std::size_t kMaxDigits = 19;
constexpr Wide kLimit = Wide(1) << 123;  // ten times as much fits

struct Scale {
  int tens = 0;
  int twos = 0;
};

std::optional<Scale> scale_of(std::string_view suffix) {
  static constexpr std::array<std::pair<std::string_view, Scale>, 16> kSuffixes{{{"", {}},
                                                                                 {"n", {-9, 0}},
                                                                                 {"u", {-6, 0}},
                                                                                 {"m", {-3, 0}},
                                                                                 {"k", {3, 0}},
                                                                                 {"M", {6, 0}},
                                                                                 {"G", {9, 0}},
                                                                                 {"T", {12, 0}},
                                                                                 {"P", {15, 0}},
                                                                                 {"E", {18, 0}},
                                                                                 {"Ki", {0, 10}},
                                                                                 {"Mi", {0, 20}},
                                                                                 {"Gi", {0, 30}},
                                                                                 {"Ti", {0, 40}},
                                                                                 {"Pi", {0, 50}},
                                                                                 {"Ei", {0, 60}}}};
  for (const auto& [text, scale] : kSuffixes) {
    if (text == suffix) return scale;
  }
  if (suffix.size() < 2 || (suffix[0] != 'e' && suffix[0] != 'E')) return std::nullopt;
  suffix.remove_prefix(suffix[1] == '+' ? 2 : 1);
  Scale scale;
  const auto [end, ec] = std::from_chars(suffix.data(), suffix.data() + suffix.size(), scale.tens);
  if (ec != std::errc() || end != suffix.data() + suffix.size()) return std::nullopt;
  return scale;
}

// In units of 10^-9; a remainder rounds away from zero, as Kubernetes does.
std::optional<Wide> nanos(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  Wide value = 0;
  int places = 0;
  bool point = false;
  std::size_t digits = 0;
  std::size_t used = 0;
  for (; used < text.size(); ++used) {
    const char c = text[used];
    if (c == '.' && !point) {
      point = true;
    } else if (c >= '0' && c <= '9') {
      if (value != 0 && ++digits >= kMaxDigits) return std::nullopt;
      value = value * 10 + (c - '0');
      if (point) ++places;
    } else {
      break;
    }
  }
  if (used == (point ? 1U : 0U)) return std::nullopt;
  const auto scale = scale_of(text.substr(used));
  if (!scale) return std::nullopt;
  for (int i = 0; i < scale->twos; ++i) {
    value *= 2;
    if (value > kLimit) return std::nullopt;
  }
  // Exponent and places are as large as the text wants them.
  std::int64_t tens = std::int64_t{scale->tens} - places + kPlaces;
  for (; tens > 0 && value != 0; --tens) {
    value *= 10;
    if (value > kLimit) return std::nullopt;
  }
  bool remainder = false;
  for (; tens < 0 && value != 0; ++tens) {
    remainder |= value % 10 != 0;
    value /= 10;
  }
  if (remainder) ++value;
  return negative ? -value : value;
}

}  // namespace

bool same_quantity(std::string_view a, std::string_view b) {
  const auto x = nanos(a);
  const auto y = nanos(b);
  return x && y && *x == *y;
}

}  // namespace krake::manifest
