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

// Krake-Leader: NAME/EPOCH adds the guard "lease NAME was created at EPOCH" to the write.
std::expected<std::optional<store::Guard>, Problem> ApiServer::leader_guard(const Request& request) {
  const auto header = request.http.headers.get("Krake-Leader");
  if (!header) return std::nullopt;
  const Problem lost{.status = 412,
                     .detail = fmt::format("leadership lost: '{}' is not the present lease and epoch", *header)};
  const auto slash = header->rfind('/');
  const auto dash = header->rfind('-');
  if (slash == std::string_view::npos || dash == std::string_view::npos || dash < slash) return refuse(lost);
  if (header->substr(slash + 1, dash - slash - 1) != cache_.id()) return refuse(lost);
  Revision created = 0;
  const auto number = header->substr(dash + 1);
  const auto [end, ec] = std::from_chars(number.data(), number.data() + number.size(), created);
  if (ec != std::errc() || end != number.data() + number.size()) return refuse(lost);
  const auto& kind = registry_.get("core", "Lease");
  return store::Guard::created_at(kind.storage_key("", header->substr(0, slash)), created);
}

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
    if (auto fresh = co_await cache_.fresh(); !fresh) co_return refuse(fresh.error());
    const auto present = cache_.of(kind).find("", request.route.name);
    if (present) {
      const auto holder = holder_of(*present);
      if (holder != wanted->holder) co_return held_reply(*present, holder, epoch_of(*present));
      auto renewed = co_await store_.keep_alive(present->lease);
      if (renewed) co_return lease_reply(*present, epoch_of(*present));
      if (renewed.error().code != Code::not_found) co_return refuse(renewed.error());
      // It has just run out; its removal is on the way.
      if (auto fresh = co_await cache_.fresh(); !fresh) co_return refuse(fresh.error());
      continue;
    }
    auto lease = co_await store_.grant(std::chrono::seconds(static_cast<std::int64_t>(wanted->ttl_seconds)));
    if (!lease) co_return refuse(lease.error());
    ObjectOf<Lease> object(kind);
    object.value.metadata.name = request.route.name;
    object.value.metadata.uid = env_.random.uuid4();
    object.value.metadata.created = object.value.metadata.modified = stamp(nullptr);
    object.value.spec = {.holder = wanted->holder, .ttl_seconds = wanted->ttl_seconds};
    std::string bytes;
    object.encode(bytes);
    store::Txn txn;
    txn.guards.push_back(store::Guard::absent(key));
    txn.puts.push_back({key, std::make_shared<const std::string>(std::move(bytes)), *lease});
    auto result = co_await store_.commit(std::move(txn));
    if (!result) co_return refuse(result.error());
    if (const auto* done = std::get_if<store::Committed>(&*result)) {
      if (auto seen = co_await cache_.wait_for(done->revision); !seen) co_return refuse(seen.error());
      // It may have run out already, and be another's by now.
      const auto mine = cache_.of(kind).find("", request.route.name);
      if (mine && mine->created == done->revision) co_return lease_reply(*mine, epoch_of(*mine));
    } else {
      (void)co_await store_.revoke(*lease);  // somebody was faster; it would run out by itself
    }
  }
  co_return refuse(
      Error{Code::unavailable, fmt::format("lease '{}' changes hands too fast; try again", request.route.name)});
}

Awaitable<Answer> ApiServer::release_lease(Request& request) {
  if (auto fresh = co_await cache_.fresh(); !fresh) co_return refuse(fresh.error());
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
  auto result = co_await store_.commit(std::move(txn));
  if (!result) co_return refuse(result.error());
  if (const auto* done = std::get_if<store::Committed>(&*result)) {
    co_await shown(done->revision);
    (void)co_await store_.revoke(present->lease);
  }
  co_return lease_reply(*present, epoch_of(*present));
}

}  // namespace krake::server
