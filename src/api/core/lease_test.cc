#include "api/core/lease.h"

#include <gtest/gtest.h>

namespace krake {
namespace {

std::string read(std::string_view body) {
  const auto request = decode_json<LeaseRequest>(*json::parse(body), Form::full);
  return request ? fmt::format("{} {}", request->holder, request->ttl_seconds.text()) : request.error().message;
}

TEST(LeaseRequest, IsASpecOrAnObjectWithOne) {
  EXPECT_EQ(read(R"({"holder":"h"})"), "h 6");
  EXPECT_EQ(read(R"({"api":"core","kind":"Lease","holder":"h","ttl_seconds":30})"), "h 30");
  const Lease lease{.spec = {.holder = "h", .ttl_seconds = 10}};
  EXPECT_EQ(read(encode_json(lease)), "h 10");
}

TEST(LeaseRequest, NamesWhatIsWrong) {
  EXPECT_EQ(read("[]"), "{'_schema': ['Invalid input type.']}");
  EXPECT_EQ(read("{}"), "{'holder': ['Missing data for required field.']}");
  EXPECT_EQ(read(R"({"kind":"Role","holder":"","ttl_seconds":1})"),
            "{'kind': ['Must be equal to Lease.'], 'holder': ['Must have 1 to 255 characters.'], 'ttl_seconds': "
            "['Must be from 2 to 3600.']}");
  EXPECT_EQ(read(R"({"spec":{"ttl_seconds":6}})"), "{'spec': {'holder': ['Missing data for required field.']}}");
  for (const char* no_number : {R"("30")", "30.0", "3e1", "true", "[30]", "{}"}) {
    EXPECT_EQ(read(fmt::format(R"({{"holder":"h","ttl_seconds":{}}})", no_number)),
              "{'ttl_seconds': ['Not a valid integer.']}")
        << no_number;
  }
  EXPECT_EQ(read(R"({"holder":"h","ttl_seconds":null})"), "{'ttl_seconds': ['Field may not be null.']}");
  EXPECT_EQ(read(R"({"spec":null})"), "{'spec': ['Field may not be null.']}");
}

// What a schema says of a lease is what check() wants.
TEST(LeaseSpec, LimitsAreThoseOfItsCheck) {
  for (const auto& limit : LeaseSpec::kLimits) {
    const auto accepts = [&](std::int64_t n) {
      json::Object body{{"holder", "h"}, {"ttl_seconds", 6}};
      body.set(limit.name, limit.name == "holder" ? json::Value(std::string(static_cast<std::size_t>(n), 'h')) : n);
      return decode_json<LeaseSpec>(body, Form::full).has_value();
    };
    EXPECT_TRUE(accepts(*limit.min) && accepts(*limit.max)) << limit.name;
    EXPECT_FALSE(accepts(*limit.min - 1) || accepts(*limit.max + 1)) << limit.name;
  }
}

}  // namespace
}  // namespace krake
