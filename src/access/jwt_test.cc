#include "access/jwt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>

#include "base/encoding.h"

namespace krake::access {
namespace {

using ::testing::HasSubstr;

constexpr std::int64_t kNow = 1'780'000'000;
const Wall now{std::chrono::seconds(kNow)};

// ---- keys of each type, made once

std::string pem_of(EVP_PKEY* key, bool secret) {
  BIO* bio = BIO_new(BIO_s_mem());
  if (secret) {
    PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  } else {
    PEM_write_bio_PUBKEY(bio, key);
  }
  char* data = nullptr;
  const auto size = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<std::size_t>(size));
  BIO_free(bio);
  return text;
}

std::string number_of(EVP_PKEY* key, const char* name) {
  BIGNUM* number = nullptr;
  EVP_PKEY_get_bn_param(key, name, &number);
  std::string bytes(static_cast<std::size_t>(BN_num_bytes(number)), '\0');
  BN_bn2bin(number, reinterpret_cast<unsigned char*>(bytes.data()));
  BN_free(number);
  return bytes;
}

struct Pair {
  std::string secret_pem;
  std::string public_pem;
  json::Object jwk;
};

Pair make_pair(const std::string& type) {
  EVP_PKEY* key = nullptr;
  if (type == "RSA") key = EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", std::size_t{2048});
  if (type == "RSA1024") key = EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", std::size_t{1024});
  if (type == "EC") key = EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256");
  if (type == "OKP") key = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
  Pair pair{.secret_pem = pem_of(key, true), .public_pem = pem_of(key, false), .jwk = {}};
  if (type.starts_with("RSA")) {
    pair.jwk = {{"kty", "RSA"},
                {"n", base64url_encode(number_of(key, OSSL_PKEY_PARAM_RSA_N))},
                {"e", base64url_encode(number_of(key, OSSL_PKEY_PARAM_RSA_E))}};
  } else if (type == "EC") {
    const auto padded = [&](const char* name) {
      const std::string bytes = number_of(key, name);
      return base64url_encode(std::string(32 - bytes.size(), '\0') + bytes);
    };
    pair.jwk = {{"kty", "EC"},
                {"crv", "P-256"},
                {"x", padded(OSSL_PKEY_PARAM_EC_PUB_X)},
                {"y", padded(OSSL_PKEY_PARAM_EC_PUB_Y)}};
  } else {
    std::string raw(32, '\0');
    std::size_t size = raw.size();
    EVP_PKEY_get_raw_public_key(key, reinterpret_cast<unsigned char*>(raw.data()), &size);
    pair.jwk = {{"kty", "OKP"}, {"crv", "Ed25519"}, {"x", base64url_encode(raw)}};
  }
  EVP_PKEY_free(key);
  return pair;
}

const Pair& pair_of(const std::string& type) {
  static std::map<std::string, Pair> made;
  auto& pair = made[type];
  if (pair.secret_pem.empty()) pair = make_pair(type);
  return pair;
}

json::Object with(json::Object object, std::string_view key, json::Value value) {
  object.set(key, std::move(value));
  return object;
}

Keys jwks(const json::Array& keys) { return parse_jwks(json::print(json::Object{{"keys", keys}})).value(); }

Key signer(const std::string& type, const std::string& id) {
  auto keys = parse_pem_keys(pair_of(type).secret_pem).value();
  return Key(id, std::vector(keys[0].algorithms().begin(), keys[0].algorithms().end()), [&] {
    // The same key under another id.
    BIO* bio = BIO_new_mem_buf(pair_of(type).secret_pem.data(), static_cast<int>(pair_of(type).secret_pem.size()));
    std::shared_ptr<EVP_PKEY> key(PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr), EVP_PKEY_free);
    BIO_free(bio);
    return key;
  }());
}

JwtRules rules() {
  return {.issuer = "https://id.example",
          .audiences = {"krake", "krake-2"},
          .algorithms = {kAlgorithms.begin(), kAlgorithms.end()}};
}

json::Object claims() {
  return {{"iss", "https://id.example"}, {"aud", "krake"}, {"sub", "alice"}, {"exp", kNow + 300}, {"iat", kNow}};
}

std::string text_of(const json::Object& header, const std::string& claims_text, std::string_view signature) {
  return base64url_encode(json::print(header)) + "." + base64url_encode(claims_text) + "." +
         base64url_encode(signature);
}

// Who it is, or why not.
std::string outcome(const std::string& token, const Keys& keys, const JwtRules& with_rules = rules()) {
  const auto parsed = parse_jwt(token);
  if (!parsed) return "no JWT";
  const auto user = verify(*parsed, keys, with_rules, now);
  return user ? user->name : user.error().message;
}

// ---- signatures

TEST(Jwt, EveryTypeOfKeySignsAndVerifies) {
  for (const char* type : {"RSA", "EC", "OKP"}) {
    const auto from_pem = parse_pem_keys(pair_of(type).secret_pem + pair_of("OKP").public_pem);
    ASSERT_TRUE(from_pem) << type << ": " << from_pem.error().message;
    const auto token = sign_jwt(from_pem->front(), claims());
    ASSERT_TRUE(token) << type;
    EXPECT_EQ(outcome(*token, *from_pem), "alice") << type;
    // The public half, as another server has it; the id is the same.
    EXPECT_EQ(outcome(*token, parse_pem_keys(pair_of(type).public_pem).value()), "alice") << type;
    EXPECT_EQ(outcome(*token, jwks({with(pair_of(type).jwk, "kid", from_pem->front().id())})), "alice") << type;
    EXPECT_EQ(outcome(*token, jwks({pair_of(type).jwk})), "is signed by a key that is not known") << type;
  }
}

TEST(Jwt, APublicKeyCannotSign) {
  const auto keys = parse_pem_keys(pair_of("OKP").public_pem).value();
  EXPECT_EQ(sign_jwt(keys[0], claims()).error().code, Code::invalid_argument);
}

TEST(Jwt, MadeKeysAreUsable) {
  const auto pem = make_signing_key();
  ASSERT_TRUE(pem);
  const auto keys = parse_pem_keys(*pem);
  ASSERT_TRUE(keys) << keys.error().message;
  EXPECT_EQ(outcome(sign_jwt(keys->front(), claims()).value(), *keys), "alice");
}

// What an attacker can make who has the public key and no other.
TEST(Jwt, ForgedTokensAreRefused) {
  const auto keys = jwks({with(pair_of("RSA").jwk, "kid", "r"), with(pair_of("EC").jwk, "kid", "e")});
  const std::string body = json::print(claims());
  const auto good = sign_jwt(signer("RSA", "r"), claims()).value();
  ASSERT_EQ(outcome(good, keys), "alice");
  const std::string not_allowed = "is signed by an algorithm that is not allowed";
  const std::string no_match = "has a signature that does not match";
  for (const char* none : {"none", "None", "NONE", "nOnE", ""})
    EXPECT_EQ(outcome(text_of({{"alg", none}, {"kid", "r"}}, body, ""), keys), not_allowed) << none;
  EXPECT_EQ(outcome(text_of({{"kid", "r"}}, body, ""), keys), not_allowed);
  EXPECT_EQ(outcome(text_of({{"alg", json::Array{"RS256"}}, {"kid", "r"}}, body, ""), keys), not_allowed);
  // The public key as the secret of an HMAC, in every form it is published in.
  for (const std::string& secret : {pair_of("RSA").public_pem, json::print(pair_of("RSA").jwk)}) {
    const std::string part = base64url_encode(R"({"alg":"HS256","kid":"r"})") + "." + base64url_encode(body);
    unsigned char mac[32];
    unsigned size = 0;
    HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
         reinterpret_cast<const unsigned char*>(part.data()), part.size(), mac, &size);
    const std::string_view signature(reinterpret_cast<char*>(mac), size);
    EXPECT_EQ(outcome(part + "." + base64url_encode(signature), keys), not_allowed);
  }
  // An allowed algorithm that is not the key's.
  EXPECT_EQ(outcome(text_of({{"alg", "ES256"}, {"kid", "r"}}, body, std::string(64, 'x')), keys), no_match);
  EXPECT_EQ(outcome(text_of({{"alg", "RS256"}, {"kid", "e"}}, body, std::string(64, 'x')), keys), no_match);
  // CVE-2022-21449: a signature of zeros.
  EXPECT_EQ(outcome(text_of({{"alg", "ES256"}, {"kid", "e"}}, body, std::string(64, '\0')), keys), no_match);
  for (const std::size_t size : {0, 1, 63, 65, 4000})
    EXPECT_EQ(outcome(text_of({{"alg", "ES256"}, {"kid", "e"}}, body, std::string(size, 'x')), keys), no_match) << size;
  // Other claims under a good signature.
  const auto dot = good.find('.');
  const std::string other = good.substr(0, dot + 1) + base64url_encode(json::print(with(claims(), "sub", "root"))) +
                            good.substr(good.rfind('.'));
  EXPECT_EQ(outcome(other, keys), no_match);
  // A key that comes along with the token.
  EXPECT_EQ(outcome(text_of({{"alg", "EdDSA"}, {"jwk", pair_of("OKP").jwk}, {"jku", "https://evil.example"}}, body, ""),
                    keys),
            no_match);
  for (const char* id : {"../../etc/passwd", "r' OR '1'='1", "", "R", "r\n", "/dev/null"})
    EXPECT_NE(outcome(text_of({{"alg", "RS256"}, {"kid", id}}, body, "x"), keys), "alice") << id;
  EXPECT_EQ(outcome(text_of({{"alg", "RS256"}, {"kid", "../r"}}, body, "x"), keys),
            "is signed by a key that is not known");
  EXPECT_THAT(outcome(text_of({{"alg", "RS256"}, {"kid", "r"}, {"crit", json::Array{"b64"}}}, body, "x"), keys),
              HasSubstr("crit"));
}

// Whether it is worth looking for newer keys.
TEST(Jwt, AKeyThatIsMissingIsToldFromASignatureThatIsWrong) {
  const auto keys = jwks({with(pair_of("OKP").jwk, "kid", "o")});
  const auto code = [&](const std::string& key_id, std::string_view signature) {
    const auto token = parse_jwt(text_of({{"alg", "EdDSA"}, {"kid", key_id}}, json::print(claims()), signature));
    return check_signature(*token, keys, kAlgorithms).error().code;
  };
  EXPECT_EQ(code("o", "x"), Code::unauthenticated);
  EXPECT_EQ(code("new", "x"), Code::not_found);
  EXPECT_EQ(code("", "x"), Code::not_found);
}

TEST(Jwt, OnlyAllowedAlgorithmsCount) {
  const auto keys = jwks({pair_of("RSA").jwk, pair_of("OKP").jwk});
  auto only_eddsa = rules();
  only_eddsa.algorithms = {Algorithm::eddsa};
  EXPECT_EQ(outcome(sign_jwt(signer("RSA", ""), claims()).value(), keys, only_eddsa),
            "is signed by an algorithm that is not allowed");
  EXPECT_EQ(outcome(sign_jwt(signer("OKP", ""), claims()).value(), keys, only_eddsa), "alice");
}

// ---- form

TEST(Jwt, WhatIsNoTokenIsNone) {
  const std::string header = base64url_encode(R"({"alg":"RS256"})");
  const std::string body = base64url_encode("{}");
  for (const std::string& text : std::vector<std::string>{
           "", ".", "..", "...", "a.b", "a.b.c", header + "." + body, header + "." + body + ".a.b",
           header + "=." + body + ".", header + "." + body + ".a+b/", header + ". " + body + ".", "e30.e31.",
           base64url_encode("[]") + "." + body + ".", base64url_encode("1") + "." + body + ".",
           base64url_encode("{\"alg\":\"\xff\"}") + "." + body + ".", base64url_encode("{} x") + "." + body + ".",
           header + "." + base64url_encode(std::string(400, '[') + std::string(400, ']')) + ".",
           header + "." + base64url_encode("{\"exp\":" + std::string(5000, '9') + "}") + ".",
           header + "." + std::string(kMaxToken, 'A') + "."}) {
    EXPECT_FALSE(parse_jwt(text)) << text.substr(0, 80);
  }
  EXPECT_TRUE(parse_jwt(header + "." + body + "."));
}

// ---- claims

struct ClaimCase {
  json::Object claims;
  std::string wanted;
};

TEST(Jwt, ClaimsAreHeldAgainstTheRules) {
  const auto keys = parse_pem_keys(pair_of("OKP").secret_pem).value();
  const auto number = [](std::string text) { return json::Value(json::Number{std::move(text)}); };
  auto without = [](std::string_view name) {
    auto some = claims();
    some.erase(name);
    return some;
  };
  const std::vector<ClaimCase> cases = {
      {claims(), "alice"},
      {with(claims(), "aud", json::Array{"other", "krake-2"}), "alice"},
      {with(claims(), "iss", "https://id.example/"), "is of another issuer"},
      {with(claims(), "iss", json::Array{"https://id.example"}), "is of another issuer"},
      {without("iss"), "is of another issuer"},
      {with(claims(), "aud", "other"), "is not meant for this API ('aud')"},
      {with(claims(), "aud", json::Array{"other", 1}), "is not meant for this API ('aud')"},
      {with(claims(), "aud", json::Array{}), "is not meant for this API ('aud')"},
      {with(claims(), "aud", json::Object{{"krake", 1}}), "is not meant for this API ('aud')"},
      {without("aud"), "is not meant for this API ('aud')"},
      {with(claims(), "exp", kNow - 29), "alice"},  // within the leeway
      {with(claims(), "exp", kNow - 30), "has expired"},
      {with(claims(), "exp", 0), "has expired"},
      {with(claims(), "exp", number("1780000300.5")), "alice"},
      {with(claims(), "exp", number("1.7800003e9")), "alice"},
      {with(claims(), "exp", number("1e400")), "has no time at which it expires ('exp')"},
      {with(claims(), "exp", number("-1e400")), "has no time at which it expires ('exp')"},
      {with(claims(), "exp", number(std::string(300, '9'))), "has no time at which it expires ('exp')"},
      {with(claims(), "exp", -1), "has no time at which it expires ('exp')"},
      {with(claims(), "exp", std::to_string(kNow + 300)), "has no time at which it expires ('exp')"},
      {with(claims(), "exp", nullptr), "has no time at which it expires ('exp')"},
      {without("exp"), "has no time at which it expires ('exp')"},
      {with(claims(), "nbf", kNow + 30), "alice"},
      {with(claims(), "nbf", kNow + 31), "is not valid yet"},
      {with(claims(), "nbf", "soon"), "has a 'nbf' that is no time"},
      {with(claims(), "iat", kNow + 31), "was issued in the future; compare the clocks"},
      {without("iat"), "alice"},
      {without("sub"), "names no user: it has no text in 'sub'"},
      {with(claims(), "sub", ""), "names no user: it has no text in 'sub'"},
      {with(claims(), "sub", 7), "names no user: it has no text in 'sub'"},
      {with(claims(), "sub", "a\nb"), "names a user in a way that cannot be used"},
      {with(claims(), "sub", std::string(2000, 'a')), "names a user in a way that cannot be used"},
      {with(claims(), "sub", "system:admin"), "names a user that begins with 'system:'; those are Krake's own"},
  };
  for (const auto& c : cases)
    EXPECT_EQ(outcome(sign_jwt(keys[0], c.claims).value(), keys), c.wanted) << json::print(c.claims);
}

TEST(Jwt, ARepeatedClaimTakesItsLastValue) {
  const auto keys = parse_pem_keys(pair_of("OKP").secret_pem).value();
  const auto signed_text = [&](std::string_view body) {
    const std::string part =
        base64url_encode(json::print(json::Object{{"alg", "EdDSA"}})) + "." + base64url_encode(body);
    return part + "." + base64url_encode(keys[0].sign(part).value());
  };
  const std::string rest = R"("iss":"https://id.example","aud":"krake","exp":1780000300)";
  EXPECT_EQ(outcome(signed_text("{" + rest + R"(,"sub":"a","sub":"b"})"), keys), "b");
  EXPECT_EQ(outcome(signed_text("{" + rest + R"(,"sub":"a","exp":1})"), keys), "has expired");
}

TEST(Jwt, TheUserIsMadeByTheRules) {
  const auto keys = parse_pem_keys(pair_of("OKP").secret_pem).value();
  const auto token = [&](const json::Object& some) { return sign_jwt(keys[0], some).value(); };
  auto own = rules();
  own.system_users = true;
  EXPECT_EQ(outcome(token(with(claims(), "sub", "system:scheduler")), keys, own), "system:scheduler");
  auto mail = rules();
  mail.user_claim = "email";
  mail.user_prefix = "oidc:";
  const auto with_mail = with(claims(), "email", "a@b.example");
  EXPECT_EQ(outcome(token(with_mail), keys, mail), "oidc:a@b.example");
  EXPECT_EQ(outcome(token(with(with_mail, "email_verified", true)), keys, mail), "oidc:a@b.example");
  for (const json::Value& verified : {json::Value(false), json::Value("true"), json::Value(nullptr)})
    EXPECT_EQ(outcome(token(with(with_mail, "email_verified", verified)), keys, mail),
              "names an e-mail address that is not verified");
  auto prefixed = rules();
  prefixed.user_prefix = "system:";
  EXPECT_THAT(outcome(token(claims()), keys, prefixed), HasSubstr("Krake's own"));
  const auto user = verify(parse_jwt(token(claims())).value(), keys, rules(), now);
  EXPECT_EQ(user->expires, now + std::chrono::seconds(330));
}

// ---- keys

TEST(Keys, WhatIsNoKeyForSignaturesIsLeftOut) {
  const auto& rsa = pair_of("RSA").jwk;
  const auto& ec = pair_of("EC").jwk;
  EXPECT_EQ(jwks({rsa, ec, pair_of("OKP").jwk}).size(), 3u);
  const std::vector<json::Value> useless = {nullptr,
                                            1,
                                            "x",
                                            json::Object{},
                                            json::Object{{"kty", "oct"}, {"k", "c2VjcmV0"}},
                                            with(rsa, "use", "enc"),
                                            with(rsa, "use", 1),
                                            with(rsa, "key_ops", json::Array{"sign"}),
                                            with(rsa, "alg", "HS256"),
                                            with(rsa, "alg", "ES256"),
                                            with(rsa, "alg", "none"),
                                            with(rsa, "e", "AQ"),
                                            with(rsa, "e", "Ag"),
                                            with(rsa, "e", ""),
                                            with(rsa, "n", "AQAB"),
                                            with(rsa, "n", "!"),
                                            with(rsa, "n", base64url_encode(std::string(2000, 'x'))),
                                            pair_of("RSA1024").jwk,
                                            with(ec, "crv", "secp256k1"),
                                            with(ec, "x", "AAAA"),
                                            with(ec, "y", base64url_encode(std::string(32, 'y'))),  // not on the curve
                                            with(pair_of("OKP").jwk, "crv", "X25519"),
                                            with(pair_of("OKP").jwk, "x", "AAAA")};
  for (const auto& one : useless) EXPECT_TRUE(jwks({one}).empty()) << json::print(one);
  const auto restricted = jwks({with(with(rsa, "alg", "PS256"), "use", "sig")});
  ASSERT_EQ(restricted.size(), 1u);
  EXPECT_TRUE(restricted[0].fits(Algorithm::ps256));
  EXPECT_FALSE(restricted[0].fits(Algorithm::rs256));
}

TEST(Keys, ASetThatIsNoneIsAnError) {
  for (const std::string& text :
       std::vector<std::string>{"", "<html>", "[]", "{}", R"({"keys":{}})", R"({"keys":1})",
                                "{\"keys\":[" + std::string(300'000, ' ') + "]}",
                                json::print(json::Object{{"keys", json::Array(65, json::Value(json::Object{}))}})})
    EXPECT_EQ(parse_jwks(text).error().code, Code::invalid_argument) << text.substr(0, 60);
  EXPECT_TRUE(parse_jwks(R"({"keys":[]})").value().empty());
}

TEST(Keys, PemMustBeKeysThatAreUsed) {
  EXPECT_THAT(parse_pem_keys("").error().message, HasSubstr("no key"));
  EXPECT_THAT(parse_pem_keys("nonsense").error().message, HasSubstr("no key"));
  EXPECT_THAT(parse_pem_keys(pair_of("RSA1024").public_pem).error().message, HasSubstr("2048"));
  EXPECT_THAT(parse_pem_keys("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").error().message,
              HasSubstr("CERTIFICATE"));
  EXPECT_EQ(parse_pem_keys(pair_of("EC").secret_pem + "\n" + pair_of("RSA").public_pem).value().size(), 2u);
}

}  // namespace
}  // namespace krake::access
