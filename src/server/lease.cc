// Leases and fencing (design section 6). The lease object lives on a store lease: it vanishes with it, and renewing it
// commits nothing. Epoch = store id + create revision of the key.
#include "api/core/lease.h"

#include "base/check.h"
#include "server/api_server.h"

namespace krake::server {

namespace {
ServerReply lease_reply(const CachedObject& lease, const std::string& epoch) {
  ServerReply reply;
  reply.headers.add("Content-Type", "application/json; charset=utf-8");
  reply.headers.add("ETag", fmt::format("\"{}\"", lease.modified));
  reply.headers.add("Krake-Epoch", epoch);
  reply.body.push_back(lease.bytes);
  return reply;
}

// ?holder=NAME of a release; also accepted as the body of the DELETE by no one: proxies drop it.
std::string holder_of(const CachedObject& lease) {
  return std::string(stored_document(lease).string_at({"spec", "holder"}));
}

// 409: a problem that carries the present lease.
ServerReply held_reply(const CachedObject& lease, const std::string& holder, const std::string& epoch) {
  const auto text = json::Value(fmt::format("lease '{}' is held by '{}'; wait until it runs out", lease.name, holder));
  ServerReply reply;
  reply.status = 409;
  reply.headers.add("Content-Type", "application/problem+json; charset=utf-8");
  reply.headers.add("ETag", fmt::format("\"{}\"", lease.modified));
  reply.headers.add("Krake-Epoch", epoch);
  reply.body.push_back(
      share_bytes(fmt::format(R"({{"type":"about:blank","status":409,"detail":{},"lease":)", json::print(text))));
  reply.body.push_back(lease.bytes);
  reply.body.push_back(share_bytes("}"));
  return reply;
}

}  // namespace

std::string ApiServer::epoch_of(const CachedObject& lease) const {
  return fmt::format("{}-{}", cache_.id(), lease.created);
}

namespace {
// "NAME/STORE-REVISION".
struct Leader {
  std::string_view lease;
  std::string_view store;
  Revision created = 0;
};
std::optional<Leader> parse_leader(std::string_view header) {
  const auto slash = header.rfind('/');
  const auto dash = header.rfind('-');
  if (slash == std::string_view::npos || slash == 0) return std::nullopt;
  if (dash == std::string_view::npos || dash < slash + 2) return std::nullopt;
  Leader leader{.lease = header.substr(0, slash), .store = header.substr(slash + 1, dash - slash - 1)};
  const auto number = header.substr(dash + 1);
  const auto [end, ec] = std::from_chars(number.data(), number.data() + number.size(), leader.created);
  if (ec != std::errc() || end != number.data() + number.size()) return std::nullopt;
  return leader;
}
}  // namespace

Problem ApiServer::leadership_lost(const Request& request) const {
  return {.status = 412,
          .detail = fmt::format("leadership lost: '{}' is not the present lease and epoch",
                                request.http.headers.get("Krake-Leader").value_or(""))};
}

// Krake-Leader: NAME/EPOCH adds the guard "lease NAME was created at EPOCH" to the write. Who gets the header wrong
// leads nothing either.
std::expected<std::optional<store::Guard>, Problem> ApiServer::leader_guard(const Request& request) {
  const auto header = joined(request.http.headers, "Krake-Leader");  // two of them are no LEASE/EPOCH
  if (!header) return std::nullopt;
  const auto leader = parse_leader(*header);
  if (!leader) {
    return refuse(
        Problem{.status = 412,
                .detail = fmt::format("leadership lost: Krake-Leader '{}' is no LEASE/EPOCH; the epoch is what "
                                      "Krake-Epoch says when the lease is taken",
                                      *header)});
  }
  if (leader->store != cache_.id()) return refuse(leadership_lost(request));
  return store::Guard::created_at(registry_.get("core", "Lease").storage_key("", leader->lease), leader->created);
}

// As far as the cache knows. The commit looks again.
bool ApiServer::still_leads(const store::Guard& guard) {
  const auto& leases = cache_.of(registry_.get("core", "Lease")).objects;
  const auto it = leases.find(guard.key);
  return it != leases.end() && it->second->created == guard.revision;
}

std::string ApiServer::leased_document(const Request& request, const LeaseRequest& wanted, const CachedPtr& present) {
  ObjectOf<Lease> object(*request.route.kind);
  auto& meta = object.value.metadata;
  if (present) {
    auto document = stored_document(*present);
    document.if_object()->find("metadata")->make_object().erase("epoch");
    if (auto lease = decode_json<Lease>(document, Form::stored)) object.value = std::move(*lease);
    meta.modified = stamp(present.get());
  } else {
    meta.name = request.route.name;
    meta.uid = env_.random.uuid4();
    meta.created = meta.modified = stamp(nullptr);
  }
  object.value.spec.holder = wanted.holder;
  object.value.spec.ttl_seconds = wanted.ttl_seconds;
  std::string bytes;
  object.encode(bytes);
  return bytes;
}

// A free lease is taken, one's own renewed: its store lease is kept alive, which commits nothing, or replaced by one
// with another time. The key was created once, so the epoch stays.
Awaitable<Answer> ApiServer::acquire_lease(Request& request) {
  const Kind& kind = *request.route.kind;
  auto body = co_await read_body(request);
  if (!body) co_return refuse(body.error());
  auto wanted = decode_json<LeaseRequest>(*body, Form::full);
  if (!wanted) co_return refuse(Problem{.status = 422, .detail = wanted.error().message});
  if (!request.route.names_valid) {
    co_return refuse(
        Problem{.status = 422, .detail = "{'metadata': {'name': ['Invalid character in resource name.']}}"});
  }
  const auto key = kind.storage_key("", request.route.name);
  for (int attempt = 0; attempt < 3; ++attempt) {
    if (auto fresh = co_await cache_.fresh(&request.confirmed); !fresh) co_return refuse(fresh.error());
    if (auto allowed = still_allowed(request); !allowed)
      co_return refuse(plain_problem(http_status(allowed.error().code)));
    if (cache_.of(kind).unreadable.contains(key))
      co_return refuse(Problem{.status = 409, .detail = already_there(kind, "", request.route.name)});
    const auto present = cache_.of(kind).find("", request.route.name);
    if (present) {
      const auto stored = std::dynamic_pointer_cast<const ObjectOf<Lease>>(cache_.decoded(kind, present));
      if (!stored) co_return refuse(Problem{.status = 409, .detail = already_there(kind, "", request.route.name)});
      const auto& held = stored->value.spec;
      if (held.holder != wanted->holder) co_return held_reply(*present, held.holder, epoch_of(*present));
      if (!wanted->ttl_given) wanted->ttl_seconds = held.ttl_seconds;
      // One that another program put there may have no store lease behind it.
      if (present->lease != 0 && held.ttl_seconds == wanted->ttl_seconds) {
        auto renewed = co_await store_.keep_alive(present->lease);
        if (renewed) co_return lease_reply(*present, epoch_of(*present));
        if (renewed.error().code != Code::not_found) co_return refuse(renewed.error());
        // It has just run out. As long as its key is there nobody else had it.
      }
    }
    auto lease = co_await store_.grant(std::chrono::seconds(static_cast<std::int64_t>(wanted->ttl_seconds)));
    if (!lease) co_return refuse(lease.error());
    store::Txn txn;
    txn.guards.push_back(present ? store::Guard::modified_at(key, present->modified) : store::Guard::absent(key));
    txn.puts.push_back({key, std::make_shared<const std::string>(leased_document(request, *wanted, present)), *lease});
    auto result = co_await commit(request, std::move(txn));
    if (!result) co_return refuse(result.error());
    const auto* done = std::get_if<store::Committed>(&*result);
    // What holds no key now would run out by itself.
    const auto unused = !done ? *lease : present ? present->lease : store::LeaseId{0};
    if (unused != 0) (void)co_await store_.revoke(unused);
    request.confirmed = {};
    if (!done) continue;  // somebody was faster
    if (auto seen = co_await cache_.wait_for(done->revision); !seen) {
      co_return refuse(Error{Code::timeout, fmt::format("lease '{}' was taken, but this server cannot show it: {}; ask "
                                                        "again",
                                                        request.route.name, seen.error().message)});
    }
    // It may have run out already, and be another's by now.
    const auto mine = cache_.of(kind).find("", request.route.name);
    if (mine && mine->modified == done->revision) co_return lease_reply(*mine, epoch_of(*mine));
  }
  co_return refuse(
      Error{Code::unavailable, fmt::format("lease '{}' changes hands too fast; try again", request.route.name)});
}

Awaitable<Answer> ApiServer::release_lease(Request& request) {
  if (auto fresh = co_await cache_.fresh(&request.confirmed); !fresh) co_return refuse(fresh.error());
  if (forced(request)) {
    if (auto gone = co_await remove_unreadable(request)) co_return std::move(*gone);
  }
  const auto present = load(request);
  if (!present) co_return refuse(missing(request));
  const auto* holder = find_parameter(request.query, "holder");
  if (!holder || *holder != holder_of(*present)) {
    co_return refuse(
        Problem{.status = 409,
                .detail = fmt::format("lease '{}' is held by '{}'; name that holder with ?holder= to release it",
                                      request.route.name, holder_of(*present))});
  }
  store::Txn txn;
  txn.guards.push_back(store::Guard::modified_at(present->key, present->modified));
  txn.removes.push_back({present->key});
  auto result = co_await commit(request, std::move(txn));
  if (!result) co_return refuse(result.error());
  if (const auto* done = std::get_if<store::Committed>(&*result)) {
    co_await shown(done->revision);
    (void)co_await store_.revoke(present->lease);
  } else if (std::get<store::Conflict>(*result).current) {
    co_return refuse(
        Problem{.status = 409, .detail = "Concurrent writes to database", .title = Title::transaction_error});
  }
  co_return lease_reply(*present, epoch_of(*present));
}

}  // namespace krake::server
