#include "net/beast/tls.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>

#include "net/url.h"

namespace krake {

namespace {

struct BioFree {
  void operator()(BIO* bio) const { BIO_free_all(bio); }
};
struct X509Free {
  void operator()(X509* cert) const { X509_free(cert); }
};
struct KeyFree {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using Bio = std::unique_ptr<BIO, BioFree>;
using Cert = std::unique_ptr<X509, X509Free>;
using Key = std::unique_ptr<EVP_PKEY, KeyFree>;

int no_password(char*, int, int, void*) { return -1; }

std::unexpected<Error> bad_pem(std::string_view what) {
  const auto code = ERR_peek_last_error();
  ERR_clear_error();
  const char* reason = ERR_reason_error_string(code);
  return fail(Code::invalid_argument, fmt::format("{}: {}", what, reason ? reason : "no usable PEM text"));
}

Bio memory(const std::string& pem) { return Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()))); }

Result<std::vector<Cert>> read_certs(const std::string& pem, std::string_view what) {
  std::vector<Cert> certs;
  const auto bio = memory(pem);
  while (X509* cert = PEM_read_bio_X509_AUX(bio.get(), nullptr, no_password, nullptr)) certs.emplace_back(cert);
  const auto code = ERR_peek_last_error();
  const bool clean_end = ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
  if (certs.empty() || !clean_end) return bad_pem(what);
  ERR_clear_error();
  return certs;
}

Status use_identity(SSL_CTX* context, const std::string& cert_pem, const std::string& key_pem, std::string_view whose) {
  ASSIGN_OR_RETURN(auto chain, read_certs(cert_pem, fmt::format("the {} certificate", whose)));
  if (SSL_CTX_use_certificate(context, chain[0].get()) != 1) return bad_pem(fmt::format("the {} certificate", whose));
  for (std::size_t i = 1; i < chain.size(); ++i) {
    if (SSL_CTX_add1_chain_cert(context, chain[i].get()) != 1) return bad_pem(fmt::format("the {} certificate", whose));
  }
  const auto bio = memory(key_pem);
  const Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr));
  if (!key || SSL_CTX_use_PrivateKey(context, key.get()) != 1) return bad_pem(fmt::format("the {} key", whose));
  if (SSL_CTX_check_private_key(context) != 1) return bad_pem(fmt::format("the {} key and certificate", whose));
  return {};
}

// `name_to_client`: the server tells whose certificates it takes.
Status trust(SSL_CTX* context, const std::string& ca_pem, bool name_to_client) {
  ASSIGN_OR_RETURN(auto authorities, read_certs(ca_pem, "the CA certificate"));
  auto* store = SSL_CTX_get_cert_store(context);
  for (const auto& authority : authorities) {
    if (X509_STORE_add_cert(store, authority.get()) != 1) return bad_pem("the CA certificate");
    if (name_to_client && SSL_CTX_add_client_CA(context, authority.get()) != 1) return bad_pem("the CA certificate");
  }
  // What the user names is trusted, also when it is an intermediate authority.
  X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
  return {};
}

Result<TlsContext> make_context(const SSL_METHOD* method) {
  TlsContext context(SSL_CTX_new(method), SSL_CTX_free);
  if (!context) return fail(Code::internal, "OpenSSL makes no TLS context");
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  // Shows the chain as it was given: nothing is added from the certificates we trust.
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  // No resumption: connections are kept alive, and a resumed session would skip a look at the client's certificate.
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  return context;
}

}  // namespace

Result<TlsContext> make_server_tls(const std::string& cert_chain_pem, const std::string& key_pem,
                                   const std::string& client_ca_pem) {
  ASSIGN_OR_RETURN(auto context, make_context(TLS_server_method()));
  SSL_CTX_set_options(context.get(), SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_num_tickets(context.get(), 0);
  RETURN_IF_ERROR(use_identity(context.get(), cert_chain_pem, key_pem, "server"));
  if (!client_ca_pem.empty()) {
    RETURN_IF_ERROR(trust(context.get(), client_ca_pem, true));
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  }
  return context;
}

Result<TlsContext> make_client_tls(const std::string& ca_pem, const std::string& cert_pem, const std::string& key_pem,
                                   bool insecure) {
  ASSIGN_OR_RETURN(auto context, make_context(TLS_client_method()));
  if (cert_pem.empty() != key_pem.empty()) {
    return fail(Code::invalid_argument, "a client certificate needs its key, and a key its certificate");
  }
  if (!cert_pem.empty()) RETURN_IF_ERROR(use_identity(context.get(), cert_pem, key_pem, "client"));
  if (!ca_pem.empty()) {
    RETURN_IF_ERROR(trust(context.get(), ca_pem, false));
  } else if (SSL_CTX_set_default_verify_paths(context.get()) != 1) {
    return bad_pem("the system's CA certificates");
  }
  SSL_CTX_set_verify(context.get(), insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, nullptr);
  return context;
}

void offer_protocol(ssl_ctx_st* context, const std::string& protocol) {
  const std::string list = static_cast<char>(protocol.size()) + protocol;
  SSL_CTX_set_alpn_protos(context, reinterpret_cast<const unsigned char*>(list.data()),
                          static_cast<unsigned int>(list.size()));
}

ssl_st* new_server_tls(ssl_ctx_st* context) { return SSL_new(context); }

ssl_st* new_client_tls(ssl_ctx_st* context, const std::string& name) {
  SSL* tls = SSL_new(context);
  if (!tls) return nullptr;
  auto* parameters = SSL_get0_param(tls);
  if (is_ip_address(name)) {
    X509_VERIFY_PARAM_set1_ip_asc(parameters, name.c_str());
  } else {
    X509_VERIFY_PARAM_set_hostflags(parameters,
                                    X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    X509_VERIFY_PARAM_set1_host(parameters, name.data(), name.size());
    SSL_set_tlsext_host_name(tls, name.c_str());
  }
  return tls;
}

std::string tls_peer_common_name(const ssl_st* tls) {
  const Cert cert(SSL_get1_peer_certificate(tls));
  if (!cert || SSL_get_verify_result(tls) != X509_V_OK) return {};
  const auto* subject = X509_get_subject_name(cert.get());
  const int index = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (index < 0) return {};
  unsigned char* text = nullptr;
  const int size = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, index)));
  if (size < 0) return {};
  std::string name(reinterpret_cast<char*>(text), static_cast<std::size_t>(size));
  OPENSSL_free(text);
  return name;
}

bool tls_peer_verifies(const ssl_st* tls, ssl_ctx_st* context) {
  const Cert cert(SSL_get1_peer_certificate(tls));
  if (!cert) return true;
  const std::unique_ptr<X509_STORE_CTX, decltype(&X509_STORE_CTX_free)> look(X509_STORE_CTX_new(), X509_STORE_CTX_free);
  const bool verifies =
      look &&
      X509_STORE_CTX_init(look.get(), SSL_CTX_get_cert_store(context), cert.get(), SSL_get_peer_cert_chain(tls)) == 1 &&
      X509_STORE_CTX_set_default(look.get(), "ssl_client") == 1 && X509_verify_cert(look.get()) == 1;
  ERR_clear_error();
  return verifies;
}

std::optional<Wall> tls_peer_expiry(const ssl_st* tls) {
  const auto* chain = SSL_get0_verified_chain(tls);
  if (!chain || SSL_get_verify_result(tls) != X509_V_OK) return std::nullopt;
  std::optional<Wall> first;
  for (int i = 0; i < sk_X509_num(chain); ++i) {
    std::tm parts{};
    if (ASN1_TIME_to_tm(X509_get0_notAfter(sk_X509_value(chain, i)), &parts) != 1) return std::nullopt;
    const Wall end(std::chrono::seconds(timegm(&parts)));
    first = std::min(first.value_or(end), end);
  }
  return first;
}

std::string tls_protocol(const ssl_st* tls) {
  const unsigned char* name = nullptr;
  unsigned int size = 0;
  SSL_get0_alpn_selected(tls, &name, &size);
  return {reinterpret_cast<const char*>(name), size};
}

std::string tls_verify_problem(const ssl_st* tls) {
  const auto result = SSL_get_verify_result(tls);
  return result == X509_V_OK ? std::string() : std::string(X509_verify_cert_error_string(result));
}

}  // namespace krake
