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
// See linger().
constexpr std::size_t kWorthWaiting = 3;
constexpr std::size_t kMaxTarget = 256;
constexpr std::size_t kMaxBackoff = 127;
constexpr std::size_t kHold = 16;
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

// A quick disk and a busy loop would make a sync of every commit although many writers are at work. So the worker waits
// a moment for more of them, and learns from what that brings: it asks for twice as many while they come in time, for
// as many as came when they do not, and stops waiting for a while when hardly anybody came - a lone writer.
void Worker::linger() {
  if (queue_.empty() || options_.linger <= Duration::zero()) return;
  if (skip_ > 0) {
    --skip_;
    return;
  }
  const auto before = queue_.size();
  wanted_ = target_;
  if (std::ranges::any_of(queue_, [](const Job& job) { return static_cast<bool>(job.read); })) wanted_ = 0;
  const auto end = std::chrono::steady_clock::now() + options_.linger;
  bool waited = false;
  bool in_time = true;
  while (in_time && !stopping_ && queue_.size() < wanted_) {
    waited = true;
    const auto left = end - std::chrono::steady_clock::now();
    in_time = left > left.zero() && wake_.wait_for(mutex_, left);
  }
  if (wanted_ == 0 || stopping_) return;  // cut short: nothing to learn
  const auto reached = queue_.size();
  if (waited && reached < before + kWorthWaiting) {
    backoff_ = std::min(kMaxBackoff, 2 * backoff_ + 1);
    skip_ = backoff_;
    target_ = kFirstTarget;
    return;
  }
  backoff_ = 0;
  if (!in_time) {
    target_ = std::clamp(reached, kWorthWaiting, kMaxTarget);
    hold_ = kHold;
  } else if (hold_ > 0) {
    --hold_;
  } else {
    target_ = std::min(2 * reached, kMaxTarget);
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
  if (!batch.writes.empty()) {
    auto results = engine_->run(batch.writes);
    boost::asio::post(executor_, [dones = std::move(batch.dones), results = std::move(results)]() mutable {
      for (std::size_t i = 0; i < dones.size(); ++i) dones[i](std::move(results[i]));
    });
  }
  for (auto& read : batch.reads) boost::asio::post(executor_, read(engine_.get()));
}

}  // namespace krake::store
