#include "server/api_server.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>

#include "backup/restore.h"
#include "base/backoff.h"
#include "base/encoding.h"
#include "server/roles.h"

namespace krake::server {

namespace {
struct Counted {
  explicit Counted(std::shared_ptr<std::size_t> n) : count(std::move(n)) { ++*count; }
  ~Counted() { --*count; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  std::shared_ptr<std::size_t> count;  // whose it is may be gone before
};

// The method by which a browser asks what it may do.
constexpr std::string_view kPreflight = "OPTIONS";

// RFC 9112 3.2.2: http://host/path means /path.
std::string_view origin_form(std::string_view target) {
  if (target.starts_with('/')) return target;
  const auto authority = target.find("://");
  if (authority == std::string_view::npos) return target;
  const auto path = target.find_first_of("/?", authority + 3);
  if (path == std::string_view::npos || target[path] == '?') return "/";
  return target.substr(path);
}

ServerReply json_reply(int status, std::string body) {
  ServerReply reply;
  reply.status = status;
  reply.headers.add("Content-Type", "application/json; charset=utf-8");
  reply.body.push_back(share_bytes(std::move(body)));
  return reply;
}

}  // namespace

ApiServer::ApiServer(Env& env, store::Store& store, const Registry& registry, ServerOptions options)
    : env_(env),
      store_(store, env.clock, {.call = options.store_limit}),
      registry_(registry),
      options_(std::move(options)),
      cache_(env, store_, registry,
             {.ring_events = options_.ring_events,
              .wait_limit = options_.store_limit,
              .unconfirmed_limit = options_.unconfirmed_limit}),
      authenticator_(env, options_.auth),
      authorizer_(options_.auth, cache_),
      admission_(options_.limits),
      meter_(env),
      audit_(env.clock, options_.audit),
      load_changed_(env.executor),
      load_wanted_(env.executor),
      tasks_(env.executor) {}

Awaitable<Status> ApiServer::start() {
  for (const auto& [kind, value] : defaults()) CO_RETURN_IF_ERROR(decode_default(*kind, *value));
  CO_RETURN_IF_ERROR(authenticator_.open());
  tasks_.spawn("load", bring_up());
  const Mono deadline = env_.clock.now() + options_.store_limit;
  while (load_attempts_ == 0 && env_.clock.now() < deadline) co_await load_changed_.wait_until(env_.clock, deadline);
  co_return Status{};
}

Awaitable<void> ApiServer::bring_up() {
  const Backoff backoff{.base = std::chrono::milliseconds(100), .cap = std::chrono::seconds(5)};
  for (int failures = 0;; ++failures) {
    auto status = co_await load_all();
    ++load_attempts_;
    loaded_ = status.has_value();
    // Whatever it was: of the requests that wait nothing was done.
    if (!status)
      load_error_ = {Code::unavailable,
                     fmt::format("the server has not loaded its data yet: {}", status.error().message)};
    load_changed_.notify_all();
    if (loaded_) co_return;
    env_.log.warning("loading failed; trying again", {{"why", load_error_.message}});
    // A request that needs the data is reason enough to look again, but not more often than this.
    co_await sleep_for(env_.clock, backoff.base);
    if (*load_waiters_ == 0)
      co_await load_wanted_.wait_until(env_.clock, env_.clock.now() + backoff.delay(failures, env_.random));
  }
}

Awaitable<Status> ApiServer::load_all() {
  CO_RETURN_IF_ERROR(co_await backup::check_whole(store_));
  if (!cache_.ready()) CO_RETURN_IF_ERROR(co_await cache_.start());
  co_return co_await create_defaults();
}

// Waits for the end of the attempt under way, or of one made for us.
Awaitable<Status> ApiServer::loaded() {
  const Mono deadline = env_.clock.now() + options_.store_limit;
  const auto seen = load_attempts_;
  const Counted waiting(load_waiters_);
  load_wanted_.notify_all();
  while (!loaded_) {
    if (load_attempts_ != seen || env_.clock.now() >= deadline) co_return fail(load_error_);
    co_await load_changed_.wait_until(env_.clock, deadline);
  }
  co_return Status{};
}

Awaitable<void> ApiServer::stop() {
  co_await authenticator_.stop();
  co_await tasks_.stop();
  co_await cache_.stop();
}

Result<store::Put> ApiServer::default_object(const json::Value& value, const Kind& kind) {
  ASSIGN_OR_RETURN(auto object, decode_default(kind, value));
  object->meta().namespace_.reset();
  object->meta().uid = options_.defaults_for_fresh_store_only ? shipped_uid(env_.random, kind.name, object->meta().name)
                                                              : env_.random.uuid4();
  object->meta().created = object->meta().modified = stamp(nullptr);
  std::string bytes;
  object->encode(bytes);
  return store::Put{kind.storage_key("", object->meta().name), std::make_shared<const std::string>(std::move(bytes))};
}

std::vector<std::pair<const Kind*, const json::Value*>> ApiServer::defaults() const {
  std::vector<std::pair<const Kind*, const json::Value*>> all;
  for (const auto& role : options_.default_roles) all.emplace_back(&registry_.get("core", "Role"), &role);
  for (const auto& binding : options_.default_role_bindings)
    all.emplace_back(&registry_.get("core", "RoleBinding"), &binding);
  return all;
}

// Each transaction is all or nothing. Where one is refused another server, or an administrator, was first.
Awaitable<Status> ApiServer::create_defaults() {
  const Kind& role = registry_.get("core", "Role");
  const Kind& binding = registry_.get("core", "RoleBinding");
  CO_RETURN_IF_ERROR(co_await cache_.fresh());  // an earlier attempt may have got further than it heard of
  const bool fresh = cache_.of(role).objects.empty() && cache_.of(binding).objects.empty();
  if (options_.defaults_for_fresh_store_only && !fresh) co_return Status{};
  std::vector<store::Txn> transactions;
  for (const auto& [kind, value] : defaults()) {
    ASSIGN_OR_CO_RETURN(auto put, default_object(*value, *kind));
    if (cache_.of(*kind).objects.contains(put.key)) continue;
    if (transactions.empty() || !options_.defaults_for_fresh_store_only) transactions.emplace_back();
    transactions.back().guards.push_back(store::Guard::absent(put.key));
    transactions.back().puts.push_back(std::move(put));
  }
  for (auto& txn : transactions) {
    auto result = co_await store_.commit(std::move(txn));
    if (!result) co_return fail(result.error());
    if (const auto* done = std::get_if<store::Committed>(&*result)) {
      CO_RETURN_IF_ERROR(co_await cache_.wait_for(done->revision));
    }
  }
  co_return Status{};
}

// Counts a request and writes it to the audit log when it ends, however it does: it is unwound, or destroyed where it
// waits, when nobody waits for its answer any more. Its loop may outlive the server: then there is nobody to tell.
class ApiServer::Record {
 public:
  Record(ApiServer& server, const ServerRequest& request)
      : server_(server), alive_(server.alive_), request_(request), begin_(server.env_.clock.now()) {
    if (server.options_.audit.sink) answered.request_id = request_id(request.headers, server.env_.random);
  }
  ~Record() {
    if (alive_.expired()) return;
    answered.took = server_.env_.clock.now() - begin_;
    server_.meter_.count(request_, answered);
    server_.audit_.record(request_, answered);
  }
  Record(const Record&) = delete;
  Record& operator=(const Record&) = delete;

  Answered answered;

 private:
  ApiServer& server_;
  std::weak_ptr<const bool> alive_;
  const ServerRequest& request_;
  Mono begin_;
};

Awaitable<ServerReply> ApiServer::handle(ServerRequest& request) {
  Record record(*this, request);
  ServerReply reply;
  std::exception_ptr thrown;
  try {
    reply = co_await process(request, record.answered);
  } catch (...) {
    thrown = std::current_exception();
  }
  // What is cancelled may come to an answer all the same, but nobody gets it. A bug is answered by the transport.
  const auto cancellation = co_await boost::asio::this_coro::cancellation_state;
  if (cancellation.cancelled() == boost::asio::cancellation_type::none)
    record.answered.status = thrown ? 500 : reply.status;
  if (thrown) std::rethrow_exception(thrown);
  if (request.method != kPreflight) share_with_origin(options_.cors, request.headers, reply.headers);
  if (options_.audit.sink) reply.headers.add("X-Request-Id", record.answered.request_id);
  co_return reply;
}

Awaitable<ServerReply> ApiServer::process(ServerRequest& http, Answered& answered) {
  const auto problem = [&](const Problem& p) { return problem_reply(p, options_.problem_base_url); };
  const std::string_view target = origin_form(http.target);
  const auto question = target.find('?');
  auto routed = route(registry_, http.method, target.substr(0, question));
  const bool preflight = http.method == kPreflight;
  auto known = preflight ? std::optional<Authenticator::Verdict>(access::Identity{.user = std::string(kAnonymous)})
                         : authenticator_.known(http);
  if (!known) known = co_await authenticator_.ask(http);
  auto& user = *known;
  if (user) answered.user = user->user;
  if (routed.route) {
    answered.kind = routed.route->kind;
    answered.subresource = routed.route->subresource;
    answered.operation = routed.route->operation;
    answered.verb = routed.route->verb();
    if (options_.audit.sink) answered.ns = routed.route->ns, answered.name = routed.route->name;
  }
  // Before anything is read or looked up.
  const Query query = question == std::string_view::npos ? Query{} : parse_query(target.substr(question + 1));
  auto priority = priority_of(routed.route ? &*routed.route : nullptr, user ? std::string_view(user->user) : "",
                              find_parameter(query, "watch") != nullptr);
  // By the rules known now, without asking: who has no right to leases must not crowd out those who have.
  if (priority == Priority::lease && !authorizer_.allowed(user->user, *routed.route)) priority = Priority::user;
  auto admitted = admission_.requests.take(priority);
  if (!admitted) {
    auto shed = plain_problem(429);
    shed.headers.add("Retry-After", "1");
    co_return problem(shed);
  }
  if (!user) co_return problem(user.error());
  if (preflight && routed.status != 404)
    co_return server::preflight(options_.cors, http.headers, options_.problem_base_url);
  if (!routed.route) {
    auto p = plain_problem(routed.status);
    if (!routed.allow.empty()) p.headers.add("Allow", routed.allow);
    co_return problem(p);
  }
  // The index needs no store.
  if (!loaded_ && (routed.route->guarded() || routed.route->about_oneself())) {
    if (auto status = co_await loaded(); !status) co_return problem(problem_of(status.error()));
  }
  Request request{.http = http,
                  .query = query,
                  .route = std::move(*routed.route),
                  .user = std::move(user->user),
                  .until = user->until,
                  .generation = user->generation,
                  .priority = priority,
                  .admitted = *admitted,
                  .answered = answered};
  const auto operation = request.route.operation;
  answered.forced = (operation == Operation::remove || operation == Operation::lease_release) && forced(request);
  if (request.route.guarded() && authorizer_.needs_fresh_roles() && !takes_cached(request)) {
    if (auto fresh = co_await cache_.fresh(&request.confirmed); !fresh) co_return problem(problem_of(fresh.error()));
  }
  if (request.route.guarded()) {
    if (auto allowed = authorizer_.allowed(request.user, request.route); !allowed) {
      co_return problem(plain_problem(http_status(allowed.error().code)));
    }
    request.authorized = authorizer_.version();
  }
  auto answer = co_await dispatch(request);
  if (!answer) {
    if (answer.error().status >= 500) env_.log.error("request failed", {{"why", answer.error().detail}});
    co_return problem(answer.error());
  }
  for (auto& warning : warning_headers(request.warnings)) answer->headers.add("Warning", std::move(warning));
  co_return std::move(*answer);
}

Awaitable<Result<store::CommitResult>> ApiServer::commit(Request& request, store::Txn txn) {
  auto& answered = request.answered;
  answered.may_be_done = true;  // also if we never hear of it
  auto result = co_await store_.commit(std::move(txn));
  answered.may_be_done = !result && result.error().code != Code::unavailable;
  const auto* done = result ? std::get_if<store::Committed>(&*result) : nullptr;
  if (done) answered.revision = done->revision;
  co_return result;
}

Awaitable<Answer> ApiServer::dispatch(Request& request) {
  switch (request.route.operation) {
    case Operation::index:
      co_return json_reply(200, json::print(json::Object{{"version", options_.version}}));
    case Operation::release:
      co_return json_reply(202, R"("You released the Krake.")");
    case Operation::me:
      if (auto fresh = co_await cache_.fresh(&request.confirmed); !fresh) co_return refuse(fresh.error());
      co_return me(request);
    case Operation::openapi:
      co_return openapi(request);
    case Operation::review:
      co_return co_await review(request);
    case Operation::rules:
      if (auto fresh = co_await cache_.fresh(&request.confirmed); !fresh) co_return refuse(fresh.error());
      co_return rules(request);
    case Operation::backup:
      co_return co_await backup(request);
    case Operation::list:
      co_return co_await list(request);
    case Operation::read:
      co_return co_await read(request);
    case Operation::create:
      co_return co_await create(request);
    case Operation::update:
      co_return co_await update(request);
    case Operation::patch:
    case Operation::patch_status:
      co_return co_await patch(request);
    case Operation::remove:
      co_return co_await remove(request);
    case Operation::status:
      co_return co_await status(request);
    case Operation::subresource:
      co_return co_await subresource(request);
    case Operation::lease_acquire:
      co_return co_await acquire_lease(request);
    case Operation::lease_release:
      co_return co_await release_lease(request);
  }
  co_return refuse(plain_problem(404));
}

Status ApiServer::still_allowed(Request& request) const {
  if (!request.route.guarded() || request.authorized == authorizer_.version()) return {};
  RETURN_IF_ERROR(authorizer_.allowed(request.user, request.route));
  request.authorized = authorizer_.version();
  return {};
}

Answer ApiServer::me(const Request& request) const {
  json::Array roles;
  for (auto& role : authorizer_.roles_of(request.user)) roles.emplace_back(std::move(role));
  return json_reply(200, json::print(json::Object{{"user", request.user}, {"roles", std::move(roles)}}));
}

ServerReply ApiServer::object_reply(const Request& request, const CachedPtr& object) const {
  ServerReply reply;
  reply.headers.add("Content-Type", "application/json; charset=utf-8");
  reply.headers.add("ETag", fmt::format("\"{}\"", object->modified));
  reply.body.push_back(authorizer_.sight(request.user, *request.route.kind).of(object)->bytes);
  return reply;
}

ServerReply ApiServer::document_reply(const Request& request, json::Value document) const {
  if (!sees_secrets(request)) request.route.kind->mask(document);
  return json_reply(200, json::print(document));
}

CachedPtr ApiServer::load(const Request& request) const {
  if (!request.route.names_valid) return nullptr;
  return const_cast<Cache&>(cache_).of(*request.route.kind).find(request.route.ns, request.route.name);
}

Problem ApiServer::missing(const Request& request) const {
  const auto& route = request.route;
  const auto& unreadable = const_cast<Cache&>(cache_).of(*route.kind).unreadable;
  const auto it = unreadable.find(route.kind->storage_key(route.ns, route.name));
  // It is there: to call it missing would have it cleaned up behind. Another server may know the key.
  if (route.names_valid && it != unreadable.end() && !it->second.sealed_with.empty()) {
    return problem_of(
        Error{Code::unavailable,
              fmt::format("{} '{}' {}; DELETE with ?force=True and If-Match: {} removes it unread", route.kind->name,
                          route.name, lacks_key(it->second.sealed_with), it->second.revision)});
  }
  const auto* hint = route.names_valid && it != unreadable.end()
                         ? ", but its key holds a value that cannot be read; DELETE with ?force=True removes it"
                         : "";
  const auto where = route.kind->namespaced ? fmt::format("'{}'", route.ns) : "None";
  return {
      .status = 404,
      .detail = fmt::format("'{}' '{}' does not exist in namespace {}{}", route.kind->name, route.name, where, hint),
      .title = Title::not_found_error};
}

// Later than what is in the object, however the clocks of servers and controllers differ: that `modified` is later than
// `kube_controller_triggered` tells controllers of a change they have not looked at. But a time in a status may be
// anything a client made up: what is further ahead is no clock's doing, and is not followed.
DateTime ApiServer::stamp(const CachedObject* object) const {
  constexpr auto kClocksDiffer = std::chrono::minutes(5);
  auto now = env_.clock.wall();
  if (object) now = std::max(now, Wall(std::chrono::microseconds(object->newest_us + 1)));
  const Wall status(std::chrono::microseconds(object ? object->status_us + 1 : 0));
  if (status <= env_.clock.wall() + kClocksDiffer) now = std::max(now, status);
  return DateTime::from_wall(now);
}

// What is a state, not an event: looked at when somebody asks.
void ApiServer::measure() {
  const auto set = [&](const char* name, const char* help, std::size_t value) {
    env_.metrics.gauge(name, help).Set(static_cast<double>(value));
  };
  std::size_t unreadable = 0;
  std::size_t sealed = 0;
  for (const auto& [kind, cache] : cache_.kinds()) {
    unreadable += cache->unreadable.size();
    for (const auto& [key, value] : cache->unreadable) sealed += value.sealed_with.empty() ? 0 : 1;
  }
  const std::pair<const char*, const Pool*> pools[] = {{"requests", &admission_.requests},
                                                       {"bodies", &admission_.bodies},
                                                       {"body_bytes", &admission_.body_bytes},
                                                       {"watches", &admission_.watches},
                                                       {"list_streams", &admission_.list_streams}};
  for (const auto& [name, pool] : pools) {
    for (const auto priority : kPriorities) {
      const MetricLabels labels{{"what", name}, {"priority", std::string(to_string(priority))}};
      env_.metrics.gauge("krake_api_taken", "What of the server's limits is taken.", labels)
          .Set(static_cast<double>(pool->used(priority)));
      auto& refused = env_.metrics.counter("krake_api_refused_total", "Requests answered 429, by limit.", labels);
      refused.Increment(static_cast<double>(pool->refused(priority)) - refused.Value());
    }
  }
  if (options_.audit.sink) {
    auto& dropped = env_.metrics.counter("krake_audit_dropped_total", "Audit records that could not be written.");
    dropped.Increment(static_cast<double>(options_.audit.sink->dropped()) - dropped.Value());
  }
  env_.metrics.gauge("krake_store_unconfirmed_seconds", "Since the store last confirmed what the server shows.")
      .Set(cache_.ready() ? std::chrono::duration<double>(cache_.unconfirmed()).count() : 0);
  set("krake_api_unreadable_values", "Stored values this server cannot read; see the log.", unreadable);
  set("krake_api_unopened_values", "Of these, sealed with a key this server does not have.", sealed);
}

Awaitable<ServerReply> ApiServer::handle_admin(ServerRequest& request) {
  const auto text = [](int status, std::string body) {
    ServerReply reply;
    reply.status = status;
    reply.headers.add("Content-Type", "text/plain; charset=utf-8");
    reply.body.push_back(share_bytes(std::move(body)));
    return reply;
  };
  const auto path = std::string_view(request.target).substr(0, request.target.find('?'));
  if (path == "/healthz") co_return text(200, "ok\n");
  if (path == "/readyz") {
    if (!loaded_) co_return text(503, load_error_.message + "\n");
    if (const auto fresh = co_await cache_.fresh(); !fresh) co_return text(503, fresh.error().message + "\n");
    const auto writable = co_await store_.writable();
    co_return writable ? text(200, "ok\n") : text(503, writable.error().message + "\n");
  }
  if (path == "/metrics") {
    measure();
    co_return text(200, env_.metrics.text());
  }
  if (path == "/debug/cache") {
    json::Object kinds;
    for (const auto& [kind, cache] : cache_.kinds()) {
      kinds.set(kind->plural, json::Object{{"objects", static_cast<std::int64_t>(cache->objects.size())},
                                           {"events", static_cast<std::int64_t>(cache->events.size())},
                                           {"event_bytes", static_cast<std::int64_t>(cache->event_bytes)}});
    }
    co_return json_reply(200,
                         json::print(json::Object{{"revision", cache_.revision()},
                                                  {"undecodable", static_cast<std::int64_t>(cache_.undecodable())},
                                                  {"watches", static_cast<std::int64_t>(admission_.watches.used())},
                                                  {"kinds", std::move(kinds)}}));
  }
  co_return text(404, "known: /healthz /readyz /metrics /debug/cache\n");
}

}  // namespace krake::server
