#include "server/cors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace krake::server {

namespace {

constexpr std::string_view kAnyOrigin = "*";
constexpr std::array<std::string_view, 6> kMethods{"DELETE", "GET", "OPTIONS", "PATCH", "POST", "PUT"};

Problem refused(std::string_view why) {
  return {.status = 403, .detail = fmt::format("CORS preflight request failed: {}", why)};
}

// " x-a, ,X-B" -> "X-A,X-B"
std::string upper_list(std::string_view list) {
  std::string out;
  while (!list.empty()) {
    const auto comma = list.find(',');
    auto name = list.substr(0, comma);
    list.remove_prefix(comma == std::string_view::npos ? list.size() : comma + 1);
    const auto begin = name.find_first_not_of(" \t");
    if (begin == std::string_view::npos) continue;
    name = name.substr(begin, name.find_last_not_of(" \t") - begin + 1);
    if (!out.empty()) out += ',';
    for (const unsigned char c : name) out += static_cast<char>(std::toupper(c));
  }
  return out;
}

void allow(std::string_view origin, Headers& reply) {
  reply.add("Access-Control-Allow-Origin", std::string(origin));
  reply.add("Access-Control-Allow-Credentials", "true");
  reply.add("Vary", "Origin");  // a cache must not give it to another
}

}  // namespace

bool CorsOptions::allows(std::string_view origin) const {
  return std::ranges::any_of(origins, [&](const auto& one) { return one == kAnyOrigin || one == origin; });
}

ServerReply preflight(const CorsOptions& options, const Headers& request, std::string_view problem_base_url) {
  const auto origin = request.get("Origin");
  if (!origin) return problem_reply(refused("origin header is not specified in the request"), problem_base_url);
  const auto method = request.get("Access-Control-Request-Method");
  if (!method)
    return problem_reply(refused("'Access-Control-Request-Method' header is not specified"), problem_base_url);
  if (!options.allows(*origin) || std::ranges::find(kMethods, *method) == kMethods.end()) {
    return problem_reply(refused(fmt::format("request method '{}' is not allowed for '{}' origin", *method, *origin)),
                         problem_base_url);
  }
  ServerReply reply;
  allow(*origin, reply.headers);
  reply.headers.add("Access-Control-Allow-Methods", std::string(*method));
  const auto headers = upper_list(request.get("Access-Control-Request-Headers").value_or(""));
  if (!headers.empty()) reply.headers.add("Access-Control-Allow-Headers", headers);
  return reply;
}

void share_with_origin(const CorsOptions& options, const Headers& request, Headers& reply) {
  if (options.origins.empty()) return;
  const auto origin = request.get("Origin");
  if (origin && options.allows(*origin)) allow(*origin, reply);
}

}  // namespace krake::server
