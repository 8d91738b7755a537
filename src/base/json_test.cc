#include "base/json.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace krake::json {
namespace {

TEST(Json, KeepsNumbersKeysAndTextAsGiven) {
  const char* texts[] = {
      "null",
      "true",
      "[]",
      "{}",
      "123456789012345678901234567890",
      "1.0",
      "-0.0",
      "1e30",
      "1E+2",
      "0.1",
      R"({"b":1,"a":{"c":[1,2.50,"x"]}})",
      R"("\u0001")",
      "\"\xC3\xA4\xF0\x9F\x90\x99\"",
  };
  for (const auto* text : texts) {
    const auto value = parse(text);
    ASSERT_TRUE(value) << text << value.error().message;
    EXPECT_EQ(print(*value), text);
  }
}

TEST(Json, RefusesWhatIsNotOneValue) {
  for (const auto* text : {"", " ", "{", "[1,]", "{} x", "nul", "\"\n\"", "01", "+1", "\xEF\xBB\xBF{}", "{'a':1}"}) {
    const auto value = parse(text);
    ASSERT_FALSE(value) << text;
    EXPECT_EQ(value.error().code, Code::unsupported_media);
  }
}

TEST(Json, LastOfRepeatedKeysWinsAtTheFirstPlace) {
  EXPECT_EQ(print(*parse(R"({"a":1,"b":2,"a":3})")), R"({"a":3,"b":2})");
}

// The rules for few keys hold for many, and no number of them takes long: a search per key would take minutes here.
TEST(Json, LargeObjectsFollowTheSameRules) {
  constexpr int kMany = 200'000;
  std::string text = "{";
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < kMany; ++i) text += fmt::format(R"("k{}":{},)", i, i + round);
  }
  const auto value = parse(text + R"("last":0})");
  ASSERT_TRUE(value);
  Object expected;
  for (int i = 0; i < kMany; ++i) expected.append(fmt::format("k{}", i), i + 1);
  expected.append("last", 0);
  EXPECT_EQ(print(*value), print(expected));

  Object reversed;
  Object changes;
  for (int i = kMany - 1; i >= 0; --i) {
    reversed.append(fmt::format("k{}", i), i + 1);
    changes.append(fmt::format("k{}", i), i % 2 == 0 ? Value() : Value(i));
    changes.append(fmt::format("new{}", i), i % 2 == 0 ? Value() : Value(i));
  }
  reversed.append("last", 0);
  EXPECT_EQ(*value, Value(reversed));
  auto merged = *value;
  merge_patch(merged, changes);
  Object wanted;
  for (int i = 1; i < kMany; i += 2) wanted.append(fmt::format("k{}", i), i);
  wanted.append("last", 0);
  for (int i = kMany - 1; i > 0; i -= 2) wanted.append(fmt::format("new{}", i), i);
  EXPECT_EQ(print(merged), print(wanted));
}

TEST(Json, RepeatedKeysAtTheEdgeOfLarge) {
  for (const int count : {31, 32, 33, 34}) {
    std::string text = R"({"a":1,"b":2)";
    std::string expected = R"({"a":4,"b":5)";
    for (int i = 0; i < count - 2; ++i) {
      text += fmt::format(R"(,"k{}":{})", i, i);
      expected += fmt::format(R"(,"k{}":{})", i, i);
    }
    EXPECT_EQ(print(*parse(text + R"(,"b":3,"a":4,"b":5})")), expected + "}");
  }
}

TEST(Json, DepthIsBounded) {
  const std::size_t fine = kMaxDepth - 1;
  EXPECT_TRUE(parse(std::string(fine, '[') + std::string(fine, ']')));
  EXPECT_FALSE(parse(std::string(10'000, '[') + std::string(10'000, ']')));
  EXPECT_FALSE(parse(std::string(1'000'000, '[')));
}

TEST(Json, NumbersHaveAsManyDigitsAsPythonReads) {
  const std::string most(kMaxNumberSize, '1');
  for (const auto& text : {most, "-" + most}) EXPECT_EQ(print(*parse(text)), text);
  for (const auto& text : {most + "1", "-" + most + "1", "[1," + most + "1]"}) {
    const auto value = parse(text);
    ASSERT_FALSE(value);
    EXPECT_NE(value.error().message.find("number too long: at most 4300 digits"), std::string::npos)
        << value.error().message;
  }
}

TEST(Json, EqualityIsByValue) {
  EXPECT_EQ(*parse(R"({"a":1,"b":[1.0]})"), *parse(R"({"b":[1e0],"a":1})"));
  EXPECT_FALSE(*parse("[1,2]") == *parse("[2,1]"));
  EXPECT_FALSE(*parse("1") == *parse("true"));
  EXPECT_FALSE(*parse("123456789012345678901234567890") == *parse("123456789012345678901234567891"));
}

TEST(Json, DoublesPrintAsPythonPrintsThem) {
  EXPECT_EQ(print(Value(1.0)), "1.0");
  EXPECT_EQ(print(Value(0.1)), "0.1");
  EXPECT_EQ(print(Value(1e30)), "1e+30");
  EXPECT_EQ(print(Value(1e16)), "1e+16");
  EXPECT_EQ(print(Value(123456789012345.0)), "123456789012345.0");
  EXPECT_EQ(print(Value(0.0001)), "0.0001");
  EXPECT_EQ(print(Value(0.00001)), "1e-05");
}

TEST(Json, PrettyPrintingSortsAndEscapes) {
  EXPECT_EQ(print_pretty(*parse("{\"b\":[],\"a\":[1,\"\xC3\xA4\"],\"c\":{}}")),
            "{\n  \"a\": [\n    1,\n    \"\\u00e4\"\n  ],\n  \"b\": [],\n  \"c\": {}\n}");
}

TEST(Json, MergePatchFollowsTheRfc) {
  const char* cases[][3] = {{R"({"a":"b"})", R"({"a":"c"})", R"({"a":"c"})"},
                            {R"({"a":"b","b":"c"})", R"({"a":null})", R"({"b":"c"})"},
                            {R"({"a":["b"]})", R"({"a":"c"})", R"({"a":"c"})"},
                            {R"({"a":{"b":"c"}})", R"({"a":{"b":"d","c":null}})", R"({"a":{"b":"d"}})"},
                            {R"(["a"])", R"({"a":{"bb":{"ccc":null}}})", R"({"a":{"bb":{}}})"},
                            {R"({"a":"foo"})", "null", "null"}};
  for (const auto& [target, patch, result] : cases) {
    auto value = *parse(target);
    merge_patch(value, *parse(patch));
    EXPECT_EQ(print(value), result);
  }
}

Value random_value(Random& random, int depth) {
  switch (random.below(depth > 0 ? 7 : 5)) {
    case 0:
      return nullptr;
    case 1:
      return random.chance(0.5);
    case 2:
      return static_cast<std::int64_t>(random.next());
    case 3:
      return (random.unit() - 0.5) * 1e6;
    case 4:
      return std::string(random.below(20), static_cast<char>('a' + random.below(26)));
    case 5: {
      Array array;
      for (auto n = random.below(4); n > 0; --n) array.push_back(random_value(random, depth - 1));
      return array;
    }
    default: {
      Object object;
      for (auto n = random.below(4); n > 0; --n)
        object.set("k" + std::to_string(random.below(9)), random_value(random, depth - 1));
      return object;
    }
  }
}

TEST(Json, WhatIsPrintedIsReadBackEqual) {
  Random random(7);
  for (int i = 0; i < 2000; ++i) {
    const auto value = random_value(random, 4);
    const auto text = print(value);
    ASSERT_EQ(*parse(text), value) << text;
    ASSERT_EQ(print(*parse(text)), text);
    ASSERT_EQ(*parse(print_pretty(value)), value) << text;
  }
}

}  // namespace
}  // namespace krake::json
