// Helpers of the tests in this folder: JSON from text, and random JSON.
#pragma once

#include <gtest/gtest.h>

#include <string_view>

#include "base/json.h"
#include "base/random.h"

namespace krake::manifest {

// Single quotes stand for double quotes, to keep tables readable.
inline json::Value value_of(std::string_view text) {
  std::string copy(text);
  std::ranges::replace(copy, '\'', '"');
  auto value = json::parse(copy);
  EXPECT_TRUE(value) << copy;
  return value ? std::move(*value) : json::Value();
}
inline json::Array array_of(std::string_view text) {
  json::Value value = value_of(text);
  return std::move(value.make_array());
}
inline json::Object object_of(std::string_view text) {
  json::Value value = value_of(text);
  return std::move(value.make_object());
}

// Any JSON without floats; `depth` bounds the nesting.
inline json::Value random_value(Random& random, int depth) {
  static constexpr std::string_view kKeys[] = {"a", "b", "name", "ports", "containers", "x.y/z", "~t"};
  switch (random.below(depth > 0 ? 7 : 4)) {
    case 0:
      return json::Value(random.chance(0.5));
    case 1:
      return json::Value(static_cast<std::int64_t>(random.below(5)));
    case 2:
      return json::Value(std::string(1, static_cast<char>('p' + random.below(4))));
    case 3:
      return nullptr;
    case 4: {
      json::Array array;
      for (auto n = random.below(3); n > 0; --n) array.push_back(random_value(random, depth - 1));
      return array;
    }
    default: {
      json::Object object;
      for (auto n = random.below(4); n > 0; --n) {
        object.set(kKeys[random.below(std::size(kKeys))], random_value(random, depth - 1));
      }
      return object;
    }
  }
}

}  // namespace krake::manifest
