#include "sim/removals.h"

#include <gtest/gtest.h>

namespace krake::sim {
namespace {

constexpr auto kKey = "/core/leases/scheduler";

TEST(Removals, WhatNobodyAskedForIsNone) {
  Removals removals;
  EXPECT_EQ(removals.of(kKey, 5), Known::no);
  removals.asked("/core/leases/gc", 3);
  EXPECT_EQ(removals.of(kKey, 5), Known::no);
}

TEST(Removals, MayHappenWhileItIsUnderWay) {
  Removals removals;
  removals.asked(kKey, 4);
  EXPECT_EQ(removals.of(kKey, 4), Known::no) << "that was before";
  EXPECT_EQ(removals.of(kKey, 5), Known::maybe);
  EXPECT_EQ(removals.of(kKey, 500), Known::maybe);
}

TEST(Removals, CarriedOutItIsThatOneAndNoOther) {
  Removals removals;
  const auto id = removals.asked(kKey, 4);
  removals.carried_out(id, 6);
  EXPECT_EQ(removals.of(kKey, 5), Known::no);
  EXPECT_EQ(removals.of(kKey, 6), Known::yes);
  EXPECT_EQ(removals.of(kKey, 7), Known::no);
}

TEST(Removals, RefusedItIsNone) {
  Removals removals;
  removals.refused(removals.asked(kKey, 4));
  EXPECT_EQ(removals.of(kKey, 5), Known::no);
}

TEST(Removals, WithoutAnAnswerItMayHaveHappenedUntilThen) {
  Removals removals;
  removals.unanswered(removals.asked(kKey, 4), 6);
  EXPECT_EQ(removals.of(kKey, 4), Known::no);
  EXPECT_EQ(removals.of(kKey, 6), Known::maybe);
  EXPECT_EQ(removals.of(kKey, 7), Known::no);
}

TEST(Removals, WhoCrashedDoesNothingMore) {
  Removals removals;
  removals.abandoned(removals.asked(kKey, 4));
  removals.seen(6);
  EXPECT_EQ(removals.of(kKey, 6), Known::maybe);
  removals.seen(9);
  EXPECT_EQ(removals.of(kKey, 7), Known::no);
}

TEST(Removals, EachAskCountsForItself) {
  Removals removals;
  const auto first = removals.asked(kKey, 4);
  const auto second = removals.asked(kKey, 6);
  removals.refused(first);
  removals.carried_out(second, 8);
  EXPECT_EQ(removals.of(kKey, 5), Known::no);
  EXPECT_EQ(removals.of(kKey, 8), Known::yes);
}

}  // namespace
}  // namespace krake::sim
