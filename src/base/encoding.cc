#include "base/encoding.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cctype>
#include <cstdint>

#include "base/check.h"

namespace krake {

namespace {
constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}
}  // namespace

std::string base64_encode(std::string_view bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const auto byte = [&](std::size_t k) { return k < bytes.size() ? static_cast<unsigned char>(bytes[k]) : 0u; };
    const unsigned group = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
    out += kAlphabet[group >> 18 & 63];
    out += kAlphabet[group >> 12 & 63];
    out += i + 1 < bytes.size() ? kAlphabet[group >> 6 & 63] : '=';
    out += i + 2 < bytes.size() ? kAlphabet[group & 63] : '=';
  }
  return out;
}

std::optional<std::string> base64_decode(std::string_view text) {
  std::string out;
  unsigned group = 0;
  int bits = 0;
  bool padded = false;
  for (const char c : text) {
    if (std::isspace(static_cast<unsigned char>(c))) continue;
    if (c == '=') {
      padded = true;
      continue;
    }
    const auto value = kAlphabet.find(c);
    if (value == std::string_view::npos || padded) return std::nullopt;
    group = (group << 6 | static_cast<unsigned>(value)) & 0xffffff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out += static_cast<char>(group >> bits & 0xff);
    }
  }
  return out;
}

std::string base64url_encode(std::string_view bytes) {
  std::string text = base64_encode(bytes);
  while (!text.empty() && text.back() == '=') text.pop_back();
  for (char& c : text) c = c == '+' ? '-' : c == '/' ? '_' : c;
  return text;
}

std::optional<std::string> base64url_decode(std::string_view text) {
  std::string standard(text);
  for (char& c : standard) {
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '_') return std::nullopt;
    c = c == '-' ? '+' : c == '_' ? '/' : c;
  }
  auto bytes = base64_decode(standard);
  // Stray bits would let one value be written in several ways.
  if (bytes && base64url_encode(*bytes) != text) return std::nullopt;
  return bytes;
}

std::string percent_encode(std::string_view text) {
  constexpr std::string_view hex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) || c == '-' || c == '.' || c == '_' || c == '~') {
      out += c;
    } else {
      out += '%';
      out += hex[byte >> 4];
      out += hex[byte & 15];
    }
  }
  return out;
}

std::optional<std::string> percent_decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    const int high = i + 2 < text.size() + 0 ? hex_digit(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
    if (high < 0 || low < 0) return std::nullopt;
    out += static_cast<char>(high << 4 | low);
    i += 2;
  }
  return out;
}

std::vector<std::pair<std::string, std::string>> parse_query(std::string_view query) {
  std::vector<std::pair<std::string, std::string>> out;
  const auto decode = [](std::string_view part) {
    std::string text(part);
    for (char& c : text) {
      if (c == '+') c = ' ';
    }
    return percent_decode(text).value_or(text);
  };
  while (!query.empty()) {
    const auto end = query.find('&');
    const auto part = query.substr(0, end);
    query.remove_prefix(end == std::string_view::npos ? query.size() : end + 1);
    if (part.empty()) continue;
    const auto eq = part.find('=');
    out.emplace_back(decode(part.substr(0, eq)), eq == std::string_view::npos ? "" : decode(part.substr(eq + 1)));
  }
  return out;
}

namespace {

enum class Charset {
  utf8,
  utf8_sig,
  ascii,
  latin1,
  latin9,
  windows1252,
  utf16,
  utf16le,
  utf16be,
  utf32,
  utf32le,
  utf32be
};

std::optional<Charset> charset_named(std::string_view name) {
  struct Row {
    std::string_view name;
    Charset charset;
  };
  constexpr Row rows[] = {{"", Charset::utf8},
                          {"utf-8", Charset::utf8},
                          {"utf8", Charset::utf8},
                          {"us-ascii", Charset::ascii},
                          {"ascii", Charset::ascii},
                          {"latin-1", Charset::latin1},
                          {"latin1", Charset::latin1},
                          {"iso-8859-1", Charset::latin1},
                          {"iso8859-1", Charset::latin1},
                          {"utf-16", Charset::utf16},
                          {"utf16", Charset::utf16},
                          {"utf-16le", Charset::utf16le},
                          {"utf-16-le", Charset::utf16le},
                          {"utf-16be", Charset::utf16be},
                          {"utf-16-be", Charset::utf16be},
                          {"utf-8-sig", Charset::utf8_sig},
                          {"iso-8859-15", Charset::latin9},
                          {"iso8859-15", Charset::latin9},
                          {"latin-9", Charset::latin9},
                          {"latin9", Charset::latin9},
                          {"windows-1252", Charset::windows1252},
                          {"cp1252", Charset::windows1252},
                          {"utf-32", Charset::utf32},
                          {"utf32", Charset::utf32},
                          {"utf-32le", Charset::utf32le},
                          {"utf-32-le", Charset::utf32le},
                          {"utf-32be", Charset::utf32be},
                          {"utf-32-be", Charset::utf32be}};
  std::string plain;
  for (const char c : name) plain += c == '_' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  const auto* row = std::ranges::find(rows, plain, &Row::name);
  if (row == std::end(rows)) return std::nullopt;
  return row->charset;
}

void append_utf8(std::string& out, std::uint32_t point) {
  const auto byte = [&](std::uint32_t bits) { out += static_cast<char>(bits); };
  if (point < 0x80) return byte(point);
  if (point < 0x800) {
    byte(0xC0 | point >> 6);
  } else {
    if (point < 0x10000) {
      byte(0xE0 | point >> 12);
    } else {
      byte(0xF0 | point >> 18);
      byte(0x80 | (point >> 12 & 0x3F));
    }
    byte(0x80 | (point >> 6 & 0x3F));
  }
  byte(0x80 | (point & 0x3F));
}

// A byte of ISO-8859-15 where that is other than ISO-8859-1.
std::uint32_t latin9_point(std::uint32_t byte) {
  switch (byte) {
    case 0xA4:
      return 0x20AC;
    case 0xA6:
      return 0x0160;
    case 0xA8:
      return 0x0161;
    case 0xB4:
      return 0x017D;
    case 0xB8:
      return 0x017E;
    case 0xBC:
      return 0x0152;
    case 0xBD:
      return 0x0153;
    case 0xBE:
      return 0x0178;
    default:
      return byte;
  }
}

// Likewise of Windows-1252; 0: there is no such character.
std::uint32_t windows1252_point(std::uint32_t byte) {
  constexpr std::array<std::uint16_t, 32> kFrom0x80 = {0x20AC, 0,      0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021,
                                                       0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0,      0x017D, 0,
                                                       0,      0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014,
                                                       0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0,      0x017E, 0x0178};
  return byte >= 0x80 && byte < 0xA0 ? kFrom0x80[byte - 0x80] : byte;
}

std::optional<std::string> from_bytes(std::string_view bytes, Charset charset) {
  std::string out;
  out.reserve(bytes.size());
  for (const char c : bytes) {
    const std::uint32_t byte = static_cast<unsigned char>(c);
    const std::uint32_t point = charset == Charset::latin9        ? latin9_point(byte)
                                : charset == Charset::windows1252 ? windows1252_point(byte)
                                                                  : byte;
    if (point == 0 && byte != 0) return std::nullopt;
    append_utf8(out, point);
  }
  return out;
}

std::optional<std::string> from_utf16(std::string_view bytes, bool little) {
  if (bytes.size() % 2 != 0) return std::nullopt;
  const auto unit = [&](std::size_t i) -> std::uint32_t {
    const auto first = static_cast<unsigned char>(bytes[i]);
    const auto second = static_cast<unsigned char>(bytes[i + 1]);
    return little ? first | second << 8U : first << 8U | second;
  };
  std::string out;
  out.reserve(bytes.size());
  for (std::size_t i = 0; i < bytes.size(); i += 2) {
    std::uint32_t point = unit(i);
    if (point >= 0xDC00 && point < 0xE000) return std::nullopt;  // the second half of a pair
    if (point >= 0xD800 && point < 0xDC00) {
      i += 2;
      const std::uint32_t low = i < bytes.size() ? unit(i) : 0;
      if (low < 0xDC00 || low >= 0xE000) return std::nullopt;
      point = 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00);
    }
    append_utf8(out, point);
  }
  return out;
}

std::optional<std::string> from_utf32(std::string_view bytes, bool little) {
  if (bytes.size() % 4 != 0) return std::nullopt;
  std::string out;
  out.reserve(bytes.size() / 2);
  for (std::size_t i = 0; i < bytes.size(); i += 4) {
    std::uint32_t point = 0;
    for (std::size_t k = 0; k < 4; ++k)
      point = point << 8U | static_cast<unsigned char>(bytes[i + (little ? 3 - k : k)]);
    if (point > 0x10FFFF || (point >= 0xD800 && point < 0xE000)) return std::nullopt;
    append_utf8(out, point);
  }
  return out;
}

}  // namespace

std::string charset_of(std::string_view content_type) {
  constexpr std::string_view blanks = " \t";
  const auto trimmed = [&](std::string_view text) {
    text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
    return text.substr(0, text.find_last_not_of(blanks) + 1);
  };
  while (!content_type.empty()) {
    const auto end = std::min(content_type.find(';'), content_type.size());
    const auto part = content_type.substr(0, end);
    content_type.remove_prefix(std::min(end + 1, content_type.size()));
    const auto equals = part.find('=');
    if (equals == std::string_view::npos) continue;
    std::string name(trimmed(part.substr(0, equals)));
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (name != "charset") continue;
    auto value = trimmed(part.substr(equals + 1));
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
    return std::string(value);
  }
  return {};
}

std::optional<std::string> to_utf8(std::string bytes, std::string_view charset) {
  const auto known = charset_named(charset);
  if (!known) return std::nullopt;
  switch (*known) {
    case Charset::utf8:
      return bytes;
    case Charset::ascii:
      if (std::ranges::any_of(bytes, [](unsigned char c) { return c >= 0x80; })) return std::nullopt;
      return bytes;
    case Charset::utf8_sig:
      return bytes.starts_with("\xEF\xBB\xBF") ? bytes.substr(3) : bytes;
    case Charset::latin1:
    case Charset::latin9:
    case Charset::windows1252:
      return from_bytes(bytes, *known);
    case Charset::utf16le:
    case Charset::utf16be:
      return from_utf16(bytes, *known == Charset::utf16le);
    case Charset::utf16:
      if (bytes.starts_with("\xFE\xFF")) return from_utf16(std::string_view(bytes).substr(2), false);
      if (bytes.starts_with("\xFF\xFE")) return from_utf16(std::string_view(bytes).substr(2), true);
      return from_utf16(bytes, true);
    case Charset::utf32le:
    case Charset::utf32be:
      return from_utf32(bytes, *known == Charset::utf32le);
    case Charset::utf32:
      if (bytes.starts_with(std::string_view("\0\0\xFE\xFF", 4)))
        return from_utf32(std::string_view(bytes).substr(4), false);
      if (bytes.starts_with(std::string_view("\xFF\xFE\0\0", 4)))
        return from_utf32(std::string_view(bytes).substr(4), true);
      return from_utf32(bytes, true);
  }
  return std::nullopt;
}

std::string presentable_url(std::string_view url) {
  const auto scheme = url.find("://");
  const auto begin = scheme == std::string_view::npos ? 0 : scheme + 3;
  const auto tail = url.find_first_of("?#");
  const auto at = url.rfind('@');
  std::string shown(url.substr(0, begin));
  if (at == std::string_view::npos)
    return std::string(url.substr(0, tail)) + (tail == std::string_view::npos ? "" : "?***");
  // An '@' behind a '?' may end a password or be part of a query: nothing is sure to be neither.
  if (at < begin) return "***";
  if (tail < at) return shown + "***";
  return shown + "***@" + std::string(url.substr(at + 1, tail == std::string_view::npos ? tail : tail - at - 1)) +
         (tail == std::string_view::npos ? "" : "?***");
}

bool constant_time_equal(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string secret_token(std::size_t bytes) {
  std::string raw(bytes, '\0');
  CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(raw.data()), static_cast<int>(bytes)) == 1);
  return base64url_encode(raw);
}

struct Sha256::State {
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context{EVP_MD_CTX_new(), &EVP_MD_CTX_free};
};
Sha256::Sha256() : state_(std::make_unique<State>()) {
  CHECK(EVP_DigestInit_ex(state_->context.get(), EVP_sha256(), nullptr) == 1);
}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::add(std::string_view bytes) {
  CHECK(EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size()) == 1);
}

std::string Sha256::hex() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  CHECK(EVP_DigestFinal_ex(state_->context.get(), digest, &length) == 1);
  std::string out;
  for (unsigned i = 0; i < length; ++i) {
    out += "0123456789abcdef"[digest[i] >> 4];
    out += "0123456789abcdef"[digest[i] & 15];
  }
  return out;
}

std::string sha256_hex(std::string_view bytes) {
  Sha256 sum;
  sum.add(bytes);
  return sum.hex();
}

Digest sha256(std::string_view bytes) {
  // Looked up once: that takes longer than the digest of a token.
  static const EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  Digest digest;
  CHECK(EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, algorithm, nullptr) == 1);
  return digest;
}

}  // namespace krake
