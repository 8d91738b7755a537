#include "controllers/gc/plan.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace krake::gc {
namespace {

graph::Ref ref(const std::string& name) { return {"kubernetes", "Application", "demo", name}; }
Subject subject(const std::string& name, bool deleted, std::vector<std::string> finalizers) {
  return {ref(name), "uid-" + name, 7, deleted, std::move(finalizers)};
}
const std::string kCascade = "cascade_deletion";

TEST(GcPlan, Table) {
  const auto mine = subject("a", true, {kCascade});
  const auto dying = subject("b", true, {"kubernetes_resources_deletion", kCascade});
  const auto alive = subject("c", false, {});
  struct Case {
    const char* what;
    Observed in;
    std::string plan;
  };
  const Case cases[] = {
      {"gone", {}, ""},
      {"alive", {.object = alive, .dependents = {dying}}, ""},
      {"another finalizer is last", {.object = subject("a", true, {kCascade, "x"}), .dependents = {alive}}, ""},
      {"no finalizer", {.object = subject("a", true, {})}, ""},
      {"free", {.object = mine}, "leave finalizers [] on Application demo/a at 7"},
      {"free, another finalizer before",
       {.object = dying},
       "leave finalizers [kubernetes_resources_deletion] on Application demo/b at 7"},
      {"waits for dependents that are going", {.object = mine, .dependents = {dying}}, ""},
      {"waits for dependents nobody looked at", {.object = mine, .waiting = true}, ""},
      {"takes its dependents along", {.object = mine, .dependents = {dying, alive}}, "delete Application demo/c at 7"},
      {"owns itself", {.object = mine, .dependents = {mine}}, ""},
      {"knotted",
       {.object = mine, .dependents = {mine}, .knotted = true},
       "leave finalizers [] on Application demo/a at 7"},
      {"knotted, and nobody looked",
       {.object = mine, .waiting = true, .knotted = true},
       "leave finalizers [] on Application demo/a at 7"},
      {"free, but a kind was not listed", {.object = mine, .complete = false}, ""},
      {"takes along what is known, though a kind was not listed",
       {.object = mine, .dependents = {alive}, .complete = false},
       "delete Application demo/c at 7"},
      {"knotted but alive", {.object = alive, .dependents = {alive}, .knotted = true}, ""},
      {"many",
       {.object = mine, .dependents = {alive, subject("d", false, {}), subject("e", false, {})}, .max_deletes = 2},
       "delete Application demo/c at 7; delete Application demo/d at 7; again"},
  };
  for (const auto& c : cases) EXPECT_EQ(to_string(make_plan(c.in, {})), c.plan) << c.what;
}

TEST(GcPlan, DeletesOnlyLivingDependentsAndNeverTwice) {
  Random random(5);
  for (int round = 0; round < 500; ++round) {
    Observed in{.object = subject("o", random.chance(0.8), {kCascade}), .max_deletes = 4};
    for (auto n = random.below(8); n > 0; --n) {
      in.dependents.push_back(subject("d" + std::to_string(n), random.chance(0.5),
                                      random.chance(0.5) ? std::vector{kCascade} : std::vector<std::string>{}));
    }
    const auto plan = make_plan(in, {});
    EXPECT_LE(plan.size(), 5u);
    for (const auto& action : plan) {
      if (const auto* remove = std::get_if<Delete>(&action)) {
        const auto it = std::ranges::find(in.dependents, remove->ref, &Subject::ref);
        ASSERT_NE(it, in.dependents.end());
        EXPECT_FALSE(it->deleted);
        it->deleted = true;
      } else if (std::holds_alternative<DropFinalizer>(action)) {
        EXPECT_TRUE(in.dependents.empty());
      }
    }
    // What is left to do after all of it was carried out: nothing, or the next few.
    const auto next = make_plan(in, {});
    for (const auto& action : next) {
      if (const auto* remove = std::get_if<Delete>(&action)) {
        EXPECT_TRUE(std::ranges::none_of(plan, [&](const Action& a) { return a == Action(*remove); }));
      }
    }
  }
}

}  // namespace
}  // namespace krake::gc
