#include "base/datetime.h"

#include <fmt/format.h>

#include <cctype>

namespace krake {

namespace {
// Reads `min`..`max` decimal digits at the front of `text` and drops them.
std::optional<int> digits(std::string_view& text, std::size_t min, std::size_t max) {
  std::size_t n = 0;
  int value = 0;
  while (n < max && n < text.size() && text[n] >= '0' && text[n] <= '9') value = value * 10 + (text[n++] - '0');
  if (n < min) return std::nullopt;
  text.remove_prefix(n);
  return value;
}
bool eat(std::string_view& text, char c) {
  if (text.empty() || text.front() != c) return false;
  text.remove_prefix(1);
  return true;
}

// "Z", "+HH", "+HHMM", "+HH:MM" (also "-"), or nothing.
bool read_offset(std::string_view& text, std::optional<int>& offset) {
  if (text.empty()) return true;
  if (eat(text, 'Z')) {
    offset = 0;
    return text.empty();
  }
  const bool negative = text.front() == '-';
  if (!negative && text.front() != '+') return false;
  text.remove_prefix(1);
  const auto hours = digits(text, 2, 2);
  if (!hours) return false;
  int minutes = 0;
  if (!text.empty()) {
    eat(text, ':');
    const auto m = digits(text, 2, 2);
    if (!m || *m > 59) return false;
    minutes = *m;
  }
  if (*hours > 23) return false;
  offset = (*hours * 60 + minutes) * (negative ? -1 : 1);
  return text.empty();
}
}  // namespace

std::optional<DateTime> parse_datetime(std::string_view text) {
  const auto year = digits(text, 4, 4);
  if (!year || !eat(text, '-')) return std::nullopt;
  const auto month = digits(text, 1, 2);
  if (!month || !eat(text, '-')) return std::nullopt;
  const auto day = digits(text, 1, 2);
  if (!day || (!eat(text, 'T') && !eat(text, ' '))) return std::nullopt;
  const auto hour = digits(text, 1, 2);
  if (!hour || !eat(text, ':')) return std::nullopt;
  const auto minute = digits(text, 1, 2);
  if (!minute) return std::nullopt;
  int second = 0;
  std::int64_t micros = 0;
  if (eat(text, ':')) {
    const auto s = digits(text, 1, 2);
    if (!s) return std::nullopt;
    second = *s;
    if (eat(text, '.')) {
      std::size_t n = 0;
      for (; n < 6 && !text.empty() && std::isdigit(static_cast<unsigned char>(text.front())); ++n) {
        micros = micros * 10 + (text.front() - '0');
        text.remove_prefix(1);
      }
      if (n == 0) return std::nullopt;
      for (; n < 6; ++n) micros *= 10;
      while (!text.empty() && std::isdigit(static_cast<unsigned char>(text.front()))) text.remove_prefix(1);
    }
  }
  DateTime result;
  if (!read_offset(text, result.offset_minutes)) return std::nullopt;
  const std::chrono::year_month_day date(std::chrono::year(*year), std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day)));
  if (!date.ok() || *year < 1 || *hour > 23 || *minute > 59 || second > 59) return std::nullopt;
  const auto days = std::chrono::sys_days(date).time_since_epoch().count();
  result.local_us = ((days * 24LL + *hour) * 60 + *minute) * 60'000'000LL + second * 1'000'000LL + micros;
  return result;
}

std::string to_string(const DateTime& time) {
  const std::chrono::sys_time<std::chrono::microseconds> local{std::chrono::microseconds(time.local_us)};
  const auto day = std::chrono::floor<std::chrono::days>(local);
  const std::chrono::year_month_day date(day);
  const auto rest = (local - day).count();
  std::string out;
  out.reserve(32);
  // Each object has a few of these: formatting them by format strings was a tenth of a create.
  const auto put = [&out](std::int64_t number, int width) {
    char digits[8];
    for (int i = width; i-- > 0; number /= 10) digits[i] = static_cast<char>('0' + number % 10);
    out.append(digits, static_cast<std::size_t>(width));
  };
  put(static_cast<int>(date.year()), 4), out += '-';
  put(static_cast<unsigned>(date.month()), 2), out += '-';
  put(static_cast<unsigned>(date.day()), 2), out += 'T';
  put(rest / 3'600'000'000, 2), out += ':';
  put(rest / 60'000'000 % 60, 2), out += ':';
  put(rest / 1'000'000 % 60, 2);
  if (rest % 1'000'000 != 0) out += '.', put(rest % 1'000'000, 6);
  if (time.offset_minutes) {
    const int offset = *time.offset_minutes;
    const int size = offset < 0 ? -offset : offset;
    out += offset < 0 ? '-' : '+';
    put(size / 60, 2), out += ':';
    put(size % 60, 2);
  }
  return out;
}

}  // namespace krake
