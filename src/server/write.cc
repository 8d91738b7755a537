// POST, PUT, PATCH, DELETE (api-contract 3.2, 3.5-3.9): computed on the cached object, committed under its revision.
#include <algorithm>
#include <set>

#include "base/encoding.h"
#include "meta/body.h"
#include "server/api_server.h"

namespace krake::server {

namespace {

Problem update_error(int status, std::string detail) {
  return {.status = status, .detail = std::move(detail), .title = Title::update_error};
}

Problem invalid(const FieldErrors& errors) { return {.status = 422, .detail = errors.render()}; }

// Of one object as the store has it. Below the store's own limit, so that the server can still mark it deleted.
constexpr std::size_t kMaxObjectBytes = store::kMaxTxnBytes - (std::size_t{64} << 10);

// NaN and the like are no JSON: they may stay where upstream has stored them, and come nowhere else. `given` is the
// body, or the part of it that is looked at.
std::optional<Problem> special_numbers(const json::Value& given, const json::Value* stored) {
  FieldErrors errors;
  report_special(given, stored, errors);
  if (errors.empty()) return std::nullopt;
  return Problem{.status = 415,
                 .detail =
                     "NaN, Infinity and what overflows a double (1e400) may stay where it is stored, and comes "
                     "nowhere else: " +
                     errors.render()};
}

// Of a body that becomes an object, or a part of one; `stored` answers its document.
template <class Document>
std::optional<Problem> special_numbers(const json::Value& body, Operation operation, const Document& stored) {
  if (!has_special(body)) return std::nullopt;
  const bool on_status = operation == Operation::status || operation == Operation::patch_status;
  auto looked_at = body;
  if (!on_status) {
    looked_at.make_object().erase("status");
    const json::Value document = stored();
    return special_numbers(looked_at, &document);
  }
  const auto* status = body.at_path({"status"});
  if (!status || !has_special(*status)) return std::nullopt;
  // A status tells of its spec: what is in one comes to be in the other.
  if (has_special(stored())) return std::nullopt;
  return special_numbers(json::Object{{"status", *status}}, nullptr);
}

Problem too_large(const Kind& kind, const std::string& name, std::size_t size) {
  return {.status = 413,
          .detail =
              fmt::format("{} '{}' would have {} bytes with its status, which is over the limit of {}; make it smaller",
                          kind.name, name, size, kMaxObjectBytes)};
}

bool finalizers_subset(const std::vector<std::string>& body, const std::vector<std::string>& stored) {
  const std::set<std::string_view> known(stored.begin(), stored.end());
  return std::ranges::all_of(body, [&](const auto& f) { return known.contains(f); });
}

// What the body of a PUT makes of the stored object (3.5).
std::expected<std::unique_ptr<Object>, Problem> merge_update(const Kind& kind, const Object& body, const Object& stored,
                                                             DateTime now, bool stamp_modified) {
  if (stored.meta().deleted && !finalizers_subset(body.meta().finalizers, stored.meta().finalizers)) {
    return refuse(update_error(409, "Finalizers can only be removed if a deletion is in progress."));
  }
  if (body.equals(stored)) {
    if (kind.unchanged_update_is_ok) return nullptr;
    return refuse(update_error(400, "The body contained no update."));
  }
  if (const auto field = body.changed_immutable(stored); !field.empty()) {
    return refuse(update_error(400, fmt::format("Trying to update an immutable field: {}", field)));
  }
  auto merged = body.clone();
  merged->keep_stored(stored);
  if (stamp_modified) merged->meta().modified = now;
  return merged;
}

// Whether all that is wrong is in parts a patch does not speak of: then it is stored so, by upstream or by a server
// with other rules.
bool is_of_the_stored(const FieldErrors& errors, const json::Object& change) {
  const json::Finder changed(change);
  return std::ranges::all_of(errors.flatten(), [&](const auto& error) {
    const auto part = std::string_view(error.first).substr(0, error.first.find('.'));
    if (!part.empty() && part != "_schema") return !changed.find(part);
    return std::ranges::all_of(change, [](const auto& e) { return e.first == "metadata" || e.first == "status"; });
  });
}

// What is stored is not validated again (W42): or nobody could take the last finalizer of what newer rules refuse.
std::unique_ptr<Object> decode_patched(const Kind& kind, const json::Value& document, const json::Object& change,
                                       FieldErrors& errors) {
  auto wanted = kind.decode(kind, document, Form::full, errors);
  if (wanted || !is_of_the_stored(errors, change)) return wanted;
  FieldErrors unreadable;
  return kind.decode(kind, document, Form::stored, unreadable);
}

bool from_client(Operation operation) {
  return operation == Operation::update || operation == Operation::patch || operation == Operation::status ||
         operation == Operation::patch_status;
}

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// Of ?blocking=, in lower case; nothing when nobody waits.
std::expected<std::string, Problem> state_to_wait_for(const Kind& kind, const Query& query) {
  const auto* blocking = kind.force_delete ? find_parameter(query, "blocking") : nullptr;
  if (!blocking) return "";
  auto wanted = lower(*blocking);
  if (wanted == "false") return "";
  std::vector<std::string> known{"deleted"};
  for (const auto state : kind.states) {
    if (auto name = lower(std::string(state)); name != "deleted") known.push_back(std::move(name));
  }
  if (std::ranges::find(known, wanted) != known.end()) return wanted;
  return refuse(query_problem("blocking", fmt::format("Want False or one of {}.", fmt::join(known, ", "))));
}

}  // namespace

std::expected<IfMatch, Problem> ApiServer::if_match(const Request& request) const {
  const auto header = joined(request.http.headers, "If-Match");
  if (!header || *header == "*") return IfMatch{};
  const auto store = request.http.headers.get("Krake-Store");
  if (store && *store != cache_.id()) {
    return refuse(
        Problem{.status = 412,
                .detail = fmt::format("If-Match names a revision of another store, '{}'; read it again", *store)});
  }
  auto parsed = parse_if_match(*header);
  if (!parsed) {
    return refuse(
        Problem{.status = 400, .detail = fmt::format("If-Match: want the ETag of an earlier answer, got {}", *header)});
  }
  return *std::move(parsed);
}

Awaitable<std::expected<json::Value, Problem>> ApiServer::read_body(Request& request, json::Numbers numbers,
                                                                    std::size_t more) {
  const auto coding = joined(request.http.headers, "Content-Encoding");
  if (coding && !coding->empty() && !iequals(*coding, "identity")) {
    co_return refuse(Problem{
        .status = 415,
        .detail = fmt::format("Content-Encoding: {} is not taken, send the body as it is", coding->substr(0, 100)),
        .headers = {{"Accept-Encoding", "identity"}}});
  }
  const std::size_t limit = options_.body_limit + more;
  // What the sender announces is taken from a common budget before a byte of it is read.
  std::size_t announced = limit;
  if (const auto length = request.http.headers.get("Content-Length"))
    std::from_chars(length->data(), length->data() + length->size(), announced);
  announced = std::min(announced, limit);
  const auto place = admission_.bodies.take(request.priority);
  auto room = place ? admission_.body_bytes.take(request.priority, announced) : std::nullopt;
  if (!room) {
    co_return refuse(
        Error{Code::too_many_requests,
              fmt::format("{} bodies of {} bytes are being read, which is the limit for requests like this",
                          admission_.bodies.used(), admission_.body_bytes.used())});
  }
  request.body_room.emplace(std::move(*room));
  request.admitted.pause();
  auto body = co_await request.http.body->read(limit);
  // Many bodies may come to their end at once.
  if (!request.admitted.try_resume()) {
    co_return refuse(Error{Code::too_many_requests,
                           fmt::format("{} requests are worked on, which is the limit for requests like this; nothing "
                                       "was done",
                                       admission_.requests.used())});
  }
  if (!body && body.error().code == Code::timeout)
    co_return refuse(Problem{.status = 408, .detail = body.error().message});
  if (!body) co_return refuse(body.error());
  if (authorizer_.needs_fresh_roles()) {
    if (auto fresh = co_await cache_.fresh(&request.confirmed); !fresh) co_return refuse(fresh.error());
  }
  if (auto allowed = still_allowed(request); !allowed)
    co_return refuse(plain_problem(http_status(allowed.error().code)));
  const auto text = to_utf8(*std::move(body), charset_of(request.http.headers.get("Content-Type").value_or("")));
  // Text that is not UTF-8 by now is not JSON.
  if (!text || !json::valid_utf8(*text)) co_return refuse(plain_problem(415));
  const std::size_t depth = kMaxBodyDepth + (from_client(request.route.operation) ? kStatusIsDeeper : 0);
  auto value = json::parse(*text, depth, numbers);
  if (!value) co_return refuse(plain_problem(415));
  co_return std::move(*value);
}

Awaitable<Answer> ApiServer::create(Request& request) {
  const Kind& kind = *request.route.kind;
  const auto wanted = state_to_wait_for(kind, request.query);
  if (!wanted) co_return refuse(wanted.error());
  auto body = co_await read_body(request, json::Numbers::any);
  if (!body) co_return refuse(body.error());
  FieldErrors errors;
  std::shared_ptr<Object> object = kind.decode(kind, *body, Form::create, errors);
  if (object && !request.route.names_valid) {
    object.reset();
    errors.at("metadata").at("namespace").add("Invalid character in resource namespace.");
  }
  if (!object) co_return refuse(invalid(errors));
  if (auto special = special_numbers(*body, request.route.operation, [] { return json::Value(); }))
    co_return refuse(std::move(*special));
  if (auto unknown = unknown_keys(request, *body, *object)) co_return refuse(std::move(*unknown));
  auto& meta = object->meta();
  if (kind.namespaced) {
    meta.namespace_ = request.route.ns;
  } else {
    meta.namespace_.reset();
  }
  meta.uid = env_.random.uuid4();
  meta.created = meta.modified = stamp(nullptr);
  meta.deleted.reset();
  object->reset_status();
  request.answered.name = meta.name;
  if (auto refused = look_at(request, nullptr, *object)) co_return refuse(std::move(*refused));
  auto guard = leader_guard(request);
  if (!guard) co_return refuse(guard.error());
  // Else its outcome would be unknown, most likely.
  if (cache_.cut_off()) {
    if (auto there = co_await cache_.fresh(); !there) co_return refuse(there.error());
    if (auto allowed = still_allowed(request); !allowed)
      co_return refuse(plain_problem(http_status(allowed.error().code)));
  }

  Cache::Draft draft(cache_, object);
  if (draft.stored()->size() > kMaxObjectBytes) co_return refuse(too_large(kind, meta.name, draft.stored()->size()));
  store::Txn txn;
  // In this order: who leads no more is not told whether the name is taken.
  if (*guard) txn.guards.push_back(**guard);
  txn.guards.push_back(store::Guard::absent(draft.key()));
  txn.puts.push_back({draft.key(), draft.stored()});
  auto result = co_await commit(request, std::move(txn));
  if (!result) co_return refuse(result.error());
  if (const auto* conflict = std::get_if<store::Conflict>(&*result)) {
    if (*guard && conflict->guard == 0) co_return refuse(leadership_lost(request));
    co_return refuse(Problem{.status = 409,
                             .detail = already_there(kind, request.route.ns, meta.name),
                             .title = Title::resource_already_exists});
  }
  const Revision revision = std::get<store::Committed>(*result).revision;
  co_await shown(revision);
  const auto cached = draft.committed(revision, revision);
  ServerReply reply = object_reply(request, cached);
  if (wanted->empty()) co_return reply;
  co_return co_await wait_until_state(request, cached, *wanted, std::move(reply));
}

// What the store has acknowledged is done, also when the cache hears of it late: reads wait for it or fail.
Awaitable<void> ApiServer::shown(Revision revision) {
  if (auto seen = co_await cache_.wait_for(revision); !seen)
    env_.log.warning("a write is answered before the cache shows it", {{"why", seen.error().message}});
}

std::string ApiServer::already_there(const Kind& kind, const std::string& ns, const std::string& name) {
  const auto& unreadable = cache_.of(kind).unreadable;
  if (const auto it = unreadable.find(kind.storage_key(ns, name)); it != unreadable.end()) {
    const auto& id = it->second.sealed_with;
    return fmt::format("{} '{}' exists, but its stored value {}", kind.name, name,
                       id.empty() ? "cannot be read; DELETE it with ?force=True" : lacks_key(id));
  }
  return kind.namespaced ? fmt::format("{} '{}' already exists in namespace '{}'", kind.name, name, ns)
                         : fmt::format("{} '{}' already exists", kind.name, name);
}

// Load, compute, commit under the revision that was loaded; again when somebody was faster and the client set no
// precondition.
Awaitable<Answer> ApiServer::modify(Request& request, Mutate mutate) {
  const Kind& kind = *request.route.kind;
  const auto precondition = if_match(request);
  if (!precondition) co_return refuse(precondition.error());
  for (int attempt = 0;; ++attempt) {
    if (auto fresh = co_await cache_.fresh(&request.confirmed); !fresh) co_return refuse(fresh.error());
    if (auto allowed = still_allowed(request); !allowed)
      co_return refuse(plain_problem(http_status(allowed.error().code)));
    auto guard = leader_guard(request);
    if (!guard) co_return refuse(guard.error());
    if (*guard && !still_leads(**guard)) co_return refuse(leadership_lost(request));
    const auto cached = load(request);
    if (!cached) co_return refuse(missing(request));
    if (!precondition->holds(cached->modified)) {
      co_return refuse(
          Problem{.status = 412,
                  .detail = fmt::format("{} '{}' has changed: If-Match names {}, it is at revision {}; read it again",
                                        kind.name, request.route.name, precondition->text(), cached->modified)});
    }
    const auto stored = cache_.decoded(kind, cached);
    if (!stored) {
      co_return refuse(
          Error{Code::internal, fmt::format("{} '{}' cannot be decoded any more; DELETE it with ?force=True", kind.name,
                                            request.route.name)});
    }
    auto mutation = mutate({*stored, *cached}, stamp(cached.get()));
    if (!mutation) co_return refuse(mutation.error());
    if (mutation->unchanged) co_return object_reply(request, cached);
    if (mutation->object) {
      if (auto refused = look_at(request, stored.get(), *mutation->object)) co_return refuse(std::move(*refused));
    }

    store::Txn txn;
    txn.guards.push_back(store::Guard::modified_at(cached->key, cached->modified));
    if (*guard) txn.guards.push_back(**guard);
    std::optional<Cache::Draft> draft;
    if (mutation->remove_key) {
      txn.removes.push_back({cached->key});
    } else {
      draft.emplace(cache_, std::move(mutation->object));
      // What the server itself changes, to delete an object or to bind it, has room above.
      const auto size = draft->stored()->size();
      if (size > kMaxObjectBytes && size > cached->bytes->size() && from_client(request.route.operation))
        co_return refuse(too_large(kind, request.route.name, size));
      txn.puts.push_back({cached->key, draft->stored()});
    }
    auto result = co_await commit(request, std::move(txn));
    if (!result) co_return refuse(result.error());
    if (const auto* conflict = std::get_if<store::Conflict>(&*result)) {
      if (conflict->guard > 0) co_return refuse(leadership_lost(request));
      if (!precondition->any) {
        co_return refuse(Problem{
            .status = 412,
            .detail = fmt::format("{} '{}' has changed meanwhile; read it again", kind.name, request.route.name)});
      }
      if (attempt >= options_.retry_transactions) {
        co_return refuse(
            Problem{.status = 409, .detail = "Concurrent writes to database", .title = Title::transaction_error});
      }
      request.confirmed = {};  // the cache was behind, or is now
      continue;
    }
    const Revision revision = std::get<store::Committed>(*result).revision;
    co_await shown(revision);
    if (mutation->remove_key) {
      std::string body;
      (mutation->answer ? *mutation->answer : *mutation->object).encode(body);
      co_return document_reply(request, json::parse(body).value_or(json::Value()));
    }
    co_return object_reply(request, draft->committed(cached->created, revision));
  }
}

Awaitable<Answer> ApiServer::update(Request& request) {
  const Kind& kind = *request.route.kind;
  // An object may have grown beyond the limit of bodies by its status: what was read can be written back.
  const auto present = load(request);
  const std::size_t size = present ? present->bytes->size() : 0;
  auto body = co_await read_body(request, json::Numbers::any,
                                 size > options_.body_limit ? size + 65536 - options_.body_limit : 0);
  if (!body) co_return refuse(body.error());
  FieldErrors errors;
  const std::shared_ptr<Object> wanted = kind.decode(kind, *body, Form::full, errors);
  if (!wanted) co_return refuse(invalid(errors));
  if (auto unknown = unknown_keys(request, *body, *wanted)) co_return refuse(std::move(*unknown));
  const auto meant = meant_by(request, std::move(*body), wanted);
  co_return co_await modify(request,
                            [&kind, meant](const Stored& stored, DateTime now) -> std::expected<Mutation, Problem> {
                              const auto object = meant(stored);
                              if (!object) return refuse(object.error());
                              auto merged = merge_update(kind, **object, stored.object, now, true);
                              if (!merged) return refuse(merged.error());
                              if (!*merged) return Mutation{.unchanged = true};
                              const bool gone = (*merged)->meta().deleted && (*merged)->meta().finalizers.empty();
                              return Mutation{.object = std::move(*merged), .remove_key = gone};
                            });
}

// JSON merge patch (RFC 7386) on what GET answers. A patch that changes nothing is an ordinary success; one that
// changes finalizers and owners alone leaves `modified` alone, so that it wakes no scheduler.
Awaitable<Answer> ApiServer::patch(Request& request) {
  const bool on_status = request.route.operation == Operation::patch_status;
  auto body = co_await read_body(request, json::Numbers::any);
  if (!body) co_return refuse(body.error());
  if (!body->is_object()) {
    FieldErrors errors;
    errors.at("_schema").add("Invalid input type.");
    co_return refuse(invalid(errors));
  }
  co_return co_await modify(
      request, [this, &request, on_status, change = std::make_shared<const json::Value>(std::move(*body))](
                   const Stored& stored, DateTime now) {
        return on_status ? patched_status(request, *change, stored) : patched(request, *change, stored, now);
      });
}

ApiServer::Merged ApiServer::merged(const Request& request, json::Value document, const json::Value& change) const {
  if (sees_secrets(request)) {
    json::merge_patch(document, change);
    return {.document = std::move(document), .shown = std::nullopt};
  }
  json::Value shown = document;
  request.route.kind->mask(shown);
  json::merge_patch(shown, change);
  auto meant = with_secrets(request, shown, document);
  return {.document = std::move(meant), .shown = std::move(shown)};
}

std::expected<ApiServer::Mutation, Problem> ApiServer::patched(const Request& request, const json::Value& change,
                                                               const Stored& stored, DateTime now) const {
  const Kind& kind = *request.route.kind;
  auto before = stored.document();
  if (auto special = special_numbers(change, request.route.operation, [&] { return before; }))
    return refuse(std::move(*special));
  const auto whole = merged(request, std::move(before), change);
  FieldErrors errors;
  const auto wanted = decode_patched(kind, whole.document, *change.if_object(), errors);
  if (!wanted && whole.shown) {
    FieldErrors of_shown;
    if (kind.decode(kind, *whole.shown, Form::full, of_shown)) of_shown = {};
    return refuse(invalid_with_secrets(std::move(errors), std::move(of_shown)));
  }
  if (!wanted) return refuse(invalid(errors));
  if (auto unknown = unknown_keys(request, change, *wanted)) return refuse(std::move(*unknown));
  if (wanted->equals(stored.object)) return Mutation{.unchanged = true};
  auto only_links = stored.object.clone();
  only_links->meta().finalizers = wanted->meta().finalizers;
  only_links->meta().owners = wanted->meta().owners;
  auto effective = wanted->clone();
  effective->keep_stored(stored.object);
  if (effective->equals(stored.object)) return Mutation{.unchanged = true};
  auto updated = merge_update(kind, *wanted, stored.object, now, !only_links->equals(*effective));
  if (!updated) return refuse(updated.error());
  const bool gone = (*updated)->meta().deleted && (*updated)->meta().finalizers.empty();
  return Mutation{.object = std::move(*updated), .remove_key = gone};
}

// Of the status alone: nothing else is read, nor judged.
std::expected<ApiServer::Mutation, Problem> ApiServer::patched_status(const Request& request, const json::Value& change,
                                                                      const Stored& stored) const {
  auto object = stored.object.clone();
  FieldErrors errors;
  const auto* given = change.if_object()->find("status");
  json::Object status;
  if (given) status.set("status", *given);
  if (given && given->is_object() && sees_secrets(request)) {
    if (!object->merge_status(*given->if_object(), errors)) return refuse(invalid(errors));
  } else {
    std::string present;
    stored.object.encode_status(present);
    const auto whole =
        merged(request, json::parse(present, json::kMaxDepth, json::Numbers::any).value_or(json::Value()), status);
    const bool good = object->read_status(whole.document, errors);
    if (!good && whole.shown) {
      FieldErrors of_shown;
      if (stored.object.clone()->read_status(*whole.shown, of_shown)) of_shown = {};
      return refuse(invalid_with_secrets(std::move(errors), std::move(of_shown)));
    }
    if (!good) return refuse(invalid(errors));
  }
  if (auto special = special_numbers(change, request.route.operation, [&] { return stored.document(); }))
    return refuse(std::move(*special));
  if (switched_on(request.query, "strict")) {
    // Looked at without what is stored and not known, which `object` has, too.
    const auto document = merged(request, stored.document(), status).document;
    const auto known = decode_patched(*request.route.kind, document, status, errors);
    if (auto unknown = unknown_keys(request, change, known ? *known : *object)) return refuse(std::move(*unknown));
  }
  if (const auto field = object->changed_immutable_status(stored.object); !field.empty())
    return refuse(update_error(400, fmt::format("Trying to update an immutable field: {}", field)));
  if (object->equals(stored.object)) return Mutation{.unchanged = true};
  return Mutation{.object = std::move(object)};
}

// What the body of a PUT means for the object as it is stored: read again where it has masked secrets, and of the same
// uid where that is looked at (W32).
ApiServer::Meant ApiServer::meant_by(const Request& request, json::Value body, std::shared_ptr<Object> wanted) const {
  const bool masked = !sees_secrets(request);
  return [this, &request, masked, body = std::make_shared<json::Value>(std::move(body)),
          wanted](const Stored& stored) -> std::expected<std::shared_ptr<Object>, Problem> {
    const auto& given = wanted->meta().uid;
    const auto& meta = stored.object.meta();
    if (options_.auth.access.check_uid && !given.empty() && given != meta.uid) {
      return refuse(Problem{.status = 409,
                            .detail = fmt::format("{} has the uid {}, the body has {}: it was made anew; read it again",
                                                  describe(stored.object.kind(), meta), meta.uid, given)});
    }
    if (auto special = special_numbers(*body, request.route.operation, [&] { return stored.document(); }))
      return refuse(std::move(*special));
    if (!masked) return wanted;
    FieldErrors errors;
    std::shared_ptr<Object> object =
        wanted->kind().decode(wanted->kind(), with_secrets(request, *body, stored.document()), Form::full, errors);
    if (!object) return refuse(invalid_with_secrets(std::move(errors), {}));  // what he sent is good, see `wanted`
    return object;
  };
}

Awaitable<Answer> ApiServer::status(Request& request) {
  const Kind& kind = *request.route.kind;
  auto body = co_await read_body(request, json::Numbers::any);
  if (!body) co_return refuse(body.error());
  FieldErrors errors;
  const std::shared_ptr<Object> wanted = kind.decode(kind, *body, Form::full, errors);
  if (!wanted) co_return refuse(invalid(errors));
  if (auto unknown = unknown_keys(request, *body, *wanted)) co_return refuse(std::move(*unknown));
  const auto meant = meant_by(request, std::move(*body), wanted);
  co_return co_await modify(request, [meant](const Stored& stored, DateTime) -> std::expected<Mutation, Problem> {
    const auto object = meant(stored);
    if (!object) return refuse(object.error());
    if (const auto field = (*object)->changed_immutable_status(stored.object); !field.empty()) {
      return refuse(update_error(400, fmt::format("Trying to update an immutable field: {}", field)));
    }
    auto merged = stored.object.clone();
    merged->take_status(**object);
    return Mutation{.object = std::move(merged)};
  });
}

Awaitable<Answer> ApiServer::subresource(Request& request) {
  const Subresource& sub = *request.route.subresource;
  if (sub.load_first) {
    if (auto fresh = co_await cache_.fresh(&request.confirmed); !fresh) co_return refuse(fresh.error());
    if (!load(request)) co_return refuse(missing(request));
  }
  std::shared_ptr<json::Value> body;
  if (sub.has_body) {
    auto given = co_await read_body(request);
    if (!given) co_return refuse(given.error());
    FieldErrors errors;
    if (!sub.validate(*given, errors)) co_return refuse(invalid(errors));
    if (auto unknown = unknown_keys_of_subresource(request, *given)) co_return refuse(std::move(*unknown));
    if (auto refused = look_at_target(request, *given)) co_return refuse(std::move(*refused));
    body = std::make_shared<json::Value>(std::move(*given));
  }
  co_return co_await modify(request,
                            [&sub, body, spend = options_.auth.access.one_time_hook_tokens](
                                const Stored& stored, DateTime now) -> std::expected<Mutation, Problem> {
                              auto object = stored.object.clone();
                              auto done = sub.apply(*object, {.body = body.get(), .now = now, .spend_token = spend});
                              if (!done) {
                                if (done.error().code == Code::invalid_argument)
                                  return refuse(update_error(400, done.error().message));
                                return refuse(plain_problem(http_status(done.error().code), done.error().message));
                              }
                              return Mutation{.object = std::move(object)};
                            });
}

bool ApiServer::forced(const Request& request) { return switched_on(request.query, "force"); }

std::optional<Problem> ApiServer::may_force(const Request& request) const {
  if (authorizer_.may_force(request.user, request.route)) return std::nullopt;
  return plain_problem(
      403, fmt::format("to delete by force one also needs the right to delete {}/force", request.route.kind->plural));
}

Awaitable<Answer> ApiServer::remove(Request& request) {
  const Kind& kind = *request.route.kind;
  const auto wanted = state_to_wait_for(kind, request.query);
  if (!wanted) co_return refuse(wanted.error());
  if (forced(request) && kind.force_delete) co_return co_await force_remove(request);
  if (forced(request)) {
    if (auto fresh = co_await cache_.fresh(&request.confirmed); !fresh) co_return refuse(fresh.error());
    if (auto gone = co_await remove_unreadable(request)) co_return std::move(*gone);
  }
  auto answer =
      co_await modify(request, [&kind](const Stored& stored, DateTime now) -> std::expected<Mutation, Problem> {
        if (stored.object.meta().deleted) return Mutation{.unchanged = true};
        auto object = stored.object.clone();
        if (kind.on_delete) kind.on_delete(*object);
        object->meta().deleted = now;
        // At the end, and once: the garbage collector acts on the last finalizer.
        std::erase(object->meta().finalizers, kCascadeDeletion);
        object->meta().finalizers.emplace_back(kCascadeDeletion);
        return Mutation{.object = std::move(object)};
      });
  if (!answer || wanted->empty()) co_return answer;
  if (const auto cached = load(request))
    co_return co_await wait_until_state(request, cached, *wanted, std::move(*answer));
  co_return answer;
}

// A stored value nobody can decode is no object, but it occupies a name: force takes it away (W7). Nothing when the key
// holds none.
Awaitable<std::optional<Answer>> ApiServer::remove_unreadable(Request& request) {
  const Kind& kind = *request.route.kind;
  if (!request.route.names_valid) co_return std::nullopt;
  const auto& unreadable = cache_.of(kind).unreadable;
  const auto it = unreadable.find(kind.storage_key(request.route.ns, request.route.name));
  if (it == unreadable.end()) co_return std::nullopt;
  if (auto refused = may_force(request)) co_return Answer(refuse(std::move(*refused)));
  const auto precondition = if_match(request);
  if (!precondition) co_return Answer(refuse(precondition.error()));
  if (!precondition->holds(it->second.revision)) {
    co_return Answer(refuse(
        Problem{.status = 412,
                .detail = fmt::format("what {} '{}' has in the store is at revision {}, If-Match names {}", kind.name,
                                      request.route.name, it->second.revision, precondition->text())}));
  }
  // A server with the key would have deleted it in order, with its finalizers: not by mistake.
  if (!it->second.sealed_with.empty() && precondition->any) co_return Answer(refuse(missing(request)));
  auto guard = leader_guard(request);
  if (!guard) co_return Answer(refuse(guard.error()));
  store::Txn txn;
  txn.guards.push_back(store::Guard::modified_at(it->first, it->second.revision));
  if (*guard) txn.guards.push_back(**guard);
  txn.removes.push_back({it->first});
  auto result = co_await commit(request, std::move(txn));
  if (!result) co_return Answer(refuse(result.error()));
  const auto* done = std::get_if<store::Committed>(&*result);
  if (!done && std::get<store::Conflict>(*result).guard > 0) co_return Answer(refuse(leadership_lost(request)));
  if (!done) {
    co_return Answer(
        refuse(Problem{.status = 409, .detail = "Concurrent writes to database", .title = Title::transaction_error}));
  }
  co_await shown(done->revision);
  co_return Answer(document_reply(request, json::Object{{"api", kind.group},
                                                        {"kind", kind.name},
                                                        {"metadata", json::Object{{"name", request.route.name}}}}));
}

Awaitable<Answer> ApiServer::force_remove(Request& request) {
  if (auto fresh = co_await cache_.fresh(&request.confirmed); !fresh) co_return refuse(fresh.error());
  if (auto gone = co_await remove_unreadable(request)) co_return std::move(*gone);
  if (auto refused = may_force(request)) co_return refuse(std::move(*refused));
  co_return co_await modify(request, [](const Stored& stored, DateTime now) -> std::expected<Mutation, Problem> {
    auto answer = stored.object.clone();
    answer->meta().deleted = now;
    return Mutation{.object = nullptr, .remove_key = true, .answer = std::move(answer)};
  });
}

// ?blocking=<state>: waits for this object (by uid) to reach the state, at most a minute; then the ordinary answer
// (W14).
Awaitable<ServerReply> ApiServer::wait_until_state(Request& request, CachedPtr object, std::string wanted,
                                                   ServerReply otherwise) {
  request.body_room.reset();
  auto& kind = cache_.of(*request.route.kind);
  const auto place = admission_.watches.take(request.priority);
  if (!place) co_return otherwise;
  const auto feed = kind.feed(object->ns);
  // What happens after he may not ask any more is not for him.
  const Mono limit = env_.clock.now() + options_.blocking_limit;
  const Mono deadline = request.until ? std::min(limit, mono_of(env_.clock, *request.until)) : limit;
  while (env_.clock.now() < deadline) {
    const auto now = kind.find(object->ns, object->name);
    if (!now || now->uid != object->uid) {
      // One that this server cannot open any more is there.
      if (wanted != "deleted" || kind.unreadable.contains(object->key)) break;
      // The last document, with the state no stored object ever has, where the kind knows it.
      auto document = stored_document(*object);
      auto deleted = document;
      json::merge_patch(deleted, json::Object{{"status", json::Object{{"state", "DELETED"}}}});
      FieldErrors unknown_state;
      if (kind.kind.decode(kind.kind, deleted, Form::stored, unknown_state)) document = std::move(deleted);
      co_return document_reply(request, std::move(document));
    }
    object = now;
    if (lower(now->state) == wanted) co_return object_reply(request, now);
    co_await uncounted(request, feed->changed.wait_until(env_.clock, deadline));
  }
  co_return otherwise;
}

}  // namespace krake::server
