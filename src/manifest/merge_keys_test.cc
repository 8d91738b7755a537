#include "manifest/merge_keys.h"

#include "manifest/testing.h"

namespace krake::manifest {
namespace {

TEST(MergeKeys, SpellsKeysAsManagedFieldsDo) {
  const ListKind ports = list_kind({"Deployment", "containers", "ports"});
  EXPECT_EQ(item_key(ports, value_of("{'containerPort':80}")), R"({"containerPort":80,"protocol":"TCP"})");
  EXPECT_EQ(item_key(ports, value_of("{'protocol':'UDP','containerPort':53}")),
            R"({"containerPort":53,"protocol":"UDP"})");
  EXPECT_EQ(item_key(ports, value_of("{'protocol':'UDP'}")), std::nullopt);
  EXPECT_EQ(item_key(list_kind({"Service", "spec", "ports"}), value_of("{'port':1}")),
            R"({"port":1,"protocol":"TCP"})");
  EXPECT_EQ(item_key(list_kind({"Pod", "containers", "volumeMounts"}), value_of("{'mountPath':'/a'}")),
            R"({"mountPath":"/a"})");
  EXPECT_EQ(item_key(list_kind({"Pod", "spec", "containers"}), value_of("7")), std::nullopt);
}

TEST(MergeKeys, DependOnWhereTheListIs) {
  EXPECT_EQ(list_kind({"NetworkPolicy", "ingress", "ports"}).type, ListType::atomic);
  EXPECT_EQ(list_kind({"Pod", "containers", "args"}).type, ListType::atomic);
  EXPECT_EQ(list_kind({"Pod", "metadata", "finalizers"}).type, ListType::set);
  EXPECT_EQ(list_kind({"Namespace", "spec", "finalizers"}).type, ListType::atomic);
}

TEST(MergeKeys, PairItemsByKeyAndElseByIndex) {
  using Indices = std::vector<std::size_t>;
  const ListKind containers = list_kind({"Pod", "spec", "containers"});
  EXPECT_EQ(counterparts(containers, array_of("[{'name':'a'},{'name':'b'},{'name':'c'}]"),
                         array_of("[{'name':'c'},{'name':'a'}]")),
            (Indices{1, kNoItem, 0}));
  // A repeated key makes keys useless.
  EXPECT_EQ(counterparts(containers, array_of("[{'name':'a'},{'name':'a'}]"), array_of("[{'name':'b'}]")),
            (Indices{0, kNoItem}));
  EXPECT_EQ(counterparts(list_kind({"Pod", "metadata", "finalizers"}), array_of("['x','y']"), array_of("['y']")),
            (Indices{kNoItem, 0}));
}

}  // namespace
}  // namespace krake::manifest
