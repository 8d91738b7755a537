// std::mutex with Clang's annotations, so that -Wthread-safety checks which lock guards what.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#define KRAKE_CAPABILITY __attribute__((capability("mutex")))
#define KRAKE_SCOPED_CAPABILITY __attribute__((scoped_lockable))
#define KRAKE_GUARDED_BY(mutex) __attribute__((guarded_by(mutex)))
#define KRAKE_REQUIRES(mutex) __attribute__((requires_capability(mutex)))
#define KRAKE_ACQUIRE(...) __attribute__((acquire_capability(__VA_ARGS__)))
#define KRAKE_RELEASE(...) __attribute__((release_capability(__VA_ARGS__)))

namespace krake::store {

class KRAKE_CAPABILITY Mutex {
 public:
  void lock() KRAKE_ACQUIRE() { mutex_.lock(); }
  void unlock() KRAKE_RELEASE() { mutex_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mutex_;
};

class KRAKE_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) KRAKE_ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() KRAKE_RELEASE() { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

// Wake-ups may be spurious.
class CondVar {
 public:
  void wait(Mutex& mutex) KRAKE_REQUIRES(mutex) {
    std::unique_lock lock(mutex.mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();
  }
  // False when `time` has passed.
  bool wait_for(Mutex& mutex, std::chrono::nanoseconds time) KRAKE_REQUIRES(mutex) {
    std::unique_lock lock(mutex.mutex_, std::adopt_lock);
    const auto status = condition_.wait_for(lock, time);
    lock.release();
    return status == std::cv_status::no_timeout;
  }
  void notify() { condition_.notify_one(); }

 private:
  std::condition_variable condition_;
};

}  // namespace krake::store
