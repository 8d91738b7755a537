#include "net/url.h"

#include <gtest/gtest.h>

namespace krake {

TEST(Url, ReadsSchemeHostPortAndPrefix) {
  const struct {
    const char* text;
    Url url;
    const char* host_port;
    const char* host_header;
  } cases[] = {
      {"http://localhost:8080", {false, "localhost", 8080, ""}, "localhost:8080", "localhost:8080"},
      {"HTTPS://krake.example.org", {true, "krake.example.org", 443, ""}, "krake.example.org:443", "krake.example.org"},
      {"http://10.0.0.1/", {false, "10.0.0.1", 80, ""}, "10.0.0.1:80", "10.0.0.1"},
      {"https://[::1]:6443/k8s/c-1/", {true, "::1", 6443, "/k8s/c-1"}, "[::1]:6443", "[::1]:6443"},
      {"https://[2001:db8::1]", {true, "2001:db8::1", 443, ""}, "[2001:db8::1]:443", "[2001:db8::1]"},
      {"http://a_b-c:1/x", {false, "a_b-c", 1, "/x"}, "a_b-c:1", "a_b-c:1"},
  };
  for (const auto& test : cases) {
    const auto url = parse_url(test.text);
    ASSERT_TRUE(url) << test.text << ": " << url.error().message;
    EXPECT_EQ(*url, test.url) << test.text;
    EXPECT_EQ(url->host_port(), test.host_port);
    EXPECT_EQ(url->host_header(), test.host_header);
    EXPECT_EQ(parse_url(url->text()), url) << url->text();
  }
}

TEST(Url, RefusesWhatIsNotAnAddress) {
  for (const char* text :
       {"", "localhost:8080", "ftp://x", "http://", "http://:80", "http://x:", "http://x:0", "http://x:65536",
        "http://x:8a", "http://[::1", "http://[10.0.0.1]", "http://[::1]x", "http://x/?a=b", "http://x/#f",
        "http://x y", "http://x\r\nHost: y", "http://user:secret@x", "http://::1"}) {
    const auto url = parse_url(text);
    ASSERT_FALSE(url) << text;
    EXPECT_EQ(url.error().code, Code::invalid_argument);
    EXPECT_EQ(url.error().message.find("secret"), std::string::npos);
  }
}

}  // namespace krake
