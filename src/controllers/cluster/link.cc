#include "controllers/cluster/link.h"

#include "base/backoff.h"

namespace krake::cluster {

namespace {

const kube::ResourceType kNodes{.group = "", .version = "v1", .kind = "Node", .plural = "nodes", .namespaced = false};

// Asking again would not help.
bool is_refusal(const Error& error) {
  return error.code == Code::forbidden || error.code == Code::not_found || error.code == Code::method_not_allowed;
}

// Whichever ends first; the other is cancelled and waited for.
Awaitable<Status> first_of(Awaitable<Status> a, Awaitable<Status> b) {
  using namespace boost::asio::experimental::awaitable_operators;
  std::optional<std::variant<Status, Status>> outcome;
  try {
    outcome = co_await (std::move(a) || std::move(b));
  } catch (const boost::asio::multiple_exceptions& both) {
    std::rethrow_exception(both.first_exception());
  }
  co_return outcome->index() == 0 ? std::get<0>(*outcome) : std::get<1>(*outcome);
}

}  // namespace

Link::Link(Env& env, Dialer& dialer, const json::Object& kubeconfig, LinkOptions options,
           std::function<void()> on_change)
    : env_(env),
      dialer_(dialer),
      kubeconfig_(kubeconfig),
      options_(options),
      on_change_(std::move(on_change)),
      random_(env.random.fork("cluster link")),
      tasks_(env.executor) {}

void Link::start() {
  auto access = kube::parse_kubeconfig(json::Value(kubeconfig_));
  if (!access) return report({.problem = Reason{ReasonCode::INVALID_RESOURCE, access.error().message}});
  client_ = std::make_unique<kube::KubeClient>(
      env_, dialer_, std::move(*access),
      kube::ClientOptions{.timeout = options_.probe_timeout, .probe_timeout = options_.probe_timeout});
  tasks_.spawn("link to " + client_->server(), run());
}

Awaitable<void> Link::run() {
  const Backoff backoff{.base = std::chrono::seconds(1), .cap = options_.probe_interval};
  int failures = 0;
  bool doubted = false;
  for (;;) {
    const Mono begin = env_.clock.now();
    auto status = co_await round();
    if (status) {
      failures = 0;
      doubted = false;
      // A watch that ends as soon as it begins must not make a busy loop.
      co_await sleep_until(env_.clock, begin + std::chrono::milliseconds(500));
      continue;
    }
    // Whoever was well a moment ago is asked once more: one lost connection is not the end of a cluster.
    if (contact_ && !contact_->problem && !std::exchange(doubted, true)) {
      co_await sleep_for(env_.clock, options_.second_look);
      continue;
    }
    failed(status.error());
    co_await sleep_for(env_.clock, backoff.delay(failures++, random_));
  }
}

// One list and what follows it. An error: the cluster does not answer.
Awaitable<Status> Link::round() {
  auto list = co_await client_->list(kNodes);
  if (!list && list.error().code == Code::forbidden) {
    nodes_.clear();
    CO_RETURN_IF_ERROR(co_await discover());
    answered();
    co_await sleep_for(env_.clock, contact_->answers < 2 ? std::chrono::seconds(1) : options_.probe_interval);
    co_return Status{};
  }
  if (!list) co_return fail(std::move(list).error());
  nodes_.clear();
  for (const auto& item : list->items) {
    auto node = node_of(item);
    nodes_[node.metadata.name] = std::move(node);
  }
  answered();
  co_return co_await watch(std::move(list->resource_version));
}

Awaitable<Status> Link::watch(std::string resource_version) {
  auto opened = co_await client_->watch(kNodes, {.resource_version = std::move(resource_version)});
  if (!opened && !is_refusal(opened.error())) {
    // It listed a moment ago; the list that comes next says whether it is still there.
    const Backoff backoff{.base = std::chrono::seconds(1), .cap = options_.probe_interval};
    co_await sleep_for(env_.clock, backoff.delay(watch_failures_++, random_));
    co_return Status{};
  }
  watch_failures_ = 0;
  if (!opened) {
    // Listing works, so the cluster is there; what may not be watched is listed now and then.
    env_.log.info("nodes cannot be watched; they are polled",
                  {{"server", client_->server()}, {"why", opened.error().message}});
    co_await sleep_for(env_.clock, contact_->answers < 2 ? std::chrono::seconds(1) : options_.probe_interval);
    co_return Status{};
  }
  answered();
  co_return co_await first_of(follow(std::move(*opened)), probe_while_quiet());
}

// The end of a watch says nothing about the cluster: the list that comes next does. A server ends its watches within
// five minutes (timeoutSeconds); one of which not even that is heard is dead, though the cluster answers otherwise.
constexpr Duration kWatchSilence = std::chrono::minutes(5);

Awaitable<Status> Link::follow(std::unique_ptr<kube::ObjectWatch> watch) {
  for (;;) {
    auto event = co_await watch->next(kWatchSilence);
    if (!event || !*event) co_return Status{};
    heard_ = env_.clock.now();
    auto& object = (*event)->object;
    using Type = kube::WatchEvent::Type;
    if ((*event)->type == Type::bookmark) continue;
    auto node = node_of(object);
    if ((*event)->type == Type::deleted) {
      nodes_.erase(node.metadata.name);
    } else {
      nodes_[node.metadata.name] = std::move(node);
    }
    report({.problem = {}, .answers = contact_->answers, .nodes = nodes()});
  }
}

Awaitable<Status> Link::probe_while_quiet() {
  for (;;) {
    co_await sleep_until(env_.clock, heard_ + options_.probe_interval);
    if (env_.clock.now() < heard_ + options_.probe_interval) continue;
    CO_RETURN_IF_ERROR(co_await client_->ready());
    heard_ = env_.clock.now();
  }
}

// Asks for something everybody who is let in may read.
Awaitable<Status> Link::discover() {
  client_->forget_discovery();
  auto type = co_await client_->resolve("v1", "Pod");
  if (!type) co_return fail(std::move(type).error());
  co_return Status{};
}

void Link::answered() {
  heard_ = env_.clock.now();
  const int before = contact_ ? contact_->answers : 0;
  // Two are as good as many: what nobody tells apart is no change.
  report({.problem = {}, .answers = std::min(before + 1, 2), .nodes = nodes()});
}

void Link::failed(const Error& error) { report({.problem = Reason{ReasonCode::CLUSTER_NOT_REACHABLE, error.message}}); }

void Link::report(Contact contact) {
  if (contact_ == contact) return;
  contact_ = std::move(contact);
  on_change_();
}

std::vector<ClusterNode> Link::nodes() const {
  std::vector<ClusterNode> all;
  all.reserve(nodes_.size());
  for (const auto& [name, node] : nodes_) all.push_back(node);
  return all;
}

}  // namespace krake::cluster
