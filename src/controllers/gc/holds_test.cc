#include "controllers/gc/holds.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/registry.h"

namespace krake::gc {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

ResourceRef cluster(std::string name, std::string ns = "demo") {
  return {.api = "kubernetes", .namespace_ = std::move(ns), .kind = "Cluster", .name = std::move(name)};
}

std::vector<std::string> held(std::string_view kind, std::string status, std::vector<ResourceRef> owners) {
  std::ranges::replace(status, '\'', '"');
  ObjectMeta meta{.name = "a"};
  meta.namespace_ = "demo";
  meta.owners = std::move(owners);
  const auto object = json::parse("{\"status\":" + status + "}").value();
  std::vector<std::string> names;
  for (const auto& ref : held_by(krake_registry().get("kubernetes", kind), object, meta))
    names.push_back(*ref.namespace_ + "/" + ref.name);
  return names;
}

std::string at(std::string_view name, std::string_view ns = "demo") {
  return fmt::format("{{'api':'kubernetes','namespace':'{}','kind':'Cluster','name':'{}'}}", ns, name);
}

TEST(Holds, AreTheClustersAnApplicationHasLeft) {
  const std::vector<ResourceRef> both{cluster("c1"), cluster("c2")};
  const auto status = [](const std::string& on, const std::string& to, const std::string& cleanup = "null") {
    return fmt::format("{{'running_on':{},'scheduled_to':{},'cleanup':{}}}", on, to, cleanup);
  };
  const auto left = [](const std::string& place) { return "[{'cluster':" + place + ",'objects':[]}]"; };
  EXPECT_THAT(held("Application", status(at("c2"), at("c2")), both), ElementsAre("demo/c1"));
  // It runs there, or is to, or nobody knows.
  EXPECT_THAT(held("Application", status(at("c1"), at("c2")), both), IsEmpty());
  EXPECT_THAT(held("Application", status("null", "null"), both), IsEmpty());
  EXPECT_THAT(held("Application", "{}", both), IsEmpty());
  EXPECT_THAT(held("Application", status("null", at("c2")), both), ElementsAre("demo/c1"));
  // What lies there still, once and of its own namespace only; where it runs it goes with the cluster.
  EXPECT_THAT(held("Application", status(at("c2"), at("c2"), left(at("c1"))), both), ElementsAre("demo/c1"));
  EXPECT_THAT(held("Application", status(at("c2"), at("c2"), left(at("c3"))), {cluster("c2")}), ElementsAre("demo/c3"));
  EXPECT_THAT(held("Application", status(at("c2"), at("c2"), left(at("c2"))), {cluster("c2")}), IsEmpty());
  EXPECT_THAT(held("Application", status(at("c2"), at("c2"), left(at("c1", "other"))), {cluster("c2")}), IsEmpty());
  // Other owners, other kinds, and what is no reference.
  const ResourceRef app{.api = "kubernetes", .namespace_ = "demo", .kind = "Application", .name = "b"};
  EXPECT_THAT(held("Application", status(at("c2"), at("c2")), {app}), IsEmpty());
  EXPECT_THAT(held("Cluster", status(at("c2"), at("c2"), left(at("c1"))), both), IsEmpty());
  EXPECT_THAT(held("Application", "{'running_on':5,'scheduled_to':'c2','cleanup':[1,{},{'cluster':{}}]}", both),
              IsEmpty());
}

}  // namespace
}  // namespace krake::gc
