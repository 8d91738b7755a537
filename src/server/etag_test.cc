#include "server/etag.h"

#include <gtest/gtest.h>

namespace krake::server {
namespace {

TEST(IfMatchHeader, IsAListOfTagsComparedStrongly) {
  struct Row {
    const char* header;
    const char* text;  // "any"; "bad": refused
  };
  const Row rows[] = {
      {"*", "any"},
      {"\"7\"", "revision 7"},
      {"7", "revision 7"},
      {"\"7\", \"9\"", "revision 7, 9"},
      {" \"7\" ,\t\"9\" ", "revision 7, 9"},
      {"\"7\",, \"9\",", "revision 7, 9"},
      {"W/\"7\"", "no revision"},
      {"W/\"7\", \"9\"", "revision 9"},
      {"\"abc\"", "no revision"},
      {"\"abc\", *", "any"},
      {"\"a,b\", \"9\"", "revision 9"},
      {"\"a,b", "bad"},
      {"\"\"", "no revision"},
      {"\"99999999999999999999\"", "no revision"},
      {"", "bad"},
      {" , ", "bad"},
      {"abc", "bad"},
      {"\"7", "bad"},
      {"7\"", "bad"},
      {"\"", "bad"},
      {"W/7", "bad"},
      {"\"7\" \"9\"", "no revision"},
      {"99999999999999999999", "bad"},
  };
  for (const auto& row : rows) {
    const auto parsed = parse_if_match(row.header);
    EXPECT_EQ(!parsed ? "bad" : parsed->any ? "any" : parsed->text(), row.text) << row.header;
  }
  const auto two = *parse_if_match("\"7\", \"9\"");
  EXPECT_TRUE(two.holds(9));
  EXPECT_FALSE(two.holds(8));
  EXPECT_TRUE(IfMatch().holds(8));
}

TEST(IfMatchHeader, MayBeOnSeveralLines) {
  const Headers headers{{"If-Match", "\"7\""}, {"X", "y"}, {"if-match", "\"9\""}};
  EXPECT_EQ(joined(headers, "If-Match"), "\"7\", \"9\"");
  EXPECT_EQ(joined(headers, "X"), "y");
  EXPECT_EQ(joined(headers, "Z"), std::nullopt);
}

TEST(IfNoneMatchHeader, ComparesWeakly) {
  for (const char* header : {"*", "\"7\"", "W/\"7\"", "\"1\", \"7\"", "\"1\",W/\"7\" "})
    EXPECT_TRUE(names_tag(header, "\"7\"")) << header;
  for (const char* header : {"", "7", "\"70\"", "\"1\", \"2\"", "w/\"7\""}) EXPECT_FALSE(names_tag(header, "\"7\""));
}

}  // namespace
}  // namespace krake::server
