// A client of several API servers with what a controller has: one transport over all of them, and an informer.
//   krake_bench_failover URL,URL...
// From the informer's first list on it reads a role and writes another, one request at a time each, until it is killed.
// Each success is a line on standard output, with times of CLOCK_MONOTONIC in seconds:
//   read BEGIN END        write BEGIN END        event NAME AT
// and each failure one on standard error.
#include <fmt/core.h>

#include <boost/asio/io_context.hpp>
#include <csignal>
#include <cstdio>

#include "api/core/role.h"
#include "base/async.h"
#include "client/informer.h"
#include "net/beast/client.h"
#include "net/failover.h"

namespace {

using namespace krake;

constexpr auto kPace = std::chrono::milliseconds(2);

double in_seconds(Mono time) { return std::chrono::duration<double>(time.time_since_epoch()).count(); }

template <class Answer>
void tell(const char* what, Mono begin, Mono end, const Result<Answer>& answer) {
  if (answer) {
    fmt::print("{} {:.6f} {:.6f}\n", what, in_seconds(begin), in_seconds(end));
    std::fflush(stdout);
  } else {
    fmt::print(stderr, "{} {:.6f} {:.6f} {}\n", what, in_seconds(begin), in_seconds(end), answer.error().message);
  }
}

Role role(std::string name) {
  Role out;
  out.metadata.name = std::move(name);
  return out;
}

Awaitable<void> read(Clock& clock, Client& client, std::string name) {
  for (;;) {
    const Mono begin = clock.now();
    const auto answer = co_await client.get<Role>({"", name});
    tell("read", begin, clock.now(), answer);
    co_await sleep_for(clock, kPace);
  }
}

Awaitable<void> write(Clock& clock, Client& client, std::string name) {
  for (std::int64_t number = 0;; ++number) {
    const Mono begin = clock.now();
    json::Object labels{{"number", std::to_string(number)}};
    json::Object metadata{{"labels", std::move(labels)}};
    const auto answer = co_await client.patch<Role>({"", name}, json::Object{{"metadata", std::move(metadata)}});
    tell("write", begin, clock.now(), answer);
    co_await sleep_for(clock, kPace);
  }
}

Awaitable<void> go_on(Env& env, Client& client, InformerBase& informer, TaskGroup& tasks) {
  const std::string own = "failover-" + env.random.uuid4();
  co_await informer.wait_synced();
  if (const auto made = co_await client.create<Role>("", role(own)); !made) {
    fmt::print(stderr, "{}\n", made.error().message);
    std::exit(1);
  }
  informer.on_change([&clock = env.clock, own](const ObjectKey& key) {
    if (key.name == own) return;
    fmt::print("event {} {:.6f}\n", key.name, in_seconds(clock.now()));
    std::fflush(stdout);
  });
  tasks.spawn("read", read(env.clock, client, own));
  tasks.spawn("write", write(env.clock, client, own));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: {} URL,URL...\n", argv[0]);
    return 2;
  }
  std::signal(SIGPIPE, SIG_IGN);
  boost::asio::io_context loop{1};
  RealClock clock(loop.get_executor());
  Metrics metrics;
  Env env{loop.get_executor(), clock, Random(os_seed()), Log(), metrics};
  BeastDialer dialer(env.executor, clock);
  auto transport = dial_all(dialer, clock, Endpoint{.url = argv[1]});
  if (!transport) {
    fmt::print(stderr, "{}\n", transport.error().message);
    return 2;
  }
  Client client(std::move(*transport));
  Informer<Role> informer(env, client);
  TaskGroup tasks(env.executor);
  informer.start();
  tasks.spawn("main", go_on(env, client, informer, tasks));
  loop.run();
  return 0;
}
