#include "cli/session.h"

#include <fmt/format.h>

#include "cli/fields.h"
#include "cli/yaml.h"

namespace krake::cli {

namespace {

constexpr std::size_t kBodyLimit = std::size_t{256} << 20;

std::string place(const Subject& subject) {
  if (!subject.kind) return "the API";
  std::string out(subject.kind->name);
  if (!subject.name.empty()) out += fmt::format(" \"{}\"", subject.name);
  return out;
}
std::string in_namespace(const Subject& subject) {
  return subject.ns.empty() ? std::string() : fmt::format(" in namespace \"{}\"", subject.ns);
}

// "403: Forbidden" -> "Forbidden": the status stands at the end of our sentence.
std::string_view without_status(std::string_view detail, int status) {
  const std::string prefix = fmt::format("{}: ", status);
  return detail.starts_with(prefix) ? detail.substr(prefix.size()) : detail;
}

// 299 krake "TEXT" -> TEXT
std::string warning_text(std::string_view header) {
  const auto begin = header.find('"');
  const auto end = header.rfind('"');
  if (begin == std::string_view::npos || end == begin) return std::string(header);
  std::string text;
  for (std::size_t i = begin + 1; i < end; ++i) {
    if (header[i] == '\\' && i + 1 < end) ++i;
    text += header[i];
  }
  return text;
}

std::string hint_for(int status, const Subject& subject, std::string_view title) {
  if (status == 401)
    return "give a client certificate (tls.*), a token (token, KRAKE_TOKEN), or allow anonymous access at the API";
  if (status == 403) return "ask for a role that allows this; `krakectl whoami` shows who the API thinks you are";
  if (status == 404 && title.empty())
    return "this API does not know the path: is api_url right, is the server older than krakectl?";
  if (status == 404 && subject.kind) {
    const std::string where = subject.kind->namespaced ? "; another namespace is given with -n" : "";
    return fmt::format("the list verb shows what exists{}", where);
  }
  if (title == "RESOURCE_ALREADY_EXISTS") return "use update to change it, or delete it first";
  if (title == "UPDATE_ERROR") return "nothing was changed";
  if (title == "TRANSACTION_ERROR") return "somebody else changed it at the same time; try again";
  if (status == 429 || status >= 500) return "the API cannot serve now; try again later";
  return {};
}

bool is_of_a_constraint(std::string_view detail) {
  return detail.contains("Invalid label constraint") || detail.contains("Invalid metric constraint");
}

}  // namespace

Session::Session(CliIo io, const Syntax& syntax, const Kind* kind, Parsed args, Config config,
                 std::shared_ptr<Transport> transport)
    : io_(std::move(io)),
      syntax_(syntax),
      kind_(kind),
      args_(std::move(args)),
      config_(std::move(config)),
      transport_(std::move(transport)),
      output_(args_.one_or("--output", "table")) {}

std::string Session::ns() const {
  if (!kind_ || !kind_->namespaced) return {};
  auto given = args_.one("--namespace");
  return given && !given->empty() ? *given : config_.user;
}

Headers Session::headers(const Request& request) const {
  Headers headers{{"User-Agent", "krakectl/" KRAKE_VERSION}, {"Accept", "application/json"}};
  if (!config_.token.empty()) headers.add("Authorization", "Bearer " + config_.token);
  if (request.body) headers.add("Content-Type", "application/json");
  if (!request.if_match.empty()) headers.add("If-Match", fmt::format("\"{}\"", request.if_match));
  return headers;
}

Failure Session::unreachable(const Error& error, bool write) const {
  if (error.code == Code::timeout) {
    return {
        .message = fmt::format("no answer from the Krake API at {}: {}", config_.endpoint.url, error.message),
        .hint = "the request may or may not have been carried out; `timeout` in krakectl.yaml sets how long to wait"};
  }
  if (error.message.contains("certificate")) {
    return {.message = fmt::format("the Krake API at {} is not trusted: {}", config_.endpoint.url, error.message),
            .hint = fmt::format("tls.client_ca in {} names the authority that must have issued its certificate",
                                config_.source.empty() ? "krakectl.yaml" : config_.source)};
  }
  return {.message = fmt::format("the Krake API at {} cannot be reached: {}", config_.endpoint.url, error.message),
          .hint = fmt::format("is it running? {}{}",
                              config_.url_from.empty() ? "set api_url in krakectl.yaml, or KRAKE_API_URL"
                                                       : fmt::format("its address comes from {}", config_.url_from),
                              // A connection may break when the request has arrived.
                              write ? "; unless it was refused, the change may have been carried out" : "")};
}

Failure Session::failure(const Request& request, const HttpResponse& response) const {
  Failure failure{.http_status = response.status};
  auto document = json::parse(response.body);
  const auto type = response.headers.get("Content-Type").value_or("");
  if (!document || !document->is_object() || !type.starts_with("application/problem+json")) {
    const std::string path = request.target.substr(0, request.target.find('?'));
    const auto phrase = status_phrase(response.status);
    failure.message = fmt::format("{} {}{} was answered {}{}{}", request.method, config_.endpoint.url, path,
                                  response.status, phrase == "Unknown" ? "" : " ", phrase == "Unknown" ? "" : phrase);
    failure.hint = hint_for(response.status, request.subject, "");
    return failure;
  }
  const auto title = document->string_at({"title"});
  const auto detail = without_status(document->string_at({"detail"}), response.status);
  const auto& subject = request.subject;
  std::string what = fmt::format("{}{}: {}", place(subject), in_namespace(subject), detail);
  // Upstream says the kind alone when an object of the request itself is missing.
  if (title == "NOT_FOUND_ERROR") what = fmt::format("{} not found{}", place(subject), in_namespace(subject));
  if (title == "RESOURCE_ALREADY_EXISTS")
    what = fmt::format("{} already exists{}", place(subject), in_namespace(subject));
  failure.message = fmt::format("{} ({}{}{})", what, response.status, title.empty() ? "" : " ", title);
  failure.hint = hint_for(response.status, subject, title);
  if (const auto wrong = request.body && is_of_a_constraint(detail) ? wrong_constraint(*request.body) : std::nullopt) {
    failure.message =
        fmt::format("{}{}: {} ({})", place(subject), in_namespace(subject), wrong->message, response.status);
    failure.hint = wrong->hint;
  }
  failure.problem = *std::move(document);
  return failure;
}

Awaitable<Outcome<HttpResponse>> Session::exchange(Request request) {
  HttpRequest http{.method = request.method, .target = request.target, .headers = headers(request), .body = {}};
  if (request.body) http.body = json::print(*request.body);
  auto response = co_await transport_->send(std::move(http), {.timeout = config_.timeout, .body_limit = kBodyLimit});
  if (!response) co_return stop(unreachable(response.error(), request.method != "GET"));
  if (response->status >= 400) co_return stop(failure(request, *response));
  for (const auto& [name, value] : response->headers) {
    if (iequals(name, "Warning")) remark(printable(warning_text(value)));
  }
  co_return *std::move(response);
}

Outcome<json::Value> Session::document_of(const Request& request, const HttpResponse& response) {
  constexpr int kNoContent = 204;
  if (response.body.find_first_not_of(" \r\n\t") == std::string::npos) {
    if (response.status == kNoContent) return json::Value();
    const bool reads = request.method == "GET";
    return stop(fmt::format("{} {}: the answer is empty", request.method, request.target),
                reads ? "somebody in between may have cut it off; try again"
                      : "somebody in between may have cut it off: the change may have been carried out; look before "
                        "you try again");
  }
  auto value = json::parse(response.body);
  if (!value) {
    return stop(fmt::format("{} {}: the answer is {}", request.method, request.target, value.error().message),
                "is this a Krake API? check api_url");
  }
  return *std::move(value);
}

Awaitable<Outcome<json::Value>> Session::call(Request request) {
  auto response = co_await exchange(request);
  if (!response) co_return stop(std::move(response).error());
  co_return document_of(request, *response);
}

Awaitable<Outcome<std::unique_ptr<ByteStream>>> Session::watch(std::string target, Subject subject) {
  Request request{.target = std::move(target), .subject = std::move(subject)};
  HttpRequest http{.method = "GET", .target = request.target, .headers = headers(request), .body = {}};
  auto stream = co_await transport_->open(std::move(http), {.timeout = config_.timeout});
  if (!stream) co_return stop(unreachable(stream.error(), false));
  if (stream->status < 400) co_return std::move(stream->body);
  HttpResponse response{.status = stream->status, .headers = stream->headers, .body = {}};
  // What more it says must not be waited for without end.
  const Mono end = io_.clock->now() + config_.timeout;
  while (response.body.size() < 65536 && io_.clock->now() < end) {
    auto piece = co_await with_timeout(*io_.clock, end - io_.clock->now(), "the rest", stream->body->read());
    if (!piece || piece->empty()) break;
    response.body += *piece;
  }
  co_return stop(failure(request, response));
}

Failure Session::usage(std::string_view option, std::string_view what) const {
  const auto* found = find_option(syntax_, option);
  return {.message = {},
          .exit = 2,
          .usage = usage_error(
              syntax_, fmt::format("argument {}: {}", found ? option_label(*found) : std::string(option), what))};
}

Failure Session::usage(std::string_view what) const {
  return {.message = {}, .exit = 2, .usage = usage_error(syntax_, what)};
}

Outcome<std::string> Session::file(std::string_view option) const {
  const std::string path = args_.one_or(option, "");
  auto text = read_input(io_, path);
  if (!text) return stop(usage(option, fmt::format("can't open '{}': {}", path, text.error().message)));
  return *std::move(text);
}

Outcome<std::vector<json::Value>> Session::yaml_file(std::string_view option) const {
  TRY(const std::string text, file(option));
  auto documents = parse_yaml(text, args_.one_or(option, ""));
  if (!documents) return stop(documents.error().message, "the file must be YAML or JSON");
  return *std::move(documents);
}

TableOptions Session::table_options() const {
  return {.width = io_.out_is_terminal ? io_.width : 0, .bare = args_.has("--no-headers")};
}

void Session::show_document(const json::Value& document) const {
  if (output_ == "yaml") {
    io_.out(print_yaml(document));
  } else if (output_ == "json") {
    io_.out(json::print_pretty(document) + "\n");
  } else if (const auto* object = document.if_object()) {
    Rows rows;
    for (const auto& [key, value] : *object) {
      std::string text;
      if (const auto* array = value.if_array()) {
        for (const auto& item : *array)
          text += (text.empty() ? "" : ", ") + (item.is_string() ? *item.if_string() : json::print(item));
      } else {
        text = value.is_string() ? *value.if_string() : json::print(value);
      }
      rows.emplace_back(key, std::move(text));
    }
    io_.out(single_table(rows, table_options()));
  }
}

void Session::show_table(const std::vector<std::string>& header, const std::vector<std::vector<std::string>>& rows,
                         const json::Value& document) const {
  if (structured()) return show_document(document);
  if (output_ != "name") return io_.out(list_table(header, rows, table_options()));
  for (const auto& row : rows) io_.out(fmt::format("{}\n", row.front()));
}

void Session::show_text(std::string_view text, const json::Value& document) const {
  if (structured()) return show_document(document);
  io_.out(text);
}

void Session::show(const json::Value& object, View view) const {
  if (object.is_null()) return;
  if (structured()) return show_document(object);
  if (output_ == "name") return io_.out(fmt::format("{}\n", object.string_at({"metadata", "name"})));
  io_.out(single_table(rows_of(*kind_, object, view, io_.clock->wall()), table_options()));
}

void Session::show_list(const json::Value& answer) const {
  const auto* items = answer.at_path({"items"});
  const json::Value list = items && items->is_array() ? *items : json::Value(json::Array());
  if (structured()) return show_document(list);
  if (output_ == "name") {
    for (const auto& item : *list.if_array()) io_.out(fmt::format("{}\n", item.string_at({"metadata", "name"})));
    return;
  }
  const View view = output_ == "wide" ? View::wide : View::list;
  std::vector<std::string> header;
  for (auto& [key, value] : rows_of(*kind_, {}, view, {})) header.push_back(key);
  std::vector<std::vector<std::string>> rows;
  for (const auto& item : *list.if_array()) {
    auto& row = rows.emplace_back();
    for (auto& [key, value] : rows_of(*kind_, item, view, io_.clock->wall())) row.push_back(std::move(value));
  }
  io_.out(list_table(header, rows, table_options()));
}

void Session::warn(std::string_view text) const {
  if (args_.has("--quiet") || io_.env("PYTHONWARNINGS").value_or("") == "ignore") return;
  io_.err(fmt::format("WARNING: {}\n", text));
}
void Session::remark(std::string_view text) const {
  if (output_ == "table" || output_ == "wide") warn(text);
}
void Session::note(std::string_view text) const {
  if (output_ == "table" && !args_.has("--quiet")) io_.err(fmt::format("{}\n", printable(text)));
}
void Session::progress(std::string_view text) const {
  if (io_.err_is_terminal) note(text);
}

void show_failure(const CliIo& io, const Failure& failure, bool structured) {
  if (!failure.usage.empty()) return io.err(failure.usage);
  if (structured && failure.problem) return io.err(json::print_pretty(*failure.problem) + "\n");
  io.err(fmt::format("Error: {}\n", printable(failure.message)));
  if (!failure.hint.empty()) io.err(fmt::format("Hint: {}\n", printable(failure.hint)));
}

Awaitable<Outcome<json::Value>> update_object(Session& session, std::string query, Edit edit) {
  for (int attempt = 0;; ++attempt) {
    auto object = co_await session.call({.target = session.item(), .subject = session.subject()});
    if (!object) co_return stop(std::move(object).error());
    if (auto edited = edit(*object); !edited) co_return stop(std::move(edited).error());
    Request request{.method = "PUT",
                    .target = session.item() + query,
                    .body = *object,
                    .subject = session.subject(),
                    .if_match = std::string(object->string_at({"metadata", "resource_version"}))};
    auto answer = co_await session.call(std::move(request));
    if (answer || answer.error().http_status != 412 || attempt == 8) co_return answer;
  }
}

}  // namespace krake::cli
