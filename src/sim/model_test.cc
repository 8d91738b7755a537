#include "sim/model.h"

#include <gtest/gtest.h>

namespace krake::sim {
namespace {

ApplicationSpec spec(int image) {
  ApplicationSpec spec;
  spec.manifest.push_back(json::Object{{"kind", "Deployment"}, {"image", image}});
  return spec;
}
StoredVersion version(int image, bool deleted = false, std::set<std::string> owners = {}) {
  return {.uid = "u", .spec = spec(image), .deleted = deleted, .owners = std::move(owners)};
}

// An application "web" of image 1, acknowledged and stored.
struct Promised : ::testing::Test {
  Promised() {
    model.create("web", spec(1));
    EXPECT_FALSE(model.stored("web", version(1)));
    EXPECT_FALSE(model.answered(Fate::done));
  }
  Model model;
};

TEST(Model, KnowsWhichAnswersSayNothing) {
  EXPECT_EQ(fate_of({Code::timeout, "no answer"}), Fate::unknown);
  EXPECT_EQ(fate_of({Code::unavailable, "the connection broke"}), Fate::unknown);
  EXPECT_EQ(fate_of({Code::unavailable, "PUT /x: user>api0: connection refused"}), Fate::refused);
  EXPECT_EQ(fate_of({Code::precondition_failed, ""}), Fate::refused);
  EXPECT_EQ(fate_of({Code::forbidden, ""}), Fate::refused);
}

TEST(Model, WhatNobodyCreatedMustNotBeThere) {
  Model model;
  EXPECT_TRUE(model.stored("web", version(1)));
  model.create("other", spec(1));
  EXPECT_FALSE(model.answered(Fate::refused));
  EXPECT_TRUE(model.stored("other", version(1)));
  EXPECT_EQ(model.expected("other"), Known::no);
}

TEST(Model, AnAcknowledgedCreationIsStored) {
  Model model;
  model.create("web", spec(1));
  EXPECT_TRUE(model.answered(Fate::done));
}

TEST(Model, ACreationWithoutAnswerMayBeEither) {
  Model model;
  model.create("web", spec(1));
  EXPECT_FALSE(model.answered(Fate::unknown));
  EXPECT_EQ(model.expected("web"), Known::maybe);
  EXPECT_EQ(model.found_undone(), 1);
  EXPECT_FALSE(model.stored("web", version(1)));
  EXPECT_EQ(model.expected("web"), Known::yes);
  EXPECT_EQ(model.found_done(), 1);
  EXPECT_EQ(model.found_undone(), 0);
}

TEST_F(Promised, AnAcknowledgedUpdateIsStored) {
  model.update("web", spec(2));
  EXPECT_TRUE(model.answered(Fate::done));
}

TEST_F(Promised, AnAcknowledgedUpdateIsNotLost) {
  model.update("web", spec(2));
  EXPECT_FALSE(model.stored("web", version(2)));
  EXPECT_FALSE(model.answered(Fate::done));
  EXPECT_FALSE(model.stored("web", version(2)));
  EXPECT_TRUE(model.stored("web", version(1)));
}

TEST_F(Promised, AnUpdateWithoutAnswerMayBeEitherUntilItIsSeen) {
  model.update("web", spec(2));
  EXPECT_FALSE(model.answered(Fate::unknown));
  EXPECT_FALSE(model.stored("web", version(1)));
  EXPECT_FALSE(model.stored("web", version(2)));
  EXPECT_EQ(model.found_done(), 1);
  EXPECT_TRUE(model.stored("web", version(1)));
}

TEST_F(Promised, ALaterAcknowledgedUpdateRulesOutOneWithoutAnswer) {
  model.update("web", spec(2));
  EXPECT_FALSE(model.answered(Fate::unknown));
  model.update("web", spec(3));
  EXPECT_FALSE(model.stored("web", version(3)));
  EXPECT_FALSE(model.answered(Fate::done));
  EXPECT_EQ(model.found_undone(), 1);
  EXPECT_TRUE(model.stored("web", version(2)));
}

TEST_F(Promised, TheSameSpecTwiceIsNoLoss) {
  model.update("web", spec(2));
  EXPECT_FALSE(model.answered(Fate::unknown));
  model.update("web", spec(2));
  EXPECT_FALSE(model.stored("web", version(2)));
  EXPECT_FALSE(model.answered(Fate::done));
  EXPECT_FALSE(model.stored("web", version(2)));
}

TEST_F(Promised, ARefusedUpdateIsNotCarriedOut) {
  model.update("web", spec(2));
  EXPECT_FALSE(model.answered(Fate::refused));
  EXPECT_TRUE(model.stored("web", version(2)));
}

TEST_F(Promised, ARefusedUpdateWasNotCarriedOutEither) {
  model.update("web", spec(2));
  EXPECT_FALSE(model.stored("web", version(2)));
  EXPECT_TRUE(model.answered(Fate::refused));
}

TEST_F(Promised, AnAcknowledgedDeletionIsUnderWay) {
  model.remove("web");
  EXPECT_TRUE(model.answered(Fate::done));
}

TEST_F(Promised, ADeletionEndsAndIsNotTakenBack) {
  model.remove("web");
  EXPECT_FALSE(model.stored("web", version(1, true)));
  EXPECT_FALSE(model.answered(Fate::done));
  EXPECT_EQ(model.expected("web"), Known::no);
  EXPECT_TRUE(model.living().empty());
  EXPECT_TRUE(model.stored("web", version(1, false)));
  EXPECT_FALSE(model.gone("web"));
  EXPECT_TRUE(model.stored("web", version(1)));
}

TEST_F(Promised, ADeletionWithoutAnswerMayBeEither) {
  model.remove("web");
  EXPECT_FALSE(model.answered(Fate::unknown));
  EXPECT_EQ(model.expected("web"), Known::yes);
  EXPECT_FALSE(model.stored("web", version(1, true)));
  EXPECT_EQ(model.expected("web"), Known::no);
}

TEST_F(Promised, NobodyDeletesWhatNobodyAskedToDelete) { EXPECT_TRUE(model.stored("web", version(1, true))); }

TEST_F(Promised, ARefusedDeletionIsNone) {
  model.remove("web");
  EXPECT_FALSE(model.answered(Fate::refused));
  EXPECT_TRUE(model.stored("web", version(1, true)));
}

TEST_F(Promised, NothingVanishesWithoutADeletion) { EXPECT_TRUE(model.gone("web")); }

TEST_F(Promised, ForceTakesItAwayAtOnce) {
  model.force_remove("web");
  EXPECT_FALSE(model.gone("web"));
  EXPECT_FALSE(model.answered(Fate::done));
  EXPECT_EQ(model.expected("web"), Known::no);
}

TEST_F(Promised, AClusterTakesItsApplicationsAlong) {
  model.remove_cluster("c1");
  EXPECT_TRUE(Model(model).stored("web", version(1, true, {"c1"}))) << "asked for, and not begun";
  EXPECT_FALSE(model.cluster_deleting("c1"));
  EXPECT_TRUE(Model(model).stored("web", version(1, true, {"c0"})));
  EXPECT_FALSE(model.stored("web", version(1, true, {"c0", "c1"})));
  EXPECT_TRUE(model.taken_along("web"));
  EXPECT_EQ(model.expected("web"), Known::no);
}

TEST_F(Promised, AClusterThatIsRegisteredAgainTakesNothingAlong) {
  model.remove_cluster("c1");
  EXPECT_FALSE(model.cluster_deleting("c1"));
  model.cluster_registered("c1");
  EXPECT_TRUE(model.stored("web", version(1, true, {"c1"})));
}

TEST(Model, NobodyDeletesAClusterUnasked) {
  Model model;
  EXPECT_TRUE(Model(model).cluster_deleting("c1"));
  model.remove_cluster("c1");
  EXPECT_TRUE(Model(model).cluster_deleting("c0"));
  EXPECT_FALSE(Model(model).cluster_deleting("c1"));
  model.cluster_kept("c1");
  EXPECT_TRUE(model.cluster_deleting("c1"));
}

TEST_F(Promised, AnotherOfTheSameNameIsNotIt) {
  auto other = version(1);
  other.uid = "v";
  EXPECT_TRUE(model.stored("web", other));
}

}  // namespace
}  // namespace krake::sim
