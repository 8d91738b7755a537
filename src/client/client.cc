#include "client/client.h"

namespace krake {

std::string to_string(const ObjectKey& key) { return key.ns.empty() ? key.name : key.ns + "/" + key.name; }
ObjectKey key_of(const ObjectMeta& meta) { return {meta.namespace_.value_or(""), meta.name}; }
ObjectKey key_of(const ResourceRef& ref) { return {ref.namespace_.value_or(""), ref.name}; }

namespace {
constexpr std::size_t kMaxErrorBody = 65536;
constexpr Duration kErrorBodyWait = std::chrono::seconds(5);

// "404 NOT_FOUND_ERROR: 'Application' 'x' does not exist ..."
Error error_of(const std::string& what, const HttpResponse& response) {
  Error error{code_of_http_status(response.status), {}};
  const auto problem = json::parse(response.body);
  const auto title = problem ? problem->string_at({"title"}) : std::string_view();
  const auto detail = problem ? problem->string_at({"detail"}) : std::string_view();
  if (title == "RESOURCE_ALREADY_EXISTS") error.code = Code::already_exists;
  error.message = fmt::format("{}: {}{}{}{}{}", what, response.status, title.empty() ? "" : " ", title,
                              detail.empty() ? "" : ": ", detail);
  return error;
}
// 412 is also the answer to an If-Match that does not hold.
bool is_leadership_lost(const Error& error) {
  return error.code == Code::precondition_failed && error.message.contains("leadership lost");
}
}  // namespace

Headers Client::headers(const std::string& method, Precondition precondition) const {
  Headers headers{{"User-Agent", options_.user_agent}, {"Accept", "application/json"}};
  if (!options_.token.empty()) headers.add("Authorization", "Bearer " + options_.token);
  if (method == "GET") return headers;
  headers.add("Content-Type", "application/json");
  if (precondition.revision != 0) headers.add("If-Match", fmt::format("\"{}\"", precondition.revision));
  if (options_.leader) {
    if (auto leader = options_.leader(); !leader.empty()) headers.add("Krake-Leader", std::move(leader));
  }
  return headers;
}

Awaitable<Result<HttpResponse>> Client::call(std::string method, std::string target, std::optional<json::Value> body,
                                             Precondition precondition) {
  const std::string what = method + " " + target.substr(0, target.find('?'));
  HttpRequest request{
      .method = method, .target = std::move(target), .headers = headers(method, precondition), .body = {}};
  if (body) request.body = json::print(*body);
  auto response = co_await transport_->send(std::move(request), {.timeout = options_.timeout});
  if (!response) co_return fail(with_context(std::move(response).error(), what));
  if (response->status >= 400) {
    Error error = error_of(what, *response);
    if (options_.on_leadership_lost && is_leadership_lost(error)) options_.on_leadership_lost();
    co_return fail(std::move(error));
  }
  co_return std::move(*response);
}

Awaitable<Result<json::Value>> Client::call_json(std::string method, std::string target,
                                                 std::optional<json::Value> body, Precondition precondition) {
  const std::string what = method + " " + target;
  auto response = co_await call(std::move(method), std::move(target), std::move(body), precondition);
  if (!response) co_return fail(std::move(response).error());
  auto value = json::parse(response->body);
  if (!value) co_return fail(Code::unavailable, fmt::format("{}: the answer is {}", what, value.error().message));
  co_return std::move(*value);
}

Awaitable<Result<HttpStream>> Client::open_watch(std::string target, Clock& clock) {
  const std::string what = "watch " + target.substr(0, target.find('?'));
  auto stream = co_await transport_->open(
      {.method = "GET", .target = std::move(target), .headers = headers("GET", {}), .body = {}},
      {.timeout = options_.timeout});
  if (!stream) co_return fail(with_context(std::move(stream).error(), what));
  if (stream->status >= 400) {
    // The body says more, if it comes: who waits for it here waits for everything.
    HttpResponse response{.status = stream->status, .headers = stream->headers, .body = {}};
    while (response.body.size() < kMaxErrorBody) {
      auto piece = co_await with_timeout(clock, kErrorBodyWait, "the body of an error", stream->body->read());
      if (!piece || piece->empty()) break;
      response.body += *piece;
    }
    co_return fail(error_of(what, response));
  }
  co_return std::move(*stream);
}

}  // namespace krake
