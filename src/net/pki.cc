#include "net/pki.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "net/url.h"

namespace krake {

namespace {

template <auto free>
struct Free {
  template <class T>
  void operator()(T* object) const {
    free(object);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using KeyContext = std::unique_ptr<EVP_PKEY_CTX, Free<EVP_PKEY_CTX_free>>;
using Cert = std::unique_ptr<X509, Free<X509_free>>;
using Bio = std::unique_ptr<BIO, Free<BIO_free_all>>;
using Names = std::unique_ptr<GENERAL_NAMES, Free<GENERAL_NAMES_free>>;
using Number = std::unique_ptr<BIGNUM, Free<BN_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Free<X509_EXTENSION_free>>;

// Clocks of other machines may be behind.
constexpr auto kBackdate = std::chrono::minutes(5);
// A larger key takes minutes to make.
constexpr int kMaxRsaBits = 8192;
// Stronger digests than SHA-256, which is the usual one.
constexpr int kStrongDigests[] = {NID_sha384, NID_sha512, NID_sha3_256, NID_sha3_384, NID_sha3_512};

std::unexpected<Error> openssl_failed(std::string_view what) {
  const auto code = ERR_get_error();
  ERR_clear_error();
  const char* reason = ERR_reason_error_string(code);
  return fail(Code::internal, fmt::format("{}: {}", what, reason ? reason : "unknown OpenSSL error"));
}

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const auto size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<std::size_t>(size)};
}

Result<CertificateAndKey> to_pem(X509* cert, EVP_PKEY* key) {
  const Bio cert_bio(BIO_new(BIO_s_mem()));
  const Bio key_bio(BIO_new(BIO_s_mem()));
  if (!cert_bio || !key_bio || PEM_write_bio_X509(cert_bio.get(), cert) != 1 ||
      PEM_write_bio_PrivateKey(key_bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return openssl_failed("writing a certificate as PEM");
  }
  return CertificateAndKey{text_of(cert_bio.get()), text_of(key_bio.get())};
}

// What is encrypted must fail, not ask at the terminal. A certificate may be marked so, too.
int no_password(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*context*/) { return -1; }

Result<Cert> read_cert(std::string_view pem) {
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  // As the one that a TLS server reads its own with: also a TRUSTED CERTIFICATE.
  Cert cert(PEM_read_bio_X509_AUX(bio.get(), nullptr, no_password, nullptr));
  ERR_clear_error();
  if (!cert) return fail(Code::invalid_argument, "the text holds no PEM certificate");
  return cert;
}

Result<Key> read_key(std::string_view pem) {
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr));
  ERR_clear_error();
  if (!key) return fail(Code::invalid_argument, "the text holds no unencrypted PEM private key");
  return key;
}

// A new key of the type, size and curve of `old`, which may be null: that of a certificate OpenSSL cannot read it of.
Result<Key> key_like(EVP_PKEY* old) {
  const int type = old != nullptr ? EVP_PKEY_get_base_id(old) : EVP_PKEY_NONE;
  constexpr int kTypes[] = {EVP_PKEY_RSA, EVP_PKEY_EC, EVP_PKEY_ED25519, EVP_PKEY_ED448};
  if (std::ranges::find(kTypes, type) == std::end(kTypes)) {
    const char* name = old != nullptr ? EVP_PKEY_get0_type_name(old) : nullptr;
    ERR_clear_error();
    return fail(Code::invalid_argument,
                fmt::format("a new key can be RSA, EC, Ed25519 or Ed448, and the old one is {}; "
                            "make a new certificate in another way",
                            name != nullptr ? name : "of an unknown type"));
  }
  if (type == EVP_PKEY_RSA && EVP_PKEY_get_bits(old) > kMaxRsaBits) {
    return fail(Code::invalid_argument,
                fmt::format("a new RSA key can have up to {} bits, and the old one has {}; make "
                            "a new certificate in another way",
                            kMaxRsaBits, EVP_PKEY_get_bits(old)));
  }
  // An EC key is made on the curve of the one the context is for.
  const KeyContext context(EVP_PKEY_CTX_new_from_pkey(nullptr, old, nullptr));
  EVP_PKEY* made = nullptr;
  if (!context || EVP_PKEY_keygen_init(context.get()) != 1 ||
      (type == EVP_PKEY_RSA && EVP_PKEY_CTX_set_rsa_keygen_bits(context.get(), EVP_PKEY_get_bits(old)) != 1) ||
      EVP_PKEY_generate(context.get(), &made) != 1) {
    return openssl_failed("making a key");
  }
  return Key(made);
}

bool sign_with(EVP_PKEY* key, X509* cert, const EVP_MD* digest = EVP_sha256()) {
  // Those have a digest of their own and refuse another.
  const int type = EVP_PKEY_get_base_id(key);
  const bool own = type == EVP_PKEY_ED25519 || type == EVP_PKEY_ED448;
  return X509_sign(cert, key, own ? nullptr : digest) != 0;
}

// That of its signature when it is a strong one, or else SHA-256.
const EVP_MD* digest_of(X509* cert) {
  int digest = NID_undef;
  X509_get_signature_info(cert, &digest, nullptr, nullptr, nullptr);
  ERR_clear_error();
  const bool strong = std::ranges::find(kStrongDigests, digest) != std::end(kStrongDigests);
  return strong ? EVP_get_digestbynid(digest) : EVP_sha256();
}

std::int64_t seconds(Wall time) { return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count(); }

bool set_serial(X509* cert) {
  unsigned char bytes[16];
  if (RAND_bytes(bytes, sizeof bytes) != 1) return false;
  bytes[0] = static_cast<unsigned char>((bytes[0] & 0x7f) | 0x40);  // positive and of constant length
  const Number number(BN_bin2bn(bytes, sizeof bytes, nullptr));
  return number && BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(cert)) != nullptr;
}

bool add_extension(X509* cert, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, cert, nullptr, nullptr, 0);
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value));
  return extension && X509_add_ext(cert, extension.get(), -1) == 1;
}

// Built from values, not from OpenSSL's configuration syntax: a name with a comma must not become two.
Status add_hosts(X509* cert, std::span<const std::string> hosts) {
  const Names names(sk_GENERAL_NAME_new_null());
  if (!names) return openssl_failed("naming a certificate");
  for (const auto& host : hosts) {
    std::unique_ptr<GENERAL_NAME, Free<GENERAL_NAME_free>> name;
    if (is_ip_address(host)) {
      name.reset(a2i_GENERAL_NAME(nullptr, nullptr, nullptr, GEN_IPADD, host.c_str(), 0));
    } else {
      const bool plain = !host.empty() && host.size() <= 253 && std::ranges::all_of(host, [](unsigned char c) {
        return std::isalnum(c) || c == '-' || c == '.' || c == '_' || c == '*';
      });
      if (!plain) {
        return fail(Code::invalid_argument, fmt::format("'{}' is neither a host name nor an IP address", host));
      }
      name.reset(a2i_GENERAL_NAME(nullptr, nullptr, nullptr, GEN_DNS, host.c_str(), 0));
    }
    if (!name || sk_GENERAL_NAME_push(names.get(), name.get()) == 0) return openssl_failed("naming a certificate");
    (void)name.release();
  }
  if (X509_add1_ext_i2d(cert, NID_subject_alt_name, names.get(), 0, X509V3_ADD_DEFAULT) != 1) {
    return openssl_failed("naming a certificate");
  }
  return {};
}

struct Subject {
  Cert cert;
  Key key;
};

// A certificate with names, times and a fresh key, still without extensions and signature.
Result<Subject> make_subject(std::string_view common_name, Wall now, Wall until) {
  if (common_name.empty() || common_name.size() > 64) {
    return fail(Code::invalid_argument, fmt::format("the common name '{}' must have 1 to 64 bytes", common_name));
  }
  Subject subject{.cert = Cert(X509_new()), .key = Key(EVP_EC_gen("P-256"))};
  auto* cert = subject.cert.get();
  if (!cert || !subject.key) return openssl_failed("making a key");
  const auto* bytes = reinterpret_cast<const unsigned char*>(common_name.data());
  if (X509_set_version(cert, X509_VERSION_3) != 1 || !set_serial(cert) ||
      !ASN1_TIME_set(X509_getm_notBefore(cert), seconds(now - kBackdate)) ||
      !ASN1_TIME_set(X509_getm_notAfter(cert), seconds(until)) || X509_set_pubkey(cert, subject.key.get()) != 1 ||
      X509_NAME_add_entry_by_NID(X509_get_subject_name(cert), NID_commonName, MBSTRING_UTF8, bytes,
                                 static_cast<int>(common_name.size()), -1, 0) != 1) {
    return openssl_failed("making a certificate");
  }
  return subject;
}

Wall wall_of(const ASN1_TIME* time) {
  std::tm parts{};
  ASN1_TIME_to_tm(time, &parts);
  return Wall(std::chrono::seconds(timegm(&parts)));
}

std::string text_of(const X509_NAME* name) {
  const Bio bio(BIO_new(BIO_s_mem()));
  if (!bio || X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) < 0) return {};
  return text_of(bio.get());
}

std::vector<std::string> hosts_of(X509* cert) {
  const Names names(static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(cert, NID_subject_alt_name, nullptr, nullptr)));
  std::vector<std::string> hosts;
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    int type = 0;
    const auto* value =
        static_cast<const ASN1_STRING*>(GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), i), &type));
    if (type != GEN_DNS && type != GEN_IPADD) continue;
    const auto* bytes = ASN1_STRING_get0_data(value);
    const auto size = static_cast<std::size_t>(ASN1_STRING_length(value));
    char text[INET6_ADDRSTRLEN] = {};
    if (type == GEN_DNS) {
      hosts.emplace_back(reinterpret_cast<const char*>(bytes), size);
    } else if (size == 4 || size == 16) {
      hosts.emplace_back(inet_ntop(size == 4 ? AF_INET : AF_INET6, bytes, text, sizeof text));
    }
  }
  return hosts;
}

Wall add(Wall now, Duration lifetime) { return now + std::chrono::duration_cast<std::chrono::microseconds>(lifetime); }

struct Authority {
  Cert cert;
  Key key;
};

Result<Authority> read_ca(const CertificateAndKey& ca) {
  Authority authority;
  ASSIGN_OR_RETURN(authority.cert, read_cert(ca.cert_pem));
  ASSIGN_OR_RETURN(authority.key, read_key(ca.key_pem));
  if (X509_check_private_key(authority.cert.get(), authority.key.get()) != 1) {
    ERR_clear_error();
    return fail(Code::invalid_argument, "the certificate authority's key does not belong to its certificate");
  }
  if (X509_check_ca(authority.cert.get()) == 0)
    return fail(Code::invalid_argument, "the certificate is not that of a certificate authority: it may sign no other");
  return authority;
}

Status make_authority(X509* cert, X509* issuer, int levels) {
  const std::string constraints = fmt::format("critical,CA:TRUE,pathlen:{}", levels);
  if (!add_extension(cert, issuer, NID_basic_constraints, constraints.c_str()) ||
      !add_extension(cert, issuer, NID_key_usage, "critical,keyCertSign,cRLSign") ||
      !add_extension(cert, issuer, NID_subject_key_identifier, "hash")) {
    return openssl_failed("making a certificate authority");
  }
  return {};
}

bool remove_extension(X509* cert, int nid) {
  const int at = X509_get_ext_by_NID(cert, nid, -1);
  if (at < 0) return false;
  const Extension removed(X509_delete_ext(cert, at));
  return true;
}

// `old` once more, signed by `issuer`. `fresh`: a new key for it; else it is for the one it has.
Result<Cert> sign_again(X509* old, EVP_PKEY* fresh, const Authority& issuer, Wall now, Duration lifetime) {
  X509* by = issuer.cert.get();
  const auto wanted = std::max(add(now, lifetime), wall_of(X509_get0_notAfter(old)));
  const auto until = std::min(wanted, wall_of(X509_get0_notAfter(by)));
  Cert cert(X509_dup(old));
  // An old one of version 1 has no extensions; this one gets some.
  if (!cert || X509_set_version(cert.get(), X509_VERSION_3) != 1 || !set_serial(cert.get()) ||
      !ASN1_TIME_set(X509_getm_notBefore(cert.get()), seconds(now - kBackdate)) ||
      !ASN1_TIME_set(X509_getm_notAfter(cert.get()), seconds(until)) ||
      X509_set_issuer_name(cert.get(), X509_get_subject_name(by)) != 1 ||
      (fresh != nullptr && X509_set_pubkey(cert.get(), fresh) != 1)) {
    return openssl_failed("renewing a certificate");
  }
  // The two that speak of keys. An authority's own identifier stays: what it signed names it. Its serial number cannot,
  // as no two certificates of an issuer have the same: what names that, too, needs a new certificate.
  const bool has_id = fresh != nullptr && remove_extension(cert.get(), NID_subject_key_identifier);
  remove_extension(cert.get(), NID_authority_key_identifier);
  const bool issuer_has_id = X509_get_ext_by_NID(by, NID_subject_key_identifier, -1) >= 0;
  if ((has_id && !add_extension(cert.get(), by, NID_subject_key_identifier, "hash")) ||
      (issuer_has_id && !add_extension(cert.get(), by, NID_authority_key_identifier, "keyid")) ||
      !sign_with(issuer.key.get(), cert.get(), digest_of(old))) {
    return openssl_failed("renewing a certificate");
  }
  return cert;
}

struct Block {
  std::size_t begin;
  std::size_t end;  // the line break is behind it
  bool trusted;     // it says for what, too
};

// The next PEM block of a certificate that begins at `from` or later; the labels are those that OpenSSL takes for one.
std::optional<Block> next_certificate(std::string_view text, std::size_t from) {
  constexpr std::string_view kBegin = "-----BEGIN ";
  constexpr std::string_view kTrusted = "TRUSTED CERTIFICATE-----";
  constexpr std::string_view kLabels[] = {"CERTIFICATE-----", "X509 CERTIFICATE-----", kTrusted};
  for (auto at = text.find(kBegin, from); at != std::string_view::npos; at = text.find(kBegin, at + 1)) {
    if (at > 0 && text[at - 1] != '\n') continue;
    const auto rest = text.substr(at + kBegin.size());
    const auto* label = std::ranges::find_if(kLabels, [&](auto one) { return rest.starts_with(one); });
    if (label == std::end(kLabels)) continue;
    const auto last = fmt::format("\n-----END {}", *label);
    const auto end = text.find(last, at);
    if (end != std::string_view::npos) return Block{at, end + last.size(), *label == kTrusted};
  }
  return std::nullopt;
}

// Where the PEM blocks before `at` end, with their line break.
std::size_t end_of_blocks(std::string_view text, std::size_t at) {
  const auto end = text.substr(0, at).rfind("\n-----END ");
  if (end == std::string_view::npos) return 0;
  return std::min(at, text.find('\n', end + 1) + 1);
}

bool is_same(const X509* a, const X509* b) {
  const bool same = X509_NAME_cmp(X509_get_subject_name(a), X509_get_subject_name(b)) == 0 &&
                    EVP_PKEY_eq(X509_get0_pubkey(a), X509_get0_pubkey(b)) == 1;
  ERR_clear_error();
  return same;
}

bool is_signed_with(X509* cert, EVP_PKEY* key) {
  const bool is = X509_verify(cert, key) == 1;
  ERR_clear_error();
  return is;
}

// Whether one key has signed both. Where they do not say which, it must be at hand: among the keys of `authorities`.
bool is_same_issuer(X509* a, X509* b, std::span<const std::string> authorities) {
  if (X509_NAME_cmp(X509_get_issuer_name(a), X509_get_issuer_name(b)) != 0) return false;
  const auto* id = X509_get0_authority_key_id(a);
  const auto* other = X509_get0_authority_key_id(b);
  if (id != nullptr && other != nullptr) return ASN1_OCTET_STRING_cmp(id, other) == 0;
  return std::ranges::any_of(authorities, [&](const std::string& pem) {
    const auto issuer = read_cert(pem);
    EVP_PKEY* key = issuer ? X509_get0_pubkey(issuer->get()) : nullptr;
    return key != nullptr && is_signed_with(a, key) && is_signed_with(b, key);
  });
}

// But for that which names the issuer: it may name a serial number, too.
std::vector<X509_EXTENSION*> extensions_of(const X509* cert) {
  std::vector<X509_EXTENSION*> all;
  for (int i = 0; i < X509_get_ext_count(cert); ++i) {
    X509_EXTENSION* one = X509_get_ext(cert, i);
    if (OBJ_obj2nid(X509_EXTENSION_get_object(one)) != NID_authority_key_identifier) all.push_back(one);
  }
  return all;
}

bool has_same_extensions(const X509* a, const X509* b) {
  return std::ranges::equal(extensions_of(a), extensions_of(b), [](X509_EXTENSION* one, X509_EXTENSION* other) {
    return OBJ_cmp(X509_EXTENSION_get_object(one), X509_EXTENSION_get_object(other)) == 0 &&
           X509_EXTENSION_get_critical(one) == X509_EXTENSION_get_critical(other) &&
           ASN1_OCTET_STRING_cmp(X509_EXTENSION_get_data(one), X509_EXTENSION_get_data(other)) == 0;
  });
}

// What takes the place of a certificate of a known authority; empty when it stays, and then `left` gets the name of an
// authority whose known certificate says something else.
std::string_view current(std::string_view pem, bool trusted, std::span<const std::string> authorities,
                         std::vector<std::string>& left) {
  const auto cert = read_cert(pem);
  if (!cert) return {};
  bool other = false;
  for (const std::string& known_pem : authorities) {
    const auto known = read_cert(known_pem);
    if (!known || !is_same(cert->get(), known->get())) continue;
    if (X509_cmp(cert->get(), known->get()) == 0) return {};
    const bool later = wall_of(X509_get0_notAfter(known->get())) >= wall_of(X509_get0_notAfter(cert->get()));
    const auto block = next_certificate(known_pem, 0);
    // Not every program reads a TRUSTED CERTIFICATE, nor takes it for the same.
    if (trusted || !block || block->trusted || !is_same_issuer(cert->get(), known->get(), authorities) ||
        !has_same_extensions(cert->get(), known->get())) {
      other = true;
    } else if (later) {
      return std::string_view(known_pem).substr(block->begin, block->end - block->begin);
    }
  }
  if (other) left.push_back(text_of(X509_get_subject_name(cert->get())));
  return {};
}

}  // namespace

Result<CertificateAndKey> make_ca(std::string_view common_name, Wall now, Duration lifetime, int levels) {
  ASSIGN_OR_RETURN(const Subject subject, make_subject(common_name, now, add(now, lifetime)));
  auto* cert = subject.cert.get();
  if (X509_set_issuer_name(cert, X509_get_subject_name(cert)) != 1)
    return openssl_failed("making a certificate authority");
  RETURN_IF_ERROR(make_authority(cert, cert, levels));
  if (!sign_with(subject.key.get(), cert)) return openssl_failed("making a certificate authority");
  return to_pem(cert, subject.key.get());
}

Result<CertificateAndKey> make_intermediate_ca(const CertificateAndKey& ca, std::string_view common_name, Wall now,
                                               Duration lifetime) {
  ASSIGN_OR_RETURN(const Authority issuer, read_ca(ca));
  const auto until = std::min(add(now, lifetime), wall_of(X509_get0_notAfter(issuer.cert.get())));
  ASSIGN_OR_RETURN(const Subject subject, make_subject(common_name, now, until));
  auto* cert = subject.cert.get();
  if (X509_set_issuer_name(cert, X509_get_subject_name(issuer.cert.get())) != 1)
    return openssl_failed("signing a certificate authority");
  RETURN_IF_ERROR(make_authority(cert, issuer.cert.get(), 0));
  if (!add_extension(cert, issuer.cert.get(), NID_authority_key_identifier, "keyid") ||
      !sign_with(issuer.key.get(), cert)) {
    return openssl_failed("signing a certificate authority");
  }
  return to_pem(cert, subject.key.get());
}

Status check_ca(const CertificateAndKey& ca) {
  RETURN_IF_ERROR(read_ca(ca));
  return {};
}

Result<CertificateAndKey> issue(const CertificateAndKey& ca, std::string_view common_name,
                                std::span<const std::string> hosts, CertificateUse use, Wall now, Duration lifetime) {
  ASSIGN_OR_RETURN(const Authority authority, read_ca(ca));
  X509* issuer = authority.cert.get();
  const auto until = std::min(add(now, lifetime), wall_of(X509_get0_notAfter(issuer)));
  ASSIGN_OR_RETURN(const Subject subject, make_subject(common_name, now, until));
  auto* cert = subject.cert.get();
  const char* extended = use.server && use.client ? "serverAuth,clientAuth" : use.server ? "serverAuth" : "clientAuth";
  if (!hosts.empty()) RETURN_IF_ERROR(add_hosts(cert, hosts));
  if (X509_set_issuer_name(cert, X509_get_subject_name(issuer)) != 1 ||
      !add_extension(cert, issuer, NID_basic_constraints, "critical,CA:FALSE") ||
      !add_extension(cert, issuer, NID_key_usage, "critical,digitalSignature") ||
      ((use.server || use.client) && !add_extension(cert, issuer, NID_ext_key_usage, extended)) ||
      !add_extension(cert, issuer, NID_subject_key_identifier, "hash") ||
      !add_extension(cert, issuer, NID_authority_key_identifier, "keyid") || !sign_with(authority.key.get(), cert)) {
    return openssl_failed("signing a certificate");
  }
  return to_pem(cert, subject.key.get());
}

Result<CertificateAndKey> renew_certificate(const CertificateAndKey& ca, std::string_view cert_pem, Wall now,
                                            Duration lifetime) {
  ASSIGN_OR_RETURN(const Authority issuer, read_ca(ca));
  ASSIGN_OR_RETURN(const Cert old, read_cert(cert_pem));
  ASSIGN_OR_RETURN(const Key key, key_like(X509_get0_pubkey(old.get())));
  ASSIGN_OR_RETURN(const Cert cert, sign_again(old.get(), key.get(), issuer, now, lifetime));
  return to_pem(cert.get(), key.get());
}

Result<CertificateAndKey> renew_authority(const CertificateAndKey& ca, const CertificateAndKey& old, Wall now,
                                          Duration lifetime) {
  ASSIGN_OR_RETURN(const Authority issuer, read_ca(ca));
  ASSIGN_OR_RETURN(const Authority authority, read_ca(old));
  ASSIGN_OR_RETURN(const Cert cert, sign_again(authority.cert.get(), nullptr, issuer, now, lifetime));
  return to_pem(cert.get(), authority.key.get());
}

Result<ReplacedText> replace_certificates(std::string_view text, std::string_view first,
                                          std::span<const std::string> authorities) {
  auto block = next_certificate(text, 0);
  if (!block) return fail(Code::invalid_argument, "the text holds no PEM certificate");
  if (!first.empty() && block->trusted) {
    return fail(
        Code::invalid_argument,
        "the first certificate is a TRUSTED CERTIFICATE, and a new one would not be trusted for what it is: make "
        "a plain one of it ('openssl x509')");
  }
  ReplacedText out;
  std::size_t done = 0;
  for (; block; block = next_certificate(text, done)) {
    const bool is_first = done == 0;
    const auto old = text.substr(block->begin, block->end - block->begin);
    auto made = is_first ? first.substr(0, first.find_last_not_of('\n') + 1) : std::string_view();
    if (made.empty()) made = current(old, block->trusted, authorities, out.left);
    if (is_first && !made.empty()) {
      out.other_first = true;
      out.text += text.substr(0, end_of_blocks(text, block->begin));
    } else {
      out.text += text.substr(done, block->begin - done);
    }
    out.text += made.empty() ? old : made;
    done = block->end;
  }
  out.text += text.substr(done);
  return out;
}

Result<CertificateInfo> certificate_info(std::string_view cert_pem) {
  ASSIGN_OR_RETURN(const Cert cert, read_cert(cert_pem));
  CertificateInfo info{.subject = text_of(X509_get_subject_name(cert.get())),
                       .issuer = text_of(X509_get_issuer_name(cert.get())),
                       .hosts = hosts_of(cert.get()),
                       .not_before = wall_of(X509_get0_notBefore(cert.get())),
                       .not_after = wall_of(X509_get0_notAfter(cert.get()))};
  info.authority = X509_check_ca(cert.get()) != 0;
  const auto flags = X509_get_extension_flags(cert.get());
  const auto uses = (flags & EXFLAG_XKUSAGE) != 0 ? X509_get_extended_key_usage(cert.get()) : 0U;
  info.use = {.server = (uses & XKU_SSL_SERVER) != 0, .client = (uses & XKU_SSL_CLIENT) != 0};
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (X509_digest(cert.get(), EVP_sha256(), digest, &size) != 1) return openssl_failed("reading a certificate");
  for (unsigned i = 0; i < size; ++i) info.fingerprint += fmt::format("{}{:02X}", i > 0 ? ":" : "", digest[i]);
  return info;
}

Result<bool> is_signed_by(std::string_view cert_pem, std::string_view ca_pem) {
  ASSIGN_OR_RETURN(const Cert cert, read_cert(cert_pem));
  ASSIGN_OR_RETURN(const Cert ca, read_cert(ca_pem));
  return is_signed_with(cert.get(), X509_get0_pubkey(ca.get()));
}

Result<bool> is_key_of(std::string_view key_pem, std::string_view cert_pem) {
  ASSIGN_OR_RETURN(const Cert cert, read_cert(cert_pem));
  ASSIGN_OR_RETURN(const Key key, read_key(key_pem));
  const bool is = X509_check_private_key(cert.get(), key.get()) == 1;
  ERR_clear_error();
  return is;
}

Result<bool> is_same_certificate(std::string_view pem, std::string_view other_pem) {
  ASSIGN_OR_RETURN(const Cert cert, read_cert(pem));
  ASSIGN_OR_RETURN(const Cert other, read_cert(other_pem));
  return X509_cmp(cert.get(), other.get()) == 0;
}

Result<bool> is_same_authority(std::string_view pem, std::string_view other_pem) {
  ASSIGN_OR_RETURN(const Cert cert, read_cert(pem));
  ASSIGN_OR_RETURN(const Cert other, read_cert(other_pem));
  return is_same(cert.get(), other.get());
}

Result<Wall> certificate_expiry(std::string_view cert_pem) {
  ASSIGN_OR_RETURN(const Cert cert, read_cert(cert_pem));
  return wall_of(X509_get0_notAfter(cert.get()));
}

}  // namespace krake
