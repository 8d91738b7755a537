// For tests: a store on an etcd cluster, on the real clock. Opening again restarts all members.
#pragma once

#include "store/conformance/conformance.h"
#include "store/etcd/etcd_cluster.h"
#include "store/etcd/etcd_store.h"

namespace krake::store {

class EtcdBackend final : public conformance::Backend {
 public:
  explicit EtcdBackend(std::shared_ptr<EtcdCluster> cluster,
                       EtcdOptions options = {.timeout = std::chrono::seconds(20)})
      : cluster_(std::move(cluster)), options_(std::move(options)) {
    if (options_.endpoints.empty()) options_.endpoints = cluster_->endpoints();
  }
  boost::asio::io_context& loop() override { return loop_; }

  Awaitable<Result<std::unique_ptr<Store>>> open() override {
    if (std::exchange(opened_, true)) cluster_->restart();
    static std::uint64_t seed = 1;
    ASSIGN_OR_CO_RETURN(std::unique_ptr<Store> store,
                        open_etcd_store(loop_.get_executor(), clock_, Random(seed++), Log(), options_));
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
  EtcdOptions options_;
  boost::asio::io_context loop_;
  RealClock clock_{loop_.get_executor()};
  bool opened_ = false;
};

}  // namespace krake::store
