// For tests: one thread, simulated time, coroutines run to their end.
#pragma once

#include <pthread.h>

#include <boost/asio/io_context.hpp>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "base/env.h"
#include "base/task_group.h"

namespace krake::testing {

class World {
 public:
  explicit World(std::uint64_t seed = 1)
      : clock(context.get_executor(), Wall(std::chrono::seconds(1'780'000'000))),
        env{context.get_executor(), clock, Random(seed), Log(), metrics} {}

  // Runs everything that is ready.
  void settle() {
    context.restart();
    while (context.poll() > 0) context.restart();
  }
  // Runs and lets time pass until `done` or until `limit` of simulated time has gone.
  bool run_until(const std::function<bool()>& done, Duration limit = std::chrono::minutes(10)) {
    const Mono end = clock.now() + limit;
    for (;;) {
      settle();
      if (done()) return true;
      if (!clock.advance_to_next(end)) {
        settle();
        return done();
      }
    }
  }
  template <class T>
  T run(Awaitable<T> task) {
    auto result = std::make_shared<std::optional<T>>();
    TaskGroup group(context.get_executor());
    group.spawn("test", keep(std::move(task), result));
    if (!run_until([&] { return result->has_value(); })) throw std::runtime_error("the coroutine did not end");
    return std::move(**result);
  }
  void run(Awaitable<void> task) {
    auto done = std::make_shared<bool>(false);
    TaskGroup group(context.get_executor());
    group.spawn("test", mark(std::move(task), done));
    if (!run_until([&] { return *done; })) throw std::runtime_error("the coroutine did not end");
  }

  boost::asio::io_context context;
  SimClock clock;
  Metrics metrics;
  Env env;

 private:
  template <class T>
  static Awaitable<void> keep(Awaitable<T> task, std::shared_ptr<std::optional<T>> result) {
    result->emplace(co_await std::move(task));
  }
  static Awaitable<void> mark(Awaitable<void> task, std::shared_ptr<bool> done) {
    co_await std::move(task);
    *done = true;
  }
};

// Runs `work` on a thread of its own that has a stack of so many bytes. It must not throw.
inline void on_stack(std::size_t bytes, std::function<void()> work) {
  pthread_attr_t attributes;
  pthread_t thread{};
  pthread_attr_init(&attributes);
  const bool sized = pthread_attr_setstacksize(&attributes, bytes) == 0;
  const auto run = [](void* what) -> void* {
    (*static_cast<std::function<void()>*>(what))();
    return nullptr;
  };
  const bool started = sized && pthread_create(&thread, &attributes, run, &work) == 0;
  pthread_attr_destroy(&attributes);
  if (!started) throw std::runtime_error("no thread with such a stack");
  pthread_join(thread, nullptr);
}

// JSON that is `depth` levels deep, with `leaf` in the last: '[' of lists, '{' of objects, else of both in turn.
inline std::string nested(char shape, std::size_t depth, std::string_view leaf = "\"s\"") {
  std::string text;
  std::string end;
  for (std::size_t i = 0; i < depth; ++i) {
    const bool list = shape == '[' || (shape != '{' && i % 2 == 0);
    text += list ? "[" : "{\"a\":";
    end += list ? ']' : '}';
  }
  return text + std::string(leaf) + std::string(end.rbegin(), end.rend());
}

}  // namespace krake::testing
