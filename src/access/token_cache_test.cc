#include "access/token_cache.h"

#include <gtest/gtest.h>

namespace krake::access {
namespace {

using std::chrono::seconds;

TokenCache::Now at(int s) { return {Mono(seconds(s)), Wall(seconds(1'000'000 + s))}; }
Wall wall(int s) { return Wall(seconds(1'000'000 + s)); }

std::string user(const TokenCache& cache, std::string_view token, TokenCache::Now now) {
  const auto* found = cache.find(sha256(token), now);
  return found ? found->user : "-";
}

TEST(TokenCache, KnowsATokenForItsTime) {
  TokenCache cache({.size = 10, .ttl = seconds(60)});
  EXPECT_EQ(user(cache, "a", at(0)), "-");
  cache.put(sha256("a"), {.user = "alice"}, at(0));
  EXPECT_EQ(user(cache, "a", at(0)), "alice");
  EXPECT_EQ(user(cache, "a", at(59)), "alice");
  EXPECT_EQ(user(cache, "a", at(60)), "-");
  EXPECT_EQ(user(cache, "b", at(0)), "-");
}

TEST(TokenCache, NeverBeyondTheTokensOwnExpiry) {
  TokenCache cache({.size = 10, .ttl = seconds(60)});
  cache.put(sha256("a"), {.user = "alice", .until = wall(5)}, at(0));
  EXPECT_EQ(user(cache, "a", at(4)), "alice");
  EXPECT_EQ(cache.find(sha256("a"), at(4))->until, wall(5)) << "told with it, as it was";
  EXPECT_EQ(user(cache, "a", at(5)), "-");
  // The wall clock jumps ahead: the token is over, whatever the other clock says.
  cache.put(sha256("b"), {.user = "bob", .until = wall(50)}, at(0));
  EXPECT_EQ(user(cache, "b", {Mono(seconds(1)), wall(51)}), "-");
  // It is set back: the entry is not kept longer than its time.
  EXPECT_EQ(user(cache, "b", {Mono(seconds(61)), wall(-1000)}), "-");
  cache.put(sha256("c"), {.user = "carol", .until = wall(0)}, at(0));
  EXPECT_EQ(user(cache, "c", at(0)), "-");
}

TEST(TokenCache, TheOldestGoWhenItIsFull) {
  TokenCache cache({.size = 3, .ttl = seconds(60)});
  for (const char* token : {"a", "b", "c"}) cache.put(sha256(token), {.user = token}, at(0));
  cache.put(sha256("a"), {.user = "a2"}, at(1));  // the newest now
  cache.put(sha256("d"), {.user = "d"}, at(1));
  EXPECT_EQ(cache.size(), 3u);
  EXPECT_EQ(user(cache, "a", at(2)), "a2");
  EXPECT_EQ(user(cache, "b", at(2)), "-");
  EXPECT_EQ(user(cache, "c", at(2)), "c");
  EXPECT_EQ(user(cache, "d", at(2)), "d");
}

TEST(TokenCache, WhatIsOverMakesRoom) {
  TokenCache cache({.size = 1000, .ttl = seconds(60)});
  for (int i = 0; i < 100; ++i) cache.put(sha256(std::to_string(i)), {.user = "x"}, at(0));
  cache.put(sha256("new"), {.user = "x"}, at(60));
  EXPECT_EQ(cache.size(), 1u);
}

TEST(TokenCache, MayKeepNothing) {
  for (const TokenCache::Limits limits : {TokenCache::Limits{.size = 0}, TokenCache::Limits{.ttl = Duration::zero()}}) {
    TokenCache cache(limits);
    cache.put(sha256("a"), {.user = "alice"}, at(0));
    EXPECT_EQ(user(cache, "a", at(0)), "-");
    EXPECT_EQ(cache.size(), 0u);
  }
}

}  // namespace
}  // namespace krake::access
