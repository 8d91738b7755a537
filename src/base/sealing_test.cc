#include "base/sealing.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/encoding.h"

namespace krake {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string line(std::string_view id, char c) { return fmt::format("{} {}\n", id, base64_encode(std::string(32, c))); }
SealingKeys keys(const std::string& text) {
  auto parsed = SealingKeys::parse(text, "keys");
  if (!parsed) throw std::runtime_error(parsed.error().message);
  return std::move(*parsed);
}

TEST(Sealing, OpensWhatItSealedAndLeavesPlainTextAlone) {
  const auto all = keys(line("k1", 'a'));
  for (const std::string& plain : {std::string(), std::string(R"({"a":1})"), std::string(100'000, '\0')}) {
    const auto sealed = all.seal(plain, "/core/x");
    EXPECT_TRUE(SealingKeys::is_sealed(sealed));
    EXPECT_NE(sealed, all.seal(plain, "/core/x"));  // never twice the same
    const auto opened = all.open(sealed, "/core/x");
    ASSERT_TRUE(opened) << opened.error().message;
    EXPECT_EQ(*opened, plain);
    EXPECT_EQ(*all.open(plain, "/core/x"), plain);
  }
  EXPECT_THAT(all.seal("a secret", "x"), Not(HasSubstr("secret")));
}

TEST(Sealing, KnowsWhenSomethingWasChanged) {
  const auto all = keys(line("k1", 'a'));
  const auto sealed = all.seal("value", "/core/x");
  EXPECT_EQ(all.open(sealed, "/core/y").error().code, Code::internal);
  for (std::size_t i = sealed.find(":k1:") + 4; i < sealed.size(); ++i) {
    auto other = sealed;
    other[i] = static_cast<char>(other[i] ^ 1);
    EXPECT_FALSE(all.open(other, "/core/x")) << i;
    EXPECT_FALSE(all.open(sealed.substr(0, i), "/core/x")) << i;
  }
}

TEST(Sealing, KeysCanBeReplaced) {
  const auto old = keys(line("k1", 'a'));
  const auto both = keys("# the new one first\n" + line("k2", 'b') + line("k1", 'a'));
  const auto fresh = keys(line("k2", 'b'));
  EXPECT_EQ(*both.open(old.seal("v", "x"), "x"), "v");
  EXPECT_EQ(*fresh.open(both.seal("v", "x"), "x"), "v");
  const auto missing = fresh.open(old.seal("v", "x"), "x");
  EXPECT_EQ(missing.error().code, Code::unavailable);
  EXPECT_THAT(missing.error().message, HasSubstr("'k1'"));
  EXPECT_EQ(SealingKeys().open(old.seal("v", "x"), "x").error().code, Code::unavailable);
}

TEST(Sealing, AValueNamesItsKey) {
  const auto sealed = keys(line("k1", 'a')).seal("v", "x");
  EXPECT_EQ(SealingKeys::key_id(sealed), "k1");
  EXPECT_EQ(SealingKeys::key_id("k1:v"), "");
  EXPECT_EQ(SealingKeys::key_id(sealed.substr(0, sealed.find(":k1:") + 3)), "");
}

TEST(Sealing, KeysMayBeForReadingAlone) {
  const auto reading = keys("# not yet\nplain\n" + line("k1", 'a'));
  EXPECT_FALSE(reading.seals());
  EXPECT_EQ(*reading.open(keys(line("k1", 'a')).seal("v", "x"), "x"), "v");
  EXPECT_TRUE(keys(line("plain", 'a')).seals());
  EXPECT_FALSE(SealingKeys().seals());
  for (const auto& text : {std::string("plain\n"), line("k1", 'a') + "plain\n"})
    EXPECT_FALSE(SealingKeys::parse(text, "f"));
}

TEST(Sealing, SaysWhichLineIsWrongAndNotWhatIsInIt) {
  for (const std::string& text : {std::string("k1"), std::string("k1 c2hvcnQ="), line("a/b", 'a'),
                                  line("k", 'a') + line("k", 'b'), std::string(), std::string("# nothing\n")}) {
    const auto parsed = SealingKeys::parse(text, "keys");
    ASSERT_FALSE(parsed) << text;
    EXPECT_THAT(parsed.error().message, HasSubstr("keys"));
    EXPECT_THAT(parsed.error().message, Not(HasSubstr("c2hvcnQ")));
  }
}

}  // namespace
}  // namespace krake
