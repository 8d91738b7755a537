#include "controllers/application/inventory.h"

#include <algorithm>
#include <set>
#include <string>

#include "controllers/application/status.h"

namespace krake::application {
namespace {

// Whether `ref` is what `object` names, as far as that can be told from its text.
bool names(const json::Value& object, const kube::ObjectRef& ref) {
  const auto api_version = object.string_at({"apiVersion"});
  const auto slash = api_version.find('/');
  const auto group = slash == std::string_view::npos ? std::string_view() : api_version.substr(0, slash);
  const auto ns = object.string_at({"metadata", "namespace"});
  return group == ref.type.group && object.string_at({"kind"}) == ref.type.kind &&
         object.string_at({"metadata", "name"}) == ref.name && (ns.empty() || ns == ref.ns);
}

std::set<std::string, std::less<>> uids_at(const Observed& observed, const Place& at) {
  std::set<std::string, std::less<>> uids;
  for (const auto& [ref, live] : inventory(observed, at)) uids.emplace(uid_of(*live));
  const Identity who = identity_of(observed);
  for (const Item& item : at.desired) {
    if (!item.problem && item.live && ownership(*item.live, who) == Ownership::ours) uids.emplace(uid_of(*item.live));
  }
  uids.erase("");
  return uids;
}

bool cannot_be_seen(const Item& item) { return item.problem && item.problem->code == ReasonCode::KUBERNETES_ERROR; }

// Whether it was there already at that time.
bool made_before(const json::Value& live, const std::optional<DateTime>& time) {
  const auto made = parse_datetime(live.string_at({"metadata", "creationTimestamp"}));
  return made && time && made->wall() < time->wall();
}

// By whatever way they were seen: a watch may be forbidden, or silent.
bool shares_objects(const Observed& observed, const Place& a, const Place& b) {
  const auto there = uids_at(observed, b);
  return std::ranges::any_of(uids_at(observed, a), [&](const std::string& uid) { return there.contains(uid); });
}

}  // namespace

int apply_rank(std::string_view kind) { return kind == "Namespace" ? 0 : kind == "CustomResourceDefinition" ? 1 : 2; }

Identity identity_of(const Observed& observed) {
  return {observed.application->metadata.uid, observed.options.installation};
}

Objects inventory(const Observed& observed, const Place& at) {
  const Identity who = identity_of(observed);
  Objects all;
  // Each once, in whatever versions it was seen.
  const auto put = [&](const kube::ObjectRef& ref, const kube::LiveObject& live) {
    const auto same = [&](const auto& one) {
      return same_object(one.first, ref) || (!uid_of(*live).empty() && uid_of(*one.second) == uid_of(*live));
    };
    if (std::ranges::none_of(all, same)) all.emplace_back(ref, live);
  };
  // `seen`: whether the one at that index was seen there as the application's.
  const auto take = [&](const std::vector<Item>& items, const auto& seen) {
    for (std::size_t i = 0; i < items.size(); ++i) {
      const Item& item = items[i];
      if (item.problem || !item.live) continue;
      const auto whose = ownership(*item.live, who);
      if (whose == Ownership::ours || (whose == Ownership::unlabelled && made_by_upstream(*item.live) && seen(i)))
        put(item.ref, item.live);
    }
  };
  for (const auto& [ref, live] : at.ours) {
    if (ownership(*live, who) == Ownership::ours) put(ref, live);
  }
  const CleanUp* entry = cleanup_at(*observed.application, at.cluster);
  const bool runs_here = at.cluster == observed.application->status.running_on;
  take(at.applied, [](std::size_t) { return false; });
  take(at.left, [&](std::size_t i) {
    // Whoever has made another one since is not known.
    if (!entry || !entry->observed || !made_before(*at.left[i].live, entry->left)) return false;
    return std::ranges::find(*entry->observed, entry->objects[i]) != entry->observed->end();
  });
  take(at.recorded, [&](std::size_t) { return runs_here; });
  // Backwards: what others need goes last.
  Objects ordered;
  for (int rank = kRanks; rank-- > 0;) {
    for (auto one = all.rbegin(); one != all.rend(); ++one) {
      if (apply_rank(one->first.type.kind) == rank) ordered.push_back(*one);
    }
  }
  return ordered;
}

Objects dropped(const Observed& observed, const Place& at) {
  auto all = inventory(observed, at);
  const auto is_wanted = [&](const auto& one) {
    for (std::size_t i = 0; i < at.desired.size(); ++i) {
      const Item& item = at.desired[i];
      // Of an item with a problem nothing is known but what the manifest says.
      if (item.problem && names(observed.desired.objects[i], one.first)) return true;
      if (item.problem) continue;
      if (same_object(item.ref, one.first) || (item.live && uid_of(*item.live) == uid_of(*one.second))) return true;
    }
    return false;
  };
  std::erase_if(all, is_wanted);
  return all;
}

std::optional<Reason> unseen(const Place& at) {
  for (const auto* items : {&at.applied, &at.recorded, &at.left}) {
    for (const Item& item : *items) {
      if (cannot_be_seen(item)) return item.problem;
    }
  }
  return std::nullopt;
}

Same same_place(const Observed& observed, const Place& at, const Place& home) {
  if (at.cluster == home.cluster) return Same::yes;
  if (!at.identity.empty() && !home.identity.empty()) return at.identity == home.identity ? Same::yes : Same::no;
  if (shares_objects(observed, at, home)) return Same::yes;
  const bool hidden = at.error || home.error || unseen(home) || std::ranges::any_of(home.desired, cannot_be_seen);
  return hidden ? Same::unknown : Same::no;
}

bool must_not_run_twice(const json::Value& object) {
  const auto kind = object.string_at({"kind"});
  return kind == "StatefulSet" || kind == "Job" || kind == "PersistentVolumeClaim";
}

bool lost(const Observed& observed, const Place& at, Mono now) {
  return at.error && !at.online && at.error_since && now - *at.error_since >= observed.options.migration_health_wait;
}

const Place* place_of_twin(const Observed& observed, const Place& at, const Place* source, Mono now) {
  const auto& app = *observed.application;
  for (const Place& other : observed.places) {
    if (!other.exists || &other == source || same_place(observed, other, at) == Same::yes) continue;
    // Nothing is created where no entry says that it may be.
    const bool expected = other.cluster == app.status.running_on || cleanup_at(app, other.cluster) != nullptr;
    if (other.error ? expected && !lost(observed, other, now) : expected && unseen(other)) return &other;
    if (std::ranges::any_of(inventory(observed, other),
                            [](const auto& one) { return must_not_run_twice(*one.second); }))
      return &other;
  }
  return nullptr;
}

json::Object name_of(const std::vector<Item>& items, std::size_t i, const json::Value& object) {
  const bool located = i < items.size() && !items[i].problem;
  return located ? identity_fields(items[i].ref) : identity_fields(*object.if_object());
}

}  // namespace krake::application
