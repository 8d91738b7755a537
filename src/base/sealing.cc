#include "base/sealing.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <memory>

#include "base/check.h"
#include "base/encoding.h"

namespace krake {

namespace {

// krake-sealed:1:ID: NONCE CIPHERTEXT TAG; no JSON begins so.
constexpr std::string_view kMagic = "krake-sealed:1:";
constexpr std::size_t kKeyBytes = 32;
constexpr std::size_t kNonceBytes = 12;
constexpr std::size_t kTagBytes = 16;
constexpr std::size_t kMaxIdBytes = 32;

using Context = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

const unsigned char* bytes_of(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }
unsigned char* bytes_of(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }

bool good_id(std::string_view id) {
  return !id.empty() && id.size() <= kMaxIdBytes && std::ranges::all_of(id, [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.';
  });
}

}  // namespace

Result<SealingKeys> SealingKeys::parse(std::string_view text, std::string_view source) {
  SealingKeys keys;
  for (int number = 1; !text.empty(); ++number) {
    const auto end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
    if (line.empty() || line.starts_with('#')) continue;
    if (line == "plain" && keys.empty()) {
      keys.plain_ = true;
      continue;
    }
    const auto blank = line.find(' ');
    const auto id = line.substr(0, blank);
    auto key = blank == std::string_view::npos ? std::nullopt : base64_decode(line.substr(blank + 1));
    if (!good_id(id) || !key || key->size() != kKeyBytes || keys.find(id)) {
      return fail(Code::invalid_argument,
                  fmt::format("{}:{}: want 'ID KEY', an id no other line has and 32 bytes in base64 (openssl rand "
                              "-base64 32)",
                              source, number));
    }
    keys.keys_.emplace_back(id, std::move(*key));
  }
  if (keys.empty()) return fail(Code::invalid_argument, fmt::format("{}: there is no key in it", source));
  return keys;
}

const std::string* SealingKeys::find(std::string_view id) const {
  const auto it = std::ranges::find(keys_, id, &std::pair<std::string, std::string>::first);
  return it == keys_.end() ? nullptr : &it->second;
}

bool SealingKeys::is_sealed(std::string_view value) { return value.starts_with(kMagic); }

std::string_view SealingKeys::key_id(std::string_view value) {
  if (!is_sealed(value)) return {};
  value.remove_prefix(kMagic.size());
  const auto colon = value.substr(0, kMaxIdBytes + 1).find(':');
  const auto id = colon == std::string_view::npos ? std::string_view() : value.substr(0, colon);
  return good_id(id) ? id : std::string_view();
}

std::string SealingKeys::seal(std::string_view plain, std::string_view about) const {
  CHECK(!keys_.empty());
  const auto& [id, key] = keys_.front();
  std::string out = fmt::format("{}{}:", kMagic, id);
  const std::size_t nonce = out.size();
  out.resize(nonce + kNonceBytes + plain.size() + kTagBytes);
  unsigned char* at = bytes_of(out) + nonce;
  CHECK(RAND_bytes(at, static_cast<int>(kNonceBytes)) == 1);
  const Context context(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
  int size = 0;
  bool good = EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, bytes_of(key), at) == 1;
  at += kNonceBytes;
  good = good && EVP_EncryptUpdate(context.get(), nullptr, &size, bytes_of(about), static_cast<int>(about.size())) == 1;
  good = good && EVP_EncryptUpdate(context.get(), at, &size, bytes_of(plain), static_cast<int>(plain.size())) == 1;
  good = good && EVP_EncryptFinal_ex(context.get(), at + plain.size(), &size) == 1;
  good = good &&
         EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, static_cast<int>(kTagBytes), at + plain.size()) == 1;
  CHECK(good, "AES-256-GCM does not fail");
  return out;
}

Result<std::string> SealingKeys::open(std::string_view value, std::string_view about) const {
  if (!is_sealed(value)) return std::string(value);
  const auto id = key_id(value);
  const auto damaged = [&] {
    return fail(Code::internal, fmt::format("what is stored as '{}' was damaged, or sealed for another place", about));
  };
  if (id.empty()) return damaged();
  const std::string* key = find(id);
  if (!key) {
    return fail(
        Code::unavailable,
        fmt::format("'{}' is sealed with the key '{}', which is not in security.encryption_key_file", about, id));
  }
  const auto rest = value.substr(kMagic.size() + id.size() + 1);
  if (rest.size() < kNonceBytes + kTagBytes) return damaged();
  const auto nonce = rest.substr(0, kNonceBytes);
  const auto cipher = rest.substr(kNonceBytes, rest.size() - kNonceBytes - kTagBytes);
  std::string tag(rest.substr(rest.size() - kTagBytes));
  std::string plain(cipher.size(), '\0');
  const Context context(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
  int size = 0;
  bool good = EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, bytes_of(*key), bytes_of(nonce)) == 1;
  good = good && EVP_DecryptUpdate(context.get(), nullptr, &size, bytes_of(about), static_cast<int>(about.size())) == 1;
  good = good && EVP_DecryptUpdate(context.get(), bytes_of(plain), &size, bytes_of(cipher),
                                   static_cast<int>(cipher.size())) == 1;
  good = good && EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, static_cast<int>(kTagBytes), tag.data()) == 1;
  good = good && EVP_DecryptFinal_ex(context.get(), bytes_of(plain) + plain.size(), &size) == 1;
  if (!good) return damaged();
  return plain;
}

}  // namespace krake
