// The deepest manifests go through all that compares, mends and applies them, on half of the stack that programs have.
#include "base/testing.h"
#include "manifest/apply.h"
#include "manifest/desired.h"
#include "manifest/diff.h"
#include "manifest/field_set.h"
#include "manifest/repair.h"
#include "manifest/schema.h"
#include "manifest/testing.h"
#include "manifest/validate.h"

namespace krake::manifest {
namespace {

using krake::testing::nested;
using krake::testing::on_stack;

constexpr std::size_t kStack = std::size_t{4} << 20;
constexpr std::size_t kDeepest = 1000;  // more than a body of the API can have

json::Value object_with(const std::string& deep) {
  return json::parse(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"m"},"x":)" + deep + "}").value();
}

void go_through(char shape) {
  const auto desired = object_with(nested(shape, kDeepest));
  const auto live = object_with(nested(shape, kDeepest, "\"other\""));
  const auto entry = default_entry(desired);
  const json::Array objects{desired};
  EXPECT_FALSE(diff(desired, live, entry).empty());
  EXPECT_TRUE(diff(desired, desired, entry).empty());
  EXPECT_EQ(apply_body(desired), desired);
  json::Value repaired = live;
  json::merge_patch(repaired, repair_body(desired, live, entry));
  EXPECT_TRUE(diff(desired, repaired, entry).empty());
  json::Value versioned = live;
  versioned.make_object()["metadata"].make_object().set("resourceVersion", "1");
  replace_lists_patch(desired, versioned, entry, &live);
  surplus_patch(desired, live, entry, &live);
  EXPECT_FALSE(check_numbers(desired));
  EXPECT_TRUE(check_numbers(object_with(nested(shape, kDeepest, "NaN"))));

  const auto schema = mangle({}, objects);
  EXPECT_EQ(last_applied_manifest(objects, schema, {live}, "default").size(), 1U);
  EXPECT_EQ(last_observed_manifest({live}, schema).size(), 1U);
  const auto observed = object_with(nested('{', kDeepest, "null"));
  const auto mangled = mangle({observed}, {object_with(nested('{', kDeepest))});
  EXPECT_EQ(mangled.size(), 1U);
  EXPECT_FALSE(check_observer_schema(std::vector{*observed.if_object()}, std::vector{*desired.if_object()}));
  observed_fields(object_with(nested('{', kDeepest)), mangled.front());

  const Writer writer{.manager = "krake", .time = "2026-01-01T00:00:00Z"};
  const auto created = apply({}, live, writer);
  ASSERT_TRUE(created.conflicts.empty());
  const auto changed = apply(created.object, desired, writer);
  EXPECT_TRUE(changed.conflicts.empty());
  EXPECT_TRUE(diff(desired, changed.object, entry).empty());
  EXPECT_FALSE(ownership_after_update(created.object, changed.object, {.manager = "x", .time = writer.time}).empty());
  EXPECT_FALSE(changes_between(live, desired).set.empty());
}

TEST(Depth, TheDeepestManifestsAreHandled) {
  for (const char shape : {'[', '{', 'x'}) on_stack(kStack, [shape] { go_through(shape); });
}

}  // namespace
}  // namespace krake::manifest
