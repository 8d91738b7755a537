#include "base/json.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"
#include "base/testing.h"

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

// What Python's json module reads and writes, and the standard or Boost.JSON does not have.
TEST(Json, KeepsWhatPythonWrites) {
  const char* texts[] = {
      R"("\ud83d")",
      R"("\udc19")",
      R"("a\ud83d\ud83d!\udc19\udc19")",
      R"({"\ud83d":{"\udc19":["\udbff\ue000"]}})",
      "NaN",
      "[NaN,Infinity,-Infinity]",
      R"({"a":NaN,"b":"NaN","c":["Infinity",-1]})",
      "1e99999999999",
      "[-1.5E+2147483648,1e-2147483648,0e99999999999]",
      R"(["\"NaN\\",NaN,"\ud83d"])",
  };
  for (const auto* text : texts) {
    const auto value = parse(text);
    ASSERT_TRUE(value) << text << value.error().message;
    const auto printed = print(*value);
    EXPECT_TRUE(valid_utf8(printed)) << text;
    EXPECT_EQ(parse(printed).value(), *value) << text;
    EXPECT_EQ(parse(print_pretty(*value)).value(), *value) << text;
    if (!std::string_view(text).contains("ue000")) {
      EXPECT_EQ(printed, text);
    }
  }
  EXPECT_EQ(print(*parse(R"("\uD83D\uDC19\uD83D")")), "\"\xF0\x9F\x90\x99\\ud83d\"") << "pairs are pairs";
  EXPECT_EQ(print(*parse(R"(["\u0041\\ud83d",NaN])")), R"(["A\\ud83d",NaN])") << "an escaped backslash begins nothing";
  const std::string padding(5000, 'x');
  EXPECT_EQ(print(*parse(fmt::format(R"("\n{0}\ud83d{0}")", padding))), fmt::format(R"("\n{0}\ud83d{0}")", padding));
}

TEST(Json, SpecialNumbersAreNumbers) {
  const auto values = *parse("[NaN,Infinity,-Infinity,1e99999999999,1e-99999999999]");
  const auto number = [&](std::size_t i) { return *values.if_array()->at(i).if_number(); };
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_FALSE(number(i).is_integer()) << i;
    EXPECT_FALSE(number(i).as_int64()) << i;
  }
  EXPECT_TRUE(std::isnan(number(0).as_double()));
  EXPECT_EQ(number(1).as_double(), HUGE_VAL);
  EXPECT_EQ(number(2).as_double(), -HUGE_VAL);
  EXPECT_EQ(number(3).as_double(), HUGE_VAL);
  EXPECT_EQ(number(4).as_double(), 0);
  EXPECT_TRUE(same_number(number(0), number(0)));
  for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(number(i).is_special(), i != 4) << i;
  for (const auto& text : {std::string("-0"), std::string("1e308"), std::string(400, '7')})
    EXPECT_FALSE(parse(text)->if_number()->is_special()) << text;
}

TEST(Json, WhatPythonDoesNotReadIsRefused) {
  for (const auto* text : {"{NaN:1}",
                           "-NaN",
                           "+Infinity",
                           "nan",
                           "NaNs",
                           "1NaN",
                           "NaN1",
                           "NaN NaN",
                           "[NaN,]",
                           "[NaN",
                           "{\"a\":NaN,}",
                           "01e99999999999",
                           "1.e99999999999",
                           "-e99999999999",
                           "1e99999999999x",
                           R"("\ud83)",
                           R"("\ud83")",
                           R"("\ud83g")",
                           R"("\ud83d)",
                           R"("\ud83d\u12")",
                           "\"\xED\xA0\xBD\"",
                           "[NaN,\"\xED\xA0\xBD\"]",
                           "[NaN,\"\xFF\"]",
                           "[\"\\ud83d\",\"\xFFNaN\"]"}) {
    const auto value = parse(text);
    ASSERT_FALSE(value) << text;
    EXPECT_EQ(value.error().code, Code::unsupported_media);
  }
  for (const auto* text : {"NaN", "[Infinity]", "[-Infinity]", R"(["\ud83d",NaN])"})
    EXPECT_FALSE(parse(text, kMaxDepth, Numbers::finite)) << text;
  for (const auto* text : {R"("\ud83d")", "1e99999999999", R"("NaN\ud83d")"})
    EXPECT_TRUE(parse(text, kMaxDepth, Numbers::finite)) << text;
  const std::string digits(kMaxNumberSize, '1');
  EXPECT_FALSE(parse("1." + digits + "e99999999999"));
  EXPECT_FALSE(parse("[NaN," + digits + "1]"));
}

TEST(Json, TextForOthersIsUtf8) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"", ""},
      {"\xC3\xA4", "\xC3\xA4"},
      {"a\xED\xA0\xBD\xC3\xA4", "a\\ud83d\xC3\xA4"},
      {"\xED\xB0\x99\xED\xA0", "\\udc19\xEF\xBF\xBD\xEF\xBF\xBD"},
      {"\xFF", "\xEF\xBF\xBD"},
      {"\xED\x9F\xBF", "\xED\x9F\xBF"},
  };
  for (const auto& [text, wanted] : cases) {
    EXPECT_EQ(to_utf8(text), wanted);
    EXPECT_TRUE(valid_utf8(to_utf8(text)));
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
  EXPECT_FALSE(parse("[NaN," + std::string(10'000, '[') + std::string(10'000, ']') + "]"));
}

// The deepest value goes through all that works on values.
void handle_the_deepest() {
  std::string text = "1";
  for (std::size_t i = 0; i + 2 <= kMaxDepth; i += 2) text = R"([{"a":)" + text + "}]";
  auto value = *parse(text);
  EXPECT_EQ(print(value), text);
  EXPECT_EQ(*parse(print_pretty(value)), value);
  auto other = value;
  merge_patch(other, value);
  EXPECT_EQ(other, value);
  std::string patch = "1";
  for (std::size_t i = 1; i < kMaxDepth; ++i) patch = R"({"a":)" + patch + "}";
  merge_patch(other, *parse(patch));
  EXPECT_EQ(print(other), patch);
}

TEST(Depth, TheDeepestValueIsHandled) { krake::testing::on_stack(std::size_t{2} << 20, handle_the_deepest); }

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

TEST(Json, EscapesWhereverItStands) {
  const std::pair<std::string, std::string> cases[] = {{"\"", "\\\""},      {"\\", "\\\\"}, {"\x1f", "\\u001f"},
                                                       {"\x7f", "\\u007f"}, {"\n", "\\n"},  {"\xC3\xA4", "\xC3\xA4"},
                                                       {" ", " "},          {"~", "~"},     {"!", "!"}};
  for (const auto& [plain, escaped] : cases) {
    for (std::size_t before = 0; before < 20; ++before) {
      for (std::size_t behind = 0; behind < 10; ++behind) {
        const auto around = [&](const std::string& text) {
          return std::string(before, 'a') + text + std::string(behind, 'z');
        };
        EXPECT_EQ(print(Value(around(plain))), "\"" + around(escaped) + "\"");
      }
    }
  }
}

TEST(Json, AValueMayBecomeAPartOfItself) {
  const auto text = R"({"a":{"b":["long enough to be on the heap",[1,2.5,true,null]]}})";
  auto value = *parse(text);
  value = std::move(*value.if_object()->find("a"));
  EXPECT_EQ(print(value), R"({"b":["long enough to be on the heap",[1,2.5,true,null]]})");
  value = *value.at_path({"b"});  // a copy
  EXPECT_EQ(print(value), R"(["long enough to be on the heap",[1,2.5,true,null]])");
  auto& itself = value;
  value = itself;
  EXPECT_EQ(print(value), R"(["long enough to be on the heap",[1,2.5,true,null]])");
  value = std::move(itself);
  EXPECT_EQ(print(value), R"(["long enough to be on the heap",[1,2.5,true,null]])");
  for (const auto* one : {"null", "true", "17", "\"text\"", "[1]", R"({"a":1})"}) {
    for (const auto* other : {"null", "true", "17", "\"text\"", "[1]", R"({"a":1})"}) {
      Value from = *parse(one);
      Value to = *parse(other);
      to = from;
      EXPECT_EQ(print(to), one) << other;
      to = *parse(other);
      to = std::move(from);
      EXPECT_EQ(print(to), one) << other;
      EXPECT_TRUE(from.is_null()) << "what is moved from is null";
    }
  }
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
    case 4: {
      constexpr std::string_view kOthers[] = {"\"", "\\", "\n", "\x01", "\x1f", "\x7f", "\xC3\xA4", " ", "~"};
      std::string text(random.below(30), static_cast<char>('a' + random.below(26)));
      for (auto n = random.below(3); n > 0 && !text.empty(); --n)
        text.replace(random.below(text.size()), 1, kOthers[random.below(std::size(kOthers))]);
      return valid_utf8(text) ? text : std::string("a");
    }
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
