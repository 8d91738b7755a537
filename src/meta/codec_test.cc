#include "meta/codec.h"

#include <gtest/gtest.h>

#include "meta/kind.h"

namespace krake {
namespace {

BOOST_DEFINE_ENUM_CLASS(Colour, RED, GREEN)

struct Inner {
  std::string text = "none";
  std::optional<Integer> number;
  static constexpr FieldMark kMarks[] = {{"number", kImmutable}};
  friend bool operator==(const Inner&, const Inner&) = default;
};
BOOST_DESCRIBE_STRUCT(Inner, (), (text, number))

struct Circle {
  static constexpr std::string_view kTag = "circle";
  double radius = 0;
  static constexpr FieldMark kMarks[] = {{"radius", kRequired}};
  friend bool operator==(const Circle&, const Circle&) = default;
};
BOOST_DESCRIBE_STRUCT(Circle, (), (radius))
struct Square {
  static constexpr std::string_view kTag = "square";
  Integer side;
  friend bool operator==(const Square&, const Square&) = default;
};
BOOST_DESCRIBE_STRUCT(Square, (), (side))

struct Outer {
  std::string name;
  Integer count = 3;
  double weight = 0;
  bool flag = false;
  std::optional<DateTime> when;
  Colour colour = Colour::RED;
  json::Object free;
  std::vector<Inner> list;
  StringMap<double> map;
  std::optional<OneOf<Circle, Square>> shape;
  std::string stamp = "server";
  Unknown unknown;
  static constexpr FieldMark kMarks[] = {{"name", kRequired}, {"stamp", kRequired | kReadonly}};
};
BOOST_DESCRIBE_STRUCT(Outer, (), (name, count, weight, flag, when, colour, free, list, map, shape, stamp))

Result<Outer> load(std::string_view text, Form form = Form::create) {
  return decode_json<Outer>(*json::parse(text), form);
}
std::string error(std::string_view text, Form form = Form::create) {
  const auto value = load(text, form);
  return value ? "accepted" : value.error().message;
}

TEST(Codec, FillsDefaultsAndPrintsAllFields) {
  EXPECT_EQ(
      encode_json(*load(R"({"name":"x"})")),
      R"({"name":"x","count":3,"weight":0.0,"flag":false,"when":null,"colour":"RED","free":{},"list":[],"map":{},"shape":null,"stamp":"server"})");
}

TEST(Codec, CoercesAsTheContractSays) {
  const char* integers[][2] = {
      {"5", "5"},         {"1.9", "1"},       {"-1.9", "-1"},
      {R"(" +5 ")", "5"}, {R"("1_0")", "10"}, {"123456789012345678901234567890", "123456789012345678901234567890"}};
  for (const auto& [in, out] : integers)
    EXPECT_EQ(load(fmt::format(R"({{"name":"x","count":{}}})", in))->count.text(), out) << in;
  for (const auto* bad : {"true", R"("5.0")", R"("1e3")", R"("")", R"("0x1")", "[]", "{}", R"("1__0")", R"("_1")"}) {
    EXPECT_EQ(error(fmt::format(R"({{"name":"x","count":{}}})", bad)), "{'count': ['Not a valid integer.']}") << bad;
  }
  for (const std::string_view number : {"1e400", "1e99999999999", "-1e99999999999", "Infinity", "-Infinity"}) {
    EXPECT_EQ(error(fmt::format(R"({{"name":"x","count":{}}})", number)), "{'count': ['Number too large.']}") << number;
  }
  EXPECT_EQ(error(R"({"name":"x","count":NaN})"), "{'count': ['Not a valid integer.']}");
  for (const std::string_view number : {"1e99999999999", "NaN", "Infinity", "-Infinity"}) {
    EXPECT_EQ(error(fmt::format(R"({{"name":"x","weight":{}}})", number)),
              "{'weight': ['Special numeric values (nan or infinity) are not permitted.']}")
        << number;
  }
  EXPECT_EQ(error(R"({"name":"x","map":{"\ud83d":"\udc19"}})"),
            R"({'map': {'\ud83d': {'value': ['Not a valid number.']}}})");
  EXPECT_EQ(load(R"({"name":"x","weight":"1e3"})")->weight, 1000);
  EXPECT_EQ(error(R"({"name":"x","weight":1e400})"),
            "{'weight': ['Special numeric values (nan or infinity) are not permitted.']}");
  EXPECT_EQ(error(R"({"name":"x","weight":"nan"})"),
            "{'weight': ['Special numeric values (nan or infinity) are not permitted.']}");
  EXPECT_EQ(error(R"({"name":"x","weight":true})"), "{'weight': ['Not a valid number.']}");
  for (const auto* yes : {"true", "1", "1.0", R"("Yes")", R"("on")"})
    EXPECT_TRUE(load(fmt::format(R"({{"name":"x","flag":{}}})", yes))->flag) << yes;
  EXPECT_EQ(error(R"({"name":"x","flag":2})"), "{'flag': ['Not a valid boolean.']}");
  EXPECT_EQ(error(R"({"name":"x","colour":"__doc__"})"), "{'colour': ['Invalid enum member __doc__']}");
  EXPECT_EQ(error(R"({"name":"x","colour":1})"), "{'colour': ['Enum name must be string']}");
}

TEST(Codec, IntegersGivenAsTextCanBeReadBack) {
  const std::string most(json::kMaxNumberSize, '1');
  for (const auto& text : {most, "-" + most, "1_" + most.substr(1)}) {
    const auto value = load(fmt::format(R"({{"name":"x","count":"{}"}})", text));
    ASSERT_TRUE(value) << text;
    EXPECT_TRUE(json::parse(encode_json(*value)));
  }
  for (const auto& text : {most + "1", "-" + most + "1", "0" + most, "1_" + most}) {
    EXPECT_EQ(error(fmt::format(R"({{"name":"x","count":"{}"}})", text)), "{'count': ['Not a valid integer.']}");
  }
}

TEST(Codec, FloatsBecomeTheIntegerPythonMakesOfThem) {
  const std::pair<std::string_view, std::string_view> rows[] = {
      {"-0.9", "0"},
      {"2.0e3", "2000"},
      {"9223372036854774784.0", "9223372036854774784"},  // the last double below 2^63
      {"9223372036854775808.0", "9223372036854775808"},
      {"-9223372036854775808.0", "-9223372036854775808"},
      {"-9.3e18", "-9300000000000000000"},
      {"1e23", "99999999999999991611392"},
  };
  for (const auto& [in, out] : rows) {
    EXPECT_EQ(load(fmt::format(R"({{"name":"x","count":{}}})", in))->count.text(), out) << in;
  }
  const auto most = load(R"({"name":"x","count":1.7976931348623157e308})")->count.text();
  EXPECT_EQ(most.size(), 309u);
  EXPECT_TRUE(most.starts_with("179769313486231570814527423731704356798070567525844996598917476803157")) << most;
  EXPECT_TRUE(most.ends_with("858368")) << most;
}

TEST(Codec, ReportsEveryErrorAtItsPlace) {
  EXPECT_EQ(error("[]"), "{'_schema': ['Invalid input type.']}");
  EXPECT_EQ(error("{}"), "{'name': ['Missing data for required field.']}");
  EXPECT_EQ(error(R"({"name":null,"list":[{"text":1},{}],"map":{"a":"b"},"when":"soon"})"),
            "{'name': ['Field may not be null.'], 'when': ['Not a valid datetime.'], 'list': {0: {'text': ['Not a "
            "valid string.']}}, "
            "'map': {'a': {'value': ['Not a valid number.']}}}");
  EXPECT_EQ(error(R"({"name":"x","shape":{"type":"line"}})"), R"({'shape': {'type': ["Unknown type 'line'"]}})");
  EXPECT_EQ(error(R"({"name":"x","shape":{"type":"circle"}})"), "{'shape': {'circle': ['Field is required']}}");
  EXPECT_EQ(error(R"({"name":"x","shape":{"type":"circle","circle":{}}})"),
            "{'shape': {'radius': ['Missing data for required field.']}}");
}

TEST(Codec, ReadonlyFieldsAreSkippedOnCreateAndWantedOnUpdate) {
  EXPECT_EQ(load(R"({"name":"x","stamp":[1]})")->stamp, "server");
  EXPECT_EQ(error(R"({"name":"x"})", Form::full), "{'stamp': ['Missing data for required field.']}");
}

TEST(Codec, TaggedUnionsKeepOneVariant) {
  const auto value = load(R"({"name":"x","shape":{"type":"square","square":{"side":2},"circle":{"radius":1}}})");
  EXPECT_NE(value->shape->as<Square>(), nullptr);
  EXPECT_NE(encode_json(*value).find(R"("shape":{"type":"square","square":{"side":2}})"), std::string::npos);
}

TEST(Codec, UnknownKeysSurviveOnlyFromTheStore) {
  const auto body = load(R"({"name":"x","later":1})");
  EXPECT_EQ(encode_json(*body).find("later"), std::string::npos);
  auto stored = *load(R"({"name":"x","stamp":"s","later":{"a":[1]}})", Form::stored);
  EXPECT_NE(encode_json(stored).find(R"("later":{"a":[1]})"), std::string::npos);
  auto update = *load(R"({"name":"y","stamp":"client"})", Form::full);
  EXPECT_EQ(changed_immutable(update, stored), "");
  keep_stored(update, stored);
  EXPECT_EQ(update.stamp, "s");
  EXPECT_NE(encode_json(update).find("later"), std::string::npos);
}

struct Key {
  std::string user;
  std::string password;
  std::optional<std::string> token;
  json::Object certificate;
  static constexpr FieldMark kMarks[] = {{"password", kSecret}, {"token", kSecret}, {"certificate", kSecret}};
};
BOOST_DESCRIBE_STRUCT(Key, (), (user, password, token, certificate))
struct Door {
  static constexpr std::string_view kTag = "door";
  std::optional<Key> key;
};
BOOST_DESCRIBE_STRUCT(Door, (), (key))
struct House {
  std::vector<Key> list;
  StringMap<Key> map;
  OneOf<Door> way;
};
BOOST_DESCRIBE_STRUCT(House, (), (list, map, way))

TEST(Codec, SecretsAreMaskedByTheirMark) {
  const Key key{.user = "u", .password = "HIDE", .token = "HIDE", .certificate = {{"data", "HIDE"}}};
  const std::string hidden = R"({"user":"u","password":"********","token":"********","certificate":"********"})";
  EXPECT_EQ(encode_masked(key), hidden);
  EXPECT_EQ(encode_masked(Key{.user = "u"}), encode_json(Key{.user = "u"})) << "what is not set is shown so";
  House house{.list = {key}, .map = {.entries = {{"a", key}}}, .way = {Door{key}}};
  EXPECT_EQ(encode_masked(house), fmt::format(R"({{"list":[{0}],"map":{{"a":{0}}},"way":{{"type":"door","door":)"
                                              R"({{"key":{0}}}}}}})",
                                              hidden));
  EXPECT_EQ(json::print(masked<House>(*json::parse(R"({"list":5,"map":[],"way":{"door":{"key":null}}})"))),
            R"({"list":5,"map":[],"way":{"door":{"key":null}}})");
}

TEST(Codec, ImmutableFieldsAreFoundInNestedStructs) {
  EXPECT_EQ(changed_immutable(Inner{.number = 1}, Inner{.number = 2}), "number");
  EXPECT_EQ(changed_immutable(Inner{.text = "a"}, Inner{.text = "b"}), "");
}

// ---- an example group: adding a kind touches one place.

struct ShipSpec {
  std::string port;
  Integer decks = 1;
  static constexpr FieldMark kMarks[] = {{"port", kRequired}};
  friend bool operator==(const ShipSpec&, const ShipSpec&) = default;
};
BOOST_DESCRIBE_STRUCT(ShipSpec, (), (port, decks))
struct Ship {
  static constexpr std::string_view kApi = "harbour", kKindName = "Ship", kPlural = "ships";
  static constexpr bool kNamespaced = true;
  ObjectMeta metadata;
  ShipSpec spec;
  Unknown unknown;
  static constexpr FieldMark kMarks[] = {{"metadata", kRequired}, {"spec", kRequired}};
  friend bool operator==(const Ship&, const Ship&) = default;
};
BOOST_DESCRIBE_STRUCT(Ship, (), (metadata, spec))

TEST(Kind, FollowsFromTheStruct) {
  Registry registry;
  const Kind& ship = registry.add(make_kind<Ship>());
  EXPECT_EQ(ship.collection_path("north sea"), "/harbour/namespaces/north%20sea/ships");
  EXPECT_EQ(ship.item_path("a", "b"), "/harbour/namespaces/a/ships/b");
  EXPECT_EQ(ship.storage_key("a", "b"), "/harbour/ships/a/b");
  EXPECT_FALSE(ship.has_status);
  std::string ns;
  std::string name;
  EXPECT_TRUE(ship.split_key("/harbour/ships/a/b", ns, name));
  EXPECT_EQ(ns + "+" + name, "a+b");
  for (const auto* foreign : {"/harbour/ships/a", "/harbour/ships/a/b/c", "/harbour/ships//b", "/harbour/shipsx/a/b",
                              "/harbour/ships/a b/c"}) {
    EXPECT_FALSE(ship.split_key(foreign, ns, name)) << foreign;
  }
  FieldErrors errors;
  EXPECT_EQ(ship.decode(
                ship, *json::parse(R"({"kind":"Boat","metadata":{"name":"-x","labels":{"a b":"c","d":1}},"spec":{}})"),
                Form::create, errors),
            nullptr);
  const auto text = errors.render();
  EXPECT_NE(text.find("'kind': ['Must be equal to Ship.']"), std::string::npos) << text;
  EXPECT_NE(text.find("'name': ['Invalid character in resource name.']"), std::string::npos) << text;
  EXPECT_NE(text.find("{'a b': \"Label key 'a b' does not match the regex"), std::string::npos) << text;
  EXPECT_NE(text.find("{'1': 'expected string or bytes-like object'}"), std::string::npos) << text;
}

}  // namespace
}  // namespace krake
