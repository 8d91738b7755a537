#include "main/process.h"

#include <sys/resource.h>
#include <sys/signalfd.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <cstring>

namespace krake {

Process::Process(Log log)
    : clock_(context_.get_executor()),
      env_{context_.get_executor(), clock_, Random(os_seed()), std::move(log), metrics_},
      stopped_(context_.get_executor()) {}

Awaitable<void> Process::wait_stop() {
  while (!stop_) co_await stopped_.wait();
}

void Process::request_stop() {
  stop_ = true;
  stopped_.notify_all();
}

void Process::on_hangup(std::function<void()> fn) {
  on_hangup_ = std::move(fn);
  if (on_hangup_ && hung_up_) hang_up();
}

void Process::hang_up() {
  hung_up_ = !on_hangup_;
  if (hung_up_) return;
  try {
    on_hangup_();
  } catch (const std::exception& e) {
    env_.log.error("SIGHUP: nothing has been taken, what there was goes on", {{"why", e.what()}});
  }
}

Awaitable<void> Process::main(std::function<Awaitable<int>(Process&)> body, int& code) {
  code = co_await body(*this);
  context_.stop();
}

namespace {
sigset_t hangup() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGHUP);
  return set;
}
}  // namespace

void hold_hangups() {
  const auto set = hangup();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

// Blocked in all threads, they are read from a descriptor: there is no moment at which one would end the process.
Awaitable<void> Process::hear_hangups() {
  const auto set = hangup();
  const int fd = ::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  if (fd < 0) co_return env_.log.error("SIGHUP cannot be heard", {{"why", std::strerror(errno)}});
  boost::asio::posix::stream_descriptor hangups(context_, fd);
  for (;;) {
    signalfd_siginfo info{};
    co_await boost::asio::async_read(hangups, boost::asio::buffer(&info, sizeof info), boost::asio::use_awaitable);
    hang_up();
  }
}

int Process::run(std::function<Awaitable<int>(Process&)> body) {
  std::signal(SIGPIPE, SIG_IGN);
  boost::asio::signal_set signals(context_, SIGINT, SIGTERM);
  signals.async_wait([this](const boost::system::error_code& ec, int) {
    if (ec) return;
    env_.log.info("Received signal, exiting...");
    request_stop();
  });
  hold_hangups();
  int code = 1;
  TaskGroup group(context_.get_executor());
  // A terminal that closes sends SIGHUP too: whatever it brings about must do no harm.
  group.spawn("SIGHUP", hear_hangups());
  group.spawn("main", main(std::move(body), code));
  context_.run();
  return code;
}

std::size_t raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  const auto before = limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max;
  return ::setrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_max : before;
}

std::optional<LogLevel> parse_log_level(std::string_view text) {
  std::string level(text);
  for (char& c : level) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (level == "debug" || level == "10" || level == "notset" || level == "0") return LogLevel::debug;
  if (level == "info" || level == "20") return LogLevel::info;
  if (level == "warning" || level == "warn" || level == "30") return LogLevel::warning;
  if (level == "error" || level == "critical" || level == "fatal" || level == "40" || level == "50")
    return LogLevel::error;
  return std::nullopt;
}

}  // namespace krake
