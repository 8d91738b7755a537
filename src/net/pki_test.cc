#include "net/pki.h"

#include <gtest/gtest.h>

#include "net/pki_testing.h"

namespace krake {

namespace {

using namespace std::chrono_literals;
using testing::changed;
using testing::parsed;
using testing::set_extension;
using testing::with_key;

const Wall kNow = std::chrono::sys_days(std::chrono::year(2024) / 5 / 17) + 10h;

std::string describe(const std::string& pem) {
  X509* cert = parsed(pem);
  BIO* out = BIO_new(BIO_s_mem());
  X509_print(out, cert);
  X509_free(cert);
  std::string text = testing::taken(out);
  // Releases of OpenSSL differ in the blanks around '='.
  for (auto at = text.find(" = "); at != std::string::npos; at = text.find(" = ", at)) text.replace(at, 3, "=");
  return text;
}

void expect_all(const std::string& text, std::initializer_list<const char*> words) {
  for (const auto* word : words) EXPECT_NE(text.find(word), std::string::npos) << word << " in\n" << text;
}

}  // namespace

TEST(Pki, MakesAnAuthority) {
  const auto ca = make_ca("Krake CA", kNow);
  ASSERT_TRUE(ca) << ca.error().message;
  expect_all(describe(ca->cert_pem), {"Version: 3", "Subject: CN=Krake CA", "Issuer: CN=Krake CA", "CA:TRUE, pathlen:0",
                                      "Certificate Sign, CRL Sign", "Not Before: May 17 09:55:00 2024 GMT",
                                      "prime256v1", "ecdsa-with-SHA256", "Subject Key Identifier"});
  EXPECT_TRUE(ca->key_pem.starts_with("-----BEGIN PRIVATE KEY-----"));
}

TEST(Pki, SaysWhatACertificateSays) {
  const auto ca = make_ca("Krake CA", kNow).value();
  const std::vector<std::string> hosts{"localhost", "127.0.0.1", "::1"};
  const auto info = certificate_info(issue(ca, "krake, api", hosts, {.server = true}, kNow, 24h)->cert_pem).value();
  EXPECT_EQ(info.subject, "CN=krake\\, api");
  EXPECT_EQ(info.issuer, "CN=Krake CA");
  EXPECT_EQ(info.hosts, hosts);
  EXPECT_TRUE(info.use.server && !info.use.client && !info.authority);
  EXPECT_EQ(info.not_before, kNow - 5min);
  EXPECT_EQ(info.not_after, kNow + 24h);
  EXPECT_EQ(info.fingerprint.size(), 32U * 3 - 1);
  EXPECT_TRUE(certificate_info(ca.cert_pem)->authority);
  EXPECT_FALSE(certificate_info("junk"));
}

TEST(Pki, KnowsWhoSigned) {
  const auto ca = make_ca("Krake CA", kNow).value();
  const auto other = make_ca("Krake CA", kNow).value();
  const auto cert = issue(ca, "a", {}, {.client = true}, kNow).value();
  EXPECT_TRUE(is_signed_by(cert.cert_pem, ca.cert_pem).value());
  EXPECT_FALSE(is_signed_by(cert.cert_pem, other.cert_pem).value()) << "of the same name";
  EXPECT_FALSE(is_signed_by(cert.cert_pem, "junk"));
}

TEST(Pki, IssuesCertificatesForServersAndClients) {
  const auto ca = make_ca("Krake CA", kNow).value();
  const std::vector<std::string> hosts{"localhost", "*.example.org", "127.0.0.1", "::1"};
  const auto server = issue(ca, "krake api", hosts, {.server = true}, kNow, 24h);
  ASSERT_TRUE(server) << server.error().message;
  const auto text = describe(server->cert_pem);
  expect_all(text, {"Subject: CN=krake api", "Issuer: CN=Krake CA", "CA:FALSE", "DNS:localhost, DNS:*.example.org",
                    "IP Address:127.0.0.1", "IP Address:0:0:0:0:0:0:0:1", "TLS Web Server Authentication",
                    "Digital Signature", "Authority Key Identifier", "Not After : May 18 10:00:00 2024 GMT"});
  EXPECT_EQ(text.find("Client Authentication"), std::string::npos);
  const auto both = issue(ca, "system:x", {}, {.server = true, .client = true}, kNow).value();
  expect_all(describe(both.cert_pem), {"CN=system:x", "TLS Web Server Authentication, TLS Web Client Authentication"});
  EXPECT_NE(both.key_pem, server->key_pem);
  const auto again = issue(ca, "system:x", {}, {.server = true, .client = true}, kNow).value();
  EXPECT_NE(both.cert_pem, again.cert_pem);
}

// What OpenSSL makes of an authority of one's own PKI: more names, a path length, other key uses.
CertificateAndKey foreign_authority(const CertificateAndKey& ca) {
  auto made = make_intermediate_ca(ca, "signing", kNow).value();
  made.cert_pem = changed(ca, made.cert_pem, [](X509* cert) {
    set_extension(cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:3");
    set_extension(cert, NID_key_usage, "critical,digitalSignature,keyCertSign");
    set_extension(cert, NID_subject_alt_name, "email:ops@example.org");
    const auto* org = reinterpret_cast<const unsigned char*>("Example");
    X509_NAME_add_entry_by_NID(X509_get_subject_name(cert), NID_organizationName, MBSTRING_UTF8, org, -1, -1, 0);
  });
  return made;
}

// X509_V_OK or why not.
int check_issued(const std::string& issuer_pem, const std::string& cert_pem) {
  X509* issuer = parsed(issuer_pem);
  X509* cert = parsed(cert_pem);
  const int result = X509_check_issued(issuer, cert);
  X509_free(issuer);
  X509_free(cert);
  return result;
}

// Of a text of describe(): from one heading to the end of its line and the next one.
std::string behind(const std::string& text, std::string_view heading) {
  const auto at = text.find(heading);
  if (at == std::string::npos) return "";
  return text.substr(at, text.find('\n', text.find('\n', at) + 1) - at);
}

TEST(Pki, RenewsACertificateForANewKey) {
  const auto ca = make_ca("Krake CA", kNow).value();
  const std::vector<std::string> hosts{"localhost", "::1"};
  const auto old = issue(ca, "krake, api", hosts, {.server = true}, kNow).value();
  const auto made = renew_certificate(ca, old.cert_pem, kNow + 24h * 300);
  ASSERT_TRUE(made) << made.error().message;
  const auto before = certificate_info(old.cert_pem).value();
  const auto info = certificate_info(made->cert_pem).value();
  EXPECT_TRUE(is_signed_by(made->cert_pem, ca.cert_pem).value());
  EXPECT_NE(made->key_pem, old.key_pem);
  EXPECT_TRUE(is_key_of(made->key_pem, made->cert_pem).value());
  EXPECT_FALSE(is_key_of(made->key_pem, old.cert_pem).value());
  EXPECT_FALSE(is_key_of("junk", old.cert_pem));
  EXPECT_EQ(info.subject, before.subject);
  EXPECT_EQ(info.hosts, hosts);
  EXPECT_TRUE(info.use.server && !info.use.client && !info.authority);
  EXPECT_EQ(info.not_before, kNow + 24h * 300 - 5min);
  EXPECT_EQ(info.not_after, kNow + 24h * 300 + kCertificateLifetime);
  const auto was = describe(old.cert_pem);
  const auto is = describe(made->cert_pem);
  EXPECT_NE(behind(is, "Serial Number"), behind(was, "Serial Number"));
  EXPECT_NE(behind(is, "Subject Key Identifier"), behind(was, "Subject Key Identifier"));
  for (const auto* same : {"Authority Key Identifier", "X509v3 Key Usage", "Extended Key Usage", "Basic Constraints"})
    EXPECT_EQ(behind(is, same), behind(was, same));
}

TEST(Pki, RenewsAnAuthorityForTheKeyItHas) {
  const auto ca = make_ca("Krake CA", kNow, kCaLifetime, 4).value();
  const auto old = foreign_authority(ca);
  const auto leaf = issue(old, "leaf", {}, {.client = true}, kNow).value();
  const auto made = renew_authority(ca, old, kNow + 24h * 300);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->key_pem, old.key_pem);
  EXPECT_TRUE(is_signed_by(made->cert_pem, ca.cert_pem).value());
  EXPECT_TRUE(is_signed_by(leaf.cert_pem, made->cert_pem).value());
  EXPECT_TRUE(is_same_authority(made->cert_pem, old.cert_pem).value());
  EXPECT_FALSE(is_same_authority(made->cert_pem, ca.cert_pem).value());
  EXPECT_EQ(certificate_info(made->cert_pem)->not_after, kNow + 24h * 300 + kCertificateLifetime);
  const auto was = describe(old.cert_pem);
  const auto is = describe(made->cert_pem);
  expect_all(is, {"CA:TRUE, pathlen:3", "Digital Signature, Certificate Sign", "O=Example", "email:ops@example.org"});
  EXPECT_NE(behind(is, "Serial Number"), behind(was, "Serial Number"));
  for (const auto* same : {"Subject Key Identifier", "Authority Key Identifier", "X509v3 Key Usage", "Subject:"})
    EXPECT_EQ(behind(is, same), behind(was, same));
  const auto other = make_ca("Other CA", kNow).value();
  EXPECT_EQ(renew_authority(ca, {old.cert_pem, other.key_pem}, kNow).error().code, Code::invalid_argument);
}

TEST(Pki, RenewsAnAuthorityUnderANewSerialNumber) {
  const auto ca = make_ca("Krake CA", kNow).value();
  const auto old = make_intermediate_ca(ca, "signing", kNow).value();
  const auto by_key = issue(old, "leaf", {}, {.client = true}, kNow)->cert_pem;
  const auto by_number = changed(old, by_key, [&](X509* cert) {
    X509* issuer = parsed(old.cert_pem);
    set_extension(cert, NID_authority_key_identifier, "keyid,issuer:always", issuer);
    X509_free(issuer);
  });
  const auto made = renew_authority(ca, old, kNow + 24h).value().cert_pem;
  EXPECT_EQ(check_issued(old.cert_pem, by_number), X509_V_OK);
  EXPECT_EQ(check_issued(made, by_key), X509_V_OK);
  EXPECT_EQ(check_issued(made, by_number), X509_V_ERR_AKID_ISSUER_SERIAL_MISMATCH) << "what pki.h excepts";
}

TEST(Pki, RenewsACertificateOfVersion1) {
  const auto ca = make_ca("Krake CA", kNow).value();
  const auto old = changed(ca, issue(ca, "old", {}, {.client = true}, kNow)->cert_pem, [](X509* cert) {
    while (X509_get_ext_count(cert) > 0) X509_EXTENSION_free(X509_delete_ext(cert, 0));
    X509_set_version(cert, X509_VERSION_1);
  });
  expect_all(describe(old), {"Version: 1 "});
  const auto made = renew_certificate(ca, old, kNow + 24h);
  ASSERT_TRUE(made) << made.error().message;
  expect_all(describe(made->cert_pem), {"Version: 3 ", "Subject: CN=old", "Authority Key Identifier"});
}

TEST(Pki, RenewsForAsLongAsItLasts) {
  const auto ca = make_ca("Krake CA", kNow, 24h * 1000).value();
  const auto ends = [&](std::chrono::hours lifetime, std::chrono::hours later) {
    const auto old = issue(ca, "x", {}, {.client = true}, kNow, lifetime).value();
    return certificate_expiry(renew_certificate(ca, old.cert_pem, kNow + later)->cert_pem).value() - kNow;
  };
  EXPECT_EQ(ends(24h, 12h), kCertificateLifetime + 12h);
  EXPECT_EQ(ends(24h * 800, 24h), 24h * 800) << "what lasts longer does not get less";
  EXPECT_EQ(ends(24h, 24h * 900), 24h * 1000) << "with the authority";
}

TEST(Pki, RenewsForAKeyOfTheSameKind) {
  const auto ca = make_ca("Krake CA", kNow).value();
  const auto leaf = changed(ca, issue(ca, "leaf", {}, {.client = true}, kNow)->cert_pem, [](X509* cert) {
    set_extension(cert, NID_key_usage, "critical,digitalSignature,keyEncipherment");
  });
  const struct {
    EVP_PKEY* key;
    const char* described;
  } rows[] = {{EVP_RSA_gen(1536), "Public-Key: (1536 bit)"},
              {EVP_EC_gen("P-384"), "secp384r1"},
              {EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"), "Public Key Algorithm: ED25519"},
              {EVP_PKEY_Q_keygen(nullptr, nullptr, "ED448"), "Public Key Algorithm: ED448"}};
  for (const auto& row : rows) {
    const auto old = with_key(ca, leaf, row.key);
    const auto made = renew_certificate(ca, old.cert_pem, kNow + 24h);
    ASSERT_TRUE(made) << row.described << ": " << made.error().message;
    EXPECT_NE(made->key_pem, old.key_pem);
    EXPECT_TRUE(is_key_of(made->key_pem, made->cert_pem).value());
    EXPECT_FALSE(is_key_of(old.key_pem, made->cert_pem).value());
    expect_all(describe(made->cert_pem), {row.described, "Digital Signature, Key Encipherment"});
  }
}

TEST(Pki, RenewsWithADigestThatIsNotWeaker) {
  const auto ca = make_ca("Krake CA", kNow, kCaLifetime, 2).value();
  const auto leaf = issue(ca, "leaf", {}, {.client = true}, kNow).value();
  const auto middle = make_intermediate_ca(ca, "signing", kNow).value();
  const struct {
    const EVP_MD* old;
    const char* now;
  } rows[] = {{EVP_sha224(), "ecdsa-with-SHA256"},
              {EVP_sha256(), "ecdsa-with-SHA256"},
              {EVP_sha384(), "ecdsa-with-SHA384"},
              {EVP_sha512(), "ecdsa-with-SHA512"}};
  for (const auto& row : rows) {
    const auto signed_so = [&](const std::string& pem) { return changed(ca, pem, [](X509*) {}, row.old); };
    const auto made = renew_certificate(ca, signed_so(leaf.cert_pem), kNow + 24h).value().cert_pem;
    const CertificateAndKey authority{signed_so(middle.cert_pem), middle.key_pem};
    for (const auto& pem : {made, renew_authority(ca, authority, kNow + 24h).value().cert_pem}) {
      expect_all(describe(pem), {row.now});
      EXPECT_TRUE(is_signed_by(pem, ca.cert_pem).value());
    }
  }
}

TEST(Pki, SaysOfWhichKindItMakesNoKey) {
  const auto ca = make_ca("Krake CA", kNow).value();
  const auto leaf = issue(ca, "leaf", {}, {.client = true}, kNow).value();
  const auto old = with_key(ca, leaf.cert_pem, EVP_PKEY_Q_keygen(nullptr, nullptr, "X25519"));
  const auto made = renew_certificate(ca, old.cert_pem, kNow);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, Code::invalid_argument);
  expect_all(made.error().message, {"can be RSA, EC, Ed25519 or Ed448, and the old one is X25519"});
}

TEST(Pki, SignsWithKeysThatHaveADigestOfTheirOwn) {
  const auto root = make_ca("Krake CA", kNow, kCaLifetime, 2).value();
  const auto middle = make_intermediate_ca(root, "signing", kNow).value();
  for (const auto* type : {"ED25519", "ED448"}) {
    const auto ca = with_key(root, middle.cert_pem, EVP_PKEY_Q_keygen(nullptr, nullptr, type));
    const auto leaf = issue(ca, "leaf", {}, {.client = true}, kNow);
    ASSERT_TRUE(leaf) << leaf.error().message;
    const auto below = make_intermediate_ca(ca, "below", kNow);
    ASSERT_TRUE(below) << below.error().message;
    for (const auto& made :
         {renew_certificate(ca, leaf->cert_pem, kNow + 24h), renew_authority(ca, *below, kNow + 24h), leaf, below}) {
      ASSERT_TRUE(made) << made.error().message;
      EXPECT_TRUE(is_signed_by(made->cert_pem, ca.cert_pem).value()) << type;
    }
  }
}

TEST(Pki, ReplacesCertificatesInATextAndLeavesTheRest) {
  const auto ca = make_ca("Krake CA", kNow).value();
  const auto other = make_ca("Other CA", kNow).value().cert_pem;
  const auto middle = make_intermediate_ca(ca, "signing", kNow).value();
  const auto newer = renew_authority(ca, middle, kNow + 24h).value().cert_pem;
  const auto leaf = issue(ca, "leaf", {}, {.client = true}, kNow).value().cert_pem;
  const auto next = issue(ca, "leaf", {}, {.client = true}, kNow).value().cert_pem;
  const std::string list = "-----BEGIN DH PARAMETERS-----\nMAMCAQI=\n-----END DH PARAMETERS-----\n";
  const auto replaced = [](const std::string& text, const std::string& first, std::vector<std::string> known) {
    const auto made = replace_certificates(text, first, known).value();
    EXPECT_TRUE(made.left.empty());
    return made.text;
  };
  EXPECT_EQ(replaced(leaf, next, {}), next);
  EXPECT_EQ(replaced("it is\n" + leaf + "# and\n" + middle.cert_pem + other + list, next, {newer}),
            next + "# and\n" + newer + other + list);
  EXPECT_EQ(replaced("# for\n" + list + "it is\n" + leaf + list, next, {}), "# for\n" + list + next + list);
  EXPECT_EQ(replaced(list + "it is\n" + leaf, "", {newer}), list + "it is\n" + leaf);
  EXPECT_EQ(replaced("it is\n" + leaf + middle.cert_pem, "", {newer}), "it is\n" + leaf + newer);
  EXPECT_EQ(replaced(leaf + newer, "", {middle.cert_pem}), leaf + newer) << "not by an older one";
  EXPECT_EQ(replaced(middle.cert_pem + leaf, "", {newer}), newer + leaf);
  EXPECT_TRUE(replace_certificates(middle.cert_pem + leaf, "", std::vector{newer})->other_first);
  EXPECT_FALSE(replace_certificates(leaf + middle.cert_pem, "", std::vector{newer})->other_first);
  EXPECT_EQ(replaced(leaf.substr(0, leaf.size() - 1), next, {}), next.substr(0, next.size() - 1));
  EXPECT_FALSE(replace_certificates("# " + leaf, next, {})) << "OpenSSL finds none there either";
  EXPECT_FALSE(replace_certificates(list, next, {}));
}

TEST(Pki, ReplacesAnAuthorityByOneThatSaysTheSame) {
  const auto ca = make_ca("Krake CA", kNow, kCaLifetime, 3).value();
  const auto same_name = make_ca("Krake CA", kNow, kCaLifetime, 3).value();
  const auto other_name = make_ca("Other CA", kNow, kCaLifetime, 3).value();
  const auto narrow = make_intermediate_ca(ca, "signing", kNow).value();
  const auto wide = testing::with_path_length(ca, narrow, 2);
  const auto later = [&](const CertificateAndKey& by, const CertificateAndKey& old) {
    return renew_authority(by, old, kNow + 24h).value().cert_pem;
  };
  const auto leaf = issue(narrow, "leaf", {}, {.client = true}, kNow).value().cert_pem;
  const std::vector<std::string> both{later(ca, narrow), later(ca, wide)};
  EXPECT_EQ(replace_certificates(leaf + wide.cert_pem + narrow.cert_pem, "", both)->text, leaf + both[1] + both[0]);
  for (const auto& known : {later(ca, wide), later(same_name, narrow), later(other_name, narrow)}) {
    const auto made = replace_certificates(leaf + narrow.cert_pem, "", std::vector{known}).value();
    EXPECT_EQ(made.text, leaf + narrow.cert_pem);
    EXPECT_EQ(made.left, std::vector<std::string>{"CN=signing"});
  }
}

TEST(Pki, ReadsTrustedCertificatesAndReplacesNone) {
  const auto ca = make_ca("Krake CA", kNow).value();
  const auto middle = make_intermediate_ca(ca, "signing", kNow).value();
  const auto newer = renew_authority(ca, middle, kNow + 24h).value().cert_pem;
  const auto leaf = issue(ca, "leaf", {}, {.client = true}, kNow).value().cert_pem;
  const auto first = testing::trusted(leaf);
  EXPECT_TRUE(first.starts_with("-----BEGIN TRUSTED CERTIFICATE-----"));
  EXPECT_EQ(certificate_info(first + ca.cert_pem)->subject, "CN=leaf") << "not that of the second";
  const auto refused = replace_certificates(first, leaf, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::invalid_argument);
  expect_all(refused.error().message, {"is a TRUSTED CERTIFICATE", "openssl x509"});
  const auto text = leaf + testing::trusted(middle.cert_pem);
  const auto made = replace_certificates(text, "", std::vector{newer}).value();
  EXPECT_EQ(made.text, text);
  EXPECT_EQ(made.left, std::vector<std::string>{"CN=signing"});
}

TEST(Pki, PutsNoTrustedCertificateInThePlaceOfAPlainOne) {
  const auto ca = make_ca("Krake CA", kNow).value();
  const auto middle = make_intermediate_ca(ca, "signing", kNow).value();
  const auto newer = renew_authority(ca, middle, kNow + 24h).value().cert_pem;
  const auto leaf = issue(ca, "leaf", {}, {.client = true}, kNow).value().cert_pem;
  const auto made = replace_certificates(leaf + middle.cert_pem, "", std::vector{testing::trusted(newer)}).value();
  EXPECT_EQ(made.text, leaf + middle.cert_pem);
  EXPECT_EQ(made.left, std::vector<std::string>{"CN=signing"});
}

TEST(Pki, TriesTheKeyOfAnIssuerThatIsNotNamed) {
  const auto ca = make_ca("Krake CA", kNow, kCaLifetime, 2).value();
  const auto same_name = make_ca("Krake CA", kNow, kCaLifetime, 2).value();
  const auto middle = make_intermediate_ca(ca, "signing", kNow).value();
  const auto nameless = [](const CertificateAndKey& by, const std::string& pem) {
    return testing::changed(by, pem, [](X509* cert) {
      X509_EXTENSION_free(X509_delete_ext(cert, X509_get_ext_by_NID(cert, NID_authority_key_identifier, -1)));
    });
  };
  const auto old = nameless(ca, middle.cert_pem);
  const auto newer = nameless(ca, renew_authority(ca, middle, kNow + 24h).value().cert_pem);
  const auto cross = nameless(same_name, middle.cert_pem);
  const auto leaf = issue(middle, "leaf", {}, {.client = true}, kNow).value().cert_pem;
  const struct {
    std::string old;
    std::vector<std::string> known;
    bool replaced;
  } rows[] = {{old, {newer, ca.cert_pem}, true},
              {middle.cert_pem, {newer, ca.cert_pem}, true},
              {old, {newer}, false},
              {cross, {newer, ca.cert_pem}, false},
              {cross, {newer, ca.cert_pem, same_name.cert_pem}, false}};
  for (const auto& row : rows) {
    const auto made = replace_certificates(leaf + row.old, "", row.known).value();
    EXPECT_EQ(made.text, leaf + (row.replaced ? newer : row.old));
    EXPECT_EQ(made.left.empty(), row.replaced);
  }
}

TEST(Pki, KnowsTheSameCertificate) {
  const auto ca = make_ca("Krake CA", kNow).value();
  const auto other = renew_authority(ca, ca, kNow).value();
  EXPECT_TRUE(is_same_certificate(ca.cert_pem, "# of krake\n" + ca.cert_pem).value());
  EXPECT_FALSE(is_same_certificate(ca.cert_pem, other.cert_pem).value());
  EXPECT_FALSE(is_same_certificate(ca.cert_pem, "junk"));
}

TEST(Pki, LetsNothingOutliveItsAuthority) {
  const auto ca = make_ca("Krake CA", kNow, 48h).value();
  const auto cert = issue(ca, "x", {}, {.client = true}, kNow).value();
  EXPECT_EQ(certificate_expiry(cert.cert_pem), kNow + 48h);
  EXPECT_EQ(certificate_expiry(issue(ca, "x", {}, {.client = true}, kNow, 24h)->cert_pem), kNow + 24h);
}

TEST(Pki, RefusesWhatItCannotUse) {
  const auto ca = make_ca("Krake CA", kNow).value();
  const auto other = make_ca("Other CA", kNow).value();
  const std::vector<std::string> bad_host{"a,DNS:evil"};
  EXPECT_EQ(issue(ca, "x", bad_host, {.server = true}, kNow).error().code, Code::invalid_argument);
  EXPECT_EQ(issue(ca, "", {}, {.client = true}, kNow).error().code, Code::invalid_argument);
  EXPECT_EQ(issue(ca, std::string(65, 'x'), {}, {.client = true}, kNow).error().code, Code::invalid_argument);
  EXPECT_EQ(issue({"junk", ca.key_pem}, "x", {}, {.client = true}, kNow).error().code, Code::invalid_argument);
  EXPECT_EQ(issue({ca.cert_pem, "junk"}, "x", {}, {.client = true}, kNow).error().code, Code::invalid_argument);
  EXPECT_EQ(issue({ca.cert_pem, other.key_pem}, "x", {}, {.client = true}, kNow).error().code, Code::invalid_argument);
  EXPECT_EQ(certificate_expiry("junk").error().code, Code::invalid_argument);
}

}  // namespace krake
