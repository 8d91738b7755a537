// The store's contract on real etcds: Debian's 3.4 alone and as a cluster of three, and 3.6.
#include <gtest/gtest.h>

#include "store/conformance/conformance.h"
#include "store/etcd/etcd_cluster.h"
#include "store/etcd/etcd_store.h"

namespace krake::store {

namespace {

class EtcdBackend final : public conformance::Backend {
 public:
  explicit EtcdBackend(std::shared_ptr<EtcdCluster> cluster) : cluster_(std::move(cluster)) {}
  boost::asio::io_context& loop() override { return loop_; }

  Awaitable<Result<std::unique_ptr<Store>>> open() override {
    if (std::exchange(opened_, true)) cluster_->restart();
    static std::uint64_t seed = 1;
    ASSIGN_OR_CO_RETURN(std::unique_ptr<Store> store,
                        open_etcd_store(loop_.get_executor(), clock_, Random(seed++), Log(),
                                        {.endpoints = cluster_->endpoints(), .timeout = std::chrono::seconds(20)}));
    if (auto known = co_await store->current(); !known) co_return fail(known.error());
    co_return store;
  }
  void elapse(Duration time) override {
    bool over = false;
    const auto timer = clock_.at(clock_.now() + time, [&] { over = true; });
    while (!over) {
      loop_.restart();
      loop_.run_one();
    }
  }
  Duration lease_time() const override { return std::chrono::seconds(4); }
  bool bounds_history() const override { return false; }

 private:
  std::shared_ptr<EtcdCluster> cluster_;
  boost::asio::io_context loop_;
  RealClock clock_{loop_.get_executor()};
  bool opened_ = false;
};

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
