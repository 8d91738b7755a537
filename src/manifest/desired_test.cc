#include "manifest/desired.h"

#include "manifest/schema.h"
#include "manifest/testing.h"

namespace krake::manifest {
namespace {

std::string pod(std::string_view spec) {
  return fmt::format("{{'apiVersion':'v1','kind':'Pod','metadata':{{'name':'p'}},'spec':{}}}", spec);
}
json::Array pods(std::string_view spec) { return {value_of(pod(spec))}; }

TEST(LastApplied, TheManifestWins) {
  const json::Array manifest = pods("{'a':1,'m':{'x':2}}");
  EXPECT_EQ(last_applied_manifest(manifest, mangle({}, manifest), pods("{'a':9,'m':{'x':8}}"), "d")[0], manifest[0]);
}

TEST(LastApplied, DefaultSchemaDropsDroppedFields) {
  const json::Array manifest = pods("{'a':1}");
  EXPECT_EQ(last_applied_manifest(manifest, mangle({}, manifest), pods("{'a':1,'b':2,'m':{'x':1}}"), "d")[0],
            manifest[0]);
}

TEST(LastApplied, CustomSchemaKeepsTheLastValue) {
  const json::Array custom = pods(
      "{'b':null,'m':{'x':null},'containers':[{'image':null},"
      "{'observer_schema_list_min_length':0,'observer_schema_list_max_length':0}]}");
  const json::Array previous =
      pods("{'b':2,'c':3,'m':{'x':1,'y':1},'containers':[{'name':'z'},{'name':'c','image':'i'}]}");
  const json::Array manifest = pods("{'a':1,'m':{'z':5},'containers':[{'name':'c'}]}");
  EXPECT_EQ(last_applied_manifest(manifest, custom, previous, "d")[0],
            value_of(pod("{'a':1,'m':{'z':5,'x':1},'containers':[{'name':'c','image':'i'}],'b':2}")));
}

TEST(LastApplied, CarriedListItemsStayWithTheirKey) {
  const json::Array custom =
      pods("{'l':[null,{'x':null},{'observer_schema_list_min_length':0,'observer_schema_list_max_length':0}]}");
  EXPECT_EQ(last_applied_manifest(pods("{'l':[7]}"), custom, pods("{'l':[1,{'x':2,'y':3},4]}"), "d")[0],
            value_of(pod("{'l':[7,{'x':2}]}")));
}

TEST(LastApplied, AnObservedObjectThatIsNotInTheManifestComesBack) {
  const json::Array custom = array_of("[{'apiVersion':'v1','kind':'Pod','metadata':{'name':'q'},'spec':{'a':null}}]");
  const json::Array previous = array_of(
      "[{'apiVersion':'v1','kind':'Pod','metadata':{'name':'q','namespace':'n','labels':{'l':'m'}},'spec':{'a':1,'b':2}"
      "},"
      "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'r'}}]");
  const json::Array manifest = pods("{'a':1}");
  const json::Array applied = last_applied_manifest(manifest, mangle(custom, manifest), previous, "d");
  ASSERT_EQ(applied.size(), 2U);
  EXPECT_EQ(applied[1],
            value_of("{'apiVersion':'v1','kind':'Pod','metadata':{'name':'q','namespace':'n'},'spec':{'a':1}}"));
}

TEST(LastApplied, ObjectsOfOtherNamespacesDoNotMix) {
  const json::Array custom = array_of("[{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p'},'spec':{'b':null}}]");
  const json::Array manifest = array_of(
      "[{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p','namespace':'x'},'spec':{}},"
      "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p','namespace':'y'},'spec':{}}]");
  json::Array previous = manifest;
  previous[1].if_object()->set("spec", object_of("{'b':4}"));
  const json::Array applied = last_applied_manifest(manifest, mangle(custom, manifest), previous, "d");
  EXPECT_EQ(applied[0].at_path({"spec", "b"}), nullptr);
  EXPECT_EQ(applied[1].int_at({"spec", "b"}), 4);
}

TEST(CompleteFromReply, FillsObservedFieldsThatAreMissing) {
  const json::Value entry =
      value_of(pod("{'a':null,'b':null,'myKey':{'README.md':null},'gone':null,'l':[null,null,"
                   "{'observer_schema_list_min_length':0,'observer_schema_list_max_length':0}]}"));
  json::Value applied = value_of(pod("{'a':1,'l':[1]}"));
  complete_from_reply(applied, entry,
                      value_of(pod("{'a':9,'b':2,'c':3,'myKey':{'README.md':'t','other':1},'gone':null,'l':[5,6,7]}")));
  EXPECT_EQ(applied, value_of(pod("{'a':1,'l':[1,6],'b':2,'myKey':{'README.md':'t'}}")));
}

TEST(CompleteFromReply, LeavesStatusAloneAndChangesNothingUnderTheDefaultSchema) {
  const json::Value service = value_of(
      "{'apiVersion':'v1','kind':'Service','metadata':{'name':'s'},'spec':{'type':'LoadBalancer','ports':[{'port':1}]}"
      "}");
  json::Value applied = service;
  json::Value reply = service;
  reply.if_object()->set("status", value_of("{'loadBalancer':{'ingress':[{'ip':'1.2.3.4'}]}}"));
  reply.if_object()->find("spec")->if_object()->set("clusterIP", "10.0.0.1");
  complete_from_reply(applied, default_entry(service), reply);
  EXPECT_EQ(applied, service);
}

TEST(LastObserved, HasExactlyTheObservedFields) {
  const json::Value entry =
      value_of(pod("{'a':null,'absent':null,'m':{'x':null},'none':{'y':null},'l':[null,{'x':null},null,"
                   "{'observer_schema_list_min_length':0,'observer_schema_list_max_length':0}],'empty':["
                   "{'observer_schema_list_min_length':0,'observer_schema_list_max_length':0}]}"));
  EXPECT_EQ(
      observed_fields(value_of(pod("{'a':{'whole':1},'m':{'x':1,'y':2},'l':[1,{'x':2,'z':1}],'extra':1}")), entry),
      value_of(pod("{'a':{'whole':1},'absent':null,'m':{'x':1},'none':{'y':null},"
                   "'l':[1,{'x':2},{'observer_schema_list_current_length':2}],"
                   "'empty':[{'observer_schema_list_current_length':0}]}")));
}

TEST(LastObserved, KeepsTheOrderAndSkipsUnknownObjects) {
  const json::Array live = array_of(
      "[{'apiVersion':'v1','kind':'Pod','metadata':{'name':'b','uid':'u'}},"
      "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'x'}},"
      "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'a'}}]");
  const json::Array schema = array_of(
      "[{'apiVersion':'v1','kind':'Pod','metadata':{'name':'a'}},{'apiVersion':'v1','kind':'Pod','metadata':{'name':'b'"
      "}}]");
  const json::Array seen = last_observed_manifest(live, schema);
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_EQ(seen[0].string_at({"metadata", "name"}), "b");
  EXPECT_EQ(seen[0].at_path({"metadata", "uid"}), nullptr);
  EXPECT_EQ(seen[1].string_at({"metadata", "name"}), "a");
}

TEST(Desired, IsIdempotentOnRandomObjects) {
  Random random(5);
  for (int i = 0; i < 500; ++i) {
    const json::Array manifest = pods(json::print(random_value(random, 4)));
    const json::Array custom = pods(json::print(default_entry(random_value(random, 4))));
    const json::Array previous = pods(json::print(random_value(random, 4)));
    const json::Array once = last_applied_manifest(manifest, custom, previous, "d");
    ASSERT_EQ(last_applied_manifest(once, custom, previous, "d")[0], once[0]);
    ASSERT_EQ(last_applied_manifest(manifest, mangle({}, manifest), previous, "d")[0], manifest[0]);
    json::Value completed = manifest[0];
    complete_from_reply(completed, default_entry(manifest[0]), previous[0]);
    ASSERT_EQ(completed, manifest[0]);
    last_observed_manifest(previous, custom);
  }
}

}  // namespace
}  // namespace krake::manifest
