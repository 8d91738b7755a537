#include "access/keys.h"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <algorithm>

#include "base/encoding.h"
#include "base/json.h"

namespace krake::access {

namespace {

constexpr std::size_t kMaxJwks = 262'144;  // bytes
constexpr std::size_t kMaxKeys = 64;
// Below, RSA is too weak; above, one signature takes a CPU too long.
constexpr int kMinRsaBits = 2048;
constexpr int kMaxRsaBits = 8192;

template <auto free>
struct Free {
  template <class T>
  void operator()(T* object) const {
    free(object);
  }
};
using Bio = std::unique_ptr<BIO, Free<BIO_free_all>>;
using Context = std::unique_ptr<EVP_MD_CTX, Free<EVP_MD_CTX_free>>;
using KeyContext = std::unique_ptr<EVP_PKEY_CTX, Free<EVP_PKEY_CTX_free>>;
using Number = std::unique_ptr<BIGNUM, Free<BN_free>>;
using Builder = std::unique_ptr<OSSL_PARAM_BLD, Free<OSSL_PARAM_BLD_free>>;
using Params = std::unique_ptr<OSSL_PARAM, Free<OSSL_PARAM_free>>;
using Signature = std::unique_ptr<ECDSA_SIG, Free<ECDSA_SIG_free>>;
using KeyPtr = std::shared_ptr<EVP_PKEY>;

KeyPtr own(EVP_PKEY* key) { return key ? KeyPtr(key, EVP_PKEY_free) : nullptr; }
const unsigned char* bytes_of(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

// What failed leaves its reasons behind, which the next one to look would take for his own.
struct ClearErrors {
  ~ClearErrors() { ERR_clear_error(); }
};

struct Traits {
  std::string_view name;
  const EVP_MD* (*hash)();  // null: the algorithm has its own
  bool pss = false;
  std::size_t half = 0;  // of an ECDSA signature: bytes of r, and of s
};
const Traits& traits(Algorithm algorithm) {
  static constexpr std::array<Traits, kAlgorithms.size()> table{{{"RS256", EVP_sha256},
                                                                 {"RS384", EVP_sha384},
                                                                 {"RS512", EVP_sha512},
                                                                 {"PS256", EVP_sha256, true},
                                                                 {"PS384", EVP_sha384, true},
                                                                 {"PS512", EVP_sha512, true},
                                                                 {"ES256", EVP_sha256, false, 32},
                                                                 {"ES384", EVP_sha384, false, 48},
                                                                 {"ES512", EVP_sha512, false, 66},
                                                                 {"EdDSA", nullptr}}};
  return table[static_cast<std::size_t>(algorithm)];
}

// JOSE writes r and s one after the other, OpenSSL as DER.
std::optional<std::string> to_der(std::string_view raw, std::size_t half) {
  if (raw.size() != 2 * half) return std::nullopt;
  Number r(BN_bin2bn(bytes_of(raw), static_cast<int>(half), nullptr));
  Number s(BN_bin2bn(bytes_of(raw) + half, static_cast<int>(half), nullptr));
  const Signature signature(ECDSA_SIG_new());
  if (!r || !s || !signature || ECDSA_SIG_set0(signature.get(), r.get(), s.get()) != 1) return std::nullopt;
  static_cast<void>(r.release());
  static_cast<void>(s.release());
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(signature.get(), &der);
  if (size <= 0) return std::nullopt;
  std::string out(reinterpret_cast<char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return out;
}

std::optional<std::string> from_der(std::string_view der, std::size_t half) {
  const unsigned char* at = bytes_of(der);
  const Signature signature(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())));
  if (!signature) return std::nullopt;
  std::string out(2 * half, '\0');
  auto* to = reinterpret_cast<unsigned char*>(out.data());
  const int size = static_cast<int>(half);
  if (BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), to, size) != size ||
      BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), to + half, size) != size)
    return std::nullopt;
  return out;
}

bool use_pss(EVP_PKEY_CTX* context) {
  return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
         EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1;
}

const EVP_MD* hash_of(Algorithm algorithm) { return traits(algorithm).hash ? traits(algorithm).hash() : nullptr; }

// What keys of that type can do; nothing when there is no use for it here.
std::vector<Algorithm> algorithms_of(const EVP_PKEY* key) {
  using enum Algorithm;
  if (EVP_PKEY_is_a(key, "ED25519") == 1) return {eddsa};
  if (EVP_PKEY_is_a(key, "RSA") == 1) {
    const int bits = EVP_PKEY_get_bits(key);
    if (bits < kMinRsaBits || bits > kMaxRsaBits) return {};
    return {rs256, rs384, rs512, ps256, ps384, ps512};
  }
  if (EVP_PKEY_is_a(key, "EC") != 1) return {};
  char group[64] = {};
  std::size_t size = 0;
  if (EVP_PKEY_get_group_name(key, group, sizeof group, &size) != 1) return {};
  const std::string_view name(group, size);
  if (name == "prime256v1" || name == "P-256") return {es256};
  if (name == "secp384r1" || name == "P-384") return {es384};
  if (name == "secp521r1" || name == "P-521") return {es512};
  return {};
}

KeyPtr from_params(const char* type, OSSL_PARAM_BLD* builder) {
  const Params params(OSSL_PARAM_BLD_to_param(builder));
  const KeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (!params || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params.get()) != 1)
    return nullptr;
  return own(key);
}

KeyPtr rsa_key(const json::Value& jwk) {
  const auto modulus = base64url_decode(jwk.string_at({"n"}));
  const auto exponent = base64url_decode(jwk.string_at({"e"}));
  if (!modulus || modulus->size() > kMaxRsaBits / 8 || !exponent || exponent->empty() || exponent->size() > 4)
    return nullptr;
  const Number n(BN_bin2bn(bytes_of(*modulus), static_cast<int>(modulus->size()), nullptr));
  const Number e(BN_bin2bn(bytes_of(*exponent), static_cast<int>(exponent->size()), nullptr));
  const Builder builder(OSSL_PARAM_BLD_new());
  // By 1 everything would be its own signature.
  if (!n || !e || !builder || BN_is_odd(e.get()) != 1 || BN_is_one(e.get()) == 1) return nullptr;
  if (OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get()) != 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get()) != 1)
    return nullptr;
  return from_params("RSA", builder.get());
}

KeyPtr ec_key(const json::Value& jwk) {
  struct Curve {
    std::string_view name;
    const char* group;
    std::size_t size;
  };
  static constexpr Curve curves[] = {
      {"P-256", "prime256v1", 32}, {"P-384", "secp384r1", 48}, {"P-521", "secp521r1", 66}};
  const auto* curve = std::ranges::find(curves, jwk.string_at({"crv"}), &Curve::name);
  const auto x = base64url_decode(jwk.string_at({"x"}));
  const auto y = base64url_decode(jwk.string_at({"y"}));
  if (curve == std::end(curves) || !x || !y || x->size() != curve->size || y->size() != curve->size) return nullptr;
  const std::string point = "\x04" + *x + *y;
  const Builder builder(OSSL_PARAM_BLD_new());
  if (!builder || OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, curve->group, 0) != 1 ||
      OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()) != 1)
    return nullptr;
  auto key = from_params("EC", builder.get());
  const KeyContext check(key ? EVP_PKEY_CTX_new_from_pkey(nullptr, key.get(), nullptr) : nullptr);
  return check && EVP_PKEY_public_check(check.get()) == 1 ? key : nullptr;
}

KeyPtr okp_key(const json::Value& jwk) {
  const auto x = base64url_decode(jwk.string_at({"x"}));
  if (jwk.string_at({"crv"}) != "Ed25519" || !x || x->size() != 32) return nullptr;
  return own(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, bytes_of(*x), x->size()));
}

// The owner may say what a key is for.
bool for_signatures(const json::Value& jwk) {
  const auto* use = jwk.at_path({"use"});
  if (use && jwk.string_at({"use"}) != "sig") return false;
  const auto* operations = jwk.at_path({"key_ops"});
  if (!operations) return true;
  const auto* list = operations->if_array();
  return list && std::ranges::any_of(*list, [](const json::Value& operation) {
           return operation.if_string() && *operation.if_string() == "verify";
         });
}

std::optional<Key> parse_jwk(const json::Value& jwk) {
  if (!jwk.is_object() || !for_signatures(jwk)) return std::nullopt;
  const auto type = jwk.string_at({"kty"});
  auto key = type == "RSA" ? rsa_key(jwk) : type == "EC" ? ec_key(jwk) : type == "OKP" ? okp_key(jwk) : nullptr;
  if (!key) return std::nullopt;
  auto algorithms = algorithms_of(key.get());
  if (jwk.at_path({"alg"})) {
    const auto only = parse_algorithm(jwk.string_at({"alg"}));
    std::erase_if(algorithms, [&](Algorithm algorithm) { return algorithm != only; });
  }
  if (algorithms.empty()) return std::nullopt;
  return Key(std::string(jwk.string_at({"kid"})), std::move(algorithms), std::move(key));
}

std::string public_id(EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key, &der);
  if (size <= 0) return {};
  auto id = sha256_hex({reinterpret_cast<char*>(der), static_cast<std::size_t>(size)}).substr(0, 16);
  OPENSSL_free(der);
  return id;
}

// One PEM block; null when it is none of a key.
KeyPtr parse_block(std::string_view name, const unsigned char* data, long size) {
  if (name == "PUBLIC KEY") return own(d2i_PUBKEY(nullptr, &data, size));
  if (name == "PRIVATE KEY" || name == "EC PRIVATE KEY" || name == "RSA PRIVATE KEY")
    return own(d2i_AutoPrivateKey(nullptr, &data, size));
  return nullptr;
}

}  // namespace

std::string_view to_string(Algorithm algorithm) { return traits(algorithm).name; }

std::optional<Algorithm> parse_algorithm(std::string_view text) {
  const auto* found = std::ranges::find(kAlgorithms, text, [](Algorithm algorithm) { return to_string(algorithm); });
  if (found == kAlgorithms.end()) return std::nullopt;
  return *found;
}

bool Key::fits(Algorithm algorithm) const { return std::ranges::find(algorithms_, algorithm) != algorithms_.end(); }

bool Key::verify(Algorithm algorithm, std::string_view message, std::string_view signature) const {
  const ClearErrors clear;
  if (!fits(algorithm)) return false;
  std::string der;
  if (const auto half = traits(algorithm).half; half > 0) {
    auto converted = to_der(signature, half);
    if (!converted) return false;
    der = std::move(*converted);
    signature = der;
  }
  const Context context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* key_context = nullptr;  // the context's
  if (!context || EVP_DigestVerifyInit(context.get(), &key_context, hash_of(algorithm), nullptr, key_.get()) != 1 ||
      (traits(algorithm).pss && !use_pss(key_context)))
    return false;
  return EVP_DigestVerify(context.get(), bytes_of(signature), signature.size(), bytes_of(message), message.size()) == 1;
}

Result<std::string> Key::sign(std::string_view message) const {
  const ClearErrors clear;
  const auto algorithm = algorithms_.front();
  const Context context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* key_context = nullptr;
  std::size_t size = 0;
  if (!context || EVP_DigestSignInit(context.get(), &key_context, hash_of(algorithm), nullptr, key_.get()) != 1 ||
      (traits(algorithm).pss && !use_pss(key_context)) ||
      EVP_DigestSign(context.get(), nullptr, &size, bytes_of(message), message.size()) != 1)
    return fail(Code::invalid_argument, "the key cannot sign: it has no private part");
  std::string signature(size, '\0');
  if (EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, bytes_of(message),
                     message.size()) != 1)
    return fail(Code::invalid_argument, "the key cannot sign: it has no private part");
  signature.resize(size);
  const auto half = traits(algorithm).half;
  if (half == 0) return signature;
  auto raw = from_der(signature, half);
  if (!raw) return fail(Code::internal, "OpenSSL made a signature that cannot be read");
  return std::move(*raw);
}

Result<Keys> parse_jwks(std::string_view text) {
  const ClearErrors clear;
  const auto bad = [](std::string_view what) {
    return fail(Code::invalid_argument, fmt::format("not a usable JWK set: {}", what));
  };
  if (text.size() > kMaxJwks) return bad(fmt::format("{} bytes, at most {} are read", text.size(), kMaxJwks));
  const auto document = json::parse(text, 16, json::Numbers::finite);
  if (!document) return bad("not JSON");
  const auto* entries = document->at_path({"keys"});
  if (!entries || !entries->is_array()) return bad("no array 'keys'");
  if (entries->if_array()->size() > kMaxKeys)
    return bad(fmt::format("{} keys, at most {} are read", entries->if_array()->size(), kMaxKeys));
  Keys keys;
  for (const auto& entry : *entries->if_array()) {
    if (auto key = parse_jwk(entry)) keys.push_back(std::move(*key));
  }
  return keys;
}

Result<Keys> parse_pem_keys(const std::string& pem) {
  const ClearErrors clear;
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  Keys keys;
  char* name = nullptr;
  char* header = nullptr;
  unsigned char* data = nullptr;
  long size = 0;
  while (bio && PEM_read_bio(bio.get(), &name, &header, &data, &size) == 1) {
    const std::string block(name);
    auto key = parse_block(block, data, size);
    OPENSSL_cleanse(data, static_cast<std::size_t>(size));
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(data);
    if (block == "EC PARAMETERS") continue;  // what `openssl ecparam -genkey` puts before the key
    if (!key) return fail(Code::invalid_argument, fmt::format("the PEM block '{}' is no unencrypted key", block));
    auto algorithms = algorithms_of(key.get());
    if (algorithms.empty()) {
      return fail(Code::invalid_argument,
                  "the key is of a kind that is not used: want Ed25519, ECDSA P-256, P-384 or P-521, or RSA of 2048 to "
                  "8192 bits");
    }
    auto id = public_id(key.get());
    keys.emplace_back(std::move(id), std::move(algorithms), std::move(key));
  }
  if (keys.empty()) return fail(Code::invalid_argument, "there is no key in PEM form");
  return keys;
}

Result<std::string> make_signing_key() {
  const ClearErrors clear;
  const auto key = own(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  const Bio bio(BIO_new(BIO_s_mem()));
  if (!key || !bio || PEM_write_bio_PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1)
    return fail(Code::internal, "OpenSSL makes no Ed25519 key");
  char* data = nullptr;
  const auto size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<std::size_t>(size));
}

}  // namespace krake::access
