#include "manifest/services.h"

#include <fmt/format.h>

namespace krake::manifest {
namespace {

constexpr std::string_view kPending = "<pending>";

const json::Value* first_of(const json::Value& live, std::initializer_list<std::string_view> path) {
  const json::Value* value = live.at_path(path);
  const json::Array* list = value ? value->if_array() : nullptr;
  return list && !list->empty() ? &list->front() : nullptr;
}

std::string endpoint(std::string_view host, std::string_view port) {
  const bool bare_ipv6 = host.contains(':') && !host.starts_with('[');
  return bare_ipv6 ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

}  // namespace

std::optional<std::string> service_endpoint(const json::Value& live, std::string_view api_server_host) {
  if (live.string_at({"kind"}) != "Service") return std::nullopt;
  const json::Value* port = first_of(live, {"spec", "ports"});
  if (live.string_at({"spec", "type"}) == "LoadBalancer") {
    std::string_view host = kPending;
    if (const json::Value* ingress = first_of(live, {"status", "loadBalancer", "ingress"})) {
      const std::string_view ip = ingress->string_at({"ip"});
      const std::string_view name = ingress->string_at({"hostname"});
      if (!ip.empty() || !name.empty()) host = ip.empty() ? name : ip;
    }
    const auto number = port ? port->int_at({"port"}) : std::nullopt;
    return endpoint(host, number ? fmt::format("{}", *number) : std::string(kPending));
  }
  const auto node_port = port ? port->int_at({"nodePort"}) : std::nullopt;
  if (!node_port || *node_port == 0) return std::nullopt;
  return endpoint(api_server_host, fmt::format("{}", *node_port));
}

}  // namespace krake::manifest
