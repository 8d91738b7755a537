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

}  // namespace
}  // namespace krake
