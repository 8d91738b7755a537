// Datetimes as upstream exchanges them (api-contract 1.4): microseconds, an offset that is kept as given, or none at
// all.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace krake {

struct DateTime {
  std::int64_t local_us = 0;          // microseconds since 1970-01-01T00:00 of the written (local) time
  std::optional<int> offset_minutes;  // none: a value without offset

  static DateTime from_wall(Wall time) { return {time.time_since_epoch().count(), 0}; }
  // The instant; a value without offset is taken as UTC.
  Wall wall() const {
    return Wall(std::chrono::microseconds(local_us - std::int64_t{offset_minutes.value_or(0)} * 60'000'000));
  }

  // With offset on both sides: as instants. A value with offset never equals one without.
  friend bool operator==(const DateTime& a, const DateTime& b) {
    return a.offset_minutes.has_value() == b.offset_minutes.has_value() && a.wall() == b.wall();
  }
};

std::optional<DateTime> parse_datetime(std::string_view text);
std::string to_string(const DateTime& time);  // YYYY-MM-DDTHH:MM:SS[.ffffff][+HH:MM]

}  // namespace krake
