#include "placement/snapshot.h"

#include <gtest/gtest.h>

namespace krake::placement {
namespace {

Candidate candidate(std::string id) {
  Candidate c;
  c.id = std::move(id);
  c.labels = {{"site", "x"}};
  c.custom_resources = {"crd"};
  c.metrics = {{"load", 2, 0.5, ""}};
  return c;
}

TEST(Snapshot, RefusesACandidateWithoutIdAndOneTooMany) {
  Snapshot snapshot({.max_candidates = 1});
  const auto nameless = snapshot.upsert(candidate(""));
  ASSERT_FALSE(nameless);
  EXPECT_EQ(nameless.error().code, Code::invalid_argument);
  ASSERT_TRUE(snapshot.upsert(candidate("demo/a")));
  ASSERT_TRUE(snapshot.upsert(candidate("demo/a")));
  const auto more = snapshot.upsert(candidate("demo/b"));
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error(), (Error{Code::too_large, "demo/b: already 1 candidates, at most 1 are compared"}));
  EXPECT_EQ(snapshot.size(), 1U);
  EXPECT_FALSE(Snapshot::build({candidate("a"), candidate("b")}, {.max_candidates = 1}));
}

TEST(Snapshot, KeepsItsLayoutWhenOnlyNumbersChange) {
  Snapshot snapshot = Snapshot::build({candidate("demo/a"), candidate("demo/b")}).value();
  const auto layout = snapshot.layout();
  Candidate changed = candidate("demo/a");
  changed.metrics[0].normalized_value = 0.9;
  changed.state_online = false;
  ASSERT_TRUE(snapshot.upsert(changed));
  ASSERT_TRUE(snapshot.set_application_count("demo/b", 7));
  ASSERT_TRUE(snapshot.set_penalty("demo/b", {.failures = 1}));
  EXPECT_EQ(snapshot.layout(), layout);
  EXPECT_EQ(snapshot.find("demo/b")->application_count, 7U);
  changed.labels = {{"site", "y"}};
  ASSERT_TRUE(snapshot.upsert(changed));
  EXPECT_NE(snapshot.layout(), layout);
}

TEST(Snapshot, ForgetsNamesNobodyUsesAnyMore) {
  Snapshot snapshot;
  for (int i = 0; i < 1000; ++i) {
    Candidate c = candidate("ns" + std::to_string(i) + "/a");
    c.labels = {{"key" + std::to_string(i), std::to_string(i)}};
    c.metrics[0].name = "metric" + std::to_string(i);
    c.custom_resources = {"crd" + std::to_string(i)};
    ASSERT_TRUE(snapshot.upsert(c));
    ASSERT_TRUE(snapshot.remove(c.id));
  }
  EXPECT_EQ(snapshot.size(), 0U);
  EXPECT_FALSE(snapshot.label_key("key5"));
  EXPECT_FALSE(snapshot.custom_resource("crd5"));
  EXPECT_FALSE(snapshot.ns("ns5"));
  EXPECT_FALSE(snapshot.metric("metric5"));
  ASSERT_TRUE(snapshot.upsert(candidate("demo/a")));
  // Slots, bitmaps (namespace, custom resource, key, value) and columns were all reused.
  EXPECT_EQ(snapshot.slot_of("demo/a"), 0U);
  EXPECT_LT(*snapshot.label_value("site", "x"), 4U);
  EXPECT_EQ(*snapshot.metric("load"), 0U);
}

TEST(Snapshot, LeavesNoTraceOfWhatWasRemoved) {
  Snapshot snapshot = Snapshot::build({candidate("demo/a")}).value();
  ASSERT_TRUE(snapshot.set_penalty("demo/a", {.failures = 1, .back_off_until = Wall(std::chrono::seconds(9))}));
  ASSERT_TRUE(snapshot.remove("demo/a"));
  EXPECT_FALSE(snapshot.remove("demo/a"));
  EXPECT_FALSE(snapshot.eligible().any());
  EXPECT_FALSE(snapshot.with_metrics().any());
  EXPECT_TRUE(snapshot.penalised().empty());
  EXPECT_TRUE(snapshot.order().empty());
  EXPECT_EQ(snapshot.find("demo/a"), nullptr);
}

TEST(Snapshot, GrowsPastItsFirstWords) {
  Snapshot snapshot;
  for (int i = 0; i < 300; ++i) {
    Candidate c = candidate("demo/c" + std::to_string(i));
    c.metrics[0].normalized_value = i / 1000.0;
    ASSERT_TRUE(snapshot.upsert(c));
  }
  EXPECT_EQ(snapshot.eligible().count(), 300U);
  EXPECT_EQ(snapshot.bitmap(*snapshot.label_value("site", "x")).count(), 300U);
  const auto slot = snapshot.slot_of("demo/c299").value();
  EXPECT_EQ(snapshot.rank(slot), 0U);
  EXPECT_DOUBLE_EQ(snapshot.column(*snapshot.metric("load"))[slot], 2 * 0.299);
}

TEST(Snapshot, ListsACandidateInBackOffOnce) {
  Snapshot snapshot = Snapshot::build({candidate("demo/a"), candidate("demo/b")}).value();
  for (int i = 1; i < 5; ++i) {
    ASSERT_TRUE(snapshot.set_penalty("demo/a", {.failures = i, .back_off_until = Wall(std::chrono::seconds(i))}));
  }
  EXPECT_EQ(snapshot.penalised().size(), 1U);
  ASSERT_TRUE(snapshot.set_penalty("demo/a", {}));
  EXPECT_TRUE(snapshot.penalised().empty());
  EXPECT_FALSE(snapshot.set_penalty("demo/nobody", {}));
}

TEST(Snapshot, OfACopyGoesItsOwnWay) {
  Snapshot one = Snapshot::build({candidate("demo/a")}).value();
  const Snapshot two = one;
  EXPECT_EQ(one.layout(), two.layout());
  Candidate c = candidate("demo/b");
  c.labels = {{"other", "y"}};
  ASSERT_TRUE(one.upsert(c));
  EXPECT_NE(one.layout(), two.layout());
  EXPECT_EQ(two.size(), 1U);
}

TEST(Snapshot, ReadsTheNamespaceFromTheId) {
  EXPECT_EQ(namespace_of("demo/a"), "demo");
  EXPECT_EQ(namespace_of("a"), "");
}

}  // namespace
}  // namespace krake::placement
