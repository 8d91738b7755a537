#include "manifest/json_patch.h"

#include "manifest/testing.h"

namespace krake::manifest {
namespace {

TEST(JsonPatch, CarriesOutEveryOperation) {
  using Row = std::array<std::string_view, 3>;
  for (const auto& [document, operations, expected] : std::vector<Row>{
           {"{'a':1}", "[{'op':'add','path':'/b','value':2}]", "{'a':1,'b':2}"},
           {"{'a':[1,3]}", "[{'op':'add','path':'/a/1','value':2},{'op':'add','path':'/a/-','value':4}]",
            "{'a':[1,2,3,4]}"},
           {"{'a':[1,2]}", "[{'op':'remove','path':'/a/0'}]", "{'a':[2]}"},
           {"{'a/b':{'c~d':1}}", "[{'op':'replace','path':'/a~1b/c~0d','value':null}]", "{'a/b':{'c~d':null}}"},
           {"{'a':{'x':1}}", "[{'op':'test','path':'/a','value':{'x':1}},{'op':'move','from':'/a','path':'/b'}]",
            "{'b':{'x':1}}"},
           {"{'a':[1]}", "[{'op':'copy','from':'/a','path':'/b'}]", "{'a':[1],'b':[1]}"},
           {"{'a':1}", "[{'op':'add','path':'','value':[7]}]", "[7]"},
           {"{}", "[]", "{}"},
       }) {
    const auto result = json_patch(value_of(document), array_of(operations));
    ASSERT_TRUE(result) << operations << result.error().message;
    EXPECT_EQ(*result, value_of(expected)) << operations;
  }
}

TEST(JsonPatch, RefusesWhatCannotBeDone) {
  const std::string_view document = "{'a':[1],'b':{}}";
  for (const auto& [operation, code] : std::vector<std::pair<std::string_view, Code>>{
           {"{'op':'test','path':'/a/0','value':2}", Code::conflict},
           {"{'op':'remove','path':'/c'}", Code::invalid_object},
           {"{'op':'remove','path':'/a/1'}", Code::invalid_object},
           {"{'op':'remove','path':'/a/00'}", Code::invalid_object},
           {"{'op':'remove','path':''}", Code::invalid_object},
           {"{'op':'add','path':'/a/3','value':1}", Code::invalid_object},
           {"{'op':'add','path':'/c/d','value':1}", Code::invalid_object},
           {"{'op':'add','path':'/c'}", Code::invalid_object},
           {"{'op':'add','path':'c','value':1}", Code::invalid_object},
           {"{'op':'add','path':'/~2','value':1}", Code::invalid_object},
           {"{'op':'move','path':'/c'}", Code::invalid_object},
           {"{'op':'copy','from':'/x','path':'/c'}", Code::invalid_object},
           {"{'op':'jump','path':'/c'}", Code::invalid_object},
           {"{'op':'remove'}", Code::invalid_object},
           {"3", Code::invalid_object},
       }) {
    const auto result = json_patch(value_of(document), {value_of(operation)});
    ASSERT_FALSE(result) << operation;
    EXPECT_EQ(result.error().code, code) << operation << result.error().message;
  }
}

}  // namespace
}  // namespace krake::manifest
