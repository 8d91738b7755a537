#include "net/url.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>

#include "base/encoding.h"

namespace krake {

namespace {

std::string bracketed(const std::string& host) {
  return host.find(':') == std::string::npos ? host : fmt::format("[{}]", host);
}

std::unexpected<Error> bad(std::string_view text, std::string_view why) {
  return fail(Code::invalid_argument,
              fmt::format("'{}' is not an http:// or https:// URL: {}", presentable_url(text), why));
}

bool strip_scheme(std::string_view& rest, std::string_view scheme) {
  if (rest.size() < scheme.size()) return false;
  const auto same = [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; };
  if (!std::ranges::equal(rest.substr(0, scheme.size()), scheme, same)) return false;
  rest.remove_prefix(scheme.size());
  return true;
}

bool is_host_name(std::string_view host) {
  return !host.empty() && host.size() <= 253 &&
         std::ranges::all_of(host, [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '.' || c == '_'; });
}

}  // namespace

bool is_ip_address(std::string_view host) {
  in6_addr buffer;
  const std::string text(host);
  return inet_pton(AF_INET, text.c_str(), &buffer) == 1 || inet_pton(AF_INET6, text.c_str(), &buffer) == 1;
}

std::string Url::host_port() const { return fmt::format("{}:{}", bracketed(host), port); }

std::string Url::host_header() const { return port == (tls ? 443 : 80) ? bracketed(host) : host_port(); }

std::string Url::text() const { return fmt::format("{}://{}{}", tls ? "https" : "http", host_header(), prefix); }

Result<Url> parse_url(std::string_view text) {
  Url url;
  auto rest = text;
  if (strip_scheme(rest, "https://")) {
    url.tls = true;
  } else if (!strip_scheme(rest, "http://")) {
    return bad(text, "it must start with http:// or https://");
  }
  if (std::ranges::any_of(rest, [](unsigned char c) { return c <= ' ' || c == 0x7f; })) {
    return bad(text, "blanks and control characters are not allowed");
  }
  if (rest.find_first_of("?#") != std::string_view::npos) return bad(text, "query and fragment are not allowed");
  auto authority = rest.substr(0, rest.find('/'));
  url.prefix = std::string(rest.substr(authority.size()));
  while (url.prefix.ends_with('/')) url.prefix.pop_back();
  if (authority.find('@') != std::string_view::npos) {
    // Not the text itself: it holds a password.
    return fail(Code::invalid_argument, "the URL carries a user or password: put credentials elsewhere");
  }
  std::string_view port;
  bool has_port = false;
  if (authority.starts_with('[')) {
    const auto end = authority.find(']');
    if (end == std::string_view::npos) return bad(text, "the bracket around the IPv6 address is not closed");
    url.host = std::string(authority.substr(1, end - 1));
    if (url.host.find(':') == std::string::npos || !is_ip_address(url.host)) {
      return bad(text, "no IPv6 address in the brackets");
    }
    authority.remove_prefix(end + 1);
    if (!authority.empty() && authority[0] != ':') return bad(text, "something follows the bracket");
    has_port = !authority.empty();
    port = has_port ? authority.substr(1) : authority;
  } else {
    const auto colon = authority.find(':');
    url.host = std::string(authority.substr(0, colon));
    has_port = colon != std::string_view::npos;
    if (has_port) port = authority.substr(colon + 1);
    if (!is_host_name(url.host)) return bad(text, "the host name is empty or has forbidden characters");
  }
  url.port = url.tls ? 443 : 80;
  if (has_port) {
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), url.port);
    if (error != std::errc() || end != port.data() + port.size() || url.port == 0) {
      return bad(text, "the port must be 1 to 65535");
    }
  }
  return url;
}

}  // namespace krake
