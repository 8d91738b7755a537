#include "kubesim/service.h"

#include <sys/stat.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/encoding.h"
#include "net/pki.h"

namespace krake::kubesim {

Awaitable<Status> Service::start() {
  const Wall now = env_.clock.wall();
  auto ca = make_ca("kubesim-ca", now);
  if (!ca) co_return fail(ca.error());
  const std::vector<std::string> hosts{"localhost", options_.host};
  auto certificate = issue(*ca, "kube-apiserver", hosts, {.server = true, .client = false}, now);
  if (!certificate) co_return fail(certificate.error());
  std::error_code ec;
  std::filesystem::create_directories(options_.state_dir, ec);
  for (std::size_t i = 0; i < options_.names.size(); ++i) {
    const auto& name = options_.names[i];
    One one;
    one.cluster = std::make_unique<SimCluster>(
        env_, SimOptions{.name = name, .token = secret_token(), .times = {.pod_start = options_.pod_delay}});
    HttpServerOptions listen{
        .host = options_.host,
        .tls =
            ServerTls{.cert_chain_pem = certificate->cert_pem, .key_pem = certificate->key_pem, .client_ca_pem = {}}};
    if (options_.first_port != 0) listen.port = static_cast<std::uint16_t>(options_.first_port + i);
    one.server =
        std::make_unique<HttpServer>(env_.executor, env_.clock, one.cluster->handler(), std::move(listen), env_.log);
    if (auto started = co_await one.server->start(); !started) co_return fail(started.error());
    urls_.push_back(fmt::format("https://{}:{}", options_.host, one.server->port()));
    const std::string path = options_.state_dir + "/" + name + ".kubeconfig";
    const std::string part = path + ".part";
    {
      std::ofstream out(part, std::ios::trunc);
      ::chmod(part.c_str(), 0600);
      out << json::print_pretty(one.cluster->kubeconfig(urls_.back(), ca->cert_pem)) << "\n";
      if (!out.flush())
        co_return fail(Code::unavailable, fmt::format("cannot write '{}': {}", part, std::strerror(errno)));
    }
    std::filesystem::rename(part, path, ec);
    if (ec) co_return fail(Code::unavailable, fmt::format("cannot write '{}': {}", path, ec.message()));
    clusters_.push_back(std::move(one));
  }
  co_return Status{};
}

Awaitable<void> Service::stop() {
  for (auto& one : clusters_) {
    one.cluster->cut_watches();
    co_await one.server->stop();
  }
}

}  // namespace krake::kubesim
