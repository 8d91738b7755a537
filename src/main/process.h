// What every program of Krake has around it: one loop, the real clock, a log, metrics, a clean end on SIGTERM, and what
// is to be done on SIGHUP.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <optional>

#include "base/env.h"
#include "base/task_group.h"

namespace krake {

class Process {
 public:
  explicit Process(Log log);
  Env& env() { return env_; }
  boost::asio::io_context& context() { return context_; }

  // Runs `body` on the loop until it returns; SIGINT and SIGTERM set stopping(). The value is the exit code.
  int run(std::function<Awaitable<int>(Process&)> body);
  // Returns when the process is asked to stop.
  Awaitable<void> wait_stop();
  void request_stop();
  // What is done on the loop at each SIGHUP; null: nothing. At once when one came while there was nothing to do yet.
  // What it throws is logged.
  void on_hangup(std::function<void()> fn);
  // As SIGHUP does.
  void hang_up();

 private:
  Awaitable<void> hear_hangups();
  Awaitable<void> main(std::function<Awaitable<int>(Process&)> body, int& code);
  boost::asio::io_context context_{1};
  RealClock clock_;
  Metrics metrics_;
  Env env_;
  bool stop_ = false;
  bool hung_up_ = false;  // and nothing was done
  std::function<void()> on_hangup_;
  Notifier stopped_;
};

// SIGHUP waits from here on, in this thread and those it starts, for Process::run() to hear it: to be called before
// there are others. Else it would end a program that still reads its configuration.
void hold_hangups();

// Takes as many file descriptors as this process may have; answers how many that is.
std::size_t raise_descriptor_limit();

// INFO, info, 20 ...; nothing when it is no level.
std::optional<LogLevel> parse_log_level(std::string_view text);

}  // namespace krake
