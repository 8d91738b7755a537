#include "server/references.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

namespace krake::server {

namespace {

constexpr std::size_t kMostVisited = 256;
constexpr std::size_t kMostWarned = 10;  // sentences of one kind
constexpr std::size_t kMostHeaders = 10;
constexpr std::size_t kLongest = 300;

// Whether the owners of `from` lead to `self`.
bool leads_to(const ResourceRef& self, const ResourceRef& from, const OwnersOf& owners_of) {
  std::set<ResourceRef> seen;
  std::vector<ResourceRef> next{from};
  while (!next.empty() && seen.size() < kMostVisited) {
    const ResourceRef here = std::move(next.back());
    next.pop_back();
    if (here == self) return true;
    if (!seen.insert(here).second) continue;
    if (const auto owners = owners_of(here)) next.insert(next.end(), owners->begin(), owners->end());
  }
  return false;
}

std::string quoted(std::string_view text) {
  std::string out = "299 krake \"";
  for (const char c : text.substr(0, kLongest)) {
    if (c == '"' || c == '\\') out += '\\';
    out += c >= ' ' && c <= '~' ? c : '?';
  }
  return out + '"';
}

}  // namespace

std::vector<std::string> doubtful_owners(const ResourceRef& self, std::span<const ResourceRef> added,
                                         const OwnersOf& owners_of) {
  std::vector<std::string> found;
  for (const auto& owner : added) {
    if (found.size() == kMostWarned) break;
    if (owner == self) {
      found.push_back(fmt::format("owner {} is the object itself", to_string(owner)));
    } else if (!owners_of(owner)) {
      found.push_back(fmt::format("owner {} does not exist", to_string(owner)));
    } else if (leads_to(self, owner, owners_of)) {
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
