#include "sim/history.h"

#include <gtest/gtest.h>

namespace krake::sim {
namespace {

const store::Bytes kValue = std::make_shared<const std::string>("v");

// a: written at 1 and 3, removed at 5. b: written at 2, again at 6. Revision 4 is another's.
struct Histories : ::testing::Test {
  Histories() {
    put(1, "/k/a", 1);
    put(2, "/k/b", 2);
    put(3, "/k/a", 1);
    put(4, "/other/c", 4);
    history.committed({.revision = 5, .changes = {{.key = "/k/a"}}});
    put(6, "/k/b", 2);
  }
  void put(store::Revision revision, const std::string& key, store::Revision created) {
    history.committed({.revision = revision, .changes = {{.key = key, .value = kValue, .created = created}}});
  }
  History history;
};

TEST_F(Histories, ARevisionIsNeitherOldNorOfTheFuture) {
  EXPECT_FALSE(history.current(4, 4));
  EXPECT_FALSE(history.current(4, 6));
  EXPECT_TRUE(history.current(4, 3));
  EXPECT_TRUE(history.current(4, 7));
}

TEST_F(Histories, AReadShowsWhatWasThereAtSomeMomentAfterTheFloor) {
  struct Case {
    const char* key;
    store::Revision floor;
    store::Revision modified;
    bool possible;
  };
  for (const auto& [key, floor, modified, possible] : {
           Case{"/k/a", 0, 1, true},
           Case{"/k/a", 2, 1, true},
           Case{"/k/a", 3, 1, false},
           Case{"/k/a", 4, 3, true},
           Case{"/k/a", 5, 3, false},
           Case{"/k/a", 5, 0, true},
           Case{"/k/a", 0, 0, true},   // before it was written
           Case{"/k/b", 1, 0, true},   // likewise
           Case{"/k/b", 2, 0, false},  // ever since it is there
           Case{"/k/b", 6, 6, true},
           Case{"/k/b", 0, 4, false},
           Case{"/k/b", 0, 9, false},
           Case{"/k/z", 6, 0, true},
           Case{"/k/z", 0, 2, false},
       }) {
    EXPECT_EQ(!history.read(key, floor, modified), possible) << key << " floor " << floor << " read as " << modified;
  }
}

TEST_F(Histories, AListIsOfOneMoment) {
  const std::map<std::string, store::Revision> at_four{{"/k/a", 3}, {"/k/b", 2}};
  EXPECT_FALSE(history.listed("/k/", 4, 4, at_four, false));
  EXPECT_TRUE(history.listed("/k/", 5, 4, at_four, false)) << "too old";
  EXPECT_TRUE(history.listed("/k/", 0, 5, at_four, false)) << "one is gone by then";
  EXPECT_TRUE(history.listed("/k/", 0, 4, {{"/k/a", 3}}, false)) << "one is missing";
  EXPECT_FALSE(history.listed("/k/", 0, 4, {{"/k/a", 3}}, true)) << "but for a page";
  EXPECT_TRUE(history.listed("/k/", 0, 4, {{"/k/b", 2}}, true)) << "a page leaves nothing out before its end";
  EXPECT_TRUE(history.listed("/k/", 0, 4, {{"/k/a", 1}, {"/k/b", 2}}, false)) << "of different moments";
}

TEST_F(Histories, AWatchLeavesNothingOutAndInventsNothing) {
  EXPECT_FALSE(history.next("/k/", 3, 5)) << "the one in between is another's";
  EXPECT_FALSE(history.next("/", 3, 4));
  EXPECT_TRUE(history.next("/k/", 2, 5)) << "3 is left out";
  EXPECT_TRUE(history.next("/k/", 3, 4));
  EXPECT_TRUE(history.next("/k/", 6, 7));
}

TEST_F(Histories, CommitsOfOneRevisionAreOneStepOfAWatch) {
  history.committed(
      {.revision = 7,
       .changes = {{.key = "/k/a", .value = kValue, .created = 7}, {.key = "/k/b"}, {.key = "/other/c"}}});
  EXPECT_FALSE(history.wrote("/k/a", 7));
  EXPECT_FALSE(history.wrote("/k/b", 7));
  EXPECT_FALSE(history.next("/k/", 6, 7));
  EXPECT_FALSE(history.next("/other/", 4, 7));
  EXPECT_TRUE(history.next("/k/", 7, 7)) << "it comes once";
  EXPECT_FALSE(history.listed("/k/", 7, 7, {{"/k/a", 7}}, false));
}

TEST_F(Histories, AWriteHasItsCommit) {
  EXPECT_FALSE(history.wrote("/k/a", 3));
  EXPECT_FALSE(history.wrote("/k/a", 5));
  EXPECT_TRUE(history.wrote("/k/a", 4));
  EXPECT_TRUE(history.wrote("/k/z", 4));
}

TEST_F(Histories, ARemovalHasItsCommit) {
  EXPECT_EQ(history.removed_after("/k/a", 0), 5);
  EXPECT_EQ(history.removed_after("/k/a", 4), 5);
  EXPECT_EQ(history.removed_after("/k/a", 5), std::nullopt);
  EXPECT_EQ(history.removed_after("/k/b", 0), std::nullopt);
  EXPECT_EQ(history.removed_after("/k/z", 0), std::nullopt);
}

TEST_F(Histories, TheFloorOnlyRises) {
  history.known(4);
  history.known(2);
  EXPECT_EQ(history.floor(), 4);
  ASSERT_NE(history.at("/k/a", 4), nullptr);
  EXPECT_EQ(history.at("/k/a", 4)->created, 1);
  EXPECT_EQ(history.at("/k/a", 5), nullptr);
}

}  // namespace
}  // namespace krake::sim
