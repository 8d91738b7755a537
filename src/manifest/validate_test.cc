#include "manifest/validate.h"

#include <gmock/gmock.h>

#include <functional>

#include "manifest/testing.h"

namespace krake::manifest {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Row = std::pair<std::string_view, std::optional<std::string>>;

std::vector<json::Object> objects_of(std::string_view text) {
  std::vector<json::Object> objects;
  for (auto& value : array_of(text)) objects.push_back(std::move(value.make_object()));
  return objects;
}

TEST(CheckManifest, AcceptsCompleteResources) {
  EXPECT_THAT(check_manifest({}), IsEmpty());
  EXPECT_THAT(check_manifest(objects_of("[{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p'}}]")), IsEmpty());
}

TEST(CheckManifest, ReportsMissingFieldsInOrder) {
  EXPECT_THAT(check_manifest(objects_of("[{}]")), ElementsAre("Field 'metadata.name' not found in resource at index 0",
                                                              "Field 'apiVersion' not found in resource at index 0",
                                                              "Field 'kind' not found in resource at index 0",
                                                              "Field 'metadata' not found in resource at index 0"));
  EXPECT_THAT(
      check_manifest(objects_of("[{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p'}},"
                                " {'metadata':{'name':'q'}}, {'apiVersion':1,'kind':null,'metadata':{'name':''}}]")),
      ElementsAre("Field 'apiVersion' not found in resource at index 1 (metadata.name: 'q')",
                  "Field 'kind' not found in resource at index 1 (metadata.name: 'q')",
                  "Field 'metadata.name' not found in resource at index 2"));
}

TEST(CheckNumbers, FindsWhatNoClusterTakes) {
  const std::string long_integer(400, '7');
  const std::pair<std::string, std::optional<std::string>> rows[] = {
      {"{'a':1,'b':[-0,0.1,1e300,'NaN',{'c':null}]}", std::nullopt},
      {"{'a':" + std::string(308, '1') + "}", std::nullopt},
      {"{'a':1e-400}", std::nullopt},
      {"{'a':NaN}", "a is NaN"},
      {"{'a':{'b':[1,{'c':-Infinity}]},'d':NaN}", "a.b[1].c is -Infinity"},
      {"{'a':[[],[1,1e400]]}", "a[1][1] is 1e400"},
      {"{'a':" + long_integer + "}", "a is " + std::string(40, '7') + "..."},
      {"{'a':-" + long_integer + "}", "a is -" + std::string(39, '7') + "..."},
  };
  for (const auto& [text, wanted] : rows) EXPECT_EQ(check_numbers(value_of(text)), wanted) << text;
}

TEST(CheckManifest, NamesWrongTypes) {
  EXPECT_THAT(check_manifest(objects_of("[{'apiVersion':'v1','kind':'Pod','metadata':null}]")),
              ElementsAre("Field 'metadata.name' not found in resource at index 0",
                          "Field 'metadata' is not an object in resource at index 0"));
}

TEST(CheckManifest, MakesAsManyMessagesAsAreShown) {
  const auto errors = check_manifest(std::vector<json::Object>(1000));
  ASSERT_EQ(errors.size(), kMostErrors);
  EXPECT_EQ(errors.back(), "Field 'metadata' not found in resource at index 24");
}

constexpr std::string_view kGoodKubeconfig =
    "{'apiVersion':'v1','kind':'Config','current-context':'c','contexts':[{'name':'c','context':{'cluster':'k','user':'"
    "u'}}],"
    "'users':[{'name':'u','user':{'token':'t'}}],'clusters':[{'name':'k','cluster':{'server':'https://h'}}]}";

std::string with(std::string_view from, std::string_view to) {
  std::string text(kGoodKubeconfig);
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(CheckKubeconfig, AcceptsGoodAndEmptyOnes) {
  EXPECT_EQ(check_kubeconfig({}), std::nullopt);
  EXPECT_EQ(check_kubeconfig(object_of(kGoodKubeconfig)), std::nullopt);
  // A user that is not listed is fine as long as there is exactly one.
  EXPECT_EQ(check_kubeconfig(object_of(with("'user':'u'", "'user':'v'"))), std::nullopt);
}

TEST(CheckKubeconfig, ReportsTheFirstViolation) {
  const std::string prefix = "Invalid kube-config file. ";
  const std::vector<std::tuple<std::string_view, std::string_view, std::string>> rows{
      {"'current-context':'c',", "", prefix + "Expected key current-context in kube-config"},
      {"'current-context':'c'", "'current-context':''", prefix + "Expected key current-context in kube-config"},
      {"'contexts':[{'name':'c','context':{'cluster':'k','user':'u'}}]", "'contexts':[]",
       prefix + "Expected key contexts in kube-config"},
      {"'contexts':[{'name':'c','context':{'cluster':'k','user':'u'}}]", "'contexts':'x'",
       prefix + "Expected kube-config/contexts to be a list"},
      {"'contexts':[{'name':'c',", "'contexts':[{",
       prefix + "Expected all values in kube-config/contexts list to have 'name' key"},
      {"'contexts':[", "'contexts':[7,",
       prefix + "Expected all values in kube-config/contexts list to have 'name' key"},
      {"'current-context':'c'", "'current-context':'d'",
       prefix + "Expected object with name d in kube-config/contexts list"},
      {"'contexts':[", "'contexts':[{'name':'c'},",
       prefix + "Expected only one object with name c in kube-config/contexts list"},
      {"'context':{'cluster':'k','user':'u'}", "'context':{}",
       prefix + "Expected key context in kube-config/contexts[name=c]"},
      {"'context':{'cluster':'k','user':'u'}", "'context':'x'",
       prefix + "Expected kube-config/contexts[name=c]/context to be an object"},
      {"'user':{'token':'t'}", "'user':{}", prefix + "Expected key user in kube-config/users[name=u]"},
      {"'users':[{'name':'u',", "'users':[{",
       prefix + "Expected all values in kube-config/users list to have 'name' key"},
      {"'users':[{'name':'u','user':{'token':'t'}}],", "", prefix + "Expected key users in kube-config"},
      {"'users':[{'name':'u','user':{'token':'t'}}]", "'users':null", prefix + "Expected key users in kube-config"},
      {"'users':[{'name':'u','user':{'token':'t'}}]", "'users':3", prefix + "Expected kube-config/users to be a list"},
      {"'clusters':[{'name':'k','cluster':{'server':'https://h'}}]", "'clusters':null",
       prefix + "Expected key clusters in kube-config"},
      {"'cluster':'k'", "'cluster':'l'", prefix + "Expected object with name l in kube-config/clusters list"},
      {"'cluster':'k',", "", prefix + "Expected key cluster in kube-config/contexts[name=c]/context"},
      {"'cluster':{'server':'https://h'}", "'cluster':null",
       prefix + "Expected key cluster in kube-config/clusters[name=k]"},
      {"'contexts':[", "'contexts':[{'name':'d'},", "Only one context is allowed"},
      {"'users':[", "'users':[{'name':'v'},", "Only one user is allowed"},
      {"'users':[{'name':'u','user':{'token':'t'}}]", "'users':[]", "Only one user is allowed"},
      {"'clusters':[", "'clusters':[{'name':'l'},", "Only one cluster is allowed"},
  };
  for (const auto& [from, to, message] : rows) {
    const std::string text = with(from, to);
    EXPECT_EQ(check_kubeconfig(object_of(text)), message) << text;
  }
}

constexpr std::string_view kTosca =
    "{'tosca_definitions_version':'tosca_simple_yaml_1_0','data_types':{'tosca.nodes.indigo.KubernetesObject':"
    "{'derived_from':'tosca.nodes.Root','properties':{'spec':{'type':'string','required':true}}}},"
    "'topology_template':{'inputs':{'p':{'type':'string','default':'80'}},'node_templates':{'n':"
    "{'type':'tosca.nodes.indigo.KubernetesObject','properties':{'spec':{'kind':'Pod'}}}},"
    "'outputs':{'o':{'description':'d','value':1}}}}";

TEST(CheckTosca, AcceptsUrlsBySuffixOnly) {
  const std::string bad = "Invalid TOSCA template URL.";
  for (const auto& [url, expected] : std::initializer_list<Row>{{"''", std::nullopt},
                                                                {"{}", std::nullopt},
                                                                {"'https://h/t.yaml'", std::nullopt},
                                                                {"'t.yml'", std::nullopt},
                                                                {"'t.YAML'", bad},
                                                                {"'t.yaml?x'", bad},
                                                                {"'t.json'", bad},
                                                                {"[1]", "Invalid TOSCA template content."}}) {
    EXPECT_EQ(check_tosca_application(value_of(url)), expected) << url;
  }
}

TEST(CheckTosca, AcceptsTheTemplatesOfPractice) {
  EXPECT_EQ(check_tosca_application(value_of(kTosca)), std::nullopt);
  EXPECT_EQ(check_tosca_application(
                value_of("{'tosca_definitions_version':'tosca_simple_yaml_1_2','imports':[{'x':'http://i'}],"
                         "'topology_template':{'node_templates':{'n':{'type':'my.own.Type',"
                         "'properties':{'any':1}}}}}")),
            std::nullopt);
  EXPECT_EQ(
      check_tosca_application(value_of("{'tosca_definitions_version':'tosca_simple_yaml_1_0','topology_template':"
                                       "{'node_templates':{'n':{'type':'tosca.nodes.Compute','properties':{}}}}}")),
      std::nullopt);
}

TEST(CheckTosca, RefusesWhatIsNoTemplate) {
  const auto changed = [](std::string_view from, std::string_view to) {
    std::string text(kTosca);
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  };
  for (const std::string& text : {
           std::string("{'description':'x'}"),
           changed("tosca_simple_yaml_1_0", "tosca_simple_yaml_9_9"),
           changed("'data_types'", "'datatypes'"),
           changed("'inputs'", "'imputs'"),
           changed("{'type':'tosca.nodes.indigo.KubernetesObject',", "{"),
           changed("{'type':'tosca.nodes.indigo.KubernetesObject'", "{'type':'tosca.nodes.indigo.Other'"),
           changed("'properties':{'spec':{'kind':'Pod'}}", "'properties':{}"),
           changed("'properties':{'spec':{'kind':'Pod'}}", "'properties':{'spec':'x','other':1}"),
           changed("'properties':{'spec':{'kind':'Pod'}}", "'props':{}"),
           changed("'description':'d'", "'descr':'d'"),
           changed("'node_templates':{", "'node_templates':{'m':1,"),
       }) {
    EXPECT_EQ(check_tosca_application(value_of(text)), "Invalid TOSCA template content.") << text;
  }
}

TEST(CheckTosca, ClustersNeedTheKubeconfigOutput) {
  const std::string missing = "Invalid TOSCA template content. The output `kubeconfig` is missing.";
  EXPECT_EQ(check_tosca_cluster({}), std::nullopt);
  EXPECT_EQ(check_tosca_cluster(object_of(kTosca)), missing);
  std::string text(kTosca);
  text.replace(text.find("'o':"), 4, "'kubeconfig':");
  EXPECT_EQ(check_tosca_cluster(object_of(text)), std::nullopt);
  text.replace(text.find("tosca_simple_yaml_1_0"), 21, "x");
  EXPECT_EQ(check_tosca_cluster(object_of(text)), "Invalid TOSCA template content.");
}

constexpr std::string_view kBadTosca = "Invalid TOSCA template content.";

// A template with one node, with `types` and `topology` beside it.
std::optional<std::string> check_node(std::string_view node, std::string_view types = "",
                                      std::string_view topology = "") {
  return check_tosca_application(value_of(
      fmt::format("{{'tosca_definitions_version':'tosca_simple_yaml_1_0',{}'topology_template':{{{}'node_templates':"
                  "{{'n':{}}}}}}}",
                  types, topology, node)));
}

TEST(CheckTosca, TypesGoBySeveralNames) {
  for (const auto* type : {"Compute", "tosca:Compute", "Root", "SoftwareComponent", "WebServer", "Database",
                           "network.Port", "Container.Runtime", "nfv.VNF", "tosca.nodes.nfv.VDU"}) {
    EXPECT_EQ(check_node(fmt::format("{{'type':'{}'}}", type)), std::nullopt) << type;
  }
  for (const auto* section : {"node_types", "capability_types", "relationship_types", "data_types", "interface_types",
                              "policy_types", "group_types"}) {
    const auto types = fmt::format("'{}':{{'my.A':{{'derived_from':'tosca.nodes.Root'}}}},", section);
    EXPECT_EQ(check_node("{'type':'my.A'}", types), std::nullopt) << section;
    EXPECT_EQ(check_node("{'type':'tosca:my.A'}", types), std::nullopt) << section;
    EXPECT_EQ(check_node("{'type':'my.B'}", types), kBadTosca) << section;
  }
  EXPECT_EQ(check_node("{'type':'my.A'}", "'artifact_types':{'my.A':{}},"), kBadTosca);
  EXPECT_EQ(check_node("{'type':''}"), kBadTosca);
  EXPECT_EQ(check_node("{'type':null}"), std::nullopt);
}

TEST(CheckTosca, PropertiesAreThoseOfTheTypeAndItsAncestors) {
  const std::string_view types =
      "'node_types':{'A':{'derived_from':'Root','properties':{'x':{'type':'string'},'z':{'type':'string','default':1}}}"
      ","
      "'B':{'derived_from':'A','properties':{'x':{'type':'string','required':false}}},"
      "'C':{'derived_from':'B','properties':{'x':{'type':'string'}}},"
      "'D':{'derived_from':'C'},'E':null,'F':{},'G':{'derived_from':'elsewhere.H','properties':[]},"
      "'N':{'properties':{'x':{'type':'string','default':null}}}},";
  const std::vector<std::tuple<std::string_view, std::string_view, bool>> rows{
      {"A", "{'x':1}", true},       {"A", "{'x':1,'z':2}", true},
      {"A", "{}", false},           {"A", "{'x':1,'y':2}", false},
      {"B", "null", true},          {"B", "{'z':1}", true},
      {"B", "{'y':1}", false},      {"C", "{'z':1}", false},
      {"C", "{'x':null}", true},    {"D", "{'x':1,'z':1}", true},
      {"D", "{}", false},           {"E", "{}", true},
      {"E", "{'y':1}", false},      {"F", "{'y':1}", false},
      {"G", "{'y':1}", true},       {"N", "{}", false},
      {"N", "{'x':1}", true},       {"tosca.nodes.Root", "{'y':1}", false},
      {"Compute", "{'y':1}", true},
  };
  for (const auto& [type, properties, good] : rows) {
    EXPECT_EQ(check_node(fmt::format("{{'type':'{}','properties':{}}}", type, properties), types) == std::nullopt, good)
        << type << " " << properties;
  }
  // Of two types with one name the later section's counts.
  const std::string_view twice = "'data_types':{'A':{}},'node_types':{'A':{'properties':{'x':{'type':'string'}}}},";
  EXPECT_EQ(check_node("{'type':'A'}", twice), std::nullopt);
  EXPECT_EQ(check_node("{'type':'A','properties':{'x':1}}", twice), kBadTosca);
}

TEST(CheckTosca, WhatIsFalsyIsAbsent) {
  const auto with_all = [](std::string_view value) {
    std::vector<std::pair<std::string, std::optional<std::string>>> results;
    for (const auto* key : {"node_types", "data_types", "relationship_types", "capability_types", "interface_types",
                            "policy_types", "group_types", "repositories", "imports", "description"}) {
      results.emplace_back(key, check_node("{'type':'Compute'}", fmt::format("'{}':{},", key, value)));
    }
    for (const auto* key : {"inputs", "outputs", "relationship_templates", "groups", "substitution_mappings",
                            "policies", "description"}) {
      results.emplace_back(key, check_node("{'type':'Compute'}", "", fmt::format("'{}':{},", key, value)));
    }
    for (const auto* key : {"properties", "interfaces", "capabilities", "requirements"}) {
      results.emplace_back(key, check_node(fmt::format("{{'type':'Compute','{}':{}}}", key, value)));
    }
    for (const auto* key : {"topology_template", "node_templates"}) {
      const std::string text = key == std::string_view("topology_template")
                                   ? fmt::format("'topology_template':{}", value)
                                   : fmt::format("'topology_template':{{'node_templates':{}}}", value);
      results.emplace_back(key, check_tosca_application(value_of(
                                    fmt::format("{{'tosca_definitions_version':'tosca_simple_yaml_1_0',{}}}", text))));
    }
    return results;
  };
  for (const auto* falsy : {"[]", "''", "0", "false", "null"}) {
    for (const auto& [key, result] : with_all(falsy)) EXPECT_EQ(result, std::nullopt) << key << " " << falsy;
  }
  for (const auto* wrong : {"5", "true"}) {
    for (const auto& [key, result] : with_all(wrong)) EXPECT_EQ(result, kBadTosca) << key << " " << wrong;
  }
}

// What is imported may declare anything; nobody looks, neither over the network nor in files.
TEST(W19, ImportsAreNotFetched) {
  for (const auto* import : {"'file:///etc/passwd'", "'http://127.0.0.1:1/types.yaml'", "{'x':'../../secret.yaml'}"}) {
    EXPECT_EQ(check_node("{'type':'of.Elsewhere'}", fmt::format("'imports':[{}],", import)), std::nullopt) << import;
  }
  EXPECT_EQ(check_node("{'type':'of.Elsewhere'}"), kBadTosca);
}

TEST(CheckTosca, RefusesWhatUpstreamCannotLoad) {
  EXPECT_EQ(check_node("{'type':'A'}", "'node_types':{'A':5},"), kBadTosca);
  EXPECT_EQ(check_node("{'type':'A'}", "'node_types':{'A':{'properties':'x'}},"), kBadTosca);
  EXPECT_EQ(check_node("{'type':'A'}", "'node_types':{'A':{'derived_from':5}},"), kBadTosca);
  EXPECT_EQ(check_node("{'type':'Compute'}", "'node_types':{'A':5},"), std::nullopt) << "not used";
  EXPECT_EQ(check_node("{'type':'Compute'}", "'imports':{'a':'http://h/a.yaml'},"), kBadTosca);
  for (const auto* output : {"{}", "{'value':null}", "{'description':'d'}", "null", "[]"}) {
    EXPECT_EQ(check_node("{'type':'Compute'}", "", fmt::format("'outputs':{{'o':{}}},", output)), kBadTosca) << output;
  }
  EXPECT_EQ(check_node("{'type':'Compute'}", "", "'outputs':{'o':{'value':0}},"), std::nullopt);
  EXPECT_EQ(check_node("{'type':'Compute','metadata':{'a':1}}"), std::nullopt);
}

TEST(CheckTosca, ATypeDerivedFromItselfIsRefused) {
  const std::string_view types = "'node_types':{'a':{'derived_from':'b'},'b':{'derived_from':'a'}},";
  EXPECT_EQ(check_node("{'type':'a'}", types), kBadTosca);
  EXPECT_EQ(check_node("{'type':'Compute'}", types), std::nullopt);
}

// `count` types t0, t1, ... of which `definition(i)` is the i-th.
json::Object types_of(int count, const std::function<json::Value(int)>& definition) {
  json::Object types;
  for (int i = 0; i < count; ++i) types.append(fmt::format("t{}", i), definition(i));
  return types;
}
json::Value template_of(json::Object types, json::Object nodes) {
  return json::Object{{"tosca_definitions_version", "tosca_simple_yaml_1_0"},
                      {"node_types", std::move(types)},
                      {"topology_template", json::Object{{"node_templates", std::move(nodes)}}}};
}

// At these sizes a search per node, per ancestor or per property takes minutes.
TEST(CheckTosca, LargeTemplatesAreCheckedAtOnce) {
  const int many = 20'000;
  const auto nodes = [&](int count) {
    return types_of(count, [](int i) { return json::Object{{"type", fmt::format("t{}", i)}}; });
  };
  const auto optional_property = *json::parse(R"({"type":"string","required":false})");
  const auto own_property = [&](int i) { return json::Object{{fmt::format("p{}", i), optional_property}}; };

  EXPECT_EQ(check_tosca_application(template_of(types_of(many,
                                                         [&](int i) {
                                                           return json::Object{{"properties", own_property(i)},
                                                                               {"derived_from", "tosca.nodes.Root"}};
                                                         }),
                                                nodes(many))),
            std::nullopt);
  // A chain, with and without properties to inherit.
  const auto chain = [&](bool with_properties) {
    return types_of(many, [&, with_properties](int i) {
      json::Object type{{"derived_from", i + 1 < many ? fmt::format("t{}", i + 1) : "tosca.nodes.Root"}};
      if (with_properties) type.set("properties", own_property(i));
      return type;
    });
  };
  EXPECT_EQ(check_tosca_application(template_of(chain(false), nodes(many))), std::nullopt);
  EXPECT_EQ(check_tosca_application(template_of(chain(true), nodes(many))), kBadTosca);
  // One type with many properties, and many that are derived from it.
  json::Object wide;
  for (int i = 0; i < many; ++i) wide.append(fmt::format("p{}", i), optional_property);
  const auto derived = [&](bool with_properties) {
    return types_of(many, [&, with_properties](int i) {
      if (i == 0) return json::Object{{"properties", wide}};
      json::Object type{{"derived_from", "t0"}};
      if (with_properties) type.set("properties", own_property(many + i));
      return type;
    });
  };
  EXPECT_EQ(check_tosca_application(template_of(derived(false), nodes(many))), std::nullopt);
  EXPECT_EQ(check_tosca_application(template_of(derived(true), nodes(many))), kBadTosca);
}

TEST(CheckCsar, LooksAtTheSuffix) {
  for (std::string_view good : {"https://h/a.csar", "a.zip"}) EXPECT_EQ(check_csar(good), std::nullopt);
  for (std::string_view bad : {"", "a.CSAR", "a.tar"}) EXPECT_EQ(check_csar(bad), "Invalid CSAR archive URL.");
}

std::string control(std::string_view min, std::string_view max) {
  return fmt::format("{{'observer_schema_list_min_length':{},'observer_schema_list_max_length':{}}}", min, max);
}

TEST(CheckObserverSchema, ReportsEveryViolation) {
  const auto manifest = objects_of("[{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p','namespace':'n'}}]");
  const auto pod = [](std::string_view rest) {
    return fmt::format("[{{'apiVersion':'v1','kind':'Pod','metadata':{{'name':'p','labels':null}}{}}}]", rest);
  };
  const auto list = [&](std::string_view items) { return pod(fmt::format(",'l':[{}]", items)); };
  const std::vector<std::pair<std::string, std::optional<std::string>>> rows{
      {pod(""), std::nullopt},
      {pod(",'spec':{'a':null,'b':{'c':null}}"), std::nullopt},
      {list("null," + control("0", "0")), std::nullopt},
      {list("{'a':null},[" + control("0", "2") + "]," + control("1", "2")), std::nullopt},
      {list(control("0", "123456789012345678901234567890")), std::nullopt},
      {"[{'kind':'Pod','metadata':{'name':'p'}}]", "apiVersion is not defined"},
      {"[{'apiVersion':'v1','kind':null,'metadata':{'name':'p'}}]", "kind is not defined"},
      {"[{'apiVersion':'v1','kind':'Pod'}]", "metadata dictionary is not defined"},
      {"[{'apiVersion':'v1','kind':'Pod','metadata':[]}]", "metadata must be a dictionary"},
      {"[{'apiVersion':'v1','kind':'Pod','metadata':{}}]", "name is not defined in the metadata dictionary"},
      {"[{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p','labels':'x'}}]", "Value of 'labels' is not 'None'"},
      {pod(",'spec':{'a':{'b':1}}"), "Value of 'b' is not 'None'"},
      {pod(",'spec':{'apiVersion':'v1'}"), "Value of 'apiVersion' is not 'None'"},
      {list(""), "Special list control dictionary not found"},
      {list("null"), "Special list control dictionary not found"},
      {list("{'a':null}"), "Special list control dictionary malformed"},
      {list(control("true", "false")), std::nullopt},
      {list(control("true", "1")), std::nullopt},
      {list("null," + control("true", "true")), std::nullopt},
      {list(control("2", "true")), "observer_schema_list_max_length is inferior to observer_schema_list_min_length"},
      {list(control("'0'", "0")), "observer_schema_list_min_length should be an integer"},
      {list(control("0", "1.5")), "observer_schema_list_max_length should be an integer"},
      {list(control("-1", "0")), "Invalid value for observer_schema_list_min_length"},
      {list(control("0", "-1")), "Invalid value for observer_schema_list_max_length"},
      {list(control("3", "2")), "observer_schema_list_max_length is inferior to observer_schema_list_min_length"},
      {list("null,null," + control("0", "1")),
       "observer_schema_list_max_length is inferior to the number of observed elements"},
      {list("1," + control("0", "0")), "Element of a list is not 'None'"},
      {list("{'x':true}," + control("0", "0")), "Value of 'x' is not 'None'"},
      {"[{'apiVersion':'v1','kind':'Pod','metadata':{'name':'q'}}]", "Observed resource must be in manifest"},
  };
  for (const auto& [schema, expected] : rows) {
    EXPECT_EQ(check_observer_schema(objects_of(schema), manifest), expected) << schema;
  }
  EXPECT_EQ(check_observer_schema(objects_of("[{}]"), {}), std::nullopt);
}

TEST(Validate, RandomJsonNeverBreaksAnyCheck) {
  Random random(3);
  static constexpr std::string_view kKeys[] = {"current-context", "contexts", "users",          "clusters",
                                               "metadata",        "name",     "node_templates", "topology_template"};
  for (int i = 0; i < 3000; ++i) {
    std::vector<json::Object> objects;
    json::Object object;
    for (int n = 0; n < 4; ++n) {
      auto value = random_value(random, 4);
      objects.push_back(std::move(value.make_object()));
      object.set(kKeys[random.below(std::size(kKeys))], random_value(random, 4));
    }
    object.set("tosca_definitions_version", "tosca_simple_yaml_1_0");
    check_manifest(objects);
    check_kubeconfig(object);
    check_tosca_application(object);
    check_tosca_cluster(object);
    check_observer_schema(objects, objects);
  }
}

}  // namespace
}  // namespace krake::manifest
