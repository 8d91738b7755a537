#include "server/etag.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

namespace krake::server {

namespace {

std::vector<std::string_view> entity_tags(std::string_view header) {
  std::vector<std::string_view> tags;
  while (!header.empty()) {
    bool quoted = false;
    std::size_t comma = 0;
    for (; comma < header.size() && (quoted || header[comma] != ','); ++comma) quoted ^= header[comma] == '"';
    auto tag = header.substr(0, comma);
    header.remove_prefix(std::min(comma + 1, header.size()));
    while (tag.starts_with(' ') || tag.starts_with('\t')) tag.remove_prefix(1);
    while (tag.ends_with(' ') || tag.ends_with('\t')) tag.remove_suffix(1);
    if (!tag.empty()) tags.push_back(tag);
  }
  return tags;
}

}  // namespace

bool IfMatch::holds(store::Revision revision) const {
  return any || std::ranges::find(revisions, revision) != revisions.end();
}

std::string IfMatch::text() const {
  if (revisions.empty()) return "no revision";
  return fmt::format("revision {}", fmt::join(revisions, ", "));
}

std::optional<std::string> joined(const Headers& headers, std::string_view name) {
  std::optional<std::string> all;
  for (const auto& [key, value] : headers) {
    if (!iequals(key, name)) continue;
    if (all) *all += ", ";
    all = all.value_or("") + value;
  }
  return all;
}

std::optional<IfMatch> parse_if_match(std::string_view header) {
  const auto tags = entity_tags(header);
  if (tags.empty()) return std::nullopt;
  IfMatch result{.any = false, .revisions = {}};
  for (std::string_view tag : tags) {
    if (tag == "*") return IfMatch{};
    const bool weak = tag.starts_with("W/");
    if (weak) tag.remove_prefix(2);
    const bool quoted = tag.size() >= 2 && tag.starts_with('"') && tag.ends_with('"');
    if (quoted) tag = tag.substr(1, tag.size() - 2);
    store::Revision revision = 0;
    const auto [end, ec] = std::from_chars(tag.data(), tag.data() + tag.size(), revision);
    const bool ours = ec == std::errc() && end == tag.data() + tag.size();
    if (!quoted && (weak || !ours)) return std::nullopt;
    if (ours && !weak) result.revisions.push_back(revision);
  }
  return result;
}

bool names_tag(std::string_view header, std::string_view wanted) {
  return std::ranges::any_of(entity_tags(header), [&](std::string_view tag) {
    if (tag.starts_with("W/")) tag.remove_prefix(2);
    return tag == wanted || tag == "*";
  });
}

}  // namespace krake::server
