#include "server/references.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <map>

namespace krake::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

ResourceRef role(std::string name) {
  return {.api = "core", .namespace_ = {}, .kind = "Role", .name = std::move(name)};
}
ResourceRef role(int number) { return role(fmt::format("r{}", number)); }

// Objects and their owners, and how often anybody was asked for.
struct Objects {
  std::map<ResourceRef, std::vector<ResourceRef>> owners;
  int asked = 0;

  void add(const ResourceRef& ref, std::vector<ResourceRef> its) { owners[ref] = std::move(its); }
  OwnersOf owners_of() {
    return [this](const ResourceRef& ref) -> const std::vector<ResourceRef>* {
      ++asked;
      const auto it = owners.find(ref);
      return it == owners.end() ? nullptr : &it->second;
    };
  }
};

TEST(References, AddedOwnersAreThoseThatAreNew) {
  const auto added = [](std::vector<ResourceRef> wanted, std::vector<ResourceRef> stored) {
    return added_owners(wanted, stored);
  };
  EXPECT_THAT(added({}, {role("a")}), IsEmpty());
  EXPECT_THAT(added({role("a")}, {role("a")}), IsEmpty());
  EXPECT_THAT(added({role("c"), role("a"), role("b"), role("c")}, {role("a")}), ElementsAre(role("c"), role("b")));
}

// One by one, this would be some 10^10 comparisons.
TEST(References, ManyAddedOwnersTakeNoTime) {
  constexpr int kMany = 200'000;
  std::vector<ResourceRef> wanted;
  std::vector<ResourceRef> stored;
  for (int i = 0; i < kMany; ++i) {
    stored.push_back(role(i));
    wanted.push_back(role(kMany - i));
  }
  EXPECT_THAT(added_owners(wanted, stored), ElementsAre(role(kMany)));
}

TEST(References, OwnersThatLeadBackAreDoubtful) {
  Objects objects;
  objects.add(role("top"), {});
  objects.add(role("fine"), {role("top"), role("gone")});
  objects.add(role("shared"), {role("top"), role("self")});
  objects.add(role("left"), {role("fine"), role("shared")});
  objects.add(role("right"), {role("shared"), role("left")});
  objects.add(role("self"), {});
  const std::vector<ResourceRef> added{role("fine"), role("left"), role("none"), role("right"), role("self")};
  EXPECT_THAT(doubtful_owners(role("self"), added, objects.owners_of()),
              ElementsAre("owner Role left is, by its own owners, owned by this object: they can never be deleted",
                          "owner Role none does not exist",
                          "owner Role right is, by its own owners, owned by this object: they can never be deleted",
                          "owner Role self is the object itself"));
}

TEST(References, CirclesOfOthersAreNoneOfOurs) {
  Objects objects;
  objects.add(role("a"), {role("b")});
  objects.add(role("b"), {role("a")});
  EXPECT_THAT(doubtful_owners(role("self"), std::vector{role("a"), role("b")}, objects.owners_of()), IsEmpty());
}

TEST(References, TheSameOwnerIsLookedAtOnce) {
  Objects objects;
  objects.add(role("big"), {});
  const std::vector<ResourceRef> added(10'000, role("big"));
  EXPECT_THAT(doubtful_owners(role("self"), added, objects.owners_of()), IsEmpty());
  EXPECT_LE(objects.asked, 2);
}

TEST(References, WhatOwnersHaveInCommonIsVisitedOnce) {
  constexpr int kChain = 400;
  constexpr int kOwners = 500;
  Objects objects;
  for (int i = 0; i < kChain; ++i) objects.add(role(i), {role(i + 1)});
  objects.add(role(kChain), {});
  std::vector<ResourceRef> added;
  for (int i = 0; i < kOwners; ++i) {
    added.push_back(role(fmt::format("owner{}", i)));
    objects.add(added.back(), {role(0)});
  }
  EXPECT_THAT(doubtful_owners(role("self"), added, objects.owners_of()), IsEmpty());
  EXPECT_LE(objects.asked, 2 * kOwners + kChain + 1);
  objects.add(role(kChain), {role("self")});
  EXPECT_THAT(doubtful_owners(role("self"), added, objects.owners_of()), SizeIs(10));
}

TEST(References, TheSearchEnds) {
  constexpr int kMany = 20'000;
  Objects objects;
  std::vector<ResourceRef> all;
  for (int i = 0; i < kMany; ++i) all.push_back(role(i));
  // Each is owned by the next and by thousands more.
  for (int i = 0; i < 100; ++i) objects.add(role(i), all);
  for (int i = 100; i < kMany; ++i) objects.add(role(i), {role(i + 1)});
  EXPECT_THAT(doubtful_owners(role("self"), std::vector{role(0)}, objects.owners_of()), IsEmpty());
  EXPECT_LE(objects.asked, 3);
  objects.asked = 0;
  EXPECT_THAT(doubtful_owners(role("self"), std::vector{role(100)}, objects.owners_of()), IsEmpty());
  EXPECT_LE(objects.asked, 1100);
}

TEST(References, AFewDoubtfulTargetsAreTold) {
  Objects objects;
  json::Object body;
  for (int i = 0; i < 10'000; ++i)
    body.append(fmt::format("k{}", i),
                json::Object{{"api", "core"}, {"kind", "Role"}, {"name", fmt::format("r{}", i)}});
  const auto found = doubtful_targets(body, {}, objects.owners_of());
  ASSERT_THAT(found, SizeIs(10));
  EXPECT_THAT(found.front(), HasSubstr("k0 Role r0 does not exist"));
  EXPECT_EQ(objects.asked, 10);
}

}  // namespace
}  // namespace krake::server
