#include "meta/schema.h"

#include <gtest/gtest.h>

#include "meta/kind_schema.h"

namespace krake {
namespace {

BOOST_DEFINE_ENUM_CLASS(Size, SMALL, LARGE)

struct Lid {
  static constexpr std::string_view kTag = "lid";
  std::string colour;
  static constexpr FieldMark kMarks[] = {{"colour", kRequired}};
  friend bool operator==(const Lid&, const Lid&) = default;
};
BOOST_DESCRIBE_STRUCT(Lid, (), (colour))
struct Cork {
  static constexpr std::string_view kTag = "cork";
  double width = 0.5;
  friend bool operator==(const Cork&, const Cork&) = default;
};
BOOST_DESCRIBE_STRUCT(Cork, (), (width))

struct Origin {
  std::string place = "here";
  DateTime filled;
  static constexpr FieldMark kMarks[] = {{"filled", kRequired | kReadonly}};
  friend bool operator==(const Origin&, const Origin&) = default;
};
BOOST_DESCRIBE_STRUCT(Origin, (), (place, filled))

struct JarSpec {
  std::string label;
  Integer litres = 3;
  bool open = false;
  Size size = Size::LARGE;
  std::optional<std::string> note;
  std::optional<Integer> shelf;
  std::vector<std::string> tags;
  StringMap<double> shares;
  json::Object free;
  OneOf<Lid, Cork> stopper;
  Unknown unknown;
  static constexpr FieldMark kMarks[] = {
      {"label", kRequired | kImmutable}, {"note", kSecret}, {"shelf", kAdditive}, {"stopper", kRequired}};
  static constexpr FieldLimit kLimits[] = {{.name = "label", .pattern = "^[a-z]+$", .min = 1, .max = 9},
                                           {.name = "litres", .min = 1}};
  friend bool operator==(const JarSpec&, const JarSpec&) = default;
};
BOOST_DESCRIBE_STRUCT(JarSpec, (), (label, litres, open, size, note, shelf, tags, shares, free, stopper))

struct Jar {
  static constexpr std::string_view kApi = "cellar", kKindName = "Jar", kPlural = "jars";
  static constexpr bool kNamespaced = true;
  ObjectMeta metadata;
  JarSpec spec;
  Origin origin;
  Unknown unknown;
  static constexpr FieldMark kMarks[] = {{"metadata", kRequired}, {"spec", kRequired}, {"origin", kRequired}};
  friend bool operator==(const Jar&, const Jar&) = default;
};
BOOST_DESCRIBE_STRUCT(Jar, (), (metadata, spec, origin))

constexpr FieldText kTexts[] = {{"JarSpec", "", "Of a jar."}, {"JarSpec", "label", "What it says."}};

json::Value schema_of(const std::string& name) {
  const FieldTexts texts{kTexts};
  Registry registry;
  registry.add(make_kind<Jar>());
  const auto schemas = schema::schemas_of(registry, texts);
  const auto* found = schemas.find(name);
  return found ? *found : json::Value("there is no " + name);
}
json::Value property(const std::string& name, std::string_view field) {
  const auto schema = schema_of(name);
  const auto* found = schema.at_path({"properties", field});
  return found ? *found : json::Value(fmt::format("{} has no {}: {}", name, field, json::print(schema)));
}
std::string required(const std::string& name) {
  const auto schema = schema_of(name);
  const auto* found = schema.at_path({"required"});
  return found ? json::print(*found) : "none";
}

TEST(Schema, OfAnAnswerIsExact) {
  const std::pair<std::string_view, std::string_view> kWanted[] = {
      {"label", R"({"type":"string","description":"What it says.","x-krake-required":true,"x-krake-immutable":true})"},
      {"litres", R"({"type":"integer","default":3})"},
      {"open", R"({"type":"boolean","default":false})"},
      {"size", R"({"type":"string","enum":["SMALL","LARGE"],"default":"LARGE"})"},
      {"note", R"({"type":["string","null"],"x-krake-secret":true,"default":null})"},
      {"shelf", R"({"type":"integer","x-krake-additive":true})"},
      {"tags", R"({"type":"array","items":{"type":"string"},"default":[]})"},
      {"shares", R"({"type":"object","additionalProperties":{"type":"number"},"default":{}})"},
      {"free", R"({"type":"object","additionalProperties":true,"default":{}})"},
      {"stopper", R"({"oneOf":[{"$ref":"#/components/schemas/LidChoice"},{"$ref":"#/components/schemas/CorkChoice"}],
          "discriminator":{"propertyName":"type","mapping":{"lid":"#/components/schemas/LidChoice",
          "cork":"#/components/schemas/CorkChoice"}},"x-krake-required":true})"},
  };
  for (const auto& [field, wanted] : kWanted) {
    EXPECT_EQ(property("JarSpec", field), *json::parse(wanted)) << json::print(property("JarSpec", field));
  }
  EXPECT_EQ(schema_of("JarSpec").string_at({"description"}), "Of a jar.");
  // An answer has every field but the additive ones.
  EXPECT_EQ(required("JarSpec"), R"(["label","litres","open","size","note","tags","shares","free","stopper"])");
  EXPECT_EQ(required("Jar"), R"(["api","kind","metadata","spec","origin"])");
  EXPECT_EQ(property("Jar", "kind"), *json::parse(R"({"type":"string","const":"Jar"})"));
  // Stored unknown keys are shown where the struct keeps them.
  EXPECT_EQ(*schema_of("JarSpec").at_path({"additionalProperties"}), json::Value(true));
  EXPECT_EQ(*schema_of("Origin").at_path({"additionalProperties"}), json::Value(false));
  EXPECT_EQ(*schema_of("LidChoice").at_path({"additionalProperties"}), json::Value(false));
  EXPECT_EQ(property("LidChoice", "type"), *json::parse(R"({"type":"string","const":"lid"})"));
  EXPECT_EQ(required("LidChoice"), R"(["type","lid"])");
}

TEST(Schema, OfABodyTakesWhatTheCodecTakes) {
  EXPECT_EQ(property("JarSpecInput", "litres"),
            *json::parse(R"({"$ref":"#/components/schemas/IntegerInput","minimum":1,"default":3})"));
  EXPECT_EQ(property("JarSpecInput", "label"),
            *json::parse(R"({"type":"string","pattern":"^[a-z]+$","minLength":1,"maxLength":9,
                             "description":"What it says.","x-krake-required":true,"x-krake-immutable":true})"));
  EXPECT_EQ(property("JarSpecInput", "shelf"),
            *json::parse(R"({"anyOf":[{"$ref":"#/components/schemas/IntegerInput"},{"type":"null"}],
                             "x-krake-additive":true})"));
  EXPECT_EQ(required("JarSpecInput"), R"(["label","stopper"])");
  EXPECT_EQ(*schema_of("LidChoice").at_path({"additionalProperties"}), json::Value(false));
  EXPECT_EQ(*schema_of("LidInputChoice").at_path({"additionalProperties"}), json::Value(true));
}

TEST(Schema, WhatIsTheServersIsNotInAPostAndMustBeInAPut) {
  EXPECT_EQ(required("JarCreate"), R"(["metadata","spec","origin"])");
  EXPECT_EQ(schema_of("OriginCreate").at_path({"properties", "filled"}), nullptr);
  EXPECT_EQ(required("OriginCreate"), "none");
  EXPECT_EQ(required("OriginUpdate"), R"(["filled"])");
  EXPECT_EQ(property("OriginUpdate", "filled"),
            *json::parse(R"({"$ref":"#/components/schemas/DateTimeInput","x-krake-readonly":true})"));
  EXPECT_EQ(property("JarUpdate", "metadata").string_at({"$ref"}), "#/components/schemas/ObjectMetaUpdate");
  // Where they do not differ there is one.
  EXPECT_EQ(property("JarCreate", "spec").string_at({"$ref"}), "#/components/schemas/JarSpecInput");
  EXPECT_EQ(property("JarUpdate", "spec").string_at({"$ref"}), "#/components/schemas/JarSpecInput");
  EXPECT_TRUE(schema_of("JarSpecCreate").is_string());
}

TEST(Schema, OfListsWatchesAndWhatTheKindIs) {
  EXPECT_EQ(property("JarList", "items").string_at({"items", "$ref"}), "#/components/schemas/Jar");
  EXPECT_EQ(property("JarWatchEvent", "object").string_at({"$ref"}), "#/components/schemas/Jar");
  EXPECT_EQ(*schema_of("Jar").at_path({"x-krake-kind"}),
            *json::parse(R"({"group":"cellar","kind":"Jar","plural":"jars","namespaced":true,
              "verbs":["create","delete","get","list","patch","update","watch"],"subresources":[]})"));
}

// Each $ref leads somewhere.
void follow(const json::Value& value, const json::Object& schemas) {
  if (const auto* array = value.if_array()) {
    for (const auto& element : *array) follow(element, schemas);
  }
  if (const auto* object = value.if_object()) {
    for (const auto& [key, member] : *object) {
      if (key == "$ref") {
        const std::string_view name = *member.if_string();
        EXPECT_TRUE(schemas.contains(name.substr(std::string_view("#/components/schemas/").size()))) << name;
      }
      follow(member, schemas);
    }
  }
}

TEST(Schema, RefersToWhatIsThere) {
  const FieldTexts texts;
  Registry registry;
  registry.add(make_kind<Jar>());
  const auto schemas = schema::schemas_of(registry, texts);
  for (const auto& [name, value] : schemas) follow(value, schemas);
}

TEST(Schema, NamesTypesWithoutNamespaces) {
  EXPECT_EQ(schema::type_name<ObjectMeta>(), "ObjectMeta");
  EXPECT_EQ(schema::type_name<JarSpec>(), "JarSpec");
}

// What the limits of a struct exclude, its check() refuses.
template <class T>
void expect_limits(const json::Object& valid) {
  const auto accepted = [&](std::string_view field, json::Value value) {
    auto body = valid;
    body.set(field, std::move(value));
    return decode_json<T>(body, Form::full).has_value();
  };
  for (const auto& limit : T::kLimits) {
    const auto* present = valid.find(limit.name);
    ASSERT_NE(present, nullptr) << limit.name;
    const auto of = [&](std::int64_t n) {
      return present->is_string() ? json::Value(std::string(static_cast<std::size_t>(n), 'a')) : json::Value(n);
    };
    if (limit.min) EXPECT_TRUE(accepted(limit.name, of(*limit.min))) << limit.name;
    if (limit.min) EXPECT_FALSE(accepted(limit.name, of(*limit.min - 1))) << limit.name;
    if (limit.max) EXPECT_TRUE(accepted(limit.name, of(*limit.max))) << limit.name;
    if (limit.max) EXPECT_FALSE(accepted(limit.name, of(*limit.max + 1))) << limit.name;
    if (!limit.pattern.empty()) EXPECT_FALSE(accepted(limit.name, "-")) << limit.name;
  }
}

TEST(Schema, LimitsOfMetadataAreThoseOfItsCheck) {
  expect_limits<ObjectMeta>(*json::parse(R"({"name":"a","namespace":"b","uid":"u","created":"2026-01-01T00:00:00",
                                             "modified":"2026-01-01T00:00:00"})")
                                 ->if_object());
}

}  // namespace
}  // namespace krake
