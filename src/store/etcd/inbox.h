// Where gRPC's answers arrive: one thread waits for them and hands them to the loop in batches.
// Threads: everything but run() is the loop's.
#pragma once

#include <grpcpp/completion_queue.h>

#include <boost/asio/any_io_executor.hpp>
#include <memory>
#include <thread>
#include <vector>

#include "store/mutex.h"

namespace krake::store::etcd {

// What a completion queue's tag points to. It lives until its completion, whoever lost interest.
class Operation {
 public:
  Operation() = default;
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;
  virtual void completed(bool ok) = 0;  // on the loop

 protected:
  ~Operation() = default;
};

class Inbox : public std::enable_shared_from_this<Inbox> {
 public:
  explicit Inbox(boost::asio::any_io_executor executor) : executor_(std::move(executor)) {}
  ~Inbox();  // after stop()
  void start();
  grpc::CompletionQueue* queue() { return &queue_; }
  // Blocks until something has completed, and tells it.
  void wait();
  // When all that was started has completed.
  void stop();

 private:
  struct Completion {
    Operation* operation;
    bool ok;
  };
  void run();
  void drain();

  boost::asio::any_io_executor executor_;
  grpc::CompletionQueue queue_;
  Mutex mutex_;
  CondVar arrived_;
  std::vector<Completion> completions_ KRAKE_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace krake::store::etcd
