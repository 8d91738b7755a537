// What makes an API server stricter than upstream's, and its audit log. All additive; off unless said otherwise.
#pragma once

#include "base/error.h"
#include "meta/codec.h"
#include "server/api_server.h"

namespace krake {

struct SecurityConfig {
  bool filter_namespaces = true;      // lists over all namespaces show what one may list; false: as upstream, all
  bool strict_roles = false;          // who writes roles and bindings must hold what they give
  bool redact_secrets = false;        // secrets are shown to who may `get` PLURAL/secrets
  bool force_needs_right = false;     // ?force wants `delete` on PLURAL/force
  bool one_time_hook_tokens = false;  // the token of a hook is accepted once
  bool check_uid = false;             // a PUT with the uid of another object is refused
  bool check_references = false;      // references to what does not exist are refused
  std::string encryption_key_file;    // values of kinds with secrets are sealed in the store; base/sealing.h
};
BOOST_DESCRIBE_STRUCT(SecurityConfig, (),
                      (filter_namespaces, strict_roles, redact_secrets, force_needs_right, one_time_hook_tokens,
                       check_uid, check_references, encryption_key_file))

struct AuditConfig {
  std::string file;                 // empty: no audit log
  Integer max_bytes = 104'857'600;  // of one file
  Integer max_files = 10;           // with the present one
  bool reads = false;               // also what is read
};
BOOST_DESCRIBE_STRUCT(AuditConfig, (), (file, max_bytes, max_files, reads))

void apply(const SecurityConfig& security, server::ServerOptions& options);
// Errors: unavailable, when the file cannot be written.
Result<server::AuditOptions> open_audit(const AuditConfig& config);

}  // namespace krake
