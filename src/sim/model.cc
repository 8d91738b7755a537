#include "sim/model.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"

namespace krake::sim {

Fate fate_of(const Error& error) {
  switch (error.code) {
    case Code::invalid_argument:
    case Code::unauthenticated:
    case Code::forbidden:
    case Code::not_found:
    case Code::method_not_allowed:
    case Code::conflict:
    case Code::already_exists:
    case Code::precondition_failed:
    case Code::too_large:
    case Code::unsupported_media:
    case Code::invalid_object:
    case Code::too_many_requests:
      return Fate::refused;
    case Code::unavailable:
      return error.message.contains(kConnectionRefused) ? Fate::refused : Fate::unknown;
    case Code::compacted:
    case Code::internal:
    case Code::timeout:
    case Code::cancelled:
      return Fate::unknown;
  }
  return Fate::unknown;
}

void Model::create(const std::string& app, ApplicationSpec spec) {
  CHECK(asked_ == Ask::none && !apps_.contains(app), app);
  asked_ = Ask::create;
  asked_for_ = app;
  asked_number_ = next_++;
  apps_[app].specs.push_back({asked_number_, std::move(spec)});
}

void Model::update(const std::string& app, ApplicationSpec spec) {
  CHECK(asked_ == Ask::none && apps_.contains(app), app);
  asked_ = Ask::update;
  asked_for_ = app;
  asked_number_ = next_++;
  apps_[app].specs.push_back({asked_number_, std::move(spec)});
}

void Model::remove(const std::string& app) {
  CHECK(asked_ == Ask::none && apps_.contains(app), app);
  asked_ = Ask::remove;
  asked_for_ = app;
  auto& removed = apps_[app].removed;
  before_ = removed;
  removed = std::max(removed, Known::maybe);
}

void Model::force_remove(const std::string& app) {
  CHECK(asked_ == Ask::none && apps_.contains(app), app);
  asked_ = Ask::force_remove;
  asked_for_ = app;
  auto& forced = apps_[app].forced;
  before_ = forced;
  forced = std::max(forced, Known::maybe);
}

Complaint Model::answered(Fate fate) {
  CHECK(asked_ != Ask::none);
  auto& app = apps_.at(asked_for_);
  Complaint complaint;
  if (fate == Fate::done) complaint = acknowledged(asked_for_, app);
  if (fate == Fate::refused) complaint = withdraw(asked_for_, app);
  if (fate == Fate::unknown) unanswered(app);
  asked_ = Ask::none;
  return complaint;
}

// Acknowledged means: it is in the store now, and what was told of the store so far includes it.
Complaint Model::acknowledged(const std::string& name, App& app) {
  switch (asked_) {
    case Ask::none:
      break;
    case Ask::create:
      app.created = Known::yes;
      if (!app.seen) return fmt::format("application {}: its creation was acknowledged and it was never stored", name);
      break;
    case Ask::update: {
      const auto it = std::ranges::find(app.specs, asked_number_, &Candidate::number);
      // Seen stored, it has become the first; or the first says the same.
      if (it == app.specs.end() || !(app.specs.front().spec == it->spec))
        return fmt::format("application {}: an update was acknowledged and what it says was not stored", name);
      app.specs.erase(app.specs.begin(), it);
      break;
    }
    case Ask::remove:
      app.removed = Known::yes;
      if (!app.deleted && !app.gone)
        return fmt::format("application {}: its deletion was acknowledged and is not under way", name);
      break;
    case Ask::force_remove:
      app.forced = Known::yes;
      if (!app.gone) return fmt::format("application {}: its removal was acknowledged and it is still there", name);
      break;
  }
  return std::nullopt;
}

// What was refused has no effect, neither before nor from now on.
Complaint Model::withdraw(const std::string& name, App& app) {
  switch (asked_) {
    case Ask::none:
      break;
    case Ask::create:
      if (app.seen) return fmt::format("application {}: its creation was refused and it is stored", name);
      app.created = Known::no;
      app.specs.clear();
      break;
    case Ask::update:
      if (app.specs.front().number == asked_number_)
        return fmt::format("application {}: an update was refused and carried out", name);
      std::erase_if(app.specs, [&](const Candidate& candidate) { return candidate.number == asked_number_; });
      break;
    case Ask::remove:
      app.removed = before_;
      break;
    case Ask::force_remove:
      app.forced = before_;
      break;
  }
  return std::nullopt;
}

void Model::unanswered(App& app) {
  if (asked_ != Ask::create && asked_ != Ask::update) return;
  const auto it = std::ranges::find(app.specs, asked_number_, &Candidate::number);
  const bool carried_out = app.seen && it == app.specs.begin();
  if (carried_out) {
    ++found_done_;
  } else if (it != app.specs.end()) {
    it->unanswered = true;
  }
}

Complaint Model::stored(const std::string& name, const StoredVersion& version) {
  const auto found = apps_.find(name);
  if (found == apps_.end()) return fmt::format("application {} is stored and nobody created it", name);
  App& app = found->second;
  if (app.created == Known::no) return fmt::format("application {} is stored although its creation was refused", name);
  if (app.gone) return fmt::format("application {} was gone and is stored again", name);
  if (!app.seen) app.uid = version.uid;
  app.seen = true;
  if (app.uid != version.uid)
    return fmt::format("application {} has become another: uid {} was {}", name, version.uid, app.uid);
  const auto it = std::ranges::find(app.specs, version.spec, &Candidate::spec);
  if (it == app.specs.end())
    return fmt::format("application {}: what is stored is none of the {} specs it may have: {}", name, app.specs.size(),
                       encode_masked(version.spec));
  // From the front: an older candidate that says the same is the likelier one, and rules out less.
  for (auto older = app.specs.begin(); older != it; ++older) found_undone_ += older->unanswered ? 1 : 0;
  found_done_ += it->unanswered ? 1 : 0;
  app.specs.erase(app.specs.begin(), it);
  app.specs.front().unanswered = false;
  if (app.deleted && !version.deleted) return fmt::format("application {}: its deletion was taken back", name);
  const bool with_cluster = std::ranges::any_of(
      version.owners, [&](const std::string& cluster) { return deleting_clusters_.contains(cluster); });
  if (version.deleted && !app.deleted && app.removed == Known::no && !with_cluster)
    return fmt::format("application {} is being deleted although nobody deleted it or its cluster", name);
  app.deleted = version.deleted;
  return std::nullopt;
}

Complaint Model::gone(const std::string& name) {
  const auto found = apps_.find(name);
  if (found == apps_.end()) return std::nullopt;
  App& app = found->second;
  const bool by_deletion = app.deleted;
  app.gone = true;
  if (!by_deletion && app.forced == Known::no)
    return fmt::format("application {} is gone although no deletion of it was under way", name);
  return std::nullopt;
}

Complaint Model::cluster_deleting(const std::string& cluster) {
  if (!deleting_clusters_.insert(cluster).second) return std::nullopt;
  const auto asked = cluster_removals_.find(cluster);
  if (asked != cluster_removals_.end() && asked->second > 0) return std::nullopt;
  return fmt::format("cluster {} is being deleted although nobody deleted it", cluster);
}

std::uint64_t Model::found_undone() const {
  std::uint64_t count = found_undone_;
  for (const auto& [name, app] : apps_) {
    for (const auto& candidate : app.specs) count += candidate.unanswered ? 1 : 0;
  }
  return count;
}

std::vector<std::string> Model::living() const {
  std::vector<std::string> names;
  for (const auto& [name, app] : apps_) {
    if (app.seen && app.removed == Known::no && app.forced == Known::no && !app.deleted && !app.gone)
      names.push_back(name);
  }
  return names;
}

std::vector<std::string> Model::names() const {
  std::vector<std::string> all;
  for (const auto& [name, app] : apps_) all.push_back(name);
  return all;
}

Known Model::expected(const std::string& name) const {
  const auto found = apps_.find(name);
  if (found == apps_.end()) return Known::no;
  const App& app = found->second;
  // A deletion that was seen must come to its end.
  if (app.created == Known::no || app.gone || app.deleted || app.removed == Known::yes || app.forced == Known::yes)
    return Known::no;
  return app.seen ? Known::yes : Known::maybe;
}

bool Model::taken_along(const std::string& name) const {
  const auto found = apps_.find(name);
  return found != apps_.end() && found->second.deleted && found->second.removed == Known::no;
}

}  // namespace krake::sim
