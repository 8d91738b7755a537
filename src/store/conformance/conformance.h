// The store contract as test functions over a Backend: every implementation runs the same cases.
//   const bool registered = register_cases("MemoryStore", make_memory_backend);
// in a _test.cc makes one GoogleTest test per case. Only tests link this library.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/task_group.h"
#include "store/store.h"

namespace krake::store::conformance {

struct BackendOptions {
  // The watch window: at most this many commits of one change each. 0: the implementation's default.
  std::size_t history = 0;
};

// One world with one store in it; the data survives the Store.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual boost::asio::io_context& loop() = 0;
  // Opens the data, again once the previous Store is gone.
  virtual Awaitable<Result<std::unique_ptr<Store>>> open() = 0;
  // Returns when the store's clock has moved by that much.
  virtual void elapse(Duration time) = 0;
  // The shortest lease to test with.
  virtual Duration lease_time() const { return std::chrono::seconds(10); }
  // False: the store bounds its history by other means; only compact() is tested.
  virtual bool bounds_history() const { return true; }
};
using Factory = std::function<std::unique_ptr<Backend>(BackendOptions)>;

// An operation under way on the rig's loop.
template <class T>
using Pending = std::shared_ptr<std::optional<T>>;

class Rig;

// Reads one watch event by event.
class Reader {
 public:
  Reader(Rig& rig, std::unique_ptr<Watch> watch) : rig_(&rig), watch_(std::move(watch)) {}
  CommitEvent next();  // waits for it; fails the test on an error
  Error error();       // waits for the watch to fail, dropping events
  // Everything up to `revision`, in the form of show().
  std::vector<std::string> until(Revision revision);
  Watch& watch() { return *watch_; }

 private:
  Rig* rig_;
  std::unique_ptr<Watch> watch_;
  std::deque<CommitEvent> ready_;
};

// Opens a backend's store and turns its coroutines into plain calls.
class Rig {
 public:
  explicit Rig(const Factory& factory, BackendOptions options = {});
  ~Rig();

  Store& store() { return *store_; }
  Backend& backend() { return *backend_; }
  void reopen();
  void close() { store_.reset(); }

  template <class T>
  Pending<T> start(Awaitable<T> operation) {
    auto result = std::make_shared<std::optional<T>>();
    tasks_->spawn("test", capture(std::move(operation), result));
    return result;
  }
  template <class T>
  T finish(const Pending<T>& pending) {
    pump([&] { return pending->has_value(); });
    return std::move(**pending);
  }
  template <class T>
  T run(Awaitable<T> operation) {
    return finish(start(std::move(operation)));
  }
  // Runs the loop until `done`; half a minute without progress ends the program.
  void pump(const std::function<bool()>& done);

  // Plain calls; an error of the store fails the test.
  Result<CommitResult> try_commit(Txn txn) { return run(store().commit(std::move(txn))); }
  CommitResult commit(Txn txn);
  Revision committed(Txn txn);  // and no conflict
  Revision put(std::string key, std::string value, LeaseId lease = 0);
  Revision remove(std::string key);
  std::optional<Entry> get(std::string key);
  Listing list(std::string prefix, ListOptions options = {});
  std::vector<std::string> keys(std::string prefix, ListOptions options = {});
  Revision current();
  Status compact(Revision revision) { return run(store().compact(revision)); }
  LeaseId grant(Duration ttl);
  Reader watch(std::string prefix, Revision after);

 private:
  template <class T>
  static Awaitable<void> capture(Awaitable<T> operation, Pending<T> result) {
    result->emplace(co_await std::move(operation));
  }
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<TaskGroup> tasks_;
  std::unique_ptr<Store> store_;
};

Bytes bytes(std::string text);
// "a=1 -b": the changes of one commit, in order.
std::string show(const CommitEvent& event);

struct Case {
  std::string name;  // a sentence
  void (*run)(const Factory&);
};
std::vector<Case> cases();
// One test SUITE.CASE for each. Always true.
bool register_cases(const std::string& suite, Factory factory);

// The parts of cases(), by file.
void add_core_cases(std::vector<Case>& cases);
void add_watch_cases(std::vector<Case>& cases);
void add_lease_cases(std::vector<Case>& cases);
void add_random_cases(std::vector<Case>& cases);

}  // namespace krake::store::conformance
