// The replicated store: etcd 3.4 or newer over its gRPC protocol, keys and values as they are (upstream Krake's data is
// opened unchanged). Any number of programs may use one etcd at the same time.
//
// Opening connects to nothing: the first call that needs etcd does, and so does every later one after an outage. Reads
// try one endpoint after the other and answer unavailable when none answers within the time limit. A commit whose
// connection breaks in the middle is sent once more when it cannot be applied twice; else its error is timeout
// (unknown).
//
// id() is etcd's cluster id and the value of the key krake/store_id, written with the first contact and changed by a
// restore; it is known after the first call that succeeded. When it changes under a running store - the data was
// replaced, or set back to an older snapshot, whatever was done with it since - the call that notices fails, and all
// watches end with compacted: everything is to be read anew. Deleting all keys is a change like any other: the id is
// put back, watches go on.
//
// With a prefix, or when the user may not read all keys, other programs' commits are not seen: current() then asks for
// the keys of the prefix, and costs a small write when they changed (see there).
//
// Thread: the loop. One thread of its own waits for the network. The store dies before its executor's context.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "store/store.h"

namespace krake::store {

// PEM texts. The server's certificate is always verified.
struct EtcdTls {
  std::string ca_pem;  // empty: the system's
  std::string cert_pem;
  std::string key_pem;
};

struct EtcdOptions {
  std::vector<std::string> endpoints;  // http://HOST:PORT, https://HOST:PORT; without a scheme: http
  std::string prefix;                  // goes before every key; empty: the whole key space is Krake's to see
  std::string user;                    // empty: no login
  std::string password;
  EtcdTls tls;
  Duration timeout = std::chrono::seconds(4);  // of every call, all attempts together
  // The key krake/store_id is not written: id() may be the same for two of them. Commits of the caller still are.
  bool leave_no_mark = false;
  // How long one member may be silent before a read asks the next one.
  Duration patience = std::chrono::seconds(1);
};

class EtcdStore : public Store {
 public:
  // Another id from now on, for all who use this data: what a restore ends with.
  virtual Awaitable<Status> renew_id() = 0;
};

Status check_endpoint(const std::string& endpoint);
// invalid_argument: no endpoint, or one that is not understood; TLS texts that are no certificate or key.
Status check(const EtcdOptions& options);
// Errors: those of check().
Result<std::unique_ptr<EtcdStore>> open_etcd_store(boost::asio::any_io_executor executor, Clock& clock, Random random,
                                                   Log log, EtcdOptions options);

}  // namespace krake::store
