#include "controllers/application/clusters.h"

#include <algorithm>
#include <array>

#include "providers/kubernetes/kubeconfig.h"

namespace krake::application {
namespace {

std::uint64_t fingerprint(const Cluster& cluster) {
  return stable_hash(cluster.metadata.uid + json::print(cluster.spec.kubeconfig));
}

Reason unreachable(const ResourceRef& cluster, const Error& error) {
  return {ReasonCode::KUBERNETES_ERROR, fmt::format("{}: {}", to_string(cluster), error.message)};
}

// Of one object. KUBERNETES_ERROR: it cannot be seen just now, so nothing follows from its absence.
Reason problem_of(const ResourceRef& cluster, const Error& error) {
  auto code = ReasonCode::KUBERNETES_ERROR;
  if (error.code == Code::not_found) code = ReasonCode::UNSUPPORTED_RESOURCE;
  if (error.code == Code::invalid_argument || error.code == Code::invalid_object) code = ReasonCode::INVALID_RESOURCE;
  return {code, fmt::format("{}: {}", to_string(cluster), error.message)};
}

bool can_be_reached(ClusterState state) {
  return state == ClusterState::ONLINE || state == ClusterState::UNHEALTHY || state == ClusterState::NOTREADY ||
         state == ClusterState::FAILING_METRICS;
}

}  // namespace

Connection::Connection(Env& env, Dialer& dialer, kube::ClusterAccess access, kube::LabelledObjects::OnChange on_change,
                       const ClusterOptions& options)
    : client(env, dialer, std::move(access), {.timeout = options.request_timeout}),
      objects(env, client, std::move(on_change)),
      fence(client, options.fence),
      options_(options),
      random_(env.random.fork("connection " + client.server())) {}

std::shared_ptr<void> Connection::probe() {
  if (failures_ == 0) return nullptr;
  probing_ = true;
  return {nullptr, [this](void*) { probing_ = false; }};
}

std::shared_ptr<void> Connection::use(std::shared_ptr<Connection> connection) {
  ++connection->used_;
  return {nullptr, [connection](void*) { --connection->used_; }};
}

bool Connection::crowded(Mono now) const {
  return used_ >= options_.max_waiting && client.silence(now) > std::chrono::seconds(1);
}

void Connection::failed(const Error& error, Mono now) {
  if (now < retry_at_) return;
  last_error_ = error;
  retry_at_ = now + options_.breaker.delay(failures_++, random_);
}

bool Connection::failed_silently(const Error& error, std::uint64_t answers, Mono now) {
  const bool silent = error.code == Code::unavailable || error.code == Code::timeout;
  if (!silent || client.answers() != answers) return false;
  failed(error, now);
  return true;
}

void Connection::forget_discovery(Mono now) {
  if (now < may_forget_) return;
  may_forget_ = now + std::chrono::seconds(30);
  client.forget_discovery();
}

void Connection::want(const ObjectKey& user, std::set<kube::ResourceType> types) {
  auto& mine = users_[user];
  // Kinds that are wanted no more are let go with the application, so that their last objects are still seen to go.
  types.insert(mine.begin(), mine.end());
  if (types == mine) return;
  mine = std::move(types);
  for (const auto& type : mine) objects.add_type(type);
}

bool Connection::leave(const ObjectKey& user) {
  if (users_.erase(user) == 0) return users_.empty();
  std::set<kube::ResourceType> all;
  for (const auto& [key, types] : users_) all.insert(types.begin(), types.end());
  objects.set_types(std::move(all));
  return users_.empty();
}

Clusters::Clusters(Env& env, Dialer& dialer, const Informer<Cluster>& informer, OnChange on_change,
                   ClusterOptions options)
    : env_(env),
      dialer_(dialer),
      informer_(informer),
      on_change_(std::move(on_change)),
      options_(options),
      closing_(env.executor) {}

Clusters::Entry& Clusters::open(const ObjectKey& key, const Cluster& cluster) {
  Entry& entry = entries_[key];
  const auto now = fingerprint(cluster);
  entry.deleted = cluster.metadata.deleted.has_value();
  if (entry.kubeconfig == now) return entry;
  close(entry);
  entry.kubeconfig = now;
  entry.error.reset();
  entry.error_since.reset();
  auto access = kube::parse_kubeconfig(cluster.spec.kubeconfig);
  if (!access) {
    entry.error = std::move(access).error();
    return entry;
  }
  const auto changed = [this, key](const kube::ObjectRef&, const std::string& uid) {
    // It speaks, so it is there.
    if (const auto it = entries_.find(key); it != entries_.end() && it->second.connection)
      it->second.connection->succeeded();
    if (!uid.empty()) on_change_(uid);
  };
  entry.connection = std::make_shared<Connection>(env_, dialer_, std::move(*access), changed, options_);
  entry.connection->objects.start();
  return entry;
}

namespace {
Awaitable<void> shut(std::shared_ptr<Connection> connection) { co_await connection->objects.stop(); }
}  // namespace

void Clusters::close(Entry& entry) {
  if (!entry.connection) return;
  closing_.spawn("close a cluster", shut(std::move(entry.connection)));
  entry.connection.reset();
}

std::shared_ptr<Connection> Clusters::find(const ResourceRef& cluster) const {
  const auto it = entries_.find(key_of(cluster));
  return it == entries_.end() ? nullptr : it->second.connection;
}

std::string Clusters::default_namespace(const ResourceRef& cluster) const {
  if (const auto connection = find(cluster)) return connection->client.access().default_namespace;
  if (const auto known = informer_.find(key_of(cluster))) {
    if (auto access = kube::parse_kubeconfig(known->object.spec.kubeconfig)) return access->default_namespace;
  }
  return "default";
}

void Clusters::keep_only(const ObjectKey& user, const std::vector<ResourceRef>& clusters) {
  for (auto it = entries_.begin(); it != entries_.end();) {
    Entry& entry = it->second;
    const bool used = std::ranges::any_of(clusters, [&](const ResourceRef& ref) { return key_of(ref) == it->first; });
    if (!used && entry.users.erase(user) > 0 && entry.connection) entry.connection->leave(user);
    if (entry.users.empty() && !used) {
      close(entry);
      it = entries_.erase(it);
    } else {
      ++it;
    }
  }
}

std::set<ObjectKey> Clusters::changed(const ObjectKey& cluster) {
  const auto it = entries_.find(cluster);
  if (it == entries_.end()) return {};
  Entry& entry = it->second;
  const auto known = informer_.find(cluster);
  if (!known) {
    close(entry);
    entry.kubeconfig = 0;
    return entry.users;
  }
  if (entry.kubeconfig == fingerprint(known->object) && entry.deleted == known->object.metadata.deleted.has_value())
    return {};
  open(cluster, known->object);
  return entry.users;
}

Awaitable<Place> Clusters::observe(ResourceRef cluster, Wanted wanted) {
  Place place;
  place.cluster = cluster;
  const ObjectKey key = key_of(cluster);
  const auto known = informer_.find(key);
  if (!known) {
    place.exists = false;
    entries_[key].users.insert(wanted.user);  // to hear when it comes
    co_return place;
  }
  place.deleted = known->object.metadata.deleted.has_value();
  Entry& entry = open(key, known->object);
  entry.users.insert(wanted.user);
  place.online = can_be_reached(known->object.status.state);
  if (entry.connection) {
    co_await fill(place, entry.connection, wanted);
  } else {
    place.error = unreachable(cluster, entry.error.value_or(Error{Code::invalid_argument, "no kubeconfig"}));
  }
  note_outcome(key, place);
  co_return place;
}

void Clusters::note_outcome(const ObjectKey& key, Place& place) {
  const auto it = entries_.find(key);
  if (it == entries_.end()) return;
  auto& since = it->second.error_since;
  if (!place.error) {
    since.reset();
  } else if (!since) {
    since = env_.clock.now();
  }
  place.error_since = since;
}

namespace {

// Whether the error is about the whole cluster: nobody there, or we are not let in.
bool is_of_cluster(Connection& connection, const Clock& clock, const Error& error, std::uint64_t answers) {
  return connection.failed_silently(error, answers, clock.now()) || error.code == Code::unauthenticated;
}

using Version = kube::KubeClient::Version;

// An Item for each object, as far as the cluster knows its kind. Error: the cluster cannot be asked.
Awaitable<Result<std::vector<Item>>> locate_all(std::shared_ptr<Connection> connection, const Clock* clock,
                                                ResourceRef cluster, const json::Array* objects, Version version) {
  std::vector<Item> items;
  for (const auto& object : *objects) {
    const auto answers = connection->client.answers();
    auto ref = co_await connection->client.locate(object, version);
    Item item;
    if (ref) {
      item.ref = std::move(*ref);
    } else if (is_of_cluster(*connection, *clock, ref.error(), answers)) {
      co_return fail(ref.error());
    } else {
      item.problem = problem_of(cluster, ref.error());
    }
    items.push_back(std::move(item));
  }
  co_return items;
}

std::array<std::vector<Item>*, 4> lists_of(Place& place) {
  return {&place.desired, &place.applied, &place.recorded, &place.left};
}

constexpr std::size_t kAskedAtOnce = 8;

// What is asked for by name, each once.
struct Asked {
  std::vector<kube::ObjectRef> refs;
  std::map<kube::ObjectRef, Result<kube::LiveObject>> answers;  // null: not there
  std::optional<Error> of_cluster;                              // then the rest is not asked
};

Awaitable<void> ask_on(std::shared_ptr<Connection> connection, const Clock* clock, std::shared_ptr<Asked> asked) {
  while (!asked->refs.empty() && !asked->of_cluster) {
    const kube::ObjectRef ref = asked->refs.back();
    asked->refs.pop_back();
    const auto answers = connection->client.answers();
    auto live = co_await connection->client.get(ref);
    Result<kube::LiveObject> answer;
    if (live) {
      answer = std::make_shared<const json::Value>(std::move(*live));
    } else if (live.error().code != Code::not_found) {
      if (is_of_cluster(*connection, *clock, live.error(), answers)) asked->of_cluster = live.error();
      answer = fail(std::move(live).error());
    }
    asked->answers.insert_or_assign(ref, std::move(answer));
  }
}

// `at_once` of them at a time.
Awaitable<void> ask(std::shared_ptr<Connection> connection, const Clock* clock, std::shared_ptr<Asked> asked,
                    std::size_t at_once) {
  using namespace boost::asio::experimental::awaitable_operators;
  if (at_once <= 1) co_return co_await ask_on(connection, clock, asked);
  try {
    co_await (ask_on(connection, clock, asked) && ask(connection, clock, asked, at_once - 1));
  } catch (const boost::asio::multiple_exceptions& both) {
    std::rethrow_exception(both.first_exception());
  }
}

// What lives there under these names: from the watch, or by asking. That a watch does not show an object is no proof:
// it may be late or dead, and unlabelled ones it never shows.
Awaitable<Status> look_up(std::shared_ptr<Connection> connection, const Clock* clock, Place* place) {
  std::set<kube::ObjectRef> unknown;
  for (auto* items : lists_of(*place)) {
    for (Item& item : *items) {
      if (item.problem) continue;
      // Where listing is forbidden only asking tells; what an earlier answer left in the cache may be long gone.
      item.live = connection->objects.sees(item.ref) ? connection->objects.find(item.ref) : nullptr;
      if (!item.live) unknown.insert(item.ref);
    }
  }
  if (unknown.empty()) co_return Status();
  const auto asked = std::make_shared<Asked>();
  asked->refs.assign(unknown.rbegin(), unknown.rend());
  co_await ask(connection, clock, asked, std::min(kAskedAtOnce, unknown.size()));
  if (asked->of_cluster) co_return fail(*asked->of_cluster);
  for (auto* items : lists_of(*place)) {
    for (Item& item : *items) {
      if (item.problem || item.live) continue;
      const auto& answer = asked->answers.at(item.ref);
      if (answer) {
        item.live = *answer;
        continue;
      }
      // Perhaps the kind is no longer served, which is found when it is looked for again.
      if (answer.error().code == Code::unavailable) connection->forget_discovery(clock->now());
      item.problem = problem_of(place->cluster, answer.error());
    }
  }
  co_return Status();
}

Awaitable<Status> look(ClusterOptions options, std::shared_ptr<Connection> connection, const Clock* clock, Place* place,
                       Clusters::Wanted wanted) {
  auto& objects = connection->objects;
  if (!connection->identity_known) {
    const auto answers = connection->client.answers();
    auto identity = co_await connection->client.kube_system_uid();
    if (!identity) connection->failed_silently(identity.error(), answers, clock->now());
    const bool hidden =
        !identity && (identity.error().code == Code::forbidden || identity.error().code == Code::not_found);
    if (!identity && !hidden) co_return fail(identity.error());
    if (identity) connection->identity = *identity;
    connection->identity_known = true;
  }
  place->identity = connection->identity;
  const auto locate = [&](const json::Array* objects, Version version) {
    return locate_all(connection, clock, place->cluster, objects, version);
  };
  ASSIGN_OR_CO_RETURN(place->desired, co_await locate(wanted.desired, Version::own));
  // What has been there is not gone because its version is no longer served.
  ASSIGN_OR_CO_RETURN(place->applied, co_await locate(wanted.applied, Version::any));
  ASSIGN_OR_CO_RETURN(place->recorded, co_await locate(wanted.recorded, Version::any));
  ASSIGN_OR_CO_RETURN(place->left, co_await locate(wanted.left, Version::any));
  std::set<kube::ResourceType> types;
  for (const auto* items : lists_of(*place)) {
    for (const Item& item : *items) {
      if (item.problem) continue;
      types.insert(item.ref.type);
      objects.add_namespace(item.ref.ns);
    }
  }
  connection->want(wanted.user, types);
  // What has failed already is not worth a long wait: it holds a worker.
  const bool failing = std::ranges::any_of(
      types, [&](const auto& type) { return !objects.synced(type) && objects.problem(type).has_value(); });
  co_await objects.wait_synced(
      types, failing ? std::min<Duration>(options.first_list, std::chrono::seconds(1)) : options.first_list);
  bool doubtful = false;
  std::map<kube::ResourceType, Error> unseen;
  for (const auto& type : types) {
    const auto problem = objects.problem(type);
    if (!objects.synced(type)) {
      unseen.emplace(
          type, problem.value_or(Error{Code::timeout, fmt::format("{} has not been listed within {} s", type.name(),
                                                                  options.first_list / std::chrono::seconds(1))}));
    }
    doubtful = doubtful || !objects.synced(type) || (problem && is_transient(problem->code));
  }
  // A broken watch leaves old copies; see whether anybody is there at all.
  if (doubtful) {
    if (auto ready = co_await connection->client.ready(); !ready) {
      connection->failed(ready.error(), clock->now());
      co_return fail(ready.error());
    }
  }
  for (auto* items : lists_of(*place)) {
    for (Item& item : *items) {
      if (item.problem) continue;
      if (const auto it = unseen.find(item.ref.type); it != unseen.end())
        item.problem = problem_of(place->cluster, Error{Code::unavailable, it->second.message});
    }
  }
  CO_RETURN_IF_ERROR(co_await look_up(connection, clock, place));
  for (auto& [ref, live] : objects.by_application(wanted.uid)) {
    if (objects.sees(ref)) place->ours.emplace_back(ref, live);
  }
  for (auto* items : lists_of(*place)) {
    for (const Item& item : *items) place->blind = place->blind || (!item.problem && !objects.sees(item.ref));
  }
  co_return Status();
}

}  // namespace

Awaitable<void> Clusters::fill(Place& place, std::shared_ptr<Connection> connection, Wanted wanted) {
  place.host = connection->client.access().host;
  place.identity = connection->identity;
  if (const Error* error = connection->broken(env_.clock.now())) {
    place.error = unreachable(place.cluster, *error);
    co_return;
  }
  const auto probe = connection->probe();
  const Status seen = co_await look(options_, connection, &env_.clock, &place, wanted);
  if (seen) {
    connection->succeeded();
    co_return;
  }
  place.error = unreachable(place.cluster, seen.error());
  place.desired.clear();
  place.applied.clear();
  place.recorded.clear();
  place.left.clear();
  place.blind = false;
  place.ours.clear();
}

Awaitable<void> Clusters::stop() {
  for (auto& [key, entry] : entries_) close(entry);
  entries_.clear();
  return closing_.join();
}

json::Value Clusters::debug() const {
  json::Object clusters;
  for (const auto& [key, entry] : entries_) {
    json::Object one{{"applications", static_cast<std::int64_t>(entry.users.size())}};
    if (entry.connection) one.set("objects", static_cast<std::int64_t>(entry.connection->objects.size()));
    if (entry.error) one.set("error", entry.error->message);
    clusters.set(to_string(key), std::move(one));
  }
  return clusters;
}

}  // namespace krake::application
