// For tests: certificates that krake does not make itself.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <functional>
#include <string>

#include "net/pki.h"

namespace krake::testing {

inline std::string taken(BIO* bio) {
  char* data = nullptr;
  const auto size = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<std::size_t>(size));
  BIO_free(bio);
  return text;
}

inline X509* parsed(const std::string& pem) {
  BIO* in = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  X509* cert = PEM_read_bio_X509(in, nullptr, nullptr, nullptr);
  BIO_free(in);
  return cert;
}

// A certificate as `change` leaves it, signed by `ca`, whose key takes `digest`.
inline std::string changed(const CertificateAndKey& ca, const std::string& pem,
                           const std::function<void(X509*)>& change, const EVP_MD* digest = EVP_sha256()) {
  X509* cert = parsed(pem);
  BIO* in = BIO_new_mem_buf(ca.key_pem.data(), static_cast<int>(ca.key_pem.size()));
  EVP_PKEY* key = PEM_read_bio_PrivateKey(in, nullptr, nullptr, nullptr);
  change(cert);
  X509_sign(cert, key, digest);
  BIO* out = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(out, cert);
  BIO_free(in);
  EVP_PKEY_free(key);
  X509_free(cert);
  return taken(out);
}

inline void set_extension(X509* cert, int nid, const char* value, X509* issuer = nullptr) {
  if (const int at = X509_get_ext_by_NID(cert, nid, -1); at >= 0) X509_EXTENSION_free(X509_delete_ext(cert, at));
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, cert, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
  X509_add_ext(cert, extension, -1);
  X509_EXTENSION_free(extension);
}

// The same authority, whose certificate says something else.
inline CertificateAndKey with_path_length(const CertificateAndKey& ca, const CertificateAndKey& authority, int levels) {
  const auto value = "critical,CA:TRUE,pathlen:" + std::to_string(levels);
  return {
      changed(ca, authority.cert_pem, [&](X509* cert) { set_extension(cert, NID_basic_constraints, value.c_str()); }),
      authority.key_pem};
}

// The same certificate for another key, which is used up.
inline CertificateAndKey with_key(const CertificateAndKey& ca, const std::string& pem, EVP_PKEY* key) {
  BIO* out = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr);
  const auto cert = changed(ca, pem, [&](X509* one) { X509_set_pubkey(one, key); });
  EVP_PKEY_free(key);
  return {cert, taken(out)};
}

// As a TRUSTED CERTIFICATE, for servers.
inline std::string trusted(const std::string& pem) {
  X509* cert = parsed(pem);
  ASN1_OBJECT* use = OBJ_nid2obj(NID_server_auth);
  X509_add1_trust_object(cert, use);
  BIO* out = BIO_new(BIO_s_mem());
  PEM_write_bio_X509_AUX(out, cert);
  X509_free(cert);
  return taken(out);
}

}  // namespace krake::testing
