#include "manifest/object_id.h"

#include "manifest/testing.h"

namespace krake::manifest {
namespace {

TEST(ObjectId, IsGroupKindResolvedNamespaceAndName) {
  const auto id = [](std::string_view text) { return *object_id(value_of(text), "shop"); };
  const ObjectId web = id("{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'web'}}");
  EXPECT_EQ(web.group(), "apps");
  EXPECT_EQ(web.version(), "v1");
  EXPECT_EQ(web.text(), "apps/Deployment shop/web");
  EXPECT_EQ(web, id("{'apiVersion':'apps/v1beta1','kind':'Deployment','metadata':{'name':'web','namespace':'shop'}}"));
  EXPECT_NE(web, id("{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'web','namespace':'other'}}"));
  EXPECT_NE(web, id("{'apiVersion':'extensions/v1','kind':'Deployment','metadata':{'name':'web'}}"));
  EXPECT_EQ(id("{'apiVersion':'v1','kind':'Namespace','metadata':{'name':'n','namespace':'x'}}").text(), "Namespace n");
  EXPECT_EQ(id("{'apiVersion':'v1','kind':'Pod','metadata':{'name':'n'}}").text(), "Pod shop/n");
  EXPECT_LT(id("{'apiVersion':'v1','kind':'Pod','metadata':{'name':'n'}}"), web);
}

TEST(ObjectId, NamesTheMissingField) {
  for (const auto& [text, field] :
       {std::pair{"{'kind':'A','metadata':{'name':'n'}}", "apiVersion"},
        std::pair{"{'apiVersion':'v1','kind':3,'metadata':{'name':'n'}}", "kind"},
        std::pair{"{'apiVersion':'v1','kind':'A','metadata':null}", "metadata.name"}, std::pair{"7", "apiVersion"}}) {
    const auto id = object_id(value_of(text), "d");
    ASSERT_FALSE(id) << text;
    EXPECT_EQ(id.error().code, Code::invalid_object);
    EXPECT_NE(id.error().message.find(fmt::format("needs {} ", field)), std::string::npos) << id.error().message;
  }
}

TEST(ObjectId, FindsTheObjectInAList) {
  const json::Array objects = array_of(
      "[3,{'apiVersion':'v1','kind':'Pod','metadata':{'name':'a','namespace':'x'}},"
      "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'a'}}]");
  EXPECT_EQ(find_object(objects, *object_id(objects[2], "d"), "d"), &objects[2]);
  EXPECT_EQ(find_object(objects, *object_id(objects[2], "x"), "x"), &objects[1]);
  EXPECT_EQ(find_object(objects, ObjectId{"v1", "Pod", "q", "a"}, "d"), nullptr);
}

}  // namespace
}  // namespace krake::manifest
