#include "manifest/schema.h"

#include "manifest/testing.h"
#include "manifest/validate.h"

namespace krake::manifest {
namespace {

constexpr std::string_view kDeployment =
    "{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'web','labels':{'a.b/Cd':'e'}},"
    "'spec':{'replicas':2,'list':[],'containers':[{'name':'c','args':['x','y']}]}}";

TEST(Schema, DefaultEntryObservesEverythingStated) {
  EXPECT_EQ(default_entry(value_of(kDeployment)),
            value_of("{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'web','labels':{'a.b/Cd':null}},"
                     "'spec':{'replicas':null,"
                     "'list':[{'observer_schema_list_min_length':0,'observer_schema_list_max_length':0}],"
                     "'containers':[{'name':null,'args':[null,null,{'observer_schema_list_min_length':2,"
                     "'observer_schema_list_max_length':2}]},{'observer_schema_list_min_length':1,"
                     "'observer_schema_list_max_length':1}]}}"));
}

TEST(Schema, DefaultEntryOfALoadBalancerObservesItsIngress) {
  const json::Value entry = default_entry(value_of(
      "{'apiVersion':'v1','kind':'Service','metadata':{'name':'s','namespace':'n'},'spec':{'type':'LoadBalancer'}}"));
  EXPECT_EQ(entry, value_of("{'apiVersion':'v1','kind':'Service','metadata':{'name':'s','namespace':null},"
                            "'spec':{'type':null},'status':{'loadBalancer':{'ingress':null}}}"));
}

TEST(Schema, DefaultEntriesPassTheValidation) {
  const json::Value manifest = value_of(kDeployment);
  const json::Value entry = default_entry(manifest);
  EXPECT_EQ(check_observer_schema({entry.if_object(), 1}, {manifest.if_object(), 1}), std::nullopt);
}

TEST(Schema, MangleKeepsCustomEntriesFirst) {
  const json::Array manifest = array_of(
      "[{'apiVersion':'v1','kind':'Pod','metadata':{'name':'a'},'spec':{}},"
      "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'b'},'spec':{'x':1}},"
      "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'c'}}]");
  const json::Array custom = array_of("[{'apiVersion':'v1','kind':'Pod','metadata':{'name':'b'},'spec':{'y':null}}]");
  const json::Array mangled = mangle(custom, manifest);
  ASSERT_EQ(mangled.size(), 3U);
  EXPECT_EQ(mangled[0], custom[0]);
  EXPECT_EQ(mangled[1], default_entry(manifest[0]));
  EXPECT_EQ(mangled[2], default_entry(manifest[2]));
  EXPECT_EQ(mangle(mangled, manifest), mangled);
}

TEST(Schema, ObjectsThatDifferOnlyInNamespaceHaveTheirOwnDefaultEntries) {
  const json::Array manifest = array_of(
      "[{'apiVersion':'v1','kind':'Pod','metadata':{'name':'a','namespace':'x'},'spec':{'p':1}},"
      "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'a','namespace':'y'},'spec':{'q':1}},"
      "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'b'}}, 5]");
  const json::Array mangled = mangle({}, manifest);
  const auto entries = entries_for(manifest, mangled);
  EXPECT_EQ(entries[0], &mangled[0]);
  EXPECT_EQ(entries[1], &mangled[1]);
  EXPECT_EQ(entries[2], &mangled[2]);
  EXPECT_EQ(entries[3], nullptr);
  EXPECT_EQ(entry_for(value_of("{'apiVersion':'v1','kind':'Pod','metadata':{'name':'z'}}"), mangled), nullptr);
}

TEST(Schema, ListsWithoutAControlElementHaveNoLimits) {
  const json::Array bare = array_of("[null,{'a':null}]");
  EXPECT_EQ(list_items(bare).size(), 2U);
  EXPECT_EQ(list_limits(bare).max, 0);
  const json::Array full = array_of("[null,{'observer_schema_list_min_length':1,'observer_schema_list_max_length':3}]");
  EXPECT_EQ(list_items(full).size(), 1U);
  EXPECT_EQ(list_limits(full).min, 1);
  EXPECT_EQ(list_limits(full).max, 3);
  const json::Array truths =
      array_of("[null,{'observer_schema_list_min_length':true,'observer_schema_list_max_length':false}]");
  EXPECT_EQ(list_limits(truths).min, 1) << "as Python reads it";
  EXPECT_EQ(list_limits(truths).max, 0);
}

}  // namespace
}  // namespace krake::manifest
