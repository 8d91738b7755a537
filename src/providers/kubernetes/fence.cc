#include "providers/kubernetes/fence.h"

#include "base/epoch.h"

namespace krake::kube {

namespace {

constexpr std::string_view kEpoch = "krake/epoch";
constexpr int kTries = 5;  // against others that write the object at the same time
constexpr Duration kAskAgain = std::chrono::minutes(5);

// The cluster has answered, and the answer will be the same next time.
bool is_refusal(const Error& error) {
  return error.code == Code::forbidden || error.code == Code::not_found || error.code == Code::method_not_allowed ||
         error.code == Code::invalid_argument || error.code == Code::invalid_object;
}

bool is_race(const Error& error) { return error.code == Code::conflict || error.code == Code::already_exists; }

}  // namespace

FenceVerdict judge(std::optional<std::string_view> found, std::string_view own, bool leads) {
  if (!found) return leads ? FenceVerdict::raise : FenceVerdict::pass;
  if (*found == own) return FenceVerdict::pass;
  const auto there = parse_epoch(*found);
  const auto mine = parse_epoch(own);
  // What nobody can read was not put there by a leader.
  if (!there || !mine || there->store != mine->store) return leads ? FenceVerdict::raise : FenceVerdict::outrun;
  if (there->revision > mine->revision) return FenceVerdict::outrun;
  return leads ? FenceVerdict::raise : FenceVerdict::pass;
}

Fence::Fence(KubeClient& client, std::string name)
    : Fence(client, client.access().default_namespace, std::move(name)) {}

Fence::Fence(KubeClient& client, std::string ns, std::string name)
    : client_(client), ns_(std::move(ns)), name_(std::move(name)) {}

std::optional<std::string_view> Fence::epoch_on(const std::optional<json::Value>& object) {
  if (!object || !object->at_path({"metadata", "annotations", kEpoch})) return std::nullopt;
  return object->string_at({"metadata", "annotations", kEpoch});
}

// What is there now; nullopt: no such object. A read without resourceVersion is answered by a quorum.
Awaitable<Result<std::optional<json::Value>>> Fence::read() {
  // A server that does not know the kind says so here, and not by a 404 that could mean anything.
  auto type = co_await client_.resolve("coordination.k8s.io/v1", "Lease");
  if (!type) co_return fail(std::move(type).error());
  auto object = co_await client_.get({*type, ns_, name_});
  if (object) co_return std::move(*object);
  if (object.error().code == Code::not_found) co_return std::nullopt;
  co_return fail(std::move(object).error());
}

Awaitable<Result<Passage>> Fence::check(std::string epoch, std::string holder) {
  if (unfenced_ == epoch) co_return Passage::unfenced;
  auto passage = co_await put(epoch, std::move(holder), false);
  if (!passage && is_refusal(passage.error())) {
    unfenced_ = epoch;
    co_return Passage::unfenced;
  }
  co_return passage;
}

Awaitable<Result<Passage>> Fence::raise(std::string epoch, std::string holder, bool verify, Mono now) {
  if (!verify && raised_ == epoch) co_return Passage::open;
  if (unfenced_ == epoch && now < ask_again_) co_return Passage::unfenced;
  auto passage = co_await put(epoch, std::move(holder), true);
  if (!passage && is_refusal(passage.error())) {
    unfenced_ = epoch;
    ask_again_ = now + kAskAgain;
    co_return Passage::unfenced;
  }
  if (passage && *passage == Passage::open) raised_ = epoch;
  co_return passage;
}

std::string Fence::outrun_by() const { return fmt::format("Lease {}/{} carries epoch {}", ns_, name_, found_); }

// Compare and swap.
Awaitable<Result<Passage>> Fence::put(std::string epoch, std::string holder, bool leads) {
  Error race;
  for (int i = 0; i < kTries; ++i) {
    auto object = co_await read();
    if (!object) co_return fail(std::move(object).error());
    const auto found = epoch_on(*object);
    if (found == epoch) co_return Passage::open;
    if (judge(found, epoch, leads) == FenceVerdict::outrun) {
      found_ = *found;
      co_return Passage::outrun;
    }
    auto type = co_await client_.resolve("coordination.k8s.io/v1", "Lease");
    if (!type) co_return fail(std::move(type).error());
    const bool fresh = !*object;
    json::Value body = fresh ? json::Value(json::Object{{"apiVersion", "coordination.k8s.io/v1"}, {"kind", "Lease"}})
                             : std::move(**object);
    json::Object& metadata = body.make_object()["metadata"].make_object();
    metadata.set("name", name_);
    metadata["annotations"].make_object().set(kEpoch, epoch);
    body.make_object()["spec"].make_object().set("holderIdentity", holder);
    auto written = fresh ? co_await client_.create(*type, ns_, std::move(body))
                         : co_await client_.replace({*type, ns_, name_}, std::move(body));
    if (written) co_return Passage::open;
    // A replaced object that has gone meanwhile is made anew.
    const bool gone = !fresh && written.error().code == Code::not_found;
    if (!gone && !is_race(written.error())) co_return fail(std::move(written).error());
    race = std::move(written).error();
  }
  co_return fail(Code::conflict, fmt::format("the epoch could not be put on the cluster; others write Lease {}/{} all "
                                             "the time: {}",
                                             ns_, name_, race.message));
}

}  // namespace krake::kube
