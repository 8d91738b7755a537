#include "server/problem.h"

#include <fmt/format.h>

#include "base/json.h"

namespace krake::server {

namespace {
std::string_view wire_name(Title title) {
  switch (title) {
    case Title::none:
      return "";
    case Title::not_found_error:
      return "NOT_FOUND_ERROR";
    case Title::transaction_error:
      return "TRANSACTION_ERROR";
    case Title::update_error:
      return "UPDATE_ERROR";
    case Title::invalid_keystone_token:
      return "INVALID_KEYSTONE_TOKEN";
    case Title::invalid_keycloak_token:
      return "INVALID_KEYCLOAK_TOKEN";
    case Title::resource_already_exists:
      return "RESOURCE_ALREADY_EXISTS";
  }
  return "";
}
std::string anchor(Title title) {
  std::string text(wire_name(title));
  for (char& c : text) c = c == '_' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}
}  // namespace

Problem problem_of(const Error& error) {
  Problem problem{.status = http_status(error.code), .detail = error.message};
  // Store outages are 500 on the wire: upstream's tests assert it, and its clients retry either way.
  if (error.code == Code::unavailable || error.code == Code::timeout || error.code == Code::cancelled)
    problem.status = 500;
  // A promise: nothing was done, here or anywhere, so that the same request may be sent again, also to another server.
  if (error.code == Code::unavailable) problem.headers.add("Retry-After", "1");
  if (error.code == Code::too_many_requests) problem.headers.add("Retry-After", "1");
  if (error.code == Code::unsupported_media) problem.detail = "415: Unsupported Media Type";
  return problem;
}

std::string lacks_key(std::string_view id) {
  return fmt::format(
      "is sealed with the key '{}', which this server does not have, or not the same (security.encryption_key_file)",
      id);
}

Problem plain_problem(int status) { return plain_problem(status, status_phrase(status)); }
Problem plain_problem(int status, std::string_view text) {
  Problem problem{.status = status, .detail = fmt::format("{}: {}", status, text)};
  if (text != status_phrase(status)) problem.reason = text;
  return problem;
}

Problem query_problem(std::string_view parameter, std::string message) {
  return {.status = 422,
          .detail = json::print(
              json::Object{{"query", json::Object{{std::string(parameter), json::Array{std::move(message)}}}}})};
}

ServerReply problem_reply(const Problem& problem, std::string_view base_url) {
  json::Object document;
  const bool titled = problem.title != Title::none;
  document.set("type",
               titled && !base_url.empty() ? fmt::format("{}#{}", base_url, anchor(problem.title)) : "about:blank");
  if (titled) document.set("title", wire_name(problem.title));
  document.set("status", problem.status);
  document.set("detail", problem.detail);
  ServerReply reply;
  reply.status = problem.status;
  reply.reason = problem.reason;
  reply.headers = problem.headers;
  reply.headers.add("Content-Type", "application/problem+json; charset=utf-8");
  reply.body.push_back(share_bytes(json::print(document)));
  return reply;
}

}  // namespace krake::server
