#include "sim/checks.h"

#include "api/registry.h"
#include "base/check.h"

namespace krake::sim {

namespace {

constexpr std::string_view kOnce = "statefulsets";  // must not run twice
constexpr std::string_view kPlurals[] = {"deployments", kOnce, "configmaps"};

std::string_view plural_of(const json::Object& object) {
  const auto* kind = object.find("kind");
  const auto name = kind && kind->if_string() ? std::string_view(*kind->if_string()) : std::string_view();
  return name == "ConfigMap" ? "configmaps" : name == "StatefulSet" ? kOnce : "deployments";
}
bool runs_once(const Application& app) {
  return std::ranges::any_of(app.spec.manifest, [](const auto& object) { return plural_of(object) == kOnce; });
}
std::string name_of(const json::Object& object) {
  const auto* metadata = object.find("metadata");
  return metadata ? std::string(metadata->string_at({"name"})) : std::string();
}
// What tells one version of an object from another.
std::string content_of(const json::Value& object) {
  if (object.string_at({"kind"}) == "ConfigMap") {
    const auto* data = object.at_path({"data"});
    return data ? json::print(*data) : std::string();
  }
  const auto* containers = object.at_path({"spec", "template", "spec", "containers"});
  if (!containers || !containers->if_array() || containers->if_array()->empty()) return {};
  return std::string(containers->if_array()->front().string_at({"image"}));
}

bool has_objects(const kubesim::SimCluster& cluster, const std::string& app) {
  return std::ranges::any_of(kPlurals, [&](auto plural) { return cluster.find(plural, "default", app) != nullptr; });
}

bool fits(const Application& app, const Labels& labels) {
  const auto& constraints = app.spec.constraints.cluster.labels;
  return !constraints || std::ranges::all_of(*constraints, [&](const expr::LabelConstraint& constraint) {
    return expr::matches(constraint, labels.entries);
  });
}

bool is_named(const std::optional<ResourceRef>& ref, const std::string& cluster) { return ref && ref->name == cluster; }
// Whether it says that something of it may be there: then the controller looks.
bool mentions(const Application& app, const std::string& cluster) {
  const auto& cleanup = app.status.cleanup;
  return is_named(app.status.scheduled_to, cluster) || is_named(app.status.running_on, cluster) ||
         std::ranges::any_of(app.metadata.owners, [&](const ResourceRef& owner) { return owner.name == cluster; }) ||
         (cleanup && std::ranges::any_of(*cleanup, [&](const CleanUp& left) { return left.cluster.name == cluster; }));
}

// Krake's own look at it has failed.
bool may_be_lost(const Cluster& cluster) {
  constexpr ClusterState kReached[] = {ClusterState::ONLINE, ClusterState::UNHEALTHY, ClusterState::NOTREADY,
                                       ClusterState::FAILING_METRICS};
  return std::ranges::find(kReached, cluster.status.state) == std::end(kReached);
}

// "scheduler0" of "scheduler0-3", which is its third life.
std::string_view machine_of(std::string_view holder) { return holder.substr(0, holder.rfind('-')); }

template <class T>
T decoded(const store::Change& change) {
  const auto value = json::parse(*change.value);
  CHECK(value.has_value(), change.key);
  auto object = decode_json<T>(*value, Form::stored);
  CHECK(object.has_value(), change.key);
  return std::move(*object);
}

}  // namespace

// ---- safety

void Checks::advance() {
  if (cursor_ == disk_.revision()) return removals_.seen(cursor_);
  CHECK(cursor_ >= disk_.history().base(), "the history of the store is longer than a run");
  const auto& applications = krake_registry().of<Application>();
  const auto& clusters = krake_registry().of<Cluster>();
  while (cursor_ < disk_.revision()) {
    for (const auto& event : disk_.history().read("/", cursor_, store::kMaxEventsPerRead)) {
      history_.committed(event);
      for (const auto& change : event.changes) {
        std::string ns;
        std::string name;
        if (applications.split_key(change.key, ns, name)) {
          versions_[name].push_back({event.revision, !change.value});
          change.value ? application_stored(name, decoded<Application>(change))
                       : application_gone(name, change, event.revision);
        } else if (clusters.split_key(change.key, ns, name)) {
          change.value ? cluster_stored(name, decoded<Cluster>(change)) : cluster_gone(name, change, event.revision);
        } else if (change.key.starts_with("/core/leases/")) {
          lease_changed(change, event.revision);
        }
      }
    }
  }
  removals_.seen(cursor_);
}

std::optional<ApplicationState> Checks::state_at(const std::string& app, store::Revision revision) const {
  const auto versions = versions_.find(app);
  if (versions == versions_.end()) return std::nullopt;
  const auto it = std::ranges::find(versions->second, revision, &Version::revision);
  return it == versions->second.end() || it->removed ? std::nullopt : std::optional(it->state);
}

// A term has one holder, and every other term is another.
void Checks::lease_changed(const store::Change& change, store::Revision revision) {
  auto& term = terms_[change.key];
  if (!change.value) {
    term.ended = revision;
    return;
  }
  const auto value = json::parse(*change.value);
  CHECK(value.has_value(), change.key);
  const std::string who(value->string_at({"spec", "holder"}));
  if (change.created == term.began && who != term.holder)
    broken_.push_back(
        fmt::format("{}: the term that began at {} is {}'s and {}'s", change.key, term.began, term.holder, who));
  if (change.created != term.began && term.ended != 0) {
    if (who == term.holder) {
      reached_.mark("a leader lost its lease and won it again");
    } else if (machine_of(who) == machine_of(term.holder)) {
      reached_.mark("a controller led again after it was restarted");
    } else {
      takeovers_.push_back({change.key, term.ended});
    }
  }
  term = {.began = change.created, .ended = 0, .holder = who};
}

void Checks::conclude() {
  advance();
  for (const auto& term : takeovers_) {
    switch (removals_.of(term.key, term.revision)) {
      case Known::no:
        reached_.mark("another one took over when the lease had run out");
        break;
      case Known::yes:
        reached_.mark("another one took over when the lease was given back");
        break;
      case Known::maybe:
        break;
    }
  }
  for (const auto& cluster : gone_with_applications_) {
    if (removals_.of(cluster.key, cluster.revision) == Known::yes)
      reached_.mark("a cluster was force-deleted with applications on it");
  }
  takeovers_.clear();
  gone_with_applications_.clear();
}

void Checks::application_stored(const std::string& name, Application app) {
  StoredVersion version{
      .uid = app.metadata.uid, .spec = app.spec, .deleted = app.metadata.deleted.has_value(), .owners = {}};
  for (const auto& owner : app.metadata.owners) version.owners.insert(owner.name);
  complain(model_.stored(name, version));
  const auto it = applications_.find(name);
  const Application* before = it == applications_.end() ? nullptr : &it->second;
  check_binding(name, app, before);
  const auto& [place, home] = std::pair(app.status.scheduled_to, app.status.running_on);
  // Bound by somebody who did not know yet that the cluster is gone.
  if (place && !exists(place->name)) excuses_[{place->name, name}] = std::nullopt;
  // Whoever writes this has looked at everything of it there.
  const bool arrived = before && home && before->status.running_on != home;
  if (arrived && exists(home->name) && !deleting(home->name) && excuses_.erase({home->name, name}) > 0)
    leftovers_[{home->name, name}] = kinds_not_wanted(home->name, app);
  touched_.insert(name);
  note_situations(name, app, before);
  versions_[name].back().state = app.status.state;
  past_.push_back({name, before ? std::optional(std::move(it->second)) : std::nullopt, std::nullopt});
  applications_.insert_or_assign(name, std::move(app));
}

// The scheduler may have looked at labels that are a moment old; at labels the cluster never had it cannot have looked.
void Checks::check_binding(const std::string& name, const Application& app, const Application* before) {
  const auto& place = app.status.scheduled_to;
  if (!place || (before && before->status.scheduled_to == place)) return;
  const auto labels = labels_.find(place->name);
  if (labels != labels_.end() && std::ranges::any_of(labels->second, [&](const Labels& had) { return fits(app, had); }))
    return;
  broken_.push_back(
      fmt::format("application {} was bound to {}, which never fitted its constraints", name, place->name));
}

void Checks::note_situations(const std::string& name, const Application& app, const Application* before) {
  const auto& status = app.status;
  if (before && before->status.running_on && status.running_on && before->status.running_on != status.running_on) {
    reached_.mark("an application moved");
    if (runs_once(app)) reached_.mark("an application moved that must not run twice");
  }
  if (before && app.metadata.deleted && !before->metadata.deleted && model_.taken_along(name))
    reached_.mark("the deletion of a cluster took its applications along");
  const auto message = status.reason ? std::string_view(status.reason->message) : std::string_view();
  if (message.find("was given up") != std::string_view::npos) reached_.mark("a migration was given up");
  if (status.reason && status.reason->code == ReasonCode::NO_SUITABLE_RESOURCE) {
    if (without_place_.insert(name).second) reached_.mark("no place for an application");
  } else if (status.state == ApplicationState::RUNNING && without_place_.erase(name) > 0) {
    reached_.mark("no place at first, one later");
  }
}

void Checks::application_gone(const std::string& name, const store::Change& change, store::Revision revision) {
  complain(model_.gone(name));
  if (auto last = applications_.extract(name)) past_.push_back({name, std::move(last.mapped()), std::nullopt});
  gone_[name] = {change.key, revision};
  // Its finalizer says: not before nothing of it is left on any cluster Krake knows.
  for (const auto& [cluster_name, cluster] : clusters_) {
    if (exists(cluster_name) && !excused(cluster_name, name) && has_objects(*cluster, name))
      broken_.push_back(fmt::format("application {} is gone and has objects on {}", name, cluster_name));
  }
}

void Checks::cluster_stored(const std::string& name, Cluster cluster) {
  const auto it = known_.find(name);
  if (it == known_.end()) {
    if (labels_.contains(name)) reached_.mark("a cluster was registered again");
    model_.cluster_registered(name);
    for (const auto& [app, stored] : applications_) touched_.insert(app);
  }
  if (cluster.metadata.deleted) complain(model_.cluster_deleting(name));
  if (cluster.metadata.deleted && it != known_.end() && !it->second.metadata.deleted)
    reached_.mark("a cluster was deleted");
  if (cluster.status.state == ClusterState::OFFLINE) reached_.mark("a cluster was OFFLINE");
  if (cluster.status.state == ClusterState::UNHEALTHY) reached_.mark("a cluster was UNHEALTHY");
  if (cluster.status.state == ClusterState::FAILING_METRICS) reached_.mark("a cluster was FAILING_METRICS");
  if (may_be_lost(cluster)) doubt(name);
  auto& had = labels_[name];
  if (had.empty() || !(had.back() == cluster.metadata.labels)) had.push_back(cluster.metadata.labels);
  known_.insert_or_assign(name, std::move(cluster));
}

// Where an application says that something of it may be nobody can look any more: there may be, or may be on its way.
// What is there without being mentioned was lost before; only who took the cluster away by force has asked for that.
void Checks::cluster_gone(const std::string& name, const store::Change& change, store::Revision revision) {
  if (!deleting(name) && !forced_clusters_.contains(name))
    broken_.push_back(fmt::format("cluster {} is gone although no deletion of it was under way", name));
  known_.erase(name);
  const Removed removed{change.key, revision};
  const auto cluster = clusters_.find(name);
  bool any = false;
  for (const auto& [app_name, app] : applications_) {
    const bool there = cluster != clusters_.end() && has_objects(*cluster->second, app_name);
    any = any || there;
    if (mentions(app, name)) {
      excuses_[{name, app_name}] = std::nullopt;
    } else if (there) {
      excuses_.try_emplace({name, app_name}, removed);
    }
  }
  if (any) gone_with_applications_.push_back(removed);
}

void Checks::witnessed(store::Revision revision, const std::map<std::string, store::Revision>& applications) {
  std::map<std::string, store::Revision> wanted;
  for (const auto& [name, versions] : versions_) {
    const auto after = std::ranges::upper_bound(versions, revision, {}, &Version::revision);
    if (after == versions.begin() || std::prev(after)->removed) continue;
    wanted[name] = std::prev(after)->revision;
  }
  if (wanted != applications)
    broken_.push_back(fmt::format("a watch was told it has everything up to revision {}; it has {}, and there is {}",
                                  revision, applications, wanted));
}

bool Checks::deleting(const std::string& cluster) const {
  const auto it = known_.find(cluster);
  return it != known_.end() && it->second.metadata.deleted;
}
bool Checks::any_deletion() const {
  return std::ranges::any_of(applications_,
                             [](const auto& entry) { return entry.second.metadata.deleted.has_value(); });
}
bool Checks::any_migration() const {
  return std::ranges::any_of(applications_, [](const auto& entry) {
    const auto& status = entry.second.status;
    return status.running_on && status.scheduled_to && status.running_on != status.scheduled_to;
  });
}
// What of it is there that its manifest does not name: left behind with an excuse, and nobody knows of it any more.
std::set<std::string_view> Checks::kinds_not_wanted(const std::string& cluster, const Application& app) const {
  std::set<std::string_view> kinds;
  const auto there = clusters_.find(cluster);
  for (const std::string_view plural : kPlurals) {
    const bool wanted = std::ranges::any_of(app.spec.manifest, [&](const auto& o) { return plural_of(o) == plural; });
    if (wanted || there == clusters_.end()) continue;
    for (const auto& object : there->second->list(plural)) {
      if (object->string_at({"metadata", "name"}) == app.metadata.name) kinds.insert(plural);
    }
  }
  return kinds;
}

void Checks::made_late(const std::string& cluster, const std::string& app) {
  const auto it = applications_.find(app);
  const bool settled = it != applications_.end() && !it->second.metadata.deleted &&
                       is_named(it->second.status.running_on, cluster) &&
                       it->second.status.scheduled_to == it->second.status.running_on;
  if (!settled) excuses_[{cluster, app}] = std::nullopt;
}

bool Checks::excused(const std::string& cluster, const std::string& app) const {
  const auto gone = gone_.find(app);
  if (gone != gone_.end() && forced(gone->second)) return true;
  const auto excuse = excuses_.find({cluster, app});
  return excuse != excuses_.end() && (!excuse->second || forced(*excuse->second));
}

// ---- where objects are

// What is there now may be given up for lost.
void Checks::doubt(const std::string& cluster) {
  const auto there = clusters_.find(cluster);
  if (there == clusters_.end()) return;
  for (const auto& object : there->second->list(kOnce))
    doubted_.insert({cluster, std::string(object->string_at({"metadata", "uid"}))});
}

// What must not run twice is at one place, but for those that may be given up for lost.
void Checks::look_for_twins(const std::string& app) {
  std::vector<std::string> places;
  for (const auto& [name, looked] : looked_) {
    const auto live = looked.apps.contains(app) ? clusters_.at(name)->find(kOnce, "default", app) : nullptr;
    if (!live || !exists(name) || excused(name, app)) continue;
    std::pair one{name, std::string(live->string_at({"metadata", "uid"}))};
    if (may_be_lost(known_.at(name))) doubted_.insert(one);
    if (!doubted_.contains(one)) places.push_back(name);
  }
  if (places.size() > 1 && twins_.insert(app).second)
    broken_.push_back(fmt::format("application {} must not run twice and is on {}", app, fmt::join(places, " and ")));
}

void Checks::taken_away(const std::string& cluster, std::string_view target) {
  target = target.substr(0, target.find('?'));
  const auto slash = target.rfind('/');
  const auto name = target.substr(slash + 1);
  const auto collection = target.substr(0, slash);
  const auto plural = collection.substr(collection.rfind('/') + 1);
  const auto it = applications_.find(std::string(name));
  if (it == applications_.end() || std::ranges::find(kPlurals, plural) == std::end(kPlurals)) return;
  const auto live = clusters_.at(cluster)->find(plural, "default", name);
  // Of an earlier application of that name, or somebody else's.
  if (!live || live->string_at({"metadata", "labels", "krake/application-uid"}) != it->second.metadata.uid) return;
  const auto wanted = [&](const Application& app) {
    const auto& [place, home] = std::pair(app.status.scheduled_to, app.status.running_on);
    // Where it is to move nobody misses it yet: that may be given up.
    return !app.metadata.deleted && is_named(place, cluster) && (!home || home == place) &&
           std::ranges::any_of(app.spec.manifest, [&](const auto& object) { return plural_of(object) == plural; });
  };
  const bool always = wanted(it->second) && std::ranges::all_of(past_, [&](const Past& past) {
                        return past.name != name || (past.app && wanted(*past.app));
                      });
  if (!always) return reached_.mark("an object was taken away that was not wanted any more");
  broken_.push_back(fmt::format("{} {} is taken away from {}, and nobody asked for that", plural, name, cluster));
}

void Checks::look_at_clusters(Mono now) {
  for (auto last = past_.rbegin(); last != past_.rend() && !last->until; ++last) last->until = now;
  while (!past_.empty() && now - *past_.front().until > kBehind) past_.pop_front();
  for (const auto& [name, cluster] : clusters_) {
    auto& looked = looked_[name];
    if (looked.mutations == cluster->mutations()) continue;
    looked.mutations = cluster->mutations();
    touched_.merge(std::exchange(looked.apps, {}));
    for (const auto plural : kPlurals) {
      for (const auto& object : cluster->list(plural)) {
        std::string app(object->string_at({"metadata", "name"}));
        if (model_.knows(app)) looked.apps.insert(std::move(app));
      }
    }
    touched_.insert(looked.apps.begin(), looked.apps.end());
  }
  for (const auto& app : std::exchange(touched_, {})) look_for(app, now);
  std::erase_if(strays_, [&](const auto& entry) {
    const auto& [cluster, app] = entry.first;
    if (now - entry.second < kStrayTime) return false;
    // Somebody else may have taken it away, or the reason for it may have become known.
    if (stray(cluster, app) && has_objects(*clusters_.at(cluster), app))
      broken_.push_back(fmt::format("application {} has had objects on {} for {} s, and its record leads nobody there",
                                    app, cluster, kStrayTime / std::chrono::seconds(1)));
    return true;
  });
}

void Checks::look_for(const std::string& app, Mono now) {
  int places = 0;
  for (const auto& [cluster, looked] : looked_) {
    const bool there = looked.apps.contains(app);
    places += there && exists(cluster) && has_objects(*clusters_.at(cluster), app) ? 1 : 0;
    if (there && stray(cluster, app)) {
      strays_.try_emplace({cluster, app}, now);
    } else if (!strays_.empty()) {
      strays_.erase({cluster, app});
    }
  }
  if (places > 1) reached_.mark("an application was on two clusters for a while");
  look_for_twins(app);
}

bool Checks::stray(const std::string& cluster, const std::string& app) const {
  const auto it = applications_.find(app);  // of those that are gone application_gone() and leftovers() tell
  return it != applications_.end() && exists(cluster) && !mentions(it->second, cluster) && !excused(cluster, app);
}

// ---- liveness

std::string Checks::difference() const {
  if (auto text = difference_in_store(); !text.empty()) return text;
  for (const auto& [name, app] : applications_) {
    if (auto text = difference_of(name, app); !text.empty()) return text;
    if (auto text = difference_of_objects(name, app); !text.empty()) return text;
  }
  return leftovers();
}

std::string Checks::difference_in_store() const {
  for (const auto& name : model_.names()) {
    const auto expected = model_.expected(name);
    const bool there = applications_.contains(name);
    if (expected == Known::yes && !there) return fmt::format("application {} was acknowledged and is not there", name);
    if (expected == Known::no && there) return fmt::format("application {} was deleted and is still there", name);
  }
  for (const auto& [name, cluster] : clusters_) {
    const auto it = known_.find(name);
    if (it == known_.end()) return fmt::format("cluster {} is not registered", name);
    if (it->second.metadata.deleted) return fmt::format("cluster {} is being deleted and still there", name);
    if (it->second.status.state != ClusterState::ONLINE)
      return fmt::format("cluster {} is {}", name, enum_name(it->second.status.state));
  }
  return {};
}

std::string Checks::difference_of(const std::string& name, const Application& app) const {
  const auto& status = app.status;
  if (app.metadata.deleted) return fmt::format("application {} is being deleted and still there", name);
  if (status.state != ApplicationState::RUNNING || !status.running_on || status.running_on != status.scheduled_to)
    return fmt::format("application {} is {}: {}", name, enum_name(status.state), encode_masked(status));
  const auto& place = status.running_on->name;
  const auto known = known_.find(place);
  if (known == known_.end()) return fmt::format("application {} runs on {}, which Krake does not know", name, place);
  if (!fits(app, known->second.metadata.labels))
    return fmt::format("application {} runs on {}, which does not fit its label constraints", name, place);
  const auto& metrics = app.spec.constraints.cluster.metrics;
  if (!metrics) return {};
  for (const auto& constraint : *metrics) {
    const auto& refs = known->second.spec.metrics;
    const auto ref = std::ranges::find(refs, constraint.key, &MetricRef::name);
    if (ref == refs.end() || !expr::matches(constraint, kHealthyLoad * ref->weight))
      return fmt::format("application {} runs on {}, which does not fit '{}'", name, place, constraint.text);
  }
  return {};
}

std::string Checks::difference_of_objects(const std::string& name, const Application& app) const {
  const auto& place = app.status.running_on->name;
  const auto cluster = clusters_.find(place);
  if (cluster == clusters_.end()) return fmt::format("application {} runs on {}, which is no cluster", name, place);
  for (const auto& object : app.spec.manifest) {
    const auto plural = plural_of(object);
    const auto live = cluster->second->find(plural, "default", name_of(object));
    if (!live) return fmt::format("application {} runs on {}; {} {} is missing", name, place, plural, name_of(object));
    const auto wanted = content_of(object);
    const auto seen = content_of(*live);
    if (wanted != seen)
      return fmt::format("application {}: {} {} on {} is {}, wanted is {}", name, plural, name_of(object), place, seen,
                         wanted);
  }
  return {};
}

std::string Checks::leftovers() const {
  for (const auto& [cluster_name, cluster] : clusters_) {
    for (const auto plural : kPlurals) {
      for (const auto& object : cluster->list(plural)) {
        const std::string name(object->string_at({"metadata", "name"}));
        if (!model_.knows(name)) continue;
        const auto app = applications_.find(name);
        const bool runs_here =
            app != applications_.end() && is_named(app->second.status.running_on, cluster_name) &&
            std::ranges::any_of(app->second.spec.manifest, [&](const auto& o) { return plural_of(o) == plural; });
        const auto leftover = leftovers_.find({cluster_name, name});
        const bool known = leftover != leftovers_.end() && leftover->second.contains(plural);
        if (!runs_here && !known && !excused(cluster_name, name))
          return fmt::format("{} {} is left on {}", plural, name, cluster_name);
      }
    }
  }
  return {};
}

}  // namespace krake::sim
