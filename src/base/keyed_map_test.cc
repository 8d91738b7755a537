#include "base/keyed_map.h"

#include <gtest/gtest.h>

#include <random>

namespace krake {
namespace {

TEST(KeyedMap, IsWhatAMapIs) {
  std::minstd_rand random(7);
  KeyedMap<int> map;
  std::map<std::string, int, std::less<>> model;
  for (int step = 0; step < 20'000; ++step) {
    const std::string key = "/k/" + std::to_string(random() % 500);
    if (random() % 3 == 0) {
      const auto it = map.find(key);
      ASSERT_EQ(it != map.end(), model.erase(key) == 1);
      if (it != map.end()) map.erase(it);
    } else {
      const auto [it, made] = map.try_emplace(key);
      ASSERT_EQ(made, !model.contains(key));
      it->second = model[key] = step;
    }
    ASSERT_EQ(map.contains(key), model.contains(key));
    if (step % 997 != 0) continue;
    ASSERT_TRUE(std::ranges::equal(map, model));
    ASSERT_EQ(map.size(), model.size());
    ASSERT_EQ(map.lower_bound(key) == map.end(), model.lower_bound(key) == model.end());
    for (const auto& [name, value] : model) ASSERT_EQ(map.find(name)->second, value);
  }
  EXPECT_EQ(map.take_all(), model);
  EXPECT_TRUE(map.empty());
  EXPECT_EQ(map.find("/k/1"), map.end());
}

}  // namespace
}  // namespace krake
