// Keeps a leader that is none any more from changing a cluster (design section 6): a Lease object of
// coordination.k8s.io on the cluster carries the epoch of the last leader that was there, as the annotation
// krake/epoch. It lives in the namespace of the kubeconfig, where Krake needs the right to get, create and update
// leases. Ownership: the client outlives it. Thread: the loop.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "providers/kubernetes/client.h"

namespace krake::kube {

enum class FenceVerdict : std::uint8_t {
  pass,
  raise,   // a leader's own epoch has to be put there first
  outrun,  // a later term has been there: hands off
};
// `found`: the epoch on the cluster, nullopt where there is none. Who leads replaces one of another store, since then
// the store was restored or replaced; who only repairs cannot know that.
FenceVerdict judge(std::optional<std::string_view> found, std::string_view own, bool leads);

enum class Passage : std::uint8_t {
  open,
  outrun,
  unfenced,  // the cluster does not let us have that object: nobody can be told apart here
};

class Fence {
 public:
  // `name`: of the Lease; one for each kind of leader.
  Fence(KubeClient& client, std::string name);
  Fence(KubeClient& client, std::string ns, std::string name);

  // For a leader, before it changes something: its epoch is on the cluster when the answer is `open`. `verify`: asks
  // even if it was so earlier in this term. `holder` is for those who look at the object. Errors: the cluster's.
  Awaitable<Result<Passage>> raise(std::string epoch, std::string holder, bool verify, Mono now);
  // For one that only repairs, before each repair. `open` only where it can put its own epoch there, or has: where
  // leases can be read and not written, no later leader could tell it to stop. It never replaces another store's epoch.
  Awaitable<Result<Passage>> check(std::string epoch, std::string holder);
  // After `outrun`: by what, for people.
  std::string outrun_by() const;

 private:
  Awaitable<Result<std::optional<json::Value>>> read();
  Awaitable<Result<Passage>> put(std::string epoch, std::string holder, bool leads);
  static std::optional<std::string_view> epoch_on(const std::optional<json::Value>& object);

  KubeClient& client_;
  std::string ns_;
  std::string name_;
  std::string raised_;    // the epoch that was put there or found there last, for raise()
  std::string unfenced_;  // the epoch in which the cluster refused the object
  Mono ask_again_{};      // whether it still does
  std::string found_;     // the epoch that has outrun us last
};

}  // namespace krake::kube
