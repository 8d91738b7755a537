#include "sim/history.h"

#include <fmt/format.h>

#include <algorithm>

namespace krake::sim {

void History::committed(const store::CommitEvent& event) {
  newest_ = event.revision;
  auto& keys = commits_[event.revision];
  for (const auto& change : event.changes) {
    versions_[change.key].push_back({event.revision, change.value ? change.created : 0});
    keys.push_back(change.key);
  }
}

const History::Version* History::at(const std::string& key, Revision revision) const {
  const auto it = versions_.find(key);
  if (it == versions_.end()) return nullptr;
  const auto after = std::ranges::upper_bound(it->second, revision, {}, &Version::revision);
  if (after == it->second.begin() || std::prev(after)->created == 0) return nullptr;
  return &*std::prev(after);
}

std::optional<History::Revision> History::removed_after(const std::string& key, Revision after) const {
  const auto it = versions_.find(key);
  if (it == versions_.end()) return std::nullopt;
  const auto found =
      std::ranges::find_if(it->second, [after](const auto& v) { return v.revision > after && v.created == 0; });
  return found == it->second.end() ? std::nullopt : std::optional(found->revision);
}

Complaint History::current(Revision floor, Revision revision) const {
  if (revision < floor) return fmt::format("the newest revision is said to be {} when {} was known", revision, floor);
  if (revision > newest_) return fmt::format("the newest revision is said to be {} and is {}", revision, newest_);
  return std::nullopt;
}

Complaint History::read(const std::string& key, Revision floor, Revision modified) const {
  if (modified > newest_) return fmt::format("{} was read as of {}, which is no commit yet", key, modified);
  const auto it = versions_.find(key);
  if (it == versions_.end())
    return modified == 0 ? Complaint() : fmt::format("{} was read as of {} and never existed", key, modified);
  const auto& versions = it->second;
  for (auto version = versions.begin(); version != versions.end(); ++version) {
    const bool same = modified == 0 ? version->created == 0 : version->revision == modified && version->created != 0;
    const bool over = std::next(version) != versions.end() && std::next(version)->revision <= floor;
    if (same && !over) return std::nullopt;
  }
  // Before its first version it was absent too.
  if (modified == 0 && versions.front().revision > floor) return std::nullopt;
  return fmt::format("{} was read as {} when everything up to {} was known; it was written at {} last", key,
                     modified == 0 ? "absent" : fmt::format("of {}", modified), floor, versions.back().revision);
}

Complaint History::listed(const std::string& prefix, Revision floor, Revision revision,
                          const std::map<std::string, Revision>& entries, bool cut) const {
  if (auto complaint = current(floor, revision)) return fmt::format("list of {}: {}", prefix, *complaint);
  for (const auto& [key, modified] : entries) {
    const auto* version = at(key, revision);
    if (!version || version->revision != modified)
      return fmt::format("list of {} at {}: {} is said to be of {} and is {}", prefix, revision, key, modified,
                         version ? fmt::format("of {}", version->revision) : "absent");
  }
  for (auto it = versions_.lower_bound(prefix); it != versions_.end() && it->first.starts_with(prefix); ++it) {
    if (cut && (entries.empty() || it->first > entries.rbegin()->first)) break;
    if (at(it->first, revision) && !entries.contains(it->first))
      return fmt::format("list of {} at {}: {} is missing", prefix, revision, it->first);
  }
  return std::nullopt;
}

Complaint History::wrote(const std::string& key, Revision revision) const {
  const auto it = versions_.find(key);
  if (it != versions_.end() && std::ranges::binary_search(it->second, revision, {}, &Version::revision))
    return std::nullopt;
  return fmt::format("{} is said to have been written at {}, and was not", key, revision);
}

Complaint History::next(const std::string& prefix, Revision after, Revision revision) const {
  for (auto it = commits_.upper_bound(after); it != commits_.end(); ++it) {
    if (!std::ranges::any_of(it->second, [&](const auto& key) { return key.starts_with(prefix); })) continue;
    if (it->first == revision) return std::nullopt;
    return fmt::format("a watch of {} goes from {} to {} and leaves out {}", prefix, after, revision, it->first);
  }
  return fmt::format("a watch of {} tells of {} after {}, which is no commit of it", prefix, revision, after);
}

}  // namespace krake::sim
