// The addresses of HTTP servers: http(s)://host[:port][/prefix]. No user, query or fragment.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace krake {

struct Url {
  bool tls = false;
  std::string host;  // IPv6 without its brackets
  std::uint16_t port = 0;
  std::string prefix;  // "" or "/path" without a slash at the end

  bool operator==(const Url&) const = default;
  std::string host_port() const;    // for messages: always with the port, IPv6 in brackets
  std::string host_header() const;  // without the port when that is the scheme's own
  std::string text() const;
};

// invalid_argument: what is wrong with which text.
Result<Url> parse_url(std::string_view text);
bool is_ip_address(std::string_view host);  // IPv4 or IPv6, no brackets

}  // namespace krake
