#include "manifest/repair.h"

#include <gmock/gmock.h>

#include "manifest/apply.h"
#include "manifest/diff.h"
#include "manifest/json_patch.h"
#include "manifest/schema.h"
#include "manifest/testing.h"

namespace krake::manifest {
namespace {

using testing::IsEmpty;

std::string object(std::string_view spec) {
  return fmt::format("{{'apiVersion':'apps/v1','kind':'Deployment','metadata':{{'name':'d'}},'spec':{}}}", spec);
}
std::string limits(int min, int max) {
  return fmt::format("{{'observer_schema_list_min_length':{},'observer_schema_list_max_length':{}}}", min, max);
}
json::Value repaired_spec(std::string_view wanted, std::string_view live, std::string_view schema) {
  return *repair_body(value_of(object(wanted)), value_of(object(live)), value_of(object(schema))).at_path({"spec"});
}

TEST(RepairBody, TakesUnobservedLeavesFromTheLiveObject) {
  EXPECT_EQ(
      repaired_spec("{'replicas':1,'image':'a','m':{'x':1,'y':2},'gone':1}",
                    "{'replicas':7,'image':'b','m':{'x':5,'y':6,'z':7},'other':1}", "{'image':null,'m':{'x':null}}"),
      value_of("{'replicas':7,'image':'a','m':{'x':1,'y':6}}"));
}

TEST(RepairBody, RestoresWholeWhatWasDeletedWhole) {
  EXPECT_EQ(repaired_spec("{'containers':[{'name':'a','image':'1','tty':true}],'m':{'x':1,'y':2}}",
                          "{'containers':[{'name':'b'}]}",
                          "{'containers':[{'name':null,'image':null}," + limits(0, 0) + "],'m':{'x':null}}"),
            value_of("{'containers':[{'name':'a','image':'1','tty':true}],'m':{'x':1,'y':2}}"));
}

TEST(RepairBody, KeepsItemsOfKeylessListsWithinTheLimits) {
  EXPECT_EQ(repaired_spec("{'l':[1]}", "{'l':[5,6,7]}", "{'l':[null," + limits(0, 2) + "]}"), value_of("{'l':[1,6]}"));
  EXPECT_EQ(repaired_spec("{'l':[1]}", "{'l':[5,6,7]}", "{'l':[null," + limits(0, 0) + "]}"),
            value_of("{'l':[1,6,7]}"));
  EXPECT_EQ(repaired_spec("{'l':[1]}", "{'l':[5,6,7]}", "{'l':[null," + limits(1, 1) + "]}"), value_of("{'l':[1]}"));
  EXPECT_EQ(repaired_spec("{'l':[1,2,3]}", "{'l':[5]}", "{'l':[null," + limits(3, 3) + "]}"),
            value_of("{'l':[1,2,3]}"));
  EXPECT_EQ(repaired_spec("{'l':[1,2]}", "{'l':[5,6,7]}", "{}"), value_of("{'l':[5,6,7]}"));
}

TEST(RepairBody, CarriesIdentityAndResourceVersion) {
  const json::Value body = repair_body(
      value_of("{'apiVersion':'v1','kind':'Secret','metadata':{'name':'s','namespace':'n','labels':{'a':'b'}},"
               "'stringData':{'k':'abc'},'status':{'x':1},'type':null}"),
      value_of(
          "{'apiVersion':'v1','kind':'Secret','metadata':{'name':'s','namespace':'n','resourceVersion':'12','uid':'u'},"
          "'data':{'k':'eA=='},'type':'Opaque'}"),
      value_of("{'apiVersion':'v1','kind':'Secret','metadata':{'name':'s'},'stringData':{'k':null}}"));
  EXPECT_EQ(
      body,
      value_of("{'apiVersion':'v1','kind':'Secret','metadata':{'name':'s','namespace':'n','resourceVersion':'12'},"
               "'data':{'k':'YWJj'}}"));
}

json::Value patched(const json::Value& live, const json::Array& patch) {
  auto result = json_patch(live, patch);
  EXPECT_TRUE(result) << result.error().message << json::print(live) << json::print(json::Value(patch));
  return result ? *result : json::Value();
}

TEST(SurplusPatch, RemovesItemsBeyondTheLimit) {
  const json::Value live =
      value_of(object("{'containers':[{'name':'x'},{'name':'a'},{'name':'y'},{'name':'z'}],'l':[1,2,3]}"));
  const json::Value wanted = value_of(object("{'containers':[{'name':'a'}],'l':[1]}"));
  const json::Value entry =
      value_of(object("{'containers':[{'name':null}," + limits(1, 2) + "],'l':[null," + limits(1, 1) + "]}"));
  const json::Array patch = surplus_patch(wanted, live, entry);
  EXPECT_EQ(*patched(live, patch).at_path({"spec"}), value_of("{'containers':[{'name':'x'},{'name':'a'}],'l':[1]}"));
  EXPECT_EQ(patch[0], value_of("{'op':'test','path':'/spec/containers/3','value':{'name':'z'}}"));
  EXPECT_EQ(patch[1], value_of("{'op':'remove','path':'/spec/containers/3'}"));
  // Somebody was faster: nothing is removed by mistake.
  EXPECT_EQ(json_patch(value_of(object("{'containers':[{'name':'a'},{'name':'x'},{'name':'y'},{'name':'q'}]}")), patch)
                .error()
                .code,
            Code::conflict);
  EXPECT_THAT(surplus_patch(wanted, wanted, entry), IsEmpty());
  EXPECT_THAT(surplus_patch(wanted, live, value_of(object("{'containers':[{'name':null}," + limits(0, 0) + "]}"))),
              IsEmpty());
}

TEST(SurplusPatch, RemovesWhatVanishedAndNobodyChanged) {
  const json::Value previous = value_of(
      "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p','labels':{'a':'1','b':'2','c':'3'}},'spec':{'gone':5,'"
      "changed':5,"
      "'probe':{'path':'/'},'containers':[{'name':'a','env':[{'name':'X','value':'1'}]},{'name':'b'}]}}");
  const json::Value wanted = value_of(
      "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p','labels':{'a':'1'}},'spec':{'containers':[{'name':'a','"
      "env':[]}]}}");
  const json::Value live = value_of(
      "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p','uid':'u','labels':{'a':'1','b':'2','c':'9','d':'4'}},"
      "'spec':{'gone':5,'changed':6,'probe':{'path':'/"
      "','timeout':1},'containers':[{'name':'a','env':[{'name':'X','value':'1'},"
      "{'name':'Y'}]},{'name':'b','tty':false},{'name':'mine'}]}}");
  EXPECT_EQ(
      patched(live, surplus_patch(wanted, live, value_of("{'kind':'Pod','metadata':{}}"), &previous)),
      value_of("{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p','uid':'u','labels':{'a':'1','c':'9','d':'4'}},"
               "'spec':{'changed':6,'containers':[{'name':'a','env':[{'name':'Y'}]},{'name':'mine'}]}}"));
}

TEST(ReplaceListsPatch, PutsItemsInThePlaceOfThoseOfOthers) {
  const auto service = [](const std::string& ports, const std::string& version = "") {
    return value_of("{'apiVersion':'v1','kind':'Service','metadata':{'name':'s'" + version + "},'spec':{'ports':[" +
                    ports + "]}}");
  };
  const struct {
    const char* what;
    std::string desired;
    std::string live;
    std::string limits;
    std::string becomes;  // "" when nothing is replaced
  } rows[] = {
      {"the one port was changed", "{'port':80}", "{'port':81,'protocol':'TCP'}", limits(1, 1), "{'port':80}"},
      {"one of two", "{'port':80},{'port':443}", "{'port':80,'protocol':'TCP','nodePort':30000},{'port':444}",
       limits(2, 2), "{'port':80,'protocol':'TCP','nodePort':30000},{'port':443}"},
      {"there is room for one of the others", "{'port':80}", "{'port':81},{'port':82}", limits(1, 2),
       "{'port':80},{'port':81}"},
      {"there is room for all", "{'port':80}", "{'port':81}", limits(1, 0), ""},
      {"only surplus", "{'port':80}", "{'port':80},{'port':81}", limits(1, 1), ""},
      {"only missing", "{'port':80},{'port':81}", "{'port':80}", limits(2, 2), ""},
      {"the same port of another protocol", "{'port':53,'protocol':'UDP'}", "{'port':53}", limits(1, 1),
       "{'port':53,'protocol':'UDP'}"},
      {"no keys to go by", "{'port':80}", "{'targetPort':1}", limits(1, 1), ""},
  };
  for (const auto& row : rows) {
    const json::Value desired = service(row.desired);
    const json::Value live = service(row.live, ",'resourceVersion':'7'");
    const std::string second = std::string(row.what).starts_with("one of two") ? ",{'port':null}" : "";
    const json::Value entry = service("{'port':null}" + second + "," + row.limits);
    const json::Array patch = replace_lists_patch(desired, live, entry);
    if (row.becomes.empty()) {
      EXPECT_THAT(patch, IsEmpty()) << row.what;
      continue;
    }
    ASSERT_EQ(patch.size(), 2u) << row.what;
    EXPECT_EQ(patch[0], value_of("{'op':'test','path':'/metadata/resourceVersion','value':'7'}"));
    EXPECT_EQ(patched(live, patch), service(row.becomes, ",'resourceVersion':'7'")) << row.what;
    EXPECT_THAT(replace_lists_patch(desired, service(row.live), entry), IsEmpty()) << "nothing to guard it by";
    EXPECT_THAT(replace_lists_patch(desired, patched(live, patch), entry), IsEmpty()) << row.what;
  }
}

TEST(ReplaceListsPatch, FindsListsInsideTheItemsOfOthers) {
  const auto pod = [](const std::string& ports) {
    return value_of(
        "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p','resourceVersion':'7'},'spec':{'containers':[" + ports +
        "]}}");
  };
  const json::Value desired = pod("{'name':'a','ports':[{'containerPort':1}]}");
  const json::Value live = pod("{'name':'side'},{'name':'a','ports':[{'containerPort':2}]}");
  EXPECT_THAT(replace_lists_patch(desired, live, pod("{'name':null,'ports':null}," + limits(1, 0))), IsEmpty())
      << "what is observed as a whole has no limits";
  const json::Value entry = pod("{'name':null,'ports':[{'containerPort':null}," + limits(1, 1) + "]}," + limits(1, 0));
  EXPECT_EQ(patched(live, replace_lists_patch(desired, live, entry)),
            pod("{'name':'side'},{'name':'a','ports':[{'containerPort':1}]}"));
}

TEST(ReplaceListsPatch, WhatWasOursBeforeIsNobodyElses) {
  const auto pod = [](const std::string& containers) {
    return value_of(
        "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p','resourceVersion':'7'},'spec':{'containers':[" +
        containers + "]}}");
  };
  const json::Value entry = pod("{'name':null}," + limits(1, 1));
  const json::Value desired = pod("{'name':'b'}");
  const json::Value previous = pod("{'name':'a'}");
  EXPECT_THAT(replace_lists_patch(desired, pod("{'name':'a','image':'i'}"), entry, &previous), IsEmpty());
  EXPECT_EQ(patched(pod("{'name':'x'}"), replace_lists_patch(desired, pod("{'name':'x'}"), entry, &previous)), desired);
  EXPECT_EQ(patched(pod("{'name':'a'},{'name':'x'}"),
                    replace_lists_patch(desired, pod("{'name':'a'},{'name':'x'}"), entry, &previous)),
            desired);
  // Inside an item that is the same in all of them.
  const auto ports = [&](int port) {
    return pod("{'name':'c','ports':[{'containerPort':" + std::to_string(port) + "}]}");
  };
  const json::Value inner = pod("{'name':null,'ports':[{'containerPort':null}," + limits(1, 1) + "]}," + limits(1, 1));
  const json::Value before = ports(1);
  EXPECT_THAT(replace_lists_patch(ports(2), ports(1), inner, &before), IsEmpty());
  EXPECT_EQ(patched(ports(3), replace_lists_patch(ports(2), ports(3), inner, &before)), ports(2));
}

TEST(ReplaceListsPatch, HelpsOnlyWhereNothingElseIsRefused) {
  const auto replacing = [](const std::string& path) {
    return json::Array{json::Object{{"op", "test"}, {"path", "/metadata/resourceVersion"}, {"value", "7"}},
                       json::Object{{"op", "replace"}, {"path", path}, {"value", json::Array()}}};
  };
  const struct {
    const char* what;
    json::Array patch;
    std::vector<std::string> fields;
    bool helps;
  } rows[] = {
      {"the list", replacing("/spec/ports"), {"spec.ports"}, true},
      {"an item of it", replacing("/spec/ports"), {"spec.ports[1]"}, true},
      {"a field of an item", replacing("/spec/ports"), {"spec.ports[1].name"}, true},
      {"in an item, counted otherwise", replacing("/spec/containers/0/ports"), {"spec.containers[1].ports[0]"}, true},
      {"all of them", replacing("/spec/ports"), {"spec.ports[0].name", "spec.ports[1].name"}, true},
      {"something else too", replacing("/spec/ports"), {"spec.ports[1].name", "spec.selector"}, false},
      {"something else", replacing("/spec/ports"), {"spec.selector"}, false},
      {"what only begins alike", replacing("/spec/ports"), {"spec.portsOfCall"}, false},
      {"what holds it", replacing("/spec/containers/0/ports"), {"spec.containers[0].name"}, false},
      {"a key with dots and slashes", replacing("/spec/ports"), {"spec.ports[a.b/c[0]].name"}, true},
      {"what is only tested", replacing("/spec/ports"), {"metadata.resourceVersion"}, false},
      {"nothing is named", replacing("/spec/ports"), {}, false},
      {"nothing is replaced", {}, {"spec.ports"}, false},
  };
  for (const auto& row : rows) EXPECT_EQ(concerns_only(row.patch, row.fields), row.helps) << row.what;
}

// ---- properties: objects of the shapes that occur, changed at random

constexpr std::string_view kShapes[] = {
    "{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'d','labels':{'a':'1','b.c/"
    "D':'2'},'finalizers':['f','g']},"
    "'spec':{'replicas':2,'selector':{'matchLabels':{'a':'1'}},'template':{'spec':{'volumes':[{'name':'v','emptyDir':{}"
    "}],"
    "'tolerations':[{'key':'k'},{'key':'l'}],'containers':[{'name':'x','image':'i','args':['p','q'],'env':[{'name':'E',"
    "'value':'1'},"
    "{'name':'F','value':'2'}],'ports':[{'containerPort':80},{'containerPort':81,'protocol':'UDP'}],"
    "'resources':{'limits':{'cpu':'1000m','memory':'1Gi'}}},{'name':'y','image':'j'}]}}}}",
    "{'apiVersion':'v1','kind':'Service','metadata':{'name':'s'},'spec':{'type':'NodePort','selector':{'a':'1','b':'2'}"
    ","
    "'ports':[{'port':80,'targetPort':'8080'},{'port':443,'name':'tls'}]}}",
    "{'apiVersion':'v1','kind':'Secret','metadata':{'name':'s'},'stringData':{'a':'x','b':'y'},'data':{'c':'eA=='}}",
    "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'c'},'data':{'README.md':'x','k':'y'}}",
};

// Drift: leaves changed, members and items dropped, reordered and added. Keys of list items and identity are left
// alone.
void drift(Random& random, json::Value& value, std::string_view field) {
  static constexpr std::string_view kKeys[] = {"name", "port", "containerPort", "protocol", "apiVersion", "kind"};
  if (json::Object* object = value.if_object()) {
    std::vector<std::string> dropped;
    for (auto& [key, member] : *object) {
      if (std::ranges::find(kKeys, key) != std::end(kKeys)) continue;
      if (key != "metadata" && random.chance(0.1)) {
        dropped.push_back(key);
      } else {
        drift(random, member, key);
      }
    }
    for (const std::string& key : dropped) object->erase(key);
    if (!field.empty() && field != "metadata" && random.chance(0.15)) object->set("added", "z");
  } else if (json::Array* array = value.if_array()) {
    for (json::Value& item : *array) drift(random, item, field);
    if (!array->empty() && random.chance(0.2))
      array->erase(array->begin() + static_cast<long>(random.below(array->size())));
    if (!array->empty() && random.chance(0.2)) std::swap(array->front(), array->back());
    if (random.chance(0.25)) {
      const bool strings = field == "args" || field == "finalizers";
      array->insert(array->begin() + static_cast<long>(random.below(array->size() + 1)),
                    strings ? json::Value("zz") : value_of("{'name':'zz','port':9,'containerPort':9}"));
    }
  } else if (random.chance(0.15)) {
    value = "drifted";
  }
}

// A custom schema out of the default one: parts not observed, parts as one leaf, wider limits.
void thin_out(Random& random, json::Value& entry, bool root) {
  if (json::Object* object = entry.if_object()) {
    std::vector<std::string> dropped;
    for (auto& [key, member] : *object) {
      if (root && (key == "apiVersion" || key == "kind")) continue;
      if (key == "metadata" || key == "name") {
        if (key == "metadata" && root) continue;
      } else if (random.chance(0.15)) {
        dropped.push_back(key);
      } else if (random.chance(0.1)) {
        member = nullptr;
      }
      thin_out(random, member, false);
    }
    for (const std::string& key : dropped) object->erase(key);
  } else if (json::Array* array = entry.if_array()) {
    const auto n = static_cast<std::int64_t>(array->size()) - 1;
    for (json::Value& item : *array) {
      if (&item != &array->back()) thin_out(random, item, false);
    }
    if (n > 0 && random.chance(0.2)) array->erase(array->end() - 2);
    if (random.chance(0.5)) {
      const auto max = random.chance(0.5) ? 0 : n + static_cast<std::int64_t>(random.below(2));
      array->back() = control_element(random.chance(0.5) ? 0 : n, max);
    }
  }
}

TEST(Repair, AppliedOnDriftLeavesNoDifference) {
  Random random(31);
  int drifted = 0;
  for (int i = 0; i < 2000; ++i) {
    const json::Value desired = value_of(kShapes[random.below(std::size(kShapes))]);
    json::Value entry = default_entry(desired);
    if (random.chance(0.7)) thin_out(random, entry, true);
    const Applied created = apply(nullptr, apply_body(desired), {"krake", "t", true, ""});
    ASSERT_THAT(diff(desired, created.object, entry), IsEmpty()) << json::print(entry);

    json::Value live = created.object;
    const json::Value managed = *live.at_path({"metadata", "managedFields"});
    live.if_object()->find("metadata")->if_object()->erase("managedFields");
    drift(random, live, "");
    live.if_object()->find("metadata")->if_object()->set("managedFields", managed);
    live.if_object()
        ->find("metadata")
        ->if_object()
        ->set("managedFields", ownership_after_update(created.object, live, {"kubectl", "t", false, ""}));
    const auto before = diff(desired, live, entry);
    if (!before.empty()) ++drifted;

    const Applied applied = apply(live, repair_body(desired, live, entry), {"krake", "t", true, ""});
    const json::Value clean = patched(applied.object, surplus_patch(desired, applied.object, entry));
    const auto after = diff(desired, clean, entry);
    ASSERT_THAT(after, IsEmpty()) << describe(after) << "\ndesired " << json::print(desired) << "\nentry   "
                                  << json::print(entry) << "\nlive    " << json::print(live) << "\nclean   "
                                  << json::print(clean);
    ASSERT_THAT(surplus_patch(desired, clean, entry), IsEmpty());
    if (before.empty()) {
      // In sync already: repairing is harmless.
      ASSERT_THAT(surplus_patch(desired, live, entry), IsEmpty());
    }
  }
  EXPECT_GT(drifted, 500);
}

TEST(Repair, LeavesUnobservedReplicasToTheAutoscaler) {
  const json::Value desired = value_of(kShapes[0]);
  json::Value entry = default_entry(desired);
  entry.if_object()->find("spec")->if_object()->erase("replicas");
  const Applied created = apply(nullptr, apply_body(desired), {"krake", "t", true, ""});
  json::Value live = created.object;
  live.if_object()->find("spec")->if_object()->set("replicas", 9);
  live.if_object()->find("metadata")->if_object()->set("labels", value_of("{'a':'hacked'}"));
  const Applied repaired = apply(live, repair_body(desired, live, entry), {"krake", "t", true, ""});
  EXPECT_EQ(repaired.object.int_at({"spec", "replicas"}), 9);
  EXPECT_EQ(repaired.object.string_at({"metadata", "labels", "a"}), "1");
}

TEST(Repair, RandomJsonNeverBreaksIt) {
  Random random(37);
  for (int i = 0; i < 2000; ++i) {
    const json::Value a = random_value(random, 5);
    const json::Value b = random_value(random, 5);
    const json::Value c = random_value(random, 5);
    repair_body(a, b, c);
    json_patch(b, surplus_patch(a, b, c, &c)).value_or(nullptr);
    json_patch(b, replace_lists_patch(a, b, c)).value_or(nullptr);
    apply(b, a, {"m", "", true, ""});
  }
}

}  // namespace
}  // namespace krake::manifest
