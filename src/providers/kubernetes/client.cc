#include "providers/kubernetes/client.h"

#include <fmt/format.h>

#include "base/encoding.h"

namespace krake::kube {

namespace {

std::string collection_path(const ResourceType& type, std::string_view ns) {
  std::string path = type.group.empty() ? "/api/" + type.version : "/apis/" + type.group + "/" + type.version;
  if (type.namespaced && !ns.empty()) path += "/namespaces/" + percent_encode(ns);
  return path + "/" + type.plural;
}

std::string object_path(const ObjectRef& ref, std::string_view subresource = {}) {
  std::string path = collection_path(ref.type, ref.ns) + "/" + percent_encode(ref.name);
  if (!subresource.empty()) path += "/" + std::string(subresource);
  return path;
}

void add_query(std::string& target, std::string_view name, std::string_view value) {
  if (value.empty()) return;
  target += target.find('?') == std::string::npos ? '?' : '&';
  target += name;
  target += '=';
  target += percent_encode(value);
}

constexpr std::size_t kMaxMessage = 1000;
constexpr int kMaxPages = 10'000;
constexpr std::size_t kMaxVersions = 16;  // of a group, looked through for a kind
constexpr std::size_t kMaxEvent = std::size_t{32} << 20;
constexpr std::size_t kMaxRefusal = std::size_t{1} << 16;

Status check_ref(const ObjectRef& ref) {
  if (ref.name.empty()) {
    return fail(Code::invalid_argument, fmt::format("a {} without metadata.name cannot be addressed", ref.type.kind));
  }
  if (ref.type.namespaced && ref.ns.empty()) {
    return fail(Code::invalid_argument,
                fmt::format("{} {} is namespaced and no namespace is given", ref.type.kind, ref.name));
  }
  return {};
}

bool is_secret(const ResourceType& type) { return type.group.empty() && type.plural == "secrets"; }

std::string shortened(std::string_view text) {
  if (text.size() <= kMaxMessage) return std::string(text);
  return std::string(text.substr(0, kMaxMessage)) + "...";
}

Code code_of(int status, std::string_view reason, std::string_view message) {
  if (reason == "AlreadyExists") return Code::already_exists;
  if (reason == "Expired" || reason == "Gone") return Code::compacted;
  if (reason == "ServerTimeout" || status == 504) return Code::timeout;
  // A field that the schema does not have, applied: the server's answer, without a reason, since 1.3x
  // (kubernetes#139253).
  if (status == 500 && reason.empty() && message.contains("typed patch object")) return Code::invalid_object;
  // Its internal errors are its own; to us it is a peer that cannot serve now.
  if (status >= 500) return Code::unavailable;
  return code_of_http_status(status);
}

// Whether a 404 says that this very object is missing. A proxy's page, a type that is no longer served or a namespace
// that is missing say nothing about the object.
bool is_missing(const HttpResponse& response, std::string_view name) {
  const auto status = json::parse(response.body);
  return response.status == 404 && status && status->string_at({"kind"}) == "Status" &&
         status->string_at({"reason"}) == "NotFound" && status->string_at({"details", "name"}) == name;
}

Error unknown_whether(std::string what, const HttpResponse& response) {
  return {Code::unavailable, error_of_response(response, what).message +
                                 " (that does not tell whether the object is there; is this the API server, and is "
                                 "the type still served?)"};
}

// The fields that are wrong, without their values.
std::string fields_of(const json::Value& status) {
  std::string text;
  const json::Value* causes = status.at_path({"details", "causes"});
  if (!causes || !causes->is_array()) return text;
  for (const json::Value& cause : *causes->if_array()) {
    text += fmt::format("{}{} ({})", text.empty() ? "" : ", ", cause.string_at({"field"}), cause.string_at({"reason"}));
  }
  return text;
}

}  // namespace

std::string to_string(const ObjectRef& ref) {
  if (!ref.type.namespaced || ref.ns.empty()) return fmt::format("{} {}", ref.type.name(), ref.name);
  return fmt::format("{} {}/{}", ref.type.name(), ref.ns, ref.name);
}

bool same_object(const ObjectRef& a, const ObjectRef& b) {
  return a.type.group == b.type.group && a.type.kind == b.type.kind && a.ns == b.ns && a.name == b.name;
}

Error error_of_response(const HttpResponse& response, std::string_view what, bool conceal) {
  const auto parsed = json::parse(response.body);
  const bool kubernetes = parsed && parsed->string_at({"kind"}) == "Status";
  const json::Value status = kubernetes ? *parsed : json::Value();
  const auto reason = status.string_at({"reason"});
  std::string message = fmt::format("{}: {}", what, response.status);
  if (!reason.empty()) message += fmt::format(" {}", reason);
  std::string detail = shortened(status.string_at({"message"}));
  // A refused Secret is quoted in what the server says about it.
  if (conceal && response.status == 422) detail = fields_of(status);
  if (!kubernetes && !conceal && json::valid_utf8(response.body)) {
    detail = shortened(std::string_view(response.body).substr(0, response.body.find('\n')));
  }
  if (detail.empty() && reason.empty()) detail = status_phrase(response.status);
  if (!detail.empty()) message += ": " + detail;
  // Somebody else's page. The API server itself says this of paths nobody serves.
  if (response.status == 404 && !kubernetes && !response.body.starts_with("404 page not found"))
    return {Code::unavailable, std::move(message)};
  Error error{code_of(response.status, reason, status.string_at({"message"})), std::move(message)};
  const json::Value* causes = status.at_path({"details", "causes"});
  if (error.code != Code::invalid_object || !causes || !causes->is_array()) return error;
  for (const json::Value& cause : *causes->if_array()) error.fields.emplace_back(cause.string_at({"field"}));
  return error;
}

// ---- watching

ObjectWatch::ObjectWatch(Clock& clock, std::unique_ptr<ByteStream> body, std::string what, std::string resource_version,
                         std::shared_ptr<void> held)
    : clock_(clock),
      held_(std::move(held)),
      body_(std::move(body)),
      what_(std::move(what)),
      resource_version_(std::move(resource_version)) {}

Awaitable<Result<std::optional<WatchEvent>>> ObjectWatch::next(Duration silence) {
  std::size_t searched = begin_;
  for (;;) {
    const auto end = buffer_.find('\n', searched);
    if (end != std::string::npos) {
      const std::string_view line = std::string_view(buffer_).substr(begin_, end - begin_);
      begin_ = searched = end + 1;
      if (line.find_first_not_of(" \r\t") == std::string_view::npos) continue;
      auto event = parse(line);
      if (!event) co_return fail(std::move(event).error());
      co_return std::optional(std::move(*event));
    }
    buffer_.erase(0, std::exchange(begin_, 0));
    searched = buffer_.size();
    if (buffer_.size() > kMaxEvent) {
      co_return fail(Code::unavailable, fmt::format("{}: an event is larger than {} bytes", what_, kMaxEvent));
    }
    auto piece = co_await with_timeout(clock_, silence, what_ + ": the next event", body_->read());
    if (!piece) co_return fail(std::move(piece).error());
    if (piece->empty()) co_return std::nullopt;
    buffer_ += *piece;
  }
}

Result<WatchEvent> ObjectWatch::parse(std::string_view line) {
  auto value = json::parse(line);
  if (!value)
    return fail(Code::unavailable, fmt::format("{}: an event is not JSON; is this a Kubernetes API server?", what_));
  const auto type = value->string_at({"type"});
  auto* object = value->is_object() ? value->if_object()->find("object") : nullptr;
  if (!object || !object->is_object()) {
    return fail(Code::unavailable, what_ + ": an event has no object; is this a Kubernetes API server?");
  }
  if (type == "ERROR") {
    HttpResponse response{.status = static_cast<int>(object->int_at({"code"}).value_or(500)),
                          .headers = {},
                          .body = json::print(*object)};
    return fail(error_of_response(response, what_));
  }
  WatchEvent event;
  if (type == "ADDED") {
    event.type = WatchEvent::Type::added;
  } else if (type == "MODIFIED") {
    event.type = WatchEvent::Type::modified;
  } else if (type == "DELETED") {
    event.type = WatchEvent::Type::deleted;
  } else if (type == "BOOKMARK") {
    event.type = WatchEvent::Type::bookmark;
  } else {
    return fail(Code::unavailable, fmt::format("{}: unknown event type '{}'", what_, type));
  }
  if (const auto version = object->string_at({"metadata", "resourceVersion"}); !version.empty())
    resource_version_ = version;
  event.object = std::move(*object);
  return event;
}

// ---- calls

KubeClient::KubeClient(Env& env, Dialer& dialer, ClusterAccess access, ClientOptions options)
    : env_(env), access_(std::move(access)), options_(std::move(options)), transport_(dialer.dial(access_.endpoint)) {}

HttpRequest KubeClient::request(std::string_view method, std::string target) const {
  HttpRequest request{.method = std::string(method),
                      .target = std::move(target),
                      .headers = {{"Accept", "application/json"}, {"User-Agent", "krake/" KRAKE_VERSION}},
                      .body = {}};
  if (!access_.bearer_token.empty()) {
    request.headers.add("Authorization", "Bearer " + access_.bearer_token);
  } else if (!access_.username.empty()) {
    request.headers.add("Authorization", "Basic " + base64_encode(access_.username + ":" + access_.password));
  }
  return request;
}

std::string KubeClient::describe(std::string_view verb, const ObjectRef& ref) const {
  return fmt::format("{} {} on {}", verb, to_string(ref), server());
}

Duration KubeClient::silence(Mono now) const {
  return *asked_ == 0 ? Duration{} : now - std::max(answered_at_, asked_since_);
}

// Held until the answer is there.
std::shared_ptr<void> KubeClient::ask() {
  if ((*asked_)++ == 0) asked_since_ = env_.clock.now();
  return {nullptr, [asked = asked_](void*) { --*asked; }};
}

void KubeClient::note_answer() {
  ++answers_;
  answered_at_ = env_.clock.now();
}

Awaitable<Result<HttpResponse>> KubeClient::exchange(HttpRequest request, std::string what, Duration timeout) {
  if (!transport_) co_return fail(with_context(transport_.error(), what));
  const auto transport = *transport_;
  const auto asked = ask();
  auto response = co_await transport->send(std::move(request), {.timeout = timeout, .body_limit = options_.body_limit});
  if (!response) co_return fail(with_context(std::move(response).error(), what));
  note_answer();
  co_return std::move(*response);
}

namespace {
Result<json::Value> object_of(Result<HttpResponse> response, const std::string& what, bool conceal) {
  if (!response) return fail(std::move(response).error());
  if (response->status < 200 || response->status > 299) return fail(error_of_response(*response, what, conceal));
  auto value = json::parse(response->body);
  if (!value || !value->is_object())
    return fail(Code::unavailable, what + ": the answer is no JSON object; is this a Kubernetes API server?");
  return std::move(*value);
}
}  // namespace

Awaitable<Result<json::Value>> KubeClient::call_json(HttpRequest request, std::string what) {
  const bool conceal = request.target.find("/secrets") != std::string::npos;
  co_return object_of(co_await exchange(std::move(request), what, options_.timeout), what, conceal);
}

// ---- discovery

namespace {

// Nothing is sent with it that could be wrong: such an answer tells nothing of the kind that is looked for.
Error of_discovery(Error error) {
  const bool of_the_request = error.code == Code::invalid_argument || error.code == Code::invalid_object ||
                              error.code == Code::conflict || error.code == Code::too_large ||
                              error.code == Code::unsupported_media;
  if (of_the_request) error.code = Code::unavailable;
  return error;
}

}  // namespace

Awaitable<Result<KubeClient::Kinds>> KubeClient::discover(std::string api_version) {
  const std::string path = api_version.find('/') == std::string::npos ? "/api/" + api_version : "/apis/" + api_version;
  auto answer = co_await call_json(request("GET", path), fmt::format("discover {} on {}", api_version, server()));
  if (!answer) co_return fail(of_discovery(std::move(answer).error()));
  const auto slash = api_version.find('/');
  Kinds kinds;
  const auto* resources = answer->at_path({"resources"});
  if (!resources || !resources->is_array()) {
    co_return fail(Code::unavailable, fmt::format("discover {} on {}: the answer lists no resources; is this a "
                                                  "Kubernetes API server?",
                                                  api_version, server()));
  }
  for (const auto& resource : *resources->if_array()) {
    const std::string plural(resource.string_at({"name"}));
    if (plural.empty() || plural.find('/') != std::string::npos) continue;  // a subresource
    const auto* namespaced = resource.at_path({"namespaced"});
    ResourceType type{.group = slash == std::string::npos ? "" : api_version.substr(0, slash),
                      .version = slash == std::string::npos ? api_version : api_version.substr(slash + 1),
                      .kind = std::string(resource.string_at({"kind"})),
                      .plural = plural,
                      .namespaced = namespaced && namespaced->if_bool() && *namespaced->if_bool()};
    kinds.emplace(type.kind, type);
  }
  co_return kinds;
}

Awaitable<Result<ResourceType>> KubeClient::resolve(std::string api_version, std::string kind) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789.-/";
  if (api_version.empty() || kind.empty()) {
    co_return fail(Code::invalid_argument,
                   fmt::format("apiVersion ('{}') and kind ('{}') must both be given", api_version, kind));
  }
  if (api_version.find_first_not_of(kLetters) != std::string::npos || std::ranges::count(api_version, '/') > 1 ||
      api_version.starts_with('/') || api_version.starts_with('.') || api_version.ends_with('/')) {
    co_return fail(Code::invalid_argument,
                   fmt::format("'{}' is not an apiVersion (version or group/version)", api_version));
  }
  if (const auto known = discovery_.find(api_version); known != discovery_.end()) {
    if (const auto type = known->second.find(kind); type != known->second.end()) co_return type->second;
  }
  auto kinds = co_await discover(api_version);
  if (!kinds && kinds.error().code != Code::not_found) co_return fail(kinds.error());
  if (kinds) {
    discovery_[api_version] = *kinds;
    if (const auto type = kinds->find(kind); type != kinds->end()) co_return type->second;
  }
  co_return fail(Code::not_found, fmt::format("{} has no kind {} in apiVersion {}; for a custom resource, its "
                                              "CustomResourceDefinition must be installed first",
                                              server(), kind, api_version));
}

Awaitable<Result<std::vector<std::string>>> KubeClient::versions_of(std::string group) {
  auto answer = co_await call_json(request("GET", "/apis/" + group), fmt::format("discover {} on {}", group, server()));
  if (!answer && answer.error().code == Code::not_found) co_return std::vector<std::string>();
  if (!answer) co_return fail(of_discovery(std::move(answer).error()));
  std::vector<std::string> versions{std::string(answer->string_at({"preferredVersion", "groupVersion"}))};
  const auto* listed = answer->at_path({"versions"});
  if (!listed || !listed->is_array()) {
    co_return fail(Code::unavailable, fmt::format("discover {} on {}: the answer lists no versions; is this a "
                                                  "Kubernetes API server?",
                                                  group, server()));
  }
  for (const auto& version : *listed->if_array()) {
    std::string name(version.string_at({"groupVersion"}));
    if (name != versions.front() && versions.size() < kMaxVersions) versions.push_back(std::move(name));
  }
  co_return versions;
}

Awaitable<Result<ResourceType>> KubeClient::resolve_in_any_version(std::string api_version, std::string kind) {
  auto type = co_await resolve(api_version, kind);
  const auto slash = api_version.find('/');
  if (type || type.error().code != Code::not_found || slash == std::string::npos) co_return type;
  ASSIGN_OR_CO_RETURN(const auto versions, co_await versions_of(api_version.substr(0, slash)));
  for (const auto& version : versions) {
    if (version == api_version || !version.starts_with(api_version.substr(0, slash + 1))) continue;
    auto other = co_await resolve(version, kind);
    if (other || other.error().code != Code::not_found) co_return other;
  }
  co_return type;
}

Awaitable<Result<ObjectRef>> KubeClient::locate(json::Value manifest, Version version) {
  const std::string api_version(manifest.string_at({"apiVersion"}));
  const std::string kind(manifest.string_at({"kind"}));
  auto type = version == Version::own ? co_await resolve(api_version, kind)
                                      : co_await resolve_in_any_version(api_version, kind);
  if (!type) co_return fail(type.error());
  ObjectRef ref{.type = *type, .ns = {}, .name = std::string(manifest.string_at({"metadata", "name"}))};
  if (ref.name.empty()) co_return fail(Code::invalid_argument, fmt::format("a {} has no metadata.name", type->kind));
  if (type->namespaced) {
    ref.ns = manifest.string_at({"metadata", "namespace"});
    if (ref.ns.empty()) ref.ns = access_.default_namespace;
  }
  co_return ref;
}

// ---- objects

Awaitable<Result<json::Value>> KubeClient::get(ObjectRef ref) {
  CO_RETURN_IF_ERROR(check_ref(ref));
  const std::string what = describe("get", ref);
  auto response = co_await exchange(request("GET", object_path(ref)), what, options_.timeout);
  if (!response) co_return fail(response.error());
  if (response->status == 404 && !is_missing(*response, ref.name)) co_return fail(unknown_whether(what, *response));
  co_return object_of(std::move(response), what, is_secret(ref.type));
}

Awaitable<Result<ObjectList>> KubeClient::list(ResourceType type, ListOptions options) {
  ObjectList list;
  std::string next;
  const std::string what = fmt::format("list {} on {}", type.name(), server());
  for (int page_number = 0; page_number < kMaxPages; ++page_number) {
    std::string target = collection_path(type, options.ns);
    add_query(target, "labelSelector", options.label_selector);
    add_query(target, "fieldSelector", options.field_selector);
    add_query(target, "limit", std::to_string(options.page_size));
    add_query(target, "continue", next);
    auto page = co_await call_json(request("GET", std::move(target)), what);
    if (!page) co_return fail(std::move(page).error());
    auto* items = page->if_object()->find("items");
    if (!items || !(items->is_array() || items->is_null()))
      co_return fail(Code::unavailable, what + ": no list came back");
    if (items->is_array()) {
      for (auto& item : *items->if_array()) {
        if (!item.is_object()) continue;
        // Lists leave these out of their items.
        if (item.string_at({"kind"}).empty()) item.if_object()->set("kind", type.kind);
        if (item.string_at({"apiVersion"}).empty()) item.if_object()->set("apiVersion", type.api_version());
        list.items.push_back(std::move(item));
      }
    }
    list.resource_version = page->string_at({"metadata", "resourceVersion"});
    next = page->string_at({"metadata", "continue"});
    if (next.empty()) co_return list;
  }
  co_return fail(Code::unavailable, fmt::format("{}: more than {} pages", what, kMaxPages));
}

Awaitable<Result<json::Value>> KubeClient::create(ResourceType type, std::string ns, json::Value object) {
  const ObjectRef ref{type, ns, std::string(object.string_at({"metadata", "name"}))};
  CO_RETURN_IF_ERROR(check_ref(ref));
  std::string target = collection_path(type, ns);
  add_query(target, "fieldManager", options_.field_manager);
  auto post = request("POST", std::move(target));
  post.headers.add("Content-Type", "application/json");
  post.body = json::print(object);
  co_return co_await call_json(std::move(post), describe("create", ref));
}

Awaitable<Result<Applied>> KubeClient::apply(ObjectRef ref, json::Value object, ApplyOptions options) {
  CO_RETURN_IF_ERROR(check_ref(ref));
  std::string target = object_path(ref);
  add_query(target, "fieldManager", options_.field_manager);
  if (options.force) add_query(target, "force", "true");
  if (options.dry_run) add_query(target, "dryRun", "All");
  auto apply = request("PATCH", std::move(target));
  apply.headers.add("Content-Type", "application/apply-patch+yaml");  // JSON is YAML
  apply.body = json::print(object);
  const bool conceal = is_secret(ref.type);
  auto response = co_await exchange(std::move(apply), describe("apply", ref), options_.timeout);
  if (!response) co_return fail(response.error());
  if (response->status == 405 || response->status == 415)
    co_return co_await apply_without_ownership(std::move(ref), std::move(object), options);
  if (response->status < 200 || response->status > 299)
    co_return fail(error_of_response(*response, describe("apply", ref), conceal));
  auto value = json::parse(response->body);
  if (!value || !value->is_object())
    co_return fail(Code::unavailable, describe("apply", ref) + ": the answer is no JSON object");
  co_return Applied{.object = std::move(*value), .created = response->status == 201};
}

Awaitable<Result<Applied>> KubeClient::apply_without_ownership(ObjectRef ref, json::Value object,
                                                               ApplyOptions options) {
  auto live = co_await get(ref);
  if (!live && live.error().code != Code::not_found) co_return fail(live.error());
  if (options.dry_run) co_return Applied{.object = live ? std::move(*live) : std::move(object), .created = !live};
  if (!live) {
    auto created = co_await create(ref.type, ref.ns, std::move(object));
    if (!created) co_return fail(created.error());
    co_return Applied{.object = std::move(*created), .created = true};
  }
  auto merged = co_await merge_patch(ref, std::move(object));
  if (!merged) co_return fail(merged.error());
  co_return Applied{.object = std::move(*merged), .created = false};
}

Awaitable<Result<json::Value>> KubeClient::patch(ObjectRef ref, std::string subresource, std::string media_type,
                                                 std::string body) {
  CO_RETURN_IF_ERROR(check_ref(ref));
  std::string target = object_path(ref, subresource);
  add_query(target, "fieldManager", options_.field_manager);
  auto patch = request("PATCH", std::move(target));
  patch.headers.add("Content-Type", std::move(media_type));
  patch.body = std::move(body);
  co_return co_await call_json(std::move(patch), describe("patch", ref));
}

Awaitable<Result<json::Value>> KubeClient::json_patch(ObjectRef ref, json::Array operations, std::string subresource) {
  co_return co_await patch(std::move(ref), std::move(subresource), "application/json-patch+json",
                           json::print(operations));
}

Awaitable<Result<json::Value>> KubeClient::merge_patch(ObjectRef ref, json::Value change, std::string subresource) {
  co_return co_await patch(std::move(ref), std::move(subresource), "application/merge-patch+json", json::print(change));
}

Awaitable<Result<json::Value>> KubeClient::replace(ObjectRef ref, json::Value object, std::string subresource) {
  CO_RETURN_IF_ERROR(check_ref(ref));
  std::string target = object_path(ref, subresource);
  add_query(target, "fieldManager", options_.field_manager);
  auto put = request("PUT", std::move(target));
  put.headers.add("Content-Type", "application/json");
  put.body = json::print(object);
  co_return co_await call_json(std::move(put), describe("replace", ref));
}

Awaitable<Result<Removed>> KubeClient::remove(ObjectRef ref, RemoveOptions options) {
  CO_RETURN_IF_ERROR(check_ref(ref));
  json::Object body{{"apiVersion", "v1"}, {"kind", "DeleteOptions"}, {"propagationPolicy", options.propagation}};
  json::Object preconditions;
  if (!options.uid.empty()) preconditions.set("uid", options.uid);
  if (!options.resource_version.empty()) preconditions.set("resourceVersion", options.resource_version);
  if (!preconditions.empty()) body.set("preconditions", std::move(preconditions));
  auto request_ = request("DELETE", object_path(ref));
  request_.headers.add("Content-Type", "application/json");
  request_.body = json::print(body);
  const std::string what = describe("delete", ref);
  auto response = co_await exchange(std::move(request_), what, options_.timeout);
  if (!response) co_return fail(response.error());
  if (is_missing(*response, ref.name)) co_return Removed::absent;
  if (response->status == 404) co_return fail(unknown_whether(what, *response));
  if (response->status < 200 || response->status > 299) co_return fail(error_of_response(*response, what));
  const auto value = json::parse(response->body);
  if (!value || value->string_at({"kind"}).empty()) {
    // A proxy's page, say: that the object is gone is not known.
    co_return fail(Code::unavailable, what + ": the answer is no Kubernetes object");
  }
  const bool lingers = !value->string_at({"metadata", "deletionTimestamp"}).empty();
  co_return lingers ? Removed::deleting : Removed::deleted;
}

Awaitable<Result<std::unique_ptr<ObjectWatch>>> KubeClient::watch(ResourceType type, WatchOptions options) {
  std::string target = collection_path(type, options.ns) + "?watch=true&allowWatchBookmarks=true";
  add_query(target, "labelSelector", options.label_selector);
  add_query(target, "fieldSelector", options.field_selector);
  add_query(target, "resourceVersion", options.resource_version);
  add_query(target, "timeoutSeconds",
            std::to_string(std::chrono::duration_cast<std::chrono::seconds>(options_.watch_period).count()));
  const std::string what = fmt::format("watch {} on {}", type.name(), server());
  if (!transport_) co_return fail(with_context(transport_.error(), what));
  if (*streams_ >= options_.max_watches) {
    co_return fail(Code::too_many_requests,
                   fmt::format("{}: {} watches are open on {}, which is the limit", what, *streams_, server()));
  }
  std::shared_ptr<void> counted(nullptr, [streams = streams_](void*) { --*streams; });
  ++*streams_;
  const auto transport = *transport_;
  auto asked = ask();
  auto stream = co_await transport->open(request("GET", std::move(target)), {.timeout = options_.timeout});
  asked.reset();
  if (!stream) co_return fail(with_context(std::move(stream).error(), what));
  note_answer();
  if (stream->status != 200) {
    HttpResponse response{.status = stream->status, .headers = stream->headers, .body = {}};
    while (response.body.size() < kMaxRefusal) {
      auto piece = co_await with_timeout(env_.clock, options_.timeout, what, stream->body->read());
      if (!piece || piece->empty()) break;
      response.body += *piece;
    }
    co_return fail(error_of_response(response, what));
  }
  co_return std::make_unique<ObjectWatch>(env_.clock, std::move(stream->body), what, options.resource_version,
                                          std::move(counted));
}

// ---- the cluster itself

Awaitable<Result<std::vector<json::Value>>> KubeClient::nodes() {
  auto list_ = co_await list({.group = "", .version = "v1", .kind = "Node", .plural = "nodes", .namespaced = false});
  if (!list_) co_return fail(list_.error());
  co_return std::move(list_->items);
}

Awaitable<Status> KubeClient::ready() {
  const std::string what = "probe " + server();
  auto response = co_await exchange(request("GET", "/readyz"), what, options_.probe_timeout);
  if (!response) co_return fail(response.error());
  if (response->status == 404 || response->status == 403) co_return Status{};  // hidden, but somebody answers
  if (response->status != 200) co_return fail(error_of_response(*response, what));
  if (!response->body.starts_with("ok")) {
    co_return fail(Code::unavailable, what + ": /readyz answers 200 but not `ok`; is this a Kubernetes API server?");
  }
  co_return Status{};
}

Awaitable<Result<std::string>> KubeClient::kube_system_uid() {
  auto ns = co_await get(
      {.type = {.group = "", .version = "v1", .kind = "Namespace", .plural = "namespaces", .namespaced = false},
       .ns = {},
       .name = "kube-system"});
  if (!ns) co_return fail(ns.error());
  std::string uid(ns->string_at({"metadata", "uid"}));
  if (uid.empty()) co_return fail(Code::unavailable, fmt::format("{}: the namespace kube-system has no uid", server()));
  co_return uid;
}

}  // namespace krake::kube
