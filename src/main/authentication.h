// From the `authentication` section of api.yaml to what the server takes.
#pragma once

#include "base/log.h"
#include "main/config.h"
#include "server/api_server.h"

namespace krake {

// Identity services, signed tokens, the cache, CORS. Errors: a file that cannot be read or used, a key without the
// others it needs.
Status use_identity_services(const AuthenticationConfig& config, server::ServerOptions& options);

// What works, but hardly as somebody wants it.
void warn_about(const AuthenticationConfig& config, const Log& log);

}  // namespace krake
