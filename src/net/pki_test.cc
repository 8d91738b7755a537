#include "net/pki.h"

#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

namespace krake {

namespace {

using namespace std::chrono_literals;

const Wall kNow = std::chrono::sys_days(std::chrono::year(2024) / 5 / 17) + 10h;

std::string describe(const std::string& pem) {
  BIO* in = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  X509* cert = PEM_read_bio_X509(in, nullptr, nullptr, nullptr);
  BIO* out = BIO_new(BIO_s_mem());
  X509_print(out, cert);
  char* data = nullptr;
  const auto size = BIO_get_mem_data(out, &data);
  std::string text(data, static_cast<std::size_t>(size));
  BIO_free(in);
  BIO_free(out);
  X509_free(cert);
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
  EXPECT_EQ(info.common_name, "krake, api");
  EXPECT_EQ(info.issuer, "CN=Krake CA");
  EXPECT_EQ(info.hosts, hosts);
  EXPECT_TRUE(info.use.server && !info.use.client && !info.authority && info.plain);
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
