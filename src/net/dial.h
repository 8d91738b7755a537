// How a process reaches an address it learns at run time (an API endpoint, a cluster's server, a metrics provider).
// Production: net/beast; in the simulator: a table from host names to in-process handlers, with faults in between.
#pragma once

#include <memory>
#include <string>

#include "net/http.h"

namespace krake {

struct Endpoint {
  std::string url;  // http://host:port or https://host:port, with an optional path prefix put before every target
  // TLS, all PEM text. The server is verified against `ca_pem`, or the system's store when that is empty.
  std::string ca_pem;
  std::string client_cert_pem;
  std::string client_key_pem;
  std::string server_name;            // SNI and name to verify, when other than the URL's host
  bool insecure_skip_verify = false;  // only when the user said so
  bool operator==(const Endpoint&) const = default;
};

class Dialer {
 public:
  virtual ~Dialer() = default;
  // Does not connect yet: that happens with the first call. Errors: invalid_argument (URL, PEM).
  virtual Result<std::shared_ptr<Transport>> dial(const Endpoint& endpoint) = 0;
};

}  // namespace krake
