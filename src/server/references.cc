#include "server/references.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <deque>
#include <map>
#include <set>

namespace krake::server {

namespace {

constexpr std::size_t kMostVisited = 1024;   // objects
constexpr std::size_t kMostFollowed = 8192;  // owners of them
constexpr std::size_t kMostWarned = 10;      // sentences of one kind
constexpr std::size_t kMostHeaders = 10;
constexpr std::size_t kLongest = 300;

// The objects that lead to `self`, of those that are owners of `added`, directly or not. Each is visited once.
class Ancestors {
 public:
  Ancestors(const ResourceRef& self, std::span<const ResourceRef> added, const OwnersOf& owners_of) {
    visit(self, added, owners_of);
    std::vector<const ResourceRef*> next{&self};
    while (!next.empty()) {
      const ResourceRef& here = *next.back();
      next.pop_back();
      if (!leading_.insert(here).second) continue;
      if (const auto it = owned_.find(here); it != owned_.end())
        next.insert(next.end(), it->second.begin(), it->second.end());
    }
  }
  bool lead_to_self(const ResourceRef& owner) const { return leading_.contains(owner); }

 private:
  void visit(const ResourceRef& self, std::span<const ResourceRef> added, const OwnersOf& owners_of) {
    std::set<ResourceRef> seen{self};
    std::deque<const ResourceRef*> next;
    for (const auto& owner : added.first(std::min(kMostVisited, added.size()))) next.push_back(&owner);
    std::size_t followed = 0;
    for (; !next.empty() && seen.size() <= kMostVisited; next.pop_front()) {
      const auto [here, first] = seen.insert(*next.front());
      if (!first) continue;
      const auto* owners = owners_of(*here);
      if (!owners) continue;
      for (const auto& owner : *owners) {
        if (++followed > kMostFollowed) return;
        owned_[owner].push_back(next.front());
        next.push_back(&owner);
      }
    }
  }

  std::map<ResourceRef, std::vector<const ResourceRef*>> owned_;  // by owner
  std::set<ResourceRef> leading_;
};

std::string quoted(std::string_view text) {
  std::string out = "299 krake \"";
  for (const char c : text.substr(0, kLongest)) {
    if (c == '"' || c == '\\') out += '\\';
    out += c >= ' ' && c <= '~' ? c : '?';
  }
  return out + '"';
}

}  // namespace

std::vector<ResourceRef> added_owners(std::span<const ResourceRef> wanted, std::span<const ResourceRef> stored) {
  std::set<ResourceRef> known(stored.begin(), stored.end());
  std::vector<ResourceRef> added;
  for (const auto& owner : wanted) {
    if (known.insert(owner).second) added.push_back(owner);
  }
  return added;
}

std::vector<std::string> doubtful_owners(const ResourceRef& self, std::span<const ResourceRef> added,
                                         const OwnersOf& owners_of) {
  std::vector<std::string> found;
  const Ancestors ancestors(self, added, owners_of);
  std::set<ResourceRef> looked_at;
  for (const auto& owner : added) {
    if (found.size() == kMostWarned) break;
    if (!looked_at.insert(owner).second) continue;
    if (owner == self) {
      found.push_back(fmt::format("owner {} is the object itself", to_string(owner)));
    } else if (!owners_of(owner)) {
      found.push_back(fmt::format("owner {} does not exist", to_string(owner)));
    } else if (ancestors.lead_to_self(owner)) {
      found.push_back(fmt::format("owner {} is, by its own owners, owned by this object: they can never be deleted",
                                  to_string(owner)));
    }
  }
  return found;
}

std::vector<std::string> doubtful_targets(const json::Value& body, std::span<const std::string_view> kinds,
                                          const OwnersOf& owners_of) {
  std::vector<std::string> found;
  const auto* object = body.if_object();
  if (!object) return found;
  for (const auto& [key, value] : *object) {
    if (found.size() == kMostWarned) break;
    ResourceRef ref;
    FieldErrors errors;
    if (!value.is_object() || !codec::decode(value, ref, errors, Form::full)) continue;
    if (!kinds.empty() && std::ranges::find(kinds, ref.kind) == kinds.end()) {
      found.push_back(fmt::format("{} {} is of another kind than {}", key, to_string(ref), fmt::join(kinds, " or ")));
    } else if (!owners_of(ref)) {
      found.push_back(fmt::format("{} {} does not exist", key, to_string(ref)));
    }
  }
  return found;
}

std::vector<std::string> warning_headers(std::span<const std::string> warnings) {
  std::vector<std::string> headers;
  for (const auto& text : warnings.first(std::min(kMostHeaders, warnings.size()))) headers.push_back(quoted(text));
  if (warnings.size() > kMostHeaders)
    headers.push_back(quoted(fmt::format("and {} more", warnings.size() - kMostHeaders)));
  return headers;
}

}  // namespace krake::server
