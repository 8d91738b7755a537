#include "meta/body.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace krake {
namespace {

json::Value value_of(std::string_view text) { return json::parse(text).value(); }

TEST(Body, SpecialNumbersAreThoseThatAreStored) {
  struct Case {
    std::string_view given, stored, errors;  // stored "": nothing
  };
  constexpr std::string_view kWrong = "['Special numeric values (nan or infinity) are not permitted.']";
  const Case cases[] = {
      {R"({"a":[1,-0,1e300,1e-400,"NaN"]})", "", ""},
      {R"({"a":[1e400]})", "", "{'a': {0: MESSAGE}}"},
      {R"({"a":[1,NaN]})", "", "{'a': {1: MESSAGE}}"},
      {R"({"a":[1,NaN]})", R"({"a":[1,NaN]})", ""},
      {R"({"a":[NaN,1]})", R"({"a":[1,NaN]})", "{'a': {0: MESSAGE}}"},
      {R"({"a":[1,NaN]})", R"({"a":{"1":NaN}})", "{'a': {1: MESSAGE}}"},
      {R"({"a":Infinity,"b":-Infinity})", R"({"a":-Infinity,"b":-Infinity})", "{'a': MESSAGE}"},
      {R"({"a":Infinity})", R"({"a":1e400})", ""},  // so Python sends back what it was shown
      {R"({"a":{"b":{"c":NaN}},"d":NaN})", R"({"a":1})", "{'a': {'b': {'c': MESSAGE}}, 'd': MESSAGE}"},
  };
  for (const auto& c : cases) {
    FieldErrors errors;
    const auto stored = c.stored.empty() ? json::Value() : value_of(c.stored);
    report_special(value_of(c.given), c.stored.empty() ? nullptr : &stored, errors);
    std::string wanted(c.errors);
    for (auto at = wanted.find("MESSAGE"); at != std::string::npos; at = wanted.find("MESSAGE"))
      wanted.replace(at, 7, kWrong);
    EXPECT_EQ(errors.empty() ? "" : errors.render(), wanted) << c.given;
    EXPECT_EQ(has_special(value_of(c.given)), &c != &cases[0]) << c.given;
  }
}

TEST(Body, WhatIsWithheldKeepsItsPlace) {
  FieldErrors errors;
  errors.at("a").at(std::size_t{2}).add("secret");
  errors.at("a").at(std::size_t{2}).add("secret");
  errors.at("b").add("secret");
  errors.withhold("hidden");
  EXPECT_EQ(errors.render(), "{'a': {2: ['hidden']}, 'b': ['hidden']}");
}

// The keys of a body are anybody's: a search for each of them among all would take minutes here.
TEST(Body, ManyKeysTakeNoTime) {
  constexpr int kMany = 200'000;
  json::Object given;
  json::Object known;
  json::Object masked;
  for (int i = 0; i < kMany; ++i) given.append(fmt::format("k{}", i), "********");
  for (int i = kMany - 1; i >= 0; --i) {
    known.append(fmt::format("k{}", i), i);
    masked.append(fmt::format("k{}", i), i % 2 == 0 ? json::Value("********") : json::Value(i));
  }
  FieldErrors errors;
  report_unknown(given, known, errors);
  EXPECT_TRUE(errors.empty()) << errors.render();
  given.append("nobody-knows", 1);
  report_unknown(given, known, errors);
  EXPECT_EQ(errors.render(), "{'nobody-knows': ['Unknown field.']}");
  json::Value body = given;
  restore_masked(body, masked, known);
  EXPECT_EQ(body.int_at({"k4"}), 4);
  EXPECT_EQ(body.string_at({"k5"}), "********");
  known.append("nan", *json::parse("NaN"));
  given.append("nan", *json::parse("NaN"));
  FieldErrors special;
  report_special(given, nullptr, special);
  EXPECT_FALSE(special.empty());
  FieldErrors none;
  const json::Value stored = known;
  report_special(given, &stored, none);
  EXPECT_TRUE(none.empty()) << none.render();
}

TEST(Body, WhatIsSentBackMaskedIsWhatIsStored) {
  struct Case {
    std::string_view body, masked, stored, wanted;
  };
  const Case cases[] = {
      {R"({"a":"*","b":1})", R"({"a":"*","b":1})", R"({"a":"s","b":1})", R"({"a":"s","b":1})"},
      {R"({"a":"new","b":2})", R"({"a":"*","b":1})", R"({"a":"s","b":1})", R"({"a":"new","b":2})"},
      {R"({"b":"*"})", R"({"a":"*"})", R"({"a":"s"})", R"({"b":"*"})"},
      {R"(["*",{"x":"*"},"*","*"])", R"(["*",{"x":"*"},"*"])", R"(["p",{"x":1},"q"])", R"(["p",{"x":1},"q","*"])"},
      {R"({"a":["*"]})", R"({"a":{"0":"*"}})", R"({"a":{"0":"s"}})", R"({"a":["*"]})"},
      {R"({"a":"*"})", R"({"a":"*"})", R"({"a":{"whole":[1]}})", R"({"a":{"whole":[1]}})"},
      {R"("*")", R"("*")", R"("*")", R"("*")"},
  };
  for (const auto& c : cases) {
    auto body = value_of(c.body);
    restore_masked(body, value_of(c.masked), value_of(c.stored));
    EXPECT_EQ(json::print(body), c.wanted) << c.body;
  }
}

// What is deep and what is long, in one document: to compare all of it at each level would take minutes.
TEST(Body, DeepMasksTakeNoTime) {
  constexpr std::size_t kLong = 1'000'000;
  const auto document = [](std::string_view last, bool first) {
    json::Array array(kLong, true);
    array.front() = first;
    array.emplace_back(last);
    json::Value value(std::move(array));
    for (int i = 0; i < 1000; ++i) {
      json::Object above;
      above.append("a", std::move(value));
      value = std::move(above);
    }
    return value;
  };
  const auto stored = document("secret", true);
  auto body = document("********", false);
  restore_masked(body, document("********", true), stored);
  EXPECT_TRUE(body == document("secret", false));
}

}  // namespace
}  // namespace krake
