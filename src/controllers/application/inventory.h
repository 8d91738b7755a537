// What there is of an application at one place, as far as the look at it tells. Pure.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "controllers/application/plan.h"

namespace krake::application {

using Objects = std::vector<std::pair<kube::ObjectRef, kube::LiveObject>>;

// Whose objects count.
Identity identity_of(const Observed& observed);

// Ours at that place, each once, in the order in which they are to go. Ours by label. Without one only what upstream
// has made and what was seen there as the application's while it runs there, or when it left if the object is that old:
// a name in a manifest is a wish, it says nothing about who put the object there.
Objects inventory(const Observed& observed, const Place& at);
// Of these what fell out of the manifest. An object that is wanted is never among it, under whatever name or version.
Objects dropped(const Observed& observed, const Place& at);
// Something that may be there and cannot be seen: then nothing follows from not seeing anything.
std::optional<Reason> unseen(const Place& at);
// Whether two Cluster entries are for one real cluster. Where kube-system cannot be read, objects seen through both
// tell; `unknown` when `home` may have objects that are not seen there. Only after `no` what is seen at `at` is none of
// home's.
enum class Same { no, yes, unknown };
Same same_place(const Observed& observed, const Place& at, const Place& home);

// StatefulSet, Job, PersistentVolumeClaim: two of them at a time, on two clusters, may destroy what they keep.
bool must_not_run_twice(const json::Value& object);
// A place that cannot be asked is given up when that has lasted and Krake's own look at the cluster agrees. One failed
// look is no reason to leave what may be running there.
bool lost(const Observed& observed, const Place& at, Mono now);
// Where else than at `at`, and at `source` if there is one, something that must not run twice is, or may be and cannot
// be seen. What is lost does not count.
const Place* place_of_twin(const Observed& observed, const Place& at, const Place* source, Mono now);

// The name of object `i` of a manifest: where it was located, since what its text means changes with the kubeconfig.
json::Object name_of(const std::vector<Item>& items, std::size_t i, const json::Value& object);

// Namespaces and custom resource definitions before what needs them.
inline constexpr int kRanks = 3;
int apply_rank(std::string_view kind);

}  // namespace krake::application
