// OpenSSL contexts and the questions we ask them. No Asio here: beast/socket.cc puts the two together.
// Thread: the loop; a context may be shared by connections.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/error.h"

struct ssl_ctx_st;
struct ssl_st;

namespace krake {

using TlsContext = std::shared_ptr<ssl_ctx_st>;

// All PEM text. With `client_ca_pem` client certificates are asked for, not demanded; one that does not verify fails
// the handshake. Errors: invalid_argument (which text, and why).
Result<TlsContext> make_server_tls(const std::string& cert_chain_pem, const std::string& key_pem,
                                   const std::string& client_ca_pem);
// Empty `ca_pem`: the system's store. Empty certificate and key: none is shown. `insecure` verifies nothing.
Result<TlsContext> make_client_tls(const std::string& ca_pem, const std::string& cert_pem, const std::string& key_pem,
                                   bool insecure);

// The protocol a client offers to speak (ALPN). Set before connections are made.
void offer_protocol(ssl_ctx_st* context, const std::string& protocol);

// A connection's state, owned by the caller (SSL_free); nullptr when out of memory.
ssl_st* new_server_tls(ssl_ctx_st* context);
// Verifies the peer as `name`, a DNS name or an IP address; SNI is sent for DNS names only.
ssl_st* new_client_tls(ssl_ctx_st* context, const std::string& name);

// The first common name of the verified peer certificate; empty without one.
std::string tls_peer_common_name(const ssl_st* tls);
// Whether it would be one by `context` too, a server's; true without one.
bool tls_peer_verifies(const ssl_st* tls, ssl_ctx_st* context);
// When the verified peer certificate, or an authority it is verified by, expires; nothing without one.
std::optional<Wall> tls_peer_expiry(const ssl_st* tls);
// The protocol agreed on (ALPN); empty: none.
std::string tls_protocol(const ssl_st* tls);
// Why the peer's certificate was refused; empty when it was not.
std::string tls_verify_problem(const ssl_st* tls);

}  // namespace krake
