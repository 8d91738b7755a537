#include "base/names.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

namespace krake {
namespace {

using testing::StartsWith;

TEST(Labels, KeysAndValuesFollowTheAlphabet) {
  for (std::string_view key : {"k", "k.k", "key_one.one", "url.com/name-one", "_", "K9"}) {
    EXPECT_EQ(check_label_key(key), std::nullopt) << key;
  }
  for (std::string_view key : {"key.", "-key", "-", "url/second/key", "url/", "/key", "", "k k", "k\n", "\xc3\xa4"}) {
    EXPECT_THAT(check_label_key(key).value_or(""),
                StartsWith(fmt::format("Label key '{}' does not match the regex", key)));
  }
  for (std::string_view value : {"v-v", "a.b_c", "v", "0"}) EXPECT_EQ(check_label_value(value), std::nullopt) << value;
  for (std::string_view value : {"value.", "-v", ".", "url.com/value", "", "a b"}) {
    EXPECT_THAT(check_label_value(value).value_or(""),
                StartsWith(fmt::format("Label value '{}' does not match the regex", value)));
  }
}

TEST(Labels, LengthsAreBounded) {
  const auto a = [](std::size_t n) { return std::string(n, 'a'); };
  EXPECT_EQ(check_label_key(a(253) + "/" + a(63)), std::nullopt);
  EXPECT_NE(check_label_key(a(254) + "/" + a(63)), std::nullopt);
  EXPECT_NE(check_label_key(a(64)), std::nullopt);
  EXPECT_EQ(check_label_value(a(63)), std::nullopt);
  EXPECT_NE(check_label_value(a(64)), std::nullopt);
  EXPECT_TRUE(valid_resource_name(a(255)));
  EXPECT_FALSE(valid_resource_name(a(256)));
}

TEST(ResourceName, AllowsColonsInsideOnly) {
  for (std::string_view name : {"a", "system:admin", "a.b-c_d", "_x_", "9"})
    EXPECT_TRUE(valid_resource_name(name)) << name;
  for (std::string_view name : {"", "-", ":a", "a:", "a/b", "a b", "-a", "a."}) {
    EXPECT_FALSE(valid_resource_name(name)) << name;
  }
}

}  // namespace
}  // namespace krake
