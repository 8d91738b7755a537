// What of its configuration a running server takes anew on SIGHUP: the section `log`, and the
// contents of the files of its certificate, and of the tokens and keys it knows (docs/operations/configuration.md).
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "access/keys.h"
#include "main/all_config.h"
#include "main/config.h"
#include "net/beast/server.h"

namespace krake {

// Nothing when TLS is off. Without all of its files, and a problem for each, when one cannot be read.
std::optional<ServerTls> read_tls(const ServerTlsConfig& config, ConfigProblems& problems,
                                  FileKind kind = FileKind::any);
// Token and user, of lines `<token> <user>`; none without a path. Errors: invalid_argument (a line), those of
// read_file.
using UserTokens = std::vector<std::pair<std::string, std::string>>;
Result<UserTokens> read_user_tokens(const std::string& path, FileKind kind = FileKind::any);
// There is a file of tokens or of keys, whatever is in it.
bool takes_tokens(const AuthenticationConfig& config);
// None without a path. Errors: invalid_argument (no usable key), those of read_file.
Result<access::Keys> read_signing_keys(const std::string& path, FileKind kind = FileKind::any);

struct Renewal {
  std::optional<ServerTls> tls;
  UserTokens tokens;
  bool takes_tokens = false;
  access::Keys signing_keys;
};
// Reads all of it, of regular files: nobody waits for a pipe. Errors: as above; invalid_argument when TLS, or asking
// for certificates, is turned on or off.
Result<Renewal> read_renewal(const ApiConfig& before, const ApiConfig& now);
// The keys that differ and are not of those above, nor of the log: "port".
std::vector<std::string> needs_restart(const ApiConfig& before, const ApiConfig& now);
// The keys that differ and count, of the controllers that are in `before`: "scheduler.stickiness".
std::vector<std::string> needs_restart(const InnerControllers& before, const InnerControllers& now);

}  // namespace krake
