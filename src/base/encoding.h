// Base64, percent encoding, query strings, charsets, URLs to show, constant-time comparison and secret random bytes.
#pragma once

#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace krake {

std::string base64_encode(std::string_view bytes);                // RFC 4648, padded
std::optional<std::string> base64_decode(std::string_view text);  // white space is ignored
std::string base64url_encode(std::string_view bytes);             // RFC 4648 5, no padding
// Only what base64url_encode() writes: no padding, no white space, no stray bits at the end.
std::optional<std::string> base64url_decode(std::string_view text);
std::string percent_encode(std::string_view text);                 // all but unreserved characters
std::optional<std::string> percent_decode(std::string_view text);  // none when an escape is broken; '+' stays

// "a=1&b&c=" -> {a,1} {b,} {c,}; '+' means blank here.
std::vector<std::pair<std::string, std::string>> parse_query(std::string_view query);

// The charset a Content-Type names, as it is written; empty: none. `text/json; charset="UTF-8"` -> UTF-8
std::string charset_of(std::string_view content_type);
// As UTF-8, from UTF-8 (also utf-8-sig, which may begin with a mark), US-ASCII, ISO-8859-1, ISO-8859-15, Windows-1252,
// UTF-16 or UTF-32 under their usual names, in any case. UTF-16 and UTF-32 without a byte order mark are little-endian,
// as upstream reads them. No charset: the bytes as they are, as with UTF-8, which is not checked. None: the charset is
// not known, or this is no text in it.
std::optional<std::string> to_utf8(std::string bytes, std::string_view charset);

// A URL for messages and tables: without what may be secret, the user before an '@' and what follows '?' or '#'.
std::string presentable_url(std::string_view url);

// Time depends on the lengths only.
bool constant_time_equal(std::string_view a, std::string_view b);
// From OpenSSL's generator, base64url without padding. 32 bytes give 43 characters.
std::string secret_token(std::size_t bytes = 32);
std::string sha256_hex(std::string_view bytes);

using Digest = std::array<unsigned char, 32>;
Digest sha256(std::string_view bytes);
// For unordered containers: the digest is as good as random.
struct DigestHash {
  std::size_t operator()(const Digest& digest) const {
    std::size_t hash = 0;
    std::memcpy(&hash, digest.data(), sizeof hash);
    return hash;
  }
};

// The same over bytes that come in pieces.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  void add(std::string_view bytes);
  std::string hex();  // once, at the end: 64 lower-case digits

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace krake
