#include "cli/yaml.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace krake::cli {
namespace {

std::string one(std::string_view text) {
  auto documents = parse_yaml(text, "f");
  if (!documents) return documents.error().message;
  std::string out;
  for (const auto& document : *documents) out += (out.empty() ? "" : " | ") + json::print(document);
  return out;
}

// YAML has no halves of surrogate pairs: what has them is printed as the JSON it came as.
TEST(Yaml, HalvesOfSurrogatePairsSurvive) {
  for (const auto* text : {R"({"a":["x\ud83d\n"]})", R"({"\udc19":1})"}) {
    const auto value = json::parse(text).value();
    EXPECT_EQ(print_yaml(value), std::string(text) + "\n");
    EXPECT_EQ(parse_yaml(print_yaml(value), "x.yaml").value().front(), value);
  }
}

// YAML 1.1 breaks lines at more characters than 1.2, and has fewer.
TEST(Yaml, WhatSomeReadersDoNotTakeIsEscaped) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {R"("a\u2028b")", R"("a\u2028b")"},
      {R"("\u2029")", R"("\u2029")"},
      {R"("x\u0085y")", R"("x\u0085y")"},
      {R"("\u009f")", R"("\u009f")"},
      {R"("\ufeffa")", R"("\ufeffa")"},
      {R"("a\uffff")", R"("a\uffff")"},
      {R"("\ufffd")", "\xEF\xBF\xBD"},
      {R"("\u00a0")", "\xC2\xA0"},
      {R"("a\u2028\n\ud83d\ude00\n")", "\"a\\u2028\\n\xF0\x9F\x98\x80\\n\""},
  };
  for (const auto& [json, wanted] : cases) {
    const auto value = json::parse(json).value();
    EXPECT_EQ(print_yaml(value), std::string(wanted) + "\n");
    EXPECT_EQ(parse_yaml(print_yaml(value), "f").value().front(), value) << json;
    const json::Value in_object = json::Object{{*value.if_string(), value}};
    EXPECT_EQ(parse_yaml(print_yaml(in_object), "f").value().front(), in_object) << json;
  }
}

TEST(Yaml, KeysMayBeLongerThanALineMayBeginWith) {
  for (const std::size_t size : {1000, 1001, 5000}) {
    const std::string key(size, 'k');
    for (const auto* text : {"1", "[1,[2]]", R"({"b":{"c":[]}})", R"("a\nb\n")", "{}"}) {
      const json::Value value =
          json::Object{{"list", std::vector<json::Value>{json::Object{{key, json::parse(text).value()}, {"z", 1}}}}};
      EXPECT_EQ(parse_yaml(print_yaml(value), "f").value().front(), value) << size << ' ' << text;
    }
  }
}

TEST(Yaml, IntegersAreAsLongAsJsonNumbers) {
  const std::string most(json::kMaxNumberSize, '7');
  for (const auto& text : {most, "-" + most}) {
    EXPECT_EQ(one(text), text);
    EXPECT_EQ(one(print_yaml(json::parse(text).value())), text);
  }
  EXPECT_EQ(one(most + "7"), "\"" + most + "7\"");
  EXPECT_EQ(one("0x" + std::string(3500, 'f')).size(), 4215U);
  EXPECT_EQ(one("0x" + std::string(3600, 'f')), "\"0x" + std::string(3600, 'f') + "\"");
}

TEST(Yaml, ResolvesPlainScalarsAsYaml11) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"yes", "true"},
      {"No", "false"},
      {"ON", "true"},
      {"off", "false"},
      {"True", "true"},
      {"y", "\"y\""},
      {"tRue", "\"tRue\""},
      {"~", "null"},
      {"null", "null"},
      {"Null", "null"},
      {"nUll", "\"nUll\""},
      {"0", "0"},
      {"12", "12"},
      {"-12", "-12"},
      {"+12", "12"},
      {"1_000", "1000"},
      {"0644", "420"},
      {"-010", "-8"},
      {"08", "\"08\""},
      {"0o17", "\"0o17\""},
      {"0x1F", "31"},
      {"0b101", "5"},
      {"00", "0"},
      {"123456789012345678901234567890", "123456789012345678901234567890"},
      {"0xFFFFFFFFFFFFFFFFFF", "4722366482869645213695"},
      {"1.5", "1.5"},
      {"1.", "1.0"},
      {".5", "0.5"},
      {"-1.5", "-1.5"},
      {"1e3", "\"1e3\""},
      {"1.0e3", "\"1.0e3\""},
      {"1.0e+3", "1000.0"},
      {"1.5E-2", "0.015"},
      {"1.2.3", "\"1.2.3\""},
      {".", "\".\""},
      {"-", "\"-\""},
      {"+", "\"+\""},
      {"._5", "\"._5\""},
      {".inf", "Infinity"},
      {"-.INF", "-Infinity"},
      {".NaN", "NaN"},
      {"12:30", "750"},
      {"1:02:03", "3723"},
      {"12:60", "\"12:60\""},
      {"1:30.5", "90.5"},
      {"08:30", "\"08:30\""},
      {"2020-01-02", "\"2020-01-02\""},
      {"2020-01-02T03:04:05Z", "\"2020-01-02T03:04:05Z\""},
      {"10Gi", "\"10Gi\""},
  };
  for (const auto& [text, wanted] : cases) EXPECT_EQ(json::print(resolve_scalar(text)), wanted) << text;
}

TEST(Yaml, ReadsDocumentsAsJson) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"", ""},
      {"# nothing\n", ""},
      {"a: 1\n---\nb: yes\n", R"({"a":1} | {"b":true})"},
      {"# text\n---\na: 1\n---\n---\nb: 2\n", R"({"a":1} | null | {"b":2})"},
      {"a: '1'\nb: \"yes\"\nc: no\n", R"({"a":"1","b":"yes","c":false})"},
      {"a:\nb: ''\n", R"({"a":null,"b":""})"},
      {"1: a\ntrue: b\n~: c\n1.5: d\n", R"({"1":"a","true":"b","null":"c","1.5":"d"})"},
      {"a: |\n  x\n  y\nb: >-\n  x\n  y\n", R"({"a":"x\ny\n","b":"x y"})"},
      {"a: |2\n    x\n", R"({"a":"  x\n"})"},
      {"base: &b {x: 1, y: 2}\nc:\n  <<: *b\n  y: 3\n", R"({"base":{"x":1,"y":2},"c":{"y":3,"x":1}})"},
      {"a: &a {x: 1}\nb: &b {x: 2, y: 2}\nc: {<<: [*a, *b]}\n", R"({"a":{"x":1},"b":{"x":2,"y":2},"c":{"x":1,"y":2}})"},
      {"a: &x [1, 2]\nb: *x\n", R"({"a":[1,2],"b":[1,2]})"},
      {"a: &x 5\nb: *x\n", R"({"a":5,"b":5})"},
      {"a: !!str 1\nb: !!int '7'\nc: !!float 3\nd: !custom x\n", R"({"a":"1","b":7,"c":3.0,"d":"x"})"},
      {R"({"a": "\ud83d\ude00", "b": [1, {"c": null}]})", R"({"a":"😀","b":[1,{"c":null}]})"},
      {"{a: 1, b: [x, y]}", R"({"a":1,"b":["x","y"]})"},
      {"- a\n- - b\n  - c\n", R"(["a",["b","c"]])"},
      {"text", R"("text")"},
      {"%YAML 1.1\n---\na: 1\n...\n", R"({"a":1})"},
  };
  for (const auto& [text, wanted] : cases) EXPECT_EQ(one(text), wanted) << text;
}

TEST(Yaml, RefusesWithThePlaceOfTheMistake) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"a: 1\nb: 2\na: 3\n", "f:3:1: the key 'a' is given twice"},
      {"a: 1\n'a': 3\n", "f:2:1: the key 'a' is given twice"},
      {"a: [1\n", "f:2:1: "},
      {"a: b: c\n", "f:1:5: "},
      {"a: *nobody\n", "f:1:4: the referenced anchor is not defined"},
      {"? [1, 2]\n: x\n", "f:1:3: a list or mapping as key"},
      {"a: &a [*a]\n", "f:1:8: an alias inside of what it stands for"},
      {"<<: 5\n", "f:1:5: '<<' wants a mapping"},
      {"a: !!int x\n", "f:1:4: 'x' is not of the type !!int"},
      {"a: \xff\n", "f:1:1: not UTF-8 text"},
  };
  for (const auto& [text, wanted] : cases) EXPECT_TRUE(one(text).starts_with(wanted)) << text << "\n" << one(text);
}

TEST(Yaml, BoundsAliasesAndDepth) {
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    bomb += fmt::format("a{0}: &a{0} [", i);
    for (int j = 0; j < 10; ++j) bomb += fmt::format("{}*a{}", j ? ", " : "", i - 1);
    bomb += "]\n";
  }
  EXPECT_TRUE(one(bomb).contains("more than 1000000 values")) << one(bomb).substr(0, 200);
  EXPECT_TRUE(one(std::string(300, '[') + std::string(300, ']')).contains("levels deep"));
  // Depth through aliases.
  std::string deep = "a0: &a0 [x]\n";
  for (int i = 1; i < 300; ++i) deep += fmt::format("a{0}: &a{0} [*a{1}]\n", i, i - 1);
  EXPECT_TRUE(one(deep).contains("levels deep"));
  EXPECT_FALSE(parse_yaml(std::string(100'000, '['), "f"));
}

TEST(Yaml, PrintsSortedBlocks) {
  const auto value = json::parse(
      R"({"b":[{"y":1,"x":[]},{"z":{}},[1,[2]],"t"],"a":{"k":null,"j":true},"m":"x\ny\n","n":"x\ny","s":"yes","d":1.0,"e":"","o":"0644","c":"a: b","u":"é"})");
  EXPECT_EQ(print_yaml(*value),
            "a:\n  j: true\n  k: null\n"
            "b:\n- x: []\n  \"y\": 1\n- z: {}\n- - 1\n  - - 2\n- t\n"
            "c: \"a: b\"\nd: 1.0\ne: \"\"\nm: |\n  x\n  y\n\"n\": \"x\\ny\"\no: \"0644\"\ns: \"yes\"\nu: é\n");
  EXPECT_EQ(print_yaml(json::Array{}), "[]\n");
  EXPECT_EQ(print_yaml(json::Value("x")), "x\n");
}

TEST(Yaml, KnowsWhereThingsStand) {
  const auto good = parse_yaml_with_lines(
      "# nothing\n---\na: &x\n  b:\n  - c: 1\n  - - 2\n    - 3\ny: *x\n---\nd.e: 0\nf: {g: 1,\n  h: 2}\n", "f");
  ASSERT_TRUE(good) << good.error().message;
  ASSERT_EQ(good->size(), 2U);
  const std::tuple<std::size_t, std::string_view, int> rows[] = {
      {0, "a", 3},        {0, "a.b", 4},   {0, "a.b.0", 5}, {0, "a.b.0.c", 5}, {0, "a.b.1.1", 7},
      {0, "a.b.0.no", 5}, {0, "y.b.0", 8}, {0, "no", 0},    {1, "d.e", 10},    {1, "f.h", 12},
  };
  for (const auto& [document, path, line] : rows) EXPECT_EQ((*good)[document].lines.of(path), line) << path;
  EXPECT_EQ(parse_yaml_with_lines(R"({"a": 1})", "f")->front().lines.of("a"), 0) << "JSON text has none";
}

// Upstream's parser has no eye for it: files that have such keys are in use.
TEST(Yaml, TheLastOfARepeatedKeyMayCount) {
  const auto read = [](std::string_view text) {
    return parse_yaml_with_lines(text, "f", {}, RepeatedKey::last_counts).value();
  };
  const auto got = read("a: {b: 1, c: 2}\nd: 3\n'a':\n  b: 4\n  b: 5\nd: 6\nd: 7\n---\n- x: 1\n- x: 2\n  x: 3\n");
  ASSERT_EQ(got.size(), 2U);
  EXPECT_EQ(json::print(got[0].value), R"({"a":{"b":5},"d":7})");
  EXPECT_EQ(got[0].warnings, (std::vector<std::string>{"f:3: the key 'a' is there since line 1; the last one counts",
                                                       "f:5: the key 'a.b' is there since line 4; the last one counts",
                                                       "f:6: the key 'd' is there since line 2; the last one counts",
                                                       "f:7: the key 'd' is there since line 6; the last one counts"}));
  EXPECT_EQ(got[0].lines.of("a.b"), 5);
  EXPECT_EQ(got[0].lines.of("a.c"), 3) << "as of something that is not there";
  EXPECT_EQ(json::print(got[1].value), R"([{"x":1},{"x":3}])");
  EXPECT_EQ(got[1].warnings.size(), 1U);
  EXPECT_TRUE(got[1].warnings[0].starts_with("f:11: the key '1.x' is there since line 10")) << got[1].warnings[0];
  EXPECT_FALSE(parse_yaml_with_lines("? [1]\n: x\n", "f", {}, RepeatedKey::last_counts)) << "upstream refuses it, too";
}

TEST(Yaml, ReadsBackWhatItPrints) {
  const std::string_view texts[] = {"",           " ",     "a",        " a",     "a ",        "-",        "- a",
                                    "?",          "a:",    "a: b",     "a #b",   "#a",        "'a'",      "\"",
                                    "yes",        "1",     "1.5",      "0x1",    "1e3",       "~",        "null",
                                    "2020-01-02", "12:30", "a\nb",     "a\nb\n", "\na\n",     "  a\nb\n", "a\n\n",
                                    "a \nb\n",    "\t",    "a\tb\n",   "*a",     "&a",        "!a",       "%a",
                                    "@a",         "`a",    "{a",       "[a",     "a]",        "a, b",     "<<",
                                    "=",          "---",   "...",      "|",      ">",         "é\n漢\n",  "\x7f",
                                    "\x01\n",     ".inf",  "a\n\nb\n", "\u0085", "\u2028x\n", "y",        "n",
                                    "+1",         "1_0",   "0o7",      "=x",     "a\\b",      "\r\n"};
  json::Array all;
  for (const auto text : texts) {
    all.emplace_back(text);
    all.push_back(json::Object{{std::string(text), text}});
    all.push_back(json::Object{{"k", json::Array{json::Value(text), json::Object{{"m", text}}}}});
  }
  for (const auto& value : all) {
    const auto printed = print_yaml(value);
    const auto back = parse_yaml(printed, "f");
    ASSERT_TRUE(back) << back.error().message << "\n" << printed;
    ASSERT_EQ(back->size(), 1U) << printed;
    EXPECT_EQ(json::print(back->front()), json::print(value)) << printed;
  }
}

}  // namespace
}  // namespace krake::cli
