// P19: a new API group is a folder with its kinds, registered in one place; nothing in the core changes.
#include <gtest/gtest.h>

#include "server/testing.h"

namespace krake {
namespace {

BOOST_DEFINE_ENUM_CLASS(ShipState, AT_SEA, MOORED)

struct ShipSpec {
  std::string port;
  Integer decks = 1;
  Unknown unknown;
  static constexpr FieldMark kMarks[] = {{"port", kRequired}};
  friend bool operator==(const ShipSpec&, const ShipSpec&) = default;
};
BOOST_DESCRIBE_STRUCT(ShipSpec, (), (port, decks))
struct ShipStatus {
  ShipState state = ShipState::AT_SEA;
  Unknown unknown;
  friend bool operator==(const ShipStatus&, const ShipStatus&) = default;
};
BOOST_DESCRIBE_STRUCT(ShipStatus, (), (state))
struct Ship {
  static constexpr std::string_view kApi = "harbour", kKindName = "Ship", kPlural = "ships";
  static constexpr bool kNamespaced = true;
  ObjectMeta metadata;
  ShipSpec spec;
  ShipStatus status;
  Unknown unknown;
  static constexpr FieldMark kMarks[] = {
      {"metadata", kRequired}, {"spec", kRequired}, {"status", kRequired | kSubresource}};
  friend bool operator==(const Ship&, const Ship&) = default;
};
BOOST_DESCRIBE_STRUCT(Ship, (), (metadata, spec, status))

TEST(ExampleGroup, IsServedLikeTheBuiltInOnes) {
  Registry registry;
  register_core(registry);
  registry.add(make_kind<Ship>());
  testing::TestServer t(testing::TestServer::open_to_all(), registry);
  const std::string ships = "/harbour/namespaces/north/ships";
  EXPECT_EQ(t.call("POST", ships, R"({"metadata":{"name":"anna"},"spec":{"port":"Kiel"}})").status, 200);
  EXPECT_EQ(t.call("PATCH", ships + "/anna/status", R"({"status":{"state":"MOORED"}})").status, 200);
  auto ship = t.get(ships + "/anna");
  EXPECT_EQ(ship.string_at({"status", "state"}), "MOORED");
  EXPECT_EQ(t.get("/harbour/ships").at_path({"items"})->if_array()->size(), 1u);
  EXPECT_EQ(t.call("DELETE", ships + "/anna").status, 200);
  EXPECT_EQ(t.call("PATCH", ships + "/anna", R"({"metadata":{"finalizers":[]}})").status, 200);
  EXPECT_EQ(t.call("GET", ships + "/anna").status, 404);
}

}  // namespace
}  // namespace krake
