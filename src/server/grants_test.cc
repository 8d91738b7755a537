#include "server/grants.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "api/registry.h"

namespace krake::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Names = std::vector<std::string>;

Names numbered(std::string_view prefix, int count) {
  Names names;
  for (int i = 0; i < count; ++i) names.push_back(fmt::format("{}{}", prefix, i));
  return names;
}

ObjectOf<RoleBinding> binding(Names users, Names roles) {
  ObjectOf<RoleBinding> object(krake_registry().get("core", "RoleBinding"));
  object.value.metadata.name = "binding";
  object.value.users = std::move(users);
  object.value.roles = std::move(roles);
  return object;
}

ObjectOf<Role> role(std::vector<RoleRule> rules) {
  ObjectOf<Role> object(krake_registry().get("core", "Role"));
  object.value.metadata.name = "role";
  object.value.rules = std::move(rules);
  return object;
}

// alice may get all in kubernetes.
access::RbacIndex index_of_alice() {
  access::RbacIndex index;
  index.upsert_role("own", std::vector<access::Rule>{{"kubernetes", {""}, {""}, {access::Verb::get}}});
  index.upsert_role("other", std::vector<access::Rule>{{"core", {""}, {""}, {access::Verb::get}}});
  index.upsert_binding("alice", Names{"alice"}, Names{"own"});
  return index;
}

std::string judged(const Status& status) { return status ? "" : status.error().message; }

TEST(Grants, ABindingGivesWhatItsRolesGive) {
  const auto index = index_of_alice();
  const auto before = binding({"bob"}, {"other"});
  EXPECT_EQ(judged(check_grant(index, "alice", nullptr, binding({"bob"}, {"own", "own"}))), "");
  EXPECT_THAT(judged(check_grant(index, "alice", nullptr, binding({"bob"}, {"own", "other"}))),
              HasSubstr("role 'other' would give more than 'alice' has: api \"core\", resources [\"\"]"));
  EXPECT_THAT(judged(check_grant(index, "alice", nullptr, binding({"bob"}, {"none"}))), HasSubstr("does not exist"));
  EXPECT_EQ(judged(check_grant(index, "alice", &before, binding({}, {"other"}))), "");
  EXPECT_NE(judged(check_grant(index, "alice", &before, binding({"carol"}, {"other"}))), "");
}

// One by one, this would be some 10^10 comparisons.
TEST(Grants, ManyUsersTakeNoTime) {
  constexpr int kMany = 200'000;
  auto users = numbered("u", kMany);
  const auto before = binding(users, {"other"});
  std::ranges::reverse(users);
  EXPECT_EQ(judged(check_grant(index_of_alice(), "alice", &before, binding(users, {"other"}))), "");
  // A role that is named again and again is compared once.
  const Names again(kMany, "own");
  EXPECT_EQ(judged(check_grant(index_of_alice(), "alice", nullptr, binding({"bob"}, again))), "");
}

TEST(Grants, WhatIsTooMuchToCompareIsRefused) {
  constexpr int kMany = 5'000;
  auto index = index_of_alice();
  std::vector<access::Rule> scattered;
  std::vector<RoleRule> wanted;
  for (const auto& name : numbered("r", kMany)) {
    scattered.push_back({"core", {name}, {"n"}, {access::Verb::get}});
    wanted.push_back({.api = "core", .resources = {name}, .namespaces = {"n"}, .verbs = {Verb::get}});
  }
  index.upsert_role("scattered", scattered);
  index.upsert_binding("bob", Names{"bob"}, Names{"scattered"});
  EXPECT_THAT(judged(check_grant(index, "bob", nullptr, role(wanted))), HasSubstr("too large to be compared"));
  EXPECT_THAT(judged(check_grant(index, "bob", nullptr, binding({"carol"}, {"scattered"}))),
              HasSubstr("too large to be compared"));
  wanted.resize(50);
  EXPECT_EQ(judged(check_grant(index, "bob", nullptr, role(wanted))), "");
}

TEST(Grants, ManyFinalizersTakeNoTime) {
  constexpr int kMany = 200'000;
  ObjectMeta stored;
  stored.finalizers = numbered("f", kMany);
  ObjectMeta wanted = stored;
  std::ranges::reverse(wanted.finalizers);
  EXPECT_THAT(foreign_finalizers("alice", {}, stored, wanted), IsEmpty());
  wanted.finalizers.pop_back();
  stored.finalizers.emplace_back("f0");
  EXPECT_THAT(foreign_finalizers("alice", {}, stored, wanted), ElementsAre("f0"));
}

}  // namespace
}  // namespace krake::server
