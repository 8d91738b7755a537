#include "manifest/apply.h"

#include <gmock/gmock.h>

#include "manifest/field_set.h"
#include "manifest/repair.h"
#include "manifest/testing.h"

namespace krake::manifest {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

json::Value deployment(std::string_view spec, std::string_view labels = "") {
  return value_of(
      fmt::format("{{'apiVersion':'apps/v1','kind':'Deployment','metadata':{{'name':'d'{}{}{}}},'spec':{}}}",
                  labels.empty() ? "" : ",'labels':{", labels, labels.empty() ? "" : "}", spec));
}
Writer writer(std::string_view manager, bool force = false) {
  return {std::string(manager), "2026-01-01T00:00:00Z", force, ""};
}

json::Value fields_of(const json::Value& object, std::string_view manager) {
  const json::Value* entries = object.at_path({"metadata", "managedFields"});
  if (!entries) return nullptr;
  for (const json::Value& entry : *entries->if_array()) {
    if (entry.string_at({"manager"}) == manager) return *entry.at_path({"fieldsV1"});
  }
  return nullptr;
}
json::Value spec_of(const json::Value& object) { return *object.at_path({"spec"}); }

TEST(Apply, CreatesWithTheFieldsOfTheWriter) {
  const Applied result =
      apply(nullptr,
            deployment("{'replicas':2,'e':{},'selector':{'matchLabels':{'a':'b'}},'template':{'spec':{'containers':"
                       "[{'name':'c','image':'i','args':['x'],'ports':[{'containerPort':80}]}]}}}",
                       "'a':'b'"),
            writer("krake"));
  EXPECT_TRUE(result.changed);
  EXPECT_THAT(result.conflicts, IsEmpty());
  const json::Value* entry = &result.object.at_path({"metadata", "managedFields"})->if_array()->front();
  EXPECT_EQ(entry->string_at({"operation"}), "Apply");
  EXPECT_EQ(entry->string_at({"apiVersion"}), "apps/v1");
  EXPECT_EQ(entry->string_at({"fieldsType"}), "FieldsV1");
  EXPECT_EQ(entry->string_at({"time"}), "2026-01-01T00:00:00Z");
  auto expected =
      json::parse(R"({"f:metadata":{"f:labels":{"f:a":{}}},"f:spec":{"f:e":{},"f:replicas":{},"f:selector":{},
      "f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:args":{},"f:image":{},"f:name":{},
      "f:ports":{"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{}}}}}}}}})");
  EXPECT_EQ(fields_of(result.object, "krake"), *expected);
}

TEST(Apply, AgainChangesNothing) {
  const json::Value wanted = deployment("{'replicas':2,'l':[1,2]}", "'a':'b'");
  const Applied first = apply(nullptr, wanted, writer("krake"));
  Writer later = writer("krake");
  later.time = "2027-01-01T00:00:00Z";
  const Applied second = apply(first.object, wanted, later);
  EXPECT_FALSE(second.changed);
  EXPECT_EQ(second.object, first.object);
}

TEST(Apply, RemovesWhatTheManagerNoLongerStates) {
  const Applied first =
      apply(nullptr,
            deployment("{'replicas':2,'probe':{'path':'/'},'template':{'spec':{'containers':[{'name':'a','image':'1'},"
                       "{'name':'b','image':'2'}]}}}",
                       "'x':'1','y':'2'"),
            writer("krake"));
  json::Value live = first.object;
  live.if_object()->find("spec")->if_object()->find("probe")->if_object()->set("timeout", 1);  // a default nobody owns
  const Applied second = apply(
      live, deployment("{'replicas':2,'template':{'spec':{'containers':[{'name':'b'}]}}}", "'y':'2'"), writer("krake"));
  EXPECT_EQ(spec_of(second.object), value_of("{'replicas':2,'template':{'spec':{'containers':[{'name':'b'}]}}}"));
  EXPECT_EQ(*second.object.at_path({"metadata", "labels"}), value_of("{'y':'2'}"));
  // Without any labels the rest of the metadata stays.
  const Applied third = apply(second.object, deployment("{'replicas':2}"), writer("krake"));
  EXPECT_EQ(third.object.string_at({"metadata", "name"}), "d");
  EXPECT_EQ(third.object.at_path({"metadata", "labels"}), nullptr);
  EXPECT_EQ(spec_of(third.object), value_of("{'replicas':2}"));
}

TEST(Apply, LeavesWhatOthersOwn) {
  const Applied ours =
      apply(nullptr, deployment("{'a':1,'m':{'x':1,'z':1},'containers':[{'name':'c','image':'i'}]}"), writer("krake"));
  const Applied theirs = apply(
      ours.object, deployment("{'m':{'x':1,'y':2},'containers':[{'name':'side','image':'s'},{'name':'c','tty':true}]}"),
      writer("other"));
  ASSERT_THAT(theirs.conflicts, IsEmpty());
  EXPECT_EQ(spec_of(theirs.object), value_of("{'a':1,'m':{'x':1,'z':1,'y':2},'containers':[{'name':'side','image':'s'},"
                                             "{'name':'c','image':'i','tty':true}]}"));
  const Applied dropped = apply(theirs.object, deployment("{'a':1}"), writer("krake"));
  EXPECT_EQ(spec_of(dropped.object),
            value_of("{'a':1,'m':{'x':1,'y':2},'containers':[{'name':'side','image':'s'},{'name':'c','tty':true}]}"));
}

TEST(Apply, ReportsConflictsAndForceTakesTheField) {
  const Applied ours = apply(nullptr, deployment("{'replicas':2,'l':[1]}"), writer("krake"));
  const Applied refused = apply(ours.object, deployment("{'replicas':5,'l':[1,2]}"), writer("other"));
  EXPECT_THAT(refused.conflicts,
              ElementsAre(FieldConflict{"krake", ".spec.l"}, FieldConflict{"krake", ".spec.replicas"}));
  EXPECT_EQ(refused.object, ours.object);
  EXPECT_FALSE(refused.changed);
  const Applied same = apply(ours.object, deployment("{'replicas':2}"), writer("other"));
  EXPECT_THAT(same.conflicts, IsEmpty());  // the same value is shared, not fought over
  const Applied forced = apply(ours.object, deployment("{'replicas':5}"), writer("other", true));
  EXPECT_EQ(forced.object.int_at({"spec", "replicas"}), 5);
  EXPECT_EQ(fields_of(forced.object, "krake"), value_of("{'f:spec':{'f:l':{}}}"));
  EXPECT_EQ(fields_of(forced.object, "other"), value_of("{'f:spec':{'f:replicas':{}}}"));
  // Lost fields do not come back by omission, nor are they removed.
  const Applied again = apply(forced.object, deployment("{'l':[1]}"), writer("krake"));
  EXPECT_EQ(again.object.int_at({"spec", "replicas"}), 5);
}

TEST(Apply, MergesSetsAndReplacesAtomicLists) {
  const json::Value one =
      value_of("{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p','finalizers':['a','b']},'spec':{'args':[1]}}");
  const json::Value two =
      value_of("{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p','finalizers':['c']},'spec':{'args':[2]}}");
  const Applied first = apply(nullptr, one, writer("a"));
  const Applied second = apply(first.object, two, writer("b", true));
  EXPECT_EQ(*second.object.at_path({"metadata", "finalizers"}), value_of("['a','b','c']"));
  EXPECT_EQ(*second.object.at_path({"spec", "args"}), value_of("[2]"));
  const Applied third =
      apply(second.object, value_of("{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p','finalizers':['b']}}"),
            writer("a"));
  EXPECT_EQ(*third.object.at_path({"metadata", "finalizers"}), value_of("['b','c']"));
}

TEST(Apply, CannotWriteWhatBelongsToTheServer) {
  json::Value live = deployment("{'a':1}");
  live.if_object()->find("metadata")->if_object()->set("uid", "u1");
  json::Value wanted = deployment("{'a':2,'n':null}");
  wanted.if_object()->find("metadata")->if_object()->set("uid", "u2");
  wanted.if_object()->find("metadata")->if_object()->set("resourceVersion", "7");
  const Applied result = apply(live, wanted, writer("krake"));
  EXPECT_EQ(result.object.string_at({"metadata", "uid"}), "u1");
  EXPECT_EQ(result.object.at_path({"metadata", "resourceVersion"}), nullptr);
  EXPECT_EQ(spec_of(result.object), value_of("{'a':2}"));
}

json::Value updated(const json::Value& before, json::Value after, std::string_view manager) {
  after.make_object()["metadata"].make_object().set("managedFields",
                                                    ownership_after_update(before, after, writer(manager)));
  return after;
}

TEST(Ownership, UpdatesTakeWhatTheyChange) {
  const Applied ours =
      apply(nullptr, deployment("{'replicas':2,'image':'i','containers':[{'name':'c'}]}"), writer("krake"));
  json::Value after = ours.object;
  after.if_object()->set("spec", value_of("{'replicas':5,'containers':[{'name':'c'}],'new':{'x':1}}"));
  const json::Value live = updated(ours.object, after, "kubectl");
  EXPECT_EQ(fields_of(live, "kubectl"), value_of("{'f:spec':{'f:replicas':{},'f:new':{'f:x':{}}}}"));
  auto kept = json::parse(R"({"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:name":{}}}}})");
  EXPECT_EQ(fields_of(live, "krake"), *kept);
  const Applied refused = apply(live, deployment("{'replicas':2}"), writer("krake"));
  EXPECT_THAT(refused.conflicts, ElementsAre(FieldConflict{"kubectl", ".spec.replicas"}));
}

TEST(Ownership, CreationOwnsEverythingAndRemovalDisowns) {
  const json::Value created =
      updated(nullptr, deployment("{'a':1,'containers':[{'name':'c','image':'i'},{'name':'d'}]}"), "kubectl");
  json::Value after = created;
  after.if_object()->set("spec", value_of("{'containers':[{'name':'d'}]}"));
  const json::Value live = updated(created, after, "other");
  auto kept = json::parse(R"({"f:spec":{"f:containers":{"k:{\"name\":\"d\"}":{".":{},"f:name":{}}}}})");
  EXPECT_EQ(fields_of(live, "kubectl"), *kept);
  EXPECT_EQ(fields_of(live, "other"), nullptr);
}

TEST(Ownership, AClientMayResetIt) {
  const Applied ours = apply(nullptr, deployment("{'a':1}"), writer("krake"));
  json::Value after = ours.object;
  after.if_object()->find("metadata")->if_object()->set("managedFields", value_of("[{}]"));
  EXPECT_THAT(ownership_after_update(ours.object, after, writer("x")), IsEmpty());
}

TEST(Ownership, AdoptedUpdatesAreRemovedByOmission) {
  json::Value live = updated(nullptr, deployment("{'a':1,'b':2}"), "python");
  const json::Array adopted =
      adopt_updates(*live.at_path({"metadata", "managedFields"})->if_array(), "python", "krake");
  ASSERT_EQ(adopted.size(), 1U);
  EXPECT_EQ(adopted[0].string_at({"operation"}), "Apply");
  EXPECT_EQ(adopted[0].string_at({"manager"}), "krake");
  live.if_object()->find("metadata")->if_object()->set("managedFields", adopted);
  EXPECT_EQ(spec_of(apply(live, deployment("{'a':1}"), writer("krake")).object), value_of("{'a':1}"));
  EXPECT_EQ(json::Value(adopt_updates(adopted, "python", "krake")), json::Value(adopted));
}

TEST(FieldSet, SurvivesPrintingAndParsing) {
  Random random(21);
  for (int i = 0; i < 300; ++i) {
    json::Value object = deployment("{}");
    object.if_object()->set("spec", random_value(random, 5));
    const FieldSet set = fields_of_object(object);
    ASSERT_EQ(parse_fields(print_fields(set)), set) << json::print(object);
  }
}

TEST(Apply, IsIdempotentAndExactOnRandomObjects) {
  Random random(23);
  for (int i = 0; i < 2000; ++i) {
    const auto random_object = [&] {
      json::Value object = deployment("{}");
      object.if_object()->set("spec", random_value(random, 4));
      object.if_object()->set("data", random_value(random, 3));
      return apply_body(object);
    };
    const json::Value a = random_object();
    const json::Value b = random_object();
    const Applied first = apply(nullptr, a, writer("a"));
    // Replacing one's own object gives exactly the new one.
    const Applied replaced = apply(first.object, b, writer("a"));
    ASSERT_THAT(replaced.conflicts, IsEmpty());
    ASSERT_FALSE(apply(replaced.object, b, writer("a")).changed) << json::print(a) << "\n" << json::print(b);
    // Another manager by force, twice; then the first one gives up everything.
    const Applied forced = apply(first.object, b, writer("b", true));
    ASSERT_THAT(forced.conflicts, IsEmpty());
    ASSERT_FALSE(apply(forced.object, b, writer("b", true)).changed) << json::print(a) << "\n" << json::print(b);
    ASSERT_THAT(apply(forced.object, b, writer("b")).conflicts, IsEmpty());
    json::Value nothing = deployment("{}");
    nothing.if_object()->erase("spec");
    const Applied left = apply(forced.object, nothing, writer("a"));
    ASSERT_FALSE(apply(left.object, b, writer("b")).changed) << json::print(a) << "\n" << json::print(b);
  }
}

}  // namespace
}  // namespace krake::manifest
