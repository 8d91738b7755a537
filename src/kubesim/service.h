// Simulated clusters on real ports, with TLS of their own CA and kubeconfig files: what the kubesim program runs.
// Thread: the loop.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/env.h"
#include "kubesim/sim_cluster.h"
#include "net/beast/server.h"

namespace krake::kubesim {

struct ServiceOptions {
  std::string state_dir;  // <name>.kubeconfig goes there, mode 0600
  std::vector<std::string> names;
  std::string host = "127.0.0.1";
  std::uint16_t first_port = 0;  // 0: free ones
  Duration pod_delay = std::chrono::milliseconds(200);
};

class Service {
 public:
  Service(Env& env, ServiceOptions options) : env_(env), options_(std::move(options)) {}
  // Returns when every cluster answers and its kubeconfig is written.
  Awaitable<Status> start();
  Awaitable<void> stop();
  std::vector<std::string> urls() const { return urls_; }

 private:
  struct One {
    std::unique_ptr<SimCluster> cluster;
    std::unique_ptr<HttpServer> server;
  };
  Env& env_;
  ServiceOptions options_;
  std::vector<One> clusters_;
  std::vector<std::string> urls_;
};

}  // namespace krake::kubesim
