// For tests: a simulated cluster reached in process, under simulated time.
#pragma once

#include "base/testing.h"
#include "kubesim/sim_cluster.h"
#include "net/inproc/inproc.h"
#include "providers/kubernetes/client.h"

namespace krake::kubesim {

class SimDialer final : public Dialer {
 public:
  SimDialer(SimCluster& sim, Clock& clock) : sim_(sim), clock_(clock) {}
  Result<std::shared_ptr<Transport>> dial(const Endpoint&) override {
    return make_inproc_transport(sim_.handler(), {}, clock_);
  }

 private:
  SimCluster& sim_;
  Clock& clock_;
};

struct TestCluster {
  explicit TestCluster(SimOptions options = {}) : sim(world.env, std::move(options)), dialer(sim, world.clock) {}
  json::Value kubeconfig() const { return sim.kubeconfig("https://sim", ""); }
  kube::ClusterAccess access() const { return kube::parse_kubeconfig(kubeconfig()).value(); }

  krake::testing::World world;
  SimCluster sim;
  SimDialer dialer;
  kube::KubeClient client{world.env, dialer, access()};
};

}  // namespace krake::kubesim
