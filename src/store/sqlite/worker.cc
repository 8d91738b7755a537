#include "store/sqlite/worker.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <chrono>

#include "base/check.h"
#include "store/txn.h"

namespace krake::store {

namespace {
constexpr std::size_t kMaxQueued = 20'000;
constexpr std::size_t kMaxQueuedBytes = std::size_t{256} << 20;
constexpr std::size_t kMaxGroup = 1'000;
constexpr std::size_t kMaxGroupBytes = std::size_t{32} << 20;
// Below this many writers at once a sync each is quick enough.
constexpr std::size_t kManyWriters = 8;
}  // namespace

Worker::Worker(boost::asio::any_io_executor executor, std::unique_ptr<Engine> engine, WorkerOptions options)
    : executor_(std::move(executor)), engine_(std::move(engine)), options_(options) {
  if (!options_.run_inline) thread_ = std::thread([this] { run(); });
}

Worker::~Worker() { CHECK(!thread_.joinable(), "stop() comes first"); }

void Worker::stop() {
  if (options_.run_inline) {
    engine_.reset();
    return;
  }
  std::deque<Job> dropped;
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    wake_.notify();
  }
  thread_.join();
  {
    const MutexLock lock(mutex_);
    dropped.swap(queue_);
  }
  for (auto& job : dropped) {
    if (job.read) {
      job.read(nullptr)();
    } else {
      job.done(fail(Code::unavailable, "the store was closed before the write began"));
    }
  }
}

bool Worker::write(Write write, WriteDone done) {
  if (options_.run_inline) {
    auto results = engine_->run({std::move(write)});
    done(std::move(results.front()));
    while (engine_->maintain()) {
    }
    return true;
  }
  return push({std::move(write), std::move(done), nullptr});
}

bool Worker::read(Read read) {
  if (options_.run_inline) {
    read(engine_.get())();
    return true;
  }
  return push({{}, nullptr, std::move(read)});
}

bool Worker::push(Job job) {
  const auto bytes = txn_bytes(job.write.txn);
  const MutexLock lock(mutex_);
  if (queue_.size() >= kMaxQueued || queued_bytes_ + bytes > kMaxQueuedBytes) return false;
  queued_bytes_ += bytes;
  if (job.read) wanted_ = 0;  // nobody lingers for more while a reader waits
  queue_.push_back(std::move(job));
  if (queue_.size() >= wanted_) wake_.notify();
  return true;
}

void Worker::run() {
  while (true) {
    Batch batch;
    {
      const MutexLock lock(mutex_);
      if (!wait_for_work()) break;
      linger();
      batch = take();
    }
    process(std::move(batch));
    more_maintenance_ = engine_->maintain();
  }
  engine_.reset();
}

// False: stop. Spare time goes to maintenance; the batch is empty then.
bool Worker::wait_for_work() {
  wanted_ = 1;
  while (queue_.empty() && !stopping_ && !more_maintenance_) wake_.wait(mutex_);
  return !stopping_;
}

// The writers of the last group have just been answered; most of them will write again in a moment. Those that queued
// up meanwhile wait for them, briefly: that makes one sync of two.
void Worker::linger() {
  const std::size_t writers = last_group_ + queue_.size();
  if (queue_.empty() || last_group_ == 0 || writers < kManyWriters) return;
  wanted_ = writers - writers / 4;
  for (const auto& job : queue_) {
    if (job.read) wanted_ = 0;
  }
  const auto end = std::chrono::steady_clock::now() + options_.linger;
  while (!stopping_ && queue_.size() < wanted_) {
    const auto left = end - std::chrono::steady_clock::now();
    if (left <= left.zero() || !wake_.wait_for(mutex_, left)) break;
  }
}

Worker::Batch Worker::take() {
  Batch batch;
  std::size_t bytes = 0;
  while (!queue_.empty() && batch.writes.size() < kMaxGroup && bytes < kMaxGroupBytes) {
    auto& job = queue_.front();
    if (job.read) {
      batch.reads.push_back(std::move(job.read));
    } else {
      const auto size = txn_bytes(job.write.txn);
      bytes += size;
      queued_bytes_ -= size;
      batch.writes.push_back(std::move(job.write));
      batch.dones.push_back(std::move(job.done));
    }
    queue_.pop_front();
  }
  return batch;
}

void Worker::process(Batch batch) {
  last_group_ = batch.writes.size();
  if (!batch.writes.empty()) {
    auto results = engine_->run(batch.writes);
    boost::asio::post(executor_, [dones = std::move(batch.dones), results = std::move(results)]() mutable {
      for (std::size_t i = 0; i < dones.size(); ++i) dones[i](std::move(results[i]));
    });
  }
  for (auto& read : batch.reads) boost::asio::post(executor_, read(engine_.get()));
}

}  // namespace krake::store
