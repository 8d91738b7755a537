// From the `authentication` section of api.yaml to what the server takes.
#pragma once

#include "base/log.h"
#include "main/config.h"
#include "server/api_server.h"

namespace krake {

// Identity services, tokens, the cache, CORS. Problems: a file that cannot be read or used, an address that is none, a
// key without the others it needs.
void use_authentication(const AuthenticationConfig& config, server::ServerOptions& options, ConfigProblems& problems);

// What works, but hardly as somebody wants it.
void warn_about(const AuthenticationConfig& config, const Log& log);

}  // namespace krake
