// A small certificate authority on OpenSSL: ECDSA P-256 keys (a renewed certificate's is as its old one), SHA-256
// signatures where the signing key leaves that open (a renewed certificate keeps SHA-384, SHA-512 and SHA-3), PEM text.
// OpenSSL's TRUSTED CERTIFICATE is read like any other.
// For development set-ups, the simulated clusters and tests; a file of one's own PKI works as well everywhere.
// Errors: invalid_argument (a PEM text that cannot be used, a name that does not fit), internal (OpenSSL failed).
// Thread: any.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/error.h"

namespace krake {

struct CertificateAndKey {
  std::string cert_pem;
  std::string key_pem;  // PKCS #8, not encrypted: a secret
};

struct CertificateUse {
  bool server = false;
  bool client = false;
};

inline constexpr Duration kCaLifetime = std::chrono::hours(24 * 3650);
inline constexpr Duration kCertificateLifetime = std::chrono::hours(24 * 365);
// What ends within it wants to be renewed.
inline constexpr Duration kExpiresSoon = std::chrono::hours(24 * 30);

// Self-signed. `levels`: of authorities that may stand between it and an end certificate.
Result<CertificateAndKey> make_ca(std::string_view common_name, Wall now, Duration lifetime = kCaLifetime,
                                  int levels = 0);
// An authority signed by another one; may sign end certificates only. Never outlives `ca`.
Result<CertificateAndKey> make_intermediate_ca(const CertificateAndKey& ca, std::string_view common_name, Wall now,
                                               Duration lifetime = kCertificateLifetime);
// `hosts`: DNS names (also "*.example.org") and IP addresses, for the subjectAltName. Never outlives its CA.
Result<CertificateAndKey> issue(const CertificateAndKey& ca, std::string_view common_name,
                                std::span<const std::string> hosts, CertificateUse use, Wall now,
                                Duration lifetime = kCertificateLifetime);
// The first certificate of `cert_pem` once more, for a new key of the same type, size and curve: the names, uses and
// other extensions stay. It lasts for `lifetime`, or as long as the old one if that is longer, and never outlives `ca`.
// invalid_argument when no such key is made here: RSA up to 8,192 bits, EC, Ed25519 and Ed448 are.
Result<CertificateAndKey> renew_certificate(const CertificateAndKey& ca, std::string_view cert_pem, Wall now,
                                            Duration lifetime = kCertificateLifetime);
// The same for an authority's: for the key it has, so that what it has signed stays good, unless that names the serial
// number of its issuer's certificate (authorityKeyIdentifier with an issuer), which is a new one. invalid_argument as
// check_ca(old).
Result<CertificateAndKey> renew_authority(const CertificateAndKey& ca, const CertificateAndKey& old, Wall now,
                                          Duration lifetime = kCertificateLifetime);
struct ReplacedText {
  std::string text;
  bool other_first = false;       // its first certificate is another one than before
  std::vector<std::string> left;  // names of `authorities` of which the text still has another certificate
};
// The PEM text with its first certificate replaced by `first`, when that is not empty, and each other one by that among
// `authorities` which differs from it in times, serial number and signature alone (the same name, key, issuer and
// extensions), unless that ends earlier. Where one of both does not say whose key has signed it, that key is tried,
// when the certificate it belongs to is among `authorities`, too; else the other one stays. The PEM blocks before the
// first certificate stay; other text there, which may speak of the old one, goes with it; the rest behind it stays.
// invalid_argument when a TRUSTED CERTIFICATE would be replaced by `first`: what it is trusted for would be lost.
// Behind the first such ones stay, and a plain one is not replaced by such a one.
Result<ReplacedText> replace_certificates(std::string_view text, std::string_view first,
                                          std::span<const std::string> authorities);
// invalid_argument when the key is not that of the first certificate of the text, or that certificate is no
// authority's.
Status check_ca(const CertificateAndKey& ca);

// What the first certificate of a text says.
struct CertificateInfo {
  std::string subject;  // RFC 2253: "CN=system:admin"
  std::string issuer;
  std::vector<std::string> hosts;  // DNS names and IP addresses; names of other types are left out
  CertificateUse use;
  bool authority = false;
  Wall not_before;
  Wall not_after;
  std::string fingerprint;  // SHA-256 of the certificate, "AB:CD:..."
};
Result<CertificateInfo> certificate_info(std::string_view cert_pem);
// Whether the first certificate of `cert_pem` was signed by that of `ca_pem`; invalid_argument when one is none.
Result<bool> is_signed_by(std::string_view cert_pem, std::string_view ca_pem);
// Whether the key is that of the first certificate; invalid_argument when one is none.
Result<bool> is_key_of(std::string_view key_pem, std::string_view cert_pem);
// Whether the first certificates of both are one and the same.
Result<bool> is_same_certificate(std::string_view pem, std::string_view other_pem);
// Whether the first certificates of both are of one authority: the same name and key.
Result<bool> is_same_authority(std::string_view pem, std::string_view other_pem);
// When the first certificate of the text expires.
Result<Wall> certificate_expiry(std::string_view cert_pem);

}  // namespace krake
