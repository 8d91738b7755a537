// The provider's conformance cases against a simulated cluster, in process and under simulated time.
#include "providers/conformance/conformance.h"

#include <gtest/gtest.h>

#include "kubesim/test_cluster.h"

namespace krake::kubesim {

namespace {

class KubesimConformance : public ::testing::TestWithParam<kube::conformance::Case> {};

}  // namespace

TEST_P(KubesimConformance, Holds) {
  TestCluster cluster;
  const auto status = cluster.world.run(kube::conformance::run_case(
      cluster.world.env, cluster.dialer, cluster.kubeconfig(), GetParam(), "1", [&] { cluster.sim.compact(); }));
  EXPECT_TRUE(status) << status.error().message;
}

INSTANTIATE_TEST_SUITE_P(All, KubesimConformance, ::testing::ValuesIn(kube::conformance::all_cases()),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace krake::kubesim
