#include "manifest/diff.h"

#include <gmock/gmock.h>

#include "manifest/quantity.h"
#include "manifest/schema.h"
#include "manifest/testing.h"

namespace krake::manifest {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::string object(std::string_view kind, std::string_view rest) {
  return fmt::format("{{'apiVersion':'v1','kind':'{}','metadata':{{'name':'n'}},{}}}", kind, rest);
}

std::vector<std::string> paths(std::string_view kind, std::string_view wanted, std::string_view seen,
                               std::string_view schema = "") {
  const json::Value desired = value_of(object(kind, wanted));
  const json::Value entry = schema.empty() ? default_entry(desired) : value_of(object(kind, schema));
  std::vector<std::string> found;
  for (const Difference& d : diff(desired, value_of(object(kind, seen)), entry)) found.push_back(d.path);
  return found;
}

TEST(Quantity, ComparesExactly) {
  for (const auto& [a, b] : std::vector<std::pair<std::string_view, std::string_view>>{{"1000m", "1"},
                                                                                       {"1Gi", "1024Mi"},
                                                                                       {"0.5", "500m"},
                                                                                       {"1.5Gi", "1536Mi"},
                                                                                       {"1e3", "1k"},
                                                                                       {"1E3", "1000"},
                                                                                       {"1E", "1000P"},
                                                                                       {"0", "0Ki"},
                                                                                       {"+1", "1.0"},
                                                                                       {".5", "500m"},
                                                                                       {"1.", "1"},
                                                                                       {"-1", "-1000m"},
                                                                                       {"1500000000n", "1500m"},
                                                                                       {"8Ei", "8192Pi"},
                                                                                       {"100e-2", "1"}}) {
    EXPECT_TRUE(same_quantity(a, b)) << a << " " << b;
  }
  for (const auto& [a, b] :
       std::vector<std::pair<std::string_view, std::string_view>>{{"1", "2"},
                                                                  {"1G", "1Gi"},
                                                                  {"1m", "1M"},
                                                                  {"", ""},
                                                                  {"x", "x"},
                                                                  {".", "."},
                                                                  {"1x", "1x"},
                                                                  {"1 ", "1"},
                                                                  {"1e", "1e"},
                                                                  {"1e400", "1e401"},
                                                                  {"-1", "1"},
                                                                  {"99999999999999999999", "99999999999999999998"}}) {
    EXPECT_FALSE(same_quantity(a, b)) << a << " " << b;
  }
}

TEST(Diff, KnowsWhatIsTheSame) {
  using Row = std::array<std::string_view, 3>;
  for (const auto& [kind, wanted, seen] : std::vector<Row>{
           {"Deployment", "'spec':{'replicas':2}", "'spec':{'replicas':2,'paused':false},'status':{'x':1}"},
           {"Deployment", "'spec':{'a':null,'b':{},'c':[],'d':{'e':null}},'status':{'s':1}", "'spec':{}"},
           {"Deployment", "'spec':{'a':null,'c':[]}", "'spec':{'a':5,'c':[1]}"},
           {"Pod",
            "'spec':{'containers':[{'name':'a','resources':{'limits':{'cpu':'1000m','memory':'1Gi'},'requests':{'cpu':"
            "1}}}]}",
            "'spec':{'containers':[{'name':'a','resources':{'limits':{'cpu':'1','memory':'1024Mi'},'requests':{'cpu':'"
            "1'}}}]}"},
           {"ResourceQuota", "'spec':{'hard':{'pods':4}}", "'spec':{'hard':{'pods':'4'}}"},
           {"PersistentVolume", "'spec':{'capacity':{'storage':'1024Mi'}}", "'spec':{'capacity':{'storage':'1Gi'}}"},
           {"Service", "'spec':{'ports':[{'port':80,'targetPort':'8080'}]}",
            "'spec':{'ports':[{'port':80,'targetPort':8080,'protocol':'TCP'}]}"},
           {"Service", "'spec':{'ports':[{'port':53,'protocol':'UDP','name':'u'},{'port':53,'name':'t'}]}",
            "'spec':{'ports':[{'port':53,'name':'t','protocol':'TCP','nodePort':3},{'port':53,'protocol':'UDP','name':'"
            "u'}]}"},
           {"Secret", "'stringData':{'k':'abc'},'data':{'l':'eHl6'}", "'data':{'k':'YWJj','l':'eHl6','other':'eA=='}"},
           {"Pod", "'spec':{'volumes':[{'name':'v','emptyDir':{}}]}",
            "'spec':{'volumes':[{'name':'kube-api-access-x1'},{'name':'v','emptyDir':{}}]}"},
           {"Deployment", "'spec':{'f':1.0}", "'spec':{'f':1}"},
       }) {
    EXPECT_THAT(paths(kind, wanted, seen), IsEmpty()) << kind << " " << wanted;
  }
}

TEST(Diff, NamesWhatDiffers) {
  struct Row {
    std::string_view kind, wanted, seen;
    std::vector<std::string> paths;
  };
  for (const Row& row : std::vector<Row>{
           {"Deployment", "'spec':{'replicas':2}", "'spec':{'replicas':3}", {"/spec/replicas"}},
           {"Deployment", "'spec':{'a':{'b':1}}", "'spec':{}", {"/spec/a"}},
           {"Deployment", "'spec':{'a':true}", "'spec':{'a':'true'}", {"/spec/a"}},
           {"Deployment", "'spec':{'a':{'b':1}}", "'spec':{'a':[1]}", {"/spec/a"}},
           {"ConfigMap",
            "'data':{'README.md':'1000m','a/b~c':'x'}",
            "'data':{'README.md':'1','a/b~c':'y'}",
            {"/data/README.md", "/data/a~1b~0c"}},
           {"ConfigMap", "'data':{'limits':{'x':'1000m'}}", "'data':{'limits':{'x':'1'}}", {"/data/limits/x"}},
           {"Secret", "'stringData':{'k':'abc'}", "'data':{'k':'eHl6'}", {"/data/k"}},
           {"Secret", "'stringData':{'k':'abc'}", "'data':{}", {"/data/k"}},
           {"Pod",
            "'spec':{'containers':[{'name':'a','image':'1'},{'name':'b','image':'1'}]}",
            "'spec':{'containers':[{'name':'b','image':'1'},{'name':'a','image':'2'}]}",
            {"/spec/containers/0/image"}},
           {"Pod",
            "'spec':{'containers':[{'name':'a'}]}",
            "'spec':{'containers':[{'name':'a'},{'name':'s'}]}",
            {"/spec/containers"}},
           {"Pod",
            "'spec':{'containers':[{'name':'a','args':['x']}]}",
            "'spec':{'containers':[{'name':'a','args':['y','z']}]}",
            {"/spec/containers/0/args/0", "/spec/containers/0/args"}},
           {"Pod",
            "'spec':{'containers':[{'name':'a','env':[{'name':'E','value':'1000m'}]}]}",
            "'spec':{'containers':[{'name':'a','env':[{'name':'E','value':'1'}]}]}",
            {"/spec/containers/0/env/0/value"}},
           {"Deployment",
            "'metadata':{'name':'n','labels':{'a':'b'}}",
            "'metadata':{'name':'n'}",
            {"/metadata/labels"}},
       }) {
    EXPECT_EQ(paths(row.kind, row.wanted, row.seen), row.paths) << row.wanted;
  }
}

TEST(Diff, WhatSaysNothingMayBeAbsentInBuiltInKinds) {
  struct Row {
    const char* api_version;
    const char* wanted;
    const char* seen;
    bool same;
  };
  for (const Row& row : std::vector<Row>{
           {"v1", "'spec':{'hostNetwork':false}", "'spec':{}", true},
           {"v1", "'spec':{'clusterIP':''}", "'spec':{'type':'ClusterIP'}", true},
           {"apps/v1", "'spec':{'containers':[{'name':'c','env':[{'name':'E','value':''}]}]}",
            "'spec':{'containers':[{'name':'c','env':[{'name':'E'}]}]}", true},
           {"apps/v1", "'spec':{'containers':[{'name':'c','livenessProbe':{'initialDelaySeconds':0}}]}",
            "'spec':{'containers':[{'name':'c'}]}", true},
           {"rbac.authorization.k8s.io/v1", "'x':{'y':0}", "'x':{}", true},
           {"v1", "'spec':{'hostNetwork':false}", "'spec':{'hostNetwork':true}", false},
           {"v1", "'spec':{'hostNetwork':true}", "'spec':{}", false},
           {"v1", "'metadata':{'name':'n','labels':{'a':''}}", "'metadata':{'name':'n','labels':{}}", false},
           {"v1", "'data':{'a':''}", "'data':{}", false},
           {"v1", "'spec':{'limits':{'cpu':0}}", "'spec':{'limits':{}}", false},
           {"v1", "'spec':{'args':['']}", "'spec':{'args':[]}", false},
           // Custom resources keep what they are given.
           {"example.org/v1", "'spec':{'on':false}", "'spec':{}", false},
           {"gateway.networking.k8s.io/v1", "'spec':{'on':false}", "'spec':{}", false},
       }) {
    const auto with = [&](const char* fields) {
      return value_of(fmt::format("{{'apiVersion':'{}','kind':'Pod',{}}}", row.api_version, fields));
    };
    const auto wanted = with(row.wanted);
    EXPECT_EQ(diff(wanted, with(row.seen), default_entry(wanted)).empty(), row.same)
        << row.api_version << " " << row.wanted;
  }
}

TEST(Diff, LooksOnlyAtWhatIsObserved) {
  EXPECT_THAT(paths("D", "'spec':{'a':1,'b':2}", "'spec':{'a':9,'b':9}", "'spec':{'b':null}"), ElementsAre("/spec/b"));
  EXPECT_THAT(paths("D", "'spec':{'a':1}", "'spec':{'b':2}", "'spec':{'b':null}"), IsEmpty());
  // A leaf in the schema observes all that is stated below it.
  EXPECT_THAT(paths("D", "'spec':{'a':{'x':1,'y':[1,2]}}", "'spec':{'a':{'x':1,'y':[1],'z':1}}", "'spec':{'a':null}"),
              ElementsAre("/spec/a/y"));
}

std::string limits(int min, int max) {
  return fmt::format("{{'observer_schema_list_min_length':{},'observer_schema_list_max_length':{}}}", min, max);
}

TEST(Diff, HoldsListsToTheirLimits) {
  const auto with = [](int min, int max) { return "'spec':{'l':[null," + limits(min, max) + "]}"; };
  EXPECT_THAT(paths("D", "'spec':{'l':[1]}", "'spec':{'l':[1,2,3]}", with(0, 0)), IsEmpty());
  EXPECT_THAT(paths("D", "'spec':{'l':[1]}", "'spec':{'l':[1,2]}", with(1, 2)), IsEmpty());
  EXPECT_THAT(paths("D", "'spec':{'l':[1]}", "'spec':{'l':[1,2,3]}", with(1, 2)), ElementsAre("/spec/l"));
  EXPECT_THAT(paths("D", "'spec':{'l':[1,2]}", "'spec':{'l':[1]}", with(2, 4)), ElementsAre("/spec/l"));
  EXPECT_THAT(paths("D", "'spec':{'l':[]}", "'spec':{'l':[1,2]}", "'spec':{'l':[" + limits(0, 1) + "]}"),
              ElementsAre("/spec/l"));
  const auto found = diff(value_of(object("D", "'spec':{'l':[1]}")), value_of(object("D", "'spec':{'l':[1,2,3]}")),
                          value_of(object("D", with(1, 2))));
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].wanted, value_of(limits(1, 2)));
  EXPECT_EQ(found[0].seen, value_of("{'observer_schema_list_current_length':3}"));
}

TEST(Diff, ReportsBothValues) {
  const auto found = diff(value_of(object("D", "'spec':{'a':1,'b':2}")), value_of(object("D", "'spec':{'a':{'x':1}}")),
                          value_of(object("D", "'spec':null")));
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0], (Difference{"/spec/a", 1, value_of("{'x':1}")}));
  EXPECT_EQ(found[1], (Difference{"/spec/b", 2, nullptr}));
  EXPECT_EQ(describe(found), "/spec/a, /spec/b");
  EXPECT_EQ(describe(found, 1), "/spec/a and 1 more");
}

TEST(Diff, OfAnythingWithItselfIsEmpty) {
  Random random(9);
  for (int i = 0; i < 2000; ++i) {
    json::Object value = object_of(object(random.chance(0.5) ? "Pod" : "Secret", "'x':1"));
    value.set("spec", random_value(random, 5));
    value.set("data", random_value(random, 3));
    const json::Value json_value(value);
    json::Value live = normalised(json_value);
    EXPECT_THAT(diff(json_value, live, default_entry(json_value)), IsEmpty()) << json::print(json_value);
    json::Value other = random_value(random, 5);
    diff(json_value, other, default_entry(json_value));
    diff(other, json_value, random_value(random, 5));
  }
}

}  // namespace
}  // namespace krake::manifest
