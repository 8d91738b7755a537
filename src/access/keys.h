// The keys of signed tokens (JWK: RFC 7517, 7518, 8037; or PEM), on OpenSSL. Public-key algorithms alone: "none" and
// the HMAC family have no name here, so that nothing a token says can make them count. Thread: any.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

struct evp_pkey_st;

namespace krake::access {

enum class Algorithm : std::uint8_t { rs256, rs384, rs512, ps256, ps384, ps512, es256, es384, es512, eddsa };
inline constexpr std::array kAlgorithms{Algorithm::rs256, Algorithm::rs384, Algorithm::rs512, Algorithm::ps256,
                                        Algorithm::ps384, Algorithm::ps512, Algorithm::es256, Algorithm::es384,
                                        Algorithm::es512, Algorithm::eddsa};
std::string_view to_string(Algorithm algorithm);                  // "RS256", as in a token's header
std::optional<Algorithm> parse_algorithm(std::string_view text);  // exactly so

// One key, which verifies, and signs when it is a private one.
class Key {
 public:
  Key(std::string id, std::vector<Algorithm> algorithms, std::shared_ptr<evp_pkey_st> key)
      : id_(std::move(id)), algorithms_(std::move(algorithms)), key_(std::move(key)) {}
  const std::string& id() const { return id_; }  // may be empty
  // What the type of the key allows, and its owner.
  std::span<const Algorithm> algorithms() const { return algorithms_; }
  bool fits(Algorithm algorithm) const;
  // False for whatever is wrong.
  bool verify(Algorithm algorithm, std::string_view message, std::string_view signature) const;
  // By its first algorithm. Errors: invalid_argument when it has no private part.
  Result<std::string> sign(std::string_view message) const;

 private:
  std::string id_;
  std::vector<Algorithm> algorithms_;
  std::shared_ptr<evp_pkey_st> key_;
};

using Keys = std::vector<Key>;

// A JWK set. Keys that are not for signatures, of another kind, too weak or damaged are left out; none may be left.
// Errors: invalid_argument when it is no such set, or one too large.
Result<Keys> parse_jwks(std::string_view text);
// Public or private keys, one PEM block after the other; the id is made of the public part. Errors: invalid_argument.
Result<Keys> parse_pem_keys(const std::string& pem);
// A new Ed25519 key as PEM (PKCS #8, not encrypted): a secret. Errors: internal.
Result<std::string> make_signing_key();

}  // namespace krake::access
