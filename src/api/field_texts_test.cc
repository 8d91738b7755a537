#include "api/field_texts.h"

#include <gtest/gtest.h>

#include "api/registry.h"
#include "meta/kind_schema.h"

namespace krake {
namespace {

// All that the schemas of the registry are described by.
std::set<std::string, std::less<>> wanted() {
  schema::Components components(field_texts());
  json::Object unused;
  for (const auto& kind : krake_registry().kinds()) {
    schema::add_kind(components, *kind);
    components.describe(unused, fmt::format("group {}", kind->group));
    for (const auto& sub : kind->subresources) {
      components.describe(unused, kind->name, fmt::format("/{}", sub.name));
      EXPECT_EQ(sub.schema != nullptr, sub.has_body) << sub.resource << ": what its body is must be said";
      if (sub.schema) sub.schema(components);
    }
  }
  return components.described();
}

TEST(FieldTexts, EveryFieldIsTold) {
  for (const auto& name : wanted()) {
    const auto dot = name.find('.');
    const auto text = dot == std::string::npos ? field_texts().find(name, "")
                                               : field_texts().find(name.substr(0, dot), name.substr(dot + 1));
    EXPECT_FALSE(text.empty()) << "src/api/field_texts_*.cc say nothing of " << name;
  }
}

TEST(FieldTexts, NothingIsToldOfWhatIsNotThere) {
  const auto known = wanted();
  for (const auto& name : field_texts().names()) EXPECT_TRUE(known.contains(name)) << name;
}

TEST(FieldTexts, AreSentences) {
  for (const auto table :
       {common_texts(), core_texts(), kubernetes_texts(), infrastructure_texts(), openstack_texts()}) {
    for (const auto& entry : table) {
      EXPECT_TRUE(entry.text.ends_with('.')) << entry.type << '.' << entry.field;
      EXPECT_LE(entry.text.size(), 300u) << entry.type << '.' << entry.field << ": two sentences should do";
    }
  }
}

}  // namespace
}  // namespace krake
