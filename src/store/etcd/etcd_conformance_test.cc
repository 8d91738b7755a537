// The store's contract on real etcds: Debian's 3.4 alone and as a cluster of three, and 3.6.
#include <gtest/gtest.h>

#include "store/etcd/etcd_test_backend.h"

namespace krake::store {

namespace {

bool register_on(const std::string& suite, int members, std::vector<std::string> (*program)()) {
  return conformance::register_cases(suite, [suite, members, program](conformance::BackendOptions) {
    return std::make_unique<EtcdBackend>(borrow_cluster(suite, {.program = program(), .members = members}));
  });
}

std::vector<std::string> etcd_3_4() { return {"/usr/bin/etcd"}; }

const bool kRegistered = register_on("Etcd34x1Conformance", 1, etcd_3_4) &&
                         register_on("Etcd34x3Conformance", 3, etcd_3_4) &&
                         register_on("Etcd36x1Conformance", 1, etcd_3_6);

}  // namespace

}  // namespace krake::store
