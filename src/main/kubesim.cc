// kubesim: simulated Kubernetes clusters on real ports. Says plainly that nothing runs anywhere.
#include <fmt/core.h>

#include <filesystem>

#include "kubesim/service.h"
#include "main/process.h"

namespace krake {
namespace {

constexpr std::string_view kUsage = R"(usage: kubesim --state DIR [--port N] [--pod-delay-ms N] NAME...

Simulated Kubernetes clusters, one for each NAME, each with its own API server on a port of its own (N, N+1, ...; default:
free ones). DIR/NAME.kubeconfig is written for each. No container runs anywhere: Pods only say that they run.
)";

Awaitable<int> serve(Process& process, kubesim::ServiceOptions options) {
  const auto names = options.names;
  kubesim::Service service(process.env(), std::move(options));
  if (auto started = co_await service.start(); !started) {
    fmt::print(stderr, "kubesim: {}\n", started.error().message);
    co_return 1;
  }
  for (std::size_t i = 0; i < names.size(); ++i)
    fmt::print("simulated cluster {} at {}\n", names[i], service.urls()[i]);
  std::fflush(stdout);
  co_await process.wait_stop();
  co_await service.stop();
  co_return 0;
}

int run(const std::vector<std::string>& args) {
  kubesim::ServiceOptions options;
  for (std::size_t i = 0; i < args.size(); ++i) {
    const auto value = [&]() -> std::string { return i + 1 < args.size() ? args[++i] : std::string(); };
    if (args[i] == "-h" || args[i] == "--help") return fmt::print("{}", kUsage), 0;
    if (args[i] == "--state") {
      options.state_dir = value();
    } else if (args[i] == "--port") {
      options.first_port = static_cast<std::uint16_t>(std::atoi(value().c_str()));
    } else if (args[i] == "--pod-delay-ms") {
      options.pod_delay = std::chrono::milliseconds(std::atoi(value().c_str()));
    } else if (args[i].starts_with("-")) {
      return fmt::print(stderr, "kubesim: unknown option '{}'\n\n{}", args[i], kUsage), 2;
    } else {
      options.names.push_back(args[i]);
    }
  }
  if (options.names.empty() || options.state_dir.empty()) return fmt::print(stderr, "{}", kUsage), 2;
  auto log = Log::open({.level = LogLevel::warning});
  if (!log) return fmt::print(stderr, "kubesim: {}\n", log.error().message), 1;
  Process process(std::move(*log));
  return process.run([&](Process& p) { return serve(p, options); });
}

}  // namespace
}  // namespace krake

int main(int argc, char** argv) { return krake::run({argv + 1, argv + argc}); }
